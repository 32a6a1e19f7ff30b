"""Checks of notebook 06, from a laptop to a cluster.

What is right is worked out from the image in hand; no result is written down here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
import pandas as pd
from skimage.filters import gaussian, threshold_otsu

from .feedback import NotYet, a_kind, array_of, call, check, expect, is_lazy, refuse_blanks, same
from .steps import Steps

if TYPE_CHECKING:
    from ..scale_out import BlockRun

STEPS = Steps("Notebook 06")
progress = STEPS.progress

CHANNEL = 1
MARGIN = 8.0  # micrometres


@check(STEPS, 1)
def planes(futures: Any, results: Any, analyze: Any, where: Sequence[Any]) -> str:
    """Check the calls sent to the cluster, one for each plane, and their gathered results."""
    times, depths = where
    wanted = len(times) * len(depths)
    expect(
        isinstance(futures, list | tuple),
        f"futures should be a list, not {a_kind(futures)}: put client.submit(analyze, t, 1, z) in "
        "square brackets, for t in times for z in depths.",
    )
    expect(
        not is_lazy(futures), "these are delayed tasks: submit analyze itself, not delayed(...)."
    )
    expect(
        not any(isinstance(one, list | tuple) for one in futures),
        "these are lists in a list: one pair of square brackets is enough, for t in times for z in "
        "depths.",
    )
    expect(
        all(_is_future(one) for one in futures),
        "the planes were segmented, but not on the cluster: client.submit(analyze, t, 1, z) sends "
        "a call there, while analyze(t, 1, z) runs here in your notebook.",
    )
    expect(
        len(futures) == wanted,
        f"there are {len(futures)} futures for {wanted} planes: loop over both, for t in times "
        "for z in depths.",
    )
    expect(
        isinstance(results, list | tuple) and not any(_is_future(one) for one in results),
        "results should be a list of label images: client.gather(futures) waits for them and "
        "brings them to you.",
    )
    for number, z in ((0, depths[0]), (1, depths[1])):
        one = array_of(results[number], "a result")
        expect(
            not same(one, analyze(times[0], 0, z)),
            "this is channel 0: submit analyze with channel 1, client.submit(analyze, t, 1, z).",
        )
        expect(
            number or same(one, analyze(times[0], CHANNEL, z)),
            "the first result isn't that of times[0] and depths[0]: submit analyze, with t, 1 and "
            "z from the loops, for t in times for z in depths.",
        )
        expect(
            same(one, analyze(times[0], CHANNEL, z)),
            "the label images aren't in order: loop over t first, for t in times for z in depths.",
        )
    total = sum(int(labels.max()) for labels in results)
    return f"{wanted} planes came back from the cluster, in order, with {total:,} objects in all."


def _is_future(one: Any) -> bool:
    return type(one).__name__ == "Future"


@check(STEPS, 2)
def threshold(threshold: Any, coarse: np.ndarray) -> str:
    """Check the one threshold for the whole stack."""
    expect(
        np.ndim(threshold) == 0 and np.issubdtype(np.asarray(threshold).dtype, np.number),
        f"threshold should be one number, not {a_kind(threshold)}.",
    )
    expect(
        threshold > 1 or coarse.max() <= 1,
        "this is a share of the largest possible value, because gaussian changed the scale of the "
        "pixels: say preserve_range=True.",
    )
    expect(
        coarse.min() < threshold < coarse.max(),
        f"{float(threshold):,.0f} is not among the values of coarse. Is it the threshold of other "
        "pixels?",
    )
    expect(
        not np.isclose(threshold, threshold_otsu(coarse)),
        "the stack was not smoothed first: threshold_otsu(gaussian(coarse, sigma=1, "
        "preserve_range=True)).",
    )
    wanted = threshold_otsu(gaussian(coarse, sigma=1, preserve_range=True))
    expect(
        np.isclose(threshold, wanted) or abs(threshold - wanted) >= 1,
        "this is close. Keep the number as it is, without rounding, and smooth with sigma=1.",
    )
    expect(
        np.isclose(threshold, wanted),
        "this is not Otsu's threshold of the smoothed coarse stack. Mind preserve_range=True, "
        "without which gaussian changes the scale of the pixels.",
    )
    return f"{float(threshold):.0f}, from {coarse.size:,} voxels that show the whole stack."


@check(STEPS, 2)
def overlap(overlap: Any, voxel: Sequence[float]) -> str:
    """Check the overlap, 8 µm as whole voxels along z, y and x."""
    expect(
        isinstance(overlap, list | tuple) and len(overlap) == len(voxel),
        f"overlap should hold one number each for z, y and x, not {a_kind(overlap)}.",
    )
    expect(
        all(isinstance(number, int | np.integer) for number in overlap),
        "you can only add whole voxels: round(8 / size).",
    )
    expect(
        list(overlap) != [round(MARGIN * size) for size in voxel],
        "this multiplies, but a small voxel means many of them: divide 8 µm by the size.",
    )
    right = [round(MARGIN / size) for size in voxel]
    expect(
        list(overlap) == right or list(overlap) != right[::-1],
        "the order is reversed: z comes first, then y and x, as in voxel.",
    )
    expect(
        list(overlap) != [2 * number for number in right],
        "this is twice as many. Dask adds the overlap on both sides by itself.",
    )
    expect(
        list(overlap) == right or overlap[0] != right[0],
        "z is right, but y and x are not: are these the sizes of another level? Divide by each "
        "size in voxel.",
    )
    expect(
        list(overlap) != [round(MARGIN)] * len(voxel),
        "these are micrometres: divide 8 µm by the size of a voxel.",
    )
    expect(
        list(overlap) == right,
        "8 µm are round(8 / size) voxels, for each size in voxel.",
    )
    expect(
        isinstance(overlap, tuple),
        "the numbers are right, but Dask takes a list for the depths of several arrays: make it a "
        "tuple, tuple(round(8 / size) for size in voxel).",
    )
    return f"8 µm are {overlap[0]} voxels along z, {overlap[1]} along y and {overlap[2]} along x."


@check(STEPS, 2)
def found(
    found: Any, blocks: Any, nuclei: Any, overlap: Sequence[int], parameters: dict[str, Any]
) -> str:
    """Check the lazy labels of two blocks, each segmented with its overlap."""
    expect(
        not any(value is ... for value in parameters.values()),
        "parameters still hold a blank: run the cell that makes two and parameters again.",
    )
    expect(
        not isinstance(found, np.ndarray),
        "this is computed already: leave out .compute(), so that Dask can work out what it needs.",
    )
    expect(
        isinstance(found, da.Array),
        f"found should be a Dask array, not {a_kind(found)}: da.map_overlap(nuclei, two, ...).",
    )
    expect(
        found.shape == blocks.shape,
        f"this has shape {found.shape}, but the box has {blocks.shape}: segment two, all of it.",
    )
    expect(found.dtype != bool, "this is a mask, true and false: keep the numbers.")
    expect(found.dtype == np.int32, f'the labels are {found.dtype}: say dtype="int32".')
    apart = blocks.map_blocks(nuclei, dtype="int32", **parameters)
    depth = tuple(overlap)
    wanted = da.map_overlap(
        nuclei, blocks, depth=depth, boundary="none", dtype="int32", **parameters
    )
    mirrored = da.map_overlap(
        nuclei, blocks, depth=depth, boundary="reflect", dtype="int32", **parameters
    )
    labels = _computed(found)
    expect(
        not same(labels, blocks.compute()),
        "these are the pixels, not labels: give map_overlap the function nuclei.",
    )
    apart, wanted, mirrored = apart.compute(), wanted.compute(), mirrored.compute()
    expect(
        labels.shape == wanted.shape,
        f"the result has shape {labels.shape}, but the box has {wanted.shape}: let map_overlap cut "
        "the overlap off again, without trim=False.",
    )
    expect(
        found.chunks == blocks.chunks,
        "these are other blocks than those of two: leave out rechunk.",
    )
    expect(
        not same(labels, apart) or same(wanted, apart),
        "each block still sees nothing but itself: da.map_overlap with depth=overlap.",
    )
    expect(
        not same(labels, mirrored) or same(wanted, mirrored),
        'the pixels at the outer border were mirrored: say boundary="none", so that nothing is '
        "added there.",
    )
    expect(
        same(labels, wanted),
        'these are other labels: da.map_overlap(nuclei, two, depth=overlap, boundary="none", '
        'dtype="int32", **parameters).',
    )
    return "each block saw its neighbour's voxels, and the result has the shape of the box."


def _computed(found: da.Array) -> np.ndarray:
    """The labels; a hint if nuclei cannot work with what it was given."""
    try:
        return np.asarray(found.compute())
    except Exception as error:
        raise NotYet(
            f"Dask called nuclei, which stopped with {type(error).__name__}: does your call end "
            "with **parameters?"
        ) from None


@check(STEPS, 4)
def objects(objects: Any, run: BlockRun) -> str:
    """Check the finished table of objects."""
    expect(
        isinstance(objects, pd.DataFrame),
        f"objects should be the table that run.finish(client) returns, not {a_kind(objects)}.",
    )
    missing = len(run.missing())
    expect(not missing, f"{missing} blocks are not done: run the cell that computes them first.")
    expect(
        "voxels" in objects,
        "this is the list of failed blocks: run.finish(client) returns the objects.",
    )
    labels = np.asarray(run.labels[:])
    expect(
        len(objects) == int(labels.max()) and objects["voxels"].sum() == np.count_nonzero(labels),
        "the table does not fit the label image: run.finish(client), with merge left as it is.",
    )
    expect(
        (objects["blocks"] > 1).any(),
        "no object lies in two blocks, so the labels were not merged: leave out merge=False.",
    )
    several = int((objects["blocks"] > 1).sum())
    return f"{len(objects)} objects, {several} of them in more than one block, each counted once."


@check(STEPS, 6)
def traffic(traffic: Any, level: Any, share: float) -> str:
    """Check the function for requests and gigabytes of a whole level."""
    found = call(traffic, "traffic", level, share)
    expect(
        isinstance(found, tuple) and len(found) == 2,
        "traffic should return two numbers: return requests, gigabytes.",
    )
    requests, gigabytes = found
    refuse_blanks(requests, gigabytes)
    expect(
        gigabytes != level.nchunks,
        "the two are swapped: return requests first, then gigabytes.",
    )
    expect(
        share == 1 or np.ndim(requests) or not np.isclose(requests, level.nchunks * share),
        "each chunk takes a whole request, however well it's compressed: share is for the bytes.",
    )
    expect(
        requests == level.nchunks,
        "one chunk is one request: level.nchunks says how many chunks the level has.",
    )
    expect(
        not np.isclose(gigabytes, level.nbytes / 1e9),
        "that's before compression: only a share of the bytes travels, so multiply by share.",
    )
    expect(
        not np.isclose(gigabytes, level.nbytes * share),
        "these are bytes: divide by 1e9 to get gigabytes.",
    )
    expect(
        not np.isclose(gigabytes, level.nbytes * share / 1e6),
        "these are megabytes: a gigabyte is 1e9 bytes.",
    )
    expect(
        not np.isclose(gigabytes, level.nbytes * share / 2**30),
        "this divides by 2 to the power of 30, but a gigabyte here is 1e9 bytes.",
    )
    expect(
        np.isclose(gigabytes, level.nbytes * share / 1e9),
        "level.nbytes times share is what travels; divide by 1e9 to get gigabytes.",
    )
    return "one request for each chunk, and the bytes that travel, in gigabytes."
