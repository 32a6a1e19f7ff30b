"""The checks of notebook 08: right answers pass, wrong ones get their hint, none raises."""

import shutil
from types import SimpleNamespace

import dask.array as da
import ngff_zarr as nz
import numpy as np
import pytest
import zarr
from skimage.transform import downscale_local_mean
from support.checks import NOT_ANSWERED, said
from support.writing import HALVE, SCALE, UNITS, a_stack, some_masks, with_labels, write
from tifffile import imwrite

from data_helpers.checks import check_08

STACK, MASKS = a_stack(), some_masks()
NUMBERS = [int(number) for number in np.unique(MASKS) if number]
VOXELS = {number: int((MASKS == number).sum()) for number in NUMBERS}
VOXEL = float(np.prod(list(SCALE.values())))
CHUNKS = {"c": 1, "z": 4, "y": 16, "x": 16}


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    return write(tmp_path_factory.mktemp("written") / "embryo.zarr")


def test_pixel_size(tmp_path):
    path = tmp_path / "tissue.ome.tif"
    sizes = {"PhysicalSizeY": 0.5, "PhysicalSizeX": 0.25}
    units = {"PhysicalSizeYUnit": "µm", "PhysicalSizeXUnit": "µm"}
    details = {"axes": "YXS", **sizes, **units}
    imwrite(path, np.zeros((30, 40, 3), "u1"), photometric="rgb", metadata=details)

    def line(answer):
        return said(check_08.pixel_size, answer, path)

    assert line((0.5, 0.25)).startswith("Correct: a pixel is 0.5 µm high and 0.25 µm wide")
    assert line([0.5, 0.25]).startswith("Correct")
    assert line(...) == NOT_ANSWERED
    assert "not those" not in line((500, 250)) and "factor of 1,000" in line((500, 250))
    assert "factor of 1,000" in line((0.0005, 0.00025))
    assert "how many pixels" in line((30, 40))
    assert "these are words" in line(("µm", "µm"))
    assert "needs two numbers (y, x), not 3" in line((0.5, 0.5, 0.25))
    assert "not a value of type float" in line(0.5)
    assert "all the metadata" in line({"PhysicalSizeY": 0.5})
    assert "not the sizes that the file has" in line((0.25, 0.5))


def test_described(image):
    source = SimpleNamespace(axes=("c", "z", "y", "x"), scales=[(1, *SCALE.values())])
    source.scales.append((1, 0.5, 0.72, 0.72))

    def line(dims="czyx", scale=SCALE, units=UNITS):
        return said(check_08.described, dims, scale, units, STACK, source)

    assert line().startswith("Correct: four axes, and a voxel of 0.5 × 0.36 × 0.36 µm")
    assert line(("c", "z", "y", "x")).startswith("Correct")
    assert line(...) == line(scale=...) == line(units=...) == NOT_ANSWERED
    assert "lower case" in line("CZYX")
    assert "needs 4 letters, not 3" in line("zyx")
    assert "the channels come first" in line("zcyx")
    assert "z, y and x are the other way round" in line("cxyz")
    assert "dims says 'tzyx'" in line("tzyx")
    assert "not a value of type int" in line(4)
    assert "dictionary" in line(scale=(0.5, 0.36, 0.36))
    assert "scale says nothing about z" in line(scale={"y": 0.36, "x": 0.36})
    assert "units says nothing about y and x" in line(units={"z": "micrometer"})
    assert "every size is 1" in line(scale=dict.fromkeys("zyx", 1))
    assert "wrong order" in line(scale={"z": 0.36, "y": 0.36, "x": 0.5})

    def times(factor):
        return {axis: size * factor for axis, size in SCALE.items()}

    assert "nanometres, off by a factor of 1,000" in line(scale=times(1000))
    assert "millimetres, off by a factor of 1,000" in line(scale=times(0.001))
    assert "coarser level" in line(scale={"z": 0.5, "y": 0.72, "x": 0.72})
    assert "not the z, y and x sizes" in line(scale={"z": 3, "y": 0.36, "x": 0.36})
    assert "a unit is missing" in line(units=dict.fromkeys("zyx"))
    for unit in ("µm", "um", "micrometre", "micrometers", "micron"):
        assert "spells the unit out" in line(units=dict.fromkeys("zyx", unit))
    assert "but the unit says millimeter" in line(units={**UNITS, "x": "millimeter"})
    assert "but the unit says furlong" in line(units=dict.fromkeys("zyx", "furlong"))


def test_invented():
    plane = MASKS[3]
    averaged = downscale_local_mean(plane, (2, 2)).astype(plane.dtype)
    new = np.setdiff1d(averaged, plane)

    def line(answer):
        return said(check_08.invented, answer, averaged, plane)

    assert line(len(new)).startswith(f"Correct: {len(new)} numbers belong to no nucleus")
    assert line(...) == NOT_ANSWERED
    assert "How many are there?" in line(new)
    assert "counts pixels" in line(int(np.isin(averaged, new).sum()))
    assert "all the numbers in averaged" in line(len(np.unique(averaged)))
    assert "all the numbers in averaged" in line(len(np.unique(averaged)) - 1)
    assert "not a value of type str" in line("8")
    assert "np.setdiff1d(averaged, plane)" in line(1000)


def test_label_levels():
    def pyramid(masks=MASKS, method=nz.Methods.DASK_IMAGE_MODE, halve=HALVE, units=UNITS, **size):
        one = nz.to_ngff_image(masks, "zyx", {**SCALE, **size}, axes_units=units)
        return nz.to_multiscales(one, halve, method, {"z": 4, "y": 8, "x": 8})

    def line(answer):
        return said(check_08.label_levels, answer, MASKS, SCALE, HALVE)

    assert line(pyramid()).startswith("Correct: 3 levels")
    nearest = pyramid()
    for level, factor in zip(nearest.images[1:], (2, 4), strict=True):
        level.data = da.from_array(MASKS[:, ::factor, ::factor])
    assert line(nearest).startswith("Correct: 3 levels"), "the nearest is as good"
    assert line(...) == NOT_ANSWERED
    assert "numbers that no nucleus has" in line(pyramid(method=nz.Methods.DASK_BIN_SHRINK))
    assert "there are 2 levels, but the image has 3" in line(pyramid(halve=HALVE[:1]))
    assert "there is 1 level," in line(pyramid(halve=[]))
    assert "halve y and x, not z" in line(pyramid(halve=[2, 4]))
    assert "give nz.to_ngff_image all masks" in line(pyramid(MASKS[:4]))
    assert "other sizes than the image" in line(pyramid(z=5.0))
    assert "no units" in line(pyramid(units=None))
    assert "doesn't hold the labels as they are" in line(pyramid(MASKS + 1))
    assert "not a value of type ndarray" in line(MASKS)


def test_shards():
    def line(**change):
        return said(check_08.shards, {"c": 1, "z": 2, "y": 2, "x": 2} | change, STACK, CHUNKS)

    assert line().startswith("Correct: 8 chunks in each shard")
    assert said(check_08.shards, ..., STACK, CHUNKS) == NOT_ANSWERED
    assert "shape of a shard in voxels" in line(c=1, z=8, y=32, x=32)
    assert "shape of a chunk in voxels" in line(**CHUNKS)
    assert "one channel for each shard" in line(c=2)
    assert "along z, 3 chunks of 4 are 12 voxels, not 8" in line(z=3)
    assert "along y, 1 chunks of 16 are 16 voxels, not 32" in line(y=1)
    assert "64 // 16 instead of" in line(z=2.0)
    assert "must be whole numbers" in line(z=1.5)
    assert "says nothing about c" in said(check_08.shards, {"z": 2, "y": 2, "x": 2}, STACK, CHUNKS)
    assert "should be a dictionary" in said(check_08.shards, 2, STACK, CHUNKS)


def test_about():
    right = (
        [{"label-value": n, "rgba": [255, 40 * k, 0, 255]} for k, n in enumerate(NUMBERS)],
        [{"label-value": n, "volume": VOXELS[n] * VOXEL} for n in NUMBERS],
    )

    def line(colors=right[0], properties=right[1]):
        return said(check_08.about, colors, properties, MASKS, SCALE)

    def colored(**change):
        return [{**one, **change} for one in right[0]]

    def known(change):
        return [{**one, "volume": change(one["volume"])} for one in right[1]]

    assert line().startswith(f"Correct: a colour and a volume for each of the {len(NUMBERS)}")
    assert line(...) == line(properties=...) == NOT_ANSWERED
    assert "a list with one dictionary for each label" in line({"a": 1})
    assert "a list with one dictionary" in line(properties=[1, 2])
    assert 'needs its "label-value"' in line([{"label_value": 3}])
    assert "JSON needs int(label)" in line(
        [{**one, "label-value": np.uint32(3)} for one in right[0]]
    )
    assert "is the background" in line([{"label-value": 0}, *right[0]])
    assert "colors has 1 entries" in line(right[0][:1])
    assert "properties has 0 entries" in line(properties=[])
    assert 'needs its "rgba"' in line([{"label-value": n} for n in NUMBERS])
    assert 'needs its "rgba"' in line(colored(rgba=[1, 2, 3]))
    assert "whole numbers from 0 to 255" in line(colored(rgba=[0.5, 0.1, 1.0, 1.0]))
    assert "whole numbers from 0 to 255" in line(colored(rgba=[np.uint8(3)] * 4))
    assert "outside 0 to 255" in line(colored(rgba=[256, 0, 0, 255]))
    assert "the same colour" in line(colored(rgba=[255, 0, 0, 255]))
    assert 'needs the "volume"' in line(properties=[{"label-value": n} for n in NUMBERS])
    assert "float(volume)" in line(properties=known(np.float64))
    assert "numbers of voxels, not µm³" in line(properties=known(lambda v: round(v / VOXEL)))
    turned = [
        {**one, "volume": o["volume"]} for one, o in zip(right[1], right[1][::-1], strict=True)
    ]
    assert "at the wrong labels" in line(properties=turned)
    assert "not the volumes in table" in line(properties=known(lambda v: 3 * v))


def test_labels_on_disk(image, tmp_path):
    def line(change=None):
        path = tmp_path / "copy.zarr"
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(image, path)
        with_labels(path, **(change or {}))
        return said(check_08.labels_written, path, STACK, MASKS)

    assert line().startswith("Correct: read from disk")
    assert said(check_08.labels_written, ..., STACK, MASKS) == NOT_ANSWERED
    assert "nobody finds these labels" in line({"listed": []})
    assert "the labels on disk are not those of masks" in line({"masks": MASKS + 1})
    assert "no nucleus has" in line({"method": nz.Methods.DASK_BIN_SHRINK})
    assert "the image has 3 levels, and the labels 2" in line({"halve": HALVE[:1]})
    assert "don't say whose they are" in line({"source": "../"})
    assert "don't say whose they are" in line({"note": {}})
    assert "not those of stack" in said(check_08.labels_written, image, STACK + 1, MASKS)
    assert "can't be checked" in said(check_08.labels_written, tmp_path / "no", STACK, MASKS)


def test_accident():
    layout = {"chunks": (1, 4, 16, 16), "shards": (1, 8, 32, 32)}
    small = da.from_array(STACK, chunks=layout["chunks"])
    damaged = STACK.copy()
    damaged[0, :4] = 0
    truth = int(np.count_nonzero(damaged != STACK))

    whole = small.rechunk(layout["shards"])

    def line(lost=truth, aligned=whole, damaged=damaged):
        return said(check_08.accident, lost, aligned, damaged, STACK, layout)

    assert line().startswith("Correct: you counted what was lost")
    assert line(np.int64(truth)).startswith("Correct")
    assert line(aligned=small.rechunk((2, 8, 32, 32))).startswith("Correct")
    assert line(...) == line(aligned=...) == NOT_ANSWERED
    assert "one number" in line(damaged != STACK)
    assert "voxels that survived" in line(STACK.size - truth)
    assert "counts the zeros" in line(int((damaged == 0).sum()))
    assert "this is a share" in line(truth / STACK.size)
    assert "differ from stack" in line(truth + 5)
    assert "by luck" in line(0, damaged=STACK)
    assert "not a value of type str" in line("many")
    assert "several belong to one shard" in line(aligned=small)
    assert "aren't whole shards" in line(aligned=small.rechunk((1, 8, 16, 32)))
    assert "aren't whole shards" in line(aligned=small.rechunk((1, 5, 32, 32)))
    assert "should be a Dask array" in line(aligned=STACK)
    assert "should be a Dask array" in line(aligned=(1, 8, 32, 32))
    assert "keep the whole stack" in line(aligned=small[0].rechunk((8, 32, 32)))


def test_mended(image, tmp_path):
    broken = check_08.broken_copies(image, tmp_path)
    axes, levels = ["c", "z", "y", "x"], ["0", "1", "2"]

    def line(a=axes, b=levels, c=(levels[0], levels[2])):
        return said(check_08.mended, a, b, c, broken)

    assert line().startswith("Correct: names that differ")
    assert line(...) == line(b=...) == line(c=...) == NOT_ANSWERED
    assert "two axes of A still have the same name" in line(["c", "z", "y", "y"])
    assert "A has four axes, and axes_of_a has 3" in line(axes[1:])
    assert "in this order" in line(["c", "x", "y", "z"])
    assert "levels_of_b isn't in order" in line(b=levels[::-1])
    assert "levels_of_b leaves out ['1']" in line(b=[levels[0], levels[2]])
    assert "levels_of_b has a level twice" in line(b=[levels[0], *levels])
    assert "no level of B" in line(b=["scale0/embryo"])
    assert "levels_of_c still lists ['1']" in line(c=levels)
    assert "levels_of_c leaves out ['2']" in line(c=levels[:1])
    assert "should be a list of names" in line(b=3)


def test_allowed():
    def line(*actions):
        return said(check_08.allowed, list(actions))

    read, ask = "s3:GetObject", "s3:ListBucket"
    assert line(read, ask).startswith("Correct: anybody may read")
    assert line(ask, read).startswith("Correct")
    assert said(check_08.allowed, ...) == NOT_ANSWERED
    assert "anybody could write over" in line(read, ask, "s3:PutObject")
    assert "anybody could delete" in line(read, ask, "s3:DeleteObject")
    assert "a star allows everything" in line("s3:*")
    assert "a star allows everything" in line("*")
    assert 'begins with "s3:"' in line("GetObject")
    assert "allow s3:GetObject" in line(ask)
    assert "allow listing, too" in line(read)
    assert "needs no s3:getbucketacl" in line(read, ask, "s3:GetBucketAcl")
    assert "in square brackets" in said(check_08.allowed, read)
    assert "not a value of type int" in said(check_08.allowed, 2)


def test_each_copy_is_broken_in_its_own_way_and_the_image_stays_whole(image, tmp_path):
    broken = check_08.broken_copies(image, tmp_path)
    found = {}
    for name, path in broken.items():
        with pytest.raises(Exception) as error:
            nz.from_ngff_zarr(path, validate=True)
        found[name] = str(error.value).splitlines()[0]
    assert "non-unique" in found["A"]
    assert "finest to coarsest" in found["B"]
    assert "metadata is missing" in found["C"]
    nz.from_ngff_zarr(image, validate=True)
    assert check_08.broken_copies(image, tmp_path) == broken, "a second time, too"
    note = zarr.open_group(broken["A"], mode="r").attrs["ome"]["multiscales"][0]
    assert [axis["name"] for axis in note["axes"]] == ["c", "z", "y", "y"]
