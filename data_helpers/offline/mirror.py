"""The pixels of a mirror, served as the public endpoint serves them.

The server is that of the stand-in; only what it answers with comes from files. It keeps three
kinds of missing key apart:

- the origin does not have it either: 404, which means an empty chunk to a reader, as there;
- the origin has it, or may have it, but it was not copied: 410, with a sentence that says so;
- it was copied, but its bytes have changed since, or a link leads to bytes outside the folder: 410
  as well.

A reader that knows nothing of mirrors takes 410 for an error, never for an empty chunk.
"""

from __future__ import annotations

import asyncio
import hashlib
from bisect import bisect_left
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

from ..errors import OmeZarrError
from .catalogue import Catalogue, Entry
from .manifest import Copied, Manifest, mirror_folder, object_file, read_manifest
from .server import COMMON_HEADERS, S3App, S3Error

GONE = 410
SAID = "x-mirror-error"  # header with the sentence, percent-encoded
METADATA = (".zattrs", ".zarray", ".zgroup", ".zmetadata", "zarr.json")


class MirrorCatalogue(Catalogue):
    """The objects of a mirror, in S3's order; a listing shows what was copied.

    Parameters
    ----------
    manifest : Manifest
        What was copied.
    """

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest
        self.keys: list[str] = sorted(manifest.objects)  # type: ignore[assignment]

    def find(self, key: str) -> Entry | None:
        """Return the object with this key, or None."""
        copied = self.manifest.objects.get(key)
        return Entry(key, copied.size, copied.etag or f'"{copied.sha256}"') if copied else None

    def entry(self, position: int) -> Entry:
        """Return the object at a position of the sorted keys."""
        found = self.find(self.keys[position])
        assert found
        return found

    def is_folder(self, key: str) -> bool:
        """Whether there are objects below a key."""
        position = bisect_left(self.keys, f"{key}/")
        return position < len(self.keys) and self.keys[position].startswith(f"{key}/")


class MirrorApp(S3App):
    """Answer S3 requests from a mirror.

    Parameters
    ----------
    folder : str or Path
        The mirror.
    delay_ms : float
        Milliseconds to wait before each answer.

    Raises
    ------
    OmeZarrError
        The folder is no mirror, or an unfinished one.
    """

    owner = "mirror"

    def __init__(self, folder: str | Path, delay_ms: float = 0) -> None:
        self.folder = mirror_folder(folder)
        self.manifest = read_manifest(self.folder)
        self.mirrored = MirrorCatalogue(self.manifest)
        super().__init__(self.mirrored, delay_ms)
        self.common_headers = COMMON_HEADERS | {"Server": "ome-zarr-mirror"}
        if not self.manifest.synthetic:
            del self.common_headers["x-amz-meta-synthetic"]

    def find(self, key: str) -> Entry:
        """Return the object with this key, or raise `S3Error` with what is wrong with it."""
        entry = self.catalogue.find(key)
        if entry:
            return entry
        if self.absent_at_origin(key):
            raise S3Error(404, "NoSuchKey", "The specified key does not exist.")
        raise refusal("NotInMirror", self.outside(key))

    def absent_at_origin(self, key: str) -> bool:
        """Whether a key that was not copied is known not to exist at the origin.

        All metadata documents that an image's own metadata name were copied, so of a mirrored
        image there are no others.
        """
        if key in self.manifest.absent or self.mirrored.is_folder(key):
            return True
        return bool(self.root(key)) and key.rpartition("/")[2] in METADATA

    def root(self, key: str) -> str:
        """Return the key of the mirrored image that a key belongs to, or nothing."""
        roots = (root for roots in self.manifest.images.values() for root in roots)
        return next((root for root in roots if key.startswith(f"{root}/")), "")

    def outside(self, key: str) -> str:
        """Say that a key is not in the mirror, what is, and what to try."""
        root, path = self.root(key), key
        while path and f"{path}/.zarray" not in self.manifest.objects:
            path = path.rpartition("/")[0]
        elsewhere = 'where there is internet, choose_source("idr") reads it from there'
        if not (root and path):
            held = ", ".join(sorted(self.manifest.images)) or "none"
            return (
                f"{key} is not in the mirror {self.folder}, which holds parts of the IDR images "
                f"{held}; open one of these, or {elsewhere}."
            )
        image = Path(root).stem
        level, chunk = path.removeprefix(f"{root}/"), key.removeprefix(f"{path}/")
        held = f"{self.chunks_of(path):,} of the chunks of this level"
        return (
            f"Chunk {chunk} of level {level} of image {image} is not in the mirror {self.folder}, "
            f"which holds only what the notebooks read ({held}); go back to what the notebook "
            f"shows, or, {elsewhere}."
        )

    def chunks_of(self, path: str) -> int:
        """Return how many chunks of an array the mirror holds."""
        keys = self.mirrored.keys
        first = bisect_left(keys, f"{path}/")
        last = bisect_left(keys, f"{path}0")  # 0 is the character after /
        return sum(key.rpartition("/")[2] not in METADATA for key in keys[first:last])

    async def pieces(self, entry: Entry, start: int, stop: int) -> AsyncIterator[bytes]:
        """Yield the bytes of an object, after comparing the whole of it with its checksum."""
        known = self.manifest.objects[entry.key]
        try:
            data = await asyncio.to_thread(read_object, self.folder, entry.key, known)
        except OmeZarrError as error:
            raise refusal("OutsideMirror", str(error)) from None
        if data is None:
            raise refusal(
                "DamagedInMirror",
                f"{entry.key} in the mirror {self.folder} is damaged: its bytes are not those that "
                "were copied; take a fresh copy of the folder, or run the same "
                "'python3 run.py kit' again, which mends it.",
            )
        yield data[start:stop]


def read_object(folder: Path, key: str, known: Copied) -> bytes | None:
    """Read an object from its file; None if these are not the bytes that were copied.

    Raises
    ------
    OmeZarrError
        The file is outside the folder.
    """
    file = object_file(folder, key)
    try:
        if not file.is_file() or file.stat().st_size != known.size:
            return None
        data = file.read_bytes()
    except OSError:
        return None
    return data if hashlib.sha256(data).hexdigest() == known.sha256 else None


def refusal(code: str, sentence: str) -> S3Error:
    """Return the answer for something that the mirror cannot give."""
    return S3Error(GONE, code, sentence, {SAID: quote(sentence)})
