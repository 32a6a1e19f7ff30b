"""Servers that drip, stall, redirect and ask for patience: one deadline holds for all attempts."""

import asyncio
import contextlib
import time

import aiohttp
import numpy as np
import pytest
from support import misbehaving as faults
from support.images import noise, write_v2

from data_helpers import open_multiscale, request_meter
from data_helpers._store import deadline, transport
from data_helpers._store.access import find_access
from data_helpers.errors import ChunkError, EndpointUnreachableError, OmeZarrError

PIXELS = noise(2, 32, 32)
CHUNK = "0/1/0/0"
SECONDS = 0.6
LATE = 3.0
"""Seconds that an error may come late on a busy computer; four attempts take longer."""


@pytest.fixture(params=["constant", "client_kwargs", "timeout"])
def options(request, monkeypatch):
    """The ways to say how long a key may take."""
    if request.param == "constant":
        monkeypatch.setattr(transport, "TOTAL_SECONDS", SECONDS)
        return None
    timeout = aiohttp.ClientTimeout(total=SECONDS)
    return {"client_kwargs": {"timeout": timeout}} if "_" in request.param else {"timeout": timeout}


def write(tmp_path):
    write_v2(tmp_path, [PIXELS], {"version": "0.3", "axes": ["z", "y", "x"]})


def drip(request, content):
    """The first half at once, the rest byte by byte."""
    request.close_connection = True
    request.send(content[: len(content) // 2], length=len(content))
    for byte in content[len(content) // 2 :]:
        if request.server_.stopping.wait(0.1):
            return
        request.wfile.write(bytes([byte]))


def drip_headers(request, content):
    """Headers, byte by byte and without an end."""
    request.close_connection = True
    with contextlib.suppress(OSError):
        request.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not request.server_.stopping.wait(0.1):
            request.wfile.write(b"x")


def drip_chunks(request, content):
    """An answer in pieces of one byte, without an end."""
    request.close_connection = True
    request.send_response(200)
    request.send_header("Transfer-Encoding", "chunked")
    request.end_headers()
    with contextlib.suppress(OSError):
        while not request.server_.stopping.wait(0.1):
            request.wfile.write(b"1\r\nx\r\n")


SLOW = [drip, drip_headers, drip_chunks, faults.hang]


@pytest.mark.parametrize("slow", SLOW, ids=lambda fault: fault.__name__)
def test_a_chunk_that_drips_is_given_up(slow, options, served, tmp_path):
    write(tmp_path)
    image = open_multiscale(served.endpoint, storage_options=options)
    served.fault(CHUNK, slow, forever=True)
    start = time.monotonic()
    with pytest.raises(ChunkError) as caught:
        image.stored[0][1]
    took = time.monotonic() - start
    assert SECONDS * 0.8 < took < SECONDS + LATE
    said = str(caught.value)
    assert "no answer in time: a key may take 0.6 s with all attempts" in said
    assert CHUNK in said and served.endpoint in said and "\n" not in said
    np.testing.assert_array_equal(image.stored[0][0], PIXELS[0])


def test_metadata_that_drip_are_given_up(served, tmp_path, monkeypatch):
    write(tmp_path)
    monkeypatch.setattr(transport, "TOTAL_SECONDS", SECONDS)
    served.fault("0/.zarray", drip, forever=True)
    start = time.monotonic()
    with pytest.raises(EndpointUnreachableError, match=r"0/\.zarray .* 0\.6 s with all attempts"):
        open_multiscale(served.endpoint)
    assert time.monotonic() - start < SECONDS + LATE


def test_attempts_share_the_time(served, tmp_path, monkeypatch, quick):
    """The first attempts take most of it; what is left is too short for the third."""
    write(tmp_path)
    image = open_multiscale(served.endpoint)
    monkeypatch.setattr(transport, "TOTAL_SECONDS", 1.0)

    def slowly_busy(request, content):
        request.server_.stopping.wait(0.4)
        request.send(b"", 503)

    served.fault(CHUNK, slowly_busy, slowly_busy, faults.hang, forever=True)
    start = time.monotonic()
    with pytest.raises(ChunkError, match="after 3 attempts: no answer in time"):
        image.stored[0][1]
    assert time.monotonic() - start < 1.0 + LATE
    served.fault(CHUNK, slowly_busy)
    np.testing.assert_array_equal(image.stored[0][1], PIXELS[1])  # there is time for a second one


def test_patience_that_a_server_asks_for_is_not_given(served, tmp_path, quick):
    write(tmp_path)
    image = open_multiscale(served.endpoint)
    wait = faults.status(503, Retry_After="36000")
    served.fault(CHUNK, wait, wait)
    start = time.monotonic()
    np.testing.assert_array_equal(image.stored[0][1], PIXELS[1])
    served.fault(CHUNK, wait, forever=True)
    with pytest.raises(ChunkError, match="answers 503"):
        image.stored[0][1]
    assert time.monotonic() - start < LATE


def test_redirects_without_end(served, tmp_path, quick):
    write(tmp_path)
    image = open_multiscale(served.endpoint)
    served.fault(CHUNK, faults.status(302, Location=f"/{CHUNK}"), forever=True)
    with pytest.raises(ChunkError) as caught:
        image.stored[0][1]
    assert "\n" not in str(caught.value) and served.times_asked(CHUNK) < 50


def test_headers_without_end(served, tmp_path, quick):
    write(tmp_path)
    image = open_multiscale(served.endpoint)
    sent = []

    def endless_headers(request, content):
        request.close_connection = True
        with contextlib.suppress(OSError):
            request.wfile.write(b"HTTP/1.1 200 OK\r\n")
            for number in range(200_000):
                request.wfile.write(b"X-Header-%d: %s\r\n" % (number, b"x" * 1000))
                sent.append(1)

    served.fault(CHUNK, endless_headers, forever=True)
    with pytest.raises(ChunkError) as caught:
        image.stored[0][1]
    assert "\n" not in str(caught.value) and len(sent) < 40_000  # kB, in four attempts


def test_a_slow_line_has_its_time(served, tmp_path, monkeypatch):
    """What comes steadily comes whole, however long each attempt may wait for the next bytes."""
    write(tmp_path)
    image = open_multiscale(served.endpoint)
    monkeypatch.setattr(transport, "READ_SECONDS", 0.5)
    monkeypatch.setattr(transport, "TOTAL_SECONDS", 20.0)

    def slow_line(request, content):
        request.send(content[:1], length=len(content))
        step = len(content) // 8
        for start in range(1, len(content), step):
            time.sleep(0.12)
            request.wfile.write(content[start : start + step])

    served.fault(CHUNK, slow_line)
    with request_meter() as cost:
        np.testing.assert_array_equal(image.stored[0][1], PIXELS[1])
    assert cost.retries == 0


def test_what_waits_in_this_computer_loses_no_time(monkeypatch):
    """One request after the other: the last has waited for all the others, and lost nothing."""
    monkeypatch.setattr(deadline, "CONCURRENCY", 1)

    async def one():
        with deadline.within(60.0) as clock:
            async with deadline.place():
                await asyncio.sleep(0.1)
            return 60.0 - clock.left

    async def many():
        return await asyncio.gather(*(one() for _ in range(10)))

    start = time.monotonic()
    lost = asyncio.run(many())
    took = time.monotonic() - start
    assert took > 0.9 and min(lost) > 0.09
    assert sum(lost) < took + 0.1  # with what they waited it would be five times as much


@pytest.mark.parametrize(
    ("options", "seconds"),
    [
        (None, None),
        ({"headers": {}}, None),
        ({"client_kwargs": {"timeout": aiohttp.ClientTimeout(sock_read=3)}}, 300),
        ({"client_kwargs": {"timeout": aiohttp.ClientTimeout(total=7)}}, 7),
        ({"timeout": 5}, 5),
        ({"timeout": aiohttp.ClientTimeout(total=0)}, None),
    ],
    ids=str,
)
def test_where_the_time_is_said(options, seconds):
    access = find_access("https://host/image.ozx", options)
    assert access.seconds in (seconds, None if seconds == 300 else seconds)


def test_a_kept_object_that_is_confirmed_slowly(served, tmp_path, monkeypatch):
    """The question whether what a cache holds is still the same counts, too."""
    write(tmp_path / "image")
    address = f"{served.endpoint}/image"
    cache = tmp_path / "cache"
    np.testing.assert_array_equal(open_multiscale(address, cache=cache).stored[0][:], PIXELS)
    monkeypatch.setattr(transport, "TOTAL_SECONDS", SECONDS)
    served.fault("*", drip_headers, forever=True)
    start = time.monotonic()
    with contextlib.suppress(OmeZarrError):
        open_multiscale(address, cache=cache).stored[0][:]
    assert time.monotonic() - start < 3 * (SECONDS + LATE)
