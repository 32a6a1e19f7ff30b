"""Static pictures of planes and labels, with true titles and a sentence that describes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar  # type: ignore[import-untyped]
from skimage.segmentation import find_boundaries

from ._formatting import format_length, format_shape, round_length
from ._pixel_size import pixel_size
from .multiscale import Multiscale
from .sources import Source

OUTLINE_COLOR = (1.0, 0.0, 1.0)
"""Magenta: stands out from grey and is told apart by colour-blind readers."""


@dataclass(frozen=True)
class Shown:
    """What a picture shows: the facts that its title and its caption are made of.

    Attributes
    ----------
    image : Multiscale
        The image.
    level : int
        Index of the level.
    pixels : tuple of int
        Rows and columns drawn.
    window : tuple of float, or None
        Pixel values shown as black and as white, where known.
    position : dict of str to int
        Which plane: an index for each axis before y and x, where known.
    """

    image: Multiscale
    level: int
    pixels: tuple[int, ...]
    window: tuple[float, float] | None = None
    position: dict[str, int] = field(default_factory=dict)

    def places(self) -> dict[str, str]:
        """Level and position in words, such as ``{"level": "0", "c": "1 (DAPI)", "z": "128"}``."""
        words = {"level": self.image.paths[self.level] or "0"}
        for axis, index in self.position.items():
            named = axis == "c" and index < len(self.image.channels)
            label = self.image.channels[index].label if named else ""
            tells = label not in ("", str(index), f"channel {index}")
            words[axis] = f"{index} ({label})" if tells else str(index)
        return words

    def facts(self) -> dict[str, str]:
        """What a caption says, in its order; a position along an axis of length 1 is left out."""
        whole = self.image.stored[self.level].shape
        lengths = dict(zip(self.image.axes, whole, strict=True))
        name = self.image.title.replace(" (synthetic stand-in)", "")
        facts = {"image": name.replace("synthetic stand-in for ", "")}  # caption says it already
        facts |= {name: at for name, at in self.places().items() if lengths.get(name) != 1}
        part = "" if self.pixels == whole[-2:] else f" of {format_shape(whole[-2:])}"
        facts["size"] = f"{format_shape(self.pixels)}{part} pixels"
        size = pixel_size(self.image, self.level)
        if size:
            facts["width"] = f"{format_length(size[1] * self.pixels[1])} wide"
        if self.window:
            low, high = self.window
            facts["window"] = f"values {low:,g} to {high:,g} shown from black to white"
        return facts

    def draw(self, ax: Axes, picture: np.ndarray) -> None:
        """Draw the picture with pixels of the right shape, and keep the facts for `caption`."""
        low, high = self.window or (None, None)
        height, width = self.image.scales[self.level][-2:]
        ax.imshow(picture, cmap="gray", vmin=low, vmax=high, aspect=height / width)
        ax.set_axis_off()
        _shown[ax] = self


_shown: WeakKeyDictionary[Axes, Shown] = WeakKeyDictionary()


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
    colorbar: bool | None = None,
) -> Axes:
    """Read one plane, or a part of it, and draw it in grey.

    A scale bar is drawn where the size of a pixel is really known: see `data_helpers._pixel_size`.

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
    colorbar : bool, optional
        Whether a bar beside the picture says which grey is which pixel value. If left out, a new
        figure has one; a picture in `ax`, which may be small, has none, and `caption` says what
        is black and what is white.

    Returns
    -------
    matplotlib.axes.Axes
        Titled with image, level and position, and "synthetic" where the pixels are. Give it to
        `caption` to describe it.
    """
    where = {"t": t, "c": c, "z": z}
    for axis in ("t", "z"):
        if axis in image.axes and where[axis] is None:
            where[axis] = image.default(axis)
    position: dict[str, Any] = {axis: where[axis] for axis in image.axes[:-2]}
    plane = image.stored_level(resolution)[(*position.values(), y, x)]
    level, values = image.index(resolution), window(image, c, plane)
    shown = Shown(image, level, plane.shape, values, position)
    if colorbar is None:
        colorbar = ax is None
    ax = ax or plt.subplots(figsize=(5, 5), layout="constrained")[1]
    shown.draw(ax, plane)
    places = ", ".join(f"{name} {at}" for name, at in shown.places().items())
    ax.set_title(f"{image.title}\n{places}", fontsize="medium")
    _draw_scale_bar(ax, shown)
    if colorbar:
        beside = ax.inset_axes((1.02, 0, 0.03, 1))  # as high as the picture, whatever its shape
        ax.figure.colorbar(ax.get_images()[0], cax=beside, label="pixel value")
    return ax


def window(image: Multiscale, c: int, plane: np.ndarray) -> tuple[float, float]:
    """Pixel values to show as black and white: the channel's, or the range of the plane."""
    if c < len(image.channels) and image.channels[c].window:
        return image.channels[c].window or (0.0, 1.0)
    return _range(plane)


def _range(plane: np.ndarray) -> tuple[float, float]:
    return float(plane.min()), float(plane.max())


def _draw_scale_bar(ax: Axes, shown: Shown) -> None:
    """Draw a bar of a round length, up to a quarter of the width, if that length is known."""
    size = pixel_size(shown.image, shown.level)
    if size:
        length = round_length(size[1] * shown.pixels[1] / 4)
        label, across = format_length(length), length / size[1]
        bar = AnchoredSizeBar(ax.transData, across, label, "lower right", color="white")
        bar.patch.set(facecolor="black", alpha=0.6, linewidth=0)
        ax.add_artist(bar)


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
    low, high = window or _range(plane)
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
    image: Multiscale | None = None,
    level: str | int | Sequence[str | int] = 0,
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
        Title of the whole figure; if left out, that of `image`.
    window : tuple of float, optional
        Pixel values to show as black and white in every plane; each its own range if left out.
    size : float
        Width of one picture, inches.
    image : Multiscale, optional
        The image that the pictures are of. With it, pixels that are not square are drawn so, and
        `caption` can describe the figure.
    level : str or int, or a sequence of them
        Level of `image` that all pictures are of, or the level of each.

    Returns
    -------
    matplotlib.figure.Figure
        The figure. Give it to `caption` to describe it.
    """
    rows = -(-len(pictures) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(size * columns, (size + 0.25) * rows), layout="constrained"
    )
    levels = [level] * len(pictures) if isinstance(level, str | int) else level
    for ax in np.ravel(axes):
        ax.set_axis_off()
    for number, (ax, picture) in enumerate(zip(np.ravel(axes), pictures, strict=False)):
        if image:
            values = window or (_range(picture) if picture.ndim == 2 else None)
            shown = Shown(image, image.index(levels[number]), picture.shape[:2], values)
            shown.draw(ax, picture)
        else:
            low, high = window or (None, None)
            ax.imshow(picture, cmap="gray", vmin=low, vmax=high)
        ax.set_title(titles[number], fontsize=9)
    figure.suptitle(title or (image.title if image else ""))
    return figure


def caption(picture: Axes | Figure | Multiscale | Source, what: str) -> None:
    """Print one sentence that describes a picture, for readers who cannot see it.

    Parameters
    ----------
    picture : Axes, Figure, Multiscale or Source
        What `show_plane` or `gallery` returned, or a figure whose axes `show_plane` drew in: the
        sentence goes on with what is known of it, and a notebook shows the figure first. For a
        picture made in another way, the image or the source that its pixels came from.
    what : str
        What there is to see. A picture of synthetic pixels is called so.

    Raises
    ------
    ValueError
        Nothing is known of these axes or this figure.
    """
    if isinstance(picture, Axes | Figure):
        shown = _all_shown(picture)
        synthetic = any(one.image.synthetic for one in shown)
        what = f"{what.rstrip('.')}; {_sentence(shown)}."
        if "inline" in matplotlib.get_backend():  # as in notebooks: the sentence goes below
            plt.show()
    else:
        synthetic = picture.synthetic
    print(f"{'Synthetic picture' if synthetic else 'Picture'}: {what}")


def _all_shown(picture: Axes | Figure) -> list[Shown]:
    """What is known of the pictures in a figure, or in one of its axes."""
    axes = [picture] if isinstance(picture, Axes) else picture.axes
    known = [_shown[ax] for ax in axes if ax in _shown]
    if not known:
        raise ValueError(
            "nothing is known of this picture, because neither show_plane nor gallery with image= "
            "has drawn it; give caption the image or the source instead"
        )
    return known


def _sentence(shown: Sequence[Shown]) -> str:
    """The facts of one or more pictures; where they differ, levels and positions are listed."""
    facts: dict[str, list[str]] = {}
    for one in shown:
        for name, said in one.facts().items():
            if said not in facts.setdefault(name, []):
                facts[name].append(said)
    levels = shown[0].image.paths
    words = [", ".join(facts.pop("image"))]
    for name, different in facts.items():
        if name == "level":
            many, among = "s" * (len(different) > 1), f" of {levels[0]} to {levels[-1]}"
            words.append(f"level{many} {', '.join(different)}{among * (len(levels) > 1)}")
        elif name in ("t", "c", "z"):
            words.append(f"{name} {', '.join(different)}")
        elif name == "window" and len(different) > 1:
            words.append("each with a black and a white of its own")
        elif len(different) == 1:
            words.append(different[0])
    return ", ".join(words)
