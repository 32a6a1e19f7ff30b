"""Edges, lines and colours: how the elements of the synthetic organoid get onto the pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .organoid_sampling import Pixels, Window


def edge(distance: Pixels, w: Window, soft: float = 8.0) -> Pixels:
    """Share of each pixel that lies inside an outline, given the distance from it."""
    return np.clip(np.float32(0.5) - distance * np.float32(1.0 / max(w.pixel, soft)), 0, 1)


def line(distance: Pixels, half: float, w: Window, soft: float = 6.0) -> Pixels:
    """Share of each pixel covered by a line; one thinner than a pixel turns faint, not away."""
    blur = max(w.pixel, soft)
    broad = max(half, blur / 2)
    cover = np.abs(distance)
    cover *= np.float32(-1.0 / blur)
    cover += np.float32((broad + blur / 2) / blur)
    np.clip(cover, 0, 1, out=cover)
    if broad > half:
        cover *= np.float32(half / broad)
    return cover


def tint(grey: Pixels, cover: Pixels, colour: Pixels | float) -> None:
    """Blend a colour (or picture) into `grey`, in place, where `cover` is above 0."""
    other = np.float32(colour) - grey if isinstance(colour, float) else colour - grey
    other *= cover
    grey += other


def fade(w: Window, full: float, gone: float) -> float:
    """Visibility of detail: 1 for pixels up to size `full`, 0 from size `gone`."""
    share = (gone - w.pixel) / (gone - full)
    return min(max(share, 0.0), 1.0)


def near(distance: Pixels, limit: float) -> NDArray[np.intp]:
    """Indices of the pixels closer than a limit: most elements cover few of a strip's pixels."""
    return np.flatnonzero(distance < np.float32(limit))


def pick(at: NDArray[np.intp], *images: Pixels) -> list[Pixels]:
    """Take some pixels, by index, out of images of the strip."""
    return [np.take(image, at) for image in images]
