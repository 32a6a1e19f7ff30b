"""From the word that a person says, "memory" or a folder, to a cache."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import OmeZarrError
from .base import Cache, limit_of
from .disk import DISK_MB, cache_folder, disk_cache
from .memory import MEMORY_MB, memory_cache

_NOT_FOLDERS = {"", "0", "1", "true", "false", "yes", "no", "on", "none", "disk", "ram"}


def find_cache(cache: str | Path | Cache | None) -> Cache | None:
    """The cache meant by a ``cache=`` argument.

    Parameters
    ----------
    cache : str, Path or Cache, optional
        "memory", a folder, "off", or a cache made before. If left out, what the environment
        variable ``OME_ZARR_CACHE`` says; off if that is not set.

    Returns
    -------
    Cache or None
        None where nothing is to be cached. The same argument means the same cache.

    Raises
    ------
    OmeZarrError
        It is none of these, or the folder is a file.
    """
    if cache is None:
        cache = os.environ.get("OME_ZARR_CACHE", "").strip() or "off"
    if isinstance(cache, Cache):
        return cache
    word = str(cache).strip().lower()
    if not isinstance(cache, str | Path) or word in _NOT_FOLDERS or "://" in word or "\0" in word:
        raise OmeZarrError(
            f'{cache!r} is not a cache; use "memory", a folder such as "./cache", or "off".'
        )
    if word == "off":
        return None
    if word == "memory":
        return memory_cache(limit_of(None, MEMORY_MB) / 1e6)
    return disk_cache(str(cache_folder(cache)), limit_of(None, DISK_MB) / 1e6)


def clear_cache(cache: str | Path | Cache | None = None) -> None:
    """Remove everything from a cache.

    Parameters
    ----------
    cache : str, Path or Cache, optional
        "memory" or a folder; the one that ``OME_ZARR_CACHE`` names if left out.
    """
    _needed(cache).clear()


def recheck_cache(cache: str | Path | Cache | None = None) -> None:
    """Have a cache notice changed images: ask before an entry is used the next time.

    From now on each entry is confirmed once, when it is next needed: one small request that brings
    no pixels where the object is unchanged. Where it has changed it is read anew.

    Parameters
    ----------
    cache : str, Path or Cache, optional
        "memory" or a folder; the one that ``OME_ZARR_CACHE`` names if left out.
    """
    _needed(cache).recheck()


def _needed(cache: str | Path | Cache | None) -> Cache:
    found = find_cache(cache)
    if found is None:
        raise OmeZarrError(
            'No cache is in use; name it: cache="memory" or a folder, or set OME_ZARR_CACHE.'
        )
    return found
