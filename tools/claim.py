"""Let one program at a time work on something in a folder; the others say who does, and wait."""

import contextlib
import errno
import os
import time
from pathlib import Path

PAUSE = 0.2  # seconds between two tries


@contextlib.contextmanager
def claim(path: Path, work: str):
    """Hold a lock on a file, made for it, as long as the block runs.

    The system ends the claim with the last process that has the file open, however that ends, so
    that nobody waits for one that was killed. Programs that are started with `close_fds=False` hold
    it, too: pip may outlive a `run.py` that was killed. The file itself stays.
    """
    file = os.open(str(path), os.O_RDWR | os.O_CREAT, 0o666)
    try:
        os.set_inheritable(file, True)
        if not try_to_lock(file):
            who = path.read_text(encoding="ascii", errors="replace") or "Another run.py"
            print(f"{who} is {work} in this folder: waiting for it.", flush=True)
            while not try_to_lock(file):
                time.sleep(PAUSE)
        since = time.strftime("%H:%M:%S")
        os.ftruncate(file, 0)
        os.lseek(file, 0, os.SEEK_SET)
        os.write(file, f"Another run.py (process {os.getpid()}, since {since})".encode("ascii"))
        yield
    finally:
        os.close(file)


def try_to_lock(file: int) -> bool:
    """Lock an open file; False if somebody else has locked it."""
    try:
        if os.name == "nt":
            import msvcrt

            os.lseek(file, 1 << 30, os.SEEK_SET)  # on Windows, nobody can read what is locked
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
            return False
        print("This disk keeps no locks: start no second run.py here before this one is done.")
    return True
