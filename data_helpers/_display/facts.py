"""What a picture shows, in words: the facts that its title and its caption are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from .._formatting import format_length, format_shape, format_value
from .._pixel_size import pixel_size
from ..metadata import Channel
from ..multiscale import Multiscale
from .pixels import Window, value_range, without_value
from .planes import scale_yx, size_yx

MISSING = "pixels without a value (NaN or infinite) are blue"
"""What a reader must know of blue pixels."""

_FACTS = {"image", "level", "size", "width", "window", "shape", "gamma", "left out"} | {
    "values",
    "missing",
    "constant",
    "opacity",
    "alike",
}


@dataclass(frozen=True)
class Shown:
    """What a picture shows.

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
        Which plane: an index for each axis but y and x, by its name, where known.
    step : tuple of int
        Along y and x: of how many pixels of the level one is drawn.
    color : bool
        Whether three channels are drawn as red, green and blue.
    channel : Channel
        How brightness follows from the values: gamma and inversion.
    notes : dict of str to str
        What else to know of the pixels: see `notes_on`.
    """

    image: Multiscale
    level: int
    pixels: tuple[int, ...]
    window: Window | None = None
    position: dict[str, int] = field(default_factory=dict)
    step: tuple[int, int] = (1, 1)
    color: bool = False
    channel: Channel = field(default_factory=lambda: Channel(""))
    notes: dict[str, str] = field(default_factory=dict)

    @property
    def aspect(self) -> float | None:
        """Height of a pixel as drawn, by its width; None where the metadata name no true shape."""
        height, width = scale_yx(self.image, self.level)
        high, wide = height * self.step[0], width * self.step[1]
        return high / wide if wide and 1e-3 < high / wide < 1e3 else None

    def places(self) -> dict[str, str]:
        """Level and position in words, such as ``{"level": "0", "c": "1 (DAPI)", "z": "128"}``."""
        words = {"level": self.image.paths[self.level] or "0"}
        roles = dict(zip(self.image.axes, self.image.roles, strict=True))
        for axis, index in self.position.items():
            named = roles[axis] == "c" and index < len(self.image.channels)
            label = self.image.channels[index].label if named else ""
            tells = label not in ("", str(index), f"channel {index}")
            words[_key(axis)] = f"{index} ({label})" if tells else str(index)
            if roles[axis] == "c" and self.color:
                words[_key(axis)] = "0 to 2 in colour"
        return words

    def facts(self) -> dict[str, str]:
        """What a caption says, in its order; a position along an axis of length 1 is left out."""
        lengths = dict(
            zip(map(_key, self.image.axes), self.image.stored[self.level].shape, strict=True)
        )
        name = self.image.title.replace(" (synthetic stand-in)", "")  # caption says it already
        facts = {"image": name.replace(" (synthetic)", "")}
        facts |= {name: at for name, at in self.places().items() if lengths.get(name) != 1}
        whole = size_yx(self.image, self.level)
        part = "" if self.pixels == whole else f" of {format_shape(whole)}"
        facts["size"] = f"{format_shape(self.pixels)}{part} pixels"
        size = pixel_size(self.image, self.level)
        if size:
            facts["width"] = f"{format_length(size[1] * self.step[1] * self.pixels[1])} wide"
        if self.window:
            low, high = map(format_value, self.window)
            ends = "white to black" if self.channel.inverted else "black to white"
            facts["window"] = f"values {low} to {high} shown from {ends}"
        if self.color:
            facts["window"] = "channels shown as red, green and blue, values 0 to 255"
        if self.aspect is None:
            facts["shape"] = "pixels drawn square, which they are not by the metadata"
        if self.channel.gamma != 1:
            facts["gamma"] = f"with gamma {self.channel.gamma:g}"
        if self.channel.left_out:
            facts["left out"] = f"{self.channel.left_out} of this channel is not followed"
        return facts | self.notes


def _key(axis: str) -> str:
    """What an axis is called beside the other facts; long names might be names of facts, too."""
    return f"axis {axis}" if axis in _FACTS else axis


def notes_on(plane: np.ndarray) -> dict[str, str]:
    """What a reader must know of the pixels of a plane (y, x), beside their window."""
    notes = {}
    if plane.dtype.kind == "c":
        notes["values"] = "the values are magnitudes of complex numbers"
    found, gaps = value_range(plane), plane.dtype.kind in "fc" and without_value(plane).any()
    if found is None:
        notes["missing"] = "no pixel has a value, so all are blue"
    elif gaps:
        notes["missing"] = MISSING
    elif found[0] == found[1] and plane.size > 1:
        notes["constant"] = f"every pixel is {format_value(found[0])}"
    return notes


def sentence(shown: Sequence[Shown]) -> str:
    """The facts of one or more pictures; where they differ, levels and positions are listed."""
    facts: dict[str, list[str]] = {}
    for one in shown:
        for name, said in one.facts().items():
            facts.setdefault(name, []).append(said)
    axes = {_key(axis) for one in shown for axis in one.position}
    levels = shown[0].image.paths
    words = [", ".join(dict.fromkeys(facts.pop("image")))]
    for name, every in facts.items():
        different = list(dict.fromkeys(every))
        if name == "level":
            many, among = "s" * (len(different) > 1), f" of {levels[0]} to {levels[-1]}"
            words.append(f"level{many} {', '.join(different)}{among * (len(levels) > 1)}")
        elif name in axes:
            words.append(f"{name} {', '.join(different)}")
        elif name == "window" and len(different) > 1:
            words.append("each with a black and a white of its own")
        elif name == "missing" and (len(different) > 1 or len(every) < len(shown)):
            words.append(MISSING)
        elif len(different) == 1 and len(every) == len(shown):
            words.append(different[0])
        elif name in ("values", "gamma", "left out"):
            words.append(f"some: {' or '.join(different)}")
    return ", ".join(words)
