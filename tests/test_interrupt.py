"""The stop button: a real kernel is interrupted in the middle of long work, and works on."""

import os
import sys
import time
from pathlib import Path

import pytest
from jupyter_client import KernelManager

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 60.0  # seconds; on an idle computer all takes a tenth of it
STOPPED_WITHIN = 10.0  # seconds; none of the work would be over by then

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="Jupyter interrupts a kernel in another way on Windows"
)

SETUP = """
import asyncio, os, time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from dask import compute, delayed
from zarr.core.sync import _get_loop

import data_helpers as dh
from data_helpers.offline import blastocyst
from data_helpers.offline.process import start

server = start(delay_ms=1500)
dh.choose_source(server.endpoint)
image = dh.open_multiscale(6001247, cache="off")
stored, lazy = image.stored[0], image.levels[0]

def requests_under_way():
    return len(asyncio.all_tasks(_get_loop()))

def analyze(z):
    return stored[0, 1, z] > 300
"""

AFTERWARDS = """
ends = time.monotonic() + 1  # less than an answer takes
while requests_under_way() and time.monotonic() < ends:
    time.sleep(0.05)
assert not requests_under_way()
plane = blastocyst.paint(0, 0, 1, 128, 0, 210, 0, 253)
np.testing.assert_array_equal(lazy[0, 1, 128].compute(), plane)
"""

CLIENTS = {
    "connect_cluster": "client = dh.connect_cluster(n_workers=1)",
    "as in notebook 06": """
from dask.distributed import Client

comfort = {"silence_logs": "ERROR", "preload": "data_helpers.scale_out.cluster"}
client = Client(n_workers=1, threads_per_worker=4, dashboard_address="127.0.0.1:0", **comfort)
""",
}

CLUSTER = """
folder = TemporaryDirectory()
workers = client.run(os.getpid)

def segment(pixels):
    return (pixels > 300).astype("u4")

run = dh.BlockRun(folder.name, image, segment, c=1, block_shape=(8, 210, 253), overlap=(0, 0, 0))
"""

AFTER_CLUSTER = """
ends = time.monotonic() + 20
while any(client.processing().values()) and time.monotonic() < ends:
    time.sleep(0.1)
assert not any(client.processing().values()), client.processing()
assert client.run(os.getpid) == workers, "the signal reached the workers"
assert client.submit(sum, [1, 2]).result(timeout=20) == 3
left = len(run.missing())
assert left, "it was over before it was stopped"
assert run.compute(client, run.missing()[:1], timeout=30).empty
assert len(run.missing()) < left  # tasks that were under way have ended, too
client.close()
folder.cleanup()
"""

LONG_WORK = {
    "all pixels": "dh.load_binary_from_s3_with_data(6001247)",
    "one array": "stored[0]",
    "lazy": "lazy.compute()",
    "lazy, then calculated": "(lazy.astype(float) ** 2).mean().compute()",
    "tasks in threads": "compute(*[delayed(analyze)(z) for z in range(100)])",
}


class Kernel:
    """A kernel such as JupyterLab starts, and its cells."""

    def __init__(self):
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
        self.manager = KernelManager(kernel_name="python3")
        self.manager.start_kernel(env=os.environ | {"PYTHONPATH": path})
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=PATIENCE)

    def close(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)

    def run(self, cell, stop_after=None):
        """Run a cell, press stop some seconds after it began; return (what it printed, error)."""
        sent = self.client.execute(f"print('begun')\n{cell}" if stop_after else cell)
        printed, error, ends = "", None, time.monotonic() + PATIENCE
        while time.monotonic() < ends:
            message = self.client.get_iopub_msg(timeout=PATIENCE)
            if message["parent_header"].get("msg_id") != sent:
                continue
            content = message["content"]
            if message["msg_type"] == "stream":
                printed += content["text"]
            elif message["msg_type"] == "error":
                error = content["ename"]
            elif content.get("execution_state") == "idle":
                return printed, error
            if stop_after and "begun" in printed:
                time.sleep(stop_after)
                stop_after = None
                self.manager.interrupt_kernel()
                ends = time.monotonic() + STOPPED_WITHIN
        raise TimeoutError(f"the cell did not end: {printed}")


@pytest.fixture(scope="module")
def kernel():
    kernel = Kernel()
    try:
        printed, error = kernel.run(SETUP)
        assert error is None, printed
        yield kernel
    finally:
        kernel.close()


@pytest.mark.parametrize("work", LONG_WORK.values(), ids=LONG_WORK)
def test_the_stop_button(kernel, work):
    _, error = kernel.run(work, stop_after=1)
    assert error == "KeyboardInterrupt"
    printed, error = kernel.run(AFTERWARDS)
    assert error is None, printed


@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS)
def test_the_stop_button_on_a_cluster(kernel, client):
    printed, error = kernel.run(client + CLUSTER)
    assert error is None, printed
    _, error = kernel.run("failed = run.compute(client)", stop_after=2)
    assert error == "KeyboardInterrupt"
    printed, error = kernel.run(AFTER_CLUSTER)
    assert error is None, printed
