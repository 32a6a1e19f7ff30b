"""What the teaching kit says a program prints is what it prints: live code, hints of the checks."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from pathlib import Path

import pytest
from support.repository import ROOT, read, section

TEACHING = ROOT / "docs" / "teaching"
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
EXERCISES = [path for path in NOTEBOOKS if (path.parent / "solutions" / path.name).exists()]


def notes(notebook: Path) -> Path:
    return TEACHING / f"notes_{notebook.name[:2]}.md"


def run_live(blocks: list[str]) -> list[str]:
    """Run blocks of code in one namespace; what differs from the "# gives" beside it."""
    namespace: dict[str, object] = {}
    wrong = []
    for block in blocks:
        tokens = tokenize.generate_tokens(io.StringIO(block).readline)
        gives = {
            token.start[0]: token.string.removeprefix("# gives ")
            for token in tokens
            if token.type == tokenize.COMMENT and token.string.startswith("# gives ")
        }
        for node in ast.parse(block).body:
            if isinstance(node, ast.Expr) and node.end_lineno in gives:
                value = eval(compile(ast.Expression(node.value), "live", "eval"), namespace)
                if repr(value) != gives.pop(node.end_lineno):
                    wrong.append(f"{ast.unparse(node)} gives {value!r}")
            else:
                exec(compile(ast.Module([node], []), "live", "exec"), namespace)
        wrong += [f"nothing is compared with {value}" for value in gives.values()]
    return wrong


@pytest.mark.timeout(90)
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_live_code_runs_and_gives_what_it_says(notebook, offline):
    blocks = re.findall(
        r"```python\n(.*?)```", section(notes(notebook), "What to type live"), re.DOTALL
    )
    assert len(blocks) >= 3
    assert run_live(blocks) == []


def test_run_live_notices_a_wrong_value():
    assert run_live(["a = 1", "a + 1  # gives 2"]) == []
    assert run_live(["1 + 1  # gives 3"]) == ["1 + 1 gives 2"]
    assert run_live(["a = 1  # gives 1"]) == ["nothing is compared with 1"]


def test_the_rescue_on_the_trouble_page_runs(offline):
    [block] = re.findall(
        r"```python\n(.*?)```", read(TEACHING / "when_things_go_wrong.md"), re.DOTALL
    )
    assert run_live([block]) == []


def hints(number: str) -> str:
    """All text in the source of the checks of a notebook; a gap where a value is put in."""
    checks = ROOT / "data_helpers" / "checks"
    source = "".join(map(read, [*sorted(checks.glob(f"*_{number}.py")), checks / "feedback.py"]))
    strings = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant))
    return "\n".join(node.value for node in strings if isinstance(node.value, str))


@pytest.mark.parametrize("notebook", EXERCISES, ids=lambda path: path.stem)
def test_mistakes_quote_what_the_checks_really_say(notebook):
    table = section(notes(notebook), "Mistakes seen")
    quoted = re.findall(r"^\| `(.+?)` \|", table, re.MULTILINE)
    assert len(quoted) >= 8
    said = hints(notebook.name[:2])
    assert [quote for quote in quoted if quote not in said] == []
