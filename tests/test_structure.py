"""What reading costs in requests: facts that hold on any computer, without clocks.

The endpoint counts by itself. Each request takes a good while there, so that requests that are sent
together are in flight together; only their order counts, see `benchmarks.endpoint.rounds`.
"""

import numpy as np
import pytest

from benchmarks.endpoint import Endpoint, Settings
from benchmarks.solution import Notebook
from benchmarks.table import HEAVY
from data_helpers import (
    load_binary_from_s3,
    load_binary_from_s3_with_data,
    load_labels_from_s3,
    open_multiscale,
)

TOGETHER = Settings(latency_ms=300)
HELD = Settings(hold=64)
BLASTOCYST = "idr/zarr/v0.1/6001247.zarr"
EMBRYO = "idr/zarr/v0.1/4007801.zarr"
CHUNKS = {f"{BLASTOCYST}/0/0.{c}.{z}.0.0" for c in range(2) for z in range(257)}


@pytest.fixture(scope="module")
def endpoint():
    with Endpoint() as running:
        running.set()
        yield running


@pytest.fixture
def source(endpoint, monkeypatch):
    """Address of the endpoint, which answers without latency unless a test sets one."""
    monkeypatch.setenv("OME_ZARR_SOURCE", endpoint.address)
    endpoint.set()
    return endpoint.address


def chunks(counts):
    """How often each chunk was asked for; metadata are left out."""
    return {key: times for key, times in counts["keys"].items() if "/.z" not in key}


# --- opening ------------------------------------------------------------------------------------


def test_eleven_levels_open_with_twelve_requests_in_three_rounds(endpoint, source):
    endpoint.set(TOGETHER)
    image = open_multiscale(9822152)
    assert len(image.levels) == 11 and image.channels and image.title
    counts = endpoint.counts()
    assert counts["requests"] <= 12 and counts["rounds"] <= 3
    assert counts["not_found"] == 0 and counts["duplicates"] == 0
    assert chunks(counts) == {}


@pytest.mark.parametrize("image_id", [9822152, 4007801, 6001247])
@pytest.mark.parametrize("resolution", ["0", 1])
def test_one_level_opens_with_two_requests(endpoint, source, image_id, resolution):
    level = load_binary_from_s3(image_id, resolution)
    assert level.ndim == 5
    counts = endpoint.counts()
    assert counts["requests"] <= 2 and counts["not_found"] == 0 and chunks(counts) == {}


def test_labels_open_without_a_request_for_a_key_that_is_not_there(endpoint, source):
    open_multiscale(6001247).label("0")
    assert endpoint.counts()["duplicates"] == 0
    assert chunks(endpoint.counts()) == {}


# --- reading everything -------------------------------------------------------------------------


def test_loading_fetches_each_chunk_once_and_nothing_else(endpoint, source, capsys):
    pixels = load_binary_from_s3_with_data(6001247)
    counts = endpoint.counts()
    assert chunks(counts) == dict.fromkeys(CHUNKS, 1)
    assert counts["requests"] == 516 and counts["not_found"] == 0
    assert pixels.shape == (1, 2, 257, 210, 253) and pixels.any()


@pytest.mark.parametrize("threads", [1, 2, 16])
def test_computing_fetches_each_chunk_once_and_nothing_else(endpoint, source, threads):
    level = load_binary_from_s3(6001247)
    endpoint.set()
    pixels = level.compute(num_workers=threads)
    assert chunks(endpoint.counts()) == dict.fromkeys(CHUNKS, 1)
    assert endpoint.counts()["requests"] == 514
    assert pixels.any(axis=(3, 4)).all()


def test_loading_keeps_64_requests_in_flight(endpoint, source, capsys):
    endpoint.set(HELD)
    load_binary_from_s3_with_data(6001247, 2)
    assert endpoint.counts()["most_in_flight"] == 64


@pytest.mark.parametrize("threads", [1, 2])
def test_computing_keeps_64_requests_in_flight_also_on_few_threads(endpoint, source, threads):
    level = load_binary_from_s3(6001247, 2)[:, :, :256]  # a small rest of 2 would wait in vain
    endpoint.set(HELD)
    level.compute(num_workers=threads)
    assert endpoint.counts()["most_in_flight"] == 64


# --- reading a part -----------------------------------------------------------------------------

AT = (265, 1, 494)
ONE_CHUNK = {f"{EMBRYO}/4/265.1.494.0.0": 1}


@pytest.mark.parametrize(
    "pick",
    [
        lambda level: level[AT],
        lambda level: level[AT] * 2.0,
        lambda level: level[265:266, 1, 494:495],
        lambda level: (level > 30)[AT],
        lambda level: (level[:, 1] > 30)[265, 494],
        lambda level: level[AT][10:20, 30:40],
        lambda level: level[260:270].max(axis=(3, 4))[5, 1, 494],
    ],
    ids=["plane", "then computed", "slices", "computed first", "both", "cut", "reduced first"],
)
def test_one_plane_of_a_million_chunks_is_one_request(endpoint, source, pick):
    level = load_binary_from_s3(4007801, "4")
    assert np.prod(level.numblocks) == 1_051_232
    endpoint.set()
    assert np.asarray(pick(level).compute()).size
    assert endpoint.counts()["keys"] == ONE_CHUNK


def test_the_stored_array_reads_one_chunk_for_a_plane(endpoint, source):
    stored = open_multiscale(4007801).stored[4]
    endpoint.set()
    assert stored[AT].shape == (128, 135)
    assert endpoint.counts()["keys"] == ONE_CHUNK


def test_a_window_of_a_tiled_level_is_the_tiles_it_touches(endpoint, source):
    level = load_binary_from_s3(9822152, "6")
    endpoint.set()
    assert level[0, 0, 0, 1000:1050, 500:900].compute().shape == (50, 400)
    tiles = {f"idr/zarr/v0.1/9822152.zarr/6/0.0.0.{row}.0" for row in (0, 1)}
    assert endpoint.counts()["keys"] == dict.fromkeys(tiles, 1)


def test_a_plane_of_labels_is_one_request(endpoint, source):
    labels = load_labels_from_s3(6001247)
    endpoint.set()
    assert labels[0, 0, 128].compute().any()
    assert endpoint.counts()["requests"] == 1


def test_the_solution_of_notebook_03_fetches_100_chunks_for_100_planes(endpoint, source):
    notebook = Notebook(open_multiscale)
    endpoint.set()
    objects = notebook.run()
    counts = endpoint.counts()
    wanted = {f"{EMBRYO}/4/{t}.1.{z}.0.0" for t, z in notebook.planes}
    assert len(wanted) == 100 and counts["keys"] == dict.fromkeys(wanted, 1)
    assert objects.shape == (10, 10) and (objects > 0).all()


# --- importing ----------------------------------------------------------------------------------

OPENING = {"aiohttp", "dask", "fsspec", "numcodecs", "numpy", "tqdm", "zarr"}


@pytest.mark.parametrize(
    ("code", "needed"),
    [
        ("import data_helpers", set()),
        ("import data_helpers; dir(data_helpers); data_helpers.__all__", set()),
        ("from data_helpers import choose_source, current_source, IMAGES", set()),
        ("from data_helpers import open_multiscale, load_binary_from_s3", OPENING),
    ],
)
def test_importing_brings_in_nothing_heavy_that_is_not_needed(run_python, code, needed):
    # Dask imports xarray where it is; here it is for bioio, and learners don't have it.
    lean = "import sys; sys.modules['xarray'] = None"
    done = run_python(f"{lean}; {code}; print(*{{m.split('.')[0] for m in sys.modules}})")
    assert done.returncode == 0, done.stderr
    found = set(done.stdout.split())
    assert "data_helpers" in found
    assert found & set(HEAVY) <= needed
