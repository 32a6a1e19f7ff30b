"""A small endpoint that plays the public one, and what a mirror of it is to hold.

Like livingobjects, it has 6001247 in two copies and 4007801 as v0.4 only. Labels of the v0.1 copy
are an array that no list names. One chunk of it is empty: it does not exist.
"""

from itertools import product

from support.images import halve, noise, write_array, write_json, write_v2
from tools.list_chunks import Chunks, Level

V01, V04 = "zarr/v0.1/6001247.zarr", "zarr/v0.4/idr0062A/6001247.zarr"
MOVIE = "zarr/v0.4/idr0044A/4007801.zarr"
EMPTY = f"{V01}/0/0.1.2.0.0"
AXES = [{"name": name} for name in "tczyx"]
SHAPE = (1, 2, 4, 40, 40)  # chunks of 16 × 16: three of them along Y and X
TILE = (1, 1, 1, 16, 16)


def planes(count, *, c=(0, 1), side=range(3)):
    return set(product([0], c, range(count), side, side))


def listed():
    """What the mirror is to hold: level 0 as far as plane 2, some of the others."""
    return {
        Level(6001247, "v0.1", "0"): Chunks(TILE, planes(3)),
        Level(6001247, "v0.1", "labels/0"): Chunks(TILE, planes(2, c=[0])),
        Level(6001247, "v0.4", "1"): Chunks(TILE, planes(1, side=range(2))),
        Level(4007801, "v0.1", "0"): Chunks(TILE, planes(1)),
    }


def chunk_count():
    return sum(len(chunks.indexes) for chunks in listed().values())


def make_origin(folder):
    """Write the images below `folder`; return the pixels of 6001247, its labels and the movie."""
    pixels, labels, movie = noise(*SHAPE), noise(1, 1, *SHAPE[2:], seed=1), noise(*SHAPE, seed=2)
    pixels[0, 1, 2, :16, :16] = 0
    root = folder / "idr"
    omero = {"rdefs": {"defaultT": 0, "defaultZ": 1}, "channels": [{"label": "DAPI"}]}
    options = {"omero": omero, "separator": "."}
    write_v2(root / V01, halve(pixels), {"version": "0.1"}, **options)
    (root / EMPTY).unlink(missing_ok=True)  # newer versions of zarr leave it out by themselves
    write_array(root / V01 / "labels" / "0", labels, separator=".")
    write_v2(root / V04, halve(pixels), {"version": "0.4", "axes": AXES}, omero=omero)
    write_json(root / V04 / "labels" / ".zattrs", {"labels": ["0"]})
    write_v2(root / V04 / "labels" / "0", [labels], {"version": "0.4", "axes": AXES})
    write_v2(root / MOVIE, [movie], {"version": "0.4", "axes": AXES})
    return pixels, labels, movie
