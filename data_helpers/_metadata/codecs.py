"""The codecs of an array: which are read, and how large what they make may be.

A document may name any codec, and some of them hold more than numbers: ``pickle`` runs whatever
code its bytes say. So only codecs of the lists below are let through, before anything is decoded.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .._formatting import as_written

COMPRESSORS = frozenset({"blosc", "bz2", "gzip", "lz4", "lzma", "zlib", "zstd"})
"""Codecs that pack bytes, by their names in numcodecs."""

CHECKSUMS = frozenset({"adler32", "crc32", "crc32c", "fletcher32", "jenkins_lookup3"})

FILTERS = frozenset(
    {"astype", "bitround", "delta", "fixedscaleoffset", "packbits", "quantize", "shuffle"}
)
"""Codecs that make numbers of numbers, as many as there were."""

OPTIONAL = frozenset({"pcodec", "zfpy"})
"""Codecs of numbers that come with packages of their own, which know how large their bytes are."""

V2_CODECS = COMPRESSORS | CHECKSUMS | FILTERS | OPTIONAL
V3_CODECS = frozenset(
    {
        "blosc",
        "bytes",
        "cast_value",
        "crc32c",
        "endian",
        "gzip",
        "scale_offset",
        "transpose",
        "zstd",
    }
    | {f"numcodecs.{name}" for name in V2_CODECS}
)
INDEX_CODECS = frozenset({"bytes", "crc32c", "endian", "transpose"})
"""What the index of a shard may be stored with: its size has to be known."""

SHARDING = "sharding_indexed"
LARGEST_NUMBER = 16
"""Bytes of the largest number that a pixel may be."""


class CodecRefusedError(Exception):
    """A codec is named that is not read; the message goes on after "is stored with"."""


def check_codecs(document: dict[str, Any]) -> None:
    """Let only codecs through that hold numbers.

    Parameters
    ----------
    document : dict
        Content of ``.zarray`` (Zarr v2) or ``zarr.json`` (Zarr v3) of an array.

    Raises
    ------
    CodecRefusedError
        A codec is on none of the lists.
    """
    if document["zarr_format"] == 2:
        if (compressor := document.get("compressor")) is not None:
            _check(compressor, V2_CODECS, "compressor")
        for filter_ in document.get("filters") or ():
            _check(filter_, V2_CODECS, "filters")
    else:
        _check_all(document.get("codecs") or (), "codecs")


def _check_all(codecs: Any, key: str) -> None:
    for codec in codecs:
        if name_of(codec) != SHARDING:
            _check(codec, V3_CODECS, key)
        elif key.count(SHARDING) > 1:
            raise CodecRefusedError(f"shards in shards in shards ({key})")
        else:
            inner = f"{key}, {SHARDING}"
            _check_all(settings_of(codec).get("codecs") or (), f"{inner}, codecs")
            for index_codec in settings_of(codec).get("index_codecs") or ():
                _check(index_codec, INDEX_CODECS, f"{inner}, index_codecs")


def _check(codec: Any, allowed: frozenset[str], key: str) -> None:
    name, settings = name_of(codec), settings_of(codec)
    registered_by_user = name.startswith("imagecodecs_") and allowed is V2_CODECS
    if name not in allowed and not registered_by_user:
        raise CodecRefusedError(f"the codec {as_written(name)} ({key})")
    for setting in ("dtype", "astype", "encode_dtype", "decode_dtype"):
        if setting in settings and not _is_number(settings[setting]):
            text = as_written(settings[setting])
            raise CodecRefusedError(f"the codec {name} for the type {text}, no number ({key})")


def _is_number(dtype: Any) -> bool:
    try:
        return np.dtype(dtype).kind in "biufc"
    except (TypeError, ValueError):
        return False


def name_of(codec: Any) -> str:
    """Name of a codec, as Zarr v2 or v3 write it; of what is none, how it is written."""
    if isinstance(codec, dict):
        codec = codec.get("id", codec.get("name"))
    return codec if isinstance(codec, str) else as_written(codec)


def settings_of(codec: Any) -> dict[str, Any]:
    """What is said of a codec besides its name."""
    if not isinstance(codec, dict):
        return {}
    settings = codec if "id" in codec else codec.get("configuration")
    return settings if isinstance(settings, dict) else {}


def sizes_before(codecs: list[Any], pixels: int, itemsize: int) -> list[int]:
    """The most bytes that go into each codec when it encodes, and last those that come out.

    So many bytes may come out when it decodes, and no more. A codec that packs is given an eighth
    and 4 kB more than went in, which is plenty for every header and checksum.
    """
    sizes = [pixels * itemsize]
    for codec in codecs:
        name, settings = name_of(codec).removeprefix("numcodecs."), settings_of(codec)
        made = settings.get("encode_dtype") or settings.get("astype")
        of = settings.get("decode_dtype") or settings.get("dtype")
        if name in FILTERS and made and of:
            sizes.append(-(-sizes[-1] * np.dtype(made).itemsize // np.dtype(of).itemsize))
        elif name in ("scale_offset", "cast_value"):
            sizes.append(pixels * LARGEST_NUMBER)
        elif name in ("transpose", "bytes", "endian"):
            sizes.append(sizes[-1])
        else:
            sizes.append(sizes[-1] + sizes[-1] // 8 + 4096)
    return sizes
