"""Requests to S3 that are signed with a key, as private buckets ask for.

s3fs knows what the options mean and finds the credentials; its client, which is botocore's, signs
and sends. Time-outs and places are those of every other request, and the store tries again: s3fs
and botocore would do so in ways of their own.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import re
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import aiohttp
from fsspec.utils import tokenize

from ..errors import CredentialsError, EndpointUnreachableError, NotOmeZarrError, OmeZarrError
from .deadline import place
from .requests import Request, recorder
from .secrets import HiddenOptions
from .transport import (
    CONCURRENCY,
    CONNECT_SECONDS,
    RANGELESS_BYTES,
    READ_SECONDS,
    Answer,
    DirectAccess,
    RangeIgnoredError,
    TooLongError,
    part_size,
    range_header,
    whole_size,
)

Result = TypeVar("Result")

CONFIG = {
    "connect_timeout": CONNECT_SECONDS,
    "read_timeout": READ_SECONDS,
    "max_pool_connections": CONCURRENCY,
    "retries": {"total_max_attempts": 1},
    "response_checksum_validation": "when_required",  # not every server's checksums are right
}
"""How botocore's client is set up, where the options do not say otherwise."""

NOT_FOR_S3FS = {"asynchronous", "loop", "skip_instance_cache"}
"""What s3fs takes, too, but is decided here."""

_REFUSED_KEYS = {
    "ExpiredToken": "the session token has expired: get a new one",
    "ExpiredTokenException": "the session token has expired: get a new one",
    "TokenRefreshRequired": "the session token has expired: get a new one",
    "InvalidToken": "the session token is not valid: check token",
    "InvalidAccessKeyId": "it does not know this key: check key, or the profile",
    "SignatureDoesNotMatch": "the secret does not match the key: check secret, or the profile",
    "RequestTimeTooSkewed": "the clock of this computer is wrong: set it",
}
_OTHER_REGION = {
    "301",
    "307",
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
    "PermanentRedirect",
    "TemporaryRedirect",
}

_file_systems: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Any]] = WeakKeyDictionary()


class SignedAccess(DirectAccess):
    """Read ``s3://bucket/key`` by signed requests.

    Parameters
    ----------
    options : mapping
        As `s3fs.S3FileSystem` takes them. What they leave open is found as everywhere with AWS:
        in ``AWS_*`` variables, profiles and so on.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        kept = {name: value for name, value in options.items() if name not in NOT_FOR_S3FS}
        self.options = HiddenOptions(kept)
        self.advice = "Check the address, and key, secret, token or profile in storage_options"
        if self.options.get("anon"):
            self.advice = "Check the address, and give a key and a secret instead of anon=True"

    def __repr__(self) -> str:
        return f"SignedAccess({self.options!r})"

    async def fetch(
        self,
        path: str,
        start: int | None,
        end: int | None,
        request: Request,
        limit: int | None = None,
    ) -> Answer:
        """Send one request; as `transport.fetch`."""
        return await self._explained(path, self._get(path, start, end, request, limit))

    async def _get(
        self, path: str, start: int | None, end: int | None, request: Request, limit: int | None
    ) -> Answer:
        part = {} if start is None else {"Range": range_header(start, end)}
        client, where = await self._client(path)
        async with place():
            request.mark_sent()
            found = await client.get_object(**where, **part)
            size = whole_size(found.get("ContentRange", ""))
            body = found["Body"]
            async with body:
                if part and size is None:
                    limit = min(limit or RANGELESS_BYTES, RANGELESS_BYTES)
                    if (length := found.get("ContentLength") or 0) > limit:
                        raise RangeIgnoredError(length)
                elif part:
                    limit = part_size(start, end)
                data = await _body(body, found.get("ContentLength"), limit)
        return Answer(data, found.get("ETag", ""), size=len(data) if size is None else size)

    async def has_etag(self, path: str, etag: str) -> bool:
        """Whether the endpoint still calls an object so; no clear answer counts as no."""
        with recorder(path, chunk=False, retry=False):
            try:
                return bool(etag) and await self._explained(path, self._head(path)) == etag
            except (OSError, aiohttp.ClientError, OmeZarrError):
                return False

    async def _head(self, path: str) -> str:
        client, where = await self._client(path)
        async with place():
            return str((await client.head_object(**where)).get("ETag", ""))

    def lasting_name(self, address: str) -> str:
        """What a cache names an image after: endpoint, bucket and key."""
        profile = self.options.get("profile") or os.environ.get("AWS_PROFILE")
        return f"{self.endpoint or f'S3 of profile {profile}'} {address}"

    @property
    def endpoint(self) -> str:
        """The endpoint of the options or the environment, without a password; "" if AWS's own."""
        client = self.options.get("client_kwargs") or {}
        named = self.options.get("endpoint_url") or client.get("endpoint_url")
        for variable in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"):
            named = named or os.environ.get(variable)
        return _without_password(named)

    async def _client(self, path: str) -> tuple[Any, dict[str, Any]]:
        """The client of this event loop for these options, and what to ask it for."""
        known = _file_systems.setdefault(asyncio.get_running_loop(), {})
        name = tokenize(dict(self.options))
        if name not in known:
            import s3fs  # takes a second, and is needed for private buckets only

            options = {**self.options, "asynchronous": True, "skip_instance_cache": True}
            options["config_kwargs"] = CONFIG | (options.get("config_kwargs") or {})
            known[name] = s3fs.S3FileSystem(**options)
            _close_at_exit()
        system = known[name]
        client = await system.set_session()
        bucket, _, key = path.removeprefix("s3://").partition("/")
        takes = client.meta.service_model.operation_model("GetObject").input_shape.members
        more = {**system.s3_additional_kwargs, **system.req_kw}
        more = {name: value for name, value in more.items() if name in takes}
        return client, {"Bucket": bucket, "Key": key, **more}

    async def _explained(self, path: str, request: Coroutine[Any, Any, Result]) -> Result:
        """Turn what botocore raises into what the store knows, or into a sentence."""
        try:
            return await request
        except (TimeoutError, RangeIgnoredError, TooLongError, aiohttp.ClientError):
            raise
        except Exception as caught:
            error = caught
        # Raised here, outside the except: what botocore says may quote the options.
        raise self._translated(path, error)

    def _translated(self, path: str, error: Exception) -> Exception:
        kinds = {kind.__name__ for kind in type(error).__mro__}  # botocore comes with s3fs
        bucket = path.removeprefix("s3://").partition("/")[0]
        at = f"at {self.endpoint or 'AWS'}"
        if "ClientError" in kinds:
            return self._answered(path, bucket, at, getattr(error, "response", {}))
        if kinds & {"NoCredentialsError", "PartialCredentialsError"}:
            return CredentialsError(
                f"{path} cannot be asked for, because no credentials were found: give key and "
                "secret, or a profile, in storage_options, set AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, or say storage_options={'anon': True} for a public bucket."
            )
        if "ProfileNotFound" in kinds:
            return CredentialsError(
                f"{path} cannot be asked for, because the profile in storage_options or "
                "AWS_PROFILE is not one of this computer's: check its name in ~/.aws/config and "
                "~/.aws/credentials."
            )
        if kinds & {"ConnectTimeoutError", "ReadTimeoutError"}:
            return TimeoutError()
        if kinds & {"HTTPClientError", "ConnectionError", "OSError"}:
            return OSError(
                f"no connection {at} ({type(error).__name__}; check endpoint_url in "
                "storage_options, or AWS_ENDPOINT_URL)"
            )
        if "ParamValidationError" in kinds:
            return NotOmeZarrError(
                f"{path} cannot be asked for: {bucket!r} is no name of a bucket, or the key is "
                "empty; give s3://bucket/key."
            )
        if kinds & {"TypeError", "ValueError", "KeyError", "EndpointProviderError"}:
            return OmeZarrError(
                f"storage_options for {path} cannot be used ({type(error).__name__}); s3fs takes "
                "key, secret, token, profile, anon, endpoint_url, client_kwargs and others: check "
                f"the names and values of {', '.join(sorted(map(str, self.options))) or 'none'}."
            )
        return CredentialsError(
            f"{path} cannot be asked for ({type(error).__name__}): the credentials could not be "
            "loaded or renewed. Sign in again, or give key and secret in storage_options."
        )

    def _answered(self, path: str, bucket: str, at: str, response: dict[str, Any]) -> Exception:
        """What an answer other than "here it is" means."""
        code = str(response.get("Error", {}).get("Code", ""))
        details = response.get("ResponseMetadata", {})
        status = int(details.get("HTTPStatusCode") or 0)
        if code == "NoSuchBucket":
            return NotOmeZarrError(
                f"{path} cannot be opened: there is no bucket {bucket!r} {at}. Check the address, "
                "and endpoint_url in storage_options."
            )
        if code in _OTHER_REGION:
            region = details.get("HTTPHeaders", {}).get("x-amz-bucket-region", "...")
            return EndpointUnreachableError(
                f"{path} cannot be read {at}, which says that the bucket is elsewhere ({code}); "
                f"give client_kwargs={{'region_name': '{region}'}} in storage_options, or another "
                "endpoint_url."
            )
        if code in _REFUSED_KEYS:
            return CredentialsError(
                f"{path} cannot be read: the endpoint answers {code}, that is, "
                f"{_REFUSED_KEYS[code]} in storage_options (or the AWS_* variables)."
            )
        if status == 404 or code in ("NoSuchKey", "404"):
            return FileNotFoundError(path)
        if status in (400, 401) and self.options.get("anon"):
            return CredentialsError(
                f"{path} cannot be read without a key: the endpoint answers {status} ({code}). "
                "Give key and secret, or a profile, in storage_options instead of anon."
            )
        return _AnsweredError(status, code)


class _AnsweredError(aiohttp.ClientResponseError):
    """An answer with such a status, as the store knows it from http."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(None, (), status=status, message=code)  # type: ignore[arg-type]

    def __str__(self) -> str:
        return f"{self.status} ({self.message})"


async def _body(body: Any, length: int | None, limit: int | None) -> bytes:
    """The bytes of an answer, if they are no more than `limit`."""
    if limit is None or (length is not None and length <= limit):
        return bytes(await body.read())
    parts, received = [], length or 0
    while received <= limit and (part := await body.read(1 << 16)):
        parts.append(part)
        received += len(part)
    if received > limit:
        body.close()
        raise TooLongError(limit)
    return b"".join(parts)


def _without_password(address: Any) -> str:
    """An address as it may be shown."""
    return re.sub("//.*@", "//", str(address or "").partition("?")[0])


_closing: set[str] = set()


def _close_at_exit() -> None:
    """Close connections before Python ends; aiohttp complains of those that it finds open."""
    if not _closing:
        _closing.add("registered")
        atexit.register(_close)


def _close() -> None:
    for loop, systems in list(_file_systems.items()):
        for system in systems.values():
            with contextlib.suppress(Exception):
                if loop.is_running():
                    asyncio.run_coroutine_threadsafe(system.s3.close(), loop).result(1)
