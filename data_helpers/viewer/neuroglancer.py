"""What Neuroglancer is told so that it shows an image rather than black: a part of `links`.

Its link holds its whole state as JSON. Left alone, Neuroglancer looks along the first three axes,
T, Z and Y, and shows the whole range of a data type from black to white. So the state names the
axes to look along, the place to look at, the zoom, and a layer for each channel with its colour
and window.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from .._display.pixels import usable
from .._display.planes import MOST_BANDS
from .._pixel_size import micrometers
from ..metadata import Channel
from ..multiscale import Multiscale
from .look import Look

SCREEN = 400  # pixels that the image shall fill at first, roughly


FILL = 0.3
"""How much of its colour lies over a label, if it is only outlined here."""

MOST_COLORS = 200
"""Colours of labels in a link at most; a browser takes no link of any length."""

SECONDS = {"second": 1, "millisecond": 1e-3, "microsecond": 1e-6, "minute": 60, "hour": 3600}


class Axis(NamedTuple):
    """One axis: its name, how many pixels, how large, in which unit, and which is shown first."""

    name: str
    size: int
    scale: float = 1.0
    unit: str | None = None
    first: int | None = None

    @property
    def place(self) -> float:
        """Where to look along the axis: at the middle of the pixel shown first, or of all."""
        return self.size / 2 if self.first is None else self.first + 0.5


def state_of(address: str, name: str, image: Multiscale | int | None) -> dict[str, Any]:
    """Neuroglancer's state for an image, as it goes into a link.

    Parameters
    ----------
    address : str
        Where the image is; OME-Zarr 0.4 or newer.
    name : str
        What to call it.
    image : Multiscale, int or None
        The image, or its id if it is registered; without one the state says only where it is.
    """
    labels = isinstance(image, Multiscale) and image.title.startswith("labels of")
    kind = "segmentation" if labels else "image"
    layer: dict[str, Any] = {"type": kind, "source": f"zarr://{address}", "name": name}
    if image is None:
        return {"layers": [layer]}
    axes, channels = _registered(image) if isinstance(image, int) else _opened(image)
    layers = [layer]
    if channels and "c" in axes:
        layers = [_channel_layer(layer, n, channel) for n, channel in enumerate(channels)]
    state: dict[str, Any] = {"layers": layers}
    space = [axes[role] for role in "xyz" if role in axes]
    dimensions = {axis.name: _dimension(axis) for axis in space}
    if all(dimensions.values()):
        state["dimensions"] = dimensions
        state["position"] = [axis.place for axis in space]
        state["crossSectionScale"] = max(axes["x"].size, axes["y"].size) / SCREEN
    if "z" not in axes or axes["z"].size == 1:
        state["layout"] = "xy"
    return state


def moved(
    state: dict[str, Any],
    image: Multiscale | int,
    place: dict[str, Any],
    shown: dict[int, Channel],
) -> dict[str, Any]:
    """A state that looks at another place, and shows these channels only.

    Parameters
    ----------
    state : dict
        As `state_of` makes it.
    image : Multiscale or int
        The image, or its id if it is registered.
    place : dict
        ``t``, ``z``, ``y`` and ``x`` in pixels, and ``zoom``, in screen pixels for one of them.
    shown : dict
        For each visible channel its window, colour and gamma.
    """
    axes, _ = _registered(image) if isinstance(image, int) else _opened(image)
    if "position" in state:
        position, dimensions = state["position"], state["dimensions"]
        names = [role for role in "xyz" if role in axes]
        for n, role in enumerate(names):
            if role in place:
                position[n] = place[role] + (0.5 if role == "z" else 0)
        time = axes.get("t")
        if time and time.size > 1 and "t" in place and (dimension := _time(time)):
            dimensions[time.name] = dimension
            position.append(place["t"] + 0.5)
        if "zoom" in place:
            state["crossSectionScale"] = 1 / place["zoom"]
    state["layers"] = [
        layer
        for one in state["layers"]
        for layer in (_in_colors(one, shown, "c" in axes) if one["type"] == "image" else [one])
    ]
    return state


def _in_colors(
    layer: dict[str, Any], shown: dict[int, Channel], has_channels: bool
) -> list[dict[str, Any]]:
    """A layer of the image with window, colour and gamma; or one for each, if it has none yet."""
    if "localPosition" not in layer and has_channels:
        return [_channel_layer(layer, n, c) | _controls(c) for n, c in shown.items()] or [layer]
    number = layer.get("localPosition", [0])[0]
    if number not in shown:
        return [layer | {"visible": False}]
    channel = shown[number]
    return [layer | {"visible": True, "shader": _shader(channel)} | _controls(channel)]


def _controls(channel: Channel) -> dict[str, Any]:
    window = {"range": list(channel.window or ())}
    return {"shaderControls": {"window": window, "color": f"#{channel.color}"}}


def labels_layer(
    source: str, name: str, look: Look, given: Mapping[int, str] = MappingProxyType({})
) -> dict[str, Any]:
    """Labels as a layer: filled, since Neuroglancer draws no outlines of a plane's labels.

    Parameters
    ----------
    source : str
        Where they are, as Neuroglancer writes it.
    name : str
        What to call the layer.
    look : Look
        Whether and how they are shown, and which of them is chosen.
    given : mapping of int to str
        Colours of labels, where the metadata give each its own.
    """
    fill = look.drawn.fill or FILL
    layer: dict[str, Any] = {"type": "segmentation", "source": source, "name": name}
    layer |= {"visible": look.labels, "selectedAlpha": fill}
    if look.chosen:
        rest = 0 if look.drawn.alone else fill / 2
        layer |= {"segments": [str(look.chosen)], "notSelectedAlpha": rest}
    if not look.drawn.each:
        layer["segmentDefaultColor"] = "#ff00ff"
    elif given:
        some = list(given.items())[:MOST_COLORS]
        layer["segmentColors"] = {str(label): f"#{color}" for label, color in some}
    return layer


def carries_time(image: Multiscale | int) -> bool:
    """Whether a link can say at which time to look."""
    axes, _ = _registered(image) if isinstance(image, int) else _opened(image)
    return "t" in axes and _time(axes["t"]) is not None


def _time(axis: Axis) -> list[Any] | None:
    """Duration of a step in seconds, or without a unit; None if the unit is no duration."""
    if not axis.unit:
        return [axis.scale, ""]
    return [axis.scale * SECONDS[axis.unit], "s"] if axis.unit in SECONDS else None


def _dimension(axis: Axis) -> list[Any] | None:
    """Size of a pixel along an axis in metres, or without a unit; None if the unit is no length."""
    if not axis.unit:
        return [axis.scale, ""]
    size = micrometers(axis.unit)
    return [axis.scale * size / 1e6, "m"] if size else None


def _channel_layer(layer: dict[str, Any], number: int, channel: Channel) -> dict[str, Any]:
    """A layer that adds one channel, in its colour and window, to those below."""
    name = f"{channel.label} of {layer['name']}"
    shown = {
        "localPosition": [number],
        "shader": _shader(channel),
        "blend": "additive",
        "opacity": 1,
    }
    hidden = {} if channel.active else {"visible": False}
    return {**layer, "name": name, **shown, **hidden}


def _shader(channel: Channel) -> str:
    """The program that paints a channel, with its window, colour and gamma."""
    window = "range=[{:.15g}, {:.15g}]".format(*channel.window) if usable(channel.window) else ""
    share = "window()" if channel.gamma == 1 else f"pow(window(), {float(channel.gamma)})"
    share = f"1.0 - {share}" if channel.inverted else share
    return (
        f"#uicontrol invlerp window({window})\n"
        f'#uicontrol vec3 color color(default="#{channel.color}")\n'
        f"void main() {{ emitRGB(color * ({share})); }}"
    )


def _opened(image: Multiscale) -> tuple[dict[str, Axis], list[Channel]]:
    """Axes, by their roles, and channels of an image in hand, from its metadata."""
    axes: dict[str, Axis] = {}
    about = zip(image.axes, image.stored[0].shape, image.scales[0], image.units, strict=True)
    for role, (name, size, scale, unit) in zip(image.roles, about, strict=True):
        first = image.default("z") if role == "z" else None
        axes[role] = Axis(name, size, scale, unit, first)
    return axes, image.channels[:MOST_BANDS]


def _registered(image_id: int) -> tuple[dict[str, Axis], list[Channel]]:
    """The same of the version 0.4 copy of a registered image, without asking for it."""
    from ..offline import known_image

    image = known_image(image_id)
    sizes = dict(zip("tczyx", (*image.tcz, *image.levels[0]), strict=True))
    axes = {name: Axis(name, size) for name, size in sizes.items()}
    for name, scale, unit in zip("zyx", image.scale, image.units, strict=True):
        axes[name] = axes[name]._replace(scale=scale, unit=unit)
    axes["z"] = axes["z"]._replace(first=image.rdefs["defaultZ"])
    windows = [(c["window"]["start"], c["window"]["end"]) for c in image.channels]
    named = zip(image.channels, windows, strict=True)
    return axes, [Channel(c["label"], c["color"], window) for c, window in named]
