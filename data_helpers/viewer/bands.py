"""How each channel of an image is shown, and what is to be known of the picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .._display.facts import MISSING
from .._display.pixels import FURTHEST, some_width, usable
from .._display.pixels import value_range as range_of
from .._display.planes import MOST_BANDS, RGB, is_color_picture
from ..multiscale import Multiscale
from .tiles import color_of

_COLORS = ("00FF00", "FF00FF", "00FFFF", "FFFF00", "FF0000", "0000FF")


@dataclass(frozen=True)
class Band:
    """A channel with everything that is needed to show it."""

    label: str
    color: str
    window: tuple[float, float]
    limits: tuple[float, float]
    shown: bool
    inverted: bool
    gamma: float = 1.0


def describe(image: Multiscale, c: int, plane: np.ndarray | None) -> Band:
    """How to show a channel: as the metadata say, else by the values of a coarse plane of it."""
    dtype = image.stored[0].dtype
    if is_color_picture(image):
        named = ("red", "green", "blue", "opacity (not applied)")[c]
        return Band(named, (*RGB, "FFFFFF")[c], (0, 255), (0, 255), c < 3, False)
    described = image.metadata.channels
    known = described[c] if c < len(described) else None
    count = dict(zip(image.roles, image.stored[0].shape, strict=True)).get("c", 1)
    if known:
        label, color = known.label, known.color
    else:
        label = f"channel {c}"
        color = "FFFFFF" if count == 1 else _COLORS[c % len(_COLORS)]
    lowest, highest = value_range(plane, dtype)
    asked = known.window if known else None
    window = asked if usable(asked) else (lowest, highest)
    limits = (min(lowest, window[0]), max(highest, window[1] + 0.5 * (window[1] - window[0])))
    ceiling = float(np.iinfo(dtype).max) if dtype.kind in "iu" else max(FURTHEST, window[1])
    limits = (limits[0], min(limits[1], 1.0 if dtype.kind == "b" else ceiling))
    return Band(
        label,
        "".join(f"{round(255 * part):02X}" for part in color_of(color)),
        window,
        limits,
        shown=known.active if known else c < 4,
        inverted=known is not None and known.inverted,
        gamma=known.gamma if known else 1.0,
    )


def value_range(plane: np.ndarray | None, dtype: np.dtype[Any]) -> tuple[float, float]:
    """Least and greatest value of a plane; of the data type if there is no plane.

    Pixels that are NaN or infinite do not count. The two are finite, and they differ.
    """
    found = range_of(plane) if plane is not None else None
    if dtype.kind in "iu" and (not found or found[0] == found[1]):
        return 0.0, float(np.iinfo(dtype).max)
    if not found or dtype.kind == "b":
        return 0.0, 1.0
    low, high = map(float, found)
    if dtype.kind in "iu" and high - low > high / 1000:  # else all would be nearly white
        low = min(0.0, low)
    if low == high and found[0] < found[1]:  # whole numbers so large that they are one float64
        return low, float(np.nextafter(low, np.inf))
    return some_width(low, high)


def notes_on(image: Multiscale) -> str:
    """What to know of the picture before one believes it, in a few words; mostly nothing."""
    notes = []
    kind = image.stored[0].dtype.kind
    for axis, role, size in zip(image.axes, image.roles, image.stored[0].shape, strict=True):
        if role not in "tczyx" and size > 1:
            notes.append(f"of axis {axis} only the first of {size:,} places is shown")
        if role == "c" and size > MOST_BANDS:
            notes.append(f"of {size:,} channels only the first {MOST_BANDS} are offered")
    if kind == "c":
        notes.append("of complex pixels the magnitude is shown")
    if kind in "fc":
        notes.append(MISSING)
    for channel in image.channels[:MOST_BANDS]:
        if channel.left_out:
            notes.append(f"{channel.left_out} of channel {channel.label} is not followed")
    said = "; ".join(notes)
    return f"{said[0].upper()}{said[1:]}." if said else ""
