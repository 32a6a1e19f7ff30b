"""One way to say what a reader should know of an image that can be read."""

from __future__ import annotations

import sys
import warnings

from .errors import OmeZarrWarning


def warn(sentence: str) -> None:
    """Warn, and point at the line of the user's code that led here."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back and frame.f_globals.get("__name__", "").startswith("data_helpers."):
        level, frame = level + 1, frame.f_back
    warnings.warn(sentence, OmeZarrWarning, stacklevel=level)
