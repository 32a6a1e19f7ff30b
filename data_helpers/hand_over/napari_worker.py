"""Open an image in napari, in napari's own environment, and keep what is painted there.

`open_in_napari` starts this file with the Python of that environment, so it imports NumPy, Zarr and
napari only. `show` is the five lines that you'd type into napari's console yourself.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

EDITED = "edited"
SHUFFLED = 49
"""Colours that labels are painted in, over and over again; napari's own number."""


def main() -> None:
    """Show what the order says, until the window is closed; then save what was painted."""
    import napari

    order = json.loads(sys.argv[1])
    viewer = show(order["address"], order["title"], order["labels"])
    if order["edits"]:
        add_copy(viewer, order["edits"])
    if order["screenshot"]:
        viewer.window.resize(1200, 800)
        viewer.reset_view()
        viewer.screenshot(order["screenshot"], canvas_only=False, flash=False)
    layers = [layer.name for layer in viewer.layers]
    print(f"\n@answer {json.dumps({'layers': layers})}", flush=True)
    if order["screenshot"]:
        viewer.close()
        return
    kept = list(viewer.layers)  # closing the window empties the list
    napari.run()
    if order["edits"]:
        painted = next(layer for layer in kept if layer.name == EDITED)
        save(np.asarray(painted.data), order["edits"])


def show(address: str, title: str, labels: bool) -> Any:
    """Open an image in a new window; its labels in colours that tell them apart."""
    import napari

    viewer = napari.Viewer(title=title)
    viewer.open(address, plugin="napari-ome-zarr")
    for layer in viewer.layers:
        if labels and isinstance(layer, napari.layers.Labels):
            layer.visible = True
            layer.colormap = napari.utils.colormaps.label_colormap(SHUFFLED)
    return viewer


def add_copy(viewer: Any, edits: dict[str, Any]) -> None:
    """Add a layer that can be painted: a copy of the labels, or an empty one.

    napari opens the labels of an OME-Zarr image lazily, and what is lazy can't be painted.
    """
    import napari

    found = [layer for layer in viewer.layers if isinstance(layer, napari.layers.Labels)]
    finest = edits["levels"][0]
    if found:
        pixels = np.asarray(found[-1].data[0]).astype(np.uint32)
        found[-1].visible = False
    else:
        pixels = np.zeros(finest["shape"], np.uint32)
    viewer.add_labels(pixels.reshape(finest["shape"]), name=EDITED, scale=finest["scale"])


def save(pixels: np.ndarray, edits: dict[str, Any]) -> None:
    """Write a label image as OME-Zarr, in the levels that were asked for; list it beside others."""
    import zarr

    zarr_format = edits["zarr_format"]
    group = zarr.open_group(edits["path"], mode="w-", zarr_format=zarr_format)
    for level in edits["levels"]:
        places = [
            np.arange(size) * whole // size
            for size, whole in zip(level["shape"], pixels.shape, strict=True)
        ]
        part = pixels[np.ix_(*places)]
        chunks = (1,) * (part.ndim - 2) + tuple(min(size, 1024) for size in part.shape[-2:])
        keys: Any = {"name": "v2", "separator": "/"} if zarr_format == 2 else None
        group.create_array(level["path"], data=part, chunks=chunks, chunk_key_encoding=keys)
    group.attrs.update(edits["attributes"])
    if edits["listed_in"]:
        list_label(zarr.open_group(edits["listed_in"], mode="a", zarr_format=zarr_format), edits)
        renew_copy(str(Path(edits["listed_in"]).parent), zarr_format)


def list_label(labels: Any, edits: dict[str, Any]) -> None:
    """Add the name of a label image to the list that an image has of its labels."""
    attributes = dict(labels.attrs)
    listing = attributes.setdefault("ome", {}) if edits["zarr_format"] == 3 else attributes
    if edits["zarr_format"] == 3:
        listing.setdefault("version", "0.5")
    others = [name for name in listing.get("labels", []) if name != edits["name"]]
    listing["labels"] = [*others, edits["name"]]
    labels.attrs.update(attributes)


def renew_copy(image: str, zarr_format: Any) -> None:
    """Make the consolidated metadata of an image anew, if it has them.

    They are a copy of all its documents, from which napari would go on reading that there are no
    such labels.
    """
    import zarr

    group = zarr.open_group(image, mode="r", zarr_format=zarr_format)
    if group.metadata.consolidated_metadata is not None:
        zarr.consolidate_metadata(image, zarr_format=zarr_format)


if __name__ == "__main__":
    main()
