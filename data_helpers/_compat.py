"""Private parts of other packages that this package cannot do without, all in one place.

Nothing else in `data_helpers` imports a private name of another package, so this page is what to
look at when an upgrade breaks something. Each part names the public way that it stands in for, and
why that is not enough. ``tests/test_compat.py`` tries each and says in a sentence what broke.

Tried with dask 2026.3 to 2026.8, and with zarr 3.1.6 (Python 3.11) and 3.4.2 (Python 3.12, 3.13).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import zarr
from dask._task_spec import GraphNode, Task, TaskRef
from dask.array.slicing import normalize_index
from zarr.abc.codec import CodecPipeline
from zarr.core.sync import _get_loop

__all__ = ["GraphNode", "Task", "TaskRef", "event_loop", "normalize_index", "with_concurrency"]

# `dask._task_spec`: the tasks that a layer of a graph is made of. The public way is a dict of
# tuples, which Dask converts task by task and warns that it will give up.
#
# `dask.array.slicing.normalize_index`: what a selection such as ``[..., -1]`` means for a shape.
# The public way is to slice a Dask array, which lists all of its blocks: what `LazyLevel` avoids.


def event_loop() -> asyncio.AbstractEventLoop:
    """The event loop in which Zarr reads, in a thread of its own.

    The public way, `zarr.Array.__getitem__`, waits until everything is read, and what it waits for
    cannot be cancelled. Requests also have to run in the loop that the connections belong to.
    """
    return _get_loop()


def with_concurrency(array: zarr.Array, limit: int) -> zarr.Array:
    """The same array, which works on up to `limit` chunks at a time.

    The public way is ``zarr.config.set({"async.concurrency": limit})``, which is for the whole
    process, other people's arrays included; as a context manager, threads undo one another's.
    """
    inner = array.async_array
    object.__setattr__(inner, "codec_pipeline", _ConcurrentPipeline(inner.codec_pipeline, limit))
    return array


class _ConcurrentPipeline(CodecPipeline):
    """What fetches and decodes the chunks of one array, `limit` of them at a time.

    Each chunk is handed to Zarr's own pipeline by itself, so that Zarr's limit, which holds for one
    call, does not matter.
    """

    def __init__(self, inner: CodecPipeline, limit: int) -> None:
        self.inner, self.limit = inner, limit

    async def read(
        self, batch_info: Iterable[Any], out: Any, drop_axes: tuple[int, ...] = ()
    ) -> Any:
        """Fetch chunks, decode them, and put them into `out`."""
        places = asyncio.Semaphore(self.limit)

        async def read_one(chunk: Any) -> Any:
            async with places:
                return await self.inner.read([chunk], out, drop_axes)

        answers = await asyncio.gather(*map(read_one, batch_info))
        return tuple(answer for part in answers for answer in part or ())  # Zarr 3.4 counts them

    async def write(self, *what: Any, **how: Any) -> Any:
        """As Zarr does it."""
        return await self.inner.write(*what, **how)

    # Everything else is Zarr's own pipeline, unchanged.

    def evolve_from_array_spec(self, array_spec: Any) -> Any:
        """The pipeline for an array, with what its codecs take from the array's metadata."""
        return _ConcurrentPipeline(self.inner.evolve_from_array_spec(array_spec), self.limit)

    @classmethod
    def from_codecs(cls, codecs: Iterable[Any]) -> Any:
        """Refused: it is made from a pipeline that is there already."""
        raise NotImplementedError

    @property
    def supports_partial_decode(self) -> bool:
        """Whether a part of a stored object can be decoded, as of a shard."""
        return self.inner.supports_partial_decode

    @property
    def supports_partial_encode(self) -> bool:
        """Whether a part of a stored object can be written."""
        return self.inner.supports_partial_encode

    def validate(self, **what: Any) -> None:
        """Whether the codecs go together."""
        self.inner.validate(**what)

    def compute_encoded_size(self, byte_length: int, array_spec: Any) -> int:
        """Size of so many bytes, encoded."""
        return self.inner.compute_encoded_size(byte_length, array_spec)

    async def decode(self, chunks: Any) -> Any:
        """Decode chunks."""
        return await self.inner.decode(chunks)

    async def encode(self, chunks: Any) -> Any:
        """Encode chunks."""
        return await self.inner.encode(chunks)
