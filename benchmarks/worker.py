"""A process of its own in which works are done, with a time-out for each.

Each package gets its own process: one package's settings (the helper raises Zarr's concurrency for
the whole process) do not reach another, and one that takes too long can be stopped.
"""

from __future__ import annotations

import io
import json
import logging
import os
import queue
import subprocess
import sys
import threading
import time
import zlib
from contextlib import redirect_stdout, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .endpoint import Endpoint, Settings, control

START_SECONDS = 60.0  # to import everything on a slow computer


@dataclass
class Run:
    """One run of one work in one way.

    Attributes
    ----------
    seconds : float
        Wall clock; None where it did not end, and `problem` says why.
    cpu : float
        Processor seconds of the whole process meanwhile, all threads.
    result : object
        What came out, in short: a checksum, a number of labels, the shapes of levels.
    counts : dict
        What the endpoint counted, see `endpoint.control`.
    peak_mb : float
        Most memory (resident) that the process ever had, in MB; None where it is not known.
    parts : dict of str to float
        Seconds of the parts of the work, where they are timed apart.
    """

    seconds: float | None = None
    cpu: float = 0.0
    result: Any = None
    counts: dict[str, Any] = field(default_factory=dict)
    peak_mb: float | None = None
    parts: dict[str, float] = field(default_factory=dict)
    problem: str = ""


class Worker:
    """A process that does works in one way. It starts at the first work, and again after a stop.

    Parameters
    ----------
    way : str
        A key of `ways.WAYS`.
    endpoint : Endpoint
        Where it reads from.
    one_cpu : bool
        Whether it may use a single processor only (Linux).
    """

    def __init__(self, way: str, endpoint: Endpoint, one_cpu: bool = False) -> None:
        self.way, self.endpoint, self.one_cpu = way, endpoint, one_cpu
        self._process: subprocess.Popen[str] | None = None
        self._lines: queue.Queue[str] = queue.Queue()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def run(self, work: str, settings: Settings, timeout: float, **options: int | str) -> Run:
        """Do a work once, and return what it took; a work that fails or takes too long says so.

        Parameters
        ----------
        work : str
            Name of a method of `ways.Way`.
        settings : Settings
            How the endpoint answers meanwhile. Set-up that is not timed has no latency.
        timeout : float
            Seconds after which the work is given up.
        options : int or str
            Arguments of the method.
        """
        if self._process is None:
            self._start()
        assert self._process is not None and self._process.stdin is not None
        job = {"work": work, "settings": asdict(settings), "options": options}
        try:
            self._process.stdin.write(json.dumps(job) + "\n")
            self._process.stdin.flush()
            line = self._lines.get(timeout=timeout)
        except OSError:  # nobody reads it
            line = ""
        except queue.Empty:
            self.stop()
            counts = self.endpoint.counts()
            got = f"{len(counts['keys']):,} objects asked for by then"
            return Run(counts=counts, problem=f"stopped after {timeout:g} s, {got}")
        if not line:
            self.stop()
            return Run(problem="its process ended")
        return Run(**json.loads(line))

    def _start(self) -> None:
        root = str(Path(__file__).resolve().parents[1])
        paths = filter(None, [root, os.environ.get("PYTHONPATH", "")])
        command = [sys.executable, "-W", "ignore", "-m", "benchmarks.worker", self.way]
        command += [self.endpoint.address, str(int(self.one_cpu))]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ
            | {"PYTHONPATH": os.pathsep.join(paths), "OME_ZARR_CACHE": "off", "MPLBACKEND": "Agg"},
            encoding="utf-8",
        )
        self._lines = queue.Queue()
        arguments = (self._process, self._lines)
        threading.Thread(target=_listen, args=arguments, daemon=True).start()
        try:
            ready = self._lines.get(timeout=START_SECONDS)
        except queue.Empty:
            ready = ""
        if not ready:
            self.stop()
            raise RuntimeError(f"the process for {self.way} did not start, see above")

    def stop(self) -> None:
        """End the process, whatever it does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                with suppress(OSError):  # what it never read is lost
                    if pipe is not None:
                        pipe.close()
            self._process = None


class Workers:
    """Workers of several ways, each made when it is first wanted; all end with the block.

    Parameters
    ----------
    endpoint : Endpoint
        Where they read from.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._made: dict[tuple[str, bool], Worker] = {}

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *exception: object) -> None:
        for worker in self._made.values():
            worker.stop()

    def get(self, way: str, one_cpu: bool = False) -> Worker:
        """The worker that does things in this way."""
        if (way, one_cpu) not in self._made:
            self._made[way, one_cpu] = Worker(way, self.endpoint, one_cpu)
        return self._made[way, one_cpu]

    def fresh(self, way: str, one_cpu: bool = False) -> Worker:
        """A worker that has done nothing yet; the caller ends it."""
        return Worker(way, self.endpoint, one_cpu)


def _listen(process: subprocess.Popen[str], lines: queue.Queue[str]) -> None:
    """Pass on each line that a process prints; at its end, an empty one."""
    assert process.stdout is not None
    try:
        for line in process.stdout:
            lines.put(line)
    except ValueError:  # the pipe was closed, because the process was stopped
        pass
    lines.put("")


# What follows runs in the process.


def main(way: str, address: str, one_cpu: str) -> None:
    """Do one work for each line of standard input, and print a line with what it took."""
    if int(one_cpu):
        use_one_cpu()
    logging.disable(logging.CRITICAL)
    from .ways import WAYS

    say, words = sys.stdout, io.StringIO()
    with redirect_stdout(words):  # what packages print is not for the table
        doing = WAYS[way](address)
        print("ready", file=say, flush=True)
        for line in sys.stdin:
            job = json.loads(line)
            try:
                run = once(doing, address, job["work"], job["settings"], job["options"])
            except Exception as error:
                words_of = " ".join(str(error).split())[:200]
                run = Run(problem=f"{type(error).__name__}: {words_of}")
            print(json.dumps(asdict(run)), file=say, flush=True)
            words.truncate(0)


def once(doing: Any, address: str, work: str, settings: dict[str, Any], options: Any) -> Run:
    """Set a work up without latency, then do it and measure."""
    control(address, Settings())
    thunk = getattr(doing, work)(**options)
    control(address, Settings(**settings))
    cpu, start = time.process_time(), time.perf_counter()
    result = thunk()
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    peak = peak_mb()
    counts, parts = control(address), dict(getattr(doing, "parts", {}))
    if parts:  # the limit is fetching and, where these are part of it, segmenting and decoding
        seconds = sum(parts.get(name, 0) for name in ("fetch", "segment", "decode into place"))
        doing.parts = {}
    return Run(seconds, cpu, in_short(result), counts, peak, parts)


def in_short(result: Any) -> Any:
    """A result, short enough to compare: shapes of levels, or shape and checksum of an array.

    None is for what cannot be compared: the limit fetches the metadata of levels but opens none.
    """
    if isinstance(result, int):
        return None
    if isinstance(result, list):
        return [list(level.shape) for level in result]
    return [list(result.shape), zlib.crc32(np.ascontiguousarray(result).data)]


def use_one_cpu() -> None:
    """Keep this process, and all that it starts, on one processor."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def peak_mb() -> float | None:
    """Most resident memory that this process ever had, in MB; None where it is not known."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return None
    return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6


if __name__ == "__main__":
    main(*sys.argv[1:])
