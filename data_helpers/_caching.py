"""What reading asks of a cache, whatever cache it is; `data_helpers.cache` has two."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from zarr.abc.store import ByteRequest

from ._doors import open_door


class CachedObject(Protocol):
    """An object, or a part of one, as a cache holds it."""

    @property
    def etag(self) -> str:
        """What the endpoint calls this version of the object."""

    @property
    def data(self) -> bytes | None:
        """Its bytes; None says that there is no such key."""


class Doubt:
    """From now on, believe nothing that was kept before: an image is looked for a second time.

    It is remembered by name what was confirmed since, not by the time, which may be set back.
    """

    def __init__(self) -> None:
        self._confirmed: dict[str, str] = {}

    def confirm(self, name: str, etag: str) -> None:
        """The endpoint has just said so."""
        self._confirmed[name] = etag

    def concerns(self, name: str, etag: str) -> bool:
        """Whether a version of an object is to be confirmed before use."""
        return self._confirmed.get(name) != etag


class CacheView(Protocol):
    """The part of a cache that belongs to one image."""

    def below(self, path: str) -> CacheView:
        """The view of a folder below the image, such as ``labels/0``."""

    async def find(self, key: str, byte_range: ByteRequest | None) -> CachedObject | None:
        """What is kept of a key, or of a part of it."""

    def trusts(self, key: str, entry: CachedObject) -> bool:
        """Whether it may be used without asking the endpoint."""

    async def keep(
        self, key: str, byte_range: ByteRequest | None, etag: str, data: bytes | None
    ) -> bool:
        """Keep an answer; whether it shows that the object has changed."""

    def drop(self, key: str) -> None:
        """Forget a key."""


class Cache(Protocol):
    """A cache of objects, for any number of images."""

    def view(self, address: str, doubt: Doubt | None = None) -> CacheView:
        """The part for the image at an address; see `data_helpers.cache`."""


def find_cache(cache: str | Path | Cache | None) -> Cache | None:
    """The cache meant by a ``cache=`` argument, or by ``OME_ZARR_CACHE`` if that is None.

    Raises
    ------
    OmeZarrError
        It is no cache: neither "memory", nor a folder, nor "off", nor a cache made before.
    """
    if cache is None and not os.environ.get("OME_ZARR_CACHE", "").strip():
        return None
    found: Cache | None = open_door("cache").find_cache(cache)
    return found
