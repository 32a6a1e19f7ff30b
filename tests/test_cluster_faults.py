"""What goes wrong on a cluster: the run ends complete, or says exactly which blocks failed and why.

One cluster of two worker processes serves all tests. The image is served by a web server that
misbehaves on demand.
"""

import contextlib
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from skimage.measure import label
from support.images import write_v2
from support.misbehaving import garble, status

from data_helpers import open_multiscale
from data_helpers.scale_out import BlockRun
from data_helpers.scale_out.cluster import connect_cluster

SHAPE = (24, 32, 40)
CUT = {"block_shape": (8, 16, 20), "overlap": (3, 4, 4), "parameters": {"threshold": 500.0}}
N_BLOCKS, N_OBJECTS = 12, 60
OUTAGE_SECONDS = 10.0


def segment(pixels, threshold):
    return label(pixels > threshold, connectivity=1)


def segment_and_kill(pixels, threshold, folder):
    """Kill the worker that runs this, once, when some blocks are done and others in the making."""
    if len(list(Path(folder, "parts").glob("*.parquet"))) >= 3:
        with contextlib.suppress(FileExistsError):
            Path(folder, "killed").open("x").close()
            os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
    return segment(pixels, threshold)


@pytest.fixture(scope="module")
def client():
    os.environ.pop("DASK_SCHEDULER_ADDRESS", None)
    with connect_cluster(n_workers=2) as client:
        client.run(__import__, "data_helpers.scale_out")  # so that no test pays for the import
        client.run(__import__, "skimage.measure")
        yield client


@pytest.fixture
def pixels():
    """Boxes on a grid, many of them across the cuts."""
    pixels = np.full(SHAPE, 100, "u2")
    for z in range(1, 22, 6):
        for y in range(1, 28, 10):
            for x in range(1, 36, 8):
                pixels[z : z + 4, y : y + 5, x : x + 5] = 1000 + z
    return pixels


@pytest.fixture
def image(tmp_path, pixels, served):
    """The image at the misbehaving server; one plane is one chunk."""
    chunks = (1, 1, 1, *SHAPE[1:])
    write_v2(tmp_path / "stack", [pixels[None, None]], {"version": "0.1"}, chunks=chunks)
    return open_multiscale(f"{served.endpoint}/stack")


def start_run(tmp_path, image):
    return BlockRun(tmp_path / "out", image, segment, **CUT)


def assert_complete(run, client, pixels):
    """The whole result is there, nothing is missing and nothing was counted twice."""
    objects = run.finish(client)
    expected = label(pixels > 500, connectivity=1)
    labels = run.labels[:]
    assert run.missing() == []
    assert len(objects) == expected.max() == N_OBJECTS
    np.testing.assert_array_equal(labels > 0, expected > 0)
    pairs = np.unique(np.stack([labels.ravel(), expected.ravel()], 1), axis=0)
    assert len(pairs) == N_OBJECTS + 1
    assert objects["voxels"].tolist() == np.bincount(labels.ravel())[1:].tolist()
    parts = [pd.read_parquet(file) for file in Path(run.results, "parts").iterdir()]
    assert len(parts) == N_BLOCKS
    assert sum(part["voxels"].sum() for part in parts) == np.count_nonzero(expected)


def test_a_worker_killed_in_mid_run(tmp_path, image, pixels, client):
    before = client.run(os.getpid)
    settings = {**CUT, "parameters": {"threshold": 500.0, "folder": str(tmp_path / "out")}}
    run = BlockRun(tmp_path / "out", image, segment_and_kill, **settings)
    failed = run.compute(client, timeout=60)
    assert (tmp_path / "out" / "killed").exists()
    assert failed.empty, failed.to_string()
    assert_complete(run, client, pixels)
    client.wait_for_workers(2, timeout=30)
    assert len(set(before.values()) - set(client.run(os.getpid).values())) == 1


def test_an_endpoint_that_answers_503_for_ten_seconds(tmp_path, image, pixels, served, client):
    run = start_run(tmp_path, image)
    run.compute(client, run.missing()[:3])
    served.asked.clear()
    served.fault("*", status(503), forever=True)
    mending = threading.Timer(OUTAGE_SECONDS, served.fault, ["*"])
    mending.start()
    began = time.monotonic()
    failed = run.compute(client, timeout=60)
    mending.join(timeout=OUTAGE_SECONDS + 5)
    assert time.monotonic() - began > OUTAGE_SECONDS
    assert failed.empty, failed.to_string()
    assert len(served.asked) > 20
    assert_complete(run, client, pixels)


def test_an_outage_that_outlasts_the_patience_is_listed(tmp_path, image, pixels, served, client):
    run = start_run(tmp_path, image)
    served.fault("*", status(503), forever=True)
    failed = run.compute(client, pauses=[], timeout=60)
    assert failed["block"].tolist() == sorted(block.name for block in run.blocks)
    assert failed["why"].str.contains("503").all()
    served.fault("*")
    assert run.compute(client, timeout=60).empty
    assert_complete(run, client, pixels)


def test_one_corrupt_chunk(tmp_path, image, pixels, served, client):
    run = start_run(tmp_path, image)
    damaged = "stack/0/0/0/13/0/0"
    served.fault(damaged, garble, forever=True)
    failed = run.compute(client, pauses=[0.1], timeout=60)
    # Exactly the blocks that read plane 13, in their core or in their overlap.
    touched = [
        block.name for block in run.blocks if block.padded_start[0] <= 13 < block.padded_stop[0]
    ]
    assert failed["block"].tolist() == sorted(touched) and 0 < len(touched) < N_BLOCKS
    for why in failed["why"]:
        assert "0/0/0/13/0/0" in why and why.endswith(".") and "\n" not in why
    # What is there can be used; the label image is empty where blocks are missing.
    with pytest.warns(UserWarning, match=f"{len(touched)} blocks"):
        some = run.finish(client)
    assert some["voxels"].sum() == np.count_nonzero(run.labels[:])
    assert not run.labels[8:16].any()
    # Mended, only the failed blocks are computed.
    done = {file: file.stat().st_mtime_ns for file in (tmp_path / "out" / "parts").iterdir()}
    served.fault(damaged)
    served.asked.clear()
    assert run.compute(client, timeout=60).empty
    assert len(done) == N_BLOCKS - len(touched)
    assert all(file.stat().st_mtime_ns == written for file, written in done.items())
    assert served.times_asked("stack/0/0/0/0/0/0") == 0
    assert served.times_asked(damaged) == len(touched)
    assert_complete(run, client, pixels)
