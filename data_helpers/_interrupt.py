"""Wait for requests in such a way that the stop button of a notebook stops them, too.

Requests run in a thread of Zarr's own, while the thread that asked for pixels waits. When Zarr's
own way of waiting is interrupted, the requests go on, hundreds of them, and hold up what the next
cell asks for.
"""

from __future__ import annotations

import asyncio
import functools
import sys
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import CancelledError, Future
from queue import Empty, SimpleQueue
from typing import Any, TypeVar
from weakref import WeakSet

from dask.callbacks import Callback

from ._compat import event_loop
from .errors import OmeZarrError

T = TypeVar("T")

STEP_SECONDS = 0.2
"""How often a thread that waits looks up: on Windows, nothing interrupts it in between."""

_awaited: set[Future[Any]] = set()
_quiet: WeakSet[asyncio.AbstractEventLoop] = WeakSet()


def submit(requests: Coroutine[Any, Any, T]) -> Future[T]:
    """Start requests, and return at once."""
    _stop_threads_with_dask()
    loop = event_loop()
    if loop not in _quiet:
        _keep_quiet(loop)
    return asyncio.run_coroutine_threadsafe(requests, loop)


def result(future: Future[T]) -> T:
    """Wait for requests that were submitted, and return their result; an interrupt cancels them."""
    _awaited.add(future)
    try:
        while True:
            try:
                return future.result(STEP_SECONDS)
            except CancelledError:  # an interrupt stopped it, in this thread or in another
                raise KeyboardInterrupt from None
            except TimeoutError:
                if future.done():  # not a step, but what the requests raised
                    raise
    except BaseException:
        future.cancel()
        raise
    finally:
        _awaited.discard(future)


def arriving(requests: Callable[[Callable[[T], None]], Coroutine[Any, Any, None]]) -> Iterator[T]:
    """Start requests, and give each answer when it comes; an interrupt cancels the others.

    Parameters
    ----------
    requests : callable
        Makes the coroutine that sends them; it gets a function, to be called with each answer.
    """
    answers: SimpleQueue[Any] = SimpleQueue()
    end = object()
    future = submit(requests(answers.put))
    future.add_done_callback(lambda _: answers.put(end))
    _awaited.add(future)
    try:
        while True:
            try:
                answer = answers.get(timeout=STEP_SECONDS)
            except Empty:
                continue
            if answer is end:
                break
            yield answer
        result(future)  # raises what went wrong
    finally:
        future.cancel()
        _awaited.discard(future)


def _keep_quiet(loop: asyncio.AbstractEventLoop) -> None:
    """Keep an event loop from printing errors of this package, which are raised anyway.

    When several requests of one read fail, the first error is raised; the others, and those of
    requests that were cancelled too late, are read by nobody. asyncio would report each on stderr.
    Whatever else it has to say, it says.
    """
    before = loop.get_exception_handler()

    def report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if isinstance(context.get("exception"), OmeZarrError):
            return
        if before:
            before(loop, context)
        else:
            loop.default_exception_handler(context)

    loop.set_exception_handler(report)
    _quiet.add(loop)


class _StopThreads(Callback):
    """When Dask is interrupted, stop what its threads wait for: only the main thread is told."""

    def _finish(self, dsk: Any, state: Any, errored: bool) -> None:
        if isinstance(sys.exc_info()[1], KeyboardInterrupt):
            for future in list(_awaited):
                future.cancel()


@functools.cache
def _stop_threads_with_dask() -> None:
    """Register the callback, once, with the first request; importing registers nothing.

    An image is opened before Dask computes something from it, so this is early enough.
    """
    _StopThreads().register()
