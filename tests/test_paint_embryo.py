"""The synthetic embryo: never changes, grows and turns, and is the same at every level."""

import hashlib
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from skimage.filters import gaussian, threshold_otsu
from skimage.measure import label

from data_helpers.offline import embryo
from data_helpers.offline.embryo_cells import cells_at, frame_at

WINDOW = (1093, 439)  # display range of each channel


def plane(level: int, t: int, c: int, z: int) -> np.ndarray:
    height, width = embryo.LEVELS[level]
    return embryo.paint(level, t, c, z, 0, height, 0, width)


def sha256(array: np.ndarray) -> str:
    little_endian = array.astype(array.dtype.newbyteorder("<"))
    return hashlib.sha256(little_endian.tobytes()).hexdigest()[:16]


GOLDEN = {
    (4, 266, 0, 494): "bf7a6aadc50e00a2",
    (4, 266, 1, 494): "21960fca280f6684",
    (0, 400, 0, 420): "12fd0c292f0d108c",
    (0, 400, 1, 420): "50aa6d907d78f239",
    (1, 0, 1, 500): "0c0395059519b17f",
    (2, 531, 0, 600): "668f62f630a7c92a",
    (3, 100, 1, 450): "291054f83b9cb720",
}


@pytest.mark.parametrize(("level", "t", "c", "z"), [(4, 266, 0, 494), (4, 266, 1, 494)])
def test_middle_planes_never_change(level: int, t: int, c: int, z: int) -> None:
    assert sha256(plane(level, t, c, z)) == GOLDEN[level, t, c, z]


@pytest.mark.parametrize(
    ("level", "t", "c", "z"),
    [(0, 400, 0, 420), (0, 400, 1, 420), (1, 0, 1, 500), (2, 531, 0, 600), (3, 100, 1, 450)],
)
def test_windows_never_change(level: int, t: int, c: int, z: int) -> None:
    height, width = embryo.LEVELS[level]
    y0, x0 = height // 3, width // 4
    window = embryo.paint(level, t, c, z, y0, min(y0 + 300, height), x0, min(x0 + 300, width))
    assert window.dtype == np.uint16
    assert sha256(window) == GOLDEN[level, t, c, z]


@pytest.mark.parametrize("c", [0, 1])
@pytest.mark.parametrize("level", [0, 1, 2, 4])
def test_a_region_is_a_crop_of_the_plane(level: int, c: int) -> None:
    height, width = embryo.LEVELS[level]
    whole = plane(level, 300, c, 480)
    rng = np.random.default_rng(level)
    for _ in range(4):
        y0, y1 = sorted(rng.integers(0, height + 1, 2))
        x0, x1 = sorted(rng.integers(0, width + 1, 2))
        region = embryo.paint(level, 300, c, 480, y0, y1, x0, x1)
        assert np.array_equal(region, whole[y0:y1, x0:x1])


@pytest.mark.parametrize("c", [0, 1])
@pytest.mark.parametrize("axis", [0, 1])
def test_tiles_leave_no_seams(axis: int, c: int) -> None:
    """Neighbours differ no more across the border of two tiles than inside a tile."""
    light = gaussian(plane(1, 400, c, 494).astype(float), 1)
    second = np.abs(np.diff(light, n=2, axis=axis))  # a step stands out in the second difference
    profile = second.max(axis=1 - axis)
    at_border = (np.arange(len(profile)) + 1) % 32 < 2  # a step touches two second differences
    assert np.median(profile[at_border]) < 1.2 * np.median(profile[~at_border])


@pytest.mark.parametrize("c", [0, 1])
@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_a_coarser_level_agrees_with_the_mean_of_the_finer(level: int, c: int) -> None:
    height, width = embryo.LEVELS[level + 1]
    fine = plane(level, 450, c, 494)[: 2 * height, : 2 * width].astype(float)
    mean = fine.reshape(height, 2, width, 2).mean(axis=(1, 3))
    coarse = plane(level + 1, 450, c, 494).astype(float)
    tissue = mean > 60
    assert tissue.mean() > 0.02
    difference = np.abs(mean - coarse)
    assert difference.mean() < 0.02 * WINDOW[c]
    assert difference[tissue].mean() < 0.06 * WINDOW[c]  # noise of the finer level included
    smooth = np.abs(gaussian(mean, 1) - gaussian(coarse, 1))  # noise mostly taken away
    assert smooth[tissue].mean() < 0.05 * WINDOW[c]
    assert np.corrcoef(mean.ravel(), coarse.ravel())[0, 1] > 0.97


def test_the_embryo_grows() -> None:
    filled = [np.mean(gaussian(plane(4, t, 1, 494).astype(float), 2) > 40) for t in (0, 266, 531)]
    assert filled[0] < 0.6 * filled[1] < 0.6 * filled[2]
    assert len(cells_at(0).size) < len(cells_at(266).size) < len(cells_at(531).size)


def test_the_embryo_turns() -> None:
    """The long axis ends at least 45 degrees from where it started."""
    first, last = np.array(frame_at(0).turn[2]), np.array(frame_at(531).turn[2])
    assert first @ last < np.sqrt(0.5)
    for t in (0, 266, 531):
        rows = np.array(frame_at(t).turn)
        assert np.allclose(rows @ rows.T, np.eye(3))


@pytest.mark.parametrize("c", [0, 1])
def test_nothing_jumps_between_time_points_or_planes(c: int) -> None:
    for step in (0, 1):
        for start in (60, 265, 480):
            before = plane(4, start, c, 494).astype(float)
            after = plane(4, start + step, c, 494 + (1 - step)).astype(float)
            assert 0 < np.abs(before - after).mean() < 0.02 * WINDOW[c]


@pytest.mark.parametrize("z", [0, 987])
def test_first_and_last_plane_are_nearly_empty(z: int) -> None:
    for c in (0, 1):
        middle, end = plane(4, 266, c, 494), plane(4, 266, c, z)
        assert np.mean(end > 60) < 0.005
        assert np.mean(middle > 60) > 0.04
        assert len(np.unique(end)) > 1  # noise, not a constant


def test_light_fades_with_depth() -> None:
    front, back = (np.percentile(plane(4, 266, 1, z), 99.5) for z in (330, 650))
    assert front > 1.1 * back


def test_membranes_are_a_good_exercise() -> None:
    """Smooth, threshold, label: some objects in every plane, not the same number everywhere."""
    counts = []
    for t in range(261, 272, 2):
        for z in (489, 494, 499):
            smooth = gaussian(plane(4, t, 1, z), 1, preserve_range=True)
            counts.append(label(smooth > threshold_otsu(smooth), connectivity=1).max())
    assert min(counts) >= 5
    assert max(counts) <= 30
    assert len(set(counts)) > 4


def test_membranes_lie_around_nuclei() -> None:
    """Inside nuclei the membrane channel is darker than in the tissue around them."""
    nuclei, membranes = plane(2, 266, 0, 494), plane(2, 266, 1, 494)
    core = nuclei > 450
    near = (gaussian((nuclei > 200).astype(float), 4) > 0.1) & (nuclei < 60)
    assert membranes[core].mean() < 0.75 * membranes[near].mean()


def test_threads_paint_the_same() -> None:
    cells_at.cache_clear()
    with ThreadPoolExecutor(4) as pool:
        painted = list(pool.map(lambda t: plane(4, t, 1, 494), [7, 8, 9, 10] * 3))
    for t, picture in zip([7, 8, 9, 10] * 3, painted, strict=True):
        assert np.array_equal(picture, plane(4, t, 1, 494))


def test_outside_the_image_is_an_error() -> None:
    for level, t, z in [(5, 0, 0), (0, 532, 0), (0, 0, 988), (-1, 0, 0)]:
        with pytest.raises(IndexError, match="outside the image"):
            embryo.paint(level, t, 0, z, 0, 1, 0, 1)


@pytest.mark.speed
@pytest.mark.parametrize(("level", "planes", "bound"), [(4, 20, 0.0075), (0, 2, 1.0)])
def test_planes_are_painted_fast(level: int, planes: int, bound: float) -> None:
    """5 ms for a small plane, with half as much again for a slow machine; the best of three."""
    rounds = []
    for _ in range(3):
        start = time.thread_time()
        for z in range(490, 490 + planes):
            plane(level, 266, 1, z)
        rounds.append((time.thread_time() - start) / planes)
    assert min(rounds) < bound, rounds
