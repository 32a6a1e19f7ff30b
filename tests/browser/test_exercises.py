"""The checks of the exercises as a learner meets them: wrong, hint, right."""

from __future__ import annotations

import re

import nbformat
import pytest

from .conftest import Opened
from .lab import ROOT, text_of

pytestmark = pytest.mark.timeout(400)
LINE = re.compile(r"Correct: |(\d+ of|All) \d+ steps (is|are) right\.$")
# For each cell to fill in: what to change in the solution, into what, and a part of the hint.
STEPS = {
    "03_segment_in_parallel.ipynb": [
        ("middle_z + 5", "middle_z + 4", "leaves out stop"),
        ("1, depths[0]", "0, depths[0]", "this is the first channel"),
        ("smooth > ", "smooth < ", "the background is labelled"),
        ("[t, c, z]", "[t, 0, z]", "although c is 1"),
        ("(t, 1, z)", "(t, 0, z)", "the tasks read the first channel"),
        ("compute(*tasks)", "compute(tasks)", "with a star"),
        ("axis=(2, 3)", "axis=(0, 1)", "the planes were reduced"),
        ("1, depths[0] :", "0, depths[0] :", "this is the first channel"),
        ("map_blocks(segment_block", "map_blocks(segment", "segment was given a whole block"),
        (".reshape(block.shape)", "", "stack and reshape"),
    ],
    "04_overlay_labels.ipynb": [
        ("(6001247)", '(6001247, "1")', "this is a coarser level"),
        ("lazy_labels.compute()", "lazy_labels", "is still lazy"),
        ("labels[0, 0]", "pixels[0, 0]", "masks is a channel of the image"),
        ('style="fill"', 'style="outline"', "filled shows outlines"),
        ("[2:]", "", "leave out the first two"),
        ("spacing=voxel_size,", "", "not µm³"),
        ("np.isin(measured", "~np.isin(measured", "the other way round"),
    ],
    "05_what_makes_reading_fast.ipynb": [
        ("len(times)", "len(times) * len(regions)", "what the loop sends"),
        ("+ 1, 1, 494]", "+ 1, 0, 494]", "curves of the other channel"),
        ("(16, 1, 32, 32)", "(4, 4, 32, 45)", "one chunk holds all times"),
    ],
    "06_from_laptop_to_cluster.ipynb": [
        ("client.gather(futures)", "futures", "client.gather(futures) waits for them"),
        ("filters.gaussian(coarse, sigma=1, preserve_range=True)", "coarse", "not smoothed first"),
        ("8 / size", "8 * size", "this multiplies"),
        ("finish", "compute", "the list of failed blocks"),
        (" * share", "", "multiply by share"),
    ],
    "08_make_and_publish.ipynb": [
        ('["PhysicalSizeY"], about["PhysicalSizeX"]', '["SizeY"], about["SizeX"]', "how many"),
        ('"czyx"', '"cxyz"', "the other way round"),
        ("len(np.setdiff1d(averaged, plane))", "np.setdiff1d(averaged, plane)", "How many are"),
        ("DASK_IMAGE_MODE", "DASK_BIN_SHRINK", "labels were averaged"),
        ('"z": 4', '"z": 16', "along z, 16 chunks of 16 are 256 voxels"),
        ('"rgba": [255', '"rgba": [256', "outside 0 to 255"),
        ("!=", "==", "voxels that survived"),
        ('["0", "2"]', '["0", "1", "2"]', "and C has no such array"),
        ("s3:ListBucket", "s3:PutObject", "could write over your image"),
    ],
    "09_hand_over.ipynb": [
        (" / 65535", "", "fractions from 0 to 1"),
        ('["sizeshape"](masks, None)', "", "the dictionary of functions"),
        ('index="row", columns="column"', 'index="column", columns="row"', "on its side"),
        ("return both.sum()", "return 2 * both.sum()", "should give 0.20"),
        ("[1, 2]", "[2, 1]", "swapped"),
        ("marked = scribbles > 0", "marked = scribbles >= 0", "0 became a class"),
        ("guess == 1", "guess", "background is 2"),
        ('"depth": (0, 10, 0, 0)', '"depth": 0', "a seam at every cut"),
        ("return split(", "return (", "this is a mask"),
    ],
}


def answers(name: str) -> list[str]:
    """The solution of each cell that is to be filled in."""
    solution = nbformat.read(ROOT / "notebooks" / "solutions" / name, as_version=4)
    return [c.source for c in solution.cells if "exercise" in c.metadata.get("tags", [])]


@pytest.mark.parametrize("name", STEPS)
def test_wrong_then_hint_then_right(name: str, lab: Opened) -> None:
    notebook = lab.run(name)
    cells = notebook.cells()
    blanks = [i for i, cell in enumerate(cells) if "exercise" in cell["tags"]]
    right = answers(name)
    assert len(blanks) == len(right) >= len(STEPS[name])
    done = blanks[0]
    for index, solution, (old, new, hint) in zip(blanks, right, STEPS[name], strict=False):
        for between in range(done + 1, index):  # as a learner goes on, from cell to cell
            if cells[between]["type"] == "code":
                errors = errors_in(notebook.run_cell(between))
                assert not errors or "raises-exception" in cells[between]["tags"], errors
        assert "..." in cells[index]["source"] and old in solution
        check = next(i for i in range(index + 1, len(cells)) if cells[i]["type"] == "code")
        assert text_of(cells[check]["outputs"]).startswith("Not answered yet")

        notebook.retype(index, solution.replace(old, new))
        assert not errors_in(notebook.run_cell(index))
        said = text_of(notebook.run_cell(check)["outputs"])
        assert said.startswith("Not yet: ") and hint in said, said

        notebook.retype(index, solution)
        assert not errors_in(notebook.run_cell(index))
        said = text_of(notebook.run_cell(check)["outputs"])
        assert all(LINE.match(line) for line in said.splitlines()), said
        assert notebook.cell(check).get_by_text("✓ Correct").first.is_visible()
        done = check
    assert lab.errors == []
    lab.close()


def errors_in(cell: dict) -> list[str]:
    return [output["evalue"] for output in cell["outputs"] if output["output_type"] == "error"]
