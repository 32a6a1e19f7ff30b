"""List the chunks that the notebooks read, for the mirror that `python3 run.py kit` copies.

    python3 run.py python tools/list_chunks.py            run all notebooks, write the list anew
    python3 run.py python tools/list_chunks.py --check    run them, say what the list lacks
    python3 run.py python tools/list_chunks.py --check PATH ...     only these notebooks

Nothing is guessed: the notebooks (of exercises the solutions) run from top to bottom on the
stand-in, which writes down each chunk that it is asked for, first pictures of sliders included.
Added are the chunks that a viewer shows first and when it zooms straight in: the middle of each
level. The list, data_helpers/offline/mirror_list.json, names image, copy, level and chunk numbers;
`tools/copy_mirror.py` makes keys of them. Not listed are the copy of an image in shards (OME-Zarr
0.5), which a mirror does not hold, and the plate, which is synthetic everywhere.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Iterable
from itertools import product
from pathlib import Path
from typing import NamedTuple

from data_helpers.offline.arrays import Array, ShardedArray
from data_helpers.offline.catalogue import IMAGES, Entry, build_catalogue
from data_helpers.offline.server import OfflineThread, S3App
from data_helpers.sources import BUCKET

ROOT = Path(__file__).resolve().parents[1]
LIST = ROOT / "data_helpers" / "offline" / "mirror_list.json"
VIEW = (1000, 2000)  # Y and X, pixels of a level around its middle that a viewer may show at once
NEAR, SMALL_PLANE = 8, 300_000  # planes to scroll through on both sides, if of fewer bytes
PLACE = re.compile(r"zarr/(v0\.\d)/(?:\w+/)?(\d+)\.zarr/(.*)")

Index = tuple[int, ...]


class Level(NamedTuple):
    """One level of one copy of an image, such as (6001247, "v0.1", "labels/0")."""

    image_id: int
    copy: str
    path: str


class Chunks(NamedTuple):
    """Chunk shape of a level, and which of its chunks are meant."""

    shape: tuple[int, ...]
    indexes: set[Index]


Listed = dict[Level, Chunks]


class RememberingApp(S3App):
    """The stand-in, which remembers the chunks that it was asked for."""

    def __init__(self) -> None:
        super().__init__(build_catalogue())
        self.read: Listed = {}

    def find(self, key: str) -> Entry:
        """Return the object with this key, or raise."""
        entry = super().find(key)
        if entry.array and in_mirrors(entry.array):
            note(self.read, entry.array, entry.index)
        return entry


def in_mirrors(array: Array) -> bool:
    """Whether a mirror may hold chunks of an array."""
    return bool(PLACE.fullmatch(array.path)) and not isinstance(array, ShardedArray)


def note(listed: Listed, array: Array, index: Index) -> None:
    """Add a chunk of an array to a list."""
    match = PLACE.fullmatch(array.path)
    assert match, array.path
    level = Level(int(match[2]), match[1], match[3])
    listed.setdefault(level, Chunks(array.chunks, set())).indexes.add(index)


def viewer_chunks(copies: set[tuple[int, str]]) -> Listed:
    """What a viewer shows first of some copies of images, such as (6001247, "v0.1").

    The middle of each level, at the time and depth shown first; where a plane is small, also the
    planes above and below, to which one scrolls.
    """
    listed: Listed = {}
    defaults = {image.image_id: image.rdefs for image in IMAGES}
    for array in filter(in_mirrors, build_catalogue().all_arrays):
        match = PLACE.fullmatch(array.path)
        assert match
        if (int(match[2]), match[1]) not in copies:
            continue
        t, z = (defaults[int(match[2])][f"default{axis}"] for axis in "TZ")
        near = NEAR if array.chunk_bytes < SMALL_PLANE else 0
        depths = range(max(0, z - near), min(array.shape[2], z + near + 1))
        middle = [
            middle_chunks(size, wide, chunk)
            for size, wide, chunk in zip(array.shape[-2:], VIEW, array.chunks[-2:], strict=True)
        ]
        for index in product([t], range(array.shape[1]), depths, *middle):
            note(listed, array, index)
    return listed


def copies_in(listed: Listed) -> set[tuple[int, str]]:
    """The copies of images that a list has chunks of."""
    return {(level.image_id, level.copy) for level in listed}


def middle_chunks(size: int, wide: int, chunk: int) -> range:
    """The chunks along one axis in which the middle `wide` pixels lie."""
    first, last = max(0, size // 2 - wide // 2), min(size, size // 2 + wide // 2) - 1
    return range(first // chunk, last // chunk + 1)


def replay(notebooks: Iterable[Path]) -> Listed:
    """Run notebooks on a stand-in that remembers, and return the chunks that they read."""
    from tools.refresh_notebooks import client_for, nbformat

    app = RememberingApp()
    server = OfflineThread(app=app)
    os.environ["OME_ZARR_SOURCE"] = server.endpoint
    os.environ.pop("OME_ZARR_CACHE", None)
    os.environ.pop("MPLBACKEND", None)
    for path in notebooks:
        before = sum(len(chunks.indexes) for chunks in app.read.values())
        notebook = nbformat.read(path, as_version=4)
        client_for(notebook, path.parent, timeout=600).execute()
        total = sum(len(chunks.indexes) for chunks in app.read.values())
        print(f"{path.name}: {total - before} chunks that no notebook before it read", flush=True)
    server.stop()
    return app.read


def joined(*lists: Listed) -> Listed:
    """Several lists as one."""
    result: Listed = {}
    for listed in lists:
        for level, chunks in listed.items():
            result.setdefault(level, Chunks(chunks.shape, set())).indexes.update(chunks.indexes)
    return result


def boxes(indexes: set[Index]) -> list[str]:
    """Write chunk numbers compactly: ``"0 0-1 0-256 0 0"`` stands for 514 of them."""
    found = {tuple((n, n) for n in index) for index in indexes}
    for axis in range(len(next(iter(found), ()))):
        merged: list[tuple[tuple[int, int], ...]] = []
        for box in sorted(found, key=lambda b, a=axis: (b[:a], b[a + 1 :], b[a])):
            last = merged[-1] if merged else None
            alike = last and (last[:axis], last[axis + 1 :]) == (box[:axis], box[axis + 1 :])
            if last and alike and last[axis][1] + 1 == box[axis][0]:
                merged[-1] = (*last[:axis], (last[axis][0], box[axis][1]), *last[axis + 1 :])
            else:
                merged.append(box)
        found = set(merged)
    return [" ".join(f"{a}-{b}" if b > a else f"{a}" for a, b in box) for box in sorted(found)]


def unboxed(texts: Iterable[str]) -> set[Index]:
    """Read what `boxes` wrote."""
    found: set[Index] = set()
    for text in texts:
        spans = [part.partition("-") for part in text.split()]
        found |= set(product(*(range(int(a), int(b or a) + 1) for a, _, b in spans)))
    return found


def read_list(path: Path = LIST) -> Listed:
    """Read the committed list."""
    rows = json.loads(path.read_text(encoding="utf-8"))
    return {
        Level(row["image"], row["copy"], row["level"]): Chunks(
            tuple(row["chunk_shape"]), unboxed(row["chunks"])
        )
        for row in rows
    }


def write_list(listed: Listed, path: Path = LIST) -> None:
    """Write the list, one level a line, in a fixed order."""
    rows = []
    for level, chunks in sorted(listed.items()):
        row = {"image": level.image_id, "copy": level.copy, "level": level.path}
        rows.append(row | {"chunk_shape": chunks.shape, "chunks": boxes(chunks.indexes)})
    text = ",\n".join(json.dumps(row) for row in rows)
    path.write_text(f"[\n{text}\n]\n", encoding="utf-8", newline="\n")


def lacking(read: Listed, listed: Listed) -> list[str]:
    """Say which chunks of the first list the second lacks, one line for each level."""
    lines = []
    for level, chunks in sorted(read.items()):
        known = listed.get(level)
        left = chunks.indexes - (known.indexes if known else set())
        if left:
            some = ", ".join(boxes(left)[:5])
            lines.append(f"{level.image_id} {level.copy} level {level.path}: {some}")
    return lines


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="List the chunks that the notebooks read.")
    parser.add_argument("notebooks", nargs="*", type=Path)
    parser.add_argument("--check", action="store_true", help="compare with the list, write nothing")
    options = parser.parse_args(arguments)
    if options.notebooks and not options.check:
        parser.error("the list is made of all notebooks; name some only with --check")
    from tools.refresh_notebooks import written_by_hand

    read = replay(options.notebooks or written_by_hand())
    read = joined(read, viewer_chunks(copies_in(read)))
    if options.check:
        missing = lacking(read, read_list())
        print("\n".join(["The list lacks:", *missing] if missing else ["The list has them all."]))
        return int(bool(missing))
    write_list(read)
    print(f"{sum(len(c.indexes) for c in read.values()):,} chunks in {LIST.name}, bucket {BUCKET}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
