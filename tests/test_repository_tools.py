"""The tools that refresh stored outputs and check the live images."""

import io
import os
import subprocess
import sys
import time

import nbformat
import pytest
from dask import compute, delayed
from dask.diagnostics import ProgressBar
from nbclient.exceptions import CellExecutionError

from data_helpers import EndpointUnreachableError
from tools import check_live, refresh_notebooks


@pytest.fixture
def notebook(tmp_path):
    """Store a notebook with the given cells, as an untidy editor would; returns its path."""

    def store(*sources):
        cells = [nbformat.v4.new_code_cell(source, id=f"c{n}") for n, source in enumerate(sources)]
        book = nbformat.v4.new_notebook(cells=cells)
        book.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {}}
        book.metadata["language_info"] = {"name": "python", "version": "3.9.1"}
        book.cells[0].metadata["execution"] = {"iopub.status.busy": "2020"}
        book.cells[-1].execution_count = 77
        path = tmp_path / "book.ipynb"
        nbformat.write(book, path)
        return path

    return store


def test_refresh_stores_one_clean_run_without_noise(notebook):
    path = notebook("x = 6", "x * 7", "import ipywidgets as w\nw.IntSlider()")
    refresh_notebooks.refresh(path)
    book = nbformat.read(path, as_version=4)
    assert [cell.execution_count for cell in book.cells] == [1, 2, 3]
    assert book.cells[1].outputs[0].data["text/plain"] == "42"
    assert list(book.cells[2].outputs[0].data) == ["text/plain"]
    assert set(book.metadata) == {"kernelspec", "language_info"}
    assert "version" not in book.metadata.language_info
    assert book.cells[0].metadata == {} and book.cells[0].id == "c0"
    assert path.read_bytes().endswith(b"}\n") and b"\r" not in path.read_bytes()


def test_refreshing_twice_changes_nothing_but_what_says_something(notebook):
    path = notebook("print(object())", "import os; print('a' * 3)")
    refresh_notebooks.refresh(path)
    first = path.read_bytes()
    assert b"object object at 0x" in first
    refresh_notebooks.refresh(path)
    assert path.read_bytes() == first
    path.write_bytes(first.replace(b"'a' * 3", b"'b' * 3"))
    refresh_notebooks.refresh(path)
    assert b"bbb" in path.read_bytes() and b"aaa" not in path.read_bytes()


def test_refresh_stores_no_port_of_a_server_that_is_gone(notebook):
    path = notebook("import os; print(f'http://127.0.0.1:{os.getpid()}/bucket')")
    refresh_notebooks.refresh(path)
    first = path.read_bytes()
    assert b"http://127.0.0.1:PORT/bucket" in first
    path.write_bytes(first.replace(b"127.0.0.1:PORT", b"127.0.0.1:8333"))
    refresh_notebooks.refresh(path)
    assert path.read_bytes() == first
    assert replay(path).returncode == 0


def replay(path) -> subprocess.CompletedProcess:
    """Compare a stored notebook with a new run, as `run.py test` does."""
    command = [sys.executable, "-m", "pytest", "--nbval", "--nbval-sanitize-with"]
    command += [str(refresh_notebooks.SANITIZE), "-p", "no:cacheprovider", "-c", os.devnull]
    return subprocess.run(
        [*command, str(path)], capture_output=True, text=True, timeout=100, cwd=path.parent
    )


def test_a_refreshed_notebook_passes_its_replay_until_an_output_is_wrong(notebook):
    path = notebook("print(object())", "import ipywidgets as w\nw.IntSlider()", "6 * 7")
    refresh_notebooks.refresh(path)
    good = replay(path)
    assert good.returncode == 0 and "3 passed" in good.stdout, good.stdout
    path.write_bytes(path.read_bytes().replace(b"42", b"43"))
    bad = replay(path)
    assert bad.returncode == 1 and "1 failed, 2 passed" in bad.stdout, bad.stdout


def test_the_bar_of_a_slow_run_is_no_difference():
    printed = io.StringIO()
    with ProgressBar(dt=0.01, out=printed):
        compute(delayed(time.sleep)(0.05))
    assert "100% Completed" in printed.getvalue()
    text = printed.getvalue().rpartition("\r")[-1] + "3 requests\n"
    assert refresh_notebooks.sanitized(text, refresh_notebooks.sanitizing_patterns()) == (
        "3 requests\n"
    )


def test_a_notebook_that_fails_is_left_as_it_was(notebook):
    path = notebook("1 / 0")
    before = path.read_bytes()
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        refresh_notebooks.refresh(path)
    assert path.read_bytes() == before


def test_generated_exercises_are_not_run(tmp_path, monkeypatch):
    monkeypatch.setattr(refresh_notebooks, "NOTEBOOKS", tmp_path)
    (tmp_path / "solutions").mkdir()
    for name in ("01_read", "02_exercise", "solutions/02_exercise"):
        (tmp_path / f"{name}.ipynb").touch()
    names = [path.relative_to(tmp_path).as_posix() for path in refresh_notebooks.written_by_hand()]
    assert names == ["01_read.ipynb", "solutions/02_exercise.ipynb"]


def test_the_live_check_reads_every_image(capsys):
    assert check_live.main(["offline"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [": ok, " in line for line in lines] == [True] * 4 + [False]
    assert "labels in the middle plane" in lines[2]


def test_the_live_check_fails_for_an_endpoint_that_does_not_answer(capsys, monkeypatch):
    def unreachable(image_id, *, source):
        raise EndpointUnreachableError("nobody there.")

    monkeypatch.setattr(check_live, "open_multiscale", unreachable)
    assert check_live.main(["offline"]) == 1
    assert capsys.readouterr().out.count("cannot be read: nobody there.") == 4


def test_the_live_check_notices_that_an_image_changed(capsys, monkeypatch):
    real = check_live.layout
    calls = []

    def changed(image):
        calls.append(image)
        return real(image)[: -1 if len(calls) == 1 else None]

    monkeypatch.setattr(check_live, "layout", changed)
    assert check_live.main(["offline"]) == 1
    assert "10 levels but offline 11" in capsys.readouterr().out


def test_only_the_first_endpoint_counts(capsys, monkeypatch):
    real = check_live.look_at

    def first_only(image_id, source):
        if source == "second":
            raise EndpointUnreachableError("switched off.")
        return real(image_id, source)

    monkeypatch.setattr(check_live, "look_at", first_only)
    assert check_live.main(["offline", "second"]) == 0
    assert "second 9822152: cannot be read: switched off." in capsys.readouterr().out
