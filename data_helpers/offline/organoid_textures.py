"""Repeating textures for the synthetic organoid, each with a pyramid of coarser copies.

A texture is computed once and then read at any position and level. Below its own resolution it is
interpolated; above, a coarser copy is read, so that levels of the image agree with each other.
Positions and distances are in pixels of level 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from numpy.typing import NDArray

from .noise import halve, mip_pyramid, periodic_noise, random_unit

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
    """How the pixels of one axis fall between samples that are `step` apart.

    Pixel i lies between ``samples[index[i]]`` and the sample after it, `part[i]` of the way.
    """

    samples: NDArray[np.int64]
    index: NDArray[np.int64]
    part: Pixels

    @classmethod
    def between(cls, start: int, stop: int, pixel: int, step: int, at: float) -> Steps:
        """Place pixels `start` to `stop`; sample k lies at ``(k + at) * step``."""
        u = (np.arange(start, stop) + 0.5) * (pixel / step) - at
        k = np.floor(u).astype(np.int64)
        samples = np.arange(k[0], k[-1] + 2)
        return cls(samples, k - k[0], (u - k).astype(np.float32))


def blend(
    corners: tuple[Pixels, Pixels, Pixels, Pixels], rows: Steps, columns: Steps
) -> NDArray[np.float32]:
    """Interpolate between the four corners (two above, two below) of each block of pixels."""
    top_left, top_right, bottom_left, bottom_right = corners
    part = rows.part[:, None]
    left, right = top_left[rows.index], top_right[rows.index]
    left = left + (bottom_left[rows.index] - left) * part
    right = right + (bottom_right[rows.index] - right) * part
    right -= left
    out = np.take(right, columns.index, axis=1)
    out *= columns.part
    out += np.take(left, columns.index, axis=1)
    return out


def interpolate(samples: Pixels, rows: Steps, columns: Steps) -> Pixels:
    """Interpolate float32 samples of shape (rows.samples, columns.samples) at each pixel."""
    if not rows.part.any() and not columns.part.any():
        return samples[np.ix_(rows.index, columns.index)]
    corners = (samples[:-1, :-1], samples[:-1, 1:], samples[1:, :-1], samples[1:, 1:])
    return blend(corners, rows, columns)


@dataclass(frozen=True)
class Texture:
    """A square that tiles the plane; one of its texels covers `texel` pixels of level 0."""

    pyramid: list[Pixels]
    texel: int

    @classmethod
    def of(cls, image: Pixels, texel: int) -> Texture:
        """Add coarser copies, down to 8 texels a side."""
        return cls(mip_pyramid(image, len(image).bit_length() - 3), texel)

    def steps(self, window: Window) -> tuple[int, Steps, Steps]:
        """Choose the copy to read, and place the window's pixels in it."""
        step = max(self.texel, window.pixel)
        copy = min((step // self.texel).bit_length() - 1, len(self.pyramid) - 1)
        rows = Steps.between(window.y0, window.y1, window.pixel, step, 0.5)
        columns = Steps.between(window.x0, window.x1, window.pixel, step, 0.5)
        return copy, rows, columns

    def read(self, window: Window) -> Pixels:
        """Read one value for each pixel of the window, float32."""
        copy, rows, columns = self.steps(window)
        image = self.pyramid[copy]
        n = len(image)
        return interpolate(image[np.ix_(rows.samples % n, columns.samples % n)], rows, columns)


# A rule that says, for objects at float64 positions (y, x) with a radius, which are there.
Rule = Callable[[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]], NDArray[np.bool_]]


@dataclass(frozen=True)
class Scatter:
    """Objects strewn over a repeating square, none touching another.

    ``distance`` is the distance from the nearest object's outline (negative inside), ``nearest``
    which object that is, ``along`` the position along its axis. Objects that cross the square's
    edge are listed once for each side, so that an object can be left out as a whole.
    """

    texel: int
    distance: list[Pixels]
    along: list[Pixels]
    nearest: list[NDArray[np.int16]]
    y: NDArray[np.float64]
    x: NDArray[np.float64]
    radius: NDArray[np.float64]
    kind: Pixels
    reach: float
    size: int = field(default=0)

    @property
    def period(self) -> int:
        """Side of the repeating square in pixels of level 0."""
        return self.texel * self.size

    def _steps(self, window: Window) -> tuple[int, Steps, Steps]:
        step = max(self.texel, window.pixel)
        copy = (step // self.texel).bit_length() - 1
        rows = Steps.between(window.y0, window.y1, window.pixel, step, 0.5)
        columns = Steps.between(window.x0, window.x1, window.pixel, step, 0.5)
        return copy, rows, columns

    def choose(self, window: Window, rule: Rule) -> Choice:
        """Ask the rule about every object that the window can show."""
        copy, rows, columns = self._steps(window)
        n = self.size >> copy
        tiles_y = np.arange(rows.samples[0] // n, rows.samples[-1] // n + 1)
        tiles_x = np.arange(columns.samples[0] // n, columns.samples[-1] // n + 1)
        y = np.broadcast_to(
            (tiles_y * self.period)[:, None, None] + self.y,
            (len(tiles_y), len(tiles_x), len(self.y)),
        )
        x = np.broadcast_to((tiles_x * self.period)[:, None] + self.x, y.shape)
        radius = np.broadcast_to(self.radius, y.shape)
        present = rule(y.ravel(), x.ravel(), radius.ravel()).reshape(y.shape)
        return Choice(self, present, int(tiles_y[0]), int(tiles_x[0]))

    def choose_at(
        self, y: NDArray[np.float64], x: NDArray[np.float64], rule: Rule
    ) -> tuple[NDArray[np.float64], Pixels]:
        """Distance from, and kind of, the nearest object that is there, at scattered positions."""
        ky = np.floor(y / self.texel).astype(np.int64)
        kx = np.floor(x / self.texel).astype(np.int64)
        at = (ky % self.size, kx % self.size)
        j = self.nearest[0][at].astype(np.int64)
        cy = ky // self.size * self.period + self.y[j]
        cx = kx // self.size * self.period + self.x[j]
        there = rule(cy, cx, self.radius[j])
        distance = np.where(there, self.distance[0][at].astype(np.float64), self.reach)
        return distance, self.kind[j]


@dataclass(frozen=True)
class Choice:
    """Which objects of a scatter are there, for one window."""

    scatter: Scatter
    present: NDArray[np.bool_]
    tile_y: int
    tile_x: int

    def read(
        self, window: Window, with_along: bool = False, with_kind: bool = False
    ) -> tuple[Pixels, Pixels | None, Pixels | None] | None:
        """Read distance, position along the axis and kind for each pixel; None if all is empty."""
        s = self.scatter
        copy, rows, columns = s._steps(window)
        n = s.size >> copy
        at = np.ix_(rows.samples % n, columns.samples % n)
        tiles = np.ix_(rows.samples // n - self.tile_y, columns.samples // n - self.tile_x)
        j = s.nearest[copy][at]
        there = self.present[tiles[0], tiles[1], j]
        if not there.any():
            return None
        samples = np.where(there, s.distance[copy][at], np.float32(s.reach))
        distance = interpolate(samples, rows, columns)
        along = interpolate(s.along[copy][at], rows, columns) if with_along else None
        kind = None
        if with_kind:
            near_y = rows.index + (rows.part > 0.5)
            near_x = columns.index + (columns.part > 0.5)
            kind = s.kind[j][near_y][:, near_x]
        return distance, along, kind


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
        t = np.linspace(-half, half, 7 if length else 1)
        side = bend * t * t
        new = np.stack([y + t * uy + side * ux, x + t * ux - side * uy, np.full_like(t, r)], 1)
        if len(balls):
            d = np.abs(new[:, None, :2] - balls[None, :, :2])
            d = np.minimum(d % period, period - d % period)
            far = new[:, None, 2] + balls[None, :, 2] + gap
            if (d[..., 0] * d[..., 0] + d[..., 1] * d[..., 1] < far * far).any():
                continue
        balls = np.concatenate([balls, new])
        kept.append((y, x, uy, ux, half, r, bend, roll[6]))
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
    rough = periodic_noise(size, size // 16, seed=seed + 1) * np.float32(wobble)
    objects: list[tuple[float, float, float, float]] = []
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
                objects.append((cy, cx, r, kind))
    columns = [np.array(c, dtype=np.float64) for c in zip(*objects, strict=True)]
    copies = 5
    nearest_copies = [nearest]
    for _ in range(copies - 1):
        nearest_copies.append(nearest_copies[-1][1::2, 1::2].copy())
    return Scatter(
        texel=texel,
        distance=mip_pyramid(distance, copies),
        along=mip_pyramid(along, copies),
        nearest=nearest_copies,
        y=columns[0],
        x=columns[1],
        radius=columns[2],
        kind=columns[3].astype(np.float32),
        reach=reach,
        size=size,
    )


def fractal(size: int, cells: int, octaves: int, seed: int) -> Pixels:
    """Sum noise of ever finer cells, each octave half as strong."""
    total = np.zeros((size, size), dtype=np.float32)
    strength = np.float32(0.5)
    for octave in range(octaves):
        total += strength * periodic_noise(size, cells << octave, seed=seed + octave)
        strength *= np.float32(0.5)
    return total


@cache
def grain() -> Texture:
    """Fine grain of stained protein, and dark dots the size of ribosomes (25 nm); mean near 0."""
    image = np.float32(0.45) * periodic_noise(1024, 32, seed=101)
    image += np.float32(0.5) * periodic_noise(1024, 64, seed=102)
    image += np.float32(0.3) * periodic_noise(1024, 256, seed=104)
    dots = periodic_noise(1024, 64, seed=103) + np.float32(0.5) * periodic_noise(1024, 128, 105)
    image -= np.float32(2.2) * np.clip(dots - np.float32(0.5), 0, np.float32(0.5))
    return Texture.of(image + np.float32(0.13), 1)


@cache
def sheets() -> Texture:
    """Distance from the nearest of many curved sheets in parallel, as in endoplasmic reticulum.

    The sheets are the contour lines of a smooth landscape, left out where another is low.
    """
    land = fractal(1024, 8, 2, seed=701)
    land = land + np.float32(0.06) * periodic_noise(1024, 64, seed=705)
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
