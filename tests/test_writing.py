"""What notebook 08 writes is opened by other readers, and its accidents happen and are repaired."""

import inspect
import sys
import time
import warnings
from contextlib import suppress
from pathlib import Path
from textwrap import dedent

import dask
import dask.array as da
import ngff_zarr as nz
import numpy as np
import ome_zarr.io
import ome_zarr.reader
import ome_zarr_models
import psutil
import pytest
import tensorstore
import zarr
from support.writing import (
    CHUNKS,
    HALVE,
    SCALE,
    a_stack,
    cells,
    some_masks,
    with_labels,
    write,
    write_levels,
)

from data_helpers import OmeZarrError, open_multiscale

CELLS = cells()
PER_SHARD = {"c": 1, "z": 2, "y": 4, "x": 4}
KINDS = {"0.4": ("0.4", None), "0.5": ("0.5", None), "0.5 in shards": ("0.5", PER_SHARD)}
LEVELS = 3


@pytest.fixture(scope="module", params=KINDS)
def written(request, tmp_path_factory):
    """An image with labels, its version, and the levels that every reader has to find."""
    version, per_shard = KINDS[request.param]
    path = write(tmp_path_factory.mktemp("written") / "embryo.zarr", version, per_shard)
    inner = per_shard and {axis: per_shard[axis] for axis in "zyx"}
    with_labels(path, version=version, per_shard=inner)
    return path, version, (pyramid(a_stack(), np.mean), pyramid(some_masks(), most_frequent))


def pyramid(pixels, reduce):
    """Levels made with NumPy alone, each from the one before."""
    levels = [pixels]
    for _ in HALVE:
        fine = levels[-1]
        *rest, height, width = fine.shape
        squares = fine.reshape(*rest, height // 2, 2, width // 2, 2).swapaxes(-2, -3)
        mean = reduce(squares.reshape(*rest, height // 2, width // 2, 4), axis=-1)
        levels.append(np.floor(mean + 0.5).astype(pixels.dtype))
    return levels


def most_frequent(squares, axis):
    """The most frequent value, and of several the smallest."""
    assert axis == -1
    squares = np.sort(squares, axis=-1)
    counts = (squares[..., :, None] == squares[..., None, :]).sum(-1)
    return np.take_along_axis(squares, counts.argmax(-1)[..., None], -1)[..., 0]


def assert_same(found, expected):
    """Compare all levels of the image, then all levels of its labels, pixel by pixel."""
    for levels, truths in zip(found, expected, strict=True):
        assert len(levels) == len(truths) == LEVELS
        for level, truth in zip(levels, truths, strict=True):
            array = np.asarray(level)
            assert array.dtype == truth.dtype
            np.testing.assert_array_equal(array, truth)


def test_the_helper_reads_it(written):
    path, version, expected = written
    image = open_multiscale(path)
    assert image.version == version
    labels = image.label("nuclei")
    assert_same([[a[:] for a in one.stored] for one in (image, labels)], expected)
    assert image.axes == ("c", "z", "y", "x")
    assert image.units == (None, "micrometer", "micrometer", "micrometer")
    assert image.scales[2] == pytest.approx((1, 0.5, 1.44, 1.44))
    assert labels.scales[2] == pytest.approx((0.5, 1.44, 1.44))
    found = [(one.label, one.color, one.window) for one in image.channels]
    assert found == [("LaminB1", "FF00FF", (0, 1500)), ("DAPI", "00FF00", (0, 1500))]


def test_ome_zarr_py_reads_it(written):
    path, _, expected = written
    nodes = list(ome_zarr.reader.Reader(ome_zarr.io.parse_url(str(path)))())
    [labels] = [node for node in nodes if "labels/nuclei" in repr(node.zarr)]
    assert_same([nodes[0].data, labels.data], expected)
    assert [axis.get("unit") for axis in nodes[0].metadata["axes"]] == [None, *["micrometer"] * 3]
    assert nodes[0].metadata["channel_names"] == ["LaminB1", "DAPI"]
    scale = nodes[0].metadata["coordinateTransformations"][1][0]["scale"]
    assert scale == pytest.approx([1, 0.5, 0.72, 0.72])


def test_ngff_zarr_reads_it_and_finds_it_valid(written):
    path, version, expected = written
    image = nz.from_ngff_zarr(path, validate=True)
    labels = nz.from_ngff_zarr(path / "labels" / "nuclei", validate=True)
    assert_same([[a.data for a in one.images] for one in (image, labels)], expected)
    assert image.images[0].scale == {"c": 1.0, **SCALE}
    note = dict(zarr.open_group(path / "labels" / "nuclei", mode="r").attrs)
    nz.validate(note, version=version, model="label", strict=version == "0.4")


def test_ome_zarr_models_finds_it_valid(written):
    path, version, _ = written
    image = ome_zarr_models.open_ome_zarr(zarr.open_group(path, mode="r"))
    assert type(image).__name__ == "Image"
    assert type(image).__module__.startswith(f"ome_zarr_models.v{version.replace('.', '')}")
    assert image.labels is not None
    labels = ome_zarr_models.open_ome_zarr(zarr.open_group(path / "labels" / "nuclei", mode="r"))
    assert type(labels).__name__ == "ImageLabel"


def test_tensorstore_reads_it(written):
    path, version, expected = written
    driver = {"0.4": "zarr", "0.5": "zarr3"}[version]

    def read(inside):
        where = {"driver": "file", "path": str(path / inside)}
        return tensorstore.open({"driver": driver, "kvstore": where}).result().read().result()

    found = [read(str(k)) for k in range(LEVELS)]
    labels = [read(f"labels/nuclei/{k}") for k in range(LEVELS)]
    assert_same([found, labels], expected)


def test_shards_make_fewer_objects_and_hold_the_same(tmp_path):
    def files(path):
        return sum(file.is_file() for file in path.rglob("*"))

    plain, sharded = write(tmp_path / "a.zarr"), write(tmp_path / "b.zarr", per_shard=PER_SHARD)
    notes = 4  # of the image, and of three arrays below it
    assert files(sharded) == notes + 2 * LEVELS
    assert files(plain) > 3 * files(sharded)


def test_an_image_that_is_there_is_not_written_over(tmp_path):
    path = with_labels(write(tmp_path / "embryo.zarr"))
    with pytest.raises(FileExistsError, match="there already: choose another name"):
        write(path, stack=a_stack() + 1)
    assert open_multiscale(path).labels == ["nuclei"]
    np.testing.assert_array_equal(open_multiscale(path).stored[0][:], a_stack())


# --- memory -----------------------------------------------------------------------------------


def peak(cell: str, folder: Path) -> float:
    """Megabytes that a function of the notebook takes in a Python of its own."""
    code = f"{CELLS[cell]}\n{cell}({str(folder / cell)!r})"
    process, highest = psutil.Popen([sys.executable, "-c", code]), 0
    while process.poll() is None:
        with suppress(psutil.Error):
            highest = max(highest, process.memory_info().rss)
        time.sleep(0.005)
    assert process.returncode == 0
    stored = zarr.open_array(folder / cell, mode="r")
    assert stored.nbytes > 500e6 and stored.dtype == "uint16"
    corner = [np.asarray(stored[z, :: size - 1, :: size - 1]) for z in (0, -1) for size in (2048,)]
    assert all((plane == 1000).all() for plane in corner)
    return highest / 1e6


def test_the_bounded_way_stays_below_400_mb_and_the_careless_one_does_not_stay_near(tmp_path):
    bounded, careless = peak("bounded", tmp_path), peak("careless", tmp_path)
    assert bounded < 400
    assert careless > 1.8 * bounded


def test_the_notebook_measures_processes_as_this_test_does(tmp_path):
    def small(path):
        bytearray(150_000_000).find(b"1")

    names = {"getsource": lambda _: dedent(inspect.getsource(small))}
    names |= {"psutil": psutil, "sys": sys, "time": time, "suppress": suppress}
    exec(CELLS["peak-of"], names)
    said = names["peak_of"](small, tmp_path)
    megabytes = int(said.split()[0])
    assert 140 < megabytes < 250 and said.endswith("exit 0")


# --- the accident -----------------------------------------------------------------------------


def lost(blocks, path, array=None, **layout):
    """The share of pixels that are lost when Dask writes with four threads."""
    with dask.config.set(num_workers=4):
        blocks.to_zarr(str(path) if array is None else array, **layout)
    return float((zarr.open_array(path, mode="r")[:] != np.asarray(blocks)).mean())


def test_blocks_smaller_than_a_shard_lose_pixels_and_whole_shards_lose_none(tmp_path):
    stack = np.arange(1, 1 + 2 * 64 * 128 * 128, dtype="u4").reshape(2, 64, 128, 128)
    small = da.from_array(stack, chunks=(1, 16, 64, 64))
    layout = {"chunks": (1, 16, 64, 64), "shards": (1, 64, 128, 128)}
    assert lost(small, tmp_path / "damaged.zarr", **layout) > 0
    aligned = small.rechunk(layout["shards"])
    assert lost(aligned, tmp_path / "repaired.zarr", **layout) == 0
    assert lost(small.rechunk((2, 64, 128, 128)), tmp_path / "both.zarr", **layout) == 0


def test_what_the_page_says_of_other_ways(tmp_path):
    stack = np.arange(1, 1 + 8 * 256 * 256, dtype="u4").reshape(8, 256, 256)
    crooked = da.from_array(stack, chunks=(1, 100, 100))
    layout = {"shape": stack.shape, "dtype": "u4", "chunks": (1, 64, 64), "shards": (8, 128, 128)}
    array = zarr.create_array(tmp_path / "there.zarr", **layout)
    assert lost(crooked, tmp_path / "there.zarr", array) == 0, "into an array: regrouped"
    array = zarr.create_array(tmp_path / "lock.zarr", **layout)
    da.store(crooked, array)
    np.testing.assert_array_equal(array[:], stack)
    array = zarr.create_array(tmp_path / "free.zarr", **layout)
    with dask.config.set(num_workers=4):
        da.store(crooked, array, lock=False)
    assert (array[:] != stack).any(), "without a lock"
    with pytest.raises(ValueError, match="divisible"):
        zarr.create_array(tmp_path / "no.zarr", **layout | {"shards": (8, 96, 96)})


# --- a full disk ------------------------------------------------------------------------------


def test_half_an_image_looks_whole_unless_it_gets_its_name_last(tmp_path):
    stack = a_stack()

    def fill_up(block, block_info=None):
        if block_info and block_info[0]["chunk-location"] == (1, 1, 0, 0):
            raise OSError(28, "No space left on device")
        return block

    chunks = tuple(CHUNKS.values())
    doomed = da.from_array(stack, chunks=chunks).map_blocks(fill_up, dtype=stack.dtype)
    one = nz.to_ngff_image(doomed, "czyx", SCALE, name="embryo")
    half, listed = tmp_path / "half.zarr", tmp_path / "listed.zarr"
    for path, halve in ((half, []), (listed, HALVE)):
        levels = nz.to_multiscales(one, halve, nz.Methods.DASK_BIN_SHRINK, CHUNKS)
        with pytest.raises(OSError, match="No space left"):
            nz.to_ngff_zarr(path, levels)
        with pytest.raises(OSError, match="No space left"):
            write_levels(tmp_path / "embryo.zarr", levels)
    assert (open_multiscale(half).stored[0][:] != stack).any(), "it opens, and pixels are missing"
    with pytest.raises(OmeZarrError, match="level 'scale1/embryo' is listed, but there is no"):
        open_multiscale(listed).stored[1]
    assert not (tmp_path / "embryo.zarr").exists(), "nothing half-written has the final name"
    write(tmp_path / "embryo.zarr")  # what the failure left does not stand in the way
    np.testing.assert_array_equal(open_multiscale(tmp_path / "embryo.zarr").stored[0][:], stack)


def test_ome_zarr_py_needs_what_the_page_says(tmp_path):
    """As notebook 08's page says: levels of labels, and the version of a 0.5 group `labels`."""
    from ome_zarr.writer import write_image, write_labels

    path, options = str(tmp_path / "py.zarr"), {"axes_units": dict.fromkeys("zyx", "micrometer")}
    halve = [{"y": 2, "x": 2}, {"y": 4, "x": 4}]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write_image(a_stack(), path, halve, axes="czyx", scale=SCALE, **options)
        write_labels(some_masks(), path, "nuclei", None, halve, axes="zyx", scale=SCALE, **options)
    image = open_multiscale(path)
    assert image.units[1:] == ("micrometer",) * 3
    assert len(image.label("nuclei").stored) == len(image.stored) == LEVELS
    with pytest.raises(RuntimeError, match="Could not successfully validate"):
        ome_zarr_models.open_ome_zarr(zarr.open_group(path, mode="r"))
    labels = zarr.open_group(f"{path}/labels", mode="r+")
    labels.attrs["ome"] = {"version": "0.5", **labels.attrs["ome"]}
    ome_zarr_models.open_ome_zarr(zarr.open_group(path, mode="r"))
