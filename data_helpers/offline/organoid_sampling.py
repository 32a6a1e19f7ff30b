"""Reading values that are known on a coarse grid, or in a repeating texture, at every pixel.

Below its own resolution a texture is interpolated; above, a coarser copy is read, so that levels of
the image agree with each other. Positions and distances are in pixels of level 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from .noise import mip_pyramid

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


def wrapped(image: Pixels, rows: Steps, columns: Steps) -> Pixels:
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
        copy, rows, columns = choose_copy(self.texel, window)
        image = self.pyramid[min(copy, len(self.pyramid) - 1)]
        return interpolate(wrapped(image, rows, columns), rows, columns)


def choose_copy(texel: int, window: Window) -> tuple[int, Steps, Steps]:
    """Choose which coarser copy to read, and place the window's pixels in it."""
    step = max(texel, window.pixel)
    rows = Steps.between(window.y0, window.y1, window.pixel, step, 0.5)
    columns = Steps.between(window.x0, window.x1, window.pixel, step, 0.5)
    return (step // texel).bit_length() - 1, rows, columns
