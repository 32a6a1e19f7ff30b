"""The list of entries at the end of a zip archive, and how an entry is unpacked."""

from __future__ import annotations

import io
import itertools
import struct
import zipfile
import zlib
from dataclasses import dataclass, field
from typing import NamedTuple

from .transport import is_metadata

HEADER = struct.Struct("<4s22xHH")
"""What stands before an entry: a mark, and the lengths of a name and of extras that follow."""

METHODS = {9: "Deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "XZ"}
"""How entries may be compressed, but are not read here."""


class Entry(NamedTuple):
    """Where an entry is, and how it is stored."""

    start: int
    """Where its header begins."""
    end: int
    """Where it has ended at the latest."""
    stored: int
    """Its bytes as stored."""
    size: int
    """Its bytes when unpacked."""
    method: int
    crc: int
    encrypted: bool


@dataclass
class Contents:
    """What the end of an archive says, and the end itself."""

    entries: dict[str, Entry]
    root: str
    images: list[str]
    etag: str
    tail: bytes
    tail_start: int
    data_starts: dict[str, int] = field(default_factory=dict)

    def name_of(self, key: str) -> str:
        """Name of the entry for a key, which may lie below the one folder that holds all."""
        if key not in self.entries and self.root + key in self.entries:
            return self.root + key
        return key


class NeedMore(Exception):
    """The list of entries begins before the part of the archive that was read."""

    def __init__(self, start: int) -> None:
        super().__init__(start)
        self.start = start


class _End(io.BytesIO):
    """The end of an archive, for `zipfile`, which believes to have all of it."""

    def __init__(self, tail: bytes, size: int) -> None:
        super().__init__(tail)
        self.missing = size - len(tail)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a place of the whole archive."""
        if whence == 0 and offset < self.missing:
            raise NeedMore(max(0, offset))
        if whence == 2 and -offset > len(self.getbuffer()) and self.missing:
            raise NeedMore(max(0, self.missing + len(self.getbuffer()) + offset))
        place = super().seek(offset - self.missing if whence == 0 else offset, whence)
        return place + self.missing

    def tell(self) -> int:
        """The place in the whole archive."""
        return super().tell() + self.missing


def understand(tail: bytes, size: int, etag: str) -> Contents | int | str:
    """Let `zipfile` read the list of entries.

    Returns
    -------
    Contents or int or str
        What the archive holds; or from where on more of it is needed to say so; or what is wrong.
    """
    mark = tail.rfind(b"PK\x05\x06")
    disk = int.from_bytes(tail[mark + 4 : mark + 6], "little") if mark >= 0 else 0
    if disk not in (0, 0xFFFF):
        return "is one part of a split archive, whose parts have to be joined first (zip -s 0)"
    try:
        with zipfile.ZipFile(_End(tail, size)) as archive:
            listed, list_start = archive.infolist(), archive.start_dir
    except NeedMore as more:
        return more.start
    except (zipfile.BadZipFile, ValueError, struct.error, NotImplementedError) as error:
        if "multiple disks" in str(error):
            return "is one part of a split archive, whose parts have to be joined first (zip -s 0)"
        return "has no readable list of entries at its end"
    ends = dict(itertools.pairwise([*sorted({info.header_offset for info in listed}), list_start]))
    entries = {
        _plain(info.filename): Entry(
            info.header_offset,
            # extras before the data may be longer than listed, but not longer than this
            min(ends[info.header_offset], info.header_offset + info.compress_size + 2 * 0x10000),
            info.compress_size,
            info.file_size,
            info.compress_type,
            info.CRC,
            bool(info.flag_bits & 1),
        )
        for info in listed
        if not info.is_dir()
    }
    root, images = _root(entries)
    return Contents(entries, root, images, etag, tail, size - len(tail))


def _plain(name: str) -> str:
    """The name of an entry as a key; some programs write backslashes, or ``./`` first."""
    return name.replace("\\", "/").removeprefix("./").lstrip("/")


def _root(entries: dict[str, Entry]) -> tuple[str, list[str]]:
    """The one folder that holds everything, where there is one; else all that may be images."""
    folders = {
        name.rpartition("/")[0]
        for name in entries
        if is_metadata(name) and not name.startswith("__MACOSX/")
    }
    depth = min((folder.count("/") + bool(folder) for folder in folders), default=0)
    highest = sorted(f for f in folders if f.count("/") + bool(f) == depth)
    if len(highest) > 1:
        return "", highest
    return (f"{highest[0]}/" if highest and highest[0] else ""), []


def unpack(packed: bytes, entry: Entry) -> bytes | None:
    """The bytes of an entry, or None where they are not what the archive says."""
    data = packed
    if entry.method == zipfile.ZIP_DEFLATED:
        try:
            data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, entry.size + 1)
        except zlib.error:
            return None
    return data if len(data) == entry.size and zlib.crc32(data) == entry.crc else None
