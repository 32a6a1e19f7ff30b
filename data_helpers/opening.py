"""From an IDR id or an address to an image."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from ._caching import Cache, CacheView, find_cache
from .errors import (
    AccessDeniedError,
    ImageNotFoundError,
    MalformedMetadataError,
    NotOmeZarrError,
)
from .metadata import ome_attributes, read_image, what_else
from .multiscale import Multiscale
from .sources import IMAGES, Source, lasting_address, resolve_source
from .store import RetryingStore


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

    def find_and_open_levels(context: _CacheContext) -> Multiscale:
        multiscale = _find(image, source, context)
        multiscale.stored  # noqa: B018  (opens all levels now, so that an error shows here)
        return multiscale

    return _open_cached(cache, find_and_open_levels)


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
    prefetch = (f"{level}/.zarray",) if str(level).isalnum() else ()
    return _open_cached(cache, lambda context: _find(image, source, context, prefetch))


class _CacheContext(NamedTuple):
    """Where to keep what is read, and how far to trust what is there already."""

    cache: Cache | None = None
    since: int = 0

    def view(self, url: str) -> CacheView | None:
        """The part of the cache for an image; None for a local folder, or without a cache."""
        if self.cache is None or not url.startswith(("http://", "https://")):
            return None
        return self.cache.view(lasting_address(url), self.since)


def _open_cached(
    cache: str | Path | Cache | None, opening: Callable[[_CacheContext], Multiscale]
) -> Multiscale:
    """Open an image through a cache; that there is none is never concluded from the cache."""
    chosen, started = find_cache(cache), time.time_ns()
    try:
        return opening(_CacheContext(chosen))
    except (ImageNotFoundError, NotOmeZarrError, MalformedMetadataError):
        if chosen is None:
            raise
    return opening(_CacheContext(chosen, since=started))


def _find(
    image: int | str | Path,
    source: str | Source | None,
    context: _CacheContext,
    prefetch: Sequence[str] = (),
) -> Multiscale:
    address = str(image).strip()
    if address.isdecimal() and not isinstance(image, Path):
        return _open_by_id(int(address), resolve_source(source), context, prefetch)
    if address.startswith("s3://"):
        endpoint = resolve_source(source).endpoint
        return _open_url(f"{endpoint}/{address.removeprefix('s3://')}", context)
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
    return _open_url(address, context)


def _open_by_id(
    image_id: int, source: Source, context: _CacheContext, prefetch: Sequence[str] = ()
) -> Multiscale:
    """Open an image by its IDR id, trying the keys at which the source may keep it."""
    keys, refusal = source.keys_of(image_id), None
    for key in keys:
        try:
            return _open_url(source.url(key), context, (2,), image_id, prefetch)
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
    context: _CacheContext,
    formats: tuple[int, ...] = (3, 2),
    image_id: int | None = None,
    prefetch: Sequence[str] = (),
) -> Multiscale:
    """Open the image at an address, asking for the metadata of each Zarr format at once.

    The keys in `prefetch` are asked for with them; it is no matter if they do not exist.
    """
    store = RetryingStore(url, cache=context.view(url))
    keys = {3: "zarr.json", 2: ".zattrs"}
    documents, denied = store.read_json([*(keys[number] for number in formats), *prefetch])
    known = {key: documents.pop(key) for key in prefetch if key in documents}
    denied = [key for key in denied if key not in prefetch]
    for number in formats:
        attributes = ome_attributes(documents.get(keys[number], {}))
        if "multiscales" in attributes:
            metadata = read_image(attributes, number, url)
            return Multiscale(store, metadata, image_id, documents=known)
    if denied and not documents:
        raise AccessDeniedError(
            f"{url} cannot be opened: the endpoint answers 403, which means that it denies access "
            "or holds no such image. Check the address."
        )
    found = what_else(list(documents.values()))
    raise NotOmeZarrError(f"There is no OME-Zarr image at {url}: it holds {found}.")
