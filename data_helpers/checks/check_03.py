"""Checks of notebook 03, segment planes in parallel.

What is right is worked out from the image in hand; no result is written down here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dask.array as da
import numpy as np
from dask.delayed import Delayed
from skimage.filters import gaussian, threshold_otsu
from skimage.measure import label

from ..stored_array import StoredArray
from .feedback import a_kind, array_of, call, check, expect, is_lazy, same
from .steps import Steps

STEPS = Steps("Notebook 03")
progress = STEPS.progress

CHANNEL = 1
EACH_SIDE = 5
T, Z = 0, 2
NEXT = ((1, 0), (-1, 0), (0, 1), (0, -1))  # steps in time and depth to a neighbour


@check(STEPS, 1)
def planes(times: Any, depths: Any, stored: StoredArray) -> str:
    """Check the time points and depths that were chosen: five on each side of the middle."""
    chosen = {"times": _numbers(times, "times"), "depths": _numbers(depths, "depths")}
    wanted = {"times": _middle(stored, T), "depths": _middle(stored, Z)}
    expect(
        (chosen["times"], chosen["depths"]) != (wanted["depths"], wanted["times"]),
        "times and depths are swapped: axis 0 is time, axis 2 is depth (t, c, z, y, x).",
    )
    for (name, numbers), axis in zip(chosen.items(), (T, Z), strict=True):
        middle = stored.shape[axis] // 2
        expect(
            len(numbers) == 2 * EACH_SIDE,
            f"{name} has {len(numbers)} numbers, but {2 * EACH_SIDE} are wanted. Remember that "
            "range(start, stop) leaves out stop.",
        )
        expect(
            numbers == wanted[name],
            f"{name} should run from middle - {EACH_SIDE} up to, not including, middle + "
            f"{EACH_SIDE}, where middle is half of stored.shape[{axis}], {middle}.",
        )
    return (
        f"{len(chosen['times'])} time points × {len(chosen['depths'])} depths make "
        f"{len(chosen['times']) * len(chosen['depths'])} planes around the middle."
    )


@check(STEPS, 2)
def plane(plane: Any, stored: StoredArray, times: Sequence[int], depths: Sequence[int]) -> str:
    """Check that one plane was read: first time point, second channel, first depth."""
    t, z = times[0], depths[0]
    pixels = array_of(plane, "plane")
    expect(
        pixels.ndim == 2,
        f"one plane has two axes (y, x), but yours has shape {pixels.shape}: give one number each "
        "for t, c and z.",
    )
    expect(
        pixels.shape == stored.shape[-2:],
        f"this plane has {pixels.shape[0]} × {pixels.shape[1]} pixels, but at level 4 a plane has "
        f"{stored.shape[-2]} × {stored.shape[-1]}: is it from another level or image? Index "
        "stored.",
    )
    wanted = stored[t, CHANNEL, z]
    expect(
        not same(pixels, stored[t, 0, z]),
        "this is the first channel, the nuclei. Counting starts at 0, so the second channel is 1.",
    )
    expect(
        not _reads(pixels, stored, z, CHANNEL, t),
        "time and depth are swapped: the axes are stored as t, c, z, y, x.",
    )
    expect(
        not _reads(pixels, stored, CHANNEL, 0, z) and not _reads(pixels, stored, t, 0, CHANNEL),
        "the channel is on the wrong axis: the order is t, c, z, y, x.",
    )
    expect(
        same(pixels, wanted) or not same(pixels, stored[0, CHANNEL, 0]),
        "this is the first plane of the whole movie: begin at the planes that you chose, with "
        "times[0] and depths[0].",
    )
    expect(
        same(pixels, wanted)
        or not any(_reads(pixels, stored, t + dt, CHANNEL, z + dz) for dt, dz in NEXT),
        "this is the plane next to the one that's wanted: index with times[0] and depths[0].",
    )
    expect(
        same(pixels, wanted),
        "these are not the pixels of the first time point, second channel and first depth that "
        "you chose: index with times[0], 1 and depths[0].",
    )
    return "one plane is one chunk, so you have read one object from the store."


@check(STEPS, 3)
def segment(segment: Any, plane: np.ndarray) -> str:
    """Check the function that turns the pixels of one plane into labels."""
    found = _labels_of(call(segment, "segment", plane), "segment", plane.shape)
    smooth = gaussian(plane, sigma=1, mode="reflect", preserve_range=True)
    mask = smooth > threshold_otsu(smooth)
    expect(
        (found == 0).any() or mask.all(),
        "every pixel is labelled, the background too: label(mask) gives it 0, so leave the numbers "
        "as they are.",
    )
    expect(
        not _agree(found > 0, ~mask),
        "the background is labelled instead of the membranes. They are brighter than the "
        "threshold: smooth > threshold_otsu(smooth).",
    )
    expect(
        not _agree(found > 0, plane > threshold_otsu(plane)) or _agree(found > 0, mask),
        "the plane was not smoothed before the threshold: find the threshold of smooth, and "
        "compare smooth with it.",
    )
    mixed = (smooth > threshold_otsu(plane), plane > threshold_otsu(smooth))
    expect(
        _agree(found > 0, mask) or not any(_agree(found > 0, other) for other in mixed),
        "plane and smooth are mixed up: find the threshold of smooth, and compare smooth with it.",
    )
    expect(
        _agree(found > 0, mask),
        "the labelled pixels are not those above the threshold: smooth with gaussian(plane, "
        'sigma=1, mode="reflect", preserve_range=True), then keep smooth > '
        "threshold_otsu(smooth).",
    )
    expect(
        _count(found) > 1 or label(mask, connectivity=1).max() < 2,
        "all pieces have the same number: label(mask, connectivity=1) gives each its own.",
    )
    expect(
        _count(found) == label(mask, connectivity=1).max(),
        "pieces are joined across corners, or not numbered one by one: use label(mask, "
        "connectivity=1), where pixels must share an edge to belong together.",
    )
    turned = array_of(call(segment, "segment", plane[::-1]), "segment")
    expect(
        _agree(turned > 0, mask[::-1]),
        "segment gives the same labels whatever plane it's given: use its argument in every line.",
    )
    return f"{_count(found)} pieces of membrane, numbered from 1; 0 is background."


@check(STEPS, 4)
def analyze(analyze: Any, stored: StoredArray, times: Sequence[int], depths: Sequence[int]) -> str:
    """Check the function that reads one plane and labels it."""
    (t, other_t), (z, other_z) = (times[0], times[-1]), (depths[0], depths[-1])
    shape = stored.shape[-2:]
    found = _labels_of(call(analyze, "analyze", t, CHANNEL, z), "analyze", shape)
    truth = _truth(stored, t, CHANNEL, z)
    expect(
        not same(found, stored[t, CHANNEL, z]),
        "analyze returns the pixels: give them to segment, and return what it finds.",
    )
    expect(
        same(found, truth) or not same(found, _truth(stored, t, 0, z)),
        "analyze labels the first channel although c is 1: use the argument c.",
    )
    expect(
        same(found, truth) or not same(found, _truth(stored, z, CHANNEL, t)),
        "time and depth are swapped: the axes are stored as t, c, z, y, x.",
    )
    expect(same(found, truth), "analyze(t, c, z) should return segment(stored[t, c, z]).")
    for name, at in (
        ("t", (other_t, CHANNEL, z)),
        ("c", (t, 0, z)),
        ("z", (t, CHANNEL, other_z)),
    ):
        expect(
            same(call(analyze, "analyze", *at), _truth(stored, *at)),
            f"analyze gives the same labels whatever {name} is: use its argument {name}, not a "
            "fixed plane.",
        )
    return "each call reads its own plane, so many can run at the same time."


@check(STEPS, 5)
def tasks(tasks: Any, stored: StoredArray, times: Sequence[int], depths: Sequence[int]) -> str:
    """Check the list of delayed tasks, one for each plane, times outermost."""
    expect(
        not isinstance(tasks, Delayed),
        "this is one task: make a list of them, [... for t in times for z in depths].",
    )
    expect(
        isinstance(tasks, list | tuple),
        f"tasks should be a list, not {a_kind(tasks)}: put the loop in square brackets.",
    )
    expect(
        not any(isinstance(task, list) for task in tasks),
        "tasks is a list of lists: write both loops in one pair of brackets, "
        "[... for t in times for z in depths].",
    )
    done = any(isinstance(task, np.ndarray) or _wraps_array(task) for task in tasks)
    expect(
        not done,
        "analyze has run already: delayed(analyze(...)) calls it at once. Write "
        "delayed(analyze)(t, 1, z), which only promises to call it later.",
    )
    expect(
        all(isinstance(task, Delayed) for task in tasks),
        "each entry should be a delayed task: delayed(analyze)(t, 1, z).",
    )
    _expect_number(tasks, times, depths, "tasks")
    first, second = (call(task.compute, "a task") for task in tasks[:2])
    expect(
        not same(first, _truth(stored, times[0], 0, depths[0])),
        "the tasks read the first channel: the second is c = 1.",
    )
    expect(
        not same(first, _truth(stored, depths[0], CHANNEL, times[0])),
        "t and z are swapped in the call: analyze(t, 1, z).",
    )
    _expect_order(first, second, stored, times, depths)
    return f"{len(tasks)} tasks, and none of them has read a pixel yet."


@check(STEPS, 6)
def results(results: Any, stored: StoredArray, times: Sequence[int], depths: Sequence[int]) -> str:
    """Check what one `dask.compute` returned: one array of labels for each plane."""
    expect(
        isinstance(results, list | tuple),
        f"results should be the tuple that dask.compute returns, not {a_kind(results)}.",
    )
    expect(
        not (len(results) == 1 and isinstance(results[0], list | tuple)),
        "dask.compute was given one list, so it returned a tuple that holds one list. Unpack the "
        "tasks with a star: dask.compute(*tasks).",
    )
    expect(
        not is_lazy(results),
        "the results are still lazy: nothing has been segmented. dask.compute(*tasks) runs the "
        "tasks, and analyze must not return a Dask array.",
    )
    _expect_number(results, times, depths, "results")
    shape = stored.shape[-2:]
    first, second = (_labels_of(one, "each of the results", shape) for one in results[:2])
    expect(
        not same(first, _truth(stored, times[0], 0, depths[0])),
        "these are labels of the first channel: the second is c = 1.",
    )
    _expect_order(first, second, stored, times, depths)
    expect(
        same(results[-1], _truth(stored, times[-1], CHANNEL, depths[-1])),
        "the first planes are right, but the last one isn't that of times[-1] and depths[-1]: "
        "compute the tasks of step 5, all of them.",
    )
    return f"{len(results)} label images, computed by one call."


@check(STEPS, 6)
def labels(labels: Any, results: Sequence[np.ndarray]) -> str:
    """Check the labels of all planes as one array of shape (times, depths, y, x)."""
    stacked = array_of(labels, "labels")
    side = 2 * EACH_SIDE
    shape = (side, side, *results[0].shape)
    expect(
        stacked.shape != (side * side, *results[0].shape),
        f"the planes are in one long row, shape {stacked.shape}: reshape to {shape}.",
    )
    expect(stacked.dtype != bool, "labels is a mask, true and false: keep the numbers.")
    expect(stacked.shape == shape, f"labels has shape {stacked.shape}, but {shape} is wanted.")
    expect(
        same(stacked[0, 1], results[1]) or not same(stacked[1, 0], results[1]),
        "the labels are not aligned with their planes: time and depth are swapped. The tasks run "
        "through all depths of the first time point first.",
    )
    expect(
        any(same(stacked[0, 0], one) for one in results),
        "these are not the labels in results, but something else of the same shape: np.stack("
        "results).",
    )
    expect(
        same(stacked.reshape(-1, *shape[2:]), np.stack(results)),
        "the labels are not aligned with their planes: stack them first, then reshape.",
    )
    return "labels[i, j] belongs to times[i] and depths[j]."


@check(STEPS, 7)
def objects(objects: Any, labels: np.ndarray) -> str:
    """Check the number of objects in each plane, shape (times, depths)."""
    counted = array_of(objects, "objects")
    truth = labels.max(axis=(2, 3))
    expect(
        counted.shape != labels.shape[2:],
        "the planes were reduced instead of the pixels: axes 2 and 3 are y and x.",
    )
    expect(
        counted.shape == truth.shape,
        f"objects has shape {counted.shape}, but one number per plane makes {truth.shape}.",
    )
    expect(
        not same(counted, truth + 1),
        "every plane has one piece too many: 0 is the background, not a piece.",
    )
    expect(
        not same(counted, (labels > 0).sum(axis=(2, 3))),
        "these are labelled pixels, not pieces: pieces are numbered from 1, so the largest label "
        "of a plane says how many there are.",
    )
    expect(
        same(counted, truth) or not same(counted, truth.T),
        "time and depth are swapped: objects[i, j] should belong to times[i] and depths[j].",
    )
    expect(same(counted, truth), "the numbers differ: take the largest label of each plane.")
    return f"{int(truth.sum()):,} pieces of membrane in {truth.size} planes."


@check(STEPS, 8)
def crop(crop: Any, stored: StoredArray, times: Sequence[int], depths: Sequence[int]) -> str:
    """Check the planes as a lazy array of shape (times, depths, y, x)."""
    expect(
        not isinstance(crop, np.ndarray),
        "the pixels have been read already: stored reads when you index it. Slice "
        "image.levels[4], which is a Dask array.",
    )
    expect(
        isinstance(crop, da.Array),
        f"crop should be a slice of image.levels[4], not {a_kind(crop)}.",
    )
    shape = (len(times), len(depths), *stored.shape[-2:])
    expect(
        crop.ndim == 4,
        f"crop has shape {crop.shape}, but {shape} is wanted: give a range of times, the channel "
        "as one number, 1, and a range of depths.",
    )
    expect(
        crop.shape[2:] == shape[2:],
        f"the planes have {crop.shape[2]} × {crop.shape[3]} pixels, but at level 4 they have "
        f"{shape[2]} × {shape[3]}: slice image.levels[4], and only t, c and z.",
    )
    whole = (stored.shape[T], stored.shape[Z])
    expect(
        crop.shape[0] != whole[0] and crop.shape[1] != whole[1],
        f"crop has shape {crop.shape}, with every time point or depth of the movie: give a range "
        "for both.",
    )
    expect(
        crop.shape == shape,
        f"crop has shape {crop.shape}, but {shape} is wanted. A slice leaves out its end, so add "
        "1 to the last time point and to the last depth.",
    )
    pixels = crop[0, 0].compute()
    expect(
        not same(pixels, stored[times[0], 0, depths[0]]),
        "this is the first channel, the nuclei. Counting starts at 0, so the second channel is 1.",
    )
    expect(
        not _reads(pixels, stored, depths[0], CHANNEL, times[0]),
        "time and depth are swapped: the axes are stored as t, c, z, y, x.",
    )
    last = (crop[-1, -1].compute(), stored[times[-1], CHANNEL, depths[-1]])
    expect(
        same(pixels, stored[times[0], CHANNEL, depths[0]]) and same(*last),
        "these are other planes than in step 6: begin at times[0] and depths[0].",
    )
    return f"{shape[0] * shape[1]} planes as a Dask array of {crop.npartitions} chunks."


@check(STEPS, 8)
def mapped(per_time: Any, mapped: Any, labels2: Any, labels: np.ndarray) -> str:
    """Check labels that `map_blocks` made: chunks of one time point, the dtype, the labels."""
    expect(
        isinstance(per_time, da.Array),
        f"per_time should be a Dask array, crop.rechunk(...), not {a_kind(per_time)}.",
    )
    wanted = (1, *labels.shape[1:])
    expect(
        per_time.shape == labels.shape and per_time.chunksize == wanted,
        f"the blocks of per_time have shape {per_time.chunksize}, but {wanted} is wanted, one time "
        "point each: crop.rechunk((1, -1, -1, -1)).",
    )
    expect(
        not isinstance(mapped, np.ndarray),
        "mapped has been computed already: leave .compute() to labels2.",
    )
    expect(
        isinstance(mapped, da.Array),
        f"mapped should be per_time.map_blocks(...), not {a_kind(mapped)}.",
    )
    expect(
        mapped.chunks == per_time.chunks,
        f"the blocks of mapped have shape {mapped.chunksize}, those of per_time {wanted}: map "
        "over per_time.",
    )
    found = array_of(labels2, "labels2")
    expect(
        found.shape == labels.shape,
        f"labels2 has shape {found.shape}, but {labels.shape} is wanted: compute all of mapped.",
    )
    pixels = per_time[:1].compute()
    expect(
        not same(found[:1], pixels),
        "these are the pixels, not labels: map a function, segment_block, over per_time.",
    )
    expect(
        same(found, labels) or not same(found[:1], _segment(pixels)),
        "segment was given a whole block, so it smoothed and joined across planes: map "
        "segment_block, which goes through the planes one by one.",
    )
    expect(found.dtype != bool, "these are masks, true and false: map segment_block.")
    expect(
        same(found, labels) or not same(found[0, 0], _segment(pixels[0, 0])),
        "these are the labels of other planes or another channel: make per_time of crop.",
    )
    expect(same(found, labels), "the labels differ from those of step 6: map segment_block.")
    expect(
        mapped.dtype == found.dtype,
        f"you promised Dask {mapped.dtype}, but the labels are {found.dtype}: dtype=labels.dtype.",
    )
    return f"the same labels from {per_time.npartitions} blocks, without stacking or reshaping."


@check(STEPS, 9)
def together(together: Any, stored: StoredArray, labels: np.ndarray) -> str:
    """Check the function that reads all planes by one slice and labels them by tasks."""
    noted = _Noted(stored)
    found = array_of(call(together, "together", noted), "what together(stored) returns")
    planes = labels.shape[0] * labels.shape[1]
    expect(
        noted.shapes != [],
        "together reads nothing from its argument: slice `array`, not `stored`.",
    )
    expect(
        len(noted.shapes) < planes,
        f"the array is sliced {len(noted.shapes)} times, so requests wait for one another. Use "
        "one slice for all: array[times[0] : times[-1] + 1, 1, depths[0] : depths[-1] + 1].",
    )
    read = sum(int(np.prod(shape[:-2])) for shape in noted.shapes)
    expect(
        read == planes,
        f"{read} planes are read, but {planes} are wanted: give a range for times and for depths, "
        "and the channel as one number, 1.",
    )
    expect(
        found.shape == labels.shape,
        f"the labels have shape {found.shape}, but {labels.shape} is wanted: stack and reshape.",
    )
    expect(
        same(found, labels),
        "the labels differ from those of step 6: compute segment for each plane of the block, in "
        "the order times, depths.",
    )
    return f"the same labels, and {planes} planes came with {_times(len(noted.shapes))}."


class _Noted:
    """A stored array that notes the shape of each part that is read."""

    def __init__(self, stored: StoredArray) -> None:
        self._stored = stored
        self.shapes: list[tuple[int, ...]] = []

    def __getitem__(self, selection: Any) -> np.ndarray:
        pixels = self._stored[selection]
        self.shapes.append(pixels.shape)
        return pixels

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stored, name)


def _times(count: int) -> str:
    return "one slice" if count == 1 else f"{count} slices"


def _numbers(answer: Any, name: str) -> list[int]:
    """The whole numbers in a range, list or array."""
    hint = f"{name} should be a range of whole numbers such as range(0, 10)"
    expect(not isinstance(answer, str | bytes | dict), f"{hint}, not {a_kind(answer)}.")
    try:
        numbers = [int(number) for number in answer if int(number) == number]
    except (TypeError, ValueError, OverflowError):
        expect(False, f"{hint}, not {a_kind(answer)}.")
    expect(len(numbers) == len(answer), f"{hint}: it holds numbers that are not whole (use //).")
    return numbers


def _middle(stored: StoredArray, axis: int) -> list[int]:
    middle = stored.shape[axis] // 2
    return list(range(middle - EACH_SIDE, middle + EACH_SIDE))


def _reads(pixels: np.ndarray, stored: StoredArray, *at: int) -> bool:
    """Tell whether the pixels are those at a position, which may lie outside the image."""
    inside = all(0 <= n < size for n, size in zip(at, stored.shape, strict=False))
    return inside and same(pixels, stored[at])


def _segment(plane: np.ndarray) -> np.ndarray:
    smooth = gaussian(plane, sigma=1, mode="reflect", preserve_range=True)
    return np.asarray(label(smooth > threshold_otsu(smooth), connectivity=1))


def _truth(stored: StoredArray, t: int, c: int, z: int) -> np.ndarray | None:
    """Labels of one plane, or None where the position lies outside the image."""
    inside = t < stored.shape[T] and z < stored.shape[Z]
    return _segment(stored[t, c, z]) if inside else None


def _labels_of(found: Any, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """A label image of one plane; a hint if it is a mask, an image, or something else."""
    array = array_of(found, name)
    expect(
        array.shape == shape,
        f"{name} should give labels of shape {shape}, like the plane, not {array.shape}.",
    )
    expect(array.dtype != bool, f"{name} gives a mask, true and false: number its parts, label().")
    expect(
        np.issubdtype(array.dtype, np.integer),
        f"{name} gives {array.dtype} pixels, not labels: labels are whole numbers from label().",
    )
    return array


def _count(labels: np.ndarray) -> int:
    return int(np.count_nonzero(np.unique(labels)))


def _agree(mask: np.ndarray, other: np.ndarray) -> bool:
    """Tell whether two masks agree in 99 of 100 pixels."""
    return bool(np.mean(mask == other) > 0.99)


def _wraps_array(task: Any) -> bool:
    return isinstance(task, Delayed) and str(task.key).startswith("ndarray")


def _expect_number(
    answer: Sequence[Any], times: Sequence[int], depths: Sequence[int], name: str
) -> None:
    wanted = len(times) * len(depths)
    expect(
        len(answer) == wanted,
        f"{name} has {len(answer)} entries, but {len(times)} times and {len(depths)} depths make "
        f"{wanted} planes: loop over both, for t in times for z in depths.",
    )


def _expect_order(
    first: np.ndarray,
    second: np.ndarray,
    stored: StoredArray,
    times: Sequence[int],
    depths: Sequence[int],
) -> None:
    """A hint unless the second plane is the next depth at the same time."""
    expect(
        not same(first, stored[times[0], CHANNEL, depths[0]]),
        "these are the pixels of the planes, not labels: call analyze, not only stored.",
    )
    expect(
        same(first, _truth(stored, times[0], CHANNEL, depths[0]))
        or not same(first, _truth(stored, 0, CHANNEL, 0)),
        "this begins with the first plane of the whole movie: loop over the times and depths that "
        "you chose, for t in times for z in depths.",
    )
    expect(
        not same(first, second) or same(second, _truth(stored, times[0], CHANNEL, depths[1])),
        "the first two are the same plane: use the t and z of the loops, analyze(t, 1, z).",
    )
    expect(
        same(first, _truth(stored, times[0], CHANNEL, depths[0])),
        "the first plane's labels are not those of times[0] and depths[0]: call analyze(t, 1, z) "
        "for t in times for z in depths.",
    )
    expect(
        same(second, _truth(stored, times[0], CHANNEL, depths[1])),
        "the planes come in another order: loop over t first, then z, as in for t in times for z "
        "in depths.",
    )
