"""Checks of notebook 04, overlay labels and measure them.

What is right is worked out from the image in hand; no result is written down here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from skimage.segmentation import find_boundaries

from ..multiscale import Multiscale
from .feedback import a_kind, array_of, check, expect, same
from .steps import Steps

STEPS = Steps("Notebook 04")
progress = STEPS.progress

LAMIN, DAPI = 0, 1
COLUMNS = ("label", "area", "intensity_mean-0", "intensity_mean-1")


@check(STEPS, 1)
def pixels(pixels: Any, image: Multiscale) -> str:
    """Check that all pixels of the finest level were loaded."""
    loaded = array_of(pixels, "pixels")
    shapes = [array.shape for array in image.stored]
    labels_kind = image.stored_labels(0).dtype
    expect(
        not _is_kind(loaded, labels_kind) or _is_kind(loaded, image.stored[0].dtype),
        f"these look like labels: they're {loaded.dtype}, and the pixels of the image are "
        f"{image.stored[0].dtype}. Labels come in step 2; load_binary_from_s3_with_data loads "
        "pixels.",
    )
    expect(
        loaded.shape not in shapes[1:],
        f"this is a coarser level, {loaded.shape}. The published labels belong to the finest one, "
        f"level 0, of shape {shapes[0]}.",
    )
    expect(
        loaded.ndim == 5,
        f"pixels has shape {loaded.shape}, but level 0 has {shapes[0]}: keep all five axes for "
        "now, t, c, z, y and x.",
    )
    expect(
        loaded.shape[-2:] == shapes[0][-2:],
        f"pixels has shape {loaded.shape}, but level 0 has {shapes[0]}: this looks like another "
        "image, or a part of this one.",
    )
    expect(
        loaded.shape == shapes[0],
        f"pixels has shape {loaded.shape}, but level 0 has {shapes[0]}: load the whole level, "
        "every channel and plane.",
    )
    one, other = (0, 0, shapes[0][2] // 3), (0, 1, shapes[0][2] // 3)
    first, second = image.stored[0][one], image.stored[0][other]
    expect(
        same(loaded[one], first) or not same(loaded[one], second),
        "the channels are in another order than in the image: leave the pixels as they were "
        "loaded.",
    )
    expect(
        same(loaded[one], first) and same(loaded[other], second),
        "the shape is right, but the pixel values are not those of the image. Load them again, and "
        "leave them as they are.",
    )
    return f"{loaded.nbytes / 1e6:.3g} MB of pixels are in memory, with axes t, c, z, y, x."


@check(STEPS, 2)
def labels(labels: Any, image: Multiscale) -> str:
    """Check that the label image was loaded and computed."""
    found = array_of(labels, "labels")
    stored = image.stored_labels(0)
    expect(
        found.shape != image.stored[0].shape,
        "this is the image, with its two channels. Use load_labels_from_s3 to open the labels.",
    )
    expect(
        found.ndim == 5,
        f"labels has shape {found.shape}, but the label image has {stored.shape}: keep all five "
        "axes for now, and compute all of it.",
    )
    expect(
        found.shape == stored.shape,
        f"labels has shape {found.shape}, but the label image has {stored.shape}: compute all "
        "of it.",
    )
    expect(
        found.dtype != bool and found.max() > 1,
        "this only says where there's a nucleus. Each nucleus needs its own number: keep the "
        "labels as they were loaded.",
    )
    expect(
        np.issubdtype(found.dtype, np.integer),
        f"labels are whole numbers, but these are {found.dtype}: keep the type they have.",
    )
    at = (0, 0, stored.shape[2] // 3)
    expect(
        not any(same(found[at], image.stored[0][0, c, at[2]]) for c in (LAMIN, DAPI)),
        "these are pixels, a channel of the image: load_labels_from_s3 opens the labels.",
    )
    expect(
        same(found[at], stored[at]) or not same(found[at], stored[at].astype(found.dtype)),
        f"{found.dtype} is too small for these numbers, so they were changed: keep {stored.dtype}.",
    )
    expect(same(found[at], stored[at]), "these are not the values of the stored label image.")
    return f"{_count(found)} labels, and a channel axis of length {found.shape[1]}."


@check(STEPS, 3)
def channels(lamin: Any, dapi: Any, masks: Any, pixels: np.ndarray, labels: np.ndarray) -> str:
    """Check the two channels and the labels as three stacks of the same shape (z, y, x)."""
    shape = pixels.shape[2:]
    for name, answer in {"lamin": lamin, "dapi": dapi, "masks": masks}.items():
        stack = array_of(answer, name)
        expect(
            stack.ndim == 3,
            f"{name} has {stack.ndim} axes, but a stack has three (z, y, x): pick one time and "
            "one channel, such as [0, 0].",
        )
        expect(
            stack.shape == shape,
            f"{name} has shape {stack.shape}, not {shape}: the first two axes are t and c, so "
            "write [0, c] and keep z, y and x whole.",
        )
    expect(
        not (same(lamin, pixels[0, DAPI]) and same(dapi, pixels[0, LAMIN])),
        "the channels are swapped: LaminB1 is channel 0 and DAPI is channel 1.",
    )
    for name, stack in {"lamin": lamin, "dapi": dapi}.items():
        expect(
            not same(stack, labels[0, 0]),
            f"{name} holds the labels: take it from pixels.",
        )
    expect(
        not same(lamin, pixels[0, DAPI]),
        "lamin is not channel 0 of pixels (LaminB1), but the second channel, DAPI.",
    )
    expect(same(lamin, pixels[0, LAMIN]), "lamin is not channel 0 of pixels (LaminB1).")
    expect(
        not same(dapi, pixels[0, LAMIN]), "dapi is the first channel, LaminB1: DAPI is channel 1."
    )
    expect(same(dapi, pixels[0, DAPI]), "dapi is not channel 1 of pixels (DAPI).")
    expect(
        not (same(masks, lamin) or same(masks, dapi)),
        "masks is a channel of the image: take it from labels.",
    )
    expect(
        np.asarray(masks).dtype != bool,
        "masks only says where there's a nucleus: keep the numbers, as they are in labels.",
    )
    expect(
        same(masks, labels[0, 0]),
        "masks are not the stored labels. The labels have one channel for the whole image, so its "
        "index is 0.",
    )
    return f"three stacks of shape {shape}, which match pixel by pixel."


@check(STEPS, 4)
def overlay(outlined: Any, filled: Any, dapi: np.ndarray, masks: np.ndarray, z: int) -> str:
    """Check one plane with its labels as outlines, and as colour."""
    height, width = masks.shape[1:]
    for name, answer in {"outlined": outlined, "filled": filled}.items():
        picture = array_of(answer, name)
        expect(
            picture.shape == (height, width, 3),
            f"{name} has shape {picture.shape}; a picture of one plane has {height, width, 3}: "
            "give overlay_labels dapi[z] and masks[z].",
        )
    on, off = _magenta(outlined), _magenta(filled)
    lines = find_boundaries(masks[z], mode="inner")
    expect(
        not (same(off, lines) and not on.any()),
        'the two are swapped: style="outline" belongs to outlined, style="fill" to filled.',
    )
    expect(
        on.any(), 'outlined shows no outlines: use style="outline", and a plane with labels in it.'
    )
    expect(
        same(on, lines),
        "labels and plane are not aligned: the outlines are not those of masks[z]. Use the same "
        "z for dapi and for masks.",
    )
    expect(
        not same(outlined, filled) and not off.any(),
        'filled shows outlines: use style="fill" there.',
    )
    expect(
        _follows(outlined[~lines][:, 0], dapi[z][~lines]),
        "labels and plane are not aligned: the grey picture is not dapi[z]. Use the same z, and "
        "the DAPI channel.",
    )
    colored = np.ptp(filled, axis=-1) > 1e-6
    expect(
        colored[masks[z] > 0].mean() > 0.9 and not colored[masks[z] == 0].any(),
        "the colours of filled do not match masks[z]: use the same z for dapi and for masks.",
    )
    away = masks[z] == 0
    expect(
        _follows(filled[away][:, 0], dapi[z][away]),
        "filled shows other pixels than outlined: give it dapi[z], too.",
    )
    return "the outlines follow the labels of the same plane."


@check(STEPS, 5)
def voxel_size(voxel_size: Any, image: Multiscale) -> str:
    """Check the size of a voxel along z, y and x, from the metadata."""
    expect(
        isinstance(voxel_size, Sequence | np.ndarray) and not isinstance(voxel_size, str),
        f"voxel_size should be a tuple of three numbers (z, y, x), not {a_kind(voxel_size)}.",
    )
    expect(
        not any(isinstance(number, str | type(None)) for number in voxel_size),
        "these are names of axes or units. The sizes are in copy.scales[0].",
    )
    expect(
        not any(isinstance(number, Sequence) for number in voxel_size),
        "these are the sizes of several levels: take those of level 0, scales[0].",
    )
    size = tuple(float(number) for number in voxel_size)
    truth = image.scales[0][2:]
    expect(
        len(size) != len(image.scales[0]),
        "these are five numbers, for t, c, z, y and x: leave out the first two with [2:].",
    )
    expect(len(size) == 3, f"voxel_size needs three numbers (z, y, x), not {len(size)}.")
    expect(
        any(abs(number - 1) > 1e-9 for number in size),
        "every size is 1, so these are not sizes in µm: version 0.1 metadata have none. Take them "
        "from the v0.4 copy.",
    )
    expect(
        not any(np.allclose(size, scale[2:]) for scale in image.scales[1:]),
        "this is the voxel size of a coarser level: the labels belong to level 0, scales[0].",
    )
    expect(
        np.allclose(size, truth) or not np.allclose(size, truth[::-1]),
        "the order is reversed: the axes are z, y, x, and z comes first.",
    )
    expect(
        np.allclose(size, truth) or not np.allclose(size, image.scales[0][:3]),
        "these are the sizes along t, c and z, the first three: take the last three, with [2:].",
    )
    expect(
        not np.allclose(np.array(size) / 1000, truth),
        "these are nanometres: leave the sizes in µm, as they are in the metadata.",
    )
    expect(
        not np.array_equal(size, image.stored[0].shape[2:]),
        "this is how many voxels there are. For the size of one, look in copy.scales[0].",
    )
    expect(np.allclose(size, truth), "these are not the z, y and x scales of level 0.")
    return f"a voxel is {np.prod(size):.4f} µm³, taller than wide."


@check(STEPS, 6)
def measured(
    measured: Any, masks: np.ndarray, lamin: np.ndarray, dapi: np.ndarray, voxel_size: Any
) -> str:
    """Check the table of `regionprops_table`: label, volume and intensity in both channels."""
    expect(
        isinstance(measured, dict | pd.DataFrame),
        f"measured should be the dictionary from regionprops_table, not {a_kind(measured)}.",
    )
    missing = [name for name in COLUMNS if name not in measured]
    expect(
        "intensity_mean" not in measured,
        "only one channel was measured: stack both along a last axis, "
        "np.stack([lamin, dapi], axis=-1).",
    )
    expect(
        not missing,
        f'the table has no {", ".join(missing)}: ask for properties=("label", "area", '
        '"intensity_mean") and give intensity_image both channels.',
    )
    expect(
        "intensity_mean-2" not in measured,
        "three channels were measured, but there are two: np.stack([lamin, dapi], axis=-1).",
    )
    numbers = np.unique(masks[masks > 0])
    table = {name: np.asarray(measured[name], float) for name in COLUMNS}
    expect(
        0 not in table["label"], "the background, label 0, is in the table: it is not a nucleus."
    )
    expect(
        len(table["label"]) != 1 or len(numbers) == 1,
        "all nuclei were measured as one: give regionprops_table masks with their numbers, not "
        "masks > 0.",
    )
    expect(
        same(np.sort(table["label"]), numbers),
        f"the table has {len(table['label'])} rows, but masks hold {len(numbers)} labels: measure "
        "the whole stack at once, without changing masks.",
    )
    label, voxels = numbers[0], masks == numbers[0]
    row = int(np.flatnonzero(table["label"] == label)[0])
    count, volume = float(voxels.sum()), float(voxels.sum() * np.prod(np.asarray(voxel_size)))
    expect(
        not np.isclose(table["area"][row], count) or np.isclose(count, volume),
        "the volumes are numbers of voxels, not µm³: give spacing=voxel_size.",
    )
    expect(
        np.isclose(table["area"][row], volume, rtol=1e-3),
        "the volumes do not match the voxel size: spacing takes (z, y, x) in µm.",
    )
    mean_lamin, mean_dapi = lamin[voxels].mean(), dapi[voxels].mean()
    both = [table["intensity_mean-0"][row], table["intensity_mean-1"][row]]
    expect(
        both[0] != both[1] or np.isclose(mean_lamin, mean_dapi),
        "the same channel was measured twice: stack lamin and dapi.",
    )
    expect(
        not np.isclose(table["intensity_mean-0"][row], mean_dapi)
        or np.isclose(mean_lamin, mean_dapi),
        "the channels are swapped: lamin comes first, then dapi.",
    )
    expect(
        np.isclose(table["intensity_mean-0"][row], mean_lamin)
        and np.isclose(table["intensity_mean-1"][row], mean_dapi),
        "the intensities are not those of lamin and dapi: stack the two unchanged.",
    )
    return f"{len(numbers)} nuclei, with a volume in µm³ and the mean of each channel."


@check(STEPS, 7)
def touches(touches: Any, measured: Any, masks: np.ndarray) -> str:
    """Check which nuclei touch the border of the stack."""
    if isinstance(touches, pd.Series):
        touches = touches.to_numpy()
    found = array_of(touches, "touches")
    faces = [np.take(masks, end, axis) for axis in range(masks.ndim) for end in (0, -1)]
    cut = np.unique(np.concatenate([face.ravel() for face in faces]))
    truth = np.isin(np.asarray(measured["label"]), cut)
    expect(
        found.shape == truth.shape,
        f"touches has shape {found.shape}, but it needs one true or false for each of the "
        f"{len(truth)} nuclei.",
    )
    expect(found.dtype == bool, "touches should hold true and false: use np.isin.")
    expect(
        not same(found, ~truth) or same(found, truth),
        "this is the other way round: it's true for the nuclei inside. Put ~ in front of it.",
    )
    expect(
        not (found < truth).any() or (found > truth).any(),
        "some nuclei at the border are missing: a stack has six faces, two for each axis.",
    )
    expect(
        same(found, truth),
        "these are the wrong nuclei: a nucleus touches the border if a face of masks, such as "
        "masks[0], contains its label.",
    )
    return f"{int(truth.sum())} of {len(truth)} nuclei are cut by the border of the stack."


def _count(labels: np.ndarray) -> int:
    return int(np.count_nonzero(np.unique(labels)))


def _is_kind(array: np.ndarray, dtype: np.dtype) -> bool:
    """Tell whether values are of a type, such as 32-bit whole numbers, in whatever byte order."""
    return (array.dtype.kind, array.dtype.itemsize) == (dtype.kind, dtype.itemsize)


def _magenta(picture: np.ndarray) -> np.ndarray:
    """Where a picture has the colour of outlines."""
    return np.all(np.isclose(picture, (1.0, 0.0, 1.0)), axis=-1)


def _follows(grey: np.ndarray, pixels: np.ndarray) -> bool:
    """Tell whether greys rise with the pixels they are made from, whatever the window."""
    if np.ptp(pixels) > 0 and np.ptp(grey) == 0:
        return False
    order = np.argsort(pixels, kind="stable")
    return bool(np.all(np.diff(np.asarray(grey, float)[order]) >= -1e-9))
