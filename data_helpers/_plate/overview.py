"""A whole plate as one array: each well is a tile, and is read when it is computed.

`PlateLevel` stands for the array. It has what a lazy level needs of a stored array (`lazy`), with
one tile in place of a chunk, so a slice of the plate reads only the wells that it touches.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from dask.utils import SerializableLock

from .._warning import warn
from ..errors import ImageNotFoundError, OmeZarrError
from ..lazy import ChunkedArray, Position
from ..multiscale import Multiscale
from ..store import RetryingStore
from ..stored_array import StoredArray, read_together
from .metadata import FieldChoice, PlateMetadata, Well, first_few
from .reading import level_path, open_images, read_wells


class PlateLevel(ChunkedArray):
    """One level of one field of every well, as one array of tiles; reads nothing until asked.

    Parameters
    ----------
    store : RetryingStore
        Store whose root is the plate.
    metadata : PlateMetadata
        What the metadata of the plate say.
    choose : FieldChoice
        Which of a well's images to take.
    first : Well
        The well whose image says what size, type and axes the tiles have.
    image : Multiscale
        That image.
    level : str
        Path of the level.

    Attributes
    ----------
    shape, chunks : tuple of int
        Pixels along each axis of the whole plate, and of one tile.
    dtype : numpy.dtype
        That of the first image.
    address : str
        What tells this array from others.
    """

    def __init__(
        self,
        store: RetryingStore,
        metadata: PlateMetadata,
        choose: FieldChoice,
        first: Well,
        image: Multiscale,
        level: str,
    ) -> None:
        array = image.stored_level(level)
        self._store, self._metadata, self._choose = store, metadata, choose
        self._first, self._level = first, level
        self._roles = image.metadata.roles_of(array.ndim)
        self._across = self._roles.index("y"), self._roles.index("x")
        self._wells = {(well.row, well.column): well for well in metadata.wells}
        self._opened: dict[Well, StoredArray | None] = {first: array}
        self._lock = SerializableLock()
        self._fill = array.zarr_array.fill_value or 0
        self.dtype, self.ndim = array.dtype, array.ndim
        self._whole = array.shape
        tile, shape = list(array.chunks), list(array.shape)
        for axis, count in zip(
            self._across, (len(metadata.rows), len(metadata.columns)), strict=True
        ):
            tile[axis] = array.shape[axis]
            shape[axis] = array.shape[axis] * count
        self.chunks, self.shape = tuple(tile), tuple(shape)
        self.address = f"{store.url} level {level} {choose}"

    def __dask_tokenize__(self) -> tuple[str, ...]:
        return ("PlateLevel", self.address, str(self.shape), str(self.dtype))

    def read_into(self, places: Sequence[np.ndarray], chunks: Sequence[Position]) -> None:
        """Read several tiles at once: metadata of their wells in three round trips, then pixels.

        Raises
        ------
        OmeZarrError
            A well is there but cannot be read, or does not go with the first one.
        """
        wells = [self._wells.get(self._place(chunk)) for chunk in chunks]
        arrays = self._open(dict.fromkeys(filter(None, wells)))
        parts, targets = [], []
        for chunk, well, place in zip(chunks, wells, places, strict=True):
            place[...] = self._fill
            array = arrays[well] if well else None
            selection = self._selection(chunk, array.shape) if array else ()
            if array and all(part.start < part.stop for part in selection):
                parts.append((array, selection))
                targets.append(place)
        for place, pixels in zip(targets, read_together(parts), strict=True):
            place[tuple(slice(0, size) for size in pixels.shape)] = pixels

    def _place(self, chunk: Position) -> tuple[int, int]:
        """Row and column of a tile."""
        down, across = self._across
        return chunk[down], chunk[across]

    def _selection(self, chunk: Position, shape: tuple[int, ...]) -> tuple[slice, ...]:
        """The pixels of a well's image that go into a tile; along y and x they start at 0."""
        selection = []
        for axis, (number, tile, size) in enumerate(zip(chunk, self.chunks, shape, strict=True)):
            start = 0 if axis in self._across else number * tile
            selection.append(slice(start, min(start + tile, size, self.shape[axis])))
        return tuple(selection)

    def _open(self, wells: Iterable[Well]) -> dict[Well, StoredArray | None]:
        """The arrays of wells; None for one that is not there. Each is asked for once."""
        with self._lock:
            unknown = [well for well in wells if well not in self._opened]
            if unknown:
                self._opened |= self._find(unknown)
            return {well: self._opened[well] for well in wells}

    def _find(self, wells: Sequence[Well]) -> dict[Well, StoredArray | None]:
        listed = read_wells(self._store, self._metadata.zarr_format, wells)
        chosen = {well: self._choose.path(well, images) for well, images in listed.items()}
        paths = [path for path in chosen.values() if path]
        images = open_images(self._store, self._metadata.zarr_format, paths, self._level)
        found: dict[Well, StoredArray | None] = dict.fromkeys(wells)
        for well, path in chosen.items():
            if path in images:
                found[well] = self._fitting(well, images[path])
        self._warn(found, {well for well, path in chosen.items() if path is None})
        return found

    def _fitting(self, well: Well, image: Multiscale) -> StoredArray:
        """The level of an image, if it goes with that of the first one."""
        array = image.stored_level(self._level)
        roles = image.metadata.roles_of(array.ndim)
        if roles != self._roles:
            mine, first = ", ".join(roles), ", ".join(self._roles)
            raise self._clash(well, f"has the axes {mine}", first)
        if not np.can_cast(array.dtype, self.dtype, "safe"):
            raise self._clash(well, f"holds pixels of type {array.dtype}", str(self.dtype))
        return array

    def _clash(self, well: Well, what: str, first: str) -> OmeZarrError:
        return OmeZarrError(
            f"Well {well.name} of {self._store.url} {what}, but the first well, "
            f"{self._first.name}, {first}, so they do not go into one array: leave this well out, "
            "or open it by itself with plate.image(...)."
        )

    def _warn(self, found: dict[Well, StoredArray | None], without: set[Well]) -> None:
        """Say which wells are filled, wholly or in part, and which are cut."""
        gone = [well for well, array in found.items() if array is None and well not in without]
        other = [well for well, array in found.items() if array and array.shape != self._whole]
        for wells, what in (
            (gone, f"are listed but not there, and are filled with {self._fill}"),
            (without, f"have no {self._choose}, and are filled with {self._fill}"),
            (other, f"differ in shape from {self._first.name}, and are cut or filled up to fit"),
        ):
            if wells:
                names = first_few(sorted(well.name for well in wells))
                warn(f"Wells of {self._store.url} {what}: {names}.")


def plate_level(
    store: RetryingStore, metadata: PlateMetadata, choose: FieldChoice, level: str | int
) -> PlateLevel:
    """The array of a whole plate, of the size that the first well that is there has.

    Raises
    ------
    ImageNotFoundError
        No well has such a field.
    LevelNotFoundError
        The first image has no such level.
    """
    for wells in (metadata.wells[:1], metadata.wells[1:]):
        for well, images in read_wells(store, metadata.zarr_format, wells).items():
            path = choose.path(well, images)
            opened = open_images(store, metadata.zarr_format, [path] if path else [], level)
            for image in opened.values():
                name = level_path(image.metadata, level)
                name = image.paths[image.index(level)] if name is None else name
                return PlateLevel(store, metadata, choose, well, image, name)
    raise ImageNotFoundError(
        f"None of the {len(metadata.wells)} wells of {store.url} has an image for {choose}; "
        "plate.image(...) says which fields a well has."
    )
