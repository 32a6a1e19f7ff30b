"""Small test images, written to a folder by libraries other than the one under test.

`write_v2` writes with zarr-python what OME-Zarr 0.1 to 0.4 looked like; the other writers leave
everything to ome-zarr-py and to ngff-zarr.
"""

import json

import numpy as np
import zarr
from numcodecs import Blosc

BLOSC = Blosc(cname="lz4", clevel=5, shuffle=1)


def noise(*shape, dtype="u2", seed=0):
    """Pixels that differ everywhere and are never 0, so that a chunk of zeros is noticed."""
    return np.random.default_rng(seed).integers(1, 4096, shape).astype(dtype)


def halve(pixels, times=1):
    """The coarser levels: every second pixel along Y and X."""
    return [pixels[..., :: 2**n, :: 2**n] for n in range(times + 1)]


def write_json(path, document):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document), encoding="utf-8")


def write_array(folder, pixels, *, separator="/", chunks=None, compressor=BLOSC, fill_value=0):
    """Write one Zarr v2 array."""
    array = zarr.create_array(
        store=zarr.storage.LocalStore(folder),  # newer versions take "#" in a text for a fragment
        shape=pixels.shape,
        chunks=chunks or (1,) * (pixels.ndim - 2) + (16, 16),
        dtype=pixels.dtype,
        zarr_format=2,
        compressors=compressor,
        filters=None,
        fill_value=fill_value,
        chunk_key_encoding={"name": "v2", "separator": separator},
    )
    array[:] = pixels
    return array


def write_v2(folder, levels, multiscale, *, omero=None, paths=None, **options):
    """Write an image of OME-Zarr 0.1 to 0.4.

    `multiscale` holds what differs between the versions; the list of levels is added to it.
    """
    paths = paths or [str(number) for number in range(len(levels))]
    for path, pixels in zip(paths, levels, strict=True):
        write_array(folder / path, pixels, **options)
    datasets = multiscale.pop("datasets", [{} for _ in paths])
    listed = [{"path": path} | more for path, more in zip(paths, datasets, strict=True)]
    attributes = {"multiscales": [{"datasets": listed} | multiscale]}
    if omero:
        attributes["omero"] = omero
    write_json(folder / ".zgroup", {"zarr_format": 2})
    write_json(folder / ".zattrs", attributes)
    return folder


def change_json(path, **changes):
    """Change keys of a JSON document, as another writer might have written them."""
    write_json(path, json.loads(path.read_text(encoding="utf-8")) | changes)


def axes(names, **units):
    """Axes as OME-Zarr 0.4 has them."""
    kinds = {"t": "time", "c": "channel"}
    return [
        {"name": name, "type": kinds.get(name, "space")}
        | ({"unit": units[name]} if name in units else {})
        for name in names
    ]


def scales(*per_level):
    """What each of `datasets` says about its scale in OME-Zarr 0.4."""
    return [
        {"coordinateTransformations": [{"type": "scale", "scale": list(scale)}]}
        for scale in per_level
    ]


def write_with_ome_zarr(folder, levels, label_levels):
    """Let ome-zarr-py write OME-Zarr 0.4: an image, and labels of fewer levels named "cells"."""
    from ome_zarr.format import FormatV04
    from ome_zarr.writer import write_multiscale, write_multiscale_labels

    group = zarr.open_group(str(folder), mode="w", zarr_format=2)
    size = {"z": 0.5, "y": 0.25, "x": 0.25}
    units = dict.fromkeys("zyx", "micrometer")
    shared = {"fmt": FormatV04(), "axes_units": units}
    write_multiscale(
        levels,
        group,
        axes="czyx",
        scale={"c": 1.0} | size,
        name="written by ome-zarr-py",
        storage_options={"chunks": (1, 1, 32, 32)},
        **shared,
    )
    write_multiscale_labels(
        label_levels,
        group,
        name="cells",
        axes="zyx",
        scale=size,
        storage_options={"chunks": (1, 32, 32)},
        **shared,
    )
    return folder


def write_with_ngff_zarr(folder, pixels, version, **options):
    """Let ngff-zarr write an image of axes c, z, y, x in two levels; return their pixels."""
    import ngff_zarr

    image = ngff_zarr.to_ngff_image(
        pixels,
        dims=("c", "z", "y", "x"),
        scale={"c": 1.0, "z": 0.5, "y": 0.25, "x": 0.25},
        axes_units=dict.fromkeys("zyx", "micrometer"),
        name="written by ngff-zarr",
    )
    multiscales = ngff_zarr.to_multiscales(
        image,
        scale_factors=[{"z": 1, "y": 2, "x": 2}],
        chunks={"c": 1, "z": 1, "y": 16, "x": 16},
        method=ngff_zarr.Methods.DASK_BIN_SHRINK,
    )
    levels = [np.asarray(level.data) for level in multiscales.images]
    ngff_zarr.to_ngff_zarr(str(folder), multiscales, version=version, **options)
    return levels
