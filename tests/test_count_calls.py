"""tools/count_calls.py: what counts as which call, on small notebooks, and the limits."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tools import count_calls

IMPORTS = """import sys
if "google.colab" in sys.modules:
    %pip install -q something
import dask
import dask.array as da
import matplotlib.pyplot as plt
import numpy as np
from dask import compute, delayed
from skimage.measure import label
import data_helpers as dh
from data_helpers import load_binary_from_s3, open_multiscale, overlay_labels, request_meter
from data_helpers.checks import answered, check_03
from data_helpers.offline import start"""


@pytest.fixture
def count(tmp_path):
    """Count a notebook with the given cells."""

    def count(*codes, texts=("# Title",)):
        path = tmp_path / "02_book.ipynb"
        cells = [new_markdown_cell(text) for text in texts]
        cells += [new_code_cell(code) for code in codes]
        nbformat.write(new_notebook(cells=cells), path)
        return count_calls.count(path)

    return count


@pytest.mark.parametrize(
    ("code", "library", "helper", "dask"),
    [
        ("np.max([1]); da.ones(3); len([1])", "max ones", "", "ones"),
        ("label(np.zeros((3, 3))).max(axis=0)", "label zeros max", "", ""),
        ("image = open_multiscale(1)\nimage.level_for(3)", "", "open_multiscale .level_for", ""),
        (
            "level = open_multiscale(1).levels[4]\n(level[0] + 1).max(axis=0).compute().sum()",
            "max compute sum",
            "open_multiscale",
            "max compute",
        ),
        (
            "a = load_binary_from_s3(1)\nb = a.map_blocks(label, dtype=int)\nb.persist()",
            "map_blocks persist",
            "load_binary_from_s3",
            "map_blocks persist",
        ),
        ("da.from_zarr('a')[0].rechunk(2)", "from_zarr rechunk", "", "from_zarr rechunk"),
        ("a, b = compute(1, 2)\na.max()", "compute max", "", "compute"),
        ("dask.compute([delayed(len)(t) for t in range(3)])", "compute delayed", "", "compute"),
        ("dh.open_multiscale(1).stored[4][0].max()", "max", "open_multiscale", ""),
        (
            "z = open_multiscale(1).stored[4].zarr_array\nz.info_complete()",
            "info_complete",
            "open_multiscale",
            "",
        ),
        ("overlay_labels(1, 2).mean()", "mean", "overlay_labels", ""),
        ("with request_meter() as cost:\n    pass\ncost.plot()", "", "request_meter .plot", ""),
        ("server = start(delay_ms=40)\nserver.stop()", "", "start .stop", ""),
        ("check_03.planes(1)\nif answered(1): plt.show()", "show", "", ""),
        ("figure, axes = plt.subplots(2)\naxes[0].plot()", "subplots plot", "", ""),
        (
            "figure, axes = plt.subplots(2)\nfor n, ax in enumerate(axes.flat):\n    ax.imshow(n)",
            "subplots imshow",
            "",
            "",
        ),
        (
            "def draw(ax):\n    ax.plot()\n\ndraw(plt.subplot())\ndraw(plt.gca())",
            "plot subplot gca",
            "",
            "",
        ),
        (
            "for level in open_multiscale(1).levels:\n    level.mean()",
            "mean",
            "open_multiscale",
            "mean",
        ),
        ("def max(a):\n    return a\n\nmax(np.ones(3)).sum()", "ones sum", "", ""),
        ("%%cost\nnp.ones(3);", "ones", "", ""),
    ],
)
def test_calls(count, code, library, helper, dask):
    found = count(IMPORTS, code)
    assert sorted(found.library.elements()) == sorted(library.split())
    assert sorted(found.helper.elements()) == sorted(helper.split())
    assert sorted(found.dask.elements()) == sorted(dask.split())


def test_checks_are_counted_apart_and_are_no_helper_names(count):
    found = count(IMPORTS, "check_03.planes(1)", "if answered(1):\n    dh.view(start)")
    assert dict(found.checks) == {"planes": 1, "answered": 1}
    assert dict(found.helper) == {"view": 1}
    assert found.names == {"view", "start"}


def test_lines_and_words(count):
    texts = [
        "# A title\n\n![What a picture shows](a.png)\n\n[one](https://a.org/b) <b>two</b> `x` 3",
        "A line.\n\n```python\nnot counted\n```\n\n<details><summary>Hint</summary>\n\nDo it.",
        "",
    ]
    found = count("a = 1\n\n\nb = 2", "c = 3", texts=texts)
    assert (found.lines, found.words, found.first_links) == ([2, 1], [6, 5], 1)


def test_an_exercise_counts_by_its_solution(tmp_path):
    (tmp_path / "solutions").mkdir()
    for name in ("01_a.ipynb", "02_b.ipynb", "solutions/02_b.ipynb"):
        (tmp_path / name).touch()
    names = [path.relative_to(tmp_path).as_posix() for path in count_calls.taught(tmp_path)]
    assert names == ["01_a.ipynb", "solutions/02_b.ipynb"]


def test_each_limit_is_noticed(count):
    names = [f"name_{letter}" for letter in "abcdefghijklm"] + ["practice_server"]
    code = "\n".join(f"{name}()" for name in names)
    texts = [f"# Title\n\n[a](b) [c](d) {'word ' * 120}"]
    found = count(f"from data_helpers import {', '.join(names)}\n{code}", texts=texts)
    said = count_calls.faults([found])
    assert len(said) == 6
    for words, sentence in zip(
        ("13 helper names", "0 Dask", "0 times", "123.0 words", "has 123 words", "has 2 links"),
        said,
        strict=True,
    ):
        assert words in sentence


def test_a_course_within_the_limits_has_no_fault(count):
    operations = "max min sum mean std var any all prod astype".split()
    code = "\n".join(f"da.ones(3).{name}()" for name in operations)
    assert count_calls.faults([count(f"import dask.array as da\n{code}")]) == []


def test_the_numbers_are_printed_and_checked_only_when_asked(tmp_path, monkeypatch, capsys):
    nbformat.write(
        new_notebook(cells=[new_markdown_cell("# Title"), new_code_cell("a = 1")]),
        tmp_path / "01_a.ipynb",
    )
    monkeypatch.setattr(count_calls, "NOTEBOOKS", tmp_path)
    assert count_calls.main([]) == 0
    printed = capsys.readouterr().out
    assert "01_a.ipynb" in printed and "Dask operations (0)" in printed and "wanted" not in printed
    assert count_calls.main(["--check"]) == 1
    assert "0 Dask operations are used; 10 are wanted." in capsys.readouterr().out


def test_the_course_keeps_its_numbers(capsys):
    """Of the real notebooks: what `count_calls.py --check` asks for."""
    assert count_calls.main(["--check"]) == 0, capsys.readouterr().out
