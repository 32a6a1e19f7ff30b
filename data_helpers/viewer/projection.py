"""The greatest value along depth: a maximum projection of what is in view."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .._display.pixels import drawable
from ..stored_array import StoredArray
from .stack import walk
from .tiles import ChunkCache, always


def project(
    array: StoredArray,
    at: tuple[int, ...],
    axis: int,
    every: int,
    rows: np.ndarray,
    columns: np.ndarray,
    cache: ChunkCache,
    wanted: Callable[[], bool] = always,
    yx: tuple[int, int] = (-2, -1),
) -> np.ndarray:
    """The maximum over all planes, of some rows and columns of a level.

    Chunks are gone through one after another, and only their maximum is kept: so a stack needs no
    more memory than the cache has.

    Parameters
    ----------
    array, at, axis, every, rows, columns, cache, wanted, yx
        As for `walk`.

    Returns
    -------
    numpy.ndarray
        Shape (rows, columns), real numbers; of complex pixels the magnitude. NaN where no plane
        has a finite value.
    """
    down, across = (place % array.ndim for place in yx)
    high, wide = array.chunks[down], array.chunks[across]
    fixed = tuple(n for place, n in enumerate(at) if place not in (axis, down, across))
    out = None
    for y in map(int, np.unique(rows // high)):
        for x in map(int, np.unique(columns // wide)):
            key = (array, "maximum", fixed, every, y, x)
            found = cache.recall(key)
            if found is None:
                part = (
                    np.arange(y * high, min((y + 1) * high, array.shape[down])),
                    np.arange(x * wide, min((x + 1) * wide, array.shape[across])),
                )
                for block in walk(array, at, axis, every, *part, cache, wanted, yx):
                    found = _brighter(found, block.pixels)
                assert found is not None
                cache.remember(key, found)
            k, m = np.searchsorted(rows, [y * high, (y + 1) * high])
            i, j = np.searchsorted(columns, [x * wide, (x + 1) * wide])
            if out is None:
                out = np.empty((len(rows), len(columns)), found.dtype)
            out[k:m, i:j] = found[np.ix_(rows[k:m] - y * high, columns[i:j] - x * wide)]
    assert out is not None
    return out


def _brighter(before: np.ndarray | None, pixels: np.ndarray) -> np.ndarray:
    """The greatest of what was found before and of more planes, shape (z, y, x)."""
    values = drawable(pixels)
    if values.dtype.kind == "f":
        values = np.where(np.isfinite(values), values, np.nan)
    most: np.ndarray = np.fmax.reduce(values)
    return most if before is None else np.fmax(before, most)
