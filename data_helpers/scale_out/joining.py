"""From the parts of objects, block by block, to whole objects."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from .blocks import AXES


def join(found: np.ndarray, pairs: np.ndarray) -> tuple[np.ndarray, int]:
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


def sum_parts(found: pd.DataFrame) -> pd.DataFrame:
    """One row for each object, from one row for each of its parts."""
    means = ["intensity_mean", *AXES]
    found = found.assign(**{name: found[name] * found["voxels"] for name in means})
    how = {"voxels": "sum"} | dict.fromkeys(means, "sum")
    how |= {f"{axis}0": "min" for axis in AXES} | {f"{axis}1": "max" for axis in AXES}
    grouped = found.groupby("object")
    objects = grouped.agg(how)
    objects[means] = objects[means].div(objects["voxels"], axis=0)
    objects["blocks"] = grouped["block"].nunique()
    return objects.rename_axis("label").reset_index()
