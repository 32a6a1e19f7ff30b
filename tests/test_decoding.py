"""Chunks decoded without Zarr's pipeline: the same pixels, the same care, and into place."""

import dask
import dask.array as da
import numpy as np
import pytest
import zarr
from dask.callbacks import Callback
from numcodecs import LZ4, Blosc, Delta, GZip, Zlib, Zstd
from zarr.codecs import BloscCodec, BytesCodec, GzipCodec, ZstdCodec

from data_helpers._decoding import decoder_of
from data_helpers.errors import ChunkError
from data_helpers.store import RetryingStore
from data_helpers.stored_array import StoredArray, open_array

SHAPE, CHUNKS = (5, 20, 33), (2, 8, 10)
PIXELS = np.random.default_rng(0).integers(1, 4096, SHAPE)
V2 = [
    {"compressors": compressor}
    for compressor in (None, Blosc("lz4"), Blosc("zstd", 3, 2), Zstd(), GZip(), Zlib(), LZ4())
] + [
    {"compressors": Blosc(), "order": "F"},
    {"compressors": Zstd(), "order": "F", "dtype": ">f8"},
    {"compressors": Blosc(), "dtype": ">i4"},
    {"compressors": Blosc(), "dtype": "?"},
    {"compressors": Zstd(), "filters": [Delta("<u2")]},
    {"compressors": None, "filters": [Delta("<u2")]},
]
V3 = [
    {"compressors": compressor, "zarr_format": 3}
    for compressor in (None, BloscCodec(), ZstdCodec(), GzipCodec(), [GzipCodec(), ZstdCodec()])
] + [
    {"serializer": BytesCodec(endian="big"), "zarr_format": 3, "compressors": BloscCodec()},
    {"dtype": "u1", "zarr_format": 3},
]
ZARR_ONLY = [
    {"zarr_format": 3, "shards": (4, 16, 20)},
    {"zarr_format": 3, "filters": [zarr.codecs.TransposeCodec(order=(2, 1, 0))]},
    {"zarr_format": 3, "compressors": zarr.codecs.Crc32cCodec()},
]


def write(folder, **options):
    """Write PIXELS, but for one chunk, which is missing; open them."""
    options = {"zarr_format": 2, "dtype": "<u2", "fill_value": 1, **options}
    array = zarr.create_array(str(folder), shape=SHAPE, chunks=CHUNKS, **options)
    pixels = PIXELS.astype(options["dtype"])
    pixels[:2, 8:16, 10:20] = 1
    array[...] = pixels
    return open_array(RetryingStore(folder.as_posix()), "", array.metadata.to_dict()), pixels


@pytest.fixture
def stored(tmp_path):
    return write(tmp_path / "array", compressors=Blosc("lz4"))[0]


@pytest.mark.parametrize("options", V2 + V3 + ZARR_ONLY, ids=range(len(V2 + V3 + ZARR_ONLY)))
def test_every_chunk_is_what_zarr_reads(options, tmp_path):
    stored, pixels = write(tmp_path / "array", **options)
    assert (decoder_of(stored.zarr_array) is None) == (options in ZARR_ONLY)
    positions = list(np.ndindex(stored.grid))
    for position, chunk in zip(positions, stored.read_chunks(positions), strict=True):
        expected = stored.zarr_array[stored._part(position, CHUNKS)]
        np.testing.assert_array_equal(chunk, expected)
        assert chunk.dtype == stored.dtype and chunk.flags.c_contiguous and chunk.flags.writeable
    found = stored.lazy().compute()
    np.testing.assert_array_equal(found, pixels)
    assert found.dtype == stored.dtype


@pytest.mark.parametrize("compressor", [Blosc("lz4"), Zstd(), None], ids=str)
@pytest.mark.parametrize("change", [lambda size: size - 2, lambda size: size + 2, lambda size: 0])
def test_a_chunk_of_another_size_is_an_error_and_never_old_pixels(compressor, change, tmp_path):
    stored, _ = write(tmp_path / "array", compressors=compressor)
    size = int(np.prod(CHUNKS)) * 2
    wrong = np.zeros(change(size), "u1")
    data = compressor.encode(wrong) if compressor else wrong.tobytes()
    (tmp_path / "array" / "1.1.2").write_bytes(data)
    for read in (stored.lazy().compute, lambda: stored.read_chunks([(1, 1, 1), (1, 1, 2)])):
        with pytest.raises(ChunkError, match=r"1\.1\.2"):
            read()


# --- a whole level, decoded into its place ----------------------------------------------------


@pytest.fixture
def blocks(monkeypatch):
    """How many chunks were read into a place of the whole, and how many as blocks of Dask's."""
    counts = {"into place": 0, "as blocks": 0}

    def counted(name, method):
        def read(self, *arguments):
            counts[name] += len(arguments[-1])
            return method(self, *arguments)

        return read

    read_into = StoredArray.read_into
    monkeypatch.setattr(StoredArray, "read_into", counted("into place", read_into))
    as_blocks = counted("as blocks", StoredArray.read_chunks)
    monkeypatch.setattr(StoredArray, "read_chunks", as_blocks)
    return counts


@pytest.mark.parametrize(
    "how",
    [
        lambda level: level.compute(),
        lambda level: level.compute(scheduler="sync"),
        lambda level: level.compute(scheduler="threads", num_workers=3, optimize_graph=False),
        lambda level: np.asarray(level),
        lambda level: level[2:, 8:].compute(),
    ],
    ids=["threads", "sync", "options", "asarray", "part"],
)
def test_a_level_is_decoded_into_its_place(how, stored, blocks):
    expected = how(da.from_array(stored[...], chunks=CHUNKS))
    np.testing.assert_array_equal(how(stored.lazy()), expected)
    assert blocks["as blocks"] == 0 and blocks["into place"] > 0


@pytest.mark.parametrize(
    "how",
    [
        lambda level: dask.compute(level)[0],
        lambda level: level.persist().compute(),
        lambda level: level[1].compute(),
    ],
    ids=["dask.compute", "persist", "plane"],
)
def test_elsewhere_it_is_blocks_as_ever(how, stored, blocks):
    np.testing.assert_array_equal(how(stored.lazy()), how(da.from_array(stored[...], CHUNKS)))
    assert blocks["as blocks"] == blocks["into place"] > 0


def test_a_changed_level_is_computed_as_changed(stored):
    level = stored.lazy()
    level[1:] = 0
    assert level.compute()[0].all() and not level.compute()[1:].any()


def test_progress_is_shown_while_a_level_is_computed(stored):
    class Tasks(Callback):
        done = 0

        def _posttask(self, *task):
            Tasks.done += 1

    with Tasks():
        stored.lazy().compute()
    assert Tasks.done >= 1


def test_other_processes_do_not_write_into_this_ones_memory(stored, worker, client):
    expected = stored[...]
    np.testing.assert_array_equal(stored.lazy().compute(), expected)  # by the client
    level = stored.lazy()
    assert not level.is_changed
    found = level.compute(scheduler="processes", pool=worker)
    np.testing.assert_array_equal(found, expected)
