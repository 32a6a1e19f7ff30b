"""Reads along depth: all planes below a part of a level, chunk by chunk and within bounds.

A stack of planes is many times a plane, so a level is chosen that is affordable, and where even
the coarsest one is not, layers of chunks are left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from ..errors import TooLargeError
from ..multiscale import Multiscale
from ..stored_array import StoredArray
from .tiles import ChunkCache, NotWantedError, always

BYTES = 64_000_000
"""Decoded bytes that may be read for one look along depth: half of what the viewers keep."""

CHUNKS = 1000
"""Chunks that may be read for it; each is a request."""


TOGETHER = 128
"""Chunks that are asked for at once; each such question has the patience of a tile."""


class Block(NamedTuple):
    """Some planes of some pixels: which they are, and their values, shape (z, y, x)."""

    planes: np.ndarray
    rows: slice
    columns: slice
    pixels: np.ndarray


def layers(array: StoredArray, axis: int) -> int:
    """How many layers of chunks a level has along an axis."""
    return -(-array.shape[axis] // array.chunks[axis])


def chunk_bytes(array: StoredArray) -> int:
    """Bytes of a decoded chunk."""
    return array.dtype.itemsize * int(np.prod(array.chunks, dtype=object))


def affordable_level(image: Multiscale) -> tuple[int, int]:
    """The finest level of an image that may be read whole, and every which layer of it.

    All layers, if there is such a level; else so many of the coarsest one as are affordable.
    """
    depth = image.roles.index("z")
    for number, array in enumerate(image.stored):
        count = int(np.prod([layers(array, image.roles.index(a)) for a in "zyx"], dtype=object))
        every = left_out(array, count)
        if every == 1:
            return number, 1
    return number, min(every, layers(array, depth))


def left_out(array: StoredArray, chunks: int) -> int:
    """Every which layer may be read, if all layers hold so many chunks; 1 for all of them."""
    return max(1, math.ceil(max(chunks * chunk_bytes(array) / BYTES, chunks / CHUNKS)))


def walk(
    array: StoredArray,
    at: tuple[int, ...],
    axis: int,
    every: int,
    rows: np.ndarray,
    columns: np.ndarray,
    cache: ChunkCache,
    wanted: Callable[[], bool] = always,
    yx: tuple[int, int] = (-2, -1),
) -> Iterator[Block]:
    """Go through the planes of some rows and columns, by whole chunks through the cache.

    Parameters
    ----------
    array : StoredArray
        One level.
    at : tuple of int
        Index along each axis, in storage order; those along `axis`, Y and X are not looked at.
    axis : int
        The axis to go along.
    every : int
        Every which layer of chunks is read; 1 for all.
    rows, columns : numpy.ndarray
        Indices along Y and X, ascending.
    cache, wanted, yx
        As for `read_plane`.

    Raises
    ------
    TooLargeError
        A chunk holds more than the cache may keep.
    """
    down, across = (place % array.ndim for place in yx)
    high, wide, deep = (array.chunks[n] for n in (down, across, axis))
    size = chunk_bytes(array)
    if size > cache.max_bytes:
        raise TooLargeError(
            f"One chunk of {array.address} holds {size / 1e6:.0f} MB, more than the viewer keeps "
            "in memory; such an image cannot be looked at along its depth."
        )
    keep = size * 8 <= cache.max_bytes
    together = min(max(cache.max_bytes // 16 // size, 1), TOGETHER) if keep else 1
    inside = [n % chunk for n, chunk in zip(at, array.chunks, strict=True)]
    first = [n // chunk for n, chunk in zip(at, array.chunks, strict=True)]
    todo = list(range(0, layers(array, axis), every))
    for first[down] in map(int, np.unique(rows // high)):
        for first[across] in map(int, np.unique(columns // wide)):
            y, x = first[down] * high, first[across] * wide
            k, m = map(int, np.searchsorted(rows, [y, y + high]))
            i, j = map(int, np.searchsorted(columns, [x, x + wide]))
            for start in range(0, len(todo), together):
                batch = todo[start : start + together]
                positions = [(*first[:axis], layer, *first[axis + 1 :]) for layer in batch]
                if keep:
                    chunks = cache.get(array, [(place, None) for place in positions], wanted)
                elif wanted():
                    chunks = array.read_chunks(positions)
                else:
                    raise NotWantedError
                for layer, chunk in zip(batch, chunks, strict=True):
                    planes = np.arange(layer * deep, min((layer + 1) * deep, array.shape[axis]))
                    part: list[np.ndarray] = [np.array([n]) for n in inside]
                    part[axis] = planes - layer * deep
                    part[down], part[across] = rows[k:m] - y, columns[i:j] - x
                    pixels = chunk[np.ix_(*part)]
                    order = (axis, down, across)
                    others = tuple(n for n in range(array.ndim) if n not in order)
                    block = pixels.transpose(*order, *others).reshape(len(planes), m - k, j - i)
                    yield Block(planes, slice(k, m), slice(i, j), block)
