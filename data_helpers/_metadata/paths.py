"""Paths that metadata name: of levels, label images, wells and fields. They lead inwards only."""

from __future__ import annotations

import re
from urllib.parse import unquote

from .._formatting import as_written, plain_text

LONGEST_PATH, LONGEST_PART = 1024, 255
"""Characters: as long as a key of S3 may be, and the name of a file."""


def checked_path(path: object, key: str) -> str:
    """A path that leads to something inside the image, or the plate, that names it.

    Parameters
    ----------
    path : object
        What stands there; a number is a name, too.
    key : str
        Where it stands, for messages: "datasets[0].path".

    Raises
    ------
    ValueError
        It leads elsewhere, or nowhere. The sentence names the key and what stands there.
    """
    text = str(path)
    too_long = len(text) > LONGEST_PATH or max(map(len, text.split("/"))) > LONGEST_PART
    if too_long or plain_text(text, LONGEST_PATH) != text:
        raise ValueError(f"{key} is {as_written(text)}, which no folder is called")
    decoded = unquote(unquote(text))  # servers decode once, and some that stand behind them again
    parts = [part.strip() for part in re.split(r"[/\\]", decoded)]
    outwards = not parts[0] or ".." in parts or re.match(r"[A-Za-z][\w+.-]*:($|[/\\])", decoded)
    if outwards or set(parts) <= {"", "."}:
        raise ValueError(f"{key} is {as_written(text)}, which does not lead to a folder inside")
    return text
