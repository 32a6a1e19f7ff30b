"""What the viewer shows of an image: its levels, channels, scale, tiles, and picked labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .._display.pixels import drawable, whole_labels, without_value
from .._display.planes import MOST_BANDS, size_yx, yx
from .._pixel_size import finest_pixel
from ..errors import OmeZarrError
from ..multiscale import Multiscale
from ..stored_array import StoredArray
from .bands import Band, describe
from .levels import label_level, overview_level, view_levels
from .tiles import (
    OUTLINE,
    ChunkCache,
    always,
    color_of,
    encode,
    merge,
    outlines,
    read_plane,
    resample,
)

if TYPE_CHECKING:
    from pandas import DataFrame

TILE = 256
"""Side of a tile, in pixels of its level."""

MEASURE_PIXELS = 2**20
"""Labels are measured on the finest level with at most so many pixels in a plane."""


@dataclass(frozen=True)
class Look:
    """Which plane to show, and how.

    Attributes
    ----------
    t, z : int
        Time and depth.
    channels : tuple
        For each visible channel its number and the values to show as black and as full colour.
    labels : bool
        Whether to outline the labels.
    exact : bool
        Whether a tile keeps every value, because its pixels are shown enlarged.
    gammas : tuple of float
        For each visible channel its gamma; those of the metadata if left out.
    colors : tuple of str
        The same for colours, as "00FF00".
    """

    t: int
    z: int
    channels: tuple[tuple[int, float, float], ...]
    labels: bool = False
    exact: bool = False
    gammas: tuple[float, ...] = ()
    colors: tuple[str, ...] = ()


class Scene:
    """An image, perhaps with labels and a table, made ready to be shown by tiles.

    Parameters
    ----------
    image : Multiscale
        The image.
    labels : Multiscale, optional
        Its label image.
    table : pandas.DataFrame, optional
        Measured values, indexed by label or with a column ``label``.
    cache : ChunkCache
        Where decoded chunks are kept.
    """

    def __init__(
        self,
        image: Multiscale,
        labels: Multiscale | None,
        table: DataFrame | None,
        cache: ChunkCache,
    ) -> None:
        self.image = image
        self.labels = labels
        self.table = table.set_index("label") if table is not None and "label" in table else table
        self.cache = cache
        self.levels = view_levels(image)
        self.sizes = dict(zip(image.roles, image.stored[0].shape, strict=True))
        self.overview = b""
        self.trouble = ""
        self.bands: list[Band] = []
        self._prepare()

    @property
    def start(self) -> Look:
        """What is shown at first."""
        return Look(
            t=self.image.default("t") if "t" in self.sizes else 0,
            z=self.image.default("z") if "z" in self.sizes else 0,
            channels=tuple((n, *band.window) for n, band in enumerate(self.bands) if band.shown),
            labels=self.labels is not None,
        )

    def _prepare(self) -> None:
        """Read the overview; it gives the range of values where the metadata name none."""
        level = overview_level(self.levels)
        planes: dict[int, np.ndarray] = {}
        count = min(self.sizes.get("c", 1), MOST_BANDS)
        bands = [describe(self.image, c, None) for c in range(count)]
        if self.levels[level].step == 1:
            try:
                whole = self.whole(level)
                for c, band in enumerate(bands):
                    if band.shown:
                        planes[c] = self.plane(level, self.start, c, *whole)
            except OmeZarrError as error:
                self.trouble = str(error)
        self.bands = [describe(self.image, c, planes.get(c)) for c in range(len(bands))]
        if planes and not self.trouble:
            look = self.start
            try:
                self.overview = encode(self._paint(level, look, planes, *self.whole(level)))
            except OmeZarrError as error:
                self.trouble = str(error)

    def whole(self, level: int) -> tuple[np.ndarray, np.ndarray]:
        """All rows and columns of a level."""
        return np.arange(self.levels[level].height), np.arange(self.levels[level].width)

    def plane(
        self,
        level: int,
        look: Look,
        c: int,
        rows: np.ndarray,
        columns: np.ndarray,
        wanted: Callable[[], bool] = always,
    ) -> np.ndarray:
        """Read rows and columns of one channel of a level."""
        shown = self.levels[level]
        array = self.image.stored[shown.stored]
        return self._read(
            self.image, array, look, rows * shown.step, columns * shown.step, wanted, c
        )

    def _read(
        self,
        image: Multiscale,
        array: StoredArray,
        look: Look,
        rows: np.ndarray,
        columns: np.ndarray,
        wanted: Callable[[], bool],
        c: int = 0,
    ) -> np.ndarray:
        """Read rows and columns of a level of the image or of its labels.

        Along the other axes the level may be shorter than the image.
        """
        at = {"t": look.t, "c": c, "z": look.z}
        leading = []
        for role, size in zip(image.roles, array.shape, strict=True):
            if role not in ("y", "x"):
                whole, index = self.sizes.get(role, size), at.get(role, 0)
                leading.append(index if size == whole else min(index * size // whole, size - 1))
        return read_plane(array, tuple(leading), rows, columns, self.cache, wanted, yx(image))

    def tile(
        self, level: int, ty: int, tx: int, look: Look, wanted: Callable[[], bool] = always
    ) -> bytes:
        """Paint one tile, as JPEG or PNG.

        Raises
        ------
        OmeZarrError
            A chunk cannot be read.
        NotWantedError
            ``wanted()`` became false meanwhile.
        """
        shown = self.levels[level]
        rows = np.arange(ty * TILE, min((ty + 1) * TILE, shown.height))
        columns = np.arange(tx * TILE, min((tx + 1) * TILE, shown.width))
        planes = {c: self.plane(level, look, c, rows, columns, wanted) for c, _, _ in look.channels}
        return encode(self._paint(level, look, planes, rows, columns, wanted), look.exact)

    def _paint(
        self,
        level: int,
        look: Look,
        planes: dict[int, np.ndarray],
        rows: np.ndarray,
        columns: np.ndarray,
        wanted: Callable[[], bool] = always,
    ) -> np.ndarray:
        if look.channels:
            picture = merge(
                [planes[c] for c, _, _ in look.channels],
                [color_of(color) for color in look.colors]
                or [color_of(self.bands[c].color) for c, _, _ in look.channels],
                [(low, high) for _, low, high in look.channels],
                [self.bands[c].inverted for c, _, _ in look.channels],
                look.gammas or [self.bands[c].gamma for c, _, _ in look.channels],
            )
        else:
            picture = np.zeros((len(rows), len(columns), 3), np.uint8)
        if look.labels and self.labels:
            picture[outlines(self._labels_with_margin(level, look, rows, columns, wanted))] = (
                OUTLINE
            )
        return picture

    def _labels_with_margin(
        self,
        level: int,
        look: Look,
        rows: np.ndarray,
        columns: np.ndarray,
        wanted: Callable[[], bool],
    ) -> np.ndarray:
        """Labels under these pixels and one around; at the border the outermost ones again."""
        assert self.labels is not None
        shown = self.levels[level]
        level_ = label_level(self.labels, shown.height, shown.width)
        height, width = size_yx(self.labels, level_)
        picked = []
        for indices, size, other in ((rows, shown.height, height), (columns, shown.width, width)):
            margin = np.arange(indices[0] - 1, indices[-1] + 2).clip(0, size - 1)
            picked.append(resample(margin, size, other))
        array = self.labels.stored[level_]
        return self._read(self.labels, array, look, picked[0], picked[1], wanted)

    # What lies under the pointer or a click

    def values(
        self, level: int, y: float, x: float, look: Look, wanted: Callable[[], bool] = always
    ) -> str:
        """The values of the visible channels at a place, in words, on one level.

        The place is in pixels of the finest level.
        """
        shown, finest = self.levels[level], self.levels[0]
        row = min(max(int(y * shown.height / finest.height), 0), shown.height - 1)
        column = min(max(int(x * shown.width / finest.width), 0), shown.width - 1)
        at = np.array([row]), np.array([column])
        return ", ".join(
            f"{self.bands[c].label} {_value(self.plane(level, look, c, *at, wanted))}"
            for c, _, _ in look.channels
        )

    def pick(
        self, y: float, x: float, look: Look, wanted: Callable[[], bool] = always
    ) -> tuple[int, str]:
        """The label at a place, in pixels of the finest level, and a sentence about it.

        Returns
        -------
        label : int
            Its id; 0 where there is none.
        sentence : str
            Its row of the table, or what was measured here; without a label, the pixel's values.
        """
        row = np.array([min(max(int(y), 0), self.levels[0].height - 1)])
        column = np.array([min(max(int(x), 0), self.levels[0].width - 1)])
        if self.labels:
            array, (height, width) = self.labels.stored[0], size_yx(self.labels, 0)
            place = (
                resample(row, self.levels[0].height, height),
                resample(column, self.levels[0].width, width),
            )
            found = whole_labels(self._read(self.labels, array, look, *place, wanted))
            label = int(found[0, 0])
            if label:
                return label, self._about(label, place[0][0], place[1][0], look, wanted)
        values = self.values(0, y, x, look, wanted)
        background = "No label here. " if self.labels else ""
        where = f"Pixel y {row[0]}, x {column[0]} of level {self.levels[0].path}"
        return 0, f"{background}{where}: {values or 'no channel is shown'}."

    def _about(
        self, label: int, y: int, x: int, look: Look, wanted: Callable[[], bool] = always
    ) -> str:
        """A sentence about a label: from the table, or measured in this plane."""
        if self.table is not None:
            if label not in self.table.index:
                return f"Label {label}: not in the table."
            row = self.table.loc[[label]].iloc[0]
            values = ", ".join(f"{name} {_short(value)}" for name, value in row.items())
            return f"Label {label}: {values}."
        assert self.labels is not None
        number = measuring_level(self.labels)
        (height, width), finest = size_yx(self.labels, number), size_yx(self.labels, 0)
        rows = _around(int(resample(np.array([y]), finest[0], height)[0]), height)
        columns = _around(int(resample(np.array([x]), finest[1], width)[0]), width)
        array = self.labels.stored[number]
        mask = self._read(self.labels, array, look, rows, columns, wanted) == label
        where = f"in this plane, level {self.labels.paths[number] or '0'} of the labels"
        if len(rows) < height or len(columns) < width:
            where += f", within {len(columns)} × {len(rows)} pixels around the click"
        if not mask.any():
            return f"Label {label}: too small to be measured {where}."
        pixels = int(mask.sum())
        per_pixel = (self.levels[0].height / height) * (self.levels[0].width / width)
        about = "" if per_pixel == 1 else "about "
        area = f"area {about}{pixels * per_pixel:,.0f} pixels"
        size, _ = finest_pixel(self.image)
        if size:
            area += f" ({pixels * per_pixel * size[0] * size[1]:.4g} µm²)"
        level = self._level_like(height, width)
        picked = (
            resample(rows, height, self.levels[level].height),
            resample(columns, width, self.levels[level].width),
        )
        means = ", ".join(
            f"mean {self.bands[c].label} {_mean(self.plane(level, look, c, *picked, wanted)[mask])}"
            for c, _, _ in look.channels
        )
        return f"Label {label}: {area}{', ' if means else ''}{means} ({where})."

    def _level_like(self, height: int, width: int) -> int:
        """The level of the image nearest to so many pixels."""
        return min(
            range(len(self.levels)),
            key=lambda n: abs(self.levels[n].height * self.levels[n].width - height * width),
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


def _short(value: Any) -> str:
    return f"{value:,.6g}" if isinstance(value, float | np.floating) else str(value)
