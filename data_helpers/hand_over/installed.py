"""Where a tool of other people is installed, and what to type if it isn't."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import NamedTuple

from ..errors import ToolError

ROOT = Path(__file__).resolve().parents[2]
"""Folder of the tutorial, if the package is used from there."""


class Tool(NamedTuple):
    """A tool of other people, in an environment of its own."""

    name: str
    shown: str  # as its makers write it
    megabytes: int

    @property
    def variable(self) -> str:
        """Environment variable that names the Python of another installation."""
        return f"{self.name.upper()}_PYTHON"

    @property
    def command(self) -> str:
        """What to type to install it."""
        return f"python3 run.py tool {self.name}"


NAPARI = Tool("napari", "napari", 1250)
CELLPROFILER = Tool("cellprofiler", "CellProfiler", 800)


def python_of(tool: Tool) -> Path:
    """The Python of a tool's environment.

    Raises
    ------
    ToolError
        The tool isn't installed, or from another lock than the one here; the message has the
        command to type.
    """
    if named := os.environ.get(tool.variable):
        if Path(named).is_file():
            return Path(named)
        raise ToolError(
            f"{tool.variable} names {named}, but there is no such file: set it to a Python that "
            f"has {tool.shown}, or unset it."
        )
    folder, lock = ROOT / f".venv-{tool.name}", ROOT / "requirements" / f"{tool.name}.txt"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    made_from = _lock_of(folder)
    if not python.is_file() or not made_from:
        cloned = (ROOT / "run.py").is_file()
        where = "the tutorial's folder" if cloned else "a clone of the tutorial"
        raise ToolError(
            f"{tool.shown} isn't installed: open a terminal in {where} and type '{tool.command}' "
            f"(about {tool.megabytes} MB, a minute or two, once), or set {tool.variable} to a "
            "Python that has it."
        )
    if lock.is_file() and made_from != _digest(lock):
        raise ToolError(
            f"The {tool.shown} in {folder.name} is another version than this tutorial was tried "
            f"with: type '{tool.command}' in the tutorial's folder, which makes it anew."
        )
    return python


def _lock_of(folder: Path) -> str:
    """Digest of the lock that an environment was made from; empty if it was never finished."""
    try:
        made = json.loads((folder / "finished.json").read_text(encoding="utf-8"))
        return str(made["lock"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _digest(lock: Path) -> str:
    """As `run.py` writes it."""
    return hashlib.sha256(lock.read_bytes().replace(b"\r\n", b"\n")).hexdigest()
