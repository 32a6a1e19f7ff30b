"""The practice server: a real S3 server that starts with one call and leaves nothing behind."""

import glob
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import botocore.session
import psutil
import pytest
import s3fs

from data_helpers import EndpointUnreachableError, OmeZarrError, practice
from data_helpers.practice import practice_server, seaweedfs, server, watch

pytestmark = pytest.mark.skipif(
    not seaweedfs.find_program(), reason="NOT CHECKED: no SeaweedFS for this computer"
)
NAMES = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE")


@pytest.fixture(scope="module")
def s3():
    with practice_server() as running:
        yield running


@pytest.fixture
def fresh(monkeypatch):
    """No server runs in this kernel yet."""
    monkeypatch.setattr(server, "_running", {})


def program_of(running):
    """The server's own process."""
    return psutil.Process(running._process.pid).children()[0]


def wait_until(true, seconds=20):
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.05)
    return true()


# --- while it runs --------------------------------------------------------------------------------


def test_s3fs_botocore_and_a_second_call_find_it_without_arguments(s3):
    files = s3fs.S3FileSystem()
    files.mkdir("found")
    files.pipe("found/a.txt", b"pixels")
    client = botocore.session.get_session().create_client("s3")
    assert client.get_object(Bucket="found", Key="a.txt")["Body"].read() == b"pixels"
    assert practice_server() is s3
    assert repr(s3).startswith(f"Practice S3 server (SeaweedFS) at {s3.endpoint}\n")


def test_its_key_is_random_and_is_not_shown(s3):
    secret = os.environ["AWS_SECRET_ACCESS_KEY"]
    assert len(secret) >= 40 and secret not in repr(s3)
    process = psutil.Process(s3._process.pid)
    for each in (process, program_of(s3)):
        assert secret not in " ".join(each.cmdline())
    folder = Path(process.children()[0].cwd())
    if os.name != "nt":
        assert folder.stat().st_mode & 0o077 == 0  # nobody else looks into it
        assert (folder / "identities.json").stat().st_mode & 0o077 == 0


def test_it_listens_on_this_computer_only_and_answers_nobody_without_a_key(s3):
    listening = [c.laddr for c in program_of(s3).net_connections() if c.status == "LISTEN"]
    assert len(listening) == 2 * len(seaweedfs.SERVICES)
    assert {address.ip for address in listening} == {"127.0.0.1"}
    s3fs.S3FileSystem().mkdir("closed")
    s3fs.S3FileSystem().pipe("closed/a.txt", b"pixels")
    for address in listening:  # no other port is a second way to the objects
        for path in ("closed/a.txt", "buckets/closed/a.txt"):
            with pytest.raises(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{address.port}/{path}", timeout=5)


def test_a_bucket_does_not_come_by_itself(s3):
    with pytest.raises(FileNotFoundError, match="bucket does not exist"):
        s3fs.S3FileSystem().pipe("nobody-made-it/a.txt", b"")


def test_it_stays_small(s3):
    """Binder gives a kernel 1 GB in all; with its own settings SeaweedFS takes twice as much."""
    files = s3fs.S3FileSystem()
    files.mkdir("size")
    content = os.urandom(20_000_000)
    for number in range(6):
        files.pipe(f"size/{number}", content)
    assert all(len(files.cat(f"size/{number}")) == len(content) for number in range(6))
    memory = program_of(s3).memory_info()
    peak = getattr(memory, "peak_wset", None) or memory.rss
    assert peak < 330e6


def test_the_stop_button_does_not_reach_it(s3):
    if os.name == "nt":
        pytest.skip("NOT CHECKED: Windows has no process groups to interrupt")
    group = os.getpgid(s3._process.pid)
    assert group != os.getpgid(0) and os.getpgid(program_of(s3).pid) == group


# --- how it ends ----------------------------------------------------------------------------------


@pytest.fixture
def one_port_is_taken(monkeypatch):
    """The port that looked free for S3 is another program's when the server starts."""
    taken = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=refuse, args=[taken], daemon=True).start()
    true, calls = seaweedfs.free_ports, []

    def ports(count):
        calls.append(count)
        return [taken.getsockname()[1], *true(count - 1)] if len(calls) == 1 else true(count)

    monkeypatch.setattr(seaweedfs, "free_ports", ports)
    yield calls
    taken.close()


def test_stop_puts_the_environment_back_and_deletes_everything(
    fresh, one_port_is_taken, monkeypatch
):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://s3.my-lab.org")
    monkeypatch.setenv("AWS_PROFILE", "lab")
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.my-lab.org:3128")
    before = {name: os.environ.get(name) for name in (*NAMES, "NO_PROXY", "no_proxy")}
    with practice_server() as running:
        assert len(one_port_is_taken) == 2  # the first try failed
        assert os.environ["AWS_ENDPOINT_URL"] == running.endpoint
        assert "AWS_PROFILE" not in os.environ and "127.0.0.1" in os.environ["NO_PROXY"]
        program = program_of(running)
        folder = Path(program.cwd())
        port = int(running.endpoint.rpartition(":")[2])
        assert folder.is_dir()
    assert {name: os.environ.get(name) for name in before} == before
    assert not program.is_running() and not folder.exists()
    assert not glob.glob(f"{seaweedfs.SOCKETS_FOLDER}/seaweedfs-*{port}.sock")
    assert repr(running) == "Practice S3 server (SeaweedFS), stopped; its files are gone"
    running.stop()  # once more


def test_what_somebody_else_set_meanwhile_stays(monkeypatch):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    variables = practice.environment.Variables("http://127.0.0.1:1", "key", "secret")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://s3.my-lab.org")
    variables.restore()
    assert os.environ["AWS_ENDPOINT_URL"] == "https://s3.my-lab.org"
    assert "AWS_ACCESS_KEY_ID" not in os.environ


KERNEL = """
import os, sys, time
from data_helpers.practice import practice_server
server = practice_server()
if "fork" in sys.argv and os.fork() == 0:
    time.sleep(60)  # keeps the pipe to the watching process open
print(server._process.pid, server.endpoint, flush=True)
time.sleep(60)
"""


def test_it_ends_when_the_kernel_is_killed():
    """Even if a forked child of the kernel, such as a worker, keeps the pipe to it open."""
    arguments = ["fork"] if hasattr(os, "fork") else []
    kernel = subprocess.Popen(
        [sys.executable, "-c", KERNEL, *arguments],
        stdout=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,
    )
    try:
        watching, endpoint = kernel.stdout.readline().split()
        watching = psutil.Process(int(watching))
        program = watching.children()[0]
        folder = Path(program.cwd())
        kernel.kill()
        kernel.wait(10)
        assert wait_until(lambda: not program.is_running() and not watching.is_running())
        assert not folder.exists()
        with pytest.raises(OSError):
            urllib.request.urlopen(endpoint, timeout=5)
    finally:
        if arguments:
            os.killpg(kernel.pid, signal.SIGKILL)
        kernel.stdout.close()


def test_a_forked_child_does_not_end_its_parents_server(s3, monkeypatch):
    monkeypatch.setattr(s3, "_owner", os.getpid() + 1)
    s3.stop()
    assert s3.is_running


# --- when it does not start -----------------------------------------------------------------------


def test_without_a_wheel_it_says_which_computers_have_one(fresh, monkeypatch):
    monkeypatch.setattr(seaweedfs, "find_program", lambda: None)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with pytest.raises(OmeZarrError, match=r"Macs with an Apple processor.*set AWS_ENDPOINT_URL"):
        practice_server()


def test_without_a_wheel_the_server_of_the_environment_is_taken(fresh, monkeypatch):
    monkeypatch.setattr(seaweedfs, "find_program", lambda: None)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://s3.my-lab.org/")
    with practice_server() as other:
        assert other.endpoint == "https://s3.my-lab.org"
        assert "not started here" in repr(other)
    assert os.environ["AWS_ENDPOINT_URL"] == "https://s3.my-lab.org/"


def test_a_full_disk_is_said_before_it_starts(fresh, monkeypatch):
    usage = type("Usage", (), {"free": 150_000_000})
    monkeypatch.setattr(server.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(OmeZarrError, match="Only 150 MB of disk are free"):
        practice_server()


def impostor(tmp_path, code):
    """A program that is no S3 server."""
    path = tmp_path / "weed"
    path.write_text(f"#!{sys.executable}\n{code}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.skipif(os.name == "nt", reason="NOT CHECKED: scripts are no programs on Windows")
@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("print('bind: address already in use'); raise SystemExit(1)", "address already in use"),
        ("import time; time.sleep(60)", "Its last words: nothing"),
    ],
    ids=["ends", "hangs"],
)
def test_a_server_that_does_not_start_is_one_sentence(fresh, tmp_path, monkeypatch, code, said):
    monkeypatch.setattr(server, "PATIENCE", 0.7)
    monkeypatch.setattr(seaweedfs, "find_program", lambda: impostor(tmp_path, code))
    monkeypatch.setattr(server.tempfile, "mkdtemp", lambda prefix: make(tmp_path / prefix))
    began = time.monotonic()
    with pytest.raises(EndpointUnreachableError, match=said) as caught:
        practice_server()
    assert "\n" not in str(caught.value) and time.monotonic() - began < 30
    assert not list(tmp_path.glob("practice-s3-*"))


def make(folder):
    folder.mkdir()
    return str(folder)


def refuse(listening):
    """Answer as a web server that is no S3 server."""
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:
            return
        with connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 404 Not Found\r\nServer: other\r\n\r\n")


def test_the_watching_process_needs_the_standard_library_only():
    """It runs with -I -S, where nothing else is found, and so stays small."""
    done = subprocess.run([sys.executable, "-I", "-S", watch.__file__], capture_output=True)
    assert b"IndexError" in done.stderr  # it came as far as asking for its orders
