"""A level as a lazy Dask array that is cheap to slice and reads many chunks at a time.

``dask.array.from_array`` would do for small images. Two things make it slow for large ones:

* Dask lists *every* block of an array when it computes any part of it: more than a second for a
  level of a million chunks. `LazyLevel` leaves out the blocks that a slice does not touch, before
  Dask sees them.
* Dask reads one block in each of its threads, so two threads wait for two chunks at a time.
  `ReadChunks` fetches up to 64 chunks in one task, and only those that are needed.

Where a whole level is wanted, `LazyLevel.compute` also saves the last copy that Dask makes.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from operator import getitem
from typing import Any, Protocol

import dask.array as da
import dask.threaded
import numpy as np
from dask.array.core import slices_from_chunks
from dask.base import compute, get_scheduler, tokenize
from dask.delayed import delayed
from dask.highlevelgraph import HighLevelGraph, Layer, MaterializedLayer
from dask.local import get_sync

from ._compat import GraphNode, Task, TaskRef, normalize_index
from ._formatting import format_bytes, format_shape
from ._store.transport import CONCURRENCY
from .errors import TooLargeError

MAX_CHUNKS = 16_000_000
"""Chunks of the largest level that is made lazy. Dask keeps some 50 bytes for each chunk along an
axis, and lists every chunk of whatever is calculated from a whole level."""

GROUP_BYTES = 32 * 1024**2
"""Uncompressed bytes that one task reads at most, unless a single chunk is larger."""

Position = tuple[int, ...]
Key = tuple[Any, ...]


class ChunkedArray(Protocol):
    """What a lazy level needs of the stored array that it reads from.

    Attributes
    ----------
    shape, chunks : tuple of int
        Pixels along each axis of the array, and of one chunk.
    dtype : numpy.dtype
        As stored.
    address : str
        Where the array is kept.
    """

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: np.dtype[Any]
    ndim: int
    address: str

    def read_into(self, places: Sequence[np.ndarray], chunks: Sequence[Position]) -> None:
        """Read several chunks at once, each into an array of its shape.

        Parameters
        ----------
        places : sequence of numpy.ndarray
            Where to put the pixels of each chunk.
        chunks : sequence of tuple of int
            As for `read_chunks`, which names the errors, too.
        """

    def read_chunks(self, chunks: Sequence[Position]) -> list[np.ndarray]:
        """Read several chunks at once, up to `CONCURRENCY` of them at a time.

        Parameters
        ----------
        chunks : sequence of tuple of int
            Positions in the grid of chunks, such as ``(265, 1, 494, 0, 0)``.

        Returns
        -------
        list of numpy.ndarray
            Their pixels, in the same order; those at the far edges may be smaller than the rest.

        Raises
        ------
        OmeZarrError
            A chunk cannot be read; the message names it.
        """
        places = [np.empty(self.shape_of(chunk), self.dtype) for chunk in chunks]
        self.read_into(places, chunks)
        return places

    @property
    def grid(self) -> tuple[int, ...]:
        """Number of chunks along each axis."""
        return tuple(-(-size // c) for size, c in zip(self.shape, self.chunks, strict=True))

    def shape_of(self, chunk: Position) -> tuple[int, ...]:
        """Pixels of a chunk; at the far edges it may be smaller than the rest."""
        return tuple(
            min(c, size - n * c) for n, c, size in zip(chunk, self.chunks, self.shape, strict=True)
        )


class LazyLevel(da.Array):
    """A Dask array, one block per chunk of a stored array, or of a part of it.

    Slicing returns an array of just the blocks that the slice touches, which takes about a
    millisecond however many there are. Everything else is as in any Dask array; what is computed
    *from* it is an ordinary Dask array. So slice first, then calculate.

    A level that was changed in place, as by ``level[level < 100] = 0``, is no longer what is
    stored. It then behaves as any Dask array, also where it is sliced.

    Attributes
    ----------
    stored : ChunkedArray
        Where to read.
    first : tuple of int
        Position of the first chunk.
    made : str
        Name that the array was given. Dask gives it another when it is changed in place.
    """

    stored: ChunkedArray
    first: Position
    made: str

    def __getitem__(self, index: Any) -> da.Array:
        """A part of the level, still lazy."""
        given = index if isinstance(index, tuple) else (index,)
        if self.is_changed or not all(_is_plain(part) for part in given):  # Dask knows how
            return super().__getitem__(index)
        parts = list(normalize_index(given, self.shape))
        if all(isinstance(part, slice) and part == slice(None) for part in parts):
            return self  # as Dask does
        axes = [at for at, part in enumerate(parts) if part is not None]  # None: a new axis
        first, count = [], []
        for axis, at in enumerate(axes):
            picked = _positions(parts[at], self.shape[axis])
            chunk = self.stored.chunks[axis]
            low, high = _ends(picked)
            start, stop = low // chunk, high // chunk + 1
            first.append(self.first[axis] + start)
            count.append(stop - start)
            parts[at] = _shifted(parts[at], picked, start * chunk)
        part = lazy_level(self.stored, tuple(first), tuple(count))
        return super(LazyLevel, part).__getitem__(tuple(parts))

    def compute(self, **options: Any) -> Any:
        """All pixels, as for any Dask array, which takes the same options.

        Dask would put the blocks together at the end, which is one more copy of every pixel. Here
        its threads decode each chunk into its place.
        """
        if self.is_changed or not _computes_here(self, options):
            return super().compute(**options)
        try:
            pixels = np.empty(self.shape, self.dtype)
        except (MemoryError, ValueError):  # NumPy counts no further than int64
            raise TooLargeError(
                f"{format_shape(self.shape)} pixels of {self.stored.address} do not fit in memory "
                f"({format_bytes(self.nbytes)}); slice the part that you need, or take a coarser "
                "level."
            ) from None
        places = [pixels[part] for part in slices_from_chunks(self.chunks)]
        ranges = (range(at, at + n) for at, n in zip(self.first, self.numblocks, strict=True))
        chunks, size = list(itertools.product(*ranges)), group_size(self.stored)
        reads = []
        for start in range(0, len(chunks), size):
            group = slice(start, start + size)
            read = functools.partial(self.stored.read_into, places[group], chunks[group])
            reads.append(delayed(read, pure=False, traverse=False)())
        compute(*reads, **options)
        return pixels

    @property
    def is_changed(self) -> bool:
        """Whether the array was changed in place since it was made."""
        return self.name != self.made

    def __reduce__(self) -> tuple[Any, ...]:
        if self.is_changed:
            return super().__reduce__()
        return lazy_level, (self.stored, self.first, self.numblocks)


def lazy_level(
    stored: ChunkedArray, first: Position | None = None, count: Position | None = None
) -> LazyLevel:
    """Make the lazy array of a level, or of some of its chunks; reads nothing.

    Parameters
    ----------
    stored : ChunkedArray
        Where to read.
    first, count : tuple of int, optional
        Position of the first chunk, and number of chunks along each axis; all if left out.

    Raises
    ------
    TooLargeError
        There are more than `MAX_CHUNKS` chunks.
    """
    first, count = first or (0,) * stored.ndim, count or stored.grid
    if math.prod(count) > MAX_CHUNKS:
        raise too_many_chunks(stored.address, math.prod(count), {})
    name = f"level-{tokenize(stored, first, count)}"
    graph = HighLevelGraph({name: ReadChunks(name, stored, first, count)}, {name: set()})
    chunks = tuple(map(_sizes_along, stored.shape, stored.chunks, first, count))
    level = LazyLevel(graph, name, chunks, meta=np.empty((0,) * stored.ndim, stored.dtype))
    level.stored, level.first, level.made = stored, first, name
    return level


def _sizes_along(size: int, chunk: int, first: int, count: int) -> tuple[int, ...]:
    """Pixels of each chunk along one axis; the last one may be cut."""
    if not count:
        return ()
    return (chunk,) * (count - 1) + (min(chunk, size - (first + count - 1) * chunk),)


def too_many_chunks(level: str, count: int, others: Mapping[str, int]) -> TooLargeError:
    """The error for a level of too many chunks, which names the finest that has not.

    Parameters
    ----------
    level : str
        How to call it.
    count : int
        Its chunks.
    others : mapping of str to int
        Chunks of the levels of the image, by their paths; empty if they are not known.
    """
    fits = next((path for path, chunks in others.items() if chunks <= MAX_CHUNKS), None)
    advice = f"level({fits!r}) fits" if fits else "open a coarser level, if there is one"
    return TooLargeError(
        f"{level} has {count:,} chunks, more than the {MAX_CHUNKS:,} that a lazy array is made of; "
        f"{advice}. A part of any level can be read as stored, by slices: stored_level(...)[...]."
    )


def group_size(stored: ChunkedArray) -> int:
    """Chunks that one task reads."""
    chunk_bytes = math.prod(stored.chunks) * stored.dtype.itemsize
    return min(CONCURRENCY, max(1, GROUP_BYTES // chunk_bytes))


def _computes_here(level: da.Array, options: Mapping[str, Any]) -> bool:
    """Whether Dask would compute in threads of this process, which share its memory."""
    chosen = {name: options[name] for name in ("scheduler", "get") if name in options}
    return get_scheduler(collections=[level], **chosen) in (get_sync, dask.threaded.get)


def _is_plain(part: Any) -> bool:
    """Whether this is an integer, a slice, an ellipsis, None, or a list of integers or booleans."""
    if part is None or part is Ellipsis or isinstance(part, slice | int | np.integer):
        return not isinstance(part, bool)
    if isinstance(part, da.Array | str):
        return False
    picked = np.asarray(part)
    return picked.ndim == 1 and (picked.dtype.kind in "iub" or not picked.size)


def _positions(part: Any, size: int) -> Sequence[int]:
    """The pixels along one axis that an integer, a slice or a list picks."""
    if isinstance(part, slice):
        return range(*part.indices(size))
    return np.atleast_1d(part).tolist()


def _ends(picked: Sequence[int]) -> tuple[int, int]:
    """The first and the last pixel that is picked; a slice may pick more than can be looked at."""
    if not picked:
        return 0, 0
    ends = (picked[0], picked[-1]) if isinstance(picked, range) else picked
    return min(ends), max(ends)


def _shifted(part: Any, picked: Sequence[int], by: int) -> Any:
    """The same choice of pixels in an array that starts `by` pixels later."""
    if not isinstance(part, slice):
        return part - by
    if not picked:
        return slice(0, 0)
    step = 1 if part.step is None else part.step
    stop = picked[-1] - by + step
    return slice(picked[0] - by, stop if stop >= 0 else None, step)


class ReadChunks(Layer):
    """The part of a Dask graph that reads chunks: tasks are made for the needed ones only.

    Parameters
    ----------
    name : str
        Name of the Dask array.
    stored : ChunkedArray
        Where to read.
    first, count : tuple of int
        Position of the first chunk, and number of chunks along each axis.
    """

    def __init__(self, name: str, stored: ChunkedArray, first: Position, count: Position) -> None:
        super().__init__()
        self.name, self.stored, self.first, self.count = name, stored, first, count

    def cull(
        self, keys: set[Any], all_hlg_keys: Collection[Any]
    ) -> tuple[Layer, Mapping[Any, set[Any]]]:
        """Make the tasks for the needed blocks; `keys` are those of all layers of the graph."""
        mine = [key for key in keys if isinstance(key, tuple) and key[0] == self.name]
        tasks = self._tasks(sorted(mine))
        needs = {key: set(task.dependencies) for key, task in tasks.items()}
        return MaterializedLayer(tasks, self.annotations), needs

    def _tasks(self, keys: Sequence[Key]) -> dict[Key, GraphNode]:
        """Tasks that read groups of chunks, and tasks that take one chunk out of a group."""
        tasks: dict[Key, GraphNode] = {}
        size = group_size(self.stored)
        for start in range(0, len(keys), size):
            together = keys[start : start + size]
            group = (f"read-{tokenize(together)}", 0)  # on a cluster, keys name results: no other
            chunks = [self._position(key) for key in together]
            tasks[group] = Task(group, self.stored.read_chunks, chunks)
            for number, key in enumerate(together):
                tasks[key] = Task(key, getitem, TaskRef(group), number)
        return tasks

    def _position(self, key: Key) -> Position:
        return tuple(start + at for start, at in zip(self.first, key[1:], strict=True))

    # What follows completes Dask's interface of a layer, which is a mapping of keys to tasks.

    has_legacy_tasks = False  # or Dask would make all tasks to find out

    @cached_property
    def _all(self) -> dict[Key, GraphNode]:
        return self._tasks(sorted(self.get_output_keys()))

    def get_output_keys(self) -> set[Any]:
        """Keys of all blocks."""
        return set(itertools.product([self.name], *map(range, self.count)))

    def is_materialized(self) -> bool:
        """Whether all tasks have been made."""
        return "_all" in self.__dict__

    def __getitem__(self, key: Any) -> GraphNode:
        return self._all[key]

    def __iter__(self) -> Iterator[Key]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)
