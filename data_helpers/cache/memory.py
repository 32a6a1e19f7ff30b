"""A cache in the memory of this process."""

from __future__ import annotations

import functools
import os
import threading
import time
import uuid
from collections import OrderedDict
from typing import Any

from .base import Cache, Entry, in_memory

MEMORY_MB = 128
"""Limit of the memory cache where none is given: an eighth of the smallest Binder."""


class MemoryCache(Cache):
    """A cache in the memory of this process.

    ``cache="memory"`` means one that all images of the process share.

    Parameters
    ----------
    max_mb : float, optional
        Most megabytes that it holds; `MEMORY_MB` (128) if neither this nor ``OME_ZARR_CACHE_MB``
        is given.

    Raises
    ------
    OmeZarrError
        The limit is not a number above 0.
    """

    nbytes = 0
    rechecked = ""

    def __init__(self, max_mb: float | None = None) -> None:
        super().__init__(max_mb, MEMORY_MB)
        self._entries: OrderedDict[tuple[str, str], Entry] = OrderedDict()  # oldest first
        self._parts: dict[str, set[str]] = {}  # of each object, those that are kept

    def __repr__(self) -> str:
        return f"MemoryCache({self.nbytes / 1e6:,.1f} of {self.limit / 1e6:,.0f} MB)"

    def __reduce__(self) -> tuple[Any, ...]:
        """A pickle carries no pixels: in another process it means a cache of that process."""
        return memory_cache, (self.limit / 1e6,)

    def now(self) -> int:
        """Nanoseconds on a clock that nobody sets; it began when the computer was started."""
        return time.monotonic_ns()

    def find(self, name: str, part: str) -> Entry | None:
        """The entry for a part of an object, which now counts as used."""
        with _memory_lock:
            entry = self._entries.get((name, part))
            if entry:
                self._entries.move_to_end((name, part))
            return entry

    def keep(self, name: str, part: str, etag: str, data: bytes | None) -> bool:
        """Keep an entry, drop other versions; whether there was one. See `Cache.keep`."""
        entry = Entry(etag, data, self.now(), self.rechecked)
        with _memory_lock:
            known = [self._entries[name, other] for other in self._parts.get(name, ())]
            changed = any(other.etag != etag for other in known)
            for other in list(self._parts.get(name, ())) if changed else [part]:
                self._forget(name, other)
            if in_memory(entry) <= self.limit:
                self._entries[name, part] = entry
                self._parts.setdefault(name, set()).add(part)
                self.nbytes += in_memory(entry)
            while self.nbytes > self.limit:
                self._forget(*next(iter(self._entries)))
        return changed

    def _forget(self, name: str, part: str) -> None:
        entry = self._entries.pop((name, part), None)
        if entry:
            self.nbytes -= in_memory(entry)
            self._parts[name].discard(part)
            if not self._parts[name]:
                del self._parts[name]

    def drop(self, name: str) -> None:
        """Forget all that is known of an object."""
        with _memory_lock:
            for part in list(self._parts.get(name, ())):
                self._forget(name, part)

    def clear(self) -> None:
        """Forget everything."""
        with _memory_lock:
            self._entries.clear()
            self._parts.clear()
            self.nbytes = 0

    def recheck(self) -> None:
        """From now on, have each entry confirmed by the endpoint before it is used again."""
        self.rechecked = uuid.uuid4().hex


@functools.cache
def memory_cache(max_mb: float) -> MemoryCache:
    """The memory cache of this process with such a limit."""
    return MemoryCache(max_mb)


def _new_lock() -> None:
    """Give a forked child a lock of its own: the thread that held the old one is not in it."""
    global _memory_lock
    _memory_lock = threading.Lock()


_memory_lock = threading.Lock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_lock)
