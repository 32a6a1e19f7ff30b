"""tools/lab_server.py: JupyterLab's address said once, its log in a file, its end passed on."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import run
from tools import lab_server

ROOT = Path(__file__).resolve().parents[1]
SAYS = """\
[I ServerApp] Jupyter Server 2.20.0 is running at:
[I ServerApp] http://127.0.0.1:8899/lab/tree/notebooks/01.ipynb?token=abc123
[I ServerApp]     http://127.0.0.1:8899/lab/tree/notebooks/01.ipynb?token=abc123
"""
SHORT = "http://127.0.0.1:8899/?token=abc123"


def pretend(code, says=SAYS):
    """A command that says what JupyterLab says, and then runs some code."""
    return [sys.executable, "-c", f"print({says!r}, flush=True)\n{code}"]


def test_the_address_is_framed_and_said_once(tmp_path, capfd):
    code = "import time; time.sleep(0.5); raise SystemExit(3)"
    assert lab_server.serve(pretend(code), dict(os.environ), tmp_path) == 3
    said = capfd.readouterr().out
    assert said.count("http") == 1 and SHORT in said.splitlines()
    assert said.splitlines()[0] == said.splitlines()[-1] == lab_server.LINE
    assert str(Path("build", "jupyterlab.log")) in said and "Your browser opens it" in said
    assert (tmp_path / "build" / "jupyterlab.log").read_text().startswith("[I ServerApp]")


def test_without_a_browser_the_reader_is_asked_to_open_it(tmp_path, capfd):
    command = [*pretend("import time; time.sleep(0.5)"), "--no-browser"]
    assert lab_server.serve(command, dict(os.environ), tmp_path) == 0
    assert "Open it in your browser:" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("line", "address"),
    [
        ("http://localhost:8888/lab/tree/notebooks/01.ipynb\n", "http://localhost:8888/"),
        ("https://127.0.0.1:1/hub/lab/tree/a?token=x\n", "https://127.0.0.1:1/hub/?token=x"),
        ("http://127.0.0.1:8888/lab/tree/notebo", ""),  # not written to its end yet
        ("the port 8888 is in use\n", ""),
    ],
)
def test_addresses(line, address):
    assert lab_server.address_in(line) == address


def test_a_lab_that_does_not_start_shows_its_last_words(tmp_path, capfd):
    says = "\n".join(f"line {n}" for n in range(40)) + "\nport 8888 is in use"
    assert lab_server.serve(pretend("raise SystemExit(1)", says), dict(os.environ), tmp_path) == 1
    said = capfd.readouterr().out
    assert "port 8888 is in use" in said and "line 3\n" not in said
    assert "ended before it was ready" in said and "jupyterlab.log" in said


@pytest.mark.skipif(os.name == "nt", reason="NOT CHECKED: Windows has no rights as these")
def test_two_labs_write_two_logs_that_only_their_user_reads(tmp_path):
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "jupyterlab.log").write_text("of yesterday")
    (one, first), (two, second) = lab_server.open_log(tmp_path), lab_server.open_log(tmp_path)
    os.close(one)
    os.close(two)
    assert [first.name, second.name] == ["jupyterlab.log", "jupyterlab-2.log"]
    assert first.read_text() == "" and second.stat().st_mode & 0o077 == 0


def test_a_folder_that_cannot_be_written_to_has_its_log_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setattr(lab_server, "can_write", lambda _: False)
    monkeypatch.setattr(lab_server.tempfile, "gettempdir", lambda: str(tmp_path / "temporary"))
    file, path = lab_server.open_log(tmp_path / "read-only")
    os.close(file)
    assert path.parent == tmp_path / "temporary"


@pytest.mark.skipif(os.name == "nt", reason="NOT CHECKED: on Windows Ctrl-C reaches JupyterLab")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_signals_end_jupyterlab_and_then_run(tmp_path, name):
    code = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(7)); "
    command = pretend(code + f"print({SAYS!r}, flush=True); time.sleep(60)", "")
    start = f"import os, pathlib, sys; sys.path.insert(0, {str(ROOT)!r}); import tools.lab_server; "
    start += f"sys.exit(tools.lab_server.serve({command!r}, dict(os.environ), "
    start += f"pathlib.Path({str(tmp_path)!r})))"
    with subprocess.Popen([sys.executable, "-c", start], stdout=subprocess.PIPE) as process:
        while SHORT.encode() not in process.stdout.readline():
            pass
        began = time.monotonic()
        process.send_signal(getattr(signal, name))
        assert process.wait(30) == 7 and time.monotonic() - began < 20


def test_help_has_one_line_for_each_command():
    done = subprocess.run(
        [sys.executable, run.__file__, "--help"], capture_output=True, text=True, timeout=60
    )
    lines = re.findall(r"^python3 run\.py (\w+).*  \S.*$", done.stdout, re.MULTILINE)
    assert lines == ["lab", "setup", "check", "kit", "test", "bench", "tool", "python"]
    assert "build/jupyterlab.log" in done.stdout and max(map(len, done.stdout.split("\n"))) < 110
