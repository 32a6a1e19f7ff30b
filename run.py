#!/usr/bin/env python3
"""Set the tutorial up and start it, with nothing but Python 3.11 to 3.13.

python3 run.py              the same as: python3 run.py lab
python3 run.py lab          install what the notebooks need, and open JupyterLab on notebook 01
python3 run.py setup        install only
python3 run.py check        say in 20 seconds whether this computer and its network are ready
python3 run.py kit DIR      put all of it into a folder, for a room without internet
python3 run.py test         install what the tests need too, then run every check and test
python3 run.py bench        measure how fast images are read, and write a report
python3 run.py tool NAME    install napari or cellprofiler, in an environment of its own
python3 run.py python ...   run the test environment's Python, e.g. on tools/NAME.py

check, kit and bench have options of their own: python3 run.py kit --help lists them. JupyterLab
writes its log to build/jupyterlab.log.

There are two environments: .venv (requirements/lab.txt) and .venv-test (requirements/test.txt, the
same versions plus test tools), because in a shared one the learner's set would not stay lean. A
tool of other people has one of its own, such as .venv-napari: its packages don't get on with ours.
"""

import argparse
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))
from tools.claim import claim  # noqa: E402
from tools.lab_server import serve  # noqa: E402
from tools.places import can_write, led_places  # noqa: E402

NOTEBOOK = "notebooks/01_what_is_ome_zarr.ipynb"
OLDEST, NEWEST = (3, 11), (3, 13)
ENVIRONMENTS = {  # folder, megabytes needed
    "lab": (".venv", 1110),
    "test": (".venv-test", 2650),
    "napari": (".venv-napari", 1250),
    "cellprofiler": (".venv-cellprofiler", 800),
}
TOOLS = {"napari": None, "cellprofiler": (3, 11)}  # the only Python that there are packages for
NEWS = "@jupyterlab/apputils-extension:notification"
NO_NEWS = {NEWS: {"fetchNews": "false", "checkForUpdates": False}}
# What pip and venv say (a pattern), and what it means for somebody who has never met them.
PROBLEMS = {
    "No space left|Errno 28|Errno 122": "The disk is full: free 2 GB and run the same command "
    "again.",
    "DO NOT MATCH THE HASHES": "A download differs from the lock: run the same command again, "
    "and report it if it stays.",
    "certificate (is not yet valid|has expired|is expired)|validity period": "The certificate of "
    "the package index is not valid at the time that this computer shows: set its clock, and try "
    "again.",
    "NewConnection|NameResolution|Timeout|ProxyError|SSLError|Max retries": "The package index "
    "cannot be reached: check the network and pip's proxy settings, and try again.",
    "No matching distribution": "There is no ready-made package for this computer: "
    "use a 64-bit Python 3.11 to 3.13, in a kit one of those that KIT.txt names.",
    "ensurepip": "Python's venv module is incomplete: on Debian or Ubuntu run "
    "'sudo apt install python3-venv', then the same command again.",
    "No usable temporary directory": "There is no room for temporary files: set TMPDIR to a folder "
    "that you can write to, and run the same command again.",
    "Errno 30": "This disk can only be read: copy the tutorial into a folder of yours and start it "
    "there.",
    "Errno 13|WinError 5": "A file is in use or protected: "
    "close every JupyterLab that runs from this folder and run the same command again.",
}


class SetupError(Exception):
    """The set-up cannot go on; the message is one sentence with what to try."""


def explain(output: str) -> str:
    for pattern, advice in PROBLEMS.items():
        if re.search(pattern, output):
            return advice
    return "The set-up failed, see above: run the same command again, and report it if it stays."


def check_python(version: tuple = sys.version_info[:2]) -> None:
    if not OLDEST <= version <= NEWEST:
        age = "too old" if version < OLDEST else "newer than the locked packages"
        raise SetupError(
            "Python {}.{} is {}: install 3.11, 3.12 or 3.13 (python.org has them) and "
            "start run.py with it, for example: python3.13 run.py".format(*version, age)
        )
    if not (importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip")):
        raise SetupError(explain("ensurepip"))


def child_environment() -> dict:
    """Return the user's environment without what would lead Python or pip out of the venv.

    The network settings of pip (index, proxy, certificates) stay the user's.
    """
    env = dict(os.environ)
    stray = "PYTHONPATH PYTHONHOME PYTHONSTARTUP MPLBACKEND PIP_TARGET PIP_PREFIX PIP_ROOT"
    for name in (stray + " PIP_CONSTRAINT PIP_NO_BINARY PIP_DRY_RUN").split():
        env.pop(name, None)
    env.update(PYTHONNOUSERSITE="1", PIP_USER="0", PIP_REQUIRE_VIRTUALENV="0", PIP_NO_INPUT="1")
    env.update(led_places(env, ROOT / ".home"))
    return env


def venv_python(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def stamp_text(lock: Path) -> str:
    """Return what a finished environment was made from: change any of it and it is made anew."""
    digest = hashlib.sha256(lock.read_bytes().replace(b"\r\n", b"\n")).hexdigest()
    return json.dumps({"lock": digest, "python": sys.version_info[:2], "root": str(ROOT)})


def is_finished(folder: Path, stamp: str) -> bool:
    try:
        return (folder / "finished.json").read_text(encoding="utf-8") == stamp
    except (OSError, ValueError):
        return False


def is_ready(folder: Path, stamp: str) -> bool:
    """Say whether an earlier run finished this environment and its Python still starts."""
    if not is_finished(folder, stamp):
        return False
    try:
        code = "import sys; sys.exit(str(sys.version_info[:2]) != sys.argv[1])"
        command = [str(venv_python(folder)), "-I", "-S", "-c", code, str(sys.version_info[:2])]
        return subprocess.call(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0
    except (OSError, ValueError):
        return False


def problem(folder: Path, lock: Path) -> "str | None":
    """Say what is wrong with an environment; None if nothing is, "" if it was never finished."""
    stamp = stamp_text(lock)
    if not is_finished(folder, stamp):
        return ""
    if not is_ready(folder, stamp):
        return "its Python does not start"
    return difference(folder, lock) or None


def difference(folder: Path, lock: Path) -> str:
    """Say how what is installed differs from the lock, in names, versions and files."""
    command = [str(venv_python(folder)), "-I", str(ROOT / "tools" / "compare_lock.py"), str(lock)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    said = done.stdout.decode("utf-8", "replace").strip()
    return (said or "its packages cannot be listed") if done.returncode else ""


def quietly(command: list, total: int = 0) -> None:
    """Run a step of the set-up; show a count while it works and its words only if it fails."""
    said, count = [], 0
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "cwd": str(ROOT)}
    options.update(env=child_environment(), close_fds=False)  # it holds the claim, too
    with subprocess.Popen(command, **options) as process:
        for raw in process.stdout:
            said.append(raw.decode("utf-8", "replace"))
            count += said[-1].startswith(("Collecting", "Ignoring"))
            if total and sys.stdout.isatty():
                stage = "unpacking" if said[-1].startswith("Installing") else f"{count} of {total}"
                print(f"\r  packages: {stage} ...    ", end="", flush=True)
    if process.returncode:
        print("\n" + "".join(said[-15:]))
        raise SetupError(explain("".join(said)))


def ensure(group: str) -> Path:
    """Return the Python of a finished environment, making or mending it first where needed."""
    check_python()
    name, need = ENVIRONMENTS[group]
    folder, lock = ROOT / name, ROOT / "requirements" / f"{group}.txt"
    if problem(folder, lock) is None:
        return venv_python(folder)
    if not os.access(str(ROOT), os.W_OK):
        raise SetupError(
            f"{name} has to be made, but you cannot write to {ROOT}: copy the tutorial into a "
            "folder of yours and start it there."
        )
    with claim(ROOT / (name + ".lock"), "making " + name):
        found = problem(folder, lock)  # another run.py may have made it meanwhile
        if found:
            print(f"{name} is damaged ({found}), so it is made anew.", flush=True)
        if found is not None:
            make(group, folder, lock, need)
    return venv_python(folder)


def make(group: str, folder: Path, lock: Path, need: int) -> None:
    """Make an environment from scratch.

    What an interruption left is not built upon: pip may take a half-copied package for an installed
    one.
    """
    name, python, stamp = folder.name, venv_python(folder), stamp_text(lock)
    print(f"Making {name} (about {need} MB, takes a minute or more, once)", flush=True)
    if folder.is_symlink() or folder.is_file():
        folder.unlink()
    if folder.exists():
        (folder / "finished.json").unlink(missing_ok=True)
        shutil.rmtree(str(folder))
    free = shutil.disk_usage(str(ROOT)).free // 1_000_000
    if free < need:
        raise SetupError(f"Only {free} MB of disk are free: free {need} MB and try again.")
    base = getattr(sys, "_base_executable", None) or sys.executable  # never the old folder's own
    quietly([base, "-m", "venv", str(folder)])
    # Wheels only: nothing is built, so no compiler is needed and nothing without a hash comes in.
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "-r", str(lock)]
    total = len(re.findall(r"^\S+==", lock.read_text(encoding="utf-8"), re.MULTILINE))
    pip += ["--require-hashes", "--no-deps", "--only-binary", ":all:", "--progress-bar", "off"]
    wheelhouse = ROOT / "wheelhouse"  # of a kit: then nothing comes from the network
    if group == "lab" and wheelhouse.is_dir():
        pip += ["--no-index", "--find-links", str(wheelhouse)]
        targets = wheelhouse / "targets.txt"
        held = targets.read_text(encoding="utf-8").splitlines() if targets.exists() else []
        print("Packages come from wheelhouse/: " + "; ".join(held), flush=True)
    quietly(pip, total)
    if group not in TOOLS:
        let_import(python)
        switch_news_off(folder)
    found = difference(folder, lock)
    if found:
        raise SetupError(
            f"{name} does not hold what was installed ({found}), as if another program had changed "
            "it meanwhile: run the same command again."
        )
    (folder / "finished.json").write_text(stamp, encoding="utf-8")  # last: what it says is true
    print(f"\r{name} is ready.          ", flush=True)


def let_import(python: Path) -> None:
    """Make the repository importable in an environment.

    By an import line, because it can be plain ASCII: some Pythons read .pth files in the system's
    encoding, in which a folder's name may not be written.
    """
    write = "import pathlib, sys, sysconfig; folder = sysconfig.get_path('purelib'); "
    write += "pathlib.Path(folder, 'ome_zarr_tutorial.pth').write_text(sys.argv[1])"
    quietly([str(python), "-I", "-c", write, f"import sys; sys.path.append({str(ROOT)!a})"])


def switch_news_off(folder: Path) -> None:
    """Keep the JupyterLab of an environment from asking for news."""
    settings = folder / "share" / "jupyter" / "lab" / "settings"
    settings.mkdir(parents=True, exist_ok=True)
    (settings / "overrides.json").write_text(json.dumps(NO_NEWS), encoding="utf-8")


def make_tool(names: list) -> int:
    """Make the environment of a tool, with the Python that its packages are for."""
    if len(names) != 1 or names[0] not in TOOLS:
        raise SetupError(f"Name one tool, {' or '.join(TOOLS)}: python3 run.py tool napari")
    name = names[0]
    wanted = TOOLS[name]
    if wanted and wanted != sys.version_info[:2]:
        return hand_over([*find_python(name, wanted), str(ROOT / "run.py"), "tool", name])
    python = ensure(name)
    print(f"{name} is in {python.parent.parent}: docs/tools/{name}.md says how to use it.")
    return 0


def find_python(name: str, version: tuple) -> list:
    """Return the call of a Python of this version that starts, wherever this computer has it."""
    text = "{}.{}".format(*version)
    code = f"import sys; sys.exit(sys.version_info[:2] != {version})"
    for command in (["python" + text], ["py", "-" + text]):
        found = shutil.which(command[0])
        call = [found, *command[1:]]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        if found and subprocess.call([*call, "-c", code], **quiet) == 0:
            return call
    here = "{}.{}".format(*sys.version_info[:2])
    raise SetupError(
        f"The packages of {name} are for Python {text} only, and this is {here}: install {text} "
        "beside it (python.org has it), then run the same command again."
    )


def missing_tools() -> str:
    """Say which tools are not there as locked, and what to type; empty if all are."""
    missing = [name for name in TOOLS if not has_tool(name)]
    commands = " and ".join(f"python3 run.py tool {name}" for name in missing)
    return f"no {' and no '.join(missing)} (type {commands})" if missing else ""


def has_tool(name: str) -> bool:
    """Say whether a tool was installed from its lock, with whichever Python."""
    folder, lock = ROOT / ENVIRONMENTS[name][0], ROOT / "requirements" / f"{name}.txt"
    try:
        made = json.loads((folder / "finished.json").read_text(encoding="utf-8"))
        now = json.loads(stamp_text(lock))
        return (made["lock"], made["root"]) == (now["lock"], now["root"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def find_mirror() -> None:
    """Let the notebooks read a kit's mirror, unless the user says otherwise.

    A folder that the user names is made absolute: notebooks run in another one.
    """
    source = os.environ.get("OME_ZARR_SOURCE", "").strip()
    if source and os.path.isdir(os.path.expanduser(source)):
        os.environ["OME_ZARR_SOURCE"] = os.path.abspath(os.path.expanduser(source))
    elif not source and (ROOT / "mirror" / "mirror.jsonl").is_file():
        os.environ["OME_ZARR_SOURCE"] = str(ROOT / "mirror")
        print("Images come from mirror/ in this folder.", flush=True)


def add_settings() -> None:
    """Let JupyterLab find its settings of this tutorial, after any that the user names."""
    places = [os.environ.get("JUPYTER_CONFIG_PATH", ""), str(ROOT / "tools" / "lab")]
    os.environ["JUPYTER_CONFIG_PATH"] = os.pathsep.join(filter(None, places))


def check(options: list) -> int:
    """Check this computer, with the learner's environment if there is one; makes nothing."""
    lock = ROOT / "requirements" / "lab.txt"
    ready = is_ready(ROOT / ".venv", stamp_text(lock))
    python = str(venv_python(ROOT / ".venv")) if ready else sys.executable
    tool = [python, str(ROOT / "tools" / "check_computer.py")]
    return hand_over(tool + ([] if ready else ["--no-environment"]) + options)


def lab_command(python: Path, no_browser: bool, port: int) -> list:
    """Return the call of JupyterLab: loopback only; its token stays on, as it is by default."""
    command = [str(python), "-m", "jupyterlab", "-y"]  # -y: Ctrl-C ends it without a question
    command += ["--ServerApp.ip=127.0.0.1", f"--ServerApp.root_dir={ROOT}"]
    command += [f"--LabApp.default_url=/lab/tree/{NOTEBOOK}"]
    command += (["--no-browser"] if no_browser else []) + ([f"--port={port}"] if port else [])
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command += ["--allow-root"]  # in a container there is often nobody else
    return command


def hand_over(command: list) -> int:
    """Become the command (or, on Windows, wait for it), so that Ctrl-C and signals reach it."""
    if os.name != "nt":
        os.execve(command[0], command, child_environment())
    with subprocess.Popen(command, env=child_environment()) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                pass  # Ctrl-C went to the command too: let it end in its own way


def find_chromium() -> str:
    """Return the path of a Chromium or Chrome (variable CHROMIUM first), or an empty string."""
    if "CHROMIUM" in os.environ:
        return shutil.which(os.environ["CHROMIUM"]) or ""
    names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"]
    found = [path for path in map(shutil.which, names) if path]
    variables = ("PROGRAMFILES", "PROGRAMFILES(X86)", "LOCALAPPDATA")
    windows = [Path(os.environ[name]) for name in variables if name in os.environ]
    home = Path(os.path.expanduser("~"))
    for folder in [Path("/Applications"), home / "Applications", *windows]:
        found += sorted(folder.glob("*Chrom*.app/Contents/MacOS/*Chrom*"))
        found += sorted(folder.glob("*/Chrom*/Application/chrome.exe"))
        found += sorted(folder.glob("Chromium/Application/chrome.exe"))
    for folder in [home / ".cache", home / "Library" / "Caches", *windows]:  # Playwright's own
        for name in ("chrome", "chrome.exe", "*.app/Contents/MacOS/*Chrom*"):
            found += sorted(folder.glob("ms-playwright/chromium-*/chrome-*/" + name))
    return next((str(path) for path in found if os.access(str(path), os.X_OK)), "")


def test_steps(python: Path) -> list:
    """Return (name, command, extra environment) of every check, the quick ones first."""
    call = [str(python), "-m"]
    pytest = [*call, "pytest", "-n", "2", "--dist", "loadfile"]  # a notebook's cells stay together
    nbval = ["--nbval", "--nbval-sanitize-with", "tests/nbval_sanitize.cfg"]
    nbval += ["--nbval-cell-timeout", "120", "--timeout", "300", "notebooks"]
    units = "not speed and not browser and not tools"
    browser = [*call, "pytest", "-m", "browser", "-n", "2"]
    browser += ["-o", "faulthandler_timeout=350"]
    # Notebooks need neither a network nor the tools of other people, which the step "tools" tries.
    alone = {"OME_ZARR_SOURCE": "offline", "CELLPROFILER_PYTHON": "none"}
    return [
        ("ruff check", [*call, "ruff", "check", "."], {}),
        ("ruff format", [*call, "ruff", "format", "--check", "."], {}),
        ("mypy", [*call, "mypy"], {}),
        ("site", [str(python), "tools/build_site.py"], {}),
        ("notebooks", [*pytest, *nbval], alone),
        ("speed", [*call, "pytest", "-m", "speed"], {}),  # alone: a busy computer is no measure
        # Many of these wait, for processes and time-outs, so a third one finds room on two cores.
        ("unit tests", [*pytest, "-n", "3", "-m", units, "--cov", "--cov-report=term"], {}),
        ("browser", [*browser, "tests/browser"], alone),
        ("tools", [*pytest, "-m", "tools", "tests/tools"], {}),
    ]


def not_run(step: str) -> str:
    """Say why a step cannot run here, in a few words; empty if it can."""
    if step == "browser" and not find_chromium():
        return "no Chromium found (install chromium)"
    return missing_tools() if step == "tools" else ""


def run_tests(python: Path) -> int:
    """Run every step, also after a failure, and end with a summary; 0 only if all went well.

    Without a Chromium the browser tests are not run, and without napari and CellProfiler the tests
    that hand images to them, which the summary says aloud; where CHROMIUM_REQUIRED or
    TOOLS_REQUIRED is set (in CI), that is a failure.
    """
    results, left_out = {}, {}
    for name, command, extra in test_steps(python):
        print(f"\n--- {name} ---", flush=True)
        why = not_run(name)
        if why:
            required = {"browser": "CHROMIUM_REQUIRED", "tools": "TOOLS_REQUIRED"}[name]
            results[name] = ("FAILED: " if os.environ.get(required) else "") + f"NOT RUN: {why}"
            left_out[name] = why
            print(results[name])
            continue
        env, began = {**child_environment(), **extra}, time.monotonic()
        code = subprocess.run(command, cwd=str(ROOT), env=env).returncode
        result = "ok" if code == 0 else f"FAILED (exit code {code})"
        results[name] = f"{result} after {time.monotonic() - began:.0f} s"
    print("\n--- summary ---")
    for name, result in results.items():
        print(f"{name:12} {result}")
    for name, why in left_out.items():
        print(f"\n*** {name} tests NOT RUN: {why} ***")
    return int(any(result.startswith("FAILED") for result in results.values()))


def main(arguments: list) -> int:
    if arguments[:1] == ["python"]:
        return hand_over([str(ensure("test")), *arguments[1:]])
    if arguments[:1] == ["bench"]:
        return hand_over([str(ensure("test")), "-m", "benchmarks", *arguments[1:]])
    if arguments[:1] == ["check"]:
        return check(arguments[1:])
    if arguments[:1] == ["kit"]:
        tool = str(ROOT / "tools" / "make_kit.py")
        return hand_over([str(ensure("lab")), tool, *arguments[1:]])
    if arguments[:1] == ["tool"]:
        return make_tool(arguments[1:])
    parser = argparse.ArgumentParser(
        usage="run.py [lab [--no-browser] [--port N] | setup | check | kit DIR | test | bench |\n"
        "              tool NAME | python ...]",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "command",
        nargs="?",
        default="lab",
        choices=["lab", "setup", "test"],
        help=argparse.SUPPRESS,
    )
    parser.add_argument("--no-browser", action="store_true", help="lab: print the address only")
    parser.add_argument("--port", type=int, default=0, help="lab: use this port")
    options = parser.parse_args(arguments)
    if options.command != "lab" and (options.no_browser or options.port):
        parser.error("--no-browser and --port belong to the command lab")
    if options.command == "test":
        return run_tests(ensure("test"))
    python = ensure("lab")
    if options.command == "setup":
        print("Start the tutorial with: python3 run.py")
        return 0
    if not all(map(can_write, led_places(child_environment(), ROOT / ".home").values())):
        raise SetupError(
            f"JupyterLab needs to write to your home folder or to {ROOT}, and can do neither: set "
            "HOME (and TMPDIR) to a folder of yours, and run the same command again."
        )
    find_mirror()
    add_settings()
    print("Starting JupyterLab ...", flush=True)
    return serve(lab_command(python, options.no_browser, options.port), child_environment(), ROOT)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except SetupError as error:
        sys.exit(f"\n{error}")
    except KeyboardInterrupt:
        sys.exit("\nStopped. Run the same command to go on.")
    except OSError as error:
        sys.exit(f"\n{error}\n{explain(str(error))}")
