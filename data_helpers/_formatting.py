"""Numbers, names and errors as people say them, and as they may be shown.

Whoever wrote an image also wrote its names. So a name is made plain where it is read, and so is
the whole sentence of an error or a warning: see `plain_text` and `sentence`.
"""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Sequence

LONGEST_NAME = 200
LONGEST_SENTENCE = 4000
"""Characters after which a name, or the sentence of an error, is cut short."""

_JOINERS = "\u200c\u200d"  # invisible, but some scripts, and emoji, need them
_LOGIN = re.compile(r"(?<=://)[^\s/?#]*@|(?<![^\s/'\"(<])[^\s/:@'\"(<]+:[^\s/@'\"]+@(?=[\w\[])")
_QUERY = re.compile(r"((?<![\w.+-])(?!s3:|file:)[a-z][\w.+-]*://[^\s?'\"<>|]*)\?[^\s'\"<>|]+", re.I)
_SIGNED = re.compile(r"([?&][\w-]*(?:sig|token|key|secret|pass|credential)[\w-]*=)[^\s&'\"]+", re.I)


def format_shape(sizes: Sequence[int]) -> str:
    """Sizes as people say them: ``format_shape((1, 1024))`` is "1 × 1,024"."""
    return " × ".join(f"{size:,}" for size in sizes)


def format_bytes(count: float) -> str:
    """Bytes as people say them: ``format_bytes(54_600_000)`` is "54.6 MB"."""
    units = ["TB", "GB", "MB", "kB", "bytes"]
    while count >= 999.5 and len(units) > 1:  # what would be rounded to 1000
        count, _ = count / 1000, units.pop()
    return f"{count:.0f} bytes" if units[-1] == "bytes" else f"{count:.3g} {units[-1]}"


def format_value(value: float) -> str:
    """A pixel value as people say it: whole numbers in full, others with six digits."""
    if isinstance(value, int) or (abs(value) < 1e15 and value == int(value)):
        return f"{int(value):,}"
    return f"{value:,.6g}"


def round_length(longest: float) -> float:
    """The largest of 1, 2, 5, 10, 20, 50 and so on that is not longer: for a scale bar."""
    power = 10.0 ** math.floor(math.log10(longest))
    return max(step * power for step in (1, 2, 5) if step * power <= longest)


def format_length(micrometers: float) -> str:
    """A length as people say it: ``format_length(0.25)`` is "250 nm"."""
    for factor, unit in ((1e-4, "cm"), (1e-3, "mm"), (1.0, "µm")):
        if micrometers * factor >= 1:
            return f"{micrometers * factor:.3g} {unit}"
    return f"{micrometers * 1e3:.3g} nm"


def one_line(error: BaseException) -> str:
    """What an error says, on one line; libraries also write several."""
    return " ".join(sentence(str(error)).split()) or type(error).__name__


def plain_text(text: object, longest: int = LONGEST_NAME) -> str:
    """What somebody else wrote, as one line that can be drawn and printed.

    Letters of every script stay as they are. What is not seen but acts, such as the escape
    sequences of a terminal or a change of the direction of writing, becomes "\ufffd".
    """
    text = str(text)
    shown = text[:longest]
    if not shown.isprintable():
        shown = "".join(map(_visible, shown))
    return f"{shown}..." if len(text) > longest else shown


def _visible(letter: str) -> str:
    if letter.isprintable() or letter in _JOINERS:
        return letter
    return " " if letter.isspace() else "\ufffd"


def sentence(text: str) -> str:
    """What an error or a warning says: plain text, addresses without login and query."""
    return plain_text(without_secrets(text), LONGEST_SENTENCE)


def without_secrets(text: str) -> str:
    """A text in which no address holds a login, a query, or what looks like a signature."""
    return _SIGNED.sub(r"\1...", _QUERY.sub(r"\1", _LOGIN.sub("", text)))


def in_short(parts: Sequence[str], most: int = 10) -> str:
    """Parts of a sentence, in a row; after the first few only their number."""
    more = f"; and {len(parts) - most:,} more" if len(parts) > most else ""
    return "; ".join(parts[:most]) + more


def as_html(text: str) -> str:
    """Plain text for a page; each "$" stands alone, or notebooks take two of them for a formula."""
    return html.escape(text).replace("$", "<span>$</span>")


def as_written(value: object) -> str:
    """A value of the metadata as it stands there, on one line, and cut short."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    text = " ".join(text.encode("utf-8", "backslashreplace").decode("utf-8").split())
    return plain_text(text) if len(text) <= 80 else f"{plain_text(text[:77])}..."


def synthetic_title(name: str) -> str:
    """Spell the title of a synthetic image in one way: what it shows, then that it is synthetic."""
    for begin in ("synthetic stand-in", "synthetic"):
        what = name.removeprefix(begin).removeprefix(" for").strip()
        if name.startswith(begin + " ") and what:
            return f"{what} ({begin})"
    return name if "synthetic" in name else f"{name} (synthetic stand-in)"
