"""Codecs that run code, and bytes without end: what is refused, and with how little memory."""

import gzip
import os
import pickle
import sys
import time
import tracemalloc

import numcodecs
import numpy as np
import pytest
import zarr
from support import bombs
from support.images import axes, noise, scales, write_json
from zarr.codecs import BytesCodec, ShardingCodec

from data_helpers import open_multiscale
from data_helpers._store import transport
from data_helpers._unpacking import TooManyBytesError, _zstd_size, with_bounded_codecs
from data_helpers.errors import ChunkError, MalformedMetadataError, OmeZarrError, TooLargeError
from data_helpers.store import RetryingStore
from data_helpers.stored_array import open_array

V2 = {
    "zarr_format": 2,
    "shape": [64, 64],
    "chunks": [64, 64],
    "dtype": "|u1",
    "compressor": None,
    "fill_value": 0,
    "order": "C",
    "filters": None,
    "dimension_separator": ".",
}
V3 = {
    "zarr_format": 3,
    "node_type": "array",
    "shape": [64, 64],
    "data_type": "uint8",
    "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [64, 64]}},
    "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
    "fill_value": 0,
    "codecs": [{"name": "bytes"}],
    "attributes": {},
}
BYTES = {"name": "bytes", "configuration": {"endian": "little"}}
CRC = {"name": "crc32c"}


def shard(codecs=(BYTES,), index=(BYTES, CRC), chunks=(16, 16)):
    settings = {"chunk_shape": list(chunks), "codecs": list(codecs), "index_codecs": list(index)}
    return {"name": "sharding_indexed", "configuration": settings}


def write_image(folder, *levels, **chunks):
    """An image whose levels are these documents; chunks by their keys, with "__" for "/"."""
    listed = [
        {"path": str(number)} | more
        for number, more in enumerate(scales(*[(0.5 * 2**n,) * 2 for n in range(len(levels))]))
    ]
    multiscale = {"axes": axes("yx", y="micrometer", x="micrometer"), "datasets": listed}
    if levels[0]["zarr_format"] == 2:
        write_json(folder / ".zattrs", {"multiscales": [multiscale | {"version": "0.4"}]})
    else:
        ome = {"version": "0.5", "multiscales": [multiscale]}
        group = {"zarr_format": 3, "node_type": "group", "attributes": {"ome": ome}}
        write_json(folder / "zarr.json", group)
    name = ".zarray" if levels[0]["zarr_format"] == 2 else "zarr.json"
    for number, document in enumerate(levels):
        write_json(folder / str(number) / name, document)
    for key, data in chunks.items():
        path = folder / key.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def one_sentence(error, *said):
    text = str(error)
    assert "\n" not in text and text.endswith(".")
    for part in said:
        assert part in text


# --- codecs that hold more than numbers --------------------------------------------------------

PICKLE = {"id": "pickle", "protocol": 5}
REFUSED = {
    "pickle, packing": V2 | {"compressor": PICKLE},
    "pickle, filtering": V2 | {"filters": [{"id": "delta", "dtype": "|u1"}, PICKLE]},
    "json2": V2 | {"filters": [{"id": "json2"}]},
    "msgpack2": V2 | {"filters": [{"id": "msgpack2"}], "dtype": "|O"},
    "vlen-utf8": V2 | {"filters": [{"id": "vlen-utf8"}], "dtype": "|O"},
    "vlen-bytes": V2 | {"filters": [{"id": "vlen-bytes"}], "dtype": "|O"},
    "vlen-array": V2 | {"filters": [{"id": "vlen-array", "dtype": "u1"}], "dtype": "|O"},
    "categorize": V2 | {"filters": [{"id": "categorize", "labels": ["a"], "dtype": "|O"}]},
    "n5_wrapper": V2 | {"compressor": {"id": "n5_wrapper", "compressor_config": PICKLE}},
    "no such codec": V2 | {"compressor": {"id": "no such codec"}},
    "delta": V2 | {"filters": [{"id": "delta", "dtype": "|O"}]},
    "astype": V2 | {"filters": [{"id": "astype", "encode_dtype": "<U9", "decode_dtype": "|u1"}]},
    '"pickle"': V2 | {"compressor": "pickle"},
    "numcodecs.pickle": V3 | {"codecs": [BYTES, {"name": "numcodecs.pickle"}]},
    "vlen-utf8, v3": V3 | {"codecs": [{"name": "vlen-utf8"}]},
    "numcodecs.json2": V3 | {"codecs": [{"name": "numcodecs.json2"}]},
    "pickle in a shard": V3 | {"codecs": [shard([BYTES, {"name": "numcodecs.pickle"}])]},
    "pickle, for an index": V3 | {"codecs": [shard(index=[BYTES, {"name": "numcodecs.pickle"}])]},
    "zstd, for an index": V3 | {"codecs": [shard(index=[BYTES, {"name": "zstd"}])]},
    "json2, in a shard in a shard": V3
    | {"codecs": [shard([shard([{"name": "numcodecs.json2"}], chunks=(8, 8))])]},
}


@pytest.mark.parametrize(("name", "document"), REFUSED.items(), ids=REFUSED)
def test_a_codec_that_holds_more_than_numbers_is_refused(name, document, tmp_path):
    with pytest.raises(MalformedMetadataError) as caught:
        open_multiscale(write_image(tmp_path, document))
    one_sentence(caught.value, f"{tmp_path.as_posix()}/0", name.partition(",")[0].split()[0])
    assert "is not read here" in str(caught.value) and "such as blosc" in str(caught.value)


class Touch:
    """Makes a file where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("where", [{"compressor": PICKLE}, {"filters": [PICKLE]}], ids=str)
def test_no_code_is_run(where, tmp_path, monkeypatch):
    touched = tmp_path / "touched"
    payload = pickle.dumps(Touch(touched))
    folder = write_image(tmp_path / "image", V2 | where, **{"0__0.0": payload})
    for read in (lambda i: i.stored[0][:], lambda i: i.levels[0].compute(), lambda i: i.label()):
        with pytest.raises(OmeZarrError):
            read(open_multiscale(folder))
    write_json(folder / "labels" / "odd" / ".zarray", V2 | where)  # a label that is one array
    (folder / "labels" / "odd" / "0.0").write_bytes(payload)
    write_json(folder / "0" / ".zarray", V2)
    with pytest.raises(MalformedMetadataError, match=r"labels/odd .* 'pickle'|\"pickle\""):
        open_multiscale(folder).label("odd").stored[0][:]
    assert not touched.exists()
    pickle.loads(payload)
    assert touched.exists()  # the payload would have done it


PIXELS = noise(64, 64, dtype="u2", seed=1)
READ_V2 = [
    {"compressors": codec}
    for codec in (
        numcodecs.Blosc("zstd"),
        numcodecs.Zstd(),
        numcodecs.LZ4(),
        numcodecs.GZip(),
        numcodecs.Zlib(),
        numcodecs.BZ2(),
        numcodecs.LZMA(),
        numcodecs.LZMA(format=3, filters=[{"id": 33, "preset": 1}]),
    )
] + [
    {"filters": filters}
    for filters in (
        [numcodecs.Delta("<u2", "<i4")],
        [numcodecs.FixedScaleOffset(0, 1, "<u2", "<f8")],
        [numcodecs.Quantize(9, "<f8", "<f4")],
        [numcodecs.AsType("<i8", "<u2"), numcodecs.Shuffle(8)],
        [numcodecs.Shuffle(2), numcodecs.CRC32()],
        [numcodecs.Adler32(), numcodecs.Fletcher32()],
        [numcodecs.JenkinsLookup3(), numcodecs.Zstd()],
        [numcodecs.Delta("<u2"), numcodecs.GZip(), numcodecs.BZ2()],
    )
]


@pytest.mark.parametrize("options", READ_V2, ids=range(len(READ_V2)))
def test_codecs_of_numbers_are_read(options, tmp_path):
    dtype = "<f8" if "Quantize" in str(options) else "<u2"
    options = {"zarr_format": 2, "compressors": None, "dtype": dtype, "fill_value": 0} | options
    array = zarr.create_array(str(tmp_path), shape=(64, 64), chunks=(24, 32), **options)
    array[...] = PIXELS
    stored = open_array(RetryingStore(tmp_path.as_posix()), "", array.metadata.to_dict())
    np.testing.assert_array_equal(stored[:], PIXELS)
    np.testing.assert_array_equal(stored.lazy().compute(), PIXELS)
    assert stored.zarr_array.metadata.to_dict() == array.metadata.to_dict()


def sharded():
    codecs = [BytesCodec(), zarr.codecs.GzipCodec(), zarr.codecs.ZstdCodec()]
    return ShardingCodec(chunk_shape=(16, 16), codecs=codecs)


READ_V3 = {
    "transpose": lambda c: {
        "compressors": c.BloscCodec(),
        "filters": c.TransposeCodec(order=(1, 0)),
    },
    "crc32c": lambda c: {"compressors": [c.ZstdCodec(), c.Crc32cCodec()]},
    "delta": lambda c: {
        "compressors": c.numcodecs.Zlib(),
        "filters": c.numcodecs.Delta(dtype="<u2", astype="<u2"),
    },
    "two": lambda c: {"compressors": [c.numcodecs.LZ4(), c.numcodecs.BZ2()]},
    "lzma": lambda c: {"compressors": c.numcodecs.LZMA()},
    "shards": lambda c: {"serializer": sharded(), "compressors": None},
}


@pytest.mark.filterwarnings("ignore:Numcodecs codecs")
@pytest.mark.parametrize("make", READ_V3.values(), ids=READ_V3)
def test_codecs_of_numbers_are_read_in_v3(make, tmp_path):
    options = {"zarr_format": 3, "dtype": "<u2", "fill_value": 0} | make(zarr.codecs)
    array = zarr.create_array(str(tmp_path), shape=(64, 64), chunks=(32, 32), **options)
    array[...] = PIXELS
    stored = open_array(RetryingStore(tmp_path.as_posix()), "", array.metadata.to_dict())
    for copy in (stored, pickle.loads(pickle.dumps(stored))):
        np.testing.assert_array_equal(copy[:], PIXELS)
        np.testing.assert_array_equal(copy[5:7, ::9], PIXELS[5:7, ::9])
        np.testing.assert_array_equal(copy.lazy().compute(), PIXELS)
        assert copy.zarr_array.metadata.to_dict() == array.metadata.to_dict()


# --- chunks that unpack to more than a chunk is ------------------------------------------------

V3_NAMES = {"zstd": "zstd", "blosc": "blosc", "gzip": "gzip"}


def unpacks(kind, **more):
    name = kind.partition(",")[0]
    return {"id": name, **more}, {"name": V3_NAMES.get(name, f"numcodecs.{name}")}


def limited(document):
    bounded, _ = with_bounded_codecs(document, 1)
    return bounded


@pytest.mark.parametrize("kind", bombs.BOMBS)
def test_a_chunk_that_unpacks_to_a_gigabyte(kind, tmp_path):
    v2, v3 = unpacks(kind)
    bomb = bombs.BOMBS[kind]()
    inner = limited(V3 | {"codecs": [shard([BYTES, v3])]})["codecs"][0].codecs[1]
    bare = (
        limited(V2 | {"compressor": v2})["compressor"],
        limited(V2 | {"filters": [v2]})["filters"][0],
        limited(V3 | {"codecs": [BYTES, v3]})["codecs"][1].bounded,
        inner.bounded,
    )
    assert [codec.limit for codec in bare] == [4096, 4096, 4096, 256]
    for codec in bare:
        with pytest.raises(TooManyBytesError):
            codec.decode(np.frombuffer(bomb, "u1"))
    folder = write_image(tmp_path, V2 | {"compressor": v2}, **{"0__0.0": bomb})
    image = open_multiscale(folder)
    for read in (lambda: image.stored[0][:], lambda: image.levels[0].compute()):
        with pytest.raises(ChunkError) as caught:
            read()
        one_sentence(caught.value, "0/0.0", folder.as_posix())


def test_a_packed_bomb_in_a_bomb(tmp_path):
    twice = numcodecs.Zstd().encode(bombs.zstd_frame(bombs.GIGABYTE))
    filters = [{"id": "zstd"}, {"id": "delta", "dtype": "|u1"}]
    folder = write_image(
        tmp_path, V2 | {"filters": filters, "compressor": {"id": "zstd"}}, **{"0__0.0": twice}
    )
    with pytest.raises(ChunkError, match="unpacks to more than the"):
        open_multiscale(folder).stored[0][:]


def test_filters_that_make_numbers_longer_are_stopped(tmp_path):
    widen = {"id": "astype", "encode_dtype": "|u1", "decode_dtype": "<c16"}
    folder = write_image(
        tmp_path, V2 | {"filters": [widen] * 6}, **{"0__0.0": bytes(4096)}
    )  # 16 to the power of 6 times as long
    with pytest.raises(ChunkError, match="more than the"):
        open_multiscale(folder).stored[0][:]


def test_sizes_of_zstandard_frames():
    data = os.urandom(300_000)
    frame = numcodecs.Zstd().encode(data)
    skipped = b"\x52\x2a\x4d\x18" + (3).to_bytes(4, "little") + b"abc"
    assert _zstd_size(memoryview(frame)) == len(data)
    assert _zstd_size(memoryview(numcodecs.Zstd(checksum=True).encode(data) + frame)) == 600_000
    assert _zstd_size(memoryview(skipped + frame)) == len(data)
    assert _zstd_size(memoryview(bombs.zstd_frame(300, said=False))) == 0  # small: let it unpack
    assert _zstd_size(memoryview(b"no frame at all")) == 0
    document = V2 | {"compressor": {"id": "zstd"}}
    unsaid = limited(document)["compressor"].decode(bombs.zstd_frame(4096, said=False))
    assert unsaid == bytes(4096)


# --- sizes --------------------------------------------------------------------------------------

HUGE = 10**12
SIZES = {
    "over int64": V2 | {"shape": [2**70, 64]},
    "negative": V2 | {"shape": [-1, 64]},
    "negative, of chunks": V2 | {"chunks": [64, -64]},
    "a chunk of 0": V2 | {"chunks": [0, 64]},
    "text": V2 | {"shape": ["64", 64]},
    "fractions": V2 | {"shape": [64.5, 64]},
    "no number": V2 | {"shape": [float("nan"), 64]},
    "true": V2 | {"shape": [True, 64]},
    "one size": V2 | {"shape": 64},
    "null": V2 | {"shape": None},
    "too few chunks": V2 | {"chunks": [64]},
    "v3": V3 | {"shape": [2**70, 64]},
    "v3, negative": V3 | {"shape": [64, -5]},
    "v3, shards": V3 | {"codecs": [shard(chunks=(0, 16))]},
}


@pytest.mark.parametrize("document", SIZES.values(), ids=SIZES)
def test_sizes_that_are_none(document, tmp_path):
    with pytest.raises(MalformedMetadataError) as caught:
        open_multiscale(write_image(tmp_path, document))
    one_sentence(caught.value, tmp_path.as_posix())


def test_a_level_of_too_many_chunks_is_opened_but_not_made_lazy(tmp_path):
    large = V2 | {"shape": [HUGE, HUGE], "chunks": [100, 100]}
    fine = V2 | {"shape": [400_000, 400_000], "chunks": [100, 100]}
    coarse = V2 | {"shape": [1000, 1000], "chunks": [100, 100]}
    data = {"0__9999999999.9999999999": bytes([7]) * 10_000, "0__0.0": bytes([1]) * 10_000}
    image = open_multiscale(write_image(tmp_path, large, fine, coarse, **data))
    start = time.process_time()
    with pytest.raises(TooLargeError) as caught:
        image.level(0)
    one_sentence(
        caught.value, "100,000,000,000,000,000,000 chunks", "16,000,000", "level('1') fits"
    )
    with pytest.raises(TooLargeError, match="Level '0'"):
        image.levels  # noqa: B018
    with pytest.raises(TooLargeError, match="100,000,000,000,000,000,000 chunks"):
        image.stored[0].lazy()
    assert image.level(1).npartitions == 16_000_000 and image.level(2).npartitions == 100
    assert image.stored[0][0, 0] == 1 and image.stored[0][HUGE - 1, -1] == 7
    np.testing.assert_array_equal(image.stored[0][:3, 2:4], 1)
    assert "100,000,000,000,000,000,000" in image._repr_html_()
    assert time.process_time() - start < 5


def test_a_long_axis_of_few_chunks_is_sliced_at_once(tmp_path):
    document = V2 | {"shape": [10**13, 64], "chunks": [10**9, 1], "compressor": {"id": "zstd"}}
    level = open_multiscale(write_image(tmp_path, document)).level(0)
    start = time.process_time()
    assert level[:, 0].shape == (10**13,) and level[::-1, :5].numblocks == (10_000, 5)
    assert level[::-2, 3].shape == (5 * 10**12,)
    assert time.process_time() - start < 2


def test_damage_is_found_in_a_level_of_many_chunks(tmp_path):
    document = V2 | {"shape": [HUGE, 10**8], "compressor": {"id": "zstd"}}
    image = open_multiscale(write_image(tmp_path, document, **{"0__15625.0": b"damaged"}))
    for selection in (np.s_[10**6, :9], np.s_[10**6 : 10**6 + 5 : 2, [0, 5]]):
        with pytest.raises(ChunkError, match=r"15625\.0 .* cannot be decoded"):
            image.stored[0][selection]


def test_chunks_that_no_memory_holds(tmp_path):
    documents = (
        V2 | {"shape": [10**7, 10**7], "chunks": [10**6, 10**6], "compressor": {"id": "zstd"}},
        V2 | {"shape": [10**10, 64], "chunks": [2**26, 64]},
        V2 | {"dtype": "<f8", "shape": [2**15, 2**15], "chunks": [2**15, 2**15]},
    )
    for number, document in enumerate(documents):
        stored = open_multiscale(write_image(tmp_path / str(number), document)).stored[0]
        for read in (
            lambda array: array[:2, :2],
            lambda array: array.lazy()[:2, :2].compute(),
            lambda array: array.read_chunks([(0, 0)]),
        ):
            with pytest.raises(TooLargeError) as caught:
                read(stored)
            one_sentence(caught.value, stored.address, "2.15 GB")
        with pytest.raises(TooLargeError) as caught:
            stored.lazy().compute()
        one_sentence(caught.value, stored.address)


def test_a_shard_whose_index_is_too_long(tmp_path):
    grid = {"name": "regular", "configuration": {"chunk_shape": [2**20, 2**20]}}
    document = V3 | {"shape": [2**30] * 2, "chunk_grid": grid, "codecs": [shard()]}
    image = open_multiscale(write_image(tmp_path, document))
    with pytest.raises(TooLargeError, match="a shard of it lists 4,294,967,296 chunks"):
        image.stored[0][0, 0]


# --- answers without end ------------------------------------------------------------------------


def endless(request, content, status=200, **headers):
    """Answer with zeros until nobody listens, a gigabyte at most."""
    request.close_connection = True
    request.send_response(status)
    for name, value in headers.items():
        request.send_header(name.replace("_", "-"), value)
    request.send_header("Transfer-Encoding", "chunked")
    request.end_headers()
    piece = b"100000\r\n" + b" " * 2**20 + b"\r\n"
    try:
        for _ in range(1000):
            request.wfile.write(piece)
            request.server_.sent_on += 1
    except OSError:
        return


@pytest.fixture
def hostile(served):
    """A server that counts the megabytes of its endless answers."""
    served.sent_on = 0
    return served


@pytest.mark.parametrize(
    ("key", "document"),
    [(".zattrs", V2), ("0/.zarray", V2), ("zarr.json", V3), ("0/zarr.json", V3)],
)
def test_metadata_without_end(key, document, hostile, tmp_path, quick):
    write_image(tmp_path, document)
    hostile.fault(key, endless, forever=True)
    with pytest.raises(MalformedMetadataError) as caught:
        open_multiscale(hostile.endpoint)
    one_sentence(caught.value, f"{hostile.endpoint}/{key}", "longer than")
    assert hostile.sent_on < 40  # MB; some are in the buffers of the connection
    assert hostile.times_asked(key) == 1


def test_metadata_that_are_announced_as_too_long(hostile, tmp_path):
    write_image(tmp_path, V2)
    hostile.fault(".zattrs", lambda request, _: request.send(b"{", length=2**40), forever=True)
    with pytest.raises(MalformedMetadataError, match=r"longer than 10\.5 MB"):
        open_multiscale(hostile.endpoint)


def test_an_encoding_that_unpacks_without_end(hostile, tmp_path):
    write_image(tmp_path, V2, **{"0__0.0": bytes(4096)})
    bomb = gzip.compress(b" " * 2**25)
    hostile.fault(
        ".zattrs", lambda request, _: request.send(bomb, Content_Encoding="gzip"), forever=True
    )
    with pytest.raises(MalformedMetadataError, match=r"longer than 10\.5 MB"):
        open_multiscale(hostile.endpoint)
    hostile.fault(".zattrs")
    image = open_multiscale(hostile.endpoint)
    hostile.fault(
        "0/0.0", lambda request, _: request.send(bomb, Content_Encoding="gzip"), forever=True
    )
    with pytest.raises(ChunkError, match=r"longer than 1\.06 MB"):
        image.stored[0][:]


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_an_encoding_is_unpacked_no_further_than_the_limit(coding):
    body = gzip.compress(bytes(2**25)) if coding == "gzip" else bombs.zlib_stream(32)
    tracemalloc.start()
    try:
        with pytest.raises(transport.TooLongError):
            transport._decoded(body, coding, 2**20)
        assert tracemalloc.get_traced_memory()[1] < 4 * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("read", [lambda i: i.stored[0][:], lambda i: i.levels[0].compute()])
def test_a_chunk_without_end(read, hostile, tmp_path):
    write_image(tmp_path, V2 | {"compressor": {"id": "zstd"}})
    image = open_multiscale(hostile.endpoint)
    hostile.fault("0/0.0", endless, forever=True)
    with pytest.raises(ChunkError) as caught:
        read(image)
    one_sentence(caught.value, "Chunk 0/0.0", hostile.endpoint, "longer than 1.07 MB")
    assert hostile.sent_on < 20 and hostile.times_asked("0/0.0") == 1


def test_a_bucket_without_end(hostile, tmp_path):
    write_image(tmp_path / "bucket" / "image", V2)
    options = {"anon": True, "endpoint_url": hostile.endpoint}
    image = open_multiscale("s3://bucket/image", storage_options=options)
    hostile.fault("bucket/image/0/0.0", endless)
    with pytest.raises(ChunkError, match=r"longer than 1\.06 MB"):
        image.stored[0][:]
    hostile.fault("bucket/image/0/0.0", lambda request, _: request.send(b"x", length=10**10))
    with pytest.raises(ChunkError, match=r"longer than 1\.06 MB"):
        image.stored[0][:]
    hostile.fault("bucket/image/.zattrs", endless)
    with pytest.raises(MalformedMetadataError, match=r"longer than 10\.5 MB"):
        open_multiscale("s3://bucket/image", storage_options=options)
    assert hostile.sent_on < 60


def write_sharded(folder):
    zstd = {"name": "zstd", "configuration": {"level": 1, "checksum": False}}
    document = V3 | {"codecs": [shard([BYTES, zstd])]}
    write_image(folder, document)
    array = zarr.open_array(str(folder / "0"), mode="r+")
    array[...] = PIXELS.astype("u1")
    return PIXELS.astype("u1")


def test_a_shard_without_end(hostile, tmp_path):
    pixels = write_sharded(tmp_path)
    image = open_multiscale(hostile.endpoint)
    hostile.ranges = False
    np.testing.assert_array_equal(image.stored[0][:5, :5], pixels[:5, :5])  # small: taken whole
    hostile.fault("0/c/0/0", endless, forever=True)
    with pytest.raises(ChunkError, match="ignores Range"):
        image.stored[0][:5, :5]
    hostile.fault("0/c/0/0", lambda r, c: endless(r, c, 206, Content_Range="bytes 0-9/99"))
    with pytest.raises(ChunkError, match="longer than"):
        image.stored[0][:5, :5]
    hostile.fault("0/c/0/0", lambda r, c: r.send(b"", length=10**10), forever=True)
    with pytest.raises(ChunkError, match="ignores Range and would send all 10 GB"):
        image.stored[0][:5, :5]
    assert hostile.sent_on < 60


def test_an_index_that_points_at_gigabytes(hostile, tmp_path):
    write_sharded(tmp_path)
    path = tmp_path / "0" / "c" / "0" / "0"
    entries = np.array([[0, 10**10]] * 16, "<u8").tobytes()
    checksum = numcodecs.registry.get_codec({"id": "crc32c", "location": "end"}).encode(entries)
    path.write_bytes(b"x" * 1000 + bytes(checksum))
    image = open_multiscale(hostile.endpoint)
    with pytest.raises(ChunkError, match=r"c/0/0 .*(longer than|cannot be decoded)"):
        image.stored[0][:5, :5]


def test_local_files_that_are_too_long_or_no_files(tmp_path):
    folder = write_image(tmp_path, V2, V2, **{"0__0.0": b"", "1__0.0": b""})
    with (folder / "0" / "0.0").open("r+b") as file:
        file.truncate(10**10)  # takes no room on the disk
    image = open_multiscale(folder)
    with pytest.raises(ChunkError, match=r"longer than 1\.06 MB"):
        image.stored[0][:]
    if hasattr(os, "mkfifo"):
        (folder / "1" / "0.0").unlink()
        os.mkfifo(folder / "1" / "0.0")
        with pytest.raises(ChunkError, match="no file, but a pipe or a device"):
            image.stored[1][:]
    with (folder / ".zattrs").open("r+b") as file:
        file.truncate(10**10)
    with pytest.raises(MalformedMetadataError, match=r"longer than 10\.5 MB"):
        open_multiscale(folder)


def test_entries_of_an_archive_that_are_too_long(tmp_path):
    import zipfile

    folder = write_image(tmp_path / "image", V2)
    archive = tmp_path / "image.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in (".zattrs", "0/.zarray"):
            packed.write(folder / name, name)
        packed.writestr("0/0.0", bytes(10**7))
    image = open_multiscale(archive)
    with pytest.raises(ChunkError, match=r"longer than 1\.06 MB"):
        image.stored[0][:]
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr(".zattrs", b" " * (transport.METADATA_BYTES + 1))
    with pytest.raises(MalformedMetadataError, match=r"longer than 10\.5 MB"):
        open_multiscale(archive)


def test_documents_are_counted_together(tmp_path, monkeypatch):
    from data_helpers._store import documents

    write_image(tmp_path, *[V2] * 6)
    open_multiscale(tmp_path)
    monkeypatch.setattr(documents, "METADATA_BYTES", 1000)
    with pytest.raises(MalformedMetadataError, match="longer than 1 kB together"):
        open_multiscale(tmp_path)


# --- and all of that with little memory ---------------------------------------------------------

ATTACKS = """
import resource, sys, json, warnings
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
from pathlib import Path
from data_helpers import open_multiscale
from data_helpers.errors import OmeZarrError
warnings.simplefilter("ignore")


def peak():
    # on Linux, ru_maxrss would count the process that started this one
    if sys.platform == "darwin":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 20
    [line] = [t for t in open("/proc/self/status") if t.startswith("VmHWM")]
    return int(line.split()[1]) >> 10


for folder in sorted(Path(sys.argv[1]).iterdir()):
    try:
        image = open_multiscale(folder)
        image.level(0)
        image.stored[0][:] if folder.name.endswith("2") else image.level(0).compute()
    except OmeZarrError:
        pass
    else:
        print(folder.name, "is read")
    if peak() > 500:
        print(folder.name, peak(), "MB")
        break
print("done")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no resource module")
def test_no_attack_takes_much_memory(tmp_path, run_python):
    folder = tmp_path / "attacks"
    for kind, bomb in bombs.BOMBS.items():
        v2, v3 = unpacks(kind)
        name = kind.replace(" ", "").replace(",", "-")
        write_image(folder / f"{name}-2", V2 | {"compressor": v2}, **{"0__0.0": bomb()})
        write_image(folder / f"{name}-3", V3 | {"codecs": [BYTES, v3]}, **{"0__c__0__0": bomb()})
    lists = write_image(folder / "z-lists", V2)
    (lists / ".zattrs").write_bytes(b"[" + b"[]," * (transport.METADATA_BYTES // 3 - 2) + b"[]]")
    (lists / "zarr.json").write_bytes(b"[" + b"{}," * (transport.METADATA_BYTES // 3 - 2) + b"[]]")
    shape = {"shape": [HUGE, HUGE], "chunks": [100, 100]}
    write_image(folder / "shape", V2 | shape, **{"0__0.0": bytes(10_000)})
    done = run_python(f"import sys; sys.argv[1:] = [{str(folder)!r}]\n{ATTACKS}")
    assert (done.stdout, done.returncode) == ("done\n", 0), done.stdout + done.stderr
