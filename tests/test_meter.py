"""The request meter: each number against what a server, or the file system, counts by itself."""

import configparser
import multiprocessing
import os
import pickle
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from operator import getitem
from pathlib import Path

import dask
import dask.array as da
import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
import pytest
import zarr
from support import misbehaving as faults
from support.images import noise, write_json, write_v2
from zarr.core.sync import sync

from data_helpers import AccessDeniedError, ChunkError, meter, open_multiscale, request_meter
from data_helpers._formatting import format_bytes
from data_helpers._store.requests import ANSWERED, Request, observers, recorder
from data_helpers._store.transport import CONCURRENCY
from data_helpers.meter.plot import PLOT_HEIGHT
from data_helpers.meter.spool import Spool, read_spool
from data_helpers.store import RetryingStore

ROOT = Path(__file__).resolve().parents[1]
SANITIZE = ROOT / "tests" / "nbval_sanitize.cfg"
KEYS = [f"0/{y}/{x}" for y in range(3) for x in range(4)]  # the chunks of `image`
THREADS = min(32, os.cpu_count() + 4)  # that read files


@pytest.fixture
def folder(tmp_path):
    """A local image of 3 × 4 chunks."""
    return write_v2(tmp_path, [noise(40, 50)], {"version": "0.3", "axes": ["y", "x"]})


@pytest.fixture
def image(folder, served):
    """The same image, opened at a server."""
    opened = open_multiscale(served.endpoint)
    served.asked.clear()
    return opened


@pytest.fixture
def array(image):
    return image.stored[0]


@pytest.fixture(autouse=True)
def nothing_left(monkeypatch, tmp_path_factory):
    """Every meter ends, and takes its folder with it."""
    spools = tmp_path_factory.mktemp("spools")
    monkeypatch.setattr(tempfile, "tempdir", str(spools))
    yield spools
    assert not [observer for observer in observers if isinstance(observer, meter.Cost)]
    assert not list(spools.glob("request-meter-*"))


def sizes(folder, keys=KEYS):
    return sum((folder / key).stat().st_size for key in keys)


class Slow:
    """A fault that delays the true answer, and counts how many requests wait at the same time."""

    def __init__(self, seconds):
        self.seconds, self.now, self.most, self.lock = seconds, 0, 0, threading.Lock()

    def __call__(self, request, content):
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        request.server_.stopping.wait(self.seconds)
        with self.lock:
            self.now -= 1
        return content


# What is counted


def test_requests_and_bytes_are_those_of_the_server(array, served, folder):
    with request_meter() as cost:
        array[:]
    assert cost.requests == len(served.asked) == 12
    assert sorted(request.address for request in cost.log) == sorted(
        f"{served.endpoint}/{key}" for key in served.asked
    )
    assert cost.bytes == sizes(folder)
    assert (cost.retries, cost.not_found, cost.fetched_twice) == (0, 0, 0)
    assert all(0 < r.start < r.end and r.outcome == "answered" for r in cost.log)


def test_numbers_grow_in_the_block_and_stand_after_it(array, served):
    with request_meter() as cost:
        array[:16, :16]
        assert cost.requests == 1 and cost.bytes > 0
        array[:16, 16:32]
        assert cost.requests == 2
    array[:]
    assert cost.requests == len(cost.log) == 2


def test_a_request_that_starts_as_the_block_ends_leaves_the_numbers_alone():
    cost = meter.Cost()
    cost.finish([])
    late = Request("late", time.perf_counter(), bytes=7)
    cost.sent(late)
    cost.done(late)
    assert (cost.requests, cost.bytes, cost.log) == (0, 0, [])


def test_seconds_are_those_of_the_block():
    start = time.perf_counter()
    with request_meter() as cost:
        time.sleep(0.05)
    assert 0.05 <= cost.seconds <= time.perf_counter() - start


def test_retries(array, served, quick):
    served.fault(KEYS[0], faults.status(503), faults.status(503))
    served.fault(KEYS[5], faults.close_midway)
    with request_meter() as cost:
        array[:]
    assert cost.requests == len(served.asked) == 12 + 3
    assert cost.retries == 3
    assert sum(request.outcome == "failed" for request in cost.log) == 3
    assert (cost.not_found, cost.fetched_twice) == (0, 0)


def test_a_chunk_cut_short_is_received_and_asked_for_again(array, served, quick, folder):
    served.fault(KEYS[0], faults.cut)
    with request_meter() as cost:
        array[:]
    assert (cost.requests, cost.retries, cost.fetched_twice) == (13, 1, 0)
    assert cost.bytes == sizes(folder) + (folder / KEYS[0]).stat().st_size // 2


def test_not_found(array, served, folder):
    for key in KEYS[:3]:
        (folder / key).unlink()
    with request_meter() as cost:
        array[:]
    assert cost.requests == len(served.asked) == 12
    assert (cost.not_found, cost.retries, cost.fetched_twice) == (3, 0, 0)
    assert cost.bytes == sizes(folder, KEYS[3:])
    with request_meter() as cost:
        open_multiscale(served.endpoint)
    assert (cost.requests, cost.not_found) == (3, 1)  # there is no zarr.json, but .zattrs, .zarray


def test_denied_is_not_the_same_as_not_found(array, served):
    served.fault(KEYS[0], faults.status(403), forever=True)
    with request_meter() as cost, pytest.raises(AccessDeniedError):
        array[:16, :16]
    assert (cost.requests, cost.not_found, cost.retries) == (1, 0, 0)


def test_s3_addresses(folder, served):
    write_v2(folder / "bucket/key", [noise(40, 50)], {"version": "0.3", "axes": ["y", "x"]})
    with request_meter() as cost:
        opened = open_multiscale("s3://bucket/key", source=served.endpoint)
        opened.stored[0][:]
    assert cost.requests == len(served.asked) == 3 + 12
    assert cost.bytes > sizes(folder / "bucket/key")


def test_a_local_folder(folder):
    (folder / KEYS[0]).unlink()
    with request_meter() as cost:
        open_multiscale(folder).stored[0][:]
    assert (cost.requests, cost.not_found) == (3 + 12, 1 + 1)
    metadata = sizes(folder, [".zattrs", "0/.zarray"])
    assert cost.bytes == metadata + sizes(folder, KEYS[1:])
    assert 1 <= cost.most_in_flight <= THREADS


def test_a_missing_file_is_in_flight_no_longer_than_it_is_looked_for(tmp_path):
    write_v2(tmp_path, [noise(320, 320)], {"version": "0.3", "axes": ["y", "x"]})
    for chunk in (tmp_path / "0").glob("[0-9]*"):
        shutil.rmtree(chunk) if chunk.is_dir() else chunk.unlink()
    stored = open_multiscale(tmp_path).stored[0]
    with request_meter() as cost:
        assert not stored[:].any()
    assert cost.requests == cost.not_found == 400
    assert 1 <= cost.most_in_flight <= THREADS


# The most in flight


def test_two_in_flight_against_64(tmp_path, served):
    write_v2(tmp_path, [noise(160, 160)], {"version": "0.3", "axes": ["y", "x"]})
    stored = open_multiscale(served.endpoint).stored[0]
    usual = da.from_array(stored, chunks=stored.chunks)
    slow = Slow(0.03)
    served.fault("*", slow, forever=True)
    with request_meter() as two:
        usual[:64, :64].compute(scheduler="threads", num_workers=2)
    assert two.requests == 16
    assert two.most_in_flight == slow.most == 2
    slow.seconds = 0.4
    with request_meter() as many:
        stored[:]
    assert many.requests == 100
    assert many.most_in_flight == slow.most == 64


def test_what_waits_in_this_computer_is_not_in_flight(tmp_path, served):
    """Three threads want 64 chunks each, but the process sends at most `CONCURRENCY` requests."""
    write_v2(tmp_path, [noise(128, 128)], {"version": "0.3", "axes": ["y", "x"]})
    stored = open_multiscale(served.endpoint).stored[0]
    slow = Slow(0.4)
    served.fault("*", slow, forever=True)
    readers = [threading.Thread(target=stored.__getitem__, args=(...,)) for _ in range(3)]
    with request_meter() as cost:
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(30)
    assert cost.requests == 3 * 64
    assert cost.most_in_flight == slow.most == CONCURRENCY


def test_counting_in_many_threads_loses_nothing():
    def ask(number):
        for at in range(200):
            with recorder(f"{number}/{at}", chunk=True, retry=False) as request:
                request.bytes = 3

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(16)]
    with request_meter() as cost:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert (cost.requests, cost.bytes) == (3200, 9600)
    assert (cost.fetched_twice, len(cost.log)) == (0, 3200)


# Chunks fetched twice


@pytest.mark.parametrize(
    ("parts", "share"),
    [
        ([np.s_[:]], 0),
        ([np.s_[:16], np.s_[16:]], 0),
        ([np.s_[:], np.s_[:]], 12 / 24),
        ([np.s_[:], np.s_[:], np.s_[:]], 24 / 36),
        ([np.s_[:], np.s_[:16, :16]], 1 / 13),
        ([np.s_[:20], np.s_[20:]], 4 / 16),  # the middle row of chunks serves both halves
    ],
)
def test_share_of_chunks_fetched_twice(parts, share, array, served):
    with request_meter() as cost:
        for part in parts:
            array[part]
    assert cost.fetched_twice == pytest.approx(share, abs=1e-12)
    assert 1 - len(set(served.asked)) / len(served.asked) == pytest.approx(share)


def test_metadata_and_missing_chunks_read_twice_do_not_count(served, folder):
    (folder / KEYS[0]).unlink()
    with request_meter() as cost:
        for _ in range(2):
            open_multiscale(served.endpoint).stored[0][:16, :16]
    assert cost.requests == len(served.asked) == 8
    assert (cost.not_found, cost.fetched_twice) == (4, 0)


def test_a_chunk_that_failed_is_fetched_again_only_when_asked_for_again(array, served, quick):
    served.fault(KEYS[0], *[faults.status(503)] * 5)
    with request_meter() as cost:
        with pytest.raises(ChunkError):
            array[:16, :16]
        assert (cost.requests, cost.fetched_twice) == (4, 0)
        array[:16, :16]
    assert (cost.requests, cost.retries, cost.fetched_twice) == (6, 4, 1 / 2)


def test_parts_of_a_shard_are_chunks_and_its_index_is_not(tmp_path, served):
    pixels = noise(32, 32)
    zarr.create_array(
        str(tmp_path / "0"), data=pixels, chunks=(8, 8), shards=(16, 32), zarr_format=3
    )
    levels = {"multiscales": [{"datasets": [{"path": "0"}], "axes": ["y", "x"], "version": "0.5"}]}
    write_json(
        tmp_path / "zarr.json",
        {"zarr_format": 3, "node_type": "group", "attributes": {"ome": levels}},
    )
    stored = open_multiscale(served.endpoint).stored[0]
    served.asked.clear()
    with request_meter() as cost:
        np.testing.assert_array_equal(stored[:8, :8], pixels[:8, :8])
        np.testing.assert_array_equal(stored[:8, 8:16], pixels[:8, 8:16])
    assert cost.requests == len(served.asked) == 4  # each time the index, then the chunk
    assert cost.fetched_twice == 0
    with request_meter() as cost:
        stored[:8, :8], stored[:8, :8]
    assert cost.fetched_twice == 1 / 2


# Blocks


def test_nested_meters_both_count(array, served):
    with request_meter() as outer:
        with request_meter() as inner:
            array[:16, :16]
        array[:]
    assert inner.requests == 1
    assert outer.requests == len(served.asked) == 13
    assert 0 < inner.seconds < outer.seconds
    assert (inner.fetched_twice, outer.fetched_twice) == (0, 1 / 13)


def test_a_block_that_raises_is_summed_up_too(array, served, capsys):
    with pytest.raises(ZeroDivisionError), request_meter() as cost:
        array[:16, :16]
        _ = 1 / 0
    array[:]
    assert (cost.requests, cost.most_in_flight) == (1, 1)
    assert cost.seconds > 0
    assert capsys.readouterr().out == f"{cost}\n"


def test_a_request_without_an_answer_at_the_end_of_the_block(array, served):
    served.fault(KEYS[0], faults.hang)
    with request_meter() as cost:
        reader = threading.Thread(target=array.__getitem__, args=((0, 0),))
        reader.start()
        while not served.asked:
            time.sleep(0.01)
    assert (cost.requests, cost.bytes, cost.most_in_flight) == (1, 0, 1)
    cost.plot()
    served.stopping.set()
    reader.join(30)
    assert (cost.requests, cost.bytes) == (1, 0)


def test_a_request_from_before_the_block_is_not_counted(array, served):
    served.fault(KEYS[0], Slow(0.3))
    reader = threading.Thread(target=array.__getitem__, args=((0, 0),))
    reader.start()
    while not served.asked:
        time.sleep(0.01)
    with request_meter() as cost:
        reader.join(30)
    assert (cost.requests, cost.bytes, cost.log) == (0, 0, [])


# Other processes


def test_processes_of_dask(image, served, worker, folder):
    stored = image.stored[0]
    reads = [dask.delayed(getitem)(stored, part) for part in (np.s_[:16], np.s_[16:], np.s_[:16])]
    with request_meter() as cost:
        dask.compute(*reads, scheduler="processes", pool=worker)
    assert cost.requests == len(served.asked) == 16
    assert cost.bytes == sizes(folder) + sizes(folder, KEYS[:4])
    assert cost.fetched_twice == 4 / 16
    assert cost.log == sorted(cost.log, key=lambda request: request.start)
    assert all(cost.start < r.start < r.end < cost.start + cost.seconds for r in cost.log)


def test_a_lazy_level_in_processes(image, served, worker, folder):
    with request_meter() as cost:
        image.levels[0].sum().compute(scheduler="processes", pool=worker)
    assert cost.requests == len(served.asked) == 12
    assert cost.bytes == sizes(folder)


@pytest.mark.measure_processes
def test_a_pool_of_two_processes_and_this_one(array, served):
    served.fault("*", Slow(0.05), forever=True)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        with request_meter() as outer:
            with request_meter() as inner:
                parts = [np.s_[:16], np.s_[16:32], np.s_[32:]]
                list(pool.map(array.__getitem__, parts, timeout=60))
            array[:]
        assert inner.requests == 12
        assert outer.requests == len(served.asked) == 24
        assert (inner.fetched_twice, outer.fetched_twice) == (0, 1 / 2)
        assert 4 <= inner.most_in_flight <= 8
        for _ in range(4):  # both workers
            pool.submit(array.__getitem__, np.s_[:16]).result(60)
        assert outer.requests == 24


def test_retries_and_missing_chunks_in_a_process(array, served, folder, worker):
    (folder / KEYS[0]).unlink()
    served.fault(KEYS[1], faults.status(503))
    with request_meter() as cost:
        worker.submit(array.__getitem__, np.s_[:]).result(60)
    assert cost.requests == len(served.asked) == 13
    assert (cost.retries, cost.not_found) == (1, 1)


@pytest.mark.measure_processes
def test_workers_of_a_local_cluster(image, served, folder):
    from distributed import Client, LocalCluster

    stored = image.stored[0]
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        with request_meter() as cost:
            parts = [np.s_[:16], np.s_[16:32], np.s_[32:]]
            client.gather([client.submit(getitem, stored, part) for part in parts])
        assert cost.requests == len(served.asked) == 12
        assert (cost.bytes, cost.fetched_twice) == (sizes(folder), 0)
        served.asked.clear()
        with request_meter() as cost:
            total = image.levels[0].sum().compute()
        assert total == stored[:].sum()
        assert cost.requests == len(served.asked) - 12 == 12


def test_a_forked_process(folder):
    if "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("processes are not forked on this system")
    kept = RetryingStore(str(folder))
    with request_meter() as cost:
        child = os.fork()
        if child == 0:
            import asyncio

            asyncio.run(kept.get(KEYS[0]))
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        sync(kept.get(KEYS[0]))
    assert (cost.requests, cost.fetched_twice) == (2, 1 / 2)
    assert cost.bytes == 2 * sizes(folder, KEYS[:1])


_received = []


def receive(array):
    _received.append(array)


def read_received():
    return _received[-1][:16, :16].shape


def spools_here():
    return sorted(spool.folder for spool in observers)


def test_a_process_that_received_the_image_before_the_block_is_not_counted(array, served, worker):
    worker.submit(receive, array).result(60)
    with request_meter() as cost:
        worker.submit(read_received).result(60)
    assert cost.requests == 0 and len(served.asked) == 1  # as the docstring says
    with request_meter() as cost:
        worker.submit(getitem, array, np.s_[:16, :16]).result(60)
        worker.submit(read_received).result(60)
    assert cost.requests == 2  # from then on the process counts whatever it reads


def test_a_process_forgets_a_meter_that_has_ended(array, worker):
    with request_meter():
        worker.submit(receive, array).result(60)
        [folder] = [cost.folder for cost in observers]
        assert folder in worker.submit(spools_here).result(60)
    assert worker.submit(read_received).result(60) == (16, 16)
    assert worker.submit(spools_here).result(60) == []


def test_a_process_hands_the_meter_on(array, worker):
    """What a worker sends on, as a scheduler does, carries the folders that it received itself."""
    with request_meter() as cost:
        sent_on = worker.submit(pickle.dumps, array).result(60)
        [folder] = [cost.folder for cost in observers]
        assert folder.encode() in sent_on
    assert cost.requests == 0


def test_files_of_a_spool_are_open_only_while_a_request_is_under_way(tmp_path):
    spool = Spool(str(tmp_path))
    spool.join()
    try:
        with recorder("a", chunk=True, retry=False):
            with recorder("b", chunk=True, retry=False):
                pass
            assert spool._file is not None
            assert len(read_spool(str(tmp_path))) == 1  # written at once
        assert spool._file is None
        assert [r.address for r in read_spool(str(tmp_path))] == ["b", "a"]
    finally:
        observers.clear()


def test_tasks_of_dask_have_the_same_names_with_and_without_a_meter(array, folder):
    """Otherwise a cluster would not know a result that it already has."""

    def names():
        usual = da.from_array(array, chunks=array.chunks)
        read = dask.delayed(getitem, pure=True)(array, np.s_[:16])
        return usual.name, read.key, array.lazy().name

    before = names()
    with request_meter():
        assert names() == names() == before
    other = open_multiscale(folder).stored[0]
    assert da.from_array(other, chunks=other.chunks).name != before[0]


def test_a_copy_in_the_same_process_counts_once(array, served):
    with request_meter() as cost:
        copy = pickle.loads(pickle.dumps(array))
        copy[:]
    copy[:16, :16]
    assert cost.requests == len(served.asked) - 1 == 12
    assert not observers


def test_the_spool_may_vanish(array, served, nothing_left, worker):
    with request_meter() as cost:
        for spool in nothing_left.iterdir():
            spool.rmdir()
        assert worker.submit(array.__getitem__, np.s_[:16, :16]).result(60).shape == (16, 16)
        array[:16, :16]
    assert cost.requests == 1


def test_without_a_folder_only_this_process_is_counted(array, monkeypatch, worker):
    def refuse(**options):
        raise PermissionError("no right to write here")

    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    with request_meter() as cost:
        array[:16, :16]
        worker.submit(array.__getitem__, np.s_[:16, :16]).result(60)
    assert cost.requests == 1


def test_a_full_disk_does_not_stop_the_reading(tmp_path, monkeypatch):
    def refuse(file, data):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "write", refuse)
    Spool(str(tmp_path)).join()
    try:
        with recorder("a", chunk=True, retry=False):
            pass
    finally:
        observers.clear()


def test_a_line_cut_short_is_left_out(tmp_path):
    Spool(str(tmp_path)).join()
    try:
        for key in "ab":
            with recorder(key, chunk=True, retry=False) as request:
                request.bytes = 7
    finally:
        observers.clear()
    [file] = tmp_path.iterdir()
    whole = file.read_bytes()
    with file.open("ab") as open_file:
        open_file.write(whole[:40])
    (tmp_path / "another").write_bytes(b"1.0 2.0 7\tanswered\tc\n\nrubbish\n\xff\n" + whole[:-1])
    found = read_spool(str(tmp_path))
    assert [(r.address, r.bytes, r.outcome, r.chunk) for r in found] == [
        ("a", 7, "answered", True),
        ("b", 7, "answered", True),
        ("a", 7, "answered", True),
    ]


# What it says


def test_the_line(array, capsys):
    with request_meter() as cost:
        array[:]
    line = capsys.readouterr().out
    assert line == f"{cost}\n"
    assert re.fullmatch(r"12 requests, [\d.]+ kB, up to \d+ in flight, \d\.\d\d s\n", line)
    with request_meter(show=False):
        array[:16, :16]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("cost", "line"),
    [
        (meter.Cost(), "0 requests, 0 bytes, 0.00 s"),
        (meter.Cost(1, 999, 1, 1, 1, 0.5), "1 request, 999 bytes, up to 1 in flight, 0.50 s, "
         "1 retry, 1 not found"),
        (meter.Cost(1514, 54_600_000, 3, 2000, 64, 0.613, 0.124),
         "1,514 requests, 54.6 MB, up to 64 in flight, 0.61 s, 3 retries, 2,000 not found, "
         "12 % of the chunks fetched twice"),
        (meter.Cost(9, 9, 0, 0, 1, 1, 0.001), "9 requests, 9 bytes, up to 1 in flight, 1.00 s, "
         "under 1 % of the chunks fetched twice"),
    ],
)  # fmt: skip
def test_the_line_says_only_what_happened(cost, line):
    assert str(cost) == line


def test_costs_make_a_table():
    table = pd.DataFrame([meter.Cost(3, 100), meter.Cost(514, 10)], ["lazy", "everything"])
    assert list(table.columns) == [
        "requests", "bytes", "retries", "not_found", "most_in_flight", "seconds", "fetched_twice"
    ]  # fmt: skip
    assert list(table.requests) == [3, 514]


# The plot


def cost_of(*spans, seconds=1.0, **more):
    """A cost with requests at these times."""
    cost = meter.Cost()
    cost.start = 100.0
    for number, (start, end) in enumerate(spans):
        request = Request(str(number), 100 + start, 100 + end, 5, ANSWERED, **more)
        cost.sent(request)
        cost.done(request)
    cost.finish([])
    cost.seconds = seconds
    return cost


def test_bars_of_requests_in_flight_lie_above_one_another(capsys):
    cost = cost_of((0.0, 0.5), (0.1, 0.2), (0.2, 0.4), (0.3, 0.9), (0.6, 1.0))
    assert cost.most_in_flight == 3
    _, ax = plt.subplots()
    cost.plot(ax)
    bars = [(p.get_x(), p.get_width(), p.get_y() + p.get_height() / 2) for p in ax.patches]
    expected = [(0, 0.5, 0.5), (0.1, 0.1, 1.5), (0.2, 0.2, 1.5), (0.3, 0.6, 2.5), (0.6, 0.4, 0.5)]
    np.testing.assert_allclose(bars, expected)
    assert ax.get_xlim() == (0, 1)
    assert ax.get_ylim()[1] > PLOT_HEIGHT  # two in flight look like two, of 64
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("seconds", "requests in flight")
    assert ax.get_title() == str(cost)
    assert ax.get_legend() is None
    said = capsys.readouterr().out
    assert said.startswith("Picture: one bar for each request") and said.count("\n") == 1
    assert "up to 3 in flight" in said


def test_other_kinds_of_requests_are_named(served, folder, quick):
    (folder / KEYS[0]).unlink()
    served.fault(KEYS[1], faults.status(503))
    with request_meter() as cost:
        open_multiscale(served.endpoint).stored[0][:]
    cost.plot()
    ax = plt.gca()
    names = {text.get_text() for text in ax.get_legend().get_texts()}
    assert names == {"metadata", "chunk", "not found", "failed"}
    assert len(ax.patches) == cost.requests == 3 + 13


def test_many_requests_are_drawn_together(capsys):
    cost = cost_of(*[(n / 1000, (n + 3) / 1000) for n in range(601)], seconds=0.61)
    _, ax = plt.subplots()
    cost.plot(ax)
    assert not ax.patches
    [area] = ax.collections
    heights = area.get_paths()[0].vertices[:, 1]
    assert heights.max() == cost.most_in_flight == 3
    assert "an area" in capsys.readouterr().out
    for spans, drawn in (([(0, 1)] * 600, 600), ([(0, 1)] * 601, 0)):
        _, ax = plt.subplots()
        cost_of(*spans).plot(ax)
        assert len(ax.patches) == drawn
        assert ax.get_ylim()[1] > 600
    plt.close("all")


def test_a_plot_of_nothing():
    with request_meter() as cost:
        pass
    cost.plot()
    assert not plt.gca().patches


def test_counting_does_without_matplotlib(run_python, folder):
    script = f"""
import sys
from data_helpers import request_meter
with request_meter():  # imports what reading needs before it starts its clock
    assert "data_helpers.multiscale" in sys.modules
    from data_helpers import open_multiscale
    open_multiscale({str(folder)!r}).stored[0][:]
assert "matplotlib" not in sys.modules and "IPython" not in sys.modules
"""
    done = run_python(script)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("15 requests")


# The cell magic


@pytest.fixture
def shell():
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell()
    shell.run_cell("%load_ext data_helpers")
    yield shell
    shell.history_manager.end_session()


def test_the_magic_runs_a_cell_and_prints_what_it_cost(shell, array, served, capsys):
    shell.user_ns["array"] = array
    result = shell.run_cell("%%cost\npart = array[:16, :16]\ndouble = part * 2\ndouble.shape")
    assert result.success and result.result == (16, 16)
    assert shell.user_ns["double"].sum() == 2 * array[:16, :16].sum()
    out = capsys.readouterr().out
    assert re.search(r"^1 request, \d+ bytes, up to 1 in flight, [\d.]+ s\n", out, re.MULTILINE)
    assert "(16, 16)" in out.splitlines()[-1]  # displayed, after the line


def test_the_magic_shows_nothing_more_than_the_cell_would(shell, capsys):
    for cell in ("%%cost\n1;", "%%cost\nx = 1", "%%cost\n"):
        capsys.readouterr()
        result = shell.run_cell(cell + "\n")
        assert result.result is None
        assert "Out[" not in capsys.readouterr().out
    assert shell.user_ns["x"] == 1


def test_functions_of_a_metered_cell_stay_usable(shell):
    shell.run_cell("%%cost\nfactor = 3\ndef times(n):\n    return n * factor")
    assert shell.run_cell("times(2)").result == 6


def test_other_magics_work_inside(shell, capfd):
    assert shell.run_cell("%%cost\n%time y = 2\n!echo hello").success
    assert shell.user_ns["y"] == 2
    assert "hello" in capfd.readouterr().out


def test_an_error_in_a_metered_cell_is_the_error_of_the_cell(shell, capsys):
    result = shell.run_cell("%%cost\nbefore = 1\n1 / 0\nafter = 2")
    assert isinstance(result.error_in_exec, ZeroDivisionError)
    out = capsys.readouterr().out
    assert "0 requests, 0 bytes" in out  # what it cost until then
    assert "1 / 0" in re.sub(r"\x1b\[[\d;]*m", "", out)
    assert "magic.py" not in out
    assert shell.user_ns["before"] == 1 and "after" not in shell.user_ns
    assert isinstance(shell.run_cell("%%cost\ny = = 2").error_in_exec, SyntaxError)
    assert shell.run_cell("before").result == 1


def test_the_magic_draws_on_request(shell, array, capsys):
    shell.user_ns["array"] = array
    assert shell.run_cell("%%cost --plot\narray[:]").success
    assert len(plt.gcf().axes[0].patches) == 12
    assert "Picture: one bar for each request" in capsys.readouterr().out
    plt.close("all")


def test_the_magic_refuses_what_it_does_not_know(shell, capsys):
    result = shell.run_cell("%%cost --draw\nz = 1")
    assert not result.success and "z" not in shell.user_ns
    assert "--plot" in capsys.readouterr().err


def test_metered_cells_replay_under_nbval(tmp_path, folder):
    """The stored seconds are made up, which nbval must not notice; requests and bytes are real."""
    path, whole = tmp_path / "metered.ipynb", format_bytes(sizes(folder))
    opened = format_bytes(sizes(folder, [".zattrs", "0/.zarray"]))
    cells = {
        "%load_ext data_helpers\nfrom data_helpers import open_multiscale, request_meter": [],
        f"%%cost\nstored = open_multiscale({str(folder)!r}).stored[0]\nstored.shape": [
            f"3 requests, {opened}, up to 77 in flight, 9.87 s, 1 not found\n",
            "(40, 50)",
        ],
        "with request_meter() as cost:\n    stored[:]": [
            f"12 requests, {whole}, up to 77 in flight, 19.87 s\n",
        ],
        "%%cost --plot\nstored[:];": [
            f"12 requests, {whole}, up to 77 in flight, 9.87 s\nPicture: one bar for each request, "
            "stacked where requests overlap in time; up to 77 in flight, 9.87 s.\n",
            "<Figure size 700x300 with 1 Axes>",
        ],
        "%%cost\npass": ["0 requests, 0 bytes, 9.87 s\n"],
    }
    notebook = nbformat.v4.new_notebook()
    for number, (source, outputs) in enumerate(cells.items(), 1):
        cell = nbformat.v4.new_code_cell(source, execution_count=number)
        for text in outputs:
            if text.endswith("\n"):
                cell.outputs.append(nbformat.v4.new_output("stream", text=text))
            elif text.startswith("<"):
                data = {"text/plain": text, "image/png": ""}
                cell.outputs.append(nbformat.v4.new_output("display_data", data))
            else:
                data = {"text/plain": text}
                result = nbformat.v4.new_output("execute_result", data, execution_count=number)
                cell.outputs.append(result)
        notebook.cells.append(cell)
    nbformat.write(notebook, path)
    command = [sys.executable, "-m", "pytest", "--nbval", "-p", "no:cacheprovider", str(path)]
    command += ["--nbval-sanitize-with", str(SANITIZE), "-c", os.devnull]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, cwd=ROOT)
    assert done.returncode == 0, done.stdout
    assert "5 passed" in done.stdout


def test_what_is_not_compared_between_two_runs():
    patterns = configparser.RawConfigParser()
    patterns.read(SANITIZE, encoding="utf-8")

    def kept(cost):
        line = f"{cost}\n"
        for name in patterns.sections():
            line = re.sub(patterns[name]["regex"], patterns[name]["replace"], line)
        return line

    run = meter.Cost(514, 54_600_000, 0, 0, 64, 0.61)
    assert kept(run) == kept(meter.Cost(514, 54_600_000, 0, 0, 1, 12.0))
    assert kept(meter.Cost()) == kept(meter.Cost(seconds=1.5))
    for other in (
        meter.Cost(515, 54_600_000, 0, 0, 64, 0.61),
        meter.Cost(514, 54_700_000, 0, 0, 64, 0.61),
        meter.Cost(514, 54_600_000, 1, 0, 64, 0.61),
        meter.Cost(514, 54_600_000, 0, 1, 64, 0.61),
        meter.Cost(514, 54_600_000, 0, 0, 64, 0.61, 0.5),
    ):
        assert kept(other) != kept(run)


# What it costs


@pytest.mark.speed
def test_counting_costs_under_2_percent(offline, tmp_path):
    """The meter's processor time for a request, against that of reading a chunk on loopback.

    Times of whole reads differ by more than 2 % from one to the next, with and without a meter.
    """
    stored = open_multiscale(6001247, source=offline).stored[0]
    address = f"{stored.address}/0.1.128.0.0"

    def cpu(function, times):
        start = time.process_time()
        function(times)
        return (time.process_time() - start) / times

    def read(chunks):
        assert stored[0, 1].shape[0] == chunks

    def count(times):
        for number in range(times // 50):
            with ExitStack() as in_flight:
                for at in range(50):
                    name = f"{address}{number}/{at}"
                    counting = recorder(name, chunk=True, retry=False)
                    request = in_flight.enter_context(counting)
                    request.mark_sent()
                    request.bytes = 100_000

    def count_with_a_meter(times):
        with request_meter(show=False):
            count(times)

    def count_for_another_process(times):
        Spool(str(tmp_path)).join()
        try:
            count(times)
        finally:
            observers.clear()

    reading = min(cpu(read, 257) for _ in range(3))
    for counting in (count_with_a_meter, count_for_another_process):
        metering = min(cpu(counting, 5000) for _ in range(5))
        assert metering < 0.02 * reading, (metering, reading)
