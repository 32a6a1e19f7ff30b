"""What the package takes from other packages that they do not promise to keep.

When an upgrade of Dask or Zarr breaks something, these tests say in a sentence what, and where to
mend it: `data_helpers/_compat.py`.
"""

import asyncio
import importlib
import threading

import dask
import dask.array as da
import numpy as np
import pytest
import zarr
from dask.highlevelgraph import HighLevelGraph
from support.images import BLOSC, noise

from data_helpers import _compat

MEND = "see data_helpers/_compat.py, which says what it stands in for"


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("dask._task_spec", "GraphNode"),
        ("dask._task_spec", "Task"),
        ("dask._task_spec", "TaskRef"),
        ("dask.array.slicing", "normalize_index"),
        ("zarr.core.sync", "_get_loop"),
    ],
)
def test_the_private_name_is_still_there(module, name):
    package = module.partition(".")[0]
    version = importlib.import_module(package).__version__
    try:
        found = hasattr(importlib.import_module(module), name)
    except ImportError:
        found = False
    assert found, f"{package} {version} has no {module}.{name} any more: {MEND}"


def test_a_graph_of_tasks_is_computed():
    """`lazy.ReadChunks` makes such tasks."""
    read = _compat.Task(("read", 0), lambda number: [number, number + 1], 3)
    graph = {("read", 0): read}
    for at in range(2):
        take = _compat.Task(("block", at), list.__getitem__, _compat.TaskRef(("read", 0)), at)
        assert take.dependencies == {("read", 0)}, f"Dask's tasks name what they need anew: {MEND}"
        graph["block", at] = take
    found = dask.get(
        HighLevelGraph({"block": graph}, {"block": set()}), [("block", 0), ("block", 1)]
    )
    assert tuple(found) == (3, 4), f"Dask {dask.__version__} computes tasks otherwise: {MEND}"


@pytest.mark.parametrize(
    ("index", "normal"),
    [
        ((..., -1), (slice(None), slice(None), 4)),
        ((1, None, slice(0, 2)), (1, None, slice(None, 2), slice(None))),
        (([2, 0],), ([2, 0], slice(None), slice(None))),
    ],
)
def test_an_index_is_completed_for_a_shape(index, normal):
    found = _compat.normalize_index(index, (3, 4, 5))
    same = list(map(str, found)) == [str(np.array(b) if isinstance(b, list) else b) for b in normal]
    assert same, f"Dask {dask.__version__} completes an index otherwise ({found}): {MEND}"
    pixels = noise(3, 4, 5)
    expected = da.from_array(pixels)[index].compute()
    np.testing.assert_array_equal(pixels[tuple(found)], expected)


def test_the_event_loop_of_zarr_runs_in_a_thread_of_its_own():
    async def where():
        return threading.current_thread()

    loop = _compat.event_loop()
    assert loop.is_running(), f"the event loop of Zarr {zarr.__version__} does not run: {MEND}"
    thread = asyncio.run_coroutine_threadsafe(where(), loop).result(10)
    assert thread is not threading.current_thread()
    assert _compat.event_loop() is loop, f"Zarr {zarr.__version__} has several event loops: {MEND}"


class Counting(zarr.storage.MemoryStore):
    """Answers slowly, and counts how many requests wait at the same time."""

    now = most = 0  # of all such stores: Zarr makes copies of one

    async def get(self, key, *more, **options):
        Counting.now += 1
        Counting.most = max(Counting.most, Counting.now)
        await asyncio.sleep(0.01)
        Counting.now -= 1
        return await super().get(key, *more, **options)


@pytest.fixture(params=["v2", "v3", "sharded"])
def arrays(request):
    """A Zarr array, one that works on 40 chunks at a time, their pixels, and their store."""
    pixels, store = noise(64, 8, 8), Counting()
    options = {"chunks": (1, 8, 8), "zarr_format": 2 if request.param == "v2" else 3}
    if request.param == "sharded":
        options["shards"] = (2, 8, 8)
    if request.param == "v2":
        options["compressors"] = BLOSC
    array = zarr.create_array(store, shape=pixels.shape, dtype=pixels.dtype, **options)
    array[:] = pixels
    plain = zarr.open_array(store, mode="r")
    wide = _compat.with_concurrency(zarr.open_array(store, mode="r"), 40)
    return plain, wide, pixels, store


def test_an_array_has_a_concurrency_of_its_own(arrays):
    plain, wide, pixels, _ = arrays
    Counting.most = 0
    np.testing.assert_array_equal(wide[:], pixels)
    most = min(40, 64 // (2 if wide.shards else 1))
    found = f"Zarr {zarr.__version__} works on {Counting.most} chunks, not on {most}"
    assert Counting.most == most, f"{found}: {MEND}"
    Counting.most = 0
    np.testing.assert_array_equal(plain[:], pixels)
    assert Counting.most == 10, "another array of the same store has lost Zarr's own concurrency"


@pytest.mark.parametrize("index", [3, np.s_[5:60:7, 2:3, ::3], np.s_[..., -1]])
def test_such_an_array_reads_what_a_plain_one_reads(arrays, index):
    plain, wide, _, _ = arrays
    np.testing.assert_array_equal(wide[index], plain[index])
    np.testing.assert_array_equal(wide.oindex[[3, 1]], plain.oindex[[3, 1]])


def test_such_an_array_goes_to_another_process(arrays):
    import pickle

    _, wide, pixels, _ = arrays
    again = pickle.loads(pickle.dumps(wide))
    np.testing.assert_array_equal(again[:], pixels)


def test_such_an_array_is_written_as_before(arrays):
    _, wide, pixels, store = arrays
    writable = _compat.with_concurrency(zarr.open_array(store, mode="r+"), 40)
    writable[3] = 7
    assert (wide[3] == 7).all() and (wide[4] == pixels[4]).all()
