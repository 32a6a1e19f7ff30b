"""What a failed request means, and the words for it; the store decides what follows."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import aiohttp
from zarr.abc.store import ByteRequest

from .._formatting import one_line
from .._metadata.document import parse_json
from ..addresses import join
from ..errors import (
    AccessDeniedError,
    ChunkError,
    EndpointUnreachableError,
    MalformedMetadataError,
    MirrorError,
    OmeZarrError,
)
from .transport import Answer, RangeIgnoredError, TooLongError, is_metadata

RETRY_STATUS = {408, 425, 429, 500, 502, 503, 504}

NOT_THERE_STATUS = {200, 400, 401, 403, 405, 410}
"""How servers say, besides 404, that they do not hold an optional document; 200 is a web page."""

WHY_DENIED = (
    "Either the chunk was never written, and the server does not say so because it denies listing: "
    "then open_multiscale(..., missing_as_empty=True) reads it as empty. Or the bucket is private: "
    "then give storage_options with a key, or ask whoever keeps it for access."
)
"""The two usual reasons for 403 where a chunk is asked for, and what to do."""


class IncompleteAnswerError(Exception):
    """An answer arrived whole but holds too few bytes; worth asking again."""


class DeadlineError(Exception):
    """The time for a key and all attempts is over."""

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"no answer in time: a key may take {seconds:g} s with all attempts. On a slow line "
            "read fewer chunks at once, or allow more by storage_options={'client_kwargs': "
            "{'timeout': aiohttp.ClientTimeout(total=...)}}"
        )


def says_not_there(error: object) -> bool:
    """Whether an error may just as well mean that there is no such document."""
    if not isinstance(error, OmeZarrError) or isinstance(error, MirrorError):
        return False  # a mirror knows what it does not hold
    return error.status in NOT_THERE_STATUS


def _status_of(error: Exception) -> int | None:
    """Status of the answer, if there was one."""
    return error.status if isinstance(error, aiohttp.ClientResponseError) else None


def _mirror_says(error: Exception) -> str:
    """The sentence of a mirror that cannot give what was asked for, or nothing."""
    if not isinstance(error, aiohttp.ClientResponseError) or error.status != 410:
        return ""
    headers: Any = error.headers or {}
    return unquote(headers.get("x-mirror-error", ""))


def worth_retrying(error: Exception) -> bool:
    """Whether the same request may succeed a moment later."""
    if isinstance(error, aiohttp.ClientResponseError):
        return error.status in RETRY_STATUS
    if isinstance(error, aiohttp.InvalidURL | PermissionError):
        return False
    return isinstance(error, aiohttp.ClientError | OSError | IncompleteAnswerError)


def _reason(error: Exception) -> str:
    """What went wrong, in a few words without the address."""
    if isinstance(error, aiohttp.ClientResponseError):
        return f"the endpoint answers {error.status} ({' '.join(error.message.split())})"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"no connection to {error.host}:{error.port}"
    if isinstance(error, aiohttp.InvalidURL):  # its text holds the address, query and all
        return "the address, or one that it leads to, is not valid"
    if isinstance(error, aiohttp.ClientError | ConnectionError):
        return f"the connection was lost ({type(error).__name__})"
    return one_line(error)


def explain(error: Exception, key: str, url: str, attempts: int, advice: str = "") -> OmeZarrError:
    """One sentence for a request that failed for good.

    Parameters
    ----------
    error : Exception
        What the client said.
    key, url : str
        What was asked for, and the address of the image, as it may be shown.
    attempts : int
        How often it was asked for.
    advice : str
        What to check where access is denied, if that is not only the address.
    """
    if isinstance(error, OmeZarrError):  # says it all
        return error.with_traceback(None)
    explained = _explain(error, key, url, attempts, advice)
    explained.status = _status_of(error)
    return explained


def _explain(error: Exception, key: str, url: str, attempts: int, advice: str) -> OmeZarrError:
    status, reason = _status_of(error), _reason(error)
    if sentence := _mirror_says(error):
        return MirrorError(sentence)
    if status in (401, 403) or isinstance(error, PermissionError):
        what = "Metadata" if is_metadata(key) else "Chunk"
        denied = f"{what} {key} of {url} cannot be read: {reason}, which denies access."
        if status == 403 and not is_metadata(key):
            return AccessDeniedError(f"{denied} {WHY_DENIED} {advice or 'Check the address, too'}.")
        advice = advice or "Check the address, or ask whoever keeps the image whether it is public"
        return AccessDeniedError(f"{denied} {advice}.")
    if isinstance(error, TooLongError | RangeIgnoredError):
        return _too_long(reason, key, url)
    tried = f"after {attempts} attempts" if attempts > 1 else "at the first attempt"
    if is_metadata(key):
        return EndpointUnreachableError(
            f"{join(url, key)} could not be read {tried}: {reason}. Check the address and the "
            'network, or continue with choose_source("offline").'
        )
    return ChunkError(
        f"Chunk {key} of {url} could not be fetched {tried}: {reason}. "
        "Run the cell again; if it fails again, try another source with choose_source(...)."
    )


def _too_long(reason: str, key: str, url: str) -> OmeZarrError:
    if is_metadata(key):
        return MalformedMetadataError(
            f"The metadata at {join(url, key)} are not read: {reason}. Something else may be at "
            "this address: open it in a browser to see."
        )
    return ChunkError(
        f"Chunk {key} of {url} is not read: {reason}, given its shape and type. It is "
        "damaged, or something else is in its place: leave it out of the selection, or try another "
        "source with choose_source(...)."
    )


def worth_keeping(key: str, byte_range: ByteRequest | None, answer: Answer | None) -> bool:
    """Whether an answer may go into a cache."""
    if answer is None:
        return True  # also a second run need not ask for what is not there
    if byte_range and not answer.etag:
        return False  # parts of two versions could not be told apart
    try:
        return not is_metadata(key) or parse_json(answer.data, key) is not None
    except MalformedMetadataError:  # a login page, say
        return False
