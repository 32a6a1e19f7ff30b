"""Write everything that follows from the dependencies in pyproject.toml.

    python3 run.py python tools/sync_dependencies.py             after a change in pyproject.toml
    python3 run.py python tools/sync_dependencies.py --upgrade   take the newest releases
    python3 run.py python tools/sync_dependencies.py --check     change nothing, compare

The files are the hashed locks for pip without download addresses in requirements/ (made by uv), and
environment.yml and binder/environment.yml (made by pyproject2conda). Of the locks, test.txt holds
everything, lab.txt the learner's packages, and write.txt and segment.txt what single notebooks need
on top of lab.txt, all in the versions of test.txt. Tools of other people, which need packages that
do not get on with ours, have locks of their own: requirements/napari.txt and
requirements/cellprofiler.txt follow from the .in files beside them.
Versions and hashes in the present locks are kept where they still fit, so a release that came out
since is no difference.

Ends with 0 when all is well, 1 when a file differs or cannot be made, 75 when the package index
cannot be reached, in which case nothing was compared.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = ("write", "segment")
LAB = "requirements/lab.txt"
LOCKS = ("requirements/test.txt", LAB, *(f"requirements/{name}.txt" for name in EXTRAS))
TOOLS = ("requirements/napari.txt", "requirements/cellprofiler.txt")
NOT_NEEDED = ("wxpython", "mysqlclient", "sentry-sdk")  # see requirements/cellprofiler.override.in
CONDA = ("environment.yml", "binder/environment.yml")
MADE = LOCKS + TOOLS + CONDA
INDEX_UNREACHABLE = 75
OFFLINE_SIGNS = ("error sending request", "failed to fetch", "dns error", "network was disabled")


class IndexUnreachableError(Exception):
    """The package index did not answer, so no lock could be made."""


def lock_command(lock: str, upgrade: bool) -> list[str]:
    """Return the uv call that makes one lock, to be run in the folder of pyproject.toml."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "--output-file", lock]
    command += ["--universal", "--python-version", "3.11", "--generate-hashes", "--quiet"]
    command += ["--custom-compile-command", "python3 run.py python tools/sync_dependencies.py"]
    command += ["--no-emit-index-url", "--no-emit-find-links"]
    command += tool_options(lock) if lock in TOOLS else project_options(lock)
    return [*command, "--upgrade"] if upgrade else command


def project_options(lock: str) -> list[str]:
    group = Path(lock).stem
    options = ["--group", "test"] if group == "test" else ["-c", "requirements/test.txt"]
    for extra in EXTRAS:
        options += ["--extra", extra] if group in ("test", extra) else []
    return ["pyproject.toml", *options]


def tool_options(lock: str) -> list[str]:
    options = [lock.replace(".txt", ".in")]
    if "cellprofiler" in lock:
        options += ["--override", lock.replace(".txt", ".override.in")]
        options += [part for name in NOT_NEEDED for part in ("--no-emit-package", name)]
    return options


def run(command: Sequence[str], folder: Path) -> None:
    # Rich output would be wrapped and coloured by what the terminal happens to be.
    env = {**os.environ, "NO_COLOR": "1", "COLUMNS": "200", "UV_NO_PROGRESS": "1"}
    done = subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, timeout=300, check=False
    )
    if done.returncode:
        if any(sign in done.stderr.lower() for sign in OFFLINE_SIGNS):
            raise IndexUnreachableError(done.stderr)
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")


def make(folder: Path, upgrade: bool = False) -> None:
    """Write all files in a folder that holds pyproject.toml, .in files and the present locks."""
    for name in MADE:
        (folder / name).parent.mkdir(exist_ok=True)
    run([sys.executable, "-m", "pyproject2conda", "project", "--overwrite", "force"], folder)
    for lock in (*LOCKS, *TOOLS):
        run(lock_command(lock, upgrade), folder)
        if Path(lock).stem in EXTRAS:
            leave_out(folder / lock, folder / LAB)


def leave_out(lock: Path, held: Path) -> None:
    """Take out of a lock whatever another one holds on the same computers."""
    there = {block.partition("\\")[0] for block in blocks(held)}
    head, *pins = blocks(lock)
    kept = [block for block in pins if block.partition("\\")[0] not in there]
    lock.write_text("".join([head, *kept]), encoding="utf-8", newline="\n")


def blocks(lock: Path) -> list[str]:
    """Return the head of a lock, and then each of its packages with its hashes."""
    return re.split(r"^(?=[A-Za-z0-9])", lock.read_text(encoding="utf-8"), flags=re.MULTILINE)


def differences(root: Path) -> list[str]:
    """Make the files anew in a scratch folder and name those that differ from `root`'s."""
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch)
        (copy / "requirements").mkdir()
        shutil.copy(root / "pyproject.toml", copy)
        for path in [*map(root.joinpath, LOCKS + TOOLS), *root.glob("requirements/*.in")]:
            if path.exists():
                shutil.copy(path, copy / "requirements")
        make(copy)
        return [
            name
            for name in MADE
            if not (root / name).exists() or lines(root / name) != lines(copy / name)
        ]


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()  # whatever the line ends of this clone


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Write what follows from pyproject.toml.")
    parser.add_argument("--check", action="store_true", help="change nothing, compare")
    parser.add_argument("--upgrade", action="store_true", help="take the newest releases")
    options = parser.parse_args(arguments)
    try:
        if not options.check:
            make(ROOT, options.upgrade)
            print("Written: " + ", ".join(MADE))
            return 0
        different = differences(ROOT)
    except IndexUnreachableError as error:
        print(f"NOT CHECKED: the package index cannot be reached.\n{error}", file=sys.stderr)
        return INDEX_UNREACHABLE
    for name in different:
        print(f"{name} does not follow from pyproject.toml: run tools/sync_dependencies.py")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
