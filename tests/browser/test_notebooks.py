"""Every notebook as a learner meets it: opened in JupyterLab, and run by the menu."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from playwright.sync_api import expect

from .conftest import NARROW, Opened
from .lab import ROOT, Notebook, text_of

NOTEBOOKS = sorted(
    path.relative_to(ROOT / "notebooks").as_posix()
    for path in (ROOT / "notebooks").rglob("*.ipynb")
    if ".ipynb_checkpoints" not in path.parts
)
pytestmark = pytest.mark.timeout(400)
# What is wider than the output or text that it stands in. A table or a line of text may have a
# scroll bar of its own (overflow-x), a picture or a control may not.
TOO_WIDE = """() => {
    const panel = document.querySelector(".jp-NotebookPanel:not(.lm-mod-hidden)")
    const problems = []
    for (const box of panel.querySelectorAll(".jp-OutputArea-output, .jp-MarkdownOutput")) {
        const limit = box.getBoundingClientRect().right + 1
        for (const part of box.querySelectorAll("*:not(svg *):not(.noUi-target *)")) {
            const area = part.getBoundingClientRect()
            if (area.width < 2 || area.right <= limit) continue
            const picture = part.closest("img, canvas, svg, .jupyter-widgets, .ozv")
            let scroller = part
            while (scroller !== box.parentElement &&
                   !(["auto", "scroll"].includes(getComputedStyle(scroller).overflowX) &&
                     scroller.getBoundingClientRect().right <= limit))
                scroller = scroller.parentElement
            if (picture || scroller === box.parentElement)
                problems.push(`${part.tagName} ${part.className}: ${Math.round(area.right - limit)}`
                    + ` px too wide: ${part.textContent.slice(0, 60)}`)
        }
    }
    return problems
}"""
BAD_IMAGES = """() => Array.from(
    document.querySelectorAll(".jp-NotebookPanel:not(.lm-mod-hidden) img"))
    .filter((i) => !i.naturalWidth || Math.abs(
        i.clientWidth / i.clientHeight / (i.naturalWidth / i.naturalHeight) - 1) > 0.02)
    .map((i) => `${i.src.slice(0, 60)}: ${i.clientWidth} x ${i.clientHeight} of `
        + `${i.naturalWidth} x ${i.naturalHeight}`)"""


def take_pictures(notebook: Notebook, screenshots: Path, width: str) -> None:
    """Screenshots of the top, the middle and the end."""
    name = notebook.name.removesuffix(".ipynb").replace("/", "_")
    for number, part in enumerate(("top", "middle", "end")):
        notebook.scroll(number / 2)
        if part == "end":
            expect(notebook.cell(-1)).to_be_in_viewport()
        notebook.page.screenshot(path=screenshots / f"{name}_{width}_{number}_{part}.png")


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_run_all(name: str, lab: Opened, screenshots: Path) -> None:
    """Every cell finishes, without error, warning or a word in the console."""
    notebook = lab.run(name)
    take_pictures(notebook, screenshots, "wide")
    code = [cell for cell in notebook.cells() if cell["type"] == "code" and cell["source"].strip()]
    assert len(code) > 3
    for cell in code:
        waits = "this cell waits" in text_of(cell["outputs"])  # for a blank above it
        wanted = "raises-exception" in cell["tags"] and not waits
        errors = [output for output in cell["outputs"] if output["output_type"] == "error"]
        assert bool(errors) == wanted, f"{cell['source']}\n{errors}"
        assert not [o for o in cell["outputs"] if o.get("name") == "stderr"], cell["source"]
    assert [cell["count"] for cell in code] == list(range(1, len(code) + 1))
    assert lab.errors == []


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_opening_changes_nothing(name: str, lab: Opened) -> None:
    """JupyterLab shows no dot beside the name (not saved) before anything has run."""
    assert not lab.run(name).changed


def test_opening_changes_nothing_with_stored_outputs(lab: Opened) -> None:
    name = "04_overlay_labels.ipynb"
    stored = lab.lab.folder / "home" / "notebooks" / f"stored_{name}"
    shutil.copyfile(ROOT / "notebooks" / "solutions" / name, stored)
    notebook = lab.open(stored.name)
    assert any(cell.get("outputs") for cell in notebook.cells())
    assert not notebook.changed
    lab.close()


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_layout(name: str, lab: Opened, screenshots: Path) -> None:
    """Pictures are whole and in proportion, and nothing sticks out, in a narrow window too."""
    notebook = lab.run(name)
    assert notebook.page.evaluate(BAD_IMAGES) == []
    assert notebook.page.evaluate(TOO_WIDE) == []
    notebook.resize(NARROW)
    take_pictures(notebook, screenshots, "narrow")
    assert notebook.page.evaluate(TOO_WIDE) == []
    assert notebook.page.evaluate(BAD_IMAGES) == []
    assert lab.errors == []


# The least number of check cells, and of cells that wait for an answer.
WAITING = {name: (7, 5) for name in NOTEBOOKS if f"solutions/{name}" in NOTEBOOKS}
WAITING["05_what_makes_reading_fast.ipynb"] = (3, 1)  # it leads up to one short exercise
WAITING["06_from_laptop_to_cluster.ipynb"] = (6, 5)  # one of its steps has two checks
WAITING["09_hand_over.ipynb"] = (9, 5)


@pytest.mark.parametrize("name", WAITING)
def test_an_untouched_exercise_waits_for_answers(name: str, lab: Opened) -> None:
    """Each check says that nothing is answered yet, and what needs an answer waits for it."""
    code = [cell for cell in lab.run(name).cells() if cell["type"] == "code"]
    checks = [cell for cell in code if cell["source"].startswith("check_")]
    said = [text_of(cell["outputs"]) for cell in checks if "progress" not in cell["source"]]
    lines = [line for text in said for line in text.splitlines()]
    assert len(lines) >= WAITING[name][0]
    assert [line for line in lines if not line.startswith("Not answered yet")] == []
    others = [text_of(cell["outputs"]) for cell in code if not cell["source"].startswith("check_")]
    assert sum("this cell waits" in text for text in others) >= WAITING[name][1]
    assert "0 of " in text_of(checks[-1]["outputs"]), "the summary at the end"
