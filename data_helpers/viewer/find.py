"""Where a label is: what Python selects may be on another plane, or out of sight."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._display.planes import size_yx, yx
from .look import Look
from .measure import Wanted, measuring_level
from .stack import affordable_level, walk
from .tiles import always, resample

if TYPE_CHECKING:
    from .scene import Scene


def find(
    scene: Scene, label: int, look: Look, wanted: Wanted = always
) -> tuple[dict[str, Any] | None, str]:
    """Where a label is, on the plane shown if it is there, else on the plane that has most of it.

    Reads a plane of the labels; if need be all planes, of the finest level that is affordable.

    Returns
    -------
    place : dict, or None
        ``z``, and ``y`` and ``x`` in pixels of the finest level of the image: a pixel of the label
        near its middle. None if it is nowhere at this time.
    sentence : str
        What to say if it is nowhere.
    """
    labels = scene.labels
    if labels is None:
        return None, "There are no labels here."
    number, every, z = measuring_level(labels), 1, look.z
    place = _on_plane(scene, number, label, look, wanted)
    if not place and scene.sizes.get("z", 1) > 1 and "z" in labels.roles:
        number, every = affordable_level(labels)
        found = _best_plane(scene, number, every, label, look, wanted)
        if found is not None:
            z = found
            there = Look(look.t, z, look.channels)
            place = _on_plane(scene, number, label, there, wanted)
    if place:
        return {"z": z, "y": place[0], "x": place[1]}, ""
    time = f" at t {look.t}" if scene.sizes.get("t", 1) > 1 else ""
    skipped = f", as far as one plane in {every} shows" if every > 1 else ""
    return None, f"Label {label} is nowhere in the labels{time}{skipped}."


def _on_plane(
    scene: Scene, number: int, label: int, look: Look, wanted: Wanted
) -> tuple[float, float] | None:
    """A pixel of a label near its middle, in pixels of the finest level of the image."""
    labels = scene.labels
    assert labels is not None
    height, width = size_yx(labels, number)
    whole = np.arange(height), np.arange(width)
    rows, columns = (
        scene.read(labels, labels.stored[number], look, *whole, wanted) == label
    ).nonzero()
    if not len(rows):
        return None
    middle = np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2)
    finest = scene.levels[0]
    y, x = (rows[middle] + 0.5) * finest.height, (columns[middle] + 0.5) * finest.width
    return float(y / height), float(x / width)


def _best_plane(
    scene: Scene, number: int, every: int, label: int, look: Look, wanted: Wanted
) -> int | None:
    """The plane of the image that has most of a label."""
    labels = scene.labels
    assert labels is not None
    array, axis = labels.stored[number], labels.roles.index("z")
    height, width = size_yx(labels, number)
    counts = np.zeros(array.shape[axis], int)
    at = scene.leading(labels, array, look)
    whole = np.arange(height), np.arange(width)
    for block in walk(array, at, axis, every, *whole, scene.cache, wanted, yx(labels)):
        counts[block.planes] += (block.pixels == label).sum(axis=(1, 2))
    if not counts.any():
        return None
    best = np.array([counts.argmax()])
    return int(resample(best, len(counts), scene.sizes["z"])[0])
