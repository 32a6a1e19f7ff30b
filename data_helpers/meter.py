"""Count what really went over the wire in a block of code."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class Cost:
    """What a block of code cost.

    Attributes
    ----------
    requests : int
        Requests sent by the stores of this process, retries included.
    bytes : int
        Bytes received in their answers, as stored (compressed).
    seconds : float
        Time from entering the block to leaving it.
    """

    requests: int = 0
    bytes: int = 0
    seconds: float = 0.0


_running: list[Cost] = []


@contextmanager
def request_meter() -> Iterator[Cost]:
    """Count requests and bytes of all stores in this process while a block runs.

    Yields
    ------
    Cost
        Its numbers grow while the block runs; seconds are filled in at its end.

    Examples
    --------
    >>> with request_meter() as cost:
    ...     pass
    >>> cost.requests, cost.bytes
    (0, 0)
    """
    cost = Cost()
    _running.append(cost)
    start = time.perf_counter()
    try:
        yield cost
    finally:
        cost.seconds = time.perf_counter() - start
        _running[:] = [other for other in _running if other is not cost]


def count_request() -> None:
    """Add one request to every meter that runs."""
    for cost in list(_running):
        cost.requests += 1


def count_bytes(received: int) -> None:
    """Add the bytes of an answer to every meter that runs."""
    for cost in list(_running):
        cost.bytes += received
