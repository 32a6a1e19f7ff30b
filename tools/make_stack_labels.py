"""Segment the imitation of 6001247 with CellProfiler, and store the labels that notebook 09 scores.

    python3 run.py tool cellprofiler                          once: CellProfiler's environment
    python3 run.py python tools/make_stack_labels.py          all 257 planes: some ten seconds
    python3 run.py python tools/make_stack_labels.py --check 126 130    four planes, and compare

`cellprofiler_stack.npz` holds `labels`, axes Z, Y, X, and what that run took: `seconds`, and
`megabytes`, the most that CellProfiler's own process held.
"""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import psutil

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "data_helpers" / "hand_over" / "cellprofiler_stack.npz"  # Colab has it, too
KEY = "idr/zarr/v0.4/idr0062A/6001247.zarr"
TUNED: dict[str, Any] = {"declump": "Shape", "keep_border": True, "lowest_threshold": 250}


def dapi() -> np.ndarray:
    """The channel with the nuclei, level 1."""
    from data_helpers import open_multiscale
    from data_helpers.offline import start

    server = start()
    try:
        return np.asarray(open_multiscale(f"{server.endpoint}/{KEY}").levels[1][0, 1].compute())
    finally:
        server.stop()


def segmented(stack: np.ndarray) -> np.ndarray:
    from data_helpers.hand_over.stack import segment_with_cellprofiler

    return segment_with_cellprofiler(stack, **TUNED)


def most_memory_of_children(work: Callable[[], Any], every: float = 0.05) -> tuple[Any, float]:
    """What `work` returns, and the megabytes that processes started by it held at most."""
    ended, seen = threading.Event(), [0]

    def watch() -> None:
        while not ended.wait(every):
            held = 0
            for child in psutil.Process().children(recursive=True):
                try:
                    held += child.memory_info().rss
                except psutil.Error:  # it ended meanwhile
                    pass
            seen.append(held)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        return work(), max(seen) / 1e6
    finally:
        ended.set()
        watcher.join()


def same_objects(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two label images hold the same objects, whatever their numbers."""
    pairs = np.unique(np.stack([one.ravel(), other.ravel()]), axis=1)
    alone = [len(np.unique(labels)) for labels in pairs]
    return bool(((one > 0) == (other > 0)).all()) and alone == [pairs.shape[1]] * 2


def agrees(first: int, last: int) -> bool:
    """Whether a run of today finds the stored objects in planes first to last - 1."""
    with np.load(FILE) as stored:
        return same_objects(stored["labels"][first:last], segmented(dapi()[first:last]))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Segment a synthetic stack with CellProfiler.")
    parser.add_argument("--check", nargs=2, type=int, metavar="PLANE", help="compare these only")
    options = parser.parse_args(arguments)
    if options.check:
        right = agrees(*options.check)
        print(f"The stored labels {'agree' if right else 'differ'}.")
        return 0 if right else 1
    stack, begin = dapi(), perf_counter()
    labels, megabytes = most_memory_of_children(lambda: segmented(stack))
    cost = {"seconds": round(perf_counter() - begin, 1), "megabytes": round(megabytes)}
    np.savez_compressed(FILE, labels=labels.astype(np.min_scalar_type(labels.max())), **cost)
    print(f"{labels.max()} objects, {cost}, {FILE.name} of {FILE.stat().st_size / 1e3:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
