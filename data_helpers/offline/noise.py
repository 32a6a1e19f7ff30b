"""Exact noise: the same numbers on every machine, for ever.

Random generators and functions such as ``sin`` or ``exp`` may differ in the last bit between NumPy
versions and processors. A synthetic image that is painted on demand must not, so this module uses
integer hashes and the four IEEE operations that are exact everywhere.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

_MASK = 0xFFFFFFFF


def mix(h: ArrayLike) -> NDArray[np.uint32]:
    """Scramble 32-bit integers, so that neighbouring inputs give unrelated outputs.

    Parameters
    ----------
    h
        Array of integers from 0 to 2**32 - 1, any shape.

    Returns
    -------
    numpy.ndarray
        uint32, the same shape.
    """
    bits: Any = np.asarray(h).astype(np.uint32)
    with np.errstate(over="ignore"):  # wrapping round at 2**32 is what we want
        bits = (bits ^ (bits >> np.uint32(16))) * np.uint32(0x21F0AAAD)
        bits = (bits ^ (bits >> np.uint32(15))) * np.uint32(0xD35A2D97)
        return np.asarray(bits ^ (bits >> np.uint32(15)), dtype=np.uint32)


def hash_points(*coordinates: ArrayLike, seed: int = 0) -> NDArray[np.uint32]:
    """Hash integer coordinates to 32 random-looking bits.

    Parameters
    ----------
    *coordinates
        Integer arrays that broadcast together, for example ``y[:, None], x[None, :]``. Negative
        values are allowed. Put the arrays with the most elements last: it saves work.
    seed
        Another seed gives unrelated numbers.

    Returns
    -------
    numpy.ndarray
        uint32, of the broadcast shape.
    """
    state: Any = mix(np.array((seed + 0x6A09E667) & _MASK, dtype=np.uint32))
    for coordinate in coordinates:
        bits = (np.asarray(coordinate).astype(np.int64) & _MASK).astype(np.uint32)
        with np.errstate(over="ignore"):
            state = mix(state * np.uint32(0x9E3779B1) + bits)
    return np.asarray(state, dtype=np.uint32)


def to_unit(h: ArrayLike) -> NDArray[np.float32]:
    """Turn hashed integers into evenly spread float32 numbers from 0 up to, not including, 1."""
    bits = np.asarray(h).astype(np.uint32)
    return (bits >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)


def random_unit(*coordinates: ArrayLike, seed: int = 0) -> NDArray[np.float32]:
    """Give each integer point its own number in [0, 1): ``to_unit(hash_points(...))``."""
    return to_unit(hash_points(*coordinates, seed=seed))


def smoothstep(low: float, high: float, value: ArrayLike) -> NDArray[Any]:
    """Rise smoothly from 0 at `low` to 1 at `high`; keeps the float dtype of `value`."""
    v = np.asarray(value)
    t = np.clip((v - v.dtype.type(low)) * v.dtype.type(1.0 / (high - low)), 0, 1)
    return np.asarray(t * t * (v.dtype.type(3) - (t + t)), dtype=v.dtype)


def value_noise(y: ArrayLike, x: ArrayLike, cell: float, seed: int = 0) -> NDArray[np.float64]:
    """Smooth noise in the plane: random values at the corners of a grid, eased in between.

    Parameters
    ----------
    y, x
        Float positions that broadcast together.
    cell
        Size of a grid cell, in the unit of the positions: the size of the bumps.
    seed
        Another seed gives unrelated noise.

    Returns
    -------
    numpy.ndarray
        float64 in [-1, 1), of the broadcast shape.
    """
    v = np.asarray(y, dtype=np.float64) / cell
    u = np.asarray(x, dtype=np.float64) / cell
    iy, ix = np.floor(v), np.floor(u)
    fy, fx = v - iy, u - ix
    fy, fx = fy * fy * (3.0 - 2.0 * fy), fx * fx * (3.0 - 2.0 * fx)
    jy, jx = iy.astype(np.int64), ix.astype(np.int64)

    def corner(dy: int, dx: int) -> NDArray[np.float64]:
        return random_unit(jy + dy, jx + dx, seed=seed).astype(np.float64)

    top = corner(0, 0) * (1.0 - fx) + corner(0, 1) * fx
    bottom = corner(1, 0) * (1.0 - fx) + corner(1, 1) * fx
    return np.asarray(2.0 * (top * (1.0 - fy) + bottom * fy) - 1.0)


def periodic_noise(size: int, cells: int, seed: int = 0) -> NDArray[np.float32]:
    """Paint a square of smooth noise that tiles the plane without a seam.

    Parameters
    ----------
    size
        Pixels along each side.
    cells
        Bumps along each side; must divide `size`.
    seed
        Another seed gives unrelated noise.

    Returns
    -------
    numpy.ndarray
        float32 of shape (size, size), values in [-1, 1].
    """
    if size % cells:
        raise ValueError(f"cells={cells} does not divide size={size}.")
    step = size // cells
    corners = random_unit(np.arange(cells)[:, None], np.arange(cells)[None, :], seed=seed)
    corners = corners * np.float32(2) - np.float32(1)
    f = (np.arange(step).astype(np.float32) + np.float32(0.5)) / np.float32(step)
    f = f * f * (np.float32(3) - (f + f))
    rows = corners[:, None, :] + (np.roll(corners, -1, 0) - corners)[:, None, :] * f[None, :, None]
    rows = rows.reshape(size, cells)
    field = rows[:, :, None] + (np.roll(rows, -1, 1) - rows)[:, :, None] * f[None, None, :]
    return np.ascontiguousarray(field.reshape(size, size), dtype=np.float32)


def halve(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Average each 2 x 2 block of pixels of a float32 image with even sides."""
    top, bottom = image[0::2], image[1::2]
    rows = top + bottom
    return np.asarray((rows[:, 0::2] + rows[:, 1::2]) * np.float32(0.25), dtype=np.float32)


def mip_pyramid(image: NDArray[np.float32], levels: int) -> list[NDArray[np.float32]]:
    """Make coarser copies of an image, each the 2 x 2 mean of the one before.

    Parameters
    ----------
    image
        float32 of shape (Y, X), sides divisible by ``2 ** (levels - 1)``.
    levels
        How many images to return, the given one included.

    Returns
    -------
    list of numpy.ndarray
        `levels` images, finest first.
    """
    pyramid = [image]
    while len(pyramid) < levels:
        pyramid.append(halve(pyramid[-1]))
    return pyramid


def white_noise(y0: int, y1: int, x0: int, x1: int, seed: int = 0) -> NDArray[np.float32]:
    """Give every pixel of a window its own noise value, independent of its neighbours.

    Parameters
    ----------
    y0, y1, x0, x1
        The window in pixels of the whole plane, ends not included. The value of a pixel does not
        depend on the window it is painted in.
    seed
        Use another seed for each level, time point, channel or plane.

    Returns
    -------
    numpy.ndarray
        float32 of shape (y1 - y0, x1 - x0) in (-1, 1), triangular (two dice), standard
        deviation 0.41.
    """
    h = hash_points(np.arange(y0, y1)[:, None], np.arange(x0, x1)[None, :], seed=seed)
    dice = (h & np.uint32(0xFFFF)).astype(np.int32) - (h >> np.uint32(16)).astype(np.int32)
    return dice.astype(np.float32) * np.float32(1.0 / 65536.0)


def quick_noise(y0: int, y1: int, x0: int, x1: int, seed: int = 0) -> NDArray[np.float32]:
    """Give every pixel a noise value, at a third of the price of `white_noise`.

    Rows and columns are hashed well, pixels only scrambled. Values are spread evenly.

    Parameters
    ----------
    y0, y1, x0, x1
        The window in pixels of the whole plane, ends not included.
    seed
        Use another seed for each level, time point, channel or plane.

    Returns
    -------
    numpy.ndarray
        float32 of shape (y1 - y0, x1 - x0) in [-1, 1), standard deviation 0.58.
    """
    rows = hash_points(np.arange(y0, y1), seed=seed)
    columns = hash_points(np.arange(x0, x1), seed=seed + 1)
    h = rows[:, None] ^ columns[None, :]
    h *= np.uint32(0x9E3779B1)
    h ^= h >> np.uint32(15)
    h *= np.uint32(0x85EBCA77)
    h >>= np.uint32(8)
    noise = h.astype(np.float32)
    noise *= np.float32(2.0**-23)
    noise -= np.float32(1)
    return noise
