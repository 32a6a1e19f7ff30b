"""The cluster: one that fits this computer, one by its address, and links to its dashboard."""

import inspect
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import dask
import dask_gateway
import dask_jobqueue
import nbformat
import pytest
from distributed import Client
from tornado.ioloop import IOLoop
from tornado.websocket import websocket_connect

from data_helpers.scale_out.cluster import SHARE, THREADS, connect_cluster

ROOT = Path(__file__).resolve().parents[1]
PREFIX = "/user/ada/"


@pytest.fixture(autouse=True)
def no_cluster_in_the_environment(monkeypatch):
    for name in ("DASK_SCHEDULER_ADDRESS", "JUPYTERHUB_SERVICE_PREFIX"):
        monkeypatch.delenv(name, raising=False)
    link = dask.config.get("distributed.dashboard.link")
    yield
    dask.config.set({"distributed.dashboard.link": link})


def start(*command, **variables):
    """Start a program in the background."""
    return subprocess.Popen(
        [sys.executable, "-m", *command],
        env=os.environ | variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def page(url, patience=30.0):
    """The text at an address, which may take a while to answer."""
    until = time.monotonic() + patience
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return answer.read().decode()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


@pytest.fixture
def ended():
    """Programs to end with the test."""
    programs = []
    yield programs
    for program in programs:
        program.terminate()
        try:
            program.wait(timeout=10)
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait(timeout=10)


def test_a_cluster_on_this_computer(monkeypatch):
    monkeypatch.setattr("distributed.system.MEMORY_LIMIT", 4_000_000_000)
    with connect_cluster(n_workers=1) as client:
        [worker] = client.scheduler_info(n_workers=-1)["workers"].values()
        assert worker["nthreads"] == THREADS
        assert worker["memory_limit"] == pytest.approx(SHARE * 4_000_000_000, rel=0.01)
        assert worker["host"] == "127.0.0.1"
        assert client.run(os.getpid) != {worker["host"]: os.getpid()}  # a process of its own
        assert client.dashboard_link.startswith("http://127.0.0.1:")
        assert "Dask" in page(client.dashboard_link)
        link = client.dashboard_link
    with pytest.raises(OSError):
        page(link, patience=0)


@pytest.mark.parametrize(
    ("cores", "memory", "workers"),
    [(1, 1e9, 1), (1, 0.9e9, 1), (2, 8e9, 2), (64, 2.5e9, 2), (64, 1e12, 4)],
)
def test_as_many_workers_as_fit(monkeypatch, cores, memory, workers):
    asked = {}
    monkeypatch.setattr("dask.system.CPU_COUNT", cores)
    monkeypatch.setattr("distributed.system.MEMORY_LIMIT", int(memory))
    monkeypatch.setattr("distributed.Client", lambda **settings: asked.update(settings))
    connect_cluster()
    assert asked["n_workers"] == workers
    assert asked["n_workers"] * asked["memory_limit"] <= SHARE * memory
    assert asked["dashboard_address"] == "127.0.0.1:0"


def test_an_existing_cluster_by_its_address(monkeypatch, ended):
    address = f"tcp://127.0.0.1:{free_port()}"
    scheduler = ["distributed.cli.dask_scheduler", "--host", address, "--no-dashboard"]
    worker = ["distributed.cli.dask_worker", address, "--no-dashboard", "--name", "far"]
    ended += [start(*scheduler), start(*worker, "--nthreads", "1", "--no-nanny")]
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", address)
    for _ in range(2):  # closing the client leaves the cluster alone
        with connect_cluster() as client:
            client.wait_for_workers(1, timeout=30)
            assert client.scheduler.address == address
            assert client.submit(sum, [1, 2, 3]).result(timeout=30) == 6
    assert all(program.poll() is None for program in ended)


def test_a_dashboard_link_that_works_behind_a_hub(monkeypatch, tmp_path, ended):
    """A real Jupyter server with its proxy, at an address like those of a JupyterHub."""
    port = free_port()
    options = ["--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}", "--IdentityProvider.token="]
    options += [f"--ServerApp.base_url={PREFIX}", f"--ServerApp.root_dir={tmp_path}"]
    options += ["--no-browser", "--allow-root", "--ServerApp.port_retries=0"]
    options += ["--ServerApp.disable_check_xsrf=True", "--ServerApp.password="]
    home = {"JUPYTER_CONFIG_DIR": str(tmp_path), "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime")}
    ended.append(start("jupyter_server", *options, **home))
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", PREFIX)
    with connect_cluster(n_workers=1) as client:
        link = client.dashboard_link
        assert re.fullmatch(r"/user/ada/proxy/\d+/status", link)
        url = f"http://127.0.0.1:{port}{link}"
        text = page(url)
        assert "Dask" in text and "bokeh" in text.lower()
        # What the page draws comes through a WebSocket at the same address.
        token = re.search(r'"token":\s*"([^"]+)"', text)[1]
        socket_url = url.replace("http://", "ws://") + "/ws"
        assert first_message(socket_url, token) == "ACK"


def first_message(url, token):
    """Kind of the first message that a Bokeh server sends."""

    async def listen():
        connection = await websocket_connect(url, subprotocols=["bokeh", token], connect_timeout=20)
        header = await connection.read_message()
        connection.close()
        return re.search(r'"msgtype":\s*"(\w+)"', header)[1]

    return IOLoop(make_current=False).run_sync(listen, timeout=30)


def test_slurm_gateway_and_coiled_code_shown_to_learners():
    """What can be run without such a system is run: the text of the SLURM job, and signatures."""
    path = ROOT / "notebooks" / "solutions" / "06_from_laptop_to_cluster.ipynb"
    cells = nbformat.read(path, as_version=4).cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    [slurm] = [block for block in blocks if "SLURMCluster" in block]
    [gateway] = [block for block in blocks if "Gateway" in block]
    [coiled] = [block for block in blocks if "coiled" in block]
    for block in (slurm, gateway, coiled):
        compile(block, path.name, "exec")
        assert "get_client()" in block or "Client(cluster)" in block
    inspect.signature(dask_gateway.Gateway).bind()
    inspect.signature(dask_gateway.Gateway.new_cluster).bind(None)
    inspect.signature(dask_gateway.GatewayCluster.scale).bind(None, 4)
    assert callable(dask_gateway.GatewayCluster.get_client)
    script = slurm_script(slurm)
    for line in ("#SBATCH -p cpu", "#SBATCH --cpus-per-task=8", "#SBATCH -t 02:00:00"):
        assert line in script
    assert "distributed.cli.dask_worker tcp://" in script and "--memory-limit" in script


def slurm_script(code):
    """The job script of the cluster that the code makes; nothing is submitted."""
    scripts = []

    class Cluster(dask_jobqueue.SLURMCluster):
        def __init__(self, **settings):
            local = {"dashboard_address": "127.0.0.1:0", "host": "127.0.0.1"}
            super().__init__(scheduler_options=local, **settings)

        def scale(self, n=None, jobs=0, **more):
            scripts.append(self.job_script())
            assert jobs == 2 or self.status.name == "closing", (n, jobs, more)

    original, dask_jobqueue.SLURMCluster = dask_jobqueue.SLURMCluster, Cluster
    try:
        names = {}
        exec(code, names)
        names["client"].close()
        names["cluster"].close()
    finally:
        dask_jobqueue.SLURMCluster = original
    assert isinstance(names["client"], Client)
    return scripts[0]
