"""One request: an object, or a part of one, over http(s) or from a local folder.

Nothing here tries again or judges an answer; that is the store's part.
"""

from __future__ import annotations

import asyncio
import zlib
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

import aiohttp
import fsspec
from fsspec.asyn import AsyncFileSystem

from ._requests import Request, recorder
from .addresses import is_remote, split_secret

CONCURRENCY = 64
"""Requests that a process has in flight at most, however many threads read; the rest wait."""

CONNECT_SECONDS = 10.0
READ_SECONDS = 30.0
TOTAL_SECONDS = 300.0
"""Longest wait for a connection, for the next bytes, and for one whole answer."""

METADATA_NAMES = (".zattrs", ".zarray", ".zgroup", "zarr.json", "METADATA.ome.xml")

_places: WeakKeyDictionary[aiohttp.ClientSession, asyncio.Semaphore] = WeakKeyDictionary()
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


class Answer(NamedTuple):
    """The bytes of an object, and its ETag: what an endpoint calls this version of the object.

    If they came with a ``Content-Encoding``, `sent` has them as they came.
    """

    data: bytes
    etag: str
    sent: bytes | None = None


def is_metadata(key: str) -> bool:
    """Whether a key, or the end of an address, names a metadata document."""
    return key.rsplit("/", 1)[-1] in METADATA_NAMES


async def read(
    path: str, start: int | None = None, end: int | None = None, retry: bool = False
) -> Answer:
    """Read a remote object or a local file, or a part of it, and tell the observers about it.

    A negative start counts from the end; so is the index of a shard read, which is no chunk. A URL
    is sent as it stands. The observers hear of it without its login and query.
    """
    shown, _ = split_secret(path)
    chunk = not is_metadata(shown) and (start is None or start >= 0)
    address = shown if start is None else f"{shown} {start}:{end}"
    with recorder(address, chunk=chunk, retry=retry) as request:
        one = _read_remote if is_remote(path) else _read_local
        answer = await one(path, start, end, request)
        request.bytes = len(answer.data if answer.sent is None else answer.sent)
        return answer


async def _read_remote(url: str, start: int | None, end: int | None, request: Request) -> Answer:
    headers = {"Accept-Encoding": "identity"}  # chunks are compressed already
    if start is not None:
        part = f"{start}-{'' if end is None else end - 1}" if start >= 0 else start
        headers["Range"] = f"bytes={part}"
    http = _http(url)
    session = await http.set_session()
    async with _places.setdefault(session, asyncio.Semaphore(CONCURRENCY)):
        request.mark_sent()
        async with session.get(http.encode_url(url), headers=headers) as response:
            if response.status == 404:
                raise FileNotFoundError
            response.raise_for_status()
            body, etag = await response.read(), response.headers.get("ETag", "")
            coding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if coding == "identity":
        return Answer(body, etag)
    if response.status == 206:  # a part of the compressed object is of no use: ask for all of it
        return await _read_remote(url, None, None, request)
    return Answer(await asyncio.to_thread(_decoded, body, coding), etag, sent=body)


def _decoded(body: bytes, coding: str) -> bytes:
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
        data = decoder.decompress(body) + decoder.flush()
    except zlib.error:
        data = b""
    if not decoder.eof:
        raise OSError(f"it is damaged: its Content-Encoding, {coding}, cannot be undone")
    return data


async def _read_local(path: str, start: int | None, end: int | None, request: Request) -> Answer:
    file = Path(path)

    def read() -> bytes:
        request.mark_sent()  # until here it waited for a free thread
        try:
            return file.read_bytes()
        finally:  # also where there is no such file: the thread is free for another request
            request.mark_received()

    data = await asyncio.to_thread(read)
    return Answer(data[start:end], f"{file.stat().st_mtime_ns}-{len(data)}")


async def has_etag(url: str, etag: str) -> bool:
    """Whether the endpoint still calls an object so; asks for its headers only.

    No clear answer counts as no: the object is then asked for with all care.
    """
    http = _http(url)
    session = await http.set_session()
    with recorder(split_secret(url)[0], chunk=False, retry=False):
        try:
            async with session.head(http.encode_url(url), allow_redirects=True) as response:
                return response.ok and bool(etag) and response.headers.get("ETag") == etag
        except (aiohttp.ClientError, OSError):
            return False


def _http(url: str) -> AsyncFileSystem:
    """The fsspec file system for an address; fsspec keeps one per process and reuses it."""
    timeout = aiohttp.ClientTimeout(
        total=TOTAL_SECONDS, sock_connect=CONNECT_SECONDS, sock_read=READ_SECONDS
    )
    use_proxy = urlsplit(url).hostname not in _LOOPBACK
    return fsspec.filesystem(
        "http",
        asynchronous=True,
        encoded=True,  # keys are sent as they are written
        client_kwargs={"timeout": timeout, "trust_env": use_proxy, "auto_decompress": False},
    )
