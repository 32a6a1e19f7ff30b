"""Requests over time: how many were under way, and where a plot has room for each."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from .._store.requests import Request


def in_flight(log: Iterable[Request], end: float) -> tuple[list[float], list[int]]:
    """Moments at which the number of requests under way changes, and the number from then on."""
    changes = [(request.start, 1) for request in log]
    changes += [(min(request.end, end), -1) for request in log]
    moments, counts, count = [], [], 0
    for moment, change in sorted(changes):  # at the same moment, an end goes before a start
        count += change
        moments.append(moment)
        counts.append(count)
    return moments, counts


def free_rows(log: Iterable[Request], end: float) -> list[int]:
    """For each request, in order of start, the lowest row in which no earlier one is under way."""
    rows: list[int] = []
    free: list[int] = []
    busy: list[tuple[float, int]] = []
    for request in log:
        while busy and busy[0][0] <= request.start:
            heapq.heappush(free, heapq.heappop(busy)[1])
        row = heapq.heappop(free) if free else len(busy)
        heapq.heappush(busy, (min(request.end, end), row))
        rows.append(row)
    return rows
