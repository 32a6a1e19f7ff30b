"""The life of the offline stand-in: it starts with a kernel and goes when the kernel goes."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import psutil
import pytest

from data_helpers.offline import process
from data_helpers.offline.__main__ import wait_for_interrupt
from data_helpers.offline.server import OfflineThread

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = "/idr/zarr/v0.1/6001247.zarr/.zattrs"
posix = pytest.mark.skipif(os.name != "posix", reason="signals and fork are POSIX")
measured = pytest.mark.measure_processes


def answers(endpoint):
    with urlopen(endpoint + DOCUMENT, timeout=10) as answer:
        return answer.status == 200


def is_open(endpoint):
    address = urlsplit(endpoint)
    try:
        socket.create_connection((address.hostname, address.port), timeout=2).close()
    except OSError:
        return False
    return True


def closes_within(endpoint, seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if not is_open(endpoint):
            return True
        time.sleep(0.05)
    return False


@pytest.fixture
def server():
    running = process.start()
    yield running
    running.stop()


@pytest.fixture
def kernels():
    """Start Python programs that stand for kernels; what they print can be read line by line."""
    started = []

    def start(code, **options):
        kernel = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            **options,
        )
        started.append(kernel)
        return kernel

    yield start
    for kernel in started:
        kernel.kill()
        kernel.wait(timeout=10)
        kernel.stdin.close()
        kernel.stdout.close()


KERNEL = """
    from data_helpers.offline import process
    print(process.endpoint(), flush=True)
    input()
"""


@pytest.mark.speed
def test_it_is_ready_within_two_seconds():
    """The best of three, as other programs may be busy on the same machine."""
    times = []
    for _ in range(3):
        started = time.perf_counter()
        running = process.start()
        assert answers(running.endpoint)
        times.append(time.perf_counter() - started)
        running.stop()
        if times[-1] < 2:
            break
    assert min(times) < 2, times


@measured
def test_it_starts_and_stops(server):
    assert server.endpoint.startswith("http://127.0.0.1:")
    assert server.alive() and server.pid == psutil.Process(server.pid).pid
    assert answers(server.endpoint)
    started = time.perf_counter()
    server.stop()
    assert time.perf_counter() - started < 4
    assert not server.alive() and not is_open(server.endpoint) and not psutil.pid_exists(server.pid)
    server.stop()  # a second time does nothing


def test_it_imports_only_what_a_server_needs():
    code = "import sys, data_helpers.offline.__main__; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    heavy = {"dask", "zarr", "skimage", "scipy", "pandas", "matplotlib", "fsspec", "numpy"}
    assert heavy & set(done.stdout.split()) == set()


def test_a_delay_is_passed_on():
    running = process.start(delay_ms=300)
    try:
        started = time.perf_counter()
        assert answers(running.endpoint)
        assert time.perf_counter() - started >= 0.3
    finally:
        running.stop()


def test_it_starts_from_any_folder_and_beside_any_file(tmp_path, monkeypatch):
    """A notebook's folder may hold a file named like a module that the server needs."""
    for name in ("starlette", "uvicorn", "data_helpers", "signal"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('the wrong module')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONWARNINGS", "always")
    monkeypatch.setenv("PYTHONPATH", "")
    running = process.start()
    try:
        assert answers(running.endpoint)
    finally:
        running.stop()


def test_a_failed_start_says_why(monkeypatch, tmp_path):
    (tmp_path / "starlette.py").write_text("raise RuntimeError('the wrong starlette')")
    monkeypatch.setattr(
        process,
        "_environment",
        lambda: os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
    )
    started = time.perf_counter()
    with pytest.raises(RuntimeError, match="did not start") as caught:
        process.start()
    assert "the wrong starlette" in str(caught.value)
    assert time.perf_counter() - started < 15


def test_a_start_that_takes_too_long_is_given_up(monkeypatch, tmp_path):
    (tmp_path / "starlette.py").write_text("import time; time.sleep(60)")
    monkeypatch.setattr(
        process,
        "_environment",
        lambda: os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
    )
    with pytest.raises(RuntimeError, match=r"nothing heard in 0\.5 s"):
        process.OfflineServer(patience=0.5)


def test_an_interrupt_while_it_starts_leaves_no_server_behind(monkeypatch):
    started, popen = [], subprocess.Popen

    def remembering(command, **options):
        started.append(popen(command, **options))
        return started[-1]

    def interrupted(self, timeout=None):
        raise KeyboardInterrupt

    monkeypatch.setattr(process.subprocess, "Popen", remembering)
    monkeypatch.setattr(process.threading.Event, "wait", interrupted)
    monkeypatch.setattr(process.threading.Thread, "start", lambda self: None)
    with pytest.raises(KeyboardInterrupt):
        process.start()
    assert started[0].returncode is not None
    started[0].stdout.close()


def test_one_server_for_a_kernel_and_a_new_one_when_it_died(monkeypatch):
    monkeypatch.setattr(process, "_server", None)
    with ThreadPoolExecutor(8) as pool:
        endpoints = set(pool.map(lambda _: process.endpoint(), range(8)))
    assert len(endpoints) == 1
    first = process._server
    psutil.Process(first.pid).kill()
    assert closes_within(first.endpoint, 5)
    first._process.wait(timeout=5)
    try:
        assert answers(process.endpoint())
        assert process._server is not first
        assert process.endpoint() == process.endpoint()
    finally:
        process._server.stop()
        first.stop()


def test_it_prints_nothing_into_the_notebook(kernels):
    """Nothing of the server reaches the kernel's own output, its errors included."""
    code = """
        from urllib.error import HTTPError
        from urllib.request import urlopen
        from data_helpers.offline import process
        endpoint = process.endpoint()
        try:
            urlopen(endpoint + "/idr/missing")
        except HTTPError as error:
            print(error.code)
    """
    kernel = kernels(code, stderr=subprocess.STDOUT)
    assert kernel.communicate(timeout=60)[0] == "404\n"


def test_a_server_that_talks_a_lot_is_not_blocked(monkeypatch, tmp_path):
    """More than a pipe holds, in one line before the address and in many after it."""
    (tmp_path / "talking.py").write_text(
        "import sys, threading, data_helpers.offline.__main__ as m\n"
        "print('x' * 300_000)\n"
        "threading.Thread(target=lambda: [print('y' * 99, file=sys.stderr) for _ in range(9999)],"
        " daemon=True).start()\n"
        "sys.exit(m.main())\n"
    )
    popen = subprocess.Popen

    def talking(command, **options):
        changed = ["talking" if part == "data_helpers.offline" else part for part in command]
        return popen(changed, **options)

    monkeypatch.setattr(process.subprocess, "Popen", talking)
    monkeypatch.setattr(
        process,
        "_environment",
        lambda: os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
    )
    running = process.start()
    try:
        time.sleep(0.5)
        assert answers(running.endpoint)
        assert len(running._said) == 20
    finally:
        running.stop()


# When the kernel goes


@measured
def test_it_goes_when_the_kernel_ends(kernels):
    kernel = kernels(KERNEL)
    endpoint = kernel.stdout.readline().strip()
    assert answers(endpoint)
    kernel.communicate("\n", timeout=30)
    assert kernel.returncode == 0
    assert not is_open(endpoint)  # the kernel's end waits for it


def test_it_goes_when_the_kernel_is_killed(kernels):
    kernel = kernels(KERNEL)
    endpoint = kernel.stdout.readline().strip()
    assert answers(endpoint)
    kernel.kill()  # SIGKILL: the kernel can do nothing any more
    assert closes_within(endpoint, 4)


def test_it_goes_while_a_download_is_running(kernels):
    kernel = kernels(KERNEL)
    endpoint = kernel.stdout.readline().strip()
    address = urlsplit(endpoint)
    with socket.create_connection((address.hostname, address.port), timeout=10) as idle:
        idle.sendall(f"GET {DOCUMENT} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert idle.recv(100)
        kernel.kill()
        assert closes_within(endpoint, 6)


@posix
def test_it_goes_although_a_forked_child_holds_the_pipe(kernels):
    code = """
        import os, time
        from data_helpers.offline import process
        endpoint = process.endpoint()
        child = os.fork()
        if child == 0:
            time.sleep(60)
            os._exit(0)
        print(endpoint, child, flush=True)
        input()
    """
    kernel = kernels(code)
    endpoint, child = kernel.stdout.readline().split()
    try:
        assert answers(endpoint)
        kernel.kill()
        kernel.wait(timeout=10)
        assert psutil.pid_exists(int(child))
        assert closes_within(endpoint, 4)
    finally:
        os.kill(int(child), signal.SIGKILL)


@measured
@posix
def test_an_interrupt_of_the_kernel_does_not_reach_it(kernels):
    code = """
        import time
        from data_helpers.offline import process
        try:
            print(process.endpoint(), flush=True)
            time.sleep(60)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        input()
    """
    kernel = kernels(code, start_new_session=True)
    endpoint = kernel.stdout.readline().strip()
    os.killpg(kernel.pid, signal.SIGINT)  # what Jupyter does: to the whole group
    assert kernel.stdout.readline() == "interrupted\n"
    time.sleep(0.5)
    assert answers(endpoint)
    kernel.communicate("\n", timeout=30)


@posix
def test_it_ignores_an_interrupt_sent_to_itself(server):
    os.kill(server.pid, signal.SIGINT)
    time.sleep(0.5)
    assert server.alive() and answers(server.endpoint)


def test_two_kernels_have_two_servers(kernels):
    one, two = kernels(KERNEL), kernels(KERNEL)
    first, second = (kernel.stdout.readline().strip() for kernel in (one, two))
    assert first != second and answers(first) and answers(second)
    one.kill()
    assert closes_within(first, 4)
    assert answers(second)


@measured
@posix
def test_a_forked_child_uses_the_server_and_leaves_it_running(kernels):
    code = """
        import os, sys, threading
        from urllib.request import urlopen
        from data_helpers.offline import process
        endpoint = process.endpoint()
        process._lock.acquire()  # as if another thread held it while this one forks
        child = os.fork()
        if child == 0:
            same = process.endpoint() == endpoint and process._server.alive()
            process._server.stop()
            sys.exit(0 if same else 1)  # runs atexit as well
        process._lock.release()
        _, status = os.waitpid(child, 0)
        print(endpoint, status, process._server.alive(), flush=True)
        input()
    """
    kernel = kernels(code)
    endpoint, status, alive = kernel.stdout.readline().split()
    assert (status, alive) == ("0", "True") and answers(endpoint)
    kernel.communicate("\n", timeout=30)
    assert not is_open(endpoint)


@measured
@posix
def test_a_forked_child_notices_that_the_server_is_gone(server):
    child = os.fork()
    if child == 0:
        before = server.alive()
        os.kill(server.pid, signal.SIGKILL)
        os._exit(0 if before and closes_within(server.endpoint, 5) and not server.alive() else 1)
    assert os.waitpid(child, 0)[1] == 0


# By hand


@measured
@posix
@pytest.mark.parametrize("seconds", [0, 0.7], ids=["at its first line", "while it waits"])
def test_by_hand_ctrl_c_ends_it_cleanly(seconds):
    command = [sys.executable, "-u", "-m", "data_helpers.offline", "--port", "0"]
    running = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    first = running.stdout.readline()
    endpoint = first.split(" at ")[1].split()[0]
    assert "synthetic" in first and (seconds == 0 or answers(endpoint))
    time.sleep(seconds)
    running.send_signal(signal.SIGINT)
    rest, errors = running.communicate(timeout=15)
    assert running.returncode == 0 and errors == "" and rest.endswith("Stopped.\n")
    assert not is_open(endpoint)


@posix
def test_ctrl_c_leaves_the_server_running_until_it_is_stopped():
    """An interrupted `Thread.join` would take its thread for ended (before Python 3.13)."""
    server = OfflineThread()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # Dask-Jobqueue changes it
    threading.Timer(0.2, os.kill, [os.getpid(), signal.SIGINT]).start()
    with pytest.raises(KeyboardInterrupt):
        wait_for_interrupt(server)
    signal.signal(signal.SIGINT, before)
    assert server.alive() and answers(server.endpoint)
    server.stop()
    assert not server.alive() and not is_open(server.endpoint)


# Memory


@pytest.fixture
def peak(server):
    """Watch the memory of the server; returns a function that gives the peak in megabytes."""
    most, done = [0.0], threading.Event()
    watched = psutil.Process(server.pid)

    def watch():
        while not done.wait(0.005):
            most[0] = max(most[0], watched.memory_info().rss / 1e6)

    watcher = threading.Thread(target=watch)
    watcher.start()
    yield lambda: most[0]
    done.set()
    watcher.join()
    print(f"peak memory of the server: {most[0]:.0f} MB")


def read_at_once(server, keys):
    """Read many chunks of the v0.1 images, each over a connection of its own."""

    def read(key):
        with urlopen(f"{server.endpoint}/idr/zarr/v0.1/{key}", timeout=100) as answer:
            return len(answer.read())

    with ThreadPoolExecutor(64) as pool:
        return list(pool.map(read, keys))


def test_a_burst_after_reading_all_kinds_of_chunks_stays_under_300_megabytes(server, peak):
    """64 requests at once for micrograph tiles that were never painted before."""
    read_at_once(server, [f"4007801.zarr/4/{21 * n}.{n % 2}.{500 + n}.0.0" for n in range(25)])
    read_at_once(server, [f"4007801.zarr/0/{90 * n}.{n % 2}.{400 + 20 * n}.0.0" for n in range(6)])
    read_at_once(server, [f"6001247.zarr/0/0.{n % 2}.{n}.0.0" for n in range(0, 257, 3)])
    read_at_once(server, [f"6001247.zarr/labels/0/0.0.{n}.0.0" for n in range(0, 257, 12)])
    read_at_once(server, [f"9822152.zarr/4/0.0.0.{n // 8}.{n % 8}" for n in range(40)])
    tiles = [f"9822152.zarr/0/0.0.0.{40 + n // 8}.{60 + n % 8}" for n in range(64)]
    assert set(read_at_once(server, tiles)) == {1024 * 1024 * 2 + 16}
    assert 60 < peak() < 300


def test_slow_readers_do_not_fill_the_memory(server, peak):
    """32 clients ask for a whole plane of the movie each (8.9 MB) and read nothing of it."""
    address = urlsplit(server.endpoint)
    clients = []
    try:
        for z in range(32):
            client = socket.create_connection((address.hostname, address.port), timeout=30)
            clients.append(client)
            key = f"/idr/zarr/v0.1/4007801.zarr/0/0.0.{z}.0.0"
            client.sendall(f"GET {key} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        time.sleep(5)
        assert answers(server.endpoint)
        assert all(b" 200 " in client.recv(20) for client in clients)
        assert 60 < peak() < 300
    finally:
        for client in clients:
            client.close()


def test_a_proxy_is_not_asked_for_the_stand_in():
    """Clients of all kinds (urllib, s3fs) reach loopback although a dead proxy is set."""
    code = (
        "import urllib.request, s3fs, data_helpers as dh\n"
        "source = dh.current_source()\n"
        "url = source.url('zarr/v0.1/6001247.zarr/.zattrs')\n"
        "assert b'multiscales' in urllib.request.urlopen(url, timeout=10).read()\n"
        "s3 = s3fs.S3FileSystem(anon=True, endpoint_url=source.endpoint)\n"
        "assert s3.ls('idr/zarr/v0.1')\n"
        "assert dh.open_multiscale(6001247).labels == ['0']\n"
    )
    env = {**os.environ, "OME_ZARR_SOURCE": "offline", "NO_PROXY": "", "no_proxy": ""}
    env |= dict.fromkeys(("http_proxy", "HTTP_PROXY"), "http://127.0.0.1:9")
    subprocess.run([sys.executable, "-c", code], env=env, check=True, timeout=60)


def test_a_stand_in_that_does_not_start_is_one_sentence(monkeypatch):
    from data_helpers import EndpointUnreachableError, choose_source

    def fails(folder):
        raise RuntimeError("The offline stand-in did not start.")

    monkeypatch.setattr("data_helpers.offline.endpoint", fails)
    with pytest.raises(EndpointUnreachableError, match="did not start"):
        choose_source("offline")
