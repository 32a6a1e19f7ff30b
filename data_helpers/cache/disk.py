"""A cache in a folder, with one file for each entry.

Others may put something else into the folder: a link, a folder where a file should be, a pipe. What
is no folder or file of this cache, by its kind and by its name, is neither followed, read, counted
nor removed.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import json
import os
import re
import stat
import tempfile
import threading
import time
import uuid
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .._warning import warn
from ..errors import OmeZarrError
from .base import Cache, Entry, Result, in_memory

DISK_MB = 1000
"""Limit of a cache folder where none is given."""

BLOCK = 4096
"""Bytes by which the size of a file grows on common disks."""

SLACK_SECONDS = 3600
"""Two computers that share a folder may disagree by so much about the time."""

_BUCKET = re.compile(r"[0-9a-f]{3}")
_ENTRY = re.compile(r"[0-9a-f]{32}\.[0-9a-f]{12}\.[0-9a-z-]+")
_UNFINISHED = "unfinished-"
_CAREFULLY = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


class DiskCache(Cache):
    """A cache in a folder, which outlives the kernel and may be shared by several processes.

    Each entry is a file, ``ome-zarr-cache/abc/abc123….version.part``: a hash of the object's
    address, a hash of its ETag, and which part of the object it holds. Its two times say when it
    was last used (access) and when the endpoint last confirmed it (modification), on the clock of
    the computer that wrote it.

    Parameters
    ----------
    folder : str or Path
        Made when it is first needed; it may be a link. Only what lies in its ``ome-zarr-cache`` is
        ever touched, and no link in there is followed.
    max_mb : float, optional
        Most megabytes that it holds; `DISK_MB` (1000) if neither this nor ``OME_ZARR_CACHE_MB``
        is given. Each writing process makes room, to seven eighths of this, whenever it has
        written a sixty-fourth of it: up to four that write at the same time keep to the limit.

    Raises
    ------
    OmeZarrError
        The folder is a file, or the limit is not a number above 0.

    Warns
    -----
    OmeZarrWarning
        Once, when the folder cannot be written to. Reading goes on: what the folder holds is used,
        the rest comes from the endpoint.
    """

    def __init__(self, folder: str | Path, max_mb: float | None = None) -> None:
        super().__init__(max_mb, DISK_MB)
        self.folder = cache_folder(folder) / "ome-zarr-cache"
        self._marker = self.folder / "rechecked"
        self._known_marker: tuple[tuple[int, int], str] = ((0, 0), "")
        self._writable = True
        self._room = self.limit * 7 // 8
        self._since_scan = self.limit  # bytes written since; the first entry makes a scan
        self._being_written = 0

    def __repr__(self) -> str:
        used = f"{self.nbytes / 1e6:,.1f} of {self.limit / 1e6:,.0f} MB"
        return f"DiskCache({str(self.folder.parent)!r}, {used})"

    def __reduce__(self) -> tuple[Any, ...]:
        """In another process it means the same folder."""
        return disk_cache, (str(self.folder.parent), self.limit / 1e6)

    @property
    def nbytes(self) -> int:
        """Bytes that the files take on the disk; looks at all of them."""
        return sum(size for _, size, _ in self._scan())

    @property
    def rechecked(self) -> str:
        """A name for the last call of `recheck`, in whatever process; empty if there was none."""
        status = _status(self._marker)
        if status is None or not stat.S_ISREG(status.st_mode):
            return ""
        key = (status.st_mtime_ns, status.st_ino)
        if self._known_marker[0] != key:
            self._known_marker = (key, _read_marker(self._marker))
        return self._known_marker[1]

    def now(self) -> int:
        """Nanoseconds since 1970, as far as this computer knows."""
        return time.time_ns()

    async def run(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """Do a piece of work in a thread: a disk makes one wait."""
        return await asyncio.to_thread(work, *arguments)

    def find(self, name: str, part: str) -> Entry | None:
        """The entry for a part of an object, which now counts as used."""
        files = self._files(name)
        if len({_version_of(file) for file in files}) > 1:  # removing the older one failed
            newest = _version_of(max(files, key=lambda file: self._order(_modified(file))))
            files = [file for file in files if _version_of(file) == newest]
        for file in files:
            if _part_of(file) == part:
                return _read_entry(file, self.now(), self.limit)
        return None

    def keep(self, name: str, part: str, etag: str, data: bytes | None) -> bool:
        """Keep an entry, drop other versions; whether there was one. See `Cache.keep`."""
        entry, version = Entry(etag, data, self.now(), self.rechecked), _hash(etag)[:12]
        others = [file for file in self._files(name) if _version_of(file) != version]
        for file in others:
            _remove(file)
        size = _on_disk(in_memory(entry))
        target = self._bucket(name) / f"{_hash(name)}.{version}.{part}"
        if self._writable and size <= self._room and _may_write(target):
            try:
                with self._made_room(size):
                    _write_entry(target, entry)
            except OSError as error:
                self._give_up(error)
        return bool(others)

    def drop(self, name: str) -> None:
        """Forget all that is known of an object."""
        for file in self._files(name):
            _remove(file)

    def clear(self) -> None:
        """Remove all entries, whichever process wrote them, and try to write again."""
        for _, _, file in self._scan():
            _remove(file)
        self._writable = True

    def recheck(self) -> None:
        """From now on, have each entry confirmed by the endpoint before it is used again."""
        try:
            self._marker.parent.mkdir(parents=True, exist_ok=True)
            status = _status(self._marker)
            if status and not stat.S_ISREG(status.st_mode):
                raise OSError(0, f"its {self._marker.name} is not a file")
            _write_whole(self._marker, f"{uuid.uuid4().hex}\n".encode(), self.now())
        except OSError as error:
            raise OmeZarrError(
                f"The cache in {self.folder.parent} cannot be marked ({error.strerror}); choose "
                'another folder, or read without a cache: cache="off".'
            ) from None

    def _bucket(self, name: str) -> Path:
        """The folder for an object; 4,096 of them keep each short."""
        return self.folder / _hash(name)[:3]

    def _files(self, name: str) -> list[Path]:
        """All files about an object."""
        bucket, start = self._bucket(name), f"{_hash(name)}."
        if not _is_folder(_status(bucket)):
            return []
        with contextlib.suppress(OSError):
            found = [file for file in os.listdir(bucket) if file.startswith(start)]
            paths = [bucket / file for file in found if _ENTRY.fullmatch(file)]
            return [path for path in paths if _is_file(_status(path))]
        return []

    @contextlib.contextmanager
    def _made_room(self, size: int) -> Iterator[None]:
        """Make room for so many bytes, if it is time to look whether there is any."""
        with _disk_lock:
            self._since_scan += size
            self._being_written += size
            if self._since_scan > self.limit // 64:
                self._since_scan = size
                self._remove_oldest(self._room - self._being_written)
        try:
            yield
        finally:
            with _disk_lock:
                self._being_written -= size

    def _remove_oldest(self, room: int) -> None:
        """Remove the files that were used longest ago, until the rest takes no more than `room`."""
        files = self._scan()
        taken = sum(size for _, size, _ in files)
        for _, size, file in sorted(files, key=lambda found: self._order(found[0])):
            if taken <= room:
                break
            _remove(file)
            taken -= size

    def _order(self, moment: int) -> tuple[bool, int]:
        """What sorts moments: those of the future were before the clock was set back."""
        return moment <= self.now() + SLACK_SECONDS * 10**9, moment

    def _scan(self) -> list[tuple[int, int, Path]]:
        """When each file was last used, its bytes on the disk, and its path."""
        found: list[tuple[int, int, Path]] = []
        with contextlib.suppress(OSError):
            for bucket in os.scandir(self.folder):
                if _BUCKET.fullmatch(bucket.name) and _is_folder(_status(Path(bucket.path))):
                    with contextlib.suppress(OSError):  # gone, or another user's
                        found += _files_in(bucket.path)
        return found

    def _give_up(self, error: OSError) -> None:
        """Say once why nothing more is written, and read on."""
        if self._writable:
            self._writable = False
            warn(
                f"The cache in {self.folder.parent} cannot be written "
                f"({error.strerror or error}), so nothing more is added to it; reading goes on "
                "without. Free some space, or choose another folder."
            )


@functools.cache
def disk_cache(folder: str, max_mb: float) -> DiskCache:
    """The cache of this process in a folder, with such a limit."""
    return DiskCache(folder, max_mb)


def cache_folder(cache: str | Path) -> Path:
    """The folder of a cache, complete, checked that it is one or may become one."""
    try:
        folder = Path(cache).expanduser().absolute()
    except (RuntimeError, OSError):  # no home folder, or the current one was removed
        raise OmeZarrError(
            f"{cache} cannot be a cache, because this computer does not say where it is: give the "
            "whole path of a folder."
        ) from None
    nearest = next(path for path in [folder, *folder.parents] if os.path.lexists(path))
    if not nearest.is_dir():
        raise OmeZarrError(
            f"{folder} cannot be a cache, because {nearest} is a file; choose a folder."
        )
    return folder


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _version_of(file: Path) -> str:
    return file.name.split(".", 2)[1]


def _part_of(file: Path) -> str:
    return file.name.split(".", 2)[2]


def _on_disk(size: int) -> int:
    """Bytes that a file of this size takes, in whole blocks."""
    return -(-size // BLOCK) * BLOCK


def _status(path: Path) -> os.stat_result | None:
    """What stands there, whether a link or not; None if nothing does, or it is not to be seen."""
    try:
        return os.lstat(path)
    except (OSError, ValueError):
        return None


def _is_folder(status: os.stat_result | None) -> bool:
    """Whether it is a folder itself, and no link to one, nor (Windows) a junction."""
    junction = getattr(stat, "IO_REPARSE_TAG_MOUNT_POINT", -1)
    tag = getattr(status, "st_reparse_tag", 0)
    return status is not None and stat.S_ISDIR(status.st_mode) and tag != junction


def _is_file(status: os.stat_result | None) -> bool:
    """Whether it is a file itself: no link, folder, pipe or socket."""
    return status is not None and stat.S_ISREG(status.st_mode)


def _may_write(target: Path) -> bool:
    """Whether the place of an entry is free, or holds an entry."""
    bucket, there = _status(target.parent), _status(target)
    return (bucket is None or _is_folder(bucket)) and (there is None or _is_file(there))


def _files_in(bucket: str) -> Iterator[tuple[int, int, Path]]:
    """When each file of this cache was last used, its bytes on the disk, and its path."""
    for file in os.scandir(bucket):
        if _ENTRY.fullmatch(file.name) or file.name.startswith(_UNFINISHED):
            with contextlib.suppress(OSError):  # another process removed it
                status = file.stat(follow_symlinks=False)
                if _is_file(status):
                    yield status.st_atime_ns, _on_disk(status.st_size), Path(file.path)


def _modified(file: Path) -> int:
    status = _status(file)
    return status.st_mtime_ns if status else 0


def _remove(file: Path) -> None:
    """Remove a file, if it is still there and (Windows) nobody reads it at the moment."""
    with contextlib.suppress(OSError):
        file.unlink()


def _write_entry(file: Path, entry: Entry) -> None:
    """Write an entry: a line of JSON, and the data."""
    data = entry.data or b""
    first = {"etag": entry.etag, "missing": entry.data is None, "crc32": zlib.crc32(data)}
    first |= {"recheck": entry.recheck} if entry.recheck else {}
    file.parent.mkdir(parents=True, exist_ok=True)
    _write_whole(file, json.dumps(first).encode() + b"\n", entry.confirmed, data)


def _write_whole(file: Path, first: bytes, now: int, data: bytes = b"") -> None:
    """Write a file beside its place, then move it there: at no time is half of it there."""
    part = tempfile.NamedTemporaryFile(dir=file.parent, prefix=_UNFINISHED, delete=False)
    try:
        with part:
            part.write(first)
            part.write(data)
        try:
            os.utime(part.name, ns=(now, now))  # a server of files may have a clock of its own
            os.replace(part.name, file)
        except FileNotFoundError:
            pass  # somebody cleared the cache just now
        except PermissionError:
            if not file.exists():  # else, on Windows, somebody reads the same entry: it is there
                raise
    finally:
        _remove(Path(part.name))


def _open_carefully(path: str, flags: int) -> int:
    """Open a file, but follow no link, and wait for no other end of a pipe."""
    return os.open(path, flags | _CAREFULLY)


def _read_marker(file: Path) -> str:
    """What the last recheck has written; the same text means the same recheck."""
    with contextlib.suppress(OSError), open(file, "rb", opener=_open_carefully) as opened:
        return opened.read(100).decode("latin-1").strip() or "empty"
    return "unreadable"


def _read_entry(file: Path, now: int, limit: int) -> Entry | None:
    """Read an entry and mark it as used; None if it is damaged or was just removed."""
    try:
        with open(file, "rb", opener=_open_carefully) as opened:
            status = os.fstat(opened.fileno())
            if not _is_file(status) or status.st_size > limit:
                return None
            line, _, data = opened.read().partition(b"\n")
        first = json.loads(line)
        if first["crc32"] != zlib.crc32(data):
            return None
        content = None if first["missing"] else data
        recheck = str(first.get("recheck", ""))
        entry = Entry(str(first["etag"]), content, status.st_mtime_ns, recheck)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    with contextlib.suppress(OSError):  # another user's folder
        os.utime(file, ns=(now, entry.confirmed))
    return entry


def _new_lock() -> None:
    """Give a forked child a lock of its own: the thread that held the old one is not in it."""
    global _disk_lock
    _disk_lock = threading.Lock()


_disk_lock = threading.Lock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_lock)
