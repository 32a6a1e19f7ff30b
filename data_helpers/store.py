"""The one place that makes a store: time-outs, retries, and what each kind of answer means.

Zarr asks a *store* for one key at a time ("4/0.0.0.0.0") and gets bytes, or nothing. This store
asks an fsspec file system and adds care:

* every request has a time-out, and is tried again a few times, more slowly each time, when the
  endpoint is busy (429, 5xx) or the connection drops;
* 404 means "no such key", which for a chunk means that it is empty;
* 410 from a mirror means "not copied", which is an error in the mirror's own words;
* every other failure is an error that names the key. A chunk is never silently zeros.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any
from urllib.parse import unquote

import aiohttp
from zarr.abc.buffer import Buffer, BufferPrototype
from zarr.abc.store import (
    ByteRequest,
    OffsetByteRequest,
    RangeByteRequest,
    Store,
    SuffixByteRequest,
)
from zarr.buffer import default_buffer_prototype

from . import _transport
from ._caching import CacheView
from ._formatting import one_line
from ._interrupt import result, submit
from ._requests import join_observers, observers_to_carry
from ._transport import Answer, is_metadata
from .errors import (
    AccessDeniedError,
    ChunkError,
    EndpointUnreachableError,
    MalformedMetadataError,
    MirrorError,
    OmeZarrError,
)

ATTEMPTS = 4
"""How often one key is asked for before giving up."""

FIRST_PAUSE = 0.25
"""Seconds before the second attempt; each later pause is twice as long."""

_RETRY_STATUS = {408, 425, 429, 500, 502, 503, 504}

Check = Callable[[bytes], str | None]


class IncompleteAnswerError(Exception):
    """An answer arrived whole but holds too few bytes; worth asking again."""


class RetryingStore(Store):
    """A read-only Zarr store over https, http or a local folder.

    Parameters
    ----------
    url : str
        Address of the image: ``https://host/bucket/key`` or a local folder.
    check : callable, optional
        Looks at the bytes of every whole chunk and returns what is wrong with them, or None.
    cache : CacheView, optional
        Where to keep what was fetched; nothing is kept if left out.
    """

    supports_writes = False
    supports_deletes = False
    supports_listing = False

    def __init__(
        self, url: str, check: Check | None = None, cache: CacheView | None = None
    ) -> None:
        super().__init__(read_only=True)
        self.url = url.rstrip("/")
        self.check = check
        self.cache = cache

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RetryingStore) and self.url == other.url

    def __hash__(self) -> int:
        return hash(self.url)

    def __repr__(self) -> str:
        return f"RetryingStore({self.url!r})"

    def __str__(self) -> str:
        return self.url

    def __getstate__(self) -> dict[str, Any]:
        """What goes to another process: also whom to tell of requests, such as a meter."""
        return {**self.__dict__, "_observers": observers_to_carry()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        join_observers(state.pop("_observers", ()))
        self.__dict__.update(state)

    def below(self, path: str) -> RetryingStore:
        """The store of a folder below this one, such as ``labels/0``."""
        return RetryingStore(f"{self.url}/{path}", cache=self.cache and self.cache.below(path))

    def checking(self, check: Check) -> RetryingStore:
        """The same store, which also checks every whole chunk."""
        return RetryingStore(self.url, check, self.cache)

    async def get(
        self,
        key: str,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        """Fetch one key, or None where the endpoint says that there is no such key.

        Raises
        ------
        AccessDeniedError
            The endpoint answers 401 or 403.
        EndpointUnreachableError
            A metadata key could not be fetched in several attempts.
        ChunkError
            A chunk could not be fetched whole in several attempts.
        """
        answer = await self._fetch(key, byte_range)
        if answer is None:
            return None
        return (prototype or default_buffer_prototype()).buffer.from_bytes(answer.data)

    async def _fetch(self, key: str, byte_range: ByteRequest | None = None) -> Answer | None:
        """Take a key from the cache, if there is one and it has the key; else ask for it."""
        if self.cache is None:
            return await self._ask(key, byte_range)
        kept = await self.cache.find(key, byte_range)
        if kept:
            answer = None if kept.data is None else Answer(kept.data, kept.etag)
            if self.cache.trusts(kept):
                return answer
            if answer and await _transport.has_etag(f"{self.url}/{key}", kept.etag):
                await self.cache.keep(key, byte_range, answer.etag, answer.data)  # confirmed
                return answer
        answer = await self._ask(key, byte_range)
        if _worth_keeping(key, byte_range, answer):
            data, etag = answer if answer else (None, "")
            changed = await self.cache.keep(key, byte_range, etag, data)
            if changed and byte_range and not kept:  # the index of the shard may be the old one
                raise ChunkError(
                    f"{key} of {self.url} has changed since parts of it were put into the cache; "
                    "run the cell again, which now reads the new version."
                )
        return answer

    def forget(self, key: str) -> None:
        """Drop a key from the cache, because what is kept of it cannot be decoded."""
        if self.cache:
            self.cache.drop(key)

    async def _ask(self, key: str, byte_range: ByteRequest | None = None) -> Answer | None:
        """Ask for a key up to `ATTEMPTS` times, pausing longer each time."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await self._fetch_once(key, byte_range, attempt > 1)
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
                return None
            except Exception as caught:
                error = caught
            # Raised here, outside the except: an error that trails the client's own behind it
            # cannot be sent from one process to another.
            if attempt == ATTEMPTS or not _worth_retrying(error):
                _keep_asyncio_quiet()
                raise self._explain(key, error, attempt)
            await asyncio.sleep(FIRST_PAUSE * 2 ** (attempt - 1) * random.uniform(0.75, 1.25))
        raise AssertionError("unreachable")  # pragma: no cover

    async def _fetch_once(self, key: str, byte_range: ByteRequest | None, retry: bool) -> Answer:
        path = f"{self.url}/{key}" if key else self.url
        if isinstance(byte_range, RangeByteRequest):
            start, end = byte_range.start, byte_range.end
            answer = await _transport.read(path, start, end, retry)
            if len(answer.data) > end - start:  # the endpoint ignored the range, sent everything
                answer = answer._replace(data=answer.data[start:end])
            if len(answer.data) < end - start:
                raise IncompleteAnswerError(f"{len(answer.data)} of {end - start} bytes")
            return answer
        if isinstance(byte_range, SuffixByteRequest):
            answer = await _transport.read(path, -byte_range.suffix, None, retry)
            return answer._replace(data=answer.data[-byte_range.suffix :])
        answer = await _transport.read(path, None, None, retry)
        if isinstance(byte_range, OffsetByteRequest):
            return answer._replace(data=answer.data[byte_range.offset :])
        problem = self.check(answer.data) if self.check and not is_metadata(key) else None
        if problem:
            raise IncompleteAnswerError(problem)
        return answer

    def _explain(self, key: str, error: Exception, attempts: int) -> OmeZarrError:
        """One sentence for a request that failed for good."""
        where = f"{self.url}/{key}"
        if sentence := _mirror_says(error):
            return MirrorError(sentence)
        if _status(error) in (401, 403) or isinstance(error, PermissionError):
            what = "Metadata" if is_metadata(key) else "Chunk"
            return AccessDeniedError(
                f"{what} {key} of {self.url} cannot be read: {_reason(error)}, which denies "
                "access. Check the address, or ask whoever keeps the image whether it is public."
            )
        tried = f"after {attempts} attempts" if attempts > 1 else "at the first attempt"
        if is_metadata(key):
            return EndpointUnreachableError(
                f"{where} could not be read {tried}: {_reason(error)}. Check the address and the "
                'network, or work on with choose_source("offline").'
            )
        return ChunkError(
            f"Chunk {key} of {self.url} could not be fetched {tried}: {_reason(error)}. "
            "Run the cell again; if it fails again, try another source with choose_source(...)."
        )

    def read_json(self, keys: Iterable[str]) -> tuple[dict[str, dict[str, Any]], list[str]]:
        """Fetch several metadata documents at once.

        Parameters
        ----------
        keys : iterable of str
            Such as ``["0/.zarray", "1/.zarray"]``.

        Returns
        -------
        documents : dict of str to dict
            Only the documents that exist.
        denied : list of str
            Keys answered with 403. Some endpoints answer so for a key that does not exist,
            therefore they are left to the caller to judge.

        Raises
        ------
        MalformedMetadataError
            A document is not a JSON object.
        EndpointUnreachableError
            No usable answer for one of the keys.
        """
        keys = list(keys)
        answers = result(submit(self._fetch_all(keys)))
        documents, denied = {}, []
        for key, answer in zip(keys, answers, strict=True):
            if isinstance(answer, AccessDeniedError):
                denied.append(key)
            elif isinstance(answer, BaseException):
                raise answer
            elif answer is not None:
                documents[key] = _parse_json(answer.data, f"{self.url}/{key}")
        return documents, denied

    async def _fetch_all(self, keys: list[str]) -> list[Answer | BaseException | None]:
        return await asyncio.gather(*map(self._fetch, keys), return_exceptions=True)

    # What follows completes Zarr's store interface: this one reads single keys, nothing else.

    async def get_partial_values(
        self,
        prototype: BufferPrototype,
        key_ranges: Iterable[tuple[str, ByteRequest | None]],
    ) -> list[Buffer | None]:
        """Fetch parts of several keys at once."""
        parts = (self.get(key, prototype, byte_range) for key, byte_range in key_ranges)
        return list(await asyncio.gather(*parts))

    async def exists(self, key: str) -> bool:
        """Whether the endpoint has this key."""
        return await self._fetch(key) is not None

    async def set(self, key: str, value: Buffer) -> None:
        """Refused: the store is read-only."""
        raise PermissionError(f"{self!r} is read-only")

    async def delete(self, key: str) -> None:
        """Refused: the store is read-only."""
        raise PermissionError(f"{self!r} is read-only")

    def list(self) -> AsyncIterator[str]:
        """Refused: over https there is no listing; levels are found through the metadata."""
        raise NotImplementedError(f"{self!r} cannot be listed")

    def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """Refused, as `list`."""
        return self.list()

    def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Refused, as `list`."""
        return self.list()


def _keep_asyncio_quiet() -> None:
    """Keep asyncio from printing an error that is raised anyway.

    When several chunks fail together, Zarr raises the first error and may drop the others unread
    (3.4 does), which asyncio reports one by one on stderr.
    """
    task = asyncio.current_task()
    if task:
        task.add_done_callback(lambda done: done.cancelled() or done.exception())


def _worth_keeping(key: str, byte_range: ByteRequest | None, answer: Answer | None) -> bool:
    """Whether an answer may go into a cache."""
    if answer is None:
        return True  # also a second run need not ask for what is not there
    if byte_range and not answer.etag:
        return False  # parts of two versions could not be told apart
    try:
        return not is_metadata(key) or _parse_json(answer.data, key) is not None
    except MalformedMetadataError:  # a login page, say
        return False


def _status(error: Exception) -> int | None:
    return error.status if isinstance(error, aiohttp.ClientResponseError) else None


def _mirror_says(error: Exception) -> str:
    """The sentence of a mirror that cannot give what was asked for, or nothing."""
    if not isinstance(error, aiohttp.ClientResponseError) or error.status != 410:
        return ""
    headers: Any = error.headers or {}
    return unquote(headers.get("x-mirror-error", ""))


def _worth_retrying(error: Exception) -> bool:
    if isinstance(error, aiohttp.ClientResponseError):
        return error.status in _RETRY_STATUS
    if isinstance(error, aiohttp.InvalidURL | PermissionError):
        return False
    return isinstance(error, aiohttp.ClientError | OSError | IncompleteAnswerError)


def _reason(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientResponseError):
        return f"the endpoint answers {error.status} ({' '.join(error.message.split())})"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"no connection to {error.host}:{error.port}"
    if isinstance(error, aiohttp.ClientError | ConnectionError):
        return f"the connection was lost ({type(error).__name__})"
    return one_line(error)


def _parse_json(data: bytes, where: str) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except ValueError as error:
        raise MalformedMetadataError(
            f"The metadata at {where} are not valid JSON ({error}); a login page or a broken "
            "upload looks like this: open the address in a browser to see."
        ) from None
    if not isinstance(document, dict):
        raise MalformedMetadataError(
            f"The metadata at {where} should be a JSON object but are a "
            f"{type(document).__name__}; open the address in a browser to see."
        )
    return document
