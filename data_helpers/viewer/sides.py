"""Side views: cuts through depth, along x and along y, through one point."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._display.pixels import drawable
from .._display.planes import size_yx, yx
from ..multiscale import Multiscale
from .label_paint import paint_labels, telling
from .levels import label_level
from .look import Look
from .stack import layers, left_out, walk
from .tiles import always, encode, resample

if TYPE_CHECKING:
    from .measure import Wanted
    from .scene import Scene

Place = tuple[np.ndarray, np.ndarray]
"""Rows and columns."""


def side_views(
    scene: Scene, level: int, every: int, y: float, x: float, look: Look, wanted: Wanted = always
) -> tuple[bytes, bytes]:
    """Two cuts through a point, as PNG: xz with z down, and yz with z to the right.

    Each has a row, or a column, for each plane of the level.

    Parameters
    ----------
    scene : Scene
        What is shown.
    level : int
        The level to read, whose chunks along both cuts are affordable.
    every : int
        Every which layer of chunks is read; the planes between are shown like those before them.
    y, x : float
        The point, in pixels of the finest level.
    look : Look
        Time, channels and labels; its depth does not matter.
    wanted : callable
        As for `Scene.tile`.
    """
    shown, finest = scene.levels[level], scene.levels[0]
    rows, columns = scene.whole(level)
    point = np.array([int(y)]), np.array([int(x)])
    row = resample(point[0].clip(0, finest.height - 1), finest.height, shown.height)
    column = resample(point[1].clip(0, finest.width - 1), finest.width, shown.width)
    cuts = []
    for place in ((row, columns), (rows, column)):
        planes = {
            c: _channel(scene, level, every, c, place, look, wanted) for c, *_ in look.channels
        }
        depth = scene.image.stored[shown.stored].shape[scene.image.roles.index("z")]
        if planes:
            cut = scene.mix(look, planes)
        else:
            cut = np.zeros((depth, max(map(len, place)), 3), np.uint8)
        if look.labels and scene.labels and "z" in scene.labels.roles:
            found = _labels(scene, level, place, look, wanted)
            found = np.pad(found[resample(np.arange(depth), depth, len(found))], 1, mode="edge")
            paint_labels(cut, found, look.drawn, look.chosen, telling(scene.label_colors))
        cuts.append(cut)
    return encode(cuts[0], exact=True), encode(cuts[1].transpose(1, 0, 2), exact=True)


def _channel(
    scene: Scene, level: int, every: int, c: int, place: Place, look: Look, wanted: Wanted
) -> np.ndarray:
    """One row, or one column, of every plane of a channel; shape (z, n)."""
    shown, image = scene.levels[level], scene.image
    at = scene.leading(image, image.stored[shown.stored], look, c)
    rows, columns = (n * shown.step for n in place)
    return drawable(_cut(scene, image, shown.stored, at, every, (rows, columns), wanted))


def _labels(scene: Scene, level: int, place: Place, look: Look, wanted: Wanted) -> np.ndarray:
    """The same of the labels, at the level that fits; layers that are too many are left out."""
    labels, shown = scene.labels, scene.levels[level]
    assert labels is not None
    number = label_level(labels, shown.height, shown.width)
    height, width = size_yx(labels, number)
    rows = resample(place[0], shown.height, height)
    columns = resample(place[1], shown.width, width)
    array = labels.stored[number]
    z, y, x = (layers(array, labels.roles.index(axis)) for axis in "zyx")
    every = left_out(array, z * (y + x - 1))
    at = scene.leading(labels, array, look)
    return _cut(scene, labels, number, at, every, (rows, columns), wanted)


def _cut(
    scene: Scene,
    image: Multiscale,
    level: int,
    at: tuple[int, ...],
    every: int,
    place: Place,
    wanted: Wanted,
) -> np.ndarray:
    """Rows and columns, one of which is a single one, of every plane of a stored level."""
    array, axis = image.stored[level], image.roles.index("z")
    cut = np.zeros((array.shape[axis], *map(len, place)), array.dtype.newbyteorder("="))
    read = np.zeros(array.shape[axis], bool)
    for block in walk(array, at, axis, every, *place, scene.cache, wanted, yx(image)):
        cut[block.planes, block.rows, block.columns] = block.pixels
        read[block.planes] = True
    nearest = np.maximum.accumulate(np.where(read, np.arange(len(read)), 0))
    return cut[nearest].reshape(len(cut), -1)
