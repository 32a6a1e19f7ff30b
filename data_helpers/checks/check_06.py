"""Checks of notebook 06, from a laptop to a cluster.

What is right is worked out from the image in hand; no result is written down here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from skimage.filters import gaussian, threshold_otsu

from .feedback import a_kind, array_of, call, check, expect, is_lazy, refuse_blanks, same

if TYPE_CHECKING:
    from distributed import Client

    from ..scale_out import BlockRun

CHANNEL = 1
MARGIN = 8.0  # micrometres


@check
def run_planes(run_planes: Any, analyze: Any, client: Client, where: Sequence[Any]) -> str:
    """Check the function that sends one task for each plane to the cluster."""
    from distributed import get_task_stream

    expect(
        client.status != "closed",
        "the cluster was closed at the end of this notebook: run the cell with connect_cluster() "
        "again, then this step.",
    )
    with get_task_stream(client=client) as ran:
        results = call(run_planes, "run_planes")
    expect(
        isinstance(results, list | tuple),
        f"run_planes should return a list of label images, not {a_kind(results)}: "
        "client.gather(futures).",
    )
    expect(
        not any(type(one).__name__ == "Future" for one in results),
        "these are futures, promises of results: client.gather(futures) fetches the results.",
    )
    expect(not is_lazy(results), "the results are lazy: submit analyze itself, not delayed(...).")
    times, depths = where
    wanted = len(times) * len(depths)
    expect(
        len(results) == wanted,
        f"there are {len(results)} results, but {wanted} planes: loop over both, for t in times "
        "for z in depths.",
    )
    expect(
        len(ran.data) >= wanted,
        "the planes were segmented, but not on the cluster: client.submit(analyze, t, 1, z) sends "
        "a call there; with analyze(t, 1, z) in the brackets it runs here.",
    )
    for number, z in ((0, depths[0]), (1, depths[1])):
        expect(
            same(array_of(results[number], "a result"), analyze(times[0], CHANNEL, z)),
            "the label images are not those of channel 1 in order: submit analyze, t, 1, z for t "
            "in times for z in depths.",
        )
    return f"{wanted} tasks ran on the cluster, and their results came back in order."


@check
def total(total: Any, results: Sequence[np.ndarray]) -> str:
    """Check the number of objects in all planes."""
    expect(
        isinstance(total, int | np.integer),
        f"total should be one whole number, not {a_kind(total)}: add up the largest labels.",
    )
    wanted = sum(int(labels.max()) for labels in results)
    expect(
        total != max(int(labels.max()) for labels in results),
        "this is the number of objects in the fullest plane: add up those of all planes.",
    )
    expect(
        total == wanted,
        "the objects of a plane are numbered from 1, so their number is the largest label: "
        "sum(labels.max() for labels in results).",
    )
    return f"{wanted} objects in {len(results)} planes."


@check
def threshold(threshold: Any, coarse: np.ndarray) -> str:
    """Check the one threshold for the whole stack."""
    expect(
        np.ndim(threshold) == 0 and np.issubdtype(np.asarray(threshold).dtype, np.number),
        f"threshold should be one number, not {a_kind(threshold)}.",
    )
    expect(
        not np.isclose(threshold, threshold_otsu(coarse)),
        "the stack was not smoothed first: threshold_otsu(gaussian(coarse, sigma=1, "
        "preserve_range=True)).",
    )
    wanted = threshold_otsu(gaussian(coarse, sigma=1, preserve_range=True))
    expect(
        np.isclose(threshold, wanted),
        "this is not Otsu's threshold of the smoothed coarse stack. Mind preserve_range=True, "
        "without which gaussian changes the scale of the pixels.",
    )
    return f"{float(threshold):.0f}, from {coarse.size:,} voxels that stand for all."


@check
def overlap(overlap: Any, voxel: Sequence[float]) -> str:
    """Check the overlap, 8 µm as whole voxels along z, y and x."""
    expect(
        isinstance(overlap, list | tuple) and len(overlap) == len(voxel),
        f"overlap should hold one number each for z, y and x, not {a_kind(overlap)}.",
    )
    expect(
        all(isinstance(number, int | np.integer) for number in overlap),
        "voxels are counted in whole numbers: round(8 / size).",
    )
    expect(
        list(overlap) != [round(MARGIN * size) for size in voxel],
        "this multiplies, but a small voxel means many of them: divide 8 µm by the size.",
    )
    expect(
        list(overlap) == [round(MARGIN / size) for size in voxel],
        "8 µm are round(8 / size) voxels, for each size in voxel.",
    )
    return f"8 µm are {overlap[0]} voxels along z, {overlap[1]} along y and {overlap[2]} along x."


@check
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


@check
def traffic(traffic: Any, level: Any, share: float) -> str:
    """Check the function for requests and terabytes of a whole level."""
    found = call(traffic, "traffic", level, share)
    expect(
        isinstance(found, tuple) and len(found) == 2,
        "traffic should return two numbers: return requests, terabytes.",
    )
    requests, terabytes = found
    refuse_blanks(requests, terabytes)
    expect(
        requests == level.nchunks,
        "one chunk is one request: level.nchunks says how many chunks the level has.",
    )
    expect(
        not np.isclose(terabytes, level.nbytes / 1e12),
        "these are uncompressed terabytes: only their share travels.",
    )
    expect(
        np.isclose(terabytes, level.nbytes * share / 1e12),
        "level.nbytes says how many bytes the level has, share of them travel, and a terabyte is "
        "1e12 bytes.",
    )
    return "one request for each chunk, and the bytes that travel, in terabytes."


@check
def price(price: Any) -> str:
    """Check the function for core hours and money."""
    planes, seconds, gigabytes, per_gb, per_hour = 7200, 2.0, 10.0, 0.5, 3.0
    found = call(price, "price", planes, seconds, gigabytes, per_gb, per_hour)
    expect(
        isinstance(found, tuple) and len(found) == 2,
        "price should return two numbers: return core_hours, dollars.",
    )
    core_hours, dollars = found
    refuse_blanks(core_hours, dollars)
    expect(not np.isclose(core_hours, planes * seconds), "these are seconds: an hour has 3600.")
    expect(
        np.isclose(core_hours, planes * seconds / 3600),
        "multiply the planes by the core seconds of one plane, and divide by 3600.",
    )
    expect(
        np.isclose(dollars, gigabytes * per_gb + core_hours * per_hour),
        "add two products: gigabytes times dollars per GB, and core hours times dollars per core "
        "hour.",
    )
    return "money is traffic plus computing."
