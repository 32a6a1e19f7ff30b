"""The checks of the exercises: right answers pass, wrong ones get their hint, none raises."""

import dask
import dask.array as da
import numpy as np
import pandas as pd
import pytest
from skimage.filters import gaussian, threshold_otsu
from skimage.measure import label, regionprops_table
from skimage.segmentation import clear_border
from support.checks import NOT_ANSWERED, said
from support.images import halve, write_v2

from data_helpers import open_multiscale, overlay_labels
from data_helpers.checks import answered, check_03, check_04

TIMES, DEPTHS = range(7, 17), range(9, 19)
VOXEL = (0.5, 0.36, 0.36)


def assert_hint(line, *words):
    assert line.startswith("Not yet: "), line
    for word in words:
        assert word in line


# Images, written to disk and opened like any other


@pytest.fixture(scope="module")
def movie(tmp_path_factory):
    """Blobs that differ in every plane, in two channels; times and depths may be swapped."""
    folder = tmp_path_factory.mktemp("movie")
    pixels = np.random.default_rng(3).integers(0, 1000, (24, 2, 28, 24, 26)).astype("u2")
    write_v2(folder, [pixels], {"version": "0.1"}, chunks=(8, 2, 28, 24, 26), separator=".")
    return open_multiscale(folder)


@pytest.fixture(scope="module")
def stored(movie):
    return movie.stored[0]


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """Two channels, two levels and seven boxes as labels, the last one at the border."""
    folder = tmp_path_factory.mktemp("stack")
    masks = np.zeros((1, 1, 12, 20, 24), "u4")
    corners = [(1, 2, 3), (1, 9, 3), (1, 9, 14), (7, 2, 3), (7, 2, 14), (7, 9, 3), (8, 15, 19)]
    for number, (z, y, x) in enumerate(corners):
        masks[0, 0, z : z + 4, y : y + 5, x : x + 5 + number % 3] = 900_001 + number
    pixels = np.random.default_rng(1).integers(100, 200, (1, 2, 12, 20, 24)).astype("u2")
    pixels[0, 0] += (masks[0, 0] > 0).astype("u2") * 300
    axes = [{"name": name} for name in "tczyx"]

    def scaled(*factors):
        scales = [[1, 1, VOXEL[0], VOXEL[1] * f, VOXEL[2] * f] for f in factors]
        return [{"coordinateTransformations": [{"type": "scale", "scale": s}]} for s in scales]

    version = {"version": "0.4", "axes": axes}
    write_v2(folder, halve(pixels), {**version, "datasets": scaled(1, 2)})
    write_v2(folder / "labels" / "0", [masks], {**version, "datasets": scaled(1)})
    (folder / "labels" / ".zattrs").write_text('{"labels": ["0"]}')
    return open_multiscale(folder)


def segment(plane, sigma=1, connectivity=1):
    smooth = gaussian(plane, sigma=sigma, mode="reflect", preserve_range=True)
    return label(smooth > threshold_otsu(smooth), connectivity=connectivity)


@pytest.fixture(scope="module")
def analyze(stored):
    def analyze(t, c, z):
        return segment(stored[t, c, z])

    return analyze


@pytest.fixture(scope="module")
def results(analyze):
    return tuple(analyze(t, 1, z) for t in TIMES for z in DEPTHS)


@pytest.fixture(scope="module")
def labels(results):
    return np.stack(results).reshape(10, 10, *results[0].shape)


@pytest.fixture(scope="module")
def arrays(stack):
    pixels, labels = stack.stored[0][...], stack.stored_labels(0)[...]
    return pixels, labels, pixels[0, 0], pixels[0, 1], labels[0, 0]


# The frame


def test_answered_says_that_a_cell_waits(capsys):
    assert answered(1, None, np.zeros(3))
    assert capsys.readouterr().out == ""
    assert not answered(1, ...)
    assert "Not answered yet" in capsys.readouterr().out


# Notebook 03

SLICE = (slice(TIMES[0], TIMES[-1] + 1), 1, slice(DEPTHS[0], DEPTHS[-1] + 1))


def segment_block(block):
    planes = block.reshape(-1, *block.shape[-2:])
    return np.reshape([segment(plane) for plane in planes], block.shape)


def together(array):
    block = array[SLICE]
    return np.stack([segment(plane) for row in block for plane in row]).reshape(block.shape)


def test_03_together_hints(stored, labels):
    def hint(function, *words):
        assert_hint(said(check_03.together, function, stored, labels), *words)

    def one_by_one(array):
        planes = [segment(array[t, 1, z]) for t in TIMES for z in DEPTHS]
        return np.stack(planes).reshape(labels.shape)

    def too_much(array):
        array[:]
        return labels

    def first_channel(array):
        block = array[TIMES[0] : TIMES[-1] + 1, 0, DEPTHS[0] : DEPTHS[-1] + 1]
        return np.stack([segment(plane) for row in block for plane in row]).reshape(block.shape)

    hint(lambda _: together(stored), "slice `array`, not `stored`")
    hint(one_by_one, "sliced 100 times", "one slice")
    hint(too_much, "planes are read, but 100 are wanted")
    hint(lambda array: together(array)[:, 0], "stack and reshape")
    hint(lambda array: together(array).reshape(-1, *labels.shape[2:]), "stack and reshape")
    hint(lambda array: together(array).swapaxes(0, 1), "differ from those of step 6")
    hint(first_channel, "differ from those of step 6")
    hint(lambda array: dask.delayed(together)(array), "together")
    hint(labels, "should be a function")


def test_03_right_answers(movie, stored, analyze, results, labels):
    crop = movie.levels[0][SLICE]
    per_time = crop.rechunk((1, -1, -1, -1))
    mapped = per_time.map_blocks(segment_block, dtype=labels.dtype)
    tasks = [dask.delayed(analyze)(t, 1, z) for t in TIMES for z in DEPTHS]
    plane = stored[TIMES[0], 1, DEPTHS[0]]
    place = (stored, TIMES, DEPTHS)
    for line in (
        said(check_03.planes, TIMES, DEPTHS, stored),
        said(check_03.planes, list(TIMES), np.array(DEPTHS), stored),
        said(check_03.plane, plane, *place),
        said(check_03.segment, segment, plane),
        said(check_03.analyze, analyze, *place),
        said(check_03.tasks, tasks, *place),
        said(check_03.results, dask.compute(*tasks), *place),
        said(check_03.results, list(results), *place),
        said(check_03.labels, labels, results),
        said(check_03.objects, labels.max(axis=(2, 3)), labels),
        said(check_03.crop, crop, *place),
        said(check_03.mapped, per_time, mapped, mapped.compute(), labels),
        said(check_03.together, together, stored, labels),
    ):
        assert line.startswith("Correct: "), line


@pytest.mark.parametrize(
    ("times", "depths", "words"),
    [
        (DEPTHS, TIMES, ["swapped"]),
        (range(7, 18), DEPTHS, ["times has 11 numbers", "leaves out stop"]),
        (TIMES, range(9, 14), ["depths has 5 numbers"]),
        (range(10), DEPTHS, ["times should run", "12"]),
        (TIMES, range(10, 20), ["depths should run", "shape[2]"]),
        (list(TIMES)[::-1], DEPTHS, ["times should run"]),
        ([t + 0.5 for t in TIMES], DEPTHS, ["not whole", "//"]),
        (12, DEPTHS, ["times should be a range"]),
        (TIMES, "0123456789", ["depths should be a range", "str"]),
        ([None] * 10, DEPTHS, ["times should be a range"]),
    ],
)
def test_03_planes_hints(stored, times, depths, words):
    assert_hint(said(check_03.planes, times, depths, stored), *words)


def test_03_plane_hints(movie, stored):
    def hint(plane, *words):
        assert_hint(said(check_03.plane, plane, stored, TIMES, DEPTHS), *words)

    t, z = TIMES[0], DEPTHS[0]
    hint(movie.levels[0][t, 1, z], "still lazy")
    hint(stored[t, 0, z], "first channel")
    hint(stored[z, 1, t], "time and depth are swapped")
    hint(stored[t, 0, 1], "channel is on the wrong axis")
    hint(stored[1, 0, z], "channel is on the wrong axis")
    hint(stored[t : t + 1, 1, z], "two axes", "(1, 24, 26)")
    hint(stored[t, 1, z + 2], "not the pixels")
    hint(stored[t, 1, z + 1], "plane next to")
    hint(stored[t - 1, 1, z], "plane next to")
    hint(stored[0, 1, 0], "first plane of the whole movie")
    hint(stored[t, 1, z].T, "26 × 24 pixels", "another level or image")
    hint(stored[t, 1, z][::2, ::2], "12 × 13 pixels", "at level 4")
    hint(stored[t, 1, z] / 9, "not the pixels")
    hint(stored[t, :, z], "two axes", "(2, 24, 26)")
    hint([[1, 2], [3, 4]], "NumPy array", "list")


def test_03_segment_hints(stored):
    plane = stored[TIMES[0], 1, DEPTHS[0]]
    smooth = gaussian(plane, sigma=1, mode="reflect", preserve_range=True)
    mask = smooth > threshold_otsu(smooth)
    assert segment(plane).max() != segment(plane, connectivity=2).max()  # or the test says nothing

    def hint(function, *words):
        assert_hint(said(check_03.segment, function, plane), *words)

    hint(lambda plane: label(~mask, connectivity=1), "background is labelled")
    hint(lambda plane: label(plane > threshold_otsu(plane), connectivity=1), "not smoothed")
    hint(lambda plane: segment(plane, sigma=4), "not those above the threshold")
    hint(lambda plane: segment(plane, connectivity=2), "connectivity=1")
    hint(lambda plane: mask, "gives a mask")
    hint(lambda plane: mask.astype(int), "connectivity=1")
    hint(lambda plane: smooth, "float64", "not labels")
    hint(lambda plane: segment(plane)[:-1], "like the plane")
    hint(lambda plane: da.from_array(segment(plane)), "still lazy")
    hint(lambda plane: None, "returns nothing")
    hint(lambda: segment(plane), "stopped with TypeError")
    hint(lambda plane: plane.nothing, "stopped with AttributeError")
    hint(segment(plane), "should be a function")
    hint(lambda _: segment(plane), "whatever plane it's given")
    hint(lambda plane: label(smooth > threshold_otsu(plane), connectivity=1), "mixed up")
    hint(lambda plane: label(plane > threshold_otsu(smooth), connectivity=1), "threshold of smooth")
    hint(lambda plane: segment(plane) + 1, "the background too")
    hint(lambda plane: (segment(plane) > 0).astype(int), "same number")


def test_03_analyze_hints(movie, stored, analyze):
    def hint(function, *words):
        assert_hint(said(check_03.analyze, function, stored, TIMES, DEPTHS), *words)

    t, z = TIMES[0], DEPTHS[0]
    hint(lambda t, c, z: analyze(t, 0, z), "first channel")
    hint(lambda t, c, z: analyze(z, c, t), "swapped")
    hint(lambda t, c, z: analyze(t, 1, z), "whatever c is")
    hint(lambda _, c, z: analyze(t, c, z), "whatever t is")
    hint(lambda t, c, _: analyze(t, c, z), "whatever z is")
    hint(lambda t, c, z: analyze(t + 1, c, z), "segment(stored[t, c, z])")
    hint(lambda t, c, z: movie.levels[0][t, c, z].map_blocks(segment, dtype=int), "still lazy")
    hint(lambda t, c, z: dask.delayed(analyze)(t, c, z), "still lazy")
    hint(lambda t, c, z: analyze(t, c, z).max(), "not a value of type int")
    hint(lambda t, c, z: stored[t, c, z] > 500, "gives a mask")
    hint(lambda t, c, z: stored[t, c, z], "returns the pixels")


def test_03_tasks_hints(stored, analyze):
    def hint(tasks, *words):
        assert_hint(said(check_03.tasks, tasks, stored, TIMES, DEPTHS), *words)

    delayed = dask.delayed(analyze)
    right = [delayed(t, 1, z) for t in TIMES for z in DEPTHS]
    hint(right[0], "one task")
    hint((task for task in right), "should be a list", "generator")
    hint([right[:10], right[10:]], "list of lists")
    hint([analyze(t, 1, z) for t in TIMES for z in DEPTHS[:1]], "has run already")
    hint([dask.delayed(analyze(t, 1, z)) for t in TIMES for z in DEPTHS[:1]], "has run already")
    hint(right[:10], "10 entries", "100 planes")
    hint([delayed(t, 0, z) for t in TIMES for z in DEPTHS], "first channel")
    hint([delayed(z, 1, t) for t in TIMES for z in DEPTHS], "swapped")
    hint([delayed(t, 1, z) for z in DEPTHS for t in TIMES], "another order")
    hint([delayed(t, 1, z + 1) for t in TIMES for z in DEPTHS], "times[0] and depths[0]")
    hint([(t, 1, z) for t in TIMES for z in DEPTHS], "delayed task")
    hint([delayed(t, 1, z) for t in range(10) for z in range(10)], "first plane of the whole movie")
    hint([right[0]] * 100, "first two are the same plane")
    hint([dask.delayed(stored.__getitem__)((t, 1, z)) for t in TIMES for z in DEPTHS], "the pixels")
    hint([dask.delayed(len)(3) for _ in right], "stopped with TypeError")


def test_03_results_hints(stored, analyze, results):
    def hint(answer, *words):
        assert_hint(said(check_03.results, answer, stored, TIMES, DEPTHS), *words)

    hint((list(results),), "star", "dask.compute(*tasks)")
    hint(
        [dask.delayed(analyze)(t, 1, z) for t in TIMES for z in DEPTHS],
        "nothing has been segmented",
    )
    hint(tuple(da.from_array(one) for one in results), "nothing has been segmented")
    hint(results[:50], "50 entries")
    hint(np.stack(results), "tuple")
    hint(tuple(analyze(t, 0, z) for t in TIMES for z in DEPTHS), "first channel")
    hint(tuple(analyze(t, 1, z) for z in DEPTHS for t in TIMES), "another order")
    hint(tuple(one > 0 for one in results), "gives a mask")
    hint(tuple(one.max() for one in results), "each of the results", "NumPy array")
    hint(results[:99] + results[:1], "the last one isn't")
    hint((results[0],) * 100, "first two are the same plane")


def test_03_labels_hints(results, labels):
    def hint(answer, *words):
        assert_hint(said(check_03.labels, answer, results), *words)

    hint(np.stack(results), "one long row")
    hint(labels.swapaxes(0, 1), "not aligned", "swapped")
    hint(labels[:, ::-1], "not aligned")
    hint(labels[:5], "(5, 10, 24, 26)")
    hint(da.from_array(labels), "still lazy")
    hint(list(results), "NumPy array")
    hint(labels > 0, "a mask", "keep the numbers")
    hint(labels * 2, "something else of the same shape")
    hint(np.zeros_like(labels), "something else of the same shape")


def test_03_objects_hints(labels):
    def hint(answer, *words):
        assert_hint(said(check_03.objects, answer, labels), *words)

    objects = labels.max(axis=(2, 3))
    hint(labels.max(axis=(0, 1)), "axes 2 and 3")
    hint(labels.max(), "NumPy array")
    hint(labels.max(axis=3), "shape (10, 10, 24)")
    hint(objects + 1, "one piece too many")
    hint((labels > 0).sum(axis=(2, 3)), "labelled pixels")
    hint(objects.T, "swapped")
    hint(objects + np.arange(10), "largest label")


def test_03_crop_hints(movie, stored):
    def hint(answer, *words):
        assert_hint(said(check_03.crop, answer, stored, TIMES, DEPTHS), *words)

    level = movie.levels[0]
    times, channel, depths = SLICE
    hint(stored[SLICE], "read already", "image.levels[4]")
    hint(stored, "not a value of type StoredArray")
    hint(level[times, :, depths], "channel as one number")
    hint(level[TIMES[0], channel, depths], "a range of times")
    hint(level[times, channel, depths, ::2], "have 12 × 26 pixels")
    hint(level[TIMES[0] : TIMES[-1], channel, depths], "(9, 10, 24, 26)", "leaves out its end")
    hint(level[times, 0, depths], "first channel")
    hint(level[8:18, channel, depths], "other planes")
    hint(level[times, channel, 10:20], "other planes")
    hint(None, "NoneType")
    hint(level[DEPTHS[0] : DEPTHS[-1] + 1, channel, TIMES[0] : TIMES[-1] + 1], "are swapped")
    hint(level[times, channel], "every time point or depth")
    hint(level[:, channel, depths], "every time point or depth")


def test_03_mapped_hints(movie, labels):
    crop = movie.levels[0][SLICE]
    per_time = crop.rechunk((1, -1, -1, -1))
    mapped = per_time.map_blocks(segment_block, dtype=labels.dtype)

    def hint(per_time, mapped, labels2, *words):
        assert_hint(said(check_03.mapped, per_time, mapped, labels2, labels), *words)

    hint(labels, mapped, labels, "per_time should be a Dask array")
    hint(crop, mapped, labels, "(8, 10, 24, 26)" if crop.chunksize[0] == 8 else "one time point")
    hint(per_time, labels, labels, "mapped has been computed already")
    hint(per_time, segment_block, labels, "mapped should be per_time.map_blocks")
    coarse = crop.rechunk(-1).map_blocks(segment_block, dtype=labels.dtype)
    hint(per_time, coarse, labels, "map over per_time")
    hint(per_time, mapped, mapped, "still lazy")
    hint(per_time, mapped, mapped[0].compute(), "compute all of mapped")
    hint(per_time, per_time, per_time.compute(), "these are the pixels")
    volume = per_time.map_blocks(segment, dtype=labels.dtype)
    hint(per_time, volume, volume.compute(), "across planes", "segment_block")
    other = per_time.map_blocks(lambda b: segment_block(b + b % 7), dtype=labels.dtype)
    hint(per_time, other, other.compute(), "differ from those of step 6")
    promised = per_time.map_blocks(segment_block, dtype="float64")
    hint(per_time, promised, promised.compute(), "you promised Dask float64")
    mask = mapped > 0
    hint(per_time, mask, mask.compute(), "these are masks")
    nuclei = movie.levels[0][SLICE[0], 0, SLICE[2]].rechunk((1, -1, -1, -1))
    wrong = nuclei.map_blocks(segment_block, dtype=labels.dtype)
    hint(nuclei, wrong, wrong.compute(), "other planes or another channel")


# Notebook 04


def measure(masks, *channels, spacing=VOXEL):
    both = np.stack(channels, axis=-1)
    names = ("label", "area", "intensity_mean")
    return regionprops_table(masks, intensity_image=both, properties=names, spacing=spacing)


def test_04_right_answers(stack, arrays):
    pixels, labels, lamin, dapi, masks = arrays
    outlined = overlay_labels(dapi[3], masks[3])
    filled = overlay_labels(dapi[3], masks[3], window=(0, 300), style="fill")
    measured = measure(masks, lamin, dapi)
    touches = ~np.isin(measured["label"], clear_border(masks))
    assert 0 < touches.sum() < len(touches)
    for line in (
        said(check_04.pixels, pixels, stack),
        said(check_04.labels, labels, stack),
        said(check_04.channels, lamin, dapi, masks, pixels, labels),
        said(check_04.overlay, outlined, filled, dapi, masks, 3),
        said(check_04.voxel_size, VOXEL, stack),
        said(check_04.voxel_size, np.array(VOXEL), stack),
        said(check_04.measured, measured, masks, lamin, dapi, VOXEL),
        said(check_04.measured, pd.DataFrame(measured), masks, lamin, dapi, VOXEL),
        said(check_04.touches, touches, measured, masks),
        said(check_04.touches, pd.Series(touches), pd.DataFrame(measured), masks),
    ):
        assert line.startswith("Correct: "), line


def test_04_pixels_and_labels_hints(stack, arrays):
    pixels, labels, *_ = arrays

    def hint(check, answer, *words):
        assert_hint(said(check, answer, stack), *words)

    hint(check_04.pixels, stack.levels[0], "still lazy")
    hint(check_04.pixels, stack.stored[1][...], "coarser level")
    hint(check_04.pixels, pixels[0], "keep all five axes")
    hint(check_04.pixels, np.zeros_like(pixels), "pixel values are not")
    hint(check_04.pixels, None, "NoneType")
    hint(check_04.labels, stack.stored_labels(0).lazy(), "still lazy")
    hint(check_04.labels, pixels, "this is the image")
    hint(check_04.labels, labels[0, 0], "compute all")
    hint(check_04.labels, labels.astype(float), "float64")
    hint(check_04.labels, labels + 1, "not the values")


def test_04_wrong_pixels_and_labels_are_recognised(stack, arrays):
    pixels, labels, *_ = arrays

    def hint(check, answer, *words):
        assert_hint(said(check, answer, stack), *words)

    hint(check_04.pixels, labels, "these look like labels", "uint32", "uint16")
    hint(check_04.pixels, labels[0, 0], "these look like labels")
    hint(check_04.pixels, np.concatenate([labels, labels], axis=1), "these look like labels")
    hint(check_04.pixels, labels.astype(">u4"), "these look like labels")
    hint(check_04.pixels, pixels[:, :1], "every channel and plane")
    hint(check_04.pixels, pixels[:, :, :5], "every channel and plane")
    hint(check_04.pixels, pixels[:, ::-1], "channels are in another order")
    hint(check_04.pixels, pixels[:, :, ::-1], "pixel values are not")
    hint(check_04.pixels, pixels / pixels.max(), "pixel values are not")
    hint(check_04.pixels, pixels[..., :9], "another image")
    hint(check_04.pixels, pixels[0, 0, 0], "keep all five axes")
    hint(check_04.pixels, stack.stored[0], "stored array", "nothing has been read")
    hint(check_04.pixels, stack, "NumPy array", "Multiscale")
    assert said(check_04.pixels, pixels.astype(">u2"), stack).startswith("Correct: ")

    hint(check_04.labels, pixels[:, 1:], "a channel of the image")
    hint(check_04.labels, labels > 0, "own number")
    hint(check_04.labels, (labels > 0).astype("u4"), "own number")
    hint(check_04.labels, labels.astype("u2"), "uint16 is too small", "keep uint32")
    hint(check_04.labels, labels[:, :, ::-1], "not the values")
    hint(check_04.labels, labels[..., ::2], "compute all of it")
    hint(check_04.labels, stack.stored_labels(0), "stored array")
    hint(check_04.labels, stack.label(), "Multiscale")


def test_04_channels_hints(stack, arrays):
    pixels, labels, lamin, dapi, masks = arrays

    def hint(lamin, dapi, masks, *words):
        assert_hint(said(check_04.channels, lamin, dapi, masks, pixels, labels), *words)

    hint(dapi, lamin, masks, "channels are swapped")
    hint(lamin, lamin, masks, "first channel")
    hint(dapi, dapi, masks, "not channel 0")
    hint(lamin, masks, masks, "dapi holds the labels")
    hint(lamin, dapi, dapi, "take it from labels")
    hint(lamin, dapi, lamin, "take it from labels")
    hint(masks, dapi, masks, "lamin holds the labels")
    hint(dapi, dapi, masks, "but the second channel, DAPI")
    hint(lamin, dapi, masks > 0, "keep the numbers")
    hint(lamin, dapi, labels, "5 axes")
    hint(pixels[0, :, 0], dapi, masks, "lamin has shape (2, 20, 24)")
    hint(lamin, dapi, masks[::-1], "stored labels")
    hint(lamin, stack.levels[0][0, 1], masks, "dapi is still lazy")


def test_04_overlay_hints(arrays):
    _, _, lamin, dapi, masks = arrays
    z, other = 3, 8

    def hint(outlined, filled, *words):
        assert_hint(said(check_04.overlay, outlined, filled, dapi, masks, z), *words)

    outlined = overlay_labels(dapi[z], masks[z])
    filled = overlay_labels(dapi[z], masks[z], style="fill")
    hint(filled, outlined, "two are swapped")
    hint(filled, filled, "shows no outlines")
    hint(outlined, outlined, "filled shows outlines")
    hint(overlay_labels(dapi[z], masks[other]), filled, "not aligned", "masks[z]")
    hint(overlay_labels(dapi[other], masks[z]), filled, "not aligned", "dapi[z]")
    hint(overlay_labels(lamin[z], masks[z]), filled, "DAPI channel")
    hint(outlined, overlay_labels(dapi[z], masks[other], style="fill"), "colours of filled")
    hint(outlined, overlay_labels(lamin[z], masks[z], style="fill"), "filled shows other pixels")
    hint(outlined, overlay_labels(dapi[other], masks[z], style="fill"), "other pixels")
    hint(overlay_labels(masks[z], masks[z]), filled, "grey picture is not dapi[z]")
    hint(overlay_labels(dapi[other], masks[other]), filled, "not aligned")
    hint(dapi[z], filled, "outlined has shape")
    hint(outlined, None, "filled should be")


def test_04_voxel_size_hints(stack):
    def hint(answer, *words):
        assert_hint(said(check_04.voxel_size, answer, stack), *words)

    hint(stack.scales[0], "leave out the first two")
    hint((1, 1, 1), "every size is 1")
    hint(stack.scales[1][2:], "coarser level")
    hint(VOXEL[::-1], "order is reversed")
    hint(VOXEL[:2], "not 2")
    hint((0.5, 0.5, 0.5), "not the z, y and x scales")
    hint(0.5, "tuple of three numbers", "float")
    hint("0.5", "tuple of three numbers", "str")
    hint(stack.axes[2:], "names of axes or units")
    hint((None, None, None), "names of axes or units")
    hint(stack.scales, "several levels", "scales[0]")
    hint(stack.scales[0][:3], "along t, c and z", "[2:]")
    hint([1000 * size for size in VOXEL], "nanometres")
    hint(stack.stored[0].shape[2:], "how many voxels")


def test_04_measured_hints(arrays):
    _, _, lamin, dapi, masks = arrays

    def hint(answer, *words):
        assert_hint(said(check_04.measured, answer, masks, lamin, dapi, VOXEL), *words)

    names = ("label", "area", "intensity_mean")
    one = regionprops_table(masks, intensity_image=dapi, properties=names, spacing=VOXEL)
    hint(one, "only one channel")
    hint(measure(masks, lamin, dapi, spacing=None), "numbers of voxels")
    hint(measure(masks, lamin, dapi, spacing=(*VOXEL[::-1][:2], 0.9)), "spacing takes")
    hint(measure(masks, dapi, lamin), "channels are swapped")
    hint(measure(masks, lamin, dapi * 2), "not those of lamin and dapi")
    hint(measure(masks[:6], lamin[:6], dapi[:6]), "measure the whole stack")
    hint(measure(masks + 1, lamin, dapi), "rows")
    hint({**measure(masks, lamin, dapi), "label": [0] * 7}, "background")
    hint({"label": [1]}, "no area")
    hint([1, 2, 3], "dictionary", "list")


def test_04_other_things_measured_are_recognised(arrays):
    _, _, lamin, dapi, masks = arrays

    def hint(answer, *words):
        assert_hint(said(check_04.measured, answer, masks, lamin, dapi, VOXEL), *words)

    hint(measure(masks, lamin, lamin), "same channel was measured twice")
    hint(measure(masks, dapi, dapi), "same channel was measured twice")
    hint(measure(masks, lamin, dapi, masks), "three channels were measured")
    hint(measure((masks > 0).astype("u4"), lamin, dapi), "all nuclei were measured as one")
    hint(measure(masks, masks, dapi), "stack the two unchanged")


def test_04_touches_hints(arrays):
    _, _, lamin, dapi, masks = arrays
    measured = measure(masks, lamin, dapi)
    inside = np.isin(measured["label"], clear_border(masks))

    def hint(answer, *words):
        assert_hint(said(check_04.touches, answer, measured, masks), *words)

    hint(inside, "other way round")
    hint(~inside[:-1], "one true or false")
    hint((~inside).astype(int), "true and false")
    hint(np.isin(measured["label"], masks[0]), "six faces")
    hint(np.ones_like(inside), "wrong nuclei")
    hint(clear_border(masks), "shape (12, 20, 24)")


# Whatever they are fed


class Hostile:
    """Nothing that Python asks of it works."""

    def fail(self, *_):
        raise RuntimeError("no")

    __repr__ = __str__ = __len__ = __iter__ = __eq__ = __getitem__ = __array__ = __bool__ = fail
    __call__ = __contains__ = fail
    __hash__ = None


class Unspeakable(Exception):
    def __str__(self):
        raise RuntimeError("no message")


def broken(*_):
    raise Unspeakable


NONSENSE = [
    None,
    "membranes",
    b"",
    0,
    float("nan"),
    [],
    [None] * 100,
    [[1, 2], [3]],
    {},
    {"label": None},
    range(3),
    np.array(5),
    np.zeros(0),
    np.full((24, 26), np.nan),
    np.full((10, 10, 24, 26), np.nan),
    np.array([None, "a", Hostile], dtype=object),
    da.zeros((24, 26)),
    dask.delayed(broken)(),
    [dask.delayed(broken)()] * 100,
    pd.DataFrame({"label": ["a"], "area": ["b"], "intensity_mean-0": 1, "intensity_mean-1": 1}),
    broken,
    len,
    lambda *_: Hostile(),
    int,
    Hostile(),
    [Hostile()] * 100,
    (n for n in range(10)),
]


def sound_calls(stack, stored, analyze, results, labels, arrays):
    """Each check with right answers, and how many of its arguments are answers."""
    pixels, stack_labels, lamin, dapi, masks = arrays
    plane, place = stored[TIMES[0], 1, DEPTHS[0]], (stored, TIMES, DEPTHS)
    measured = measure(masks, lamin, dapi)
    tasks = [dask.delayed(analyze)(t, 1, z) for t in TIMES for z in DEPTHS]
    picture = overlay_labels(dapi[3], masks[3])
    crop = stored.lazy()[SLICE]
    per_time = crop.rechunk((1, -1, -1, -1))
    mapped = per_time.map_blocks(segment_block, dtype=labels.dtype)
    return [
        (check_03.planes, (TIMES, DEPTHS, stored)),
        (check_03.plane, (plane, *place)),
        (check_03.segment, (segment, plane)),
        (check_03.analyze, (analyze, *place)),
        (check_03.tasks, (tasks, *place)),
        (check_03.results, (results, *place)),
        (check_03.labels, (labels, results)),
        (check_03.objects, (labels.max(axis=(2, 3)), labels)),
        (check_03.crop, (crop, *place)),
        (check_03.mapped, (per_time, mapped, labels, labels)),
        (check_03.together, (together, stored, labels)),
        (check_04.pixels, (pixels, stack)),
        (check_04.labels, (stack_labels, stack)),
        (check_04.channels, (lamin, dapi, masks, pixels, stack_labels)),
        (check_04.overlay, (picture, picture, dapi, masks, 3)),
        (check_04.voxel_size, (VOXEL, stack)),
        (check_04.measured, (measured, masks, lamin, dapi, VOXEL)),
        (check_04.touches, (measured["label"] > 0, measured, masks)),
    ]


@pytest.fixture
def calls(stack, stored, analyze, results, labels, arrays):
    return sound_calls(stack, stored, analyze, results, labels, arrays)


def test_every_check_is_tried(calls):
    public = {
        function
        for module in (check_03, check_04)
        for function in vars(module).values()
        if hasattr(function, "__wrapped__") and function.__module__ == module.__name__
    }
    assert {check for check, _ in calls} == public


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
@pytest.mark.parametrize("nonsense", NONSENSE, ids=lambda value: type(value).__name__)
def test_checks_survive_nonsense_in_any_place(calls, nonsense):
    for check, arguments in calls:
        for place in range(len(arguments)):
            line = said(check, *arguments[:place], nonsense, *arguments[place + 1 :])
            assert line.startswith(("Not yet: ", "Correct: ")), line
            assert place > 0 or line.startswith("Not yet: "), (check.__name__, line)


def test_checks_survive_a_wrong_number_of_arguments(calls):
    for check, arguments in calls:
        assert_hint(said(check))
        assert_hint(said(check, *arguments, None), "TypeError")


def test_a_blank_in_any_place_is_not_answered_yet(calls):
    for check, arguments in calls:
        for place in range(len(arguments)):
            assert said(check, *arguments[:place], ..., *arguments[place + 1 :]) == NOT_ANSWERED


def test_a_function_that_returns_a_blank_is_not_answered_yet(stored):
    plane = stored[TIMES[0], 1, DEPTHS[0]]
    assert said(check_03.segment, lambda plane: ..., plane) == NOT_ANSWERED
    assert said(check_03.analyze, lambda t, c, z: ..., stored, TIMES, DEPTHS) == NOT_ANSWERED
