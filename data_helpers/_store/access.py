"""Which way leads to an address: signed requests, requests with headers, an archive, or none."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from ..addresses import split_secret
from ..errors import NotOmeZarrError, OmeZarrError
from . import transport
from .requests import Request
from .secrets import HiddenOptions
from .transport import Access, Answer, DirectAccess
from .zipped import SUFFIXES, ArchiveAccess

S3_NAMES = {"key", "secret", "token", "profile", "username", "password", "anon", "endpoint_url"}
"""Options that only s3fs knows."""


class HttpAccess(DirectAccess):
    """Read https addresses with more than a plain request has, such as a header.

    Parameters
    ----------
    options : mapping
        As fsspec's http takes them: ``headers``, ``client_kwargs`` and others.
    """

    advice = "Check the address, and headers or client_kwargs in storage_options"

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.options = HiddenOptions(options)

    def __repr__(self) -> str:
        return f"HttpAccess({self.options!r})"

    @property
    def seconds(self) -> float | None:
        """How long a key may take with all attempts, where a time-out in the options says so."""
        client = self.options.get("client_kwargs") or {}
        timeout = self.options.get("timeout") or client.get("timeout")
        total = getattr(timeout, "total", timeout)
        return float(total) if isinstance(total, int | float) and total > 0 else None

    async def fetch(
        self,
        path: str,
        start: int | None,
        end: int | None,
        request: Request,
        limit: int | None = None,
    ) -> Answer:
        """Send one request; as `transport.fetch`."""
        try:
            return await transport.fetch(path, start, end, request, limit, self.options)
        except TypeError:
            pass
        raise OmeZarrError(
            f"storage_options for {path} cannot be used; for an https address they are headers "
            "and client_kwargs, as aiohttp takes them: check "
            f"{', '.join(sorted(map(str, self.options)))}."
        )

    async def has_etag(self, path: str, etag: str) -> bool:
        """Whether the endpoint still calls an object so."""
        return await transport.has_etag(path, etag, options=self.options)

    def lasting_name(self, address: str) -> str:
        """What a cache names an image after: others may see something else at this address."""
        return f"with storage_options {address}"


def find_access(address: str, options: Mapping[str, Any] | None) -> Access | None:
    """What it takes to read an image; None where a plain request does.

    Parameters
    ----------
    address : str
        ``https://``, ``s3://`` or a local path, with an archive in it or not.
    options : mapping or None
        What `storage_options` says.

    Raises
    ------
    NotOmeZarrError
        A local path is a file, but no archive.
    OmeZarrError
        The options do not go with the address.
    """
    direct = _direct(address, options)
    archive = archive_in(address)
    return ArchiveAccess(archive, direct) if archive else direct


def archive_in(address: str) -> str:
    """The part of an address that names an archive, such as ``https://host/a.ozx``; or ""."""
    if "://" not in address:
        path = Path(address)
        return next((p.as_posix() for p in [path, *path.parents] if os.path.isfile(p)), "")
    url, secret = split_secret(address)
    scheme, _, rest = url.partition("://")
    host, *parts = rest.split("/")
    for number, part in enumerate(parts, 1):
        if part.lower().endswith(SUFFIXES):
            return secret.put_into(f"{scheme}://{'/'.join([host, *parts[:number]])}")
    return ""


def _direct(address: str, options: Mapping[str, Any] | None) -> DirectAccess | None:
    if address.startswith("s3://"):
        from .s3 import SignedAccess  # needed for private buckets only

        return SignedAccess(options or {})
    if not options or "://" not in address:
        return None
    if wrong := sorted(S3_NAMES & set(options)):
        shown = split_secret(address)[0]
        scheme, _, rest = shown.partition("://")
        host, _, key = rest.partition("/")
        raise NotOmeZarrError(
            f"{shown} is read by plain {scheme}, to which {' and '.join(wrong)} in storage_options "
            f"mean nothing; open s3://{unquote(key)}, with endpoint_url='{scheme}://{host}' in "
            "storage_options."
        )
    return HttpAccess(options)
