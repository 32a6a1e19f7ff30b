"""A synthetic plate of 96 wells: where its images are, and what was done to each well.

The plate is an invention, in the layout of OME-Zarr 0.4: two fields a well, each with two channels
and three levels. Cells were treated for a day with one of two drugs, which kill them:

- column 1 has no drug, column 12 so much of it that most cells die;
- columns 2 to 11 hold ten doses, each three times the one before;
- rows A to D hold one drug, rows E to H another that needs 27 times the dose.

Two wells are missing, as happens on real plates. `plate` paints the pictures.
"""

from __future__ import annotations

from typing import Any

from .arrays import Array

ROOT = "synthetic/plates/96_wells.zarr"
NAME = "synthetic plate of 96 wells"
ROWS = "ABCDEFGH"
COLUMNS = tuple(str(number) for number in range(1, 13))
MISSING = ("B/9", "G/4")
FIELDS = 2
LEVELS: tuple[tuple[int, int], ...] = ((1080, 1080), (540, 540), (270, 270))
PIXEL_SIZE = 0.325  # micrometres, at level 0
CHANNELS = (("DAPI", "0000FF", 100, 1400), ("death marker", "FF00FF", 80, 1400))


def wells() -> list[tuple[int, int]]:
    """Return row and column of each well that there is, counted from 0."""
    places = [(row, column) for row in range(len(ROWS)) for column in range(len(COLUMNS))]
    return [place for place in places if well_name(*place) not in MISSING]


def well_name(row: int, column: int) -> str:
    """Return what a well is called, such as ``"B/3"``; also its path in the plate."""
    return f"{ROWS[row]}/{COLUMNS[column]}"


def effect(row: int, column: int) -> float:
    """Return the share of its full effect that the drug has in a well, from 0 to 1."""
    if column == 0:
        return 0.0
    if column == len(COLUMNS) - 1:
        return 0.97
    half = 4 if row < 4 else 7  # column (from 0) just before the dose that has half the effect
    dose = 3**column / (2 * 3**half)
    return dose * dose / (dose * dose + 1)


def groups() -> dict[str, dict[str, Any]]:
    """Return the metadata of all groups by their paths: the plate, its wells, their images."""
    found: dict[str, dict[str, Any]] = {ROOT: {"plate": plate_metadata()}}
    for row in range(len(ROWS)):
        if any(well[0] == row for well in wells()):
            found[f"{ROOT}/{ROWS[row]}"] = {}
    for row, column in wells():
        path = f"{ROOT}/{well_name(row, column)}"
        images = [{"path": str(field), "acquisition": 1} for field in range(FIELDS)]
        found[path] = {"well": {"images": images, "version": "0.4"}}
        for field in range(FIELDS):
            found[f"{path}/{field}"] = image_metadata(row, column, field)
    return found


def arrays() -> list[Array]:
    """Return all levels of all images."""
    return [
        Array(
            f"{ROOT}/{well_name(row, column)}/{field}/{level}",
            (1, len(CHANNELS), 1, height, width),
            (1, 1, 1, height, width),
            "<u2",
            "/",
            "plate.paint",
            level,
            (row, column, field),
        )
        for row, column in wells()
        for field in range(FIELDS)
        for level, (height, width) in enumerate(LEVELS)
    ]


def plate_metadata() -> dict[str, Any]:
    """Return what the metadata say of the plate as a whole."""
    return {
        "name": NAME,
        "version": "0.4",
        "field_count": FIELDS,
        "acquisitions": [{"id": 1, "name": "synthetic", "maximumfieldcount": FIELDS}],
        "rows": [{"name": name} for name in ROWS],
        "columns": [{"name": name} for name in COLUMNS],
        "wells": [
            {"path": well_name(row, column), "rowIndex": row, "columnIndex": column}
            for row, column in wells()
        ],
    }


def image_metadata(row: int, column: int, field: int) -> dict[str, Any]:
    """Return what the metadata say of one image."""
    name = f"{NAME}, well {well_name(row, column)}, field {field}"
    space = [{"name": axis, "type": "space", "unit": "micrometer"} for axis in "zyx"]
    axes = [{"name": "t", "type": "time"}, {"name": "c", "type": "channel"}, *space]
    datasets = []
    for level in range(len(LEVELS)):
        scale = [1.0, 1.0, 1.0, PIXEL_SIZE * 2**level, PIXEL_SIZE * 2**level]
        scaled = [{"type": "scale", "scale": scale}]
        datasets.append({"path": str(level), "coordinateTransformations": scaled})
    channels = [
        {
            "active": True,
            "color": color,
            "label": label,
            "window": {"start": start, "end": end, "min": 0, "max": 65535},
        }
        for label, color, start, end in CHANNELS
    ]
    rendering = {"defaultT": 0, "defaultZ": 0, "model": "color"}
    return {
        "multiscales": [{"name": name, "version": "0.4", "axes": axes, "datasets": datasets}],
        "omero": {"name": name, "channels": channels, "rdefs": rendering, "version": "0.4"},
    }
