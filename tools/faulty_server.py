"""A web server that hands on the stand-in and a folder, and often answers badly.

A process of its own, started by `tools/soak.py`:

    python -m tools.faulty_server FOLDER STAND-IN SEED [FAULT TO LEAVE OUT ...]

Keys below ``own/`` are files of the folder, all others are asked of the stand-in once and kept. A
fault is drawn for each request. What it never does is to answer 404 for what is there, or to change
a byte: without a checksum, nobody could notice either.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import re
import socket
import struct
import sys
from collections import Counter
from pathlib import Path

import aiohttp
from aiohttp import web

from benchmarks.loopback import serve

COUNTS = "/counts"
OUTAGE_EVERY, OUTAGE_SECONDS = 40.0, 3.0
HANG_SECONDS = 45.0

FAULTS = {  # of 10,000 requests
    "503": 250,
    "500": 50,
    "429": 100,
    "reset": 150,
    "reset midway": 150,
    "closed midway": 100,
    "cut": 100,
    "slow drip": 60,
    "late": 60,
    "hang": 1,
}
"""What goes wrong, and how often; "outage" comes by the clock, and hits every request for a while.

"cut" sends half the bytes as if they were all; "closed midway" promises all and sends half; "hang"
never answers.
"""


class FaultyServer:
    """Answers rightly or wrongly, and counts."""

    def __init__(self, folder: str, upstream: str, seed: int, without: list[str]) -> None:
        self.without = without
        self.folder, self.upstream = Path(folder), upstream
        self.dice = random.Random(seed)
        self.counts: Counter[str] = Counter()
        self._known: dict[str, bytes | None] = {}
        self._session: aiohttp.ClientSession | None = None

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        if request.path == COUNTS:
            return web.json_response(self.counts)
        body = await self.content(request.path.lstrip("/"))
        self.counts["requests"] += 1
        fault = self.draw()
        if fault:
            self.counts[fault] += 1
            return await self.misbehave(fault, request, body)
        if body is None:
            self.counts["404"] += 1
        return answer(request, body)

    def draw(self) -> str:
        """Which fault it is this time; empty for none."""
        if asyncio.get_running_loop().time() % OUTAGE_EVERY < OUTAGE_SECONDS:
            return "outage"
        number = self.dice.randrange(10_000)
        for fault, share in FAULTS.items():
            number -= share
            if number < 0:
                return "" if fault in self.without else fault
        return ""

    async def content(self, key: str) -> bytes | None:
        """The true bytes of a key; None if there is no such key."""
        if key not in self._known:
            if key.startswith("own/"):
                file = self.folder / key.removeprefix("own/")
                self._known[key] = file.read_bytes() if file.is_file() else None
            else:
                self._known[key] = await self.ask(key)
        return self._known[key]

    async def ask(self, key: str) -> bytes | None:
        """The bytes of a key of the stand-in."""
        if self._session is None:
            self._session = aiohttp.ClientSession(raise_for_status=False)
        async with self._session.get(f"{self.upstream}/{key}") as found:
            if found.status == 404:
                return None
            found.raise_for_status()
            return await found.read()

    async def misbehave(
        self, fault: str, request: web.BaseRequest, body: bytes | None
    ) -> web.StreamResponse:
        """Answer in the way of a fault."""
        if fault in ("503", "outage"):
            return web.Response(status=503)
        if fault == "500":
            return web.Response(status=500)
        if fault == "429":
            return web.Response(status=429, headers={"Retry-After": "1"})
        if fault == "reset":
            return reset(request)
        if fault == "late":
            await asyncio.sleep(self.dice.uniform(0.5, 3))
        elif fault == "hang":
            await asyncio.sleep(HANG_SECONDS)
            return reset(request)
        good = answer(request, body)
        if not isinstance(good.body, bytes) or len(good.body) < 2 or request.method == "HEAD":
            return good
        if fault == "cut":
            return web.Response(
                status=good.status, body=good.body[: len(good.body) // 2], headers=good.headers
            )
        if fault in ("reset midway", "closed midway", "slow drip"):
            try:
                return await self.in_pieces(fault, request, good)
            except ConnectionError:  # whoever asked has hung up
                return good
        return good

    async def in_pieces(
        self, fault: str, request: web.BaseRequest, good: web.Response
    ) -> web.StreamResponse:
        """Promise everything, and send it piece by piece, or only half of it."""
        assert isinstance(good.body, bytes)
        body, slow = good.body, fault == "slow drip"
        stream = web.StreamResponse(status=good.status, headers=good.headers)
        stream.content_length = len(body)
        await stream.prepare(request)
        step = max(1, len(body) // 10)
        pause = self.dice.uniform(0.02, 0.2) if slow else 0
        for start in range(0, len(body) if slow else len(body) // 2, step):
            await stream.write(body[start : start + step])
            await asyncio.sleep(pause)
        if slow:
            await stream.write_eof()
        elif fault == "reset midway":
            return reset(request)
        elif request.transport:
            request.transport.close()
        return stream


def answer(request: web.BaseRequest, body: bytes | None) -> web.Response:
    """The right answer, for a part of an object, too."""
    if body is None:
        return web.Response(status=404)
    headers = {"ETag": f'"{hashlib.md5(body).hexdigest()}"'}
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("Range", ""))
    if not found:
        return web.Response(body=body, headers=headers)
    first, last = found.groups()
    start = int(first) if first else max(0, len(body) - int(last))
    stop = min(len(body), int(last) + 1) if first and last else len(body)
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(body)}"
    return web.Response(status=206, body=body[start:stop], headers=headers)


def reset(request: web.BaseRequest) -> web.StreamResponse:
    """End the connection at once, with RST."""
    if request.transport:
        connection = request.transport.get_extra_info("socket")
        linger = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        request.transport.abort()
    return web.Response(status=500)  # nobody gets this


if __name__ == "__main__":
    folder, upstream, seed, *without = sys.argv[1:]
    asyncio.run(serve(FaultyServer(folder, upstream, int(seed), without)))
