"""Which levels the viewer has, and which of them suits a purpose."""

from __future__ import annotations

from dataclasses import dataclass

from .._display.planes import size_yx
from ..multiscale import Multiscale

OVERVIEW = 200
"""The first picture is the coarsest level whose longer side has so many pixels."""

SMALL = 512
"""A pyramid whose coarsest level is larger than twice this is continued by skipping pixels."""


@dataclass(frozen=True)
class Level:
    """A level as the viewer shows it: every `step`-th pixel of a stored level."""

    path: str
    stored: int
    step: int
    height: int
    width: int


def view_levels(image: Multiscale) -> list[Level]:
    """The stored levels, finest first, and coarser ones made by skipping pixels if need be."""
    levels = [
        Level(path or "0", number, 1, *size_yx(image, number))
        for number, path in enumerate(image.paths)
    ]
    levels.sort(key=lambda level: -level.height * level.width)
    last = levels[-1]
    step = 1
    while max(last.height, last.width) > 2 * SMALL * step:
        step *= 2
        levels.append(
            Level(
                f"{last.path}, every {step} pixels",
                last.stored,
                step,
                -(-last.height // step),
                -(-last.width // step),
            )
        )
    return levels


def overview_level(levels: list[Level]) -> int:
    """The coarsest level that still makes a picture of some size."""
    large = [n for n, level in enumerate(levels) if max(level.height, level.width) >= OVERVIEW]
    return max(large, default=0)


def label_level(labels: Multiscale, height: int, width: int) -> int:
    """The coarsest level of the labels with at least so many pixels, nearly; else the finest."""
    sizes = [size_yx(labels, number) for number in range(len(labels.paths))]
    fits = [n for n, (y, x) in enumerate(sizes) if y * 1.02 >= height and x * 1.02 >= width]
    return max(fits, default=0)
