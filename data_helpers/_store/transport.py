"""One request: an object, or a part of one, over http(s) or from a local folder.

Nothing here tries again or judges an answer; that is the store's part.
"""

from __future__ import annotations

import asyncio
import os
import stat
import zlib
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

import aiohttp
import fsspec
from fsspec.asyn import AsyncFileSystem

from .._formatting import format_bytes
from ..addresses import is_remote, split_secret
from .deadline import CONCURRENCY as CONCURRENCY
from .deadline import place
from .requests import Request, recorder

CONNECT_SECONDS = 10.0
READ_SECONDS = 30.0
TOTAL_SECONDS = 300.0
"""Longest wait for a connection, for the next bytes, and for a key with all attempts."""

METADATA_BYTES = 10 * 1024**2
"""The longest document that describes an image, and the most that is read of several together.
Consolidated metadata of a plate, or properties of a hundred thousand labels, are nearly that long.
Python takes up to forty times as much memory to understand it."""

DOCUMENT_BYTES = 1024**2
"""The longest document of what lies below, such as a level: there are many, and they are short."""

RANGELESS_BYTES = 128 * 1024**2
"""The largest object that is taken whole from a server that ignores ``Range``."""

METADATA_NAMES = (".zattrs", ".zarray", ".zgroup", "zarr.json", "METADATA.ome.xml")

_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


class Answer(NamedTuple):
    """The bytes of an object, or of a part of it, and what the endpoint says of the object."""

    data: bytes
    etag: str
    """What the endpoint calls this version of the object."""
    sent: bytes | None = None
    """If they came with a ``Content-Encoding``: the bytes as they came."""
    size: int | None = None
    """Bytes of the whole object, where the endpoint says so."""


class Access(Protocol):
    """How to read what takes more than a plain request: a private bucket, or a zipped store."""

    advice: str
    """What to check when access is denied."""

    @property
    def seconds(self) -> float | None:
        """How long a key may take with all attempts, where the options say so."""
        return None

    async def read(
        self,
        path: str,
        start: int | None,
        end: int | None,
        retry: bool,
        limit: int | None = None,
    ) -> Answer:
        """Read an object, or a part of it, and tell the observers about it."""

    async def has_etag(self, path: str, etag: str) -> bool:
        """Whether the endpoint still calls an object so."""

    def lasting_name(self, address: str) -> str:
        """What a cache names an image after, without any secret; "" for a local file."""


class DirectAccess(Access, Protocol):
    """Access by requests of its own, through which an archive can be read, too."""

    async def read(
        self,
        path: str,
        start: int | None,
        end: int | None,
        retry: bool,
        limit: int | None = None,
    ) -> Answer:
        """Read an object, or a part of it, and tell the observers about it."""
        with recording(path, start, end, retry) as request:
            answer = await self.fetch(path, start, end, request, limit)
            request.bytes = len(answer.data)
            return answer

    async def fetch(
        self,
        path: str,
        start: int | None,
        end: int | None,
        request: Request,
        limit: int | None = None,
    ) -> Answer:
        """Send one request; see `fetch`."""


class RangeIgnoredError(Exception):
    """The answer to a request for a part is a whole object, and it is too large to take."""

    def __init__(self, size: int) -> None:
        super().__init__(
            f"the server ignores Range and would send all {format_bytes(size)} instead of a part"
        )
        self.size = size


class TooLongError(Exception):
    """An object is longer than it can be, and the rest of it was not taken."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"what is there is longer than {format_bytes(limit)}, the most that it can be"
        )


class NotAFileError(Exception):
    """What is at a local path is neither a file nor a folder; to read it might take for ever."""

    def __init__(self) -> None:
        super().__init__("it is no file, but a pipe or a device")


def is_metadata(key: str) -> bool:
    """Whether a key, or the end of an address, names a metadata document."""
    return key.rsplit("/", 1)[-1] in METADATA_NAMES


async def read(
    path: str,
    start: int | None = None,
    end: int | None = None,
    retry: bool = False,
    access: Access | None = None,
    limit: int | None = None,
) -> Answer:
    """Read a remote object or a local file, or a part of it, and tell the observers about it.

    No more than `limit` bytes are taken, and of a part no more than were asked for. A negative
    start counts from the end; so is the index of a shard read, which is no chunk. A URL is sent as
    it stands. The observers hear of it without its login and query.
    """
    if access is not None:
        return await access.read(path, start, end, retry, limit)
    with recording(path, start, end, retry) as request:
        answer = await fetch(path, start, end, request, limit)
        request.bytes = len(answer.data if answer.sent is None else answer.sent)
        return answer


def recording(path: str, start: int | None, end: int | None, retry: bool) -> recorder:
    """What tells the observers about one request for an object, or for a part of it."""
    shown, _ = split_secret(path)
    chunk = not is_metadata(shown) and (start is None or start >= 0)
    address = shown if start is None else f"{shown} {start}:{end}"
    return recorder(address, chunk=chunk, retry=retry)


async def fetch(
    path: str,
    start: int | None,
    end: int | None,
    request: Request,
    limit: int | None = None,
    options: dict[str, Any] | None = None,
) -> Answer:
    """Send one request, over http(s) or to the disk.

    Raises
    ------
    TooLongError
        The object, or the part of it, is longer than `limit`, or than what was asked for.
    RangeIgnoredError
        The endpoint sends the whole object instead of a part, and it has more than `limit` bytes.
    """
    if is_remote(path):
        return await _read_remote(path, start, end, request, limit, options)
    return await _read_local(path, start, end, request, limit)


def part_size(start: int | None, end: int | None) -> int | None:
    """How many bytes a part has at most, where it has an end."""
    if start is None or (start >= 0 and end is None):
        return None
    return -start if end is None else end - start


def metadata_limit(key: str) -> int:
    """The most bytes that a document may have."""
    return DOCUMENT_BYTES if "/" in key and not key.endswith(".xml") else METADATA_BYTES


def range_header(start: int, end: int | None) -> str:
    """A part of an object as ``Range`` names it."""
    return f"bytes={start}-{'' if end is None else end - 1}" if start >= 0 else f"bytes={start}"


def whole_size(content_range: str) -> int | None:
    """Bytes of the whole object, as ``Content-Range`` of a part says."""
    size = content_range.rpartition("/")[2]
    return int(size) if size.isdecimal() else None


async def _read_remote(
    url: str,
    start: int | None,
    end: int | None,
    request: Request,
    limit: int | None,
    options: dict[str, Any] | None,
) -> Answer:
    headers = {"Accept-Encoding": "identity"}  # chunks are compressed already
    if start is not None:
        headers["Range"] = range_header(start, end)
    http = _http(url, options)
    session = await http.set_session()
    more = {**http.kwargs, "headers": {**http.kwargs.get("headers", {}), **headers}}
    async with place():
        request.mark_sent()
        async with session.get(http.encode_url(url), **more) as response:
            if response.status == 404:
                raise FileNotFoundError
            response.raise_for_status()
            part, etag = response.status == 206, response.headers.get("ETag", "")
            if start is not None and not part:
                limit = min(limit or RANGELESS_BYTES, RANGELESS_BYTES)
            try:
                body = await _body(response, part_size(start, end) if part else limit)
            except TooLongError:
                if start is None or part:
                    raise
                raise RangeIgnoredError(response.content_length or int(limit or 0)) from None
            size = whole_size(response.headers.get("Content-Range", "")) if part else len(body)
            coding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if coding == "identity":
        return Answer(body, etag, size=size)
    if part:  # a part of the compressed object is of no use: ask for all of it
        return await _read_remote(url, None, None, request, limit, options)
    data = await asyncio.to_thread(_decoded, body, coding, limit)
    return Answer(data, etag, sent=body, size=len(data))


async def _body(response: aiohttp.ClientResponse, limit: int | None) -> bytes:
    """The bytes of an answer, if they are no more than `limit`."""
    length = response.content_length
    if limit is None or (length is not None and length <= limit):
        return await response.read()
    parts, received = [], length or 0
    while received <= limit and (part := await response.content.readany()):
        parts.append(part)
        received += len(part)
    if received > limit:
        response.close()  # or the rest of it might be waited for
        raise TooLongError(limit)
    return b"".join(parts)


def _decoded(body: bytes, coding: str, limit: int | None) -> bytes:
    """Undo a ``Content-Encoding``, unless the body is plainly not encoded so."""
    if coding in ("gzip", "x-gzip"):
        looks_right, window = body.startswith(b"\x1f\x8b"), 31
    elif coding == "deflate":
        looks_right, window = body[:1] == b"\x78", 15
    else:
        raise OSError(f"it is sent with Content-Encoding {coding}, which was not asked for")
    if not looks_right:
        return body
    decoder = zlib.decompressobj(window)
    try:
        data = decoder.decompress(body, 0 if limit is None else limit + 1)
    except zlib.error:
        data = b""
    if limit is not None and len(data) > limit:
        raise TooLongError(limit)
    if not decoder.eof:
        raise OSError(f"it is damaged: its Content-Encoding, {coding}, cannot be undone")
    return data


async def _read_local(
    path: str, start: int | None, end: int | None, request: Request, limit: int | None
) -> Answer:
    file = Path(path)

    def read() -> tuple[bytes, os.stat_result]:
        request.mark_sent()  # until here it waited for a free thread
        try:
            status = file.stat()
            if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
                raise NotAFileError
            if start is None:
                if limit is not None and status.st_size > limit:
                    raise TooLongError(limit)
                return file.read_bytes(), status
            first, last, _ = slice(start, end).indices(status.st_size)
            with file.open("rb") as opened:
                opened.seek(first)
                return opened.read(max(0, last - first)), status
        finally:  # also where there is no such file: the thread is free for another request
            request.mark_received()

    data, status = await asyncio.to_thread(read)
    return Answer(data, f"{status.st_mtime_ns}-{status.st_size}", size=status.st_size)


async def has_etag(
    url: str, etag: str, access: Access | None = None, options: dict[str, Any] | None = None
) -> bool:
    """Whether the endpoint still calls an object so; asks for its headers only.

    No clear answer counts as no: the object is then asked for with all care.
    """
    if access is not None:
        return await access.has_etag(url, etag)
    http = _http(url, options)
    session = await http.set_session()
    more = {"allow_redirects": True, **http.kwargs}
    with recorder(split_secret(url)[0], chunk=False, retry=False):
        try:
            async with place(), session.head(http.encode_url(url), **more) as response:
                return response.ok and bool(etag) and response.headers.get("ETag") == etag
        except (aiohttp.ClientError, OSError):
            return False


def _http(url: str, options: dict[str, Any] | None = None) -> AsyncFileSystem:
    """The fsspec file system for an address; fsspec keeps one per process and reuses it.

    The options are those of fsspec's http: ``headers``, ``client_kwargs``, and what its requests
    take.
    """
    timeout = aiohttp.ClientTimeout(sock_connect=CONNECT_SECONDS, sock_read=READ_SECONDS)
    use_proxy = urlsplit(url).hostname not in _LOOPBACK
    client = {"timeout": timeout, "trust_env": use_proxy, "auto_decompress": False}
    options = dict(options or {})
    client |= options.pop("client_kwargs", {})
    ours = {"asynchronous": True, "encoded": True, "client_kwargs": client}  # keys as written
    return fsspec.filesystem("http", **{**options, **ours})
