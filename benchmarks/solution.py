"""The code of notebook 03, taken from the cells of its solution, so that nothing is a copy.

The work that the benchmark times is what a learner writes last: plan the tasks, compute them, count
the objects. What comes before (imports, choosing planes, the functions) is set-up.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

NOTEBOOK = Path(__file__).resolve().parents[1] / "notebooks/solutions/03_segment_in_parallel.ipynb"
BEFORE = ("imports", "open", "stored", "planes", "segment", "analyze")
"""Names of the cells that are set-up. Later cells with the tag "exercise" are timed."""


def code() -> tuple[str, str]:
    """The notebook's set-up and the part that is timed, as Python code.

    Raises
    ------
    LookupError
        The notebook lacks a cell that is needed here.
    """
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    named = {cell["id"]: cell for cell in cells if cell["cell_type"] == "code"}
    missing = [name for name in BEFORE if name not in named]
    if missing:
        raise LookupError(f"{NOTEBOOK.name} has no cell named {' or '.join(missing)}")
    names = list(named)
    after = names[names.index(BEFORE[-1]) + 1 :]
    timed = [name for name in after if "exercise" in named[name]["metadata"].get("tags", [])]
    before, later = ("\n".join("".join(named[n]["source"]) for n in ns) for ns in (BEFORE, timed))
    return before, later


class Notebook:
    """The notebook's names after its set-up.

    Parameters
    ----------
    open_multiscale : callable
        What the notebook opens the movie with; gives something with ``arrays`` and ``levels``.
    times, depths : int, optional
        How many time points and depths to take; those of the notebook, ten each, if 0.
    """

    def __init__(
        self, open_multiscale: Callable[[int], Any], times: int = 0, depths: int = 0
    ) -> None:
        before, timed = code()
        self.names: dict[str, Any] = {"__name__": "notebook", "open_multiscale": open_multiscale}
        self._timed = compile(timed, NOTEBOOK.name, "exec")
        exec(compile(before, NOTEBOOK.name, "exec"), self.names)
        if times and depths:
            self.names.update(times=range(times), depths=range(depths))
        # The notebook takes the shape of a plane from one that it read before.
        self.names["plane"] = np.empty(self.names["stored"].shape[-2:])

    @property
    def planes(self) -> list[tuple[int, int]]:
        """The (t, z) of each plane, in the order of the labels."""
        return [(t, z) for t in self.names["times"] for z in self.names["depths"]]

    def run(self) -> Any:
        """Run the timed cells; return the labels of all planes, NumPy (times, depths, y, x)."""
        exec(self._timed, self.names)
        return self.names["labels"]

    def segment(self, plane: np.ndarray) -> Any:
        """The notebook's function for one plane."""
        return self.names["segment"](plane)
