"""Paint the wells of the synthetic plate: nuclei, and a marker in the cells that die.

`plate_layout` says what the drug does in a well; here that becomes cells. A field is a grid of
places, each of which holds a cell or not, a little off its centre. Where the drug works, more
places are empty, more cells are stained, and the nuclei of those are small and bright. `cells_in`
is the truth behind each picture.

Exactly rounded operations only (``+ - * / sqrt``, comparisons, integers), so every machine paints
the same pixels.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .noise import hash_points, quick_noise, smoothstep, to_unit
from .plate_layout import LEVELS, effect

Float = NDArray[np.float32]

NUCLEI, MARKER = 0, 1

_SIDE = 12  # places along each side of a field
_STEP = LEVELS[0][0] / _SIDE  # pixels from one place to the next
_OFF_CENTRE = 64.0  # pixels within which a cell lies in its place
_DENSITY, _KILLED = 0.85, 0.75  # share of places taken without drug; share of them lost to it
_STAINED, _MORE_STAINED = 0.05, 0.8  # share of stained cells without drug; what it adds
_BACKGROUND = (110.0, 90.0)
_GLOW = 45.0  # of the marker in a cell that lives
_REACH = (24.0, 34.0)  # pixels from its centre that the light of a cell may reach, per channel


class Cells(NamedTuple):
    """The cells of one field; lengths and places in pixels of level 0."""

    y: Float
    x: Float
    form: Float  # (n, 3): factors of dy², dx² and dy·dx in the squared distance, surface at 1
    radius: Float
    stained: NDArray[np.bool_]
    light: Float  # (n, 2): brightness in each channel


def paint(
    row: int,
    column: int,
    field: int,
    level: int,
    t: int,
    c: int,
    z: int,
    y0: int,
    y1: int,
    x0: int,
    x1: int,
) -> NDArray[np.uint16]:
    """Paint a region of one field.

    Parameters
    ----------
    row, column, field : int
        Which picture, all counted from 0.
    level : int
        Index into `plate_layout.LEVELS`; level 0 is the finest.
    t, c, z : int
        Time point (only 0), channel (0 nuclei, 1 marker) and plane (only 0).
    y0, y1, x0, x1 : int
        The region, in pixels of this level.

    Returns
    -------
    numpy.ndarray
        uint16, shape ``(y1 - y0, x1 - x0)``.
    """
    if not (0 <= level < len(LEVELS) and t == 0 and z == 0 and c in (NUCLEI, MARKER)):
        raise IndexError(f"level {level}, t {t}, c {c}, z {z} is outside the image")
    light = _light(cells_in(row, column, field), c, level, y0, y1, x0, x1)
    light += np.float32(_BACKGROUND[c])
    noise = quick_noise(y0, y1, x0, x1, seed=((row * 12 + column) * 2 + field) * 8 + level * 2 + c)
    noise *= np.sqrt(light)
    noise *= np.float32(3.0 / 2**level)  # averaging pixels takes noise away
    light += noise
    return np.minimum(light, np.float32(4095)).astype(np.uint16)


@lru_cache(maxsize=64)
def cells_in(row: int, column: int, field: int) -> Cells:
    """Return all cells of a field: the truth behind its picture."""
    number = np.arange(_SIDE * _SIDE)
    picture = (row * 100 + column) * 10 + field
    dice = to_unit(hash_points(np.arange(10)[:, None], number[None, :], seed=picture))
    roll = dice.astype(np.float64)
    share = effect(row, column)
    well = 0.94 + 0.12 * float(to_unit(hash_points(np.array(row), np.array(column), seed=96)))
    taken = roll[0] < _DENSITY * well * (1 - _KILLED * share)
    roll, number = roll[:, taken], number[taken]

    stained = roll[1] < _STAINED + _MORE_STAINED * share
    y = (number // _SIDE + 0.5) * _STEP + (roll[2] - 0.5) * _OFF_CENTRE
    x = (number % _SIDE + 0.5) * _STEP + (roll[3] - 0.5) * _OFF_CENTRE
    radius = (16 + 5 * roll[4]) * np.where(stained, 0.8, 1.0)
    across = radius * (0.7 + 0.25 * roll[5])
    p, q = roll[6] - 0.5, roll[7] - 0.5
    length = p * p + q * q + 1e-9
    sine, cosine = 2 * p * q / length, (p * p - q * q) / length
    along, beside = 1 / (radius * radius), 1 / (across * across)
    form = [
        cosine * cosine * along + sine * sine * beside,
        sine * sine * along + cosine * cosine * beside,
        2 * sine * cosine * (along - beside),
    ]
    nuclei = (550 + 350 * roll[8]) * np.where(stained, 1.5, 1.0)
    marker = np.where(stained, 500 + 600 * roll[9], _GLOW)
    return Cells(
        y.astype(np.float32),
        x.astype(np.float32),
        np.stack(form, 1).astype(np.float32),
        across.astype(np.float32),
        stained,
        np.stack([nuclei, marker], 1).astype(np.float32),
    )


def _light(cells: Cells, c: int, level: int, y0: int, y1: int, x0: int, x1: int) -> Float:
    """The light of all cells that reach into a region, without background."""
    step = 2**level
    half = int(_REACH[c] / step) + 2
    near, span = np.arange(-half, half + 1).astype(np.float32), 2 * half + 1
    cy, cx = (((v + np.float32(0.5)) / step - np.float32(0.5)) for v in (cells.y, cells.x))
    top, left = (np.floor(v).astype(np.int64) - half for v in (cy, cx))
    seen = (top < y1) & (top + span > y0) & (left < x1) & (left + span > x0)
    canvas = np.zeros((y1 - y0 + 2 * span, x1 - x0 + 2 * span), np.float32)
    dy = ((np.floor(cy) - cy)[seen, None] + near) * np.float32(step)
    dx = ((np.floor(cx) - cx)[seen, None] + near) * np.float32(step)
    yy, xx, yx = (cells.form[seen, i, None] for i in range(3))
    squared = (yy * dy * dy)[:, :, None] + (xx * dx * dx)[:, None, :]
    squared += (yx * dy)[:, :, None] * dx[:, None, :]
    size = np.float32(1.0 if c == NUCLEI else 1.5)  # the marker fills the cell, not the nucleus
    inside = (size - np.sqrt(squared)) * cells.radius[seen, None, None]
    soft = 1.5 + step / 2  # pixels over which the edge fades
    spots = smoothstep(-soft, soft, inside) * cells.light[seen, c, None, None]
    for spot, row, column in zip(spots, top[seen] - y0, left[seen] - x0, strict=True):
        canvas[row + span : row + 2 * span, column + span : column + 2 * span] += spot
    return canvas[span : span + y1 - y0, span : span + x1 - x0].copy()
