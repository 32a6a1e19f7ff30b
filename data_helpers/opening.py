"""From an IDR id or an address to an image."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TypeVar

from ._caching import Cache, CacheView, Doubt, find_cache
from ._collection import images_of, in_words, is_collection
from ._plate.metadata import plate_advice
from ._store.access import find_access
from ._store.answers import says_not_there
from ._store.secrets import HiddenOptions
from .addresses import Meant, join, parent, split_secret, understand, without_scheme
from .errors import (
    AccessDeniedError,
    EndpointUnreachableError,
    ImageNotFoundError,
    MalformedMetadataError,
    NotOmeZarrError,
    OmeZarrError,
)
from .metadata import GROUP_DOCUMENT, ome_attributes, read_image, what_else
from .multiscale import Multiscale
from .sources import BUCKET, IMAGES, Source, lasting_address, resolve_source
from .store import RetryingStore

Opened = TypeVar("Opened")

LEVELS_ABOVE = 3
"""How many folders above an address that is no image are looked at, to see what it is part of."""


def open_multiscale(
    image: int | str | Path,
    *,
    source: str | Source | None = None,
    cache: str | Path | Cache | None = None,
    missing_as_empty: bool = False,
    storage_options: Mapping[str, Any] | None = None,
) -> Multiscale:
    """Open an OME-Zarr image; reads its metadata only, no pixels.

    Parameters
    ----------
    image : int, str or Path
        An IDR image id (9822152 or "9822152"), or any OME-Zarr image (version 0.1 to 0.6) by its
        ``https://`` address, its ``s3://bucket/key``, or a local folder. See Notes. A
        zipped image (``.ozx`` or ``.zip``, a draft of the format) is read in parts, as a folder is.
    source : str, optional
        Where to look for an id or an ``s3://`` address: the name of a source or the URL of an S3
        endpoint. The source in use if left out.
    cache : str or Path, optional
        "memory" or a folder: keep there what is read, and read it from there the next time. What
        ``OME_ZARR_CACHE`` says if left out; "off" for none. See `data_helpers.cache`.
    missing_as_empty : bool
        Whether a chunk that the endpoint denies (403) was never written, and so has the fill
        value. Some endpoints deny what they do not hold. Otherwise it is an error.
    storage_options : mapping, optional
        What it takes to read a private image. If given, even empty, an ``s3://`` address (or an
        id) is asked for by signed requests, with the options of s3fs: ``key`` and ``secret``,
        ``token``, ``profile``, ``endpoint_url`` or ``client_kwargs``, ``anon``. What they leave
        open comes from the ``AWS_*`` variables and profiles; the endpoint from `source`, if that
        is given, else from ``AWS_ENDPOINT_URL_S3`` or ``AWS_ENDPOINT_URL``, else it is AWS. For an
        ``https://`` address they are those of fsspec's http, such as ``headers`` and
        ``client_kwargs``, where the ``total`` of a ``timeout`` holds for a key with all attempts;
        for a local path they mean nothing.

    Returns
    -------
    Multiscale
        Levels, axes, scales, channels and labels of the image.

    Raises
    ------
    ImageNotFoundError
        The source holds no image with this id.
    NotOmeZarrError
        There is no OME-Zarr image at this address, or several.
    AccessDeniedError, EndpointUnreachableError, MalformedMetadataError
        The metadata cannot be fetched or understood.
    CredentialsError
        No credentials were found, or the endpoint refuses them.

    Notes
    -----
    What follows ``s3://`` is the key itself: in ``s3://bucket/a%20b.zarr``, ``%20`` are three
    characters of its name. So are the paths of levels and the names of labels in the metadata. A
    URL (``https://``, ``file://``) is encoded: there ``%20`` is a space. Its query, such as a
    signature, is sent with every request and never shown; what follows ``#`` is left out. Paths on
    this computer are never encoded.

    An address inside an image opens the image: that of a level, of a metadata document
    (``.zattrs``, ``zarr.json``), or a link of Vizarr, of the validator or of Neuroglancer. An
    address below ``labels`` opens that label image. A collection (``bioformats2raw.layout``) of
    one image opens this image.
    """

    def find_and_open_levels(context: Context) -> Multiscale:
        multiscale = _find(image, source, context)
        multiscale.stored  # noqa: B018  (opens all levels now, so that an error shows here)
        return multiscale

    context = context_of(cache, missing_as_empty, storage_options)
    return open_cached(context, find_and_open_levels)


def find_multiscale(
    image: int | str | Path,
    *,
    source: str | Source | None = None,
    cache: str | Path | Cache | None = None,
    missing_as_empty: bool = False,
    level: str | int = "",
    storage_options: Mapping[str, Any] | None = None,
) -> Multiscale:
    """Like `open_multiscale`, but leaves the metadata of the levels unread.

    Those of one `level` are asked for at the same time, which saves a round trip, if its path can
    be guessed: levels are mostly called "0", "1" and so on.
    """
    prefetch = (f"{level}/.zarray",) if str(level).isalnum() else ()
    context = context_of(cache, missing_as_empty, storage_options)
    return open_cached(context, lambda context: _find(image, source, context, prefetch))


class Context(NamedTuple):
    """How to read, where to keep it, and how far to trust what is there."""

    cache: Cache | None = None
    missing_as_empty: bool = False
    doubt: Doubt | None = None
    options: HiddenOptions | None = None

    def at(self, source: str | Source | None) -> Context:
        """The same, with the endpoint of a source, unless there is none or the options name one."""
        options: Mapping[str, Any] = self.options or {}
        if source is None or "endpoint_url" in {**options, **(options.get("client_kwargs") or {})}:
            return self
        endpoint = resolve_source(source).endpoint
        return self._replace(options=HiddenOptions({**options, "endpoint_url": endpoint}))

    def store(self, url: str) -> RetryingStore:
        """The store of an image."""
        shown, secret = split_secret(url)
        access = find_access(url, self.options)
        name = access.lasting_name(shown) if access else shown
        cache = self._view(name, secret.mark)
        return RetryingStore(url, None, cache, self.missing_as_empty, access)

    def _view(self, name: str, mark: str) -> CacheView | None:
        """The part of the cache for an image; None for a local folder, or without a cache."""
        if self.cache is None or "://" not in name:
            return None
        return self.cache.view(lasting_address(name) + mark, self.doubt)


def context_of(
    cache: str | Path | Cache | None,
    missing_as_empty: bool,
    storage_options: Mapping[str, Any] | None,
) -> Context:
    """How to read, as the arguments of `open_multiscale` and `open_plate` say."""
    options = storage_options
    if options is not None and not isinstance(options, Mapping):
        raise OmeZarrError(
            f"storage_options is a {type(options).__name__}; give a dict, such as "
            "{'key': ..., 'secret': ...}, or {} to use the AWS_* variables."
        )
    secret = None if options is None else HiddenOptions(options)
    return Context(find_cache(cache), missing_as_empty, options=secret)


def open_cached(context: Context, opening: Callable[[Context], Opened]) -> Opened:
    """Open something through a cache; that there is none is never concluded from the cache."""
    try:
        return opening(context)
    except (ImageNotFoundError, NotOmeZarrError, MalformedMetadataError):
        if context.cache is None:
            raise
    return opening(context._replace(doubt=Doubt()))


def _find(
    image: int | str | Path,
    source: str | Source | None,
    context: Context,
    prefetch: Sequence[str] = (),
) -> Multiscale:
    meant = understand(image)
    if meant.kind == "id":
        return _open_by_id(int(meant.value), resolve_source(source), context, prefetch)
    return _at_address(meant, source, context, _open_address)


def look_for_plate(address: str | Path, source: str | Source | None, context: Context) -> Looked:
    """What is at the address of a plate, or of anything else; for `plate.open_plate`."""
    meant = understand(address)
    if meant.kind == "id":
        raise NotOmeZarrError(f"{address} is an image's id: give a plate's address, or a folder.")
    return _at_address(meant, source, context, _look)


def _at_address(
    meant: Meant,
    source: str | Source | None,
    context: Context,
    opening: Callable[[str, Context], Opened],
) -> Opened:
    """Open what is at an address, other than an id."""
    if meant.kind == "key" and context.options is not None:
        return opening(f"s3://{meant.value}", context.at(source))
    if meant.kind == "key":
        try:
            return opening(join(resolve_source(source).endpoint, meant.value), context)
        except (NotOmeZarrError, AccessDeniedError, EndpointUnreachableError) as error:
            if not (more := _own_key()):
                raise
            failed = type(error)(f"{error}{more}")
            failed.status = error.status
        raise failed
    if meant.kind == "folder":
        return opening(_whole_path(meant.value), context)
    return opening(meant.value, context)


def _whole_path(path: str) -> str:
    try:
        whole = Path(path).expanduser().absolute()
        if without_scheme(path) and not whole.exists():
            raise NotOmeZarrError(
                f"There is no folder {path} on this computer; if you mean a web address, write all "
                f"of it: https://{path}."
            )
        return whole.as_posix()
    except RuntimeError:  # ~somebody
        raise NotOmeZarrError(
            f"{path} cannot be opened: there is no such home folder; give the full path."
        ) from None


def _own_key() -> str:
    """What to add, where an image is not found and this computer seems to have a key for S3."""
    variables = ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3")
    named = next((name for name in variables if os.environ.get(name)), "")
    return f" To use {named} and the like, add storage_options={{}}." if named else ""


def _open_by_id(
    image_id: int, source: Source, context: Context, prefetch: Sequence[str] = ()
) -> Multiscale:
    """Open an image by its IDR id, trying the keys at which the source may keep it."""
    keys = source.keys_of(image_id)
    refusal: OmeZarrError | None = None
    signed = context.options is not None
    for key in keys:
        try:
            url = f"s3://{BUCKET}/{key}" if signed else source.url(key)
            looked = _look(url, context.at(source) if signed else context, (2,), prefetch)
            return looked.image(image_id) or looked.fail()
        except NotOmeZarrError:
            continue
        except OmeZarrError as error:  # some endpoints say 403 for "no such key"
            if not says_not_there(error):
                raise
            refusal = error
    if refusal and not isinstance(refusal, AccessDeniedError):
        raise refusal
    registered = ", ".join(f"{image.id} ({image.title})" for image in IMAGES.values())
    if source.name == "offline":
        looked_for = "it knows only these three"
    else:
        looked_for = f"looked for {' and '.join(keys)}" + (
            ", but it denies access" if refusal else ""
        )
    raise ImageNotFoundError(
        f"Image {image_id} is not at the {source.name} source ({source.endpoint}): {looked_for}. "
        f"Registered images: {registered}."
    )


class Looked(NamedTuple):
    """What was found at an address.

    `attributes` are OME metadata, empty if there are none; `error` is what was wrong with a
    document, if none is good.
    """

    store: RetryingStore
    documents: dict[str, dict[str, Any]]
    attributes: dict[str, Any]
    zarr_format: int
    error: OmeZarrError | None
    prefetched: dict[str, dict[str, Any]]

    def image(self, image_id: int | None = None) -> Multiscale | None:
        """The image, if it is one."""
        if "multiscales" not in self.attributes:
            return None
        metadata = read_image(self.attributes, self.zarr_format, self.store.url)
        return Multiscale(self.store, metadata, image_id, documents=self.prefetched)

    def fail(self, more: str = "") -> NoReturn:
        """Say that there is no image, and what there is; `more` goes on with this sentence."""
        url = self.store.url
        if self.error and not more:
            raise self.error
        raise NotOmeZarrError(
            f"There is no OME-Zarr image at {url}: it holds {self.found()}{more}."
        )

    def found(self) -> str:
        """What there is instead of an image: the end of a sentence."""
        documents = list(self.documents.values())
        return plate_advice(documents, self.store.url) or what_else(documents)


def _look(
    url: str, context: Context, formats: tuple[int, ...] = (3, 2), prefetch: Sequence[str] = ()
) -> Looked:
    """Ask for the metadata of each Zarr format at once; a good document decides.

    The keys in `prefetch` are asked for with them; it is no matter if they do not exist.
    """
    store = context.store(url)
    wanted = [GROUP_DOCUMENT[number] for number in formats]
    documents, errors = store.read_either([*wanted, *prefetch], _is_good)
    known = {key: documents.pop(key) for key in prefetch if key in documents}
    for number in formats:
        if _is_good(document := documents.get(GROUP_DOCUMENT[number], {})):
            return Looked(store, documents, ome_attributes(document), number, None, known)
    refused = [errors[key] for key in wanted if key in errors]
    others = [error for error in refused if error.status != 403]
    error = others[0] if others else None
    if refused and not others and not documents:
        advice = (store.access and store.access.advice) or "Check the address"
        error = AccessDeniedError(
            f"{store.url} cannot be opened: the endpoint answers 403, so either it denies access "
            f"or there is no such image. {advice}."
        )
        error.status = 403
    return Looked(store, documents, {}, 0, error, known)


def _is_good(document: dict[str, Any]) -> bool:
    """Whether a document says what is there, in the words of OME-Zarr."""
    attributes = ome_attributes(document)
    telling = ("multiscales", "plate", "well", "scene", "bioformats2raw.layout")
    return any(key in attributes for key in telling)


def _open_address(url: str, context: Context) -> Multiscale:
    """Open the image at an address, or the one that the address is a part of."""
    looked = _look(url, context)
    if image := looked.image():
        return image
    if is_collection(looked.attributes):
        return _open_only_one(url, looked, context)
    if looked.attributes or (looked.error and not says_not_there(looked.error)):
        looked.fail()
    return _open_around(url, looked, context)


def _open_only_one(url: str, looked: Looked, context: Context) -> Multiscale:
    """Open the image in a collection, if there is just one."""
    images = images_of(looked.store, looked.zarr_format)
    if not images:
        looked.fail()
    address, secret = split_secret(url)
    first = join(address, next(iter(images)))
    if len(images) > 1:
        raise NotOmeZarrError(
            f"There is no single OME-Zarr image at {address}, but a collection of {len(images)}: "
            f"{in_words(images)}; open one by its address, such as {first}."
        )
    print(f"{address} is a collection of one image, {in_words(images)}; opening that one.")
    inside = _look(secret.put_into(first), context)
    return inside.image() or inside.fail()


def _open_around(url: str, looked: Looked, context: Context) -> Multiscale:
    """Open the image that an address is a part of: of a level, or of a label image."""
    address, secret = split_secret(url)
    names: list[str] = []
    while len(names) < LEVELS_ABOVE and (above := parent(address)):
        address = above[0]
        names.insert(0, above[1])
        around = _look(secret.put_into(address), context)
        if image := around.image():
            return _open_part(image, "/".join(names), looked)
        if around.attributes:
            looked.fail(f"; {address} above it holds {around.found()}")
    looked.fail()


def _open_part(image: Multiscale, path: str, looked: Looked) -> Multiscale:
    """The image itself for one of its levels; a label image for what lies below ``labels``."""
    if path in image.paths:
        print(f"{looked.store.url} is level {path!r} of an image; {image.url} is opened.")
        return image
    if path.startswith("labels/"):
        return image.label(path.removeprefix("labels/"))
    if path == "labels" and image.labels:
        names = ", ".join(map(repr, image.labels))
        one = join(looked.store.url, image.labels[0])
        looked.fail(f"; open the image at {image.url}, or one of its labels {names}, such as {one}")
    levels = ", ".join(map(repr, image.paths))
    looked.fail(f"; {image.url} above it is an image, whose levels are {levels}")
