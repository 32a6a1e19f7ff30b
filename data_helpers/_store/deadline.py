"""How long one key may take, with all that is asked for on its behalf."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from weakref import WeakKeyDictionary

CONCURRENCY = 64
"""Requests that a process has in flight at most, however many threads read; the rest wait."""

ALMOST_OVER = 0.1
"""With fewer seconds left, no further attempt is begun."""


class Deadline:
    """The seconds that are left for a key.

    They run while a request is under way. What waits in this computer, because others are under
    way, loses none.

    Parameters
    ----------
    seconds : float
        For all requests together.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = self.left = seconds

    @property
    def is_over(self) -> bool:
        """Whether there is no time for a further request."""
        return self.left < min(ALMOST_OVER, self.seconds / 2)


_current: ContextVar[Deadline | None] = ContextVar("deadline", default=None)
_places: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


@contextmanager
def within(seconds: float) -> Iterator[Deadline]:
    """All requests in the block together take no longer; one that does ends in `TimeoutError`."""
    deadline = Deadline(seconds)
    token = _current.set(deadline)
    try:
        yield deadline
    finally:
        _current.reset(token)


@asynccontextmanager
async def place() -> AsyncIterator[None]:
    """Wait for one of `CONCURRENCY` places, and send a request in the block."""
    loop = asyncio.get_running_loop()
    async with _places.setdefault(loop, asyncio.Semaphore(CONCURRENCY)):
        deadline = _current.get()
        began = time.monotonic()
        try:
            async with asyncio.timeout(deadline.left if deadline else None):
                yield
        finally:
            if deadline:
                deadline.left -= time.monotonic() - began
