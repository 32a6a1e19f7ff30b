"""Measure the memory of each worker while 100 to 10,000 planes are segmented, and draw it.

    python3 run.py python tools/measure_worker_memory.py

The planes are those of image 4007801, level 4, painted by the offline stand-in; the work is that of
notebook 06: a task reads 100 planes at once, segments each and returns numbers. The figure is
notebooks/figures/06_memory_per_worker.png; the numbers are printed as a table for docs/cluster.md.
A few minutes on two cores.
"""

from __future__ import annotations

import time
from pathlib import Path
from threading import Event, Thread

import matplotlib
import numpy as np
import pandas as pd
import psutil
from distributed import Client
from skimage.filters import gaussian, threshold_otsu
from skimage.measure import label

from data_helpers import connect_cluster, open_multiscale
from data_helpers.stored_array import StoredArray

FIGURE = Path(__file__).resolve().parents[1] / "notebooks/figures/06_memory_per_worker.png"
PLANES = (100, 300, 1_000, 3_000, 10_000)
PER_TASK = 100
WORKERS = 2


def segment(plane: np.ndarray) -> np.ndarray:
    smooth = gaussian(plane, sigma=1, mode="reflect", preserve_range=True)
    return np.asarray(label(smooth > threshold_otsu(smooth), connectivity=1))


def count(stored: StoredArray, start: int) -> list[int]:
    """Objects in `PER_TASK` planes; 900 planes of each time point are used."""
    t, z = 100 + start // 900, start % 900
    return [int(segment(plane).max()) for plane in stored[t, 1, z : z + PER_TASK]]


def peaks(processes: list[psutil.Process], stop: Event, found: list[float]) -> None:
    """Note the highest memory (resident, MB) of each worker until told to stop."""
    while not stop.wait(0.1):
        for number, process in enumerate(processes):
            found[number] = max(found[number], process.memory_info().rss / 1e6)


def measure(client: Client, stored: StoredArray, planes: int) -> dict[str, float]:
    workers = client.run(lambda: __import__("os").getpid()).values()
    processes = [psutil.Process(pid) for pid in workers]
    stop, found = Event(), [0.0] * len(processes)
    watcher = Thread(target=peaks, args=(processes, stop, found))
    watcher.start()
    began = time.perf_counter()
    starts = range(0, planes, PER_TASK)
    counted = client.gather(client.map(count, [stored] * len(starts), starts, pure=False))
    seconds = time.perf_counter() - began
    stop.set()
    watcher.join()
    assert sum(map(len, counted)) == planes
    row = {"planes": planes, "seconds": round(seconds, 1)}
    return row | {f"worker {n + 1}, MB": round(peak) for n, peak in enumerate(found)}


def draw(table: pd.DataFrame) -> None:
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(7, 3), layout="constrained")
    for column, color in zip(table.columns[2:], ("0.5", "magenta"), strict=True):
        ax.plot(table["planes"], table[column], "o-", color=color, label=column.split(",")[0])
    ax.set_xscale("log")
    ax.set_ylim(0, 1.5 * table.iloc[:, 2:].to_numpy().max())
    ax.set(xlabel="planes", ylabel="highest memory, MB", title="Synthetic planes of 4007801")
    ax.legend()
    plt.savefig(FIGURE, dpi=100, metadata={"Software": None})


def main() -> None:
    matplotlib.use("Agg")
    stored = open_multiscale(4007801, source="offline").stored[4]
    with connect_cluster(WORKERS) as client:
        measure(client, stored, 400)  # imports and first allocations are not the point
        table = pd.DataFrame([measure(client, stored, planes) for planes in PLANES])
    print(table.to_string(index=False))
    draw(table)


if __name__ == "__main__":
    main()
