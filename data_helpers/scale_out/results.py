"""The store that holds the results of a run in blocks."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import zarr
from zarr.abc.store import Store
from zarr.buffer import default_buffer_prototype
from zarr.storage import MemoryStore

from .._interrupt import result, submit
from ..errors import OmeZarrError
from .blocks import Block, slices
from .claim import cannot_be_kept, store_of


class RunResults:
    """The store of a run: arrays, and tables beside them."""

    def __init__(self, store: str | Path | Store) -> None:
        self.store = store_of(store)
        self.group = zarr.open_group(self.store, mode="r+", zarr_format=2)

    @classmethod
    def prepare(cls, results: str | Path | Store, layout: MemoryStore) -> RunResults:
        """Write the metadata of all arrays, as far as they are not there.

        Whoever works on a run writes the same; none waits for another, who may have been killed.
        """
        store = store_of(results)

        async def write() -> None:
            async for key in layout.list():
                content = await layout.get(key, default_buffer_prototype())
                if content is None or await store.exists(key):
                    continue
                try:
                    await store.set(key, content)
                except OSError:
                    if not await store.exists(key):  # else, on Windows, another run reads it
                        raise

        try:
            result(submit(write()))
        except OSError as error:
            raise cannot_be_kept(str(results), error) from None
        return cls(results)

    def put_block(self, block: Block, labels: np.ndarray) -> None:
        """Keep the labels of a block and its overlap."""
        self.array("blocks")[self._place(block)] = labels

    def block(self, block: Block) -> np.ndarray:
        """The labels of a block and its overlap."""
        return np.asarray(self.array("blocks")[self._place(block)])

    def array(self, path: str) -> zarr.Array[Any]:
        """One of the arrays."""
        found = self.group[path]
        assert isinstance(found, zarr.Array)
        return found

    def _place(self, block: Block) -> tuple[slice, ...]:
        """Where the labels of a block lie in the array ``blocks``: in a chunk of their own."""
        start = [n * size for n, size in zip(block.at, self.array("blocks").chunks, strict=True)]
        sizes = [b - a for a, b in zip(block.padded_start, block.padded_stop, strict=True)]
        return slices(start, [a + size for a, size in zip(start, sizes, strict=True)])

    def put_table(self, key: str, table: pd.DataFrame) -> None:
        """Keep a table as Parquet; it is there whole or not at all."""
        file = io.BytesIO()
        table.to_parquet(file, index=False)
        buffer = default_buffer_prototype().buffer.from_bytes(file.getvalue())
        result(submit(self.store.set(key, buffer)))

    def table(self, key: str) -> pd.DataFrame:
        """A table that was kept."""
        buffer = result(submit(self.store.get(key, default_buffer_prototype())))
        if buffer is None:
            raise OmeZarrError(f"{self.store} holds no {key}.")
        return pd.read_parquet(io.BytesIO(buffer.to_bytes()))

    def has(self, key: str) -> bool:
        """Whether there is such an object."""
        return result(submit(self.store.exists(key)))

    def names(self, prefix: str) -> set[str]:
        """Names of the objects below a prefix."""

        async def listed() -> set[str]:
            return {key.rsplit("/", 1)[-1] async for key in self.store.list_prefix(prefix)}

        return result(submit(listed()))
