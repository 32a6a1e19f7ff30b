"""Make a kit for a room without internet: `python3 run.py kit DIR`.

DIR becomes a folder that a learner copies and starts with `python3 run.py`, as always. It holds

repository   the files of the last commit
wheelhouse/  the packages of requirements/lab.txt, and those of write.txt and segment.txt that
             single notebooks add, for the chosen platforms and Pythons
mirror/      exactly the real chunks that the notebooks read, under 400 MB (see docs/mirror.md)
KIT.txt      what it is and how to start

Sizes are told before anything is copied. Run the same command again after an interruption: what is
there and right is kept, what is damaged is fetched again.
"""

from __future__ import annotations

import argparse
import io
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from datetime import date
from pathlib import Path

from packaging.markers import Environment, default_environment

from data_helpers._formatting import format_bytes
from data_helpers.errors import OmeZarrError
from data_helpers.extras import GROUPS, pins_of
from data_helpers.sources import Source, find_source
from tools.copy_mirror import copy_mirror

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements" / "lab.txt"
LOCKS = [LOCK, *(ROOT / "requirements" / f"{group}.txt" for group in GROUPS)]
PYTHONS = ("3.11", "3.12", "3.13")
NOTE = "KIT.txt"
WHEELS_MB = 350  # of one platform and Python
LEFT_OUT = ".git .venv* .home __pycache__ .*_cache .coverage* wheelhouse mirror *.egg-info"

# Of each platform: what its wheels may be tagged, best first, and what markers say there. Linux
# needs glibc 2.28 (2018), macOS version 12 (2021) at least; 13 for the S3 server of notebook 08.
LINUX = [f"manylinux_2_{minor}" for minor in range(28, 4, -1)]
LINUX += ["manylinux2014", "manylinux2010", "manylinux1", "linux"]
PLATFORMS = {
    "linux-x86_64": ([f"{tag}_x86_64" for tag in LINUX], "linux", "Linux", "x86_64"),
    "linux-aarch64": ([f"{tag}_aarch64" for tag in LINUX], "linux", "Linux", "aarch64"),
    "macos-arm64": (["macosx_12_0_arm64", "macosx_13_0_arm64"], "darwin", "Darwin", "arm64"),
    "macos-x86_64": (["macosx_12_0_x86_64"], "darwin", "Darwin", "x86_64"),
    "windows-amd64": (["win_amd64"], "win32", "Windows", "AMD64"),
}


def this_platform() -> str:
    """Return the name of this computer's platform, such as "linux-x86_64"."""
    system = {"darwin": "macos", "win32": "windows"}.get(sys.platform, sys.platform)
    machine = platform.machine().lower()
    return f"{system}-{machine}"


def environment(name: str, python: str, patch: int) -> Environment:
    """Return what the markers of a lock are compared with on a platform and Python."""
    _, sys_platform, system, machine = PLATFORMS[name]
    return {
        **default_environment(),
        "implementation_name": "cpython",
        "implementation_version": f"{python}.{patch}",
        "os_name": "nt" if sys_platform == "win32" else "posix",
        "platform_machine": machine,
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": system,
        "platform_version": "",
        "python_full_version": f"{python}.{patch}",
        "python_version": python,
        "sys_platform": sys_platform,
    }


def wanted(lock: str, name: str, python: str) -> list[list[str]]:
    """Return the requirements for a platform and Python, as lists to download one by one.

    A lock may pin other versions for the first patch releases of a Python than for the later
    ones; nobody knows which the learners have, so both are wanted, and pip takes one at a time.
    """
    lists: list[list[str]] = []
    for patch in (99, 0):
        there = environment(name, python, patch)
        texts = [text for text, marker in pins_of(lock) if not marker or marker.evaluate(there)]
        new = [text for text in texts if not any(text in known for known in lists)]
        lists += [new] if new else []
    return lists


def download(requirements: list[str], name: str, python: str, wheelhouse: Path) -> None:
    """Put the wheels for a platform and Python into a folder; hashes are compared."""
    with tempfile.TemporaryDirectory() as folder:
        lock = Path(folder, "wanted.txt")
        lock.write_text("\n".join(requirements) + "\n", encoding="utf-8")
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download"]
        pip += ["--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:"]
        pip += ["--ignore-requires-python", "--python-version", python, "--implementation", "cp"]
        for tag in PLATFORMS[name][0]:
            pip += ["--platform", tag]
        pip += ["--dest", str(wheelhouse), "--requirement", str(lock)]
        done = subprocess.run(pip, capture_output=True, encoding="utf-8", errors="replace")
    if done.returncode:
        errors = [text for text in done.stderr.splitlines() if text.startswith("ERROR")]
        said = " ".join((errors or done.stderr.splitlines() or ["no reason given"])[-1].split())
        raise OmeZarrError(f"The packages for {name}, Python {python}, cannot be had: {said}")


def fill_wheelhouse(wheelhouse: Path, platforms: list[str], pythons: list[str]) -> None:
    """Download the learner's packages, and those of single notebooks, for each of them."""
    lock = "\n".join(path.read_text(encoding="utf-8") for path in LOCKS)
    wheelhouse.mkdir(parents=True, exist_ok=True)
    for name in platforms:
        for python in pythons:
            print(f"packages for {name}, Python {python} ...", flush=True)
            for requirements in wanted(lock, name, python):
                download(requirements, name, python, wheelhouse)
    targets = [f"{name}, Python {python}" for name in platforms for python in pythons]
    (wheelhouse / "targets.txt").write_text("\n".join(targets) + "\n", encoding="utf-8")


def copy_repository(folder: Path) -> None:
    """Copy the last commit, or, where this is no git clone, the files as they are."""
    git = ["git", "-C", str(ROOT)]
    try:
        done = subprocess.run([*git, "archive", "--format=tar", "HEAD"], capture_output=True)
        archive = done.stdout if done.returncode == 0 else b""
    except OSError:  # there is no git
        archive = b""
    if not archive:
        ignored = shutil.ignore_patterns(*LEFT_OUT.split(), folder.name)
        shutil.copytree(ROOT, folder, ignore=ignored, dirs_exist_ok=True)
        return
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        safe = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # since 3.11.4
        files.extractall(folder, **safe)
    changed = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True).stdout
    if changed.strip():
        print("Changes that are not committed are not in the kit.")


def check_folder(folder: Path) -> None:
    """Refuse a folder that holds something else than a kit."""
    if ROOT == folder or folder in ROOT.parents:
        raise OmeZarrError(f"{folder} holds this repository; choose a folder of its own.")
    if folder.is_file():
        raise OmeZarrError(f"{folder} is a file; choose a folder.")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / NOTE).exists():
        raise OmeZarrError(f"{folder} holds something else than a kit; choose a new folder.")


def size_of(folder: Path) -> int:
    """Return the bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def describe(folder: Path, mirror: str) -> None:
    """Write KIT.txt."""
    targets = folder / "wheelhouse" / "targets.txt"
    packages = "none: python3 run.py needs the internet once"
    if targets.exists():
        packages = "; ".join(targets.read_text(encoding="utf-8").splitlines())
    lines = [
        f"OME-Zarr tutorial, kit of {date.today().isoformat()}",
        "",
        "Copy this whole folder to your disk, open a terminal in it, and run",
        "    python3 run.py          (Windows: py run.py)",
        "",
        f"Packages: {packages}",
        f"Images: {mirror}",
        "",
        "python3 run.py check says whether this computer is ready.",
    ]
    (folder / NOTE).write_text("\n".join(lines) + "\n", encoding="utf-8")


def may_go_on(yes: bool) -> Callable[[str], bool]:
    """Return a function that tells a size, and asks whether to go on unless `yes`."""

    def ask(said: str) -> bool:
        print(said, flush=True)
        if yes:
            return True
        if not sys.stdin.isatty():
            raise OmeZarrError("Nobody is there to answer: say --yes to go on without a question.")
        return input("Go on? [y/N] ").strip().lower() in ("y", "yes")

    return ask


def make_kit(options: argparse.Namespace) -> int:
    folder = Path(options.folder).expanduser().absolute()
    check_folder(folder)
    source: Source | None = None if options.no_mirror else find_source(options.source)
    folder.mkdir(parents=True, exist_ok=True)
    describe(folder, "the kit is not finished")
    may_begin = may_go_on(options.yes)
    mirror = "none: a public endpoint, or the synthetic stand-in"
    if source:
        made = copy_mirror(folder / "mirror", source, may_begin)
        if made is None:
            return 1
        kind = "synthetic images" if made.synthetic else "real chunks"
        mirror = f"{kind} from {made.endpoint}, copied on {made.copied} (mirror/)"
    if not options.no_wheels:
        count = len(options.platforms) * len(options.python)
        about = f"The packages: about {count * WHEELS_MB:,} MB ({count} platforms and Pythons)."
        if not may_begin(about):
            return 1
        fill_wheelhouse(folder / "wheelhouse", options.platforms, options.python)
    copy_repository(folder)
    describe(folder, mirror)
    for part in ("mirror", "wheelhouse"):
        if (folder / part).is_dir():
            print(f"{part}: {format_bytes(size_of(folder / part))}")
    print(f"The kit is ready: {format_bytes(size_of(folder))} in {folder}")
    return 0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="run.py kit", description="Make a kit for a room without internet."
    )
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    parser.add_argument("folder", metavar="DIR", help="folder of the kit, made if need be")
    parser.add_argument(
        "--platforms",
        nargs="+",
        default=[this_platform()],
        choices=PLATFORMS,
        help="of the learners' computers (default: like this one)",
    )
    parser.add_argument(
        "--python", nargs="+", default=[here], choices=PYTHONS, help="of the learners' computers"
    )
    parser.add_argument(
        "--source", default="idr", help="where to copy images from (default: a public endpoint)"
    )
    parser.add_argument("--no-wheels", action="store_true", help="leave the packages out")
    parser.add_argument("--no-mirror", action="store_true", help="leave the images out")
    parser.add_argument("--yes", action="store_true", help="do not ask, go on")
    options = parser.parse_args(arguments)
    if not options.no_wheels and not set(options.platforms) <= PLATFORMS.keys():
        parser.error(f"name the platforms: {', '.join(PLATFORMS)}")
    try:
        return make_kit(options)
    except OmeZarrError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. Run the same command to go on.", file=sys.stderr)
        return 1


if __name__ == "__main__":
    os.environ.pop("OME_ZARR_CACHE", None)
    sys.exit(main())
