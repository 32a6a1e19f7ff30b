"""What the figures were measured on: versions, processor, memory; no names, no paths."""

from __future__ import annotations

import datetime
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    "zarr", "dask", "numcodecs", "fsspec", "aiohttp", "numpy", "scikit-image", "ome-zarr",
    "ngff-zarr",
)  # fmt: skip


def describe() -> dict[str, str]:
    """Describe date, machine and versions, as pairs of a name and a text."""
    versions = []
    for package in PACKAGES:
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            versions.append(f"{package} not installed")
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "processor": f"{processor()}, {os.cpu_count()} cores",
        "memory": memory(),
        "busy before the run": load(),
        "system": f"{platform.system()} {platform.machine()}",
        "Python": platform.python_version(),
        "packages": ", ".join(versions),
    }


def processor() -> str:
    """Name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else "unknown"


def memory() -> str:
    """Memory of the machine."""
    try:
        pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return "unknown"
    return f"{pages * size / 1e9:.0f} GB"


def load() -> str:
    """How many processes wanted a core in the minute before the run, and what that means."""
    try:
        wanted = os.getloadavg()[0]
    except (AttributeError, OSError):
        return "unknown"
    free = (os.cpu_count() or 1) - wanted
    blurred = (
        ""
        if free >= 1
        else ": other programs blur these times; measure again when the computer is idle"
    )
    return f"{wanted:.1f} processes on average{blurred}"
