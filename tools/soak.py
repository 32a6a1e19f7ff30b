"""Read at random from an endpoint that often answers badly, and compare every pixel with the truth.

    python3 run.py python tools/soak.py --minutes 10

Read are the offline stand-in and six small images of random pixels (Zarr v2 and v3, several codecs,
shards, missing chunks, labels), through `tools/faulty_server.py`: stored slices, lazy levels, the
`load_*` functions and labels, by several threads, without a cache, with one in memory and one in a
folder. The truth is what was written, and for the stand-in what plain Zarr reads from it, past the
faults.

It ends with one line of figures. The exit status is 1 if a pixel was wrong, or if a read raised
anything but an error of this package. An error of the package is no failure: the read gave up, and
said so.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import sys
import tempfile
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import zarr
from numcodecs import Blosc, GZip, Zstd
from zarr.codecs import BloscCodec, ZstdCodec

from benchmarks.loopback import ServerProcess, ask
from data_helpers import (
    DiskCache,
    MemoryCache,
    OmeZarrError,
    OmeZarrWarning,
    load_binary_from_s3,
    load_binary_from_s3_with_data,
    load_labels_from_s3,
    open_multiscale,
    recheck_cache,
)
from data_helpers._store.requests import Request, observers
from data_helpers.offline.process import start

ROOT = Path(__file__).resolve().parents[1]
THREADS = 12
PATIENCE = 60.0  # seconds to wait for a thread at the end, whose read may have to time out
SHAPE, CHUNKS = (12, 80, 96), (3, 32, 32)
OWN = ("raw", "blosc", "gzip", "zstd", "v3", "sharded")


@dataclass
class Target:
    """Pixels that can be read in several ways, and the truth about them.

    Attributes
    ----------
    truth : numpy.ndarray
        The pixels, or a part of them that begins at `origin`.
    ways : list of callable
        Each takes a cache and returns something that can be sliced.
    """

    name: str
    truth: np.ndarray
    ways: list[Callable[[Any], Any]]
    origin: tuple[int, ...] = ()

    def box(self, dice: random.Random) -> tuple[slice, ...]:
        """A random part of the truth, mostly a small one."""
        parts = []
        for size in self.truth.shape:
            length = min(size, dice.choice([1, 2, 5, 40, size]))
            begin = dice.randrange(size - length + 1)
            parts.append(slice(begin, begin + length))
        return tuple(parts)

    def moved(self, box: tuple[slice, ...]) -> tuple[slice, ...]:
        """Where a part of the truth lies in the whole."""
        origin = self.origin or (0,) * len(box)
        return tuple(slice(p.start + o, p.stop + o) for p, o in zip(box, origin, strict=True))


@dataclass
class Report:
    """What happened."""

    reads: int = 0
    pixels: int = 0
    retries: int = 0
    wrong: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    foreign: list[str] = field(default_factory=list)
    hung: int = 0
    seconds: float = 0.0
    server: dict[str, int] = field(default_factory=dict)
    peak: int = 0

    # as an observer of requests

    def sent(self, request: Request) -> None:
        """A request goes out."""
        self.retries += request.retry

    def done(self, request: Request) -> None:
        """It has ended."""

    def elsewhere(self) -> Any:
        """Nothing is read in other processes."""
        raise NotImplementedError

    @property
    def failed(self) -> bool:
        """Whether anything happened that must not."""
        return bool(self.wrong or self.foreign or self.hung or not self.reads)

    def __str__(self) -> str:
        faults = {name: n for name, n in self.server.items() if name not in ("requests", "404")}
        kinds = ", ".join(f"{name} {n:,}" for name, n in sorted(faults.items()))
        gave_up = ", ".join(f"{name} {n:,}" for name, n in sorted(self.errors.items())) or "none"
        return (
            f"{self.seconds / 60:.1f} minutes: {self.server.get('requests', 0):,} requests, "
            f"{self.server.get('404', 0):,} of them for what is not there; "
            f"{sum(faults.values()):,} faults ({kinds}); {self.retries:,} retries; "
            f"{self.reads:,} reads compared ({self.pixels / 1e6:,.0f} million pixels), "
            f"{self.wrong:,} wrong pixels; {self.errors.total():,} reads gave up ({gave_up}); "
            f"{len(self.foreign)} foreign errors, {self.hung} hung; "
            f"peak memory {self.peak / 1e6:.0f} MB"
        )


def noise(shape: tuple[int, ...], seed: int, dtype: str = "u2") -> np.ndarray:
    """Pixels that differ everywhere and are never 0, so that a chunk of zeros is noticed."""
    return np.random.default_rng(seed).integers(1, 4096, shape).astype(dtype)


def write_own(folder: Path) -> dict[str, np.ndarray]:
    """Write the images of random pixels; of each, some chunks are missing, and so 0."""
    truths = {}
    for number, name in enumerate(OWN):
        truths[name] = noise(SHAPE, number)
        write_image(folder / name, name, truths[name])
    truths["labels"] = noise(SHAPE, 99, "u4")
    (folder / "blosc/labels").mkdir()
    write_json(folder / "blosc/labels/.zattrs", {"labels": ["cells"]})
    write_image(folder / "blosc/labels/cells", "zstd", truths["labels"])
    return truths


def write_image(folder: Path, kind: str, pixels: np.ndarray) -> None:
    """Write an image of one level, then remove two chunks of it."""
    axes = [{"name": name, "type": "space"} for name in "zyx"]
    scale = [{"type": "scale", "scale": [1.0, 1.0, 1.0]}]
    image = {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}
    options: dict[str, Any] = {"shape": SHAPE, "chunks": CHUNKS, "dtype": pixels.dtype}
    if kind in ("v3", "sharded"):
        shards = {"shards": (6, 64, 96)} if kind == "sharded" else {}
        codec = BloscCodec() if kind == "sharded" else ZstdCodec()
        ome = {"ome": {"version": "0.5", "multiscales": [image]}}
        group = {"zarr_format": 3, "node_type": "group", "attributes": ome}
        write_json(folder / "zarr.json", group)
        array = zarr.create_array(
            zarr.storage.LocalStore(folder / "0"),
            compressors=codec,
            fill_value=0,
            **options,
            **shards,
        )
        gone, sizes = ["c/0/1/0", "c/1/0/0"], (6, 64, 96) if shards else CHUNKS
    else:
        codecs = {"raw": None, "blosc": Blosc("lz4"), "gzip": GZip(1), "zstd": Zstd(1)}
        write_json(folder / ".zgroup", {"zarr_format": 2})
        write_json(folder / ".zattrs", {"multiscales": [{"version": "0.4"} | image]})
        array = zarr.create_array(
            zarr.storage.LocalStore(folder / "0"),
            zarr_format=2,
            compressors=codecs[kind],
            chunk_key_encoding={"name": "v2", "separator": "/"},
            fill_value=0,
            **options,
        )
        gone, sizes = ["0/1/0", "1/0/0"], CHUNKS
    array[:] = pixels
    for key in gone:
        at = [int(n) for n in key.removeprefix("c/").split("/")]
        pixels[tuple(slice(n * s, (n + 1) * s) for n, s in zip(at, sizes, strict=True))] = 0
        (folder / "0" / key).unlink()


def write_json(path: Path, document: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document), encoding="utf-8")


def own_targets(address: str, truths: dict[str, np.ndarray]) -> list[Target]:
    """The images of random pixels."""
    found = []
    for name in OWN:
        image = Reopened(f"{address}/own/{name}")
        found.append(Target(name, truths[name], [image.stored, image.lazy, image.kept]))
    labelled = Reopened(f"{address}/own/blosc")
    found.append(Target("labels", truths["labels"], [labelled.labels, labelled.lazy_labels]))
    return found


class Reopened:
    """An image by its address, opened for each read, or once."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._once: Any = None

    def stored(self, cache: Any) -> Any:
        """Its level as stored."""
        return open_multiscale(self.address, cache=cache).stored[0]

    def lazy(self, cache: Any) -> Any:
        """Its level as a lazy array."""
        return open_multiscale(self.address, cache=cache).levels[0]

    def kept(self, cache: Any) -> Any:
        """Its level as stored, of an image that was opened before by some thread."""
        if self._once is None:
            self._once = open_multiscale(self.address, cache=cache).stored[0]
        return self._once

    def labels(self, cache: Any) -> Any:
        """Its labels as stored."""
        return open_multiscale(self.address, cache=cache).stored_labels(0)

    def lazy_labels(self, cache: Any) -> Any:
        """Its labels as a lazy array."""
        return open_multiscale(self.address, cache=cache).label("cells").levels[0]


def stand_in_targets(address: str, true: str) -> list[Target]:
    """Parts of the three images of the stand-in."""

    def by_id(number: int, level: str) -> list[Callable[[Any], Any]]:
        where: dict[str, Any] = {"source": address}
        return [
            lambda cache: load_binary_from_s3(number, level, cache=cache, **where),
            lambda cache: open_multiscale(number, cache=cache, **where).stored_level(level),
            lambda cache: open_multiscale(number, cache=cache, **where).level(level),
        ]

    def truth(path: str, part: Any) -> np.ndarray:
        array = zarr.open_array(f"{true}/idr/zarr/v0.1/{path}", mode="r", zarr_format=2)
        return np.asarray(array[part])

    organoid = Target("organoid", truth("9822152.zarr/9", np.s_[:]), by_id(9822152, "9"))
    organoid.ways.append(
        lambda cache: load_binary_from_s3_with_data(9822152, "9", source=address, cache=cache)
    )
    movie = truth("4007801.zarr/4", np.s_[265:267, :, 494:500])
    nuclei = truth("6001247.zarr/2", np.s_[:, :, 100:140])
    labels = truth("6001247.zarr/labels/0", np.s_[:, :, 100:110])
    return [
        organoid,
        Target("movie", movie, by_id(4007801, "4"), (265, 0, 494, 0, 0)),
        Target("nuclei", nuclei, by_id(6001247, "2"), (0, 0, 100, 0, 0)),
        Target(
            "labels of nuclei",
            labels,
            [lambda cache: load_labels_from_s3(6001247, "0", source=address, cache=cache)],
            (0, 0, 100, 0, 0),
        ),
    ]


def read_once(
    targets: list[Target], caches: list[Any], dice: random.Random, report: Report
) -> None:
    """Read a random part of a random image in a random way, and compare."""
    target, cache = dice.choice(targets), dice.choice(caches)
    box, way = target.box(dice), dice.choice(target.ways)
    try:
        if dice.random() < 0.002 and cache != "off":
            recheck_cache(cache)
        found = way(cache)[target.moved(box)]
        pixels = np.asarray(found.compute() if hasattr(found, "compute") else found)
    except OmeZarrError as error:
        report.errors[type(error).__name__] += 1
        return
    except BaseException as error:
        report.foreign.append(f"{target.name} {box}: {type(error).__name__}: {error}")
        return
    expected = target.truth[box]
    if pixels.shape != expected.shape or pixels.dtype != expected.dtype:
        report.foreign.append(f"{target.name} {box}: {pixels.dtype} of shape {pixels.shape}")
        return
    report.reads += 1
    report.pixels += expected.size
    report.wrong += int(np.count_nonzero(pixels != expected))


def soak(
    seconds: float, seed: int = 0, threads: int = THREADS, without: Sequence[str] = ()
) -> Report:
    """Read for so many seconds.

    Parameters
    ----------
    seconds : float
        How long; the last reads may take a little longer.
    seed : int
        Of what is read, and of the faults; threads make each run another one all the same.
    threads : int
        How many read at a time.
    without : sequence of str
        Faults to leave out, such as "hang", for which a read has to wait.
    """
    report = Report()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        truths = write_own(Path(place, "images"))
        server = start()
        try:
            arguments = (Path(place, "images"), server.endpoint, str(seed), *without)
            with ServerProcess("tools.faulty_server", *arguments) as faulty:
                at = faulty.address
                targets = own_targets(at, truths) + stand_in_targets(at, server.endpoint)
                caches = ["off", MemoryCache(8), DiskCache(Path(place, "cache"), 4)]
                work_in_threads(seconds, seed, threads, (targets, caches), report)
                report.server = ask(at + "/counts")
        finally:
            server.stop()
    return report


def work_in_threads(
    seconds: float, seed: int, threads: int, what: tuple[list[Target], list[Any]], report: Report
) -> None:
    """Read in several threads, and watch the memory meanwhile."""
    process, began = psutil.Process(), time.monotonic()
    lock = threading.Lock()

    def work(number: int) -> None:
        dice, mine = random.Random(f"{seed} {number}"), Report()
        while time.monotonic() - began < seconds:
            read_once(*what, dice, mine)
            with lock:
                add(report, mine)

    observers.append(report)
    running = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(threads)]
    for thread in running:
        thread.start()
    while time.monotonic() - began < seconds:
        report.peak = max(report.peak, process.memory_info().rss)
        time.sleep(0.2)
    for thread in running:
        thread.join(max(0.0, began + seconds + PATIENCE - time.monotonic()))
    observers.remove(report)
    report.seconds = time.monotonic() - began
    report.hung = sum(thread.is_alive() for thread in running)


def add(report: Report, more: Report) -> None:
    """Add what one thread has counted, and let it count anew."""
    report.reads += more.reads
    report.pixels += more.pixels
    report.wrong += more.wrong
    report.errors.update(more.errors)
    report.foreign += more.foreign
    more.reads = more.pixels = more.wrong = 0
    more.errors.clear()
    more.foreign.clear()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=THREADS)
    chosen = parser.parse_args(arguments)
    warnings.simplefilter("ignore", OmeZarrWarning)
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):  # progress bars
        report = soak(chosen.minutes * 60, chosen.seed, chosen.threads)
    for line in report.foreign[:20]:
        print(line)
    print(report)
    return int(report.failed)


if __name__ == "__main__":
    sys.exit(main())
