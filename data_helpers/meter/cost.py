"""What a block of code cost: the numbers, and how they add up."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .._formatting import format_bytes
from .._store.requests import NOT_FOUND, Request
from .spool import Spool
from .timeline import in_flight

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(eq=False, repr=False)
class Cost:
    """What a block of code cost.

    Numbers grow while the block runs; those of other processes, `most_in_flight` and `seconds` are
    added at its end.

    Attributes
    ----------
    requests : int
        Requests sent, retries included. For a local folder: files asked for.
    bytes : int
        Bytes received, as stored (compressed).
    retries : int
        Requests that repeat one which failed, for example because the endpoint was busy.
    not_found : int
        Answers that there is no such object (404; a local file that does not exist).
    most_in_flight : int
        Largest number of requests that were under way at the same moment.
    seconds : float
        Time from entering the block to leaving it.
    fetched_twice : float
        Of the chunks asked for, the share that had been asked for before in this block: 0 when
        each was fetched once, 0.5 when all were fetched twice. Retries, metadata and chunks that
        are not there do not count.
    log : list of Request
        Every request.
    """

    requests: int = 0
    bytes: int = 0
    retries: int = 0
    not_found: int = 0
    most_in_flight: int = 0
    seconds: float = 0.0
    fetched_twice: float = 0.0

    def __post_init__(self) -> None:
        self.log: list[Request] = []
        self.folder = ""  # where other processes report; `request_meter` makes it
        self.start = time.perf_counter()
        self._chunks: set[str] = set()
        self._fetches = 0
        self._running = True
        self._lock = threading.Lock()

    def __str__(self) -> str:
        parts = [f"{self.requests:,} request{'' if self.requests == 1 else 's'}"]
        parts.append(format_bytes(self.bytes))
        if self.requests:
            parts.append(f"up to {self.most_in_flight} in flight")
        parts.append(f"{self.seconds:.2f} s")
        if self.retries:
            parts.append(f"{self.retries:,} retr{'y' if self.retries == 1 else 'ies'}")
        if self.not_found:
            parts.append(f"{self.not_found:,} not found")
        if self.fetched_twice:
            percent = (
                f"{100 * self.fetched_twice:.0f}" if self.fetched_twice >= 0.005 else "under 1"
            )
            parts.append(f"{percent} % of the chunks fetched twice")
        return ", ".join(parts)

    def __repr__(self) -> str:
        return f"Cost({self})"

    def plot(self, ax: Axes | None = None) -> None:
        """Draw the requests over time, and print a sentence that describes the figure.

        Each request is a bar from the moment it was sent to the moment its answer had come; bars
        that lie above one another were under way at the same time. More than 600
        requests are drawn as one area, as high as the number of them that were under way.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure if left out.
        """
        from .plot import draw_requests  # here, so that counting works without Matplotlib

        draw_requests(self.log, self.start, self.seconds, ax, title=str(self))

    def sent(self, request: Request) -> None:
        """Count a request that is about to be sent."""
        with self._lock:
            if self._running:
                self.log.append(request)
                self.requests += 1
                self.retries += request.retry

    def done(self, request: Request) -> None:
        """Count what became of it."""
        with self._lock:
            if not self._running:
                return
            self.bytes += request.bytes
            self.not_found += request.outcome == NOT_FOUND
            if request.chunk and not request.retry and request.outcome != NOT_FOUND:
                self._fetches += 1
                self._chunks.add(request.address)
                self.fetched_twice = (self._fetches - len(self._chunks)) / self._fetches

    def elsewhere(self) -> Spool:
        """What counts for this meter in another process."""
        return Spool(self.folder)

    def finish(self, from_elsewhere: Iterable[Request]) -> None:
        """Add what other processes asked for, and sum up."""
        for request in from_elsewhere:
            self.sent(request)
            self.done(request)
        with self._lock:
            self._running = False
            end = time.perf_counter()
            self.seconds = end - self.start
            self.log.sort(key=lambda request: request.start)
            self.most_in_flight = max(in_flight(self.log, end)[1], default=0)
