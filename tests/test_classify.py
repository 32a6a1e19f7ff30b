"""The pixel classifier of notebook 09: its own cells, what they find, and the memory they take.

The cells are run as they are stored, with the names that cells above them have made.
"""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest

from data_helpers import compare_labels, open_multiscale

pytest.importorskip("sklearn")
pytest.importorskip("cp_measure")
SOLUTION = Path(__file__).parent.parent / "notebooks" / "solutions" / "09_hand_over.ipynb"
CELLS = "imports imports-2 iou split strokes features learner probability chances examples"


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    """Names that the notebook's cells make of the synthetic 6001247."""
    image = open_multiscale("s3://idr/zarr/v0.4/idr0062A/6001247.zarr", source="offline")
    found = {"image": image, "pixels": image.levels[1][0].persist()}
    found["truth"] = image.stored_labels("1")[0, 0]
    cells = {cell.id: cell.source for cell in nbformat.read(SOLUTION, as_version=4).cells}
    for name in CELLS.split():
        exec(cells[name], found)
    return found


def train(names: dict[str, Any], *planes: int) -> None:
    numbers, classes = zip(*(names["examples"](z) for z in planes), strict=True)
    names["forest"] = names["learner"].fit(np.concatenate(numbers), np.concatenate(classes))


def test_two_planes_of_scribbles_find_all_but_one_nucleus(names: dict[str, Any]) -> None:
    train(names, 128, 215)
    chances = names["chances"](names["pixels"]).compute(num_workers=2)
    labels, truth = names["split"](chances > 0.5), names["truth"]
    found = compare_labels(labels, truth)
    assert (found["matched"], found["missed"], found["false"]) == (47, 1, 0)
    assert names["iou"](labels, truth) > 0.86
    deep = slice(220, 238)  # far from plane 128, whose nuclei are brighter
    assert names["iou"](labels[deep], truth[deep]) > 0.85


def test_one_plane_does_worse_deep_in_the_stack(names: dict[str, Any]) -> None:
    train(names, 128)
    part = slice(200, 257)
    chances = names["chances"](names["pixels"][:, part]).compute(num_workers=2)
    assert names["iou"](chances > 0.5, names["truth"][part]) < 0.8


def test_blocks_and_the_whole_stack_have_the_same_chances(names: dict[str, Any]) -> None:
    train(names, 128)
    part = names["pixels"][:, 90:160]
    blocks = names["chances"](part)
    assert blocks.numblocks == (3, 1, 1)
    np.testing.assert_array_equal(blocks.compute(), names["probability"](part.compute()))


def peak(work: Any) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_depends_on_the_block_and_not_on_the_stack(names: dict[str, Any]) -> None:
    train(names, 128)
    short, long = names["pixels"][:, :96], names["pixels"][:, :192]
    in_blocks = [
        peak(lambda s=s: names["chances"](s).compute(num_workers=1)) for s in (short, long)
    ]
    at_once = peak(lambda: names["probability"](long.compute()))
    assert in_blocks[1] < 1.5 * in_blocks[0], "the map itself grows, but nothing else"
    assert in_blocks[1] < 0.6 * at_once
