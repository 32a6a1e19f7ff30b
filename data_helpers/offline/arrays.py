"""The arrays of the bucket: one chunk an object (Zarr v2), or many of them in a shard (Zarr v3)."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any

BLOSC_HEADER = 16  # bytes before the pixels in a stored Blosc frame
COMPRESSOR = {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0}
CHUNKS_IN_A_SHARD = 4  # along Y and X, where the level is as large as that
EMPTY = 2**64 - 1  # in the index of a shard: there is no such chunk

Index = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Array:
    """One Zarr array of the bucket: one level of an image or of a label image.

    Attributes
    ----------
    path : str
        Key of the array, without a slash at the end.
    shape, chunks : tuple of int
        Five axes, TCZYX. Edge chunks are stored in full and padded with zeros.
    dtype : str
        Zarr v2 data type such as ``">u2"``.
    separator : str
        ``"."`` or ``"/"``, between the numbers of a chunk key.
    painter : str
        Module and function that paint it, such as ``"organoid.paint"``.
    level : int
        Level to ask the painter for, 0 is the finest.
    picture : tuple of int
        Which of its pictures to ask the painter for, if it has several.
    """

    path: str
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: str
    separator: str
    painter: str
    level: int
    picture: tuple[int, ...] = ()

    document = ".zarray"

    @property
    def folder(self) -> str:
        """Key below which its objects are, with a slash at the end."""
        return f"{self.path}/"

    @property
    def grid(self) -> Index:
        """Number of objects along each axis."""
        return tuple(math.ceil(s / c) for s, c in zip(self.shape, self.chunks, strict=True))

    @property
    def itemsize(self) -> int:
        """Bytes of one pixel."""
        return int(self.dtype[-1])

    @property
    def chunk_bytes(self) -> int:
        """Bytes of the pixels of one chunk, all chunks being equally large."""
        return math.prod(self.chunks) * self.itemsize

    def size_of(self, index: Index) -> int:
        """Bytes of one object: here of the chunk with this position."""
        return self.chunk_bytes + BLOSC_HEADER

    def metadata(self) -> dict[str, Any]:
        """Return the content of the array's metadata document."""
        metadata: dict[str, Any] = {
            "chunks": self.chunks,
            "compressor": COMPRESSOR,
            "dtype": self.dtype,
            "fill_value": 0,
            "filters": None,
            "order": "C",
            "shape": self.shape,
            "zarr_format": 2,
        }
        if self.separator == "/":  # "." is the default of Zarr v2, and v0.1 does not spell it out
            metadata["dimension_separator"] = "/"
        return metadata


@dataclass(frozen=True, eq=False)
class ShardedArray(Array):
    """An array of Zarr v3 whose objects are shards: up to 4 x 4 chunks, then an index of them.

    The index says for each place of the shard where its chunk begins and how long it is. Places
    beyond the end of the image are empty.
    """

    document = "zarr.json"

    @property
    def folder(self) -> str:
        """Key below which its shards are, with a slash at the end."""
        return f"{self.path}/c/"

    @property
    def shard(self) -> Index:
        """Pixels of a shard along each axis."""
        counts = [math.ceil(s / c) for s, c in zip(self.shape[3:], self.chunks[3:], strict=True)]
        y, x = (min(count, CHUNKS_IN_A_SHARD) for count in counts)
        return (*self.chunks[:3], self.chunks[3] * y, self.chunks[4] * x)

    @property
    def grid(self) -> Index:
        """Number of shards along each axis."""
        return tuple(math.ceil(s / c) for s, c in zip(self.shape, self.shard, strict=True))

    def chunks_of(self, index: Index) -> list[Index]:
        """Positions of the chunks of a shard, in the order in which they are stored."""
        return [place for place in self._places(index) if self._is_inside(place)]

    def size_of(self, index: Index) -> int:
        """Bytes of one shard."""
        places = len(self._places(index))
        return len(self.chunks_of(index)) * (self.chunk_bytes + BLOSC_HEADER) + 16 * places + 4

    def shard_index(self, index: Index) -> bytes:
        """Return the index at the end of a shard, with its checksum."""
        size = self.chunk_bytes + BLOSC_HEADER
        numbers: list[int] = []
        start = 0
        for place in self._places(index):
            inside = self._is_inside(place)
            numbers += (start, size) if inside else (EMPTY, EMPTY)
            start += size * inside
        packed = struct.pack(f"<{len(numbers)}Q", *numbers)
        return packed + struct.pack("<I", crc32c(packed))

    def metadata(self) -> dict[str, Any]:
        """Return the content of the array's ``zarr.json``."""
        blosc = {key: value for key, value in COMPRESSOR.items() if key != "id"}
        blosc |= {"shuffle": "shuffle", "typesize": self.itemsize}
        sharding = {
            "chunk_shape": self.chunks,
            "codecs": [codec("bytes", endian="little"), codec("blosc", **blosc)],
            "index_codecs": [codec("bytes", endian="little"), {"name": "crc32c"}],
            "index_location": "end",
        }
        return {
            "zarr_format": 3,
            "node_type": "array",
            "shape": self.shape,
            "data_type": "uint16",
            "chunk_grid": codec("regular", chunk_shape=self.shard),
            "chunk_key_encoding": codec("default", separator="/"),
            "fill_value": 0,
            "codecs": [codec("sharding_indexed", **sharding)],
            "dimension_names": list("tczyx"),
            "attributes": {},
        }

    def _places(self, index: Index) -> list[Index]:
        counts = (s // c for s, c in zip(self.shard, self.chunks, strict=True))
        spans = [range(i * n, (i + 1) * n) for i, n in zip(index, counts, strict=True)]
        return list(product(*spans))

    def _is_inside(self, place: Index) -> bool:
        return all(n * c < s for n, c, s in zip(place, self.chunks, self.shape, strict=True))


def codec(name: str, **configuration: Any) -> dict[str, Any]:
    """Return a named choice as Zarr v3 writes it."""
    return {"name": name, "configuration": configuration}


def crc32c(data: bytes) -> int:
    """Return the checksum (Castagnoli) with which the index of a shard ends."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _crc_table()[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


@cache
def _crc_table() -> list[int]:
    table = []
    for number in range(256):
        for _ in range(8):
            number = (number >> 1) ^ (0x82F63B78 if number & 1 else 0)
        table.append(number)
    return table
