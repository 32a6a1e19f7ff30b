"""What can be drawn of pixels of any data type: their values, their range, how bright each is.

A pixel that is NaN or infinite has no value. No range takes it in, and it is drawn in a colour of
its own, `MISSING_COLOR`.
"""

from __future__ import annotations

from typing import Any, TypeGuard

import numpy as np

from ..errors import NotDrawableError

MISSING_COLOR = (0.2, 0.4, 0.8)
"""A mid-blue for pixels without a value: no grey, and told apart by colour-blind readers."""

FURTHEST = 1e300
"""Values further from 0 are drawn like this one, so that no difference of two is infinite."""

EXACT = 2**53
"""From here on, not every whole number is a float64."""

Window = tuple[float, float]


def plain(pixels: np.ndarray) -> np.ndarray:
    """Pixels in memory, masked ones as NaN."""
    if not np.ma.is_masked(pixels):
        return np.asarray(pixels)
    return np.ma.filled(pixels.astype(np.result_type(pixels, np.float32)), np.nan)


def drawable(pixels: np.ndarray) -> np.ndarray:
    """Pixels as real numbers in native byte order.

    Complex pixels become their magnitude, boolean ones 0 and 1. Integers stay as they are.

    Raises
    ------
    NotDrawableError
        They are no numbers.
    """
    pixels = np.asarray(pixels)
    kind = pixels.dtype.kind
    if kind not in "buifc":
        raise NotDrawableError(
            f"Pixels of type {pixels.dtype} cannot be drawn; a picture needs numbers."
        )
    if kind == "b":
        return pixels.astype(np.uint8)
    if kind == "c":
        with np.errstate(over="ignore", invalid="ignore"):
            pixels = np.abs(pixels)
    if pixels.dtype.kind == "f" and pixels.dtype.itemsize not in (4, 8):
        return pixels.astype(np.float32 if pixels.dtype.itemsize == 2 else np.float64)
    return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)


def without_value(pixels: np.ndarray) -> np.ndarray:
    """Which pixels are NaN or infinite; bool, of the same shape."""
    return ~np.isfinite(pixels)


def value_range(pixels: np.ndarray) -> Window | None:
    """Least and greatest value, as Python numbers; None if no pixel has a value."""
    pixels = drawable(pixels)
    if pixels.dtype.kind == "f":
        pixels = pixels[np.isfinite(pixels)]
    if not pixels.size:
        return None
    low, high = pixels.min().item(), pixels.max().item()
    return max(low, -FURTHEST), min(high, FURTHEST)


def usable(window: Window | None) -> TypeGuard[Window]:
    """Whether a window is two finite numbers in rising order."""
    return window is not None and bool(np.isfinite(window).all()) and window[0] < window[1]


def some_width(low: float, high: float) -> Window:
    """A window that is never empty: where all pixels have one value, that one is black."""
    return low, high if low < high else low + (abs(low) or 1)


def checked(window: Window | None) -> Window | None:
    """A window that a caller gave, or None; made wider if it is empty.

    Raises
    ------
    NotDrawableError
        It is no two numbers in rising order.
    """
    if window is None:
        return None
    low, high = window
    if not np.isfinite([float(low), float(high)]).all() or low > high:
        raise NotDrawableError(
            f"window holds two numbers, the value shown as black and a larger one shown as white, "
            f"not {window!r}; where pixels are NaN, np.nanmin and np.nanmax pass over them."
        )
    return some_width(low, high)


def range_window(pixels: np.ndarray) -> Window:
    """The window from the least to the greatest value; 0 to 1 for boolean pixels or none."""
    if pixels.dtype.kind == "b":
        return 0, 1
    return some_width(*(value_range(pixels) or (0.0, 1.0)))


def offset_of(pixels: np.ndarray, window: Window) -> int:
    """What to take off 64-bit pixels so that a float64 keeps their differences; mostly 0."""
    low, high = window
    if pixels.dtype.kind not in "iu" or max(abs(low), abs(high)) <= EXACT:
        return 0
    needed = (high - low) * 2**43 < max(abs(low), abs(high))  # else a grey is wide enough
    limits = np.iinfo(pixels.dtype)
    return min(max(int(low), limits.min), limits.max) if needed else 0


def shifted(pixels: np.ndarray, offset: int) -> np.ndarray:
    """Pixels less an offset, as float64; those below the offset count 0 if there is one."""
    if not offset:
        return pixels.astype(np.float64)
    above = np.maximum(pixels, np.asarray(offset, pixels.dtype))
    return (above.astype(np.uint64) - np.uint64(offset % 2**64)).astype(np.float64)


def brightness(
    pixels: np.ndarray, window: Window, gamma: float = 1.0, dtype: Any = np.float64
) -> np.ndarray:
    """How bright each pixel is: 0 at the low end of a window, 1 at its high end.

    Parameters
    ----------
    pixels : numpy.ndarray
        As `drawable` gives them.
    window : tuple of float
        Pixel values to show as 0 and as 1.
    gamma : float
        The share of the window is raised to this power.
    dtype : data type
        float32 will do for pixels of at most 2 bytes.

    Returns
    -------
    numpy.ndarray
        Of the same shape, 0 to 1; NaN where a pixel has no value.
    """
    low, high = window
    offset = offset_of(pixels, window)
    values = shifted(pixels, offset) if offset else pixels.astype(dtype)
    low, high = low - offset, high - offset
    with np.errstate(invalid="ignore", over="ignore"):
        if low < high:
            share = (np.clip(values, low, high) - dtype(low)) / dtype(high - low)
        else:
            share = (values > low).astype(dtype)
    if pixels.dtype.kind == "f":
        share[without_value(pixels)] = np.nan
    return share if gamma == 1 else share ** dtype(gamma)


def color_picture(picture: np.ndarray) -> np.ndarray:
    """A picture (y, x, 3) or (y, x, 4) of uint8, or of float from 0 to 1 without gaps."""
    bright = 1 if picture.dtype.kind in "bf" else 255
    pixels = drawable(picture)
    if pixels.dtype == np.uint8 and bright == 255:
        return pixels
    gaps, found = without_value(pixels[..., :3]).any(axis=-1), value_range(pixels) or (0, 1)
    if picture.dtype.kind == "c" or found[0] < -1e-6 or found[1] > bright + 1e-6:
        raise NotDrawableError(
            f"A colour picture holds whole numbers from 0 to 255 or others from 0 to 1, but this "
            f"one is of type {picture.dtype} and reaches from {found[0]:g} to {found[1]:g}; draw "
            "one channel of it, or divide it by its greatest value."
        )
    pixels = np.clip(pixels / bright, 0, 1)
    pixels[gaps] = (*MISSING_COLOR, 1)[: pixels.shape[-1]]
    return pixels


# Labels


def whole_labels(labels: np.ndarray) -> np.ndarray:
    """Labels as whole numbers or as they are; what has no value is background, 0."""
    labels = np.asarray(labels)
    if labels.dtype.kind not in "buif":
        raise NotDrawableError(
            f"Labels of type {labels.dtype} cannot be outlined; they should be whole numbers."
        )
    if labels.dtype.kind == "f":
        return np.nan_to_num(labels, nan=0, posinf=0, neginf=0)
    return labels.astype(np.uint8) if labels.dtype.kind == "b" else labels


def outlines(labels: np.ndarray) -> np.ndarray:
    """Where labels meet another label or the background, inside the labels.

    Parameters
    ----------
    labels : numpy.ndarray
        Shape (y + 2, x + 2): with a margin of one pixel.

    Returns
    -------
    numpy.ndarray
        Shape (y, x), bool.
    """
    labels = whole_labels(labels)
    centre = labels[1:-1, 1:-1]
    edge = (centre != labels[:-2, 1:-1]) | (centre != labels[2:, 1:-1])
    edge |= (centre != labels[1:-1, :-2]) | (centre != labels[1:-1, 2:])
    return edge & (centre != 0)
