"""The cache: a second run asks for nothing, and nothing that is in the way spoils a picture.

Requests are counted by the server, not by the helper.
"""

import asyncio
import errno
import hashlib
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections import Counter
from pathlib import Path

import nbformat
import numpy as np
import pytest
import zarr
from nbclient import NotebookClient
from numcodecs import Zlib
from support import misbehaving as faults
from support.images import noise, write_array, write_json, write_v2
from support.misbehaving import AnswerOne, MisbehavingServer
from zarr.abc.store import OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync

from data_helpers import (
    ChunkError,
    DiskCache,
    MemoryCache,
    NotOmeZarrError,
    OmeZarrError,
    clear_cache,
    load_binary_from_s3,
    load_binary_from_s3_with_data,
    load_labels_from_s3,
    open_multiscale,
    recheck_cache,
)
from data_helpers.cache import base, disk, find_cache, memory
from data_helpers.offline import process, server
from data_helpers.sources import lasting_address
from data_helpers.store import RetryingStore

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tools"))

from refresh_notebooks import SilentOutput  # noqa: E402

AXES = {"version": "0.3", "axes": ["z", "y", "x"]}
PIXELS = noise(3, 40, 20)
CHUNKS = 3 * 3 * 2
DOCUMENTS = ["zarr.json", ".zattrs", "0/.zarray"]  # the first is not there
ALL = CHUNKS + len(DOCUMENTS)
MB = 1_000_000


class AnswerWithETag(AnswerOne):
    """Objects have ETags, as in S3, and HEAD is answered."""

    def do_HEAD(self):
        self.server_.heads.append(self.path.lstrip("/"))
        self.do_GET()

    def send(self, content, status=200, length=None, **headers):
        path = self.server_.folder / self.path.lstrip("/")
        if status < 300 and self.server_.etags and path.is_file():
            headers["ETag"] = f'"{hashlib.md5(path.read_bytes()).hexdigest()}"'
        super().send(b"" if self.command == "HEAD" else content, status, length, **headers)


class ServerWithETags(MisbehavingServer):
    def __init__(self, folder):
        super().__init__(folder)
        self.heads, self.etags = [], True
        self._http.RequestHandlerClass = type("Handler", (AnswerWithETag,), {"server_": self})

    def requests(self):
        """How many requests there were since this was last called."""
        count = len(self.asked)
        self.asked.clear()
        self.heads.clear()
        return count


@pytest.fixture
def served(tmp_path):
    """A small image on a server: one level, a chunk of which is not there."""
    write_v2(tmp_path / "served", [PIXELS], dict(AXES))
    (tmp_path / "served/0/2/2/1").unlink()
    with ServerWithETags(tmp_path / "served") as running:
        yield running


EXPECTED = PIXELS.copy()
EXPECTED[2, 32:, 16:] = 0


@pytest.fixture(params=["memory", "disk"])
def kept(request, tmp_path):
    """A cache of each kind."""
    return MemoryCache() if request.param == "memory" else DiskCache(tmp_path / "cache")


def read(where, kept):
    return open_multiscale(where.endpoint, cache=kept).stored[0][:]


def file_of(folder, name, part="all"):
    """The one file of a cache folder for an object."""
    (found,) = Path(folder).glob(f"ome-zarr-cache/*/{disk._hash(name)}.*.{part}")
    return found


# What it is for


def test_a_second_run_asks_for_nothing(served, kept):
    for expected in (ALL, 0, 0):
        np.testing.assert_array_equal(read(served, kept), EXPECTED)
        assert served.requests() == expected


def test_it_is_off_unless_asked_for(served):
    for _ in range(2):
        read(served, None)
        read(served, "off")
        assert served.requests() == 2 * ALL


def test_the_environment_sets_the_default(served, tmp_path, monkeypatch):
    monkeypatch.setenv("OME_ZARR_CACHE", str(tmp_path / "from environment"))
    for expected in (ALL, 0):
        np.testing.assert_array_equal(read(served, None), EXPECTED)
        assert served.requests() == expected
    read(served, "off")
    assert served.requests() == ALL
    monkeypatch.setenv("OME_ZARR_CACHE", "off")
    read(served, None)
    assert served.requests() == ALL


def test_images_share_what_is_kept(served, kept):
    """A plane read through one image is there for the others, lazy ones too."""
    open_multiscale(served.endpoint, cache=kept).stored[0][1]
    served.requests()
    other = open_multiscale(served.endpoint, cache=kept).stored[0]
    np.testing.assert_array_equal(other[1], EXPECTED[1])
    np.testing.assert_array_equal(other.lazy()[1].compute(), EXPECTED[1])
    assert served.requests() == 0
    other[:2]
    assert served.requests() == CHUNKS // 3


def test_images_are_told_apart(tmp_path, kept):
    """The same keys on two servers, and below two folders of one."""
    with ServerWithETags(tmp_path / "a") as one, ServerWithETags(tmp_path / "b") as other:
        for number, folder in enumerate(["a/1", "a/2", "b/1"]):
            write_v2(tmp_path / folder, [PIXELS + number], dict(AXES))
        urls = [f"{one.endpoint}/1", f"{one.endpoint}/2", f"{other.endpoint}/1"]
        for _ in range(2):
            for number, url in enumerate(urls):
                found = open_multiscale(url, cache=kept).stored[0][:]
                np.testing.assert_array_equal(found, PIXELS + number)


def test_labels_are_kept_as_well(served, tmp_path, kept):
    labels = tmp_path / "served/labels"
    write_json(labels / ".zattrs", {"labels": ["0"]})
    write_v2(labels / "0", [PIXELS], dict(AXES))
    for expected in (ALL + 4 + CHUNKS, 0):  # the list, .zattrs, .zarray (missing), level 0
        image = open_multiscale(served.endpoint, cache=kept)
        image.stored[0][:]
        np.testing.assert_array_equal(image.label("0").stored[0][:], PIXELS)
        assert served.requests() == expected


def test_a_local_folder_is_not_kept(tmp_path, kept):
    write_v2(tmp_path / "image", [PIXELS], dict(AXES))
    open_multiscale(tmp_path / "image", cache=kept).stored[0][:]
    assert kept.nbytes == 0


@pytest.mark.parametrize(
    "load", [load_binary_from_s3, load_binary_from_s3_with_data, load_labels_from_s3]
)
def test_the_three_functions_take_it(load, counting, kept, capsys):
    level = {"resolution": "2"} if load != load_labels_from_s3 else {}
    found = []
    for _ in range(2):
        before = len(counting.asked)
        part = load(6001247, **level, source=counting.endpoint, cache=kept)
        found.append(np.asarray(part[:, :, 100:101]))
        found.append(len(counting.asked) - before)
    assert found[1] > 0 and found[3] == 0
    np.testing.assert_array_equal(found[0], found[2])


# A whole notebook, twice, in fresh kernels


@pytest.fixture(scope="module")
def counting():
    """The stand-in in this process, which remembers what it was asked for."""

    class CountingApp(server.S3App):
        async def __call__(self, scope, receive, send):
            asked.append(scope["path"])
            await super().__call__(scope, receive, send)

    asked = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server, "S3App", CountingApp)
        running = server.OfflineThread()
    running.asked = asked
    yield running
    running.stop()


@pytest.mark.timeout(300)
def test_a_second_run_of_a_notebook_asks_for_nothing(counting, tmp_path):
    path = ROOT / "notebooks/solutions/04_overlay_labels.ipynb"
    environment = os.environ | {
        "OME_ZARR_SOURCE": counting.endpoint,
        "OME_ZARR_CACHE": str(tmp_path),
        "MPLBACKEND": "agg",  # nobody looks at the figures
    }
    counts = []
    for _ in range(2):
        counting.asked.clear()
        notebook = nbformat.read(path, as_version=4)
        by_zarr = [cell.id for cell in notebook.cells].index("without-code")  # past our cache
        del notebook.cells[by_zarr]
        resources = {"metadata": {"path": str(path.parent)}}
        client = NotebookClient(notebook, timeout=100, resources=resources)
        client.widget_registry["@jupyter-widgets/output"]["OutputModel"] = SilentOutput
        client.execute(env=environment)
        counts.append(len(counting.asked))
    assert counts[0] > 500 and counts[1] == 0


READ_OFFLINE = """
from data_helpers import open_multiscale, request_meter
with request_meter(show=False) as cost:
    image = open_multiscale(6001247)
    print(image.stored[2][0, 0, 100].sum(), image.labels)
print(image.url, cost.requests)
"""


def test_the_stand_in_is_known_by_name_not_by_port(run_python, tmp_path):
    said = []
    for _ in range(2):
        ran = run_python(READ_OFFLINE, OME_ZARR_CACHE=str(tmp_path / "cache"))
        assert ran.returncode == 0, ran.stderr
        said.append(ran.stdout.split("\n")[-3:-1])
    assert said[0][0] == said[1][0]
    (address, count), (other, again) = (lines[1].split() for lines in said)
    assert int(count) > 4 and int(again) == 0
    assert address != other  # otherwise this would prove nothing


def test_the_address_of_a_stand_in_lasts(offline):
    key = "/idr/zarr/v0.1/6001247.zarr"
    assert re.fullmatch(rf"offline-[0-9a-f]{{12}}{key}", lasting_address(offline + key))
    for other in ("https://livingobjects.ebi.ac.uk", "http://127.0.0.1:9", offline + "1"):
        assert lasting_address(other + key) == other + key
    second = process.start()
    assert lasting_address(second.endpoint + key) == lasting_address(offline + key)
    second.stop()
    assert lasting_address(second.endpoint + key) == second.endpoint + key


# Parts of objects


@pytest.fixture
def sharded(served, tmp_path):
    """A Zarr v3 image with 16 chunks in each of two shards."""
    write_shards(tmp_path, PIXELS[:2, :32, :32])
    return served


def write_shards(tmp_path, pixels):
    folder = tmp_path / "served/sharded"
    array = zarr.create_array(
        store=str(folder / "0"),
        shape=(2, 32, 16),
        chunks=(1, 8, 4),
        shards=(1, 32, 16),
        dtype="u2",
        fill_value=9,
        overwrite=True,
    )
    array[:] = pixels[:, :, :16]
    level = {
        "path": "0",
        "coordinateTransformations": [{"type": "scale", "scale": [1.0, 1.0, 1.0]}],
    }
    named = [{"name": name, "type": "space"} for name in "zyx"]
    ome = {"version": "0.5", "multiscales": [{"axes": named, "datasets": [level]}]}
    group = {"zarr_format": 3, "node_type": "group", "attributes": {"ome": ome}}
    write_json(folder / "zarr.json", group)


def corner(where, kept, selection=np.s_[:, :8, :4]):
    return open_multiscale(f"{where.endpoint}/sharded", cache=kept).stored[0][selection]


def test_parts_of_a_shard_are_kept(sharded, kept):
    expected = PIXELS[:2, :8, :4]
    np.testing.assert_array_equal(corner(sharded, kept), expected)
    assert sharded.requests() == 3 + 2 * 2  # documents; for each shard its index and one chunk
    np.testing.assert_array_equal(corner(sharded, kept), expected)
    assert sharded.requests() == 0
    corner(sharded, kept, np.s_[:, :8, :8])
    assert sharded.requests() == 2  # the indexes are known already


def test_a_missing_shard_is_kept(sharded, tmp_path, kept):
    (tmp_path / "served/sharded/0/c/1/0/0").unlink()
    for expected in (3 + 2 + 1, 0):
        assert (corner(sharded, kept)[1] == 9).all()
        assert sharded.requests() == expected


def test_parts_of_two_versions_are_never_mixed(sharded, tmp_path, kept):
    corner(sharded, kept)
    write_shards(tmp_path, PIXELS[:2] + 1)
    with pytest.raises(ChunkError, match=r"has changed since .* run the cell again") as caught:
        corner(sharded, kept, np.s_[0, 8:16, 4:8])
    assert "\n" not in str(caught.value)
    np.testing.assert_array_equal(corner(sharded, kept, np.s_[0]), PIXELS[0, :32, :16] + 1)


def test_a_changed_shard_is_read_anew_after_recheck(sharded, tmp_path, kept):
    corner(sharded, kept)
    write_shards(tmp_path, PIXELS[:2] + 1)
    recheck_cache(kept)
    np.testing.assert_array_equal(corner(sharded, kept), PIXELS[:2, :8, :4] + 1)


def test_parts_without_an_etag_are_not_kept(sharded, kept):
    sharded.etags = False
    corner(sharded, kept)
    sharded.requests()
    corner(sharded, kept)
    assert sharded.requests() == 4  # two indexes, two chunks; documents are kept whole


def test_parts_have_names_of_their_own():
    parts = [None, RangeByteRequest(1, 9), OffsetByteRequest(1), SuffixByteRequest(1)]
    assert [base.part_name(part) for part in parts] == ["all", "1-9", "1-", "last1"]


def test_each_kind_of_part_is_found_again(served, kept):
    store = RetryingStore(served.endpoint, cache=kept.view(served.endpoint))
    prototype = default_buffer_prototype()
    content = (served.folder / "0/0/0/0").read_bytes()
    parts = {
        None: content,
        RangeByteRequest(2, 9): content[2:9],
        OffsetByteRequest(4): content[4:],
        SuffixByteRequest(5): content[-5:],
    }
    for expected in (4, 0):
        for part, wanted in parts.items():
            assert sync(store.get("0/0/0/0", prototype, part)).to_bytes() == wanted
        assert served.requests() == expected


# What is not believed


@pytest.mark.parametrize("fault", [faults.status(503), faults.status(403), faults.cut])
def test_a_failure_is_not_kept(fault, served, kept, quick):
    array = open_multiscale(served.endpoint, cache=kept).stored[0]
    served.fault("0/1/1/1", *[fault] * 4)
    with pytest.raises(OmeZarrError, match="1/1/1"):
        array[1]
    served.fault("0/1/1/1")
    np.testing.assert_array_equal(array[:], EXPECTED)


def test_rubbish_that_cannot_be_decoded_is_asked_for_again(served, tmp_path, kept):
    """It came once, with a proper status and length, and is in the cache."""
    write_array(tmp_path / "served/1", PIXELS, compressor=Zlib())
    write_json(tmp_path / "served/.zattrs", {"multiscales": [AXES | {"datasets": [{"path": "1"}]}]})
    served.fault("1/1/1/1", faults.garble)
    array = open_multiscale(served.endpoint, cache=kept).stored[0]
    np.testing.assert_array_equal(array[:], PIXELS)
    served.requests()
    np.testing.assert_array_equal(read(served, kept), PIXELS)
    assert served.requests() == 0


def test_a_login_page_is_not_kept(served, kept):
    served.fault(".zattrs", faults.portal, faults.portal)
    with pytest.raises(OmeZarrError):
        read(served, kept)
    np.testing.assert_array_equal(read(served, kept), EXPECTED)


def test_that_there_is_no_image_is_not_concluded_from_the_cache(served, tmp_path, kept):
    url = f"{served.endpoint}/later"
    with pytest.raises(NotOmeZarrError):
        open_multiscale(url, cache=kept)
    write_v2(tmp_path / "served/later", [PIXELS], dict(AXES))
    (tmp_path / "served/later/0/.zarray").rename(tmp_path / "aside")
    with pytest.raises(OmeZarrError, match=r"there is no 0/\.zarray"):
        open_multiscale(url, cache=kept)
    (tmp_path / "aside").rename(tmp_path / "served/later/0/.zarray")
    np.testing.assert_array_equal(open_multiscale(url, cache=kept).stored[0][:], PIXELS)


def test_that_a_chunk_is_missing_is_believed_for_a_day(served, tmp_path, kept, monkeypatch):
    read(served, kept)
    write_array(tmp_path / "again", PIXELS)
    (tmp_path / "again/2/2/1").rename(tmp_path / "served/0/2/2/1")
    np.testing.assert_array_equal(read(served, kept), EXPECTED)
    served.requests()
    for clock in ("time_ns", "monotonic_ns"):  # a folder outlives the kernel, a memory does not
        now = getattr(time, clock)
        monkeypatch.setattr(time, clock, lambda now=now: now() + 25 * 3600 * 10**9)
    np.testing.assert_array_equal(read(served, kept), PIXELS)
    assert served.requests() == 2  # the chunk, and zarr.json, which is still missing
    np.testing.assert_array_equal(read(served, kept), PIXELS)
    assert "0/2/2/1" not in served.asked


# Changed objects


def test_a_changed_object_is_noticed_after_recheck(served, tmp_path, kept):
    read(served, kept)
    write_array(tmp_path / "new", PIXELS + 1)
    for key in ("0/0/0", "1/2/1"):
        (tmp_path / "new" / key).replace(tmp_path / "served/0" / key)
    served.requests()
    np.testing.assert_array_equal(read(served, kept), EXPECTED)  # as documented: not yet
    assert served.requests() == 0

    recheck_cache(kept)
    expected = EXPECTED.copy()
    expected[0, :16, :16] += 1
    expected[1, 32:, 16:] += 1
    np.testing.assert_array_equal(read(served, kept), expected)
    assert len(served.heads) == ALL - 2  # what is missing is simply asked for again
    gets = Counter(served.asked) - Counter(served.heads)
    assert sorted(gets) == ["0/0/0/0", "0/1/2/1", "0/2/2/1", "zarr.json"]
    served.requests()
    np.testing.assert_array_equal(read(served, kept), expected)
    assert served.requests() == 0


def test_an_object_that_is_gone_is_noticed_after_recheck(served, tmp_path, kept):
    read(served, kept)
    (tmp_path / "served/0/1/1/1").unlink()
    recheck_cache(kept)
    expected = EXPECTED.copy()
    expected[1, 16:32, 16:] = 0
    for _ in range(2):
        np.testing.assert_array_equal(read(served, kept), expected)


@pytest.mark.parametrize("problem", ["no etag", "refused"])
def test_what_cannot_be_confirmed_is_read_anew(problem, served, kept):
    served.etags = problem == "refused"
    read(served, kept)
    served.requests()
    recheck_cache(kept)
    if problem == "refused":
        served.fault("*", *[faults.hang_up] * 3)
    np.testing.assert_array_equal(read(served, kept), EXPECTED)
    np.testing.assert_array_equal(read(served, kept), EXPECTED)


def test_another_kernel_rechecks_too(served, tmp_path):
    read(served, DiskCache(tmp_path / "cache"))
    recheck_cache(tmp_path / "cache")
    served.requests()
    read(served, DiskCache(tmp_path / "cache"))
    assert served.requests() > 0


def test_a_new_version_drops_the_old_one(kept):
    assert not kept.keep("a", "0-9", "v1", b"old")
    assert not kept.keep("a", "last4", "v1", b"index")
    assert not kept.keep("b", "all", "v1", b"other")
    assert kept.keep("a", "10-19", "v2", b"new")
    assert kept.find("a", "0-9") is kept.find("a", "last4") is None
    assert kept.find("a", "10-19")[:2] == ("v2", b"new")
    assert kept.keep("a", "10-19", "", None)
    assert kept.find("a", "10-19")[:2] == ("", None)
    assert kept.find("b", "all")[:2] == ("v1", b"other")
    if isinstance(kept, DiskCache):
        assert len(kept._files("a")) == 1  # not only out of use, but gone
    kept.drop("b")
    kept.drop("c")
    assert kept.find("b", "all") is None


def test_to_use_an_entry_does_not_confirm_it(kept):
    kept.keep("a", "all", "v", b"data")
    first = kept.find("a", "all").confirmed
    assert abs(kept.now() - first) < 10**10
    time.sleep(0.05)
    kept.find("a", "all")
    assert kept.find("a", "all").confirmed == first


def test_clearing(served, kept, tmp_path):
    read(served, kept)
    if isinstance(kept, DiskCache):
        (tmp_path / "cache/mine.txt").write_text("not the cache's")
    assert kept.nbytes > 0
    clear_cache(kept)
    assert kept.nbytes == 0
    served.requests()
    read(served, kept)
    assert served.requests() == ALL
    if isinstance(kept, DiskCache):
        assert (tmp_path / "cache/mine.txt").exists()


# The limit


def small(kept, megabytes):
    """The same kind of cache with another limit."""
    if isinstance(kept, MemoryCache):
        return MemoryCache(megabytes)
    return DiskCache(kept.folder.parent, megabytes)


def names_in(kept, names):
    """Which of the names are in the cache, without marking them as used."""
    if isinstance(kept, MemoryCache):
        return [name for name in names if (name, "all") in kept._entries]
    return [name for name in names if kept._files(name)]


def test_what_was_not_used_for_longest_goes_first(kept):
    kept = small(kept, 1)
    for name in "abcdefgh":
        kept.keep(name, "all", "1", bytes(100_000))
        time.sleep(0.01)
    for name in "abcdefghca":  # the first time, many file systems note it by themselves
        kept.find(name, "all")
        time.sleep(0.01)
    for name in "ijk":
        kept.keep(name, "all", "1", bytes(100_000))
        time.sleep(0.01)
    present = names_in(kept, "abcdefghijk")
    assert set("acijk") <= set(present) and "b" not in present and "d" not in present
    order = "bdefghcaijk"
    assert sorted(present, key=order.index) == list(order[-len(present) :])
    assert len(present) >= 8


def test_the_limit_holds_at_every_moment(kept):
    kept = small(kept, 0.3)
    sizes = np.random.default_rng(0).integers(0, 60_000, 200)
    for number, size in enumerate(sizes):
        kept.keep(f"{number % 70}", "all", f"{number}", bytes(int(size)))
        assert kept.nbytes <= 300_000
    assert kept.nbytes > 150_000


def test_the_limit_holds_for_many_short_runs(tmp_path):
    """Each writes too little to look for room on account of what it wrote itself."""
    for number in range(60):
        DiskCache(tmp_path, 1).keep(str(number), "all", "1", bytes(25_000))
    assert 500_000 < DiskCache(tmp_path, 1).nbytes <= 1_000_000


def test_many_tiny_entries_count_too(kept):
    kept = small(kept, 0.06)
    for number in range(200):
        kept.keep(f"{number}", "all", "", None)
    assert kept.nbytes <= 60_000
    assert len(names_in(kept, map(str, range(200)))) <= 120


def test_an_entry_above_the_limit_is_not_kept(kept):
    kept = small(kept, 0.1)
    kept.keep("small", "all", "1", bytes(1000))
    kept.keep("large", "all", "1", bytes(100_000))
    assert names_in(kept, ["small", "large"]) == ["small"]


def test_keeping_the_same_again_takes_no_more_room(kept):
    kept.keep("a", "all", "1", bytes(50_000))
    once = kept.nbytes
    kept.keep("a", "all", "1", bytes(50_000))
    assert kept.nbytes == once > 50_000
    kept.keep("a", "all", "2", b"")
    assert kept.nbytes < 10_000


# Several processes and threads

HAMMER = """
import random, sys
from data_helpers import DiskCache
kept = DiskCache(sys.argv[1], float(sys.argv[2]))
chance = random.Random(int(sys.argv[3]))
found = most = 0
print("ready", flush=True)
for turn in range(int(sys.argv[4])):
    name = str(chance.randrange(120))
    data = name.encode() * 5000
    entry = kept.find(name, "all")
    if entry is None:
        kept.keep(name, "all", "v", data)
    else:
        assert entry.data == data, "torn or mixed up"
        found += 1
    if turn % 10 == 9:
        most = max(most, kept.nbytes)
print(found, most)
"""


def hammer(folder, megabytes, seed, turns):
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    arguments = [str(folder), str(megabytes), str(seed), str(turns)]
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", HAMMER, *arguments],
        env=os.environ | {"PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_several_processes_at_once(tmp_path):
    running = [hammer(tmp_path, 1, seed, 500) for seed in range(4)]
    for one in running:
        said, complaints = one.communicate(timeout=60)
        assert one.returncode == 0 and complaints == ""
        found, most = map(int, said.split()[1:])
        assert found > 10
        assert 200_000 < most <= 1_000_000
    kept = DiskCache(tmp_path, 1)
    assert 0 < kept.nbytes <= 1_000_000
    assert list(tmp_path.rglob("unfinished-*")) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no kill -9")
def test_a_process_killed_while_it_writes(tmp_path):
    for round_ in range(6):
        one = hammer(tmp_path, 0.25, round_, 10**9)
        assert one.stdout.readline() == "ready\n"
        time.sleep(0.05 + 0.013 * round_)
        one.send_signal(signal.SIGKILL)
        one.communicate(timeout=30)
    kept = DiskCache(tmp_path, 0.25)
    for number in range(60):
        entry = kept.find(str(number), "all")
        assert entry is None or entry.data == str(number).encode() * 5000
    assert len(names_in(kept, map(str, range(60)))) > 3


def test_what_a_killed_process_left_is_removed_in_time(tmp_path):
    kept = DiskCache(tmp_path, 0.2)
    kept.keep("a", "all", "1", bytes(10))
    left = kept._bucket("a") / "unfinished-abc"
    left.write_bytes(bytes(90_000))
    os.utime(left, ns=(1, 1))
    for number in range(20):
        kept.keep(str(number), "all", "1", bytes(20_000))
    assert not left.exists() and kept.nbytes <= 200_000


@pytest.fixture
def hasty():
    """Threads take turns a thousand times as often as usual, so that they meet in bad places."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(5e-6)
    yield
    sys.setswitchinterval(before)


def test_many_threads(kept, hasty):
    kept = small(kept, 0.5)
    problems = []

    def work(seed):
        chance = np.random.default_rng(seed)
        try:
            for number in chance.integers(0, 40, 150):
                name, data = str(number), str(number).encode() * 9000
                entry = kept.find(name, "all")
                if entry is None:
                    kept.keep(name, "all", "v", data)
                elif entry.data != data:
                    problems.append(name)
                if number == 7:
                    kept.drop(name)
        except Exception as error:
            problems.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert problems == []
    assert 0 < kept.nbytes <= 500_000


@pytest.mark.parametrize("work", ["keep", "find", "drop", "clear"])
def test_memory_is_used_by_one_thread_at_a_time(work):
    kept = MemoryCache()
    arguments = {"keep": ("a", "all", "1", b""), "find": ("a", "all"), "drop": ("a",)}
    thread = threading.Thread(target=getattr(kept, work), args=arguments.get(work, ()))
    with memory._memory_lock:
        thread.start()
        thread.join(0.1)
        assert thread.is_alive()
    thread.join(10)
    assert not thread.is_alive()


def read_elsewhere(array):
    return array[1], len(pickle.dumps(array))


def test_another_process_uses_the_same_folder(served, tmp_path, worker):
    array = open_multiscale(served.endpoint, cache=tmp_path / "cache").stored[0]
    array[1]
    served.requests()
    plane, size = worker.submit(read_elsewhere, array).result(timeout=60)
    np.testing.assert_array_equal(plane, EXPECTED[1])
    assert served.requests() == 0 and size < 10_000


def test_another_process_has_a_memory_of_its_own(served, worker):
    kept = MemoryCache(5)
    array = open_multiscale(served.endpoint, cache=kept).stored[0]
    array[1]
    served.requests()
    for expected in (CHUNKS // 3, 0):  # one for all that is sent there
        plane, size = worker.submit(read_elsewhere, array).result(timeout=60)
        np.testing.assert_array_equal(plane, EXPECTED[1])
        assert served.requests() == expected and size < 10_000


def test_pickles_name_the_cache_and_its_limit(tmp_path):
    for kept in (MemoryCache(3), DiskCache(tmp_path, 3)):
        again = pickle.loads(pickle.dumps(kept))
        assert again.limit == 3 * MB and pickle.loads(pickle.dumps(kept)) is again
    assert again.folder == kept.folder


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_forked_while_a_thread_holds_the_lock(kept):
    held, done = threading.Event(), threading.Event()

    def hold():
        with memory._memory_lock, disk._disk_lock:
            held.set()
            done.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(10)
    child = os.fork()
    if child == 0:
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(10)  # instead of waiting for ever
            kept.keep("a", "all", "1", b"data")
            os._exit(0 if kept.find("a", "all") else 3)
        finally:
            os._exit(4)  # whatever happens, this is not the end of the tests
    done.set()
    thread.join(10)
    assert os.waitpid(child, 0)[1] == 0


# Damage, full disks, folders that cannot be written


@pytest.mark.parametrize(
    "damage",
    {
        "cut": lambda data: data[: len(data) // 2],
        "cut in its first line": lambda data: data[:9],
        "empty": lambda data: b"",
        "a byte changed": lambda data: data[:-3] + bytes([data[-3] ^ 1]) + data[-2:],
        "longer": lambda data: data + b"more",
        "zeros": lambda data: bytes(len(data)),
        "a pickle": lambda data: pickle.dumps({"crc32": 0}),
        "other JSON": lambda data: b"[]\n",
    }.items(),
    ids=lambda damage: damage[0],
)
def test_a_damaged_entry_is_read_anew(damage, served, tmp_path):
    kept = DiskCache(tmp_path / "cache")
    read(served, kept)
    served.requests()
    for key in ("0/1/1/1", "0/.zarray", "zarr.json"):
        file = file_of(tmp_path / "cache", f"{served.endpoint}/{key}")
        file.write_bytes(damage[1](file.read_bytes()))
    for expected in (3, 0):
        np.testing.assert_array_equal(read(served, kept), EXPECTED)
        assert served.requests() == expected


class FullDisk:
    """Files of which only the first half can be written."""

    def __init__(self, made):
        self._made, self.name = made, made.name

    def write(self, data):
        self._made.write(data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._made.close()


def test_a_full_disk_is_told_once_and_reading_goes_on(served, tmp_path, monkeypatch):
    kept, make = DiskCache(tmp_path / "cache"), disk.tempfile.NamedTemporaryFile
    open_multiscale(served.endpoint, cache=kept).stored[0][0]
    served.requests()
    monkeypatch.setattr(
        disk.tempfile, "NamedTemporaryFile", lambda **options: FullDisk(make(**options))
    )
    with pytest.warns(UserWarning, match="No space left on device") as told:
        np.testing.assert_array_equal(read(served, kept), EXPECTED)
        np.testing.assert_array_equal(read(served, kept), EXPECTED)
    assert len(told) == 1 and "\n" not in str(told[0].message)
    assert served.requests() == 2 * 2 * CHUNKS // 3  # the first plane is still there
    assert list(tmp_path.rglob("unfinished-*")) == []
    monkeypatch.undo()
    clear_cache(kept)  # and tries again
    read(served, kept)
    served.requests()
    read(served, kept)
    assert served.requests() == 0


TOO_LONG = """
import resource, sys, warnings
from data_helpers import DiskCache
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
kept = DiskCache(sys.argv[1])
kept.keep("small", "all", "1", bytes(20_000))
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    kept.keep("large", "all", "1", bytes(100_000))
    kept.keep("other", "all", "1", bytes(100_000))
assert [str(one.message).count("nothing more is added") for one in told] == [1]
assert len(kept.find("small", "all").data) == 20_000
assert kept.find("large", "all") is None
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows knows no limit to a file's length")
def test_a_write_that_really_stops_midway(tmp_path, run_python):
    ran = run_python(f"import sys; sys.argv[1:] = [{str(tmp_path / 'c')!r}]\n" + TOO_LONG)
    assert ran.returncode == 0, ran.stderr
    assert list(tmp_path.rglob("unfinished-*")) == []
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 1


def refuse(*arguments, **options):
    raise PermissionError(errno.EACCES, "Permission denied")


def test_a_folder_that_can_only_be_read(served, tmp_path, monkeypatch):
    """As a cache that a teacher filled and the class may not write to."""
    read(served, DiskCache(tmp_path / "cache"))
    served.requests()
    with monkeypatch.context() as patch:
        for name in ("utime", "replace", "unlink"):
            patch.setattr(os, name, refuse)
        patch.setattr(disk.tempfile, "NamedTemporaryFile", refuse)
        kept = DiskCache(tmp_path / "cache")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            np.testing.assert_array_equal(read(served, kept), EXPECTED)
        assert served.requests() == 0
        with pytest.warns(UserWarning, match="Permission denied"):
            kept.keep("new", "all", "1", b"")


def test_a_folder_that_cannot_be_made(served, tmp_path, monkeypatch):
    kept = DiskCache(tmp_path / "cache")
    monkeypatch.setattr(disk.Path, "mkdir", refuse)
    with pytest.warns(UserWarning, match=f"cache in .*{tmp_path.name}.* cannot be written") as told:
        np.testing.assert_array_equal(read(served, kept), EXPECTED)
    assert len(told) == 1 and kept.nbytes == 0
    with pytest.raises(OmeZarrError, match="cannot be marked"):
        recheck_cache(kept)


def test_windows_refuses_to_replace_or_remove_what_is_being_read(tmp_path, monkeypatch):
    kept = DiskCache(tmp_path)
    kept.keep("a", "all", "v1", b"one")
    with monkeypatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("error")
        patch.setattr(os, "replace", refuse)
        kept.keep("a", "all", "v1", b"one")  # is there already: nothing to say
    assert kept.find("a", "all").data == b"one"
    os.utime(file_of(tmp_path, "a"), ns=(1, 1))
    with monkeypatch.context() as patch:
        patch.setattr(disk.Path, "unlink", refuse)
        assert kept.keep("a", "all", "v2", b"two")
        assert len(kept._files("a")) == 2
        assert kept.find("a", "all").data == b"two"  # the newer one
    with monkeypatch.context() as patch, pytest.warns(UserWarning, match="Permission denied"):
        patch.setattr(os, "replace", refuse)
        kept.keep("b", "all", "v1", b"one")
    assert list(tmp_path.rglob("unfinished-*")) == []


def test_cleared_by_another_process_while_it_writes(tmp_path, monkeypatch):
    kept = DiskCache(tmp_path)

    def cleared(source, target):
        os.unlink(source)
        raise FileNotFoundError(errno.ENOENT, "No such file", source)

    monkeypatch.setattr(os, "replace", cleared)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kept.keep("a", "all", "1", b"data")
    assert kept.find("a", "all") is None and kept._writable


def test_strange_files_in_the_folder_are_left_alone(tmp_path):
    kept = DiskCache(tmp_path, 0.1)
    kept.keep("a", "all", "1", b"data")
    (kept.folder / "README").write_text("not a folder")
    assert kept.nbytes == disk.BLOCK
    clear_cache(kept)
    assert kept.nbytes == 0 and (kept.folder / "README").exists()


# What may be asked for


def test_the_same_words_mean_the_same_cache(tmp_path, monkeypatch):
    assert find_cache("memory") is find_cache(" Memory ")
    assert find_cache("memory").limit == memory.MEMORY_MB * MB
    assert find_cache(tmp_path) is find_cache(str(tmp_path))
    assert find_cache(tmp_path).limit == disk.DISK_MB * MB
    assert find_cache(None) is find_cache("OFF") is None
    mine = MemoryCache(1)
    assert find_cache(mine) is mine
    monkeypatch.setenv("OME_ZARR_CACHE_MB", "12.5")
    assert find_cache("memory").limit == find_cache(tmp_path).limit == 12_500_000
    assert DiskCache(tmp_path, 3).limit == 3 * MB
    monkeypatch.chdir(tmp_path)
    assert find_cache("below").folder == tmp_path / "below/ome-zarr-cache"
    assert list(tmp_path.iterdir()) == []  # made when it is needed


def test_a_folder_in_the_home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert find_cache("~/cache").folder == tmp_path / "cache/ome-zarr-cache"


@pytest.mark.parametrize(
    "wrong", [True, False, 5, 2.5, "", " ", "disk", "True", "s3://bucket/cache", ["memory"], b"x"]
)
def test_what_is_no_cache(wrong):
    with pytest.raises(OmeZarrError, match='is not a cache; use "memory", a folder') as caught:
        open_multiscale("http://127.0.0.1:9/image", cache=wrong)
    assert repr(wrong) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("below", ["", "/below"])
def test_a_file_is_no_cache(below, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OmeZarrError, match=r"file is a file; choose a folder\.$"):
        open_multiscale("http://127.0.0.1:9/image", cache=str(tmp_path / "file") + below)


@pytest.mark.parametrize("wrong", [-1, 0, "-0.5", "many", "nan", "inf", float("inf"), [], 1e-9])
def test_a_limit_that_is_none(wrong, tmp_path, monkeypatch):
    for make in (MemoryCache, lambda limit: DiskCache(tmp_path, limit)):
        with pytest.raises(OmeZarrError, match="number of megabytes above 0"):
            make(wrong)
    monkeypatch.setenv("OME_ZARR_CACHE_MB", str(wrong))
    for word in ("memory", tmp_path):
        with pytest.raises(OmeZarrError, match="OME_ZARR_CACHE_MB"):
            find_cache(word)


def test_clearing_needs_a_cache(tmp_path, monkeypatch):
    for work in (clear_cache, recheck_cache):
        for none in (None, "off"):
            with pytest.raises(OmeZarrError, match="No cache is in use; name it"):
                work(none)
    monkeypatch.setenv("OME_ZARR_CACHE", str(tmp_path / "c"))
    clear_cache()
    assert find_cache(None).rechecked == ""
    recheck_cache()
    assert find_cache(None).rechecked > ""


def test_it_says_how_full_it_is(kept):
    kept = small(kept, 20)
    kept.keep("a", "all", "1", bytes(3_000_000))
    assert "3.0 of 20 MB" in repr(kept)


def test_a_memory_cache_answers_inside_a_running_loop(served):
    kept = MemoryCache()

    async def cell():
        return read(served, kept)

    for expected in (ALL, 0):
        np.testing.assert_array_equal(asyncio.run(cell()), EXPECTED)
        assert served.requests() == expected
