"""Static pictures of planes and labels, with true titles and a sentence that describes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from skimage.segmentation import find_boundaries

from .multiscale import Multiscale
from .sources import Source

OUTLINE_COLOR = (1.0, 0.0, 1.0)
"""Magenta: stands out from grey and is told apart by colour-blind readers."""


def show_plane(
    image: Multiscale,
    resolution: str | int = 0,
    *,
    t: int | None = None,
    c: int = 0,
    z: int | None = None,
    y: slice = slice(None),
    x: slice = slice(None),
    ax: Axes | None = None,
) -> Axes:
    """Read one plane, or a part of it, and draw it in grey.

    Parameters
    ----------
    image : Multiscale
        The image.
    resolution : str or int
        Level to read, by path or index.
    t, c, z : int
        Which plane. Time and depth start at the image's default.
    y, x : slice
        Part of the plane, in pixels of this level.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure if left out.

    Returns
    -------
    matplotlib.axes.Axes
        Titled with image, level and position, and "synthetic" where the pixels are.
    """
    where = {"t": t, "c": c, "z": z}
    for axis in ("t", "z"):
        if axis in image.axes and where[axis] is None:
            where[axis] = image.default(axis)
    picks: list[Any] = [where[axis] for axis in image.axes[:-2]]
    plane = image.array(resolution)[(*picks, y, x)]
    ax = ax or plt.subplots(figsize=(5, 5), layout="constrained")[1]
    low, high = window(image, c, plane)
    ax.imshow(plane, cmap="gray", vmin=low, vmax=high)
    level = image.paths[image.index(resolution)] or "0"
    position = "".join(f", {axis} {at}" for axis, at in zip(image.axes, picks, strict=False))
    ax.set_title(f"{image.title}\nlevel {level}{position}")
    ax.set_axis_off()
    return ax


def window(image: Multiscale, c: int, plane: np.ndarray) -> tuple[float, float]:
    """Pixel values to show as black and white: the channel's, or the range of the plane."""
    if c < len(image.channels) and image.channels[c].window:
        return image.channels[c].window or (0.0, 1.0)
    return float(plane.min()), float(plane.max())


def overlay_labels(
    plane: np.ndarray,
    labels: np.ndarray,
    *,
    window: tuple[float, float] | None = None,
    style: str = "outline",
    opacity: float = 0.45,
) -> np.ndarray:
    """Lay labels over a grey plane.

    Parameters
    ----------
    plane : numpy.ndarray
        Pixels, shape (y, x).
    labels : numpy.ndarray
        Integer labels of the same shape, 0 for background.
    window : tuple of float, optional
        Pixel values to show as black and white; the range of the plane if left out.
    style : {"outline", "fill"}
        Magenta outlines, or a translucent colour for each label.
    opacity : float
        Strength of the fill, 0 to 1.

    Returns
    -------
    numpy.ndarray
        Picture of shape (y, x, 3), float, 0 to 1.

    Raises
    ------
    ValueError
        Plane and labels differ in shape, or the style is unknown.
    """
    if plane.shape != labels.shape:
        raise ValueError(
            f"the plane has shape {plane.shape} but the labels have {labels.shape}: pick the same "
            "t and z and the matching level (the channel axis of labels has length 1)"
        )
    low, high = window or (float(plane.min()), float(plane.max()))
    grey = np.clip((plane.astype(float) - low) / max(high - low, 1e-9), 0, 1)
    picture = np.repeat(grey[..., np.newaxis], 3, axis=-1)
    if style == "outline":
        picture[find_boundaries(labels, mode="inner")] = OUTLINE_COLOR
    elif style == "fill":
        inside = labels > 0
        colors = label_colors(labels[inside])
        picture[inside] = (1 - opacity) * picture[inside] + opacity * colors
    else:
        raise ValueError(f"style is 'outline' or 'fill', not {style!r}")
    return picture


def label_colors(labels: np.ndarray) -> np.ndarray:
    """A colour for each label, the same in every plane: shape (n, 3), float, 0 to 1.

    Neighbouring numbers get colours far apart on a perceptually uniform map.
    """
    golden = 0.618033988749895
    return plt.get_cmap("viridis")(0.1 + 0.9 * (labels * golden % 1))[..., :3]


def gallery(
    pictures: Sequence[np.ndarray],
    titles: Sequence[str],
    *,
    columns: int = 5,
    title: str = "",
    window: tuple[float, float] | None = None,
    size: float = 2.2,
) -> Figure:
    """Draw pictures in a grid.

    Parameters
    ----------
    pictures : sequence of numpy.ndarray
        Planes of shape (y, x), drawn in grey, or pictures of shape (y, x, 3).
    titles : sequence of str
        One short title for each.
    columns : int
        Pictures in a row.
    title : str
        Title of the whole figure.
    window : tuple of float, optional
        Pixel values to show as black and white in every plane; each its own range if left out.
    size : float
        Width of one picture, inches.
    """
    rows = -(-len(pictures) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(size * columns, (size + 0.25) * rows), layout="constrained"
    )
    for ax in np.ravel(axes):
        ax.set_axis_off()
    low, high = window or (None, None)
    for ax, picture, name in zip(np.ravel(axes), pictures, titles, strict=False):
        ax.imshow(picture, cmap="gray", vmin=low, vmax=high)
        ax.set_title(name, fontsize=9)
    figure.suptitle(title)
    return figure


def caption(image: Multiscale | Source, what: str) -> None:
    """Print one sentence that describes a figure, for readers who cannot see it.

    An image or a source that is synthetic is called so.
    """
    kind = "Synthetic picture" if image.synthetic else "Picture"
    print(f"{kind}: {what}")
