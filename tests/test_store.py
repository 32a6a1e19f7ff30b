"""The one store: what it asks for, how it retries, and what each kind of answer means."""

import asyncio
import multiprocessing
import pickle
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
from support.images import change_json, noise, write_array, write_json, write_v2
from support.misbehaving import replace, status
from zarr.abc.store import OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync

from data_helpers import (
    AccessDeniedError,
    ChunkError,
    EndpointUnreachableError,
    MalformedMetadataError,
    open_multiscale,
    request_meter,
    store,
    stored_array,
)
from data_helpers._store import transport
from data_helpers._store.transport import CONCURRENCY
from data_helpers.store import ATTEMPTS, RetryingStore
from data_helpers.stored_array import blosc_problem

CONTENT = bytes(range(200))


@pytest.fixture(params=["http", "http without ranges", "folder"])
def either(request, tmp_path):
    """A store over http and over a local folder, with one key "a/b" that is not a document."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a/b").write_bytes(CONTENT)
    if request.param == "folder":
        return RetryingStore(str(tmp_path))
    served = request.getfixturevalue("served")
    served.ranges = request.param == "http"
    return RetryingStore(served.endpoint)


def get(careful, key, byte_range=None):
    found = sync(careful.get(key, default_buffer_prototype(), byte_range))
    return None if found is None else found.to_bytes()


# One key


def test_a_key_and_no_key(either):
    assert get(either, "a/b") == CONTENT
    assert get(either, "a/c") is None
    assert get(either, "a/b/c") is None
    assert sync(either.get("a/b")).to_bytes() == CONTENT
    assert sync(either.exists("a/b")) and not sync(either.exists("a/c"))


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (RangeByteRequest(20, 30), CONTENT[20:30]),
        (RangeByteRequest(0, 200), CONTENT),
        (OffsetByteRequest(150), CONTENT[150:]),
        (SuffixByteRequest(7), CONTENT[-7:]),
    ],
    ids=["range", "everything", "offset", "suffix"],
)
def test_a_part_of_a_key(either, part, expected):
    assert get(either, "a/b", part) == expected
    assert get(either, "a/c", part) is None


def test_a_part_costs_only_its_bytes(served, tmp_path):
    (tmp_path / "b").write_bytes(CONTENT)
    with request_meter() as cost:
        get(RetryingStore(served.endpoint), "b", RangeByteRequest(20, 30))
        get(RetryingStore(served.endpoint), "b", SuffixByteRequest(5))
    assert (cost.requests, cost.bytes) == (2, 15)


def test_parts_of_several_keys(either):
    parts = [("a/b", RangeByteRequest(1, 3)), ("a/c", None), ("a/b", None)]
    found = sync(either.get_partial_values(default_buffer_prototype(), parts))
    assert [part and part.to_bytes() for part in found] == [CONTENT[1:3], None, CONTENT]


def test_a_part_beyond_the_end_is_an_error(either, quick):
    with pytest.raises(ChunkError, match=r"Chunk a/b of .*(5 of 15 bytes|416)"):
        get(either, "a/b", RangeByteRequest(195, 210))
    with pytest.raises(ChunkError):
        get(either, "a/b", RangeByteRequest(300, 310))


def test_it_is_read_only_and_lists_nothing(tmp_path):
    careful = RetryingStore(str(tmp_path))
    assert careful.read_only
    assert not (careful.supports_writes or careful.supports_deletes or careful.supports_listing)
    value = default_buffer_prototype().buffer.from_bytes(b"1")
    with pytest.raises(PermissionError, match="read-only"):
        sync(careful.set("a", value))
    with pytest.raises(PermissionError, match="read-only"):
        sync(careful.delete("a"))
    for listing in (careful.list, careful.list_prefix, careful.list_dir):
        with pytest.raises(NotImplementedError, match="cannot be listed"):
            listing(*[] if listing == careful.list else [""])


def test_stores_of_one_address_are_equal():
    one, same = RetryingStore("http://127.0.0.1:9/a/"), RetryingStore("http://127.0.0.1:9/a")
    other = one.below("labels/0")
    assert one == same and hash(one) == hash(same) and one != other and one != "a"
    assert other.url == "http://127.0.0.1:9/a/labels/0"
    assert repr(one) == "RetryingStore('http://127.0.0.1:9/a')"
    assert pickle.loads(pickle.dumps(other)) == other


# Metadata documents


def test_documents_are_fetched_at_once(served, tmp_path):
    for number in range(4):
        write_json(tmp_path / f"{number}/.zarray", {"number": number})
    keys = [f"{number}/.zarray" for number in range(5)]
    waiting = threading.Barrier(5)

    def together(request, content):
        waiting.wait(10)
        return request.send(b"", 404) if content is None else content

    served.fault("*", *[together] * 5)
    documents, denied = RetryingStore(served.endpoint).read_json(keys)
    assert documents == {f"{number}/.zarray": {"number": number} for number in range(4)}
    assert denied == []


def test_documents_that_are_denied_are_told(served, tmp_path):
    write_json(tmp_path / ".zattrs", {})
    served.missing_status = 403
    assert RetryingStore(served.endpoint).read_json([".zattrs", "zarr.json"]) == (
        {".zattrs": {}},
        ["zarr.json"],
    )


@pytest.mark.parametrize("content", [b"{", b"", b"<html>", b"\xff\xfe\x00", b"[1]", b"null", b"1"])
def test_a_document_that_is_no_json_object(content, served, tmp_path):
    (tmp_path / ".zattrs").write_bytes(content)
    with pytest.raises(MalformedMetadataError) as caught:
        RetryingStore(served.endpoint).read_json([".zattrs"])
    assert f"{served.endpoint}/.zattrs" in str(caught.value)


# Retries


def test_pauses_grow(served, tmp_path, monkeypatch):
    monkeypatch.setattr(store, "FIRST_PAUSE", 0.08)
    moments = []

    def busy(request, content):
        moments.append(time.monotonic())
        request.send(b"", 503)

    served.fault(".zattrs", busy, forever=True)
    with pytest.raises(EndpointUnreachableError, match=f"after {ATTEMPTS} attempts"):
        RetryingStore(served.endpoint).read_json([".zattrs"])
    pauses = np.diff(moments)
    assert len(pauses) == ATTEMPTS - 1 == 3
    assert (pauses >= 0.08 * 0.75 * np.array([1, 2, 4])).all()


@pytest.mark.parametrize("code", [408, 425, 429, 500, 502, 503, 504])
def test_a_busy_endpoint_is_asked_again(code, served, tmp_path, quick):
    write_json(tmp_path / ".zattrs", {"a": 1})
    served.fault(".zattrs", status(code), status(code))
    with request_meter() as cost:
        documents, _ = RetryingStore(served.endpoint).read_json([".zattrs"])
    assert documents == {".zattrs": {"a": 1}}
    assert cost.requests == served.times_asked(".zattrs") == 3


@pytest.mark.parametrize("code", [400, 410, 501])
def test_a_clear_refusal_is_not_asked_again(code, served, tmp_path):
    served.fault(".zattrs", status(code), forever=True)
    with pytest.raises(EndpointUnreachableError, match=f"at the first attempt.* {code} "):
        RetryingStore(served.endpoint).read_json([".zattrs"])
    assert served.times_asked(".zattrs") == 1


def test_an_endpoint_that_does_not_exist(quick):
    with pytest.raises(EndpointUnreachableError) as caught:
        open_multiscale("http://127.0.0.1:1/image.zarr")
    message = str(caught.value)
    assert "http://127.0.0.1:1/image.zarr/" in message
    assert "no connection to 127.0.0.1:1" in message and "after 4 attempts" in message
    assert 'choose_source("offline")' in message


def test_a_folder_that_cannot_be_read(tmp_path, monkeypatch, asked):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    write_v2(tmp_path / "a.zarr", [noise(20, 20)], {"version": "0.3", "axes": ["y", "x"]})
    array = open_multiscale(tmp_path / "a.zarr").stored[0]
    monkeypatch.setattr(transport.Path, "read_bytes", refuse)
    asked.clear()
    with pytest.raises(AccessDeniedError) as caught:
        array[0, 0]
    assert "0/0/0" in str(caught.value) and "403" not in str(caught.value)
    assert len(asked) == 1


# Many chunks


def test_many_chunks_are_in_flight_but_not_all(served, tmp_path):
    pixels = noise(CONCURRENCY + 40, 4, 4)
    write_v2(tmp_path, [pixels], {"version": "0.3", "axes": ["z", "y", "x"]}, chunks=(1, 4, 4))
    in_flight, most, lock = 0, 0, threading.Lock()

    def count(request, content):
        nonlocal in_flight, most
        with lock:
            in_flight += 1
            most = max(most, in_flight)
        time.sleep(0.1)
        with lock:
            in_flight -= 1
        return content

    array = open_multiscale(served.endpoint).stored[0]
    served.fault("*", count, forever=True)
    assert (array[:] == pixels).all()
    assert CONCURRENCY / 2 < most <= CONCURRENCY


def test_reading_all_goes_in_slabs_and_tells_its_progress(served, tmp_path, monkeypatch):
    monkeypatch.setattr(stored_array, "SLAB_CHUNKS", 16)
    pixels = noise(3, 16, 5, 7)
    axes = ["c", "z", "y", "x"]
    write_v2(tmp_path, [pixels], {"version": "0.3", "axes": axes}, chunks=(1, 2, 3, 7))
    array = open_multiscale(served.endpoint).stored[0]
    steps = []
    assert (array.read_all(steps.append) == pixels).all()
    assert steps == [16, 16, 16] and sum(steps) == array.nchunks
    assert len(served.asked) == len(set(served.asked)) == 3 + 48  # no chunk is asked for twice


@pytest.mark.parametrize(
    ("shape", "chunk"),
    [((3, 14, 3), (2, 1, 2)), ((1, 1), (1, 1)), ((10, 7, 1), (1, 3, 1)), ((2, 40), (2, 3))],
)
def test_slabs_of_odd_shapes_cover_everything_once(shape, chunk, tmp_path, monkeypatch):
    monkeypatch.setattr(stored_array, "SLAB_CHUNKS", 8)
    pixels = noise(*shape)
    write_array(tmp_path, pixels, chunks=chunk)
    careful = RetryingStore(str(tmp_path))
    documents, _ = careful.read_json([".zarray"])
    array = stored_array.open_array(careful, "", documents[".zarray"])
    seen = np.zeros(shape, int)
    for slab in array._slabs():
        seen[slab] += 1
        assert len(list(array._chunks_of(slab, chunk))) <= 8
    assert (seen == 1).all()
    assert (array.read_all() == pixels).all()


def test_slabs_keep_all_connections_busy():
    assert stored_array.SLAB_CHUNKS >= CONCURRENCY == 64


# Indexing


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    pixels = noise(2, 3, 40, 50)
    metadata = {"version": "0.3", "axes": ["c", "z", "y", "x"]}
    folder = write_v2(tmp_path_factory.mktemp("stored"), [pixels], metadata)
    return open_multiscale(folder).stored[0], pixels


@pytest.mark.parametrize(
    "selection",
    [
        np.s_[1],
        np.s_[1, 2],
        np.s_[-1, -1, -1, -1],
        np.s_[...],
        np.s_[:],
        np.s_[..., 7],
        np.s_[1, ..., 7],
        np.s_[0, 1, 10:30:3, ::7],
        np.s_[:, 1:2, -5:, :3],
        np.s_[0, 0, 5:5],
        np.s_[np.int64(1), np.uint8(2)],
    ],
    ids=str,
)
def test_indexing_is_as_in_numpy(stored, selection):
    array, pixels = stored
    part = array[selection]
    assert isinstance(part, np.ndarray)
    np.testing.assert_array_equal(part, pixels[selection])
    assert part.dtype == pixels.dtype


def test_lists_and_masks_reach_the_lazy_array(stored):
    array, pixels = stored
    lazy = array.lazy()
    np.testing.assert_array_equal(lazy[:, [0, 2]].compute(), pixels[:, [0, 2]])
    np.testing.assert_array_equal(lazy[..., np.array([3, 40])].compute(), pixels[..., [3, 40]])
    np.testing.assert_array_equal(lazy[1, 2, ::-1].compute(), pixels[1, 2, ::-1])


@pytest.mark.parametrize("selection", [np.s_[2], np.s_[0, 3], np.s_[0, 0, 0, 0, 0]])
def test_an_index_beyond_the_end_is_an_index_error(stored, selection):
    with pytest.raises(IndexError):
        stored[0][selection]


def test_a_plane_costs_its_chunks_only(stored, asked):
    array, pixels = stored
    asked.clear()
    assert (array[1, 2] == pixels[1, 2]).all()
    assert len(asked) == 3 * 4
    asked.clear()
    assert (array[1, 2, 16:32, 0:16] == pixels[1, 2, 16:32, 0:16]).all()
    assert [one.url.rsplit("/0/", 1)[1] for one in asked] == ["1/2/1/0"]


def test_a_stored_array_describes_itself(stored):
    array, pixels = stored
    assert array.shape == pixels.shape and array.ndim == 4 and array.dtype == pixels.dtype
    assert array.nbytes == pixels.nbytes
    assert array.nchunks == 2 * 3 * 3 * 4
    assert repr(array) == ("StoredArray(shape=(2, 3, 40, 50), chunks=(1, 1, 16, 16), dtype=uint16)")


@pytest.mark.timeout(20)
def test_more_pixels_than_any_memory_holds(tmp_path, asked):
    """What cannot be allocated is not asked for, and is no fault of a chunk."""
    pixels = noise(1, 1, 16, 16)
    write_v2(tmp_path, [pixels], {"version": "0.3", "axes": ["c", "z", "y", "x"]})
    change_json(tmp_path / "0/.zarray", shape=[2**15] * 4)
    array = open_multiscale(tmp_path).stored[0]
    assert array.nbytes == 2**61 and array.nchunks == 2**52
    asked.clear()
    with pytest.raises(MemoryError):
        array[:]
    assert asked == []
    assert array[0, 0, 3, 4] == pixels[0, 0, 3, 4]


# Other processes and threads


def read_plane(array):
    return array[1, 2]


def test_a_stored_array_reads_in_another_process(served, tmp_path, worker):
    pixels = noise(2, 3, 40, 50)
    write_v2(tmp_path, [pixels], {"version": "0.3", "axes": ["c", "z", "y", "x"]})
    array = open_multiscale(served.endpoint).stored[0]
    assert (array[1, 2] == pixels[1, 2]).all()  # the connection is open before the pickle
    size = len(pickle.dumps(array))
    assert size < 10_000  # an address and metadata, no pixels
    plane = worker.submit(read_plane, array).result(timeout=60)
    np.testing.assert_array_equal(plane, pixels[1, 2])


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="no fork, or not a safe one")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # threads and fork
def test_a_stored_array_reads_in_a_forked_process(served, tmp_path):
    pixels = noise(2, 3, 40, 50)
    write_v2(tmp_path, [pixels], {"version": "0.3", "axes": ["c", "z", "y", "x"]})
    array = open_multiscale(served.endpoint).stored[0]
    assert (array[0, 0] == pixels[0, 0]).all()
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(1, mp_context=context) as worker:
        plane = worker.submit(read_plane, array).result(timeout=60)
    np.testing.assert_array_equal(plane, pixels[1, 2])
    assert (array[1, 2] == pixels[1, 2]).all()  # and the parent still reads


def test_many_threads_read_at_once(served, tmp_path):
    pixels = noise(8, 40, 50)
    write_v2(tmp_path, [pixels], {"version": "0.3", "axes": ["z", "y", "x"]})
    array = open_multiscale(served.endpoint).stored[0]
    np.testing.assert_array_equal(array.lazy().compute(scheduler="threads", num_workers=16), pixels)


def test_reading_inside_a_running_event_loop(served, tmp_path):
    """As in a notebook, whose kernel runs an event loop in its main thread."""
    pixels = noise(40, 50)
    write_v2(tmp_path, [pixels], {"version": "0.3", "axes": ["y", "x"]})

    async def cell():
        return open_multiscale(served.endpoint).stored[0][:]

    np.testing.assert_array_equal(asyncio.run(cell()), pixels)


# The meter


def test_the_meter_counts_what_went_over_the_wire(served, tmp_path):
    pixels = noise(40, 50)
    write_v2(tmp_path, [pixels], {"version": "0.3", "axes": ["y", "x"]})
    array = open_multiscale(served.endpoint).stored[0]
    served.asked.clear()
    with request_meter() as outer:
        with request_meter() as inner:
            array[:16, :16]
        array[:]
    chunk = (tmp_path / "0/0/0").stat().st_size
    assert (inner.requests, inner.bytes) == (1, chunk)
    assert outer.requests == len(served.asked) == 1 + 3 * 4
    assert 0 < inner.seconds < outer.seconds
    array[:]
    assert outer.requests == 13  # it has stopped


def test_the_meter_stops_when_its_block_fails(served):
    with pytest.raises(ZeroDivisionError), request_meter() as cost:
        _ = 1 / 0
    assert cost.seconds > 0
    get(RetryingStore(served.endpoint), "a")
    assert cost.requests == 0


# Blosc


def test_blosc_frames():
    from support.images import BLOSC

    frame = bytes(BLOSC.encode(noise(40, 40)))
    assert blosc_problem(frame) is None
    assert blosc_problem(frame[:15]) == "15 bytes are too few for a compressed chunk"
    assert "cut short" in blosc_problem(frame[:-1])
    assert blosc_problem(b"") == "0 bytes are too few for a compressed chunk"


# Array documents


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": None},
        {"shape": "big"},
        {"dtype": "pixels"},
        {"chunks": [0, 16]},
        {"compressor": {"id": "no such codec"}},
        {"compressor": "blosc"},
        {"zarr_format": 4},
        {"fill_value": "white"},
        {"filters": [{"id": "nothing"}]},
        {"order": "Z"},
    ],
    ids=str,
)
def test_an_array_document_that_makes_no_sense(changes, tmp_path):
    write_v2(tmp_path, [noise(40, 50)], {"version": "0.3", "axes": ["y", "x"]})
    change_json(tmp_path / "0/.zarray", **changes)
    with pytest.raises(MalformedMetadataError) as caught:
        open_multiscale(tmp_path)
    message = str(caught.value)
    assert "\n" not in message and tmp_path.name in message and "/0" in message


def test_bio_formats_spelling_is_understood(tmp_path):
    pixels = noise(1, 1, 2, 40, 50, dtype=">u2")
    write_v2(tmp_path, [pixels], {"version": "0.2"}, separator=".")
    change_json(tmp_path / "0/.zarray", fill_value="7", filters=[])
    (tmp_path / "0/0.0.1.0.0").unlink()
    array = open_multiscale(tmp_path).stored[0]
    assert array.dtype == np.dtype(">u2")
    pixels[0, 0, 1, :16, :16] = 7
    np.testing.assert_array_equal(array[:], pixels)


def test_a_redirect_is_followed(served, tmp_path):
    write_v2(tmp_path / "new", [noise(40, 50)], {"version": "0.3", "axes": ["y", "x"]})
    for name in (".zattrs", "0/.zarray", "0/0/0"):
        served.fault(f"old/{name}", status(301, Location=f"/new/{name}"))
    array = open_multiscale(f"{served.endpoint}/old").stored[0]
    assert array[0, 0] == noise(40, 50)[0, 0]


def test_an_odd_answer_to_an_optional_document_is_told(served, tmp_path):
    write_v2(tmp_path, [noise(40, 50)], {"version": "0.3", "axes": ["y", "x"]})
    served.fault("labels/.zattrs", replace(b"oops"))
    image = open_multiscale(served.endpoint)
    with pytest.raises(MalformedMetadataError, match=r"labels/\.zattrs"):
        image.labels  # noqa: B018
