"""How the values in view are spread: a histogram for each channel, and an automatic window."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .._display.pixels import drawable, some_width, without_value
from .tiles import always

if TYPE_CHECKING:
    from .scene import Look, Scene

SAMPLE = 512
"""At most so many rows and columns of what is in view are looked at."""

BINS = 64

MOST = (0.1, 99.9)
"""Percentiles that a histogram reaches at least; one hot pixel does not stretch it."""

AUTO = (1.0, 99.8)
"""Percentiles of what is in view that automatic contrast shows as black and as full colour."""


def contrast(
    scene: Scene,
    level: int,
    box: Sequence[float],
    look: Look,
    wanted: Callable[[], bool] = always,
) -> list[dict[str, Any]]:
    """Histogram and automatic window of each visible channel.

    Reads the level that is on the screen, so its chunks are mostly kept already.

    Parameters
    ----------
    scene : Scene
        What is shown.
    level : int
        The level on the screen.
    box : sequence of float
        What is in view: top, left, bottom, right, in pixels of the finest level.
    look : Look
        Which plane and which channels.
    wanted : callable
        As for `Scene.tile`.

    Returns
    -------
    list of dict
        For each visible channel that has a value in view: its number, the automatic ``window``,
        ``counts`` of the histogram, ``ends``, the values it goes from and to, ``beyond``, how many
        values are below and above these, and ``whole``, the least and the greatest value.
    """
    shown, finest = scene.levels[level], scene.levels[0]
    rows = _sampled(box[0], box[2], finest.height, shown.height)
    columns = _sampled(box[1], box[3], finest.width, shown.width)
    answer = []
    for c, *_ in look.channels:
        plane = drawable(scene.plane(level, look, c, rows, columns, wanted)).astype(np.float64)
        values = plane[~without_value(plane)]
        if not values.size:
            continue
        low, high = map(float, np.percentile(values, AUTO))
        ends = _ends(values)
        counts, _ = np.histogram(values, BINS, ends)
        answer.append(
            {
                "channel": c,
                "window": list(some_width(low, high)),
                "counts": counts.tolist(),
                "ends": list(ends),
                "beyond": [int((values < ends[0]).sum()), int((values > ends[1]).sum())],
                "whole": [float(values.min()), float(values.max())],
            }
        )
    return answer


def _ends(values: np.ndarray) -> tuple[float, float]:
    """From where to where a histogram goes: all values, but for a few that are far from the rest.

    Far is more than half the range of nearly all of them.
    """
    low, high = map(float, np.percentile(values, MOST))
    margin = (high - low) / 2
    least, most = float(values.min()), float(values.max())
    return some_width(max(least, low - margin), min(most, high + margin))


def _sampled(first: float, last: float, finest: int, size: int) -> np.ndarray:
    """Indices along an axis of a level, between two places in pixels of the finest level."""
    begin = min(max(int(first * size / finest), 0), size - 1)
    end = min(max(int(np.ceil(last * size / finest)), begin + 1), size)
    return np.unique(np.linspace(begin, end - 1, min(end - begin, SAMPLE)).round().astype(int))
