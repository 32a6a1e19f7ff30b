"""Measure the table: every work in every way, taking turns, so that a busy moment hits them all."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from .endpoint import Settings
from .targets import ROWS, Claim, Measured, Result, Row, compare_results
from .ways import PEERS
from .worker import Run, Worker, Workers

HEAVY = (
    "aiohttp", "dask", "distributed", "fsspec", "ipywidgets", "matplotlib", "numcodecs", "numpy",
    "pandas", "s3fs", "skimage", "tqdm", "zarr",
)  # fmt: skip
"""What ``import data_helpers`` must not import; the call that needs it does."""

WARM_UP_SECONDS = 120.0
"""A warm-up without latency imports a package, and what it needs is painted."""

Say = Callable[[str], object]


@dataclass(frozen=True)
class Plan:
    """How much to measure.

    Attributes
    ----------
    settings : Settings
        How the endpoint answers.
    repeats : int
        Runs of each way; the median counts.
    timeout : float
        Seconds after which one run is stopped and reported as such.
    budget : float
        Seconds for all runs of a way together: a slow way is measured less often.
    peer_timeout : float
        The same as `timeout`, for the peers.
    quick : bool
        Fewer steps where growth is measured.
    """

    settings: Settings
    repeats: int = 5
    timeout: float = 60.0
    budget: float = 20.0
    peer_timeout: float = 60.0
    quick: bool = False


def measure_row(row: Row, workers: dict[str, Worker], plan: Plan, say: Say) -> Result:
    """Measure one work in all ways, after a warm-up without latency in which all is painted."""
    settings = row.settings or plan.settings
    latency = settings.latency_ms / 1000
    ways = [way for way in workers if not (plan.quick and way in PEERS and row.slow_for_peers)]
    runs: dict[str, list[Run]] = {way: [] for way in workers}
    for way in ways:
        small = {} if way == "limit" else row.small
        warm = workers[way].run(row.work, Settings(), WARM_UP_SECONDS, **small)
        if warm.problem:
            runs[way].append(warm)
    for _ in range(plan.repeats):
        for way in ways:
            done = runs[way]
            spent = sum(run.seconds or 0 for run in done)
            if spent < plan.budget and not any(run.problem for run in done):
                seconds = plan.peer_timeout if way in row.peers else plan.timeout
                done.append(workers[way].run(row.work, settings, seconds))
    for way in workers:
        if not runs[way]:
            runs[way].append(Run(problem="not measured with `--quick`"))
    measured_ways = {way: Measured(done) for way, done in runs.items()}
    compare_results(measured_ways, "data_helpers" if row.work.startswith("open") else "limit")
    result = Result(row, measured_ways, latency)
    for way, measured in measured_ways.items():
        painted = measured.most("painted")
        note = f", {painted} chunks painted meanwhile: no measure" if painted else ""
        say(f"  {way:15} {brief(measured)}{note}")
    return result


def brief(measured: Measured) -> str:
    """One line about several runs."""
    if measured.problem:
        return measured.problem
    times = measured.times
    return (
        f"{measured.seconds:8.3f} s ({min(times):.3f} to {max(times):.3f}, {len(times)} runs), "
        f"CPU {measured.cpu:.3f} s, {measured.most('requests')} requests, "
        f"{measured.most('rounds')} rounds, {measured.most('most_in_flight')} in flight"
    )


def measure_table(
    workers: Workers, plan: Plan, say: Say, peers: Iterable[str], works: Iterable[str]
) -> list[Result]:
    """Measure these rows of the table, each package in its own process."""
    results = []
    for row in (row for row in ROWS if row.work in works):
        say(row.title)
        wanted = row.peers if peers else ()
        by_way = {way: workers.get(way) for way in ("limit", "data_helpers", *wanted)}
        result = measure_row(row, by_way, plan, say)
        if row.above_mb and peers:
            result.peak_mb = peak_memory(row, workers, plan, one_cpu=False)
            result.dask_mb = peak_memory(row, workers, plan, "dask from_zarr", one_cpu=False)
            say(f"  peak memory {result.peak_mb} MB, of Dask {result.dask_mb} MB")
        results.append(result)
        say(f"  {results[-1].verdict}")
    return results


def measure_one_cpu(workers: Workers, plan: Plan, say: Say, works: Iterable[str]) -> list[Result]:
    """Measure these rows on one processor, and the memory of a process that does nothing else."""
    by_way = {way: workers.get(way, one_cpu=True) for way in ("limit", "data_helpers")}
    results = []
    for row in (row for row in ROWS if row.work in works and row.settings is None):
        say(f"{row.title}, on one CPU")
        result = measure_row(row, by_way, plan, say)
        if row.loaded_mb:
            result.peak_mb = peak_memory(row, workers, plan)
            say(f"  peak memory {result.peak_mb} MB")
        say(f"  {result.verdict}")
        results.append(result)
    return results


def peak_memory(
    row: Row, workers: Workers, plan: Plan, way: str = "data_helpers", *, one_cpu: bool = True
) -> float | None:
    """Peak memory, in MB, of a fresh process that does one work once."""
    with workers.fresh(way, one_cpu=one_cpu) as worker:
        return worker.run(row.work, row.settings or plan.settings, plan.timeout).peak_mb


@dataclass
class Imports:
    """What importing costs beyond the dependencies.

    Attributes
    ----------
    bare_ms : float
        ``import data_helpers``.
    loading_ms : float
        The helper's own modules when ``load_binary_from_s3`` is first used.
    heavy : list of str
        Large packages that the bare import brings in.
    """

    bare_ms: float
    loading_ms: float
    heavy: list[str]

    @property
    def claims(self) -> list[Claim]:
        """What the target says."""
        return [
            Claim("ms", self.bare_ms, 50),
            Claim("ms with load_binary_from_s3", self.loading_ms, 50),
            Claim("heavy packages", len(self.heavy), 0),
        ]

    @property
    def verdict(self) -> str:
        """Either "met", or what is not."""
        missed = [str(claim) for claim in self.claims if not claim.met]
        return f"**not met**: {', '.join(missed)} {' '.join(self.heavy)}" if missed else "met"


def measure_imports(repeats: int) -> Imports:
    """Measure imports in fresh processes, with the times that Python takes of each module."""
    bare = sorted(own_import_ms("import data_helpers") for _ in range(repeats))
    loading = sorted(
        own_import_ms("from data_helpers import load_binary_from_s3") for _ in range(repeats)
    )
    code = "import sys, data_helpers; print(*sys.modules)"
    modules = python("-c", code).stdout.split()
    heavy = sorted({name.split(".")[0] for name in modules} & set(HEAVY))
    return Imports(bare[repeats // 2], loading[repeats // 2], heavy)


def own_import_ms(code: str) -> float:
    """Milliseconds of the helper's own modules, without those that they import."""
    lines = python("-X", "importtime", "-c", code).stderr.splitlines()
    own = [line.split("|") for line in lines if line.split("|")[-1].strip()[:12] == "data_helpers"]
    return sum(int(parts[0].split(":")[1]) for parts in own) / 1000


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a Python of its own."""
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=60, check=True
    )
