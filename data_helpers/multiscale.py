"""An image: the same picture at several resolutions, its axes and scales, its labels."""

from __future__ import annotations

import html
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import dask.array as da

from ._formatting import format_bytes, format_shape
from .addresses import last_part
from .errors import AccessDeniedError, LevelNotFoundError, NoLabelsError
from .metadata import (
    AXES_BEFORE_0_3,
    Channel,
    ImageMetadata,
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
        hint = " (synthetic stand-in)" if self.synthetic and "synthetic" not in short else ""
        return short + hint

    @cached_property
    def stored(self) -> list[StoredArray]:
        """The levels as stored, finest first; **indexing one of them reads pixels**."""
        return self._open(self.paths)

    @cached_property
    def levels(self) -> list[da.Array]:
        """The levels as lazy Dask arrays, finest first, one block per chunk."""
        return [array.lazy() for array in self.stored]

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
        """
        return self.stored_level(resolution).lazy()

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
        return self.metadata.axes or AXES_BEFORE_0_3[-self.stored[0].ndim :]

    @property
    def roles(self) -> tuple[str, ...]:
        """What each axis is for, in storage order: "t", "c", "z", "y" or "x".

        An axis is known by its type first and by its name second. One that is none of these five
        has its own name here. "y" and "x" are always among them, in whichever order.
        """
        return self.metadata.roles or AXES_BEFORE_0_3[-self.stored[0].ndim :]

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
        """The channels as the metadata (``omero``) describe them; empty if they do not."""
        return self.metadata.channels

    def default(self, axis: str) -> int:
        """Index to show first along an axis, given by its role: as the metadata say, or the middle.

        An axis of any other role is given by its name.
        """
        named = self.roles if axis in self.roles else self.axes
        size = self.stored[0].shape[named.index(axis)]
        wanted = self.metadata.first_shown.get(axis)
        return wanted if isinstance(wanted, int) and 0 <= wanted < size else size // 2

    @cached_property
    def labels(self) -> list[str]:
        """Names of the label images; empty if there are none."""
        key = "labels/zarr.json" if self.metadata.zarr_format == 3 else "labels/.zattrs"
        documents, _ = self._store.read_json([key], optional=True)
        listed = label_names(documents.get(key, {}), self.url)
        if listed is None and self.image_id in IMAGES:
            return list(IMAGES[self.image_id].label_names)
        return listed or []

    def label(self, name: str | None = None) -> Multiscale:
        """Open a label image.

        Parameters
        ----------
        name : str, optional
            One of `labels`; the first one if left out.

        Returns
        -------
        Multiscale
            The label image. A label stored as a single array is an image of one level.

        Raises
        ------
        NoLabelsError
            The image has no labels, or none of this name.
        """
        if not self.labels:
            raise NoLabelsError(
                f"{self.title} at {self.url} has no label images; an image that has some is "
                "6001247."
            )
        name = self.labels[0] if name is None else str(name)
        if name not in self.labels:
            raise NoLabelsError(
                f"{self.title} has no label image {name!r}; it has "
                f"{', '.join(map(repr, self.labels))}."
            )
        store = self._store.below(f"labels/{name}")
        zarr_format = self.metadata.zarr_format
        keys = ["zarr.json"] if zarr_format == 3 else [".zattrs", ".zarray"]
        documents, _ = store.read_json(keys, optional=True)
        attributes = ome_attributes(documents.get(keys[0], {}))
        if "multiscales" in attributes:
            metadata = read_image(attributes, zarr_format, store.url)
            return Multiscale(store, metadata, parent=self)
        document = documents.get(keys[-1], {})
        if "shape" in document:
            return self._single_array_label(store, name, document)
        raise NoLabelsError(
            f"{self.title} lists a label image {name!r}, but {store.url} holds none; the upload "
            "may be incomplete."
        )

    def _single_array_label(
        self, store: RetryingStore, name: str, document: dict[str, Any]
    ) -> Multiscale:
        """A label image that is an array rather than a group of levels, as early stores have."""
        metadata = ImageMetadata(
            self.metadata.zarr_format,
            "0.1",
            name,
            ("",),
            self.axes,
            self.units,
            (None,),
            roles=self.roles,
        )
        key = "zarr.json" if self.metadata.zarr_format == 3 else ".zarray"
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
        name = "zarr.json" if self.metadata.zarr_format == 3 else ".zarray"
        keys = {path: f"{path}/{name}" if path else name for path in paths}
        unknown = [key for key in keys.values() if key not in self._documents]
        documents, denied = self._store.read_json(unknown)
        documents |= self._documents
        for path, key in keys.items():
            if key in denied:
                raise AccessDeniedError(
                    f"Level {path!r} of {self.url} cannot be opened: the endpoint answers 403 for "
                    f"{key}, which means that it denies access or holds no such key."
                )
            if key not in documents:
                raise malformed(self.url, f"level {path!r} is listed, but there is no {key}")
        arrays = [open_array(self._store, path, documents[key]) for path, key in keys.items()]
        for array in arrays:
            fits = self.metadata.ndim in (None, array.ndim)
            if not fits or not 2 <= array.ndim <= 5 or min(array.shape) < 1:
                axes = self.metadata.axes
                raise malformed(self.url, f"axes {axes} for an array of shape {array.shape}")
        return arrays

    def __repr__(self) -> str:
        return f"Multiscale({self.title!r}, OME-Zarr {self.version}, {len(self.paths)} levels)"

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{h}</th>" for h in ("level", "shape", "chunk", "chunks", "bytes"))
        rows = "".join(
            f"<tr><td>{html.escape(path)}</td><td>{format_shape(array.shape)}</td>"
            f"<td>{format_shape(array.chunks)}</td><td>{array.nchunks:,}</td>"
            f"<td>{format_bytes(array.nbytes)}</td></tr>"
            for path, array in zip(self.paths, self.stored, strict=True)
        )
        caption = (
            f"<strong>{html.escape(self.title)}</strong>: OME-Zarr {html.escape(self.version)}, "
            f"axes {html.escape(', '.join(self.axes))}, {html.escape(str(self.stored[0].dtype))}"
        )
        return (
            f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead>"
            f"<tbody>{rows}</tbody></table>"
        )


def _alike(size: tuple[float, float], other: tuple[float, float]) -> bool:
    """Whether two pixel sizes agree; halving an odd number of pixels makes small differences."""
    return all(abs(a / b - 1) < 0.1 for a, b in zip(size, other, strict=True))
