"""What the workers do with one block."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from skimage.measure import regionprops_table
from zarr.abc.store import Store

from ..errors import OmeZarrError
from ..stored_array import StoredArray
from .blocks import AXES, Block
from .results import RunResults

Segment = Callable[..., np.ndarray]

_PROPERTIES = ("label", "area", "intensity_mean", "centroid", "bbox")


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
    stored, leading_index = volume
    pixels = stored[(*leading_index, *block.padded)]
    labels = np.asarray(segment(pixels, **parameters))
    if labels.shape != pixels.shape or labels.dtype.kind not in "iu":
        raise OmeZarrError(
            f"segment should return whole numbers of shape {pixels.shape}, but it returned "
            f"{labels.dtype} of shape {labels.shape}."
        )
    kept = RunResults(results)
    kept.put_block(block, labels)
    core = block.inside(block.start, block.stop)
    part = measure(labels[core], pixels[core], block.start)
    kept.put_table(_part_of(block), part)  # last: this makes the block a done one


def _part_of(block: Block) -> str:
    """The key of what is measured in a block."""
    return f"parts/{block.name}.parquet"


def segment_missing_block(
    results: str | Path | Store,
    volume: tuple[StoredArray, tuple[int, ...]],
    segment: Segment,
    parameters: dict[str, Any],
    block: Block,
) -> None:
    """The same, unless another process that shares the work has done the block meanwhile."""
    if not RunResults(results).has(_part_of(block)):
        segment_block(results, volume, segment, parameters, block)


def measure(labels: np.ndarray, pixels: np.ndarray, start: Sequence[int]) -> pd.DataFrame:
    """Measure the part of each object that lies in one block, in voxels of the whole volume."""
    found = pd.DataFrame(regionprops_table(labels, pixels, properties=_PROPERTIES))
    found = found.rename(columns={"area": "voxels"})
    for number, (axis, at) in enumerate(zip(AXES, start, strict=True)):
        found[axis] = found.pop(f"centroid-{number}") + at
        found[f"{axis}0"] = found.pop(f"bbox-{number}") + at
        found[f"{axis}1"] = found.pop(f"bbox-{number + 3}") + at
    return found


def write_labels(results: str | Path | Store, block: Block, table: np.ndarray) -> None:
    """Write one block of the finished label image; `table` has rows of (label, object)."""
    kept = RunResults(results)
    labels = kept.block(block)[block.inside(block.start, block.stop)]
    numbers = np.zeros(labels.max(initial=0) + 1, np.uint32)
    numbers[table[:, 0]] = table[:, 1]
    kept.array("labels/0")[block.core] = numbers[labels]
