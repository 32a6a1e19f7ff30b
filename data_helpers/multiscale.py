"""OME-Zarr metadata: what the levels of an image are called, and what their axes mean.

An OME-Zarr image is a Zarr group. Its metadata (``.zattrs``, or ``zarr.json`` since version 0.5)
name the arrays that hold the same picture at ever coarser resolution. Everything here is taken
from these metadata, never from a listing of the store or from a guess.
"""

from __future__ import annotations

import html
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import dask.array as da

from .cache import Cache, Shelf, find_cache, shelf
from .chunks import StoredArray, open_array
from .errors import (
    AccessDeniedError,
    ImageNotFoundError,
    LevelNotFoundError,
    MalformedMetadataError,
    NoLabelsError,
    NotOmeZarrError,
    OmeZarrError,
)
from .sources import IMAGES, Source, resolve_source
from .store import CarefulStore
from .words import human_bytes, human_shape

VERSIONS = ("0.1", "0.2", "0.3", "0.4", "0.5")
"""OME-Zarr versions that are understood."""

_AXES_BEFORE_0_3 = ("t", "c", "z", "y", "x")


@dataclass(frozen=True)
class Channel:
    """How one channel is meant to be shown.

    Attributes
    ----------
    label : str
        Its name, such as "DAPI".
    color : str
        Six hexadecimal digits, red green blue, such as "00FF00".
    window : tuple of float, or None
        Pixel values to show as black and as full colour.
    active : bool
        Whether to show it at first.
    inverted : bool
        Whether the low values are the bright ones.
    """

    label: str
    color: str = "FFFFFF"
    window: tuple[float, float] | None = None
    active: bool = True
    inverted: bool = False


class Multiscale:
    """An OME-Zarr image: one picture at several resolutions.

    Made by `open_multiscale`. Opening reads metadata only.

    Parameters
    ----------
    store : CarefulStore
        Store whose root is the image.
    attributes : dict
        The image's OME metadata (with the key ``multiscales``).
    zarr_format : int
        2 (up to OME-Zarr 0.4) or 3 (OME-Zarr 0.5).
    image_id : int, optional
        IDR id, where the image was opened by id.
    parent : Multiscale, optional
        For a label image, the image it belongs to.
    known : dict, optional
        Metadata documents of levels that were read already, by key.
    """

    def __init__(
        self,
        store: CarefulStore,
        attributes: dict[str, Any],
        zarr_format: int = 2,
        image_id: int | None = None,
        parent: Multiscale | None = None,
        known: dict[str, dict[str, Any]] | None = None,
    ) -> None:
        self.url = store.url
        self.image_id = image_id
        self._store = store
        self._attributes = attributes
        self._zarr_format = zarr_format
        self.parent = parent
        self._known = known or {}
        try:
            self._multiscale: dict[str, Any] = attributes["multiscales"][0]
            self.paths: list[str] = [str(level["path"]) for level in self._multiscale["datasets"]]
            self._transforms = [_transform_scale(level) for level in self._multiscale["datasets"]]
            self._overall = _transform_scale(self._multiscale)
            self._axes, self._units = _read_axes(self._multiscale.get("axes"))
            self._omero: dict[str, Any] = dict(attributes.get("omero") or {})
            self._defaults: dict[str, Any] = dict(self._omero.get("rdefs") or {})
            grey = self._defaults.get("model") == "greyscale"
            self._channels = _read_channels(self._omero.get("channels") or [], grey)
        except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
            raise self._malformed(f"{type(error).__name__}: {error}") from None
        if not self.paths:
            raise self._malformed("no levels are listed")
        if len(set(map(len, self._declared()))) > 1:
            raise self._malformed("axes and scales differ in number")
        if self.version not in VERSIONS:
            raise NotOmeZarrError(
                f"{self.url} says OME-Zarr version {self.version!r}, but this package reads "
                f"versions {VERSIONS[0]} to {VERSIONS[-1]}; look for a newer release of it."
            )

    def _malformed(self, what: str) -> MalformedMetadataError:
        return MalformedMetadataError(
            f"The OME-Zarr metadata at {self.url} cannot be understood ({what}); the validator at "
            "https://ome.github.io/ome-ngff-validator/ shows what is wrong with them."
        )

    def _declared(self) -> list[Sequence[object]]:
        """The axes and the scales that the metadata name; all should be of one length."""
        every = (self._axes, self._overall, *self._transforms)
        return [found for found in every if found is not None]

    @property
    def version(self) -> str:
        """OME-Zarr version, such as "0.4"."""
        written = self._attributes.get("version") or self._multiscale.get("version")
        return str(written or ("0.5" if self._zarr_format == 3 else "0.1"))

    @property
    def name(self) -> str:
        """Name from the metadata, or the last part of the address."""
        named = self._multiscale.get("name") or self._omero.get("name")
        return str(named or self.url.rsplit("/", 1)[-1])

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
    def arrays(self) -> list[StoredArray]:
        """The levels as stored, finest first; **indexing one of them reads pixels**."""
        return self._open(self.paths)

    @cached_property
    def levels(self) -> list[da.Array]:
        """The levels as lazy Dask arrays, finest first, one block per chunk."""
        return [array.lazy() for array in self.arrays]

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
        return self.array(resolution).lazy()

    def array(self, resolution: str | int = 0) -> StoredArray:
        """One level as stored; like `level`, but indexing it reads pixels at once."""
        index = self.index(resolution)
        if "arrays" in self.__dict__:
            return self.arrays[index]
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
        fits = [
            index
            for index, array in enumerate(self.arrays)
            if array.shape[-2] >= height and array.shape[-1] >= width
        ]
        return max(fits, default=0)

    @property
    def axes(self) -> tuple[str, ...]:
        """Names of the axes in storage order, such as ``("t", "c", "z", "y", "x")``."""
        return self._axes or _AXES_BEFORE_0_3[-self.arrays[0].ndim :]

    @property
    def units(self) -> tuple[str | None, ...]:
        """Unit of each axis, or None where the metadata name none."""
        return self._units or (None,) * len(self.axes)

    @property
    def has_scales(self) -> bool:
        """Whether the metadata hold a scale for every level."""
        return None not in self._transforms

    @cached_property
    def scales(self) -> list[tuple[float, ...]]:
        """For each level the size of one pixel along each axis, in `units`.

        Where the metadata hold no scale (before version 0.4), sizes are relative to the finest
        level, whose pixels count 1.
        """
        if self.has_scales:
            overall = self._overall or (1.0,) * len(self.axes)
            return [
                tuple(a * b for a, b in zip(scale, overall, strict=True))
                for scale in self._transforms
                if scale is not None
            ]
        finest = self.parent or self
        base = dict(zip(finest.axes, finest.scales[0], strict=True)) if self.parent else {}
        whole = dict(zip(finest.axes, finest.arrays[0].shape, strict=True))
        return [
            tuple(
                base.get(axis, 1.0) * (1.0 if axis == "c" else whole.get(axis, size) / size)
                for axis, size in zip(self.axes, array.shape, strict=True)
            )
            for array in self.arrays
        ]

    @property
    def channels(self) -> list[Channel]:
        """The channels as the metadata (``omero``) describe them; empty if they do not."""
        return self._channels

    def default(self, axis: str) -> int:
        """Index to show first along "t" or "z": as the metadata say, or the middle one."""
        size = self.arrays[0].shape[self.axes.index(axis)]
        wanted = self._defaults.get(f"default{axis.upper()}", size // 2)
        return wanted if isinstance(wanted, int) and 0 <= wanted < size else size // 2

    @cached_property
    def labels(self) -> list[str]:
        """Names of the label images; empty if there are none."""
        key = "labels/zarr.json" if self._zarr_format == 3 else "labels/.zattrs"
        documents, _ = self._store.read_json([key])
        listed = _ome(documents.get(key, {})).get("labels")
        if listed is None and self.image_id in IMAGES:
            return list(IMAGES[self.image_id].label_names)
        if not isinstance(listed or [], list):
            raise self._malformed(f"{key} should hold a list of names, not {listed!r}")
        return [str(name) for name in listed or []]

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
        keys = ["zarr.json"] if self._zarr_format == 3 else [".zattrs", ".zarray"]
        documents, _ = store.read_json(keys)
        attributes = _ome(documents.get(keys[0], {}))
        if "multiscales" in attributes:
            return Multiscale(store, attributes, self._zarr_format, parent=self)
        document = documents.get(keys[-1], {})
        if "shape" in document:
            return self._single_array_label(store, name, document)
        raise NoLabelsError(
            f"{self.title} lists a label image {name!r}, but {store.url} holds none; the upload "
            "may be incomplete."
        )

    def _single_array_label(
        self, store: CarefulStore, name: str, document: dict[str, Any]
    ) -> Multiscale:
        """A label image that is an array rather than a group of levels, as early stores have."""
        metadata = {"multiscales": [{"datasets": [{"path": ""}], "version": "0.1", "name": name}]}
        label = Multiscale(store, metadata, self._zarr_format, parent=self)
        label._axes, label._units = self.axes, self.units
        label.arrays = [open_array(store, "", document)]
        return label

    def label_array(self, resolution: str | int = 0, name: str | None = None) -> StoredArray:
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
                return label.arrays[number]
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
        return self.scales[index][-2], self.scales[index][-1]

    def _open(self, paths: Sequence[str]) -> list[StoredArray]:
        """Open some levels; their metadata documents are fetched all at once."""
        name = "zarr.json" if self._zarr_format == 3 else ".zarray"
        keys = {path: f"{path}/{name}" if path else name for path in paths}
        unknown = [key for key in keys.values() if key not in self._known]
        documents, denied = self._store.read_json(unknown)
        documents |= self._known
        for path, key in keys.items():
            if key in denied:
                raise AccessDeniedError(
                    f"Level {path!r} of {self.url} cannot be opened: the endpoint answers 403 for "
                    f"{key}, which means that it denies access or holds no such key."
                )
            if key not in documents:
                raise self._malformed(f"level {path!r} is listed, but there is no {key}")
        arrays = [open_array(self._store, path, documents[key]) for path, key in keys.items()]
        for array in arrays:
            fits = all(len(found) == array.ndim for found in self._declared())
            if not fits or not 2 <= array.ndim <= 5 or min(array.shape) < 1:
                raise self._malformed(f"axes {self._axes} for an array of shape {array.shape}")
        return arrays

    def __repr__(self) -> str:
        return f"Multiscale({self.title!r}, OME-Zarr {self.version}, {len(self.paths)} levels)"

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{h}</th>" for h in ("level", "shape", "chunk", "chunks", "bytes"))
        rows = "".join(
            f"<tr><td>{html.escape(path)}</td><td>{human_shape(array.shape)}</td>"
            f"<td>{human_shape(array.chunks)}</td><td>{array.nchunks:,}</td>"
            f"<td>{human_bytes(array.nbytes)}</td></tr>"
            for path, array in zip(self.paths, self.arrays, strict=True)
        )
        caption = (
            f"<strong>{html.escape(self.title)}</strong>: OME-Zarr {html.escape(self.version)}, "
            f"axes {html.escape(', '.join(self.axes))}, {html.escape(str(self.arrays[0].dtype))}"
        )
        return (
            f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead>"
            f"<tbody>{rows}</tbody></table>"
        )


def open_multiscale(
    image: int | str | Path,
    *,
    source: str | Source | None = None,
    cache: str | Path | Cache | None = None,
) -> Multiscale:
    """Open an OME-Zarr image; reads its metadata only, no pixels.

    Parameters
    ----------
    image : int, str or Path
        An IDR image id (9822152 or "9822152"), or any OME-Zarr image (version 0.1 to 0.5) by its
        ``https://`` address, its ``s3://bucket/key``, or a local folder.
    source : str, optional
        Where to look for an id or an ``s3://`` address: the name of a source or the URL of an S3
        endpoint. The source in use if left out.
    cache : str or Path, optional
        "memory" or a folder: keep there what is read, and read it from there the next time. What
        ``OME_ZARR_CACHE`` says if left out; "off" for none. See `data_helpers.cache`.

    Returns
    -------
    Multiscale
        Levels, axes, scales, channels and labels of the image.

    Raises
    ------
    ImageNotFoundError
        The source holds no image with this id.
    NotOmeZarrError
        There is no OME-Zarr image at this address.
    AccessDeniedError, EndpointUnreachableError, MalformedMetadataError
        The metadata cannot be fetched or understood.
    """

    def find_and_open_levels(kept: _Kept) -> Multiscale:
        multiscale = _find(image, source, kept)
        multiscale.arrays  # noqa: B018  (opens all levels now, so that an error shows here)
        return multiscale

    return _through(cache, find_and_open_levels)


def find_multiscale(
    image: int | str | Path,
    *,
    source: str | Source | None = None,
    cache: str | Path | Cache | None = None,
    level: str | int = "",
) -> Multiscale:
    """Like `open_multiscale`, but leaves the metadata of the levels unread.

    Those of one `level` are asked for at the same time, which saves a round trip, if its path can
    be guessed: levels are mostly called "0", "1" and so on.
    """
    hoped = (f"{level}/.zarray",) if str(level).isalnum() else ()
    return _through(cache, lambda kept: _find(image, source, kept, hoped))


class _Kept(NamedTuple):
    """Where to keep what is read, and how far to trust what is kept there already."""

    cache: Cache | None = None
    since: int = 0

    def shelf(self, url: str) -> Shelf | None:
        return shelf(self.cache, url, self.since)


def _through(
    cache: str | Path | Cache | None, opening: Callable[[_Kept], Multiscale]
) -> Multiscale:
    """Open an image through a cache; that there is none is never concluded from the cache."""
    chosen, started = find_cache(cache), time.time_ns()
    try:
        return opening(_Kept(chosen))
    except (ImageNotFoundError, NotOmeZarrError, MalformedMetadataError):
        if chosen is None:
            raise
    return opening(_Kept(chosen, since=started))


def _find(
    image: int | str | Path, source: str | Source | None, kept: _Kept, hoped: Sequence[str] = ()
) -> Multiscale:
    address = str(image).strip()
    if address.isdecimal() and not isinstance(image, Path):
        return _open_by_id(int(address), resolve_source(source), kept, hoped)
    if address.startswith("s3://"):
        endpoint = resolve_source(source).endpoint
        return _open_url(f"{endpoint}/{address.removeprefix('s3://')}", kept)
    if "://" in address and not address.startswith(("http://", "https://")):
        raise NotOmeZarrError(
            f"{address} cannot be opened: give an IDR id, an https:// or s3:// address, or a "
            "local folder."
        )
    if "://" not in address:
        address = Path(address).expanduser().absolute().as_posix()
    elif urlsplit(address).query:
        raise NotOmeZarrError(
            f"{address} has a query string (?...), which an image's address cannot have; "
            "give the part before it."
        )
    return _open_url(address, kept)


def _open_by_id(
    image_id: int, source: Source, kept: _Kept, hoped: Sequence[str] = ()
) -> Multiscale:
    """Open an image by its IDR id, trying the keys at which the source may keep it."""
    keys, refusal = source.keys_of(image_id), None
    for key in keys:
        try:
            return _open_url(source.url(key), kept, (2,), image_id, hoped)
        except NotOmeZarrError:
            continue
        except AccessDeniedError as error:  # some endpoints say 403 for "no such key"
            refusal = error
    registered = ", ".join(f"{image.id} ({image.title})" for image in IMAGES.values())
    if source.name == "offline":
        looked = "it knows only these three"
    else:
        looked = f"looked for {' and '.join(keys)}" + (", which it denies" if refusal else "")
    raise ImageNotFoundError(
        f"Image {image_id} is not at the {source.name} source ({source.endpoint}): {looked}. "
        f"Registered images: {registered}."
    )


def _open_url(
    url: str,
    kept: _Kept,
    formats: tuple[int, ...] = (3, 2),
    image_id: int | None = None,
    hoped: Sequence[str] = (),
) -> Multiscale:
    """Open the image at an address, asking for the metadata of each Zarr format at once.

    The keys hoped for are asked for with them; it is no matter if they do not exist.
    """
    store = CarefulStore(url, cache=kept.shelf(url))
    keys = {3: "zarr.json", 2: ".zattrs"}
    documents, denied = store.read_json([*(keys[number] for number in formats), *hoped])
    known = {key: documents.pop(key) for key in hoped if key in documents}
    denied = [key for key in denied if key not in hoped]
    for number in formats:
        attributes = _ome(documents.get(keys[number], {}))
        if "multiscales" in attributes:
            return Multiscale(store, attributes, number, image_id, known=known)
    if denied and not documents:
        raise AccessDeniedError(
            f"{url} cannot be opened: the endpoint answers 403, which means that it denies access "
            "or holds no such image. Check the address."
        )
    raise _not_an_image(url, documents)


def _not_an_image(url: str, documents: dict[str, dict[str, Any]]) -> OmeZarrError:
    """Say what there is instead of an image."""
    attributes: dict[str, Any] = {}
    for document in documents.values():
        attributes.update(_ome(document))
    if "plate" in attributes or "well" in attributes:
        found = "a plate: open one image inside it, such as its A/1/0"
    elif "bioformats2raw.layout" in attributes:
        found = "a collection of images: open one inside it, such as its folder 0"
    elif documents:
        found = "Zarr metadata without the key multiscales; it may be a part of an image"
    else:
        found = "neither .zattrs nor zarr.json; check the address (it often ends in .zarr)"
    return NotOmeZarrError(f"There is no OME-Zarr image at {url}: it holds {found}.")


def _ome(document: dict[str, Any]) -> dict[str, Any]:
    """OME metadata from ``.zattrs`` (as they are) or ``zarr.json`` (below attributes, ome)."""
    if document.get("zarr_format") != 3:
        return document
    attributes = document.get("attributes") or {}
    return attributes.get("ome") or attributes


def _read_axes(
    axes: Sequence[str | dict[str, str]] | None,
) -> tuple[tuple[str, ...] | None, tuple[str | None, ...] | None]:
    """Names and units of the axes; none before 0.3, only names in 0.3.

    Some label images of the IDR spell the key "units", so both spellings are taken.
    """
    if not axes:
        return None, None
    named = [{"name": axis} if isinstance(axis, str) else axis for axis in axes]
    names = tuple(str(axis["name"]) for axis in named)
    return names, tuple(axis.get("unit") or axis.get("units") for axis in named)


def _transform_scale(holder: dict[str, Any]) -> tuple[float, ...] | None:
    """The scale among a level's ``coordinateTransformations``, or None."""
    for transform in holder.get("coordinateTransformations") or []:
        if transform["type"] == "scale":
            scale = tuple(float(size) for size in transform["scale"])
            if 0 in scale:
                raise ValueError(f"a scale of {scale}")
            return scale
    return None


def _read_channels(listed: list[dict[str, Any]], grey: bool) -> list[Channel]:
    """The channels that the metadata list; white if they are to be shown in grey."""
    channels = []
    for number, channel in enumerate(listed):
        window = dict(channel.get("window") or {})
        known = "start" in window and "end" in window
        channels.append(
            Channel(
                label=str(channel.get("label") or f"channel {number}"),
                color="FFFFFF" if grey else str(channel.get("color") or "FFFFFF"),
                window=(float(window["start"]), float(window["end"])) if known else None,
                active=bool(channel.get("active", True)),
                inverted=bool(channel.get("inverted", False)),
            )
        )
    return channels


def _alike(size: tuple[float, float], other: tuple[float, float]) -> bool:
    """Whether two pixel sizes agree; halving an odd number of pixels makes small differences."""
    return all(abs(a / b - 1) < 0.1 for a, b in zip(size, other, strict=True))
