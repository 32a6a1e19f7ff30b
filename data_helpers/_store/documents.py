"""Several metadata documents at once, each answered by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from .._formatting import format_bytes
from .._metadata.document import parse_json
from ..addresses import join
from ..errors import MalformedMetadataError, OmeZarrError
from .transport import METADATA_BYTES, Answer

OTHERS_SECONDS = 1.0
"""How long other documents are waited for once there is a good one."""

Document = dict[str, Any]


async def fetch_documents(
    fetch: Callable[[str], Awaitable[Answer | None]],
    url: str,
    keys: Iterable[str],
    good: Callable[[Document], bool],
) -> dict[str, Document | OmeZarrError | None]:
    """Fetch documents, and do not wait long for the rest once there is a good one.

    Parameters
    ----------
    fetch : callable
        Fetches one key.
    url : str
        Address of the image, for messages.
    keys : iterable of str
        Such as ``[".zattrs", "zarr.json"]``.
    good : callable
        Whether a document says enough.

    Returns
    -------
    dict
        For each key that was answered in time: the document, what is wrong with it, or None where
        there is none.
    """
    room = METADATA_BYTES

    async def one(key: str) -> Document | OmeZarrError | None:
        nonlocal room
        try:
            answer = await fetch(key)
            if answer is None:
                return None
            room -= len(answer.data)
            if room < 0:
                return MalformedMetadataError(
                    f"The metadata at {join(url, key)} are not read: the documents of {url} are "
                    f"longer than {format_bytes(METADATA_BYTES)} together. Open the address in a "
                    "browser to see what they hold."
                )
            return parse_json(answer.data, join(url, key))
        except OmeZarrError as error:
            return error

    tasks = {asyncio.ensure_future(one(key)): key for key in keys}
    pending, answers, seconds = set(tasks), {}, None
    try:
        while pending:
            done, pending = await asyncio.wait(
                pending, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
            if not done:
                break
            for task in done:
                answers[tasks[task]] = answer = task.result()
                if isinstance(answer, dict) and good(answer):
                    seconds = OTHERS_SECONDS
    finally:
        for task in pending:
            task.cancel()
    return answers
