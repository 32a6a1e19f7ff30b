"""run.py: what it does on good and bad computers, with stand-ins for slow installs."""

import errno
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
import zipfile
from pathlib import Path

import pytest

from tools import compare_lock, places
from tools.claim import claim, try_to_lock

ROOT = Path(__file__).resolve().parents[1]
START = ROOT / "run.py"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A fresh copy of the module run.py whose repository is an empty folder with two tiny locks."""
    spec = importlib.util.spec_from_file_location("run_under_test", START)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "")
    (tmp_path / "requirements").mkdir()
    copy_tools(tmp_path)
    for group in module.ENVIRONMENTS:
        (tmp_path / "requirements" / f"{group}.txt").write_text("# nothing to install\n")
    return module


def copy_tools(folder):
    """What run.py is made of besides itself."""
    (folder / "tools").mkdir()
    for name in ("__init__", "claim", "places", "compare_lock", "lab_server"):
        shutil.copy(ROOT / "tools" / f"{name}.py", folder / "tools")


@pytest.fixture
def steps(run, monkeypatch):
    """Do not install: write down each step of the set-up, and make the folder that venv would."""
    log = []

    def pretend(command, total=0):
        log.append(" ".join(command[1:]))
        if "venv" in command:
            python = run.venv_python(Path(command[-1]))
            python.parent.mkdir(parents=True)
            python.write_text("not a Python")

    monkeypatch.setattr(run, "quietly", pretend)
    monkeypatch.setattr(run, "difference", lambda folder, lock: "")
    monkeypatch.setattr(run.subprocess, "call", lambda *_, **__: 0)  # its Python starts
    return log


# --- a computer that is not fit ---------------------------------------------------------------


@pytest.mark.parametrize(("version", "said"), [((3, 10), "too old"), ((3, 14), "newer than")])
def test_a_python_that_does_not_fit_is_refused(run, version, said):
    with pytest.raises(run.SetupError, match=said) as caught:
        run.check_python(version)
    assert "3.11, 3.12 or 3.13" in str(caught.value)


def test_the_supported_pythons_are_those_of_pyproject(run):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    oldest, newest = run.OLDEST, run.NEWEST
    bounds = f">={oldest[0]}.{oldest[1]},<{newest[0]}.{newest[1] + 1}"
    assert project["requires-python"] == bounds
    for minor in range(oldest[1], newest[1] + 1):
        run.check_python((3, minor))


@pytest.mark.parametrize("missing", ["venv", "ensurepip"])
def test_missing_venv_names_the_debian_package(run, monkeypatch, missing):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        run.importlib.util, "find_spec", lambda name: None if name == missing else real(name)
    )
    with pytest.raises(run.SetupError, match="apt install python3-venv"):
        run.check_python((3, 12))


@pytest.mark.parametrize(
    ("output", "advice"),
    [
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("NewConnectionError('...: Failed to establish a new connection')", "cannot be reached"),
        ("Max retries exceeded with url: /simple/zarr/", "cannot be reached"),
        ("ReadTimeoutError: Read timed out.", "cannot be reached"),
        ("SSLError('certificate verify failed: certificate is not yet valid')", "set its clock"),
        ("SSLError('certificate verify failed: certificate has expired')", "set its clock"),
        ("[Errno 2] No usable temporary directory found in [...]", "set TMPDIR"),
        ("[Errno 30] Read-only file system: '.venv'", "can only be read"),
        ("OSError: [Errno 122] Disk quota exceeded", "disk is full"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM ...", "differs from the lock"),
        ("ERROR: No matching distribution found for numpy", "64-bit Python"),
        ("the ensurepip module is not available", "python3-venv"),
        ("PermissionError: [WinError 5] Access is denied: 'x.pyd'", "in use or protected"),
        ("something nobody has seen", "see above"),
    ],
)
def test_each_problem_has_one_sentence_with_what_to_try(run, output, advice):
    sentence = run.explain(f"pip said\n{output}\n")
    assert advice in sentence and "\n" not in sentence and sentence.endswith(".")


def test_a_full_disk_is_noticed_before_the_install(run, steps, monkeypatch):
    monkeypatch.setattr(run.shutil, "disk_usage", lambda _: FakeDisk)
    with pytest.raises(run.SetupError, match="Only 5 MB"):
        run.ensure("lab")
    assert steps == []


class FakeDisk:
    free = 5_000_000


def test_a_failing_step_shows_its_words_and_the_advice(run, capsys):
    script = "print('Collecting x'); print('ReadTimeoutError'); raise SystemExit(2)"
    with pytest.raises(run.SetupError, match="cannot be reached"):
        run.quietly([sys.executable, "-c", script])
    assert "ReadTimeoutError" in capsys.readouterr().out


# --- making, keeping and mending an environment ---------------------------------------------


def test_lab_installs_the_lean_lock_with_hashes_from_wheels(run, steps, tmp_path):
    python = run.ensure("lab")
    assert python == run.venv_python(tmp_path / ".venv")
    made, installed, path_file = steps
    assert made.startswith("-m venv")
    assert "--require-hashes" in installed and "--only-binary :all:" in installed
    assert installed.count("requirements") == 1 and "lab.txt" in installed
    assert ascii(str(tmp_path)) in path_file
    settings = tmp_path / ".venv" / "share/jupyter/lab/settings/overrides.json"
    news = json.loads(settings.read_text())["@jupyterlab/apputils-extension:notification"]
    assert news == {"fetchNews": "false", "checkForUpdates": False}
    assert not (tmp_path / ".venv-test").exists()


def test_a_kit_installs_from_its_wheelhouse_and_asks_nobody(run, steps, tmp_path, capsys):
    (tmp_path / "wheelhouse").mkdir()
    (tmp_path / "wheelhouse" / "targets.txt").write_text("linux-x86_64, Python 3.12\n")
    run.ensure("lab")
    assert f"--no-index --find-links {tmp_path / 'wheelhouse'}" in steps[1]
    assert "--require-hashes" in steps[1]
    assert "wheelhouse/: linux-x86_64, Python 3.12" in capsys.readouterr().out
    steps.clear()
    run.ensure("test")  # its packages are not in a kit
    assert "--no-index" not in steps[1]


def test_a_finished_environment_is_left_alone(run, steps):
    run.ensure("lab")
    steps.clear()
    run.ensure("lab")
    assert steps == []


def test_a_tool_has_an_environment_of_its_own_without_this_package(run, steps, tmp_path, capsys):
    assert run.main(["tool", "napari"]) == 0
    assert len(steps) == 2 and "napari.txt" in steps[1] and "--require-hashes" in steps[1]
    assert (tmp_path / ".venv-napari" / "finished.json").exists()
    assert not (tmp_path / ".venv-napari" / "share").exists()
    said = capsys.readouterr().out
    assert f"about {run.ENVIRONMENTS['napari'][1]} MB" in said and "docs/tools/napari.md" in said
    assert (ROOT / "docs" / "tools" / "napari.md").exists()


@pytest.mark.parametrize("names", [[], ["ilastik"], ["napari", "cellprofiler"], ["lab"]])
def test_only_the_tools_that_there_are_can_be_asked_for(run, names):
    with pytest.raises(run.SetupError, match="Name one tool, napari or cellprofiler"):
        run.main(["tool", *names])


def test_a_tool_for_one_python_is_made_with_it(run, steps, monkeypatch, tmp_path):
    """Where run.py runs under another Python, it looks for that one."""
    monkeypatch.setitem(run.TOOLS, "cellprofiler", (3, 99))
    here = "{}.{}".format(*sys.version_info[:2])
    monkeypatch.setattr(run.shutil, "which", lambda name: None)
    with pytest.raises(run.SetupError, match="3.99 only, and this is " + here) as caught:
        run.main(["tool", "cellprofiler"])
    assert "python.org" in str(caught.value) and steps == []
    called = []
    monkeypatch.setattr(run, "hand_over", lambda command: called.append(command) or 7)
    monkeypatch.setattr(run.shutil, "which", lambda name: f"/bin/{name}")
    assert run.main(["tool", "cellprofiler"]) == 7
    assert called == [["/bin/python3.99", str(tmp_path / "run.py"), "tool", "cellprofiler"]]
    monkeypatch.setattr(run.subprocess, "call", lambda command, **_: "py" not in command[0][-2:])
    run.main(["tool", "cellprofiler"])
    assert called[1][:2] == ["/bin/py", "-3.99"]


def unfinished(run, folder):
    (folder / "finished.json").unlink()


def other_lock(run, folder):
    (run.ROOT / "requirements" / "lab.txt").write_text("# a newer lock\n")


def other_python(run, folder):
    stamp = json.loads((folder / "finished.json").read_text())
    (folder / "finished.json").write_text(json.dumps(stamp | {"python": [3, 10]}))


def moved(run, folder):
    stamp = json.loads((folder / "finished.json").read_text())
    (folder / "finished.json").write_text(json.dumps(stamp | {"root": "elsewhere"}))


def garbled(run, folder):
    (folder / "finished.json").write_bytes(b"\xff\x00")


def vanished(run, folder):
    def gone(*_, **__):
        raise FileNotFoundError

    run.subprocess.call = gone


def another_version_inside(run, folder):
    run.subprocess.call = lambda *_, **__: 1


@pytest.mark.parametrize(
    "damage",
    [unfinished, other_lock, other_python, moved, garbled, vanished, another_version_inside],
)
def test_a_damaged_environment_is_made_anew(run, steps, tmp_path, damage, monkeypatch):
    folder = tmp_path / ".venv"
    run.ensure("lab")
    (folder / "left over").touch()
    steps.clear()
    monkeypatch.setattr(run.subprocess, "call", run.subprocess.call)  # put back afterwards
    damage(run, folder)
    run.ensure("lab")
    assert len(steps) == 3 and not (folder / "left over").exists()


def test_an_interrupted_install_does_not_count_as_finished(run, steps, tmp_path, monkeypatch):
    pretend = run.quietly

    def interrupted(command, total=0):
        if "pip" in command:
            raise KeyboardInterrupt
        pretend(command, total)

    monkeypatch.setattr(run, "quietly", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run.ensure("lab")
    assert not run.is_ready(tmp_path / ".venv", run.stamp_text(tmp_path / "requirements/lab.txt"))
    monkeypatch.setattr(run, "quietly", pretend)
    run.ensure("lab")
    assert run.is_ready(tmp_path / ".venv", run.stamp_text(tmp_path / "requirements/lab.txt"))


def test_damage_is_said_and_mended_once(run, steps, monkeypatch, capsys):
    run.ensure("lab")
    damage = iter(["zarr without its list of files"] * 2 + [""])  # before, in the claim, at the end
    monkeypatch.setattr(run, "difference", lambda folder, lock: next(damage))
    capsys.readouterr()
    steps.clear()
    run.ensure("lab")
    said = capsys.readouterr().out.splitlines()
    assert said[0] == ".venv is damaged (zarr without its list of files), so it is made anew."
    assert len(steps) == 3 and said[-1].strip() == ".venv is ready."


def test_what_is_not_as_locked_does_not_count_as_finished(run, steps, monkeypatch, tmp_path):
    monkeypatch.setattr(run, "difference", lambda folder, lock: "zarr missing (lock ==3.1.6)")
    with pytest.raises(run.SetupError, match=r"zarr missing \(lock ==3\.1\.6\).*again") as caught:
        run.ensure("lab")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / ".venv" / "finished.json").exists()


@pytest.mark.skipif(os.name == "nt", reason="NOT CHECKED: links need a right on Windows")
def test_a_link_in_place_of_the_environment_is_replaced_not_followed(run, steps, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "precious").touch()
    (tmp_path / ".venv").symlink_to("elsewhere")
    run.ensure("lab")
    assert (tmp_path / "elsewhere" / "precious").exists()
    assert not (tmp_path / ".venv").is_symlink()


def test_windows_line_ends_are_no_new_lock(run, tmp_path):
    lock = tmp_path / "requirements" / "lab.txt"
    lock.write_bytes(b"a==1\nb==2\n")
    before = run.stamp_text(lock)
    lock.write_bytes(b"a==1\r\nb==2\r\n")
    assert run.stamp_text(lock) == before


@pytest.mark.speed
@pytest.mark.timeout(100)
def test_the_second_start_takes_under_two_seconds(run, tmp_path, capsys):
    """All that run.py does before JupyterLab takes over, in an environment that is finished."""
    (tmp_path / "run.py").write_bytes(START.read_bytes())
    start = [sys.executable, tmp_path / "run.py", "setup"]
    first = subprocess.run(start, capture_output=True, text=True, timeout=90)
    assert ".venv is ready" in first.stdout
    started = time.perf_counter()
    second = subprocess.run(start, capture_output=True, text=True, timeout=10)
    seconds = time.perf_counter() - started
    assert second.returncode == 0 and "Making" not in second.stdout
    assert seconds < 2


# --- a real environment, made by two at once -----------------------------------------------------


def write_wheel(folder, name, version, files):
    """Write a wheel by hand; return its line in a lock."""
    inside = f"{name}-{version}.dist-info"
    files = {
        **files,
        f"{inside}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{inside}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = [f"{path},,{len(text)}" for path, text in files.items()] + [f"{inside}/RECORD,,"]
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
        archive.writestr(f"{inside}/RECORD", "\n".join(record) + "\n")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return f"{name}=={version} \\\n    --hash=sha256:{digest}\n"


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A repository with a lock of two tiny packages, set up by two at once; what they said."""
    root = tmp_path_factory.mktemp("pair")
    (root / "data_helpers_stand_in.py").write_text("where = __file__\n")
    copy_tools(root)
    shutil.copy(START, root)
    for name in ("requirements", "wheelhouse"):
        (root / name).mkdir()
    files = {"tiny_package/__init__.py": "x = 1\n", "tiny_package/data/a.txt": "many words"}
    lock = write_wheel(root / "wheelhouse", "tiny_package", "1.0", files)
    lock += write_wheel(root / "wheelhouse", "Second.One", "2.0", {"one_file.py": "y = 2\n"})
    lock += "other==1.0 ; python_full_version < '3' \\\n    --hash=sha256:" + "0" * 64 + "\n"
    (root / "requirements" / "lab.txt").write_text(lock)
    start = [sys.executable, "run.py", "setup"]
    options = {"cwd": root, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(start, **options) as first:
        said = first.stdout.readline()  # it has begun
        with subprocess.Popen(start, **options) as second:
            outcomes = [(said + first.communicate()[0], first), (second.communicate()[0], second)]
    return root, outcomes


@pytest.mark.timeout(100)
def test_of_two_at_once_one_works_and_the_other_waits(pair):
    root, [(first, one), (second, two)] = pair
    assert (one.returncode, two.returncode) == (0, 0), first + second
    assert "Making .venv" in first and "Making" not in second
    if "waiting" in second:  # on a very busy computer it may have come too late
        who = rf"Another run\.py \(process {one.pid}, since \d\d:\d\d:\d\d\) is making \.venv"
        assert re.match(who + " in this folder: waiting for it", second)
    assert (root / ".venv" / "finished.json").exists()


@pytest.mark.timeout(100)
def test_the_real_environment_finds_the_repository(pair, run):
    root = pair[0]
    command = [run.venv_python(root / ".venv"), "-c"]
    command += ["import one_file, tiny_package, data_helpers_stand_in as d; print(d.where)"]
    found = subprocess.check_output(
        command, cwd=root.parent, env=run.child_environment(), text=True
    )
    assert Path(found.strip()) == root / "data_helpers_stand_in.py"


@pytest.fixture
def real(pair, run, monkeypatch):
    """The module run.py with the real environment as its own; what a test moves is put back."""
    root = pair[0]
    monkeypatch.setattr(run, "ROOT", root)
    folder, lock = root / ".venv", root / "requirements" / "lab.txt"
    assert run.problem(folder, lock) is None
    site = next(folder.glob("[Ll]ib/**/site-packages"))
    kept = root / "kept"
    kept.mkdir()
    for path in ours(site):
        shutil.copytree(path, kept / path.name)
    yield run, folder, lock, site
    for path in ours(site):
        shutil.rmtree(path)
    for path in kept.iterdir():
        path.rename(site / path.name)
    kept.rmdir()
    if (site / "gone").exists():
        (site / "gone").rename(site / "pip")


def ours(site):
    """The folders of the tiny packages."""
    return [path for path in site.iterdir() if path.name.lower().startswith("tiny")]


def no_file(site):
    (site / "tiny_package" / "data" / "a.txt").unlink()


def half_a_file(site):
    (site / "tiny_package" / "data" / "a.txt").write_text("many")


def no_package(site):
    shutil.rmtree(site / "tiny_package")


def no_record(site):
    (site / "tiny_package-1.0.dist-info" / "RECORD").unlink()


def half_a_record(site):
    (site / "tiny_package-1.0.dist-info" / "RECORD").write_text(
        "tiny_package/__init__.py,,6\ntiny_"
    )


def unknown(site):
    shutil.rmtree(site / "tiny_package-1.0.dist-info")


def newer(site):
    (site / "tiny_package-1.0.dist-info").rename(site / "tiny_package-1.1.dist-info")


def twice(site):
    shutil.copytree(site / "tiny_package-1.0.dist-info", site / "tiny_package-0.9.dist-info")


def no_pip(site):
    (site / "pip").rename(site / "gone")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (no_file, "tiny_package without tiny_package/data/a.txt"),
        (half_a_file, "tiny_package with half of tiny_package/data/a.txt"),
        (no_package, "tiny_package without tiny_package/"),
        (no_record, "tiny_package without its list of files"),
        (half_a_record, "tiny_package without its list of files"),
        (unknown, "tiny_package missing (lock ==1.0)"),
        (newer, "tiny_package 1.1 (lock ==1.0)"),
        (twice, "tiny_package 0.9 and 1.0 (lock ==1.0)"),
        (no_pip, "its packages cannot be listed"),
    ],
)
def test_each_damage_is_noticed(real, damage, said):
    run, folder, lock, site = real
    damage(site)
    assert said in run.problem(folder, lock).replace("tiny-package", "tiny_package")


def test_a_file_that_two_packages_bring_along_is_no_damage(tmp_path):
    """Several packages ship a docs/conf.py; pip keeps that of the last one."""
    for name, size in (("one", 3), ("two", 5)):
        (tmp_path / f"{name}-1.0.dist-info").mkdir()
        (tmp_path / f"{name}-1.0.dist-info" / "RECORD").write_text(f"docs/conf.py,,{size}\n")
    (tmp_path / "docs").mkdir()
    conf = tmp_path / "docs" / "conf.py"
    for text, found in (("abcde", []), ("abc", []), ("ab", ["one with half of docs/conf.py"])):
        conf.write_text(text)
        assert compare_lock.differences("one==1.0\ntwo==1.0\n", str(tmp_path)) == found


def test_what_the_user_adds_is_no_damage(real):
    run, folder, lock, site = real
    (site / "tiny_package" / "data" / "a.txt").write_text("many words and a note of my own")
    (site / "mine-1.0.dist-info").mkdir()
    assert run.problem(folder, lock) is None


def test_an_interpreter_that_is_gone_is_noticed(real):
    run, folder, lock, _ = real
    python = run.venv_python(folder)
    python.rename(python.with_name("gone"))
    assert run.problem(folder, lock) == "its Python does not start"
    python.with_name("gone").rename(python)


@pytest.mark.speed
def test_looking_for_damage_takes_under_a_second():
    """In the environment that runs this test, which is larger than the learner's."""
    lock = ROOT / "requirements" / "test.txt"
    command = [sys.executable, "-I", ROOT / "tools" / "compare_lock.py", lock]
    seconds = []
    for _ in range(4):  # the disk may be slow at first, and the computer busy
        started = time.perf_counter()
        done = subprocess.run(command, capture_output=True, timeout=60, text=True)
        seconds.append(time.perf_counter() - started)
    assert done.returncode == 0, done.stdout
    assert min(seconds) < 1


# --- who works in a folder ------------------------------------------------------------------------

HOLD = """
import subprocess, sys, time
from pathlib import Path
from tools.claim import claim
with claim(Path(sys.argv[1]), "making .venv"):
    sleeping = "import sys, time; print('held', flush=True); time.sleep(float(sys.argv[1]))"
    if sys.argv[2] == "itself":
        print("held", flush=True)
    else:
        child = [sys.executable, "-c", sleeping, sys.argv[2]]
        subprocess.Popen(child, close_fds=False)
    time.sleep(60)
"""


def held(path, how):
    """Start a process that holds a claim, or whose child does for some seconds after its death."""
    command = [sys.executable, "-c", HOLD, str(path), how]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    return process


def test_a_claim_ends_with_who_was_killed(tmp_path, capsys):
    path = tmp_path / ".venv.lock"
    with held(path, "itself") as process:
        with open(path, "r+") as file:
            assert not try_to_lock(file.fileno())
        process.kill()
    started = time.monotonic()
    with claim(path, "making .venv"):
        assert time.monotonic() - started < 5
    assert capsys.readouterr().out == ""


@pytest.mark.skipif(os.name == "nt", reason="NOT CHECKED: on Windows no file in use is deleted")
def test_pip_that_outlives_its_run_is_waited_for(tmp_path, capsys):
    path = tmp_path / ".venv.lock"
    with held(path, "1.5") as process:
        process.kill()
        process.wait()
        with claim(path, "making .venv"):
            pass
    said = capsys.readouterr().out
    assert f"(process {process.pid}, since " in said and said.count("waiting for it") == 1


@pytest.mark.skipif(os.name == "nt", reason="NOT CHECKED: on Windows no file in use is deleted")
def test_each_step_of_the_set_up_holds_the_claim(run):
    _, end = os.pipe()
    os.set_inheritable(end, True)  # as a claim's file is
    run.quietly([sys.executable, "-c", f"import os; os.fstat({end})"])


def test_a_disk_without_locks_is_said_and_no_obstacle(tmp_path, capsys, monkeypatch):
    module = pytest.importorskip("fcntl", reason="NOT CHECKED: this is for other systems")

    def none_left(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(module, "flock", none_left)
    with claim(tmp_path / "x", "making .venv"):
        pass
    assert "keeps no locks" in capsys.readouterr().out


# --- the user's own settings ------------------------------------------------------------------


def test_stray_variables_are_left_out_and_network_settings_kept(run, monkeypatch):
    stray = {"PYTHONPATH": "x", "PYTHONHOME": "x", "PIP_TARGET": "x", "PIP_CONSTRAINT": "x"}
    kept = {"PIP_INDEX_URL": "https://mirror.example.org", "HTTPS_PROXY": "p", "PIP_CERT": "c"}
    for name, value in {**stray, **kept, "PIP_REQUIRE_VIRTUALENV": "1", "PIP_USER": "1"}.items():
        monkeypatch.setenv(name, value)
    env = run.child_environment()
    assert not stray.keys() & env.keys()
    assert kept.items() <= env.items()
    assert (env["PIP_REQUIRE_VIRTUALENV"], env["PIP_USER"]) == ("0", "0")


@pytest.mark.skipif(os.name == "nt", reason="NOT CHECKED: Windows always has a home folder")
def test_a_home_that_cannot_be_written_is_replaced(run, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "missing"))
    assert run.child_environment()["HOME"] == str(tmp_path / ".home")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert run.child_environment()["HOME"] == str(tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="NOT CHECKED: Windows always has a home folder")
@pytest.mark.parametrize("home", ["/dev/null", "/dev/null/x", "relative", ""])
def test_no_home_is_replaced_by_one_here(run, monkeypatch, tmp_path, home):
    monkeypatch.setenv("HOME", home)
    if not home:
        monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # nobody knows this user
    env = run.child_environment()
    assert env["HOME"] == str(tmp_path / ".home") and os.path.isdir(env["HOME"])


@pytest.mark.skipif(os.name == "nt", reason="NOT CHECKED: Windows has other folders")
@pytest.mark.parametrize(
    ("place", "name"),
    [
        (".jupyter", "JUPYTER_CONFIG_DIR"),
        (".ipython", "IPYTHONDIR"),
        (".local", "JUPYTER_RUNTIME_DIR"),
        ("Library", "JUPYTER_RUNTIME_DIR"),
    ],
)
def test_jupyter_is_led_where_it_can_write(run, monkeypatch, tmp_path, place, name):
    if place == ("Library" if sys.platform != "darwin" else ".local"):
        pytest.skip("another system's folder")
    for variable in ("XDG_DATA_HOME", "JUPYTER_DATA_DIR", name):
        monkeypatch.delenv(variable, raising=False)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    assert name not in run.child_environment()
    (home / place).touch()  # a file where a folder should be
    env = run.child_environment()
    assert env["HOME"] == str(home) and env[name] == str(tmp_path / ".home" / name.lower())
    assert os.path.isdir(env[name])


def test_a_variable_that_leads_nowhere_is_replaced(run, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "file" / "runtime"))
    led = run.child_environment()["JUPYTER_RUNTIME_DIR"]
    assert led == str(tmp_path / ".home" / "jupyter_runtime_dir")
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "new" / "runtime"))
    assert run.child_environment()["JUPYTER_RUNTIME_DIR"] == str(tmp_path / "new" / "runtime")


@pytest.mark.parametrize("trouble", ["none", "only this folder", "full"])
def test_temporary_files_are_led_where_there_is_room(run, monkeypatch, tmp_path, trouble):
    def none():
        raise FileNotFoundError(2, "No usable temporary directory found")

    class Room:
        free = 10**12

    monkeypatch.setattr(places.shutil, "disk_usage", lambda _: Room)
    assert run.child_environment().get("TMPDIR") == os.environ.get("TMPDIR")
    if trouble == "full":
        monkeypatch.setattr(places.shutil, "disk_usage", lambda _: FakeDisk)
    find = none if trouble == "none" else os.getcwd if trouble == "only this folder" else None
    monkeypatch.setattr(places.tempfile, "gettempdir", find or places.tempfile.gettempdir)
    assert run.child_environment()["TMPDIR"] == str(tmp_path / ".home" / "tmp")
    assert (tmp_path / ".home" / "tmp").is_dir()


def nobody_can_write(run, monkeypatch):
    """Nothing can be written, which the tests' user would not feel if it may do everything."""
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)

    def forbidden(path, *_, **__):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "makedirs", forbidden)


def test_a_read_only_folder_is_said(run, steps, monkeypatch, tmp_path):
    nobody_can_write(run, monkeypatch)
    with pytest.raises(run.SetupError, match=r"cannot write to .*copy the tutorial") as caught:
        run.main(["setup"])
    assert str(tmp_path) in str(caught.value) and steps == []


def test_a_finished_environment_in_a_read_only_folder_starts(run, steps, monkeypatch, tmp_path):
    run.ensure("lab")
    commands = []
    monkeypatch.setattr(run, "hand_over", lambda command: commands.append(command) or 0)
    monkeypatch.setattr(run, "serve", lambda command, env, root: run.hand_over(command))
    monkeypatch.setattr(run, "ROOT", tmp_path)
    real = os.access
    monkeypatch.setattr(
        os, "access", lambda path, mode: real(path, mode) and str(path) != str(tmp_path)
    )
    assert run.main(["lab"]) == 0 and len(commands) == 1
    nobody_can_write(run, monkeypatch)
    assert run.main(["setup"]) == 0
    with pytest.raises(run.SetupError, match="set HOME"):
        run.main(["lab"])
    assert run.main(["check"]) == 0 and len(commands) == 2  # says by itself what is wrong


def test_a_kit_reads_its_mirror_unless_the_user_says_otherwise(run, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("OME_ZARR_SOURCE", "")
    run.find_mirror()
    assert os.environ["OME_ZARR_SOURCE"] == ""
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "mirror.jsonl").touch()
    run.find_mirror()
    assert os.environ["OME_ZARR_SOURCE"] == str(tmp_path / "mirror")
    assert "Images come from mirror/" in capsys.readouterr().out
    monkeypatch.setenv("OME_ZARR_SOURCE", "offline")
    run.find_mirror()
    assert os.environ["OME_ZARR_SOURCE"] == "offline"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OME_ZARR_SOURCE", "mirror")  # notebooks run in another folder
    run.find_mirror()
    assert os.environ["OME_ZARR_SOURCE"] == str(tmp_path / "mirror")


@pytest.mark.parametrize("ready", [True, False])
def test_check_makes_no_environment(run, monkeypatch, tmp_path, ready):
    commands = []
    monkeypatch.setattr(run, "hand_over", lambda command: commands.append(command) or 0)
    monkeypatch.setattr(run, "is_ready", lambda folder, stamp: ready)
    assert run.main(["check"]) == 0
    [command] = commands
    assert command[0] == (str(run.venv_python(tmp_path / ".venv")) if ready else sys.executable)
    assert command[1].endswith("check_computer.py")
    assert ("--no-environment" in command) is not ready
    assert not (tmp_path / ".venv").exists()


# --- commands -----------------------------------------------------------------------------------


def test_jupyterlab_opens_notebook_01_on_loopback_with_a_token(run):
    command = run.lab_command(Path("python"), False, 0)
    assert "--ServerApp.ip=127.0.0.1" in command
    assert "--LabApp.default_url=/lab/tree/notebooks/01_what_is_ome_zarr.ipynb" in command
    assert not [part for part in command if "token" in part or "port" in part or "browser" in part]


def test_jupyterlab_finds_our_settings_after_those_of_the_user(run, monkeypatch, tmp_path):
    run.add_settings()
    assert os.environ["JUPYTER_CONFIG_PATH"] == str(tmp_path / "tools" / "lab")
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "mine")
    run.add_settings()
    ours = str(tmp_path / "tools" / "lab")
    assert os.environ["JUPYTER_CONFIG_PATH"] == os.pathsep.join(["mine", ours])
    assert list((ROOT / "tools" / "lab").iterdir()) != []


def test_no_browser_and_port_reach_jupyterlab(run):
    command = run.lab_command(Path("python"), True, 8999)
    assert "--no-browser" in command and "--port=8999" in command


@pytest.mark.parametrize(
    ("arguments", "group", "handed_over"),
    [
        ([], "lab", "jupyterlab"),
        (["lab", "--no-browser", "--port", "8999"], "lab", "--port=8999"),
        (["--no-browser"], "lab", "--no-browser"),
        (["setup"], "lab", None),
        (["python", "-m", "pytest", "--port"], "test", "-m pytest --port"),
        (["bench", "--quick"], "test", "-m benchmarks --quick"),
        (["kit", "DIR", "--yes"], "lab", "make_kit.py DIR --yes"),
    ],
)
def test_commands(run, monkeypatch, arguments, group, handed_over):
    groups, commands = [], []
    monkeypatch.setattr(run, "ensure", lambda name: groups.append(name) or Path("python"))
    monkeypatch.setattr(run, "hand_over", lambda command: commands.append(" ".join(command)) or 0)
    monkeypatch.setattr(run, "serve", lambda command, env, root: run.hand_over(command))
    assert run.main(arguments) == 0
    assert groups == [group]
    assert len(commands) == (handed_over is not None)
    assert handed_over is None or handed_over in commands[0]


@pytest.mark.parametrize(
    "arguments", [["--foo"], ["start"], ["lab", "--port", "x"], ["test", "--port", "1"]]
)
def test_usage_errors_show_the_usage(arguments):
    done = subprocess.run(
        [sys.executable, START, *arguments], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    usage = "usage: run.py [lab [--no-browser] [--port N] | setup | check | kit DIR | test | bench"
    assert "tool NAME" in done.stderr
    assert usage in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="NOT CHECKED: on Windows run.py waits for the command")
def test_signals_reach_the_command_that_run_becomes(run, tmp_path):
    (tmp_path / "start.py").write_text(
        "import importlib.util, sys\n"
        f"spec = importlib.util.spec_from_file_location('run', {str(START)!r})\n"
        "run = importlib.util.module_from_spec(spec); spec.loader.exec_module(run)\n"
        "sleep = 'import time; print(1, flush=True); time.sleep(60)'\n"
        "run.hand_over([sys.executable, '-c', sleep])\n"
    )
    start = subprocess.Popen([sys.executable, tmp_path / "start.py"], stdout=subprocess.PIPE)
    with start:
        assert start.stdout.read(1) == b"1"
        start.terminate()
        assert start.wait(10) == -15


# --- run.py test ----------------------------------------------------------------------------------


def test_every_step_runs_and_any_failure_counts(run, monkeypatch, capsys, tmp_path):
    marks = tmp_path / "marks"

    def steps(python):
        script = f"open({str(marks)!r}, 'a').write('x'); raise SystemExit"
        return [(name, [sys.executable, "-c", f"{script}({code})"], {}) for name, code in plan]

    monkeypatch.setattr(run, "test_steps", steps)
    plan = [("one", 0), ("two", 3), ("three", 0)]
    assert run.run_tests(Path("python")) == 1
    assert marks.read_text() == "xxx"
    summary = capsys.readouterr().out.split("--- summary ---")[1]
    assert re.findall(r"^(\w+) +(ok|FAILED)", summary, re.MULTILINE) == [
        ("one", "ok"),
        ("two", "FAILED"),
        ("three", "ok"),
    ]
    plan = [("one", 0)]
    assert run.run_tests(Path("python")) == 0


@pytest.mark.parametrize(
    ("required", "other", "wanted"), [("", 0, 0), ("", 3, 1), ("1", 0, 1), ("1", 3, 1)]
)
def test_browser_tests_without_a_chromium_are_never_ok(
    run, monkeypatch, capsys, tmp_path, required, other, wanted
):
    exits = [sys.executable, "-c", f"raise SystemExit({other})"]
    writes = [sys.executable, "-c", f"open({str(tmp_path / 'ran')!r}, 'w')"]
    plan = [("one", exits, {}), ("browser", writes, {})]
    monkeypatch.setattr(run, "test_steps", lambda python: plan)
    monkeypatch.setattr(run, "find_chromium", lambda: "")
    monkeypatch.setenv("CHROMIUM_REQUIRED", required)
    assert run.run_tests(Path("python")) == wanted
    summary = capsys.readouterr().out.split("--- summary ---")[1]
    lines = re.findall(r"^browser .*NOT RUN: no Chromium found.*", summary, re.MULTILINE)
    assert len(lines) == 1 and ("FAILED" in lines[0]) == bool(required)
    assert not (tmp_path / "ran").exists()
    monkeypatch.setattr(run, "find_chromium", lambda: "a path")
    assert run.run_tests(Path("python")) == int(other > 0)
    assert (tmp_path / "ran").exists() and "NOT RUN" not in capsys.readouterr().out


@pytest.mark.parametrize("required", ["", "1"])
def test_tests_with_tools_are_never_ok_without_them(run, monkeypatch, capsys, tmp_path, required):
    writes = [sys.executable, "-c", f"open({str(tmp_path / 'ran')!r}, 'w')"]
    monkeypatch.setattr(run, "test_steps", lambda python: [("tools", writes, {})])
    monkeypatch.setenv("TOOLS_REQUIRED", required)
    finished(run, tmp_path / ".venv-napari", "napari")
    assert run.run_tests(Path("python")) == int(bool(required))
    said = capsys.readouterr().out.split("--- summary ---")[1]
    assert "NOT RUN: no cellprofiler (type python3 run.py tool cellprofiler)" in said
    assert "*** tools tests NOT RUN: no cellprofiler" in said
    assert ("FAILED" in said) == bool(required) and not (tmp_path / "ran").exists()
    finished(run, tmp_path / ".venv-cellprofiler", "cellprofiler", python=[3, 9])
    assert run.run_tests(Path("python")) == 0 and (tmp_path / "ran").exists()


def finished(run, folder, name, **other):
    """Let the environment of a tool look finished."""
    stamp = json.loads(run.stamp_text(run.ROOT / "requirements" / f"{name}.txt"))
    folder.mkdir()
    (folder / "finished.json").write_text(json.dumps(stamp | other))


@pytest.mark.parametrize("damage", ["{", "[]", "{}", None])
def test_a_tool_counts_only_if_it_was_made_from_its_lock(run, tmp_path, damage):
    folder = tmp_path / ".venv-napari"
    assert not run.has_tool("napari")
    finished(run, folder, "napari")
    assert run.has_tool("napari")
    if damage is None:
        (tmp_path / "requirements" / "napari.txt").write_text("# a newer lock\n")
    else:
        (folder / "finished.json").write_text(damage)
    assert not run.has_tool("napari") and "python3 run.py tool napari" in run.missing_tools()


@pytest.mark.parametrize("there", [True, False])
def test_the_chromium_that_is_named_is_taken_or_none(run, monkeypatch, tmp_path, there):
    named = tmp_path / ("chromium.exe" if os.name == "nt" else "chromium")
    if there:
        named.touch(mode=0o755)
    monkeypatch.setenv("CHROMIUM", str(named))
    assert run.find_chromium() == (str(named) if there else "")


@pytest.mark.parametrize(
    "place",
    [
        "bin/google-chrome",
        "home/.cache/ms-playwright/chromium-1/chrome-linux/chrome",
        "home/.cache/ms-playwright/chromium-1/chrome-win64/chrome.exe",
        "home/Library/Caches/ms-playwright/chromium-1/chrome-mac/Chromium.app/Contents/MacOS/Chromium",
        "home/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
        "programs/Google/Chrome/Application/chrome.exe",
        "programs/Chromium/Application/chrome.exe",
        "",
    ],
)
@pytest.mark.skipif(os.name == "nt", reason="NOT CHECKED: Windows has no executable files")
def test_a_chromium_is_found_where_systems_keep_it(run, monkeypatch, tmp_path, place):
    monkeypatch.delenv("CHROMIUM", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PROGRAMFILES", str(tmp_path / "programs"))
    if place:
        (tmp_path / place).parent.mkdir(parents=True)
        (tmp_path / place).touch(mode=0o755)
    found = run.find_chromium()
    if not found.startswith("/Applications"):  # this Mac's own
        assert found == (str(tmp_path / place) if place else "")


def test_the_steps_are_those_that_readme_promises(run):
    steps = {name: (" ".join(command), extra) for name, command, extra in run.test_steps(Path("p"))}
    assert list(steps) == [
        "ruff check",
        "ruff format",
        "mypy",
        "site",
        "notebooks",
        "speed",
        "unit tests",
        "browser",
        "tools",
    ]
    notebooks, offline = steps["notebooks"]
    assert "--nbval " in notebooks and "--nbval-cell-timeout" in notebooks
    alone = {"OME_ZARR_SOURCE": "offline", "CELLPROFILER_PYTHON": "none"}
    assert "tests/nbval_sanitize.cfg" in notebooks and offline == alone
    assert "--dist loadfile" in notebooks and "--cov" in steps["unit tests"][0]
    assert "-m not speed and not browser and not tools" in steps["unit tests"][0]
    assert "-m tools" in steps["tools"][0] and "tests/tools" in steps["tools"][0]
    assert "-m browser" in steps["browser"][0] and steps["browser"][1] == offline
    coverage = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"][
        "coverage"
    ]
    assert coverage["run"]["branch"] is True and coverage["report"]["fail_under"] >= 90


# --- .ci/run --------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="NOT CHECKED: .ci/run is for Linux")
@pytest.mark.parametrize("libraries_are_there", [True, False])
@pytest.mark.parametrize("chromium_is_there", [True, False])
@pytest.mark.parametrize("venv_is_there", [True, False])
def test_ci_installs_what_is_missing_then_calls_the_test_command(
    tmp_path, venv_is_there, chromium_is_there, libraries_are_there
):
    log, programs = tmp_path / "log", tmp_path / "bin"
    programs.mkdir()
    stubs = {
        "python3": f"""case "$*" in *ensurepip*) exit {0 if venv_is_there else 1};;
            *find_chromium*) exit {0 if chromium_is_there else 1};;
            *"python%d"*) echo python3.11;; *version_info*) exit 0;;
            *) echo "python3 $* ${{CHROMIUM_REQUIRED:-}}${{TOOLS_REQUIRED:-}}" >> {log};; esac""",
        "dpkg": f"exit {0 if libraries_are_there else 1}",
        "apt-get": f"""echo "apt-get $*" >> {log}""",
        "sudo": """exec "$@\"""",
    }
    for name, script in stubs.items():
        (programs / name).write_text(f"#!/bin/bash\n{script}\n")
        (programs / name).chmod(0o755)
    env = {"PATH": f"{programs}:/usr/bin:/bin", "HOME": str(tmp_path)}
    subprocess.run(["bash", ROOT / ".ci" / "run"], env=env, check=True, timeout=60, cwd=tmp_path)
    missing = [] if venv_is_there else ["apt-get install -y python3.11-venv"]
    missing += [] if chromium_is_there else ["apt-get install -y chromium"]
    said = log.read_text().splitlines()
    libraries = [line for line in said if "libxcb-cursor0" in line]  # Qt tells that it lacks this
    vigra = ["apt-get install -y --no-install-recommends python3-vigra"]
    missing += [] if libraries_are_there else libraries + vigra
    assert len(libraries) == (not libraries_are_there)
    wanted = ["apt-get update", *missing] if missing else []
    tools = [f"python3 run.py tool {name} 11" for name in ("napari", "cellprofiler")]
    assert said == [*wanted, *tools, "python3 run.py test 11"]
