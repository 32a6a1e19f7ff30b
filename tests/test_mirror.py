"""A mirror as source: real pixels from a folder, and a clear error for what was not copied."""

import io
import json
import os
import pickle
import shutil
import urllib.error
import urllib.request
from urllib.parse import unquote

import numpy as np
import pytest
import s3fs
from support.mirrors import EMPTY, MOVIE, V01, V04, listed, make_origin
from support.misbehaving import MisbehavingServer

from data_helpers import (
    LevelNotFoundError,
    MirrorError,
    OmeZarrError,
    choose_source,
    current_source,
    load_binary_from_s3,
    load_binary_from_s3_with_data,
    load_labels_from_s3,
    offline,
    open_multiscale,
    sources,
)
from data_helpers.offline.manifest import FILE, Copied, Manifest, read_manifest, write_manifest
from data_helpers.offline.mirror import MirrorApp
from data_helpers.offline.server import OfflineThread
from data_helpers.sources import Source, lasting_address
from tools.copy_mirror import copy_mirror, store


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A mirror copied from a small endpoint that plays livingobjects, and the pixels there."""
    origin, folder = tmp_path_factory.mktemp("origin"), tmp_path_factory.mktemp("kit") / "mirror"
    pixels, labels, movie = make_origin(origin)
    with MisbehavingServer(origin) as server:
        source = Source("livingobjects", server.endpoint)
        copy_mirror(folder, source, lambda said: True, listed())
    return folder, pixels, labels, movie


@pytest.fixture(scope="module")
def address(made):
    """The mirror, served by a thread of the tests."""
    server = OfflineThread(app=MirrorApp(made[0]))
    yield server.endpoint
    server.stop()


@pytest.fixture
def mirror(made, address, monkeypatch):
    """The mirror as the current source, as choose_source would make it, but already running."""
    monkeypatch.setattr(offline, "endpoint", lambda folder="": address)
    source = sources.find_source(str(made[0]))
    monkeypatch.setattr(sources, "_current", source)
    return source


def answer(address, key, method="GET", **headers):
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    asked = urllib.request.Request(f"{address}/idr/{key}", method=method, headers=names)
    try:
        return urllib.request.urlopen(asked, timeout=10)
    except urllib.error.HTTPError as error:
        return error


# --- the same pixels ------------------------------------------------------------------------------


@pytest.mark.timeout(60)
def test_choosing_a_folder_serves_it_from_a_process(made, monkeypatch, capsys):
    folder, pixels, _, _ = made
    monkeypatch.setenv("OME_ZARR_SOURCE", str(folder))
    image = open_multiscale(6001247)
    said = capsys.readouterr().out.strip()
    manifest = read_manifest(folder)
    assert said == (
        f"Source: mirror in {folder}, real IDR images copied on {manifest.copied} from "
        f"{manifest.endpoint}."
    )
    source = current_source()
    assert source.name == "mirror" and not source.synthetic and not image.synthetic
    np.testing.assert_array_equal(image.stored[0][0, 0, 1], pixels[0, 0, 1])
    assert lasting_address(image.url).startswith("mirror-")
    again = sources.find_source(str(folder.parent))  # the kit, whose mirror is in it
    assert again == source
    offline.process._mirrors[str(folder)].stop()
    assert sources.resolve_source(None).endpoint != source.endpoint
    assert open_multiscale(6001247).stored[0][0, 0, 1].any()
    offline.process._mirrors.pop(str(folder)).stop()


def test_what_notebooks_read_is_equal(mirror, made, capsys):
    _, pixels, labels, movie = made
    image = open_multiscale(6001247)
    assert image.axes == tuple("tczyx") and image.default("z") == 1
    np.testing.assert_array_equal(
        load_binary_from_s3(6001247)[0, :, :3].compute(), pixels[0, :, :3]
    )
    np.testing.assert_array_equal(load_labels_from_s3(6001247)[0, 0, :2], labels[0, 0, :2])
    copy = open_multiscale(f"s3://idr/{V04}")
    np.testing.assert_array_equal(copy.stored[1][0, 0, 0], pixels[0, 0, 0, ::2, ::2])
    assert copy.labels == ["0"] and copy.label("0").stored[0].shape == labels.shape
    np.testing.assert_array_equal(open_multiscale(4007801).stored[0][0, :, 0], movie[0, :, 0])
    assert open_multiscale(4007801).url.endswith(MOVIE)


def test_a_chunk_that_is_empty_at_the_origin_is_empty_here(mirror, made, address):
    assert EMPTY in read_manifest(made[0]).absent
    assert answer(address, EMPTY).status == 404
    plane = open_multiscale(6001247).stored[0][0, 1, 2]
    assert not plane[:16, :16].any() and plane[16:].all()


def test_metadata_that_are_missing_at_the_origin_are_missing_here(mirror, address):
    assert answer(address, f"{V01}/labels/.zattrs").status == 404
    assert open_multiscale(6001247).labels == ["0"]  # as there: the list is missing, the labels not
    for key in (f"{V01}/zarr.json", f"{V01}/7/.zarray", "zarr/v0.1/4007801.zarr/.zattrs"):
        assert answer(address, key).status == 404
    with pytest.raises(LevelNotFoundError):
        load_binary_from_s3(6001247, "7")


def test_s3_clients_see_a_bucket(address):
    key = f"{V01}/0/0.0.0.0.0"
    whole = answer(address, key)
    data = whole.read()
    assert whole.headers["Access-Control-Allow-Origin"] == "*" and whole.headers["ETag"]
    assert "x-amz-meta-synthetic" not in whole.headers
    head = answer(address, key, "HEAD")
    assert (head.status, int(head.headers["Content-Length"])) == (200, len(data))
    part = answer(address, key, Range="bytes=4-9")
    assert (part.status, part.read()) == (206, data[4:10])
    assert answer(address, key, "PUT").status == 405
    s3 = s3fs.S3FileSystem(anon=True, endpoint_url=address, skip_instance_cache=True)
    chunks = [path for path in s3.ls(f"idr/{V01}/0") if "/.z" not in path]
    assert len(chunks) == 2 * 3 * 9 - 1  # one is empty
    assert s3.cat(f"idr/{key}") == data


# --- what is not there ----------------------------------------------------------------------------


def test_a_chunk_outside_is_an_error_that_says_so(mirror, made, asked):
    image = open_multiscale(6001247)
    asked.clear()
    with pytest.raises(MirrorError) as caught:
        image.stored[0][0, 1, 3, 20, 20]
    said = str(caught.value)
    for part in ("Chunk 0.1.3.1.1", "level 0", "image 6001247", str(made[0]), "53 of", '"idr"'):
        assert part in said
    assert "\n" not in said and len(asked) == 1  # asked once: another attempt would not help
    assert str(pickle.loads(pickle.dumps(caught.value))) == said


@pytest.mark.parametrize(
    "read",
    [
        lambda: open_multiscale(6001247).stored[1][:],
        lambda: load_binary_from_s3(6001247, 0).compute(),
        lambda: load_binary_from_s3_with_data(6001247, 0),
        lambda: load_labels_from_s3(6001247).compute(),
        lambda: open_multiscale(9822152),
        lambda: open_multiscale(6001240),
        lambda: open_multiscale("s3://idr/zarr/v0.5/idr0062A/6001240_labels.zarr"),
    ],
    ids=["level", "lazy", "everything", "labels", "image", "other id", "address"],
)
def test_nothing_outside_comes_out_as_zeros(mirror, made, read, capsys):
    with pytest.raises(MirrorError, match=r"is not in the mirror .* holds"):
        read()


def test_a_browser_gets_the_sentence_and_may_read_it(address):
    refused = answer(address, f"{V01}/0/0.0.3.0.0")
    assert refused.status == 410 and refused.headers["Access-Control-Allow-Origin"] == "*"
    assert "not in the mirror" in unquote(refused.headers["x-mirror-error"])
    assert b"NotInMirror" in refused.read()
    assert answer(address, f"{V01}/0/0.0.3.0.0", "HEAD").status == 410


@pytest.mark.parametrize("damage", ["changed", "cut", "gone"])
def test_a_damaged_file_is_an_error(made, tmp_path, damage, monkeypatch):
    folder = tmp_path / "mirror"
    shutil.copytree(made[0], folder)
    file = folder / "idr" / V01 / "0" / "0.0.0.0.0"
    data = file.read_bytes()
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(data[:-1] if damage == "cut" else data[:-1] + bytes([data[-1] ^ 1]))
    server = OfflineThread(app=MirrorApp(folder))
    image = open_multiscale(f"{server.endpoint}/idr/{V01}")
    with pytest.raises(MirrorError, match=r"0/0\.0\.0\.0\.0 in the mirror .* is damaged"):
        image.stored[0][0, 0, 0]
    assert image.stored[0][0, 0, 1].any()
    server.stop()


# --- folders that are no mirror -------------------------------------------------------------------


def test_a_folder_that_is_no_mirror_is_a_sentence(tmp_path):
    for name in (str(tmp_path), f"{tmp_path}/nowhere", "~/surely/no/such/folder"):
        with pytest.raises(OmeZarrError, match=r"no mirror|no folder") as caught:
            choose_source(name)
        assert "run.py kit" in str(caught.value)
    assert sources._current is None


@pytest.mark.parametrize("text", ["", "{}", "[]", "not json", '{"format": "other"}'])
def test_a_list_that_makes_no_sense(tmp_path, text):
    (tmp_path / FILE).write_text(text)
    with pytest.raises(OmeZarrError, match="cannot be understood"):
        choose_source(str(tmp_path))


def test_an_interrupted_copy_is_no_mirror_yet(tmp_path):
    write_manifest(tmp_path, Manifest("https://example.org", "endpoint", "2026-11-22"))
    with open(tmp_path / FILE, "a") as file:
        file.write(json.dumps({"key": "a", "size": 1, "sha256": "x", "etag": ""}) + '\n{"key": "b')
    with pytest.raises(OmeZarrError, match="was interrupted"):
        choose_source(str(tmp_path))
    assert read_manifest(tmp_path, unfinished=True).objects == {"a": Copied(1, "x", "")}


# --- a list or a folder that somebody else has made -----------------------------------------------


HEAD = {
    "format": "ome-zarr mirror 1",
    "endpoint": "https://example.org",
    "origin": "endpoint",
    "copied": "2026-11-22",
    "synthetic": False,
    "complete": True,
    "images": {},
    "listed": "",
}


def write_list(folder, *objects, **head):
    """Write a list with one line for each object; what is not said of one is that of a good one."""
    good = {"key": "zarr/a", "size": 1, "sha256": "00", "etag": '"x"'}
    lines = [json.dumps(HEAD | head), *(json.dumps(good | each) for each in objects)]
    (folder / FILE).write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    "key",
    [
        "/etc/hostname",
        "//server/share/x",
        "../secret",
        "zarr/../../secret",
        "zarr/./x",
        "zarr/..",
        "zarr//x",
        "zarr/",
        "",
        "C:/Windows/win.ini",
        "C:secret",
        "zarr\\..\\..\\secret",
        "\\\\server\\share",
        "zarr/a:stream",
        "zarr/a\u0000",
        "zarr/a\n",
        "~/secret",
        None,
        7,
        ["zarr/a"],
        {"a": 1},
    ],
)
@pytest.mark.parametrize("what", ["object", "absent", "image"])
def test_keys_lie_below_idr(tmp_path, key, what):
    if what == "image":
        write_list(tmp_path, images={"1": [key]})
    else:
        write_list(tmp_path, {}, {"key": key, **({"absent": True} if what == "absent" else {})})
    with pytest.raises(OmeZarrError, match=r"no key of an object below idr/|cannot be under") as e:
        choose_source(str(tmp_path))
    said = str(e.value)
    assert said.isprintable() and len(said) < 600 and "run.py kit" in said


@pytest.mark.parametrize(
    ("objects", "head"),
    [
        ([{"size": -1}], {}),
        ([{"size": "1"}], {}),
        ([{"size": 1.5}], {}),
        ([{"size": True}], {}),
        ([{"size": None}], {}),
        ([{"size": 10**18}], {}),
        ([{"sha256": 5}], {}),
        ([{"sha256": "a\r\nb"}], {}),
        ([{"etag": "x\r\nSet-Cookie: a=b"}], {}),
        ([{"etag": "\x1b[31m"}], {}),
        ([{"etag": "é"}], {}),
        ([{"etag": {}}], {}),
        ([{"mode": 1}], {}),
        ([], {"endpoint": 5}),
        ([], {"endpoint": "https://e\x1b]0;x\x07"}),
        ([], {"copied": "a\nb"}),
        ([], {"complete": "yes"}),
        ([], {"synthetic": 1}),
        ([], {"images": []}),
        ([], {"images": {"1": "zarr"}}),
        ([], {"images": {"\x1b": []}}),
        ([], {"objects": []}),
        ([], {"absent": ["x"]}),
        ([], {"other": 1}),
    ],
)
def test_a_list_with_wrong_types_is_refused(tmp_path, objects, head):
    write_list(tmp_path, *objects, **head)
    with pytest.raises(OmeZarrError, match=r"is refused|cannot be understood") as caught:
        choose_source(str(tmp_path))
    assert str(caught.value).isprintable() and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "data", [b"\xff\xfe", b"[" * 100_000, b"\x00" * 99, b"{}\n" * 3, b'"\\ud800"']
)
def test_a_list_that_is_no_list(tmp_path, data):
    for text in (data, json.dumps(HEAD).encode() + b"\n" + data + b"\n{}\n"):
        (tmp_path / FILE).write_bytes(text)
        with pytest.raises(OmeZarrError, match="cannot be understood"):
            read_manifest(tmp_path)


def test_a_giant_list_is_not_taken_in(tmp_path):
    with open(tmp_path / FILE, "wb") as file:
        file.truncate(50_000_000_000)  # takes no disk
    with pytest.raises(OmeZarrError, match="more than 64 MB"):
        choose_source(str(tmp_path))


@pytest.fixture
def foreign(made, tmp_path):
    """A copy of the mirror, whose maker has a secret beside it."""
    folder = tmp_path / "kit" / "mirror"
    shutil.copytree(made[0], folder)
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "0.0.0.0.0").write_bytes((folder / "idr" / V01 / "0" / "0.0.0.0.0").read_bytes())
    return folder, secret


def link(place, to):
    try:
        place.symlink_to(to)
    except OSError:
        pytest.skip("NOT CHECKED: this computer lets nobody make links")


@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_link_that_leads_outside_is_not_followed(foreign, what):
    folder, secret = foreign
    level = folder / "idr" / V01 / "0"
    if what == "file":
        (level / "0.0.0.0.0").unlink()
        link(level / "0.0.0.0.0", secret / "0.0.0.0.0")
    else:
        shutil.rmtree(level)
        link(level, secret)
    server = OfflineThread(app=MirrorApp(folder))
    refused = answer(server.endpoint, f"{V01}/0/0.0.0.0.0")
    said = unquote(refused.headers["x-mirror-error"])
    server.stop()
    assert refused.status == 410 and "leads out of idr/" in said
    assert str(secret) not in said


def test_a_link_within_the_folder_is(foreign):
    folder, _ = foreign
    file = folder / "idr" / V01 / "0" / "0.0.0.0.0"
    file.rename(file.with_name("elsewhere"))
    link(file, "elsewhere")
    server = OfflineThread(app=MirrorApp(folder))
    assert answer(server.endpoint, f"{V01}/0/0.0.0.0.0").status == 200
    server.stop()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="NOT CHECKED: there are no named pipes here")
def test_what_is_no_file_is_damaged(foreign):
    folder, _ = foreign
    level = folder / "idr" / V01 / "0"
    for name, make in (("0.0.0.0.0", os.mkfifo), ("0.0.0.0.1", os.mkdir)):
        (level / name).unlink()
        make(level / name)
    server = OfflineThread(app=MirrorApp(folder))
    for name in ("0.0.0.0.0", "0.0.0.0.1"):
        refused = answer(server.endpoint, f"{V01}/0/{name}")  # a pipe would hang
        assert refused.status == 410 and "damaged" in unquote(refused.headers["x-mirror-error"])
    server.stop()


def test_a_copy_does_not_write_through_a_link(foreign):
    folder, secret = foreign
    level = folder / "idr" / V01 / "0"
    shutil.rmtree(level)
    link(level, secret)
    with pytest.raises(OmeZarrError, match=r"leads out of idr/"):
        store(folder, f"{V01}/0/new", b"x", "", io.StringIO())
    assert not (secret / "new").exists()


def test_where_the_images_come_from_is_said():
    real = {"folder": "x", "copied": "2026-11-22", "origin_endpoint": "https://e"}
    said = str(Source("mirror", "http://127.0.0.1:1", origin="uk1s3", **real))
    assert said == "Source: mirror in x, real IDR images copied on 2026-11-22 from https://e."
    other = str(Source("mirror", "http://127.0.0.1:1", origin="endpoint", **real))
    assert "real" not in other
    painted = Source(
        "mirror", "http://127.0.0.1:1", origin="offline", synthetic_origin=True, **real
    )
    assert "synthetic images" in str(painted) and painted.synthetic


@pytest.mark.timeout(60)
def test_started_by_hand(made, run_python):
    script = "import sys; from data_helpers.offline.__main__ import main; sys.exit(main(sys.argv))"
    done = run_python(script.replace("sys.argv", "['--mirror', 'nowhere', '--port', '0']"))
    assert done.returncode == 1 and "There is no folder" in done.stderr
