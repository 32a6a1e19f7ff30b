"""The works that are measured, and each way to do them.

Each way has one method for each work. The method does what is not timed (such as opening the image
whose planes are read) and returns the part that is. Its result is checked against the other ways'.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np

from .objects import MOVIE, PLANE, REPEATED, TILE, TILES
from .solution import Notebook

ORGANOID = "zarr/v0.1/9822152.zarr"
BLASTOCYST = "zarr/v0.1/6001247.zarr"
MIDDLE = (265, 1, 494)  # one plane of the movie: t, c, z
IN_FLIGHT = 64
Thunk = Callable[[], Any]


class Way:
    """One way to do the works.

    Parameters
    ----------
    endpoint : str
        Address of the endpoint to read from.
    """

    def __init__(self, endpoint: str) -> None:
        self.bucket = f"{endpoint}/idr"

    def open_all(self) -> Thunk:
        """Open all 11 levels of 9822152 with metadata: list of lazy arrays."""
        raise NotImplementedError

    def open_one(self) -> Thunk:
        """Open level 4 of 4007801: list of one lazy array."""
        raise NotImplementedError

    def load(self) -> Thunk:
        """Load all pixels of level 0 of 6001247: NumPy, TCZYX."""
        raise NotImplementedError

    def compute(self) -> Thunk:
        """Open level 0 of 6001247 lazily, then compute it on two threads: NumPy, TCZYX."""
        raise NotImplementedError

    def plane(self) -> Thunk:
        """Read one plane out of level 4 of 4007801, which is open already: NumPy, YX."""
        raise NotImplementedError

    def plane_of(self, chunks: int) -> Thunk:
        """Read one plane out of an array of so many chunks, which is open already: NumPy, YX."""
        raise NotImplementedError

    def segment(self, times: int = 0, depths: int = 0) -> Thunk:
        """Segment planes of 4007801 as notebook 03 does, 100 or so many: objects of each."""
        raise NotImplementedError

    def compressed(self, codec: str, chunks: int) -> Thunk:
        """Read all of an image of compressed chunks, open already, on two threads: NumPy, ZYX."""
        raise NotImplementedError

    def largest(self, codec: str, chunks: int) -> Thunk:
        """The largest pixel of such an image, which may be larger than memory: NumPy, no axes."""
        raise NotImplementedError

    def lz4(self) -> Thunk:
        """All of 256 chunks of 2 MB, compressed with lz4."""
        return self.compressed("lz4", 256)

    def zstd(self) -> Thunk:
        """The same, compressed with zstd."""
        return self.compressed("zstd", 256)

    def lz4_line(self) -> Thunk:
        """64 such chunks, for a line of limited width."""
        return self.compressed("lz4", 64)

    def zstd_line(self) -> Thunk:
        """The same, compressed with zstd."""
        return self.compressed("zstd", 64)

    def reduce(self) -> Thunk:
        """The largest of 1,600 such chunks, 3.4 GB."""
        return self.largest("lz4", 1600)

    def noise_url(self, codec: str, chunks: int) -> str:
        """Address of an image of compressed chunks."""
        return f"{self.bucket}/zarr/compressed/{codec}/{chunks}.zarr"


class Ours(Way):
    """``data_helpers``."""

    def __init__(self, endpoint: str) -> None:
        super().__init__(endpoint)
        os.environ["OME_ZARR_SOURCE"] = endpoint
        import data_helpers

        self.helper = data_helpers
        data_helpers.choose_source(endpoint)

    def open_all(self) -> Thunk:  # noqa: D102
        return lambda: self.helper.open_multiscale(9822152).levels

    def open_one(self) -> Thunk:  # noqa: D102
        return lambda: [self.helper.load_binary_from_s3(4007801, "4")]

    def load(self) -> Thunk:  # noqa: D102
        return lambda: self.helper.load_binary_from_s3_with_data(6001247)

    def compute(self) -> Thunk:  # noqa: D102
        return lambda: self.helper.load_binary_from_s3(6001247).compute(num_workers=2)

    def plane(self) -> Thunk:  # noqa: D102
        level = self.helper.load_binary_from_s3(4007801, "4")
        return lambda: level[MIDDLE].compute()

    def plane_of(self, chunks: int) -> Thunk:  # noqa: D102
        url = f"{self.bucket}/zarr/chunks/{chunks}.zarr"
        level = self.helper.open_multiscale(url).levels[0]
        return lambda: level[chunks // 2, 0, 0].compute()

    def segment(self, times: int = 0, depths: int = 0) -> Thunk:  # noqa: D102
        image = f"{self.bucket}/{REPEATED}" if times else 4007801
        return Notebook(lambda _: self.helper.open_multiscale(image), times, depths).run

    def compressed(self, codec: str, chunks: int) -> Thunk:  # noqa: D102
        level = self.helper.open_multiscale(self.noise_url(codec, chunks)).levels[0]
        return lambda: level.compute(num_workers=2)

    def largest(self, codec: str, chunks: int) -> Thunk:  # noqa: D102
        level = self.helper.open_multiscale(self.noise_url(codec, chunks)).levels[0]
        return lambda: level.max().compute(num_workers=2)


class Peer(Way):
    """A package that gives lazy Dask arrays: whatever is done with them afterwards is the same."""

    def levels(self, url: str, paths: Iterable[str] | None = None) -> list[Any]:
        """Open an image with its metadata: its levels, or only some where the package can."""
        raise NotImplementedError

    def open_all(self) -> Thunk:  # noqa: D102
        return lambda: self.levels(f"{self.bucket}/{ORGANOID}")

    def open_one(self) -> Thunk:  # noqa: D102
        return lambda: self.levels(f"{self.bucket}/{MOVIE}", ["4"])[-1:]

    def load(self) -> Thunk:  # noqa: D102
        return lambda: self.levels(f"{self.bucket}/{BLASTOCYST}", ["0"])[0].compute()

    def compute(self) -> Thunk:  # noqa: D102
        url = f"{self.bucket}/{BLASTOCYST}"
        return lambda: self.levels(url, ["0"])[0].compute(num_workers=2)

    def plane(self) -> Thunk:  # noqa: D102
        level = self.levels(f"{self.bucket}/{MOVIE}", ["4"])[-1]
        return lambda: level[MIDDLE].compute()

    def plane_of(self, chunks: int) -> Thunk:  # noqa: D102
        level = self.levels(f"{self.bucket}/zarr/chunks/{chunks}.zarr", ["0"])[0]
        return lambda: level[chunks // 2, 0, 0].compute()

    def segment(self, times: int = 0, depths: int = 0) -> Thunk:  # noqa: D102
        level = self.levels(f"{self.bucket}/{REPEATED if times else MOVIE}", ["4"])[-1]
        image = SimpleNamespace(stored={4: Computing(level)}, levels={4: level})
        return Notebook(lambda _: image, times, depths).run

    def compressed(self, codec: str, chunks: int) -> Thunk:  # noqa: D102
        level = self.levels(self.noise_url(codec, chunks), ["0"])[0]
        return lambda: level.compute(num_workers=2)

    def largest(self, codec: str, chunks: int) -> Thunk:  # noqa: D102
        level = self.levels(self.noise_url(codec, chunks), ["0"])[0]
        return lambda: level.max().compute(num_workers=2)


class Computing:
    """A lazy array that is computed as soon as it is indexed, as tasks that slice one do."""

    def __init__(self, lazy: Any) -> None:
        self.lazy = lazy
        self.shape = lazy.shape

    def __getitem__(self, selection: Any) -> np.ndarray:
        return np.asarray(self.lazy[selection].compute())


class Dask(Peer):
    """``dask.array.from_zarr``, a call for each level."""

    def levels(self, url: str, paths: Iterable[str] | None = None) -> list[Any]:  # noqa: D102
        import dask.array as da
        import fsspec

        if paths is None:
            with fsspec.open(f"{url}/.zattrs") as file:
                described = json.load(file)["multiscales"][0]
            paths = [level["path"] for level in described["datasets"]]
        return [da.from_zarr(f"{url}/{path}") for path in paths]


class OmeZarr(Peer):
    """ome-zarr-py, which opens all levels whichever is wanted."""

    def levels(self, url: str, paths: Iterable[str] | None = None) -> list[Any]:  # noqa: D102
        from ome_zarr.io import parse_url
        from ome_zarr.reader import Reader

        location = parse_url(url)
        assert location is not None, "ome-zarr-py finds no image"
        return list(next(iter(Reader(location)())).data)


class NgffZarr(Peer):
    """ngff-zarr, which opens all levels whichever is wanted."""

    def levels(self, url: str, paths: Iterable[str] | None = None) -> list[Any]:  # noqa: D102
        import ngff_zarr

        return [image.data for image in ngff_zarr.from_ngff_zarr(url).images]


class Obstore(Way):
    """Zarr's own array over obstore, 64 chunks at a time; for whole images only."""

    def compressed(self, codec: str, chunks: int) -> Thunk:  # noqa: D102
        import zarr
        from obstore.store import HTTPStore
        from zarr.storage import ObjectStore

        url = f"{self.noise_url(codec, chunks)}/0"
        store = ObjectStore(HTTPStore.from_url(url, client_options={"allow_http": True}))
        zarr.config.set({"async.concurrency": IN_FLIGHT})
        array = zarr.open_array(store, mode="r", zarr_format=2)
        return lambda: array[...]


class TensorStore(Way):
    """tensorstore, as it comes but without its cache; for whole images only."""

    def compressed(self, codec: str, chunks: int) -> Thunk:  # noqa: D102
        import tensorstore

        where = {"driver": "http", "base_url": f"{self.noise_url(codec, chunks)}/0/"}
        array = tensorstore.open({"driver": "zarr", "kvstore": where}).result()
        return lambda: array.read().result()


class Limit(Way):
    """The limit: the keys that are needed, all known before, fetched raw with 64 in flight.

    The http client and its session are those of the helper's store.

    Attributes
    ----------
    parts : dict of str to float
        Seconds of the last run: ``fetch``, ``decode``, ``segment``.
    """

    def __init__(self, endpoint: str) -> None:
        super().__init__(endpoint)
        from zarr.core.sync import sync

        from data_helpers._store.transport import _http

        self._sync, self._http = sync, _http(endpoint)
        self.parts: dict[str, float] = {}

    async def _fetch(self, keys: list[str]) -> list[bytes]:
        session = await self._http.set_session()
        turns = asyncio.Semaphore(IN_FLIGHT)

        async def one(key: str) -> bytes:
            async with turns, session.get(f"{self.bucket}/{key}") as answer:
                answer.raise_for_status()
                return await answer.read()

        return await asyncio.gather(*map(one, keys))

    def fetch(self, keys: list[str]) -> list[bytes]:
        """Fetch these keys raw."""
        with self.timed("fetch"):
            return self._sync(self._fetch(keys))

    def decode(self, chunks: list[bytes], shape: tuple[int, ...]) -> np.ndarray:
        """The pixels of chunks that hold one plane each, as one array."""
        from numcodecs import Blosc

        with self.timed("decode"):
            pixels = np.empty((len(chunks), *shape[-2:]), "<u2")
            for plane, data in zip(pixels, chunks, strict=True):
                Blosc().decode(data, plane)
        return pixels.reshape(shape)

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        """Note the seconds of one part of the work."""
        start = time.perf_counter()
        yield
        self.parts[part] = time.perf_counter() - start

    def open_all(self) -> Thunk:  # noqa: D102
        return lambda: len(self.fetch(metadata(ORGANOID, range(11))))

    def open_one(self) -> Thunk:  # noqa: D102
        return lambda: len(self.fetch(metadata(MOVIE, [4])))

    def load(self) -> Thunk:  # noqa: D102
        shape = (1, 2, 257, 210, 253)
        keys = [f"{BLASTOCYST}/0/0.{c}.{z}.0.0" for c in range(2) for z in range(257)]
        keys += metadata(BLASTOCYST, [0])
        return lambda: self.decode(self.fetch(keys)[:-2], shape)

    compute = load

    def plane(self) -> Thunk:  # noqa: D102
        key = f"{MOVIE}/4/{'.'.join(map(str, MIDDLE))}.0.0"
        return lambda: self.decode(self.fetch([key]), PLANE)

    def plane_of(self, chunks: int) -> Thunk:  # noqa: D102
        key = f"zarr/chunks/{chunks}.zarr/0/{chunks // 2}.0.0.0.0"
        return lambda: self.decode(self.fetch([key]), PLANE)

    def segment(self, times: int = 0, depths: int = 0) -> Thunk:
        """Fetch the chunks, then segment them in memory on all cores; objects of each plane."""
        level = SimpleNamespace(shape=(532, 2, 988, *PLANE))
        notebook = Notebook(lambda _: SimpleNamespace(stored={4: level}), times, depths)
        movie = REPEATED if times else MOVIE
        keys = [f"{movie}/4/{t}.1.{z}.0.0" for t, z in notebook.planes]
        shape = (len(notebook.names["times"]), len(notebook.names["depths"]))

        def fetch_and_segment() -> np.ndarray:
            planes = self.decode(self.fetch(keys), (len(keys), *PLANE))
            with self.timed("segment"), ThreadPoolExecutor(cores()) as pool:
                objects = [labels.max() for labels in pool.map(notebook.segment, planes)]
            return np.reshape(objects, shape)

        return fetch_and_segment

    def compressed(self, codec: str, chunks: int) -> Thunk:  # noqa: D102
        keys = self.noise_keys(codec, chunks)
        return lambda: self.decode_into_place(self.fetch(keys))

    def decode_into_place(self, chunks: list[bytes]) -> np.ndarray:
        """The pixels of compressed chunks as one array, decoded on two threads."""
        from numcodecs import Blosc

        def decode(number: int) -> None:
            z, y, x = np.unravel_index(number, (len(chunks) // TILES**2, TILES, TILES))
            tile = np.frombuffer(Blosc().decode(chunks[number]), "<u2").reshape(TILE, TILE)
            pixels[z, y * TILE :, x * TILE :][:TILE, :TILE] = tile

        with self.timed("decode into place"), ThreadPoolExecutor(2) as pool:
            pixels = np.empty((len(chunks) // TILES**2, TILES * TILE, TILES * TILE), "<u2")
            list(pool.map(decode, range(len(chunks))))
        return pixels

    def noise_keys(self, codec: str, chunks: int) -> list[str]:
        """Keys of all compressed chunks of an image."""
        image = f"zarr/compressed/{codec}/{chunks}.zarr/0"
        grid = np.ndindex(chunks // TILES**2, TILES, TILES)
        return [f"{image}/{'.'.join(map(str, position))}" for position in grid]

    def largest(self, codec: str, chunks: int) -> Thunk:  # noqa: D102
        from numcodecs import Blosc

        keys = self.noise_keys(codec, chunks)

        def largest_of(data: bytes) -> np.uint16:
            return np.frombuffer(Blosc().decode(data), "<u2").max()

        def fetch_and_reduce() -> np.ndarray:
            spent, found = 0.0, []
            with ThreadPoolExecutor(2) as pool:
                for start in range(0, len(keys), IN_FLIGHT):
                    data = self.fetch(keys[start : start + IN_FLIGHT])
                    spent += self.parts["fetch"]
                    with self.timed("decode"):
                        found += pool.map(largest_of, data)
                    spent += self.parts["decode"]
            self.parts = {"fetch": spent}
            return np.max(found)

        return fetch_and_reduce


WAYS: dict[str, type[Way]] = {
    "limit": Limit,
    "data_helpers": Ours,
    "dask from_zarr": Dask,
    "ome-zarr-py": OmeZarr,
    "ngff-zarr": NgffZarr,
    "obstore": Obstore,
    "tensorstore": TensorStore,
}
PEERS = ("dask from_zarr", "ome-zarr-py", "ngff-zarr")
READERS = ("dask from_zarr", "obstore", "tensorstore")
"""The peers where bytes are the limit: those that open images give the same array as Dask."""


def metadata(image: str, levels: Iterable[int]) -> list[str]:
    """Keys of the metadata of an image and of some of its levels."""
    return [f"{image}/.zattrs", *(f"{image}/{level}/.zarray" for level in levels)]


def cores() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
