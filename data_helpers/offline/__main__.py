"""Run the offline stand-in by hand: ``python -m data_helpers.offline --port 9000``.

A notebook kernel starts it too, through `data_helpers.offline.process`.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time

from ..errors import OmeZarrError
from .catalogue import build_catalogue
from .mirror import MirrorApp
from .process import READY
from .server import HOST, OfflineThread, S3App

EXAMPLES = (
    "zarr/v0.1/6001247.zarr/.zattrs",
    "zarr/v0.1/9822152.zarr/10/0.0.0.0.0",
    "zarr/v0.4/idr0044A/4007801.zarr/4/265/1/494/0/0",
)


def main(arguments: list[str] | None = None) -> int:
    """Serve until Ctrl-C, or until the program that started this server is gone."""
    parser = argparse.ArgumentParser(
        prog="python -m data_helpers.offline",
        description=f"Serve the synthetic stand-in images over S3 on {HOST}.",
    )
    parser.add_argument("--port", type=int, default=9000, help="0 takes a free port (%(default)s)")
    parser.add_argument(
        "--delay-ms", type=float, default=0, help="wait before each answer, as a distant server"
    )
    parser.add_argument(
        "--mb-per-s", type=float, default=0, help="megabytes a second at most, as a slow line"
    )
    parser.add_argument("--mirror", help="serve the real images in this folder, see docs/mirror.md")
    parser.add_argument("--until-stdin-closes", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if not 0 <= options.port <= 65535 or min(options.delay_ms, options.mb_per_s) < 0:
        parser.error("the port is between 0 and 65535; neither delay nor speed is negative")
    try:
        return serve(options)
    except KeyboardInterrupt:
        print("\nStopped.")
        return 0


def serve(options: argparse.Namespace) -> int:
    """Serve what the options ask for; 1 if that cannot be served."""
    app: S3App
    try:
        if options.mirror:
            app = MirrorApp(options.mirror, options.delay_ms)
        else:
            app = S3App(build_catalogue(), options.delay_ms, options.mb_per_s)
        server = OfflineThread(options.port, app=app)
    except OmeZarrError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(
            f"Cannot listen on port {options.port} ({error.strerror}): "
            "choose another, or --port 0 for a free one.",
            file=sys.stderr,
        )
        return 1
    try:
        if options.until_stdin_closes:
            # An interrupt is for the code of the kernel.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            print(READY + server.endpoint, flush=True)
            wait_for_parent(server)
        else:
            if isinstance(app, MirrorApp):
                print(f"Serving the mirror {app.folder} at {server.endpoint} (bucket idr).")
            else:
                print_banner(server.endpoint)
            sys.stdout.flush()
            wait_for_interrupt(server)
    finally:
        server.stop()
    return 0


def print_banner(endpoint: str) -> None:
    """Say where the server is, what it serves and how to use it."""
    print(f"Serving the synthetic stand-in images at {endpoint} (bucket idr); Ctrl-C stops it.")
    print("The data are synthetic: computed on this computer, not downloaded from IDR. Try:")
    for key in EXAMPLES:
        print(f"  {endpoint}/idr/{key}")
    print(f"In a notebook: choose_source('{endpoint}')")


def wait_for_interrupt(server: OfflineThread) -> None:
    """Return when the server stops by itself; Ctrl-C raises KeyboardInterrupt as anywhere.

    It sleeps rather than join the thread: up to Python 3.12, a join that Ctrl-C interrupts takes a
    thread that still runs for ended, and the socket would be closed under it.
    """
    while server.alive():
        time.sleep(0.5)


def wait_for_parent(server: OfflineThread) -> None:
    """Return when standard input closes or the parent process changes: the kernel is gone.

    Both are watched, because a forked child of the kernel may hold the pipe open after it.
    """
    closed = threading.Event()
    threading.Thread(target=read_to_end, args=(closed,), daemon=True).start()
    parent = os.getppid()
    while server.alive() and os.getppid() == parent and not closed.wait(0.5):
        pass


def read_to_end(closed: threading.Event) -> None:
    """Read standard input to its end, then set the event."""
    try:
        while os.read(0, 1024):
            pass
    finally:
        closed.set()


if __name__ == "__main__":
    sys.exit(main())
