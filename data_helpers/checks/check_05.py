"""Checks of notebook 05, find out what makes reading fast.

Numbers, requests and seconds are measured while the check runs; no result is kept here.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..meter import Cost, request_meter
from ..stored_array import StoredArray
from .feedback import a_kind, array_of, call, check, expect
from .steps import Steps

STEPS = Steps("Notebook 05")
progress = STEPS.progress

TIMES_AS_FAST = 10
MOST_CHUNKS, MOST_BYTES, LEAST_BYTES = 4, 100_000, 10_000
TRIES = 4
"""How often an answer may try to be fast: another program may hold it up once."""


@check(STEPS, 1)
def needed(
    needed: Any, stored: StoredArray, times: Sequence[int], regions: Sequence[tuple[slice, slice]]
) -> str:
    """Check how many requests the curves need: one for each time, as all regions share a chunk."""
    expect(
        isinstance(needed, numbers.Integral) and not isinstance(needed, bool),
        f"needed should be one whole number, not {a_kind(needed)}.",
    )
    truth, number = len(times), int(needed)
    expect(
        number != truth * len(regions),
        f"{number} is what the loop sends: a request for each region and time. But all regions "
        "lie in the same plane, and a plane is one chunk.",
    )
    expect(
        number != len(regions),
        "this counts the regions, but they share a chunk. What is in a chunk of its own?",
    )
    expect(number != 1, "one request brings one chunk, and each time is a chunk of its own.")
    expect(
        number != stored.shape[0],
        f"this is every time of the movie; the curves have {truth} times.",
    )
    expect(
        number == truth,
        f"look at the chunk shape, {stored.chunks}: how many chunks hold {len(times)} times of "
        "one plane?",
    )
    return f"one chunk for each of the {truth} times, whatever the number of regions."


@check(STEPS, 2)
def faster(
    faster: Any,
    slow_curves: Callable[..., Any],
    stored: StoredArray,
    times: Sequence[int],
    regions: Sequence[tuple[slice, slice]],
) -> str:
    """Check a function that measures the same curves at least ten times as fast.

    Both functions run here, one after the other, on the same stored array.
    """
    expect(callable(faster), f"faster should be a function, not {a_kind(faster)}.")
    curves, slow = _run(slow_curves, "slow_curves", stored, times, regions)
    found, fast = _run(faster, "faster", stored, times, regions)
    _expect_curves(found, np.asarray(curves), times, regions)
    expect(
        _close(found, np.asarray(curves))
        or not _close(found, np.asarray(slow_curves(_OtherChannel(stored), times, regions))),
        "these are the curves of the other channel, the nuclei: the membranes are channel 1.",
    )
    expect(
        _close(found, np.asarray(curves)),
        "the numbers differ from those of slow_curves: the mean of each region, in the same "
        "channel and depth, at the same times.",
    )
    wanted = len(times)
    sent = fast.requests - fast.retries
    expect(
        sent > 0,
        "the numbers are right, but nothing was read: they come from an earlier run or from a "
        "cache. Read from the array that faster is given.",
    )
    chunks = round(sent * (1 - fast.fetched_twice))
    expect(
        chunks <= wanted,
        f"too many chunks: {chunks} were fetched, and {wanted} hold all that is needed. Take only "
        "the times, the channel and the depth of the curves.",
    )
    expect(
        sent <= wanted,
        f"chunks were fetched twice: {sent} requests for {chunks} chunks. Read each plane "
        "once, keep it, and cut all regions out of it.",
    )
    expect(
        fast.most_in_flight > 1,
        f"still one request after another, {sent} round trips. Read all planes with one index, "
        "stored[first:last + 1, 1, z], so that they travel together.",
    )
    expect(
        _best_ratio(slow, fast, faster, stored, times, regions) >= TIMES_AS_FAST,
        f"{slow.seconds / fast.seconds:.1f} times as fast, with up to {fast.most_in_flight} "
        f"requests in flight. {TIMES_AS_FAST} times is wanted: keep more in flight, and slice the "
        "stored array rather than a Dask array with a million blocks.",
    )
    return (
        f"the same curves with {wanted} requests instead of {slow.requests - slow.retries}, and "
        f"more than {TIMES_AS_FAST} times as fast."
    )


@check(STEPS, 3)
def best(best: Any, pixels: np.ndarray, part: Sequence[int | slice]) -> str:
    """Check a chunk shape that answers one question with few chunks, and not too many bytes."""
    expect(
        isinstance(best, tuple | list) and len(best) == len(pixels.shape),
        f"best should be a chunk shape, one number for each of the {len(pixels.shape)} axes, such "
        f"as (1, 1, 128, 135); this is {a_kind(best)}.",
    )
    expect(
        all(isinstance(size, int | np.integer) and size > 0 for size in best),
        "each number of a chunk shape is a whole number above zero.",
    )
    chunk = [min(int(size), whole) for size, whole in zip(best, pixels.shape, strict=True)]
    wanted = [range(n)[p] for n, p in zip(pixels.shape, part, strict=True)]
    spans = [_chunks_touched(*axis) for axis in zip(wanted, chunk, strict=True)]
    touched, size = math.prod(spans), math.prod(chunk) * pixels.dtype.itemsize
    expect(
        spans[0] == 1,
        f"the cell is wanted at {pixels.shape[0]} times, and they are spread over {spans[0]} "
        "chunks. Make the first number larger, so that one chunk holds all times.",
    )
    expect(
        chunk[1] == 1 or touched * size <= MOST_BYTES,
        f"{touched * size / 1000:,.0f} kB are read, because {chunk[1]} depths share a chunk. The "
        "cell is wanted at one depth only.",
    )
    expect(
        touched <= MOST_CHUNKS,
        f"{touched} chunks are read, since rows and columns cut the cell into {spans[2]} × "
        f"{spans[3]} pieces. Make the last two numbers larger; {MOST_CHUNKS} chunks are allowed.",
    )
    expect(
        touched * size <= MOST_BYTES,
        f"{touched * size / 1000:,.0f} kB are read, and {MOST_BYTES // 1000} kB are allowed. The "
        "cell has 10 × 10 pixels, so fewer rows and columns are enough.",
    )
    expect(
        size >= LEAST_BYTES,
        f"a chunk of {size / 1000:,.1f} kB is too small, and a large image would have millions of "
        f"them. Make it {LEAST_BYTES // 1000} kB or more.",
    )
    return (
        f"{touched} chunk{'s' * (touched > 1)} and {touched * size / 1000:,.0f} kB; chunks of one "
        f"plane would take {pixels.shape[0]} and "
        f"{pixels.shape[0] * math.prod(pixels.shape[2:]) * pixels.dtype.itemsize / 1000:,.0f} kB."
    )


def _chunks_touched(wanted: int | range, size: int) -> int:
    """Chunks along one axis that hold an index, or all of a range."""
    first, last = (wanted, wanted) if isinstance(wanted, int) else (wanted[0], wanted[-1])
    return last // size - first // size + 1


def _run(function: Any, name: str, *arguments: Any) -> tuple[Any, Cost]:
    """What a function returns, and what it cost."""
    with request_meter(show=False) as cost:
        found = call(function, name, *arguments)
    return found, cost


def _best_ratio(slow: Cost, fast: Cost, faster: Any, *arguments: Any) -> float:
    """How many times as fast an answer is, in the best of several tries."""
    seconds = fast.seconds
    for _ in range(TRIES - 1):
        if slow.seconds >= TIMES_AS_FAST * seconds:
            break
        seconds = min(seconds, _run(faster, "faster", *arguments)[1].seconds)
    return slow.seconds / max(seconds, 1e-9)


class _OtherChannel:
    """A stored array of two channels, in which they are swapped."""

    def __init__(self, stored: StoredArray) -> None:
        self._stored = stored

    def __getitem__(self, place: tuple[int, int, int]) -> np.ndarray:
        t, c, z = place
        return self._stored[t, 1 - c, z]


def _expect_curves(
    found: Any,
    curves: np.ndarray,
    times: Sequence[int],
    regions: Sequence[tuple[slice, slice]],
) -> None:
    """A hint unless these are the curves, an array of shape (regions, times)."""
    expect(
        not isinstance(found, list | tuple),
        "faster returns a list of lists: make an array of it, np.array(...).",
    )
    answer = array_of(found, "what faster returns")
    shape = (len(regions), len(times))
    expect(
        answer.shape == shape or answer.shape != shape[::-1],
        f"the array is the wrong way round, {answer.shape}: a row for each region, {shape}.",
    )
    expect(
        answer.ndim != 1 or answer.size != math.prod(shape),
        f"all values are in one long row; a row for each region makes {shape}.",
    )
    expect(
        answer.shape == shape,
        f"faster returns an array of shape {answer.shape}; one number for each region and time "
        f"makes {shape}.",
    )
    expect(
        not _close(answer, curves[::-1]) or _close(answer, curves),
        "the regions come in another order: the first row belongs to regions[0].",
    )
    expect(
        not _close(answer, curves[:, ::-1]) or _close(answer, curves),
        "the times run backwards: the first column belongs to times[0].",
    )
    expect(
        not _close(answer, np.repeat(answer[:1], len(regions), axis=0)) or _close(answer, curves),
        "every region has the same curve: cut the region out of the plane, plane[region], before "
        "taking the mean.",
    )


def _close(one: np.ndarray, other: np.ndarray) -> bool:
    return one.shape == other.shape and bool(np.allclose(one, other))
