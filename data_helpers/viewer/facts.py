"""What the page is told of an image, before any tile."""

from __future__ import annotations

from typing import Any

from .._display.planes import scale_yx
from .._pixel_size import finest_pixel, micrometers
from ..multiscale import Multiscale
from . import stack
from .bands import notes_on
from .levels import Level
from .scene import TILE, Scene
from .start import checked_start, code_for, credit_of, labels_code


def facts_of(scene: Scene, height: int, start: dict[str, Any]) -> dict[str, Any]:
    """Title, levels, channels, scale and where to begin: numbers and words that JSON can hold."""
    size, why_not = finest_pixel(scene.image)
    look = scene.start
    first = scale_yx(scene.image, 0)
    deep, cubes = _depth(scene.image)
    stretch = size[0] / size[1] if size else first[0] / first[1]
    return {
        "title": scene.image.title,
        "synthetic": scene.image.synthetic,
        "height": height,
        "tile": TILE,
        "levels": [_level(scene, level) for level in scene.levels],
        "budget": {"bytes": stack.BYTES, "chunks": stack.CHUNKS},
        "sizes": {axis: scene.sizes.get(axis, 1) for axis in "tcz"},
        "start": {"t": look.t, "z": look.z} | checked_start(scene, start),
        "code": code_for(scene.image),
        "labelCode": labels_code(scene.image, scene.labels),
        "credit": credit_of(scene.image),
        "channels": [
            {
                "label": band.label,
                "color": band.color,
                "gamma": band.gamma,
                "inverted": band.inverted,
                "window": list(band.window),
                "limits": list(band.limits),
                "shown": band.shown,
                "whole": scene.image.stored[0].dtype.kind in "iub",
            }
            for band in scene.bands
        ],
        "stretch": stretch if 0.05 < stretch < 20 else 1.0,
        "deep": deep,
        "deepUnknown": cubes,
        "micrometres": size[1] if size else None,
        "unknown": why_not,
        "labels": scene.labels is not None,
        "each": look.drawn.each,
        "trouble": scene.trouble,
        "note": notes_on(scene.image),
    }


def _level(scene: Scene, level: Level) -> dict[str, Any]:
    """A level, and what its planes are stored in, by which the page judges what is affordable."""
    told: dict[str, Any] = {"path": level.path, "height": level.height, "width": level.width}
    roles, array = scene.image.roles, scene.image.stored[level.stored]
    if "z" not in roles:
        return told
    depth, *plane = (roles.index(axis) for axis in "zyx")
    return told | {
        "stack": {
            "size": [array.shape[axis] for axis in plane],
            "chunk": [array.chunks[axis] for axis in plane],
            "planes": array.shape[depth],
            "layers": stack.layers(array, depth),
            "bytes": stack.chunk_bytes(array),
        }
    }


def _depth(image: Multiscale) -> tuple[float, str]:
    """How deep a voxel is, in widths of one; 1 if that is not known, and why not."""
    if "z" not in image.roles:
        return 1.0, ""
    size, why_not = finest_pixel(image)
    axis, across = image.roles.index("z"), image.roles.index("x")
    scale, unit = abs(image.scales[0][axis]), image.units[axis]
    if size and micrometers(unit):
        deep = scale * micrometers(unit) / size[1]
    elif image.has_scales and unit == image.units[across] and set(image.scales[0]) != {1.0}:
        deep = scale / abs(image.scales[0][across])
    else:
        return 1.0, why_not or "the metadata name no unit of depth"
    return (deep, "") if 0.05 < deep < 200 else (1.0, f"the metadata make them {deep:.3g} × deeper")
