"""The code of notebook 03, taken from the cells of its solution, so that nothing is a copy.

The work that the benchmark times is what a learner ends with: the function that reads all planes
together and labels them. What comes before (imports, choosing planes) is set-up.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

NOTEBOOK = Path(__file__).resolve().parents[1] / "notebooks/solutions/03_segment_in_parallel.ipynb"
AT_ONCE = 500
"""Planes that are read and labelled together at most."""

SETUP = ("imports", "open", "stored", "planes", "segment", "together")
"""Names of the cells that are set-up; the last one defines the function that is timed."""


def code() -> str:
    """The notebook's set-up as Python code.

    Raises
    ------
    LookupError
        The notebook lacks a cell that is needed here.
    """
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    named = {cell["id"]: cell for cell in cells if cell["cell_type"] == "code"}
    missing = [name for name in SETUP if name not in named]
    if missing:
        raise LookupError(f"{NOTEBOOK.name} has no cell named {' or '.join(missing)}")
    return "\n".join("".join(named[name]["source"]) for name in SETUP)


class Notebook:
    """The notebook's names after its set-up.

    Parameters
    ----------
    open_multiscale : callable
        What the notebook opens the movie with; gives something with ``stored`` and ``levels``.
    times, depths : int, optional
        How many time points and depths to take; those of the notebook, ten each, if 0.
    """

    def __init__(
        self, open_multiscale: Callable[[int], Any], times: int = 0, depths: int = 0
    ) -> None:
        self.names: dict[str, Any] = {"__name__": "notebook", "open_multiscale": open_multiscale}
        exec(compile(code(), NOTEBOOK.name, "exec"), self.names)
        if times and depths:
            self.names.update(times=range(times), depths=range(depths))

    @property
    def planes(self) -> list[tuple[int, int]]:
        """The (t, z) of each plane, in the order of the labels."""
        return [(t, z) for t in self.names["times"] for z in self.names["depths"]]

    def run(self) -> Any:
        """Run the timed function; return the number of objects of each plane, (times, depths).

        More than `AT_ONCE` planes are done in parts of so many, as the notebook advises for what
        memory does not hold.
        """
        times, depths = self.names["times"], self.names["depths"]
        step = max(1, AT_ONCE // len(depths))
        objects = []
        for start in range(0, len(times), step):
            self.names["times"] = times[start : start + step]
            labels = self.names["together"](self.names["stored"])
            objects.append(labels.max(axis=(2, 3)))
        self.names["times"] = times
        return np.concatenate(objects)

    def segment(self, plane: np.ndarray) -> Any:
        """The notebook's function for one plane."""
        return self.names["segment"](plane)
