"""Packages that a notebook adds: installed once, from the lock, and never in place of others."""

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
import sysconfig
import venv
import zipfile

import pytest
from support.repository import ROOT

from data_helpers import OmeZarrError, extras

CALL = """
import importlib.util, json, shutil, sys
from pathlib import Path
from data_helpers import extras

options = json.loads(sys.argv[1])
extras.ROOT = Path(options["root"])
extras.GROUPS = {"tiny": ("tiny-one", "tiny-two", "nowhere")}
extras.MEGABYTES = {"tiny": 7}
if options["uv"]:
    find_spec = importlib.util.find_spec
    importlib.util.find_spec = lambda name: None if name == "pip" else find_spec(name)
    shutil.which = lambda name: options["uv"]
for _ in range(2):
    try:
        extras.add_packages("tiny")
    except extras.OmeZarrError as error:
        sys.exit(str(error))
import tiny_one
print("imported", tiny_one.__file__.startswith(sys.prefix))
"""


def make_wheel(folder, name):
    """Write a wheel of one module; return its pin, with its hash."""
    module, info = name.replace("-", "_"), f"{name.replace('-', '_')}-1.0.dist-info"
    files = {
        f"{module}.py": "",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = []
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=")
        rows.append(f"{path},sha256={digest.decode()},{len(text)}")
    files[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,", ""])
    wheel = folder / f"{module}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return f"{name}==1.0 \\\n    --hash=sha256:{digest}\n"


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """The Python of an empty environment; other packages come to it by PYTHONPATH."""
    folder = tmp_path_factory.mktemp("environment") / "venv"
    venv.create(folder, with_pip=False, symlinks=os.name != "nt")
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


@pytest.fixture
def root(tmp_path):
    """A folder with a kit's packages and a lock that asks for two of them."""
    (tmp_path / "wheelhouse").mkdir()
    (tmp_path / "requirements").mkdir()
    pins = [make_wheel(tmp_path / "wheelhouse", name) for name in ("tiny-one", "tiny-two")]
    pins.append("nowhere==1.0 ; sys_platform == 'no such computer' \\\n    --hash=sha256:00\n")
    (tmp_path / "requirements" / "tiny.txt").write_text("# made by hand\n" + "".join(pins))
    return tmp_path


def add(python, root, uv="", **variables):
    """Call `add_packages` twice in the environment; return its exit code and what it said."""
    site = sysconfig.get_path("purelib")
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "UV_", "COV_"))}
    env |= {"PYTHONPATH": os.pathsep.join([str(ROOT), site]), "PIP_CONFIG_FILE": os.devnull}
    options = json.dumps({"root": str(root), "uv": uv})
    done = subprocess.run(
        [str(python), "-c", CALL, options],
        env=env | variables,
        capture_output=True,
        encoding="utf-8",
        timeout=100,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


def forget(python):
    """Take the tiny packages out of the environment again."""
    code = "import pathlib, shutil, sysconfig\n"
    code += "for path in pathlib.Path(sysconfig.get_path('purelib')).glob('tiny*'):\n"
    code += "    shutil.rmtree(path) if path.is_dir() else path.unlink()\n"
    subprocess.run([str(python), "-I", "-c", code], check=True)


@pytest.mark.parametrize("tool", ["pip", "uv"])
def test_missing_packages_are_installed_once_from_the_kit(python, root, tool):
    forget(python)
    uv = os.path.join(sysconfig.get_path("scripts"), "uv") if tool == "uv" else ""
    code, said, error = add(python, root, uv)
    assert code == 0, error
    lines = said.splitlines()
    assert lines[0] == "Installing 2 more packages for this notebook, once (out of wheelhouse/) ..."
    assert lines[1].startswith("Installed in ")
    ready = "This notebook's packages are there: tiny-one, tiny-two."
    assert lines[2] == ready and lines[3].startswith("There is no ready-made nowhere for ")
    assert lines[4:6] == lines[2:4]  # the second call
    assert lines[6:] == ["imported True"]


@pytest.mark.parametrize("tool", ["pip", "uv"])
def test_without_a_network_there_is_one_sentence(python, root, tool):
    forget(python)
    (root / "wheelhouse").rename(root / "elsewhere")
    uv = os.path.join(sysconfig.get_path("scripts"), "uv") if tool == "uv" else ""
    closed = "http://127.0.0.1:9/simple"
    nowhere = {"PIP_INDEX_URL": closed, "UV_DEFAULT_INDEX": closed, "UV_HTTP_RETRIES": "0"}
    code, said, error = add(python, root, uv, UV_CACHE_DIR=str(root / "uv"), **nowhere)
    assert code == 1
    assert said == "Installing 2 more packages for this notebook, once (about 7 MB) ...\n"
    assert error.strip().startswith("The packages for this notebook are not installed. The package")
    assert "connect to the internet, or start from a kit" in error and error.count("\n") == 1


def test_a_changed_package_is_refused(python, root):
    forget(python)
    lock = root / "requirements" / "tiny.txt"
    lock.write_text(re.sub("sha256:[0-9a-f]{64}", "sha256:" + "0" * 64, lock.read_text(), count=1))
    code, _, error = add(python, root)
    assert code == 1 and "A download differs from the lock" in error


def test_a_kit_for_other_computers_says_so(python, root):
    forget(python)
    for wheel in (root / "wheelhouse").iterdir():
        wheel.unlink()
    code, _, error = add(python, root)
    assert code == 1 and "no ready-made package for this computer" in error


@pytest.mark.parametrize("group", extras.GROUPS)
def test_what_is_there_is_said_in_the_same_line_each_time(group, capsys, monkeypatch):
    """Stored outputs of notebooks hold it. The tests' environment has all of it."""
    monkeypatch.setattr(extras, "install", lambda *_: pytest.fail("something was installed"))
    extras.add_packages(group)
    first = capsys.readouterr().out
    extras.add_packages(group)
    assert capsys.readouterr().out == first
    assert first.startswith(f"This notebook's packages are there: {extras.GROUPS[group][0]}, ")


def test_a_package_in_another_version_stays(monkeypatch):
    """The kernel may have imported it: `numpy` is not changed below a running notebook."""
    monkeypatch.setattr(extras, "lock_text", lambda group: "numpy==0.1 \\\n    --hash=sha256:aa\n")
    assert extras.missing("write") == []


def test_an_unknown_group_is_named():
    with pytest.raises(OmeZarrError, match=r"no group 'wirte' of packages: use one of .'write'"):
        extras.add_packages("wirte")


def test_a_package_installed_without_its_repository_brings_the_locks(tmp_path, monkeypatch):
    monkeypatch.setattr(extras, "ROOT", tmp_path)

    class Installed:
        def read_text(self, name):
            return {"extra_metadata/write.txt": "a==1\n"}.get(name)

    monkeypatch.setattr(extras.metadata, "distribution", lambda name: Installed())
    assert extras.lock_text("write") == "a==1\n"
    with pytest.raises(OmeZarrError, match=r"requirements/segment\.txt is not beside"):
        extras.lock_text("segment")


def test_without_pip_and_uv_it_says_how_to_get_one(monkeypatch):
    monkeypatch.setattr(extras.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(extras.shutil, "which", lambda name: None)
    monkeypatch.delenv("UV", raising=False)
    with pytest.raises(OmeZarrError, match="neither pip nor uv"):
        extras.installer()


@pytest.mark.parametrize(
    ("printed", "said"),
    [
        ("OSError: [Errno 28] No space left on device", "The disk is full"),
        ("error: externally-managed-environment", "This Python belongs to the system"),
        ("PermissionError: [Errno 13] Permission denied", "cannot be written to"),
        ("ERROR: something new\nthe end", "cannot be installed: ERROR: something new"),
        ("", "no reason given"),
    ],
)
def test_a_failure_of_the_installer_is_one_sentence(printed, said):
    code = f"import sys; print({printed!r}); sys.exit(1)"
    with pytest.raises(OmeZarrError, match=said) as caught:
        extras.run([sys.executable, "-c", code])
    assert "\n" not in str(caught.value)


def test_an_installer_that_hangs_is_ended(monkeypatch):
    monkeypatch.setattr(extras, "PATIENCE", 0.5)
    with pytest.raises(OmeZarrError, match="could not be installed within"):
        extras.run([sys.executable, "-c", "import time; time.sleep(60)"])
