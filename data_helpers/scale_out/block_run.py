"""The segmentation of one volume in blocks, on a cluster."""

from __future__ import annotations

import random
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import zarr
from numcodecs import Blosc
from zarr.abc.store import Store
from zarr.storage import MemoryStore

from .._progress import progress_bar
from ..errors import OmeZarrError
from ..multiscale import Multiscale
from ..stored_array import StoredArray
from .blocks import AXES, Block, neighbours_of, plan_blocks
from .claim import claim, store_of, whole_path
from .fingerprint import fingerprint
from .image_name import name_of_image
from .joining import join, sum_parts
from .matching import matching_labels
from .parameters import plain
from .results import RunResults
from .tasks import Segment, segment_block, segment_missing_block, write_labels

if TYPE_CHECKING:
    from distributed import Client

PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds to wait before failed blocks are tried again: 31 s of patience in all."""

ROUND_SECONDS = 24 * 3600.0
"""Longest time that one round of all blocks may take."""


@dataclass(frozen=True)
class BlockRun:
    """The segmentation of one volume, in blocks, into one Zarr store.

    Parameters
    ----------
    results : str, Path or zarr.abc.store.Store
        Where the results are kept: a local folder, or any Zarr store that can be written and that
        the workers reach.
    image : Multiscale
        The image.
    segment : callable
        ``segment(pixels, **parameters)`` gets a NumPy array (z, y, x) and returns whole numbers of
        the same shape, 0 for background. Its code is remembered, with default values, closures and
        the values of the global names that it uses; see docs/cluster.md.
    level : str or int
        Resolution level.
    t, c : int
        Time point and channel.
    block_shape, overlap : sequence of int
        Voxels along z, y and x.
    parameters : dict
        Everything that the result of `segment` depends on: numbers, strings, lists.

    Raises
    ------
    OmeZarrError
        The image is no volume of axes (t, c,) z, y, x; the store holds results of another image,
        function or set of parameters, or something else; it cannot be written; or `segment` depends
        on an object that could not be told apart from another one later.

    Notes
    -----
    The first run in a store claims it, in one step. Two that begin together with different
    parameters are never both accepted. Two with the same share the work: a block that one has done,
    the other leaves out. Blocks that both have begun at the same moment are done twice.
    """

    results: str | Path | Store
    image: Multiscale
    segment: Segment
    level: str | int = 0
    t: int = 0
    c: int = 0
    block_shape: Sequence[int] = (64, 64, 64)
    overlap: Sequence[int] = (16, 16, 16)
    parameters: dict[str, Any] = field(default_factory=dict)
    _is_first: bool = field(default=True, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        roles = self.image.roles
        if roles[-3:] != ("z", "y", "x") or not {"t", "c"} >= set(roles[:-3]):
            raise OmeZarrError(
                f"{self.image.title} has the axes {', '.join(self.image.axes)}, but a run in "
                "blocks takes a volume whose last three axes are z, y and x, behind t and c at "
                "most: write it in this order first."
            )
        if isinstance(self.results, str | Path) and "://" not in str(self.results):
            object.__setattr__(self, "results", whole_path(self.results))
        first = claim(store_of(self.results), Path(str(self.results)).name, self._identity())
        object.__setattr__(self, "_is_first", first)
        RunResults.prepare(self.results, self._layout())

    def _identity(self) -> dict[str, Any]:
        """What must be the same for results to belong together, as JSON keeps it."""
        return {
            "image": [name_of_image(self.image), self.image.paths[self.image.index(self.level)]],
            "time or channel": [int(self.t), int(self.c)],
            "shape": list(self.shape),
            "block shape": [int(size) for size in self.block_shape],
            "overlap": [int(size) for size in self.overlap],
            "segment function": fingerprint(self.segment),
            "set of parameters": {
                str(key): plain(value, f"parameters[{key!r}]")
                for key, value in self.parameters.items()
            },
        }

    def _layout(self) -> MemoryStore:
        """The two arrays without pixels: labels of the blocks, and the finished label image."""
        store = MemoryStore()
        group = zarr.open_group(store, mode="w", zarr_format=2)
        padded = [b + 2 * extra for b, extra in zip(self.block_shape, self.overlap, strict=True)]
        grid = [n + 1 for n in self.blocks[-1].at]
        options = {"dtype": "uint32", "compressors": Blosc("zstd", 3)}
        group.create_array(
            "blocks",
            shape=tuple(n * size for n, size in zip(grid, padded, strict=True)),
            chunks=tuple(padded),
            **options,
        )
        labels = group.create_group("labels")
        labels.attrs["multiscales"] = [_label_metadata(self.image, self.level)]
        labels.attrs["image-label"] = {"version": "0.4"}
        labels.create_array("0", shape=self.shape, chunks=tuple(self.block_shape), **options)
        return store

    @property
    def stored(self) -> StoredArray:
        """The level that is segmented."""
        return self.image.stored[self.image.index(self.level)]

    @property
    def _leading_index(self) -> tuple[int, ...]:
        """Index of the volume along the axes before z, as far as the image has them."""
        return tuple({"t": self.t, "c": self.c}[role] for role in self.image.roles[:-3])

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels of the volume along z, y and x."""
        return self.stored.shape[-3:]

    @property
    def blocks(self) -> list[Block]:
        """All blocks of the volume."""
        return plan_blocks(self.shape, self.block_shape, self.overlap)

    def missing(self) -> list[Block]:
        """The blocks that have no result yet."""
        done = RunResults(self.results).names("parts/")
        return [block for block in self.blocks if f"{block.name}.parquet" not in done]

    def __repr__(self) -> str:
        total, missing = len(self.blocks), len(self.missing())
        return f"BlockRun({total - missing} of {total} blocks done)"

    def compute(
        self,
        client: Client,
        blocks: Sequence[Block] | None = None,
        *,
        pauses: Sequence[float] = PAUSES,
        timeout: float = ROUND_SECONDS,
    ) -> pd.DataFrame:
        """Segment blocks on a cluster; each result is kept as soon as it is there.

        A block that fails is tried again when all others have had their turn, several times, so
        that a short outage of the endpoint costs nothing but time.

        Parameters
        ----------
        client : distributed.Client
            The cluster.
        blocks : sequence of Block, optional
            What to compute; `missing` if left out.
        pauses : sequence of float
            Seconds to wait before each further try.
        timeout : float
            Seconds that one try of all blocks may take.

        Returns
        -------
        pandas.DataFrame
            The blocks that failed, with columns "block" and "why"; no row if all is well.
        """
        waiting = self._next_blocks() if blocks is None else list(blocks)
        failures: dict[str, str] = {}
        with progress_bar(len(waiting), "Blocks") as bar:
            for pause in (0.0, *pauses):
                time.sleep(pause)
                failures = self._try(client, waiting, timeout, bar.update, blocks is None)
                waiting = [block for block in waiting if block.name in failures]
                if not waiting:
                    break
        failed = pd.DataFrame(failures.items(), columns=["block", "why"]).sort_values("block")
        RunResults(self.results).put_table("failed.parquet", failed)
        return failed.reset_index(drop=True)

    def _next_blocks(self) -> list[Block]:
        """The missing blocks; in random order if another process may be at work on them, too."""
        missing = self.missing()
        return missing if self._is_first else random.sample(missing, len(missing))

    def _try(
        self,
        client: Client,
        blocks: Sequence[Block],
        timeout: float,
        done: Callable[[], object],
        missing_only: bool,
    ) -> dict[str, str]:
        """Compute blocks once, call `done` after each; return those that failed, and why."""
        from distributed import as_completed

        volume = (self.stored, self._leading_index)
        compute = segment_missing_block if missing_only else segment_block
        task = partial(compute, self.results, volume, self.segment, self.parameters)
        futures = client.map(task, blocks, pure=False)
        names = {future.key: block.name for future, block in zip(futures, blocks, strict=True)}
        left = dict.fromkeys(names.values(), f"It was not finished within {timeout:g} s.")
        try:
            for future in as_completed(futures, timeout=timeout):
                name = names[future.key]
                if future.status == "finished":
                    del left[name]
                    done()
                else:
                    left[name] = _one_sentence(future.exception())
        except TimeoutError:
            client.cancel(futures)
        except BaseException:  # somebody has stopped the cell
            client.cancel(futures)
            raise
        return left

    def finish(self, client: Client, *, merge: bool = True) -> pd.DataFrame:
        """Join the labels of the blocks: write the label image and the table of objects.

        Blocks without a result stay background, and a warning names them; call it again when
        they are done.

        Parameters
        ----------
        client : distributed.Client
            The cluster.
        merge : bool
            Whether labels of different blocks become one object where they agree.

        Returns
        -------
        pandas.DataFrame
            One row for each object: label, voxels, intensity_mean, z, y, x (its centre),
            z0 to x1 (its box), blocks (how many it lies in).
        """
        results, missing = RunResults(self.results), self.missing()
        if missing:
            names = ", ".join(block.name for block in missing)
            warnings.warn(f"without a result: {len(missing)} blocks ({names})", stacklevel=2)
        done = [block for block in self.blocks if block not in missing]
        parts = [results.table(f"parts/{block.name}.parquet") for block in done]
        found = pd.concat([part.assign(block=n) for n, part in enumerate(parts)])
        neighbours = neighbours_of(done) if merge else []
        with progress_bar(len(neighbours) + len(done), "Joining") as bar:
            pairs = self._pairs(client, done, neighbours, bar.update)
            found["object"], count = join(found[["block", "label"]].to_numpy(np.int64), pairs)
            tables = [
                found.loc[found["block"] == n, ["label", "object"]].to_numpy(np.int64)
                for n in range(len(done))
            ]
            _gather(client, bar.update, partial(write_labels, self.results), done, tables)
        objects = sum_parts(found)
        assert len(objects) == count
        results.put_table("objects.parquet", objects)
        return objects

    def _pairs(
        self,
        client: Client,
        done: Sequence[Block],
        neighbours: Sequence[tuple[int, int]],
        joined: Callable[[], object],
    ) -> np.ndarray:
        """Rows of (block, label, block, label) that are one object, blocks as numbers in `done`."""
        ones, others = ([done[pair[side]] for pair in neighbours] for side in (0, 1))
        found = _gather(client, joined, partial(matching_labels, self.results), ones, others)
        rows = [np.empty((0, 4), np.int64)]
        for (one, other), labels in zip(neighbours, found, strict=True):
            rows.append(np.insert(labels, [0, 1], [one, other], axis=1))
        return np.concatenate(rows)

    @property
    def labels(self) -> zarr.Array[Any]:
        """The label image as it is stored, axes z, y, x, dtype uint32; indexing it reads."""
        return RunResults(self.results).array("labels/0")


def _gather(
    client: Client, done: Callable[[], object], task: Callable[..., Any], *arguments: Sequence[Any]
) -> list[Any]:
    """Run a task for each set of arguments, call `done` after each; return what they return."""
    from distributed import as_completed

    futures = client.map(task, *arguments, pure=False)
    try:
        for _ in as_completed(futures):
            done()
        return list(client.gather(futures))
    except BaseException:  # one has failed, or somebody has stopped the cell
        client.cancel(futures)
        raise


def _one_sentence(error: BaseException | None) -> str:
    if error is None:
        return "The cluster gave it up: its connection was lost, or somebody cancelled it."
    text = str(error).partition("\n")[0].strip()
    return text if isinstance(error, OmeZarrError) else f"{type(error).__name__}: {text}"


def _label_metadata(image: Multiscale, level: str | int) -> dict[str, Any]:
    """Say where the label image lies, as OME-Zarr 0.4 does."""
    index = image.index(level)
    axes = [
        {"name": axis, "type": "space"} | ({"unit": unit} if unit else {})
        for axis, unit in zip(AXES, image.units[-3:], strict=True)
    ]
    scale = {"type": "scale", "scale": [float(size) for size in image.scales[index][-3:]]}
    datasets = [{"path": "0", "coordinateTransformations": [scale]}]
    return {"version": "0.4", "name": "labels", "axes": axes, "datasets": datasets}
