"""Open OME-Zarr images in public object storage, lazily.

The way through this package is one line, and each step is one module::

    id -> source -> store -> multiscale -> stored or lazy array -> picture

=================  ==========================================================================
``addresses``      what a person pasted, and what is meant
``sources``        where the images live, and which source is in use
``store``          the one place that fetches an object: time-outs, retries, what an answer means
``metadata``       from OME-Zarr documents to values
``multiscale``     an image: its levels, axes, scales and labels
``opening``        from an id or an address to an image
``stored_array``   a level as stored: indexing it reads
``lazy``           the same level as a Dask array
``loading``        the three ``load_*`` functions
``display``        static pictures
``errors``         what can go wrong, one sentence each
=================  ==========================================================================

Beside the way stands one more room: ``plate`` leads to the images of a plate, well by well. What
a room is made of is in the folder of its name with an underscore (``_store``, ``_metadata``,
``_display``, ``_plate``); other modules with an underscore help all of them. What stands beside the
way is a *wing*, a package with one door, its ``__init__``: ``cache``, ``meter``, ``viewer``,
``scale_out``, ``checks``, ``hand_over`` (to other tools) and ``offline``, the stand-in for the
public endpoints. No module above imports a wing.

The names listed in ``__init__.pyi`` are imported when they are first used, which keeps
``import data_helpers`` quick.
"""

from typing import Any as _Any

import lazy_loader as _lazy

_getattr, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)


def __getattr__(name: str) -> _Any:
    if name == "request_meter":
        _import_what_reads()
    return _getattr(name)


def load_ipython_extension(shell: _Any) -> None:
    """Let notebooks say ``%%cost`` after ``%load_ext data_helpers``."""
    from .meter import load_magic

    _import_what_reads()
    load_magic(shell)


def _import_what_reads() -> None:
    """Import what opens images before a meter runs: that takes time, but is no cost of a block."""
    from . import opening  # noqa: F401
