"""Whose results a store holds: the first run writes down what it is, and others compare.

The record is put into place in one step, whole or not at all, and only one can be the first. So two
runs that begin together are never both the first, and a run that is killed leaves either no record
or a good one.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zarr.abc.store import Store
from zarr.buffer import default_buffer_prototype
from zarr.storage import FsspecStore, LocalStore

from .._formatting import one_line
from .._interrupt import result, submit
from ..errors import OmeZarrError

FOLDER, FILE = "run", "run.json"
KEY = f"{FOLDER}/{FILE}"

ZARR_DOCUMENTS = (".zgroup", ".zattrs", ".zarray", "zarr.json")


def whole_path(folder: str | Path) -> str:
    """The path of a folder, which is the same for each worker."""
    try:
        return str(Path(folder).expanduser().absolute())
    except (RuntimeError, OSError):  # no home folder, or the current one was removed
        raise OmeZarrError(
            f"The results cannot be kept in {folder}, because this computer does not say where it "
            "is: give the whole path of a folder."
        ) from None


def store_of(results: str | Path | Store) -> Store:
    """The store that is meant by a folder, an address or a store."""
    if isinstance(results, Store):
        return results
    if "://" in str(results):
        return FsspecStore.from_url(str(results))
    return LocalStore(results)


def claim(store: Store, name: str, record: Mapping[str, Any]) -> bool:
    """Take a store for a run, unless it belongs to another one.

    Parameters
    ----------
    store : Store
        Where the results are to be kept.
    name : str
        What to call it.
    record : mapping
        What must be the same for results to belong together, as JSON keeps it.

    Returns
    -------
    bool
        Whether this is the first run here; if not, it is one that goes on, or a second one at the
        same time.

    Raises
    ------
    OmeZarrError
        It holds the results of another run, or something else, or cannot be written.
    """
    text = json.dumps(record, indent=1)
    try:
        held = _found(store, ZARR_DOCUMENTS)  # before the record: a run writes these after it
        found = _read(store)
        if found is None and held:
            raise OmeZarrError(
                f"{name} holds {' and '.join(held)}, but no {KEY}: it is no run in blocks, or one "
                "of an older version, which did not write down enough to go on. Take a new folder."
            )
        first = found is None and _create(store, text.encode())
        found = _read(store) if found is None else found
    except OSError as error:
        raise cannot_be_kept(name, error) from None
    _compare(name, found or "", json.loads(text))
    return first


def cannot_be_kept(name: str, error: OSError) -> OmeZarrError:
    """What to say where results cannot be written."""
    return OmeZarrError(
        f"The results cannot be kept in {name}: {one_line(error)}. Take a folder that can be "
        "written to."
    )


def _found(store: Store, keys: tuple[str, ...]) -> list[str]:
    async def look() -> list[str]:
        return [key for key in keys if await store.exists(key)]

    return result(submit(look()))


def _read(store: Store) -> str | None:
    """The record of the run whose results the store holds."""
    buffer = result(submit(store.get(KEY, default_buffer_prototype())))
    return None if buffer is None else buffer.to_bytes().decode("utf-8", "replace")


def _create(store: Store, content: bytes) -> bool:
    """Write the record, unless there is one; whether it was written."""
    if isinstance(store, LocalStore):
        return _create_folder(Path(store.root), content)
    buffer = default_buffer_prototype().buffer.from_bytes(content)

    async def create() -> None:
        if isinstance(store, FsspecStore):
            path = "/".join(filter(None, [store.path, KEY]))
            try:  # S3 and others can refuse what is there already
                await store.fs._pipe_file(path, content, mode="create")
                return
            except (OSError, NotImplementedError, TypeError, ValueError):
                pass  # it is there, or this kind of store cannot
        await store.set_if_not_exists(KEY, buffer)

    result(submit(create()))
    return _read(store) == content.decode()


def _create_folder(root: Path, content: bytes) -> bool:
    """Move a folder with the record into place: where there is one, that is refused."""
    prepared = root / f".{FOLDER}-{uuid.uuid4().hex}"
    prepared.mkdir(parents=True)
    try:
        Path(prepared, FILE).write_bytes(content)
        os.rename(prepared, root / FOLDER)
        return True
    except OSError:
        if not (root / KEY).exists():
            raise
        return False
    finally:
        shutil.rmtree(prepared, ignore_errors=True)


def _compare(name: str, found: str, wanted: dict[str, Any]) -> None:
    """Refuse results of another run, in one sentence."""
    try:
        known = json.loads(found)
        differing = [key for key in wanted if not _same(known.get(key), wanted[key])]
    except (ValueError, AttributeError):
        raise OmeZarrError(
            f"{name} holds results of a run of which nothing is known, since its {KEY} is "
            "damaged: take a new folder, or delete this one."
        ) from None
    if differing:
        others = [f"{key}{_more(known.get(key), wanted[key])}" for key in differing]
        raise OmeZarrError(
            f"{name} holds results of another {' and another '.join(others)}: take a new folder, "
            "or delete this one."
        )


def _same(one: Any, other: Any) -> bool:
    """Whether two values are the same in JSON, where 1 is not 1.0, and nan is nan."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _more(known: Any, wanted: Any) -> str:
    """Which of the marks of a segment function differ, in parentheses; nothing for others."""
    if not (isinstance(known, dict) and isinstance(wanted, dict) and "Python" in wanted):
        return ""
    if known.get("Python") != wanted["Python"]:
        return (
            f", as far as Python {wanted['Python']} can tell what Python {known.get('Python')} ran"
        )
    names = dict.fromkeys([*known, *wanted])
    return f" ({', '.join(name for name in names if known.get(name) != wanted.get(name))})"
