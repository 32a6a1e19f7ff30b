"""Make the exercise notebooks from their solutions, so that the two never drift apart.

    python tools/make_exercises.py           write the exercises, and the pictures to aim for
    python tools/make_exercises.py --check   compare only; ends with 1 if anything differs

A solution is an ordinary notebook; the tags of its cells say what becomes of them:

``exercise``       what stands right of an ``=``, and what a ``return`` computes, becomes ``...``
``solution-only``  left out of the exercise
``picture``        its figure is saved as the picture to aim for, in notebooks/figures/, also out of
                   the notebooks that are no exercises

Outputs are cleared from the first blank on.
"""

from __future__ import annotations

import argparse
import ast
import base64
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbformat import NotebookNode

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
HOW_TO = """\
**How this exercise works.** Wherever you see `...`, put your own code in its place. Run the cell,
then the check below it, which tells you what is right or what to change. Until you have answered,
later cells wait. Stuck? Open the hint, then the [solution](solutions/{name}).
"""


def make_exercise(solution: NotebookNode, name: str) -> NotebookNode:
    """The exercise of a solution, as a new notebook.

    Parameters
    ----------
    solution : NotebookNode
        The solution, executed.
    name : str
        File name of the solution, which the exercise links to.
    """
    exercise = nbformat.from_dict(solution)
    cells, blank_seen = [], False
    for cell in exercise.cells:
        tags = cell.metadata.get("tags", [])
        if "solution-only" in tags:
            continue
        if "exercise" in tags:
            cell.source, blank_seen = leave_blanks(cell.source), True
        if cell.cell_type == "markdown":
            cell.source = one_folder_up(cell.source)
        elif blank_seen:
            cell.outputs, cell.execution_count = [], None
        cells.append(cell)
    how_to = nbformat.v4.new_markdown_cell(HOW_TO.format(name=name).strip(), id="how-to")
    exercise.cells = [cells[0], how_to, *cells[1:]]
    return exercise


def leave_blanks(source: str) -> str:
    """Replace what is assigned or computed on return by ``...``, and leave the rest as it is.

    >>> leave_blanks("middle = 532 // 2")
    'middle = ...'
    """
    lines = source.encode().splitlines(keepends=True)
    starts = [sum(map(len, lines[:number])) for number in range(len(lines))]
    text = source.encode()
    values = sorted(values_to_blank(ast.parse(source)), key=lambda v: (-v.lineno, -v.col_offset))
    if not values:
        raise SystemExit(f"a cell tagged exercise has nothing to leave blank:\n{source}")
    for value in values:
        assert value.end_lineno is not None and value.end_col_offset is not None
        start = starts[value.lineno - 1] + value.col_offset
        end = starts[value.end_lineno - 1] + value.end_col_offset
        text = text[:start] + b"..." + text[end:]
    blanked = text.decode()
    ast.parse(blanked)
    return blanked


def values_to_blank(tree: ast.AST) -> Iterator[ast.expr]:
    """Expressions that a learner has to write."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            if not all(isinstance(target, ast.Name) for target in node.targets):
                raise SystemExit(f"only a plain name can be left blank: {ast.unparse(node)}")
            yield node.value
        elif isinstance(node, ast.Return) and not isinstance(node.value, ast.Name | None):
            yield node.value


def one_folder_up(text: str) -> str:
    """Links of a solution as they read from its exercise, which lies one folder above."""
    return text.replace("](../", "](").replace('src="../', 'src="')


def picture_to_aim_for(solution: NotebookNode) -> bytes:
    """The figure that the cell tagged ``picture`` has drawn, as PNG."""
    for cell in solution.cells:
        if "picture" in cell.metadata.get("tags", []):
            for output in cell.outputs:
                if "image/png" in output.get("data", {}):
                    return base64.b64decode(output.data["image/png"])
    raise SystemExit("no cell tagged picture has drawn a figure: run the solution first")


def made_files() -> dict[Path, bytes]:
    """Every file this tool makes, with its content."""
    files = {}
    solutions = sorted((NOTEBOOKS / "solutions").glob("*.ipynb"))
    made = {path.name for path in solutions}
    for path in [p for p in sorted(NOTEBOOKS.glob("*.ipynb")) if p.name not in made] + solutions:
        notebook = nbformat.read(path, as_version=4)
        if path in solutions:
            exercise = nbformat.writes(make_exercise(notebook, path.name)) + "\n"
            files[NOTEBOOKS / path.name] = exercise.encode()
        picture = NOTEBOOKS / "figures" / f"{path.stem.split('_')[0]}_picture_to_aim_for.png"
        files[picture] = picture_to_aim_for(notebook)
    return files


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the exercises from the solutions.")
    parser.add_argument("--check", action="store_true", help="compare only, write nothing")
    check = parser.parse_args().check
    differing = [
        (path, content)
        for path, content in made_files().items()
        if not path.exists() or path.read_bytes() != content
    ]
    for path, content in differing:
        print(f"{'differs' if check else 'written'}: {path.relative_to(NOTEBOOKS.parent)}")
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    if check and differing:
        print("run: python tools/make_exercises.py")
    return 1 if check and differing else 0


if __name__ == "__main__":
    sys.exit(main())
