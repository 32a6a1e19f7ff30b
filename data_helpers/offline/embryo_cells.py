"""Where the cells of the synthetic mouse embryo (4007801) are, at every time point.

The embryo is a list of cells. A cell has a fixed place in the embryo's own frame (a direction from
the middle, and how far in or out it lies), and the frame grows, dents and turns. As the surface
grows new cells are born beside their mothers, so that cells keep about the same size.

Lengths are pixels of level 0; one plane counts as `Z_STEP` pixels. Exactly rounded operations
only, as everywhere in the painters.
"""

from __future__ import annotations

from functools import lru_cache
from math import sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from data_helpers.offline.noise import hash_points, random_unit, smoothstep

Array = NDArray[np.float64]

SIZE_T = 532
Z_STEP = 1.5  # one plane further is as far as this many level-0 pixels
RADIUS = 70.0  # a cell's membrane is at this distance from its centre, in its own metric
_CENTRE = (494 * Z_STEP, 1024.0, 1084.0)  # z, y, x

_DIM = 0.38  # membrane marker of the regions that carry least
# Golden angle, for points spread evenly over a sphere.
_COS, _SIN = -0.7373688780783197, 0.6754902942615238


class Frame(NamedTuple):
    """The embryo's own frame at one time: from body axes (a, b, w) to the stack (z, y, x)."""

    centre: tuple[float, float, float]
    turn: list[list[float]]  # rows: the directions of the body axes a, b, w in z, y, x
    axes: tuple[float, float, float]  # semi-axes along a, b, w
    fold: float  # 0 before the head folds rise, 1 when they are full


class Cells(NamedTuple):
    """All cells alive at one time; n cells in a fixed order."""

    place: Array  # (n, 3) z, y, x in level-0 pixels
    axis: Array  # (n, 3) unit vector from the inside to the outside of the tissue
    size: Array  # (n,) radius across the axis
    stretch: Array  # (n,) radius along the axis over radius across
    youth: Array  # (n,) 1 at birth, 0 when grown up
    membrane: Array  # (n,) brightness of the membrane marker
    nucleus: Array  # (n,) brightness of the nuclear marker
    core: Array  # (n,) radius of the nucleus


class _Tissue(NamedTuple):
    """What never changes about the cells, born or not."""

    way: Array  # (n, 3) unit direction from the middle of the embryo, in body axes
    out: Array  # (n,) place along it, as a share of the surface
    depth: Array  # (n,) and pixels below that
    sink: Array  # (n,) how far it makes way for the mesoderm, in pixels
    birth: Array  # (n,) time point
    mother: NDArray[np.intp]  # (n,)
    size: Array
    stretch: Array
    luck: Array  # (n, 4) random numbers of its own, 0 to 1


@lru_cache(maxsize=32)
def cells_at(t: int) -> Cells:
    """Find all cells alive at a time point.

    Parameters
    ----------
    t : int
        Time point, 0 to 531.

    Returns
    -------
    Cells
        Places, shapes and brightnesses; float64 arrays of one row a cell.
    """
    tissue = _tissue()
    alive = np.nonzero(tissue.birth <= t)[0]
    age = t - tissue.birth[alive]
    mother = tissue.way[tissue.mother[alive]]
    own = tissue.way[alive]
    moved = smoothstep(-8, 16, age)[:, None]
    way = _unit(mother + (own - mother) * moved)
    frame = frame_at(t)
    surface, normal = _surface(way, frame)
    sink = tissue.sink[alive] * _mesoderm(way) * smoothstep(90, 330, np.float64(t))
    depth = tissue.depth[alive] + sink + _wobble(alive, t)
    body = surface * tissue.out[alive][:, None] - normal * depth[:, None]
    luck = tissue.luck[alive]
    dividing = _dividing(alive, age, tissue)
    patch = _patches(own)
    return Cells(
        place=_turn(body, frame) + np.array(frame.centre),
        axis=_turn(normal, frame),
        size=tissue.size[alive],
        stretch=tissue.stretch[alive],
        youth=1 - smoothstep(0, 18, age),
        membrane=(0.4 + 0.9 * luck[:, 0]) * patch,
        nucleus=(0.5 + 0.5 * luck[:, 1]) * (1 + 0.7 * dividing) * smoothstep(-1, 5, age),
        core=tissue.size[alive] * (0.5 + 0.1 * luck[:, 2]) * (1 - 0.3 * dividing),
    )


@lru_cache(maxsize=32)
def frame_at(t: int) -> Frame:
    """Size, shape and orientation of the embryo at a time point."""
    s = t / (SIZE_T - 1)
    ease = s * s * (3 - 2 * s)
    grow = s * (1.6 - 0.6 * s)
    turn = (1.0, -0.20 + 0.62 * ease, 0.05 - 0.25 * ease, 0.25 - 0.70 * ease)
    drift = (2 * s - 1) * (1 - s) * s * 4  # out and back again
    centre = (
        _CENTRE[0] + 20 * drift,
        _CENTRE[1] + 40 - 60 * s + 60 * drift,
        _CENTRE[2] - 30 + 60 * s - 50 * drift,
    )
    axes = (270 + 340 * grow, 280 + 410 * grow, 470 + 400 * grow)
    fold = max(0.0, (s - 0.3) / 0.7)
    return Frame(centre, _rotation(turn), axes, fold * fold * (3 - 2 * fold))


def _surface(way: Array, frame: Frame) -> tuple[Array, Array]:
    """The embryo's outside, in body axes: an egg, later dented between two head folds."""
    a, b, w = way[:, 0], way[:, 1], way[:, 2]
    facing = smoothstep(0.2, 1.0, -0.8 * w + 0.6 * a)
    side = np.minimum(b * b / 0.30, 1.0)
    groove = (1 - side) * (1 - side)
    radial = 1 + frame.fold * facing * (0.20 - 0.62 * groove)
    taper = 1 + 0.14 * w
    shape = np.stack([radial * taper, radial * taper, radial], 1)
    axes = np.array(frame.axes)
    return way * axes * shape, _unit(way / axes)


def _turn(body: Array, frame: Frame) -> Array:
    rows = np.array(frame.turn)
    return body[:, :1] * rows[0] + body[:, 1:2] * rows[1] + body[:, 2:] * rows[2]


def _rotation(q: tuple[float, float, float, float]) -> list[list[float]]:
    """The rotation matrix of a quaternion of any length: divisions only, no sine."""
    r, i, j, k = q
    n = r * r + i * i + j * j + k * k
    return [
        [(r * r + i * i - j * j - k * k) / n, 2 * (i * j - r * k) / n, 2 * (i * k + r * j) / n],
        [2 * (i * j + r * k) / n, (r * r - i * i + j * j - k * k) / n, 2 * (j * k - r * i) / n],
        [2 * (i * k - r * j) / n, 2 * (j * k + r * i) / n, (r * r - i * i - j * j + k * k) / n],
    ]


def _wobble(cell: NDArray[np.intp], t: int) -> Array:
    """Every cell moves a little in and out of its layer, smoothly in time."""
    knot, part = divmod(t, 28)
    ease = smoothstep(0, 28, np.float64(part))
    here = random_unit(cell, knot, seed=1).astype(np.float64)
    there = random_unit(cell, knot + 1, seed=1).astype(np.float64)
    return (here + (there - here) * ease - 0.5) * 26


def _dividing(alive: NDArray[np.intp], age: Array, tissue: _Tissue) -> Array:
    """Up to 1 for cells that have just divided, mothers too: bright, condensed nuclei."""
    fresh = smoothstep(-1, 3, age) * (1 - smoothstep(4, 11, age))
    dividing = np.zeros(len(tissue.birth))
    dividing[alive] = fresh
    mothers = tissue.mother[alive]
    np.maximum.at(dividing, mothers, fresh)
    return dividing[alive]


def _patches(way: Array) -> Array:
    """Some regions of the embryo carry more of the membrane marker than others."""
    patch = np.full(len(way), _DIM)
    for towards in _unit(_random(34, 3, seed=23) - 0.5):
        close = way[:, 0] * towards[0] + way[:, 1] * towards[1] + way[:, 2] * towards[2]
        patch = np.maximum(patch, _DIM + (1.15 - _DIM) * smoothstep(0.92, 0.985, close))
    return patch


def _mesoderm(way: Array) -> Array:
    """How thick the third layer gets, 0 to 1: most on the back side, none at the folds."""
    return smoothstep(-0.35, 0.45, way[:, 1]) * (1 - smoothstep(0.75, 0.95, way[:, 2]))


# --- set-up, done once -------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _tissue() -> _Tissue:
    endoderm = _layer(1000, 0.0, 58, 0.66)
    epiblast = _layer(760, 90.0, 52, 1.4, sink=74)
    middle = _layer(620, 62.0, 44, 0.95, sink=22)
    septum = _blob(_disc(125), 30, 340, 58)
    cone = _blob(_ball(105, (0.0, 0.0, 1.14), 0.30), -200, 500, 54)
    allantois = _blob(_ball(40, (0.0, 0.40, 0.62), 0.23), 190, 430, 48)
    loose = _blob(_loose(64), -200, 400, 46)
    parts = [endoderm, epiblast, _only_mesoderm(middle), septum, cone, allantois, loose]
    first, mothers = 0, []
    for part in parts:
        mothers.append(part.mother + first)
        first += len(part.birth)
    columns: list[Any] = [np.concatenate(column) for column in zip(*parts, strict=True)]
    whole = _Tissue(*columns)._replace(mother=np.concatenate(mothers))
    luck = random_unit(np.arange(first)[:, None], np.arange(4), seed=3).astype(np.float64)
    return whole._replace(luck=luck, size=whole.size * (0.94 + 0.12 * luck[:, 3]))


def _layer(count: int, depth: float, size: float, stretch: float, sink: float = 0.0) -> _Tissue:
    """A sheet of cells that covers the embryo, more of them as it grows."""
    way = _unit(_sphere(count) + (_random(count, 3, seed=4) - 0.5) * (1.1 / sqrt(count)))
    order, mother = _spread_order(way)
    area = np.array([_area(t) for t in range(SIZE_T)])
    wanted = area / area[-1] * count  # so many cells at each time point
    birth = np.searchsorted(wanted, np.arange(count) + 0.5).astype(np.float64)
    birth[: int(wanted[0])] -= 100  # the first cells are old
    part = _part(way[order], np.ones(count), depth, birth, mother, size, stretch)
    return part._replace(sink=part.sink * sink)


def _only_mesoderm(layer: _Tissue) -> _Tissue:
    """Keep the cells of a layer where mesoderm forms, and let them appear from there outwards."""
    amount = _mesoderm(layer.way)
    birth = np.maximum(layer.birth, np.floor(390 - 270 * amount))
    kept = np.nonzero(amount > 0.25)[0]
    columns: list[Any] = [column[kept] for column in layer]
    part = _Tissue(*columns)
    return part._replace(birth=birth[kept], mother=np.arange(len(kept)))


def _blob(places: Array, start: float, end: float, size: float) -> _Tissue:
    """Cells at given places (in shares of the embryo's axes), born one after another."""
    count = len(places)
    out = np.sqrt(_square(places))
    birth = np.floor(start + (end - start) * np.sqrt(np.arange(count) / count))
    mother = np.arange(count)
    part = _part(places / out[:, None], out, 0.0, birth, mother, size, 1.0)
    return part._replace(sink=0 * part.sink)


def _part(
    way: Array,
    out: Array,
    depth: float,
    birth: Array,
    mother: NDArray[np.intp],
    size: float,
    stretch: float,
) -> _Tissue:
    one = np.ones(len(birth))
    return _Tissue(way, out, one * depth, one, birth, mother, one * size, one * stretch, one)


def _area(t: int) -> float:
    a, b, w = frame_at(t).axes
    return a * b + b * w + w * a


def _spread_order(way: Array) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Order points so that the first ones of any number are spread evenly; name their mothers.

    The next point is always the one farthest from all before it; its mother is the nearest of
    those. Mothers are given as positions in the new order.
    """
    count = len(way)
    order, mother = np.zeros(count, np.intp), np.zeros(count, np.intp)
    far, nearest = np.full(count, 9.0), np.zeros(count, np.intp)
    for rank in range(1, count):
        step = way - way[order[rank - 1]]
        square = _square(step)
        closer = square < far
        far[closer], nearest[closer] = square[closer], rank - 1
        order[rank] = np.argmax(far)
        mother[rank] = nearest[order[rank]]
    return order, mother


def _sphere(count: int) -> Array:
    """Points spread evenly over the unit sphere: a spiral that turns by the golden angle."""
    points, c, s = [], 1.0, 0.0
    for i in range(count):
        height = 1 - (2 * i + 1) / count
        ring = sqrt(1 - height * height)
        points.append((ring * c, ring * s, height))
        c, s = c * _COS - s * _SIN, c * _SIN + s * _COS
    return np.array(points)


def _disc(count: int) -> Array:
    """Points on a disc across the embryo, from its rim to its middle: a sheet that closes."""
    points, c, s = [], 1.0, 0.0
    for i in range(count):
        radius = 0.80 * sqrt((count - i - 0.5) / count)
        points.append((radius * c, radius * s, 0.26 + 0.12 * radius * radius))
        c, s = c * _COS - s * _SIN, c * _SIN + s * _COS
    return np.array(points) + (_random(count, 3, seed=5) - 0.5) * 0.04


def _ball(count: int, centre: tuple[float, float, float], radius: float) -> Array:
    """Points in a ball, the ones nearest to the embryo's surface first."""
    tries = _random(8 * count, 3, seed=6) * 2 - 1
    inside = tries[_square(tries) < 1]
    order, _ = _spread_order(inside)
    points = inside[order[:count]] * radius + np.array(centre)
    out = _square(points)
    return points[np.argsort(np.abs(out - 1), kind="stable")]


def _loose(count: int) -> Array:
    """Single cells that float around the embryo."""
    way = _unit(_random(count, 3, seed=9) - 0.5)
    way = _unit(way * np.array([0.5, 1.0, 1.0]))  # few of them above or below the embryo
    return way * (1.22 + 0.33 * _random(count, 1, seed=8))


def _random(rows: int, columns: int, seed: int) -> Array:
    dice = hash_points(np.arange(rows)[:, None], np.arange(columns), seed=seed)
    return (dice % np.uint32(1000003)).astype(np.float64) / 1000003


def _unit(v: Array) -> Array:
    return v / np.sqrt(v[:, :1] * v[:, :1] + v[:, 1:2] * v[:, 1:2] + v[:, 2:] * v[:, 2:])


def _square(v: Array) -> Array:
    return v[:, 0] * v[:, 0] + v[:, 1] * v[:, 1] + v[:, 2] * v[:, 2]
