"""What the viewer shows of an image: its levels, channels, scale, tiles, and picked labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from .._display.planes import MOST_BANDS, size_yx, yx
from ..errors import OmeZarrError
from ..multiscale import Multiscale
from ..stored_array import StoredArray
from . import measure
from .bands import Band, describe
from .label_paint import Drawn, paint_labels, telling
from .levels import label_level, overview_level, view_levels
from .look import Look as Look
from .projection import project
from .tiles import (
    ChunkCache,
    always,
    color_of,
    encode,
    merge,
    read_plane,
    resample,
)

if TYPE_CHECKING:
    from pandas import DataFrame

TILE = 256
"""Side of a tile, in pixels of its level."""


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
        self.label_colors = labels.metadata.label_colors if labels else {}
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
            drawn=Drawn(each=bool(self.label_colors)),
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
        return self.read(
            self.image, array, look, rows * shown.step, columns * shown.step, wanted, c
        )

    def read(
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
        at = self.leading(image, array, look, c)
        if look.project and image is self.image and "z" in image.roles:
            along = image.roles.index("z"), look.project
            return project(array, at, *along, rows, columns, self.cache, wanted, yx(image))
        leading = tuple(n for n, role in zip(at, image.roles, strict=True) if role not in "yx")
        return read_plane(array, leading, rows, columns, self.cache, wanted, yx(image))

    def leading(
        self, image: Multiscale, array: StoredArray, look: Look, c: int = 0
    ) -> tuple[int, ...]:
        """Index along each axis of a level of the image or of its labels; 0 along Y and X."""
        at = {"t": look.t, "c": c, "z": look.z}
        indices = []
        for role, size in zip(image.roles, array.shape, strict=True):
            whole, index = self.sizes.get(role, size), at.get(role, 0)
            indices.append(index if size == whole else min(index * size // whole, size - 1))
        return tuple(indices)

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
            picture = self.mix(look, planes)
        else:
            picture = np.zeros((len(rows), len(columns), 3), np.uint8)
        if look.labels and self.labels and not look.project:
            found = self._labels_with_margin(level, look, rows, columns, wanted)
            paint_labels(picture, found, look.drawn, look.chosen, telling(self.label_colors))
        return picture

    def mix(self, look: Look, planes: dict[int, np.ndarray]) -> np.ndarray:
        """The visible channels in their colours; planes by channel, of any two axes."""
        return merge(
            [planes[c] for c, _, _ in look.channels],
            [color_of(color) for color in look.colors]
            or [color_of(self.bands[c].color) for c, _, _ in look.channels],
            [(low, high) for _, low, high in look.channels],
            [self.bands[c].inverted for c, _, _ in look.channels],
            look.gammas or [self.bands[c].gamma for c, _, _ in look.channels],
        )

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
        return self.read(self.labels, array, look, picked[0], picked[1], wanted)

    # What lies under the pointer or a click: see `measure`

    def values(
        self, level: int, y: float, x: float, look: Look, wanted: Callable[[], bool] = always
    ) -> str:
        """The values of the visible channels at a place, in words, on one level."""
        return measure.values(self, level, y, x, look, wanted)

    def pick(
        self, y: float, x: float, look: Look, wanted: Callable[[], bool] = always, level: int = 0
    ) -> tuple[int, str]:
        """The label at a place, in pixels of the finest level, and a sentence about it."""
        return measure.pick(self, y, x, look, wanted, level)

    def about(
        self, label: int, y: float, x: float, look: Look, wanted: Callable[[], bool] = always
    ) -> str:
        """A sentence about a label, measured near a place in pixels of the finest level."""
        return measure.about(self, label, y, x, look, wanted)
