"""A small synthetic image with labels, written as notebook 08 writes it."""

from pathlib import Path

import nbformat
import ngff_zarr as nz
import numpy as np
import zarr

ROOT = Path(__file__).parent.parent.parent
NOTEBOOK = ROOT / "notebooks" / "solutions" / "08_make_and_publish.ipynb"
SCALE = {"z": 0.5, "y": 0.36, "x": 0.36}
UNITS = dict.fromkeys("zyx", "micrometer")
HALVE = [{"z": 1, "y": 2, "x": 2}, {"z": 1, "y": 4, "x": 4}]
CHUNKS = {"c": 1, "z": 4, "y": 8, "x": 8}


def a_stack():
    """Two channels of 8 planes of 32 × 32 (c, z, y, x), noise above 0 but for some zeros."""
    stack = np.random.default_rng(8).integers(1, 4000, (2, 8, 32, 32)).astype("u2")
    stack[1, 6] = 0
    return stack


def some_masks():
    """Labels (z, y, x) with large numbers; two of them touch, and no border is even."""
    masks = np.zeros((8, 32, 32), "u4")
    masks[1:6, 3:12, 3:14], masks[1:6, 3:12, 14:23] = 1381343, 1381345
    masks[2:7, 17:30, 5:16] = 1381350
    return masks


def channel(name, color):
    window = nz.OmeroWindow(min=0, max=65535, start=0, end=1500)
    return nz.OmeroChannel(label=name, color=color, window=window)


def cells():
    """The cells of notebook 08's solution, by their id."""
    return {cell.id: cell.source for cell in nbformat.read(NOTEBOOK, as_version=4).cells}


def write_levels(path, levels, version="0.5", shards=None):
    """Write levels by the function that notebook 08 shows."""
    names = {"nz": nz}
    exec(cells()["write-function"], names)
    names["write"](path, levels, version, shards)


def write(path, version="0.5", per_shard=None, stack=None):
    """Write the stack with its channels and three levels; returns the path."""
    image = nz.to_ngff_image(
        a_stack() if stack is None else stack, "czyx", SCALE, name="embryo", axes_units=UNITS
    )
    levels = nz.to_multiscales(image, HALVE, nz.Methods.DASK_BIN_SHRINK, CHUNKS)
    levels.metadata.omero = nz.Omero([channel("LaminB1", "FF00FF"), channel("DAPI", "00FF00")])
    write_levels(path, levels, version, per_shard)
    return path


def with_labels(
    path,
    masks=None,
    method=nz.Methods.DASK_IMAGE_MODE,
    halve=HALVE,
    listed=("nuclei",),
    source="../../",
    note=None,
    version="0.5",
    per_shard=None,
):
    """Add labels/nuclei to an image on disk, as step 5 does; each argument can spoil it."""
    masks = some_masks() if masks is None else masks
    one = nz.to_ngff_image(masks, "zyx", SCALE, name="nuclei", axes_units=UNITS)
    levels = nz.to_multiscales(one, halve, method, {a: CHUNKS[a] for a in "zyx"})
    inside = path / "labels" / "nuclei"
    write_levels(inside, levels, version, per_shard)
    numbers = [int(number) for number in np.unique(masks) if number]
    colors = [{"label-value": n, "rgba": [255, 0, n % 256, 255]} for n in numbers]
    properties = [{"label-value": n, "volume": float(n)} for n in numbers]
    whole = {"colors": colors, "properties": properties, "source": {"image": source}}
    note = whole if note is None else note
    group = zarr.open_group(inside, mode="r+")
    if version == "0.4":
        group.attrs["image-label"] = {"version": "0.4", **note}
        attributes = {"labels": list(listed)}
    else:
        group.attrs["ome"] = {**group.attrs["ome"], "image-label": note}
        attributes = {"ome": {"version": version, "labels": list(listed)}}
    zarr.create_group(
        path / "labels", attributes=attributes, zarr_format=2 if version == "0.4" else 3
    )
    return path
