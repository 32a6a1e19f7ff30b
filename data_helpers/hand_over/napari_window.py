"""An image and its labels in napari: a window of its own, or a picture of one."""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np

from .._formatting import format_bytes
from .._store.access import archive_in
from ..errors import TooLargeError, ToolError
from ..multiscale import Multiscale
from ..opening import open_multiscale
from ..sources import IMAGES
from .installed import NAPARI, python_of
from .tool_process import ToolProcess

WORKER = Path(__file__).with_name("napari_worker.py")
READS = ("0.4", "0.5")
"""Versions of OME-Zarr that napari-ome-zarr 0.10 opens: in older ones it misses the scales."""
QT_NEEDS = (
    "napari can't open a window, because Qt misses a library of the system: on Debian or Ubuntu "
    "type 'sudo apt install libegl1 libgl1 libxkbcommon-x11-0 libxcb-cursor0 libxcb-icccm4 "
    "libxcb-image0 libxcb-keysyms1 libxcb-render-util0 libxcb-xinerama0'."
)
MOST_PAINTED = 2_000_000_000
"""Bytes of labels that are copied into memory to be painted, at most."""


class NapariWindow:
    """A napari that was started; returned by `open_in_napari`.

    Attributes
    ----------
    title : str
        What it shows.
    layers : list of str
        Names of its layers, the lowest one first.
    """

    def __init__(self, title: str, layers: list[str], process: ToolProcess) -> None:
        self.title = title
        self.layers = layers
        self._process = process

    @property
    def open(self) -> bool:
        """Whether the window is still open."""
        return self._process.running

    def close(self) -> None:
        """Close the window; what was painted and not saved is lost."""
        self._process.stop()

    def __repr__(self) -> str:
        now = "open" if self.open else "closed"
        return f"napari ({now}): {self.title}, layers {', '.join(self.layers)}"


def open_in_napari(
    image: Multiscale | str | int | Path,
    labels: bool = True,
    *,
    edits: str | Path | None = None,
    screenshot: str | Path | None = None,
    timeout: float = 120,
) -> NapariWindow:
    """Open an image in napari, with its labels in colours; the notebook goes on meanwhile.

    napari runs in its own environment and reads the image itself, lazily, from where it is.

    Parameters
    ----------
    image : Multiscale, str, int or Path
        An image in hand, or whatever `open_multiscale` takes.
    labels : bool
        Whether labels are shown, if there are any. Their published colours may be one grey for all,
        so they get napari's own colours here.
    edits : str or Path, optional
        Adds a layer "edited" that you can paint on: a copy of the labels, or an empty one if there
        are none or `labels` is False. When the window is closed, it's written to this folder as an
        OME-Zarr label image of uint32, of the image's version, with its axes and levels. A folder
        ``.../image.zarr/labels/name`` becomes one of the labels of the image there.
    screenshot : str or Path, optional
        Write a picture of the window to this PNG file, and close it. On Linux this works without a
        display if Xvfb is installed.
    timeout : float
        Seconds until the image must be open.

    Returns
    -------
    NapariWindow
        Says what is shown.

    Raises
    ------
    ToolError
        napari isn't installed (the message has the command to type), there is no display, napari
        crashed (with what it said last) or took too long, or it can't read this kind of image.
    TooLargeError
        The labels are too large to be painted in memory.
    """
    opened = readable(image if isinstance(image, Multiscale) else open_multiscale(image))
    python = python_of(NAPARI)
    order: dict[str, Any] = {
        "address": opened.url,
        "title": opened.title,
        "labels": labels,
        "screenshot": str(Path(screenshot).absolute()) if screenshot else "",
        "edits": label_image(opened, labels, edits) if edits else None,
    }
    command = [*_display(bool(screenshot)), str(python), "-I", str(WORKER), json.dumps(order)]
    process = ToolProcess(NAPARI.shown, command)
    try:
        layers = process.answer(timeout, f"it opened {opened.title}")["layers"]
    except BaseException as error:
        process.stop()
        if process.said("Qt platform plugin"):
            raise ToolError(QT_NEEDS) from error
        raise
    if screenshot:
        process.stop()
    return NapariWindow(opened.title, layers, process)


def readable(image: Multiscale) -> Multiscale:
    """The image, or a newer copy of it, that napari can read."""
    if image.url.startswith("s3://") or archive_in(image.url):
        why = "is zipped" if archive_in(image.url) else "is in a private bucket"
        raise ToolError(
            f"napari can't read {image.title}, because it {why}: copy it into a folder, and open "
            "that."
        )
    if image.version in READS:
        return image
    keys = IMAGES[image.image_id].keys["endpoint"] if image.image_id in IMAGES else ()
    for key in keys[:-1]:
        if image.url.endswith(f"/{key}"):
            return open_multiscale(image.url.removesuffix(key) + keys[-1])
    raise ToolError(
        f"napari-ome-zarr opens OME-Zarr {' and '.join(READS)}, and {image.title} is "
        f"{image.version}: open a newer copy, or look at it here with view(image)."
    )


def label_image(image: Multiscale, labels: bool, edits: str | Path) -> dict[str, Any]:
    """What the worker needs to write a label image that covers the image, level by level."""
    path = Path(edits).absolute()
    if "://" in str(edits) or path.exists():
        found = "an address" if "://" in str(edits) else "there already"
        raise ToolError(
            f"edits is a new folder on this computer, and {edits} is {found}: give another name."
        )
    like = image.label() if labels and image.labels else image
    shapes = [_one_channel(like, level.shape) for level in like.stored]
    size = math.prod(shapes[0]) * np.dtype(np.uint32).itemsize
    if size > MOST_PAINTED:
        raise TooLargeError(
            f"The labels of {image.title} take {format_bytes(size)}, and no more than "
            f"{format_bytes(MOST_PAINTED)} are copied into memory to be painted: open it without "
            "edits=, or cut out a part first."
        )
    levels = [
        {"path": str(number), "shape": shape, "scale": list(scale)}
        for number, (shape, scale) in enumerate(zip(shapes, like.scales, strict=True))
    ]
    return {
        "path": str(path),
        "name": path.name,
        "zarr_format": 3 if image.version == "0.5" else 2,
        "listed_in": str(path.parent) if path.parent.name == "labels" else "",
        "levels": levels,
        "attributes": _attributes(like, path.name, image.version, levels),
    }


def _one_channel(image: Multiscale, shape: tuple[int, ...]) -> list[int]:
    """Shape of the labels of a level: one value for all channels."""
    return [1 if role == "c" else size for role, size in zip(image.roles, shape, strict=True)]


def _attributes(
    like: Multiscale, name: str, version: str, levels: list[dict[str, Any]]
) -> dict[str, Any]:
    """The metadata of a label image, as OME-Zarr 0.4 and 0.5 have them."""
    axes = []
    for axis, role, unit in zip(like.axes, like.roles, like.units, strict=True):
        kind = {"t": "time", "c": "channel"}.get(role, "space")
        axes.append({"name": axis, "type": kind} | ({"unit": unit} if unit else {}))
    datasets = [
        {
            "path": level["path"],
            "coordinateTransformations": [{"type": "scale", "scale": level["scale"]}],
        }
        for level in levels
    ]
    picture: dict[str, Any] = {"name": name, "axes": axes, "datasets": datasets}
    label: dict[str, Any] = {"source": {"image": "../../"}}
    if version == "0.5":
        return {"ome": {"version": "0.5", "multiscales": [picture], "image-label": label}}
    old = {"version": "0.4"}
    return {"multiscales": [old | picture], "image-label": old | label}


def _display(headless: bool) -> list[str]:
    """What goes before the command, so that napari finds a display."""
    seen = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if seen or not sys.platform.startswith("linux"):
        return []
    if not headless:
        raise ToolError(
            "napari opens a window, and this computer has no display (as on Binder, in Colab or on "
            "a cluster): run this on your own computer, or look at the image here with view(image)."
        )
    xvfb = shutil.which("xvfb-run")
    if not xvfb:
        raise ToolError(
            "A picture of napari on a computer without a display needs Xvfb: install it, on Debian "
            "or Ubuntu with 'sudo apt install xvfb'."
        )
    return [xvfb, "-a", "-s", "-screen 0 1280x1024x24"]
