"""From OME-Zarr and Zarr documents to values: axes, scales, channels, levels, labels.

An OME-Zarr image is a Zarr group. Its metadata (``.zattrs``, or ``zarr.json`` since version 0.5)
name the arrays that hold the same picture at ever coarser resolution. Everything here is a pure
function of these documents: nothing asks a store, and nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ._axes import roles_of
from .errors import MalformedMetadataError, NotOmeZarrError

VERSIONS = ("0.1", "0.2", "0.3", "0.4", "0.5")
"""OME-Zarr versions that are understood."""

AXES_BEFORE_0_3 = ("t", "c", "z", "y", "x")
"""What the axes of an array are where the metadata name none; the last ones, if it has fewer."""

Scale = tuple[float, ...]


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
    gamma : float
        Power that brightness is raised to (``coefficient`` of the family "polynomial").
    left_out : str
        What the metadata say of its brightness that is not followed; empty if nothing.
    """

    label: str
    color: str = "FFFFFF"
    window: tuple[float, float] | None = None
    active: bool = True
    inverted: bool = False
    gamma: float = 1.0
    left_out: str = ""


@dataclass(frozen=True)
class ImageMetadata:
    """What the metadata of an image say.

    Attributes
    ----------
    zarr_format : int
        2 (up to OME-Zarr 0.4) or 3 (OME-Zarr 0.5).
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
        What each axis is for: see `data_helpers._axes`; None before version 0.3.
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
    try:
        multiscale: dict[str, Any] = attributes["multiscales"][0]
        datasets = list(multiscale["datasets"])
        axes, units, roles = _read_axes(multiscale.get("axes"))
        scales, overall = [_read_scale(level) for level in datasets], _read_scale(multiscale)
        omero: dict[str, Any] = dict(attributes.get("omero") or {})
        defaults: dict[str, Any] = dict(omero.get("rdefs") or {})
        grey = defaults.get("model") == "greyscale"
        version = attributes.get("version") or multiscale.get("version")
        found = ImageMetadata(
            zarr_format=zarr_format,
            version=str(version or ("0.5" if zarr_format == 3 else "0.1")),
            name=str(multiscale.get("name") or omero.get("name") or ""),
            paths=tuple(str(level["path"]) for level in datasets),
            axes=axes,
            units=units,
            roles=roles,
            channels=_read_channels(omero.get("channels") or [], grey),
            first_shown={"t": defaults.get("defaultT"), "z": defaults.get("defaultZ")},
        )
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        raise malformed(where, f"{type(error).__name__}: {error}") from None
    if not found.paths:
        raise malformed(where, "no levels are listed")
    lengths = {len(each) for each in (axes, overall, *scales) if each is not None}
    if len(lengths) > 1:
        raise malformed(where, "axes and scales differ in number")
    if found.version not in VERSIONS:
        raise NotOmeZarrError(
            f"{where} says OME-Zarr version {found.version!r}, but this package reads "
            f"versions {VERSIONS[0]} to {VERSIONS[-1]}; look for a newer release of it."
        )
    if overall:
        scales = [scale and _product(scale, overall) for scale in scales]
    return replace(found, scales=tuple(scales), ndim=min(lengths, default=None))


def malformed(where: str, what: str) -> MalformedMetadataError:
    """The error for metadata that cannot be understood."""
    return MalformedMetadataError(
        f"The OME-Zarr metadata at {where} cannot be understood ({what}); the validator at "
        "https://ome.github.io/ome-ngff-validator/ shows what is wrong with them."
    )


def ome_attributes(document: dict[str, Any]) -> dict[str, Any]:
    """OME metadata from ``.zattrs`` (as they are) or ``zarr.json`` (below attributes, ome)."""
    if document.get("zarr_format") != 3:
        return document
    attributes = document.get("attributes") or {}
    return attributes.get("ome") or attributes


def label_names(document: dict[str, Any], where: str) -> list[str] | None:
    """Names of the label images that a ``labels`` document lists; None if it has no list."""
    listed = ome_attributes(document).get("labels")
    if listed is None:
        return None
    if not isinstance(listed, list):
        raise malformed(where, f"labels should hold a list of names, not {listed!r}")
    return [str(name) for name in listed]


def what_else(documents: Sequence[dict[str, Any]]) -> str:
    """What there is instead of an image, by the documents found: the end of a sentence."""
    attributes: dict[str, Any] = {}
    for document in documents:
        attributes.update(ome_attributes(document))
    if "plate" in attributes or "well" in attributes:
        return "a plate: open one image inside it, such as its A/1/0"
    if "bioformats2raw.layout" in attributes:
        return "a collection of images: open one inside it, such as its folder 0"
    if documents:
        return "Zarr metadata without the key multiscales; it may be a part of an image"
    return "neither .zattrs nor zarr.json; check the address (it often ends in .zarr)"


def _read_axes(
    axes: Sequence[str | dict[str, str]] | None,
) -> tuple[tuple[str, ...] | None, tuple[str | None, ...] | None, tuple[str, ...] | None]:
    """Names, units and roles of the axes; none before 0.3, only names in 0.3.

    Some label images of the IDR spell the key "units", so both spellings are taken.
    """
    if not axes:
        return None, None, None
    named = [{"name": axis} if isinstance(axis, str) else axis for axis in axes]
    names = tuple(str(axis["name"]) for axis in named)
    units = tuple(axis.get("unit") or axis.get("units") for axis in named)
    kinds = [axis.get("type") for axis in named]
    roles = roles_of(names, [kind if isinstance(kind, str) else None for kind in kinds])
    if not {"y", "x"} <= set(roles):
        raise ValueError(f"axes {axes}, of which fewer than two are of space")
    return names, units, roles


def _read_scale(holder: dict[str, Any]) -> Scale | None:
    """The scale among a level's ``coordinateTransformations``, or None."""
    for transform in holder.get("coordinateTransformations") or []:
        if transform["type"] == "scale":
            scale = tuple(float(size) for size in transform["scale"])
            if 0 in scale:
                raise ValueError(f"a scale of {scale}")
            return scale
    return None


def _product(scale: Scale, overall: Scale) -> Scale:
    return tuple(a * b for a, b in zip(scale, overall, strict=True))


def _read_channels(listed: list[dict[str, Any]], grey: bool) -> list[Channel]:
    """The channels that the metadata list; white if they are to be shown in grey."""
    channels = []
    for number, channel in enumerate(listed):
        window = dict(channel.get("window") or {})
        known = "start" in window and "end" in window
        gamma, left_out = _read_gamma(channel)
        channels.append(
            Channel(
                label=str(channel.get("label") or f"channel {number}"),
                color="FFFFFF" if grey else str(channel.get("color") or "FFFFFF"),
                window=(float(window["start"]), float(window["end"])) if known else None,
                active=bool(channel.get("active", True)),
                inverted=bool(channel.get("inverted", False)),
                gamma=gamma,
                left_out=left_out,
            )
        )
    return channels


def _read_gamma(channel: dict[str, Any]) -> tuple[float, str]:
    """The gamma of a channel, and what else is said of its brightness but cannot be followed.

    As in OMERO, ``coefficient`` is a gamma in the family "polynomial", and without meaning in
    "linear". The other families of OMERO, "exponential" and "logarithmic", are rare.
    """
    family, coefficient = channel.get("family"), channel.get("coefficient")
    if family not in (None, "", "linear", "polynomial"):
        return 1.0, f"family {family!r}"
    if coefficient is None or coefficient == 1:
        return 1.0, ""
    number = isinstance(coefficient, int | float) and not isinstance(coefficient, bool)
    if family == "linear" or not number or not 0.01 <= coefficient <= 100:
        return 1.0, f"coefficient {coefficient!r}"
    return float(coefficient), ""


# Documents of arrays: ``.zarray`` (Zarr v2) or ``zarr.json`` (Zarr v3)


def tidy_array_document(document: dict[str, Any]) -> dict[str, Any]:
    """Zarr v2 metadata as Bio-Formats writes them, in the form that the specification asks for."""
    if document["zarr_format"] != 2:
        return document
    fill = document["fill_value"]
    if isinstance(fill, str) and np.dtype(document["dtype"]).kind in "iu":
        fill = int(fill)
    separator = document.get("dimension_separator") or "."
    return {
        **document,
        "fill_value": fill,
        "filters": document.get("filters") or None,
        "dimension_separator": separator,
    }


def chunk_shape(document: dict[str, Any]) -> list[int]:
    """The chunk shape as written; from Zarr 3.4 on, the library reads a size of 0 as 1."""
    if document["zarr_format"] == 2:
        return list(document["chunks"])
    return list(document["chunk_grid"]["configuration"]["chunk_shape"])


def outer_codec(document: dict[str, Any]) -> str | None:
    """Name of the codec that made the stored bytes, the first to be undone when reading."""
    if document["zarr_format"] == 2:
        return (document.get("compressor") or {}).get("id")
    codecs = document.get("codecs") or [{}]
    return codecs[-1].get("name")
