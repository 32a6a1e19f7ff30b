"""How other processes report what they ask for: through files.

While a meter runs, a store that is sent to another process carries the folder of the meter's
*spool* along. There each process appends a line for each request to a file of its own, and the
meter reads these files when its block ends.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

from .._store.requests import Request, observers


class Spool:
    """Writes the requests of this process to its file in the folder of a meter elsewhere.

    The file is open only while a request is under way: opening costs more than writing, and a
    file that stays open could not be removed on Windows.

    Parameters
    ----------
    folder : str
        The folder of the meter.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._file: int | None = None
        self._under_way = 0
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[Spool], tuple[str]]:
        return Spool, (self.folder,)

    def elsewhere(self) -> Spool:
        """The same in yet another process."""
        return self

    def join(self) -> None:
        """Write from now on; not if the meter itself is in this process, or another such spool."""
        if all(getattr(other, "folder", None) != self.folder for other in list(observers)):
            observers.append(self)

    def sent(self, request: Request) -> None:
        """Expect the request to end."""
        with self._lock:
            self._under_way += 1

    def done(self, request: Request) -> None:
        """Write a line for the request."""
        r = request
        line = f"{r.start} {r.end} {r.bytes} {r.chunk:d} {r.retry:d}\t{r.outcome}\t{r.address}\n"
        with self._lock:
            with suppress(OSError):  # a full disk, say, must not stop the reading
                if self._file is None:
                    self._file = self._open()
                os.write(self._file, line.encode())
            self._under_way -= 1
            if not self._under_way and self._file is not None:
                os.close(self._file)
                self._file = None

    def _open(self) -> int:
        try:
            how = os.O_WRONLY | os.O_APPEND | os.O_CREAT
            return os.open(f"{self.folder}/{os.getpid()}", how, 0o600)
        except OSError:  # the meter has ended
            with suppress(ValueError):
                observers.remove(self)
            raise


def new_folder() -> str:
    """Make the folder of a meter."""
    try:
        return tempfile.mkdtemp(prefix="request-meter-")
    except OSError:  # no room or no right to write: then only this process is counted
        return f"no folder {time.perf_counter_ns()}"


def read_spool(folder: str) -> list[Request]:
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
    elsewhere = [observer.elsewhere() for observer in observers]
    observers[:] = [Spool(spool.folder) for spool in elsewhere if isinstance(spool, Spool)]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
