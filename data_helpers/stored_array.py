"""One level of an image as it is stored: an array in chunks, read when it is indexed."""

from __future__ import annotations

import asyncio
import functools
import itertools
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from types import EllipsisType
from typing import Any, cast

import numpy as np
import zarr
from zarr.storage import StorePath

from ._compat import with_concurrency
from ._decoding import decoder_of
from ._formatting import one_line
from ._interrupt import arriving, result, submit
from ._metadata.codecs import CodecRefusedError, check_codecs
from ._metadata.sizes import ChunkSizes, check_sizes, itemsize_of
from ._store.transport import CONCURRENCY
from ._unpacking import blosc_problem, with_bounded_codecs
from .errors import ChunkError, MalformedMetadataError, OmeZarrError, TooLargeError
from .lazy import ChunkedArray, LazyLevel, Position, lazy_level
from .metadata import outer_codec, tidy_array_document
from .store import RetryingStore

SLAB_CHUNKS = CONCURRENCY
"""Chunks fetched together by `StoredArray.read_all`, between two steps of its progress."""

CHUNKS_AT_WORK = 2 * CONCURRENCY
"""Chunks of one read that Zarr fetches or decodes at a time. The store sends half as many requests
at most, so that chunks being decoded do not hold back the next requests."""


class StoredArray(ChunkedArray):
    """One level as it is stored. **Indexing it reads**, and returns a NumPy array.

    ``stored[265, 1, 494]`` fetches just the chunks that hold this plane. It can be sent to other
    processes, since it carries an address and metadata, not pixels.

    Attributes
    ----------
    shape, chunks : tuple of int
        Pixels along each axis of the level, and of one chunk.
    dtype : numpy.dtype
        As stored, byte order included.
    address : str
        Where the array is kept.
    zarr_array : zarr.Array
        The plain Zarr array, for whoever wants to go on without this package. Indexing it reads,
        too, through the same store with its time-outs and retries.
    """

    def __init__(self, array: zarr.Array, document: dict[str, Any]) -> None:
        self.zarr_array = array
        self._document = document
        self.shape: tuple[int, ...] = array.shape
        self.chunks: tuple[int, ...] = array.chunks
        self.dtype: np.dtype[Any] = array.dtype
        self.ndim: int = array.ndim
        self._store = cast(RetryingStore, array.store_path.store)
        self.address = self._store.address(array.path)
        self._root = str(self._store)

    @property
    def nbytes(self) -> int:
        """Bytes of all pixels, uncompressed."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def nchunks(self) -> int:
        """Number of chunks."""
        return math.prod(self.grid)

    def __repr__(self) -> str:
        return f"StoredArray(shape={self.shape}, chunks={self.chunks}, dtype={self.dtype})"

    def __reduce__(self) -> tuple[Any, ...]:
        # Zarr would send the codecs of a shard by their names, and without their limits.
        return open_array, (self._store, self.zarr_array.path, self._document)

    def __dask_tokenize__(self) -> tuple[str, ...]:
        """What Dask names tasks after: without it, the same task would be another in a meter."""
        kind = (str(self.shape), str(self.chunks), str(self.dtype))
        return ("StoredArray", *self._store.identity, self.address, *kind)

    def __getitem__(self, selection: Any) -> np.ndarray:
        """Read a part: integers, slices, an ellipsis, lists or masks, as Zarr takes them.

        Raises
        ------
        ChunkError
            A chunk could not be fetched or decoded; the message names it.
        AccessDeniedError
            The endpoint denies access to a chunk.
        """
        with self._store.reading():
            return self._result(selection, self._submit(selection))

    def _check_sizes(self) -> None:
        """Refuse to read chunks that no memory holds."""
        if self._store.sizes and self._store.sizes.problem:
            raise TooLargeError(
                f"{self.address} cannot be read: {self._store.sizes.problem}. Read another level, "
                "or ask whoever keeps the image for a copy in smaller chunks."
            )

    def _submit(self, selection: Any) -> Future[Any]:
        """Start to read a selection, and return at once."""
        self._check_sizes()
        parts = selection if isinstance(selection, tuple) else (selection,)
        if all(isinstance(part, int | np.integer | slice | EllipsisType) for part in parts):
            return submit(self.zarr_array.async_array.getitem(selection))
        return submit(asyncio.to_thread(self.zarr_array.__getitem__, selection))  # lists, masks

    def _result(self, selection: Any, reading: Future[Any]) -> np.ndarray:
        """Wait for the pixels of a selection; if they cannot be read, say which chunk is why."""
        try:
            return np.asarray(result(reading))
        except (IndexError, MemoryError):
            raise
        except OmeZarrError as error:  # says it all: leave out the calls in between
            raise error.with_traceback(None) from None
        except Exception:  # the decoder failed, and does not say on which chunk
            damage = self._find_damage(selection)
        if damage:
            raise damage
        try:
            return self._read(selection)  # rubbish came once, and each chunk was good just now
        except Exception as error:
            raise ChunkError(
                f"{self.zarr_array.path or 'An array'} of {self._root} cannot be read "
                f"({one_line(error)}); the endpoint answers unreliably: try another source with "
                "choose_source(...)."
            ) from None

    def _read(self, selection: Any) -> np.ndarray:
        return np.asarray(result(self._submit(selection)))

    def lazy(self) -> LazyLevel:
        """The level as a lazy Dask array, one block per chunk; reads nothing."""
        return lazy_level(self)

    def read_chunks(self, chunks: Sequence[Position]) -> list[np.ndarray]:
        """Read several chunks at once, each into an array of its own."""
        self._check_sizes()  # before there is an array for each
        return super().read_chunks(chunks)

    def read_into(self, places: Sequence[np.ndarray], chunks: Sequence[Position]) -> None:
        """Read several chunks at once, each into an array of its shape.

        Raises
        ------
        ChunkError, AccessDeniedError
            As for indexing.
        """
        self._check_sizes()
        try:
            with self._store.reading():
                self._decode_into(places, chunks)
            return
        except OmeZarrError as error:  # names the chunk that could not be fetched
            raise error.with_traceback(None) from None
        except Exception:  # a decoder failed: read one by one, which names the chunk
            pass
        for place, chunk in zip(places, chunks, strict=True):
            place[...] = self[self._part(chunk, self.chunks)]

    def _decode_into(self, places: Sequence[np.ndarray], chunks: Sequence[Position]) -> None:
        """Read chunks, and decode each in this thread as soon as it is there."""
        decoder = decoder_of(self.zarr_array)
        if decoder is None:
            for place, pixels in zip(places, result(submit(self._read_rows(chunks))), strict=True):
                place[...] = pixels
            return
        fill, spare = self.zarr_array.fill_value or 0, decoder.spare()
        for place, data in arriving(functools.partial(self._fetch, places, chunks)):
            if data is None:
                place[...] = fill
            else:
                decoder.decode(data, place, spare)

    async def _fetch(
        self,
        places: Sequence[np.ndarray],
        chunks: Sequence[Position],
        put: Callable[[tuple[np.ndarray, np.ndarray | None]], None],
    ) -> None:
        """Fetch chunks as they are stored; each, or None where there is none, goes to `put`."""

        async def fetch(place: np.ndarray, chunk: Position) -> None:
            data = await self._store.get(self._key(chunk))
            put((place, None if data is None else data.as_numpy_array()))

        await asyncio.gather(*map(fetch, places, chunks))

    def _key(self, chunk: Position) -> str:
        """Key of the object at this position in the grid of chunks, or of shards."""
        name = self.zarr_array.metadata.encode_chunk_key(chunk)
        return f"{self.zarr_array.path}/{name}".lstrip("/")

    async def _read_rows(self, chunks: Sequence[Position]) -> list[np.ndarray]:
        """Read chunks, those that lie in a row by one call of Zarr."""
        rows = _rows(chunks)
        reads = [self.zarr_array.async_array.getitem(self._span(row)) for row in rows]
        pixels = await asyncio.gather(*reads)
        return [
            np.asarray(part)[self._part(np.subtract(chunk, row[0]), self.chunks)]
            for row, part in zip(rows, pixels, strict=True)
            for chunk in row
        ]

    def _span(self, row: Sequence[tuple[int, ...]]) -> tuple[slice, ...]:
        """The pixels from the first to the last chunk of a row."""
        return tuple(
            slice(first * c, (last + 1) * c)
            for first, last, c in zip(row[0], row[-1], self.chunks, strict=True)
        )

    def read_all(self, progress: Callable[[int], object] = lambda chunks: None) -> np.ndarray:
        """Read every pixel, in slabs of some dozen chunks.

        Parameters
        ----------
        progress : callable, optional
            Called after each slab with the number of chunks it held.
        """
        pixels = np.empty(self.shape, self.dtype)
        begun: deque[tuple[tuple[slice, ...], Future[Any]]] = deque()

        def fill() -> None:
            slab, future = begun.popleft()
            pixels[slab] = self._result(slab, future)
            progress(len(list(self._chunks_of(slab, self.chunks))))

        try:
            with self._store.reading():
                for slab in self._slabs():
                    begun.append((slab, self._submit(slab)))
                    if len(begun) == 2:  # while one slab is decoded, the next is fetched
                        fill()
                while begun:
                    fill()
        finally:  # an error, or an interrupt
            for _, future in begun:
                future.cancel()
        return pixels

    def _slabs(self) -> Iterator[tuple[slice, ...]]:
        """Split the array, along its leading axes, into parts of at most `SLAB_CHUNKS` chunks."""
        room, steps = SLAB_CHUNKS, []
        for size, chunk in reversed(list(zip(self.shape, self.chunks, strict=True))):
            in_slab = max(1, min(-(-size // chunk), room))
            room //= in_slab
            steps.append(in_slab * chunk)
        cuts = [
            [slice(start, start + step) for start in range(0, size, step)]
            for size, step in zip(self.shape, reversed(steps), strict=True)
        ]
        return itertools.product(*cuts)

    def _find_damage(self, selection: Any) -> OmeZarrError | None:
        """Read what a selection needs once more, object by object, to name the damaged one."""
        grid = self.zarr_array.shards or self.chunks  # a shard is one object that holds many chunks
        for chunk in self._chunks_of(selection, grid):
            part = self._part(chunk, grid)
            key = self._key(chunk)
            self._store.forget(key)  # what a cache keeps of it may be the damage
            try:
                self._read(part)
            except OmeZarrError as error:
                return error.with_traceback(None)
            except Exception as error:
                return ChunkError(
                    f"Chunk {self._store.name(key)} of {self._root} cannot be decoded "
                    f"({one_line(error)}); the stored chunk is damaged. Leave it out of the "
                    "selection, or try another source with choose_source(...)."
                )
        return None

    @staticmethod
    def _part(chunk: Iterable[int], grid: tuple[int, ...]) -> tuple[slice, ...]:
        """The pixels of the chunk at this position, in a grid of chunks of this shape."""
        return tuple(slice(n * c, (n + 1) * c) for n, c in zip(chunk, grid, strict=True))

    def _chunks_of(
        self, selection: Any, grid: tuple[int, ...]
    ) -> itertools.product[tuple[int, ...]]:
        """Positions of the chunks that a selection touches, in a grid of chunks of this shape."""
        given = selection if isinstance(selection, tuple) else (selection,)
        for at, part in enumerate(given):
            if part is Ellipsis:
                missing = self.ndim - len(given) + 1
                given = given[:at] + (slice(None),) * missing + given[at + 1 :]
                break
        ranges = []
        for axis, (size, chunk) in enumerate(zip(self.shape, grid, strict=True)):
            part = given[axis] if axis < len(given) else slice(None)
            ranges.append(_chunks_along(part, size, chunk))
        return itertools.product(*ranges)


def _chunks_along(part: Any, size: int, chunk: int) -> Sequence[int]:
    """The chunks along one axis that an integer, a slice, a list or a mask picks."""
    if isinstance(part, slice):
        pixels = range(*part.indices(size))
        if abs(pixels.step) <= chunk:  # then no chunk in between is left out
            ends = sorted((pixels[0], pixels[-1])) if pixels else (0, -1)
            return range(ends[0] // chunk, ends[1] // chunk + 1)
        return sorted({pixel // chunk for pixel in pixels})
    picked = np.atleast_1d(part)
    picked = np.flatnonzero(picked) if picked.dtype == bool else picked % size
    return np.unique(picked // chunk).tolist()


def read_together(parts: Sequence[tuple[StoredArray, Any]]) -> list[np.ndarray]:
    """Read a selection of each of several arrays, all at once; errors as for indexing one."""
    begun = [(array, selection, array._submit(selection)) for array, selection in parts]
    try:
        return [array._result(selection, reading) for array, selection, reading in begun]
    finally:  # an error, or an interrupt
        for _, _, reading in begun:
            reading.cancel()


def open_array(store: RetryingStore, path: str, document: dict[str, Any]) -> StoredArray:
    """Make a stored array from its metadata document, without any further request.

    Parameters
    ----------
    store : RetryingStore
        Store of the image.
    path : str
        Path of the array below the store, such as "0"; "" for the store itself.
    document : dict
        Content of ``.zarray`` (Zarr v2) or ``zarr.json`` (Zarr v3).

    Raises
    ------
    MalformedMetadataError
        The document does not describe an array that can be read.
    """
    where = store.address(path)
    try:
        says_layout = document["zarr_format"] != 2 or bool(document.get("dimension_separator"))
        tidy = tidy_array_document(document)
        check_sizes(tidy)
        check_codecs(tidy)
        bounded, stored = with_bounded_codecs(tidy, itemsize_of(tidy))
        codec = outer_codec(tidy)
        check = blosc_problem if codec == "blosc" else None
        sizes = ChunkSizes(tidy, stored)
        store = store.of_array(path.strip("/"), check, codec == "gzip", says_layout, sizes)
        array = zarr.Array.from_dict(StorePath(store, path), bounded)
        return StoredArray(with_concurrency(array, CHUNKS_AT_WORK), document)
    except CodecRefusedError as refused:
        raise MalformedMetadataError(
            f"The array at {where} is stored with {refused}, which is not read here: what holds "
            "more than numbers may run code. Ask whoever keeps the image for a copy with a usual "
            "codec, such as blosc, zstd or gzip."
        ) from None
    except Exception as error:
        raise MalformedMetadataError(
            f"The array metadata at {where} cannot be understood "
            f"({type(error).__name__}: {one_line(error)}); open them in a browser to see what is "
            "missing."
        ) from None


def _rows(chunks: Iterable[tuple[int, ...]]) -> list[list[tuple[int, ...]]]:
    """Split positions of chunks, in their order, into rows of neighbours along one axis."""
    rows: list[list[tuple[int, ...]]] = []
    for chunk in chunks:
        if rows and _continues(rows[-1], chunk):
            rows[-1].append(chunk)
        else:
            rows.append([chunk])
    return rows


def _continues(row: list[tuple[int, ...]], chunk: tuple[int, ...]) -> bool:
    """Whether a chunk is the next one of a row."""
    step = [new - old for new, old in zip(chunk, row[-1], strict=True)]
    if sorted(step)[-1] != 1 or sum(map(abs, step)) != 1:
        return False
    axis = step.index(1)
    return len(row) == 1 or row[0][axis] != row[-1][axis]
