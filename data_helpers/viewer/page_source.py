"""The viewer's page: JavaScript in parts, one concern each, and the style."""

from __future__ import annotations

import re
from pathlib import Path

FOLDER = Path(__file__).parent / "page"

PARTS = (
    "geometry",
    "stacks",
    "store",
    "elements",
    "colors",
    "wheel",
    "state",
    "paint",
    "report",
    "talk",
    "controls",
    "project",
    "play",
    "labels",
    "sides",
    "pick",
    "histogram",
    "channels",
    "contrast",
    "where",
    "share",
    "hands",
    "main",
)
"""Each part comes after those that it imports."""


def script() -> str:
    """All parts as one module, since anywidget takes one: without their imports of each other."""
    texts = [(FOLDER / f"{part}.js").read_text(encoding="utf-8") for part in PARTS]
    joined = re.sub(r"^import [^;]*;\n", "", "\n".join(texts), flags=re.MULTILINE)
    return re.sub(r"^export (?!default)", "", joined, flags=re.MULTILINE)


def style() -> str:
    """The style sheet."""
    return (FOLDER / "widget.css").read_text(encoding="utf-8")
