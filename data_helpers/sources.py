"""Where the images live, and which source this kernel reads from."""

from __future__ import annotations

import json
import os
import queue
import threading
import time
import urllib.request
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from ._doors import open_door
from .addresses import split_secret, tidy_url
from .errors import EndpointUnreachableError, OmeZarrError

BUCKET = "idr"
PUBLIC_ENDPOINTS = {
    "livingobjects": "https://livingobjects.ebi.ac.uk",
    "uk1s3": "https://uk1s3.embassy.ebi.ac.uk",
}
PROBE_SECONDS = 3.0
"""How long `auto` waits for the public endpoints, all together."""

PROBE_KEY = "zarr/v0.1/6001247.zarr/.zattrs"
"""A small document that every public endpoint holds."""


@dataclass(frozen=True)
class Image:
    """What the tutorial knows about one image.

    Attributes
    ----------
    id : int
        The image's number in the Image Data Resource (IDR).
    title, shows, citation, doi, data_doi, licence : str
        What it is, what to see in it, the paper to cite, and the licence of the pixels.
    keys : dict of str to tuple of str
        For each source the keys in bucket `idr` to try, in this order. "endpoint" stands for any
        endpoint given by its URL.
    further : tuple of str
        Keys of other copies, which an id never leads to: open one as ``"s3://idr/KEY"``. They are
        at "livingobjects" and in the stand-in.
    label_names : tuple of str
        Label images that the store holds but whose list (``labels/.zattrs``) may be missing.
    """

    id: int
    title: str
    shows: str
    citation: str
    doi: str
    data_doi: str
    licence: str = "CC BY 4.0"
    keys: dict[str, tuple[str, ...]] = field(default_factory=dict)
    further: tuple[str, ...] = ()
    label_names: tuple[str, ...] = ()


def _keys(
    image_id: int, study: str, *, v01_on_livingobjects: bool = True
) -> dict[str, tuple[str, ...]]:
    v01 = f"zarr/v0.1/{image_id}.zarr"
    v04 = f"zarr/v0.4/{study}/{image_id}.zarr"
    return {
        "livingobjects": (v01, v04) if v01_on_livingobjects else (v04,),
        "uk1s3": (v01, v04),
        "offline": (v01, v04),
        "endpoint": (v01, v04),
    }


IMAGES: dict[int, Image] = {
    9822152: Image(
        id=9822152,
        title="Gigapixel electron micrograph of an intestinal organoid",
        shows="Stitched transmission electron micrographs of a human intestinal organoid, "
        "60 hours after infection with SARS-CoV-2: 13 gigapixels in 11 levels.",
        citation="Lamers et al. (2020), SARS-CoV-2 productively infects human gut enterocytes, "
        "Science 369:50-54. IDR study idr0083.",
        doi="10.1126/science.abc1669",
        data_doi="10.17867/10000135",
        keys=_keys(9822152, "idr0083A"),
        further=("zarr/v0.5/idr0083/9822152.zarr",),  # Zarr v3, with 4 x 4 chunks in a shard
    ),
    4007801: Image(
        id=4007801,
        title="Light-sheet movie of a mouse embryo",
        shows="A mouse embryo from E6.5 to E8.5: nuclei (H2B-eGFP) and membranes "
        "(myr-tdTomato), 532 time points of 988 planes, 9 terabytes in 5 levels.",
        citation="McDole et al. (2018), In toto imaging and reconstruction of post-implantation "
        "mouse development at the single-cell level, Cell 175:859-876. IDR study idr0044.",
        doi="10.1016/j.cell.2018.09.031",
        data_doi="10.17867/10000116",
        # The v0.1 copy was too large to move to livingobjects.
        keys=_keys(4007801, "idr0044A", v01_on_livingobjects=False),
    ),
    6001247: Image(
        id=6001247,
        title="Nuclei of a mouse blastocyst with published labels",
        shows="A confocal stack of a mouse blastocyst (E3.5): nuclear envelope (LaminB1) and DNA "
        "(DAPI), with a label image of 48 nuclei.",
        citation="Blin et al. (2019), Nessys: a new set of tools for the automated detection of "
        "nuclei within intact tissues and dense 3D cultures, PLOS Biology 17:e3000388. "
        "IDR study idr0062.",
        doi="10.1371/journal.pbio.3000388",
        data_doi="10.17867/10000125",
        keys=_keys(6001247, "idr0062A"),
        label_names=("0",),
    ),
}


@dataclass(frozen=True)
class Source:
    """An endpoint that holds the images in its bucket `idr`.

    Attributes
    ----------
    name : str
        "livingobjects", "uk1s3", "offline", "mirror" or "endpoint" (any other, given by URL).
    endpoint : str
        Address of the S3 endpoint.
    note : str
        Why this source was taken, where that is not obvious.
    folder, origin, origin_endpoint, copied : str
        Of a mirror: where it is, the name and the address of the source that it was copied from,
        and the day.
    synthetic_origin : bool
        Of a mirror: whether its images were synthetic at their origin already.
    """

    name: str
    endpoint: str
    note: str = ""
    folder: str = ""
    origin: str = ""
    origin_endpoint: str = ""
    copied: str = ""
    synthetic_origin: bool = False

    @property
    def synthetic(self) -> bool:
        """Whether the pixels are painted on this computer rather than measured."""
        return self.name == "offline" or self.synthetic_origin

    def __str__(self) -> str:
        if self.name == "mirror":
            real = "real IDR images" if self.origin in PUBLIC_ENDPOINTS else "images"
            line = (
                f"Source: mirror in {self.folder}, {'synthetic images' if self.synthetic else real}"
                f" copied on {self.copied} from {self.origin_endpoint}"
            )
        elif self.synthetic:
            line = (
                "Source: offline stand-in, synthetic images painted on this computer "
                "(nothing is downloaded)"
            )
        elif self.name == "endpoint":
            line = f"Source: the endpoint {split_secret(self.endpoint)[0]}"
        else:
            line = f"Source: {self.name}, real IDR images from {self.endpoint}"
        return f"{line}{self.note}."

    __repr__ = __str__

    def url(self, key: str) -> str:
        """Address of a key in bucket `idr`."""
        address, secret = split_secret(self.endpoint)
        return secret.put_into(f"{address}/{BUCKET}/{key}")

    def keys_of(self, image_id: int) -> tuple[str, ...]:
        """Keys to try for an image; an id that is not registered may have a v0.1 key."""
        if image_id in IMAGES:
            return IMAGES[image_id].keys[self.origin or self.name]
        return () if self.name == "offline" else (f"zarr/v0.1/{image_id}.zarr",)


_lock = threading.RLock()
_current: Source | None = None


def choose_source(name_or_endpoint: str) -> Source:
    """Choose where this kernel reads images from, and say so in one line.

    Parameters
    ----------
    name_or_endpoint : str
        "auto" (the public endpoints if one answers within 3 s, else offline), "idr" (the public
        endpoints only), "livingobjects", "uk1s3", "offline", the URL of an S3 endpoint, or a
        folder with a mirror (see docs/mirror.md).

    Returns
    -------
    Source
        The source now in use.

    Raises
    ------
    EndpointUnreachableError
        "idr" was asked for and no public endpoint answers.
    OmeZarrError
        The name is not one of the above, or the folder holds no mirror.
    """
    global _current
    with _lock:
        _current = find_source(name_or_endpoint)
        print(_current)
        return _current


def current_source() -> Source:
    """Show the source in use, as one plain line. The first use in a kernel chooses it.

    Returns
    -------
    Source
        As chosen by `choose_source`, or else by ``OME_ZARR_SOURCE``, "auto" if that is not set.
    """
    with _lock:
        known = _current is not None
        source = _source_in_use()
        if known:  # otherwise it has just been shown
            print(source)
        return source


def _source_in_use() -> Source:
    """The current source; says what it is only when it has to choose one."""
    with _lock:
        if _current is None:
            return choose_source(os.environ.get("OME_ZARR_SOURCE", "").strip() or "auto")
        if _current.name == "offline":  # the stand-in may have been stopped: start it again
            return _offline_source(_current.note)
        if _current.name == "mirror":  # likewise
            return replace(_current, endpoint=_start_server(_current.folder))
        return _current


def find_source(name_or_endpoint: str) -> Source:
    """Like `choose_source`, without making the source the current one."""
    name = str(name_or_endpoint).strip()
    if name.lower().startswith(("http://", "https://")):
        return Source("endpoint", tidy_url(name))
    if _is_folder(name):
        return _mirror_source(name)
    name = name.lower()
    if name in PUBLIC_ENDPOINTS:
        return Source(name, PUBLIC_ENDPOINTS[name])
    if name == "offline":
        return _offline_source()
    if name == "idr":
        return _first_public_source() or _no_public_source()
    if name == "auto":
        note = f"; no public endpoint answered within {PROBE_SECONDS:g} s"
        return _first_public_source() or _offline_source(note)
    raise OmeZarrError(
        f"{name_or_endpoint!r} is not a source; use auto, idr, livingobjects, uk1s3, offline or "
        "an endpoint URL such as https://livingobjects.ebi.ac.uk, or a folder with a mirror."
    )


def resolve_source(source: str | Source | None) -> Source:
    """The source meant by a ``source=`` argument; None means the current one."""
    if source is None:
        return _source_in_use()
    return source if isinstance(source, Source) else find_source(source)


def lasting_address(url: str) -> str:
    """An address that means the same image in the next run: what a cache names an image after.

    Only the servers that this process has started itself, for the stand-in or a mirror, are named
    otherwise than by their address.
    """
    parts = urlsplit(url)
    if parts.hostname != "127.0.0.1":
        return url
    name: str = open_door("offline").lasting_name(f"{parts.scheme}://{parts.netloc}")
    return f"{name}{parts.path}" if name else url


def _offline_source(note: str = "") -> Source:
    return Source("offline", _start_server(), note)


def _start_server(folder: str = "") -> str:
    """Address of the stand-in, or of a mirror in a folder, started if need be."""
    try:
        address: str = open_door("offline").endpoint(folder)
        return address
    except RuntimeError as error:  # it did not start, and says why
        raise EndpointUnreachableError(str(error)) from None


def _is_folder(name: str) -> bool:
    """Whether a name of a source means a folder: it is written as a path, or it is one."""
    if not name or "://" in name or name.lower() in (*PUBLIC_ENDPOINTS, "auto", "idr", "offline"):
        return False
    return name.startswith("~") or "/" in name or os.sep in name or Path(name).is_dir()


def _mirror_source(folder: str) -> Source:
    offline = open_door("offline")
    place = str(offline.mirror_folder(folder))
    manifest = offline.read_manifest(place)
    return Source(
        "mirror",
        _start_server(place),
        folder=place,
        origin=manifest.origin,
        origin_endpoint=manifest.endpoint,
        copied=manifest.copied,
        synthetic_origin=manifest.synthetic,
    )


def _no_public_source() -> Source:
    raise EndpointUnreachableError(
        f"No public endpoint ({', '.join(PUBLIC_ENDPOINTS.values())}) answered within "
        f'{PROBE_SECONDS:g} s; check the network, or continue with choose_source("offline").'
    )


def _first_public_source() -> Source | None:
    """The first public endpoint, in order of preference, that answers in time.

    One is asked only when those before it have failed, or have kept us waiting for their share of
    the time; they may still answer then, and are preferred.
    """
    answers: queue.Queue[tuple[str, bool]] = queue.Queue()
    waiting = list(PUBLIC_ENDPOINTS.items())

    def ask(name: str, endpoint: str) -> None:
        answers.put((name, _answers(endpoint)))

    def ask_next() -> float:
        """Ask the next one; returns until when to wait before asking another."""
        if waiting:
            threading.Thread(target=ask, args=waiting.pop(0), daemon=True).start()
        share = PROBE_SECONDS / len(PUBLIC_ENDPOINTS)
        return min(deadline, time.monotonic() + share) if waiting else deadline

    deadline = time.monotonic() + PROBE_SECONDS
    until = ask_next()
    known: dict[str, bool] = {}
    while len(known) < len(PUBLIC_ENDPOINTS):
        try:
            name, usable = answers.get(timeout=max(0.0, until - time.monotonic()))
        except queue.Empty:
            if not waiting:
                break
            until = ask_next()
            continue
        known[name] = usable
        preferred = next((n for n in PUBLIC_ENDPOINTS if known.get(n, True)), None)
        if preferred in known:
            break
        until = ask_next()
    best = next((n for n in PUBLIC_ENDPOINTS if known.get(n)), None)
    return Source(best, PUBLIC_ENDPOINTS[best]) if best else None


def _answers(endpoint: str) -> bool:
    """Whether an endpoint serves a document that we know to be there, and a sensible one."""
    try:
        url = f"{endpoint}/{BUCKET}/{PROBE_KEY}"
        with urllib.request.urlopen(url, timeout=PROBE_SECONDS) as answer:
            return "multiscales" in json.loads(answer.read(1_000_000))
    except Exception:  # any failure means the same here: do not use this endpoint
        return False
