"""The works of the table, their targets, and whether they are met."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .endpoint import Settings
from .ways import PEERS, READERS
from .worker import Run

NO_DELAY, GIGABIT = Settings(), Settings(bandwidth_mbit=1000)
MEMORY_MB = 300  # beyond the data loaded
IMPORT_MS = 50


@dataclass
class Measured:
    """Several runs of one work in one way.

    Attributes
    ----------
    runs : list of Run
        As measured; those with a problem are kept.
    """

    runs: list[Run]

    @property
    def problem(self) -> str:
        """Why there is no time, or an empty string."""
        return next((run.problem for run in self.runs if run.problem), "")

    @property
    def times(self) -> list[float]:
        """Seconds of the runs that ended."""
        return [run.seconds for run in self.runs if run.seconds is not None]

    @property
    def seconds(self) -> float:
        """Median; infinite where no run ended."""
        return statistics.median(self.times) if self.times and not self.problem else float("inf")

    @property
    def cpu(self) -> float:
        """Median of the processor seconds."""
        return statistics.median(run.cpu for run in self.runs)

    @property
    def middle(self) -> Run:
        """The run of median length; of an even number of runs the longer one."""
        ended = [run for run in self.runs if run.seconds is not None]
        return sorted(ended, key=lambda run: run.seconds or 0)[len(ended) // 2]

    def most(self, count: str) -> int:
        """The highest of one of the endpoint's counts."""
        return max((run.counts.get(count, 0) for run in self.runs), default=0)

    def part(self, name: str) -> float:
        """Median seconds of one part of the work."""
        return statistics.median(run.parts.get(name, 0.0) for run in self.runs)


@dataclass
class Claim:
    """One figure that a target is about; met if it is at most the bound."""

    name: str
    value: float
    bound: float
    unit: str = ""

    @property
    def met(self) -> bool:
        """Whether the figure is within its bound."""
        return self.value <= self.bound

    def __str__(self) -> str:
        sign = "≤" if self.met else ">"
        return f"{self.name} {number(self.value)} {sign} {number(self.bound)}{self.unit}"


def number(value: float) -> str:
    """A figure with two or three digits that mean something."""
    if value == float("inf"):
        return "no end"
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.2f}"


Judge = Callable[[Measured, Measured, float], list[Claim]]


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Attributes
    ----------
    work : str
        Name of the method of `ways.Way`.
    title, target : str
        What it is, and what is aimed for.
    judge : callable
        Makes the claims from (ours, limit, latency in seconds).
    small : dict
        Arguments for a warm-up that costs a slow way less than the whole work.
    loaded_mb : float
        Megabytes of pixels that are loaded.
    slow_for_peers : bool
        Whether the peers take so long that ``--quick`` leaves them out.
    settings : Settings
        How the endpoint answers in this row; None for what the command line says.
    peers : tuple of str
        The other ways that are measured.
    against : dict of str to float
        At most how many multiples of the seconds of a peer.
    above_mb : float
        Megabytes by which the peak memory may be above that of plain Dask; 0 where it is not
        compared.
    """

    work: str
    title: str
    target: str
    judge: Judge
    small: dict[str, int] = field(default_factory=dict)
    loaded_mb: float = 0.0
    slow_for_peers: bool = False
    settings: Settings | None = None
    peers: tuple[str, ...] = PEERS
    against: dict[str, float] = field(default_factory=dict)
    above_mb: float = 0.0


def asked(ours: Measured) -> int:
    """Requests, without those that the endpoint was told to fail and that had to come again."""
    return max(run.counts.get("requests", 0) - run.counts.get("errors", 0) for run in ours.runs)


def judge_open_all(ours: Measured, limit: Measured, latency: float) -> list[Claim]:
    """Few requests, few round trips, nothing asked for that is not there."""
    claims = [
        Claim("requests", asked(ours), 12),
        Claim("round trips", ours.most("rounds"), 3),
        Claim("not found", ours.most("not_found"), 0),
    ]
    if latency:
        claims.insert(2, Claim("seconds / latency", ours.seconds / latency, 3))
    return claims


def judge_open_one(ours: Measured, limit: Measured, latency: float) -> list[Claim]:
    """Two requests."""
    return [Claim("requests", asked(ours), 2), Claim("not found", ours.most("not_found"), 0)]


def judge_ratio(bound: float, requests: int) -> Judge:
    """Not much longer than the limit, and each key asked for once."""

    def judge(ours: Measured, limit: Measured, latency: float) -> list[Claim]:
        return [
            Claim("seconds / limit", ours.seconds / limit.seconds, bound),
            Claim("requests", asked(ours), requests),
            Claim("fetched twice", ours.most("duplicates"), 0),
        ]

    return judge


def judge_plane(ours: Measured, limit: Measured, latency: float) -> list[Claim]:
    """One and a half round trips and 50 ms, for one chunk."""
    return [
        Claim("ms", 1000 * ours.seconds, 1500 * latency + 50),
        Claim("chunks", asked(ours), 1),
    ]


def judge_reduce(ours: Measured, limit: Measured, latency: float) -> list[Claim]:
    """Each chunk once; the rest is a comparison with Dask."""
    return [
        Claim("requests", asked(ours), 1600),
        Claim("fetched twice", ours.most("duplicates"), 0),
    ]


BLASTOCYST_MB = 2 * 257 * 210 * 253 * 2 / 1e6
PLANES_MB = 100 * 128 * 135 * 2 / 1e6


def row_of_bytes(work: str, what: str, settings: Settings, chunks: int) -> Row:
    """A row of the works in which bytes are the limit.

    On a line of limited width all that fill it take the same time, give or take a few per cent.
    """
    dask, tensorstore = (1.0, 1.05) if settings.bandwidth_mbit else (0.8, 1.0)
    target = f"at most 1.0 × (raw fetch, then decoding), {dask} × Dask, {tensorstore} × tensorstore"
    title = f"`levels[0].compute()` of {chunks} chunks of 2 MB, {what}"
    against = {"dask from_zarr": dask, "tensorstore": tensorstore}
    judge = judge_ratio(1.0, chunks)
    return Row(work, title, target, judge, settings=settings, peers=READERS, against=against)


ROWS = (
    Row(
        "open_all",
        "open all 11 levels of 9822152 with metadata",
        "at most 12 requests and 3 round trips, none for a missing key",
        judge_open_all,
    ),
    Row("open_one", "open level 4 of 4007801", "at most 2 requests", judge_open_one),
    Row(
        "load",
        "`load_binary_from_s3_with_data(6001247)`",
        "at most 1.4 × the raw fetch, each chunk once",
        judge_ratio(1.4, 516),
        loaded_mb=BLASTOCYST_MB,
        slow_for_peers=True,
    ),
    Row(
        "compute",
        "`load_binary_from_s3(6001247).compute()` on 2 threads",
        "at most 1.8 × the raw fetch",
        judge_ratio(1.8, 516),
        loaded_mb=BLASTOCYST_MB,
        slow_for_peers=True,
    ),
    Row(
        "plane",
        '`load_binary_from_s3(4007801, "4")[265, 1, 494].compute()`, opened beforehand',
        "1.5 round trips and 50 ms, one chunk",
        judge_plane,
    ),
    Row(
        "segment",
        "100 planes of 4007801 segmented by the solution of notebook 03",
        "at most 2 × (raw fetch and segmenting in memory on all cores)",
        judge_ratio(2, 100),
        small={"times": 1, "depths": 2},
        loaded_mb=PLANES_MB,
        slow_for_peers=True,
    ),
    row_of_bytes("lz4", "lz4, no delay", NO_DELAY, 256),
    row_of_bytes("zstd", "zstd, no delay", NO_DELAY, 256),
    row_of_bytes("lz4_line", "lz4, 1 Gbit/s", GIGABIT, 64),
    row_of_bytes("zstd_line", "zstd, 1 Gbit/s", GIGABIT, 64),
    Row(
        "reduce",
        "`levels[0].max().compute()` of 1,600 such chunks (3.4 GB), lz4, no delay",
        "no slower than Dask, at most 250 MB above its memory",
        judge_reduce,
        settings=NO_DELAY,
        peers=("dask from_zarr",),
        against={"dask from_zarr": 1.0},
        above_mb=250.0,
    ),
)


@dataclass
class Result:
    """One row of the table, measured.

    Attributes
    ----------
    row : Row
        What was measured.
    ways : dict of str to Measured
        By name of the way, the limit and ``data_helpers`` among them.
    latency : float
        Seconds added to each request.
    peak_mb : float
        Peak memory of a process that did this work once and nothing else; None if not measured.
    dask_mb : float
        The same of plain Dask; None if not measured.
    """

    row: Row
    ways: dict[str, Measured]
    latency: float
    peak_mb: float | None = None
    dask_mb: float | None = None

    @property
    def claims(self) -> list[Claim]:
        """What the targets say about the figures."""
        claims = self.row.judge(self.ways["data_helpers"], self.ways["limit"], self.latency)
        for way, bound in self.row.against.items():
            if way in self.ways and not self.ways[way].problem:
                ratio = self.ways["data_helpers"].seconds / self.ways[way].seconds
                claims.append(Claim(f"seconds / {way}", ratio, bound))
        if self.peak_mb is not None and self.dask_mb is not None:
            above = self.peak_mb - self.dask_mb
            claims.append(Claim("MB above Dask", above, self.row.above_mb))
        if self.peak_mb is not None and self.row.loaded_mb:
            claims.append(Claim("MB of memory", self.peak_mb, self.row.loaded_mb + MEMORY_MB))
        return claims

    def ratio(self, way: str) -> float:
        """Seconds of a way, in multiples of the limit."""
        return self.ways[way].seconds / self.ways["limit"].seconds

    @property
    def verdict(self) -> str:
        """Either "met", or what is not."""
        ours, limit = self.ways["data_helpers"], self.ways["limit"]
        if ours.problem or limit.problem:
            return f"**not met**: {ours.problem or f'no limit, {limit.problem}'}"
        missed = [str(claim) for claim in self.claims if not claim.met]
        if not missed:
            return "met"
        return f"**not met**: {', '.join(missed)}; {cause(ours, self.latency)}"


def cause(ours: Measured, latency: float) -> str:
    """Where the time went, as far as the counts tell."""
    rounds, in_flight = (ours.middle.counts[name] for name in ("rounds", "most_in_flight"))
    waiting = f"{rounds} rounds of {latency * 1000:.0f} ms take {rounds * latency:.2f} s or more"
    return (
        f"of {ours.seconds:.2f} s, {waiting}, its process computes for {ours.middle.cpu:.2f} s, "
        f"up to {in_flight} in flight"
    )


def compare_results(ways: dict[str, Measured], reference: str) -> None:
    """Turn runs with another result than the reference's into failures."""
    found = {json_like(run.result) for run in ways[reference].runs if not run.problem}
    for measured in ways.values():
        for run in measured.runs:
            comparable = found and not run.problem and run.result is not None
            if comparable and json_like(run.result) not in found:
                run.seconds, run.problem = None, f"a different result: {run.result}"


def json_like(result: Any) -> str:
    """A result as text, whatever kind of sequence it was."""
    if isinstance(result, Sequence) and not isinstance(result, str):
        return f"[{','.join(map(json_like, result))}]"
    return str(result)
