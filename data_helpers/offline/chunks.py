"""One chunk: painted when it is asked for, and wrapped as a Blosc frame. A shard is several.

A chunk is stored uncompressed *inside* a Blosc frame (``clevel=0``): sixteen bytes of header,
then the pixels as they are. Every Blosc decoder reads such a frame. It costs no time to
compress, is the same for every version of Blosc, and its size is known before a pixel is
painted, which makes HEAD, listings and byte ranges exact and instant.

It also means that a chunk can be painted in strips of rows. Only the rows that a byte range needs
are painted, and however many clients ask at once, the server holds strips, not chunks.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from importlib import import_module
from typing import Any

from .arrays import BLOSC_HEADER, Array, ShardedArray

STRIP_BYTES = 2**20
CACHE_BYTES = 32 * 2**20
# Two at a time, on any machine: a painter needs tens of megabytes while it paints, and the server
# has to stay under 300.
PAINTERS = ThreadPoolExecutor(2, thread_name_prefix="painter")

StripKey = tuple[Array, tuple[int, ...], int]


class StripCache:
    """The strips used most recently, as many as fit into `limit` bytes.

    It belongs to the thread of the server's event loop, and so needs no lock.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.size = 0
        self._strips: OrderedDict[StripKey, bytes] = OrderedDict()

    def get(self, key: StripKey) -> bytes | None:
        """Return a strip, or None if it is not kept."""
        if key in self._strips:
            self._strips.move_to_end(key)
        return self._strips.get(key)

    def put(self, key: StripKey, strip: bytes) -> None:
        """Keep a strip, and forget the oldest ones beyond the limit."""
        self.size += len(strip) - len(self._strips.get(key, b""))
        self._strips[key] = strip
        while self.size > self.limit:
            _, forgotten = self._strips.popitem(last=False)
            self.size -= len(forgotten)


async def read_object(
    array: Array, index: tuple[int, ...], start: int, stop: int, cache: StripCache
) -> AsyncIterator[bytes]:
    """Yield the bytes `start` to `stop` of an object: of a chunk, or of a shard with its index.

    Parameters
    ----------
    array, index
        The array, and the position of the object in its grid.
    start, stop, cache
        As for `read_chunk`. Of a shard only the chunks that the range touches are painted.
    """
    if not isinstance(array, ShardedArray):
        async for piece in read_chunk(array, index, start, stop, cache):
            yield piece
        return
    offset, size = 0, array.chunk_bytes + BLOSC_HEADER
    for chunk in array.chunks_of(index):
        first, last = max(start - offset, 0), min(stop - offset, size)
        if first < last:
            async for piece in read_chunk(array, chunk, first, last, cache):
                yield piece
        offset += size
    if stop > offset:
        yield array.shard_index(index)[max(start - offset, 0) : stop - offset]


async def read_chunk(
    array: Array, index: tuple[int, ...], start: int, stop: int, cache: StripCache
) -> AsyncIterator[bytes]:
    """Yield the bytes `start` to `stop` of a chunk's Blosc frame, strip by strip.

    Painting happens in the threads of ``PAINTERS``, so only that many strips are painted at a time.

    Parameters
    ----------
    array : Array
        The array the chunk belongs to.
    index : tuple of int
        Position of the chunk in the grid of chunks, TCZYX.
    start, stop : int
        Range of bytes within the frame, `stop` not included.
    cache : StripCache
        Strips painted before.
    """
    loop = asyncio.get_running_loop()
    step = strip_rows(array) * row_bytes(array)
    for offset in range(0, array.chunk_bytes, step):
        begin = offset + BLOSC_HEADER if offset else 0  # the header travels with the first strip
        end = min(offset + step, array.chunk_bytes) + BLOSC_HEADER
        if begin < stop and end > start:
            key = (array, index, offset // step)
            strip = cache.get(key)
            if strip is None:
                strip = await loop.run_in_executor(PAINTERS, paint_strip, *key)
                cache.put(key, strip)
            yield strip[max(start - begin, 0) : stop - begin]


def paint_strip(array: Array, index: tuple[int, ...], number: int) -> bytes:
    """Paint one strip of rows of a chunk and return its bytes, as they are stored.

    Rows and columns of an edge chunk that lie outside the image are zero, the fill value.
    """
    import numpy as np

    t, c, z, row, column = index
    height, width = array.chunks[3:]
    first = number * strip_rows(array)
    rows = min(strip_rows(array), height - first)
    y0, x0 = row * height + first, column * width
    y1, x1 = min(y0 + rows, array.shape[3]), min(x0 + width, array.shape[4])

    pixels = np.zeros((rows, width), dtype=array.dtype)
    if y1 > y0:
        paint = painter(array.painter)
        where = (array.level, t, z) if array.painter.endswith("_labels") else (array.level, t, c, z)
        pixels[: y1 - y0, : x1 - x0] = paint(*array.picture, *where, y0, y1, x0, x1)
    header = blosc_header(array.chunk_bytes, array.itemsize) if number == 0 else b""
    return header + pixels.tobytes()


def row_bytes(array: Array) -> int:
    """Return the bytes of one row of pixels of a chunk."""
    return array.chunks[4] * array.itemsize


def strip_rows(array: Array) -> int:
    """Return how many rows of a chunk are painted at a time."""
    return min(max(1, STRIP_BYTES // row_bytes(array)), array.chunks[3])


@lru_cache
def blosc_header(nbytes: int, itemsize: int) -> bytes:
    """Return the header of a Blosc frame that holds `nbytes` bytes uncompressed."""
    import numpy as np
    from numcodecs.blosc import Blosc  # type: ignore[import-untyped]

    empty = np.zeros(nbytes // itemsize, dtype=f"u{itemsize}")
    return bytes(Blosc(cname="lz4", clevel=0, shuffle=1).encode(empty)[:BLOSC_HEADER])


@lru_cache
def painter(name: str) -> Callable[..., Any]:
    """Return a painting function such as ``organoid.paint``, importing its module when needed."""
    module, function = name.split(".")
    paint: Callable[..., Any] = getattr(import_module(f"{__package__}.{module}"), function)
    return paint
