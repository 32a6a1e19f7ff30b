"""The exercises are made from their solutions, and give nothing away.

That they run untouched is seen by nbval, and in a browser (tests/browser/test_notebooks.py).
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parent.parent
NOTEBOOKS = ROOT / "notebooks"
sys.path.insert(0, str(ROOT / "tools"))

import make_exercises  # noqa: E402

NAMES = sorted(path.name for path in (NOTEBOOKS / "solutions").glob("*.ipynb"))
each_exercise = pytest.mark.parametrize("name", NAMES)
# The least number of checks; notebook 05 leads up to one short exercise, 06 is long without them.
LEAST = dict.fromkeys(NAMES, 7)
LEAST |= {"05_what_makes_reading_fast.ipynb": 3, "06_from_laptop_to_cluster.ipynb": 5}


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def pair(name: str) -> tuple[nbformat.NotebookNode, nbformat.NotebookNode]:
    return read(NOTEBOOKS / name), read(NOTEBOOKS / "solutions" / name)


def tags(cell: nbformat.NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


def headings(notebook: nbformat.NotebookNode) -> list[str]:
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    return re.findall(r"^#+ .*", text, re.MULTILINE)


def blanks(source: str) -> int:
    """Number of ``...`` in the code of a cell."""
    code = re.sub(r"^(\s*)%.*", r"\1pass", source, flags=re.MULTILINE)
    return sum(
        isinstance(node, ast.Constant) and node.value is ... for node in ast.walk(ast.parse(code))
    )


def printed(notebook: nbformat.NotebookNode, checks: bool) -> list[str]:
    """Lines printed by the check cells, or by all other cells."""
    texts = [
        output.get("text", "") or output.get("data", {}).get("text/plain", "")
        for cell in notebook.cells
        if cell.cell_type == "code" and cell.source.startswith("check_") == checks
        for output in cell.outputs
    ]
    return [line for text in texts for line in text.splitlines()]


def test_both_exercises_are_there() -> None:
    assert [name[:3] for name in NAMES] == ["03_", "04_", "05_", "06_", "08_", "09_"]


def test_committed_exercises_are_those_made_from_the_solutions() -> None:
    command = [sys.executable, str(ROOT / "tools" / "make_exercises.py"), "--check"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stdout + run.stderr


@each_exercise
def test_solution_has_no_blank_and_every_check_passed(name: str) -> None:
    solution = pair(name)[1]
    assert not any(blanks(cell.source) for cell in solution.cells if cell.cell_type == "code")
    lines = printed(solution, checks=True)
    assert len(lines) >= LEAST[name]
    assert sum(line.startswith("Correct: ") for line in lines) >= LEAST[name]
    assert not any(line.startswith("Not ") or "not yet" in line for line in lines)
    [headline] = [line for line in lines if line.startswith("Notebook ")]
    assert re.fullmatch(rf"Notebook {name[:2]}: All \d steps are right", headline)
    assert not any("Not answered yet" in line for line in printed(solution, checks=False))


@each_exercise
def test_blanks_are_where_the_solution_has_answers(name: str) -> None:
    exercise, solution = pair(name)
    with_blanks = {
        cell.id for cell in exercise.cells if cell.cell_type == "code" and blanks(cell.source)
    }
    assert with_blanks == {cell.id for cell in solution.cells if "exercise" in tags(cell)}
    assert len(with_blanks) >= LEAST[name]


@each_exercise
def test_each_blank_is_followed_by_its_check_and_has_a_hint(name: str) -> None:
    cells = pair(name)[0].cells
    for number, cell in enumerate(cells):
        if "exercise" in tags(cell):
            names = re.findall(r"^(?:    )?(\w+) = \.\.\.|^def (\w+)", cell.source, re.MULTILINE)
            assert cells[number + 1].source.startswith("check_"), cell.source
            assert any(one or two in cells[number + 1].source for one, two in names)
            before = [c.source for c in cells[:number] if c.cell_type == "markdown"]
            assert "<details><summary>Hint</summary>" in before[-1]


@each_exercise
def test_headings_agree_and_the_exercise_says_how_it_works(name: str) -> None:
    exercise, solution = pair(name)
    assert headings(exercise) == headings(solution)
    assert f"solutions/{name}" in exercise.cells[1].source
    assert f"../{name}" in solution.cells[1].source
    text = "".join(c.source for c in exercise.cells if c.cell_type == "markdown")
    assert not re.search(r"\.\./(?!docs/)", text)


@each_exercise
def test_outputs_are_kept_up_to_the_first_blank_only(name: str) -> None:
    exercise, solution = pair(name)
    code = [cell for cell in exercise.cells if cell.cell_type == "code"]
    first = next(number for number, cell in enumerate(code) if blanks(cell.source))
    stored = {cell.id: cell for cell in solution.cells}
    assert any(cell.outputs for cell in code[:first])
    for cell in code[:first]:
        assert cell.outputs == stored[cell.id].outputs
        assert cell.execution_count == stored[cell.id].execution_count
    for cell in code[first:]:
        assert cell.outputs == [] and cell.execution_count is None


# The tool


def test_blanks_keep_names_signatures_and_comments() -> None:
    source = '''size = round(
    2.5
)  # pixels
def area(side):
    """Of a square."""
    squared = side ** 2; half = "µ" + str(2)
    return squared

def twice(x): return 2 * x'''
    assert (
        make_exercises.leave_blanks(source)
        == '''size = ...  # pixels
def area(side):
    """Of a square."""
    squared = ...; half = ...
    return squared

def twice(x): return ...'''
    )


@pytest.mark.parametrize("source", ["print(1)", "a, b = 1, 2", "a[0] = 1"])
def test_cells_that_cannot_be_blanked_are_refused(source: str) -> None:
    with pytest.raises(SystemExit, match="blank"):
        make_exercises.leave_blanks(source)


def test_check_sees_a_changed_exercise(tmp_path: Path, monkeypatch, capsys) -> None:
    solutions = tmp_path / "notebooks" / "solutions"
    solutions.mkdir(parents=True)
    for name in NAMES:
        (solutions / name).write_bytes((NOTEBOOKS / "solutions" / name).read_bytes())
    monkeypatch.setattr(make_exercises, "NOTEBOOKS", tmp_path / "notebooks")
    monkeypatch.setattr(sys, "argv", ["make_exercises.py"])
    assert make_exercises.main() == 0
    monkeypatch.setattr(sys, "argv", ["make_exercises.py", "--check"])
    assert make_exercises.main() == 0
    changed = tmp_path / "notebooks" / NAMES[0]
    changed.write_text(changed.read_text("utf-8").replace("...", "None", 1), "utf-8")
    capsys.readouterr()
    assert make_exercises.main() == 1
    assert f"differs: notebooks/{NAMES[0]}" in capsys.readouterr().out
