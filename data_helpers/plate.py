"""A plate: wells in rows and columns, and the images that were taken of each.

This room stands beside the reading path: a plate leads to images, and no image needs a plate.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import dask.array as da

from ._caching import Cache
from ._formatting import as_html, synthetic_title
from ._plate.metadata import (
    Acquisition,
    FieldChoice,
    PlateMetadata,
    Well,
    position,
    read_plate,
)
from ._plate.overview import plate_level
from ._plate.reading import open_images, read_wells
from .addresses import last_part
from .errors import ImageNotFoundError, NotOmeZarrError
from .lazy import lazy_level
from .multiscale import Multiscale
from .opening import Looked, context_of, look_for_plate, open_cached
from .sources import Source
from .store import RetryingStore


def open_plate(
    address: str | Path,
    *,
    source: str | Source | None = None,
    cache: str | Path | Cache | None = None,
    missing_as_empty: bool = False,
    storage_options: Mapping[str, Any] | None = None,
) -> Plate:
    """Open a plate (high-content screening); reads its own metadata only, no well and no pixels.

    Parameters
    ----------
    address : str or Path
        The plate by its ``https://`` address, its ``s3://bucket/key``, or a local folder.
    source, cache, missing_as_empty, storage_options
        As for `open_multiscale`; they hold for all images of the plate.

    Returns
    -------
    Plate
        Rows, columns, wells and acquisitions of the plate. Two requests, in one round trip.

    Raises
    ------
    NotOmeZarrError
        There is no plate at this address; the message says what there is.
    AccessDeniedError, EndpointUnreachableError, MalformedMetadataError
        The metadata cannot be fetched or understood.
    """
    context = context_of(cache, missing_as_empty, storage_options)
    return open_cached(context, lambda context: _read(look_for_plate(address, source, context)))


def _read(looked: Looked) -> Plate:
    url = looked.store.url
    if "plate" in looked.attributes:
        return Plate(looked.store, read_plate(looked.attributes, looked.zarr_format, url))
    if looked.error:
        raise looked.error
    image = "multiscales" in looked.attributes
    found = "an image: open it with open_multiscale(...)" if image else looked.found()
    raise NotOmeZarrError(f"There is no plate at {url}: it holds {found}.")


class Plate:
    """A plate of wells, each with one or more images ("fields").

    Made by `open_plate`. Opening reads the metadata of the plate only.

    Parameters
    ----------
    store : RetryingStore
        Store whose root is the plate.
    metadata : PlateMetadata
        What the metadata of the plate say.
    """

    def __init__(self, store: RetryingStore, metadata: PlateMetadata) -> None:
        self.url = store.url
        self.metadata = metadata
        self._store = store

    @property
    def version(self) -> str:
        """OME-Zarr version, such as "0.4"."""
        return self.metadata.version

    @property
    def name(self) -> str:
        """Name from the metadata, or the last part of the address."""
        return self.metadata.name or last_part(self.url)

    @property
    def synthetic(self) -> bool:
        """Whether the metadata call the plate synthetic."""
        return "synthetic" in self.name.lower()

    @property
    def title(self) -> str:
        """Short title for figures; says "synthetic" where the pixels are."""
        return synthetic_title(self.name) if self.synthetic else self.name

    @property
    def rows(self) -> list[str]:
        """Names of all rows, also of those without wells."""
        return list(self.metadata.rows)

    @property
    def columns(self) -> list[str]:
        """Names of all columns, also of those without wells."""
        return list(self.metadata.columns)

    @property
    def wells(self) -> list[str]:
        """The wells that exist, such as "B/03", in the order of the metadata."""
        return [well.name for well in self.metadata.wells]

    @property
    def acquisitions(self) -> list[Acquisition]:
        """The rounds in which the plate was imaged, each with `id`, `name` and `fields`."""
        return list(self.metadata.acquisitions)

    @cached_property
    def fields(self) -> int:
        """Most images in any well, as the metadata of the plate say (``field_count``).

        If they do not, the wells are asked how many they list: one request each, all at once.
        """
        if self.metadata.fields:
            return self.metadata.fields
        listed = read_wells(self._store, self.metadata.zarr_format, self.metadata.wells)
        return max(map(len, listed.values()), default=0)

    def image(
        self,
        row: str | int,
        column: str | int | None = None,
        field: int = 0,
        acquisition: int | str | None = None,
    ) -> Multiscale:
        """Open one image of a well; reads its metadata only.

        This takes three round trips: the well, the image, and all levels of the image at once.

        Parameters
        ----------
        row, column : str or int
            Their names as people say them: "B" or "b", and 3, "3" or "03". Or the name of a well
            at once: "B/03".
        field : int
            Index of the image among those that the well lists, counted from 0.
        acquisition : int or str, optional
            Id or name of an acquisition; `field` then counts its images only.

        Raises
        ------
        ImageNotFoundError
            There is no such well or field; the message says which there are.
        AccessDeniedError, EndpointUnreachableError, MalformedMetadataError
            The metadata cannot be fetched or understood.
        """
        well, choose = self._well(row, column), self._choice(field, acquisition)
        listed = read_wells(self._store, self.metadata.zarr_format, [well])
        if well not in listed:
            raise ImageNotFoundError(
                f"{self.title} lists a well {well.name}, but {self.url} holds no {well.path}; the "
                "upload may be incomplete."
            )
        path = choose.path(well, listed[well])
        if path is None:
            count = len(choose.among(listed[well]))
            known = f"has fields 0 to {count - 1}" if count else "has none"
            raise ImageNotFoundError(
                f"Well {well.name} of {self.title} has no {choose}; it {known}."
            )
        opened = open_images(self._store, self.metadata.zarr_format, [path])
        if path not in opened:
            raise ImageNotFoundError(
                f"Well {well.name} of {self.title} lists an image {path}, but {self.url} holds "
                "none; the upload may be incomplete."
            )
        image = opened[path]
        if image.metadata.name == path:  # it has no name of its own
            name = f"{self.name}, {well.name}, {choose}"
            image.metadata = replace(image.metadata, name=name)
        image.stored  # noqa: B018  (opens all levels now, so that an error shows here)
        return image

    def overview(
        self, level: str | int = -1, *, field: int = 0, acquisition: int | str | None = None
    ) -> da.Array:
        """The whole plate as one lazy array: one image of each well, in its place in the grid.

        Parameters
        ----------
        level : str or int
            Path of a level or its index; -1 is the coarsest.
        field, acquisition
            Which image of each well, as for `image`.

        Returns
        -------
        dask.array.Array
            Axes and type as in the images; along y and x it is as long as all rows and all columns
            together. Wells that do not exist hold the fill value (mostly 0).

        Raises
        ------
        ImageNotFoundError, LevelNotFoundError
            No well has such a field, or the first image no such level.

        Notes
        -----
        Making the array takes three requests: it opens the image of the first well and takes the
        size of every well from it. Computing it reads, for each well in the part that you take,
        three documents (well, image, level) and the chunks. Small wells are read together, up to 64
        at a time, so this is some four round trips for every 64 of them.

        What differs from the first image is seen then. An image of another shape is cut, or filled
        up, at the bottom and on the right (and at the end of other axes). A well that is listed but
        not there, or has no such field, is filled. Of all this an `OmeZarrWarning` tells. A well
        that is there but cannot be read, has no such level, other axes, or pixels of a type that
        does not fit, is an error.
        """
        choose = self._choice(field, acquisition)
        return lazy_level(plate_level(self._store, self.metadata, choose, level))

    def _well(self, row: str | int, column: str | int | None) -> Well:
        """The well in a row and a column, given by their names."""
        if column is None:
            row, _, column = str(row).strip().partition("/")
        at = position(self.rows, row), position(self.columns, column)
        for well in self.metadata.wells:
            if (well.row, well.column) == at:
                return well
        if at[0] is None:
            known = f"no row {row!r}; its rows are {', '.join(self.rows)}"
        elif at[1] is None:
            known = f"no column {column!r}; its columns are {', '.join(self.columns)}"
        else:
            names = [well.name for well in self.metadata.wells if well.row == at[0]]
            wells = f"in this row it has {', '.join(names)}" if names else "this row has none"
            known = f"no well {self.rows[at[0]]}/{self.columns[at[1]]}; {wells}"
        raise ImageNotFoundError(f"{self.title} has {known}.")

    def _choice(self, field: int, acquisition: int | str | None) -> FieldChoice:
        try:
            field = operator.index(field)
        except TypeError:
            raise ImageNotFoundError(
                f"A field of {self.title} is a whole number, such as 0, not {field!r}."
            ) from None
        if acquisition is None:
            return FieldChoice(field)
        for known in self.acquisitions:
            if acquisition in (known.id, known.name):
                alone = len(self.acquisitions) == 1  # then images need not say which is theirs
                return FieldChoice(field, (known.id, None) if alone else (known.id,))
        listed = ", ".join(f"{each.id} ({each.name!r})" for each in self.acquisitions)
        raise ImageNotFoundError(
            f"{self.title} has no acquisition {acquisition!r}; it lists {listed or 'none'}."
        )

    def __repr__(self) -> str:
        return (
            f"Plate({self.title!r}, OME-Zarr {self.version}, {_counted(len(self.wells), 'well')} "
            f"in {_counted(len(self.rows), 'row')} and {_counted(len(self.columns), 'column')})"
        )

    def _repr_html_(self) -> str:
        there = {(well.row, well.column): well.name for well in self.metadata.wells}
        head = "".join(_heading(name, "col") for name in self.columns)
        body = "".join(
            f"<tr>{_heading(name, 'row')}"
            + "".join(_cell(there.get((row, column))) for column in range(len(self.columns)))
            + "</tr>"
            for row, name in enumerate(self.rows)
        )
        return (
            '<table style="text-align: center"><caption style="white-space: nowrap; '
            f'text-align: left">{self._caption()}</caption>'
            f"<thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody></table>"
        )

    def _caption(self) -> str:
        """What the plate is, in words; also what the signs in the grid mean."""
        parts = [f"OME-Zarr {self.version}", _counted(len(self.wells), "well")]
        if fields := self.metadata.fields:
            parts.append(f"{'up to ' if fields > 1 else ''}{_counted(fields, 'field')} each")
        if self.acquisitions:
            parts.append(_counted(len(self.acquisitions), "acquisition"))
        said = f"{', '.join(parts)} (● a well, – none)"
        return f"<strong>{as_html(self.title)}</strong>: {as_html(said)}"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _heading(name: str, scope: str) -> str:
    return f'<th scope="{scope}">{as_html(name)}</th>'


def _cell(well: str | None) -> str:
    if well is None:
        return "<td>–</td>"
    return f'<td><span role="img" aria-label="{as_html(well)}">●</span></td>'
