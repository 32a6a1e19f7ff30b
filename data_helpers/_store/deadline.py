"""How long one key may take, with all that is asked for on its behalf."""

from __future__ import annotations

import asyncio
import time
from contextvars import ContextVar, Token
from types import TracebackType
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


class within:
    """All requests in the block together take no longer; one that does ends in `TimeoutError`.

    As generators (`contextmanager`), this and `place` would take longer, and both run for each key.
    """

    __slots__ = ("deadline", "token")

    def __init__(self, seconds: float) -> None:
        self.deadline = Deadline(seconds)
        self.token: Token[Deadline | None]

    def __enter__(self) -> Deadline:
        self.token = _current.set(self.deadline)
        return self.deadline

    def __exit__(self, *_: object) -> None:
        _current.reset(self.token)


class place:
    """Wait for one of `CONCURRENCY` places, and send a request in the block."""

    __slots__ = ("began", "deadline", "places", "timeout")

    async def __aenter__(self) -> None:
        loop = asyncio.get_running_loop()
        self.places = _places.setdefault(loop, asyncio.Semaphore(CONCURRENCY))
        await self.places.acquire()
        self.deadline = _current.get()
        self.began = time.monotonic()
        self.timeout = asyncio.timeout(self.deadline.left if self.deadline else None)
        await self.timeout.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.places.release()
        if self.deadline:
            self.deadline.left -= time.monotonic() - self.began
        await self.timeout.__aexit__(kind, error, trace)
