"""How an image is meant to be shown: what its metadata say below ``omero``.

These are hints. None of them can keep an image from being read: what cannot be understood is left
out, and noted for one warning.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .._formatting import as_written, plain_text

WHITE = "FFFFFF"

MOST_CHANNELS = 10_000
MOST_LABEL_COLORS = 100_000


@dataclass(frozen=True)
class Channel:
    """How one channel is meant to be shown.

    Attributes
    ----------
    label : str
        Its name, such as "DAPI".
    color : str
        Six hexadecimal digits, red green blue, such as "00FF00".
    window : tuple of float, or None
        Pixel values to show as black and as full colour.
    active : bool
        Whether to show it at first.
    inverted : bool
        Whether the low values are the bright ones.
    gamma : float
        Power that brightness is raised to (``coefficient`` of the family "polynomial").
    left_out : str
        What the metadata say of its brightness that is not followed; empty if nothing.
    """

    label: str
    color: str = WHITE
    window: tuple[float, float] | None = None
    active: bool = True
    inverted: bool = False
    gamma: float = 1.0
    left_out: str = ""


@dataclass(frozen=True)
class Hints:
    """What the metadata of an image say below ``omero``.

    Attributes
    ----------
    name : str
        Name of the image; empty if they name none.
    channels : list of Channel
        The channels; empty if they describe none.
    first_shown : dict of str to (int or None)
        Index to show first along "t" and "z"; None where they name none.
    """

    name: str = ""
    channels: list[Channel] = field(default_factory=list)
    first_shown: dict[str, int | None] = field(default_factory=dict)


def read_hints(omero: Any, notes: list[str]) -> Hints:
    """Read what stands below ``omero``; null counts as absent.

    Parameters
    ----------
    omero : object
        What stands there, whatever it is.
    notes : list of str
        What cannot be understood is added here.
    """
    said = _Reader(omero, "omero", notes)
    defaults = said.below("rdefs")
    grey = defaults.content.get("model") == "greyscale"
    return Hints(
        name=said.text("name"),
        channels=[_read_channel(one, number, grey) for number, one in said.listed("channels")],
        first_shown={"t": defaults.index("defaultT"), "z": defaults.index("defaultZ")},
    )


def _read_channel(said: _Reader, number: int, grey: bool) -> Channel:
    """One channel; white if the image is to be shown in grey."""
    color = said.color("color")
    gamma, left_out = _read_gamma(said.content)
    return Channel(
        label=said.text("label") or f"channel {number}",
        color=WHITE if grey else color,
        window=_read_window(said.below("window")),
        active=said.flag("active", True),
        inverted=said.flag("inverted", False),
        gamma=gamma,
        left_out=left_out,
    )


def _read_window(said: _Reader) -> tuple[float, float] | None:
    """The values shown as black and as full colour, if both are there."""
    low, high = said.number("start"), said.number("end")
    if low is None or high is None:
        return None
    if low >= high:
        said.leave_out()
        return None
    return low, high


def _read_gamma(channel: dict[str, Any]) -> tuple[float, str]:
    """The gamma of a channel, and what else is said of its brightness but cannot be followed.

    As in OMERO, ``coefficient`` is a gamma in the family "polynomial", and without meaning in
    "linear". The other families of OMERO, "exponential" and "logarithmic", are rare.
    """
    family, coefficient = channel.get("family"), channel.get("coefficient")
    if family not in (None, "", "linear", "polynomial"):
        return 1.0, f"family {_said(family)}"
    if coefficient is None or coefficient == 1:
        return 1.0, ""
    number = isinstance(coefficient, int | float) and not isinstance(coefficient, bool)
    if family == "linear" or not number or not 0.01 <= coefficient <= 100:
        return 1.0, f"coefficient {_said(coefficient)}"
    return float(coefficient), ""


def _said(value: Any) -> str:
    return repr(value) if isinstance(value, str) and len(value) < 40 else as_written(value)


def read_label_colors(image_label: Any, notes: list[str]) -> dict[int, str]:
    """The colour of each label that has one below ``image-label``, as "00FF00".

    Parameters
    ----------
    image_label : object
        What stands there, whatever it is.
    notes : list of str
        What cannot be understood is added here.
    """
    said = _Reader(image_label, "image-label", notes)
    listed = said.content.get("colors")
    if listed is not None and not isinstance(listed, list):
        said.leave_out("colors")
    found, wrong = {}, 0
    for one in listed[:MOST_LABEL_COLORS] if isinstance(listed, list) else []:
        label = one.get("label-value") if isinstance(one, dict) else None
        color = as_color(one.get("rgba")) if isinstance(one, dict) else None
        if isinstance(label, int) and color:
            found[label] = color
        elif not (isinstance(label, int) and one.get("rgba") is None):  # a label without a colour
            wrong += 1
    if wrong:
        notes.append(f"{wrong:,} of image-label.colors")
    return found


class _Reader:
    """Reads one object of the metadata, and notes which of its keys cannot be understood."""

    def __init__(self, content: Any, key: str, notes: list[str]) -> None:
        self.key, self.notes = key, notes
        self.content: dict[str, Any] = content if isinstance(content, dict) else {}
        if content is not None and not isinstance(content, dict):
            self.notes.append(f"{key} {as_written(content)}")

    def leave_out(self, name: str = "") -> None:
        """Note that a key of this object, or the whole object, is left out."""
        key = f"{self.key}.{name}" if name else self.key
        value = self.content[name] if name else self.content
        self.notes.append(f"{key} {as_written(value)}")

    def below(self, name: str) -> _Reader:
        """The object under a key."""
        return _Reader(self.content.get(name), f"{self.key}.{name}", self.notes)

    def listed(self, name: str) -> list[tuple[int, _Reader]]:
        """The objects listed under a key, each with its number."""
        found = self.content.get(name)
        if found is not None and not isinstance(found, list):
            self.leave_out(name)
        key = f"{self.key}.{name}"
        listed = found if isinstance(found, list) else []
        if len(listed) > MOST_CHANNELS:
            self.notes.append(f"{len(listed) - MOST_CHANNELS:,} of {key}, all after the first")
        return [
            (n, _Reader(one, f"{key}[{n}]", self.notes))
            for n, one in enumerate(listed[:MOST_CHANNELS])
        ]

    def text(self, name: str) -> str:
        """A name; empty if there is none."""
        return as_name(self.content, name, self.key, self.notes)

    def number(self, name: str) -> float | None:
        """A finite number, also one that is written as a string."""
        value = as_number(self.content.get(name))
        if value is None and self.content.get(name) is not None:
            self.leave_out(name)
        return value

    def index(self, name: str) -> int | None:
        """A whole number."""
        value = self.number(name)
        if value is not None and not value.is_integer():
            self.leave_out(name)
            return None
        return None if value is None else int(value)

    def flag(self, name: str, default: bool) -> bool:
        """True or false, also as a number or in words."""
        value = self.content.get(name)
        if isinstance(value, int | float):
            return bool(value)
        words = {"true": True, "false": False, "1": True, "0": False}
        word = str(value).strip().lower()
        if value is not None and word not in words:
            self.leave_out(name)
        return words.get(word, default)

    def color(self, name: str) -> str:
        """A colour as six hexadecimal digits; white if there is none."""
        value = self.content.get(name)
        color = WHITE if value is None else as_color(value)
        if color is None:
            self.leave_out(name)
        return color or WHITE


def as_name(holder: dict[str, Any], name: str, key: str, notes: list[str]) -> str:
    """A name under a key, as plain text; empty if there is none. Any other value is noted."""
    value = holder.get(name)
    if value is None or isinstance(value, str | int | float):
        return "" if value is None else plain_text(value)
    notes.append(f"{key}.{name} {as_written(value)}")
    return ""


def as_number(value: Any) -> float | None:
    """A finite number that is written as a number or as a string; None if it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def as_color(value: Any) -> str | None:
    """A colour as six hexadecimal digits, whichever way a program wrote it; None if it is none.

    Parameters
    ----------
    value : object
        "RRGGBB", "RGB", either with alpha at its end and with "#" before it, the name of a colour,
        three or four numbers up to 1 or up to 255, or a whole number. Alpha is left out.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return _color_of_integer(value)
    if isinstance(value, list | tuple):
        return _color_of_numbers([as_number(one) for one in value])
    return _color_of_text(value.strip()) if isinstance(value, str) else None


def _color_of_integer(value: int) -> str | None:
    """A colour written as a whole number.

    OMERO writes red, green, blue and alpha as the bytes of a signed integer, others red, green and
    blue. An integer that may be either is OMERO's if alpha, its last byte, says "opaque".
    """
    if not -(2**31) <= value < 2**32:
        return None
    opaque = value % 256 == 255 and value != 255  # 255 is black to OMERO, which no channel is
    if 0 <= value < 2**24 and not opaque:
        return f"{value:06X}"
    return f"{value % 2**32 >> 8:06X}"


def _color_of_numbers(values: Sequence[float | None]) -> str | None:
    """A colour written as three or four numbers, the largest of which tells what full is."""
    numbers = [value for value in values if value is not None and 0 <= value <= 255]
    if len(numbers) != len(values) or len(values) not in (3, 4):
        return None
    full = 1 if max(numbers) <= 1 else 255
    return "".join(f"{round(value / full * 255):02X}" for value in numbers[:3])


def _color_of_text(text: str) -> str | None:
    """A colour written as hexadecimal digits, as a signed integer, as rgb(...), or by its name."""
    digits = re.sub(r"^(#|0[xX])", "", text)
    if re.fullmatch(r"[0-9a-fA-F]{3,4}|[0-9a-fA-F]{6}|[0-9a-fA-F]{8}", digits):
        each = 1 if len(digits) <= 4 else 2
        return "".join(digits[n * each : (n + 1) * each] * (3 - each) for n in range(3)).upper()
    if re.fullmatch(r"-?\d{1,20}", text):
        return _color_of_integer(int(text))
    if match := re.fullmatch(r"rgba?\(([^()]*)\)", text.lower()):
        return _color_of_numbers([as_number(part) for part in match[1].split(",")])
    if not re.fullmatch(r"[A-Za-z: ]+", text) or text.lower() == "none":
        return None
    from matplotlib.colors import to_hex  # knows the names, but takes long to import

    try:
        return to_hex(text.lower())[1:].upper()
    except ValueError:
        return None
