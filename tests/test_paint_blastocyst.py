"""The synthetic blastocyst: never changes, keeps the published ranges, has true labels."""

import hashlib
import time
from functools import cache

import numpy as np
import pytest

from data_helpers.offline import blastocyst

FULL = (0, 210, 0, 253)
DEPTH = blastocyst.SHAPE[2]


@cache
def labels_volume() -> np.ndarray:
    return np.stack([blastocyst.paint_labels(0, 0, z, *FULL) for z in range(DEPTH)])


@cache
def channel_volume(c: int) -> np.ndarray:
    return np.stack([blastocyst.paint(0, 0, c, z, *FULL) for z in range(DEPTH)])


def per_nucleus(c: int) -> np.ndarray:
    labels = labels_volume()
    inside = labels > 0
    index = labels[inside].astype(np.int64) - blastocyst.FIRST_LABEL
    sums = np.bincount(index, channel_volume(c)[inside], minlength=48)
    return sums / np.bincount(index, minlength=48)


def sha256(array: np.ndarray) -> str:
    little_endian = array.astype(array.dtype.newbyteorder("<"))
    return hashlib.sha256(little_endian.tobytes()).hexdigest()[:16]


GOLDEN = {
    (0, 0, 128): "72c6efc97ec0cdbf",
    (0, 1, 70): "994733de0d32eb9b",
    (1, 1, 128): "160994a9a365f446",
    (2, 0, 215): "60029fc166ae493a",
    ("labels", 0, 128): "deade72ae9685a3b",
    ("labels", 3, 150): "71dd1f3ec6349a5d",
}


@pytest.mark.parametrize(("level", "c", "z"), [(0, 0, 128), (0, 1, 70), (1, 1, 128), (2, 0, 215)])
def test_pixels_never_change(level: int, c: int, z: int) -> None:
    height, width = blastocyst.LEVELS[level]
    assert sha256(blastocyst.paint(level, 0, c, z, 0, height, 0, width)) == GOLDEN[level, c, z]


@pytest.mark.parametrize(("level", "z"), [(0, 128), (3, 150)])
def test_labels_never_change(level: int, z: int) -> None:
    height, width = blastocyst.LABEL_LEVELS[level]
    painted = blastocyst.paint_labels(level, 0, z, 0, height, 0, width)
    assert sha256(painted) == GOLDEN["labels", level, z]


def test_there_are_48_labels_with_roi_ids() -> None:
    values = np.unique(labels_volume())
    assert labels_volume().dtype == np.uint32
    assert values.tolist() == [0, *range(1381342, 1381390)]


def test_volumes_are_within_the_published_range() -> None:
    counts = np.unique(labels_volume(), return_counts=True)[1][1:]
    volumes = counts * float(np.prod(blastocyst.VOXEL_SIZE))
    assert volumes.min() >= 99
    assert volumes.max() <= 2934
    assert abs(np.median(volumes) - 1575) < 157


def test_mean_intensities_are_within_the_published_ranges() -> None:
    lamin, dapi = per_nucleus(0), per_nucleus(1)
    assert lamin.min() >= 47
    assert lamin.max() <= 1141
    assert dapi.min() >= 225
    assert dapi.max() <= 1056


def test_sixteen_nuclei_touch_the_border_of_the_stack() -> None:
    border = np.ones(labels_volume().shape, bool)
    border[1:-1, 1:-1, 1:-1] = False
    assert len(np.unique(labels_volume()[border])) - 1 == 16


def test_each_nucleus_is_in_one_piece() -> None:
    from scipy import ndimage

    for value in np.unique(labels_volume())[1:]:
        assert ndimage.label(labels_volume() == value)[1] == 1, value


def test_envelopes_are_shells_and_chromatin_fills() -> None:
    """LaminB1 is brighter at the rim of a nucleus than in its middle; DAPI is not."""
    from scipy import ndimage

    inside = labels_volume()[100:160] > 0
    depth = ndimage.distance_transform_edt(inside, sampling=blastocyst.VOXEL_SIZE)
    rim, middle = (depth > 0) & (depth < 1), depth > 3
    lamin, dapi = channel_volume(0)[100:160], channel_volume(1)[100:160]
    assert lamin[rim].mean() > 3 * lamin[middle].mean()
    assert dapi[rim].mean() < dapi[middle].mean()


def test_background_is_dark_and_light_fades_with_depth() -> None:
    for c in (0, 1):
        corner = channel_volume(c)[128, :25, :25]
        assert 10 < corner.mean() < 60
        assert corner.std() > 2
        assert channel_volume(c).max() <= blastocyst.SATURATION
    assert channel_volume(0).max() == blastocyst.SATURATION


@pytest.mark.parametrize("level", [1, 2])
def test_a_coarser_level_is_the_mean_of_the_finer(level: int) -> None:
    height, width = blastocyst.LEVELS[level]
    fine_shape = blastocyst.LEVELS[level - 1]
    fine = blastocyst.paint(level - 1, 0, 1, 128, 0, fine_shape[0], 0, fine_shape[1])
    blocks = fine[: 2 * height, : 2 * width].reshape(height, 2, width, 2).astype(int)
    coarse = blastocyst.paint(level, 0, 1, 128, 0, height, 0, width)
    assert np.array_equal(coarse, (blocks.sum((1, 3)) + 2) // 4)


@pytest.mark.parametrize("level", [1, 2, 3])
def test_coarser_labels_take_every_second_pixel(level: int) -> None:
    height, width = blastocyst.LABEL_LEVELS[level]
    fine_shape = blastocyst.LABEL_LEVELS[level - 1]
    fine = blastocyst.paint_labels(level - 1, 0, 140, 0, fine_shape[0], 0, fine_shape[1])
    coarse = blastocyst.paint_labels(level, 0, 140, 0, height, 0, width)
    assert np.array_equal(coarse, fine[::2, ::2][:height, :width])
    assert coarse.any()


@pytest.mark.parametrize("level", [0, 1, 2])
def test_a_region_is_a_crop_of_the_plane(level: int) -> None:
    height, width = blastocyst.LEVELS[level]
    region = (height // 3, height - 3, width // 2 - 5, width - 1)
    y0, y1, x0, x1 = region
    plane = blastocyst.paint(level, 0, 0, 150, 0, height, 0, width)
    assert np.array_equal(blastocyst.paint(level, 0, 0, 150, *region), plane[y0:y1, x0:x1])
    labels = blastocyst.paint_labels(level, 0, 150, 0, height, 0, width)
    assert np.array_equal(blastocyst.paint_labels(level, 0, 150, *region), labels[y0:y1, x0:x1])


def test_outside_the_image_is_an_error() -> None:
    for level, t, z in [(3, 0, 0), (0, 1, 0), (0, 0, 257), (-1, 0, 0)]:
        with pytest.raises(IndexError, match="outside the image"):
            blastocyst.paint(level, t, 0, z, 0, 1, 0, 1)
    with pytest.raises(IndexError, match="outside the image"):
        blastocyst.paint_labels(4, 0, 0, 0, 1, 0, 1)


@pytest.mark.speed
def test_a_plane_is_painted_fast() -> None:
    """5 ms, with half as much again for a slow machine; the best of three rounds."""
    rounds = []
    for _ in range(3):
        start = time.thread_time()
        for z in range(120, 140):
            blastocyst.paint(0, 0, 1, z, *FULL)
        rounds.append((time.thread_time() - start) / 20)
    assert min(rounds) < 0.0075, rounds
