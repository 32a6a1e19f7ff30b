"""Copy the chunks that the notebooks read into a folder: the mirror of `python3 run.py kit`.

Which chunks is in data_helpers/offline/mirror_list.json (see `tools/list_chunks.py`). It names
levels and chunk numbers; the keys follow from the metadata at the endpoint, because copies of one
image name their chunks differently, and not every endpoint has every copy.

The size of every chunk is asked for first. Each chunk is checked when it arrives and noted with
its checksum, so that an interrupted copy goes on where it stopped, and a second run finds and mends
what has changed on disk.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import aiohttp
from tqdm import tqdm

from data_helpers._formatting import format_bytes
from data_helpers.errors import OmeZarrError
from data_helpers.offline.manifest import (
    FILE,
    Copied,
    Manifest,
    line,
    mirror_folder,
    object_file,
    read_manifest,
    write_manifest,
)
from data_helpers.offline.mirror import METADATA, read_object
from data_helpers.sources import IMAGES, Source
from data_helpers.store import ATTEMPTS, FIRST_PAUSE
from data_helpers.stored_array import blosc_problem
from tools.list_chunks import LIST, Index, Listed, read_list

LIMIT = 400_000_000  # bytes of a mirror, which has to fit on any stick and through any network
IN_FLIGHT = 32
SPARE = 100_000_000  # bytes of disk to leave free
RETRY = {408, 425, 429, 500, 502, 503, 504}
TIMEOUT = aiohttp.ClientTimeout(total=300, sock_connect=10, sock_read=30)
AGAIN = "run the same command again: it goes on where it stopped"
SAFE = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)*")  # a path that stays inside its folder


class Answer(NamedTuple):
    """What the endpoint says to one request."""

    status: int
    size: int
    etag: str
    data: bytes
    synthetic: bool


@dataclass
class Plan:
    """What there is to copy.

    Attributes
    ----------
    documents : dict of str to bytes
        Metadata, fetched already, and their ETags.
    chunks : dict of str to bool
        Key of each chunk, and whether it is a Blosc frame.
    roots : dict of str to list of str
        IDR id to the keys of its copies, also of those that the endpoint does not have.
    """

    documents: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    chunks: dict[str, bool] = field(default_factory=dict)
    roots: dict[str, list[str]] = field(default_factory=dict)
    synthetic: bool = False


class Endpoint:
    """The endpoint that is copied from; at most `IN_FLIGHT` requests at once."""

    def __init__(self, source: Source, session: aiohttp.ClientSession) -> None:
        self.source, self.session = source, session
        self.places = asyncio.Semaphore(IN_FLIGHT)

    async def ask(self, method: str, key: str) -> Answer:
        """Ask for one key, again where that is worth it; 404 is an answer, too."""
        url, problem = self.source.url(key), ""
        for attempt in range(ATTEMPTS):
            if attempt:
                await asyncio.sleep(FIRST_PAUSE * 2**attempt)
            try:
                headers = {"Accept-Encoding": "identity"}
                async with self.places, self.session.request(method, url, headers=headers) as got:
                    data = await got.read()
                    if got.status not in RETRY:
                        size = int(got.headers.get("Content-Length", len(data)))
                        synthetic = got.headers.get("x-amz-meta-synthetic") == "true"
                        etag = got.headers.get("ETag", "")
                        return Answer(got.status, size, etag, data, synthetic)
                    problem = f"it answers {got.status}"
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                problem = str(error) or type(error).__name__
        raise OmeZarrError(f"{url} cannot be read after {ATTEMPTS} attempts ({problem}); {AGAIN}.")

    async def document(self, plan: Plan, key: str) -> dict[str, Any]:
        """Fetch a metadata document; empty where there is none (which 403 may mean, too)."""
        answer = await self.ask("GET", key)
        if answer.status in (403, 404):
            return {}
        try:
            if answer.status != 200:
                raise ValueError(f"it answers {answer.status}")
            content = json.loads(answer.data)
            if not isinstance(content, dict):
                raise ValueError("no JSON object")
        except ValueError as error:
            raise OmeZarrError(
                f"The metadata {self.source.url(key)} cannot be understood ({error}); a login page "
                "of the network looks like this: open the address in a browser to see."
            ) from None
        plan.documents[key] = answer.data, answer.etag
        named = json.dumps([content.get("multiscales"), content.get("omero")])
        plan.synthetic |= answer.synthetic or "synthetic" in named
        return content

    async def documents(self, plan: Plan, folder: str) -> dict[str, dict[str, Any]]:
        """Fetch all documents that a group or an array may have."""
        found = await asyncio.gather(*(self.document(plan, f"{folder}/{n}") for n in METADATA))
        return {name: content for name, content in zip(METADATA, found, strict=True) if content}

    async def image(self, plan: Plan, root: str, image_id: int) -> bool:
        """Fetch all metadata of one copy of an image; False if there is no such copy."""
        top = await self.documents(plan, root)
        if "multiscales" not in top.get(".zattrs", {}):
            return False
        labels = (await self.documents(plan, f"{root}/labels")).get(".zattrs", {}).get("labels")
        names = IMAGES[image_id].label_names if labels is None else labels
        groups = [root, *(f"{root}/labels/{safe(name)}" for name in names)]
        for group in groups:
            found = top if group is root else await self.documents(plan, group)
            below = level_paths(found.get(".zattrs", {}))
            await asyncio.gather(*(self.documents(plan, f"{group}/{path}") for path in below))
        return True


def safe(path: object) -> str:
    """Return a path out of metadata, if it cannot lead out of its folder."""
    if not SAFE.fullmatch(str(path)):
        raise OmeZarrError(f"The metadata name a path {path!r}, which cannot be copied.")
    return str(path)


def level_paths(attributes: dict[str, Any]) -> list[str]:
    """Return the paths of the levels that a group's metadata name."""
    found = attributes.get("multiscales") or [{}]
    return [safe(level["path"]) for level in found[0].get("datasets", [])]


async def make_plan(endpoint: Endpoint, listed: Listed) -> Plan:
    """Fetch the metadata of all copies of the listed images, and name the chunks to copy."""
    plan, existing = Plan(), set()
    for image_id in sorted({level.image_id for level in listed}):
        roots = list(IMAGES[image_id].keys["endpoint"])
        plan.roots[str(image_id)] = roots
        for root in roots:
            if await endpoint.image(plan, root, image_id):
                existing.add(root)
    for level, chunks in sorted(listed.items()):
        # What the notebooks open by id is at the source's first copy; v0.4 they open by address.
        keys = endpoint.source.keys_of(level.image_id)
        if level.copy != "v0.1":
            keys = tuple(k for k in plan.roots[str(level.image_id)] if f"/{level.copy}/" in k)
        root = next((key for key in keys if key in existing), None)
        if root is None:
            raise OmeZarrError(
                f"IDR {level.image_id} ({level.copy}) is not at {endpoint.source.endpoint}; "
                "choose another endpoint with --source."
            )
        path = f"{root}/{level.path}"
        if f"{path}/.zarray" not in plan.documents:
            path += "/0"  # labels are one array in v0.1, and a group of levels in v0.4
        if f"{path}/.zarray" not in plan.documents:
            raise OmeZarrError(f"The level {path} is not at {endpoint.source.endpoint}.")
        array = json.loads(plan.documents[f"{path}/.zarray"][0])
        blosc = (array.get("compressor") or {}).get("id") == "blosc"
        between = array.get("dimension_separator", ".")
        for index in translated(chunks.indexes, chunks.shape, array["chunks"], array["shape"]):
            plan.chunks[f"{path}/{between.join(map(str, index))}"] = blosc
    return plan


def translated(
    indexes: Iterable[Index], before: Iterable[int], now: Iterable[int], shape: Iterable[int]
) -> Iterator[Index]:
    """Yield the chunks that cover the same pixels where chunks have another shape."""
    sizes = list(zip(before, now, shape, strict=True))
    for index in indexes:
        yield from product(
            *(
                range(n * old // new, -(-min((n + 1) * old, length) // new))
                for n, (old, new, length) in zip(index, sizes, strict=True)
            )
        )


def intact(folder: Path, key: str, copied: Copied) -> bool:
    """Whether the file of an object has the size and the checksum that were noted."""
    return read_object(folder, key, copied) is not None


def store(folder: Path, key: str, data: bytes, etag: str, journal: TextIO) -> Copied:
    """Write an object to its place in one step, then note it."""
    file = object_file(folder, key)
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(file.name + ".part")
    part.write_bytes(data)
    os.replace(part, file)
    copied = Copied(len(data), hashlib.sha256(data).hexdigest(), etag)
    journal.write(line(key, copied))
    journal.flush()
    return copied


def kept_so_far(folder: Path, source: Source) -> Manifest | None:
    """Return what an earlier run copied, without what has changed on disk since."""
    if not (folder / FILE).is_file():
        return None
    manifest = read_manifest(mirror_folder(folder), unfinished=True)
    if (manifest.origin, manifest.endpoint) != (source.name, address(source)):
        raise OmeZarrError(
            f"{folder} is a mirror of {manifest.endpoint}, not of {address(source)}: choose that "
            "source with --source, or another folder."
        )
    damaged = [k for k, copied in manifest.objects.items() if not intact(folder, k, copied)]
    for key in damaged:
        del manifest.objects[key]
    manifest.complete = manifest.complete and not damaged
    return manifest


def address(source: Source) -> str:
    """Return the address of a source; the stand-in has another port each time."""
    return "the offline stand-in" if source.name == "offline" else source.endpoint


async def copy(
    folder: Path,
    source: Source,
    listed: Listed,
    may_begin: Callable[[str], bool],
    limit: int = LIMIT,
) -> Manifest | None:
    """Copy what is listed from a source into a folder, or what is left to copy of it.

    Parameters
    ----------
    folder : Path
        Made if need be.
    source : Source
        Where to copy from.
    listed : dict
        Chunks by level, see `tools.list_chunks`.
    may_begin : callable
        Gets a sentence with the size, and says whether to go on.
    limit : int
        Bytes that the mirror may have in all.

    Returns
    -------
    Manifest or None
        What the mirror holds now; None if it was not to begin.

    Raises
    ------
    OmeZarrError
        Too large, no room, or something could not be fetched whole.
    """
    manifest = kept_so_far(folder, source)
    wanted = hashlib.sha256(repr(sorted((k, sorted(v[1])) for k, v in listed.items())).encode())
    if manifest and manifest.complete and manifest.listed == wanted.hexdigest():
        return manifest
    async with aiohttp.ClientSession(timeout=TIMEOUT, trust_env=True) as session:
        endpoint = Endpoint(source, session)
        plan = await make_plan(endpoint, listed)
        known = manifest.objects if manifest else {}
        manifest = Manifest(
            address(source),
            source.name,
            date.today().isoformat(),
            plan.synthetic,
            images=plan.roots,
            listed=wanted.hexdigest(),
            objects={key: copied for key, copied in known.items() if key in plan.chunks},
        )
        left = [key for key in plan.chunks if key not in manifest.objects]
        sizes = await chunk_sizes(endpoint, left)
        manifest.absent = {key for key in left if key not in sizes}
        check_room(folder, manifest.size, sum(sizes.values()), limit)
        said = f"{len(plan.chunks):,} chunks, {format_bytes(manifest.size + sum(sizes.values()))}"
        if manifest.objects:
            said += f", of which {format_bytes(manifest.size)} are here already"
        if not may_begin(f"The mirror: {said}, from {address(source)}."):
            return None
        folder.mkdir(parents=True, exist_ok=True)
        write_manifest(folder, manifest)
        with open(folder / FILE, "a", encoding="utf-8", newline="\n") as journal:
            for key, (data, etag) in plan.documents.items():
                manifest.objects[key] = store(folder, key, data, etag, journal)
            with tqdm(total=sum(sizes.values()), unit="B", unit_scale=True, disable=None) as bar:

                async def fetch(key: str) -> None:
                    data, etag = await whole_chunk(endpoint, key, sizes[key], plan.chunks[key])
                    manifest.objects[key] = store(folder, key, data, etag, journal)
                    bar.update(len(data))

                async with asyncio.TaskGroup() as tasks:  # the first error stops the others
                    for key in sizes:
                        tasks.create_task(fetch(key))
    manifest.complete = True
    write_manifest(folder, manifest)
    return manifest


async def chunk_sizes(endpoint: Endpoint, keys: Iterable[str]) -> dict[str, int]:
    """Ask for the size of each chunk, without its bytes; chunks that do not exist are left out."""

    async def size(key: str) -> tuple[str, int | None]:
        answer = await endpoint.ask("HEAD", key)
        if answer.status not in (200, 404):
            raise OmeZarrError(f"{endpoint.source.url(key)} answers {answer.status}; {AGAIN}.")
        return key, answer.size if answer.status == 200 else None

    found = await asyncio.gather(*map(size, keys))
    return {key: known for key, known in found if known is not None}


def check_room(folder: Path, here: int, left: int, limit: int) -> None:
    """Raise an error, before anything is copied, if the mirror gets too large."""
    if here + left > limit:
        raise OmeZarrError(
            f"The mirror would have {format_bytes(here + left)}, more than the "
            f"{format_bytes(limit)} that are allowed; nothing was copied."
        )
    place = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(place).free
    if left + SPARE > free:
        raise OmeZarrError(
            f"The mirror needs {format_bytes(left)} more, but {format_bytes(free)} of disk are "
            "free."
        )


async def whole_chunk(endpoint: Endpoint, key: str, size: int, blosc: bool) -> tuple[bytes, str]:
    """Fetch a chunk, once more if it is not whole."""
    problem: str | None = ""
    for _ in range(2):
        answer = await endpoint.ask("GET", key)
        if answer.status != 200:
            problem = f"the endpoint answers {answer.status}"
        elif len(answer.data) != size:
            problem = f"{len(answer.data):,} of {size:,} bytes"
        else:
            problem = blosc_problem(answer.data) if blosc else None
        if problem is None:
            return answer.data, answer.etag
    raise OmeZarrError(f"{endpoint.source.url(key)} cannot be copied ({problem}); {AGAIN}.")


def copy_mirror(
    folder: Path,
    source: Source,
    may_begin: Callable[[str], bool],
    listed: Listed | None = None,
    limit: int = LIMIT,
) -> Manifest | None:
    """Like `copy`, with the committed list and one error instead of a group of them."""
    try:
        return asyncio.run(copy(folder, source, listed or read_list(LIST), may_begin, limit))
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
