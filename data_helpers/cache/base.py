"""What every cache has in common: entries, a limit, and the view that a store has of it."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest

from .._caching import Doubt
from ..errors import OmeZarrError

MISSING_SECONDS = 24 * 3600
"""How long "there is no such key" is believed."""

ENTRY_BYTES = 500
"""What an entry takes besides its data, at most: names, and its first line in a file."""

Result = TypeVar("Result")


class Entry(NamedTuple):
    """What a cache holds of one object."""

    etag: str
    """The object's version, as the endpoint calls it; empty if there is no such key."""
    data: bytes | None
    """The object or a part of it; None says that there is no such key."""
    confirmed: int
    """When the endpoint last said so, in nanoseconds on the clock of the cache."""
    recheck: str = ""
    """The last call of `Cache.recheck` before that."""


class Cache(ABC):
    """What `MemoryCache` and `DiskCache` have in common.

    Parameters
    ----------
    max_mb : float, optional
        Limit in megabytes; what ``OME_ZARR_CACHE_MB`` says if left out.
    default_mb : float
        Limit if neither is given.

    Attributes
    ----------
    limit : int
        Most bytes that it holds.
    """

    def __init__(self, max_mb: float | None, default_mb: float) -> None:
        self.limit = limit_of(max_mb, default_mb)

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """Bytes that it holds now."""

    @property
    @abstractmethod
    def rechecked(self) -> str:
        """A name for the last call of `recheck`; empty if there was none.

        A name and not a time, because a clock may be set back.
        """

    @abstractmethod
    def now(self) -> int:
        """Nanoseconds on the clock of the cache."""

    @abstractmethod
    def find(self, name: str, part: str) -> Entry | None:
        """The entry for a part of an object, which now counts as used."""

    @abstractmethod
    def keep(self, name: str, part: str, etag: str, data: bytes | None) -> bool:
        """Keep an entry, and drop all entries of other versions of the object.

        Returns
        -------
        bool
            Whether another version was dropped: the object has changed.
        """

    @abstractmethod
    def drop(self, name: str) -> None:
        """Forget all that is known of an object."""

    @abstractmethod
    def clear(self) -> None:
        """Forget everything."""

    @abstractmethod
    def recheck(self) -> None:
        """From now on, have each entry confirmed by the endpoint before it is used again."""

    def trusts(self, entry: Entry) -> bool:
        """Whether an entry may be used without asking the endpoint.

        That there is no such key is believed for a day; of an entry from the future nobody knows
        how old it is.
        """
        if entry.recheck != self.rechecked:
            return False
        day = MISSING_SECONDS * 10**9
        return entry.data is not None or abs(self.now() - entry.confirmed) <= day

    def view(self, address: str, doubt: Doubt | None = None) -> CacheView:
        """The part of the cache for the image at an address.

        Parameters
        ----------
        address : str
            What names the image, today and tomorrow.
        doubt : Doubt, optional
            What is to be confirmed before use.
        """
        return CacheView(self, address, doubt)

    async def run(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """Do a piece of work of this cache without holding up the requests in flight."""
        return work(*arguments)


class CacheView:
    """The part of a cache that belongs to one image: what a store asks.

    Parameters
    ----------
    cache : Cache
        Where the entries are.
    prefix : str
        Address of the image. It must mean the same image tomorrow.
    doubt : Doubt, optional
        What is to be confirmed before use.
    """

    def __init__(self, cache: Cache, prefix: str, doubt: Doubt | None = None) -> None:
        self.cache, self.prefix, self.doubt = cache, prefix, doubt

    def below(self, path: str) -> CacheView:
        """The view of a folder below the image, such as ``labels/0``."""
        return CacheView(self.cache, f"{self.prefix}/{path}", self.doubt)

    async def find(self, key: str, byte_range: ByteRequest | None) -> Entry | None:
        """The entry of a key, or of a part of it."""
        return await self.cache.run(self.cache.find, f"{self.prefix}/{key}", part_name(byte_range))

    def trusts(self, key: str, entry: Entry) -> bool:
        """Whether an entry may be used without asking the endpoint."""
        if self.doubt and self.doubt.concerns(f"{self.prefix}/{key}", entry.etag):
            return False
        return self.cache.trusts(entry)

    async def keep(
        self, key: str, byte_range: ByteRequest | None, etag: str, data: bytes | None
    ) -> bool:
        """Keep an answer (None for "no such key"); whether it shows that the object changed."""
        name, part = f"{self.prefix}/{key}", part_name(byte_range)
        if self.doubt:
            self.doubt.confirm(name, etag)
        return await self.cache.run(self.cache.keep, name, part, etag, data)

    def drop(self, key: str) -> None:
        """Forget a key, because what is kept of it turned out to be rubbish."""
        self.cache.drop(f"{self.prefix}/{key}")


def part_name(byte_range: ByteRequest | None) -> str:
    """A short name for a part of an object, such as "0-99" or "all"."""
    if byte_range is None:
        return "all"
    if isinstance(byte_range, RangeByteRequest):
        return f"{byte_range.start}-{byte_range.end}"
    if isinstance(byte_range, OffsetByteRequest):
        return f"{byte_range.offset}-"
    return f"last{byte_range.suffix}"


def in_memory(entry: Entry) -> int:
    """Bytes that an entry takes in memory, or in a file."""
    return len(entry.data or b"") + ENTRY_BYTES


def limit_of(max_mb: float | None, default_mb: float) -> int:
    """A limit in bytes, from an argument, from the environment, or the default."""
    given: Any = max_mb
    if given is None:
        given = os.environ.get("OME_ZARR_CACHE_MB", "").strip() or default_mb
    try:
        limit = round(float(given) * 1e6)
    except (TypeError, ValueError, OverflowError):
        limit = 0
    if limit <= 0:
        raise OmeZarrError(
            f"A cache of {given!r} MB is not possible; give its limit (max_mb or "
            "OME_ZARR_CACHE_MB) as a number of megabytes above 0."
        )
    return limit
