"""Pixels for the viewer: read the chunks that a tile needs once, and paint it.

Nothing here knows of a browser. A *tile* is a small square of one level, as it is shown.
"""

from __future__ import annotations

import io
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

import numpy as np
from PIL import Image

from .._display.pixels import MISSING_COLOR, brightness, drawable, without_value
from .._display.pixels import outlines as outlines
from ..errors import ChunkError, TooLargeError
from ..stored_array import StoredArray

MAX_BYTES = 128_000_000
"""Decoded chunks that all viewers of a kernel keep together; Binder has 1 GB for everything."""

READS = 6
"""Reads under way at most; a tile is one read, of all its chunks that are not kept yet."""

PATIENCE = 20.0
"""Seconds that a tile waits for its chunks before it is drawn as failed."""

OUTLINE = (255, 0, 255)
"""Magenta: stands out from grey and is told apart by colour-blind readers."""

MISSING = tuple(round(255 * part) for part in MISSING_COLOR)
"""Mid-blue: pixels that are NaN or infinite in every channel that is shown."""

# Position of a chunk; the plane of it that is meant (an index, or None along y and x), or all.
Piece = tuple[tuple[int, ...], tuple[int | None, ...] | None]


class NotWantedError(Exception):
    """The browser has moved on: nobody waits for this tile any more."""


def always() -> bool:
    """For a reader who never changes their mind."""
    return True


class ChunkCache:
    """Decoded chunks, the last used ones, within a number of bytes.

    A chunk that several threads ask for at the same time is read once. A reader who is no longer
    interested leaves at once; a read that has begun goes on, and what it brings is kept.

    Parameters
    ----------
    max_bytes : int
        Limit of what is kept.
    reads : int
        Reads under way at most.
    patience : float
        Seconds a reader waits.
    """

    def __init__(
        self, max_bytes: int = MAX_BYTES, reads: int = READS, patience: float = PATIENCE
    ) -> None:
        self.max_bytes = max_bytes
        self.patience = patience
        self.bytes = 0
        self._kept: OrderedDict[Any, np.ndarray] = OrderedDict()
        self._coming: dict[Any, Reading] = {}
        self._lock = threading.Lock()
        self._places = threading.Semaphore(reads)

    def get(
        self, array: StoredArray, pieces: Sequence[Piece], wanted: Callable[[], bool] = always
    ) -> list[np.ndarray]:
        """Chunks of an array, or single planes of them; read together as far as they are missing.

        Raises
        ------
        NotWantedError
            ``wanted()`` became false meanwhile.
        OmeZarrError
            A chunk cannot be read, or did not come in time.
        """
        give_up = time.monotonic() + self.patience
        with self._lock:
            found = self._find(array, pieces)
        if len(found) < len(set(pieces)):
            while not self._places.acquire(timeout=0.05):
                self._check(array, wanted, give_up)
            found = self._begin_reading(array, pieces)
        for piece in pieces:
            while not found[piece].done():
                _wait(found[piece], 0.05)
                self._check(array, wanted, give_up)
        return [found[piece].result() for piece in pieces]

    def _check(self, array: StoredArray, wanted: Callable[[], bool], give_up: float) -> None:
        if not wanted():
            raise NotWantedError
        if time.monotonic() > give_up:
            self._abandon_late_reads()
            raise ChunkError(
                f"No answer within {self.patience:g} s for chunks of {array.address}; the network "
                "or the endpoint is slow."
            )

    def recall(self, key: Any) -> np.ndarray | None:
        """What was made of chunks and is kept under a key, if it still is."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def remember(self, key: Any, pixels: np.ndarray) -> None:
        """Keep what was made of chunks, within the same number of bytes."""
        with self._lock:
            self._keep(key, pixels)

    def _find(self, array: StoredArray, pieces: Sequence[Piece]) -> dict[Piece, Future[np.ndarray]]:
        """Those pieces that are kept or are on their way."""
        found = {}
        for piece in pieces:
            key = (array, piece)  # of the opened array: opened anew, it is read anew
            if key in self._kept:
                self._kept.move_to_end(key)
                found[piece] = _done(self._kept[key])
            elif key in self._coming:
                found[piece] = self._coming[key].futures[key]
        return found

    def _begin_reading(
        self, array: StoredArray, pieces: Sequence[Piece]
    ) -> dict[Piece, Future[np.ndarray]]:
        """All pieces; a thread begins to read those that are missing."""
        with self._lock:
            found = self._find(array, pieces)
            missing = [piece for piece in dict.fromkeys(pieces) if piece not in found]
            reading = Reading([(array, piece) for piece in missing])
            for key, future in reading.futures.items():
                self._coming[key], found[key[1]] = reading, future
        if missing:
            threading.Thread(target=self._read, args=(array, missing, reading), daemon=True).start()
        else:
            self._places.release()
        return found

    def _read(self, array: StoredArray, pieces: list[Piece], reading: Reading) -> None:
        """Read pieces and hand them to everyone who waits for them."""
        try:
            read: list[Any] = _read_pieces(array, pieces)
        except BaseException as error:
            read = [error] * len(pieces)
        with self._lock:
            self._end(reading)
            for key, result in zip(reading.futures, read, strict=True):
                if isinstance(result, np.ndarray):
                    self._keep(key, result)
        for future, result in zip(reading.futures.values(), read, strict=True):
            if isinstance(result, np.ndarray):
                future.set_result(result)
            else:
                future.set_exception(result)

    def _abandon_late_reads(self) -> None:
        """No longer wait for reads that take too long: the next reader asks anew."""
        late = time.monotonic() - self.patience
        with self._lock:
            for reading in set(self._coming.values()):
                if reading.begun < late:
                    self._end(reading)

    def _end(self, reading: Reading) -> None:
        """Count a read as done, once."""
        if reading.ended:
            return
        reading.ended = True
        self._places.release()
        for key in reading.futures:
            del self._coming[key]

    def _keep(self, key: Any, pixels: np.ndarray) -> None:
        if pixels.nbytes > self.max_bytes or key in self._kept:
            return
        self._kept[key] = pixels
        self.bytes += pixels.nbytes
        while self.bytes > self.max_bytes:
            self.bytes -= self._kept.popitem(last=False)[1].nbytes


class Reading:
    """A read under way, of one or several pieces."""

    def __init__(self, keys: list[Any]) -> None:
        self.futures: dict[Any, Future[np.ndarray]] = {key: Future() for key in keys}
        self.begun = time.monotonic()
        self.ended = False


def _wait(future: Future[np.ndarray], seconds: float) -> None:
    try:
        future.exception(timeout=seconds)
    except TimeoutError:
        pass


def _done(pixels: np.ndarray) -> Future[np.ndarray]:
    future: Future[np.ndarray] = Future()
    future.set_result(pixels)
    return future


def _read_pieces(array: StoredArray, pieces: list[Piece]) -> list[np.ndarray]:
    """Read chunks, or single planes of them."""
    if all(plane is None for _, plane in pieces):
        return array.read_chunks([where for where, _ in pieces])
    return [array[_selection(array, piece)] for piece in pieces]


def _selection(array: StoredArray, piece: Piece) -> tuple[int | slice, ...]:
    """What a piece is of an array."""
    position, plane = piece
    places = zip(position, array.chunks, plane or (None,) * array.ndim, strict=True)
    return tuple(
        slice(n * size, (n + 1) * size) if index is None else index for n, size, index in places
    )


def read_plane(
    array: StoredArray,
    leading: tuple[int, ...],
    rows: np.ndarray,
    columns: np.ndarray,
    cache: ChunkCache,
    wanted: Callable[[], bool] = always,
    yx: tuple[int, int] = (-2, -1),
) -> np.ndarray:
    """Read some rows and columns of one plane, by whole chunks through the cache.

    Parameters
    ----------
    array : StoredArray
        One level.
    leading : tuple of int
        Index along each axis other than Y and X, in storage order.
    rows, columns : numpy.ndarray
        Indices along Y and X, ascending; they may skip some, or name one twice.
    cache : ChunkCache
        Where chunks are kept.
    wanted : callable
        Asked now and then; reading ends with `NotWantedError` when it says no.
    yx : tuple of int
        Where Y and X stand among the axes.

    Returns
    -------
    numpy.ndarray
        Shape (rows, columns), the level's dtype in native byte order.
    """
    down, across = (axis % array.ndim for axis in yx)
    high, wide = array.chunks[down], array.chunks[across]
    plane_bytes = high * wide * array.dtype.itemsize
    if plane_bytes > cache.max_bytes:
        raise TooLargeError(
            f"One chunk of {array.address} holds {plane_bytes / 1e6:.0f} MB in a single plane, "
            "more than the viewer keeps in memory; such an image cannot be viewed by tiles."
        )
    given = iter(leading)
    at = [None if axis in (down, across) else next(given) for axis in range(array.ndim)]
    chunk_bytes = array.dtype.itemsize * int(np.prod(array.chunks, dtype=object))
    whole = chunk_bytes * 8 <= cache.max_bytes  # else keep single planes of chunks
    first = [0 if n is None else n // size for n, size in zip(at, array.chunks, strict=True)]
    inside = tuple(
        slice(None) if n is None else n % size for n, size in zip(at, array.chunks, strict=True)
    )
    spots = [(y, x) for y in np.unique(rows // high) for x in np.unique(columns // wide)]
    out = np.empty((len(rows), len(columns)), array.dtype.newbyteorder("="))
    together = max(1, int(cache.max_bytes // 4 // (chunk_bytes if whole else plane_bytes)))
    for start in range(0, len(spots), together):
        batch = [(int(y), int(x)) for y, x in spots[start : start + together]]
        pieces: list[Piece] = []
        for first[down], first[across] in batch:
            pieces.append((tuple(first), None if whole else tuple(at)))
        for (y, x), chunk in zip(batch, cache.get(array, pieces, wanted), strict=True):
            plane = chunk[inside] if whole else chunk
            k, m = np.searchsorted(rows, [y * high, (y + 1) * high])
            i, j = np.searchsorted(columns, [x * wide, (x + 1) * wide])
            part = np.ix_(rows[k:m] - y * high, columns[i:j] - x * wide)
            out[k:m, i:j] = (plane if down < across else plane.T)[part]
    return out


def resample(indices: np.ndarray, size: int, other: int) -> np.ndarray:
    """Where pixels of an axis with `size` pixels lie on one of `other` pixels: the nearest."""
    return (2 * indices + 1) * other // (2 * size)


def color_of(text: str) -> tuple[float, float, float]:
    """Red, green and blue, 0 to 1, of a colour such as "00FF00"; white if it is not one."""
    digits = text.strip().lstrip("#")
    if len(digits) in (3, 4):
        digits = "".join(2 * digit for digit in digits)
    digits = digits[:6] if len(digits) in (6, 8) else ""
    try:
        red, green, blue = bytes.fromhex(digits)
    except ValueError:
        return (1.0, 1.0, 1.0)
    return (red / 255, green / 255, blue / 255)


def merge(
    planes: Sequence[np.ndarray],
    colors: Sequence[tuple[float, float, float]],
    windows: Sequence[tuple[float, float]],
    inverted: Sequence[bool] | None = None,
    gammas: Sequence[float] | None = None,
) -> np.ndarray:
    """Add up channels, each in its colour.

    Parameters
    ----------
    planes : sequence of numpy.ndarray
        A plane (y, x) of each channel.
    colors : sequence of tuple of float
        Red, green and blue of each, 0 to 1.
    windows : sequence of tuple of float
        Pixel values of each to show as black and as full colour.
    inverted : sequence of bool, optional
        Whether the low values of each are the bright ones.
    gammas : sequence of float, optional
        The power that the brightness of each is raised to.

    Returns
    -------
    numpy.ndarray
        Picture of shape (y, x, 3), uint8. A sum above full colour is cut off. Pixels without a
        value in any of the channels are `MISSING`.
    """
    picture = np.zeros((*planes[0].shape, 3), np.float32)
    missing = np.ones(planes[0].shape, bool)
    upside_down, powers = inverted or [False] * len(planes), gammas or [1.0] * len(planes)
    for plane, color, window, down, gamma in zip(
        planes, colors, windows, upside_down, powers, strict=True
    ):
        values = drawable(plane)
        share = brightness(
            values, window, gamma, np.float32 if values.dtype.itemsize <= 2 else np.float64
        )
        gaps = without_value(share)
        missing &= gaps
        share = np.where(gaps, 0, 1 - share if down else share).astype(np.float32)
        for number, part in enumerate(color):
            if part:
                picture[..., number] += share * np.float32(part)
    painted = np.rint(np.minimum(picture, 1) * 255).astype(np.uint8)
    painted[missing] = MISSING
    return painted


def encode(picture: np.ndarray, exact: bool = False) -> bytes:
    """A picture (y, x, 3) as JPEG of good quality, or exactly as it is, as PNG."""
    grey = (picture[..., 0] == picture[..., 1]).all() and (picture[..., 0] == picture[..., 2]).all()
    drawn = Image.fromarray(picture[..., 0].copy() if grey else picture)
    file = io.BytesIO()
    if exact:
        drawn.save(file, "PNG", compress_level=1)
    else:
        drawn.save(file, "JPEG", quality=88, subsampling=0)
    return file.getvalue()
