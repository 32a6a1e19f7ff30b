"""A zipped store: an archive whose entries are the keys, read part by part and never as a whole.

The end of an archive lists its entries and where each begins. It is read once; `zipfile`
understands it. After that each key is one request for a part of the archive, and a key that is
not listed costs none.
"""

from __future__ import annotations

import asyncio
import uuid
import zipfile
from typing import Any
from urllib.parse import unquote
from weakref import WeakKeyDictionary

import aiohttp

from .._formatting import format_bytes
from ..addresses import is_remote, split_secret
from ..errors import (
    ChunkError,
    EndpointUnreachableError,
    MalformedMetadataError,
    NotOmeZarrError,
    OmeZarrError,
)
from . import transport
from .transport import (
    Answer,
    DirectAccess,
    RangeIgnoredError,
    TooLongError,
    is_metadata,
    recording,
)
from .zip_entries import HEADER, METHODS, Contents, Entry, understand, unpack

SUFFIXES = (".ozx", ".zip")

TAIL_BYTES = 128 * 1024
"""What is read first, from the end: the list of some thousand entries, and any comment."""

WHOLE_BYTES = 32 * 1024**2
"""A server that ignores ``Range`` sends the whole archive; a larger one is not accepted."""

LIST_BYTES = 512 * 1024**2
"""The longest list of entries that is read: some million of them."""

SMALL_BYTES = 64 * 1024
"""An entry up to this size is read whole where a part of it is asked for."""

ARCHIVES_KNOWN = 16
"""Archives whose lists of entries a process remembers."""


class ArchiveAccess:
    """Read the entries of an archive as if it were a folder.

    Parameters
    ----------
    archive : str
        Address of the archive, or path of the file.
    inner : DirectAccess, optional
        How the archive itself is read; plainly if left out.
    """

    def __init__(self, archive: str, inner: DirectAccess | None = None) -> None:
        self.inner = inner
        self.advice = inner.advice if inner else ""
        self.is_folder = False
        self._sent = archive
        self.archive = split_secret(archive)[0]  # as it may be shown
        self._opened = uuid.uuid4().hex  # copies in other processes share what they read

    def __repr__(self) -> str:
        return f"ArchiveAccess({self.archive!r})"

    def key_of(self, path: str) -> str:
        """The key that an address below the archive means; a URL is encoded."""
        key = split_secret(path)[0].removeprefix(self.archive).lstrip("/")
        return unquote(key) if is_remote(path) else key

    def lasting_name(self, address: str) -> str:
        """What a cache names an image after; "" for a local file."""
        if self.inner:
            return self.inner.lasting_name(address)
        return address if "://" in address else ""

    async def has_etag(self, path: str, etag: str) -> bool:
        """Whether the archive is still the same version."""
        where = path if self.is_folder else self._sent
        return await transport.has_etag(where, etag, self.inner)

    @property
    def seconds(self) -> float | None:
        """How long a key may take with all attempts, where the options say so."""
        return self.inner.seconds if self.inner else None

    async def read(
        self,
        path: str,
        start: int | None,
        end: int | None,
        retry: bool,
        limit: int | None = None,
    ) -> Answer:
        """Read an entry, or a part of it, and tell the observers if that takes a request."""
        try:
            contents = None if self.is_folder else await self._contents(retry)
        except FileNotFoundError:  # no such file: a folder may be called so, too
            contents = None
        if contents is None:
            self.is_folder = True
            return await transport.read(path, start, end, retry, self.inner, limit)
        key = contents.name_of(self.key_of(path))
        if key not in contents.entries:
            if contents.images and key in transport.METADATA_NAMES:
                raise self._several(contents.images)
            raise FileNotFoundError(path)
        entry = contents.entries[key]
        if entry.encrypted:
            raise self._damaged(key, "is encrypted; unpack the archive with its password")
        if entry.method not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            name = METHODS.get(entry.method, f"method {entry.method}")
            raise self._damaged(
                key, f"is compressed by {name}; pack it again without compression (zip -0)"
            )
        if start is None:
            first, last = 0, entry.size
        else:
            first, last, _ = slice(start, end).indices(entry.size)
        as_it_is = entry.method == zipfile.ZIP_STORED and start is not None
        if limit is not None and not as_it_is and max(entry.size, entry.stored) > limit:
            raise TooLongError(limit)
        with_header = entry.method != zipfile.ZIP_STORED or entry.stored <= SMALL_BYTES
        if (first, last) != (0, entry.size) and not with_header:
            data = await self._part(contents, key, entry, first, last, (path, start, end, retry))
        else:
            data = await self._whole(contents, key, entry, (path, start, end, retry))
            data = data if (first, last) == (0, entry.size) else data[first:last]
        return Answer(data, contents.etag, size=entry.size)

    async def _whole(self, contents: Contents, key: str, entry: Entry, asked: Any) -> bytes:
        """All bytes of an entry, unpacked and checked."""
        raw = await self._bytes(contents, entry.start, entry.end, asked)
        begin = self._data_start(raw, key)
        packed = raw[begin : begin + entry.stored]
        if len(packed) < entry.stored:
            raise self._damaged(key, "is cut short; get the archive again")
        if entry.size <= SMALL_BYTES:
            data = unpack(packed, entry)
        else:
            data = await asyncio.to_thread(unpack, packed, entry)
        if data is None:
            raise self._damaged(
                key,
                "is damaged (its checksum does not match), or the archive has changed since it was "
                "opened; open it again, or get the archive again",
            )
        return data

    async def _part(
        self, contents: Contents, key: str, entry: Entry, first: int, last: int, asked: Any
    ) -> bytes:
        """Some bytes of an entry that is stored as it is, such as one chunk of a shard."""
        if key not in contents.data_starts:
            header = await self._bytes(
                contents, entry.start, entry.start + HEADER.size, (asked[0], -1, None, asked[3])
            )
            contents.data_starts[key] = entry.start + self._data_start(header, key)
        if first >= last:
            return b""
        begin = contents.data_starts[key]
        return await self._bytes(contents, begin + first, begin + last, asked)

    async def _bytes(self, contents: Contents, start: int, end: int, asked: Any) -> bytes:
        """Some bytes of the archive, from what was read already or by a request."""
        if start >= contents.tail_start:
            return contents.tail[start - contents.tail_start : end - contents.tail_start]
        with recording(*asked) as request:
            answer = await self._fetch(start, end, request)
            request.bytes = len(answer.data)
        return answer.data

    def _data_start(self, header: bytes, key: str) -> int:
        """Where the data of an entry begin, counted from its header."""
        mark, name, extra = HEADER.unpack_from(header.ljust(HEADER.size))
        if mark != b"PK\x03\x04":
            raise self._damaged(
                key, "is not where the archive says, which is damaged or has changed; open it again"
            )
        return HEADER.size + int(name) + int(extra)

    # The list of entries

    async def _contents(self, retry: bool) -> Contents:
        """What is in the archive; read once in each process."""
        known = _known.setdefault(asyncio.get_running_loop(), {})
        archive = known.setdefault(self._opened, _Known())
        async with archive.reading:
            if archive.contents is None:
                archive.contents = await self._read_contents(retry)
                for oldest in list(known)[:-ARCHIVES_KNOWN]:
                    known.pop(oldest)
            return archive.contents

    async def _read_contents(self, retry: bool) -> Contents:
        with recording(self.archive, -TAIL_BYTES, None, retry) as request:
            answer = await self._last_bytes(request)
            request.bytes = len(answer.data)
        tail, size = answer.data, answer.size
        if size is None:
            raise EndpointUnreachableError(
                f"{self.archive} cannot be read: the server does not say how long the archive is. "
                "Download it, and open the file."
            )
        while True:
            found = await asyncio.to_thread(understand, tail, size, answer.etag)
            if isinstance(found, Contents):
                return found
            if isinstance(found, str):
                raise await self._no_archive(found)
            start, end = found, size - len(tail)
            if end - start > LIST_BYTES:
                raise await self._no_archive("has a list of entries that is far too long")
            with recording(self.archive, start - size, end - size, retry) as request:
                front = (await self._fetch(start, end, request)).data
                request.bytes = len(front)
            if len(front) != end - start:
                raise await self._no_archive("has changed while it was read")
            tail = front + tail

    async def _last_bytes(self, request: Any) -> Answer:
        try:
            return await self._send(-TAIL_BYTES, None, request)
        except RangeIgnoredError as ignored:  # some servers know only parts that have a start
            size = ignored.size
        except aiohttp.ClientResponseError as error:
            if error.status != 416:
                raise
            return await self._send(None, None, request)  # it has fewer bytes than that
        return await self._fetch(max(0, size - TAIL_BYTES), size, request)

    async def _fetch(self, start: int, end: int, request: Any) -> Answer:
        """Send one request for a part of the archive."""
        try:
            answer = await self._send(start, end, request)
        except RangeIgnoredError as ignored:
            size = ignored.size
        else:
            if len(answer.data) > end - start:  # a small archive came whole
                return answer._replace(data=answer.data[start:end])
            return answer
        raise EndpointUnreachableError(
            f"{self.archive} cannot be read in parts: the server ignores Range and would send all "
            f"{format_bytes(size)}. Download the archive and open the file, or put it on a server "
            "that answers ranges."
        )

    async def _send(self, start: int | None, end: int | None, request: Any) -> Answer:
        send = self.inner.fetch if self.inner else transport.fetch
        return await send(self._sent, start, end, request, WHOLE_BYTES)

    # What can be wrong

    def _damaged(self, key: str, what: str) -> OmeZarrError:
        kind = MalformedMetadataError if is_metadata(key) else ChunkError
        return kind(f"{key} in the archive {self.archive} {what}.")

    async def _no_archive(self, what: str) -> OmeZarrError:
        """What to say of a file that cannot be read as an archive, which its beginning tells."""
        try:
            with recording(self.archive, -1, None, False) as request:
                begins = (await self._fetch(0, 4, request)).data
        except Exception:
            begins = b""
        if begins.startswith(b"PK"):
            return MalformedMetadataError(
                f"The archive {self.archive} {what}; if that is not meant to be, it is damaged or "
                "was not copied to its end: get it again."
            )
        return NotOmeZarrError(
            f"{self.archive} is a file, not a folder with an OME-Zarr image, and no zip archive "
            "either. Give the folder of the image, or a zipped one (.ozx, .zip)."
        )

    def _several(self, images: list[str]) -> NotOmeZarrError:
        named = ", ".join(images[:5]) + (", ..." if len(images) > 5 else "")
        return NotOmeZarrError(
            f"The archive {self.archive} holds {len(images)} folders that may be images ({named}); "
            f"open one of them, such as {self.archive}/{images[0]}."
        )


class _Known:
    """The contents of one archive, and who reads them."""

    def __init__(self) -> None:
        self.reading = asyncio.Lock()
        self.contents: Contents | None = None


_known: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, _Known]] = WeakKeyDictionary()
