"""Checks of notebook 09, hand over to other tools.

What is right is worked out from the pixels and labels in hand; no result is written down here.
"""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pandas as pd
from skimage.measure import regionprops_table

from . import classify_09
from .feedback import a_kind, call, check, expect, same
from .steps import Steps

STEPS = Steps("Notebook 09")
progress = STEPS.progress

LAMIN, DAPI = 0, 1
PLANE = 128
# What wrong formulas give for two outlines of 8 and 16 voxels of 28 that share 4, and why.
IOU_HINTS = {
    0: "two outlines that share voxels get 0. Don't compare the numbers of the labels: found > 0 "
    "is true inside any nucleus.",
    4 / 24: "what both cover is counted twice below the line: either is one | the other, not the "
    "sum of the two.",
    2
    * 4
    / 24: "this is the Dice score, 2 · both / (found + published). IoU divides both by either.",
    20 / 4: "this is upside down: divide both by either.",
    4: "this is the number of voxels that both cover: divide it by those that either covers.",
    4 / 8: "this divides by the voxels of found only: divide by either.",
    4 / 16: "this divides by the voxels of published only, so a segmentation that covers far too "
    "much still gets 1: divide by either.",
    4 / 28: "this divides by all voxels, background included: divide by either.",
}


@check(STEPS, 1)
def forms(plane: Any, stack: Any, pixels: da.Array) -> str:
    """Check a plane as CellProfiler takes it, and the stack as ilastik does."""
    largest = np.iinfo(pixels.dtype).max
    for name, answer in {"plane": plane, "stack": stack}.items():
        expect(
            not isinstance(answer, np.ndarray),
            f"{name} is in memory already: leave out .compute(), so that it's read when a tool "
            "asks for it.",
        )
        expect(isinstance(answer, da.Array), f"{name} should be lazy, not {a_kind(answer)}.")
    expect(
        plane.shape != pixels.shape[1:],
        f"plane is a whole stack, of shape {plane.shape}: pick one plane, pixels[1, 128].",
    )
    expect(
        plane.shape == pixels.shape[2:],
        f"plane has shape {plane.shape}, not {pixels.shape[2:]}: the axes of pixels are c, z, y "
        "and x, so write pixels[1, 128].",
    )
    found, right = np.asarray(plane.compute()), np.asarray(pixels[DAPI, PLANE].compute())
    expect(
        not same(found, right),
        f"these are numbers up to {found.max():,.0f}. CellProfiler wants fractions from 0 to 1: "
        f"divide by {largest:,}.",
    )
    expect(
        found.max() <= 1,
        f"the largest value is {found.max():,.0f}, but it mustn't exceed 1: divide by {largest:,}.",
    )
    expect(
        not np.issubdtype(found.dtype, np.integer),
        "these are whole numbers, so nearly all of them became 0: divide with /, not with //.",
    )
    expect(
        not np.allclose(found, right / right.max()),
        "this divides by the brightest pixel of the plane, so planes can't be compared any more. "
        f"Divide by {largest:,}, whatever the plane.",
    )
    expect(
        not np.allclose(found, right / 255),
        f"255 belongs to uint8. These pixels are {pixels.dtype}, which ends at {largest:,}.",
    )
    expect(
        not np.allclose(found, pixels[LAMIN, PLANE].compute() / largest),
        "this is channel 0, LaminB1: DAPI is channel 1.",
    )
    expect(
        np.allclose(found, right / largest),
        f"these are not the pixels of channel 1, plane 128, divided by {largest:,}.",
    )
    return _stack_for_ilastik(stack, pixels)


def _stack_for_ilastik(stack: da.Array, pixels: da.Array) -> str:
    wanted = (*pixels.shape[1:], pixels.shape[0])
    expect(
        stack.shape != pixels.shape,
        "stack still begins with the channel: da.moveaxis(pixels, 0, -1) moves it to the end.",
    )
    expect(
        stack.shape != pixels.shape[::-1],
        f"all axes were turned round, {stack.shape}, so x comes first: move only the channel, with "
        "da.moveaxis.",
    )
    expect(stack.ndim == 4, f"stack has {stack.ndim} axes: keep both channels, and all of z, y, x.")
    expect(
        stack.shape == wanted,
        f"stack has shape {stack.shape}, not {wanted}: z, y and x keep their order, and the "
        "channel comes last.",
    )
    expect(
        stack.dtype == pixels.dtype,
        f"stack is {stack.dtype}: ilastik takes {pixels.dtype} as it is, so don't divide.",
    )
    expect(
        same(stack[PLANE].compute(), np.moveaxis(pixels[:, PLANE].compute(), 0, -1)),
        "the shape is right, but the pixels got into another order: use da.moveaxis, not reshape.",
    )
    return f"a plane {plane_of(pixels)} from 0 to 1, and a stack {wanted} that ends with c."


def plane_of(pixels: da.Array) -> tuple[int, ...]:
    """Shape of one plane."""
    return tuple(pixels.shape[2:])


@check(STEPS, 2)
def shapes(shapes: Any, masks: np.ndarray) -> str:
    """Check what cp_measure found out about the size and shape of each nucleus."""
    expect(
        not callable(shapes),
        "this is the function itself: call it, with (masks, None) behind it.",
    )
    expect(
        isinstance(shapes, dict | pd.DataFrame),
        f"shapes should be a dictionary of measurements, not {a_kind(shapes)}.",
    )
    expect(
        not any(callable(one) for one in shapes.values()),
        'this is the dictionary of functions: pick one with ["sizeshape"], then call it.',
    )
    expect(
        "Intensity_MeanIntensity" not in shapes,
        'these are intensities: pick "sizeshape".',
    )
    expect(
        "Volume" not in shapes,
        "the whole stack was measured: give it masks, the labels of plane 128.",
    )
    expect("Area" in shapes, 'there is no "Area" among these: pick "sizeshape".')
    areas = np.asarray(shapes["Area"], float)
    right = regionprops_table(masks, properties=("label", "area"))
    expect(
        len(areas) != 1 or len(right["label"]) == 1,
        "all nuclei were measured as one: give it masks with their numbers, not masks > 0.",
    )
    expect(
        len(areas) == len(right["label"]),
        f"{len(areas)} objects were measured, but masks holds {len(right['label'])} labels. Are "
        "these pixels, or the labels of another plane?",
    )
    expect(
        np.allclose(areas, right["area"]),
        "these are not the areas of masks: give it masks as they are.",
    )
    return f"{len(shapes)} measurements of each of {len(areas)} nuclei."


@check(STEPS, 3)
def percent(percent: Any, wells: pd.DataFrame) -> str:
    """Check the table of wells in the shape of the plate."""
    expect(
        isinstance(percent, pd.DataFrame),
        f"percent should be a table with the shape of the plate, not {a_kind(percent)}: "
        "wells.pivot(...) makes one.",
    )
    rows, columns = wells["row"].unique(), wells["column"].unique()
    expect(
        percent.shape != wells.shape,
        "this is still the long table, one line for each well: wells.pivot(...) arranges it.",
    )
    expect(
        percent.columns.nlevels == 1,
        'every measurement was arranged: pick one, with values="percent_stained".',
    )
    expect(
        percent.shape != (len(columns), len(rows)) or len(rows) == len(columns),
        "the plate lies on its side: rows of the plate are the index, columns the columns.",
    )
    expect(
        percent.shape == (len(rows), len(columns)),
        f"percent has {percent.shape[0]} rows and {percent.shape[1]} columns, but the plate has "
        f'{len(rows)} and {len(columns)}: pivot(index="row", columns="column", ...).',
    )
    gaps = percent.shape[0] * percent.shape[1] - wells["percent_stained"].notna().sum()
    expect(
        int(percent.isna().to_numpy().sum()) == gaps,
        f"{gaps} wells weren't measured, and NaN says so. Leave it: 0 would mean no stained cell.",
    )
    for name in ("nuclei", "stained", "area_um2"):
        other = wells.pivot(index="row", columns="column", values=name)
        expect(
            not np.allclose(percent, other, equal_nan=True),
            f'these are the values of "{name}": pick "percent_stained".',
        )
    right = wells.pivot(index="row", columns="column", values="percent_stained")
    expect(
        not np.allclose(100 * percent, right, equal_nan=True),
        "these are shares from 0 to 1: leave the percent as they are.",
    )
    expect(np.allclose(percent, right, equal_nan=True), "these aren't the percent of each well.")
    return f"{len(rows)} rows, {len(columns)} columns, {gaps} wells missing."


@check(STEPS, 4)
def iou(iou: Any, truth: np.ndarray) -> str:
    """Check the function that compares two label images voxel by voxel."""
    one = np.zeros((7, 4), "uint32")
    one[:2], other = 7, np.zeros_like(one)
    other[1:2], other[2:5] = 9, 4  # one 8, other 16, both 4, either 20, all 28
    result = _number(call(iou, "iou", one, other), "iou")
    for wrong, hint in IOU_HINTS.items():
        expect(not np.isclose(result, wrong), hint)
    expect(
        np.isclose(result, 4 / 20),
        "two outlines that cover 20 voxels and share 4 of them should give 0.20, and yours gives "
        f"{result:.2f}.",
    )
    alone = np.zeros_like(one)
    alone[0] = 3
    expect(
        np.isclose(_number(iou(one, alone), "iou"), 0.5),
        "with one outline inside the other it goes wrong. Is it both.sum() / either.sum()?",
    )
    expect(
        np.isclose(_number(iou(truth, truth), "iou"), 1),
        "the published labels, compared with themselves, should give 1.",
    )
    return "1 for the same outline, 0 for two that share nothing."


def _number(result: Any, name: str) -> float:
    expect(
        np.ndim(result) == 0 and np.issubdtype(np.asarray(result).dtype, np.number),
        f"{name} should return one number, not {a_kind(result)}: does it end with .sum()?",
    )
    return float(result)


scribbles = check(STEPS, 5)(classify_09.scribbles)
forest = check(STEPS, 6)(classify_09.forest)
honest = check(STEPS, 6)(classify_09.honest)
chances = check(STEPS, 7)(classify_09.chances)
mine = check(STEPS, 8)(classify_09.mine)
