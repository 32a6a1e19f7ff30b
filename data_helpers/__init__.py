"""Open OME-Zarr images in public object storage, lazily.

The way through this package is one line::

    id -> source -> store -> multiscale -> lazy array -> picture

``sources`` knows where images live, ``store`` makes the one kind of store that reads them,
``multiscale`` understands their metadata, ``loading`` has the three ``load_*`` functions, and
``display`` draws static pictures. ``offline`` is a stand-in for the public endpoints.

The names listed in ``__init__.pyi`` are imported when they are first used, which keeps
``import data_helpers`` quick.
"""

from typing import Any as _Any

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)


def load_ipython_extension(shell: _Any) -> None:
    """Let notebooks say ``%%cost`` after ``%load_ext data_helpers``."""
    from .meter import load_magic

    load_magic(shell)
