"""Starts the offline stand-in for a notebook kernel, in its own process, and stops it again.

The server lives as long as the kernel. It holds the other end of a pipe: when the kernel goes,
however it goes, the pipe closes and the server ends.
"""

from __future__ import annotations

import atexit
import functools
import hashlib
import os
import re
import socket
import subprocess
import sys
import threading
from collections import deque
from pathlib import Path
from urllib.parse import urlsplit

from .manifest import FILE

READY = "offline stand-in at "  # the server prints this and its address when it is ready
PATIENCE = 30.0  # seconds; it takes about one


class OfflineServer:
    """An offline stand-in in a process of its own.

    Parameters
    ----------
    delay_ms : float
        Milliseconds the server waits before each answer.
    patience : float
        Seconds to wait for the server to start.
    mirror : str
        Folder of a mirror to serve; the synthetic images if left out.
    mb_per_s : float
        Megabytes a second that the line carries; 0 for no limit.

    Attributes
    ----------
    endpoint : str
        Address of the server, such as ``http://127.0.0.1:40123``.
    pid : int
        Process id of the server.

    Raises
    ------
    RuntimeError
        If the server does not start; the message ends with what the server said.
    """

    def __init__(
        self,
        delay_ms: float = 0,
        patience: float = PATIENCE,
        mirror: str = "",
        mb_per_s: float = 0,
    ) -> None:
        self._owner = os.getpid()
        self._said: deque[str] = deque(maxlen=20)
        self._ready = threading.Event()
        self.endpoint = ""
        options = ["--port", "0", "--delay-ms", str(delay_ms), "--until-stdin-closes"]
        options += ["--mirror", mirror] if mirror else []
        options += ["--mb-per-s", str(mb_per_s)] if mb_per_s else []
        self._process = subprocess.Popen(
            # -P: a file beside the notebook cannot stand in for a module of the server.
            [sys.executable, "-P", "-m", "data_helpers.offline", *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=_environment(),
            encoding="utf-8",
            errors="replace",
            start_new_session=True,  # the kernel's interrupt does not reach it ...
            creationflags=_new_group_on_windows(),  # ... on Windows neither
        )
        self.pid = self._process.pid
        threading.Thread(target=self._listen, daemon=True).start()
        try:
            self._ready.wait(patience)
        finally:  # also when the user interrupts
            if not self.endpoint:
                self._process.kill()
                self.stop()
        if not self.endpoint:
            said = "\n".join(self._said) or f"nothing heard in {patience:g} s."
            raise RuntimeError(f"The offline stand-in did not start: {said}")
        if mirror:
            mirrors[self.endpoint] = mirror
        else:
            addresses.add(self.endpoint)
        atexit.register(self.stop)

    def _listen(self) -> None:
        """Read what the server prints, to its end, so that it never blocks or shows up."""
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._said.append(line.rstrip())
                found = re.search(READY + r"(http://[\d.]+:\d+)", line)
                if found:  # other words may stand in the same line: a thread's warning, say
                    self.endpoint = found[1]
                    self._ready.set()
        self._ready.set()

    def alive(self) -> bool:
        """Tell whether the server runs; also in a forked child of the process that started it."""
        if os.getpid() == self._owner:
            return self._process.poll() is None
        return _answers(self.endpoint)

    def stop(self) -> None:
        """Stop the server. Nothing happens if it has stopped, or in a forked child."""
        if os.getpid() != self._owner:
            return
        addresses.discard(self.endpoint)
        mirrors.pop(self.endpoint, None)
        atexit.unregister(self.stop)
        assert self._process.stdin is not None
        self._process.stdin.close()  # this is what the server waits for
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def start(delay_ms: float = 0, mb_per_s: float = 0) -> OfflineServer:
    """Start an offline stand-in that plays a distant server; return when it answers.

    Parameters
    ----------
    delay_ms : float
        Milliseconds it waits before each answer.
    mb_per_s : float
        Megabytes a second that the line to it carries, for all requests together; 0 for no limit.

    Returns
    -------
    OfflineServer
        Its `endpoint` is the address, and its `stop()` stops it. It ends with the kernel, too.
    """
    _keep_loopback_from_proxies()
    return OfflineServer(delay_ms, mb_per_s=mb_per_s)


def endpoint(mirror: str = "") -> str:
    """Return the address of this kernel's own offline stand-in, starting it if need be.

    Parameters
    ----------
    mirror : str
        Folder of a mirror: the address is that of a server of its own, with the mirror's pixels.

    Returns
    -------
    str
        Such as ``http://127.0.0.1:40123``. The same for the whole life of the kernel, unless
        the server has died: then a new one is started.

    Raises
    ------
    RuntimeError
        If the server does not start.
    """
    global _server
    with _lock:
        if mirror:
            known = _mirrors.get(mirror)
            if known is None or not known.alive():
                _keep_loopback_from_proxies()
                known = _mirrors[mirror] = OfflineServer(mirror=mirror)
            return known.endpoint
        if _server is None or not _server.alive():
            _server = start()
        return _server.endpoint


def lasting_name(address: str) -> str:
    """Return a name for a server of this process that lasts, or nothing if it is none.

    A server listens on another port each time. The name changes only when the images that it serves
    may have changed: the stand-in's follows from its code, whose update paints other images, and a
    mirror's from its list of checksums.

    Parameters
    ----------
    address : str
        Such as ``http://127.0.0.1:40123``.
    """
    if address in addresses:
        return f"offline-{_code_version()}"
    if address in mirrors:
        listed = Path(mirrors[address], FILE).read_bytes()
        return f"mirror-{hashlib.sha256(listed).hexdigest()[:12]}"
    return ""


@functools.cache
def _code_version() -> str:
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parent.iterdir()):
        if file.is_file():
            digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def _keep_loopback_from_proxies() -> None:
    """Tell this kernel's clients that a proxy, where one is set, is not for this computer."""
    for name in ("no_proxy", "NO_PROXY"):
        hosts = [host for host in os.environ.get(name, "").split(",") if host]
        missing = [host for host in ("127.0.0.1", "localhost") if host not in hosts]
        os.environ[name] = ",".join(hosts + missing)


def _environment() -> dict[str, str]:
    """Return the environment of the server, where `data_helpers` is found from any folder."""
    root = str(Path(__file__).resolve().parents[2])
    paths = [root, os.environ.get("PYTHONPATH", "")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "PYTHONUTF8": "1"}


def _new_group_on_windows() -> int:
    if sys.platform == "win32":
        return subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
    return 0


def _answers(address: str) -> bool:
    """Tell whether something listens at an address on this computer."""
    parts = urlsplit(address)
    try:
        socket.create_connection((parts.hostname or "", parts.port or 0), timeout=1).close()
    except OSError:
        return False
    return True


def _forget_lock() -> None:
    """Give a forked child a lock of its own: the thread that held the old one is not in it."""
    global _lock
    _lock = threading.Lock()


addresses: set[str] = set()
"""Of the stand-ins that this process started and that run."""

mirrors: dict[str, str] = {}
"""Address and folder of the mirrors that this process serves."""

_server: OfflineServer | None = None
_mirrors: dict[str, OfflineServer] = {}
_lock = threading.Lock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_lock)
