"""How large a pixel is in micrometres, where that is really known."""

from __future__ import annotations

from ._display.planes import scale_yx, size_yx, yx
from ._metadata.units import micrometers as micrometers
from .multiscale import Multiscale

WIDEST = 100_000.0
"""Micrometres (10 cm). No slide is so wide, so metadata that claim more are taken as wrong."""

FINEST = 1e-6
"""Micrometres (1 pm), a hundredth of an atom; metadata that claim less are taken as wrong, too."""


def finest_pixel(image: Multiscale) -> tuple[tuple[float, float] | None, str]:
    """Height and width of a pixel of the finest level in micrometres, or None and why not.

    They are not really known where the metadata name no scale or no unit of length, where a pixel
    is exactly 1 by 1, which programs write when they do not know better, and where the whole
    image would be wider than `WIDEST`, or a pixel narrower than `FINEST`.
    """
    whole = image.parent or image
    if not whole.has_scales:
        return None, "the metadata hold no scale"
    if scale_yx(whole, 0) == (1.0, 1.0):
        return None, "the metadata hold only a placeholder, 1"
    units = [image.units[axis] for axis in yx(image)]
    strange = [unit for unit in units if not micrometers(unit)]
    if strange:
        return None, f"unit {strange[0]!r}" if strange[0] else "the metadata name no unit"
    height, width = scale_yx(image, 0)
    size = (height * micrometers(units[0]), width * micrometers(units[1]))
    across = max(side * n for side, n in zip(size, size_yx(image, 0), strict=True))
    if across > WIDEST:
        return None, f"the metadata make the picture {across / 10_000:.3g} cm wide"
    if min(size) < FINEST:
        return None, f"the metadata make a pixel {min(size):.3g} µm wide"
    return size, ""


def pixel_size(image: Multiscale, resolution: str | int = 0) -> tuple[float, float] | None:
    """Height and width of a pixel of a level in micrometres, or None where they are unknown."""
    finest, _ = finest_pixel(image)
    if finest is None:
        return None
    level, first = scale_yx(image, image.index(resolution)), scale_yx(image, 0)
    return finest[0] * level[0] / first[0], finest[1] * level[1] / first[1]
