"""From OME-Zarr and Zarr documents to values: axes, scales, channels, levels, labels.

An OME-Zarr image is a Zarr group. Its metadata (``.zattrs``, or ``zarr.json`` since version 0.5)
name the arrays that hold the same picture at ever coarser resolution. Everything here is a pure
function of these documents: nothing asks a store, and nothing is guessed.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ._formatting import as_written, in_short, plain_text
from ._metadata.axes import Axes, read_axes
from ._metadata.codecs import name_of
from ._metadata.coordinates import Scale, multiply, own_system, read_scale, scene_images
from ._metadata.hints import Channel as Channel
from ._metadata.hints import as_name, read_hints, read_label_colors
from ._metadata.paths import checked_path
from ._warning import warn
from .errors import MalformedMetadataError, NotOmeZarrError

VERSIONS = ("0.1", "0.2", "0.3", "0.4", "0.5", "0.6")
"""OME-Zarr versions that are understood, and what builds on them, such as "0.6.dev1"."""

GROUP_DOCUMENT = {2: ".zattrs", 3: "zarr.json"}
ARRAY_DOCUMENT = {2: ".zarray", 3: "zarr.json"}
"""For each Zarr format the document of an image (or a plate, a well, ...), and that of a level."""

MOST_LEVELS = 100

AXES_BEFORE_0_3 = ("t", "c", "z", "y", "x")
"""What the axes of an array are where the metadata name none; the last ones, if it has fewer."""


@dataclass(frozen=True)
class ImageMetadata:
    """What the metadata of an image say.

    Attributes
    ----------
    zarr_format : int
        2 (up to OME-Zarr 0.4) or 3 (since OME-Zarr 0.5).
    version : str
        OME-Zarr version, such as "0.4".
    name : str
        Name of the image; empty if they name none.
    paths : tuple of str
        Paths of the levels, finest first.
    axes : tuple of str, or None
        Names of the axes in storage order; None before version 0.3.
    units : tuple of (str or None), or None
        Unit of each axis; None where they name no axes.
    scales : tuple of (tuple of float, or None)
        For each level the size of a pixel along each axis; None where they hold no scale.
    channels : list of Channel
        The channels; empty if they describe none.
    first_shown : dict of str to (int or None)
        Index to show first along "t" and "z"; None where they name none.
    ndim : int or None
        Number of axes; None where they name neither axes nor scales.
    roles : tuple of str, or None
        What each axis is for: see `Multiscale.roles`; None before version 0.3.
    label_colors : dict of int to str
        For labels the colour of each that has one, as "00FF00".
    left_out : tuple of str
        What the metadata say that is not followed: keys, and what stands there.
    """

    zarr_format: int
    version: str
    name: str
    paths: tuple[str, ...]
    axes: tuple[str, ...] | None = None
    units: tuple[str | None, ...] | None = None
    scales: tuple[Scale | None, ...] = ()
    channels: list[Channel] = field(default_factory=list)
    first_shown: dict[str, Any] = field(default_factory=dict)
    ndim: int | None = None
    roles: tuple[str, ...] | None = None
    label_colors: dict[int, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()

    def roles_of(self, ndim: int) -> tuple[str, ...]:
        """What each axis of an array is for; before version 0.3 that follows from their number."""
        return self.roles or AXES_BEFORE_0_3[-ndim:]


def read_image(attributes: dict[str, Any], zarr_format: int, where: str) -> ImageMetadata:
    """Understand the OME metadata of an image.

    Parameters
    ----------
    attributes : dict
        The image's OME metadata (with the key ``multiscales``); see `ome_attributes`.
    zarr_format : int
        2 or 3.
    where : str
        Address of the image, for messages.

    Raises
    ------
    MalformedMetadataError
        They cannot be understood.
    NotOmeZarrError
        Their version is not one of `VERSIONS`.
    """
    notes: list[str] = []
    try:
        multiscale = _first_multiscale(attributes, notes)
        version = _read_version(attributes, multiscale, zarr_format, where)
        datasets = _read_datasets(multiscale, notes)
        axes = _find_axes(multiscale, datasets, version, notes)
        scales = _read_scales(multiscale, datasets, version, axes, notes)
    except ValueError as error:
        raise malformed(where, str(error)) from None
    hints = read_hints(attributes.get("omero"), notes)
    sizes = next((scale for scale in scales if scale), ())
    return ImageMetadata(
        zarr_format=zarr_format,
        version=version,
        name=as_name(multiscale, "name", "multiscales[0]", notes) or hints.name,
        paths=tuple(path for path, _, _ in datasets),
        axes=axes and axes.names,
        units=axes and axes.units,
        roles=axes and axes.roles,
        scales=scales,
        channels=hints.channels,
        first_shown=hints.first_shown,
        ndim=len(axes.names if axes else sizes) or None,
        label_colors=read_label_colors(attributes.get("image-label"), notes),
        left_out=tuple(notes),
    )


def _first_multiscale(attributes: dict[str, Any], notes: list[str]) -> dict[str, Any]:
    listed = attributes.get("multiscales")
    if not isinstance(listed, list) or not listed or not isinstance(listed[0], dict):
        raise ValueError(f"multiscales is {as_written(listed)}, not a list of images")
    if len(listed) > 1:
        notes.append(f"{len(listed) - 1} of {len(listed)} multiscales, all after the first")
    return listed[0]


def _read_version(
    attributes: dict[str, Any], multiscale: dict[str, Any], zarr_format: int, where: str
) -> str:
    """The version as written, or the one that has no place for it."""
    version = attributes.get("version") or multiscale.get("version")
    if not version:
        newest = "0.6" if "coordinateSystems" in multiscale else "0.5"
        return newest if zarr_format == 3 else "0.1"
    said = repr(version) if isinstance(version, str) and len(version) < 40 else as_written(version)
    if not re.match(r"0\.[1-6](?!\d)", str(version)):
        raise NotOmeZarrError(
            f"{where} says OME-Zarr version {said}, but this package reads "
            f"versions {VERSIONS[0]} to {VERSIONS[-1]}; look for a newer release of it."
        )
    return plain_text(version, 20)


def _read_datasets(
    multiscale: dict[str, Any], notes: list[str]
) -> list[tuple[str, str, dict[str, Any]]]:
    """For each level its path, its key for messages, and the object that describes it."""
    listed = multiscale.get("datasets")
    if not isinstance(listed, list):
        raise ValueError(f"datasets is {as_written(listed)}, not a list of levels")
    if len(listed) > MOST_LEVELS:
        raise ValueError(f"datasets lists {len(listed):,} levels, but no image has over 100")
    found: list[tuple[str, str, dict[str, Any]]] = []
    for number, level in enumerate(listed):
        key = f"datasets[{number}]"
        if not isinstance(level, dict) or not isinstance(level.get("path"), str | int):
            raise ValueError(f"{key} is {as_written(level)}, which has no path")
        path = checked_path(level["path"], f"{key}.path")
        if path in [known for known, _, _ in found]:
            notes.append(f"{key}, which lists the level {as_written(path)} again")
        else:
            found.append((path, f"{key}.", level))
    if not found:
        raise ValueError("no levels are listed: datasets is []")
    return found


def _find_axes(
    multiscale: dict[str, Any],
    datasets: list[tuple[str, str, dict[str, Any]]],
    version: str,
    notes: list[str],
) -> Axes | None:
    """The axes, which stand in a coordinate system since 0.6; None where none need be named."""
    listed, key = multiscale.get("axes"), "axes"
    if "coordinateSystems" in multiscale and (version >= "0.6" or not listed):
        listed, key = own_system(multiscale, [level for _, _, level in datasets], notes)
    if listed in (None, []):
        if version < "0.4":
            return None
        raise ValueError(f"{key} are missing, which version {version} has to name")
    return read_axes(listed, key, notes)


def _read_scales(
    multiscale: dict[str, Any],
    datasets: list[tuple[str, str, dict[str, Any]]],
    version: str,
    axes: Axes | None,
    notes: list[str],
) -> tuple[Scale | None, ...]:
    """For each level the size of a pixel along each axis.

    The transformations of the image come after those of each level. Since 0.6 they lead on to
    another coordinate system, which is not this image's own.
    """
    ndim = len(axes.names) if axes else None
    scales = [read_scale(level, key, ndim, notes) for _, key, level in datasets]
    if version < "0.6":
        overall = read_scale(multiscale, "", ndim, notes)
        scales = [scale and multiply(scale, overall) if overall else scale for scale in scales]
    if not all(0 < size < math.inf for scale in scales for size in scale or ()):
        raise ValueError(f"the scales multiply to {as_written(scales)}, not finite sizes above 0")
    if len({len(scale) for scale in scales if scale}) > 1:
        raise ValueError(f"the levels have scales that differ in length: {as_written(scales)}")
    return tuple(scales)


def malformed(where: str, what: str) -> MalformedMetadataError:
    """The error for metadata that cannot be understood."""
    return MalformedMetadataError(
        f"The OME-Zarr metadata at {where} cannot be understood ({what}); the validator at "
        "https://ome.github.io/ome-ngff-validator/ shows what is wrong with them."
    )


def path_inside(path: object, key: str, where: str) -> str:
    """A path that the metadata at an address name, if it leads inwards; see `checked_path`."""
    try:
        return checked_path(path, key)
    except ValueError as error:
        raise malformed(where, str(error)) from None


def ome_attributes(document: dict[str, Any]) -> dict[str, Any]:
    """OME metadata from ``.zattrs`` (as they are) or ``zarr.json`` (below attributes, ome)."""
    if document.get("zarr_format") != 3:
        return document
    attributes = document.get("attributes")
    if not isinstance(attributes, dict):
        return {}
    ome = attributes.get("ome") or attributes
    return ome if isinstance(ome, dict) else {}


def growth(paths: Sequence[str], shapes: Sequence[tuple[int, ...]], roles: Sequence[str]) -> str:
    """What is wrong with levels that are not listed from the finest to the coarsest, or nothing."""
    for number, (finer, coarser) in enumerate(itertools.pairwise(shapes), 1):
        if len(finer) != len(coarser):
            return f"levels of shapes {finer} and {coarser}"
        for role, before, size in zip(roles, finer, coarser, strict=True):
            if role in ("z", "y", "x") and size > before:
                return (
                    f"datasets lists level {paths[number]!r}, of {size} pixels along {role}, after "
                    f"the smaller level {paths[number - 1]!r}, of {before}"
                )
    return ""


def describe_array_label(
    shape: Any,
    zarr_format: int,
    name: str,
    axes: Sequence[str],
    units: Sequence[str | None],
    roles: Sequence[str],
) -> ImageMetadata:
    """What is known of a label image that is a single array: the axes of the image it belongs to.

    Where it has fewer axes than the image, it lacks channels first, then time, then depth.
    """
    kept = list(range(len(roles)))
    ndim = len(shape) if isinstance(shape, list) else len(roles)
    for role in ("c", "t", *roles):
        if ndim < len(kept) and role not in ("y", "x"):
            kept = [axis for axis in kept if roles[axis] != role]
    return ImageMetadata(
        zarr_format,
        "0.1",
        name,
        ("",),
        tuple(axes[axis] for axis in kept),
        tuple(units[axis] for axis in kept),
        (None,),
        ndim=len(kept),
        roles=tuple(roles[axis] for axis in kept),
    )


def label_names(document: dict[str, Any], where: str) -> list[str] | None:
    """Names of the label images that a ``labels`` document lists; None if it has no list."""
    listed = ome_attributes(document).get("labels")
    if listed is None:
        return None
    names = listed if isinstance(listed, list) else [listed]
    if names is not listed or not all(isinstance(name, str | int) for name in names):
        raise malformed(where, f"labels should hold a list of names, not {as_written(listed)}")
    inside, outside = [], []
    for number, name in enumerate(dict.fromkeys(map(str, names))):
        try:
            inside.append(checked_path(name, f"labels[{number}]"))
        except ValueError as error:
            outside.append(str(error))
    if outside:
        warn(f"Of the labels of {where}, {in_short(outside)} is left out.")
    return inside


def what_else(documents: Sequence[dict[str, Any]]) -> str:
    """What there is instead of an image, by the documents found: the end of a sentence."""
    attributes: dict[str, Any] = {}
    for document in documents:
        attributes.update(ome_attributes(document))
    if "scene" in attributes:
        images = ", ".join(map(repr, scene_images(attributes["scene"])))
        return f"a scene of several images: open one of them, {images or 'which it does not name'}"
    if "bioformats2raw.layout" in attributes:
        return "a collection of images: open one inside it, such as its folder 0"
    if documents:
        return "Zarr metadata without the key multiscales; it may be a part of an image"
    return "neither .zattrs nor zarr.json; check the address (it often ends in .zarr)"


# Documents of arrays: ``.zarray`` (Zarr v2) or ``zarr.json`` (Zarr v3)


def tidy_array_document(document: dict[str, Any]) -> dict[str, Any]:
    """Array metadata as programs write them, in the form that the specification asks for.

    Bio-Formats writes a fill value as a string and an empty list of filters; others write null.
    """
    if document["zarr_format"] != 2:
        fill = _tidy_fill(document["fill_value"], document["data_type"])
        return {**document, "fill_value": fill}
    return {
        **document,
        "fill_value": _tidy_fill(document["fill_value"], document["dtype"]),
        "filters": document.get("filters") or None,
        "dimension_separator": document.get("dimension_separator") or ".",
    }


def _tidy_fill(fill: Any, dtype: Any) -> Any:
    """A fill value as JSON has it for this data type; null counts as 0."""
    try:
        kind = np.dtype(dtype).kind
    except TypeError:  # Zarr knows more data types than NumPy, and refuses the others
        return fill
    if fill is None and kind in "biufc":
        fill = "0"
    try:
        if kind == "c" and isinstance(fill, int | float | str):
            return [complex(fill).real, complex(fill).imag]
        return _fill_of_text(fill, kind) if isinstance(fill, str) else fill
    except ValueError:
        raise ValueError(f"fill_value is {as_written(fill)} for pixels of type {dtype}") from None


def _fill_of_text(fill: str, kind: str) -> Any:
    """The fill value meant by a string; one of floats may also be its bits in hexadecimal."""
    if kind == "b":
        return bool(["false", "true", "0", "1"].index(fill.lower()) % 2)
    if kind == "f" and not fill.startswith("0x"):
        number = float(fill)
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}.get(str(number), number)
    if kind in "iu" and not fill.lstrip("-").isdecimal():
        number = float(fill)
        if not number.is_integer():
            raise ValueError
        return int(number)
    return int(fill) if kind in "iu" else fill


def outer_codec(document: dict[str, Any]) -> str | None:
    """Name of the codec that made the stored bytes, the first to be undone when reading."""
    if document["zarr_format"] == 2:
        return name_of(document["compressor"]) if document.get("compressor") else None
    codecs = document.get("codecs")
    return name_of(codecs[-1]) if codecs else None
