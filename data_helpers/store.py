"""The one place that makes a store: time-outs, retries, and what each kind of answer means.

Zarr asks a *store* for one key at a time ("4/0.0.0.0.0") and gets bytes, or nothing. This store
asks an fsspec file system and adds care:

* every request has a time-out, and is tried again a few times, more slowly each time, when the
  endpoint is busy (429, 5xx) or the connection drops;
* all attempts together take no longer than one deadline allows, and no answer is taken that is
  longer than what was asked for can be;
* 404 means "no such key", which for a chunk means that it is empty; 403 means so only for who says
  so (``missing_as_empty``);
* 410 from a mirror means "not copied", which is an error in the mirror's own words;
* every other failure is an error that names the key. A chunk is never silently zeros.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any

from zarr.abc.buffer import Buffer, BufferPrototype
from zarr.abc.store import (
    ByteRequest,
    OffsetByteRequest,
    RangeByteRequest,
    Store,
    SuffixByteRequest,
)
from zarr.buffer import default_buffer_prototype

from ._caching import CacheView
from ._interrupt import result, submit
from ._metadata.sizes import ChunkSizes
from ._store import transport
from ._store.answers import (
    DeadlineError,
    IncompleteAnswerError,
    explain,
    says_not_there,
    worth_keeping,
    worth_retrying,
)
from ._store.deadline import Deadline, within
from ._store.documents import fetch_documents
from ._store.known_keys import Found, KeyLayout, KnownKeys
from ._store.requests import join_observers, observers_to_carry
from ._store.transport import Access, Answer, TooLongError, is_metadata
from .addresses import encoded, is_remote, join, split_secret, tidy_url
from .errors import AccessDeniedError, ChunkError, CredentialsError, OmeZarrError

ATTEMPTS = 4
"""How often one key is asked for before giving up."""

FIRST_PAUSE = 0.25
"""Seconds before the second attempt; each later pause is twice as long."""

GZIP = b"\x1f\x8b"
"""What anything compressed by gzip begins with."""

Check = Callable[[bytes], str | None]


class RetryingStore(Store):
    """A read-only Zarr store over https, http, signed S3 or a local folder, zipped or not.

    Parameters
    ----------
    url : str
        Address of the image: ``https://host/bucket/key``, encoded, ``s3://bucket/key``, or a local
        folder. The query of a URL is sent with every key, and never shown.
    check : callable, optional
        Looks at the bytes of every whole chunk and returns what is wrong with them, or None.
    cache : CacheView, optional
        Where to keep what was fetched; nothing is kept if left out.
    missing_as_empty : bool
        Whether a chunk that is denied (403) counts as one that was never written.
    access : Access, optional
        How to read a private bucket or an archive; plain requests if left out.

    Attributes
    ----------
    url : str
        The address without its query, to be shown.
    """

    supports_writes = False
    supports_deletes = False
    supports_listing = False

    def __init__(
        self,
        url: str,
        check: Check | None = None,
        cache: CacheView | None = None,
        missing_as_empty: bool = False,
        access: Access | None = None,
    ) -> None:
        super().__init__(read_only=True)
        self.url, self._secret = split_secret(tidy_url(url) if is_remote(url) else url.rstrip("/"))
        self.check = check
        self.cache = cache
        self.missing_as_empty = missing_as_empty
        self.access = access
        self.sizes: ChunkSizes | None = None
        self._gzipped = False
        self._layout: KeyLayout | None = None
        self._known = KnownKeys()

    @property
    def identity(self) -> tuple[str, ...]:
        """What makes two stores the same; holds no secret."""
        name = self.access.lasting_name(self.url) if self.access else ""
        return self.url, self._secret.mark, name, str(self.missing_as_empty)

    @property
    def lasting_name(self) -> str:
        """The address, with what of its query is no secret: the same after a new signature."""
        name = self.access.lasting_name(self.url) if self.access else ""
        return (name or self.url) + self._secret.lasting_mark

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RetryingStore) and self.identity == other.identity

    def __hash__(self) -> int:
        return hash(self.identity)

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
        url = self._secret.put_into(self.address(path))
        cache = self.cache and self.cache.below(encoded(path))
        store = RetryingStore(url, None, cache, self.missing_as_empty, self.access)
        store._known.sparse = True  # background is often not written, as in labels
        return store

    def of_array(
        self,
        path: str,
        check: Check | None,
        gzipped: bool = False,
        says_layout: bool = True,
        sizes: ChunkSizes | None = None,
    ) -> RetryingStore:
        """The same store, which knows what to expect of the chunks of one array.

        Parameters
        ----------
        path : str
            Path of the array.
        check : callable or None
            Looks at every whole chunk.
        gzipped : bool
            Whether its chunks are compressed by gzip.
        says_layout : bool
            Whether its metadata say how chunks are named; if not, that is found out.
        sizes : ChunkSizes, optional
            How large its chunks may be.
        """
        store = RetryingStore.__new__(RetryingStore)
        more = {"check": check, "_gzipped": gzipped, "_layout": None, "sizes": sizes}
        store.__dict__.update(self.__dict__, **more)
        if not says_layout:
            store._layout = self._known.layouts.setdefault(path, KeyLayout(path))
        return store

    def address(self, key: str = "") -> str:
        """The address of a key, as it may be shown."""
        return join(self.url, key)

    def name(self, key: str) -> str:
        """How the store calls a chunk: the key, unless its array names chunks otherwise."""
        return self._layout.name(key) if self._layout else key

    def reading(self) -> AbstractContextManager[None]:
        """Read chunks in the block; where none of the image was there, say so at the end, once."""
        return self._known.reading(self.url)

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
        fetch = self._fetch if is_metadata(key) else self._fetch_chunk
        answer = await fetch(key, byte_range)
        if answer is None:
            return None
        return (prototype or default_buffer_prototype()).buffer.from_bytes(answer.data)

    async def _fetch_chunk(self, key: str, byte_range: ByteRequest | None) -> Answer | None:
        """Fetch a chunk by the name that it has, and note whether it is there."""

        async def fetch(name: str) -> Found:
            try:
                return await self._fetch(name, byte_range)
            except OmeZarrError as error:
                if says_not_there(error):
                    return error
                raise

        found = await (self._layout.find(fetch, key) if self._layout else fetch(key))
        if isinstance(found, OmeZarrError) and not (found.status == 403 and self.missing_as_empty):
            raise found
        if isinstance(found, Answer):
            self._known.found = True
            return found
        self._known.sought = self._known.sought or key
        return None

    async def _fetch(self, key: str, byte_range: ByteRequest | None = None) -> Answer | None:
        """Take a key from the cache, or ask for it, in no longer than one key may take."""
        seconds = (self.access and self.access.seconds) or transport.TOTAL_SECONDS
        with within(seconds) as deadline:
            return await self._find(key, byte_range, deadline)

    async def _find(
        self, key: str, byte_range: ByteRequest | None, deadline: Deadline
    ) -> Answer | None:
        """Take a key from the cache, if there is one and it has the key; else ask for it."""
        if self.cache is None:
            return await self._ask(key, byte_range, deadline)
        name = encoded(key)
        kept = await self.cache.find(name, byte_range)
        if kept:
            answer = None if kept.data is None else Answer(kept.data, kept.etag)
            if self.cache.trusts(name, kept):
                return answer
            if answer and await transport.has_etag(self._path(key), kept.etag, self.access):
                await self.cache.keep(name, byte_range, answer.etag, answer.data)  # confirmed
                return answer
        answer = await self._ask(key, byte_range, deadline)
        if worth_keeping(key, byte_range, answer):
            data, etag = answer[:2] if answer else (None, "")
            changed = await self.cache.keep(name, byte_range, etag, data)
            if changed and byte_range and not kept:  # the index of the shard may be the old one
                raise ChunkError(
                    f"{key} of {self.url} has changed since parts of it were cached; "
                    "run the cell again to read the new version."
                )
        return answer

    def forget(self, key: str) -> None:
        """Drop a key from the cache, because what is kept of it cannot be decoded."""
        if self.cache:
            self.cache.drop(encoded(self.name(key)))

    async def _ask(
        self, key: str, byte_range: ByteRequest | None, deadline: Deadline
    ) -> Answer | None:
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
            if deadline.is_over and isinstance(error, TimeoutError):
                error = DeadlineError(deadline.seconds)
            if attempt == ATTEMPTS or deadline.is_over or not worth_retrying(error):
                advice = self.access.advice if self.access else ""
                raise explain(error, key, self.url, attempt, advice)
            await asyncio.sleep(FIRST_PAUSE * 2 ** (attempt - 1) * random.uniform(0.75, 1.25))
        raise AssertionError("unreachable")  # pragma: no cover

    def _path(self, key: str) -> str:
        """What to ask for: the address of a key, with all that is not shown."""
        return self._secret.put_into(self.address(key))

    def _limit(self, key: str) -> int | None:
        """The most bytes that what is at a key may have."""
        if is_metadata(key):
            return transport.metadata_limit(key)
        return self.sizes.whole if self.sizes else None

    async def _fetch_once(self, key: str, byte_range: ByteRequest | None, retry: bool) -> Answer:
        path, limit = self._path(key), self._limit(key)
        if isinstance(byte_range, RangeByteRequest):
            start, end = byte_range.start, byte_range.end
            if self.sizes and end - start > self.sizes.part:
                raise TooLongError(self.sizes.part)
            answer = await transport.read(path, start, end, retry, self.access, limit)
            if len(answer.data) > end - start:  # the endpoint ignored the range, sent everything
                answer = answer._replace(data=answer.data[start:end])
            if len(answer.data) < end - start:
                raise IncompleteAnswerError(f"{len(answer.data)} of {end - start} bytes")
            return answer
        if isinstance(byte_range, SuffixByteRequest):
            answer = await transport.read(path, -byte_range.suffix, None, retry, self.access, limit)
            return answer._replace(data=answer.data[-byte_range.suffix :])
        answer = await transport.read(path, None, None, retry, self.access, limit)
        if isinstance(byte_range, OffsetByteRequest):
            return answer._replace(data=answer.data[byte_range.offset :])
        if answer.sent and self._gzipped and not answer.data.startswith(GZIP):
            answer = answer._replace(data=answer.sent)  # the server took the codec for an encoding
        problem = self.check(answer.data) if self.check and not is_metadata(key) else None
        if problem:
            raise IncompleteAnswerError(problem)
        return answer

    def read_json(
        self, keys: Iterable[str], optional: bool = False
    ) -> tuple[dict[str, dict[str, Any]], list[str]]:
        """Fetch several metadata documents at once.

        Parameters
        ----------
        keys : iterable of str
            Such as ``["0/.zarray", "1/.zarray"]``.
        optional : bool
            Whether a refusal, such as 400, or a web page means that there is no such document.

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
        documents, errors = self.read_either(keys)
        denied = [key for key, error in errors.items() if _is_denied(error)]
        for key, error in errors.items():
            if key not in denied and not (optional and says_not_there(error)):
                raise error
        return documents, denied

    def read_either(
        self, keys: Iterable[str], good: Callable[[dict[str, Any]], bool] = lambda document: False
    ) -> tuple[dict[str, dict[str, Any]], dict[str, OmeZarrError]]:
        """Fetch several metadata documents at once, and raise no error.

        Parameters
        ----------
        keys : iterable of str
            Such as ``[".zattrs", "zarr.json"]``.
        good : callable, optional
            Whether a document says enough. Once there is such a document, the others are waited
            for no longer than a second.

        Returns
        -------
        documents : dict of str to dict
            The documents that exist.
        errors : dict of str to OmeZarrError
            What went wrong with others.
        """
        keys = list(keys)
        found = result(submit(fetch_documents(self._fetch, self.url, keys, good)))
        documents: dict[str, dict[str, Any]] = {}
        errors: dict[str, OmeZarrError] = {}
        for key in keys:
            answer = found.get(key)
            if isinstance(answer, OmeZarrError):
                errors[key] = answer
            elif answer is not None:
                documents[key] = answer
        return documents, errors

    def read_text(self, key: str) -> str:
        """A document that is no JSON, such as one of XML; empty if it cannot be had."""
        try:
            answer = result(submit(self._fetch(key)))
        except OmeZarrError:
            return ""
        return "" if answer is None else answer.data.decode("utf-8", "replace")

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


def _is_denied(error: OmeZarrError) -> bool:
    """Whether a key is denied, which may mean that it does not exist."""
    return isinstance(error, AccessDeniedError) and not isinstance(error, CredentialsError)
