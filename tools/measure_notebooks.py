"""Measure what each notebook needs, and write README's index table.

python3 run.py python tools/measure_notebooks.py

Runs every notebook on the offline stand-in, in a kernel of its own, on one CPU as on Binder (where
the system can hold it to one), and notes the peak memory of the kernel with the workers that it
starts (not the stand-in's), and the megabytes that were read.
Fails where a notebook needs 1 GB or more, or reads more than its first cell says. An exercise is
measured by its solution.
"""

from __future__ import annotations

import os
import re
import sys
import tomllib
from pathlib import Path

import nbformat

from tools.refresh_notebooks import client_for

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
README = ROOT / "README.md"
HEAD = "| notebook | kind | minutes | reads at most | peak memory | open in |\n" + "|---" * 6 + "|"
BEFORE = """from data_helpers import request_meter
_meter = request_meter(show=False)
_cost = _meter.__enter__()
import threading as _threading
import time as _time
import psutil as _psutil
_workers = [0]
def _own(process):
    try:
        return 0 if "data_helpers.offline" in process.cmdline() else process.memory_full_info().uss
    except _psutil.Error:  # it has ended
        return 0
def _watch():
    while True:
        _workers[0] = max(_workers[0], sum(map(_own, _psutil.Process().children(True))))
        _time.sleep(0.2)
_threading.Thread(target=_watch, daemon=True).start()"""
AFTER = """import sys, psutil
try:
    import resource
    _unit = 1 if sys.platform == "darwin" else 1024
    _peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _unit
except ImportError:  # Windows
    _peak = psutil.Process().memory_info().peak_wset
_meter.__exit__(None, None, None)
print(_peak + _workers[0], _cost.bytes)"""
LIMIT = 1_000_000_000


def measure(path: Path) -> tuple[float, float]:
    """Run a notebook; return its peak memory and the bytes that it received, in megabytes."""
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(BEFORE))
    notebook.cells.append(nbformat.v4.new_code_cell(AFTER))
    client_for(notebook, path.parent).execute()
    memory, received = notebook.cells[-1].outputs[0].text.split()
    return int(memory) / 1e6, int(received) / 1e6


def stated(path: Path) -> tuple[str, int, float]:
    """Return title, minutes and megabytes as the notebook's first cell states them."""
    first = nbformat.read(path, as_version=4).cells[0].source
    minutes = re.search(r"\b(\d+) minutes\b", first)
    megabytes = re.search(r"\b([\d.]+) MB\b", first)
    if not (minutes and megabytes):
        raise SystemExit(f"{path.name}: the first cell states no minutes or no megabytes")
    return first.splitlines()[0].removeprefix("# "), int(minutes[1]), float(megabytes[1])


def repository() -> str:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["urls"]["Repository"]).removeprefix("https://github.com/")


def row(path: Path, memory: float) -> str:
    """Return the line of README's table for a notebook."""
    title, minutes, megabytes = stated(path)
    inside = path.relative_to(ROOT).as_posix()
    solution = path.parent / "solutions" / path.name
    kind = "exercise" if solution.exists() else "walk-through"
    if solution.exists():
        kind += f" ([solution]({solution.relative_to(ROOT).as_posix()}))"
    binder = f"https://mybinder.org/v2/gh/{repository()}/HEAD?labpath={inside}"
    colab = f"https://colab.research.google.com/github/{repository()}/blob/HEAD/{inside}"
    number = path.name[:2]
    return (
        f"| {number} [{title}]({inside}) | {kind} | {minutes} | {megabytes:g} MB | "
        f"{memory:.0f} MB | [Binder]({binder}), [Colab]({colab}) |"
    )


def main() -> int:
    os.environ["OME_ZARR_SOURCE"] = "offline"
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    failed, rows = 0, []
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        solution = path.parent / "solutions" / path.name
        memory, received = measure(solution if solution.exists() else path)
        megabytes = stated(path)[2]
        print(f"{path.name}: {memory:.0f} MB of memory, {received:.1f} MB read", flush=True)
        failed += memory * 1e6 >= LIMIT or received > megabytes
        rows.append(row(path, memory))
    if not failed:
        table = re.compile(r"^\| notebook \|.*?(?=\n\n)", re.MULTILINE | re.DOTALL)
        text = README.read_text(encoding="utf-8")
        README.write_text(
            table.sub(lambda _: "\n".join([HEAD, *rows]), text, count=1),
            encoding="utf-8",
            newline="\n",
        )
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
