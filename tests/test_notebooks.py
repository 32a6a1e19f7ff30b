"""The frame that every stored notebook keeps: one clean run, small, described, well linked."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import nbformat
import pytest
from nbformat import NotebookNode

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted(
    path for path in (ROOT / "notebooks").rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts
)
EXPECTED = {
    "01_what_is_ome_zarr.ipynb",
    "02_explore_multiscale.ipynb",
    "03_segment_in_parallel.ipynb",
    "04_overlay_labels.ipynb",
    "05_what_makes_it_fast.ipynb",
    "06_from_laptop_to_cluster.ipynb",
    "solutions/03_segment_in_parallel.ipynb",
    "solutions/04_overlay_labels.ipynb",
    "solutions/05_what_makes_it_fast.ipynb",
    "solutions/06_from_laptop_to_cluster.ipynb",
}
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]*)[^)]*\)")
IMG = re.compile(r"<img\b[^>]*>", re.IGNORECASE)


def read(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [c for c in notebook.cells if c.cell_type == "code" and c.source.strip()]


def markdown(notebook: NotebookNode) -> str:
    return "\n\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")


def is_exercise(path: Path) -> bool:
    return (path.parent / "solutions" / path.name).exists()


def check_clean_run(notebook: NotebookNode, exercise: bool) -> list[str]:
    """What keeps a notebook from being one clean run; an exercise may end unexecuted."""
    problems = []
    counts = [cell.execution_count for cell in code_cells(notebook)]
    ran = counts[: counts.index(None)] if exercise and None in counts else counts
    if ran != list(range(1, len(ran) + 1)):
        problems.append(f"execution counts {ran}")
    if any(counts[len(ran) :]):
        problems.append("a cell after the first unexecuted one was executed")
    for cell in code_cells(notebook):
        wanted = "raises-exception" in cell.metadata.get("tags", [])
        failed = any(output.output_type == "error" for output in cell.outputs)
        if failed != (wanted and cell.execution_count is not None):
            problems.append(f"error output (or none where one is meant) in: {cell.source[:60]}")
    return problems


each_notebook = pytest.mark.parametrize(
    "path", NOTEBOOKS, ids=[p.relative_to(ROOT / "notebooks").as_posix() for p in NOTEBOOKS]
)


def test_all_notebooks_are_there() -> None:
    found = {path.relative_to(ROOT / "notebooks").as_posix() for path in NOTEBOOKS}
    assert found >= EXPECTED


@each_notebook
def test_stored_notebook_is_valid_and_one_clean_run(path: Path) -> None:
    notebook = read(path)
    nbformat.validate(notebook)
    assert check_clean_run(notebook, is_exercise(path)) == []
    if is_exercise(path):
        assert code_cells(notebook)[0].execution_count == 1


def test_clean_run_check_sees_what_is_wrong() -> None:
    cells = [nbformat.v4.new_code_cell("1", execution_count=n) for n in (1, 3)]
    assert check_clean_run(nbformat.v4.new_notebook(cells=cells), exercise=False)
    cells = [nbformat.v4.new_code_cell("1", execution_count=n) for n in (1, None)]
    assert check_clean_run(nbformat.v4.new_notebook(cells=cells), exercise=False)
    assert not check_clean_run(nbformat.v4.new_notebook(cells=cells), exercise=True)
    error = nbformat.v4.new_output("error", ename="E", evalue="", traceback=[])
    cells = [nbformat.v4.new_code_cell("1", execution_count=1, outputs=[error])]
    assert check_clean_run(nbformat.v4.new_notebook(cells=cells), exercise=False)


@each_notebook
def test_size_and_metadata(path: Path) -> None:
    assert path.stat().st_size < 1_500_000
    metadata = read(path).metadata
    assert metadata.kernelspec.name == "python3"
    assert "widgets" not in metadata


@each_notebook
def test_one_title_and_a_first_cell_with_minutes_and_megabytes(path: Path) -> None:
    notebook = read(path)
    text = re.sub(r"```.*?```", "", markdown(notebook), flags=re.DOTALL)
    assert len(re.findall(r"^# ", text, re.MULTILINE)) == 1
    first = notebook.cells[0]
    assert first.cell_type == "markdown"
    assert first.source.startswith("# ")
    assert re.search(r"\b\d+ minutes\b", first.source)
    assert re.search(r"\b[\d.]+ MB\b", first.source)
    for heading in ("do", "learn", "need"):
        assert re.search(rf"you('|’)?(ll)?( will)? {heading}", first.source, re.IGNORECASE)


@each_notebook
def test_code_cells_are_short_and_use_no_rainbow_map(path: Path) -> None:
    for cell in code_cells(read(path)):
        assert len(cell.source.strip().splitlines()) <= 15, cell.source
        assert not re.search(r"\bjet\b", cell.source)


@each_notebook
def test_links_are_well_formed_and_images_described(path: Path) -> None:
    text = markdown(read(path))
    links = LINK.findall(text)
    assert links
    for image, label, target in links:
        assert label.strip(), f"no text for {target}"
        if image:
            assert len(label.split()) >= 4, f"say what {target} shows"
        parts = urlsplit(target)
        if parts.scheme:
            assert parts.scheme == "https" and "." in parts.netloc, target
        elif parts.path:
            assert (path.parent / parts.path).exists(), target
    for tag in IMG.findall(text):
        assert re.search(r'alt="[^"]{10,}"', tag), tag


@each_notebook
def test_no_address_of_a_passing_server_in_outputs(path: Path) -> None:
    for cell in code_cells(read(path)):
        assert not re.search(r"127\.0\.0\.1:\d+|localhost:\d+", str(cell.outputs)), cell.source
