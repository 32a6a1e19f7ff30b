"""A web server in a process of its own: how it serves, starts, is asked, and ends."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Self

from aiohttp import web

HOST = "127.0.0.1"
PATIENCE = 30.0  # seconds until it must have started; it takes about one


async def serve(answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]) -> None:
    """Serve until standard input closes: the program that started this one is gone."""
    runner = web.ServerRunner(web.Server(answer, access_log=None))
    await runner.setup()
    site = web.TCPSite(runner, HOST, 0, backlog=512)
    await site.start()
    print(f"http://{HOST}:{runner.addresses[0][1]}", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    os._exit(0)  # a client's idle connection is no reason to stay


class ServerProcess:
    """A running module that calls `serve`.

    Parameters
    ----------
    module : str
        Such as "benchmarks.endpoint".
    *arguments : str or path
        Of its command line.

    Attributes
    ----------
    address : str
        Such as ``http://127.0.0.1:40123``.
    """

    def __init__(self, module: str, *arguments: str | Path) -> None:
        root = str(Path(__file__).resolve().parents[1])
        paths = filter(None, [root, os.environ.get("PYTHONPATH", "")])
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
            encoding="utf-8",
        )
        timer = threading.Timer(PATIENCE, self._process.kill)
        timer.start()
        assert self._process.stdout is not None
        self.address = self._process.stdout.readline().strip()
        timer.cancel()
        if not self.address:
            raise RuntimeError(f"{module} did not start within {PATIENCE:g} s")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End its process."""
        if self._process.stdin and not self._process.stdin.closed:
            self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()


def ask(url: str, body: bytes | None = None) -> dict[str, Any]:
    """The JSON at an address on this computer, past any proxy."""
    request = urllib.request.Request(url, body)
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(request, timeout=PATIENCE) as answer:
        found: dict[str, Any] = json.load(answer)
    return found
