"""Find the images of many wells at once: each step is one round trip for all of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from ..errors import AccessDeniedError
from ..metadata import (
    ARRAY_DOCUMENT,
    GROUP_DOCUMENT,
    ImageMetadata,
    malformed,
    ome_attributes,
    read_image,
)
from ..multiscale import Multiscale
from ..store import RetryingStore
from .metadata import Well, WellImage, read_well


def read_wells(
    store: RetryingStore, zarr_format: int, wells: Iterable[Well]
) -> dict[Well, list[WellImage]]:
    """What each well lists; a well that is not there is left out.

    Raises
    ------
    AccessDeniedError, EndpointUnreachableError, MalformedMetadataError
        The document of a well cannot be fetched or understood.
    """
    keys = {well: f"{well.path}/{GROUP_DOCUMENT[zarr_format]}" for well in wells}
    documents = _read(store, keys.values())
    return {
        well: read_well(documents[key], f"{store.url}/{well.path}")
        for well, key in keys.items()
        if key in documents
    }


def open_images(
    store: RetryingStore, zarr_format: int, paths: Iterable[str], level: str | int | None = None
) -> dict[str, Multiscale]:
    """The images at these paths below a plate; one that is not there is left out.

    With a `level`, given by its path or its index, the metadata of this level are read, too.

    Raises
    ------
    AccessDeniedError, EndpointUnreachableError, MalformedMetadataError, NotOmeZarrError
        The metadata of an image cannot be fetched or understood.
    """
    keys = {path: f"{path}/{GROUP_DOCUMENT[zarr_format]}" for path in paths}
    documents = _read(store, keys.values())
    found = {
        path: _read_image(documents[key], zarr_format, store.url, path)
        for path, key in keys.items()
        if key in documents
    }
    levels = {
        path: f"{name}/{ARRAY_DOCUMENT[zarr_format]}"
        for path, metadata in found.items()
        if (name := level_path(metadata, level)) is not None
    }
    known = _read(store, [f"{path}/{key}" for path, key in levels.items()])
    images = {}
    for path, metadata in found.items():
        key = levels.get(path, "")
        at_hand = {key: known[f"{path}/{key}"]} if f"{path}/{key}" in known else {}
        images[path] = Multiscale(store.below(path), metadata, documents=at_hand)
    return images


def level_path(metadata: ImageMetadata, level: str | int | None) -> str | None:
    """Path of a level given by its path or its index (-1 is the coarsest), or None."""
    paths = metadata.paths
    if isinstance(level, str):
        return level if level in paths else None
    indexes = range(-len(paths), len(paths))
    return paths[int(level)] if level is not None and level in indexes else None


def _read_image(document: dict[str, Any], zarr_format: int, root: str, path: str) -> ImageMetadata:
    attributes, where = ome_attributes(document), f"{root}/{path}"
    if "multiscales" not in attributes:
        raise malformed(where, "its well lists an image here, but there is no key multiscales")
    metadata = read_image(attributes, zarr_format, where)
    named = metadata.name.strip("/") not in ("", path, path.rpartition("/")[2])
    return metadata if named else replace(metadata, name=path)  # "0" is no name among many


def _read(store: RetryingStore, keys: Iterable[str]) -> dict[str, dict[str, Any]]:
    documents, denied = store.read_json(keys)
    if denied:
        raise AccessDeniedError(
            f"{denied[0]} of {store.url} cannot be read: the endpoint answers 403, which means "
            "that it denies access or holds no such key."
        )
    return documents
