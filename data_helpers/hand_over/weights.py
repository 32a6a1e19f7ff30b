"""The files of trained networks: where they are kept, and how they get there.

A network is fetched once, and only if the caller says so. First comes a sentence with its size, the
server and the folder. The packages could fetch their networks themselves. But they don't ask, they
may wait for ever, and cellpose 4.2 stops checking certificates for the rest of the kernel.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

from ..errors import ToolError

PATIENCE = 20.0  # seconds without a byte


@dataclass(frozen=True)
class Weights:
    """A trained network, as its makers publish it.

    Attributes
    ----------
    name : str
        Of its file, or of its folder if it is published as a zip file.
    url : str
        Where it comes from.
    megabytes : int
        About how large it is.
    variable : str
        Environment variable that names the folder, if there is one.
    folder : str
        Where it is kept otherwise.
    sha256 : str
        What its makers say that the file's SHA-256 is; "" if they don't.
    """

    name: str
    url: str
    megabytes: int
    variable: str
    folder: str
    sha256: str = ""

    @property
    def path(self) -> Path:
        """Where it is, or will be."""
        folder = os.environ.get(self.variable) or self.folder
        return Path(os.path.expanduser(folder)) / self.name


CELLPOSE = Weights(
    name="cpsam_v2",
    url="https://huggingface.co/mouseland/cellpose-sam/resolve/main/cpsam_v2",
    megabytes=1200,
    variable="CELLPOSE_LOCAL_MODELS_PATH",  # cellpose looks there, too
    folder="~/.cellpose/models",
)
STARDIST = Weights(
    name="2D_versatile_fluo",
    url="https://github.com/stardist/stardist-models/releases/download/v0.1/"
    "python_2D_versatile_fluo.zip",
    megabytes=6,
    variable="STARDIST_LOCAL_MODELS_PATH",
    folder="~/.stardist/models",
    sha256="4ad678d0758eed6e55625f1b5ae30771e59adb79f1239e09b9772eac8846c3dd",
)


def ensure(weights: Weights, download: bool) -> Path:
    """Return where a network is, after fetching it if it is missing and `download` allows it.

    Raises
    ------
    ToolError
        If it isn't here and must not, or cannot, be fetched.
    """
    if weights.path.exists():
        return weights.path
    server = urlsplit(weights.url).hostname
    folder = shown(weights.path.parent)
    if not download:
        raise ToolError(
            f"The network {weights.name} is not on this computer yet: with download=True it comes "
            f"from {server} (about {weights.megabytes:,} MB, once) into {folder}."
        )
    print(
        f"Fetching {weights.name}, about {weights.megabytes:,} MB, from {server} into {folder}. "
        "It stays there.",
        flush=True,
    )
    try:
        fetch(weights)
    except (OSError, HTTPException) as error:
        raise ToolError(
            f"The network {weights.name} could not be fetched from {server} ({reason(error)}): try "
            f"again where that server can be reached, or bring {weights.name} into {folder}."
        ) from None
    return weights.path


def fetch(weights: Weights) -> None:
    """Fetch a network; it appears in its place only when it is complete."""
    place = weights.path
    with urlopen(weights.url, timeout=PATIENCE) as answer:
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent) as folder:
            file = Path(folder, "fetched")
            with open(file, "wb") as copy:
                shutil.copyfileobj(answer, copy)
            size = answer.headers.get("Content-Length")
            if size and file.stat().st_size != int(size):
                raise OSError("the connection ended early")
            if file.stat().st_size < weights.megabytes * 500_000:
                raise OSError("the answer is far too small to be a network")
            if weights.sha256:
                verify(file, weights.sha256)
            if urlsplit(weights.url).path.endswith(".zip"):
                file = unpack(file)
            os.replace(file, place)


def verify(file: Path, sha256: str) -> None:
    """Refuse a file that is not the one its makers published."""
    with open(file, "rb") as opened:
        if hashlib.file_digest(opened, "sha256").hexdigest() != sha256:
            raise OSError("the file is not the published one, its SHA-256 differs")


def unpack(file: Path) -> Path:
    """Unpack a zip file beside itself; return the folder."""
    folder = file.with_name("unpacked")
    shutil.unpack_archive(file, folder, "zip")
    return folder


def shown(folder: Path) -> str:
    """A folder as people write it, with ``~`` for their home."""
    home = Path.home()
    if folder.is_relative_to(home):
        return f"~/{folder.relative_to(home).as_posix()}"
    return str(folder)


def reason(error: BaseException) -> str:
    """What went wrong, in a few words."""
    inner = getattr(error, "reason", error)  # of urllib's own error
    return str(getattr(inner, "strerror", None) or inner).splitlines()[0].rstrip(".")
