"""The plot of a block's requests over time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt

from .._store.requests import ANSWERED, Request
from .timeline import free_rows, in_flight

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_BARS = 600
"""Up to so many requests are drawn one by one; more of them are counted together."""

PLOT_HEIGHT = 64
"""Requests in flight for which there is room at least, so that two plots compare."""

_COLORS = {
    "chunk": ("0.3", "0.55"),
    "metadata": ("#0072b2", "#56b4e9"),
    "not found": ("#e69f00", "#e69f00"),
    "failed": ("#cc0066", "#cc0066"),
}


def draw_requests(
    log: Sequence[Request], start: float, seconds: float, ax: Axes | None, title: str
) -> None:
    """Draw the requests of a block of code, and print a sentence that describes the figure.

    Parameters
    ----------
    log : sequence of Request
        In order of their start.
    start, seconds : float
        When the block began, and how long it took.
    ax : matplotlib.axes.Axes or None
        Where to draw; a new figure if None.
    title : str
        Title of the figure.
    """
    ax = ax or plt.subplots(figsize=(7, 3), layout="constrained")[1]
    moments, counts = in_flight(log, start + seconds)
    most = max(counts, default=0)
    if len(log) > MOST_BARS:
        times = [moment - start for moment in moments]
        ax.fill_between(times, counts, step="post", color="0.35", linewidth=0)
        how = "an area as high as the number of requests in flight"
    else:
        _draw_bars(log, start, start + seconds, ax)
        how = "one bar for each request, stacked where requests overlap in time"
    ax.set_xlim(0, max(seconds, 1e-3))
    ax.set_ylim(0, max(PLOT_HEIGHT, most) * 1.05)
    ax.set(xlabel="seconds", ylabel="requests in flight")
    ax.set_title(title, fontsize=10, wrap=True)
    print(f"Picture: {how}; up to {most} in flight, {seconds:.2f} s.")


def _draw_bars(log: Sequence[Request], start: float, end: float, ax: Axes) -> None:
    """Each request in the lowest row that is free at that time."""
    in_row: Counter[int] = Counter()
    legend = {}
    for request, row in zip(log, free_rows(log, end), strict=True):
        kind = _kind(request)
        legend[kind] = ax.barh(
            row + 0.5,
            min(request.end, end) - request.start,
            left=request.start - start,
            height=0.9,
            color=_COLORS[kind][(row + in_row[row]) % 2],  # neighbours differ
            snap=False,  # rows of equal height
        )
        in_row[row] += 1
    if legend.keys() - {"chunk"}:
        ax.legend(legend.values(), legend, loc="upper left", bbox_to_anchor=(1, 1), fontsize=10)


def _kind(request: Request) -> str:
    if request.outcome != ANSWERED:
        return request.outcome
    return "chunk" if request.chunk else "metadata"
