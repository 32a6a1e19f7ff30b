"""The variables in which S3 programs look for an endpoint and a key."""

from __future__ import annotations

import os
import sys

HOST = "127.0.0.1"
CLEARED = ("AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE")
"""Of another account or endpoint: these would be used together with the key, or instead of it."""


class Variables:
    """Variables of this process's environment, until `restore`.

    Parameters
    ----------
    endpoint, key, secret : str
        Of the server that s3fs, boto3, obstore and rclone are to use unless told otherwise.
    """

    def __init__(self, endpoint: str, key: str, secret: str) -> None:
        self.now: dict[str, str | None] = {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": key,
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_DEFAULT_REGION": "us-east-1",
            **dict.fromkeys(CLEARED),
        }
        for name in ("NO_PROXY", "no_proxy"):  # a proxy cannot reach this computer from outside
            known = os.environ.get(name, "")
            self.now[name] = known if HOST in known else ",".join(filter(None, [known, HOST]))
        self.before = {name: os.environ.get(name) for name in self.now}
        self._set(self.now)

    def restore(self) -> None:
        """Put back what was there, except where somebody has changed it meanwhile."""
        mine = {name for name, value in self.now.items() if os.environ.get(name) == value}
        self._set({name: value for name, value in self.before.items() if name in mine})

    def _set(self, values: dict[str, str | None]) -> None:
        for name, value in values.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        if "s3fs" in sys.modules:  # it would hand the file system of the last endpoint out again
            sys.modules["s3fs"].S3FileSystem.clear_instance_cache()
