"""One Markdown report with its plots."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter, NullFormatter

from .growth import Growth
from .table import Imports, Plan
from .targets import MEMORY_MB, Measured, Result

COLOURS = {
    "limit": "0.6",
    "data_helpers": "magenta",
    "dask from_zarr": "tab:blue",
    "ome-zarr-py": "tab:orange",
    "ngff-zarr": "tab:green",
}
INTRODUCTION = """\
The endpoint is a server on the same computer. It adds the stated latency to each request, answers
from memory, and counts requests itself. Pixels are the synthetic ones of the offline stand-in,
stored uncompressed. In the rows that name a codec they are noise, and compressed.

- *limit*: the keys that are needed, all known beforehand, fetched raw with 64 in flight by the
  http client that `data_helpers` uses too. Decoding is listed separately and isn't included. For
  the work of notebook 03, the limit includes segmenting in memory, in as many threads as there
  are cores. In the rows that name a codec, it includes decoding on two threads after the fetch.
- *rounds*: the longest chain of requests in which each starts only after the one before was
  answered. This is counted from the order of events, without a clock.
- Times are medians. The brackets give the fastest run, the slowest run, and the number of runs.
  Slow ways are measured less often, and stopped after the stated time.
- The function of notebook 03 is taken from its cells, and runs unchanged on every package's
  array.
- ome-zarr-py and ngff-zarr open all levels of an image, even if only one is needed.
- All ways give the same pixels, labels or shapes. They are compared, and any mismatch counts
  as a failure.
"""
ONE_CPU = """\
The same, with every process kept on one processor, the limit included. Only the endpoint isn't.
Memory is measured, not limited. Whatever stays below 1 GB runs in 1 GB.
"""


@dataclass
class Report:
    """Everything that was measured; parts that were left out are empty."""

    plan: Plan
    about: dict[str, str]
    table: list[Result] = field(default_factory=list)
    one_cpu: list[Result] = field(default_factory=list)
    imports: Imports | None = None
    growth: list[Growth] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    @property
    def verdicts(self) -> dict[str, str]:
        """By work: "met", or what is not."""
        found = {result.row.title: result.verdict for result in self.table}
        found |= {f"{result.row.title}, on one CPU": result.verdict for result in self.one_cpu}
        if self.imports:
            found["`import data_helpers`"] = self.imports.verdict
        return found


def write(report: Report, path: Path) -> None:
    """Write the report as Markdown to `path`, and its plots to the folder ``images`` beside it."""
    images = path.parent / "images"
    images.mkdir(parents=True, exist_ok=True)
    for growth in report.growth:
        draw(growth, images / f"benchmark_{growth.name}.png")
    path.write_text(markdown(report), encoding="utf-8")


def markdown(report: Report) -> str:
    """The report as text."""
    parts = ["# Benchmarks", "Written by `python3 run.py bench`. " + conditions(report.plan)]
    parts += [INTRODUCTION, *(f"Left out: {what}." for what in report.left_out)]
    parts += ["## Targets", verdict_table(report)]
    if report.table:
        parts += ["## Side by side", side_by_side(report.table)]
        parts += ["## What the endpoint counted", details(report.table)]
    if report.one_cpu:
        parts += ["## On one CPU", ONE_CPU, side_by_side(report.one_cpu)]
        parts += [memory_text(report.one_cpu)]
    if report.growth:
        parts += ["## How time grows", *(part for g in report.growth for part in growing(g))]
    parts += ["## Measured on", table(("", ""), [[name, at] for name, at in report.about.items()])]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def conditions(plan: Plan) -> str:
    """What the endpoint did, in one sentence."""
    chosen = plan.settings
    width = f"{chosen.bandwidth_mbit:g} Mbit/s" if chosen.bandwidth_mbit else "no limit"
    return (
        f"Latency added to each request: {chosen.latency_ms:g} ms; bandwidth: {width}; requests "
        f"failed with 503: {chosen.error_rate:.0%}; runs: {plan.repeats}"
        + (" (`--quick`: not for quoting)." if plan.quick else ".")
    )


def verdict_table(report: Report) -> str:
    """Each target and whether it is met."""
    rows = []
    for result in report.table:
        rows.append([result.row.title, result.row.target, claims(result), result.verdict])
    for result in report.one_cpu:
        memory = f"; memory under data + {MEMORY_MB} MB" if result.row.loaded_mb else ""
        title, target = f"{result.row.title}, on one CPU", result.row.target + memory
        rows.append([title, target, claims(result), result.verdict])
    if report.imports:
        text = ", ".join(map(str, report.imports.claims))
        title = "`import data_helpers` beyond its dependencies"
        rows.append([title, "under 50 ms, nothing heavy", text, report.imports.verdict])
    return table(("work", "target", "measured", "verdict"), rows)


def claims(result: Result) -> str:
    """The figures of a row beside their bounds."""
    return ", ".join(map(str, result.claims))


def side_by_side(results: Sequence[Result]) -> str:
    """Seconds of every way, and in how many multiples of the limit."""
    tables = []
    for ways, group in itertools.groupby(results, lambda result: list(result.ways)):
        rows = [[result.row.title, *(cell(result, way) for way in ways)] for result in group]
        tables.append(table(("work", *ways), rows))
    return "\n\n".join(tables)


def cell(result: Result, way: str) -> str:
    """Seconds (range, number of runs), and the ratio to the limit."""
    measured = result.ways[way]
    if not measured.runs:
        return "not measured"
    if measured.problem:
        return measured.problem
    times = measured.times
    text = f"{measured.seconds:.3f} s ({min(times):.3f} to {max(times):.3f}, {len(times)})"
    if way == "limit":
        decode = measured.part("decode")
        return f"{text}; decoding {decode:.3f} s" if decode else text
    return f"{text}, {result.ratio(way):.1f} ×"


def details(results: Sequence[Result]) -> str:
    """What the endpoint counted, and the processor time."""
    head = ["work", "way", "requests", "not found", "rounds", "time / latency", "most in flight"]
    head += ["fetched twice", "MB", "CPU s"]
    rows = []
    for result in results:
        for way, measured in result.ways.items():
            if measured.runs and not measured.problem:
                counts = ("requests", "not_found", "rounds", "most_in_flight", "duplicates")
                told = [f"{measured.most(count):,}" for count in counts]
                waits = measured.seconds / result.latency if result.latency else 0
                told.insert(3, f"{waits:.1f}" if result.latency else "")
                size = f"{measured.most('bytes') / 1e6:.2f}"
                rows.append([result.row.title, way, *told, size, f"{measured.cpu:.3f}"])
    return table(head, rows)


def memory_text(results: Sequence[Result]) -> str:
    """Peak memory of a process for each row, as a table."""
    rows = []
    for result in (result for result in results if result.row.loaded_mb):
        peak = "not measured" if result.peak_mb is None else f"{result.peak_mb:,.0f}"
        rows.append([result.row.title, f"{result.row.loaded_mb:,.0f}", peak])
    text = "Peak resident memory of a process that does this once on one CPU, and nothing else:"
    return f"{text}\n\n" + table(("work", "MB of pixels loaded", "MB at the peak"), rows)


def growing(growth: Growth) -> list[str]:
    """Heading, text, table and plot of one growth."""
    sizes = sorted({size for by_size in growth.measured.values() for size in by_size})
    ways = list(growth.measured)
    rows = []
    for size in sizes:
        row = [f"{size:,.0f}"]
        for way in ways:
            measured = growth.measured[way].get(size)
            row.append("not tried" if measured is None else seconds_or_problem(measured))
        if growth.memory:
            peak = growth.memory.get(size)
            row.append("not measured" if peak is None else f"{peak:,.0f} MB")
        rows.append(row)
    head = (growth.along, *ways) + (("peak memory of data_helpers",) if growth.memory else ())
    text = f"Seconds against {growth.along}, a line for each way. The table above has the numbers."
    picture = f"![{text}](images/benchmark_{growth.name}.png)"
    return [f"### {growth.title}", growth.text, table(head, rows), picture]


def seconds_or_problem(measured: Measured) -> str:
    """Median seconds and the processor's share, or why there are none."""
    return measured.problem or f"{measured.seconds:.3f} s (CPU {measured.cpu:.3f} s)"


def draw(growth: Growth, path: Path) -> None:
    """Plot seconds against size, both on logarithmic axes (latency: linear)."""
    figure, axes = plt.subplots(figsize=(6.5, 4), layout="constrained")
    for way, by_size in growth.measured.items():
        ended = {size: m.seconds for size, m in by_size.items() if not m.problem}
        line = "--" if way == "limit" else "-"
        axes.plot(list(ended), list(ended.values()), f"o{line}", color=COLOURS[way], label=way)
    if growth.name != "latency":
        axes.set_xscale("log")
    axes.set_yscale("log")
    plain = FuncFormatter(lambda value, _: f"{value:,g}")
    axes.xaxis.set_major_formatter(plain)
    axes.yaxis.set_major_formatter(plain)
    low, high = axes.get_ylim()
    axes.yaxis.set_minor_formatter(plain if high < 10 * low else NullFormatter())
    axes.set(xlabel=growth.along, ylabel="seconds", title=growth.title)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(escape(text) for text in line)} |" for line in lines)


def escape(text: str) -> str:
    """Text that does not break a table."""
    return text.replace("|", "\\|").replace("\n", " ")
