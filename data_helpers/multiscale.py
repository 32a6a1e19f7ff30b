"""An image: the same picture at several resolutions, its axes and scales, its labels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import dask.array as da

from ._formatting import as_html, format_bytes, format_shape, in_short, synthetic_title
from ._levels import Levels
from ._metadata.hints import MOST_CHANNELS
from ._metadata.paths import checked_path
from ._warning import warn
from .addresses import last_part
from .errors import AccessDeniedError, LevelNotFoundError, NoLabelsError
from .lazy import MAX_CHUNKS, too_many_chunks
from .metadata import (
    ARRAY_DOCUMENT,
    GROUP_DOCUMENT,
    Channel,
    ImageMetadata,
    describe_array_label,
    growth,
    label_names,
    malformed,
    ome_attributes,
    read_image,
)
from .sources import IMAGES
from .store import RetryingStore
from .stored_array import StoredArray, open_array


class Multiscale:
    """An OME-Zarr image: one picture at several resolutions.

    Made by `open_multiscale`. Opening reads metadata only.

    Parameters
    ----------
    store : RetryingStore
        Store whose root is the image.
    metadata : ImageMetadata
        What the metadata of the image say.
    image_id : int, optional
        IDR id, where the image was opened by id.
    parent : Multiscale, optional
        For a label image, the image it belongs to.
    documents : dict, optional
        Metadata documents of levels that were read already, by key.
    """

    def __init__(
        self,
        store: RetryingStore,
        metadata: ImageMetadata,
        image_id: int | None = None,
        parent: Multiscale | None = None,
        documents: dict[str, dict[str, Any]] | None = None,
    ) -> None:
        self.url = store.url
        self.metadata = metadata
        self.paths: list[str] = list(metadata.paths)
        self.image_id = image_id
        self.parent = parent
        self._store = store
        self._documents = documents or {}
        if metadata.left_out:
            parts = in_short(metadata.left_out)
            warn(f"{self.url} is read, but these parts of its metadata are left out: {parts}.")

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
        """Whether the metadata call the image synthetic."""
        return "synthetic" in (self.parent or self).name.lower()

    @property
    def title(self) -> str:
        """Short title for figures; says "synthetic" where the pixels are."""
        if self.parent:
            return f"labels of {self.parent.title}"
        short = f"IDR {self.image_id}" if self.image_id else self.name
        return synthetic_title(short) if self.synthetic else short

    @cached_property
    def stored(self) -> Levels[StoredArray]:
        """The levels as stored, finest first; **indexing one of them reads pixels**."""
        arrays = self._open(self.paths)
        roles = self.metadata.roles_of(arrays[0].ndim)
        if problem := growth(self.paths, [array.shape for array in arrays], roles):
            raise malformed(self.url, problem)
        return Levels(arrays, self.title)

    @cached_property
    def levels(self) -> Levels[da.Array]:
        """The levels as lazy Dask arrays, finest first, one block per chunk.

        A level of too many chunks is an error, as for `level`, which gives the others.
        """
        lazy = [self._lazy(*level) for level in zip(self.paths, self.stored, strict=True)]
        return Levels(lazy, self.title)

    def level(self, resolution: str | int = 0) -> da.Array:
        """One level as a lazy Dask array.

        Parameters
        ----------
        resolution : str or int
            Path of the level ("4") or its index (4, counted from the finest, 0).

        Raises
        ------
        LevelNotFoundError
            There is no such level; the message lists those that exist.
        TooLargeError
            It has more chunks than a Dask array can hold; the message names a level that fits.
        """
        return self._lazy(resolution, self.stored_level(resolution))

    def _lazy(self, resolution: str | int, array: StoredArray) -> da.Array:
        if array.nchunks <= MAX_CHUNKS:
            return array.lazy()
        chunks = {path: level.nchunks for path, level in zip(self.paths, self.stored, strict=True)}
        raise too_many_chunks(f"Level {resolution!r} of {self.title}", array.nchunks, chunks)

    def stored_level(self, resolution: str | int = 0) -> StoredArray:
        """One level as stored; like `level`, but indexing it reads pixels at once."""
        index = self.index(resolution)
        if "stored" in self.__dict__:
            return self.stored[index]
        return self._open([self.paths[index]])[0]

    def index(self, resolution: str | int) -> int:
        """Index of a level given by its path or by its index."""
        if isinstance(resolution, str) and resolution in self.paths:
            return self.paths.index(resolution)
        if not isinstance(resolution, str | bool) and resolution in range(len(self.paths)):
            return int(resolution)
        raise LevelNotFoundError(
            f"{self.title} has no level {resolution!r}; its levels, finest first, are "
            f"{', '.join(map(repr, self.paths))} (or the index 0 to {len(self.paths) - 1})."
        )

    def level_for(self, pixels: int | tuple[int, int]) -> int:
        """Index of the coarsest level that still fills that many pixels.

        Parameters
        ----------
        pixels : int or tuple of int
            Side of a square picture, or its (height, width), in screen pixels.

        Returns
        -------
        int
            Index of the coarsest level that is at least so large along both Y and X;
            0, the finest, where none is.
        """
        height, width = pixels if isinstance(pixels, tuple) else (pixels, pixels)
        if height < 1 or width < 1:
            raise ValueError(f"a picture needs at least one pixel, not {pixels!r}")
        down, across = self.roles.index("y"), self.roles.index("x")
        fits = [
            index
            for index, array in enumerate(self.stored)
            if array.shape[down] >= height and array.shape[across] >= width
        ]
        return max(fits, default=0)

    @property
    def axes(self) -> tuple[str, ...]:
        """Names of the axes in storage order, such as ``("t", "c", "z", "y", "x")``."""
        return self.metadata.axes or self.metadata.roles_of(self.stored[0].ndim)

    @property
    def roles(self) -> tuple[str, ...]:
        """What each axis is for, in storage order: "t", "c", "z", "y" or "x".

        An axis is known by its type first and by its name second. One that is none of these five
        has its own name here. "y" and "x" are always among them, in whichever order.
        """
        return self.metadata.roles or self.metadata.roles_of(self.stored[0].ndim)

    @property
    def units(self) -> tuple[str | None, ...]:
        """Unit of each axis, or None where the metadata name none."""
        return self.metadata.units or (None,) * len(self.axes)

    @property
    def has_scales(self) -> bool:
        """Whether the metadata hold a scale for every level."""
        return None not in self.metadata.scales

    @cached_property
    def scales(self) -> list[tuple[float, ...]]:
        """For each level the size of one pixel along each axis, in `units`.

        Where the metadata hold no scale (before version 0.4), sizes are relative to the finest
        level, whose pixels count 1.
        """
        if self.has_scales:
            return [scale for scale in self.metadata.scales if scale is not None]
        finest = self.parent or self
        base = dict(zip(finest.roles, finest.scales[0], strict=True)) if self.parent else {}
        whole = dict(zip(finest.roles, finest.stored[0].shape, strict=True))
        return [
            tuple(
                base.get(role, 1.0) * (1.0 if role == "c" else whole.get(role, size) / size)
                for role, size in zip(self.roles, array.shape, strict=True)
            )
            for array in self.stored
        ]

    @property
    def channels(self) -> list[Channel]:
        """The channels as the metadata (``omero``) describe them; empty if they do not.

        There are as many as the image has, and 10,000 at most: of the others only the number is
        known.
        """
        described = self.metadata.channels
        if not described:
            return []
        sizes = dict(zip(self.roles, self.stored[0].shape, strict=True))
        count = min(sizes.get("c", 1), MOST_CHANNELS)
        unknown = [Channel(f"channel {number}") for number in range(len(described), count)]
        return described[:count] + unknown

    def default(self, axis: str) -> int:
        """Index to show first along an axis, given by role or name; the middle one if unsaid."""
        number = (self.roles if axis in self.roles else self.axes).index(axis)
        size = self.stored[0].shape[number]
        wanted = self.metadata.first_shown.get(self.roles[number])
        return wanted if isinstance(wanted, int) and 0 <= wanted < size else size // 2

    @cached_property
    def labels(self) -> list[str]:
        """Names of the label images that are listed; empty if none are.

        Labels that exist but are not listed can be opened by their name: see `label`.
        """
        return self._label_list[1]

    @cached_property
    def _label_list(self) -> tuple[int, list[str]]:
        """Zarr format of the list of labels, and the names in it.

        Labels may have been added by another program in the other format, so its list is asked
        for, too, but only where that of the image's own format is missing.
        """
        own = self.metadata.zarr_format
        for zarr_format in (own, 5 - own):
            key = f"labels/{GROUP_DOCUMENT[zarr_format]}"
            documents, _ = self._store.read_json([key], optional=True)
            if key in documents:
                listed = label_names(documents[key], self.url)
                if listed is not None:
                    return zarr_format, listed
        known = IMAGES[self.image_id].label_names if self.image_id in IMAGES else ()
        return own, list(known)

    def label(self, name: str | None = None) -> Multiscale:
        """Open a label image.

        Parameters
        ----------
        name : str, optional
            One of `labels`, or any other that exists; the first one if left out.

        Returns
        -------
        Multiscale
            The label image. A label stored as a single array is an image of one level.

        Raises
        ------
        NoLabelsError
            The image has no labels, or none of this name; the message lists those that exist.
        """
        zarr_format, listed = self._label_list
        if name is None and not listed:
            raise self._no_labels()
        wanted = listed[0] if name is None else str(name)
        if label := self._find_label(wanted, zarr_format):
            return label
        if wanted not in listed:
            raise self._no_labels(wanted)
        others = [self._find_label(other, zarr_format) for other in listed if other != wanted]
        found = [label for label in others if label]
        lost = (
            f"{self.title} lists a label image {wanted!r}, but "
            f"{self._store.below(f'labels/{wanted}').url} holds none; the upload may be incomplete"
        )
        if name is None and found:
            warn(f"{lost}, so {found[0].name!r} is taken instead.")
            return found[0]
        exist = ", ".join(repr(label.name) for label in found)
        raise NoLabelsError(f"{lost}; {exist} can be opened." if found else f"{lost}.")

    def _no_labels(self, name: str = "") -> NoLabelsError:
        """The error for an image without labels, or without the one that was asked for."""
        if not self.labels:
            return NoLabelsError(
                f"{self.title} at {self.url} has no label images; an image that has some is "
                "6001247."
            )
        listed = ", ".join(map(repr, self.labels))
        return NoLabelsError(f"{self.title} has no label image {name!r}; it has {listed}.")

    def _find_label(self, name: str, zarr_format: int) -> Multiscale | None:
        """A label image in the format in which labels are listed, or else in the other one."""
        try:
            checked_path(name, "labels")
        except ValueError:
            return None
        store = self._store.below(f"labels/{name}")
        for number in (zarr_format, 5 - zarr_format):
            group, array = GROUP_DOCUMENT[number], ARRAY_DOCUMENT[number]
            documents, _ = store.read_json(dict.fromkeys((group, array)), optional=True)
            attributes = ome_attributes(documents.get(group, {}))
            if "multiscales" in attributes:
                return Multiscale(store, read_image(attributes, number, store.url), parent=self)
            if "shape" in documents.get(array, {}):
                return self._single_array_label(store, name, number, documents[array])
        return None

    def _single_array_label(
        self, store: RetryingStore, name: str, zarr_format: int, document: dict[str, Any]
    ) -> Multiscale:
        """A label image that is an array rather than a group of levels, as early stores have."""
        ours = (self.axes, self.units, self.roles)
        metadata = describe_array_label(document["shape"], zarr_format, name, *ours)
        key = ARRAY_DOCUMENT[zarr_format]
        label = Multiscale(store, metadata, parent=self, documents={key: document})
        label.stored  # noqa: B018  (opens the array now, so that an error shows here)
        return label

    def stored_labels(self, resolution: str | int = 0, name: str | None = None) -> StoredArray:
        """The level of a label image that lies on a level of this image, matched by scale.

        Raises
        ------
        NoLabelsError
            There are no labels, or none at the scale of this level.
        """
        label, index = self.label(name), self.index(resolution)
        wanted = self._pixel_size(index)
        sizes = [label._pixel_size(number) for number in range(len(label.paths))]
        for number, size in enumerate(sizes):
            if _alike(size, wanted):
                return label.stored[number]
        matching = [
            path
            for number, path in enumerate(self.paths)
            if any(_alike(size, self._pixel_size(number)) for size in sizes)
        ]
        raise NoLabelsError(
            f"The labels of {self.title} do not exist at the scale of level "
            f"{self.paths[index]!r}; ask for level {' or '.join(map(repr, matching)) or 'none'}."
        )

    def _pixel_size(self, index: int) -> tuple[float, float]:
        """Size of a pixel along Y and X at a level."""
        scale = self.scales[index]
        return scale[self.roles.index("y")], scale[self.roles.index("x")]

    def _open(self, paths: Sequence[str]) -> list[StoredArray]:
        """Open some levels; their metadata documents are fetched all at once."""
        name = ARRAY_DOCUMENT[self.metadata.zarr_format]
        keys = {path: f"{path}/{name}" if path else name for path in paths}
        unknown = [key for key in keys.values() if key not in self._documents]
        documents, denied = self._store.read_json(unknown)
        documents |= self._documents
        for path, key in keys.items():
            if key in denied:
                raise AccessDeniedError(
                    f"Level {path!r} of {self.url} cannot be opened: the endpoint answers 403 for "
                    f"{key}, so either it denies access or there is no such key."
                )
            if key not in documents:
                raise malformed(self.url, f"level {path!r} is listed, but there is no {key}")
        arrays = [open_array(self._store, path, documents[key]) for path, key in keys.items()]
        for array in arrays:
            fits = self.metadata.ndim in (None, array.ndim)
            sizes_fit = all(1 <= size < 2**63 for size in array.shape)
            if not fits or not 2 <= array.ndim <= 5 or not sizes_fit:
                axes = self.metadata.axes
                raise malformed(self.url, f"axes {axes} for an array of shape {array.shape}")
        return arrays

    def __repr__(self) -> str:
        return f"Multiscale({self.title!r}, OME-Zarr {self.version}, {len(self.paths)} levels)"

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{h}</th>" for h in ("level", "shape", "chunk", "chunks", "bytes"))
        rows = "".join(
            f"<tr><td>{as_html(path)}</td><td>{format_shape(array.shape)}</td>"
            f"<td>{format_shape(array.chunks)}</td><td>{array.nchunks:,}</td>"
            f"<td>{format_bytes(array.nbytes)}</td></tr>"
            for path, array in zip(self.paths, self.stored, strict=True)
        )
        caption = (
            f"<strong>{as_html(self.title)}</strong>: OME-Zarr {as_html(self.version)}, "
            f"axes {as_html(', '.join(self.axes))}, {as_html(str(self.stored[0].dtype))}"
        )
        return (
            f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead>"
            f"<tbody>{rows}</tbody></table>"
        )


def _alike(size: tuple[float, float], other: tuple[float, float]) -> bool:
    """Whether two pixel sizes agree; halving an odd number of pixels makes small differences."""
    return all(abs(a / b - 1) < 0.1 for a, b in zip(size, other, strict=True))
