"""Side views: cuts through depth, along x and along y, through one point."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._display.pixels import drawable
from .._display.planes import yx
from .look import Look
from .stack import walk
from .tiles import always, encode, resample

if TYPE_CHECKING:
    from .measure import Wanted
    from .scene import Scene


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
        Time and channels; its depth does not matter. Labels are not drawn.
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
        planes = {c: _cut(scene, level, every, c, place, look, wanted) for c, *_ in look.channels}
        cuts.append(scene.mix(look, planes) if planes else np.zeros((1, 1, 3), np.uint8))
    return encode(cuts[0], exact=True), encode(cuts[1].transpose(1, 0, 2), exact=True)


def _cut(
    scene: Scene,
    level: int,
    every: int,
    c: int,
    place: tuple[np.ndarray, np.ndarray],
    look: Look,
    wanted: Wanted,
) -> np.ndarray:
    """One row, or one column, of every plane; shape (z, n)."""
    shown, image = scene.levels[level], scene.image
    array, axis = image.stored[shown.stored], image.roles.index("z")
    at = scene.leading(image, array, look, c)
    rows, columns = (n * shown.step for n in place)
    dtype = drawable(np.zeros(1, array.dtype)).dtype
    cut = np.zeros((array.shape[axis], len(rows), len(columns)), dtype)
    read = np.zeros(array.shape[axis], bool)
    for block in walk(array, at, axis, every, rows, columns, scene.cache, wanted, yx(image)):
        cut[block.planes, block.rows, block.columns] = drawable(block.pixels)
        read[block.planes] = True
    nearest = np.maximum.accumulate(np.where(read, np.arange(len(read)), 0))
    return cut[nearest].reshape(len(cut), -1)
