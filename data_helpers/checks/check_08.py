"""Checks of notebook 08, make an OME-Zarr image, check it and publish it.

What is right is worked out from the pixels in hand and from what was written to disk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from ..multiscale import Multiscale
from ..opening import open_multiscale
from .feedback import a_kind, check, expect, is_lazy, same
from .metadata_08 import SPACE, broken_copies, entries_of_labels, levels_there, sizes_and_units
from .steps import Steps

STEPS = Steps("Notebook 08")
progress = STEPS.progress

__all__ = ["broken_copies", "progress"]


@check(STEPS, 1)
def pixel_size(pixel_size: Any, tiff: Path) -> str:
    """Check the size of a pixel along y and x, as an OME-TIFF has it."""
    from tifffile import TiffFile, xml2dict

    with TiffFile(tiff) as opened:
        about = xml2dict(opened.ome_metadata or "")["OME"]["Image"]["Pixels"]
    truth = about["PhysicalSizeY"], about["PhysicalSizeX"]
    expect(
        not isinstance(pixel_size, Mapping),
        "these are all the metadata: take two of their values, for y and x.",
    )
    expect(
        isinstance(pixel_size, Sequence | np.ndarray) and not isinstance(pixel_size, str),
        f"pixel_size should be two numbers (y, x), not {a_kind(pixel_size)}.",
    )
    expect(
        not any(isinstance(one, str) for one in pixel_size),
        "these are words: the units, or the names of the entries. Take the numbers.",
    )
    expect(len(pixel_size) == 2, f"pixel_size needs two numbers (y, x), not {len(pixel_size)}.")
    size = tuple(float(one) for one in pixel_size)
    expect(
        size != (float(about["SizeY"]), float(about["SizeX"])),
        "this is how many pixels there are. How large one is, PhysicalSizeY and PhysicalSizeX say.",
    )
    expect(
        not np.allclose(np.array(size), np.array(truth) * 1000)
        and not np.allclose(np.array(size) * 1000, truth),
        "this is off by a factor of 1,000: leave the sizes in µm, as they are in the file.",
    )
    expect(np.allclose(size, truth), "these are not the sizes that the file has for y and x.")
    return f"a pixel is {size[0]:g} µm high and {size[1]:g} µm wide."


@check(STEPS, 2)
def described(dims: Any, scale: Any, units: Any, stack: np.ndarray, source: Multiscale) -> str:
    """Check the order of the axes, the sizes and the units of a stack (c, z, y, x)."""
    names = "".join(dims) if isinstance(dims, Sequence) else dims
    expect(isinstance(names, str), f"dims should be a string of letters, not {a_kind(dims)}.")
    expect(
        names == names.lower(),
        "write the letters of dims in lower case, as the format does.",
    )
    expect(
        len(names) == stack.ndim,
        f"the stack has {stack.ndim} axes, {stack.shape}, so dims needs {stack.ndim} letters, "
        f"not {len(names)}.",
    )
    expect(
        names != "zcyx" and names != "zyxc",
        f"the channels come first: the shape is {stack.shape}, and the 2 counts channels.",
    )
    expect(
        names != "cxyz",
        "z, y and x are the other way round: planes come first, then rows, then columns.",
    )
    expect(names == "czyx", f"dims says {names!r}; the shape {stack.shape} counts c, z, y and x.")
    for name, answer in {"scale": scale, "units": units}.items():
        expect(
            isinstance(answer, Mapping),
            f'{name} should be a dictionary with the keys "z", "y" and "x", not {a_kind(answer)}.',
        )
        absent = [axis for axis in SPACE if axis not in answer]
        expect(not absent, f"{name} says nothing about {' and '.join(absent)}.")
    return sizes_and_units(scale, units, source)


@check(STEPS, 3)
def invented(invented: Any, averaged: np.ndarray, plane: np.ndarray) -> str:
    """Check how many numbers of averaged labels belong to no object."""
    expect(
        not isinstance(invented, np.ndarray | list | set),
        "these are the numbers themselves. How many are there? len(...) counts them.",
    )
    expect(isinstance(invented, Real), f"invented should be a number, not {a_kind(invented)}.")
    new = np.setdiff1d(averaged, plane)
    expect(
        invented != np.isin(averaged, new).sum(),
        "this counts pixels. How many different numbers do they hold?",
    )
    expect(
        invented != len(np.unique(averaged)) and invented != len(np.unique(averaged)) - 1,
        "these are all the numbers in averaged: leave out those that are in plane, too.",
    )
    expect(
        invented != len(np.setdiff1d(plane, averaged)) or invented == len(new),
        "this is the other way round: the numbers that are in plane but not in averaged.",
    )
    expect(
        invented == len(new),
        "this is not how many numbers are in averaged but not in plane: np.setdiff1d(averaged, "
        "plane) lists them.",
    )
    return (
        f"{len(new)} numbers belong to no nucleus, beside {np.count_nonzero(np.unique(plane))} "
        "that do."
    )


@check(STEPS, 3)
def label_levels(levels: Any, masks: np.ndarray, scale: Any, factors: Any) -> str:
    """Check a pyramid of labels: its levels, and that no number in it is new."""
    images: Any = getattr(levels, "images", [])
    expect(
        images,
        f"label_levels should be what nz.to_multiscales returns, not {a_kind(levels)}.",
    )
    sizes = [masks.shape]
    for factor in factors:
        sizes.append(tuple(n // factor.get(a, 1) for n, a in zip(masks.shape, SPACE, strict=True)))
    found = [tuple(one.data.shape) for one in images]
    expect(
        found[0] == masks.shape,
        f"the finest level has shape {found[0]}; give nz.to_ngff_image all masks, {masks.shape}.",
    )
    expect(
        len(found) == len(sizes),
        f"there {'is' if len(found) == 1 else 'are'} {len(found)} level"
        f"{'s' * (len(found) != 1)}, but the image has {len(sizes)}: labels need the same ones. "
        "Use halve.",
    )
    expect(
        found == sizes,
        f"the levels have shapes {found}, but those of the image are {sizes}: halve y and x, not "
        "z, as in halve.",
    )
    first = [float(images[0].scale.get(axis, 1)) for axis in SPACE]
    expect(
        np.allclose(first, [float(scale[axis]) for axis in SPACE]),
        "the labels have other sizes than the image: give nz.to_ngff_image the same scale.",
    )
    units = images[0].axes_units or {}
    expect(
        all(units.get(axis) for axis in SPACE),
        "the labels have no units: give nz.to_ngff_image the same axes_units.",
    )
    computed = [np.asarray(one.data) for one in images]
    expect(
        same(computed[0], masks),
        "the finest level doesn't hold the labels as they are: give nz.to_ngff_image masks.",
    )
    expect(
        not any(len(np.setdiff1d(level, masks)) for level in computed[1:]),
        "the coarser levels hold numbers that no nucleus has, because labels were averaged or "
        "smoothed: use the mode, nz.Methods.DASK_IMAGE_MODE.",
    )
    return f"{len(found)} levels, and no number that wasn't there before."


@check(STEPS, 4)
def shards(per_shard: Any, stack: np.ndarray, chunks: Mapping[str, int]) -> str:
    """Check how many chunks go into a shard that holds a whole channel of (c, z, y, x)."""
    expect(
        isinstance(per_shard, Mapping),
        f'per_shard should be a dictionary like chunks, {{"c": ..., "z": ...}}, not '
        f"{a_kind(per_shard)}.",
    )
    absent = [axis for axis in chunks if axis not in per_shard]
    expect(not absent, f"per_shard says nothing about {' and '.join(absent)}.")
    expect(
        all(isinstance(n, int | np.integer) or float(n).is_integer() for n in per_shard.values()),
        "a shard holds whole chunks, so these must be whole numbers; 64 / 16 is 4.0, and "
        "64 // 16 is 4.",
    )
    expect(
        all(isinstance(n, int | np.integer) for n in per_shard.values()),
        "write whole numbers without a decimal point: 64 // 16 instead of 64 / 16.",
    )
    wanted = dict(zip(chunks, (1, *stack.shape[1:]), strict=True))
    right = {axis: wanted[axis] // chunks[axis] for axis in chunks}
    given = {axis: int(per_shard[axis]) for axis in chunks}
    expect(
        given != wanted,
        "this is the shape of a shard in voxels. per_shard counts the chunks in it: along z, 64 "
        "voxels are 64 / 16 chunks.",
    )
    expect(
        given != dict(chunks),
        "this is the shape of a chunk in voxels. per_shard counts the chunks in a shard.",
    )
    expect(given["c"] == 1, "one channel for each shard: c is 1.")
    wrong = [axis for axis in chunks if given[axis] != right[axis]]
    expect(
        not wrong,
        " and ".join(
            f"along {axis}, {given[axis]} chunks of {chunks[axis]} are {given[axis] * chunks[axis]}"
            f" voxels, not {wanted[axis]}"
            for axis in wrong
        )
        + ".",
    )
    return f"{np.prod(list(right.values()))} chunks in each shard."


@check(STEPS, 5)
def about(colors: Any, properties: Any, masks: np.ndarray, scale: Mapping[str, float]) -> str:
    """Check colours and properties of labels, as lists of dictionaries that JSON can hold."""
    return entries_of_labels(colors, properties, masks, scale)


@check(STEPS, 5)
def labels_written(path: Path, stack: np.ndarray, masks: np.ndarray) -> str:
    """Check an image on disk with labels/nuclei: pixels, labels, levels and metadata."""
    image = open_multiscale(path)
    expect(same(image.stored[0][:], stack), "the pixels on disk are not those of stack.")
    expect(
        "nuclei" in image.labels,
        'nobody finds these labels: list "nuclei" in the group labels of the image.',
    )
    labels = image.label("nuclei")
    expect(same(labels.stored[0][:], masks), "the labels on disk are not those of masks.")
    expect(
        len(labels.stored) == len(image.stored),
        f"the image has {len(image.stored)} levels, and the labels {len(labels.stored)}.",
    )
    expect(
        not any(len(np.setdiff1d(level[:], masks)) for level in labels.stored[1:]),
        "the coarser levels of the labels hold numbers that no nucleus has.",
    )
    note: Any = zarr.open_group(path / "labels" / "nuclei", mode="r").attrs["ome"]
    source = note.get("image-label", {}).get("source", {}).get("image")
    expect(
        source == "../../", 'the labels don\'t say whose they are: source is {"image": "../../"}.'
    )
    return "read from disk, the pixels and labels are those you had."


@check(STEPS, 6)
def accident(
    lost: Any, aligned: Any, damaged: np.ndarray, stack: np.ndarray, layout: Mapping[str, Any]
) -> str:
    """Check how many voxels were lost, and blocks that are whole shards."""
    truth = int(np.count_nonzero(damaged != stack))
    expect(
        not isinstance(lost, np.ndarray) or lost.ndim == 0,
        "lost should be one number: np.count_nonzero counts what is true.",
    )
    expect(isinstance(lost, Real | np.ndarray), f"lost should be a number, not {a_kind(lost)}.")
    expect(
        truth > 0 or lost != 0,
        "this time nothing was lost, by luck: run the cell that writes damaged.zarr once more.",
    )
    expect(
        lost != stack.size - truth or truth == lost,
        "this counts the voxels that survived: compare with != instead of ==.",
    )
    expect(
        lost == truth or lost != np.count_nonzero(damaged == 0),
        "this counts the zeros, and some voxels were 0 before: compare damaged with stack.",
    )
    expect(
        not (0 < float(lost) <= 1) or truth <= 1,
        "this is a share: count the voxels, with np.count_nonzero.",
    )
    expect(int(lost) == truth, "this is not how many voxels of damaged differ from stack.")
    expect(
        is_lazy(aligned) and hasattr(aligned, "chunksize"),
        f"aligned should be a Dask array, not {a_kind(aligned)}: small.rechunk(...) makes one.",
    )
    expect(
        aligned.shape == stack.shape, f"aligned has shape {aligned.shape}: keep the whole stack."
    )
    blocks, shard = aligned.chunksize, layout["shards"]
    expect(
        blocks != layout["chunks"],
        f"these blocks are chunks, {blocks}: several belong to one shard. Take the shape of a "
        "shard.",
    )
    thin = [
        size
        for size, part, whole in zip(blocks, shard, stack.shape, strict=True)
        if size % part and size != whole
    ]
    expect(
        not thin,
        f"blocks of {blocks} aren't whole shards of {shard}: along each axis, the block has to be "
        "a multiple of the shard.",
    )
    return f"you counted what was lost, and blocks of {blocks} lose none."


@check(STEPS, 7)
def mended(axes_of_a: Any, levels_of_b: Any, levels_of_c: Any, broken: Mapping[str, Path]) -> str:
    """Check three lists that mend what is wrong with three images."""
    for name, answer in {
        "axes_of_a": axes_of_a,
        "levels_of_b": levels_of_b,
        "levels_of_c": levels_of_c,
    }.items():
        expect(
            isinstance(answer, list | tuple) and all(isinstance(one, str) for one in answer),
            f"{name} should be a list of names, not {a_kind(answer)}.",
        )
    names = list(axes_of_a)
    expect(len(names) == 4, f"A has four axes, and axes_of_a has {len(names)} names.")
    expect(len(set(names)) == 4, f"two axes of A still have the same name: {names}.")
    expect(names == ["c", "z", "y", "x"], "the axes of A are c, z, y and x, in this order.")
    there = {one: levels_there(path) for one, path in broken.items()}
    for name, letter, answer in (
        ("levels_of_b", "B", levels_of_b),
        ("levels_of_c", "C", levels_of_c),
    ):
        unknown = [one for one in answer if one not in there["B"]]
        expect(
            not unknown,
            f"{name} has {unknown[:1]}, which is no level of {letter}: write paths as summary "
            "shows them, such as '0'.",
        )
        expect(len(set(answer)) == len(answer), f"{name} has a level twice.")
        absent = [one for one in answer if one not in there[letter]]
        expect(not absent, f"{name} still lists {absent[:1]}, and {letter} has no such array.")
        expect(
            list(answer) == sorted(answer),
            f"{name} isn't in order: the finest level, 0, comes first.",
        )
        missing = [one for one in there[letter] if one not in answer]
        expect(not missing, f"{name} leaves out {missing}, though {letter} has it.")
    return "names that differ, the finest level first, and only levels that are there."


@check(STEPS, 8)
def allowed(allowed: Any) -> str:
    """Check what a policy lets strangers do: read and list, and nothing else."""
    expect(not isinstance(allowed, str), "allowed should be a list of actions, in square brackets.")
    expect(
        isinstance(allowed, list | tuple) and all(isinstance(one, str) for one in allowed),
        f"allowed should be a list of names of actions, not {a_kind(allowed)}.",
    )
    actions = {one.lower() for one in allowed}
    expect(
        all(one.startswith("s3:") or one == "*" for one in actions),
        'the name of an action begins with "s3:", such as "s3:GetObject".',
    )
    expect(
        not any("*" in one for one in actions),
        "a star allows everything, writing and deleting, too: name the actions.",
    )
    expect("s3:putobject" not in actions, "with this, anybody could write over your image.")
    expect("s3:deleteobject" not in actions, "with this, anybody could delete your image.")
    expect("s3:getobject" in actions, "nobody could read a chunk: allow s3:GetObject.")
    expect(
        "s3:listbucket" in actions,
        'without s3:ListBucket, many servers answer "forbidden" for a chunk that was never stored '
        "because it's empty: allow listing, too.",
    )
    others = actions - {"s3:getobject", "s3:listbucket"}
    expect(not others, f"reading needs no {', '.join(sorted(others))}: allow as little as you can.")
    return "anybody may read, and nobody but you may write."
