"""Codecs that unpack no more bytes than a chunk may hold.

What a chunk has to hold follows from its shape and its type, but what its bytes unpack to is said
by the bytes: 31 kB may become 2 GB. So Zarr and `_decoding` are given the codecs of this module.
They stand for those that the metadata name, and stop where there are too many bytes. Where a
format says in a header how much it holds, that is looked at before anything is unpacked.
"""

from __future__ import annotations

import asyncio
import bz2
import lzma
import math
import zlib
from collections.abc import Callable
from typing import Any

import numcodecs
import numpy as np
from numcodecs.abc import Codec
from numcodecs.compat import ndarray_copy
from zarr.abc.codec import BytesBytesCodec
from zarr.codecs import ShardingCodec

from ._metadata.codecs import COMPRESSORS, SHARDING, name_of, settings_of, sizes_before

ZSTD_BLOCK = 128 * 1024
"""The most bytes that one block of Zstandard unpacks to."""

ZSTD_ROOM = 64 * 1024**2
"""A frame that does not say its size may seem larger than it is, by so much: its blocks count as
full ones."""


LZMA_MEMORY = 256 * 1024**2
"""The most memory that LZMA may take beside what it unpacks; its largest preset takes 65 MB."""


class TooManyBytesError(ValueError):
    """What was stored unpacks to more bytes than there may be."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"it unpacks to more than the {limit:,} bytes that it may hold")


class BoundedCodec(Codec):
    """A codec of numcodecs that makes no more than `limit` bytes when it decodes.

    Parameters
    ----------
    inner : numcodecs.abc.Codec
        Which codec.
    limit : int
        The most bytes that may come out.
    """

    codec_id = ""  # Zarr looks whether the class has one; each object has that of its codec

    def __init__(self, inner: Codec, limit: int) -> None:
        self.inner, self.limit, self.codec_id = inner, limit, inner.codec_id

    def get_config(self) -> dict[str, Any]:
        """Settings of the codec, as the metadata have them."""
        return dict(self.inner.get_config())

    def __repr__(self) -> str:
        return repr(self.inner)

    def decode(self, buf: Any, out: Any = None) -> Any:
        """Undo the codec.

        Raises
        ------
        TooManyBytesError
            More than `limit` bytes would come out.
        """
        found = self._decode(buf)
        size = found.nbytes if isinstance(found, np.ndarray) else len(found)
        if size > self.limit:
            raise TooManyBytesError(self.limit)
        return found if out is None else ndarray_copy(found, out)

    def _decode(self, buf: Any) -> Any:
        name = self.codec_id
        if name in _STREAMS:
            return _unpack_streams(_STREAMS[name](self.inner), _as_bytes(buf), self.limit)
        if name in _SIZES and _SIZES[name](_as_bytes(buf)) > self.limit:
            raise TooManyBytesError(self.limit)
        return self.inner.decode(buf)

    def encode(self, buf: Any) -> Any:
        """As the codec does it."""
        return self.inner.encode(buf)


class BoundedBytesCodec(BytesBytesCodec):
    """The same for Zarr v3.

    Parameters
    ----------
    written : dict
        The codec as the metadata have it.
    bounded : BoundedCodec
        What decodes.
    """

    is_fixed_size = False

    def __init__(self, written: Any, bounded: BoundedCodec) -> None:
        self.written, self.bounded = written, bounded

    def to_dict(self) -> dict[str, Any]:
        """The codec as the metadata have it."""
        return {"name": self.written} if isinstance(self.written, str) else self.written

    def _decode_sync(self, chunk_bytes: Any, chunk_spec: Any) -> Any:
        found = self.bounded.decode(chunk_bytes.as_numpy_array())
        return chunk_spec.prototype.buffer.from_bytes(found)

    async def _decode_single(self, chunk_bytes: Any, chunk_spec: Any) -> Any:
        return await asyncio.to_thread(self._decode_sync, chunk_bytes, chunk_spec)

    def compute_encoded_size(self, input_byte_length: int, _chunk_spec: Any) -> int:
        """Refused: it is not known beforehand."""
        raise NotImplementedError


def with_bounded_codecs(document: dict[str, Any], itemsize: int) -> tuple[dict[str, Any], int]:
    """The metadata of an array with codecs that hold to the size of its chunks.

    Parameters
    ----------
    document : dict
        As `_metadata.codecs.check_codecs` lets it through.
    itemsize : int
        Bytes of a pixel.

    Returns
    -------
    document : dict
        The same, for `zarr.Array.from_dict`.
    stored : int
        The most bytes that a chunk should have as it is stored; of a shard, one of its chunks.
    """
    if document["zarr_format"] != 2:
        shape = document["chunk_grid"]["configuration"]["chunk_shape"]
        codecs, stored = _bounded_v3(document["codecs"], shape, itemsize)
        return {**document, "codecs": codecs}, stored
    filters = list(document.get("filters") or ())
    compressor = document.get("compressor")
    written = [*filters, *([compressor] if compressor is not None else [])]
    sizes = sizes_before(written, math.prod(document["chunks"]), itemsize)
    codecs = [
        BoundedCodec(numcodecs.get_codec(dict(codec)), size)
        for codec, size in zip(written, sizes, strict=False)
    ]
    filters, others = codecs[: len(filters)], codecs[len(filters) :]
    bounded = {"filters": filters or None, "compressor": others[0] if others else None}
    return {**document, **bounded}, sizes[-1]


def _bounded_v3(written: Any, shape: Any, itemsize: int) -> tuple[list[Any], int]:
    """Codecs of Zarr v3, those of a shard included."""
    sizes = sizes_before(list(written), math.prod(shape), itemsize)
    codecs: list[Any] = []
    stored = sizes[-1]
    for codec, size in zip(written, sizes, strict=False):
        name = name_of(codec)
        if name == SHARDING:
            settings = settings_of(codec)
            inner, stored = _bounded_v3(_codecs_of(settings), settings["chunk_shape"], itemsize)
            codecs.append(ShardingCodec(**{**settings, "codecs": inner}))
        elif (plain := name.removeprefix("numcodecs.")) in COMPRESSORS:
            more = settings_of(codec) if plain != name else {}  # Zarr's own need none to decode
            bounded = BoundedCodec(numcodecs.get_codec({**more, "id": plain}), size)
            codecs.append(BoundedBytesCodec(codec, bounded))
        else:
            codecs.append({"name": codec} if isinstance(codec, str) else codec)
    return codecs, stored


def _codecs_of(settings: dict[str, Any]) -> list[Any]:
    return list(settings.get("codecs") or [{"name": "bytes"}])


def _as_bytes(buf: Any) -> memoryview:
    """A look at some bytes, without a copy of them."""
    view = memoryview(buf)
    return view if view.format == "B" and view.ndim == 1 else view.cast("B")


# How many bytes a header says there are


def blosc_problem(data: Any) -> str | None:
    """Say what is wrong with a Blosc frame, judged by its header, or None.

    The Blosc decoder does not notice when the end of a frame is missing and returns rubbish, so
    the length that the header declares is compared with what arrived.
    """
    if len(data) < 16:
        return f"{len(data)} bytes are too few for a compressed chunk"
    declared = int.from_bytes(data[12:16], "little")
    if declared > len(data):
        return f"it is cut short ({len(data):,} of {declared:,} bytes) or not a Blosc chunk"
    return None


def _blosc_size(data: memoryview) -> int:
    if problem := blosc_problem(data):
        raise ValueError(problem)
    return int.from_bytes(data[4:8], "little")


def _lz4_size(data: memoryview) -> int:
    return int.from_bytes(data[:4], "little")


def _zstd_size(data: memoryview) -> int:
    """What the frames of Zstandard hold, as their headers and those of their blocks say."""
    total, unsaid, at = 0, 0, 0
    while at + 5 < len(data):
        magic = int.from_bytes(data[at : at + 4], "little")
        if magic & 0xFFFFFFF0 == 0x184D2A50:  # a frame to be skipped
            at += 8 + int.from_bytes(data[at + 4 : at + 8], "little")
            continue
        if magic != 0xFD2FB528:
            break  # the decoder says what is wrong
        flags = data[at + 4]
        single = flags >> 5 & 1
        width = (single, 2, 4, 8)[flags >> 6]  # bytes of the size, where it is given
        at += 5 + (not single) + (0, 1, 2, 4)[flags & 3]
        said = int.from_bytes(data[at : at + width], "little") + (256 if width == 2 else 0)
        at, found = _zstd_blocks(data, at + width)
        at += 4 * (flags >> 2 & 1)
        total, unsaid = (total + said, unsaid) if width else (total, unsaid + found)
    return total + max(0, unsaid - ZSTD_ROOM)


def _zstd_blocks(data: memoryview, at: int) -> tuple[int, int]:
    """Where the blocks of a frame end, and what they hold at most."""
    found = 0
    while at + 3 <= len(data):
        header = int.from_bytes(data[at : at + 3], "little")
        last, kind, size = header & 1, header >> 1 & 3, header >> 3
        found += ZSTD_BLOCK if kind == 2 else size
        at += 3 + (1 if kind == 1 else size)
        if last:
            break
    return at, found


_SIZES: dict[str, Callable[[memoryview], int]] = {
    "blosc": _blosc_size,
    "lz4": _lz4_size,
    "zstd": _zstd_size,
}


# Formats that do not say it: they are unpacked until there is too much


def _lzma(codec: Any) -> Callable[[], Any]:
    raw = codec.format == lzma.FORMAT_RAW
    filters = codec.filters if raw else None
    memory = None if raw else LZMA_MEMORY
    return lambda: lzma.LZMADecompressor(codec.format if raw else lzma.FORMAT_AUTO, memory, filters)


_STREAMS: dict[str, Callable[[Any], Callable[[], Any]]] = {
    "gzip": lambda _: lambda: zlib.decompressobj(31),
    "zlib": lambda _: zlib.decompressobj,
    "bz2": lambda _: bz2.BZ2Decompressor,
    "lzma": _lzma,
}


def _unpack_streams(new: Callable[[], Any], data: Any, limit: int) -> bytes:
    """Unpack one stream after the other, and no more than one byte beyond the limit."""
    parts: list[bytes] = []
    room = limit + 1
    while data and room > 0:
        stream = new()
        try:
            part = stream.decompress(data, room)
        except (zlib.error, lzma.LZMAError, OSError):
            if not parts:
                raise
            break  # something else follows, as the libraries themselves allow
        parts.append(part)
        room -= len(part)
        if not stream.eof and room > 0:
            raise ValueError("it is cut short")
        data = stream.unused_data
    return parts[0] if len(parts) == 1 else b"".join(parts)
