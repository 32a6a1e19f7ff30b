"""What reading an image has shown about the keys of its chunks.

Zarr v2 names a chunk "0.0.1" unless ``dimension_separator`` in the metadata says "0/0/1". Some
programs wrote the second form without saying so. `KeyLayout` finds out which of them it is.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .._warning import warn
from ..errors import OmeZarrError
from .transport import Answer

Found = Answer | OmeZarrError | None
"""What became of a key: it is there, it was refused, or there is no such key."""

Fetch = Callable[[str], Awaitable[Found]]


class KeyLayout:
    """How an array names its chunks, where its metadata do not say.

    The names that Zarr asks for, with dots, are tried first. Where such a chunk is missing, it is
    asked for with slashes, too. Both goes on only until the first chunk is found, under either
    name: all chunks of the array are named alike.

    Parameters
    ----------
    path : str
        Path of the array below the image.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.nested: bool | None = None
        self._first_try: asyncio.Future[None] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_first_try": None}

    def nested_key(self, key: str) -> str:
        """The key with slashes: "0/0/0/1" for "0/0.0.1"."""
        start = len(self.path) + 1 if self.path else 0
        return key[:start] + key[start:].replace(".", "/")

    def name(self, key: str) -> str:
        """The name of a chunk in the store, as far as is known."""
        return self.nested_key(key) if self.nested else key

    async def find(self, fetch: Fetch, key: str) -> Found:
        """Fetch a chunk by whichever name it has."""
        if self.nested:
            return await fetch(self.nested_key(key))
        found = await fetch(key)
        if isinstance(found, Answer):
            self._settle(nested=False)
            return found
        if self.nested is None:
            await self._wait_for_first_try()
        if self.nested is False:
            return found
        other = await self._try_nested(fetch, key)
        if isinstance(other, Answer):
            self._settle(nested=True)
            return other
        return found or other  # a refusal counts more than "no such key"

    def _settle(self, nested: bool) -> None:
        if self.nested is None:
            self.nested = nested

    async def _wait_for_first_try(self) -> None:
        """Many chunks are asked for at once: the first one that is missing tries for all."""
        trying = self._first_try
        if trying and trying.get_loop() is asyncio.get_running_loop():
            await asyncio.wait([trying])

    async def _try_nested(self, fetch: Fetch, key: str) -> Found:
        if self._first_try:
            return await fetch(self.nested_key(key))
        self._first_try = asyncio.get_running_loop().create_future()
        try:
            other = await fetch(self.nested_key(key))
            if isinstance(other, Answer):
                self._settle(nested=True)
            return other
        finally:
            self._first_try.set_result(None)


class KnownKeys:
    """What is known about the chunks of one image; all of its arrays share it.

    Attributes
    ----------
    layouts : dict of str to KeyLayout
        By path, for arrays whose metadata do not say how chunks are named.
    found : bool
        Whether any chunk that was asked for exists.
    sought : str
        A chunk that was asked for and does not exist.
    sparse : bool
        Whether it is no wonder if no chunk exists.
    """

    def __init__(self) -> None:
        self.layouts: dict[str, KeyLayout] = {}
        self.found = False
        self.sought = ""
        self.sparse = False
        self._warned = False
        self._readers = 0
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_lock": None, "_readers": 0}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())

    @contextmanager
    def reading(self, where: str) -> Iterator[None]:
        """Read chunks in the block; where none of the image was there, say so at the end, once.

        A read of a few chunks is enough for it, as a picture of one plane may be one chunk. While
        other threads still read, the last of them says it. Where the rest of the image exists,
        this is more than needed, but true: it says "so far".
        """
        with self._lock:
            self._readers += 1
        try:
            yield
        except BaseException:
            self._ends()
            raise
        if self._ends():
            warn(
                f"None of the requested chunks of {where} exists (such as {self.sought}), so all "
                "pixels read so far are the fill value. That is right for a part that was never "
                "written; otherwise the upload is incomplete, or its chunks have other names."
            )

    def _ends(self) -> bool:
        """A read has ended: whether to say now that nothing was found."""
        with self._lock:
            self._readers -= 1
            nothing = bool(self.sought) and not (self.found or self.sparse or self._warned)
            if self._readers or not nothing:
                return False
            self._warned = True
            return True
