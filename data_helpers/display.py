"""Static pictures of planes and labels, with true titles and a sentence that describes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar  # type: ignore[import-untyped]

from ._display.facts import Shown, notes_on, sentence
from ._display.pixels import (
    MISSING_COLOR,
    Window,
    brightness,
    checked,
    color_picture,
    drawable,
    offset_of,
    outlines,
    plain,
    range_window,
    shifted,
    usable,
    value_range,
    whole_labels,
    without_value,
)
from ._display.planes import is_color_picture, part, place, read_picture
from ._formatting import format_length, round_length
from ._pixel_size import pixel_size
from .errors import NotDrawableError
from .metadata import Channel
from .multiscale import Multiscale
from .sources import Source

OUTLINE_COLOR = (1.0, 0.0, 1.0)
"""Magenta: stands out from grey and is told apart by colour-blind readers."""


_shown: WeakKeyDictionary[Axes, Shown] = WeakKeyDictionary()


def show_plane(
    image: Multiscale,
    resolution: str | int = 0,
    *,
    t: int | None = None,
    c: int | None = None,
    z: int | None = None,
    y: slice = slice(None),
    x: slice = slice(None),
    ax: Axes | None = None,
    colorbar: bool | None = None,
    **others: int,
) -> Axes:
    """Read one plane, or a part of it, and draw it, y down and x across.

    A plane is drawn in grey, with the window, gamma and inversion of its channel. Pixels that are
    NaN or infinite are blue, and of complex pixels the magnitude is drawn. A colour picture (three
    or four channels of uint8 stored behind y and x, or three elsewhere of which the metadata say
    nothing) is drawn in its colours. A scale bar is drawn where the size of a pixel is really
    known: see `data_helpers._pixel_size`.

    Parameters
    ----------
    image : Multiscale
        The image, its axes in any order.
    resolution : str or int
        Level to read, by path or index.
    t, c, z : int
        Which plane of this level; a negative number counts from the end. Time and depth start at
        the image's default. If `c` is left out, a colour picture is drawn in colour, and the first
        channel of any other image in grey.
    y, x : slice
        Part of the plane, in pixels of this level.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure if left out.
    colorbar : bool, optional
        Whether a bar beside the picture says which grey is which pixel value. If left out, a new
        figure has one; a picture in `ax`, which may be small, has none, and `caption` says what
        is black and what is white. A picture in colour has none.
    **others : int
        Position along further axes of the image, by their names; 0 if left out.

    Returns
    -------
    matplotlib.axes.Axes
        Titled with image, level and position, and "synthetic" where the pixels are. Give it to
        `caption` to describe it.

    Raises
    ------
    OutsideImageError
        The position is outside the image; the message names the axis and its size.
    NotDrawableError
        `y` or `x` is no slice, or the pixels are no numbers.
    """
    level = image.index(resolution)
    position = place(image, level, {"t": t, "c": c, "z": z} | others)
    down, across = part(image, level, "y", y), part(image, level, "x", x)
    color = c is None and is_color_picture(image)
    picture = read_picture(image, level, position, down, across, color)
    picture, shown = _describe(image, level, picture, position, (down.step, across.step))
    if colorbar is None:
        colorbar = ax is None
    ax = ax or plt.subplots(figsize=(5, 5), layout="constrained")[1]
    offset = _draw_shown(ax, shown, picture)
    places = [f"{name} {at}" for name, at in shown.places().items()]
    places += ["magnitude"] * ("values" in shown.notes)
    title = f"{image.title}\n{', '.join(places)}"
    ax.set_title(title, fontsize="medium", parse_math=False)  # a name may hold a $
    _draw_scale_bar(ax, shown)
    if colorbar and picture.ndim == 2 and _fits_bar(ax):
        beside = ax.inset_axes((1.02, 0, 0.03, 1))  # as high as the picture, whatever its shape
        label = "magnitude" if "values" in shown.notes else "pixel value"
        label += f" less {offset:,}" if offset else ""
        ax.figure.colorbar(ax.get_images()[0], cax=beside, label=label)
    return ax


def _fits_bar(ax: Axes) -> bool:
    """Whether a colour bar can stand beside a picture: Matplotlib widens tiny windows."""
    low, high = ax.get_images()[0].get_clim()
    largest = max(abs(low), abs(high))
    return largest > 1e-280 and high - low > 1e-14 * largest


def _describe(
    image: Multiscale,
    level: int,
    picture: np.ndarray,
    position: dict[str, int],
    step: tuple[int, int],
) -> tuple[np.ndarray, Shown]:
    """A picture that was read at this position, and what it shows.

    A colour picture whose channels are alike becomes a plane in grey, which looks the same.
    """
    shown = Shown(image, level, picture.shape[:2], (0, 255), position, step)
    if picture.ndim == 3:
        whole = image.stored[level].shape
        notes = {"opacity": "channel 3, opacity, is left out"} if 4 == whole[-1] else {}
        if (picture != picture[..., :1]).any():
            return picture, replace(shown, color=True, notes=notes)
        notes["alike"] = "its red, green and blue are the same"
        return picture[..., 0], replace(shown, notes=notes)
    named = dict(zip(image.roles, image.axes, strict=True))
    c = position[named["c"]] if "c" in named else 0
    values = None if value_range(picture) is None else window(image, c, picture)
    channel = image.channels[c] if c < len(image.channels) else Channel("")
    return picture, replace(shown, window=values, channel=channel, notes=notes_on(picture))


def _draw_shown(ax: Axes, shown: Shown, picture: np.ndarray) -> int:
    """Draw with pixels of the right shape, and keep for `caption` what is shown; see `_draw`."""
    offset = _draw(ax, picture, shown.window, shown.aspect or 1.0, shown.channel)
    ax.set_axis_off()
    _shown[ax] = shown
    return offset


def _draw(
    ax: Axes,
    picture: np.ndarray,
    window: Window | None,
    aspect: float = 1.0,
    channel: Channel | None = None,
) -> int:
    """Draw a plane in grey, its pixels without a value in blue; or a picture in colour.

    Returns
    -------
    int
        What was taken off all values, so that large 64-bit integers stay apart; 0 nearly always.
    """
    if picture.ndim == 3:
        ax.imshow(color_picture(picture), aspect=aspect)
        return 0
    low, high = window or range_window(picture)
    plane, channel = drawable(picture), channel or Channel("")
    offset = offset_of(plane, (low, high))
    values = shifted(plane, offset) if offset else plane
    scale: dict[str, Any] = {"vmin": low - offset, "vmax": high - offset}
    if channel.gamma != 1:
        scale = {"norm": PowerNorm(channel.gamma, **scale)}
    greys = matplotlib.colormaps["gray_r" if channel.inverted else "gray"]
    # Matplotlib draws what is NaN or infinite in the colour for bad values
    ax.imshow(values, cmap=greys.with_extremes(bad=MISSING_COLOR), aspect=aspect, **scale)
    return offset


def window(image: Multiscale, c: int, plane: np.ndarray) -> Window:
    """Pixel values to show as black and white: the channel's, or the range of the plane.

    The window is never empty, and pixels that are NaN or infinite do not count.
    """
    known = image.channels[c].window if c < len(image.channels) else None
    return known if usable(known) else range_window(plane)


def _draw_scale_bar(ax: Axes, shown: Shown) -> None:
    """Draw a bar of a round length, up to a quarter of the width, if that length is known."""
    size = pixel_size(shown.image, shown.level)
    if size:
        width = size[1] * shown.step[1]
        length = round_length(width * shown.pixels[1] / 4)
        label, across = format_length(length), length / width
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
        Pixels, shape (y, x); those that are NaN or infinite are blue.
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
        Plane and labels differ in shape, the style is unknown, or (as `NotDrawableError`) plane or
        window cannot be drawn.
    """
    plane, labels = plain(plane), whole_labels(labels)
    if plane.shape != labels.shape:
        raise ValueError(
            f"the plane has shape {plane.shape} but the labels have {labels.shape}: pick the same "
            "t and z and the matching level (the channel axis of labels has length 1)"
        )
    if plane.ndim != 2 or not plane.size:
        raise _no_plane(plane.shape)
    black_and_white = checked(window) or range_window(plane)
    plane = drawable(plane)
    grey = brightness(plane, black_and_white)
    picture = np.repeat(grey[..., np.newaxis], 3, axis=-1)
    picture[without_value(plane)] = MISSING_COLOR
    if style == "outline":
        picture[outlines(np.pad(labels, 1, mode="edge"))] = OUTLINE_COLOR
    elif style == "fill":
        inside = labels != 0
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
    if labels.dtype.kind in "iu":  # a float64 tells neighbours beyond 2**53 no longer apart
        labels = labels.astype(np.uint64) % np.uint64(2**32)
    return plt.get_cmap("viridis")(0.1 + 0.9 * (labels * golden % 1))[..., :3]


def _no_plane(shape: tuple[int, ...]) -> NotDrawableError:
    return NotDrawableError(
        f"a picture has shape (y, x), or (y, x, 3) in colour, and at least one pixel, but this one "
        f"has shape {shape}: pick one place along every other axis, such as pixels[0, 0]"
    )


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
        One short title for each, plain text: a "$" is drawn as it is.
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
    levels = [level] * len(pictures) if isinstance(level, str | int) else list(level)
    if not len(pictures) or columns < 1 or min(len(titles), len(levels)) < len(pictures):
        raise NotDrawableError(
            f"a gallery needs at least one picture and one column, and a title and a level for "
            f"each picture: there are {len(pictures)} pictures, {len(titles)} titles, "
            f"{len(levels)} levels and {columns} columns"
        )
    every, window = [plain(picture) for picture in pictures], checked(window)
    for picture in every:
        if picture.shape[2:] not in ((), (3,), (4,)) or picture.ndim < 2 or not picture.size:
            raise _no_plane(picture.shape)
    rows = -(-len(pictures) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(size * columns, (size + 0.25) * rows), layout="constrained"
    )
    for ax in np.ravel(axes):
        ax.set_axis_off()
    for number, (ax, picture) in enumerate(zip(np.ravel(axes), every, strict=False)):
        if image:
            index, values, notes = image.index(levels[number]), window, {}
            if picture.ndim == 2:
                notes = notes_on(picture)
                some = value_range(picture) is not None
                values = (window or range_window(picture)) if some else None
            shown = Shown(image, index, picture.shape[:2], values, notes=notes)
            _draw_shown(ax, shown, picture)
        else:
            _draw(ax, picture, window)
        ax.set_title(titles[number], fontsize=9, parse_math=False)
    figure.suptitle(title or (image.title if image else ""), parse_math=False)
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
        what = f"{what.rstrip('.')}; {sentence(shown)}."
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
