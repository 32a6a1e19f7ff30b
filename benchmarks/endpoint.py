"""An endpoint with chosen latency, bandwidth and error rate, in a process of its own.

It answers ``GET`` and ``HEAD`` of single objects from memory (see `objects`), which takes a
fraction of a millisecond, so a client waits for what was chosen here and for nothing else. It
counts what it was asked for by itself: the figures do not depend on what is measured.

`start` starts it, `Endpoint.set` chooses and starts to count anew, `Endpoint.counts` tells.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from aiohttp import web

from .loopback import ServerProcess, ask, serve
from .objects import Objects

CONTROL = "/control"
HELD_AT_MOST = 10.0  # seconds that requests are held back, see Settings.hold


@dataclass
class Settings:
    """How the endpoint answers.

    Attributes
    ----------
    latency_ms : float
        Added to each request; requests in flight wait side by side.
    bandwidth_mbit : float
        Megabits a second that all answers share; 0 is as fast as the computer allows.
    error_rate : float
        Share of requests (0 to 1) answered with 503. The same ones in every run.
    hold : int
        Answer no chunk until this many requests are in flight together, or for `HELD_AT_MOST`
        seconds; 0 or 1 holds nothing back. Metadata are always answered.
    """

    latency_ms: float = 0.0
    bandwidth_mbit: float = 0.0
    error_rate: float = 0.0
    hold: int = 0


class Requests:
    """What was asked for since counting began; moments are the numbers of events, not times."""

    def __init__(self) -> None:
        self.bytes = self.not_found = self.errors = self.in_flight = self.most_in_flight = 0
        self.asked: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.spans: list[tuple[int, int]] = []
        self._moment = 0

    def begin(self, path: str) -> int:
        """Note that a request has come; return the moment."""
        self.asked[path] += 1
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        self._moment += 1
        return self._moment

    def end(self, path: str, begun: int, status: int, size: int) -> None:
        """Note that its answer goes out."""
        self.in_flight -= 1
        self._moment += 1
        self.spans.append((begun, self._moment))
        self.bytes += size
        self.not_found += status == 404
        self.errors += status == 503
        self.answered[path] += status == 200

    def summary(self) -> dict[str, Any]:
        """The counts as plain numbers."""
        return {
            "requests": self.asked.total(),
            "bytes": self.bytes,
            "not_found": self.not_found,
            "errors": self.errors,
            "most_in_flight": self.most_in_flight,
            "duplicates": sum(times - 1 for times in self.answered.values() if times > 1),
            "rounds": rounds(self.spans),
            "keys": dict(self.asked),
        }


def rounds(spans: Iterable[tuple[int, int]]) -> int:
    """Length of the longest chain of requests, each begun after the one before was answered.

    A client that asks for everything at once needs one round, however slow the answers are.
    """
    chain, free = 0, 0
    for begin, end in sorted(spans, key=lambda span: span[1]):
        if begin > free:
            chain, free = chain + 1, end
    return chain


class Answering:
    """The server: every request waits for its latency, then for its turn on the shared line."""

    def __init__(self) -> None:
        self.objects = Objects()
        self.change({})

    def change(self, settings: dict[str, Any]) -> None:
        """Take new settings and count anew."""
        self.settings = Settings(**settings)
        self.requests = Requests()
        self.painted_before = self.objects.made
        self.line_free = 0.0  # when the shared line has sent all that it was given
        self.dice = random.Random(0)
        self.enough = asyncio.Event()  # as many in flight as the settings hold back for
        if self.settings.hold <= 1:
            self.enough.set()

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        if request.path == CONTROL:
            return await self.control(request)
        requests, path = self.requests, request.path.removeprefix("/")
        begun = requests.begin(path)
        status, body = 500, b""
        try:
            status, body = await self.answer(path)
        finally:  # also when the client hangs up
            requests.end(path, begun, status, len(body) if request.method == "GET" else 0)
        return web.Response(status=status, body=body, content_type="binary/octet-stream")

    async def answer(self, path: str) -> tuple[int, bytes]:
        """Wait as long as it takes to answer here; return the status and the bytes."""
        unlucky = self.dice.random() < self.settings.error_rate
        if "/.z" not in path:
            await self.wait_for_company()
        await asyncio.sleep(self.settings.latency_ms / 1000)
        if unlucky:
            return 503, b""
        if self.objects.kept(path):
            body = self.objects.get(path)
        else:
            body = await asyncio.to_thread(self.objects.get, path)
        await self.wait_for_line(len(body or b""))
        return (404, b"") if body is None else (200, body)

    async def wait_for_company(self) -> None:
        """Wait until as many requests are in flight as the settings say."""
        if self.requests.in_flight >= self.settings.hold:
            self.enough.set()
        if self.enough.is_set():
            return
        try:
            await asyncio.wait_for(self.enough.wait(), HELD_AT_MOST)
        except TimeoutError:
            self.enough.set()  # they never came, as the counts will show

    async def wait_for_line(self, size: int) -> None:
        """Wait until the line, which all answers share, has sent this one."""
        if self.settings.bandwidth_mbit:
            now = asyncio.get_running_loop().time()
            self.line_free = max(now, self.line_free) + size * 8e-6 / self.settings.bandwidth_mbit
            await asyncio.sleep(self.line_free - now)

    async def control(self, request: web.BaseRequest) -> web.Response:
        """Tell the counts, or (POST) take new settings; neither is counted."""
        if request.method == "POST":
            self.change(await request.json())
        counts = self.requests.summary()
        counts["painted"] = self.objects.made - self.painted_before
        return web.json_response(counts)


class Endpoint(ServerProcess):
    """A running endpoint; the images are in the bucket ``idr`` of its address."""

    def __init__(self) -> None:
        super().__init__("benchmarks.endpoint")

    def set(self, settings: Settings | None = None) -> None:
        """Choose how it answers from now on, and count anew."""
        control(self.address, settings or Settings())

    def counts(self) -> dict[str, Any]:
        """What it was asked for since the last `set`."""
        return control(self.address)


def control(address: str, settings: Settings | None = None) -> dict[str, Any]:
    """Ask an endpoint for its counts, or give it new settings; from any process.

    Returns
    -------
    dict
        ``requests``, ``bytes``, ``not_found``, ``errors`` (503), ``most_in_flight``,
        ``duplicates`` (answers with content for a key that had been answered so before),
        ``rounds`` (see `rounds`), ``keys`` (how often each was asked for), ``painted`` (chunks
        that had to be painted first: the time of such a run is no measure).
    """
    body = None if settings is None else json.dumps(asdict(settings)).encode()
    return ask(address + CONTROL, body)


if __name__ == "__main__":
    asyncio.run(serve(Answering()))
