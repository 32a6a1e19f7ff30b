"""What a mirror holds: its list of copied objects, each with size and checksum.

A mirror is a folder with real chunks, copied once with ``python3 run.py kit``, for a room without
internet. ``mirror.jsonl`` in it has one JSON document a line: first where and when the copy was
made, then one line for each object. Lines are added while the copy is made, so that an
interrupted one can go on.

Somebody else may have written the list. So it is checked when it is read: types, sizes, and that no
key leads out of the folder ``idr/`` of the mirror.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..errors import OmeZarrError
from .catalogue import BUCKET

FILE = "mirror.jsonl"
FORMAT = "ome-zarr mirror 1"
MOST_BYTES = 64_000_000  # of the list; 200 for each object are usual
LARGEST_OBJECT = 400_000_000  # bytes; `run.py kit` makes no mirror that has more in all
KEY = re.compile(r"\.?[\w-][\w.-]*(/\.?[\w-][\w.-]*)*")  # a path that stays inside its folder
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
    given = Path(os.path.expanduser(folder)).absolute()
    for candidate in (given, given / "mirror"):
        if os.path.isfile(candidate / FILE):
            return candidate
    if not os.path.exists(given):
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
        The folder is no mirror, the copy was interrupted, or the list cannot be understood or
        says what no mirror can say: a key that leads out of ``idr/``, say.
    """
    place = mirror_folder(folder)
    try:
        manifest = _parse(_read(place / FILE))
    except OSError as error:
        raise OmeZarrError(
            f"The list of the mirror, {place / FILE}, cannot be read ({error.strerror}): look at "
            f"the permissions of the folder, or {HOW}."
        ) from None
    except _Unfit as error:
        raise OmeZarrError(
            f"The list of the mirror, {place / FILE}, is refused: {error}. Take a fresh copy of "
            f"the folder from somebody you trust, or {HOW}."
        ) from None
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
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


class _Unfit(Exception):
    """What a list says that no mirror can say."""


def _read(file: Path) -> list[str]:
    with open(file, "rb") as stream:
        data = stream.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise _Unfit(f"it has more than {MOST_BYTES // 1_000_000} MB")
    return data.decode("utf-8").splitlines()


def _parse(lines: list[str]) -> Manifest:
    head = json.loads(lines[0])
    if head.pop("format") != FORMAT or {"objects", "absent"} & head.keys():
        raise ValueError("another format")
    manifest = Manifest(**head)
    _check_head(manifest)
    for number, text in enumerate(lines[1:], 2):
        try:
            entry = json.loads(text)
        except ValueError:
            if not manifest.complete and number == len(lines):
                break  # the copy was interrupted while this line was written
            raise
        key = _checked_key(entry.pop("key"))
        if entry.pop("absent", False):
            manifest.absent.add(key)
        else:
            manifest.objects[key] = _checked_object(key, Copied(**entry))
    return manifest


def _check_head(manifest: Manifest) -> None:
    for name in ("endpoint", "origin", "copied", "listed"):
        if not _is_plain(getattr(manifest, name)):
            raise _Unfit(f"its {name} is no plain text")
    for name in ("synthetic", "complete"):
        if not isinstance(getattr(manifest, name), bool):
            raise _Unfit(f"its {name} is neither true nor false")
    for image, keys in manifest.images.items():
        if not _is_plain(image) or not isinstance(keys, list):
            raise _Unfit("its images are no lists of keys")
        for key in keys:
            _checked_key(key)


def _checked_key(key: Any) -> str:
    if not isinstance(key, str) or not KEY.fullmatch(key):
        raise _Unfit(
            f"{ascii(key)[:80]} is no key of an object below {BUCKET}/ in the mirror's folder"
        )
    return key


def _checked_object(key: str, copied: Copied) -> Copied:
    size = copied.size
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= LARGEST_OBJECT:
        raise _Unfit(f"{key} cannot have the size {ascii(size)[:80]}")
    if not (_is_plain(copied.sha256) and _is_plain(copied.etag)):
        raise _Unfit(f"checksum or ETag of {key} is no plain text")
    return copied


def _is_plain(text: Any) -> bool:
    """Whether it is one line of ASCII, which may go to a terminal and into an http header."""
    return isinstance(text, str) and text.isascii() and (text.isprintable() or not text)


def object_file(folder: Path, key: str) -> Path:
    """Return the file of an object, which need not exist.

    Raises
    ------
    OmeZarrError
        A link in the folder leads out of it.
    """
    base = folder.resolve() / BUCKET
    file = (base / key).resolve()
    if not file.is_relative_to(base):
        raise OmeZarrError(
            f"{key} in the mirror {folder} is a link, or below one, that leads out of {BUCKET}/ in "
            f"this folder: replace the link by the file itself, or {HOW}."
        )
    return file


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the list anew, in the order of the keys, replacing the old one in one step."""
    objects: dict[str, Copied | None] = {**manifest.objects, **dict.fromkeys(manifest.absent)}
    text = json.dumps(manifest.head()) + "\n"
    text += "".join(line(key, objects[key]) for key in sorted(objects))
    part = folder / f"{FILE}.part"
    part.write_text(text, encoding="utf-8", newline="\n")
    os.replace(part, folder / FILE)
