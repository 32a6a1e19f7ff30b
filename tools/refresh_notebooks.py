"""Run notebooks top to bottom on the offline stand-in and store their outputs.

    python3 run.py python tools/refresh_notebooks.py            every notebook that is not generated
    python3 run.py python tools/refresh_notebooks.py PATH ...   only these

Afterwards the exercises are made anew from their solutions (tools/make_exercises.py). What differs
from run to run and says nothing is left out or kept as it was: widget state, time stamps of cells,
the version of Python, and outputs that differ only in what tests/nbval_sanitize.cfg allows. So
refreshing twice changes nothing but measured times.
"""

from __future__ import annotations

import argparse
import configparser
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbclient.output_widget import OutputWidget
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"
SANITIZE = ROOT / "tests" / "nbval_sanitize.cfg"
MEASURED = "what the request meter measures"  # always new: a figure of the same run shows it, too
WIDGET = "application/vnd.jupyter.widget-view+json"
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
LANGUAGE = {"name": "python", "file_extension": ".py", "mimetype": "text/x-python"}
LANGUAGE |= {"nbconvert_exporter": "python", "pygments_lexer": "ipython3"}
PORT = (r"127\.0\.0\.1:\d+", "127.0.0.1:PORT")


def written_by_hand() -> list[Path]:
    """Return the notebooks that are not made from a solution, in reading order."""
    solutions = sorted((NOTEBOOKS / "solutions").glob("*.ipynb"))
    generated = {path.name for path in solutions}
    return [p for p in sorted(NOTEBOOKS.glob("*.ipynb")) if p.name not in generated] + solutions


def sanitized(value: Any, patterns: list[tuple[str, str]]) -> Any:
    """Return an output with the patterns replaced in every string of it."""
    if isinstance(value, dict):
        return {key: sanitized(item, patterns) for key, item in value.items()}
    if isinstance(value, list):
        return [sanitized(item, patterns) for item in value]
    if isinstance(value, str):
        for pattern, replacement in patterns:
            value = re.sub(pattern, replacement, value)
    return value


def sanitizing_patterns() -> list[tuple[str, str]]:
    config = configparser.RawConfigParser()
    config.read(SANITIZE, encoding="utf-8")
    names = [name for name in config.sections() if not name.startswith(MEASURED)]
    return [(config[name]["regex"], config[name]["replace"]) for name in names]


def tidy(notebook: NotebookNode, before: NotebookNode) -> None:
    """Leave out of an executed notebook what is noise, in place.

    Parameters
    ----------
    notebook : NotebookNode
        The notebook as it was just executed.
    before : NotebookNode
        The same notebook as it was stored: outputs that say the same are taken from here.
    """
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNEL, "language_info": LANGUAGE})
    patterns = sanitizing_patterns()
    stored = {cell.get("id"): cell.get("outputs", []) for cell in before.cells}
    for cell in notebook.cells:
        for noise in ("execution", "collapsed", "scrolled", "ExecuteTime"):
            cell.metadata.pop(noise, None)
        if cell.cell_type != "code":
            continue
        for output in cell.outputs:
            # Without the widget's state, which is not stored, it would show as an error.
            output.get("data", {}).pop(WIDGET, None)
        # Another port each time: nobody can open it, so nobody needs to read it.
        cell.outputs = nbformat.from_dict(sanitized(cell.outputs, [PORT]))
        old = nbformat.from_dict(sanitized(stored.get(cell.id, []), [PORT]))
        if sanitized(old, patterns) == sanitized(cell.outputs, patterns):
            cell.outputs = old


class SilentOutput(OutputWidget):
    """A widget's output that is not reported back to the kernel.

    The report goes through the channel on which nbclient waits for the end of the cell, and
    may make it miss that (nbclient issue 312): then it waits until its time-out.
    """

    def send(self, *args: Any, **kwargs: Any) -> None:
        """Send nothing; what the widget shows is not stored anyway."""


def client_for(notebook: NotebookNode, folder: Path, **options: Any) -> NotebookClient:
    """A client that runs a notebook in a folder, whatever widgets it shows."""
    resources = {"metadata": {"path": str(folder)}}
    options = {"timeout": 300, "kernel_name": "python3"} | options
    client = NotebookClient(notebook, resources=resources, **options)
    client.widget_registry["@jupyter-widgets/output"]["OutputModel"] = SilentOutput
    return client


def refresh(path: Path, **client_options: Any) -> None:
    """Execute a notebook in its own folder, tidy and store it; if a cell fails, leave it alone."""
    before = nbformat.read(path, as_version=4)
    notebook = nbformat.from_dict(before)
    for number, cell in enumerate(notebook.cells):
        cell.setdefault("id", f"cell-{number}")  # nbformat would draw a random one
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    options = {"record_timing": False, "coalesce_streams": True} | client_options
    client_for(notebook, path.parent, **options).execute()
    tidy(notebook, before)
    whole = path.with_suffix(".part")  # nobody ever reads half a notebook
    whole.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8", newline="\n")
    whole.replace(path)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Run notebooks offline and store their outputs.")
    parser.add_argument("notebooks", nargs="*", type=Path)
    paths = parser.parse_args(arguments).notebooks or written_by_hand()
    os.environ["OME_ZARR_SOURCE"] = "offline"
    os.environ.pop("MPLBACKEND", None)
    failed = 0
    for path in paths:
        print(f"{path.name} ...", end=" ", flush=True)
        try:
            refresh(path)
            print("done")
        except CellExecutionError as error:
            failed += 1
            print(f"FAILED, left as it was\n{error}")
    exercises = [sys.executable, str(ROOT / "tools" / "make_exercises.py")]
    return 1 if failed else subprocess.run(exercises, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
