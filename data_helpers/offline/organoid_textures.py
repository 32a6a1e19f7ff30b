"""Repeating textures for the synthetic organoid, each with a pyramid of coarser copies.

A texture is computed once and then read at any position and level. Below its own resolution it is
interpolated; above, a coarser copy is read, so that levels of the image agree with each other.
Positions and distances are in pixels of level 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .noise import halve, hash_points, mip_pyramid, periodic_noise, random_unit

Pixels = NDArray[np.float32]


@dataclass(frozen=True)
class Window:
    """A rectangle of one level: rows y0 to y1, columns x0 to x1, ends not included."""

    level: int
    y0: int
    y1: int
    x0: int
    x1: int

    @property
    def pixel(self) -> int:
        """Side of a pixel of this level, in pixels of level 0."""
        return 1 << self.level

    def strip(self, y0: int, y1: int) -> Window:
        """Return the same columns of other rows."""
        return Window(self.level, y0, y1, self.x0, self.x1)


@dataclass(frozen=True)
class Steps:
    """How the pixels of one axis fall between samples that are some pixels apart.

    Pixel i lies between sample ``first + index[i]`` and the next one, ``part[i]`` of the way.
    ``count`` samples are needed. ``block`` is the number of pixels from one sample to the next.
    """

    first: int
    count: int
    index: NDArray[np.int64]
    part: Pixels
    block: int

    @classmethod
    @lru_cache(maxsize=128)  # the columns are the same for every strip of a tile
    def between(cls, start: int, stop: int, pixel: int, step: int, at: float) -> Steps:
        """Place pixels `start` to `stop`; sample k lies at ``(k + at) * step``."""
        u = (np.arange(start, stop) + 0.5) * (pixel / step) - at
        k = np.floor(u).astype(np.int64)
        part = (u - k).astype(np.float32)
        count = int(k[-1] - k[0]) + (1 if step == pixel and at == 0.5 else 2)
        return cls(int(k[0]), count, k - k[0], part, step // pixel)

    @property
    def exact(self) -> bool:
        """Whether each pixel falls on a sample."""
        return self.count == len(self.index) and self.block == 1


def blend(
    corners: tuple[Pixels, Pixels, Pixels, Pixels], rows: Steps, columns: Steps
) -> NDArray[np.float32]:
    """Interpolate between the four corners (two above, two below) of each block of pixels."""
    top_left, top_right, bottom_left, bottom_right = (c[:, columns.index] for c in corners)
    # Along the rows first: there are far fewer rows of samples than rows of pixels.
    top = top_left + (top_right - top_left) * columns.part
    bottom = bottom_left + (bottom_right - bottom_left) * columns.part
    bottom -= top
    out = bottom[rows.index]
    out *= rows.part[:, None]
    out += top[rows.index]
    return out


def interpolate(samples: Pixels, rows: Steps, columns: Steps) -> Pixels:
    """Interpolate float32 samples of shape (rows.count, columns.count) at each pixel."""
    if rows.exact and columns.exact:
        return samples
    left = samples[:, columns.index]
    across = samples[:, columns.index + 1]
    across -= left
    across *= columns.part
    across += left
    below = across[1:] - across[:-1]
    out = below[rows.index]
    out *= rows.part[:, None]
    out += across[rows.index]
    return out


def _wrapped(image: Pixels, rows: Steps, columns: Steps) -> Pixels:
    """Cut samples out of an image that repeats for ever."""
    for axis, steps in enumerate((rows, columns)):
        n = image.shape[axis]
        start = steps.first % n
        if start + steps.count <= n:
            part = slice(start, start + steps.count)
            image = image[part] if axis == 0 else image[:, part]
        else:
            image = np.take(image, np.arange(start, start + steps.count) % n, axis=axis)
    return image


@dataclass(frozen=True)
class Texture:
    """A square that tiles the plane; one of its texels covers `texel` pixels of level 0."""

    pyramid: list[Pixels]
    texel: int

    @classmethod
    def of(cls, image: Pixels, texel: int) -> Texture:
        """Add coarser copies, down to 8 texels a side."""
        return cls(mip_pyramid(image, len(image).bit_length() - 3), texel)

    def read_at(self, y: NDArray[np.float64], x: NDArray[np.float64]) -> Pixels:
        """Read the nearest texel at scattered positions."""
        n = len(self.pyramid[0])
        ky = np.floor(y / self.texel).astype(np.int64) % n
        kx = np.floor(x / self.texel).astype(np.int64) % n
        return self.pyramid[0][ky, kx]

    def read(self, window: Window) -> Pixels:
        """Read one value for each pixel of the window, float32. Do not write into it."""
        copy, rows, columns = _choose_copy(self.texel, window)
        image = self.pyramid[min(copy, len(self.pyramid) - 1)]
        return interpolate(_wrapped(image, rows, columns), rows, columns)


def _choose_copy(texel: int, window: Window) -> tuple[int, Steps, Steps]:
    """Choose which coarser copy to read, and place the window's pixels in it."""
    step = max(texel, window.pixel)
    rows = Steps.between(window.y0, window.y1, window.pixel, step, 0.5)
    columns = Steps.between(window.x0, window.x1, window.pixel, step, 0.5)
    return (step // texel).bit_length() - 1, rows, columns


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

    def choose(self, window: Window, rule: Rule) -> Choice | None:
        """Ask the rule about every object the window can show; None if none is there."""
        copy, rows, columns = _choose_copy(self.texel, window)
        n = len(self.nearest[copy])
        tiles_y = np.arange(rows.first // n, (rows.first + rows.count - 1) // n + 1)
        tiles_x = np.arange(columns.first // n, (columns.first + columns.count - 1) // n + 1)
        shape = (len(tiles_y), len(tiles_x), len(self.kind))
        o = self.objects
        moved = (
            (tiles_y * self.period)[:, None, None] + o.y,
            (tiles_x * self.period)[None, :, None] + o.x,
            *o[2:],
        )
        present = rule(Objects(*(np.broadcast_to(column, shape).ravel() for column in moved)))
        present = present.reshape(shape)
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
        _, rows, columns = _choose_copy(self.scatter.texel, window)
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


def _place(
    number: int, period: float, radius: tuple[float, float], length: float, gap: float, seed: int
) -> list[tuple[float, float, float, float, float, float, float, float]]:
    """Throw capsules at random; keep those that touch no other."""
    kept: list[tuple[float, float, float, float, float, float, float, float]] = []
    balls = np.empty((0, 3))
    dice = random_unit(np.arange(number)[:, None], np.arange(8)[None, :], seed=seed)
    for roll in dice.astype(np.float64):
        r = radius[0] + (radius[1] - radius[0]) * roll[0] * roll[0]
        half = length * (0.3 + 0.7 * roll[1]) if length else 0.0
        m = (roll[2] - 0.5) * 3.0  # any direction, from a rational circle
        uy, ux = 2.0 * m / (1.0 + m * m), (1.0 - m * m) / (1.0 + m * m)
        bend = (roll[3] - 0.5) * 0.6 / half if length else 0.0
        y, x = roll[4] * period, roll[5] * period
        t = np.arange(-3.0, 4.0) * (half / 3.0) if length else np.zeros(1)
        side = bend * t * t
        new = np.stack([y + t * uy + side * ux, x + t * ux - side * uy, np.full_like(t, r)], 1)
        if len(balls):
            d = np.abs(new[:, None, :2] - balls[None, :, :2])
            d = np.minimum(d % period, period - d % period)
            far = new[:, None, 2] + balls[None, :, 2] + gap
            if (d[..., 0] * d[..., 0] + d[..., 1] * d[..., 1] < far * far).any():
                continue
        balls = np.concatenate([balls, new])
        kept.append((y, x, uy, ux, half, r, bend, min(roll[6], 1.0 - r / 1000.0)))
    return kept


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
    rough = _bumps(size, size // 16, seed=seed + 1) * np.float32(wobble)
    objects: list[tuple[float, ...]] = []
    for y, x, uy, ux, half, r, bend, kind in _place(number, period, radius, length, gap, seed):
        extent = half + r + reach + abs(bend) * half * half
        for sy in (-period, 0.0, period):
            for sx in (-period, 0.0, period):
                cy, cx = y + sy, x + sx
                low_y, high_y = int((cy - extent) // texel), int((cy + extent) // texel) + 1
                low_x, high_x = int((cx - extent) // texel), int((cx + extent) // texel) + 1
                box = (
                    slice(max(low_y, 0), min(high_y, size)),
                    slice(max(low_x, 0), min(high_x, size)),
                )
                if box[0].start >= box[0].stop or box[1].start >= box[1].stop:
                    continue
                dy = (np.arange(box[0].start, box[0].stop) + 0.5)[:, None] * texel - cy
                dx = (np.arange(box[1].start, box[1].stop) + 0.5)[None, :] * texel - cx
                a = dy * uy + dx * ux
                b = dy * ux - dx * uy
                b = b - bend * a * a
                beyond = np.maximum(np.abs(a) - half, 0.0)
                d = (np.sqrt(beyond * beyond + b * b) - r).astype(np.float32) + rough[box]
                closer = d < distance[box]
                nearest[box][closer] = len(objects)
                along[box][closer] = a.astype(np.float32)[closer]
                distance[box][closer] = d[closer]
                objects.append((cy, cx, r, half * uy, half * ux, kind))
    columns = [np.array(c, dtype=np.float64) for c in zip(*objects, strict=True)]
    copies = 5
    nearest_copies = [nearest]
    for _ in range(copies - 1):
        nearest_copies.append(nearest_copies[-1][1::2, 1::2].copy())
    return Scatter(
        texel=texel,
        distance=mip_pyramid(distance, copies),
        along=mip_pyramid(along, copies) if length else None,
        nearest=nearest_copies,
        objects=Objects(*columns[:5]),
        kind=columns[5].astype(np.float32),
        reach=reach,
    )


def _bumps(size: int, cells: int, seed: int) -> Pixels:
    """Smooth noise that repeats, moved at random: it is flat along the lines of its grid.

    If all textures had those lines in the same places, the eye would find them.
    """
    moved = hash_points(np.arange(2), seed=seed + 5000) % np.uint32(size)
    return np.roll(periodic_noise(size, cells, seed=seed), tuple(moved.tolist()), (0, 1))


def fractal(size: int, cells: int, octaves: int, seed: int) -> Pixels:
    """Sum noise of ever finer cells, each octave half as strong."""
    total = np.zeros((size, size), dtype=np.float32)
    strength = np.float32(0.5)
    for octave in range(octaves):
        total += strength * _bumps(size, cells << octave, seed=seed + octave)
        strength *= np.float32(0.5)
    return total


@cache
def grain() -> Texture:
    """Fine grain of stained protein, and dark dots the size of ribosomes (25 nm); mean near 0."""
    image = np.float32(0.3) * _bumps(1024, 256, seed=104)
    for seed in (101, 102):  # two grids on top of each other hide the grid
        image += np.float32(0.32) * _bumps(1024, 32, seed=seed)
        image += np.float32(0.36) * _bumps(1024, 64, seed=seed + 10)
    dots = np.zeros_like(image)
    for seed in (103, 105):
        dots += np.float32(0.7) * _bumps(1024, 64, seed=seed)
        dots += np.float32(0.35) * _bumps(1024, 128, seed=seed + 20)
    image -= np.float32(2.2) * np.clip(dots - np.float32(0.5), 0, np.float32(0.5))
    return Texture.of(image + np.float32(0.065), 1)


@cache
def sheets() -> Texture:
    """Distance from the nearest of many curved sheets in parallel, as in endoplasmic reticulum.

    The sheets are the contour lines of a smooth landscape, left out where another is low.
    """
    land = fractal(1024, 8, 2, seed=701)
    land = land + np.float32(0.06) * _bumps(1024, 64, seed=705)
    slope_y = (np.roll(land, -1, 0) - np.roll(land, 1, 0)) * np.float32(0.5 / 8)
    slope_x = (np.roll(land, -1, 1) - np.roll(land, 1, 1)) * np.float32(0.5 / 8)
    slope = np.sqrt(slope_y * slope_y + slope_x * slope_x)
    height = land * np.float32(11)
    height = np.abs(height - np.floor(height) - np.float32(0.5))
    distance = height / np.maximum(slope * np.float32(11), np.float32(1e-4))
    patches = fractal(1024, 8, 3, seed=711)
    distance += np.clip((patches + np.float32(0.02)) * np.float32(1500), 0, 200)
    return Texture.of(np.minimum(distance, np.float32(200)), 8)


@cache
def cloud() -> Texture:
    """Soft clouds from 130 to 2000 nm, for uneven staining and wavy outlines."""
    return Texture.of(fractal(512, 4, 4, seed=201), 16)


@cache
def chromatin() -> Texture:
    """Clumps of chromatin: 0 where it is open, 1 where it is dense; 300 to 1000 nm."""
    image = fractal(512, 16, 3, seed=301)
    clumps = np.clip((image - np.float32(0.04)) * np.float32(4.0), 0, 1)
    return Texture.of(halve(np.repeat(np.repeat(clumps, 2, 0), 2, 1)), 16)


@cache
def mitochondria() -> Scatter:
    """Sausages some 450 nm across and up to 2000 nm long."""
    return scatter(600, 1024, 16, (170, 260), length=800, gap=140, reach=400, wobble=30, seed=401)


@cache
def vesicles() -> Scatter:
    """Round bags from 100 to 900 nm across."""
    return scatter(900, 512, 16, (55, 470), gap=60, reach=200, wobble=14, seed=501)


@cache
def virions() -> Scatter:
    """Spheres of 80 nm."""
    return scatter(900, 512, 4, (37, 42), gap=6, reach=60, wobble=1.5, seed=601)


@cache
def shed_cells() -> Scatter:
    """Rounded bodies of 2 to 8 micrometres; the square is as wide as the image."""
    return scatter(400, 128, 1024, (1200, 4200), gap=2500, reach=2400, wobble=500, seed=801)
