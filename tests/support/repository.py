"""The files of the repository, for the tests that look at them."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
ADDRESS = PROJECT["urls"]["Repository"]


def committed() -> list[Path]:
    """Files that are, or are about to be, in the repository."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    try:
        listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("NOT CHECKED: this is no git clone")
    return [ROOT / line for line in listing.stdout.splitlines() if (ROOT / line).exists()]


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def section(path: Path, title: str) -> str:
    """What stands below a second-level heading of a Markdown file."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", read(path), re.M | re.S)
    assert found, f"{path.name} has no section {title!r}"
    return found[1]
