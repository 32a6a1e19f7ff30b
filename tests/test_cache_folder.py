"""A cache folder with things in it that are not the cache's, and clocks that go wrong.

Requests are counted by the server.
"""

import os
import shutil
import socket
import stat
import sys
import threading
import time
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from support.images import noise, write_v2
from support.misbehaving import MisbehavingServer

from data_helpers import (
    DiskCache,
    MemoryCache,
    OmeZarrError,
    OmeZarrWarning,
    clear_cache,
    open_multiscale,
    recheck_cache,
)
from data_helpers.cache import disk, find_cache

AXES = {"version": "0.3", "axes": ["y", "x"]}
PIXELS = noise(40, 20)
ALL = 3 * 2 + 3  # chunks and documents
DAY = 24 * 3600 * 10**9
YEAR = 365 * DAY


@pytest.fixture
def served(tmp_path):
    write_v2(tmp_path / "served", [PIXELS], dict(AXES), chunks=(16, 16))
    with MisbehavingServer(tmp_path / "served") as running:
        yield running


@pytest.fixture
def kept(tmp_path):
    return DiskCache(tmp_path / "cache")


@pytest.fixture(params=["memory", "disk"])
def either(request, tmp_path):
    return MemoryCache() if request.param == "memory" else DiskCache(tmp_path / "cache")


def requests_of_a_read(served, kept, expected=PIXELS):
    served.asked.clear()
    np.testing.assert_array_equal(
        open_multiscale(served.endpoint, cache=kept).stored[0][:], expected
    )
    return len(served.asked)


def entries(kept):
    return sorted(path for path in kept.folder.glob("*/*") if disk._ENTRY.fullmatch(path.name))


def link(place, target):
    """A link, which Windows allows only to some users."""
    try:
        place.symlink_to(target, target_is_directory=target.is_dir())
    except OSError:
        pytest.skip("no links here")


# Links


@pytest.fixture
def thesis(tmp_path):
    """A folder beside the cache, with files of which one is even named like an entry."""
    folder = tmp_path / "thesis"
    folder.mkdir()
    (folder / "chapter1.tex").write_bytes(b"p" * 100_000)
    (folder / f"{'a' * 32}.{'b' * 12}.all").write_bytes(b"q" * 100_000)
    (folder / "unfinished-thoughts").write_bytes(b"r" * 100_000)
    for file in folder.iterdir():
        os.utime(file, ns=(1, 1))  # the first to go
    return folder


def contents(folder):
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}


@pytest.mark.parametrize("name", ["abc", "thesis", "unfinished-x"])
def test_a_linked_folder_is_left_alone(name, thesis, kept):
    before = contents(thesis)
    kept.folder.mkdir(parents=True)
    link(kept.folder / name, thesis)
    assert kept.nbytes == 0
    small = DiskCache(kept.folder.parent, 0.05)
    for number in range(20):
        small.keep(str(number), "all", "e", bytes(1000))
    assert 0 < small.nbytes <= 50_000
    clear_cache(small)
    assert small.nbytes == 0
    assert contents(thesis) == before and (kept.folder / name).is_symlink()


def test_nothing_is_written_through_a_linked_folder(thesis, served, kept):
    """Each of the folders that the image would use leads outside."""
    kept.folder.mkdir(parents=True)
    before = contents(thesis)
    for number in range(16**3):
        link(kept.folder / f"{number:03x}", thesis)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [requests_of_a_read(served, kept) for _ in range(2)] == [ALL, ALL]
    assert contents(thesis) == before


def test_linked_entries_are_neither_read_nor_written_nor_removed(thesis, served, kept):
    requests_of_a_read(served, kept)
    before = contents(thesis)
    for number, file in enumerate(entries(kept)):
        copy = thesis.parent / f"copy{number}"
        file.rename(copy)
        link(file, copy)
    copies = {path: path.stat().st_atime_ns for path in thesis.parent.glob("copy*")}
    assert len(copies) == ALL and kept.nbytes == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [requests_of_a_read(served, kept) for _ in range(2)] == [ALL, ALL]
    clear_cache(kept)
    assert all(file.is_symlink() for file in entries(kept)) and len(entries(kept)) == ALL
    assert {path: path.stat().st_atime_ns for path in copies} == copies
    assert contents(thesis) == before


@pytest.mark.parametrize("target", ["chapter1.tex", "not there", "."])
def test_a_linked_marker_is_not_written(target, thesis, kept):
    kept.folder.mkdir(parents=True)
    before = contents(thesis)
    link(kept.folder / "rechecked", thesis / target)
    assert kept.rechecked == ""
    with pytest.raises(OmeZarrError, match="its rechecked is not a file") as refusal:
        recheck_cache(kept)
    assert "\n" not in str(refusal.value)
    assert contents(thesis) == before


def test_a_junction_of_windows_is_a_link(monkeypatch):
    monkeypatch.setattr(stat, "IO_REPARSE_TAG_MOUNT_POINT", 0xA0000003, raising=False)
    folder = SimpleNamespace(st_mode=stat.S_IFDIR, st_reparse_tag=0)
    assert disk._is_folder(folder)
    folder.st_reparse_tag = 0xA0000003
    assert not disk._is_folder(folder)


def test_the_cache_folder_itself_may_be_a_link(served, tmp_path):
    (tmp_path / "large disk").mkdir()
    link(tmp_path / "here", tmp_path / "large disk")
    kept = DiskCache(tmp_path / "here")
    assert [requests_of_a_read(served, kept) for _ in range(2)] == [ALL, 0]
    assert list((tmp_path / "large disk").rglob("*.all"))
    clear_cache(kept)
    assert requests_of_a_read(served, kept) == ALL


# Odd things


def as_folder(path):
    path.mkdir()
    (path / "inside").write_text("mine")


def as_pipe(path):
    if not hasattr(os, "mkfifo"):
        pytest.skip("no pipes here")
    os.mkfifo(path)


def as_socket(path):
    if not hasattr(socket, "AF_UNIX"):
        pytest.skip("no sockets here")
    before = Path.cwd()
    os.chdir(path.parent)  # the name of a socket is short
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(before)


ODD = {
    "folder": as_folder,
    "pipe": as_pipe,
    "socket": as_socket,
    "loop": lambda path: link(path, path),
}


@pytest.mark.parametrize("kind", ODD)
def test_odd_things_in_place_of_entries(kind, served, kept):
    requests_of_a_read(served, kept)
    files = entries(kept)
    for file in files:
        file.unlink()
        ODD[kind](file)
    assert kept.nbytes == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert requests_of_a_read(served, kept) == ALL
    clear_cache(kept)
    assert entries(kept) == files


@pytest.mark.parametrize("kind", [*ODD, "file"])
def test_odd_things_in_place_of_folders(kind, served, kept):
    requests_of_a_read(served, kept)
    buckets = list(kept.folder.iterdir())
    clear_cache(kept)
    for bucket in buckets[:4]:
        bucket.rmdir()
        ODD[kind](bucket) if kind != "file" else bucket.write_text("mine")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        requests_of_a_read(served, kept)
        again = requests_of_a_read(served, kept)
    assert again == (0 if kind == "folder" else ALL - 5)  # in the others they are kept
    clear_cache(kept)
    assert kept.nbytes == 0 and all(os.path.lexists(bucket) for bucket in buckets[:4])


NAMES = "{hash} {hash}. {hash}.x {hash}.x.all {hash}..all {hash}.{v} {hash}.{v}. {hash}.{v}.a+b"
NAMES += " {hash}.{v}.all.bak {hash}.{v}.all~ {hash}.{v}.\u00e4 README .DS_Store desktop.ini"


def test_odd_names_are_ignored(served, kept):
    requests_of_a_read(served, kept)
    for file in entries(kept):
        name = file.name.split(".")[0]
        for odd in NAMES.split():
            (file.parent / odd.format(hash=name, v="0" * 12)).write_bytes(b"mine")
    taken = kept.nbytes
    assert taken == len(entries(kept)) * disk.BLOCK
    assert requests_of_a_read(served, kept) == 0
    kept.drop("a")
    clear_cache(kept)
    left = [path for path in kept.folder.rglob("*") if path.is_file()]
    assert len(left) >= len(NAMES.split()) and kept.nbytes == 0


@pytest.mark.parametrize("kind", ["folder", "pipe", "socket"])
def test_an_odd_marker(kind, served, kept):
    kept.folder.mkdir(parents=True)
    ODD[kind](kept.folder / "rechecked")
    assert [requests_of_a_read(served, kept) for _ in range(2)] == [ALL, 0]
    with pytest.raises(OmeZarrError, match="is not a file"):
        recheck_cache(kept)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"x" * 10_000])
def test_a_marker_that_others_wrote_is_good_for_one_recheck(content, served, kept):
    requests_of_a_read(served, kept)
    (kept.folder / "rechecked").write_bytes(content)
    assert requests_of_a_read(served, kept) > 0
    assert requests_of_a_read(served, kept) == 0


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"[" * 50_000 + b"\n", b"null\n", b'"x"\n', b"{}\n", b'{"crc32": []}\n']
)
def test_entries_that_hold_something_else(content, served, kept):
    requests_of_a_read(served, kept)
    for file in entries(kept):
        file.write_bytes(content)
    assert [requests_of_a_read(served, kept) for _ in range(2)] == [ALL, 0]


def test_an_entry_larger_than_the_cache_is_not_read_into_memory(kept):
    kept.keep("a", "all", "e", bytes(2_000_000))
    assert kept.find("a", "all").data == bytes(2_000_000)
    assert DiskCache(kept.folder.parent, 1).find("a", "all") is None


def test_a_file_that_may_not_be_read(served, kept, monkeypatch):
    requests_of_a_read(served, kept)

    def refuse(path, flags):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(disk, "_open_carefully", refuse)
        assert requests_of_a_read(served, kept) == ALL
    assert requests_of_a_read(served, kept) == 0


def test_a_pipe_that_appears_between_looking_and_opening_does_not_hang(kept, monkeypatch):
    kept.keep("a", "all", "e", b"data")
    (file,) = entries(kept)
    file.unlink()
    as_pipe(file)
    monkeypatch.setattr(disk, "_is_file", lambda status: True)
    found = []
    thread = threading.Thread(target=lambda: found.append(kept.find("a", "all")), daemon=True)
    thread.start()
    thread.join(10)
    assert found == [None]


# Clocks


class Clock:
    """The time that Python is told, off by so many nanoseconds."""

    def __init__(self, patch):
        self.off, now = 0, time.time_ns
        patch.setattr(time, "time_ns", lambda: now() + self.off)


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


@pytest.mark.parametrize("off", [-YEAR, -DAY, YEAR, 30 * YEAR])
def test_a_clock_that_is_set_costs_no_more_than_what_is_missing(off, either, clock, served):
    requests_of_a_read(served, either)
    clock.off = off
    counts = [requests_of_a_read(served, either) for _ in range(3)]
    assert counts[0] <= 1 and counts[1:] == [0, 0]  # zarr.json, which is not there
    clock.off = 0
    assert requests_of_a_read(served, either) <= 1
    assert requests_of_a_read(served, either) == 0


def test_a_chunk_kept_as_missing_in_the_future_is_not_believed_for_a_year(kept, clock, served):
    chunk = served.folder / "0/1/0"
    chunk.rename(served.folder / "aside")
    empty = PIXELS.copy()
    empty[16:32, :16] = 0
    clock.off = YEAR
    requests_of_a_read(served, kept, empty)
    clock.off = 0
    (served.folder / "aside").rename(chunk)
    assert requests_of_a_read(served, kept) == 2  # and zarr.json
    assert requests_of_a_read(served, kept) == 0


@pytest.mark.parametrize("off", [-YEAR, YEAR])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_recheck_under_a_wrong_clock_is_done_once(off, when, either, clock, served, tmp_path):
    requests_of_a_read(served, either)
    clock.off = off if when == "before" else 0
    recheck_cache(either)
    clock.off = off - clock.off
    new = PIXELS + 1
    shutil.rmtree(tmp_path / "served")
    write_v2(tmp_path / "served", [new], dict(AXES), chunks=(16, 16))
    assert requests_of_a_read(served, either, new) >= ALL
    assert [requests_of_a_read(served, either, new) for _ in range(2)] == [0, 0]


def test_two_rechecks_at_the_same_moment_are_two(kept, monkeypatch, served):
    moment = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: moment)
    for _ in range(2):
        recheck_cache(kept)
        assert requests_of_a_read(served, kept) > 0
        assert requests_of_a_read(served, kept) == 0


@pytest.mark.parametrize("off", [-YEAR, YEAR])
def test_an_image_that_appears_while_the_clock_is_set(off, either, clock, served, tmp_path):
    (tmp_path / "served").rename(tmp_path / "aside")
    with pytest.raises(OmeZarrError):
        open_multiscale(served.endpoint, cache=either)
    (tmp_path / "aside").rename(tmp_path / "served")
    clock.off = off
    image = open_multiscale(served.endpoint, cache=either)
    clock.off = 0
    for expected in (6, 0):  # the chunks, once
        served.asked.clear()
        np.testing.assert_array_equal(image.stored[0][:], PIXELS)
        assert len(served.asked) == expected
    assert requests_of_a_read(served, either) <= 1


def test_what_is_used_now_stays_when_the_clock_was_set_back(kept, clock):
    kept = DiskCache(kept.folder.parent, 0.1)
    clock.off = YEAR
    for number in range(15):
        kept.keep(f"future {number}", "all", "e", bytes(3000))
    clock.off = 0
    for number in range(15):
        kept.keep(f"now {number}", "all", "e", bytes(3000))
    assert all(kept.find(f"now {number}", "all") for number in range(15))
    assert kept.nbytes <= 100_000


def test_of_two_versions_the_one_kept_after_the_clock_was_set_back_counts(kept, clock, monkeypatch):
    clock.off = YEAR
    kept.keep("a", "all", "old", b"old")
    clock.off = 0
    monkeypatch.setattr(disk, "_remove", lambda file: None)  # as on Windows, while it is read
    kept.keep("a", "all", "new", b"new")
    assert len(entries(kept)) == 2 and kept.find("a", "all").data == b"new"


# Folders that cannot be used


@pytest.mark.parametrize("cache", ["~/cache", "~nobody-here/cache"])
def test_without_a_home_a_sentence_says_so(cache, monkeypatch):
    def no_home(self):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(disk.Path, "expanduser", no_home)
    with pytest.raises(OmeZarrError, match="give the whole path of a folder") as refusal:
        find_cache(cache)
    assert "\n" not in str(refusal.value)


def test_a_name_that_no_folder_has():
    with pytest.raises(OmeZarrError, match="is not a cache"):
        find_cache("ca\0che")


HOMELESS = """
import sys, warnings
from data_helpers import OmeZarrWarning, open_multiscale
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    for _ in range(3):
        image = open_multiscale(sys.argv[1], cache="~/cache")
        assert image.stored[0][:].any()
print([(one.category.__name__, str(one.message).count("cannot be written")) for one in told])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is where nobody can make a folder")
def test_a_home_that_cannot_be_used_is_told_once_and_reading_goes_on(served, run_python):
    script = f"import sys; sys.argv[1:] = [{served.endpoint!r}]\n{HOMELESS}"
    ran = run_python(script, HOME="/proc/nobody", OME_ZARR_CACHE="")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == "[('OmeZarrWarning', 1)]"
    assert len(served.asked) == 3 * ALL


def test_a_cache_in_place_of_whose_folder_there_is_a_file(served, tmp_path):
    kept = DiskCache(tmp_path / "cache")
    kept.folder.parent.mkdir()
    kept.folder.write_text("mine")
    with pytest.warns(OmeZarrWarning, match="cannot be written") as told:
        assert [requests_of_a_read(served, kept) for _ in range(2)] == [ALL, ALL]
    assert len(told) == 1 and kept.folder.read_text() == "mine"
    with pytest.raises(OmeZarrError, match="cannot be marked"):
        recheck_cache(kept)
