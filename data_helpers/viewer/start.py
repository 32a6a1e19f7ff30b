"""Where a view begins, and the code that opens it there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import numpy as np

from ..addresses import last_part, shareable
from ..metadata import Channel
from ..multiscale import Multiscale
from ..sources import IMAGES
from .label_paint import telling
from .links import NEUROGLANCER, fragment_of, viewer_links
from .look import Look
from .neuroglancer import carries_time, labels_layer, moved
from .tiles import color_of

if TYPE_CHECKING:
    from .scene import Scene

KEYS = ("t", "z", "y", "x", "zoom", "channels", "project", "sides")
PLACE = ("t", "z", "y", "x", "zoom")


def checked_start(scene: Scene, start: dict[str, Any]) -> dict[str, Any]:
    """What the page is told of the place, plane and channels to begin with.

    Parameters
    ----------
    scene : Scene
        What is shown.
    start : dict
        As *Copy as code* writes it; whatever is left out is as without it. ``t`` and ``z`` are
        indices, ``y`` and ``x`` the middle of the view in pixels of the finest level, and ``zoom``
        is the number of screen pixels for one of them. ``channels`` has for each visible channel,
        by number or label, the values shown as black and as full colour, then gamma and colour,
        which may be left out. ``project`` is True for a maximum projection over z,
        and ``sides`` for side views.

    Returns
    -------
    dict
        The same, with channels by number.

    Raises
    ------
    ValueError
        It names something that there is not.
    """
    if strange := [key for key in start if key not in KEYS]:
        raise ValueError(f"start may have {', '.join(KEYS)}, but not {strange[0]!r}")
    told: dict[str, Any] = {}
    for axis in ("t", "z"):
        if axis in start:
            size = scene.sizes.get(axis, 1)
            told[axis] = int(_number(axis, start[axis]))
            if not 0 <= told[axis] < size:
                raise ValueError(f"start has {axis} {start[axis]}, but {axis} goes to {size - 1}")
    place: dict[str, float] = {
        key: _number(key, start[key]) for key in ("y", "x", "zoom") if key in start
    }
    if place.get("zoom", 1) <= 0:
        raise ValueError("start has a zoom of 0 or less; 1 is one screen pixel for each pixel")
    told |= place
    for key in ("project", "sides"):
        if start.get(key):
            if scene.sizes.get("z", 1) < 2:
                raise ValueError(f"start has {key}, but the image has a single plane")
            told[key] = True
    if "channels" in start:
        told["channels"] = dict(_channel(scene, *item) for item in start["channels"].items())
    return told


def _channel(scene: Scene, name: Any, values: Any) -> tuple[int, list[Any]]:
    """Number of a channel, and its window, gamma and colour."""
    labels = [band.label for band in scene.bands]
    number = labels.index(name) if name in labels else name
    if not isinstance(number, int) or not 0 <= number < len(labels):
        raise ValueError(f"start names channel {name!r}, but there are {', '.join(labels)}")
    band = scene.bands[number]
    if not isinstance(values, list | tuple) or not 2 <= len(values) <= 4:
        raise ValueError(f"start has {values!r} for channel {name!r}, not two values to four")
    given: list[Any] = list(values)
    low, high, gamma, color = given + [band.gamma, band.color][len(given) - 2 :]
    painted = "".join(f"{round(255 * part):02X}" for part in color_of(str(color)))
    return number, [*(_number(f"channel {name}", v) for v in (low, high, gamma)), painted]


def _number(name: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = np.nan
    if not np.isfinite(number):
        raise ValueError(f"start has {value!r} for {name}, which should be a number")
    return number


def code_for(image: Multiscale) -> str:
    """Python that opens an image as it was opened, without any login."""
    if image.parent:
        return f"{code_for(image.parent)}.label({last_part(image.url)!r})"
    given = image.image_id if image.image_id else repr(shareable(image.url))
    return f"open_multiscale({given})"


def labels_code(image: Multiscale, labels: Multiscale | None) -> str:
    """What `view` was given as ``labels``; empty if nothing need be given."""
    if labels is None or labels is image:
        return ""
    return repr(last_part(labels.url)) if labels.parent is image else code_for(labels)


def credit_of(image: Multiscale) -> list[str]:
    """Lines to put below a picture: whom to cite, and the licence; none if that is not known."""
    whole = image.parent or image
    known = IMAGES.get(whole.image_id) if whole.image_id else None
    if known is None:
        return []
    source = f"{known.citation.rstrip('.')}, doi:{known.doi}"
    if image.synthetic:
        return ["Synthetic: painted, no real pixels. It stands in for an image of", source]
    return [source, f"{known.licence}, doi:{known.data_doi}"]


def link_to(scene: Scene, look: Look, start: dict[str, Any]) -> dict[str, Any]:
    """The page's answer about Neuroglancer: a link to the same place, or why there is none.

    Of an image on this computer it is a link to the public copy, if one is known.
    """
    found = viewer_links(scene.image)
    public = found.public or found
    said = "It opens the public copy, with real pixels." if found.public else ""
    link = public.links.get("neuroglancer")
    if not link:
        note = found.notes.get("neuroglancer") or found.advice
        return {"kind": "link", "href": "", "text": f"No link: {note or 'it has no address'}."}
    state = json.loads(unquote(link.split("#!", 1)[1]))
    image: Multiscale | int = scene.image.image_id or scene.image
    place = checked_start(scene, {key: start[key] for key in start if key in PLACE})
    source = state["layers"][0]["source"]
    state = moved(state, image, place, _channels(scene, look))
    if address := _labels_source(scene, source):
        state["layers"].append(labels_layer(address, "labels", look, telling(scene.label_colors)))
    href = f"{NEUROGLANCER}#!{fragment_of(state)}"
    if look.project:
        said += " It shows planes, not the projection."
    if scene.sizes.get("t", 1) > 1 and not carries_time(image):
        said += " It starts at its own time."
    return {"kind": "link", "href": href, "text": said.strip()}


def _channels(scene: Scene, look: Look) -> dict[int, Channel]:
    """The visible channels as they are shown now."""
    found = {}
    for n, (c, low, high) in enumerate(look.channels):
        band = scene.bands[c]
        color = look.colors[n] if look.colors else band.color
        gamma = look.gammas[n] if look.gammas else band.gamma
        found[c] = Channel(band.label, color, (low, high), True, band.inverted, gamma)
    return found


def _labels_source(scene: Scene, source: str) -> str:
    """Where Neuroglancer finds the labels; empty if it cannot, or shows nothing else anyway."""
    labels = scene.labels
    if labels is None or labels is scene.image:
        return ""
    if labels.parent is scene.image:
        return f"{source}/labels/{shareable(labels.url).rsplit('/', 1)[-1]}"
    found = viewer_links(labels)
    link = (found.public or found).links.get("neuroglancer", "")
    return json.loads(unquote(link.split("#!", 1)[1]))["layers"][0]["source"] if link else ""
