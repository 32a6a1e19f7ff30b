"""The images in a collection as bioformats2raw writes it: "0", "1" and so on, and their names.

The root says ``bioformats2raw.layout``. A group ``OME`` beside the images may list them
(``series``), and ``OME/METADATA.ome.xml`` holds their names.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from typing import Any

from ._formatting import plain_text
from ._metadata.hints import as_name
from .metadata import GROUP_DOCUMENT, ome_attributes, path_inside
from .store import RetryingStore

LOOKED_AT = 5
"""How many images are looked at for their names, at most."""

SHOWN = 10
"""How many images a sentence lists, at most."""


def is_collection(attributes: dict[str, Any]) -> bool:
    """Whether OME metadata are those of a collection; a plate says that it is one, too."""
    return "bioformats2raw.layout" in attributes and "plate" not in attributes


def images_of(store: RetryingStore, zarr_format: int) -> dict[str, str]:
    """Paths and names of the images in a collection; a name may be empty.

    Reads the list of images and their names, where they are kept, and the metadata of the first
    `LOOKED_AT` images, all at once. Where there is no list, only these are known.

    Raises
    ------
    MalformedMetadataError
        A path that is listed leads out of the collection.
    """
    document = GROUP_DOCUMENT[zarr_format]
    first = [str(number) for number in range(LOOKED_AT)]
    listing = f"OME/{document}"
    documents, _ = store.read_either([listing, *(f"{path}/{document}" for path in first)])
    own = {path: _name_of(documents.get(f"{path}/{document}")) for path in first}
    names = names_in_xml(store.read_text("OME/METADATA.ome.xml"))
    series = ome_attributes(documents.get(listing, {})).get("series")
    if isinstance(series, list) and series:
        listed = enumerate(series)
        inside = [path_inside(path, f"series[{number}]", store.url) for number, path in listed]
        paths = list(dict.fromkeys(inside))
    elif names:
        paths = [str(number) for number in range(len(names))]
    else:
        paths = [path for path in first if own[path] is not None]
    if len(names) != len(paths):
        names = [own.get(path) or "" for path in paths]
    return dict(zip(paths, names, strict=True))


def names_in_xml(text: str) -> list[str]:
    """Names of the images in OME-XML, in order; empty where it cannot be understood."""
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError, LookupError):
        return []
    return [
        plain_text(image.get("Name") or "")
        for image in root
        if image.tag.rpartition("}")[2] == "Image"
    ]


def in_words(images: dict[str, str]) -> str:
    """The images of a collection, as the end of a sentence."""
    listed = [f"{path} ({name})" if name else path for path, name in images.items()]
    more = len(listed) - SHOWN
    return ", ".join(listed[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _name_of(document: dict[str, Any] | None) -> str | None:
    """The name that an image's own metadata give it; None if there is no image."""
    multiscales = ome_attributes(document or {}).get("multiscales")
    if not isinstance(multiscales, list) or not multiscales:
        return None
    first = multiscales[0]
    return as_name(first, "name", "", []) if isinstance(first, dict) else ""
