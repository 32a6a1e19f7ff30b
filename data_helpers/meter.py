"""Count what really went over the wire in a block of code.

The store tells every running meter about each request. Other processes do the same through files:
while a meter runs, a store that is sent to another process carries the folder of the meter's
*spool* along. There each process appends a line for each request to a file of its own, and the
meter reads these files when its block ends.
"""

from __future__ import annotations

import ast
import heapq
import os
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .words import human_bytes

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell
    from matplotlib.axes import Axes

MOST_BARS = 600
"""`Cost.plot` draws up to so many requests one by one, and counts more of them together."""

PLOT_HEIGHT = 64
"""Requests in flight for which `Cost.plot` has room at least, so that two plots compare."""

NEVER = float("inf")

ANSWERED, NOT_FOUND, FAILED = "answered", "not found", "failed"
"""What can become of a request; "failed" is every error, and no answer until the block ended."""


@dataclass(slots=True, eq=False)
class Request:
    """One request.

    Attributes
    ----------
    address : str
        What was asked for, with the range of bytes if it was a part of an object.
    start, end : float
        When it was sent and when its answer had come whole, on the clock `time.perf_counter`,
        which all processes of a computer share.
    bytes : int
        Size of the answer, as stored (compressed); 0 for an error.
    outcome : str
        "answered", "not found" or "failed".
    chunk : bool
        Whether it asked for pixels; otherwise for metadata.
    retry : bool
        Whether the same was asked for just before, in vain.
    """

    address: str
    start: float
    end: float = NEVER
    bytes: int = 0
    outcome: str = FAILED
    chunk: bool = True
    retry: bool = False

    def sent_now(self) -> None:
        """Start the clock anew: until now the request waited in this computer."""
        self.start = time.perf_counter()

    def came_now(self) -> None:
        """Stop the clock: the answer is here, but the one who asked may be busy."""
        self.end = time.perf_counter()


@dataclass(eq=False)
class Cost:
    """What a block of code cost.

    Numbers grow while the block runs; those of other processes, `most_in_flight` and `seconds` are
    added at its end.

    Attributes
    ----------
    requests : int
        Requests sent, retries included. For a local folder: files asked for.
    bytes : int
        Bytes received, as stored (compressed).
    retries : int
        Requests that repeat one which failed, for example because the endpoint was busy.
    not_found : int
        Answers that there is no such object (404; a local file that does not exist).
    most_in_flight : int
        Largest number of requests that were under way at the same moment.
    seconds : float
        Time from entering the block to leaving it.
    fetched_twice : float
        Of the chunks asked for, the share that had been asked for before in this block: 0 when
        each was fetched once, 0.5 when all were fetched twice. Retries, metadata and chunks that
        are not there do not count.
    log : list of Request
        Every request.
    """

    requests: int = 0
    bytes: int = 0
    retries: int = 0
    not_found: int = 0
    most_in_flight: int = 0
    seconds: float = 0.0
    fetched_twice: float = 0.0

    def __post_init__(self) -> None:
        self.log: list[Request] = []
        self._start = time.perf_counter()
        self._chunks: set[str] = set()
        self._fetches = 0
        self._running = True
        self._lock = threading.Lock()

    def __str__(self) -> str:
        parts = [f"{self.requests:,} request{'' if self.requests == 1 else 's'}"]
        parts.append(human_bytes(self.bytes))
        if self.requests:
            parts.append(f"up to {self.most_in_flight} in flight")
        parts.append(f"{self.seconds:.2f} s")
        if self.retries:
            parts.append(f"{self.retries:,} retr{'y' if self.retries == 1 else 'ies'}")
        if self.not_found:
            parts.append(f"{self.not_found:,} not found")
        if self.fetched_twice:
            percent = (
                f"{100 * self.fetched_twice:.0f}" if self.fetched_twice >= 0.005 else "under 1"
            )
            parts.append(f"{percent} % of the chunks fetched twice")
        return ", ".join(parts)

    def plot(self, ax: Axes | None = None) -> None:
        """Draw the requests over time, and print a sentence that describes the figure.

        Each request is a bar from the moment it was sent to the moment its answer had come; bars
        that lie above one another were under way at the same time. More than `MOST_BARS`
        requests are drawn as one area, as high as the number of them that were under way.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure if left out.
        """
        import matplotlib.pyplot as plt  # here, so that counting works without it

        ax = ax or plt.subplots(figsize=(7, 3), layout="constrained")[1]
        if len(self.log) > MOST_BARS:
            self._draw_area(ax)
            how = "an area as high as the number of requests under way"
        else:
            self._draw_bars(ax)
            how = "a bar for each request, above one another while under way at the same time"
        ax.set_xlim(0, max(self.seconds, 1e-3))
        ax.set_ylim(0, max(PLOT_HEIGHT, self.most_in_flight) * 1.05)
        ax.set(xlabel="seconds", ylabel="requests in flight")
        ax.set_title(str(self), fontsize=10, wrap=True)
        print(f"Picture: {how}; up to {self.most_in_flight} in flight, {self.seconds:.2f} s.")

    def _draw_area(self, ax: Axes) -> None:
        moments, counts = _in_flight(self.log, self._start + self.seconds)
        times = [moment - self._start for moment in moments]
        ax.fill_between(times, counts, step="post", color="0.35", linewidth=0)

    def _draw_bars(self, ax: Axes) -> None:
        """Each request in the lowest row that is free at that time."""
        end = self._start + self.seconds
        rows = _rows(self.log, end)
        in_row: Counter[int] = Counter()
        legend = {}
        for request, row in zip(self.log, rows, strict=True):
            kind = _kind(request)
            legend[kind] = ax.barh(
                row + 0.5,
                min(request.end, end) - request.start,
                left=request.start - self._start,
                height=0.9,
                color=_COLORS[kind][(row + in_row[row]) % 2],  # neighbours differ
                snap=False,  # rows of equal height
            )
            in_row[row] += 1
        if legend.keys() - {"chunk"}:
            ax.legend(legend.values(), legend, loc="upper left", bbox_to_anchor=(1, 1), fontsize=8)

    def _sent(self, request: Request) -> None:
        with self._lock:
            if self._running:
                self.log.append(request)
                self.requests += 1
                self.retries += request.retry

    def _done(self, request: Request) -> None:
        with self._lock:
            if not self._running:
                return
            self.bytes += request.bytes
            self.not_found += request.outcome == NOT_FOUND
            if request.chunk and not request.retry and request.outcome != NOT_FOUND:
                self._fetches += 1
                self._chunks.add(request.address)
                self.fetched_twice = (self._fetches - len(self._chunks)) / self._fetches

    def _finish(self, from_elsewhere: Iterable[Request]) -> None:
        """Add what other processes asked for, and sum up."""
        for request in from_elsewhere:
            self._sent(request)
            self._done(request)
        with self._lock:
            self._running = False
            end = time.perf_counter()
            self.seconds = end - self._start
            self.log.sort(key=lambda request: request.start)
            self.most_in_flight = max(_in_flight(self.log, end)[1], default=0)


_running: dict[str, Cost] = {}
"""Meters of this process that run now, by the folder of their spool."""

_spools: set[str] = set()
"""Folders of meters that run in other processes, and wait for what this process asks for."""


@contextmanager
def request_meter(show: bool = True) -> Iterator[Cost]:
    """Count what the stores of this package ask for while a block runs, and print one line.

    Counts whatever an image opened by this package asks for: over https, at an S3 endpoint, or
    in a local folder; in all threads, and in processes on this computer that receive the image,
    or an array of it, while the block runs (Dask's processes, a process pool, the workers of a
    `LocalCluster`). What is found in a cache is no request. Blocks may lie inside one another:
    each counts all.

    Not counted: workers on other computers; a process that received the image before the block
    began, such as a Dask graph that was persisted earlier; a request in another process that is
    not done when the block ends; and what other libraries fetch.

    Parameters
    ----------
    show : bool
        Whether to print the line at the end of the block.

    Yields
    ------
    Cost
        `requests`, `bytes`, `retries`, `not_found`, `most_in_flight`, `seconds` and
        `fetched_twice`; ``str(cost)`` is the line.

    Examples
    --------
    >>> with request_meter(show=False) as cost:
    ...     pass
    >>> cost.requests, cost.bytes
    (0, 0)
    """
    from . import multiscale  # noqa: F401  (whatever reads needs it; importing is no cost of the block)

    folder = _new_folder()
    cost = _running[folder] = Cost()
    try:
        yield cost
    finally:
        del _running[folder]
        cost._finish(_read_spool(folder))
        shutil.rmtree(folder, ignore_errors=True)
        if show:
            print(cost)


class counted:
    """Tell every meter about one request; the block sends it and notes the bytes received.

    As a generator (`contextmanager`) it would take longer, and this runs for each request.
    """

    __slots__ = ("costs", "folders", "request")

    def __init__(self, address: str, *, chunk: bool, retry: bool) -> None:
        self.request = Request(address, time.perf_counter(), chunk=chunk, retry=retry)
        self.costs, self.folders = list(_running.values()), list(_spools)
        for cost in self.costs:
            cost._sent(self.request)
        if self.folders:
            _spool.expect()

    def __enter__(self) -> Request:
        return self.request

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        request = self.request
        if kind is None:
            request.outcome = ANSWERED
        elif issubclass(kind, (FileNotFoundError, IsADirectoryError, NotADirectoryError)):
            request.outcome = NOT_FOUND
        if request.end == NEVER:
            request.came_now()
        for cost in self.costs:
            cost._done(request)
        if self.folders:
            _spool.write(self.folders, request)


# The spool: a folder for each meter, and in it a file for each other process


def spools_to_carry() -> list[str]:
    """Folders that a store takes along when it is sent to another process."""
    return [*_running, *_spools]


def join_spools(folders: Iterable[str]) -> None:
    """Write to these folders from now on, but not to those of meters in this same process."""
    _spools.update(set(folders) - _running.keys())


def _new_folder() -> str:
    try:
        return tempfile.mkdtemp(prefix="request-meter-")
    except OSError:  # no room or no right to write: then only this process is counted
        return f"no folder {time.perf_counter_ns()}"


class _Spool:
    """Writes requests to the file of this process in the folder of each meter elsewhere.

    Files are open only while a request is under way: opening costs more than writing, and a file
    that stays open could not be removed on Windows.
    """

    def __init__(self) -> None:
        self.files: dict[str, int] = {}
        self.under_way = 0
        self.lock = threading.Lock()

    def expect(self) -> None:
        with self.lock:
            self.under_way += 1

    def write(self, folders: Iterable[str], request: Request) -> None:
        r = request
        line = f"{r.start} {r.end} {r.bytes} {r.chunk:d} {r.retry:d}\t{r.outcome}\t{r.address}\n"
        with self.lock:
            for folder in folders:
                with suppress(OSError):  # a full disk, say, must not stop the reading
                    if folder not in self.files:
                        self.open(folder)
                    os.write(self.files[folder], line.encode())
            self.under_way -= 1
            if not self.under_way:
                for file in self.files.values():
                    os.close(file)
                self.files.clear()

    def open(self, folder: str) -> None:
        try:
            how = os.O_WRONLY | os.O_APPEND | os.O_CREAT
            self.files[folder] = os.open(f"{folder}/{os.getpid()}", how, 0o600)
        except OSError:  # the meter has ended
            _spools.discard(folder)
            raise


_spool = _Spool()


def _read_spool(folder: str) -> list[Request]:
    """What other processes asked for; a line cut short by the end of its process is left out."""
    requests = []
    with suppress(OSError):
        for file in sorted(Path(folder).iterdir()):
            for line in file.read_bytes().split(b"\n")[:-1]:
                with suppress(ValueError):
                    requests.append(_parse(line.decode()))
    return requests


def _parse(line: str) -> Request:
    numbers, outcome, address = line.rstrip("\r").split("\t", 2)
    start, end, size, chunk, retry = numbers.split()
    of_pixels, again = chunk == "1", retry == "1"
    return Request(address, float(start), float(end), int(size), outcome, of_pixels, again)


def _after_fork() -> None:
    """In a forked process, the meters of its parent are meters elsewhere."""
    global _spool
    _spools.update(_running)
    _running.clear()
    _spool = _Spool()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _in_flight(log: Iterable[Request], end: float) -> tuple[list[float], list[int]]:
    """Moments at which the number of requests under way changes, and the number from then on."""
    changes = [(request.start, 1) for request in log]
    changes += [(min(request.end, end), -1) for request in log]
    moments, counts, count = [], [], 0
    for moment, change in sorted(changes):  # at the same moment, an end goes before a start
        count += change
        moments.append(moment)
        counts.append(count)
    return moments, counts


# The plot

_COLORS = {
    "chunk": ("0.3", "0.55"),
    "metadata": ("#0072b2", "#56b4e9"),
    "not found": ("#e69f00", "#e69f00"),
    "failed": ("#cc0066", "#cc0066"),
}


def _kind(request: Request) -> str:
    if request.outcome != ANSWERED:
        return request.outcome
    return "chunk" if request.chunk else "metadata"


def _rows(log: Iterable[Request], end: float) -> list[int]:
    """For each request, in order of start, the lowest row in which no earlier one is under way."""
    rows: list[int] = []
    free: list[int] = []
    busy: list[tuple[float, int]] = []
    for request in log:
        while busy and busy[0][0] <= request.start:
            heapq.heappush(free, heapq.heappop(busy)[1])
        row = heapq.heappop(free) if free else len(busy)
        heapq.heappush(busy, (min(request.end, end), row))
        rows.append(row)
    return rows


# The cell magic


def load_magic(shell: InteractiveShell) -> None:
    """Give a notebook the cell magic ``%%cost``."""
    from IPython.core.magic import no_var_expand, output_can_be_silenced

    def cost(line: str, cell: str) -> Any:
        """Run a cell, and print what it asked for over the network.

        ``%%cost --plot`` also draws the requests over time.
        """
        __tracebackhide__ = True  # an error shows the cell, not this function
        if line.split() not in ([], ["--plot"]):
            from IPython.core.error import UsageError

            raise UsageError(f"%%cost takes nothing, or --plot, and not {line.strip()!r}")
        with request_meter() as spent:
            value = _run(shell, cell)
        if line.strip():
            spent.plot()
        return value

    magic: Any = cost
    shell.register_magic_function(no_var_expand(output_can_be_silenced(magic)), "cell", "cost")


def _run(shell: InteractiveShell, cell: str) -> Any:
    """Run code as a cell of its own, and return the value of its last expression."""
    __tracebackhide__ = True
    build: Any = shell.compile
    code = shell.transform_cell(cell)
    name = build.cache(code, shell.execution_count, raw_code=cell)
    tree = shell.transform_ast(build.ast_parse(code, filename=name))
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(build(tree, name, "exec"), shell.user_ns)
    if last:
        return eval(build(ast.Expression(last.value), name, "eval"), shell.user_ns)
    return None
