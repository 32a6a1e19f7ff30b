"""Which labels of two label images are the same object."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from zarr.abc.store import Store

from .blocks import Block, shared_box
from .results import RunResults

IOU_THRESHOLD = 0.5
"""Two labels match if their intersection over union (IoU) is larger than this."""


def matching_labels(results: str | Path | Store, one: Block, other: Block) -> np.ndarray:
    """Pairs of labels of two neighbouring blocks that are the same object.

    Compared is what both have seen, half the overlap on each side of the cut: further out, each
    block knows less of what surrounds an object.
    """
    kept = RunResults(results)
    start, stop = shared_box(one, other)
    labels = [kept.block(b)[b.inside(start, stop)].ravel() for b in (one, other)]
    both, together = np.unique(np.stack(labels, 1), axis=0, return_counts=True)
    sizes = [dict(zip(*np.unique(side, return_counts=True), strict=True)) for side in labels]
    same = [
        (a, b)
        for (a, b), shared in zip(both.tolist(), together.tolist(), strict=True)
        if a and b and shared > IOU_THRESHOLD * (sizes[0][a] + sizes[1][b] - shared)
    ]
    return np.array(same, np.int64).reshape(-1, 2)


def compare_labels(labels: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Count found objects against true ones.

    An object and a true object match if their intersection over union (IoU), the voxels that they
    share divided by the voxels of both together, is larger than 0.5. So each has one match at most.

    Parameters
    ----------
    labels, truth : numpy.ndarray
        Label images of one shape, 0 for background.

    Returns
    -------
    dict of str to float
        "objects" in `labels`, "true objects" in `truth`; how many of them are "matched", how many
        true ones "missed", how many found ones "false"; and "F1", the share of matched ones among
        all: 2 · matched / (objects + true objects), from 0 to 1.
    """
    ours, names = pd.factorize(np.ravel(labels))
    true, true_names = pd.factorize(np.ravel(truth))
    shared = np.bincount(true * len(names) + ours, minlength=len(names) * len(true_names))
    shared = shared.reshape(len(true_names), len(names))
    union = shared.sum(1, keepdims=True) + shared.sum(0, keepdims=True) - shared
    matches = (shared > IOU_THRESHOLD * union)[np.ix_(true_names != 0, names != 0)]
    objects, true_objects = int(np.count_nonzero(names)), int(np.count_nonzero(true_names))
    matched = int(np.count_nonzero(matches))
    return {
        "objects": objects,
        "true objects": true_objects,
        "matched": matched,
        "missed": true_objects - matched,
        "false": objects - matched,
        "F1": 2 * matched / (objects + true_objects) if objects + true_objects else 1.0,
    }
