"""Sizes that the metadata of an array name, and those that are too large to be worked with.

An array may be far larger than any memory, and still a part of it can be read. Its chunks may not:
each is unpacked as a whole.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .._formatting import as_written, format_bytes
from .codecs import SHARDING, name_of, settings_of

CHUNK_BYTES = 2 * 1024**3
"""The largest chunk that is read, unpacked; the usual codecs take no larger one either."""

INDEX_CHUNKS = 4 * 1024**2
"""The most chunks that a shard may hold: its index, 16 bytes for each, is read as a whole."""

INDEX_ENTRY = 16

SPARE_BYTES = 1024**2
"""What a stored object may be larger than twice what it should be: there are strange writers."""

TOGETHER_BYTES = 32 * 1024**2
"""The same for a part of a shard: from 3.4 on, Zarr asks for small chunks side by side together."""


def check_sizes(document: dict[str, Any]) -> None:
    """Look at the shape of an array, and at that of its chunks.

    Raises
    ------
    ValueError
        They are no sizes, or too large for any program.
    """
    shape, chunks = document["shape"], chunk_shape(document)
    for key, sizes in (("shape", shape), ("the chunk shape", chunks)):
        if not isinstance(sizes, list | tuple) or not all(map(_is_size, sizes)):
            raise ValueError(f"{key} is {as_written(sizes)}")
    if len(shape) != len(chunks):
        raise ValueError(f"a shape of {len(shape)} sizes and chunks of {len(chunks)}")
    if 0 in chunks:
        raise ValueError("a chunk size of 0")


def _is_size(size: Any) -> bool:
    return isinstance(size, int) and not isinstance(size, bool) and 0 <= size < 2**63


def chunk_shape(document: dict[str, Any]) -> Any:
    """The chunk shape as written; from Zarr 3.4 on, the library reads a size of 0 as 1.

    Of a sharded array it is the shape of a shard.
    """
    if document["zarr_format"] == 2:
        return document["chunks"]
    return document["chunk_grid"]["configuration"]["chunk_shape"]


def itemsize_of(document: dict[str, Any]) -> int:
    """Bytes of a pixel, or those of the largest number where NumPy does not know the type."""
    dtype = document["dtype"] if document["zarr_format"] == 2 else document["data_type"]
    try:
        return np.dtype(dtype).itemsize or 16
    except (TypeError, ValueError):
        return 16


class ChunkSizes:
    """How large the chunks of an array are, and how large the objects that hold them.

    Parameters
    ----------
    document : dict
        Content of ``.zarray`` or ``zarr.json``, as `check_sizes` lets it through.
    stored : int
        The most bytes that a chunk should have as it is stored; of a shard, one of its chunks.

    Attributes
    ----------
    whole, part : int
        The most bytes that a stored object may have, and a part of it that is asked for.
    problem : str
        Why no chunk can be read: the end of a sentence; or "".
    """

    def __init__(self, document: dict[str, Any], stored: int) -> None:
        inner, listed = chunk_shape(document), 0
        codecs = [] if document["zarr_format"] == 2 else document["codecs"]
        for codec in codecs:
            if name_of(codec) == SHARDING:
                outer, inner = inner, settings_of(codec)["chunk_shape"]
                listed = math.prod(size // chunk for size, chunk in zip(outer, inner, strict=True))
        unpacked = math.prod(inner) * itemsize_of(document)
        index = INDEX_ENTRY * listed
        self.part = 2 * stored + TOGETHER_BYTES + index
        self.whole = 2 * stored * max(1, listed) + SPARE_BYTES + index
        self.problem = ""
        if unpacked > CHUNK_BYTES:
            self.problem = (
                f"a chunk of it is {format_bytes(unpacked)} when unpacked, and no more than "
                f"{format_bytes(CHUNK_BYTES)} are"
            )
        elif listed > INDEX_CHUNKS:
            self.problem = (
                f"a shard of it lists {listed:,} chunks, and no more than {INDEX_CHUNKS:,} are"
            )
