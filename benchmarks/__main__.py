"""Run the benchmarks and write their report: ``python3 run.py bench``."""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

from data_helpers.offline.process import _keep_loopback_from_proxies

from . import growth, machine, report, table, targets
from .endpoint import Endpoint, Settings
from .ways import PEERS
from .worker import Workers

PARTS = ("table", "one-cpu", "imports", "growth")
DEFAULT = Path(__file__).resolve().parent / "report"


def main(arguments: list[str] | None = None) -> int:
    """Measure what was asked for, print figures as they come, and write the report."""
    options = parse(arguments)
    plan = make_plan(options)
    path = options.output if options.output.suffix == ".md" else options.output / "benchmarks.md"
    path.parent.mkdir(parents=True, exist_ok=True)  # better now than after ten minutes
    _keep_loopback_from_proxies()
    started = time.monotonic()
    found = report.Report(plan, machine.describe())
    print(report.conditions(plan))
    print(f"Busy before the run: {found.about['busy before the run']}.", flush=True)
    with Endpoint() as endpoint, Workers(endpoint) as workers:
        if "table" in options.parts:
            peers = () if options.no_peers else PEERS
            found.table = table.measure_table(workers, plan, say, peers, options.rows)
        if "one-cpu" in options.parts:
            if hasattr(os, "sched_setaffinity"):
                found.one_cpu = table.measure_one_cpu(workers, plan, say, options.rows)
            else:
                found.left_out.append("one CPU and memory, which are measured on Linux only")
        if "imports" in options.parts:
            found.imports = table.measure_imports(1 if plan.quick else plan.repeats)
        if "growth" in options.parts:
            found.growth = growth.measure_growth(workers, plan, say)
    found.left_out += [f"`{part}`" for part in PARTS if part not in options.parts]
    if options.no_peers:
        found.left_out.append("the other packages, in the table")
    report.write(found, path)
    print()
    for title, verdict in found.verdicts.items():
        print(f"{title}: {verdict}")
    print(f"\nReport: {path} ({time.monotonic() - started:.0f} s)")
    return 0


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line's options."""
    parser = argparse.ArgumentParser(
        prog="run.py bench",
        description="Measure how fast images are read, beside the limit and other packages.",
    )
    add = parser.add_argument
    add("--latency-ms", type=float, default=40, help="added to each request (%(default)g)")
    add("--bandwidth-mbit", type=float, default=0, help="shared by all answers; 0: no limit")
    add("--error-rate", type=float, default=0, help="share of requests that get 503 (0 to 1)")
    add("--repeats", type=int, default=0, help="runs of each way (5; with --quick 3)")
    add("--quick", action="store_true", help="about a minute; not for quoting")
    add("--output", type=Path, default=DEFAULT, help="folder, or a file NAME.md")
    add("--parts", nargs="+", choices=PARTS, default=PARTS, help="what to measure (all)")
    works = [row.work for row in targets.ROWS]
    add("--rows", nargs="+", choices=works, default=works, help="rows of the table (all)")
    add("--no-peers", action="store_true", help="leave the other packages out of the table")
    options = parser.parse_args(arguments)
    if options.latency_ms < 0 or options.bandwidth_mbit < 0 or not 0 <= options.error_rate <= 1:
        parser.error("latency and bandwidth are not negative, and the error rate is 0 to 1")
    if options.repeats < 0:
        parser.error("runs are not negative")
    return options


def make_plan(options: argparse.Namespace) -> table.Plan:
    """How much to measure."""
    settings = Settings(options.latency_ms, options.bandwidth_mbit, options.error_rate)
    plan = table.Plan(settings, options.repeats or 5)
    if options.quick:
        repeats = options.repeats or 3
        plan = replace(plan, repeats=repeats, budget=2.0, peer_timeout=20.0, quick=True)
    return plan


if __name__ == "__main__":
    sys.exit(main())
