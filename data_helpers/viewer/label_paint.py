"""Labels over a picture: outlined or filled, in one colour or one each, one of them highlighted."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from .._display.pixels import outlines, whole_labels
from .tiles import OUTLINE

CHOSEN = (255, 255, 255)
"""White: the outline of the label that was clicked."""

CHOSEN_FILL = 0.35
"""How much white lies over the label that was clicked."""


class Drawn(NamedTuple):
    """How labels are drawn.

    Attributes
    ----------
    fill : float
        How much of its colour lies over a label, 0 to 1; with 0 there are outlines only.
    each : bool
        Whether each label has a colour of its own; else all are magenta.
    alone : bool
        Whether only the chosen label is shown.
    """

    fill: float = 0.0
    each: bool = False
    alone: bool = False


OUTLINED = Drawn()
"""Magenta outlines of all labels, as at first."""


def telling(given: dict[int, str]) -> dict[int, str]:
    """The colours that metadata give to labels, if they tell labels apart; else none.

    Where all have one colour, nobody has chosen it.
    """
    return given if len(set(given.values())) > 1 else {}


def paint_labels(
    picture: np.ndarray,
    labels: np.ndarray,
    drawn: Drawn,
    chosen: int,
    given: Mapping[int, str] | None = None,
) -> None:
    """Paint labels over a picture, in place.

    Parameters
    ----------
    picture : numpy.ndarray
        Shape (y, x, 3), uint8.
    labels : numpy.ndarray
        Shape (y + 2, x + 2): with a margin of one pixel.
    drawn : Drawn
        How.
    chosen : int
        The label to highlight; 0 for none.
    given : mapping of int to str, optional
        Colours for labels that have one, where each has its own.
    """
    labels = whole_labels(labels)
    if drawn.alone:
        labels = np.where(labels == chosen, labels, 0) if chosen else np.zeros_like(labels)
    inside = labels[1:-1, 1:-1]
    edges = outlines(labels)
    colors = (
        colors_of(inside, given or {})
        if drawn.each
        else np.broadcast_to(np.array(OUTLINE, np.uint8), picture.shape)
    )
    if drawn.fill:
        _blend(picture, inside != 0, colors, drawn.fill)
    picture[edges] = colors[edges]
    if chosen:
        ours = inside == chosen
        _blend(
            picture, ours, np.broadcast_to(np.array(CHOSEN, np.uint8), picture.shape), CHOSEN_FILL
        )
        picture[edges & ours] = CHOSEN


def colors_of(labels: np.ndarray, given: Mapping[int, str] = MappingProxyType({})) -> np.ndarray:
    """A colour for each label: as given, else as in a static picture; shape (y, x, 3), uint8."""
    from ..display import label_colors  # here, since a viewer needs no Matplotlib otherwise

    numbers, places = np.unique(labels, return_inverse=True)
    colors = np.rint(255 * label_colors(numbers)).astype(np.uint8)
    for n, number in enumerate(numbers.tolist() if given else ()):
        if number in given:
            colors[n] = list(bytes.fromhex(given[number]))
    return colors[places.reshape(labels.shape)]


def _blend(picture: np.ndarray, where: np.ndarray, colors: np.ndarray, share: float) -> None:
    mixed = (1 - share) * picture[where] + share * colors[where]
    picture[where] = np.rint(mixed).astype(np.uint8)
