"""Which pixels of a level make a picture: y down, x across, at one place along each other axis.

Axes are stored in any order and have any name. `Multiscale.roles` says what each of them is for.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import NotDrawableError, OutsideImageError
from ..multiscale import Multiscale

RGB = ("FF0000", "00FF00", "0000FF")
"""Colours of the first three channels of a colour picture."""

MOST_BANDS = 100
"""Channels that a viewer offers at most; it has a row, or a layer, for each."""


def yx(image: Multiscale) -> tuple[int, int]:
    """Where y and x stand among the axes of an image."""
    return image.roles.index("y"), image.roles.index("x")


def size_yx(image: Multiscale, level: int) -> tuple[int, int]:
    """Height and width of a level, in pixels."""
    y, x = yx(image)
    shape = image.stored[level].shape
    return shape[y], shape[x]


def scale_yx(image: Multiscale, level: int) -> tuple[float, float]:
    """Height and width of a pixel of a level, in units of the image."""
    y, x = yx(image)
    scale = image.scales[level]
    return abs(scale[y]), abs(scale[x])


def is_color_picture(image: Multiscale) -> bool:
    """Whether the first three channels are red, green and blue, as in a photograph.

    So are three or four channels of uint8 behind y and x, unless the metadata give them other
    colours; and three channels of uint8 elsewhere of which the metadata say nothing.
    """
    array, roles = image.stored[0], image.roles
    if image.parent or "c" not in roles or array.dtype != np.uint8:
        return False
    count, behind = array.shape[roles.index("c")], roles[-1] == "c"
    if count != 3 and not (count == 4 and behind):
        return False
    if not image.metadata.channels:
        return True
    colors = tuple(channel.color.upper().lstrip("#") for channel in image.metadata.channels)[:3]
    plain = all(c.gamma == 1 and not c.inverted for c in image.metadata.channels)
    return behind and plain and (colors == RGB or set(colors) == {"FFFFFF"})


def place(image: Multiscale, level: int, asked: Mapping[str, Any]) -> dict[str, int]:
    """Index along each axis but y and x, by the name of the axis.

    Parameters
    ----------
    image : Multiscale
        The image.
    level : int
        Index of the level that the position is counted in.
    asked : mapping
        Index by role ("t", "c", "z") or by name of an axis; negative ones count from the end. Where
        it is None or left out, t and z are the image's default, and every other axis is at 0.

    Raises
    ------
    OutsideImageError
        It is outside the image; the message names the axis and its size.
    """
    shape, whole = image.stored[level].shape, image.stored[0].shape
    found: dict[str, int] = {}
    for name, role, size, finest in zip(image.axes, image.roles, shape, whole, strict=True):
        if role in ("t", "z"):
            found[name] = min(image.default(role) * size // finest, size - 1)
        elif role not in ("y", "x"):
            found[name] = 0
    sizes = dict(zip(image.axes, shape, strict=True))
    names = dict(zip(image.roles, image.axes, strict=True))
    for given, at in asked.items():
        if at is None:
            continue
        name = names.get(given, given)
        if name in found:
            found[name] = _index(image, level, name, sizes[name], at)
        elif name in sizes:
            raise NotDrawableError(
                f"Axis {name} of {image.title} is drawn; for a part of it give a slice as y= or x=."
            )
        elif given not in ("t", "c", "z") or at != 0:
            raise OutsideImageError(
                f"{image.title} has no axis {given!r}, so there is no {given}={at!r}; its axes are "
                f"{_sizes(image, level)}."
            )
    return found


def _index(image: Multiscale, level: int, name: str, size: int, at: Any) -> int:
    try:
        index = operator.index(at)
    except TypeError:
        index = size
    if not -size <= index < size:
        raise OutsideImageError(
            f"Axis {name} of {image.title} has size {size:,} at level {image.paths[level] or '0'}, "
            f"so {name} is a whole number from 0 to {size - 1}, not {at!r}."
        )
    return index % size


def part(image: Multiscale, level: int, role: str, asked: Any) -> slice:
    """The pixels meant by a slice along y or x: never none, and never backwards."""
    size = image.stored[level].shape[image.roles.index(role)]
    try:
        if not isinstance(asked, slice):
            raise TypeError
        start, stop, step = asked.indices(size)
    except (TypeError, ValueError):
        step = 0
    if step < 1:
        raise NotDrawableError(
            f"{role} is a part of the picture, a slice that goes forward such as {role}=slice(0, "
            f"{min(size, 200)}), not {asked!r}."
        )
    if start >= stop:
        raise OutsideImageError(
            f"{role}={asked!r} holds no pixel: {image.title} has {size:,} pixels along {role} at "
            f"level {image.paths[level] or '0'}."
        )
    return slice(start, stop, step)


def read_picture(
    image: Multiscale,
    level: int,
    position: Mapping[str, int],
    y: slice,
    x: slice,
    color: bool = False,
) -> np.ndarray:
    """Read a picture: shape (y, x), or (y, x, 3) of a colour picture; dtype as stored."""
    selection: list[int | slice] = []
    kept = []
    for name, role in zip(image.axes, image.roles, strict=True):
        if role in ("y", "x") or (role == "c" and color):
            kept.append(role)
            selection.append({"y": y, "x": x}.get(role, slice(0, 3)))
        else:
            selection.append(position[name])
    pixels = image.stored_level(level)[tuple(selection)]
    return pixels.transpose([kept.index(role) for role in ("y", "x", "c")[: len(kept)]])


def _sizes(image: Multiscale, level: int) -> str:
    shape = image.stored[level].shape
    said = [f"{name} ({size:,})" for name, size in zip(image.axes, shape, strict=True)]
    return f"{', '.join(said[:-1])} and {said[-1]}"
