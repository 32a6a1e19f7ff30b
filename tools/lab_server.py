"""Run JupyterLab for `run.py`: say its address once, and keep what it says in a file."""

import contextlib
import os
import re
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from tools.claim import try_to_lock
from tools.places import can_write

LINE = "-" * 79
ADDRESS = re.compile(r"(https?://(?:127\.0\.0\.1|localhost):\d+/\S*?)lab/tree/\S*?(\?token=\S+)?\s")
SLOW = 60  # seconds without an address, after which the user is told where to look
PAUSE = 0.1  # seconds between two looks into the log


def open_log(root: Path) -> "tuple[int, Path]":
    """Open an empty log that no other running JupyterLab writes to; only its user can read it."""
    folder = root / "build"
    if not can_write(str(folder)):
        folder = Path(tempfile.gettempdir())
    folder.mkdir(exist_ok=True)
    for number in range(1, 100):
        path = folder / ("jupyterlab.log" if number == 1 else f"jupyterlab-{number}.log")
        try:
            file = os.open(str(path), os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        except PermissionError:  # in a shared folder it may be somebody else's
            continue
        if try_to_lock(file):
            os.ftruncate(file, 0)
            return file, path
        os.close(file)
    raise OSError(f"All logs in {folder} are in use: close a JupyterLab and try again.")


def address_in(log: str) -> str:
    """Return the address in what JupyterLab said so far, or an empty string.

    JupyterLab's own address names the notebook it opens. The short one leads there, too, and fits a
    line of 80 characters.
    """
    found = ADDRESS.search(log)
    return found[1] + (found[2] or "") if found else ""


def framed(address: str, log: Path, opens_browser: bool) -> str:
    """Return the lines that tell the user where JupyterLab is."""
    what = "JupyterLab is ready. "
    what += "Your browser opens it; if not, go to" if opens_browser else "Open it in your browser:"
    end = f"Ctrl-C in this window ends it. Its log is in {log}"
    return "\n".join([LINE, what, "", address, "", end, LINE])


def serve(command: list, env: dict, root: Path) -> int:
    """Run JupyterLab until it ends; return its exit code."""
    file, log = open_log(root)
    shown = log.relative_to(root) if root in log.parents else log
    options = {"stdout": file, "stderr": subprocess.STDOUT, "env": env}
    with subprocess.Popen(command, **options) as process, passed_on(process):
        told = wait_for_address(process, log, shown, "--no-browser" not in command)
        code = process.wait()
    os.close(file)
    if not told:
        print("".join(log.read_text("utf-8", "replace").splitlines(keepends=True)[-15:]))
        print(f"JupyterLab ended before it was ready. Its last words are above and in {shown}.")
    return 128 - code if code < 0 else code


@contextlib.contextmanager
def passed_on(process):
    """Let signals that would end this program end JupyterLab instead, which then ends this one.

    On Windows, Ctrl-C reaches JupyterLab by itself.
    """

    def end(*_) -> None:
        if os.name != "nt":
            process.terminate()

    names = [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {name: signal.signal(getattr(signal, name), end) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)


def wait_for_address(process, log: Path, shown: Path, opens_browser: bool) -> bool:
    """Print the address as soon as JupyterLab says it; False if JupyterLab ends before."""
    began, warned = time.monotonic(), False
    while process.poll() is None:
        address = address_in(log.read_text("utf-8", "replace"))
        if address:
            print(framed(address, shown, opens_browser), flush=True)
            return True
        if time.monotonic() - began > SLOW and not warned:
            print(f"JupyterLab takes long to start; {shown} says what it is doing.", flush=True)
            warned = True
        time.sleep(PAUSE)
    return False
