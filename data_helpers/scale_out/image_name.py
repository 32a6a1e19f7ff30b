"""What an image is called, so that another one is not taken for it, today or tomorrow."""

from __future__ import annotations

from typing import cast

from ..multiscale import Multiscale
from ..sources import lasting_address
from ..store import RetryingStore


def name_of_image(image: Multiscale) -> str:
    """The whole address of an image, without secrets.

    The stand-in and a mirror are named by what they serve, because they listen on another port each
    time.
    """
    store = cast(RetryingStore, image.stored[0].zarr_array.store_path.store)
    return lasting_address(store.lasting_name)
