"""The large shapes of the synthetic organoid: rings of epithelium, their cells and nuclei.

Everything is measured in pixels of level 0, which are about a nanometre. An epithelium is described
in polar coordinates around its lumen: an inner (apical) and an outer (basal) outline, and a cell
coordinate ``s`` that grows by one from each cell to the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .noise import random_unit

Field = NDArray[np.float64]

_STEPS = 4096  # entries of the outline tables, one turn
_TURN = 6.283185307179586


@dataclass(frozen=True)
class Ring:
    """One ring of epithelium, designed by hand: radii at evenly spaced angles, clockwise from +x.

    ``start`` is the cell coordinate of the first cell; the gap between two rings leaves room for
    unrolling a ring across its seam.
    """

    centre: tuple[float, float]
    apical: tuple[float, ...]
    basal: tuple[float, ...]
    cells: int
    start: int


RINGS = (
    Ring(
        centre=(46200.0, 53350.0),
        apical=(18900, 17800, 21500, 24500, 20000, 18500, 24000, 29500, 27500, 21000, 19000, 21500),
        basal=(37500, 35500, 38500, 41500, 37500, 36500, 43000, 47500, 44500, 38500, 37000, 40000),
        cells=44,
        start=64,
    ),
    Ring(
        centre=(59500.0, 117800.0),
        apical=(5200, 7600, 9000, 6500, 5200, 7500, 8200, 6000),
        basal=(18500, 20500, 22500, 19500, 18000, 20000, 21500, 18500),
        cells=19,
        start=160,
    ),
)


class Tissue(NamedTuple):
    """Where points lie in the tissue; every field float64 of the points' shape, in pixels.

    ``apical`` and ``basal`` are the distances from the lumen's and the outer surface, positive in
    the epithelium; ``s`` is the cell coordinate (a cell's middle at .5); ``width`` the width of a
    cell there; ``nucleus`` the distance from the nearest nuclear envelope, negative inside, and
    ``nucleolus`` that from the dense body in it.
    """

    apical: Field
    basal: Field
    s: Field
    width: Field
    nucleus: Field
    nucleolus: Field


class Outline(NamedTuple):
    """Tables over one turn (one entry repeated at the end) for one ring."""

    apical: Field
    basal: Field
    apical_tilt: Field  # radial distance times this is distance from the surface
    basal_tilt: Field
    s: Field
    turns_per_cell: Field


class Nuclei(NamedTuple):
    """One nucleus for each cell number: an ellipse."""

    y: Field
    x: Field
    along_y: Field  # unit vector of the long axis
    along_x: Field
    length: Field  # half axes
    width: Field


def turns(y: Field, x: Field) -> Field:
    """Angle of a vector in turns, from 0 to 1; a polynomial, as arctan2 is not exact everywhere."""
    ay, ax = np.abs(y), np.abs(x)
    z = np.minimum(ay, ax) / np.maximum(np.maximum(ay, ax), 1e-9)
    z = z / (1.0 + np.sqrt(1.0 + z * z))  # half the angle: the series converges fast
    q = z * z
    series = np.zeros_like(z)
    for n in (17, 15, 13, 11, 9, 7, 5, 3, 1):
        series = 1.0 / n - q * series
    a = z * series * (2.0 / _TURN)
    a = np.where(ay > ax, 0.25 - a, a)
    a = np.where(x < 0, 0.5 - a, a)
    return np.asarray(np.where(y < 0, 1.0 - a, a))


def direction(turn: Field) -> tuple[Field, Field]:
    """Sine and cosine of an angle in turns: Taylor series within an eighth of a turn."""
    quarter = np.floor(turn * 4.0 + 0.5)
    a = (turn - quarter * 0.25) * _TURN
    q = a * a
    sine = a * (1.0 - q / 6.0 * (1.0 - q / 20.0 * (1.0 - q / 42.0 * (1.0 - q / 72.0))))
    cosine = 1.0 - q / 2.0 * (1.0 - q / 12.0 * (1.0 - q / 30.0 * (1.0 - q / 56.0)))
    k = quarter.astype(np.int64) % 4
    swap = k % 2 == 1
    s, c = np.where(swap, cosine, sine), np.where(swap, sine, cosine)
    return np.where(k >= 2, -s, s), np.where((k == 1) | (k == 2), -c, c)


def _spline(points: tuple[float, ...]) -> tuple[Field, Field]:
    """Smooth closed curve (cubic B-spline) near the points, and its slope per radian."""
    p = np.array(points, dtype=np.float64)
    u = np.arange(_STEPS, dtype=np.float64) * (len(p) / _STEPS)
    k = np.floor(u).astype(np.int64)
    f = u - k
    a, b, c, d = (p[(k + j) % len(p)] for j in (-1, 0, 1, 2))
    g = 1.0 - f
    value = (
        a * (g * g * g)
        + b * (4.0 - 6.0 * f * f + 3.0 * f * f * f)
        + c * (4.0 - 6.0 * g * g + 3.0 * g * g * g)
        + d * (f * f * f)
    ) / 6.0
    slope = (d * (f * f) - a * (g * g) + b * f * (3.0 * f - 4.0) + c * g * (4.0 - 3.0 * g)) / 2.0
    return value, slope * (len(p) / _TURN)


@cache
def outline(ring: Ring) -> Outline:
    """Tabulate one ring."""
    apical, apical_slope = _spline(ring.apical)
    basal, basal_slope = _spline(ring.basal)
    # Cells are evenly spaced along the apical outline, give or take a fifth.
    arc = np.sqrt(apical * apical + apical_slope * apical_slope)
    share = np.cumsum((arc * 1024.0).astype(np.int64))  # whole numbers: the order cannot matter
    widths = random_unit(np.arange(ring.cells), seed=ring.start).astype(np.float64)
    s = (share - share[0]) / float(share[-1] - share[0] + int(arc[0] * 1024.0)) * ring.cells
    k = np.floor(s).astype(np.int64)
    f = s - k
    jitter = widths[k % ring.cells] * (1 - f) + widths[(k + 1) % ring.cells] * f
    s = s + (jitter - jitter[0]) * 0.4
    s = np.append(s, s[0] + ring.cells)
    per_step = s[1:] - s[:-1]
    for _ in range(6):
        per_step = (np.roll(per_step, 16) + per_step + np.roll(per_step, -16)) / 3.0

    def close(table: Field) -> Field:
        return np.append(table, table[0])

    return Outline(
        apical=close(apical),
        basal=close(basal),
        apical_tilt=close(apical / arc),
        basal_tilt=close(basal / np.sqrt(basal * basal + basal_slope * basal_slope)),
        s=s + ring.start,
        turns_per_cell=close(1.0 / (per_step * _STEPS)),
    )


def _look_up(table: Outline, turn: Field) -> Outline:
    """Interpolate all tables of an outline at some angles."""
    u = turn * _STEPS
    k = np.minimum(np.floor(u).astype(np.int64), _STEPS - 1)
    part = u - k
    return Outline(*(column[k] + (column[k + 1] - column[k]) * part for column in table))


@cache
def _bumps(seed: int) -> Field:
    """Random numbers from -1 to 1 on a grid, for `_unevenness`."""
    grid = np.arange(64)
    return 2.0 * random_unit(grid[:, None], grid[None, :], seed=seed).astype(np.float64) - 1.0


def _unevenness(y: Field, x: Field, size: float, seed: int) -> Field:
    """Smooth noise with bumps of some size, as `noise.value_noise`; it repeats, but is quick."""
    bumps = _bumps(seed)
    v, u = y * (1.0 / size), x * (1.0 / size)
    iy, ix = np.floor(v), np.floor(u)
    fy, fx = v - iy, u - ix
    fy, fx = fy * fy * (3.0 - 2.0 * fy), fx * fx * (3.0 - 2.0 * fx)
    y0, x0 = iy.astype(np.int64) & 63, ix.astype(np.int64) & 63
    y1, x1 = (y0 + 1) & 63, (x0 + 1) & 63
    a, b = bumps[y0, x0], bumps[y1, x0]
    a = a + (bumps[y0, x1] - a) * fx
    b = b + (bumps[y1, x1] - b) * fx
    return np.asarray(a + (b - a) * fy)


@cache
def nuclei() -> Nuclei:
    """Place one nucleus in each cell; entries between the rings repeat a ring's own cells."""
    rows = []
    for number in range(256):
        ring = RINGS[number >= 128]
        cell = (number - ring.start) % ring.cells
        table = outline(ring)
        dice = random_unit(np.arange(8), seed=9000 + ring.start + cell).astype(np.float64)
        s = ring.start + cell + 0.5
        turn = np.array([np.searchsorted(table.s, s) / _STEPS])
        here = _look_up(table, turn)
        inner, outer = here.apical[0], here.basal[0]
        depth = 0.6 + 0.14 * dice[0]
        r = inner + (outer - inner) * depth
        sine, cosine = direction(turn)
        span = here.turns_per_cell[0] * _TURN * r
        width = min(max(span * (0.36 + 0.05 * dice[1]), 1100.0), 2600.0)
        length = width * (1.25 + 0.55 * dice[2])
        tilt = 0.3 * (dice[3] - 0.5)
        along_y, along_x = sine[0] + tilt * cosine[0], cosine[0] - tilt * sine[0]
        norm = np.sqrt(along_y * along_y + along_x * along_x)
        y, x = ring.centre[0] + r * sine[0], ring.centre[1] + r * cosine[0]
        rows.append((y, x, along_y / norm, along_x / norm, length, width))
    return Nuclei(*(np.array(column, dtype=np.float64) for column in zip(*rows, strict=True)))


def _nucleus_distance(y: Field, x: Field, number: NDArray[np.int64]) -> Field:
    """Distance from the outline of numbered nuclei; good near the outline, rough far away."""
    n = nuclei()
    dy, dx = y - n.y[number], x - n.x[number]
    a = dy * n.along_y[number] + dx * n.along_x[number]
    b = dx * n.along_y[number] - dy * n.along_x[number]
    a, b = a / n.length[number], b / n.width[number]
    k0 = a * a + b * b
    a, b = a / n.length[number], b / n.width[number]
    k1 = a * a + b * b
    k0 = np.sqrt(k0)
    return k0 * (k0 - 1.0) / np.sqrt(np.maximum(k1, 1e-12))


def tissue(y: Field, x: Field) -> Tissue:
    """Locate points in the tissue.

    Parameters
    ----------
    y, x
        Positions in pixels of level 0, float64, of one shape.

    Returns
    -------
    Tissue
    """
    y, x = np.broadcast_arrays(y, x)
    second = x > 92500.0  # the rings lie on either side of this line
    fields = [np.zeros(y.shape) for _ in Tissue._fields]
    for ring, here in zip(RINGS, (~second, second), strict=True):
        if here.any():
            for field, values in zip(fields, _one_ring(y[here], x[here], ring), strict=True):
                field[here] = values
    return Tissue(*fields)


def _one_ring(y: Field, x: Field, ring: Ring) -> Tissue:
    dy, dx = y - ring.centre[0], x - ring.centre[1]
    r = np.sqrt(dy * dy + dx * dx)
    turn = turns(dy, dx)
    here = _look_up(outline(ring), turn)
    apical = (r - here.apical) * here.apical_tilt
    basal = (here.basal - r) * here.basal_tilt
    width = here.turns_per_cell * _TURN * np.maximum(r, 2000.0)
    s = here.s
    nucleus, nucleolus = np.full(r.shape, 1e5), np.full(r.shape, 1e5)
    near = (apical > -5000.0) & (basal > -3000.0)  # elsewhere there is no detail to work out
    detail = _detail(y[near], x[near], apical[near], basal[near], s[near])
    for field, values in zip((apical, basal, s, nucleus, nucleolus), detail, strict=True):
        field[near] = values
    return Tissue(apical, basal, s, width, nucleus, nucleolus)


def _detail(
    y: Field, x: Field, apical: Field, basal: Field, s: Field
) -> tuple[Field, Field, Field, Field, Field]:
    """Make the outlines uneven, and find the nuclei."""
    waves = _unevenness(y, x, 4300.0, seed=12)
    s = s + 0.13 * _unevenness(y, x, 2600.0, seed=11)
    number = np.floor(s).astype(np.int64)
    f = s - number
    dome = 4.0 * f * (1.0 - f)  # each cell bulges a little at both ends
    apical = apical + 260.0 * dome - 130.0 + 300.0 * waves
    basal = basal + 320.0 * dome + 900.0 * waves
    nucleus = _nucleus_distance(y, x, number)
    neighbour = np.where(f < 0.5, number - 1, number + 1)
    nucleus = np.minimum(nucleus, _nucleus_distance(y, x, neighbour))
    nucleus = nucleus + 260.0 * _unevenness(y, x, 1900.0, seed=13)
    n = nuclei()
    shift = np.where(number % 3 == 0, -0.3, 0.35) * n.length[number]
    dy = y - n.y[number] - shift * n.along_y[number]
    dx = x - n.x[number] - shift * n.along_x[number]
    nucleolus = np.sqrt(dy * dy + dx * dx) - 0.36 * n.width[number]
    return apical, basal, s, nucleus, nucleolus
