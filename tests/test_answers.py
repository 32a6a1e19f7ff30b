"""Answers for documents that need not exist, and answers that come encoded."""

import gzip
import time
import zlib

import numpy as np
import pytest
import zarr
from numcodecs import GZip
from support.images import axes, noise, write_array, write_json, write_v2
from support.misbehaving import PORTAL, hang, replace, status
from zarr.abc.store import RangeByteRequest, SuffixByteRequest
from zarr.core.sync import sync

from data_helpers import (
    AccessDeniedError,
    ChunkError,
    EndpointUnreachableError,
    MalformedMetadataError,
    NotOmeZarrError,
    OmeZarrError,
    open_multiscale,
    request_meter,
)
from data_helpers.store import RetryingStore

PIXELS = noise(3, 20, 30)


def get(store, key, byte_range=None):
    return sync(store.get(key, None, byte_range)).to_bytes()


def image(folder, zarr_format=2, **more):
    metadata = {"version": "0.4", "axes": axes("zyx")}
    if zarr_format == 2:
        return write_v2(folder, [PIXELS], metadata, **more)
    array = {"shape": PIXELS.shape, "dtype": "u2", "chunks": (1, 16, 16)}
    zarr.create_array(store=str(folder / "0"), zarr_format=3, **array, **more)[:] = PIXELS
    scale = {"type": "scale", "scale": [1.0, 1.0, 1.0]}
    datasets = [{"path": "0", "coordinateTransformations": [scale]}]
    ome = {"version": "0.5", "multiscales": [{"axes": axes("zyx"), "datasets": datasets}]}
    document = {"zarr_format": 3, "node_type": "group", "attributes": {"ome": ome}}
    write_json(folder / "zarr.json", document)
    return folder


def page(request, content):
    request.send(PORTAL, 200, Content_Type="text/html")


def empty_object(request, content):
    request.send(b'{"detail": "nothing here"}', 200)


NOT_THERE = {
    **{str(code): status(code) for code in (400, 401, 403, 404, 405, 410)},
    "page": page,
    "other JSON": empty_object,
}
BUSY = {"503": status(503), "500": status(500), "rubbish": replace(b"{"), "list": replace(b"[]")}
ODD = NOT_THERE | BUSY


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_the_good_document_decides(odd, zarr_format, served, tmp_path):
    image(tmp_path, zarr_format)
    served.fault("zarr.json" if zarr_format == 2 else ".zattrs", odd, forever=True)
    begun = time.monotonic()
    opened = open_multiscale(served.endpoint)
    assert time.monotonic() - begun < 8
    np.testing.assert_array_equal(opened.stored[0][:], PIXELS)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_the_good_document_does_not_wait_for_a_server_that_hangs(zarr_format, served, tmp_path):
    image(tmp_path, zarr_format)
    served.fault("zarr.json" if zarr_format == 2 else ".zattrs", hang, forever=True)
    begun = time.monotonic()
    open_multiscale(served.endpoint)
    assert time.monotonic() - begun < 8  # a time-out is 30 s


def test_a_document_that_comes_late_still_counts(served, tmp_path):
    """Both formats are there: the newer one decides, also if it is a little slower."""
    image(tmp_path, 3)
    write_json(tmp_path / ".zattrs", {"multiscales": [{"datasets": [{"path": "old"}]}]})
    served.fault("zarr.json", lambda request, content: time.sleep(0.2) or content)
    assert open_multiscale(served.endpoint).version == "0.5"


@pytest.mark.parametrize(
    ("first", "second", "kind", "words"),
    [
        (status(400), status(404), EndpointUnreachableError, "answers 400"),
        (status(404), status(405), EndpointUnreachableError, "answers 405"),
        (status(403), status(403), AccessDeniedError, "answers 403, so either it denies"),
        (status(404), status(403), AccessDeniedError, "answers 403"),
        (page, page, MalformedMetadataError, "a login page or a broken upload"),
        (status(503), status(404), EndpointUnreachableError, "answers 503"),
        (status(404), status(404), NotOmeZarrError, "neither .zattrs nor zarr.json"),
        (status(404), replace(b"{}"), NotOmeZarrError, "without the key multiscales"),
        (status(503), replace(b"{}"), EndpointUnreachableError, "answers 503"),
    ],
)
def test_where_no_document_is_good(first, second, kind, words, served, tmp_path, quick):
    image(tmp_path / "i")
    served.fault("i/zarr.json", first, forever=True)
    served.fault("i/.zattrs", second, forever=True)
    with pytest.raises(kind) as caught:
        open_multiscale(f"{served.endpoint}/i")
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_a_plate_decides_too(served, tmp_path):
    write_json(tmp_path / ".zattrs", {"plate": {"wells": []}})
    served.fault("zarr.json", status(405), forever=True)
    with pytest.raises(NotOmeZarrError, match="it holds a plate"):
        open_multiscale(served.endpoint)


@pytest.mark.parametrize("odd", NOT_THERE.values(), ids=NOT_THERE)
def test_no_list_of_labels_is_no_labels(odd, served, tmp_path):
    image(tmp_path)
    served.fault("labels/.zattrs", odd, forever=True)
    assert open_multiscale(served.endpoint).labels == []


@pytest.mark.parametrize("odd", [page, status(405)])
def test_a_label_that_is_one_array_has_no_attributes(odd, served, tmp_path):
    image(tmp_path)
    write_array(tmp_path / "labels/a", PIXELS)
    write_json(tmp_path / "labels/.zattrs", {"labels": ["a"]})
    (tmp_path / "labels/a/.zattrs").unlink(missing_ok=True)
    served.fault("labels/a/.zattrs", odd, forever=True)
    label = open_multiscale(served.endpoint).label()
    np.testing.assert_array_equal(label.stored[0][:], PIXELS)


def test_a_level_needs_its_document(served, tmp_path):
    image(tmp_path)
    served.fault("0/.zarray", page, forever=True)
    with pytest.raises(MalformedMetadataError, match=r"0/\.zarray"):
        open_multiscale(served.endpoint)


def test_by_id_the_next_key_is_tried(served, tmp_path):
    image(tmp_path / "idr/zarr/v0.4/idr0062A/6001247.zarr")
    served.missing_status = 400
    opened = open_multiscale(6001247, source=served.endpoint)
    assert opened.version == "0.4"


# Content-Encoding


def packed(coding, pack):
    """Send what is stored packed, and say so."""

    def answer(request, content):
        if content is None:
            request.send(b"", 404)
        else:
            request.send(pack(content), Content_Encoding=coding)

    return answer


CODINGS = {
    "gzip": packed("gzip", gzip.compress),
    "x-gzip": packed("x-GZIP", gzip.compress),
    "deflate": packed("deflate", zlib.compress),
    "identity": packed("identity", bytes),
    "only said": packed("gzip", bytes),  # stored as it is, with the wrong header
}


@pytest.mark.parametrize("coding", CODINGS.values(), ids=CODINGS)
@pytest.mark.parametrize("compressor", ["blosc", "gzip", None])
def test_a_content_encoding_is_undone(coding, compressor, served, tmp_path):
    image(tmp_path, **({} if compressor == "blosc" else {"compressor": compressor and GZip()}))
    served.fault("*", coding, forever=True)
    opened = open_multiscale(served.endpoint)
    np.testing.assert_array_equal(opened.stored[0][:], PIXELS)


def test_a_codec_that_the_server_takes_for_an_encoding(served, tmp_path):
    """Chunks of the codec gzip, sent as stored, under the header of an encoding."""
    image(tmp_path, compressor=GZip())
    for chunk in (tmp_path / "0").rglob("[0-9]"):
        if chunk.is_file():
            served.fault(str(chunk.relative_to(tmp_path)), packed("gzip", bytes), forever=True)
    np.testing.assert_array_equal(open_multiscale(served.endpoint).stored[0][:], PIXELS)


def test_parts_of_an_encoded_object(served, tmp_path):
    (tmp_path / "b").write_bytes(bytes(range(200)))

    def encoded_part(request, content):
        whole = gzip.compress(content)
        if request.headers["Range"]:
            first, _, last = request.headers["Range"].removeprefix("bytes=").partition("-")
            part = whole[int(first) : int(last) + 1] if first else whole[-int(last) :]
            request.send(part, 206, Content_Encoding="gzip")
        else:
            request.send(whole, Content_Encoding="gzip")

    served.fault("b", encoded_part, forever=True)
    store = RetryingStore(served.endpoint)
    assert get(store, "b", RangeByteRequest(20, 30)) == bytes(range(20, 30))
    assert get(store, "b", SuffixByteRequest(7)) == bytes(range(193, 200))


def test_shards_that_come_encoded(served, tmp_path):
    image(tmp_path, 3, shards=(3, 32, 32))
    served.fault("*", CODINGS["gzip"], forever=True)
    opened = open_multiscale(served.endpoint)
    np.testing.assert_array_equal(opened.stored[0][1:, 5:9], PIXELS[1:, 5:9])


def test_the_meter_counts_what_was_sent(served, tmp_path):
    (tmp_path / "b").write_bytes(bytes(10_000))
    served.fault("b", CODINGS["gzip"])
    with request_meter(show=False) as cost:
        assert get(RetryingStore(served.endpoint), "b") == bytes(10_000)
    assert 0 < cost.bytes < 200


@pytest.mark.parametrize(
    ("coding", "words"),
    [
        (packed("gzip", lambda content: gzip.compress(content)[:-9]), "Content-Encoding, gzip, ca"),
        (packed("gzip", lambda content: b"\x1f\x8b" + content), "cannot be undone"),
        (packed("br", bytes), "sent with Content-Encoding br, which was not asked for"),
    ],
)
def test_an_encoding_that_cannot_be_undone(coding, words, served, tmp_path, quick):
    image(tmp_path)
    opened = open_multiscale(served.endpoint)
    served.fault("0/0/0/0", coding, forever=True)
    with pytest.raises(ChunkError) as caught:
        opened.stored[0][:]
    assert words in str(caught.value) and "0/0/0/0" in str(caught.value)
    served.fault("0/0/0/0", coding)
    np.testing.assert_array_equal(opened.stored[0][:], PIXELS)


def test_an_address_in_an_error_of_the_client_is_not_told(served, tmp_path):
    """A redirect to an address that is none; the client's error holds it, query and all."""
    served.fault("*", status(302, Location="nonsense://h:x/?sig=s3cr3t"), forever=True)
    with pytest.raises(OmeZarrError) as caught:
        open_multiscale(f"{served.endpoint}/i.zarr?sig=s3cr3t")
    assert "s3cr3t" not in str(caught.value) and "not valid" in str(caught.value)
