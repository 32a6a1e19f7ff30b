"""The bytes of a stored chunk, turned into pixels in the thread that wants them.

Zarr decodes each chunk in one of its own threads, into a buffer, and copies that into place. Where
bytes are the limit, these hops and copies take as long as decoding. The usual codecs are a matter
of a few lines of numcodecs; for everything else, such as shards, `decoder_of` says None.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numcodecs
import numpy as np
import zarr
from zarr.codecs import BytesCodec

from ._unpacking import BoundedBytesCodec, BoundedCodec


@dataclass(frozen=True)
class Decoder:
    """How the chunks of one array are decoded.

    Attributes
    ----------
    codecs : tuple of BoundedCodec
        In the order in which they are undone.
    dtype : numpy.dtype
        As stored, byte order included.
    shape : tuple of int
        Of every stored chunk, those at the far edges included.
    order : str
        "C" or "F".
    """

    codecs: tuple[BoundedCodec, ...]
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    order: str = "C"

    def decode(self, data: Any, place: np.ndarray, spare: np.ndarray) -> None:
        """Put the pixels of a chunk into an array, which is smaller at the far edges.

        `spare` has the shape of a whole chunk. What goes through it, chunk after chunk, costs less
        than what goes through new memory each time.
        """
        if self._is_whole_blosc(data, spare.nbytes):
            whole = (place.shape, place.dtype) == (spare.shape, spare.dtype)
            if whole and place.flags.c_contiguous:
                self.codecs[0].inner.decode(data, place)
                return
            self.codecs[0].inner.decode(data, spare)
            pixels = spare
        else:
            for codec in self.codecs:
                data = codec.decode(data)
            pixels = np.frombuffer(data, self.dtype)
            pixels = pixels.reshape(self.shape, order=self.order)  # type: ignore[call-overload]
        place[...] = pixels[tuple(map(slice, place.shape))]

    def _is_whole_blosc(self, data: Any, size: int) -> bool:
        """Whether Blosc can decode this in place: a frame of fewer bytes would leave old ones."""
        blosc = len(self.codecs) == 1 and isinstance(self.codecs[0].inner, numcodecs.Blosc)
        return blosc and self.order == "C" and int.from_bytes(data[4:8], "little") == size

    def spare(self) -> np.ndarray:
        """Room for the pixels of one chunk."""
        return np.empty(self.shape, self.dtype)


def decoder_of(array: zarr.Array) -> Decoder | None:
    """The decoder of an array, or None where only Zarr can read it."""
    if array.dtype.kind not in "biufc" or not math.prod(array.chunks):
        return None
    metadata: Any = array.metadata
    if metadata.zarr_format == 2:
        codecs = (metadata.compressor, *reversed(metadata.filters or ()))
        kept = tuple(codec for codec in codecs if codec is not None)
        return Decoder(kept, array.dtype, array.chunks, metadata.order)
    first, *others = metadata.codecs
    bounded = [codec for codec in reversed(others) if isinstance(codec, BoundedBytesCodec)]
    if not isinstance(first, BytesCodec) or len(bounded) < len(others):
        return None
    settings: Any = first.to_dict().get("configuration") or {}
    byte_order: Literal["<", ">"] = ">" if settings.get("endian") == "big" else "<"
    codecs = tuple(codec.bounded for codec in bounded)
    return Decoder(codecs, array.dtype.newbyteorder(byte_order), array.chunks)
