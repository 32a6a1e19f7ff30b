"""Paint the synthetic stand-in of IDR image 4007801: a light-sheet movie of a mouse embryo.

`embryo_cells` says where the cells are. Here one plane of them becomes two pictures: nuclei
(channel 0) are soft ellipsoids in the middle of the cells, membranes (channel 1) lie where a pixel
is as far from one cell as from the next, and around the outermost cells. The picture is the same
at all levels, only softer where a pixel is bigger.

A plane is cut into tiles of 64 level-0 pixels, and a tile looks only at the cells that can reach
it; that is what makes a plane of 2048 by 2169 pixels quick. Exactly rounded operations only
(``+ - * / sqrt``, comparisons, integers), so every machine paints the same pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from math import sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from data_helpers.offline.embryo_cells import RADIUS, Z_STEP, Cells, cells_at, frame_at
from data_helpers.offline.noise import (
    hash_points,
    mip_pyramid,
    periodic_noise,
    value_noise,
    white_noise,
)

Float = NDArray[np.float32]
Indices = NDArray[np.intp]
Numbers = NDArray[np.float64]
Grid = tuple[int, int, int, int]  # top, bottom, left, right, counted in tiles
Painted = tuple[Indices, Indices, Float]  # row and column of each tile; light as (y, x, tile)

SHAPE = (532, 2, 988, 2048, 2169)
LEVELS: tuple[tuple[int, int], ...] = (
    (2048, 2169),
    (1024, 1084),
    (512, 542),
    (256, 271),
    (128, 135),
)
NUCLEI, MEMBRANES = 0, 1

_TILE = 64  # level-0 pixels
_BATCH = 100_000  # pixels painted at once: they stay in the processor's cache
_GAIN = (1000.0, 600.0)  # brightness of a nucleus, of a membrane
_GLOW = (46.0, 30.0)  # light scattered inside the embryo
_BACKGROUND = (14.0, 10.0)
_NOISE = (1.0, 0.6, 0.4, 0.3, 0.25)  # averaging pixels takes noise away, level by level
_LOST_IN_DEPTH = 0.5  # share of the light lost between the first and the last plane
_BLUR_IN_DEPTH = 11.0  # pixels of blur gained between the first and the last plane
_SHARP = 9.0  # half-width of a membrane, in pixels, at level 0 and depth 0
_SHARE = 1.4  # how far, in cell radii, the brightness of a cell is felt
_FAR = 1e9


class _Tiles(NamedTuple):
    """Tiles that hold something, and which cells each of them must look at."""

    row: Indices  # (n,) place of the tile in the grid of tiles
    column: Indices  # (n,)
    cell: Indices  # (k, n) cells to look at, -1 where a tile has fewer than k


class _Forms(NamedTuple):
    """One quadratic form of y and x for each cell: its (squared) distance within the plane."""

    y: Numbers  # centre
    x: Numbers
    yy: Numbers  # factors of the form, relative to the centre
    xx: Numbers
    yx: Numbers
    y1: Numbers
    x1: Numbers
    one: Numbers
    reach: Numbers  # pixels from the centre within which the cell matters


def paint(
    level: int, t: int, c: int, z: int, y0: int, y1: int, x0: int, x1: int
) -> NDArray[np.uint16]:
    """Paint a region of one plane.

    Parameters
    ----------
    level : int
        Index into `LEVELS`; level 0 is the finest.
    t, c, z : int
        Time point (0 to 531), channel (0 nuclei, 1 membranes) and plane (0 to 987).
    y0, y1, x0, x1 : int
        The region, in pixels of this level, within the plane.

    Returns
    -------
    numpy.ndarray
        uint16, shape ``(y1 - y0, x1 - x0)``.
    """
    if not (0 <= level < len(LEVELS) and 0 <= t < SHAPE[0] and 0 <= z < SHAPE[2]):
        raise IndexError(f"level {level}, t {t}, z {z} is outside the image")
    tile = _TILE >> level
    top, bottom, left, right = y0 // tile, -(-y1 // tile), x0 // tile, -(-x1 // tile)
    light = np.zeros((bottom - top, tile, right - left, tile), np.float32)
    signal = _nuclei if c == NUCLEI else _membranes
    for rows, columns, values in signal(level, t, z, (top, bottom, left, right)):
        light[rows - top, :, columns - left, :] = np.moveaxis(values, 2, 0)
    plane = light.reshape((bottom - top) * tile, (right - left) * tile)
    window = plane[y0 - top * tile : y1 - top * tile, x0 - left * tile : x1 - left * tile]
    return _detect(window, level, t, c, z, y0, x0)


# --- the two signals ---------------------------------------------------------------------------


def _nuclei(level: int, t: int, z: int, grid: Grid) -> Iterator[Painted]:
    """Soft ellipsoids, painted tile by tile."""
    cells = cells_at(t)
    blur = _blur_in_depth(z)
    soft = sqrt(25 + blur * blur + 0.75 * 4**level)  # half the width of a nucleus's edge
    core = cells.core
    stretch = 1 + 0.6 * (cells.stretch - 1)
    forms = _forms(cells, z, core, stretch)
    forms = forms._replace(reach=core * np.maximum(stretch, 1) * np.sqrt(1 + 2 * soft / core))
    # From the squared distance q (1 at the edge) to a ramp, 0.5 at the edge and `soft` wide to
    # either side: 0.5 + (1 - q) * core / (4 * soft).
    steep = core / (4 * soft)
    bright = cells.nucleus.astype(np.float32)
    for tiles in _batches(_tiles(forms, cells, z, grid), level):
        total = np.zeros((_TILE >> level, _TILE >> level, len(tiles.row)), np.float32)
        for cell, square in _squares(forms, tiles, level, -steep, 0.5 + steep, nobody=-_FAR):
            ramp = np.clip(square, np.float32(0), np.float32(1), out=square)
            np.maximum(total, ramp * ramp * (3 - 2 * ramp) * bright[cell], out=total)
        yield tiles.row, tiles.column, total * np.float32(_GAIN[NUCLEI])


def _membranes(level: int, t: int, z: int, grid: Grid) -> Iterator[Painted]:
    """Borders between cells, painted tile by tile."""
    cells = cells_at(t)
    width = sqrt(_SHARP * _SHARP + _blur_in_depth(z) * _blur_in_depth(z) + 0.58 * 4**level)
    forms = _forms(cells, z, cells.size, cells.stretch)
    # A newborn cell is held away from its neighbours, and so takes its room bit by bit.
    forms = forms._replace(one=forms.one + 1.1 * cells.youth)
    reach = max(RADIUS + 2 * width, _SHARE * RADIUS) + 1
    forms = forms._replace(reach=cells.size * np.maximum(cells.stretch, 1) * (reach / RADIUS))
    scale = np.full(len(cells.size), RADIUS * RADIUS)
    felt = np.float32(_SHARE * RADIUS * _SHARE * RADIUS)
    bright = (cells.membrane * _GAIN[MEMBRANES]).astype(np.float32)
    for tiles in _batches(_tiles(forms, cells, z, grid), level):
        shape = (_TILE >> level, _TILE >> level, len(tiles.row))
        first, second = np.full((2, *shape), np.float32(_FAR))  # squared distances
        light, weights = np.zeros((2, *shape), np.float32)
        for cell, square in _squares(forms, tiles, level, scale, 0 * scale, nobody=_FAR):
            np.minimum(second, np.maximum(first, square), out=second)
            np.minimum(first, square, out=first)
            # A membrane between two cells has the mean brightness of both.
            weight = np.maximum(felt - square, 0, out=square)
            weight *= weight
            weights += weight
            light += weight * bright[cell]
        line = _line(np.sqrt(np.maximum(first, 0)), np.sqrt(np.maximum(second, 0)), width)
        yield tiles.row, tiles.column, line * light / (weights + 1)


def _line(first: Float, second: Float, width: float) -> Float:
    """Brightness of a membrane, from the distances to the nearest and the second nearest cell."""
    rim = np.float32(RADIUS) - first  # how far inside the nearest cell, negative outside
    border = (second - first) * np.float32(0.5)  # how far from the border of the two
    away = np.maximum(np.minimum(border, rim), -rim)
    line = np.maximum(1 - (away * away) * np.float32(1 / (width * width)), 0)
    inside = np.clip(rim * np.float32(0.1), 0, 1)  # a little marker is in the cell itself
    return line * line * np.float32(_SHARP / width) + inside * np.float32(0.10)


def _blur_in_depth(z: int) -> float:
    return _BLUR_IN_DEPTH * z / SHAPE[2]


# --- cells, tiles and distances ----------------------------------------------------------------


def _forms(cells: Cells, z: int, size: Numbers, stretch: Numbers) -> _Forms:
    """Squared distance from each cell, 1 at its surface: an ellipsoid cut by the plane."""
    nz, ny, nx = cells.axis[:, 0], cells.axis[:, 1], cells.axis[:, 2]
    dz = z * Z_STEP - cells.place[:, 0]
    long = 1 - 1 / (stretch * stretch)
    k = 1 / (size * size)
    return _Forms(
        y=cells.place[:, 1],
        x=cells.place[:, 2],
        yy=k * (1 - long * ny * ny),
        xx=k * (1 - long * nx * nx),
        yx=-2 * k * long * ny * nx,
        y1=-2 * k * long * nz * ny * dz,
        x1=-2 * k * long * nz * nx * dz,
        one=k * dz * dz * (1 - long * nz * nz),
        reach=size,
    )


def _tiles(forms: _Forms, cells: Cells, z: int, grid: Grid) -> _Tiles:
    """For each tile, list the cells that can reach it. Tiles with most cells come first."""
    top, bottom, left, right = grid
    dz = z * Z_STEP - cells.place[:, 0]
    room = forms.reach * forms.reach - dz * dz
    near = np.nonzero(room > 0)[0]
    y, x, room = forms.y[near], forms.x[near], room[near]
    across = 2 * int(np.max(forms.reach, initial=0)) // _TILE + 2  # tiles a cell can span
    step = np.arange(across)
    half = np.sqrt(room)
    rows = np.floor((y - half) / _TILE).astype(np.intp)[:, None, None] + step[:, None]
    columns = np.floor((x - half) / _TILE).astype(np.intp)[:, None, None] + step
    gap_y = _outside(y[:, None, None], rows)
    gap_x = _outside(x[:, None, None], columns)
    hit = (gap_y * gap_y + gap_x * gap_x < room[:, None, None]) & (
        (rows >= top) & (rows < bottom) & (columns >= left) & (columns < right)
    )
    which, i, j = np.nonzero(hit)
    return _as_table(near[which], rows[which, i, 0], columns[which, 0, j])


def _outside(place: Numbers, tile: Indices) -> Numbers:
    """How far a place is from the span of a tile; 0 inside it."""
    low = tile * float(_TILE)
    return np.maximum(np.maximum(low - 1 - place, place - (low + _TILE)), 0)


def _as_table(cell: Indices, row: Indices, column: Indices) -> _Tiles:
    """From pairs (cell, tile) to one column of cells for each tile."""
    key = row * 1000 + column
    order = np.argsort(key, kind="stable")
    tiles, start, count = np.unique(key[order], return_index=True, return_counts=True)
    rank = np.arange(len(key)) - np.repeat(start, count)
    table = np.full((int(np.max(count, initial=0)), len(tiles)), -1, np.intp)
    table[rank, np.repeat(np.arange(len(tiles)), count)] = cell[order]
    fullest = np.argsort(-count, kind="stable")
    return _Tiles(tiles[fullest] // 1000, tiles[fullest] % 1000, table[:, fullest])


def _batches(tiles: _Tiles, level: int) -> Iterator[_Tiles]:
    """Cut the list of tiles in pieces; each piece looks at as many cells as its fullest tile."""
    side = _TILE >> level
    size = min(_BATCH // (side * side), 200)
    for start in range(0, len(tiles.row), size):
        part = slice(start, start + size)
        deepest = int(np.count_nonzero(tiles.cell[:, start] >= 0))  # its first tile has most cells
        yield _Tiles(tiles.row[part], tiles.column[part], tiles.cell[:deepest, part])


def _squares(
    forms: _Forms,
    tiles: _Tiles,
    level: int,
    factor: Numbers,
    plus: Numbers,
    nobody: float,
) -> Iterator[tuple[Indices, Float]]:
    """Cell by cell: ``factor * squared distance + plus`` at all pixels of the tiles.

    Where a tile has no more cells the value is `nobody`. The form is split into a part for rows,
    one for columns and their product, so that only three operations touch every pixel. Yields
    arrays of shape (y, x, tiles).
    """
    f = np.where(tiles.cell < 0, 0.0, factor[tiles.cell])
    yy, xx, yx = (f * part[tiles.cell] for part in (forms.yy, forms.xx, forms.yx))
    oy = tiles.row * float(_TILE) - forms.y[tiles.cell]
    ox = tiles.column * float(_TILE) - forms.x[tiles.cell]
    y1 = f * forms.y1[tiles.cell] + 2 * yy * oy + yx * ox
    x1 = f * forms.x1[tiles.cell] + 2 * xx * ox + yx * oy
    one = (
        f * (forms.one[tiles.cell] + forms.y1[tiles.cell] * oy + forms.x1[tiles.cell] * ox)
        + (yy * oy + yx * ox) * oy
        + xx * ox * ox
    )
    one = np.where(tiles.cell < 0, nobody, one + plus[tiles.cell])
    v = ((np.arange(_TILE >> level) + 0.5) * 2**level - 0.5)[:, None]
    by_row = ((yy[:, None] * v + y1[:, None]) * v + one[:, None]).astype(np.float32)
    by_column = (xx[:, None] * v + x1[:, None]).astype(np.float32)
    twist = (yx[:, None] * v).astype(np.float32)
    u = v.astype(np.float32)
    for k, cell in enumerate(tiles.cell):
        square = twist[k][:, None] + by_column[k]
        square *= u
        square += by_row[k][:, None]
        yield cell, square


# --- light, noise ------------------------------------------------------------------------------


def _detect(
    light: Float, level: int, t: int, c: int, z: int, y0: int, x0: int
) -> NDArray[np.uint16]:
    """What the camera makes of the signal: glow, stripes, fading with depth, noise."""
    height, width = light.shape
    out = np.empty(light.shape, np.uint16)
    seed = int(hash_points(level, t, c, z))
    strip = max(1, _BATCH // max(width, 1))
    y = (np.arange(y0, y0 + height) + 0.5) * 2**level - 0.5
    x = (np.arange(x0, x0 + width) + 0.5) * 2**level - 0.5
    stripes = _stripes(y, z)
    fade = np.float32(1 - _LOST_IN_DEPTH * z / (SHAPE[2] - 1))
    for start in range(0, height, strip):
        part = slice(start, min(start + strip, height))
        total: NDArray[Any] = light[part]
        if level < 3 and c == NUCLEI:
            total = total * (1 + _chromatin(level, z, y0 + part.start, y0 + part.stop, x0, width))
        total = (total + _glow(t, z, c, y[part], x)) * (stripes[part] * fade)
        total = total + np.float32(_BACKGROUND[c])
        noise = white_noise(y0 + part.start, y0 + part.stop, x0, x0 + width, seed=seed)
        total = total + noise * (np.sqrt(total) * np.float32(3.0 * _NOISE[level]))
        out[part] = np.clip(total + np.float32(0.5), 0, 65535).astype(np.uint16)
    return out


def _glow(t: int, z: int, c: int, y: Numbers, x: Numbers) -> Float:
    """Out-of-focus light, brightest in the middle of the embryo."""
    frame = frame_at(t)
    dz = z * Z_STEP - frame.centre[0]
    dy, dx = (y - frame.centre[1])[:, None], (x - frame.centre[2])[None, :]
    total: Float = np.zeros((len(y), len(x)), np.float32)
    for turn, axis in zip(frame.turn, frame.axes, strict=True):
        far = 1 / (1.35 * axis)
        along = ((turn[1] * dy + turn[0] * dz) * far).astype(np.float32) + (
            turn[2] * dx * far
        ).astype(np.float32)
        total += along * along
    rest = np.maximum(1 - total, np.float32(0))
    return rest * rest * np.float32(_GLOW[c])


def _stripes(y: Numbers, z: int) -> Float:
    """Shadows along the light sheet, which comes from the side."""
    noise = value_noise(np.float64(z / 40 + 0.5), y, 60.0, seed=17)
    return (1 + 0.08 * noise).astype(np.float32).reshape(-1, 1)


def _chromatin(level: int, z: int, y0: int, y1: int, x0: int, width: int) -> Float:
    """Fine structure of the nuclei: a window of the repeating texture, another every 5 planes."""
    texture = _textures()[level]
    size = len(texture)
    shift = int(hash_points(z // 5)) >> 8
    rows = (np.arange(y0, y1) + (shift & 0xFF)) % size
    columns = (np.arange(x0, x0 + width) + (shift >> 8 & 0xFF)) % size
    return texture[rows[:, None], columns]


@lru_cache(maxsize=1)
def _textures() -> list[Float]:
    """The texture, grains of 8 and 16 pixels, for levels 0 to 2: coarser ones cannot show it."""
    fine = periodic_noise(512, 64, seed=11) + periodic_noise(512, 32, seed=12)
    return mip_pyramid(fine * np.float32(0.2), 3)
