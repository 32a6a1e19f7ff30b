"""README's figure and index table say what the stored notebooks say."""

from __future__ import annotations

import re

import pytest

from tools import make_readme_figure, measure_notebooks

INDEX = sorted(measure_notebooks.NOTEBOOKS.glob("*.ipynb"))


def table_rows() -> list[str]:
    text = measure_notebooks.README.read_text(encoding="utf-8")
    assert measure_notebooks.HEAD in text
    return re.findall(r"^\| \w\d \[.*$", text, re.MULTILINE)


def test_the_figure_is_the_one_that_notebook_02_drew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["make_readme_figure.py", "--check"])
    assert make_readme_figure.main() == 0
    monkeypatch.setattr(make_readme_figure, "stored_figure", lambda: b"another")
    assert make_readme_figure.main() == 1


@pytest.mark.parametrize("number", range(len(INDEX)), ids=[path.name for path in INDEX])
def test_the_table_has_the_notebooks_own_minutes_and_megabytes(number: int) -> None:
    row = table_rows()[number]
    memory = re.search(r"\| (\d+) MB \| \[Binder\]", row)
    assert memory, row
    assert 50 < int(memory[1]) < 1000
    assert row == measure_notebooks.row(INDEX[number], float(memory[1]))


def test_every_notebook_has_one_row() -> None:
    assert len(table_rows()) == len(INDEX)
