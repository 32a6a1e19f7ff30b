"""Segment a volume that does not fit in memory, block by block, and join what the cuts divide.

The volume is cut into blocks. Each is read with some *overlap*, the voxels around it, so that an
object at a cut is seen whole from both sides; afterwards, two labels that cover the same voxels in
the overlap become one. Every result is kept in a Zarr store at once::

    blocks/0.1.2              labels of one block and its overlap, one object in the store
    parts/0.1.2.parquet       what was measured in the block proper; written last: the block is done
    labels/                   the finished label image, OME-Zarr 0.4
    objects.parquet           the finished table, one row for each object
    failed.parquet            blocks of the last run without a result, and why

So a run can be stopped at any time, and the next one computes only what is missing.
"""

from __future__ import annotations

import inspect
import io
import itertools
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
import zarr
from numcodecs import Blosc
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from skimage.measure import regionprops_table
from zarr.abc.store import Store
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync

from .chunks import StoredArray
from .errors import OmeZarrError
from .multiscale import Multiscale
from .progress import counting_bar

if TYPE_CHECKING:
    from distributed import Client

PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds to wait before failed blocks are tried again: 31 s of patience in all."""

ROUND_SECONDS = 24 * 3600.0
"""Longest time that one round of all blocks may take."""

AGREEMENT = 0.5
"""Two labels are one object if they share more than this part of the voxels of both together."""

_AXES = ("z", "y", "x")
_PROPERTIES = ("label", "area", "intensity_mean", "centroid", "bbox")

Segment = Callable[..., np.ndarray]


@dataclass(frozen=True)
class Block:
    """One part of a volume.

    Attributes
    ----------
    at : tuple of int
        Position among the blocks, along z, y and x.
    start, stop : tuple of int
        The voxels that belong to this block and to no other.
    first, last : tuple of int
        The voxels that are read: the block and its overlap, within the volume.
    """

    at: tuple[int, ...]
    start: tuple[int, ...]
    stop: tuple[int, ...]
    first: tuple[int, ...]
    last: tuple[int, ...]

    @property
    def name(self) -> str:
        """Such as "0.1.2"."""
        return ".".join(map(str, self.at))

    @property
    def core(self) -> tuple[slice, ...]:
        """The block within the volume."""
        return _slices(self.start, self.stop)

    @property
    def padded(self) -> tuple[slice, ...]:
        """The block and its overlap within the volume."""
        return _slices(self.first, self.last)

    def inside(self, start: Sequence[int], stop: Sequence[int]) -> tuple[slice, ...]:
        """A box of the volume as it lies within the pixels read for this block."""
        return _slices(
            [a - f for a, f in zip(start, self.first, strict=True)],
            [b - f for b, f in zip(stop, self.first, strict=True)],
        )


def plan_blocks(
    shape: Sequence[int], block_shape: Sequence[int], overlap: Sequence[int]
) -> list[Block]:
    """Cut a volume into blocks that overlap.

    Parameters
    ----------
    shape, block_shape, overlap : sequence of int
        Voxels along z, y and x: of the volume, of a block, and added on each side of a block.
        Half the size of the largest object is a good overlap.

    Returns
    -------
    list of Block
        Their cores cover each voxel exactly once.
    """
    starts = [range(0, size, step) for size, step in zip(shape, block_shape, strict=True)]
    blocks = []
    for start in itertools.product(*starts):
        stop = [min(a + b, size) for a, b, size in zip(start, block_shape, shape, strict=True)]
        first = [max(a - extra, 0) for a, extra in zip(start, overlap, strict=True)]
        last = [min(b + extra, size) for b, extra, size in zip(stop, overlap, shape, strict=True)]
        at = tuple(a // b for a, b in zip(start, block_shape, strict=True))
        blocks.append(Block(at, start, tuple(stop), tuple(first), tuple(last)))
    return blocks


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
        the same shape, 0 for background.
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
        The store holds results of another image, function or set of parameters.
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

    def __post_init__(self) -> None:
        if isinstance(self.results, str | Path) and "://" not in str(self.results):
            folder = str(Path(self.results).expanduser().absolute())  # the same for each worker
            object.__setattr__(self, "results", folder)
        wanted, group = self._identity(), zarr.open_group(self.results, mode="a", zarr_format=2)
        found: Any = group.attrs.get("run", wanted)
        differing = [key for key in wanted if found.get(key) != wanted[key]]
        if differing:
            raise OmeZarrError(
                f"{Path(str(self.results)).name} holds results of another "
                f"{' and another '.join(differing)}: take a new folder, or delete this one."
            )
        if "run" not in group.attrs:
            self._create(group)
            group.attrs["run"] = wanted  # last, so that what it stands for is there

    def _identity(self) -> dict[str, Any]:
        """What must be the same for results to belong together, as JSON keeps it."""
        return {
            "image": [urlsplit(self.image.url).path, self.image.synthetic, str(self.level)],
            "time or channel": [self.t, self.c],
            "shape": list(self.shape),
            "block shape": [int(size) for size in self.block_shape],
            "overlap": [int(size) for size in self.overlap],
            "segment function": _source_of(self.segment),
            "set of parameters": {key: _plain(value) for key, value in self.parameters.items()},
        }

    def _create(self, group: zarr.Group) -> None:
        """Make the two arrays: labels of the blocks, and the finished label image."""
        padded = [b + 2 * extra for b, extra in zip(self.block_shape, self.overlap, strict=True)]
        grid = [n + 1 for n in self.blocks[-1].at]
        options = {"dtype": "uint32", "compressors": Blosc("zstd", 3), "overwrite": True}
        group.create_array(
            "blocks",
            shape=tuple(n * size for n, size in zip(grid, padded, strict=True)),
            chunks=tuple(padded),
            **options,
        )
        labels = group.create_group("labels", overwrite=True)
        labels.attrs["multiscales"] = [_label_metadata(self.image, self.level)]
        labels.attrs["image-label"] = {"version": "0.4"}
        labels.create_array("0", shape=self.shape, chunks=tuple(self.block_shape), **options)

    @property
    def stored(self) -> StoredArray:
        """The level that is segmented."""
        return self.image.arrays[self.image.index(self.level)]

    @property
    def _picks(self) -> tuple[int, ...]:
        """Index of the volume along the axes before z, as far as the image has them."""
        return tuple({"t": self.t, "c": self.c}[axis] for axis in self.image.axes[:-3])

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
        done = _Results(self.results).names("parts/")
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
        waiting = list(self.missing() if blocks is None else blocks)
        failures: dict[str, str] = {}
        with counting_bar(len(waiting), "Blocks") as bar:
            for pause in (0.0, *pauses):
                time.sleep(pause)
                failures = self._try(client, waiting, timeout, bar.update)
                waiting = [block for block in waiting if block.name in failures]
                if not waiting:
                    break
        failed = pd.DataFrame(failures.items(), columns=["block", "why"]).sort_values("block")
        _Results(self.results).put_table("failed.parquet", failed)
        return failed.reset_index(drop=True)

    def _try(
        self, client: Client, blocks: Sequence[Block], timeout: float, done: Callable[[], object]
    ) -> dict[str, str]:
        """Compute blocks once, call `done` after each; return those that failed, and why."""
        from distributed import as_completed

        volume = (self.stored, self._picks)
        task = partial(segment_block, self.results, volume, self.segment, self.parameters)
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
        results, missing = _Results(self.results), self.missing()
        if missing:
            names = ", ".join(block.name for block in missing)
            warnings.warn(f"without a result: {len(missing)} blocks ({names})", stacklevel=2)
        done = [block for block in self.blocks if block not in missing]
        parts = [results.table(f"parts/{block.name}.parquet") for block in done]
        found = pd.concat([part.assign(block=n) for n, part in enumerate(parts)])
        neighbours = _neighbours(done) if merge else []
        with counting_bar(len(neighbours) + len(done), "Joining") as bar:
            pairs = self._pairs(client, done, neighbours, bar.update)
            found["object"], count = _join(found[["block", "label"]].to_numpy(np.int64), pairs)
            tables = [
                found.loc[found["block"] == n, ["label", "object"]].to_numpy(np.int64)
                for n in range(len(done))
            ]
            _gather(client, bar.update, partial(write_labels, self.results), done, tables)
        objects = _sum_parts(found)
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
        return _Results(self.results).array("labels/0")


def _neighbours(blocks: Sequence[Block]) -> list[tuple[int, int]]:
    """Pairs of blocks that share a face, as numbers in `blocks`."""
    number = {block.at: n for n, block in enumerate(blocks)}
    following = ((n, _next(block.at, axis)) for n, block in enumerate(blocks) for axis in range(3))
    return [(n, number[at]) for n, at in following if at in number]


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


# What the workers do


def segment_block(
    results: str | Path | Store,
    volume: tuple[StoredArray, tuple[int, ...]],
    segment: Segment,
    parameters: dict[str, Any],
    block: Block,
) -> None:
    """Read one block with its overlap, segment it, and keep labels and measurements.

    The volume is a level, and the time point and channel to take of it.
    """
    stored, picks = volume
    pixels = stored[(*picks, *block.padded)]
    labels = np.asarray(segment(pixels, **parameters))
    if labels.shape != pixels.shape or labels.dtype.kind not in "iu":
        raise OmeZarrError(
            f"segment should return whole numbers of shape {pixels.shape}, but it returned "
            f"{labels.dtype} of shape {labels.shape}."
        )
    kept = _Results(results)
    kept.put_block(block, labels)
    core = block.inside(block.start, block.stop)
    part = measure(labels[core], pixels[core], block.start)
    kept.put_table(f"parts/{block.name}.parquet", part)  # last: this makes the block a done one


def measure(labels: np.ndarray, pixels: np.ndarray, start: Sequence[int]) -> pd.DataFrame:
    """Measure the part of each object that lies in one block, in voxels of the whole volume."""
    found = pd.DataFrame(regionprops_table(labels, pixels, properties=_PROPERTIES))
    found = found.rename(columns={"area": "voxels"})
    for number, (axis, at) in enumerate(zip(_AXES, start, strict=True)):
        found[axis] = found.pop(f"centroid-{number}") + at
        found[f"{axis}0"] = found.pop(f"bbox-{number}") + at
        found[f"{axis}1"] = found.pop(f"bbox-{number + 3}") + at
    return found


def matching_labels(results: str | Path | Store, one: Block, other: Block) -> np.ndarray:
    """Pairs of labels of two neighbouring blocks that are the same object.

    Compared is what both have seen, half the overlap on each side of the cut: further out, each
    block knows less of what surrounds an object.
    """
    kept = _Results(results)
    start, stop = _shared(one, other)
    labels = [kept.block(b)[b.inside(start, stop)].ravel() for b in (one, other)]
    both, together = np.unique(np.stack(labels, 1), axis=0, return_counts=True)
    sizes = [dict(zip(*np.unique(side, return_counts=True), strict=True)) for side in labels]
    same = [
        (a, b)
        for (a, b), shared in zip(both.tolist(), together.tolist(), strict=True)
        if a and b and shared > AGREEMENT * (sizes[0][a] + sizes[1][b] - shared)
    ]
    return np.array(same, np.int64).reshape(-1, 2)


def write_labels(results: str | Path | Store, block: Block, table: np.ndarray) -> None:
    """Write one block of the finished label image; `table` has rows of (label, object)."""
    kept = _Results(results)
    labels = kept.block(block)[block.inside(block.start, block.stop)]
    numbers = np.zeros(labels.max(initial=0) + 1, np.uint32)
    numbers[table[:, 0]] = table[:, 1]
    kept.array("labels/0")[block.core] = numbers[labels]


class _Results:
    """The store of a run: arrays, and tables beside them."""

    def __init__(self, store: str | Path | Store) -> None:
        self.group = zarr.open_group(store, mode="r+", zarr_format=2)
        self.store: Store = self.group.store

    def put_block(self, block: Block, labels: np.ndarray) -> None:
        self.array("blocks")[self._place(block)] = labels

    def block(self, block: Block) -> np.ndarray:
        return np.asarray(self.array("blocks")[self._place(block)])

    def array(self, path: str) -> zarr.Array[Any]:
        found = self.group[path]
        assert isinstance(found, zarr.Array)
        return found

    def _place(self, block: Block) -> tuple[slice, ...]:
        """Where the labels of a block lie in the array ``blocks``: in a chunk of their own."""
        start = [n * size for n, size in zip(block.at, self.array("blocks").chunks, strict=True)]
        sizes = [b - a for a, b in zip(block.first, block.last, strict=True)]
        return _slices(start, [a + size for a, size in zip(start, sizes, strict=True)])

    def put_table(self, key: str, table: pd.DataFrame) -> None:
        """Keep a table as Parquet; it is there whole or not at all."""
        file = io.BytesIO()
        table.to_parquet(file, index=False)
        buffer = default_buffer_prototype().buffer.from_bytes(file.getvalue())
        sync(self.store.set(key, buffer))

    def table(self, key: str) -> pd.DataFrame:
        buffer = sync(self.store.get(key, default_buffer_prototype()))
        if buffer is None:
            raise OmeZarrError(f"{self.store} holds no {key}.")
        return pd.read_parquet(io.BytesIO(buffer.to_bytes()))

    def names(self, prefix: str) -> set[str]:
        """Names of the objects below a prefix."""

        async def listed() -> set[str]:
            return {key.rsplit("/", 1)[-1] async for key in self.store.list_prefix(prefix)}

        return sync(listed())


# Joining


def _shared(one: Block, other: Block) -> tuple[list[int], list[int]]:
    """The box in which two neighbouring blocks are compared."""
    start = [max(a, b) for a, b in zip(one.first, other.first, strict=True)]
    stop = [min(a, b) for a, b in zip(one.last, other.last, strict=True)]
    [axis] = [n for n, (a, b) in enumerate(zip(one.at, other.at, strict=True)) if a != b]
    cut = one.stop[axis]
    start[axis] = cut - (cut - start[axis] + 1) // 2
    stop[axis] = cut + (stop[axis] - cut + 1) // 2
    return start, stop


def _join(found: np.ndarray, pairs: np.ndarray) -> tuple[np.ndarray, int]:
    """Number the objects from 1.

    Parameters
    ----------
    found : numpy.ndarray
        Rows of (block, label): all labels inside of blocks.
    pairs : numpy.ndarray
        Rows of (block, label, block, label): labels that are one object. They may also name a
        label that is seen in the overlap of a block only, and links two others.

    Returns
    -------
    objects : numpy.ndarray
        The object of each row of `found`.
    count : int
        How many objects there are.
    """
    every = np.concatenate([found, pairs[:, :2], pairs[:, 2:]])
    nodes, at = np.unique(every, axis=0, return_inverse=True)
    one, other = np.split(at[len(found) :], 2)
    links = coo_array((np.ones(len(one)), (one, other)), shape=(len(nodes), len(nodes)))
    _, joined = connected_components(links, directed=False)
    numbers, objects = np.unique(joined[at[: len(found)]], return_inverse=True)
    return objects + 1, len(numbers)


def _sum_parts(found: pd.DataFrame) -> pd.DataFrame:
    """One row for each object, from one row for each of its parts."""
    means = ["intensity_mean", *_AXES]
    found = found.assign(**{name: found[name] * found["voxels"] for name in means})
    how = {"voxels": "sum"} | dict.fromkeys(means, "sum")
    how |= {f"{axis}0": "min" for axis in _AXES} | {f"{axis}1": "max" for axis in _AXES}
    grouped = found.groupby("object")
    objects = grouped.agg(how)
    objects[means] = objects[means].div(objects["voxels"], axis=0)
    objects["blocks"] = grouped["block"].nunique()
    return objects.rename_axis("label").reset_index()


def compare_labels(labels: np.ndarray, truth: np.ndarray) -> dict[str, int]:
    """Count found objects against true ones.

    Parameters
    ----------
    labels, truth : numpy.ndarray
        Label images of one shape, 0 for background.

    Returns
    -------
    dict of str to int
        "objects" in `labels`, "true objects" in `truth`, and "found": true objects of which one
        label covers more than half, counting the voxels of both together.
    """
    ours, names = pd.factorize(np.ravel(labels))
    true, true_names = pd.factorize(np.ravel(truth))
    shared = np.bincount(true * len(names) + ours, minlength=len(names) * len(true_names))
    shared = shared.reshape(len(true_names), len(names))
    together = shared.sum(1, keepdims=True) + shared.sum(0, keepdims=True) - shared
    agreeing = (shared > AGREEMENT * together)[np.ix_(true_names != 0, names != 0)]
    return {
        "objects": int(np.count_nonzero(names)),
        "true objects": int(np.count_nonzero(true_names)),
        "found": int(agreeing.any(axis=1).sum()) if agreeing.size else 0,
    }


# Small things


def _slices(start: Sequence[int], stop: Sequence[int]) -> tuple[slice, ...]:
    return tuple(slice(a, b) for a, b in zip(start, stop, strict=True))


def _next(at: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return tuple(n + (number == axis) for number, n in enumerate(at))


def _plain(value: Any) -> Any:
    """A parameter as JSON keeps it."""
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    return list(value) if isinstance(value, tuple) else value


def _source_of(function: Segment) -> str:
    """The text of a function, which tells whether it was changed."""
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        return f"{type(function).__name__} {getattr(function, '__qualname__', '')}".strip()


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
        for axis, unit in zip(_AXES, image.units[-3:], strict=True)
    ]
    scale = {"type": "scale", "scale": [float(size) for size in image.scales[index][-3:]]}
    datasets = [{"path": "0", "coordinateTransformations": [scale]}]
    return {"version": "0.4", "name": "labels", "axes": axes, "datasets": datasets}
