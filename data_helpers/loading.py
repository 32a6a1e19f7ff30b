"""The three functions that load an image by its IDR id.

They take the same arguments, which `load_binary_from_s3` describes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np

from ._caching import Cache
from ._formatting import format_bytes
from ._progress import progress_bar
from .errors import TooLargeError
from .multiscale import Multiscale
from .opening import find_multiscale
from .sources import Source
from .stored_array import StoredArray

MAX_BYTES = 2 * 1024**3
"""`load_binary_from_s3_with_data` refuses to load more than this: 2 GiB."""


def load_binary_from_s3(
    image_id: int | str,
    resolution: str | int = "0",
    *,
    source: str | Source | None = None,
    cache: str | Path | Cache | None = None,
    missing_as_empty: bool = False,
    storage_options: Mapping[str, Any] | None = None,
) -> da.Array:
    """Open one level of an image as a lazy array; reads metadata only.

    Parameters
    ----------
    image_id : int or str
        IDR image id, such as 6001247.
    resolution : str or int
        Resolution level: its path ("4") or its index (4), counted from the finest, 0.
    source : str or Source, optional
        Where to read from; the source in use if left out. See `choose_source`.
    cache : str or Path, optional
        "memory" or a folder in which to keep what is read; see `open_multiscale`.
    missing_as_empty : bool
        Whether a chunk that the endpoint denies (403) is empty; see `open_multiscale`.
    storage_options : mapping, optional
        What it takes to read a private image, such as key and secret; see `open_multiscale`.

    Returns
    -------
    dask.array.Array
        Lazy, axes in storage order (t, c, z, y, x), one block per chunk, dtype as stored. Pixels
        are read when something is computed from it.

    Raises
    ------
    ImageNotFoundError, LevelNotFoundError
        There is no such image, or no such level; the message lists those that exist.
    """
    image = find_multiscale(
        image_id,
        source=source,
        cache=cache,
        missing_as_empty=missing_as_empty,
        level=resolution,
        storage_options=storage_options,
    )
    return image.level(resolution)


def load_binary_from_s3_with_data(
    image_id: int | str,
    resolution: str | int = "0",
    *,
    source: str | Source | None = None,
    cache: str | Path | Cache | None = None,
    missing_as_empty: bool = False,
    storage_options: Mapping[str, Any] | None = None,
) -> np.ndarray:
    """Load all pixels of one level into memory.

    Says first how many chunks and megabytes are coming, then shows a progress bar.

    Parameters
    ----------
    image_id, resolution, source, cache, missing_as_empty, storage_options
        As for `load_binary_from_s3`.

    Returns
    -------
    numpy.ndarray
        All pixels, axes in storage order (t, c, z, y, x), dtype as stored.

    Raises
    ------
    TooLargeError
        The level is larger than `MAX_BYTES` (2 GiB); the message names a level that fits.
    ChunkError
        A chunk could not be fetched or decoded.
    """
    image = find_multiscale(
        image_id,
        source=source,
        cache=cache,
        missing_as_empty=missing_as_empty,
        level=resolution,
        storage_options=storage_options,
    )
    array = image.stored_level(resolution)
    if array.nbytes > MAX_BYTES:
        raise _too_large(image, resolution, array)
    print(f"Loading {array.nchunks:,} chunks, {format_bytes(array.nbytes)} uncompressed.")
    with progress_bar(array.nchunks, "Chunks") as bar:
        return array.read_all(bar.update)


def load_labels_from_s3(
    image_id: int | str,
    resolution: str | int = "0",
    *,
    source: str | Source | None = None,
    cache: str | Path | Cache | None = None,
    missing_as_empty: bool = False,
    storage_options: Mapping[str, Any] | None = None,
) -> da.Array:
    """Open the label image that belongs to one level of an image; reads metadata only.

    Parameters
    ----------
    image_id, resolution, source, cache, missing_as_empty, storage_options
        As for `load_binary_from_s3`. The resolution is that of a level of the *image*; the level of
        the labels that has the same scale is opened.

    Returns
    -------
    dask.array.Array
        Lazy label image, 0 for background. Its channel axis has length 1 whatever the image's.

    Raises
    ------
    NoLabelsError
        The image has no labels, or none at the scale of this level.
    """
    image = find_multiscale(
        image_id,
        source=source,
        cache=cache,
        missing_as_empty=missing_as_empty,
        storage_options=storage_options,
    )
    return image.stored_labels(resolution).lazy()


def _too_large(image: Multiscale, resolution: str | int, array: StoredArray) -> TooLargeError:
    fitting = [
        f"{path!r} ({format_bytes(level.nbytes)})"
        for path, level in zip(image.paths, image.stored, strict=True)
        if level.nbytes <= MAX_BYTES
    ]
    advice = f"level {fitting[0]} fits, or" if fitting else "no level of it fits, so"
    return TooLargeError(
        f"Level {resolution!r} of {image.title} is {format_bytes(array.nbytes)}, more than the "
        f"limit of {format_bytes(MAX_BYTES)} for loading at once; {advice} open it lazily with "
        "load_binary_from_s3 and compute only the part you need."
    )
