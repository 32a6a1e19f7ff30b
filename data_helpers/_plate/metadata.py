"""From the documents of a plate and of its wells to values: rows, columns, wells, images.

A plate is a Zarr group whose metadata list its wells. A well is one whose metadata list its images,
also called fields, and these are images like any other. As in `metadata`, nothing here
asks a store.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .._formatting import as_written, in_short, plain_text
from .._metadata.hints import as_name
from .._warning import warn
from ..errors import MalformedMetadataError
from ..metadata import malformed, ome_attributes, path_inside

MOST_NAMES = 500
"""Rows, and columns, of a plate at most; the largest plates on sale have 48 and 72."""

SHOWN = 3
"""Wells or fields that a sentence names, before it says how many more there are."""

MOST_SHOWN = 72
"""The same of rows and columns, where a well is in none of them."""


@dataclass(frozen=True)
class Acquisition:
    """One round in which a plate was imaged.

    Attributes
    ----------
    id : int
        What the images of a well call it.
    name : str
        Its name; empty if it has none.
    fields : int or None
        Most fields that it has in any well (``maximumfieldcount``); None if they do not say.
    """

    id: int
    name: str = ""
    fields: int | None = None


@dataclass(frozen=True)
class Well:
    """A well that the metadata of a plate list.

    Attributes
    ----------
    name : str
        Names of its row and its column, such as "B/03".
    path : str
        Where it lies below the plate; mostly the same.
    row, column : int
        Its place, counted from 0.
    """

    name: str
    path: str
    row: int
    column: int


@dataclass(frozen=True)
class WellImage:
    """An image that the metadata of a well list: its path below the well, and its acquisition."""

    path: str
    acquisition: int | None = None


@dataclass(frozen=True)
class FieldChoice:
    """Which of a well's images is meant.

    Attributes
    ----------
    field : int
        Its index among the images of the acquisition, or among all images of the well.
    acquisitions : tuple of (int or None)
        What an image may say of its acquisition, the id that was asked for first; any, if empty.
    """

    field: int = 0
    acquisitions: tuple[int | None, ...] = ()

    def path(self, well: Well, images: Sequence[WellImage]) -> str | None:
        """Path of the image below the plate; None if the well has no such image."""
        suitable = self.among(images)
        if not 0 <= self.field < len(suitable):
            return None
        return f"{well.path}/{suitable[self.field].path}"

    def among(self, images: Sequence[WellImage]) -> list[WellImage]:
        """The images of the acquisition."""
        wanted = self.acquisitions
        return [image for image in images if not wanted or image.acquisition in wanted]

    def __str__(self) -> str:
        of = f" of acquisition {self.acquisitions[0]}" if self.acquisitions else ""
        return f"field {self.field}{of}"


@dataclass(frozen=True)
class PlateMetadata:
    """What the metadata of a plate say.

    Attributes
    ----------
    zarr_format : int
        2 (up to OME-Zarr 0.4) or 3.
    version : str
        OME-Zarr version, such as "0.4".
    name : str
        Name of the plate; empty if they name none.
    rows, columns : tuple of str
        Names of all rows and columns, also of those without wells.
    wells : tuple of Well
        The wells that exist, as listed.
    acquisitions : tuple of Acquisition
        The acquisitions; empty if they list none.
    fields : int or None
        Most fields in any well (``field_count``); None where they do not say.
    """

    zarr_format: int
    version: str
    name: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    wells: tuple[Well, ...]
    acquisitions: tuple[Acquisition, ...] = ()
    fields: int | None = None


def read_plate(attributes: dict[str, Any], zarr_format: int, where: str) -> PlateMetadata:
    """Understand the OME metadata of a plate.

    Parameters
    ----------
    attributes : dict
        The OME metadata (with the key ``plate``); see `metadata.ome_attributes`.
    zarr_format : int
        2 or 3.
    where : str
        Address of the plate, for messages.

    Raises
    ------
    MalformedMetadataError
        They cannot be understood.
    """
    plate = attributes["plate"]
    if not isinstance(plate, dict):
        raise malformed(where, f"plate should hold an object, not {_said(plate)}")
    rows, columns = _names(plate, "rows", where), _names(plate, "columns", where)
    version = attributes.get("version") or plate.get("version")
    notes: list[str] = []
    metadata = PlateMetadata(
        zarr_format=zarr_format,
        version=plain_text(version or ("0.5" if zarr_format == 3 else "0.1"), 20),
        name=as_name(plate, "name", "plate", notes),
        rows=rows,
        columns=columns,
        wells=_read_wells(plate, rows, columns, where),
        acquisitions=_read_acquisitions(plate, where, notes),
        fields=_count(plate.get("field_count")),
    )
    if notes:
        warn(f"{where} is read, but these parts of its metadata are left out: {in_short(notes)}.")
    return metadata


def read_well(document: dict[str, Any], where: str) -> list[WellImage]:
    """The images that the document of a well lists, in its order.

    Raises
    ------
    MalformedMetadataError
        The document is not that of a well.
    """
    well = ome_attributes(document).get("well")
    if not isinstance(well, dict):
        raise malformed(where, f"well should hold an object, not {_said(well)}")
    images = []
    for number, image in enumerate(_listed(well, "images", where)):
        path = image.get("path") if isinstance(image, dict) else None
        if not isinstance(path, str) or not path.strip("/"):
            raise malformed(where, f"number {number} of images has no path: {_said(image)}")
        acquisition = image.get("acquisition")
        path = path_inside(path.strip("/"), f"images[{number}].path", where)
        images.append(WellImage(path, acquisition if isinstance(acquisition, int) else None))
    return images


def position(names: Sequence[str], wanted: object) -> int | None:
    """Where a name stands among those of the rows or of the columns, or None.

    Where none is exactly so, upper and lower case and zeros in front do not matter: 3, "3" and "03"
    mean the same column.
    """
    text = str(wanted).strip()
    exact, alike = _places(tuple(names))
    numbers = [exact[text]] if text in exact else alike.get(_plain(text), [])
    return numbers[0] if len(numbers) == 1 else None


@functools.lru_cache(maxsize=8)
def _places(names: tuple[str, ...]) -> tuple[dict[str, int], dict[str, list[int]]]:
    """Where names stand, exactly so and in any spelling; a plate asks for each of its wells."""
    alike: dict[str, list[int]] = {}
    for number, name in enumerate(names):
        alike.setdefault(_plain(name), []).append(number)
    return {name: names.index(name) for name in names}, alike


def first_few(names: Sequence[str]) -> str:
    """Some names as people list them: "A/1, A/2, A/3 and 381 more"."""
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def plate_advice(documents: Sequence[dict[str, Any]], where: str) -> str | None:
    """What to open where there is a plate or a well instead of an image: the end of a sentence.

    None if the documents are those of neither.
    """
    for document in documents:
        attributes = ome_attributes(document)
        try:
            if "plate" in attributes:
                return _advise_on_plate(read_plate(attributes, 2, where).wells, where)
            if "well" in attributes:
                return _advise_on_well(read_well(document, where), where)
        except MalformedMetadataError as error:
            kind, why = "plate" if "plate" in attributes else "well", str(error).rstrip(".")
            return f"a {kind}, but {why[:1].lower()}{why[1:]}"
    return None


def _advise_on_plate(wells: Sequence[Well], where: str) -> str:
    if not wells:
        return "a plate that lists no wells"
    row, column = map(json.dumps, wells[0].name.split("/"))
    names = first_few([well.name for well in wells])
    return (
        f"a plate: open it with open_plate({json.dumps(where)}), and an image of it with "
        f".image({row}, {column}); its wells are {names}"
    )


def _advise_on_well(images: Sequence[WellImage], where: str) -> str:
    if not images:
        return "a well that lists no images"
    addresses = first_few([f"{where}/{image.path}" for image in images])
    return f"a well: open one of its fields, which are {addresses}"


def _said(value: Any) -> str:
    """A value as it stands there, and cut short."""
    text = repr(value)
    return text if len(text) <= 80 else as_written(value)


def _some(names: Sequence[str]) -> str:
    more = len(names) - MOST_SHOWN
    return ", ".join(names[:MOST_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _listed(holder: dict[str, Any], key: str, where: str) -> list[Any]:
    listed = holder.get(key)
    if not isinstance(listed, list):
        raise malformed(where, f"{key} should hold a list, not {_said(listed)}")
    return listed


def _names(plate: dict[str, Any], key: str, where: str) -> tuple[str, ...]:
    """Names of the rows or of the columns."""
    names, every = [], _listed(plate, key, where)
    if len(every) > MOST_NAMES:
        raise malformed(where, f"{key} lists {len(every):,} names, but no plate has so many")
    for number, each in enumerate(every):
        name = each.get("name") if isinstance(each, dict) else each
        if not isinstance(name, str | int) or isinstance(name, bool) or name == "":
            raise malformed(where, f"number {number} of {key} has no name: {_said(each)}")
        if "/" in str(name):
            raise malformed(where, f"the name {_said(name)} among {key} holds a slash")
        names.append(plain_text(name))
    if len(set(names)) < len(names):
        raise malformed(where, f"{key} have the same name twice: {_some(names)}")
    return tuple(names)


def _read_wells(
    plate: dict[str, Any], rows: Sequence[str], columns: Sequence[str], where: str
) -> tuple[Well, ...]:
    wells: dict[tuple[int, int], Well] = {}
    clashes: list[str] = []
    for number, listed in enumerate(_listed(plate, "wells", where)):
        path = listed.get("path") if isinstance(listed, dict) else None
        if not isinstance(path, str) or not path.strip("/"):
            raise malformed(where, f"number {number} of wells has no path: {_said(listed)}")
        path = path_inside(path.strip("/"), f"wells[{number}].path", where)
        row, column = _place(path, listed, rows, columns, where, clashes)
        well = Well(f"{rows[row]}/{columns[column]}", path, row, column)
        other = wells.setdefault((row, column), well)
        if other != well:
            raise malformed(where, f"wells {other.path} and {well.path} are at the same place")
    if clashes:
        more = f" So are {len(clashes) - 1:,} more." if len(clashes) > 1 else ""
        warn(clashes[0] + more)
    return tuple(wells.values())


def _place(
    path: str,
    listed: dict[str, Any],
    rows: Sequence[str],
    columns: Sequence[str],
    where: str,
    clashes: list[str],
) -> tuple[int, int]:
    """Row and column of a well: by its path, which names both, else by the numbers beside it."""
    row_name, _, column_name = path.rpartition("/")
    row, column = position(rows, row_name.rpartition("/")[2]), position(columns, column_name)
    numbers = [
        listed.get("rowIndex", listed.get("row_index")),
        listed.get("columnIndex", listed.get("column_index")),
    ]
    if row is not None and column is not None:
        if any(number not in (None, at) for number, at in zip(numbers, (row, column), strict=True)):
            clashes.append(
                f"Well {path} of {where} is said to be at row {_said(numbers[0])} and column "
                f"{_said(numbers[1])} (counted from 0), but its name says {row} and {column}: "
                "the name is taken."
            )
        return row, column
    row, column = _index(numbers[0], rows), _index(numbers[1], columns)
    if row is None or column is None:
        raise malformed(
            where,
            f"well {path} is in no row and column: rows are {_some(rows)}, columns are "
            f"{_some(columns)}",
        )
    return row, column


def _index(number: object, names: Sequence[str]) -> int | None:
    """A place among the names, or None if the number is none."""
    if isinstance(number, int) and not isinstance(number, bool) and 0 <= number < len(names):
        return number
    return None


def _read_acquisitions(
    plate: dict[str, Any], where: str, notes: list[str]
) -> tuple[Acquisition, ...]:
    """The acquisitions; without them images can still be read, so what is unclear is left out."""
    listed = plate.get("acquisitions") or []
    known, unclear = [], []
    for number, each in enumerate(listed if isinstance(listed, list) else [listed]):
        if not isinstance(each, dict) or not isinstance(each.get("id"), int):
            unclear.append(_said(each))
            continue
        name = as_name(each, "name", f"plate.acquisitions[{number}]", notes)
        known.append(Acquisition(each["id"], name, _count(each.get("maximumfieldcount"))))
    if unclear:
        warn(f"An acquisition of {where} has no id and is left out: {in_short(unclear)}.")
    return tuple(known)


def _count(value: object) -> int | None:
    """A number of fields, or None if it is none."""
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    return None


def _plain(name: str) -> str:
    return name.casefold().lstrip("0") or name[-1:]
