"""What the benchmark's endpoint holds: the stand-in's objects, painted once and kept in memory.

The stand-in itself keeps 32 MB of painted strips. Here every object stays, so that a second
request for it costs no painting, and what is measured is the network that the endpoint plays.

To see how cost grows there are more keys, which cost no painting either:

* ``zarr/repeated/4007801.zarr`` is the movie, but of its planes only twenty differ;
* ``zarr/chunks/{number}.zarr`` has this number of chunks, and all are the same plane;
* ``zarr/compressed/{codec}/{number}.zarr`` has this number of compressed chunks of 2 MB, sixteen
  in a plane, which are noise on a slope: three quarters of their bytes are left.
"""

from __future__ import annotations

import json
import re
from functools import partial

import numpy as np
from numcodecs import Blosc

from data_helpers.offline.arrays import COMPRESSOR, Array, ShardedArray
from data_helpers.offline.catalogue import BUCKET, Entry, build_catalogue
from data_helpers.offline.chunks import paint_strip, strip_rows

MOVIE = "zarr/v0.1/4007801.zarr"
REPEATED = "zarr/repeated/4007801.zarr"
PLANE = (128, 135)  # Y and X of a chunk of the movie's level 4
REPEATED_PLANE = re.compile(REPEATED + r"/4/\d+\.(\d)\.(\d+)\.0\.0")
COUNTED = re.compile(r"zarr/chunks/(\d{1,9})\.zarr/(\.z\w+|0/\.zarray|0/(\d+)\.0\.0\.0\.0)")

COMPRESSED = re.compile(
    r"zarr/compressed/(lz4|zstd)/(\d{1,5})\.zarr/(\.z\w+|0/\.zarray|0/(\d+)\.(\d)\.(\d))"
)
TILE, TILES = (
    1024,
    4,
)  # pixels of a compressed chunk along Y and X, and chunks of a plane along each
DIFFERENT = 8  # compressed chunks; the others repeat them


class Objects:
    """All objects of the bucket, each made when it is first wanted.

    Attributes
    ----------
    made : int
        Chunks painted so far.
    """

    def __init__(self) -> None:
        self._catalogue = build_catalogue()
        self._kept: dict[str, bytes | None] = {}
        self.made = 0

    def kept(self, path: str) -> bool:
        """Whether an object (or that there is none) is known without any work."""
        return path in self._kept

    def get(self, path: str) -> bytes | None:
        """The bytes of ``bucket/key``, or None where there is no such key. May paint."""
        if path not in self._kept:
            bucket, _, key = path.partition("/")
            self._kept[path] = self._make(key) if bucket == BUCKET else None
        return self._kept[path]

    def _make(self, key: str) -> bytes | None:
        counted = COUNTED.fullmatch(key)
        if counted:
            return self._counted(int(counted[1]), counted[2], counted[3])
        compressed = COMPRESSED.fullmatch(key)
        if compressed:
            codec, chunks, name, *at = compressed.groups()
            return self._compressed(codec, int(chunks), name, [int(n) for n in at if n])
        if key.startswith(REPEATED):
            return self._repeated(key)
        entry = self._catalogue.find(key)
        if entry is None or entry.array is None:
            return entry.document if entry else None
        self.made += 1
        return paint(entry)

    def _counted(self, chunks: int, name: str, number: str | None) -> bytes | None:
        """An object of the image that has this many chunks."""
        if name == ".zattrs":
            levels = {"datasets": [{"path": "0"}], "version": "0.1", "name": "synthetic planes"}
            return json.dumps({"multiscales": [levels]}).encode()
        if name == ".zgroup":
            return json.dumps({"zarr_format": 2}).encode()
        if number is None:
            return json.dumps(counted_array(chunks)).encode() if name == "0/.zarray" else None
        return self._plane(1, 4) if int(number) < chunks else None

    def _compressed(self, codec: str, chunks: int, name: str, at: list[int]) -> bytes | None:
        """An object of the image of compressed chunks."""
        if name == ".zattrs":
            axes = [{"name": axis, "type": "space"} for axis in "zyx"]
            scale = [{"type": "scale", "scale": [1.0, 1.0, 1.0]}]
            levels = [{"path": "0", "coordinateTransformations": scale}]
            image = {"axes": axes, "datasets": levels, "version": "0.4", "name": "noise"}
            return json.dumps({"multiscales": [image]}).encode()
        blosc = Blosc(codec, clevel=5 if codec == "lz4" else 3, shuffle=Blosc.SHUFFLE)
        if name == "0/.zarray":
            return json.dumps(compressed_array(chunks, blosc)).encode()
        if not at or not at[0] < chunks // TILES**2 or max(at[1:]) >= TILES:
            return None
        number = (TILES**2 * at[0] + TILES * at[1] + at[2]) % DIFFERENT
        kept = f"{codec} {number}"
        if kept not in self._kept:
            self._kept[kept] = blosc.encode(noise(number))
        return self._kept[kept]

    def _repeated(self, key: str) -> bytes | None:
        """An object of the movie with few different planes: ten depths of each channel."""
        plane = REPEATED_PLANE.fullmatch(key)
        if plane:
            return self._plane(int(plane[1]), int(plane[2]) % 10)
        return self.get(f"{BUCKET}/{key.replace(REPEATED, MOVIE)}")

    def _plane(self, channel: int, number: int) -> bytes | None:
        """One of ten planes in the middle of the movie."""
        return self.get(f"{BUCKET}/{MOVIE}/4/265.{channel}.{490 + number}.0.0")


def counted_array(chunks: int) -> dict[str, object]:
    """The ``.zarray`` of an array of this many planes, one a chunk."""
    return {
        "chunks": (1, 1, 1, *PLANE),
        "compressor": COMPRESSOR,
        "dtype": "<u2",
        "fill_value": 0,
        "filters": None,
        "order": "C",
        "shape": (chunks, 1, 1, *PLANE),
        "zarr_format": 2,
    }


def compressed_array(chunks: int, codec: Blosc) -> dict[str, object]:
    """The ``.zarray`` of an array of this many compressed chunks, sixteen in a plane."""
    return counted_array(chunks) | {
        "chunks": (1, TILE, TILE),
        "compressor": codec.get_config(),
        "shape": (chunks // TILES**2, TILES * TILE, TILES * TILE),
    }


def noise(seed: int) -> np.ndarray:
    """Pixels such as a camera's: grey values of a slope, and noise that hardly compresses."""
    slope = np.add.outer(np.arange(TILE), np.arange(TILE)) * 1.5
    grain = np.random.default_rng(seed).normal(500, 100, (TILE, TILE))
    return (slope + grain).clip(0).astype("<u2")


def paint(entry: Entry) -> bytes:
    """One object as it is stored, from the painter of its image: a chunk, or a shard of them."""
    array = entry.array
    assert array is not None
    if isinstance(array, ShardedArray):
        chunks = [paint_chunk(array, index) for index in array.chunks_of(entry.index)]
        return b"".join([*chunks, array.shard_index(entry.index)])
    return paint_chunk(array, entry.index)


def paint_chunk(array: Array, index: tuple[int, ...]) -> bytes:
    """One chunk as it is stored."""
    strips = range(-(-array.chunks[3] // strip_rows(array)))
    return b"".join(map(partial(paint_strip, array, index), strips))
