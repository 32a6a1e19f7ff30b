"""What gets installed follows from pyproject.toml, and what is committed fits every machine."""

import ast
import functools
import pickle
import re
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from importlib.metadata import packages_distributions
from pathlib import Path

import nbformat
import numcodecs
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from support.repository import ADDRESS, PROJECT, PYPROJECT, ROOT, committed, read

from data_helpers import IMAGES, extras
from tools import sync_dependencies

LEAN = {Requirement(text).name: Requirement(text) for text in PROJECT["dependencies"]}
EXTRA = {
    group: {Requirement(text).name for text in texts}
    for group, texts in PROJECT["optional-dependencies"].items()
}


# --- dependencies ---------------------------------------------------------------------------


@pytest.mark.timeout(320)
def test_locks_and_conda_environments_follow_from_pyproject():
    try:
        different = sync_dependencies.differences(ROOT)
    except sync_dependencies.IndexUnreachableError:
        pytest.skip("NOT CHECKED: the package index cannot be reached, nothing was compared")
    assert different == [], "run: python3 run.py python tools/sync_dependencies.py"


def test_a_changed_dependency_is_noticed(tmp_path, monkeypatch):
    for name in ("pyproject.toml", *sync_dependencies.MADE):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(read(ROOT / name), encoding="utf-8")
    changed = read(ROOT / "pyproject.toml").replace('"tqdm>=', '"tqdm!=4.66,>=')
    (tmp_path / "pyproject.toml").write_text(changed, encoding="utf-8")
    # The locks need the package index: see above.
    monkeypatch.setattr(sync_dependencies, "LOCKS", ())
    monkeypatch.setattr(sync_dependencies, "TOOLS", ())
    monkeypatch.setattr(sync_dependencies, "MADE", sync_dependencies.CONDA)
    assert sync_dependencies.differences(tmp_path) == ["environment.yml", "binder/environment.yml"]


HOLDS = {
    "requirements/napari.txt": {"napari", "napari-ome-zarr", "pyqt6", "numba"},
    "requirements/cellprofiler.txt": {"cellprofiler-nightly", "cellprofiler-core-nightly"},
}


@pytest.mark.parametrize("name", sync_dependencies.LOCKS + sync_dependencies.TOOLS)
def test_locks_have_hashes_and_no_addresses(name):
    text = read(ROOT / name)
    pins = {canonicalize_name(p) for p in re.findall(r"^([a-z0-9][\w.-]*)==", text, re.MULTILINE)}
    extra = EXTRA.get(Path(name).stem, set(LEAN)) - {"jsonschema", "tifffile"}  # of lab.txt
    assert HOLDS.get(name, extra) <= pins
    assert not pins & set(sync_dependencies.NOT_NEEDED)
    blocks = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    assert all("--hash=sha256:" in block for block in blocks)
    assert "://" not in text


def test_the_lean_lock_is_a_part_of_the_test_lock():
    def pins(name):
        return set(re.findall(r"^\S+==\S+", read(ROOT / name), re.MULTILINE))

    lab, test = pins("requirements/lab.txt"), pins("requirements/test.txt")
    assert lab < test
    assert not [pin for pin in lab if pin.startswith(("pytest", "boto3", "mypy", "ruff"))]
    for extra in EXTRA:
        more = pins(f"requirements/{extra}.txt")
        assert more and more < test and not more & lab


def test_optional_packages_are_those_that_add_packages_names():
    assert {group: set(names) for group, names in extras.GROUPS.items()} == EXTRA
    assert set(sync_dependencies.EXTRAS) == set(EXTRA)


def test_an_optional_package_changes_no_version_of_the_lean_set():
    """centrosome asks for pillow<12; the learner's set has a later one, whatever it asks for."""
    pillow = re.search(r"^pillow==(\d+)", read(ROOT / "requirements/lab.txt"), re.MULTILINE)
    assert pillow and int(pillow[1]) >= 12


def test_conda_environments_ask_for_the_python_of_pyproject():
    everywhere = yaml.safe_load(read(ROOT / "environment.yml"))
    asked = next(dep for dep in everywhere["dependencies"] if str(dep).startswith("python"))
    assert (
        Requirement(asked).specifier == Requirement("python" + PROJECT["requires-python"]).specifier
    )
    assert everywhere["channels"] == ["conda-forge"]
    assert {"pip": ["-e ."]} in everywhere["dependencies"]
    binder = yaml.safe_load(read(ROOT / "binder" / "environment.yml"))
    assert "python=3.12" in binder["dependencies"]


def test_conda_names_have_the_bounds_of_pyproject():
    for name, override in PYPROJECT["tool"]["pyproject2conda"]["dependencies"].items():
        assert Requirement(override["packages"]).specifier == LEAN[name].specifier


# Codec `pickle` of these runs code that a chunk brings along; 0.16.6 and 0.17.1 refuse it.
CODE_RUNS = ("0.15.1", "0.16.0", "0.16.3", "0.16.5", "0.17.0")


def test_no_numcodecs_is_allowed_that_runs_code_from_a_chunk():
    conda = [
        next(
            Requirement(text)
            for text in yaml.safe_load(read(ROOT / name))["dependencies"]
            if str(text).startswith("numcodecs")
        )
        for name in sync_dependencies.CONDA
    ]
    locked = [
        Requirement(text)
        for name in sync_dependencies.LOCKS + sync_dependencies.TOOLS
        for text in re.findall(r"^numcodecs[^\n\\]*", read(ROOT / name), re.MULTILINE)
    ]
    assert len(locked) >= len(sync_dependencies.LOCKS)
    for requirement in (LEAN["numcodecs"], *conda, *locked):
        assert list(requirement.specifier.filter(CODE_RUNS)) == [], requirement
    for requirement in (LEAN["numcodecs"], *conda):
        assert list(requirement.specifier.filter(["0.16.6", "0.17.1"])) == ["0.16.6", "0.17.1"]


class RunsCode:
    ran = False

    def __reduce__(self):
        return setattr, (RunsCode, "ran", True)


def test_the_installed_numcodecs_unpickles_nothing():
    payload = pickle.dumps(RunsCode())
    with pytest.raises(Exception, match="arbitrary code"):
        numcodecs.get_codec({"id": "pickle"}).decode(payload)
    assert not RunsCode.ran


def test_readme_gives_the_reason_for_each_dependency():
    found = re.findall(r"^\| package \|.*\n\|[-| ]+\n((?:\|.*\n)+)", read(ROOT / "README.md"), re.M)
    assert len(found) == 2, "README has one table of dependencies and one of what notebooks add"
    for text, names in zip(found, (LEAN, set().union(*EXTRA.values())), strict=True):
        rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in text.splitlines()]
        assert sorted(row[0].strip("`") for row in rows) == sorted(names)
        assert all(row[1] for row in rows)


def imported(source: str) -> set[str]:
    """Top-level names that Python code imports from outside itself."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            names.add(node.module.split(".")[0])
    return names - set(sys.stdlib_module_names) - {"data_helpers"}


@functools.cache
def package_owners() -> Mapping[str, list[str]]:
    return packages_distributions()  # which reads the records of every installed package


def undeclared(names: set[str], more: set[str] = frozenset()) -> set[str]:
    owners = package_owners()
    lean = {canonicalize_name(name) for name in {*LEAN, *more}}
    return {
        name
        for name in names
        if not lean & {canonicalize_name(o) for o in owners.get(name, [name])}
    }


def notebook_code(path: Path) -> str:
    cells = [c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
    return re.sub(r"^([ \t]*)[%!].*$", r"\1pass", "\n".join(cells), flags=re.MULTILINE)


# What a module imports inside a function: for a notebook that adds packages, or of the user's own.
IN_MODULES = {
    "check_08.py": EXTRA["write"],
    "check_09.py": EXTRA["segment"],
    "learned.py": {"cellpose", "csbdeep", "stardist"},
}


def test_learners_code_needs_the_lean_set_only():
    """The tests run beside many more packages, which would hide a missing dependency."""
    modules = {
        path: imported(read(path))
        for path in (ROOT / "data_helpers").rglob("*.py")
        if not path.stem.endswith("_worker")  # runs in another environment: see test_hand_over.py
    }
    found = {
        str(path): undeclared(names, IN_MODULES.get(path.name, set()))
        for path, names in modules.items()
    }
    for path in (ROOT / "notebooks").rglob("*.ipynb"):
        if ".ipynb_checkpoints" not in path.parts:
            code = notebook_code(path)
            found[str(path)] = undeclared(imported(code), added(code))
    assert {path: names for path, names in found.items() if names} == {}


def added(code: str) -> set[str]:
    """Packages that a notebook adds to the lean set, by a call in the open."""
    groups = re.findall(r"^add_packages\(\"(\w+)\"\)$", code, re.MULTILINE)
    return set().union(*(EXTRA[group] for group in groups))


def test_an_undeclared_import_is_noticed():
    assert undeclared(imported("import numpy, os\nfrom boto3 import client")) == {"boto3"}
    code = "import sklearn"
    assert undeclared(imported(code), added(code)) == {"sklearn"}
    code = 'add_packages("segment")\nimport sklearn'
    assert undeclared(imported(code), added(code)) == set()


def test_an_installed_copy_has_every_module_and_data_file(tmp_path):
    """`pip install` (Binder, conda, uv, Colab) must not leave a file of the helper behind."""
    if not (ROOT / PROJECT["readme"]).exists():
        pytest.fail("README.md is missing, and building needs it")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=60)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        names = set(wheel.namelist())
    sources = [path.relative_to(ROOT).as_posix() for path in committed()]
    assert {name for name in sources if name.startswith("data_helpers/")} - names == set()
    locks = {name.rpartition("/")[2] for name in names if "/extra_metadata/" in name}
    assert locks == {f"{group}.txt" for group in EXTRA}


# --- committed files ------------------------------------------------------------------------


def test_no_symbolic_links():
    assert [str(path) for path in committed() if path.is_symlink()] == []


REGISTRIES = [".".join(parts) for parts in (("pypi", "org"), ("pythonhosted", "org"))]
REGISTRIES += [".".join(parts) for parts in (("npmjs", "org"), ("deb", "debian", "org"))]
REGISTRIES += [
    ".".join(parts) for parts in (("conda", "anaconda", "org"), ("repo", "anaconda", "com"))
]
# Written in pieces, so that this file does not hold what it looks for.
MACHINE_PATH = re.compile(
    r"(?<![\w.:/~$}-])/(?:" + "|".join(["work", "opt", "root", "home", "Users", "tmp"]) + r")/\w"
    r"|\b[A-Z]:\\\\?Users\\"
)


def leaks(text: str) -> list[str]:
    """Addresses of package registries and absolute paths of somebody's machine."""
    return [host for host in REGISTRIES if host in text] + MACHINE_PATH.findall(text)


def test_no_registry_address_and_no_machine_path():
    binary = {".png", ".npz", ".npy", ".gz"}
    paths = [path for path in committed() if path.suffix not in binary]
    assert len(paths) > 20
    assert {str(path): found for path in paths if (found := leaks(read(path)))} == {}


def test_leaks_are_noticed():
    somebody = "/".join(["", "home", "somebody", "x.py"])
    assert leaks(f"File {somebody!r}") and leaks("https://" + REGISTRIES[0]) and leaks(somebody)
    assert not leaks("https://example.org/home/page and ~/work/x and notebooks/work/x")


def test_line_ends_are_lf():
    generated = ["requirements/lab.txt", "environment.yml", "binder/postBuild", ".ci/run", "run.py"]
    attributes = subprocess.run(
        ["git", "check-attr", "eol", "--", *generated], cwd=ROOT, capture_output=True, text=True
    )
    if attributes.returncode:
        pytest.skip("NOT CHECKED: this is no git clone")
    assert attributes.stdout.count("eol: lf") == len(generated)


def test_scripts_are_executable():
    listing = subprocess.run(
        ["git", "ls-files", "-s", "binder/postBuild", ".ci/run"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listing.returncode:
        pytest.skip("NOT CHECKED: this is no git clone")
    assert listing.stdout.count("100755") == 2


def test_citation_names_the_project_the_format_and_the_three_data_sets():
    citation = yaml.safe_load(read(ROOT / "CITATION.cff"))
    assert citation["cff-version"] == "1.2.0" and citation["message"] and citation["authors"]
    assert citation["repository-code"] == ADDRESS
    assert (citation["version"], citation["license"]) == (PROJECT["version"], PROJECT["license"])
    dois = {reference["doi"] for reference in citation["references"]}
    assert dois == {"10.1038/s41592-021-01326-w"} | {image.data_doi for image in IMAGES.values()}
    notes = " ".join(reference.get("notes", "") for reference in citation["references"])
    assert all(image.doi in notes for image in IMAGES.values())


def test_licence():
    text = read(ROOT / "LICENSE")
    assert text.startswith("BSD 2-Clause License")
    assert "Copyright (c) 2026, the ome-zarr-s3-tutorial contributors" in text
