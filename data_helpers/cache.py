"""Keep what was read, so that a second run of a notebook asks the endpoint for nothing.

A cache holds *entries*. An entry is one object that was read (a chunk or a metadata document), or a
part of an object, together with the object's ETag: the endpoint's name for this version of it.
"There is no such key" is kept as well, for a day; an error never is.

`MemoryCache` lives as long as the kernel. `DiskCache` is a folder with one file for each entry; any
number of processes may use it at once, because a file appears in it whole or not at all. Both
have a limit, and forget first what was not used for the longest time. Nothing in the folder is
ever executed or unpickled, and an entry that was damaged is read anew.

docs/caching.md says what was tried before, and when an entry can be out of date.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import json
import os
import tempfile
import threading
import time
import warnings
import zlib
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest

from .errors import OmeZarrError

MEMORY_MB = 128
"""Limit of the memory cache where none is given: an eighth of the smallest Binder."""

DISK_MB = 1000
"""Limit of a cache folder where none is given."""

MISSING_SECONDS = 24 * 3600
"""How long "there is no such key" is believed."""

ENTRY_BYTES = 500
"""What an entry takes besides its data, at most: names, and its first line in a file."""

BLOCK = 4096
"""Bytes by which the size of a file grows on common disks."""

_NOT_FOLDERS = {"", "0", "1", "true", "false", "yes", "no", "on", "none", "disk", "ram"}

Result = TypeVar("Result")


class Entry(NamedTuple):
    """What a cache holds of one object."""

    etag: str
    """The object's version, as the endpoint calls it; empty if there is no such key."""
    data: bytes | None
    """The object or a part of it; None says that there is no such key."""
    confirmed: int
    """When the endpoint last said so, in nanoseconds since 1970."""


class Cache(ABC):
    """What `MemoryCache` and `DiskCache` have in common.

    Parameters
    ----------
    max_mb : float, optional
        Limit in megabytes; what ``OME_ZARR_CACHE_MB`` says if left out.
    default_mb : float
        Limit if neither is given.

    Attributes
    ----------
    limit : int
        Most bytes that it holds.
    """

    def __init__(self, max_mb: float | None, default_mb: float) -> None:
        self.limit = _limit(max_mb, default_mb)

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """Bytes that it holds now."""

    @property
    @abstractmethod
    def rechecked(self) -> int:
        """When `recheck` was called last, in nanoseconds since 1970; 0 if never."""

    @abstractmethod
    def find(self, name: str, part: str) -> Entry | None:
        """The entry for a part of an object, which now counts as used."""

    @abstractmethod
    def keep(self, name: str, part: str, etag: str, data: bytes | None) -> bool:
        """Keep an entry, and drop all entries of other versions of the object.

        Returns
        -------
        bool
            Whether another version was dropped: the object has changed.
        """

    @abstractmethod
    def drop(self, name: str) -> None:
        """Forget all that is known of an object."""

    @abstractmethod
    def clear(self) -> None:
        """Forget everything."""

    @abstractmethod
    def recheck(self) -> None:
        """From now on, have each entry confirmed by the endpoint before it is used again."""

    def trusts(self, entry: Entry, since: int = 0) -> bool:
        """Whether an entry may be used without asking; `since` asks for a later confirmation."""
        if entry.data is None:
            since = max(since, time.time_ns() - MISSING_SECONDS * 10**9)
        return entry.confirmed >= max(since, self.rechecked)

    async def run(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """Do a piece of work of this cache without holding up the requests in flight."""
        return work(*arguments)


class MemoryCache(Cache):
    """A cache in the memory of this process.

    ``cache="memory"`` means one that all images of the process share.

    Parameters
    ----------
    max_mb : float, optional
        Most megabytes that it holds; `MEMORY_MB` (128) if neither this nor ``OME_ZARR_CACHE_MB``
        is given.

    Raises
    ------
    OmeZarrError
        The limit is not a number above 0.
    """

    nbytes = 0
    rechecked = 0

    def __init__(self, max_mb: float | None = None) -> None:
        super().__init__(max_mb, MEMORY_MB)
        self._entries: OrderedDict[tuple[str, str], Entry] = OrderedDict()  # oldest first
        self._parts: dict[str, set[str]] = {}  # of each object, those that are kept

    def __repr__(self) -> str:
        return f"MemoryCache({self.nbytes / 1e6:,.1f} of {self.limit / 1e6:,.0f} MB)"

    def __reduce__(self) -> tuple[Any, ...]:
        """A pickle carries no pixels: in another process it means a cache of that process."""
        return _memory_cache, (self.limit / 1e6,)

    def find(self, name: str, part: str) -> Entry | None:
        """The entry for a part of an object, which now counts as used."""
        with _memory_lock:
            entry = self._entries.get((name, part))
            if entry:
                self._entries.move_to_end((name, part))
            return entry

    def keep(self, name: str, part: str, etag: str, data: bytes | None) -> bool:
        """Keep an entry, drop other versions; whether there was one. See `Cache.keep`."""
        entry = Entry(etag, data, time.time_ns())
        with _memory_lock:
            known = [self._entries[name, other] for other in self._parts.get(name, ())]
            changed = any(other.etag != etag for other in known)
            for other in list(self._parts.get(name, ())) if changed else [part]:
                self._forget(name, other)
            if _in_memory(entry) <= self.limit:
                self._entries[name, part] = entry
                self._parts.setdefault(name, set()).add(part)
                self.nbytes += _in_memory(entry)
            while self.nbytes > self.limit:
                self._forget(*next(iter(self._entries)))
        return changed

    def _forget(self, name: str, part: str) -> None:
        entry = self._entries.pop((name, part), None)
        if entry:
            self.nbytes -= _in_memory(entry)
            self._parts[name].discard(part)
            if not self._parts[name]:
                del self._parts[name]

    def drop(self, name: str) -> None:
        """Forget all that is known of an object."""
        with _memory_lock:
            for part in list(self._parts.get(name, ())):
                self._forget(name, part)

    def clear(self) -> None:
        """Forget everything."""
        with _memory_lock:
            self._entries.clear()
            self._parts.clear()
            self.nbytes = 0

    def recheck(self) -> None:
        """From now on, have each entry confirmed by the endpoint before it is used again."""
        self.rechecked = time.time_ns()


class DiskCache(Cache):
    """A cache in a folder, which outlives the kernel and may be shared by several processes.

    Each entry is a file, ``ome-zarr-cache/abc/abc123….version.part``: a hash of the object's
    address, a hash of its ETag, and which part of the object it holds. Its two times say when it
    was last used (access) and when the endpoint last confirmed it (modification).

    Parameters
    ----------
    folder : str or Path
        Made when it is first needed. Only what lies in its ``ome-zarr-cache`` is ever touched.
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
    UserWarning
        Once, when the folder cannot be written to. Reading goes on: what the folder holds is used,
        the rest comes from the endpoint.
    """

    def __init__(self, folder: str | Path, max_mb: float | None = None) -> None:
        super().__init__(max_mb, DISK_MB)
        self.folder = _folder(folder) / "ome-zarr-cache"
        self._marker = self.folder / "rechecked"
        self._writable = True
        self._room = self.limit * 7 // 8
        self._since_scan = self.limit  # bytes written since; the first entry makes a scan
        self._being_written = 0

    def __repr__(self) -> str:
        used = f"{self.nbytes / 1e6:,.1f} of {self.limit / 1e6:,.0f} MB"
        return f"DiskCache({str(self.folder.parent)!r}, {used})"

    def __reduce__(self) -> tuple[Any, ...]:
        """In another process it means the same folder."""
        return _disk_cache, (str(self.folder.parent), self.limit / 1e6)

    @property
    def nbytes(self) -> int:
        """Bytes that the files take on the disk; looks at all of them."""
        return sum(size for _, size, _ in self._scan())

    @property
    def rechecked(self) -> int:
        """When `recheck` was called last, in whatever process."""
        return _modified(self._marker)

    async def run(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """Do a piece of work in a thread: a disk makes one wait."""
        return await asyncio.to_thread(work, *arguments)

    def find(self, name: str, part: str) -> Entry | None:
        """The entry for a part of an object, which now counts as used."""
        files = self._files(name)
        if len({_version_of(file) for file in files}) > 1:  # removing the older one failed
            newest = _version_of(max(files, key=_modified))
            files = [file for file in files if _version_of(file) == newest]
        for file in files:
            if _part_of(file) == part:
                return _read_entry(file)
        return None

    def keep(self, name: str, part: str, etag: str, data: bytes | None) -> bool:
        """Keep an entry, drop other versions; whether there was one. See `Cache.keep`."""
        entry, version = Entry(etag, data, 0), _hash(etag)[:12]
        others = [file for file in self._files(name) if _version_of(file) != version]
        for file in others:
            _remove(file)
        size = _on_disk(_in_memory(entry))
        if self._writable and size <= self._room:
            target = self._bucket(name) / f"{_hash(name)}.{version}.{part}"
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
            self._marker.write_text("Entries older than this file are confirmed before use.\n")
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
        with contextlib.suppress(OSError):
            return [bucket / file for file in os.listdir(bucket) if file.startswith(start)]
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
        for _, size, file in sorted(files):
            if taken <= room:
                break
            _remove(file)
            taken -= size

    def _scan(self) -> list[tuple[int, int, Path]]:
        """When each file was last used, its bytes on the disk, and its path."""
        found = []
        with contextlib.suppress(OSError):
            for bucket in os.scandir(self.folder):
                with contextlib.suppress(OSError):  # not a folder, or gone
                    for file in os.scandir(bucket):
                        with contextlib.suppress(OSError):  # another process removed it
                            status = file.stat()
                            size = _on_disk(status.st_size)
                            found.append((status.st_atime_ns, size, Path(file.path)))
        return found

    def _give_up(self, error: OSError) -> None:
        """Say once why nothing more is written, and read on."""
        if self._writable:
            self._writable = False
            warnings.warn(
                f"The cache in {self.folder.parent} cannot be written "
                f"({error.strerror or error}), so nothing more is added to it; reading goes on "
                "without. Free some space, or choose another folder.",
                stacklevel=2,
            )


class Shelf:
    """The part of a cache that belongs to one image; what a store asks.

    Parameters
    ----------
    cache : Cache
        Where the entries are.
    prefix : str
        Address of the image. It must mean the same image tomorrow: see `lasting_address`.
    since : int
        Entries confirmed before this (nanoseconds since 1970) are confirmed before use.
    """

    def __init__(self, cache: Cache, prefix: str, since: int = 0) -> None:
        self.cache, self.prefix, self.since = cache, prefix, since

    def below(self, path: str) -> Shelf:
        """The shelf of a folder below the image, such as ``labels/0``."""
        return Shelf(self.cache, f"{self.prefix}/{path}", self.since)

    async def find(self, key: str, byte_range: ByteRequest | None) -> Entry | None:
        """The entry of a key, or of a part of it."""
        return await self.cache.run(self.cache.find, f"{self.prefix}/{key}", part_name(byte_range))

    def trusts(self, entry: Entry) -> bool:
        """Whether an entry may be used without asking the endpoint."""
        return self.cache.trusts(entry, self.since)

    async def keep(
        self, key: str, byte_range: ByteRequest | None, etag: str, data: bytes | None
    ) -> bool:
        """Keep an answer (None for "no such key"); whether it shows that the object changed."""
        part = part_name(byte_range)
        return await self.cache.run(self.cache.keep, f"{self.prefix}/{key}", part, etag, data)

    def drop(self, key: str) -> None:
        """Forget a key, because what is kept of it turned out to be rubbish."""
        self.cache.drop(f"{self.prefix}/{key}")


def find_cache(cache: str | Path | Cache | None) -> Cache | None:
    """The cache meant by a ``cache=`` argument.

    Parameters
    ----------
    cache : str, Path or Cache, optional
        "memory", a folder, "off", or a cache made before. If left out, what the environment
        variable ``OME_ZARR_CACHE`` says; off if that is not set.

    Returns
    -------
    Cache or None
        None where nothing is to be cached. The same argument means the same cache.

    Raises
    ------
    OmeZarrError
        It is none of these, or the folder is a file.
    """
    if cache is None:
        cache = os.environ.get("OME_ZARR_CACHE", "").strip() or "off"
    if isinstance(cache, Cache):
        return cache
    word = str(cache).strip().lower()
    if not isinstance(cache, str | Path) or word in _NOT_FOLDERS or "://" in word:
        raise OmeZarrError(
            f'{cache!r} is not a cache; use "memory", a folder such as "./cache", or "off".'
        )
    if word == "off":
        return None
    if word == "memory":
        return _memory_cache(_limit(None, MEMORY_MB) / 1e6)
    return _disk_cache(str(_folder(cache)), _limit(None, DISK_MB) / 1e6)


def clear_cache(cache: str | Path | Cache | None = None) -> None:
    """Remove everything from a cache.

    Parameters
    ----------
    cache : str, Path or Cache, optional
        "memory" or a folder; the one that ``OME_ZARR_CACHE`` names if left out.
    """
    _needed(cache).clear()


def recheck_cache(cache: str | Path | Cache | None = None) -> None:
    """Have a cache notice changed images: ask before an entry is used the next time.

    From now on each entry is confirmed once, when it is next needed: one small request that brings
    no pixels where the object is unchanged. Where it has changed it is read anew.

    Parameters
    ----------
    cache : str, Path or Cache, optional
        "memory" or a folder; the one that ``OME_ZARR_CACHE`` names if left out.
    """
    _needed(cache).recheck()


def shelf(cache: Cache | None, url: str, since: int = 0) -> Shelf | None:
    """The part of a cache for the image at an address; None for a local folder, or no cache."""
    if cache is None or not url.startswith(("http://", "https://")):
        return None
    return Shelf(cache, lasting_address(url), since)


def lasting_address(url: str) -> str:
    """An address that means the same image in the next run.

    The stand-in listens on another port each time, so its images are named after its painters,
    and those of a mirror after its list of checksums.
    """
    from .offline.manifest import FILE
    from .offline.process import addresses, mirrors

    parts = urlsplit(url)
    server = f"{parts.scheme}://{parts.netloc}"
    if server in addresses:
        return f"offline-{_painters()}{parts.path}"
    if server in mirrors:
        listed = Path(mirrors[server], FILE).read_bytes()
        return f"mirror-{hashlib.sha256(listed).hexdigest()[:12]}{parts.path}"
    return url


def part_name(byte_range: ByteRequest | None) -> str:
    """A short name for a part of an object, such as "0-99" or "all"."""
    if byte_range is None:
        return "all"
    if isinstance(byte_range, RangeByteRequest):
        return f"{byte_range.start}-{byte_range.end}"
    if isinstance(byte_range, OffsetByteRequest):
        return f"{byte_range.offset}-"
    return f"last{byte_range.suffix}"


@functools.cache
def _painters() -> str:
    """A hash of the stand-in's code: an update of it is another endpoint."""
    digest = hashlib.sha256()
    for file in sorted((Path(__file__).parent / "offline").iterdir()):
        if file.is_file():
            digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


@functools.cache
def _memory_cache(max_mb: float) -> MemoryCache:
    return MemoryCache(max_mb)


@functools.cache
def _disk_cache(folder: str, max_mb: float) -> DiskCache:
    return DiskCache(folder, max_mb)


def _needed(cache: str | Path | Cache | None) -> Cache:
    found = find_cache(cache)
    if found is None:
        raise OmeZarrError(
            'No cache is in use; name it: cache="memory" or a folder, or set OME_ZARR_CACHE.'
        )
    return found


def _limit(max_mb: float | None, default_mb: float) -> int:
    """A limit in bytes, from an argument, from the environment, or the default."""
    given: Any = max_mb
    if given is None:
        given = os.environ.get("OME_ZARR_CACHE_MB", "").strip() or default_mb
    try:
        limit = round(float(given) * 1e6)
    except (TypeError, ValueError, OverflowError):
        limit = 0
    if limit <= 0:
        raise OmeZarrError(
            f"A cache of {given!r} MB is not possible; give its limit (max_mb or "
            "OME_ZARR_CACHE_MB) as a number of megabytes above 0."
        )
    return limit


def _folder(cache: str | Path) -> Path:
    """The folder of a cache, complete, checked that it is one or may become one."""
    folder = Path(cache).expanduser().absolute()
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


def _in_memory(entry: Entry) -> int:
    return len(entry.data or b"") + ENTRY_BYTES


def _on_disk(size: int) -> int:
    """Bytes that a file of this size takes, in whole blocks."""
    return -(-size // BLOCK) * BLOCK


def _modified(file: Path) -> int:
    with contextlib.suppress(OSError):
        return file.stat().st_mtime_ns
    return 0


def _remove(file: Path) -> None:
    """Remove a file, if it is still there and (Windows) nobody reads it at the moment."""
    with contextlib.suppress(OSError):
        file.unlink()


def _write_entry(file: Path, entry: Entry) -> None:
    """Write an entry beside its place, then move it there: at no time is half of it there."""
    data = entry.data or b""
    first = {"etag": entry.etag, "missing": entry.data is None, "crc32": zlib.crc32(data)}
    file.parent.mkdir(parents=True, exist_ok=True)
    part = tempfile.NamedTemporaryFile(dir=file.parent, prefix="unfinished-", delete=False)
    try:
        with part:
            part.write(json.dumps(first).encode() + b"\n")
            part.write(data)
        try:
            os.replace(part.name, file)
        except FileNotFoundError:
            pass  # somebody cleared the cache just now
        except PermissionError:
            if not file.exists():  # else, on Windows, somebody reads the same entry: it is there
                raise
    finally:
        _remove(Path(part.name))


def _read_entry(file: Path) -> Entry | None:
    """Read an entry and mark it as used; None if it is damaged or was just removed."""
    try:
        confirmed = file.stat().st_mtime_ns
        line, _, data = file.read_bytes().partition(b"\n")
        first = json.loads(line)
        if first["crc32"] != zlib.crc32(data):
            return None
        entry = Entry(str(first["etag"]), None if first["missing"] else data, confirmed)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    with contextlib.suppress(OSError):  # another user's folder
        os.utime(file, ns=(time.time_ns(), confirmed))
    return entry


def _new_locks() -> None:
    """Give a forked child locks of its own: the threads that held the old ones are not in it."""
    global _memory_lock, _disk_lock
    _memory_lock, _disk_lock = threading.Lock(), threading.Lock()


_memory_lock = threading.Lock()
_disk_lock = threading.Lock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_locks)
