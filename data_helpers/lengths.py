"""Lengths in an image: how large a pixel is, where that is really known, and how to say it."""

from __future__ import annotations

import math

from .multiscale import Multiscale

MICROMETERS = {
    "angstrom": 1e-4,
    "nanometer": 1e-3,
    "nm": 1e-3,
    "micrometer": 1.0,
    "um": 1.0,
    "µm": 1.0,
    "millimeter": 1e3,
    "mm": 1e3,
    "centimeter": 1e4,
    "meter": 1e6,
}
"""Units of length in the metadata of images, in micrometres."""

WIDEST = 100_000.0
"""Micrometres (10 cm). No slide is so wide, so metadata that claim more are taken as wrong."""


def pixel_size(image: Multiscale, resolution: str | int = 0) -> tuple[float, float] | None:
    """Height and width of a pixel in micrometres, or None where they are not really known.

    They are unknown where the metadata name no unit of length, where a pixel of the finest level
    is exactly 1 by 1, which programs write when they do not know better, and where the whole
    image would be wider than `WIDEST`.
    """
    sizes = []
    for axis in (-2, -1):
        micrometers = MICROMETERS.get(image.units[axis] or "")
        if micrometers is None or image.scales[0][-2:] == (1.0, 1.0):
            return None
        if image.arrays[0].shape[axis] * image.scales[0][axis] * micrometers > WIDEST:
            return None
        sizes.append(image.scales[image.index(resolution)][axis] * micrometers)
    return sizes[0], sizes[1]


def round_length(longest: float) -> float:
    """The largest of 1, 2, 5, 10, 20, 50 and so on that is not longer: for a scale bar."""
    power = 10.0 ** math.floor(math.log10(longest))
    return max(step * power for step in (1, 2, 5) if step * power <= longest)


def say_length(micrometers: float) -> str:
    """A length as people say it: ``say_length(0.25)`` is "250 nm"."""
    for factor, unit in ((1e-4, "cm"), (1e-3, "mm"), (1.0, "µm")):
        if micrometers * factor >= 1:
            return f"{micrometers * factor:.3g} {unit}"
    return f"{micrometers * 1e3:.3g} nm"
