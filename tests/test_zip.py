"""Zipped stores: read in parts, never as a whole, from a folder and over http.

Signed S3 is in `test_same_pixels.py`, with all kinds of stores.
"""

import pickle
import struct
import zipfile

import numpy as np
import pytest
from support.images import axes, halve, noise, scales, write_array, write_json, write_v2
from support.misbehaving import MisbehavingServer, replace, status
from support.zips import change_bytes, zip_folder

from data_helpers import (
    ChunkError,
    EndpointUnreachableError,
    MalformedMetadataError,
    NotOmeZarrError,
    OmeZarrError,
    open_multiscale,
    request_meter,
    viewer_links,
)
from data_helpers._store import zipped
from data_helpers.cache import DiskCache

LEVELS = halve(noise(2, 40, 44, seed=3), 1)
SPARSE = noise(64, 64, seed=4)


def write_image(folder, levels=LEVELS):
    sizes = [(1, 2**n, 2**n) for n in range(len(levels))]
    return write_v2(
        folder, levels, {"version": "0.4", "axes": axes("zyx"), "datasets": scales(*sizes)}
    )


def read(image, levels=LEVELS):
    for stored, lazy, pixels in zip(image.stored, image.levels, levels, strict=True):
        np.testing.assert_array_equal(stored[:], pixels)
        np.testing.assert_array_equal(lazy.compute(), pixels)
        np.testing.assert_array_equal(stored[..., 5:30, 3], pixels[..., 5:30, 3])


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return write_image(tmp_path_factory.mktemp("plain") / "img.zarr")


@pytest.fixture
def archive(plain, tmp_path):
    return zip_folder(plain, tmp_path / "img.ozx")


@pytest.fixture(params=["file", "http", "http without ranges", "http, no suffix ranges"])
def reach(request, tmp_path, monkeypatch, quick):
    """Open a file of `tmp_path` in one of several ways, asking for a small part at a time."""
    monkeypatch.setattr(zipped, "TAIL_BYTES", 700)
    if request.param == "file":
        yield lambda name: open_multiscale(tmp_path / name)
        return
    with MisbehavingServer(tmp_path) as server:
        server.ranges = request.param != "http without ranges"
        if "suffix" in request.param:
            server.ranges = False
            monkeypatch.setattr(zipped, "WHOLE_BYTES", 2000)
            server.fault("*", from_a_start, forever=True)
        yield lambda name: open_multiscale(f"{server.endpoint}/{name}")


def from_a_start(request, content):
    """Obey ``Range: bytes=2-5``, but not ``bytes=-5``."""
    asked = request.headers.get("Range", "")
    if content is not None and asked and not asked.startswith("bytes=-"):
        return request.send_part(content)
    return request.send(b"", 404) if content is None else content


# Archives as programs write them


KINDS = {
    "stored": {},
    "deflated": {"method": zipfile.ZIP_DEFLATED},
    "zip64": {"zip64": True},
    "streamed": {"stream": True},
    "streamed and deflated": {"stream": True, "method": zipfile.ZIP_DEFLATED},
    "in a folder": {"inside": "img.zarr/"},
    "in folders": {"inside": "data/2026/img.zarr/"},
    "dots": {"inside": "./"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_read_as_the_folder_is(plain, tmp_path, reach, kind):
    zip_folder(plain, tmp_path / "img.zip", **KINDS[kind])
    image = reach("img.zip")
    assert image.axes == ("z", "y", "x") and image.scales == [(1, 1, 1), (1, 2, 2)]
    read(image)


def test_with_a_comment_and_with_something_in_front(archive, reach, tmp_path):
    with zipfile.ZipFile(archive, "a") as packed:
        packed.comment = b'{"ome": {"version": "0.5", "zipFile": {}}}' + b" " * 1000
    read(reach("img.ozx"))
    change_bytes(archive, lambda data: b"#!/bin/sh\nexit\n" * 90 + data)
    read(reach("img.ozx"))


def test_with_backslashes_and_with_what_a_mac_adds(plain, tmp_path, reach):
    with zipfile.ZipFile(tmp_path / "win.zip", "w") as packed:
        packed.writestr("__MACOSX/._img.zarr", b"?")
        packed.writestr("__MACOSX/img.zarr/._.zattrs", b"?")
        packed.writestr("__MACOSX/.zattrs", b"?")
        for path in plain.rglob("*"):
            if path.is_file():
                info = zipfile.ZipInfo("x")
                info.filename = str(path.relative_to(plain.parent)).replace("/", "\\")
                packed.writestr(info, path.read_bytes())
    read(reach("win.zip"))


def test_written_by_ngff_zarr_with_shards(tmp_path, reach):
    """An archive as the draft describes it: version 0.5, in shards, packed by another library."""
    import ngff_zarr

    pixels = noise(1, 4, 96, 96, seed=8)
    image = ngff_zarr.to_ngff_image(pixels, dims=("c", "z", "y", "x"), name="packed")
    multiscales = ngff_zarr.to_multiscales(
        image, scale_factors=[], chunks={"c": 1, "z": 1, "y": 16, "x": 16}
    )
    ngff_zarr.to_ngff_zarr(
        str(tmp_path / "shards.ozx"), multiscales, version="0.5", chunks_per_shard=6
    )
    opened = reach("shards.ozx")
    assert opened.version == "0.5" and zipfile.is_zipfile(tmp_path / "shards.ozx")
    np.testing.assert_array_equal(opened.stored[0][0, 3, 20:50, 90], pixels[0, 3, 20:50, 90])
    np.testing.assert_array_equal(opened.levels[0].compute(), pixels)


def test_a_part_of_a_large_shard_is_a_part_of_the_archive(tmp_path, monkeypatch):
    import zarr

    pixels = noise(64, 512, seed=9)
    folder = tmp_path / "img.zarr"
    write_json(
        folder / "zarr.json",
        {
            "zarr_format": 3,
            "node_type": "group",
            "attributes": {
                "ome": {
                    "version": "0.5",
                    "multiscales": [
                        {"axes": axes("yx"), "datasets": [{"path": "0"} | scales((1, 1))[0]]}
                    ],
                }
            },
        },
    )
    array = zarr.create_array(
        str(folder / "0"), shape=pixels.shape, dtype="u2", chunks=(8, 64), shards=(64, 512)
    )
    array[:] = pixels
    monkeypatch.setattr(zipped, "SMALL_BYTES", 100)
    monkeypatch.setattr(zipped, "TAIL_BYTES", 600)
    zip_folder(folder, tmp_path / "img.ozx", zip64=True)
    with MisbehavingServer(tmp_path) as server:
        image = open_multiscale(f"{server.endpoint}/img.ozx")
        with request_meter() as meter:
            np.testing.assert_array_equal(image.stored[0][8:16, 64:128], pixels[8:16, 64:128])
        size = (tmp_path / "img.ozx").stat().st_size
        assert meter.requests == 3 and meter.bytes < size / 10  # header, index, chunk
        np.testing.assert_array_equal(image.stored[0][:], pixels)


def test_labels_and_inner_paths(plain, tmp_path, reach):
    """Names are keys, whatever is in them; several images are told apart by their paths."""
    cells = noise(2, 40, 44, dtype="u4", seed=7)
    folder = tmp_path / "unpacked"
    image = write_image(folder / "a b%20c#ü.zarr")
    write_json(image / "labels/.zattrs", {"labels": ["cells #1"]})
    write_v2(image / "labels/cells #1", [cells], {"version": "0.4", "axes": axes("zyx")})
    write_image(folder / "other.zarr")
    zip_folder(folder, tmp_path / "two.zip")
    with pytest.raises(NotOmeZarrError, match=r"holds 2 folders .*other\.zarr.*open one of them"):
        reach("two.zip")
    opened = reach(
        "two.zip/a%20b%2520c%23%C3%BC.zarr" if is_http(reach) else f"two.zip/{image.name}"
    )
    read(opened)
    np.testing.assert_array_equal(opened.label("cells #1").stored[0][:], cells)
    with pytest.raises(NotOmeZarrError, match="no OME-Zarr image at"):
        reach("two.zip/nothing.zarr")


def is_http(reach):
    return "server" in reach.__code__.co_freevars


@pytest.mark.parametrize("below", ["/0", "/.zattrs", "/1/.zarray", "/"])
def test_an_address_inside_the_image(archive, reach, below):
    read(reach(f"img.ozx{below}"))


def test_chunks_that_were_never_written(tmp_path, reach):
    folder = tmp_path / "img.zarr"
    image = write_v2(folder, [SPARSE], {"version": "0.4", "axes": axes("yx")})
    (image / "0/1/2").unlink()
    zip_folder(folder, tmp_path / "img.ozx")
    expected = SPARSE.copy()
    expected[16:32, 32:48] = 0
    np.testing.assert_array_equal(reach("img.ozx").stored[0][:], expected)


# Archives that cannot be read


def cut(data):
    return data[: len(data) * 3 // 4]


def garble_chunk(data):
    """Change a byte of the first chunk, which its checksum shows."""
    name = data.index(b"0/0/0/0")
    data[name + 60] ^= 1


def say_split(data):
    """As the last part of three says it."""
    end = data.rindex(b"PK\x05\x06")
    data[end + 4 : end + 8] = struct.pack("<HH", 2, 2)


def say_encrypted(data):
    at = -1
    while (at := data.find(b"PK\x01\x02", at + 1)) >= 0:
        data[at + 8] |= 1


def say_method(number):
    def change(data):
        at = -1
        while (at := data.find(b"PK\x01\x02", at + 1)) >= 0:
            data[at + 10 : at + 12] = struct.pack("<H", number)

    return change


def move_entries(data):
    """The list says that each entry begins a little later than it does."""
    at = -1
    while (at := data.find(b"PK\x01\x02", at + 1)) >= 0:
        place = struct.unpack_from("<I", data, at + 42)[0]
        struct.pack_into("<I", data, at + 42, place + 5)


BROKEN = {
    "cut short": (cut, MalformedMetadataError, "no readable list .*copied to its end"),
    "split": (say_split, MalformedMetadataError, "one part of a split archive"),
    "encrypted": (say_encrypted, MalformedMetadataError, r"\.zattrs in .* is encrypted"),
    "bzip2": (say_method(12), MalformedMetadataError, "compressed by bzip2; pack it again"),
    "deflate64": (say_method(9), MalformedMetadataError, "compressed by Deflate64"),
    "not deflated": (say_method(8), MalformedMetadataError, "its checksum does not match"),
    "moved": (move_entries, MalformedMetadataError, "is not where the archive says"),
    "text": (lambda data: b"Dear reader, " * 99, NotOmeZarrError, "is a file, not a folder"),
    "picture": (lambda data: b"\x89PNG" + bytes(5000), NotOmeZarrError, "no zip archive either"),
    "empty": (lambda data: bytearray(), NotOmeZarrError, "is a file, not a folder"),
    "one byte": (lambda data: b"P", NotOmeZarrError, "is a file, not a folder"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_one_sentence_for_what_cannot_be_read(archive, reach, what):
    change, kind, said = BROKEN[what]
    broken = change(data := bytearray(archive.read_bytes()))
    archive.write_bytes(data if broken is None else broken)
    with pytest.raises(kind, match=said) as caught:
        reach("img.ozx")
    assert type(caught.value) is kind and "img.ozx" in str(caught.value)


def test_a_damaged_chunk_is_an_error_and_the_others_are_read(archive, reach):
    change_bytes(archive, garble_chunk)
    image = reach("img.ozx")
    with pytest.raises(ChunkError, match=r"^0/0/0/0 in the archive .*img\.ozx is damaged"):
        image.stored[0][0, :5, :5]
    np.testing.assert_array_equal(image.stored[0][1], LEVELS[0][1])


def test_a_file_that_is_no_archive(tmp_path):
    for name in ("notes.txt", "picture.tif", "img.zarr"):
        (tmp_path / name).write_bytes(b"II*\0 whatever")
        for below in ("", "/0"):
            with pytest.raises(NotOmeZarrError, match=f"{name} is a file, not a folder"):
                open_multiscale(f"{tmp_path / name}{below}")


def test_an_archive_of_any_name_on_this_computer(archive):
    read(open_multiscale(archive.rename(archive.with_name("renamed.bin"))))


def test_an_archive_that_changes_is_noticed(archive, tmp_path, monkeypatch):
    monkeypatch.setattr(zipped, "TAIL_BYTES", 700)
    image = open_multiscale(archive)
    folder = write_image(tmp_path / "new.zarr", [level[:, ::-1] for level in LEVELS])
    zip_folder(folder, archive, inside="x" * 50 + "/")
    with pytest.raises(ChunkError, match="has changed"):
        image.stored[0][:]


def test_a_list_of_entries_that_lies_about_its_place(archive, tmp_path, quick):
    def far_away(data):
        end = data.rindex(b"PK\x05\x06")
        struct.pack_into("<II", data, end + 12, 0xFFFFFFF0, 0)

    change_bytes(archive, far_away)
    with pytest.raises(OmeZarrError, match=r"img\.ozx"):
        open_multiscale(archive)


# Over http: how much is asked for


@pytest.fixture
def large(tmp_path):
    """An image of some megabytes."""
    pixels = noise(8, 512, 512, seed=1)
    folder = tmp_path / "large.zarr"
    write_v2(folder, [pixels], {"version": "0.4", "axes": axes("zyx")}, chunks=(1, 256, 256))
    write_array(folder / "unlisted", noise(64, 64))
    zip_folder(folder, tmp_path / "large.ozx")
    return pixels


def test_opening_takes_few_requests_and_a_chunk_takes_one(large, served, tmp_path):
    address = f"{served.endpoint}/large.ozx"
    with request_meter() as meter:
        image = open_multiscale(address)
    assert meter.requests == len(served.asked) == 3  # the end; .zattrs; 0/.zarray
    with request_meter() as meter:
        np.testing.assert_array_equal(image.stored[0][3, :256, 300:], large[3, :256, 300:])
    assert len(served.asked) == 4 and meter.requests == 1 and meter.not_found == 0
    size = (tmp_path / "large.ozx").stat().st_size
    assert meter.bytes < size / 25
    assert {method for method, _ in served.methods} == {"GET"}


def test_a_small_archive_is_one_request(archive, served):
    with request_meter() as meter:
        read(open_multiscale(f"{served.endpoint}/img.ozx"))
    assert meter.requests == len(served.asked) == 1


def test_a_server_that_ignores_ranges_does_not_send_a_large_archive(
    large, served, monkeypatch, tmp_path
):
    served.ranges = False
    monkeypatch.setattr(zipped, "WHOLE_BYTES", 10_000)
    with pytest.raises(EndpointUnreachableError, match=r"ignores Range .*Download the archive"):
        open_multiscale(f"{served.endpoint}/large.ozx")
    monkeypatch.setattr(zipped, "WHOLE_BYTES", 10_000_000)
    served.asked.clear()
    image = open_multiscale(f"{served.endpoint}/large.ozx")
    np.testing.assert_array_equal(image.stored[0][:], large)
    assert len(served.asked) == 1  # it came whole, and is kept


def test_a_busy_server_is_asked_again(large, served, quick):
    served.fault("large.ozx", status(503), status(429))
    image = open_multiscale(f"{served.endpoint}/large.ozx")
    served.fault("large.ozx", status(500))
    np.testing.assert_array_equal(image.stored[0][0], large[0])
    served.fault("large.ozx", status(403), forever=True)
    with pytest.raises(OmeZarrError, match="403"):
        open_multiscale(f"{served.endpoint}/large.ozx")


def test_a_web_page_instead_of_an_archive(archive, served):
    served.fault("img.ozx", replace(b"<!doctype html>" * 100), forever=True)
    with pytest.raises(NotOmeZarrError, match="no zip archive either"):
        open_multiscale(f"{served.endpoint}/img.ozx")


def test_a_folder_may_be_called_like_an_archive(served, tmp_path):
    write_image(tmp_path / "img.zip")
    read(open_multiscale(f"{served.endpoint}/img.zip"))
    read(open_multiscale(tmp_path / "img.zip"))
    with pytest.raises(NotOmeZarrError, match=r"no OME-Zarr image at .*no\.ozx"):
        open_multiscale(f"{served.endpoint}/no.ozx")


def test_links_of_other_viewers_say_what_to_do(archive, served):
    here = viewer_links(open_multiscale(archive))
    assert not here.links and not here.commands and repr(here).count("unpack it first") == 5
    there = viewer_links(open_multiscale(f"{served.endpoint}/img.ozx"))
    assert not there.links and there.notes["neuroglancer"].endswith("|zip:|zarr2:")


def test_a_signed_address_is_kept_and_not_shown(archive, served, tmp_path):
    with request_meter() as meter:
        image = open_multiscale(f"{served.endpoint}/img.ozx?X-Signature=sEcReT%2F")
        read(image)
    texts = [repr(image), image.url, repr(image._store), repr(image._store.access)]
    texts += [request.address for request in meter.log]
    assert not any("sEcReT" in text for text in texts)


# With a cache, and in other processes


def test_a_cache_holds_its_entries(large, served, tmp_path):
    cache = DiskCache(tmp_path / "kept")

    def read_plane():
        image = open_multiscale(f"{served.endpoint}/large.ozx", cache=cache)
        np.testing.assert_array_equal(image.stored[0][5], large[5])

    read_plane()
    asked = len(served.asked)
    read_plane()
    assert len(served.asked) == asked


def test_another_process_reads_the_list_once(large, served, worker):
    image = open_multiscale(f"{served.endpoint}/large.ozx")
    pixels = worker.submit(image.stored[0].__getitem__, slice(0, 4)).result(60)
    np.testing.assert_array_equal(pixels, large[:4])
    served.asked.clear()
    copies = [pickle.loads(pickle.dumps(image.stored[0])) for _ in range(3)]
    worker.submit(copies[0].__getitem__, slice(4, 5)).result(60)
    assert len(served.asked) == 4  # chunks only
    assert len(pickle.dumps(image.stored[0])) < 10_000
