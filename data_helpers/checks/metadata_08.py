"""What check_08 looks at: the metadata of an OME-Zarr image, in answers and on disk."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from ..multiscale import Multiscale
from .feedback import a_kind, expect

SPACE = ("z", "y", "x")


def sizes_and_units(scale: Any, units: Any, source: Multiscale) -> str:
    """Judge the size of a voxel along z, y and x, and the unit; what is right comes from source."""
    truth = dict(zip(source.axes, source.scales[0], strict=True))
    size = np.array([float(scale[axis]) for axis in SPACE])
    right = np.array([truth[axis] for axis in SPACE])
    expect(
        not np.allclose(size, 1),
        "every size is 1: take the sizes of a voxel from blastocyst.scales[0].",
    )
    expect(
        np.allclose(size, right) or not np.allclose(size, right[::-1]),
        "the sizes are in the wrong order: the first of the last three belongs to z, the last "
        "to x.",
    )
    for factor, unit in ((1000, "nanometres"), (1e-3, "millimetres"), (1e-6, "metres")):
        expect(
            not np.allclose(size, right * factor),
            f"these are {unit}, off by a factor of {max(factor, 1 / factor):,.0f}: leave the "
            "sizes as the metadata have them.",
        )
    expect(
        not any(
            np.allclose(size, [level[source.axes.index(axis)] for axis in SPACE])
            for level in source.scales[1:]
        ),
        "these are the sizes of a coarser level: the stack is from level 0, scales[0].",
    )
    expect(np.allclose(size, right), "these are not the z, y and x sizes of level 0.")
    written = {str(units[axis]) for axis in SPACE}
    expect(
        not any(units[axis] is None or units[axis] == "" for axis in SPACE),
        "a unit is missing: without one, nobody knows whether 0.36 is µm or mm.",
    )
    expect(
        not written & {"µm", "μm", "um", "micron", "microns", "micrometre", "micrometers"},
        'the format spells the unit out, in American English and singular: "micrometer".',
    )
    others = ", ".join(sorted(written - {"micrometer"}))
    expect(not others, f"the sizes are in micrometer, but the unit says {others}.")
    return "four axes, and a voxel of {:.3g} × {:.3g} × {:.3g} µm.".format(*right)


def entries_of_labels(
    colors: Any, properties: Any, masks: np.ndarray, scale: Mapping[str, float]
) -> str:
    """Judge a colour and a volume for each label, as lists of dictionaries that JSON can hold."""
    numbers, counts = np.unique(masks[masks > 0], return_counts=True)
    for name, answer in {"colors": colors, "properties": properties}.items():
        expect(
            isinstance(answer, list) and all(isinstance(one, Mapping) for one in answer),
            f"{name} should be a list with one dictionary for each label, not {a_kind(answer)}.",
        )
        expect(
            all("label-value" in one for one in answer),
            f'each dictionary in {name} needs its "label-value", spelt with a hyphen.',
        )
        values = [one["label-value"] for one in answer]
        expect(
            all(type(value) is int for value in values),
            f"the label values in {name} are {a_kind(values[0])}: JSON needs int(label)."
            if values
            else "",
        )
        expect(0 not in values, f"{name} has an entry for 0, which is the background.")
        expect(
            sorted(values) == numbers.tolist(),
            f"{name} has {len(values)} entries, but masks hold {len(numbers)} labels, from "
            f"{numbers.min()} to {numbers.max()}: one entry for each.",
        )
    rgba = [one.get("rgba") for one in colors]
    expect(
        all(isinstance(color, list | tuple) and len(color) == 4 for color in rgba),
        'each colour needs its "rgba": four numbers, for red, green, blue and opacity.',
    )
    parts = [part for color in rgba for part in color]
    expect(
        all(type(part) is int for part in parts),
        "colours are whole numbers from 0 to 255, such as [255, 0, 255, 255]; not parts of 1, and "
        "no NumPy numbers.",
    )
    expect(
        all(0 <= part <= 255 for part in parts),
        "a part of a colour is outside 0 to 255: % 256 keeps it inside.",
    )
    expect(
        len(colors) < 2 or len({tuple(color) for color in rgba}) > 1,
        "all labels have the same colour, so nobody can tell them apart.",
    )
    volumes = {one["label-value"]: one.get("volume") for one in properties}
    expect(
        all(volume is not None for volume in volumes.values()),
        'each dictionary in properties needs the "volume" of its label.',
    )
    expect(
        all(type(volume) in (int, float) for volume in volumes.values()),
        "the volumes must be plain numbers for JSON: float(volume).",
    )
    voxel = float(np.prod([float(scale[axis]) for axis in SPACE]))
    given = np.array([volumes[number] for number in numbers.tolist()])
    expect(
        not np.allclose(given, counts) or np.isclose(voxel, 1),
        "these volumes are numbers of voxels, not µm³: take them from table, which knows the "
        "spacing.",
    )
    expect(
        np.allclose(np.sort(given), np.sort(counts * voxel)) <= np.allclose(given, counts * voxel),
        "these are the right volumes at the wrong labels: go through label and area together, "
        "with zip.",
    )
    expect(np.allclose(given, counts * voxel, rtol=1e-3), "these are not the volumes in table.")
    return f"a colour and a volume for each of the {len(numbers)} labels."


def levels_there(path: Path) -> list[str]:
    """The levels that an image really has, as paths: "0", "1" and so on."""
    arrays = path.glob("[0-9]*/zarr.json")
    return sorted(one.parent.relative_to(path).as_posix() for one in arrays)


def broken_copies(path: Path, folder: Path) -> dict[str, Path]:
    """Make three copies of an image, each with something wrong, for step 7.

    Parameters
    ----------
    path : Path
        An OME-Zarr 0.5 image with the axes c, z, y and x and three levels.
    folder : Path
        Where the copies ``A.zarr``, ``B.zarr`` and ``C.zarr`` are made; older ones are replaced.

    Returns
    -------
    dict of str to Path
        The copies, by their letter.
    """
    copies = {letter: Path(folder, f"{letter}.zarr") for letter in "ABC"}
    for copy in copies.values():
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(path, copy, ignore=shutil.ignore_patterns("labels"))
    for letter in "AB":
        group = zarr.open_group(copies[letter], mode="r+")
        ome: Any = group.attrs["ome"]
        note = ome["multiscales"][0]
        if letter == "A":
            note["axes"][3]["name"] = "y"
        else:
            note["datasets"] = note["datasets"][::-1]
        group.attrs["ome"] = ome
    ome = zarr.open_group(copies["C"], mode="r").attrs["ome"]
    note = ome["multiscales"][0]
    shutil.rmtree(copies["C"] / note["datasets"][1]["path"])
    return copies
