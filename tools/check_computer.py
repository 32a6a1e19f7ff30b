"""Say in 20 seconds whether a computer and its network are ready: `python3 run.py check`.

One line for each check (ok, FAIL or note: what was found, what to try), one PASS or FAIL at the
end, and the same in check-report.txt, which can be pasted into an e-mail: it names no user, no home
folder, no IP address and no token. No internet is no FAIL, because the tutorial works without.

All checks run side by side, each in a thread, and none is waited for beyond `BUDGET`. What needs
the tutorial's packages runs in a process of its own (`worker`). Without these packages, and also on
an old Python, the other checks still run: this file imports the standard library only.
"""

from __future__ import annotations

import argparse
import base64
import collections
import ctypes
import getpass
import http.client
import json
import os
import platform
import queue
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parents[1]
REPORT = ROOT / "check-report.txt"
BUDGET = 16.0  # seconds for all checks together
PROBE_SECONDS = 8.0  # for each step of talking to an endpoint
ENDPOINTS = {  # the same as in data_helpers/sources.py, which needs packages
    "livingobjects": "https://livingobjects.ebi.ac.uk",
    "uk1s3": "https://uk1s3.embassy.ebi.ac.uk",
}
PROBE_KEY = "idr/zarr/v0.1/6001247.zarr/.zattrs"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
CLOCK_CODES = (9, 10)  # of OpenSSL: a certificate is not valid yet, or not any more
PYTHONS = ((3, 11), (3, 13))
SETUP = "run: python3 run.py setup"
MEMORY_MB, DISK_MB, DISK_SETUP_MB = 1000, 300, 1500
KEY_PACKAGES = ("zarr", "dask", "numpy", "jupyterlab", "ipywidgets", "anywidget")
WIDGETS = ("@jupyter-widgets/jupyterlab-manager", "anywidget")

Result = collections.namedtuple("Result", "mark name found")


def ok(name, found):
    return Result("ok", name, found)


def fail(name, found):
    return Result("FAIL", name, found)


def note(name, found):
    return Result("note", name, found)


# --- this computer ------------------------------------------------------------------------------


def check_python(version=sys.version_info[:2], bits=64 if sys.maxsize > 2**32 else 32):
    written = "{}.{}, {} bit".format(*version, bits)
    if not PYTHONS[0] <= version <= PYTHONS[1]:
        return fail("python", f"{written}: install 3.11, 3.12 or 3.13 and start run.py with it")
    if bits != 64:
        return fail("python", f"{written}: the packages need a 64-bit Python, install one")
    return ok("python", written)


def check_packages(lock=None):
    """Compare every installed package with the lock, and its files with its own list of them."""
    sys.path.insert(0, str(ROOT))
    from tools.compare_lock import differences, installed, required, site_packages

    text = lock or (ROOT / "requirements" / "lab.txt").read_text(encoding="utf-8")
    wrong, count, there = differences(text), len(required(text)), installed(site_packages())
    key = [f"{name} {version}" for name in KEY_PACKAGES for version in there.get(name, ())]
    if wrong:
        some = ", ".join(wrong[:4]) + (f" and {len(wrong) - 4} more" if len(wrong) > 4 else "")
        return fail("packages", f"{len(wrong)} of {count} differ from the lock: {some}; {SETUP}")
    return ok("packages", f"all {count} as locked: {', '.join(key)}")


def memory_mb():
    """Return total and available memory in megabytes, as far as this process may use it."""
    if sys.platform == "win32":
        status = (ctypes.c_ulonglong * 8)()
        ctypes.cast(status, ctypes.POINTER(ctypes.c_ulong))[0] = 64
        if not ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):
            return None, None
        return status[1] / 1e6, status[2] / 1e6
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e6
    available = None
    try:
        info = Path("/proc/meminfo").read_text()
        available = int(re.search(r"MemAvailable:\s+(\d+)", info).group(1)) * 1024 / 1e6
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text()) / 1e6
        used = int(Path("/sys/fs/cgroup/memory.current").read_text()) / 1e6
        total, available = min(total, limit), min(available, max(0, limit - used))
    except (OSError, ValueError, AttributeError):  # another system, or no limit
        pass
    return total, available


def check_memory(measured=None):
    total, available = measured or memory_mb()
    if total is None:
        return note("memory", "unknown; notebooks need up to 1 GB")
    found = f"{total / 1000:.1f} GB"
    found += "" if available is None else f", {available / 1000:.1f} GB of it free"
    if total < MEMORY_MB:
        return fail("memory", f"{found}: notebooks need up to 1 GB; use another computer or Binder")
    if available is not None and available < MEMORY_MB:
        return note("memory", f"{found}: notebooks need up to 1 GB, so close other programs")
    return ok("memory", found)


def check_disk(installed=True, free=None):
    free = (shutil.disk_usage(str(ROOT)).free if free is None else free) / 1e6
    need = DISK_MB if installed else DISK_SETUP_MB
    found = f"{free / 1000:.1f} GB free"
    if free < need:
        return fail("disk", f"{found}, {need / 1000:.1f} GB are needed: delete or move files")
    try:
        tempfile.gettempdir()
    except OSError:
        advice = "set TMPDIR to a folder that you can write to"
        return fail("disk", f"{found}, but no place for temporary files: {advice}")
    if not os.access(str(ROOT), os.W_OK):
        advice = "copy the tutorial into a folder of yours"
        if installed:
            return note("disk", f"{found}, but notebooks cannot be saved in this folder: {advice}")
        return fail("disk", f"{found}, but you cannot write to this folder: {advice}")
    return ok("disk", found)


def check_widgets(deadline, listing=None):
    """Ask JupyterLab which extensions it sees: sliders and the viewer need two of them."""
    if listing is None:
        command = [sys.executable, "-m", "jupyterlab.labextensions", "list"]
        try:
            done = subprocess.run(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=max(1.0, deadline - time.monotonic()),
            )
        except subprocess.TimeoutExpired:
            return note("widgets", "JupyterLab did not list its extensions in time: check again")
        listing = done.stdout.decode("utf-8", "replace")
    listing = re.sub(r"\x1b\[[\d;]*m", "", listing)
    wrong, seen = [], []
    for name in WIDGETS:
        match = re.search(rf"^\s*{re.escape(name)} (v\S+)(.*)$", listing, re.MULTILINE)
        if not match:
            wrong.append(f"{name} is missing")
        elif "disabled" in match.group(2) or "enabled" not in match.group(2):
            wrong.append(f"{name} is disabled")
        else:
            seen.append(f"{name} {match.group(1)}")
    if wrong:
        advice = f"sliders and the viewer will not show; delete the folder .venv, then {SETUP}"
        return fail("widgets", f"{', '.join(wrong)}: {advice}")
    return ok("widgets", f"JupyterLab sees {', '.join(seen)}")


def check_loopback():
    """Send bytes through a port of this computer, as JupyterLab and the stand-in do."""
    advice = "a firewall or security program forbids it: allow Python to listen on this computer"
    try:
        listening = socket.socket()
        listening.settimeout(3)
        listening.bind(("127.0.0.1", 0))
        listening.listen(1)
        calling = socket.create_connection(listening.getsockname(), timeout=3)
        answering, _ = listening.accept()
        calling.sendall(b"hello")
        answering.settimeout(3)
        arrived = answering.recv(5)
        for end in (calling, answering, listening):
            end.close()
    except OSError as error:
        return fail("ports", f"this computer cannot talk to itself ({error}): {advice}")
    if arrived != b"hello":
        return fail("ports", f"this computer cannot talk to itself: {advice}")
    with socket.socket() as trial:
        busy = trial.connect_ex(("127.0.0.1", 8888)) == 0
    return ok("ports", "loopback works" + ("; 8888 is in use, JupyterLab will take another" * busy))


def check_proxy(proxies=None):
    proxies = urllib.request.getproxies() if proxies is None else proxies
    used = {kind: proxies[kind] for kind in ("http", "https") if proxies.get(kind)}
    if not used:
        return ok("proxy", "none is set")
    told = ", ".join(f"{kind} through {without_secrets(url)}" for kind, url in used.items())
    return note("proxy", f"{told} (HTTP_PROXY, HTTPS_PROXY or the system's settings)")


def without_secrets(url):
    """Return host and port of a proxy, without user and password."""
    parts = urlsplit(url if "//" in url else "//" + url)
    return (parts.hostname or "?") + (f":{parts.port}" if parts.port else "")


# --- the public endpoints -----------------------------------------------------------------------


class Trouble(Exception):
    """Why an endpoint cannot be used, and what to try."""


def probe(endpoint, proxies=None):
    """Ask an endpoint for a small document; return seconds for one round trip, or raise Trouble."""
    parts = urlsplit(endpoint)
    proxies = urllib.request.getproxies() if proxies is None else proxies
    proxy = None
    if parts.hostname not in LOOPBACK and not urllib.request.proxy_bypass(parts.hostname):
        proxy = proxies.get(parts.scheme)
    who = "the proxy " + without_secrets(proxy) if proxy else parts.hostname
    try:
        connection, path, headers = connect(parts, proxy)
        with_latency = None
        for _ in range(2):  # the second on the open connection: one round trip
            begun = time.monotonic()
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            body = answer.read(1000000)
            judge(answer, body, parts, who, proxy)
            with_latency = time.monotonic() - begun
        connection.close()
        return with_latency
    except socket.gaierror:
        raise Trouble(f"no DNS: the name of {who} is not known; is there internet?") from None
    except ssl.SSLCertVerificationError as error:
        if getattr(error, "verify_code", 0) in CLOCK_CODES:
            today = time.strftime("%Y-%m-%d %H:%M")
            raise Trouble(
                f"its certificate is not valid at the time that this computer shows ({today}): "
                "if that is not the time, set the clock"
            ) from None
        raise Trouble(
            "TLS interception: the certificate is not one that Python trusts, so a proxy or virus "
            "scanner reads along (or the clock is wrong); ask IT, or use another network"
        ) from None
    except ssl.SSLError as error:
        raise Trouble(f"TLS fails ({error.reason}): a proxy may be in between; ask IT") from None
    except ConnectionRefusedError:
        what = "check HTTPS_PROXY" if proxy else "a firewall may be in between; ask IT"
        raise Trouble(f"{who} refuses the connection: {what}") from None
    except (socket.timeout, TimeoutError):  # noqa: UP041  (two kinds before Python 3.10)
        raise Trouble(f"no answer from {who} in time: slow or blocked network") from None
    except OSError as error:
        tunnel = re.search(r"Tunnel connection failed: (\d+)", str(error))
        if tunnel:
            raise Trouble(refused_by_proxy(who, int(tunnel.group(1)))) from None
        raise Trouble(f"the connection to {who} fails ({error.strerror or error})") from None
    except (http.client.HTTPException, ValueError):
        raise Trouble(f"{who} answers something that is no http: ask IT") from None


def connect(parts, proxy):
    """Return an http connection, the path to ask for, and headers."""
    headers = {"Host": parts.netloc, "Accept-Encoding": "identity"}
    path = f"/{PROBE_KEY}"
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    if not proxy:
        return kind(parts.hostname, port, timeout=PROBE_SECONDS), path, headers
    through = urlsplit(proxy if "//" in proxy else "//" + proxy)
    if through.scheme.startswith("socks"):
        raise Trouble("a SOCKS proxy is set, which cannot be used: set an http proxy")
    login = {}
    if through.username:
        secret = f"{unquote(through.username)}:{unquote(through.password or '')}"
        coded = base64.b64encode(secret.encode()).decode()
        login = {"Proxy-Authorization": f"Basic {coded}"}
    connection = kind(through.hostname, through.port or 80, timeout=PROBE_SECONDS)
    if not secure:
        return connection, f"http://{parts.netloc}{path}", dict(headers, **login)
    connection.set_tunnel(parts.hostname, port, headers=login)
    return connection, path, headers


def judge(answer, body, parts, who, proxy):
    """Raise Trouble unless an answer is the document that was asked for."""
    kind = answer.headers.get("Content-Type", "")
    html = "html" in kind or (body.lstrip()[:1] == b"<" and b"<html" in body[:2000].lower())
    html = html or body.lstrip()[:9].lower() == b"<!doctype"
    portal = "a login page instead of data: open a browser, log in to the network, try again"
    if answer.status == 407 or (proxy and answer.status in (403, 502, 503)):
        raise Trouble(refused_by_proxy(who, answer.status))
    if 300 <= answer.status < 400:
        to = urlsplit(answer.headers.get("Location", "")).hostname or "another page"
        raise Trouble(f"{parts.hostname} sends us to {to}, probably {portal}")
    if answer.status == 200 and html:
        raise Trouble(portal)
    if answer.status == 403:
        raise Trouble(f"{parts.hostname} denies access (403): a filter may be in between; ask IT")
    if answer.status != 200:
        raise Trouble(f"{parts.hostname} answers {answer.status}: try again later")
    try:
        known = "multiscales" in json.loads(body.decode("utf-8"))
    except (ValueError, TypeError):
        known = False
    if not known:
        raise Trouble(f"{parts.hostname} answers something else than the image's metadata")


def refused_by_proxy(who, status):
    if status == 407:
        return f"{who} wants a password (407): set HTTPS_PROXY=http://user:password@host:port"
    return f"{who} refuses to pass it on ({status}): ask IT to allow these addresses"


def check_endpoint(name, endpoint, reading, deadline):
    """Probe an endpoint, and say what the worker read from it."""
    host = urlsplit(endpoint).hostname
    try:
        latency = probe(endpoint)
    except Trouble as trouble:
        return note(name, f"{host} cannot be used: {trouble}")
    answers = f"{host} answers in {latency * 1000:.0f} ms"
    if reading is None:
        return note(name, f"{answers}; reading an image was not tried without the packages")
    said = reading.wait(name, deadline)
    if said is None:
        return note(name, f"{answers}, but reading 6001247 took too long: a slow network")
    if not said["ok"]:
        return note(name, f"{answers}, but reading 6001247 fails: {said['said']}")
    return ok(name, f"{answers}; metadata and a chunk of 6001247 read in {said['seconds']:.1f} s")


# --- what needs the packages, in a process of its own -------------------------------------------


class Reading:
    """The worker's answers, as they come."""

    def __init__(self, endpoints, mirror):
        call = [sys.executable, "-W", "ignore", str(Path(__file__).resolve()), "--worker"]
        call += [f"--endpoint={name}={url}" for name, url in endpoints.items()]
        call += [f"--mirror={mirror}"] if mirror else []
        self.answers, self.changed = {}, threading.Condition()
        self.said = collections.deque(maxlen=3)
        self.process = subprocess.Popen(
            call, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        self.ended = False
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        """Take in what the worker prints, to its end."""
        for raw in self.process.stdout:
            line = raw.decode("utf-8", "replace").strip()
            try:
                answer = json.loads(line)
                name = answer["name"]
            except (ValueError, TypeError, KeyError):
                self.said.append(line)
                continue
            with self.changed:
                self.answers[name] = answer
                self.changed.notify_all()
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def wait(self, name, deadline):
        """Return the answer for a source; None if there is none in time."""
        with self.changed:
            self.changed.wait_for(
                lambda: name in self.answers or self.ended, max(0.0, deadline - time.monotonic())
            )
            if self.ended and name not in self.answers:
                return {"ok": False, "said": " ".join(self.said)[-300:] or "the reader ended early"}
            return self.answers.get(name)


def worker(endpoints, mirror):
    """Read from the stand-in and from each endpoint with the helper; print a line for each."""
    import numpy

    from data_helpers import open_multiscale
    from data_helpers.offline import blastocyst
    from data_helpers.sources import Source, find_source

    begun = {}

    def read(name, source):
        image = open_multiscale(6001247, source=source(), cache="off")
        return image.stored[-1][0, 1, image.default("z")]

    def stand_in():
        pixels = read("offline", lambda: find_source("offline"))
        height, width = pixels.shape
        if not numpy.array_equal(pixels, blastocyst.paint(2, 0, 1, 128, 0, height, 0, width)):
            raise ValueError("the pixels that arrive are not those that were painted")

    def from_mirror():
        image = open_multiscale(6001247, source=find_source(mirror), cache="off")
        if not image.stored[0][0, 1, image.default("z")].any():
            raise ValueError("an empty plane")

    jobs = {"offline": stand_in}
    if mirror:
        jobs["mirror"] = from_mirror
    for name, url in endpoints.items():
        jobs[name] = lambda n=name, u=url: read(n, lambda: Source(n, u))

    def run(name):
        answer = {"name": name, "ok": True, "said": ""}
        begun[name] = time.monotonic()
        try:
            jobs[name]()
        except Exception as error:
            answer.update(ok=False, said=" ".join(f"{type(error).__name__}: {error}".split()))
        answer["seconds"] = time.monotonic() - begun[name]
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()

    threads = [threading.Thread(target=run, args=(name,), daemon=True) for name in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def check_read(name, what, reading, deadline):
    said = reading.wait(name, deadline)
    if said is None:
        return fail(name, f"{what} gave no chunk in {BUDGET:.0f} s: close other programs")
    if not said["ok"]:
        return fail(name, f"{what} does not work: {said['said']}")
    return ok(name, f"{what} gives the right pixels, after {said['seconds']:.1f} s")


# --- the report ---------------------------------------------------------------------------------


def personal():
    """Return what must not be in a report, with what is written instead."""
    names = {os.environ.get(name, "") for name in ("USER", "USERNAME", "LOGNAME")}
    try:
        names.add(getpass.getuser())
    except Exception:  # nobody knows
        pass
    folders = {os.path.expanduser("~"): "~", str(ROOT): "(this folder)"}
    try:
        folders[tempfile.gettempdir()] = "(temporary folder)"
    except OSError:  # there is none
        pass
    found = {path: word for path, word in folders.items() if len(path) > 1}
    words = {name: "(user)" for name in names if len(name) > 1}
    words[platform.node()] = "(this computer)"
    return found, {word: said for word, said in words.items() if len(word) > 1}


def without_traces(text, known=None):
    """Leave user name, home folder, IP addresses, passwords and tokens out of a text."""
    paths, words = known or personal()
    for path in sorted(paths, key=len, reverse=True):
        for form in (path, path.replace("\\", "/"), path.replace("\\", "\\\\")):
            text = text.replace(form, paths[path])
    text = re.sub(r"//[^/\s@]+@", "//", text)
    text = re.sub(r"(?i)\b(token|password|secret|key|auth\w*)=[^\s&]+", r"\1=(left out)", text)
    text = re.sub(r"\b\d{1,3}(\.\d{1,3}){3}\b", "(address)", text)
    text = re.sub(r"(?i)(?<![\w:])(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{1,4}(?![\w:])", "(address)", text)
    text = re.sub(r"\b[0-9a-fA-F]{32,}\b", "(left out)", text)
    for word, said in words.items():
        text = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", said, text)
    return text


def as_line(result, width=14):
    """Return one check as one line."""
    found = " ".join(result.found.split())
    return without_traces(f"{result.mark:4}  {result.name:{width}} {found}")


def verdict(results):
    """Return the last line: PASS or FAIL."""
    failed = [result.name for result in results if result.mark == "FAIL"]
    if failed:
        return f"FAIL: {', '.join(failed)}; see the lines above for what to try."
    online = any(r.mark == "ok" and r.name in ENDPOINTS for r in results)
    if online:
        return "PASS: everything that the tutorial needs is here."
    mirrored = any(r.mark == "ok" and r.name == "mirror" for r in results)
    source = "with the mirror's images" if mirrored else "with synthetic images"
    return f"PASS without internet: no public endpoint can be read; the tutorial works {source}."


def run_checks(checks, deadline):
    """Run all checks side by side; yield their results in the given order, all by the deadline."""
    boxes = {name: queue.Queue() for name in checks}

    def run(name, check):
        try:
            boxes[name].put(check())
        except Exception as error:  # a check must never end the report
            boxes[name].put(note(name, f"could not be checked ({type(error).__name__}: {error})"))

    for name, check in checks.items():
        threading.Thread(target=run, args=(name, check), daemon=True).start()
    for name, box in boxes.items():
        try:
            yield box.get(timeout=max(0.05, deadline + 0.5 - time.monotonic()))
        except queue.Empty:
            late = f"no result within {BUDGET:.0f} s"
            yield note(name, f"{late}: the network swallows requests, ask IT")


def mirror_here():
    """Return the folder of the mirror that the notebooks would read, or nothing."""
    chosen = os.environ.get("OME_ZARR_SOURCE", "").strip()
    if chosen and os.path.isdir(os.path.expanduser(chosen)):
        return os.path.abspath(os.path.expanduser(chosen))
    return str(ROOT / "mirror") if (ROOT / "mirror" / "mirror.jsonl").is_file() else ""


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="run.py check", description="Is this computer ready?")
    parser.add_argument("--no-environment", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--mirror", default="", help=argparse.SUPPRESS)
    parser.add_argument("--endpoint", action="append", default=[], help=argparse.SUPPRESS)
    parser.add_argument("--report", default=str(REPORT), help="where to write the report")
    options = parser.parse_args(arguments)
    endpoints = dict(text.split("=", 1) for text in options.endpoint) or ENDPOINTS
    if options.worker:
        worker(endpoints, options.mirror)
        return 0

    deadline = time.monotonic() + BUDGET
    there = not options.no_environment
    mirror = options.mirror or mirror_here()
    reading = Reading(endpoints, mirror) if there else None
    checks = {"python": check_python, "memory": check_memory}
    checks["disk"] = lambda: check_disk(there)
    checks["ports"] = check_loopback
    if there:
        checks["packages"] = check_packages
        checks["widgets"] = lambda: check_widgets(deadline)
        checks["offline"] = lambda: check_read("offline", "the stand-in", reading, deadline)
        if mirror:
            checks["mirror"] = lambda: check_read("mirror", "the mirror", reading, deadline)
    else:
        checks["environment"] = lambda: fail("environment", f"there is none yet; {SETUP}")
    checks["proxy"] = check_proxy
    for name, url in endpoints.items():
        checks[name] = lambda n=name, u=url: check_endpoint(n, u, reading, deadline)

    moment = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    lines = [f"OME-Zarr tutorial, check of {moment}, {platform.system()} {platform.machine()}"]
    print(lines[0], flush=True)
    results = []
    for result in run_checks(checks, deadline):
        results.append(result)
        lines.append(as_line(result))
        print(lines[-1], flush=True)
    lines.append(verdict(results))
    print(lines[-1])
    try:
        Path(options.report).write_text("\n".join(lines) + "\n", encoding="utf-8")
        print(f"The same is in {Path(options.report).name}, to paste into an e-mail.", flush=True)
    except OSError as error:
        print(f"The report cannot be written ({error.strerror}): copy the lines.", flush=True)
    if reading:
        reading.process.kill()
    return int(any(result.mark == "FAIL" for result in results))


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # a thread may hang in the network: nobody waits for it
