"""run.py check: one line for each check, in time whatever the network does, and a clean report."""

import ast
import functools
import getpass
import os
import platform
import re
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from support.images import write_json
from support.mirrors import make_origin
from support.misbehaving import (
    PORTAL,
    MisbehavingServer,
    hang,
    hang_up,
    not_http,
    replace,
    status,
)

from data_helpers import sources
from tools import check_computer as checking
from tools.check_computer import Trouble, probe

ROOT = Path(__file__).resolve().parents[1]
TOOL = ROOT / "tools" / "check_computer.py"
KEY = checking.PROBE_KEY


@pytest.fixture
def endpoint(tmp_path):
    """A server that holds the document that is asked for."""
    write_json(tmp_path / KEY, {"multiscales": []})
    with MisbehavingServer(tmp_path) as server:
        yield server


@pytest.fixture
def closed_port():
    """A port at which nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.fixture
def proxy():
    """A proxy that refuses everything, with the status that a test sets."""

    class Refuse(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(server.refusal)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_CONNECT = do_GET

        def log_message(self, *args):
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Refuse)
    server.refusal = 403
    server.address = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def told(endpoint, proxies=None):
    with pytest.raises(Trouble) as caught:
        probe(endpoint, proxies or {})
    return str(caught.value)


# --- what is wrong with the network ---------------------------------------------------------------


def test_the_endpoints_are_those_of_the_helper():
    assert checking.ENDPOINTS == sources.PUBLIC_ENDPOINTS
    assert f"idr/{sources.PROBE_KEY}" == checking.PROBE_KEY


def test_a_healthy_endpoint_has_a_latency(endpoint):
    assert 0 < probe(endpoint.endpoint, {}) < 5
    assert endpoint.times_asked(KEY) == 2  # the second one is timed, on the open connection


def test_latency_is_that_of_a_round_trip(endpoint):
    def slowly(request, content):
        time.sleep(0.3)
        return content

    endpoint.fault(KEY, slowly, forever=True)
    assert 0.3 <= probe(endpoint.endpoint, {}) < 3


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (status(403), "denies access"),
        (status(503), "answers 503"),
        (status(404), "answers 404"),
        (
            status(302, Location="https://login.example.org/?x=1"),
            r"sends us to login\.example\.org",
        ),
        (replace(PORTAL), "login page"),
        (replace(b"<html><body>Hello</body></html>"), "login page"),
        (replace(b'{"message": "hello"}'), "something else"),
        (replace(b"[1]"), "something else"),
        (replace(b"\xff\xfe"), "something else"),
        (not_http, "no http"),
        (hang_up, "no http|connection .* fails"),
    ],
    ids=["403", "503", "404", "302", "portal", "html", "json", "list", "bytes", "ssh", "hang up"],
)
def test_each_trouble_has_a_name(endpoint, fault, said):
    endpoint.fault(KEY, fault, forever=True)
    assert re.search(said, told(endpoint.endpoint))


def test_a_hanging_endpoint_is_given_up(endpoint, monkeypatch):
    monkeypatch.setattr(checking, "PROBE_SECONDS", 0.4)
    endpoint.fault(KEY, hang, forever=True)
    begun = time.monotonic()
    assert "no answer" in told(endpoint.endpoint)
    assert time.monotonic() - begun < 4


def test_refused_and_unknown(closed_port):
    assert "refuses the connection" in told(f"http://127.0.0.1:{closed_port}")
    assert "no DNS" in told("http://no-such-host.invalid")


def test_tls_with_an_unknown_certificate_is_named(monkeypatch):
    def intercepted(*_, **__):
        raise checking.ssl.SSLCertVerificationError(1, "self-signed certificate in chain")

    monkeypatch.setattr(checking.http.client.HTTPSConnection, "connect", intercepted)
    assert "TLS interception" in told("https://example.org")


@pytest.mark.parametrize("code", [9, 10])
def test_a_certificate_of_another_time_is_about_the_clock(monkeypatch, code):
    def not_valid(*_, **__):
        error = checking.ssl.SSLCertVerificationError(1, "certificate is not yet valid")
        error.verify_code = code
        raise error

    monkeypatch.setattr(checking.http.client.HTTPSConnection, "connect", not_valid)
    sentence = told("https://example.org")
    assert "set the clock" in sentence and time.strftime("%Y-%m-%d") in sentence


def test_no_tls_at_all(endpoint):
    assert "TLS fails" in told(endpoint.endpoint.replace("http:", "https:"))


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(("code", "said"), [(403, "refuses to pass it on"), (407, "a password")])
def test_a_proxy_that_refuses_is_named(proxy, scheme, code, said):
    proxy.refusal = code
    secret = proxy.address.replace("//", "//anna:secret@")
    sentence = told(f"{scheme}://images.invalid", {scheme: secret})
    assert said in sentence and "the proxy" in sentence
    assert "anna" not in sentence and "secret" not in sentence


def test_a_proxy_that_is_not_there(closed_port):
    for scheme in ("http", "https"):
        sentence = told(f"{scheme}://images.invalid", {scheme: f"127.0.0.1:{closed_port}"})
        assert "the proxy" in sentence and "refuses the connection" in sentence
    sentence = told("https://images.invalid", {"https": "http://no-such-proxy.invalid:3128"})
    assert "no DNS" in sentence and "no-such-proxy" in sentence
    assert "SOCKS" in told("https://images.invalid", {"https": "socks5://127.0.0.1:1"})


def test_a_proxy_is_not_asked_for_loopback(endpoint, proxy):
    assert probe(endpoint.endpoint, {"http": proxy.address}) > 0


def test_the_proxy_line():
    assert checking.check_proxy({}).mark == "ok"
    line = checking.check_proxy({"https": "http://anna:secret@proxy.example.org:3128", "no": "x"})
    assert line.mark == "note" and "https through proxy.example.org:3128" in line.found
    assert "secret" not in line.found


# --- this computer --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "bits", "mark"),
    [((3, 11), 64, "ok"), ((3, 13), 64, "ok"), ((3, 10), 64, "FAIL"), ((3, 12), 32, "FAIL")],
)
def test_python(version, bits, mark):
    assert checking.check_python(version, bits).mark == mark


def test_packages_are_compared_with_the_lock():
    lock = (
        "numpy==0.1 \\\n    --hash=sha256:aa\nno-such-package==1.0\nother==1 ; python_version<'3'\n"
    )
    line = checking.check_packages(lock)
    assert (
        line.mark == "FAIL" and "2 of 2" in line.found and "no-such-package missing" in line.found
    )
    assert "run.py setup" in line.found
    from numpy import __version__

    assert checking.check_packages(f"numpy=={__version__} \\\n    --hash=sha256:aa\n").mark == "ok"


@pytest.mark.parametrize(
    ("total", "free", "mark"),
    [(8000, 4000, "ok"), (8000, 500, "note"), (700, 600, "FAIL"), (None, None, "note")],
)
def test_memory(total, free, mark):
    assert checking.check_memory((total, free)).mark == mark


def test_memory_is_measured():
    total, _ = checking.memory_mb()
    assert total > 500


def test_disk():
    assert checking.check_disk(free=5e9).mark == "ok"
    assert checking.check_disk(free=1e9).mark == "ok"
    assert checking.check_disk(installed=False, free=1e9).mark == "FAIL"
    assert checking.check_disk(free=1e8).mark == "FAIL"


def test_a_folder_that_cannot_be_written_is_said(monkeypatch):
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: real(path, mode) and not mode & os.W_OK)
    line = checking.check_disk(free=5e9)
    assert line.mark == "note" and "cannot be saved" in line.found
    line = checking.check_disk(installed=False, free=5e9)
    assert line.mark == "FAIL" and "copy the tutorial" in line.found


def test_no_place_for_temporary_files_is_said_and_ends_no_report(monkeypatch):
    def none():
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(checking.tempfile, "gettempdir", none)
    line = checking.check_disk(free=5e9)
    assert line.mark == "FAIL" and "set TMPDIR" in line.found
    assert "TMPDIR" in checking.as_line(line)


LISTING = """JupyterLab v4.6.6
/x/share/jupyter/labextensions
        anywidget v0.11.0 \x1b[32menabled\x1b[0m \x1b[32m OK\x1b[0m
        @jupyter-widgets/jupyterlab-manager v5.0.15 enabled OK (python, jupyterlab_widgets)
"""


def test_widgets():
    line = checking.check_widgets(0, LISTING)
    assert line.mark == "ok" and "anywidget v0.11.0" in line.found
    for listing in (
        LISTING.replace("anywidget", "x"),
        LISTING.replace("enabled OK (", "disabled ("),
    ):
        line = checking.check_widgets(0, listing)
        assert line.mark == "FAIL" and "run.py setup" in line.found


def test_ports(monkeypatch):
    assert checking.check_loopback().mark == "ok"

    def forbidden(*_, **__):
        raise PermissionError("not permitted")

    monkeypatch.setattr(checking.socket, "create_connection", forbidden)
    line = checking.check_loopback()
    assert line.mark == "FAIL" and "firewall" in line.found


# --- the report -----------------------------------------------------------------------------------


def test_traces_of_a_person_are_left_out():
    home = "/".join(["", "home", "anna"])
    folder = "\\".join(["C:", "Users", "anna"])
    known = (
        {home: "~", folder: "~"},
        {"anna": "(user)", "annas-laptop": "(this computer)"},
    )
    text = (
        f"{home}/x anna annas-laptop 192.168.1.7:8888 fe80::1ff:fe23:4567:890a ::1 "
        f"http://bob:pw@proxy:1 ?token=abc123def&x=1 {folder}\\y "
        "0123456789abcdef0123456789abcdef0123456789abcdef savanna 14:50 UTC 2026-11-22"
    )
    clean = checking.without_traces(text, known)
    for trace in (home, "192.168", "fe80", "bob", "pw@", "abc123", folder, "0123456789abcdef"):
        assert trace not in clean
    assert not re.search(r"\banna\b", clean) and "annas-laptop" not in clean
    assert "savanna 14:50 UTC 2026-11-22" in clean and "~/x" in clean


def test_no_internet_is_no_fail_but_it_is_said():
    fine, offline = checking.ok("python", "3.12"), checking.note("uk1s3", "cannot be used")
    assert checking.verdict([fine, checking.ok("uk1s3", "answers")]).startswith("PASS: ")
    assert checking.verdict([fine, offline]).startswith("PASS without internet: ")
    assert "synthetic" in checking.verdict([fine, offline])
    assert "mirror" in checking.verdict([fine, checking.ok("mirror", "x"), offline])
    assert checking.verdict([fine, checking.fail("disk", "full")]).startswith("FAIL: disk")


def test_a_check_that_hangs_or_breaks_does_not_hold_up_the_others():
    checks = {
        "slow": functools.partial(time.sleep, 20),
        "broken": lambda: 1 / 0,
        "good": lambda: checking.ok("good", "x"),
    }
    begun = time.monotonic()
    found = list(checking.run_checks(checks, begun + 0.5))
    assert time.monotonic() - begun < 4
    assert [result.mark for result in found] == ["note", "note", "ok"]
    assert [result.name for result in found] == list(checks)


def run_check(report, *arguments, timeout=40, **variables):
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, str(TOOL), "--report", str(report), *arguments],
        capture_output=True,
        encoding="utf-8",
        timeout=timeout,
        env=os.environ | {"OME_ZARR_SOURCE": "", "PYTHONUTF8": "1"} | variables,
    )
    return done, time.monotonic() - begun, report.read_text(encoding="utf-8").splitlines()


def lines_by_name(lines):
    found = [re.match(r"(ok|FAIL|note) +(\S+) +(.+)", line) for line in lines]
    return {match[2]: (match[1], match[3]) for match in found if match}


@pytest.mark.timeout(60)
def test_everything_with_one_good_and_one_hanging_endpoint(tmp_path):
    """The real thing in a process of its own: also on a busy computer it ends in time."""
    make_origin(tmp_path / "origin")
    with MisbehavingServer(tmp_path / "origin") as good, MisbehavingServer(tmp_path) as bad:
        bad.fault("*", hang, forever=True)
        sources_ = [f"--endpoint=livingobjects={good.endpoint}", f"--endpoint=uk1s3={bad.endpoint}"]
        report = tmp_path / "report.txt"
        done, seconds, lines = run_check(report, *sources_, USER="anna", HOME=str(tmp_path))
    assert seconds < 20.5 and done.stderr == ""
    found = lines_by_name(lines)
    assert list(found) == [
        *("python", "memory", "disk", "ports", "packages", "widgets", "offline", "proxy"),
        *("livingobjects", "uk1s3"),
    ]
    assert found["ports"][0] == "ok" and "loopback" in found["ports"][1]
    assert found["uk1s3"][0] == "note" and re.search("no answer|no result", found["uk1s3"][1])
    if "took too long" not in found["livingobjects"][1]:  # a very busy computer
        assert found["livingobjects"][0] == "ok", found["livingobjects"]
        assert "read in" in found["livingobjects"][1]
    if "gave no chunk in" not in found["offline"][1]:
        assert (
            found["offline"] == ("ok", found["offline"][1]) and "right pix" in found["offline"][1]
        )
    assert lines[-1].startswith(("PASS", "FAIL"))
    assert (done.returncode == 0) == lines[-1].startswith("PASS")
    shown = done.stdout.splitlines()
    assert shown[:-1] == lines and "report.txt" in shown[-1]
    text = "\n".join(lines)
    traces = [str(tmp_path), str(Path.home()), "127.0.0.1", platform.node(), str(ROOT)]
    for trace in (*traces, "anna", getpass.getuser()):
        assert len(trace) < 2 or not re.search(rf"(?<!\w){re.escape(trace)}(?!\w)", text), trace


@pytest.mark.timeout(60)
def test_without_an_environment_it_says_what_to_run(tmp_path, closed_port):
    """With a Python that has no packages at all."""
    report = tmp_path / "report.txt"
    sources_ = [f"--endpoint=uk1s3=http://127.0.0.1:{closed_port}"]
    done = subprocess.run(
        [
            sys.executable,
            "-I",
            "-S",
            str(TOOL),
            "--no-environment",
            "--report",
            str(report),
            *sources_,
        ],
        capture_output=True,
        encoding="utf-8",
        timeout=40,
    )
    found = lines_by_name(report.read_text(encoding="utf-8").splitlines())
    assert done.returncode == 1, done.stderr
    assert found["environment"][0] == "FAIL" and "python3 run.py setup" in found["environment"][1]
    assert found["python"][0] == found["ports"][0] == "ok" and "offline" not in found
    assert "refuses the connection" in found["uk1s3"][1]


@pytest.mark.timeout(60)
@pytest.mark.skipif(os.name == "nt", reason="NOT CHECKED: Windows always has a home folder")
def test_without_home_and_temporary_folder_it_still_reports(tmp_path, closed_port):
    report = tmp_path / "report.txt"
    nowhere = {"HOME": "/dev/null", "TMPDIR": "/dev/null/x", "XDG_DATA_HOME": "/dev/null"}
    command = [sys.executable, str(ROOT / "run.py"), "check", "--report", str(report)]
    command += ["--no-environment", f"--endpoint=uk1s3=http://127.0.0.1:{closed_port}"]
    done = subprocess.run(
        command, capture_output=True, encoding="utf-8", timeout=50, env=os.environ | nowhere
    )
    assert "Traceback" not in done.stdout + done.stderr and done.stderr == ""
    found = lines_by_name(report.read_text(encoding="utf-8").splitlines())
    assert found["python"][0] == found["ports"][0] == "ok"


def test_a_report_that_cannot_be_written_is_no_problem(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(checking, "Reading", lambda *_: None)
    monkeypatch.setattr(checking, "run_checks", lambda *_: iter([checking.ok("python", "x")]))
    assert checking.main(["--report", str(tmp_path / "no" / "such" / "folder")]) == 0
    assert "cannot be written" in capsys.readouterr().out


def test_an_old_python_can_read_it():
    """What runs before there is an environment must not need a new Python."""
    parts = (ROOT / "tools" / "claim.py", ROOT / "tools" / "places.py")
    for path in (TOOL, ROOT / "run.py", ROOT / "tools" / "lab_server.py", *parts):
        ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 7))
    imported = set()
    for path in (TOOL, *parts):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Import):
                imported |= {name.name.split(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(node.module.split(".")[0])
    assert imported <= set(sys.stdlib_module_names)
