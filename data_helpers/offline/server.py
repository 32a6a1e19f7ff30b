"""The S3 protocol, as far as reading needs it.

One ASGI function answers for one bucket: ``GET`` and ``HEAD`` of objects with byte ranges and
ETags, listings with prefix, delimiter and pages, errors as S3's XML. Nothing can be written, and
no key ever becomes a path on disk: a key is in the catalogue, or it is not found.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import threading
from bisect import bisect_right
from collections.abc import AsyncIterator, Callable
from urllib.parse import quote
from xml.etree.ElementTree import Element, SubElement, tostring

import uvicorn
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from .catalogue import BUCKET, Catalogue, Entry, build_catalogue
from .chunks import CACHE_BYTES, StripCache, read_object
from .listing import list_page, skip

HOST = "127.0.0.1"
MODIFIED = "2026-01-01T00:00:00.000Z"  # of every object, and the same as an HTTP date:
LAST_MODIFIED = "Thu, 01 Jan 2026 00:00:00 GMT"
MAX_KEYS = 1000
NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
COMMON_HEADERS = {
    "Server": "ome-zarr-offline (synthetic data)",
    "x-amz-meta-synthetic": "true",
}
# A page may read an answer, whatever its status, only with these; so all answers have them, also
# those that uvicorn makes itself.
CORS_HEADERS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS",
    "Access-Control-Allow-Headers": "*",
    "Access-Control-Expose-Headers": "Accept-Ranges, Content-Length, Content-Range, Content-Type, "
    "ETag, Last-Modified, x-amz-meta-synthetic",
    "Access-Control-Max-Age": "3600",
    "Access-Control-Allow-Private-Network": "true",  # Chrome 98 to 141 ask before a page's request
}
# What may be asked of a bucket besides a listing: one fixed answer, or "not implemented".
BUCKET_ANSWERS = {
    "location": "LocationConstraint",
    "versioning": "VersioningConfiguration",
}
NOT_IMPLEMENTED = {"acl", "cors", "lifecycle", "policy", "tagging", "uploads", "versions"}


class S3Error(Exception):
    """An answer other than success, with S3's error code."""

    def __init__(
        self, status: int, code: str, message: str, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = headers or {}


class S3App:
    """Answer S3 requests from a catalogue, as an ASGI application.

    Parameters
    ----------
    catalogue : Catalogue
        What the bucket holds.
    delay_ms : float
        Milliseconds to wait before each answer, to rehearse a distant server. Requests in
        flight wait side by side.
    mb_per_s : float
        Megabytes a second that the line to the server carries, for all answers together; 0 for no
        limit.
    """

    common_headers = COMMON_HEADERS
    owner = "synthetic data"

    def __init__(self, catalogue: Catalogue, delay_ms: float = 0, mb_per_s: float = 0) -> None:
        self.catalogue = catalogue
        self.delay = delay_ms / 1000
        self.bytes_per_s = 1e6 * mb_per_s
        self.line_free = 0.0  # when the line has carried what it was given so far
        self.cache = StripCache(CACHE_BYTES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; every answer has the same common headers."""
        request = Request(scope, receive)
        if self.delay:
            await asyncio.sleep(self.delay)
        try:
            response = await self.answer(request)
        except S3Error as error:
            response = error_response(request, error)
        except Exception as error:
            message = f"{type(error).__name__}: {error}"
            response = error_response(request, S3Error(500, "InternalError", message))
        response.headers.update(self.common_headers)
        await response(scope, receive, send)

    async def answer(self, request: Request) -> Response:
        """Return the answer for one request, or raise `S3Error`."""
        if request.method == "OPTIONS":
            return Response()
        if request.method not in ("GET", "HEAD"):
            async for _ in request.stream():  # a client may wait until its upload is accepted
                pass
            message = "The specified method is not allowed against this resource."
            raise S3Error(405, "MethodNotAllowed", message, {"Allow": "GET, HEAD, OPTIONS"})
        bucket, _, key = request.scope["path"].removeprefix("/").partition("/")
        if not bucket and not key:
            return list_buckets(self.owner)
        if bucket != BUCKET:
            raise S3Error(404, "NoSuchBucket", "The specified bucket does not exist.")
        return await self.get_object(request, key) if key else self.get_bucket(request)

    def get_bucket(self, request: Request) -> Response:
        """Answer for the bucket itself: its listing, mostly."""
        query = request.query_params
        for name, tag in BUCKET_ANSWERS.items():
            if name in query:
                return xml_response(Element(tag, xmlns=NAMESPACE))
        if NOT_IMPLEMENTED & query.keys():
            raise S3Error(501, "NotImplemented", "This read-only bucket does not offer that.")
        if request.method == "HEAD":
            return Response(headers={"x-amz-bucket-region": "us-east-1"})
        return xml_response(list_objects(self.catalogue, dict(query)))

    async def get_object(self, request: Request, key: str) -> Response:
        """Answer for one object, or a range of its bytes; HEAD paints nothing."""
        entry = self.find(key)
        check_if_match(request, entry)
        headers = {"ETag": entry.etag, "Last-Modified": LAST_MODIFIED, "Accept-Ranges": "bytes"}
        if is_listed(entry.etag, request.headers.get("if-none-match")):
            return Response(status_code=304, headers=headers)

        wanted = requested_range(request, entry)
        start, stop = wanted or (0, entry.size)
        headers["Content-Length"] = str(stop - start)
        is_json = key.rpartition("/")[2].startswith((".z", "zarr.json"))
        headers["Content-Type"] = "application/json" if is_json else "binary/octet-stream"
        if wanted:
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{entry.size}"
        status = 206 if wanted else 200
        if request.method == "HEAD":
            return Response(b"", status, headers)
        pieces = self.carried(self.pieces(entry, start, stop))
        first = await anext(pieces)  # what fails does so before the answer begins
        return StreamingResponse(chain(first, pieces), status, headers)

    def find(self, key: str) -> Entry:
        """Return the object with this key, or raise `S3Error`."""
        entry = self.catalogue.find(key)
        if entry is None:
            raise S3Error(404, "NoSuchKey", "The specified key does not exist.")
        return entry

    async def carried(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Yield each piece when the line has carried it; all answers share the line."""
        async for piece in pieces:
            if self.bytes_per_s:
                now = asyncio.get_running_loop().time()
                self.line_free = max(now, self.line_free) + len(piece) / self.bytes_per_s
                await asyncio.sleep(self.line_free - now)
            yield piece

    async def pieces(self, entry: Entry, start: int, stop: int) -> AsyncIterator[bytes]:
        """Yield the bytes of an object from start to stop, at least one piece."""
        if entry.array is None:
            yield entry.document[start:stop]
            return
        async for piece in read_object(entry.array, entry.index, start, stop, self.cache):
            yield piece


async def chain(first: bytes, others: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the first piece and then the others."""
    yield first
    async for piece in others:
        yield piece


def requested_range(request: Request, entry: Entry) -> tuple[int, int] | None:
    """Return the bytes asked for as (start, stop), or None for the whole object.

    A header that is malformed, names several ranges or applies to another version of the object
    (``If-Range``) is ignored, as S3 does. A range outside the object raises `S3Error` 416.
    """
    match = re.fullmatch(r"bytes=(\d{0,18})-(\d{0,18})", request.headers.get("range", ""), re.ASCII)
    if match is None or match.group() == "bytes=-":
        return None
    if request.headers.get("if-range", entry.etag) != entry.etag:
        return None
    first, last = match.groups()
    if not first:  # the last bytes of the object
        start, stop = max(entry.size - int(last), 0), entry.size
    else:
        start, stop = int(first), min(int(last) + 1, entry.size) if last else entry.size
        if last and int(last) < start:
            return None
    if start >= entry.size:
        headers = {"Content-Range": f"bytes */{entry.size}"}
        raise S3Error(416, "InvalidRange", "The requested range is not satisfiable.", headers)
    return start, stop


def check_if_match(request: Request, entry: Entry) -> None:
    """Raise `S3Error` 412 if the request is for another version of the object."""
    condition = request.headers.get("if-match")
    if condition is not None and not is_listed(entry.etag, condition):
        message = "At least one of the preconditions you specified did not hold."
        raise S3Error(412, "PreconditionFailed", message)


def is_listed(etag: str, header: str | None) -> bool:
    """Tell whether an ETag is among those of an ``If-Match`` or ``If-None-Match`` header."""
    tags = [tag.strip().removeprefix("W/") for tag in (header or "").split(",")]
    return etag in tags or etag.strip('"') in tags or "*" in tags


def list_objects(catalogue: Catalogue, query: dict[str, str]) -> Element:
    """Return a page of the listing: ListObjectsV2, or the older ListObjects.

    The continuation token is the position of the next key in the sorted keys.
    """
    version2 = query.get("list-type") == "2"
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    limit = min(number(query, "max-keys", MAX_KEYS), MAX_KEYS)
    encode = encoder(query.get("encoding-type"))
    keys = catalogue.keys
    after = query.get("start-after" if version2 else "marker", "")
    first = bisect_right(keys, after) if after else 0
    if version2:
        first = number(query, "continuation-token", first)
    elif delimiter and after.endswith(delimiter):
        first = skip(keys, after, first)  # a marker may be a common prefix: all of it was listed
    page = list_page(keys, prefix, delimiter, first, limit)

    root = Element("ListBucketResult", xmlns=NAMESPACE)
    add(root, "Name", BUCKET)
    add(root, "Prefix", encode(prefix))
    add(root, "MaxKeys", limit)
    if delimiter:
        add(root, "Delimiter", encode(delimiter))
    if "encoding-type" in query:
        add(root, "EncodingType", query["encoding-type"])
    add(root, "IsTruncated", "true" if page.following is not None else "false")
    if version2:
        add(root, "KeyCount", len(page.positions) + len(page.prefixes))
        for name, tag in (
            ("continuation-token", "ContinuationToken"),
            ("start-after", "StartAfter"),
        ):
            if name in query:
                add(root, tag, encode(query[name]))
        if page.following is not None:
            add(root, "NextContinuationToken", page.following)
    else:
        add(root, "Marker", encode(after))
        if page.following is not None:
            last = [keys[position] for position in page.positions[-1:]] + page.prefixes[-1:]
            add(root, "NextMarker", encode(max(last)))
    for position in page.positions:
        entry = catalogue.entry(position)
        contents = SubElement(root, "Contents")
        add(contents, "Key", encode(entry.key))
        add(contents, "LastModified", MODIFIED)
        add(contents, "ETag", entry.etag)
        add(contents, "Size", entry.size)
        add(contents, "StorageClass", "STANDARD")
    for common in page.prefixes:
        add(SubElement(root, "CommonPrefixes"), "Prefix", encode(common))
    return root


def number(query: dict[str, str], name: str, default: int) -> int:
    """Return a parameter that must be a whole number and not negative."""
    text = query.get(name, str(default))
    if not re.fullmatch(r"\d{1,18}", text, re.ASCII):
        raise S3Error(400, "InvalidArgument", f"{name} must be a whole number, not {text!r}.")
    return int(text)


def encoder(encoding: str | None) -> Callable[[str], str]:
    """Return how keys are written in a listing: percent-encoded, or as they are."""
    if encoding not in (None, "url"):
        raise S3Error(400, "InvalidArgument", "encoding-type must be 'url'.")
    return quote if encoding else str


def list_buckets(name: str) -> Response:
    """Answer ``GET /``: the one bucket there is."""
    root = Element("ListAllMyBucketsResult", xmlns=NAMESPACE)
    owner = SubElement(root, "Owner")
    add(owner, "ID", name.split()[0])
    add(owner, "DisplayName", name)
    bucket = SubElement(SubElement(root, "Buckets"), "Bucket")
    add(bucket, "Name", BUCKET)
    add(bucket, "CreationDate", MODIFIED)
    return xml_response(root)


def error_response(request: Request, error: S3Error) -> Response:
    """Return an error in S3's XML."""
    root = Element("Error")
    add(root, "Code", error.code)
    add(root, "Message", str(error))
    add(root, "Resource", request.scope["path"])
    add(root, "RequestId", "0")
    return xml_response(root, error.status, error.headers)


def xml_response(
    root: Element, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """Return an XML document as an answer."""
    body = tostring(root, encoding="utf-8", xml_declaration=True)
    return Response(body, status, headers, media_type="application/xml")


def add(parent: Element, tag: str, content: object) -> None:
    """Add ``<tag>content</tag>``; characters that XML cannot hold become U+FFFD."""
    SubElement(parent, tag).text = NOT_IN_XML.sub("\ufffd", str(content))


class OpenHTTP(H11Protocol):
    """HTTP as uvicorn speaks it; but a page may read, too, why a malformed request is refused."""

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP, with the headers that every answer has."""
        lines = [b"%s: %s" % header for header in self.server_state.default_headers]
        lines = [b"HTTP/1.1 400 Bad Request", *lines, b"Connection: close", b"", msg.encode()]
        self.transport.write(b"\r\n".join(lines))
        self.transport.close()


class OfflineThread:
    """The server, running in a thread of this process.

    Parameters
    ----------
    port : int
        Port on the loopback interface; 0 takes a free one.
    delay_ms : float
        Milliseconds to wait before each answer.
    app : S3App, optional
        What answers; the stand-in if left out.

    Attributes
    ----------
    endpoint : str
        Address of the server, such as ``http://127.0.0.1:9000``.

    Raises
    ------
    OSError
        If the port is in use.
    """

    def __init__(self, port: int = 0, delay_ms: float = 0, app: S3App | None = None) -> None:
        app = app or S3App(build_catalogue(), delay_ms)
        self._socket = listen(port)
        self.endpoint = f"http://{HOST}:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(
            app,
            loop="asyncio",
            http=OpenHTTP,
            headers=list(CORS_HEADERS.items()),
            ws="none",
            lifespan="off",
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_keep_alive=120,  # longer than clients keep an idle connection for reuse
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        # In a thread, uvicorn leaves Ctrl-C to the program.
        run = {"sockets": [self._socket]}
        self._thread = threading.Thread(target=self._server.run, kwargs=run, daemon=True)
        self._thread.start()

    def alive(self) -> bool:
        """Tell whether the server runs."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Stop the server and wait until its port is closed, a few seconds at most."""
        self._server.should_exit = True
        self._thread.join(timeout=5)
        self._socket.close()


def listen(port: int) -> socket.socket:
    """Return a socket on which connections wait from now on, before the server has started.

    asyncio sends small answers at once (TCP_NODELAY) only where the socket names its protocol,
    which `socket.create_server` does not do: each answer would take 40 ms.
    """
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":  # elsewhere this would let two servers share a port
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((HOST, port))
        listening.listen(128)
    except OSError:
        listening.close()
        raise
    return listening
