"""What lies under the pointer or a click: values of a pixel, and what is known of a label."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from .._display.pixels import drawable, whole_labels, without_value
from .._display.planes import size_yx
from .._pixel_size import finest_pixel
from ..multiscale import Multiscale
from ..stored_array import StoredArray
from .bands import Band
from .levels import Level
from .look import Look
from .tiles import always, resample

if TYPE_CHECKING:
    from pandas import DataFrame

MEASURE_PIXELS = 2**20
"""Labels are measured on the finest level with at most so many pixels in a plane."""

Wanted = Callable[[], bool]


class Shown(Protocol):
    """What has to be known of a scene here."""

    image: Multiscale
    labels: Multiscale | None
    table: DataFrame | None
    levels: list[Level]
    bands: list[Band]
    sizes: dict[str, int]

    def plane(
        self,
        level: int,
        look: Look,
        c: int,
        rows: np.ndarray,
        columns: np.ndarray,
        wanted: Wanted = always,
    ) -> np.ndarray:
        """Read rows and columns of one channel of a level."""
        ...

    def read(
        self,
        image: Multiscale,
        array: StoredArray,
        look: Look,
        rows: np.ndarray,
        columns: np.ndarray,
        wanted: Wanted,
        c: int = 0,
    ) -> np.ndarray:
        """Read rows and columns of a level of the image or of its labels."""
        ...


def values(
    scene: Shown, level: int, y: float, x: float, look: Look, wanted: Wanted = always
) -> str:
    """The values of the visible channels at a place, in words, on one level.

    The place is in pixels of the finest level.
    """
    shown, finest = scene.levels[level], scene.levels[0]
    row = min(max(int(y * shown.height / finest.height), 0), shown.height - 1)
    column = min(max(int(x * shown.width / finest.width), 0), shown.width - 1)
    at = np.array([row]), np.array([column])
    told = ", ".join(
        f"{scene.bands[c].label} {_value(scene.plane(level, look, c, *at, wanted))}"
        for c, _, _ in look.channels
    )
    return f"maximum over z: {told}" if told and look.project else told


def pick(
    scene: Shown, y: float, x: float, look: Look, wanted: Wanted = always, level: int = 0
) -> tuple[int, str]:
    """The label at a place, in pixels of the finest level, and a sentence about it.

    In a projection it is the values of the pixel at a level, since labels are hidden.

    Returns
    -------
    label : int
        Its id; 0 where there is none.
    sentence : str
        Its row of the table, or what was measured here; without a label, the pixel's values.
    """
    row = min(max(int(y), 0), scene.levels[0].height - 1)
    column = min(max(int(x), 0), scene.levels[0].width - 1)
    if scene.labels and not look.project:
        place = _place_in_labels(scene, scene.labels, 0, row, column)
        found = whole_labels(scene.read(scene.labels, scene.labels.stored[0], look, *place, wanted))
        label = int(found[0, 0])
        if label:
            return label, about(scene, label, row, column, look, wanted)
    level = level if look.project else 0
    said = values(scene, level, row, column, look, wanted)
    background = "No label here. " if scene.labels and not look.project else ""
    at = "at" if level else "of"
    where = f"Pixel y {row}, x {column} {at} level {scene.levels[level].path}"
    return 0, f"{background}{where}: {said or 'no channel is shown'}."


def about(scene: Shown, label: int, y: float, x: float, look: Look, wanted: Wanted = always) -> str:
    """A sentence about a label: from the table, or measured in this plane, near a place.

    The place is in pixels of the finest level.
    """
    plane = _plane_in_words(scene, look)
    if scene.table is not None:
        named = f"Label {label} in {plane}" if plane else f"Label {label}"
        if label not in scene.table.index:
            return f"{named}: not in the table."
        row, units = scene.table.loc[[label]].iloc[0], scene.table.attrs.get("units", {})
        told = (_cell(str(name), value, units.get(name, "")) for name, value in row.items())
        return f"{named}: {', '.join(told)}."
    assert scene.labels is not None
    labels, number = scene.labels, measuring_level(scene.labels)
    height, width = size_yx(labels, number)
    row_, column = _place_in_labels(scene, labels, number, int(y), int(x))
    rows, columns = _around(int(row_[0]), height), _around(int(column[0]), width)
    mask = scene.read(labels, labels.stored[number], look, rows, columns, wanted) == label
    where = f"in {plane or 'this plane'}, level {labels.paths[number] or '0'} of the labels"
    if len(rows) < height or len(columns) < width:
        where += f", within {len(columns)} × {len(rows)} pixels around the click"
    if not mask.any():
        return f"Label {label}: nothing of it to measure {where}."
    pixels = int(mask.sum())
    per_pixel = (scene.levels[0].height / height) * (scene.levels[0].width / width)
    about_ = "" if per_pixel == 1 else "about "
    area = f"area {about_}{pixels * per_pixel:,.0f} pixels"
    size, _ = finest_pixel(scene.image)
    if size:
        area += f" ({sensible(pixels * per_pixel * size[0] * size[1])} µm²)"
    level = _level_like(scene, height, width)
    at = (
        resample(rows, height, scene.levels[level].height),
        resample(columns, width, scene.levels[level].width),
    )
    means = ", ".join(
        f"mean {scene.bands[c].label} {_mean(scene.plane(level, look, c, *at, wanted)[mask])}"
        for c, _, _ in look.channels
    )
    return f"Label {label}: {area}{', ' if means else ''}{means} ({where})."


def sensible(value: Any) -> str:
    """A number with as many digits as a person reads: four, but never less than whole ones."""
    if not isinstance(value, float | np.floating) or not np.isfinite(value):
        return str(value)
    number = float(value)
    return f"{number:,.0f}" if 1000 <= abs(number) < 1e15 else f"{number:.4g}"


def _cell(name: str, value: Any, unit: str) -> str:
    """One value of a table, with the unit that the table or the name of its column gives."""
    found = re.fullmatch(r"(.+?)[_ ]*(?:[\[(]([^\])]+)[\])]|_([uµμ]m\^?[23]?|nm|px))", name)
    if found:
        name, unit = found[1], unit or found[2] or found[3]
    unit = re.sub("^[uμ]m", "µm", unit).replace("^", "")
    unit = re.sub(r"(?<=m)[23]$", lambda power: "²³"[int(power[0]) - 2], unit)
    return f"{name} {sensible(value)}{' ' if unit else ''}{unit}"


def _plane_in_words(scene: Shown, look: Look) -> str:
    """Such as "plane t 1, z 128"; nothing of an image that has one plane only."""
    places = [
        f"{axis} {at}"
        for axis, at in (("t", look.t), ("z", look.z))
        if scene.sizes.get(axis, 1) > 1
    ]
    return f"plane {', '.join(places)}" if places else ""


def _place_in_labels(
    scene: Shown, labels: Multiscale, number: int, row: int, column: int
) -> tuple[np.ndarray, np.ndarray]:
    """A pixel of the finest level of the image, as one of a level of its labels."""
    height, width = size_yx(labels, number)
    finest = scene.levels[0]
    return (
        resample(np.array([row]), finest.height, height),
        resample(np.array([column]), finest.width, width),
    )


def _level_like(scene: Shown, height: int, width: int) -> int:
    """The level of the image nearest to so many pixels."""
    return min(
        range(len(scene.levels)),
        key=lambda n: abs(scene.levels[n].height * scene.levels[n].width - height * width),
    )


def measuring_level(labels: Multiscale) -> int:
    """The finest level of the labels of bounded size; else the coarsest."""
    for number in range(len(labels.paths)):
        height, width = size_yx(labels, number)
        if height * width <= MEASURE_PIXELS:
            return number
    return len(labels.paths) - 1


def _value(pixel: np.ndarray) -> str:
    """The value of one pixel, shape (1, 1), in words."""
    value = drawable(pixel)[0, 0].item()
    if not np.isfinite(float(value)):
        return "no value"
    magnitude = "magnitude " if pixel.dtype.kind == "c" else ""
    return f"{magnitude}{value:.6g}" if isinstance(value, float) else str(value)


def _mean(pixels: np.ndarray) -> str:
    """The mean of those pixels that have a value, in words."""
    values = drawable(pixels).astype(float)
    values = values[~without_value(values)]
    return f"{values.mean():.4g}" if values.size else "unknown (no value)"


def _around(centre: int, size: int) -> np.ndarray:
    """Indices around a centre, at most 1024 of them."""
    first = min(max(centre - 512, 0), max(size - 1024, 0))
    return np.arange(first, min(first + 1024, size))
