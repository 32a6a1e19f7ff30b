"""One request, and how the store tells whoever wants to know about it.

The store records each request it sends. An *observer* hears of every request when it is sent and
when it has ended; a request meter is one. When nobody observes, recording costs next to nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

NEVER = float("inf")

ANSWERED, NOT_FOUND, FAILED = "answered", "not found", "failed"
"""What can become of a request; "failed" is every error, and no answer until the block ended."""


@dataclass(slots=True, eq=False)
class Request:
    """One request.

    Attributes
    ----------
    address : str
        What was asked for, with the range of bytes if it was a part of an object.
    start, end : float
        When it was sent and when its answer had come whole, on the clock `time.perf_counter`,
        which all processes of a computer share.
    bytes : int
        Size of the answer, as stored (compressed); 0 for an error.
    outcome : str
        "answered", "not found" or "failed".
    chunk : bool
        Whether it asked for pixels; otherwise for metadata.
    retry : bool
        Whether the same was asked for just before, in vain.
    """

    address: str
    start: float
    end: float = NEVER
    bytes: int = 0
    outcome: str = FAILED
    chunk: bool = True
    retry: bool = False

    def mark_sent(self) -> None:
        """Start the clock anew: until now the request waited in this computer."""
        self.start = time.perf_counter()

    def mark_received(self) -> None:
        """Stop the clock: the answer is here, but the one who asked may be busy."""
        self.end = time.perf_counter()


class Observer(Protocol):
    """Hears of every request of this process."""

    def sent(self, request: Request) -> None:
        """A request is about to be sent."""

    def done(self, request: Request) -> None:
        """The request has ended, one way or another."""

    def elsewhere(self) -> ObserverElsewhere:
        """What observes on its behalf in another process; it is pickled together with a store."""


class ObserverElsewhere(Protocol):
    """What a store carries to another process on behalf of an observer."""

    def join(self) -> None:
        """Observe from now on, unless the observer itself is in this process."""


observers: list[Observer] = []
"""Whoever observes the requests of this process now."""


class recorder:
    """Tell every observer about one request; the block sends it and notes the bytes received.

    As a generator (`contextmanager`) it would take longer, and this runs for each request.
    """

    __slots__ = ("observers", "request")

    def __init__(self, address: str, *, chunk: bool, retry: bool) -> None:
        self.request = Request(address, time.perf_counter(), chunk=chunk, retry=retry)
        self.observers = observers.copy()
        for observer in self.observers:
            observer.sent(self.request)

    def __enter__(self) -> Request:
        return self.request

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        request = self.request
        if kind is None:
            request.outcome = ANSWERED
        elif issubclass(kind, (FileNotFoundError, IsADirectoryError, NotADirectoryError)):
            request.outcome = NOT_FOUND
        if request.end == NEVER:
            request.mark_received()
        for observer in self.observers:
            observer.done(request)


def observers_to_carry() -> list[ObserverElsewhere]:
    """What a store takes along when it is sent to another process."""
    return [observer.elsewhere() for observer in list(observers)]


def join_observers(carried: Iterable[ObserverElsewhere]) -> None:
    """Let the observers of another process, which a store brought along, hear of this one's."""
    for observer in carried:
        observer.join()
