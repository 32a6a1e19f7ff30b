"""One way to say what a reader should know of an image that can be read."""

from __future__ import annotations

import sys
import warnings

from ._formatting import sentence
from .errors import OmeZarrWarning


def warn(said: str) -> None:
    """Warn, and point at the line of the user's code that led here."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back and _is_ours(frame.f_globals.get("__name__", "")):
        level, frame = level + 1, frame.f_back
    warnings.warn(sentence(said), OmeZarrWarning, stacklevel=level)


def _is_ours(module: str) -> bool:
    """Whether code belongs to this package, or stands between two parts of it."""
    return module.startswith("data_helpers.") or module == "contextlib"
