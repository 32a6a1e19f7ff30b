"""What a mirror holds: its list of copied objects, each with size and checksum.

A mirror is a folder with real chunks, copied once with ``python3 run.py kit``, for a room without
internet. ``mirror.jsonl`` in it has one JSON document a line: first where and when the copy was
made, then one line for each object. Lines are added while the copy is made, so that an
interrupted one can go on.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..errors import OmeZarrError

FILE = "mirror.jsonl"
FORMAT = "ome-zarr mirror 1"
HOW = "make one with: python3 run.py kit FOLDER"


@dataclass(frozen=True)
class Copied:
    """One object of the mirror; `etag` is what the origin called this version of it."""

    size: int
    sha256: str
    etag: str


@dataclass
class Manifest:
    """Where the objects of a mirror come from, and which they are.

    Attributes
    ----------
    endpoint : str
        Address of the S3 endpoint that they were copied from.
    origin : str
        Name of that source: "livingobjects", "uk1s3" or "endpoint".
    copied : str
        Day of the copy, such as "2026-11-22".
    synthetic : bool
        Whether the endpoint calls its own images synthetic.
    complete : bool
        False while the copy is made, and after it was interrupted.
    images : dict of str to list of str
        IDR id to the keys of its copies; one that the origin does not have is named, too.
    listed : str
        Checksum of the list of chunks that was to be copied.
    objects : dict of str to Copied
        Key to what is known of the object. Its bytes are in ``idr/KEY``.
    absent : set of str
        Keys that do not exist at the origin either: empty chunks, mostly.
    """

    endpoint: str
    origin: str
    copied: str
    synthetic: bool = False
    complete: bool = False
    images: dict[str, list[str]] = field(default_factory=dict)
    listed: str = ""
    objects: dict[str, Copied] = field(default_factory=dict)
    absent: set[str] = field(default_factory=set)

    @property
    def size(self) -> int:
        """Bytes of all objects together."""
        return sum(copied.size for copied in self.objects.values())

    def head(self) -> dict[str, Any]:
        """Return the first line of the file."""
        names = ("endpoint", "origin", "copied", "synthetic", "complete", "images", "listed")
        return {"format": FORMAT, **{name: getattr(self, name) for name in names}}


def line(key: str, copied: Copied | None) -> str:
    """Return the line of one object; None stands for a key that does not exist."""
    known = asdict(copied) if copied else {"absent": True}
    return json.dumps({"key": key, **known}) + "\n"


def mirror_folder(folder: str | Path) -> Path:
    """Return the folder of a mirror as an absolute path: the folder itself, or ``mirror`` in it.

    Raises
    ------
    OmeZarrError
        There is no mirror.
    """
    given = Path(folder).expanduser().absolute()
    for candidate in (given, given / "mirror"):
        if (candidate / FILE).is_file():
            return candidate
    if not given.exists():
        raise OmeZarrError(f"There is no folder {given}; a mirror was expected there: {HOW}.")
    raise OmeZarrError(f"The folder {given} is no mirror, since it has no {FILE}: {HOW}.")


def read_manifest(folder: str | Path, *, unfinished: bool = False) -> Manifest:
    """Read what the mirror in a folder holds.

    Parameters
    ----------
    folder : str or Path
        The folder with ``mirror.jsonl``.
    unfinished : bool
        Whether a copy that was interrupted will do. A last line that was cut short is left out.

    Raises
    ------
    OmeZarrError
        The folder is no mirror, the copy was interrupted, or the list cannot be understood.
    """
    place = mirror_folder(folder)
    lines = (place / FILE).read_text(encoding="utf-8").splitlines()
    try:
        head = json.loads(lines[0])
        if head.pop("format") != FORMAT:
            raise ValueError("another format")
        manifest = Manifest(**head)
        for number, text in enumerate(lines[1:], 2):
            try:
                entry = json.loads(text)
            except ValueError:
                if not manifest.complete and number == len(lines):
                    break
                raise
            key = entry.pop("key")
            if entry.pop("absent", False):
                manifest.absent.add(key)
            else:
                manifest.objects[key] = Copied(**entry)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise OmeZarrError(
            f"The list of the mirror, {place / FILE}, cannot be understood "
            f"({type(error).__name__}): take a fresh copy of the folder, or {HOW}."
        ) from None
    if not (manifest.complete or unfinished):
        raise OmeZarrError(
            f"The copy into the mirror {place} was interrupted: run the same "
            "'python3 run.py kit' again, which goes on where it stopped."
        )
    return manifest


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the list anew, in the order of the keys, replacing the old one in one step."""
    objects: dict[str, Copied | None] = {**manifest.objects, **dict.fromkeys(manifest.absent)}
    text = json.dumps(manifest.head()) + "\n"
    text += "".join(line(key, objects[key]) for key in sorted(objects))
    part = folder / f"{FILE}.part"
    part.write_text(text, encoding="utf-8", newline="\n")
    os.replace(part, folder / FILE)
