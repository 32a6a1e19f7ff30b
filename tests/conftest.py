"""Fixtures that several test files share."""

import asyncio
import multiprocessing
import os
import subprocess
import sys
from collections import namedtuple
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from support.misbehaving import MisbehavingServer
from zarr.core import sync as zarr_sync

from data_helpers import sources, store
from data_helpers._store import transport

ROOT = Path(__file__).resolve().parents[1]

Asked = namedtuple("Asked", "url outcome")


@pytest.fixture(autouse=True)
def fresh_kernel(monkeypatch):
    """Each test starts like a kernel in which no source was chosen yet; offline is the default."""
    monkeypatch.setenv("OME_ZARR_SOURCE", "offline")
    monkeypatch.setattr(sources, "_current", None)


@pytest.fixture(autouse=True)
def others_unmeasured(request, monkeypatch):
    """Coverage counts other processes only for the tests marked `measure_processes`.

    Elsewhere it finds hardly a line that a test has not run in its own process, and took a quarter
    of the CPU time of all tests together.
    """
    if not request.node.get_closest_marker("measure_processes"):
        monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)


@pytest.fixture(autouse=True)
def nothing_left_under_way():
    """What a test goes on asking for ends with it: the meter of the next test would count it.

    When one of many requests fails for good, or nobody waits for an answer any more, the others
    go on, and try again.
    """
    yield
    loop = zarr_sync.loop[0]
    if loop is not None:
        for task in asyncio.all_tasks(loop):
            loop.call_soon_threadsafe(task.cancel)


@pytest.fixture
def offline():
    """Address of the offline stand-in; one process serves all tests that ask for it."""
    from data_helpers.offline.process import endpoint

    return endpoint()


@pytest.fixture(scope="module")  # a forked child of another module may break it
def worker():
    """A process like those that dask.compute(scheduler="processes") starts."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


@pytest.fixture(scope="module")
def client():
    """A Dask cluster of two threads, for tests that need no other processes."""
    from distributed import Client

    options = {"n_workers": 1, "threads_per_worker": 2, "dashboard_address": None}
    with Client(processes=False, timeout=30, **options) as client:
        yield client


@pytest.fixture
def asked(monkeypatch):
    """What the store asks for from here on: addresses, each with "found" or the error's name."""
    log, read = [], transport.read

    async def logged(path, *part):
        try:
            data = await read(path, *part)
        except Exception as error:
            log.append(Asked(path, type(error).__name__))
            raise
        log.append(Asked(path, "found"))
        return data

    monkeypatch.setattr(transport, "read", logged)
    return log


@pytest.fixture
def quick(monkeypatch):
    """Pause for milliseconds between attempts, where the pauses are not the point."""
    monkeypatch.setattr(store, "FIRST_PAUSE", 0.005)


@pytest.fixture
def served(tmp_path):
    """A server of `tmp_path` that misbehaves on demand."""
    with MisbehavingServer(tmp_path) as server:
        yield server


@pytest.fixture
def run_python(tmp_path):
    """Run a script in a Python of its own, with data_helpers at hand; return what came of it."""

    def run(script, cwd=tmp_path, timeout=60, **variables):
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
        environment = os.environ | {"PYTHONPATH": path, "PYTHONUTF8": "1"} | variables
        return subprocess.run(
            [sys.executable, "-c", script],
            cwd=cwd,
            env=environment,
            capture_output=True,
            encoding="utf-8",
            timeout=timeout,
        )

    return run
