"""How time grows: with the number of planes, the number of chunks, and latency."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from .endpoint import Settings
from .table import WARM_UP_SECONDS, Plan, Say, brief
from .targets import Measured
from .ways import PEERS
from .worker import Workers

PLANES = {10: (2, 5), 100: (10, 10), 1_000: (20, 50), 10_000: (100, 100)}
CHUNKS = (1, 100, 10_000, 100_000, 1_051_232)
LATENCIES = (0.0, 10.0, 20.0, 40.0, 100.0, 200.0)
ONCE_ABOVE = 5.0  # seconds: a run that takes longer is not repeated
QUICK = {"planes": (10, 100), "chunks": (1, 10_000), "latency": (0.0, 40.0)}


@dataclass
class Growth:
    """Cost at several sizes, in several ways.

    Attributes
    ----------
    name, title, along, text : str
        File name of the plot, heading, label of the x axis, and what was done.
    measured : dict of str to dict of float to Measured
        By way, then by size.
    memory : dict of float to float
        Peak memory of a fresh process of ``data_helpers``, in MB by size, where measured.
    """

    name: str
    title: str
    along: str
    text: str
    measured: dict[str, dict[float, Measured]] = field(default_factory=dict)
    memory: dict[float, float | None] = field(default_factory=dict)


def measure_growth(workers: Workers, plan: Plan, say: Say) -> list[Growth]:
    """Measure all three."""
    return [
        planes(workers, plan, say),
        chunks(workers, plan, say),
        latencies(workers, plan, say),
    ]


def planes(workers: Workers, plan: Plan, say: Say) -> Growth:
    """Segment more and more planes; the memory of a process that does nothing else."""
    growth = Growth(
        "planes",
        "Planes segmented",
        "planes",
        "Planes of 4007801 level 4, segmented by the solution of notebook 03 with that many times "
        "and depths. Only twenty of them differ, so nothing has to be painted meanwhile. The "
        "other packages give the same kind of Dask array as `from_zarr`.",
    )
    sizes = tuple(size for size in PLANES if not plan.quick or size in QUICK["planes"])

    def options(size: float) -> dict[str, int]:
        times, depths = PLANES[int(size)]
        return {"times": times, "depths": depths}

    ways = ("limit", "data_helpers") + (() if plan.quick else ("dask from_zarr",))
    _measure(growth, "segment", sizes, options, ways, workers, plan, say)
    for size in sizes[-1:] if plan.quick else sizes:
        with workers.fresh("data_helpers") as worker:
            run = worker.run("segment", plan.settings, 3 * plan.timeout, **options(size))
            growth.memory[size] = None if run.problem else run.peak_mb
            say(f"  data_helpers, {size:,.0f}: peak memory {run.problem or run.peak_mb} MB")
    return growth


def chunks(workers: Workers, plan: Plan, say: Say) -> Growth:
    """Read one plane out of larger and larger arrays."""
    growth = Growth(
        "chunks",
        "One plane out of an array of many chunks",
        "chunks in the array",
        "One plane (one chunk) read from a lazy array that was opened beforehand.",
    )
    sizes = tuple(size for size in CHUNKS if not plan.quick or size in QUICK["chunks"])
    ways = ("limit", "data_helpers", *PEERS)

    def options(size: float) -> dict[str, int]:
        return {"chunks": int(size)}

    return _measure(growth, "plane_of", sizes, options, ways, workers, plan, say)


def latencies(workers: Workers, plan: Plan, say: Say) -> Growth:
    """Load all of 6001247 from endpoints that are farther and farther away."""
    growth = Growth(
        "latency",
        "Latency",
        "latency of the endpoint (ms)",
        "All of 6001247 level 0 (514 chunks, 54.6 MB), `load_binary_from_s3_with_data` for "
        "`data_helpers`. The other packages give the same kind of Dask array as `from_zarr`.",
    )
    sizes = LATENCIES if not plan.quick else QUICK["latency"]
    ways = ("limit", "data_helpers") + (() if plan.quick else ("dask from_zarr",))
    return _measure(growth, "load", sizes, lambda size: {}, ways, workers, plan, say)


def _measure(
    growth: Growth,
    work: str,
    sizes: Sequence[float],
    options: Callable[[float], dict[str, int]],
    ways: Sequence[str],
    workers: Workers,
    plan: Plan,
    say: Say,
) -> Growth:
    """Measure each size in each way, small ones first; a way that was stopped goes no further."""
    say(growth.title)
    growth.measured = {way: {} for way in ways}
    stopped: set[str] = set()
    for way in ways:  # imports, connections and painting are done after this
        workers.get(way).run(work, Settings(), WARM_UP_SECONDS, **options(sizes[0]))
    for size in sizes:
        settings = plan.settings
        if growth.name == "latency":
            settings = replace(settings, latency_ms=size)
        for way in (way for way in ways if way not in stopped):
            limit = plan.peer_timeout if way in PEERS else 3 * plan.timeout
            runs = [workers.get(way).run(work, settings, limit, **options(size))]
            while len(runs) < min(plan.repeats, 3) and (runs[-1].seconds or 1e9) < ONCE_ABOVE:
                runs.append(workers.get(way).run(work, settings, limit, **options(size)))
            measured = growth.measured[way][size] = Measured(runs)
            say(f"  {size:>9,.0f} {way:15} {brief(measured)}")
            if measured.problem:
                stopped.add(way)
    return growth
