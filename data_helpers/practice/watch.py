"""Run a server until it is asked to end, or until the program that asked for it is gone.

    python watch.py ORDERS

ORDERS is JSON: the `command`, the `folder` it runs in (removed at the end, whole), its `log`, and
other files to `remove`. This is a process of its own, so that the server ends also if the kernel
is killed; it imports the standard library only, to be small. It prints the server's process id,
and reads standard input, which closes when the kernel ends.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from types import FrameType
from typing import Any

LOOK = 0.5  # seconds between two looks whether the server, and who asked for it, are there


def watch(orders: dict[str, Any]) -> None:
    """Start the server, wait for a reason to end it, end it, and tidy up."""
    parent, asked = os.getppid(), threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        asked.set()

    for name in {"SIGTERM", "SIGHUP", "SIGINT"} & set(dir(signal)):
        signal.signal(getattr(signal, name), end)
    threading.Thread(target=wait_for_end, args=[asked], daemon=True).start()
    with open(orders["log"], "wb") as log:
        server = subprocess.Popen(
            orders["command"],
            cwd=orders["folder"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        print(server.pid, flush=True)
        # A forked child of the kernel may hold the other end of standard input open, so the parent
        # is looked at, too. On Windows nothing is forked.
        while not asked.wait(LOOK) and server.poll() is None and os.getppid() == parent:
            pass
        crashed = server.poll() is not None
        server.kill()
        server.wait()
    if crashed:
        wait_for_end(asked)  # whoever started this still wants to read the log
    tidy(orders)


def wait_for_end(asked: threading.Event) -> None:
    """Wait for a line on standard input, or for its end."""
    sys.stdin.readline()
    asked.set()


def tidy(orders: dict[str, Any]) -> None:
    """Remove the folder and the other files; Windows lets go of a killed program's files late."""
    for _ in range(20):
        shutil.rmtree(orders["folder"], ignore_errors=True)
        if not os.path.exists(orders["folder"]):
            break
        time.sleep(0.1)
    for path in orders["remove"]:
        if os.path.exists(path):
            os.unlink(path)


if __name__ == "__main__":
    watch(json.loads(sys.argv[1]))
    os._exit(0)  # a thread may still wait for standard input
