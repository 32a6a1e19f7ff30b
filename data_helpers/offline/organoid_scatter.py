"""Objects strewn over a repeating square: mitochondria, vesicles, virions of the organoid.

The square is worked out once. Whether an object is there is asked for each repeat, so that nothing
is seen to repeat. Positions and distances are in pixels of level 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .noise import hash_points, mip_pyramid, periodic_noise, random_unit
from .organoid_sampling import Pixels, Steps, Window, choose_copy, interpolate


class Objects(NamedTuple):
    """Objects, one entry for each: centre, radius, and half their axis (0 for discs)."""

    y: NDArray[np.float64]
    x: NDArray[np.float64]
    radius: NDArray[np.float64]
    half_y: NDArray[np.float64]
    half_x: NDArray[np.float64]

    def pick(self, which: NDArray[Any]) -> Objects:
        """Return some of the objects."""
        return Objects(*(column[which] for column in self))


# A rule that says which of some objects are there.
Rule = Callable[[Objects], NDArray[np.bool_]]


class Hint(NamedTuple):
    """A coarse map of where a rule may say yes, so that it need not be asked everywhere.

    Node (i, j) of the map lies at ``(first_row + i + at) * step`` and likewise in x. Beyond the
    map, the node at its edge counts: a window shows no object that is far from its nodes.
    """

    likely: NDArray[np.bool_]
    first_row: int
    first_column: int
    step: int
    at: float

    def look_up(self, y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Read the nearest node; y and x may be of different shapes that broadcast."""
        i = np.floor(y * (1.0 / self.step) - self.at + 0.5).astype(np.int64) - self.first_row
        j = np.floor(x * (1.0 / self.step) - self.at + 0.5).astype(np.int64) - self.first_column
        rows, columns = self.likely.shape
        return self.likely[np.clip(i, 0, rows - 1), np.clip(j, 0, columns - 1)]


@dataclass(frozen=True)
class Scatter:
    """Objects strewn over a repeating square, none touching another.

    ``distance`` is the distance from the nearest object's outline (negative inside), ``nearest``
    which object that is, ``along`` the position along its axis (None for discs); each with coarser
    copies. Objects that cross the square's edge are listed once for each side, so that an object
    can be left out as a whole. ``kind`` is a random number in [0, 1) for each.
    """

    texel: int
    distance: list[Pixels]
    along: list[Pixels] | None
    nearest: list[NDArray[np.int16]]
    objects: Objects
    kind: Pixels
    reach: float

    @property
    def period(self) -> int:
        """Side of the repeating square in pixels of level 0."""
        return self.texel * len(self.nearest[0])

    def choose(self, window: Window, rule: Rule, hint: Hint | None = None) -> Choice | None:
        """Ask the rule about every object the window can show; None if none is there."""
        if hint is not None and not hint.likely.any():
            return None
        copy, rows, columns = choose_copy(self.texel, window)
        n = len(self.nearest[copy])
        tiles_y = np.arange(rows.first // n, (rows.first + rows.count - 1) // n + 1)
        tiles_x = np.arange(columns.first // n, (columns.first + columns.count - 1) // n + 1)
        y = (tiles_y * self.period)[:, None, None] + self.objects.y
        x = (tiles_x * self.period)[None, :, None] + self.objects.x
        present = np.ones((len(tiles_y), len(tiles_x), len(self.kind)), dtype=bool)
        if hint is not None:
            present &= hint.look_up(y, x)
        i, j, k = np.nonzero(present)
        present[i, j, k] = rule(self.objects.pick(k)._replace(y=y[i, 0, k], x=x[0, j, k]))
        if not present.any():
            return None
        distance = np.full((rows.count, columns.count), self.reach, dtype=np.float32)
        mark = np.zeros_like(distance)
        for here, tile_y in zip(present, tiles_y, strict=True):
            to_y, from_y = _overlap(rows, int(tile_y), n)
            for there, tile_x in zip(here, tiles_x, strict=True):
                to_x, from_x = _overlap(columns, int(tile_x), n)
                nearest = self.nearest[copy][from_y, from_x]
                if self.along is not None:
                    mark[to_y, to_x] = self.along[copy][from_y, from_x]
                if not there.any():
                    continue
                shown = there[nearest]
                np.copyto(distance[to_y, to_x], self.distance[copy][from_y, from_x], where=shown)
                if self.along is None:
                    mark[to_y, to_x] = self.kind[nearest]
        return Choice(self, rows.first, distance, mark)

    def choose_at(
        self,
        y: NDArray[np.float64],
        x: NDArray[np.float64],
        rule: Rule,
        within: NDArray[np.float64] | float,
    ) -> tuple[NDArray[np.float64], Pixels]:
        """Find distance and kind of the nearest object, at scattered positions.

        The distance is `reach` where no object is `within` that distance.
        """
        n = len(self.nearest[0])
        ky = np.floor(y / self.texel).astype(np.int64)
        kx = np.floor(x / self.texel).astype(np.int64)
        at = (ky % n, kx % n)
        j = self.nearest[0][at].astype(np.int64)
        distance = np.full(y.shape, self.reach)
        close = self.distance[0][at] < within
        tile_y, tile_x = (ky // n)[close] * self.period, (kx // n)[close] * self.period
        near = self.objects.pick(j[close])
        there = rule(near._replace(y=near.y + tile_y, x=near.x + tile_x))
        distance[close] = np.where(there, self.distance[0][at][close], self.reach)
        return distance, self.kind[j]


def _overlap(steps: Steps, tile: int, n: int) -> tuple[slice, slice]:
    """Part of the samples that lies in a tile of n, and the same part of the tile."""
    low = max(steps.first, tile * n)
    high = min(steps.first + steps.count, (tile + 1) * n)
    return slice(low - steps.first, high - steps.first), slice(low - tile * n, high - tile * n)


class Near(NamedTuple):
    """For each pixel: distance from the nearest object, and its kind or the position along it."""

    distance: Pixels
    mark: Pixels


@dataclass(frozen=True)
class Choice:
    """The objects of a scatter that are there in one window."""

    scatter: Scatter
    first_row: int
    distance: Pixels
    mark: Pixels

    def read(self, window: Window) -> Near | None:
        """Read the objects in some rows of the window; None if there are none."""
        _, rows, columns = choose_copy(self.scatter.texel, window)
        start = rows.first - self.first_row
        part = slice(start, start + rows.count)
        if self.distance[part].min() >= self.scatter.reach:
            return None
        distance = interpolate(self.distance[part], rows, columns)
        if self.scatter.along is not None:
            return Near(distance, interpolate(self.mark[part], rows, columns))
        if rows.exact and columns.exact:
            return Near(distance, self.mark[part])
        near_y = rows.index + (rows.part > 0.5)
        near_x = columns.index + (columns.part > 0.5)
        return Near(distance, self.mark[part][:, near_x][near_y])


class Capsule(NamedTuple):
    """A sausage: centre, unit vector of its axis, half its axis, radius, bend, and a dice roll."""

    y: float
    x: float
    along_y: float
    along_x: float
    half: float
    radius: float
    bend: float
    kind: float

    def balls(self) -> NDArray[np.float64]:
        """Balls (y, x, radius) that fill the capsule: 7 of them, or 1 if it is a disc."""
        t = np.arange(-3.0, 4.0) * (self.half / 3.0) if self.half else np.zeros(1)
        side = self.bend * t * t
        y = self.y + t * self.along_y + side * self.along_x
        x = self.x + t * self.along_x - side * self.along_y
        return np.stack([y, x, np.full_like(t, self.radius)], 1)

    def distance(
        self, dy: NDArray[np.float64], dx: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Distance from the outline, and position along the axis, at offsets from the centre."""
        a = dy * self.along_y + dx * self.along_x
        b = dy * self.along_x - dx * self.along_y
        b = b - self.bend * a * a
        beyond = np.maximum(np.abs(a) - self.half, 0.0)
        return np.sqrt(beyond * beyond + b * b) - self.radius, a


def _place(
    number: int, period: float, radius: tuple[float, float], length: float, gap: float, seed: int
) -> list[Capsule]:
    """Throw capsules at random; keep those that touch no other."""
    kept: list[Capsule] = []
    balls = np.empty((0, 3))
    dice = random_unit(np.arange(number)[:, None], np.arange(8)[None, :], seed=seed)
    for roll in dice.astype(np.float64).tolist():
        r = radius[0] + (radius[1] - radius[0]) * roll[0] * roll[0]
        half = length * (0.3 + 0.7 * roll[1])
        m = (roll[2] - 0.5) * 3.0  # any direction, from a rational circle
        along_y, along_x = 2.0 * m / (1.0 + m * m), (1.0 - m * m) / (1.0 + m * m)
        bend = (roll[3] - 0.5) * 0.6 / half if length else 0.0
        y, x, kind = roll[4] * period, roll[5] * period, min(roll[6], 1.0 - r / 1000.0)
        capsule = Capsule(y, x, along_y, along_x, half, r, bend, kind)
        new = capsule.balls()
        d = np.abs(new[:, None, :2] - balls[None, :, :2])
        d = np.minimum(d % period, period - d % period)
        far = new[:, None, 2] + balls[None, :, 2] + gap
        if not (d[..., 0] * d[..., 0] + d[..., 1] * d[..., 1] < far * far).any():
            balls = np.concatenate([balls, new])
            kept.append(capsule)
    return kept


def _box(centre: float, extent: float, size: int, texel: int) -> NDArray[np.int64]:
    """Texels of one axis that an object can reach."""
    low, high = int((centre - extent) // texel), int((centre + extent) // texel) + 1
    return np.arange(max(low, 0), min(high, size))


def scatter(
    number: int,
    size: int,
    texel: int,
    radius: tuple[float, float],
    *,
    length: float = 0.0,
    gap: float,
    reach: float,
    wobble: float = 0.0,
    seed: int,
) -> Scatter:
    """Strew capsules (discs when `length` is 0) over a repeating square.

    Parameters
    ----------
    number
        How many to try; those that would touch another are dropped.
    size, texel
        The square's side in texels, and a texel's side in pixels of level 0.
    radius
        Smallest and largest radius, pixels of level 0.
    length
        Largest half length of the axis.
    gap
        Room left between two objects.
    reach
        How far from an object the distance is known; it must be more than `gap`.
    wobble
        How far outlines deviate from round.
    seed
        Another seed gives another arrangement.
    """
    period = float(size * texel)
    distance = np.full((size, size), reach, dtype=np.float32)
    along = np.zeros((size, size), dtype=np.float32)
    nearest = np.zeros((size, size), dtype=np.int16)
    rough = bumps(size, size // 16, seed=seed + 1) * np.float32(wobble)
    objects: list[tuple[float, ...]] = []
    shifts = (-period, 0.0, period)
    for capsule in _place(number, period, radius, length, gap, seed):
        half, r = capsule.half, capsule.radius
        extent = half + r + reach + abs(capsule.bend) * half * half
        for y, x in product((capsule.y + s for s in shifts), (capsule.x + s for s in shifts)):
            rows, columns = _box(y, extent, size, texel), _box(x, extent, size, texel)
            if not (rows.size and columns.size):
                continue
            box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
            dy = (rows.astype(np.float64) + 0.5) * texel - y
            dx = (columns.astype(np.float64) + 0.5) * texel - x
            d, a = capsule.distance(dy[:, None], dx[None, :])
            d32 = d.astype(np.float32) + rough[box]
            closer = d32 < distance[box]
            nearest[box][closer] = len(objects)
            along[box][closer] = a.astype(np.float32)[closer]
            distance[box][closer] = d32[closer]
            half_axis = half * capsule.along_y, half * capsule.along_x
            objects.append((y, x, r, *half_axis, capsule.kind))
    table = [np.array(column, dtype=np.float64) for column in zip(*objects, strict=True)]
    copies = 5
    nearest_copies = [nearest]
    for _ in range(copies - 1):
        nearest_copies.append(nearest_copies[-1][1::2, 1::2].copy())
    return Scatter(
        texel=texel,
        distance=mip_pyramid(distance, copies),
        along=mip_pyramid(along, copies) if length else None,
        nearest=nearest_copies,
        objects=Objects(*table[:5]),
        kind=table[5].astype(np.float32),
        reach=reach,
    )


def bumps(size: int, cells: int, seed: int) -> Pixels:
    """Paint smooth noise that repeats, moved at random: it is flat along the lines of its grid.

    If all textures had those lines in the same places, the eye would find them.
    """
    moved = hash_points(np.arange(2), seed=seed + 5000) % np.uint32(size)
    return np.roll(periodic_noise(size, cells, seed=seed), tuple(moved.tolist()), (0, 1))
