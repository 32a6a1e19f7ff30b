"""What holds the files of the repository together: links, addresses, generated files, workflows."""

import ast
import configparser
import functools
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from importlib.metadata import packages_distributions
from pathlib import Path

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from data_helpers import IMAGES
from tools import sync_dependencies

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
ADDRESS = PROJECT["urls"]["Repository"]
OWNER, NAME = ADDRESS.removeprefix("https://github.com/").split("/")
LEAN = {Requirement(text).name: Requirement(text) for text in PROJECT["dependencies"]}


def committed() -> list[Path]:
    """Files that are, or are about to be, in the repository."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    try:
        listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("NOT CHECKED: this is no git clone")
    return [ROOT / line for line in listing.stdout.splitlines() if (ROOT / line).exists()]


def texts() -> list[Path]:
    return [path for path in committed() if path.suffix in {".md", ".cff", ".ipynb"}]


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


# --- the repository's address ---------------------------------------------------------------

REPOSITORY_LINK = re.compile(
    r"(?:mybinder\.org/v2/gh|colab\.research\.google\.com/github|"
    r"raw\.githubusercontent\.com|github\.com)/([\w.-]+)/([\w.-]+)"
)
BADGE = re.compile(
    r"(?:mybinder\.org/v2/gh|colab\.research\.google\.com/github)/([\w.-]+)/([\w.-]+)"
)


def foreign_claims(text: str) -> list[str]:
    """Links in a text that claim to lead to this project but to another address.

    A Binder or Colab link always claims that; a GitHub link does with this project's name or owner.
    """
    wrong = []
    for match in REPOSITORY_LINK.finditer(text):
        owner, name = match[1], match[2].removesuffix(".git").rstrip(".")
        ours = bool(BADGE.match(match[0])) or owner == OWNER or name == NAME
        if ours and (owner, name) != (OWNER, NAME):
            wrong.append(match[0])
    return wrong


def test_every_badge_and_link_has_the_address_of_pyproject():
    wrong = {str(path): found for path in texts() if (found := foreign_claims(read(path)))}
    assert not wrong
    badges = BADGE.findall(read(ROOT / "README.md"))
    assert len(badges) >= 2, "README lost its Binder or Colab badge"


def test_a_moved_repository_would_be_noticed():
    assert foreign_claims(f"https://github.com/somebody/{NAME}/issues")
    assert foreign_claims("https://mybinder.org/v2/gh/some-body/tutorial/HEAD")
    assert foreign_claims("https://colab.research.google.com/github/a/b/blob/HEAD/x.ipynb")
    assert not foreign_claims(f"{ADDRESS}.git and {ADDRESS}.")
    assert not foreign_claims("https://github.com/ome/omero-guide-ilastik")


def test_binder_and_colab_links_open_notebooks_that_exist():
    opened = []
    for path in texts():
        opened += re.findall(
            r"[?&](?:labpath|urlpath=lab/tree)=?/?([^)\s\"\\&]+\.ipynb)", read(path)
        )
        opened += re.findall(rf"/github/{OWNER}/{NAME}/blob/[^/]+/([^)\s\"\\]+)", read(path))
    assert opened
    assert [name for name in opened if not (ROOT / name.replace("%2F", "/")).is_file()] == []


# --- links and files ------------------------------------------------------------------------

MARKDOWN_LINK = re.compile(r"!?\[[^\]]*\]\(<?([^)>\s]+)>?[^)]*\)|(?:src|href)=[\"']([^\"']+)")
NO_FILE = re.compile(r"^(?:[a-z][a-z0-9+.-]*:|#|//|attachment:)", re.IGNORECASE)


def broken_links(text: str, folder: Path) -> list[str]:
    targets = [first or second for first, second in MARKDOWN_LINK.findall(text)]
    files = [target for target in targets if not NO_FILE.match(target)]
    return [target for target in files if not (folder / target.split("#")[0]).exists()]


def prose(path: Path) -> str:
    """Text of a Markdown file or of a notebook's Markdown cells, without code."""
    if path.suffix != ".ipynb":
        text = read(path)
    else:
        cells = nbformat.read(path, as_version=4).cells
        text = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    return re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)


def test_relative_links_lead_to_files():
    paths = [path for path in texts() if path.suffix != ".cff"]
    broken = {
        str(path): found for path in paths if (found := broken_links(prose(path), path.parent))
    }
    assert not broken


def test_broken_links_are_noticed(tmp_path):
    (tmp_path / "here.md").touch()
    text = '[a](here.md#part) ![b](gone.png "t") [c](https://x.org) <img src="lost.svg"> [d](#e)'
    assert broken_links(text, tmp_path) == ["gone.png", "lost.svg"]


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
    monkeypatch.setattr(sync_dependencies, "MADE", sync_dependencies.CONDA)
    assert sync_dependencies.differences(tmp_path) == ["environment.yml", "binder/environment.yml"]


@pytest.mark.parametrize("name", sync_dependencies.LOCKS)
def test_locks_have_hashes_and_no_addresses(name):
    text = read(ROOT / name)
    pins = re.findall(r"^([a-z0-9][\w.-]*)==", text, re.MULTILINE)
    assert set(LEAN) <= {canonicalize_name(pin) for pin in pins}
    blocks = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    assert all("--hash=sha256:" in block for block in blocks)
    assert "://" not in text


def test_the_lean_lock_is_a_part_of_the_test_lock():
    def pins(name):
        return set(re.findall(r"^\S+==\S+", read(ROOT / name), re.MULTILINE))

    lab, test = pins("requirements/lab.txt"), pins("requirements/test.txt")
    assert lab < test
    assert not [pin for pin in lab if pin.startswith(("pytest", "boto3", "mypy", "ruff"))]


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


def test_readme_gives_the_reason_for_each_dependency():
    table = re.search(r"^\| package \|.*\n\|[-| ]+\n((?:\|.*\n)+)", read(ROOT / "README.md"), re.M)
    assert table, "README has no table of dependencies"
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in table[1].splitlines()]
    assert sorted(row[0].strip("`") for row in rows) == sorted(LEAN)
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


def undeclared(names: set[str]) -> set[str]:
    owners = package_owners()
    lean = {canonicalize_name(name) for name in LEAN}
    return {
        name for name in names if not lean & {canonicalize_name(o) for o in owners.get(name, [])}
    }


def notebook_code(path: Path) -> str:
    cells = [c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
    return re.sub(r"^([ \t]*)[%!].*$", r"\1pass", "\n".join(cells), flags=re.MULTILINE)


def test_learners_code_needs_the_lean_set_only():
    """The tests run beside many more packages, which would hide a missing dependency."""
    modules = {path: imported(read(path)) for path in (ROOT / "data_helpers").rglob("*.py")}
    notebooks = {
        path: imported(notebook_code(path))
        for path in (ROOT / "notebooks").rglob("*.ipynb")
        if ".ipynb_checkpoints" not in path.parts
    }
    everything = modules | notebooks
    assert {
        str(path): found for path, names in everything.items() if (found := undeclared(names))
    } == {}


def test_an_undeclared_import_is_noticed():
    assert undeclared(imported("import numpy, os\nfrom boto3 import client")) == {"boto3"}


def test_an_installed_copy_has_every_module_and_data_file(tmp_path):
    """`pip install` (Binder, conda, uv, Colab) must not leave a file of the helper behind."""
    import zipfile

    if not (ROOT / PROJECT["readme"]).exists():
        pytest.fail("README.md is missing, and building needs it")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=60)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        names = set(wheel.namelist())
    sources = [path.relative_to(ROOT).as_posix() for path in committed()]
    assert {name for name in sources if name.startswith("data_helpers/")} - names == set()


# --- Binder, workflows, citation ------------------------------------------------------------


@pytest.fixture(scope="module")
def dockerfile(tmp_path_factory) -> str:
    """What repo2docker would build from the committed files; it needs no Docker to say so."""
    copy = tmp_path_factory.mktemp("binder") / "repository"
    for path in committed():
        target = copy / path.relative_to(ROOT)
        if path.suffix not in {".png", ".ipynb"}:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    command = [sys.executable, "-m", "repo2docker", "--no-build", "--debug", str(copy)]
    dry = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert dry.returncode == 0, dry.stderr
    return dry.stdout + dry.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="NOT CHECKED: repo2docker needs Linux or macOS")
def test_binder_builds_from_our_environment(dockerfile):
    assert 'env update -p ${NB_PYTHON_PREFIX} --file "binder/environment.yml"' in dockerfile
    assert "RUN ./binder/postBuild" in dockerfile
    python = re.search(r"environment-2epy-2d3-2e(\d+)", dockerfile)
    assert python and python[1] == "12", "not the Python of binder/environment.yml"


def test_binder_scripts_stop_at_errors():
    script = read(ROOT / "binder" / "postBuild")
    assert script.startswith("#!/bin/bash\n") and "\nset -e\n" in script
    assert "pip install --no-deps --editable ." in script and '"fetchNews": "false"' in script
    start = ROOT / "binder" / "start"
    assert not start.exists() or read(start).rstrip().endswith('exec "$@"')


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


WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def test_the_workflows_are_there():
    assert {path.stem for path in WORKFLOWS} == {"tests", "live", "binder", "links", "site"}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflow(path):
    workflow = yaml.safe_load(read(path))
    triggers = workflow[True]  # YAML 1.1 takes the key `on` for a truth value
    assert "workflow_dispatch" in triggers
    write = {"issues": "write"} if path.stem == "live" else {}
    assert workflow["permissions"] == {"contents": "read", **write}
    assert workflow["concurrency"]["group"].startswith(path.stem)
    for job in workflow["jobs"].values():
        assert 0 < job["timeout-minutes"] <= 60
        for step in job["steps"]:
            assert ("uses" in step) != ("run" in step)
            if "uses" in step:
                assert re.fullmatch(r"[\w./-]+@v\d+", step["uses"]), (
                    "pin actions to a major version"
                )
            assert_commands_exist(step.get("run", ""))


def assert_commands_exist(script: str) -> None:
    """Each call of run.py has a subcommand that exists, each file named is there."""
    calls = re.findall(r"python3? run\.py ?([\w-]*)", script)
    assert set(calls) <= {"", "lab", "setup", "test", "python"}
    for name in re.findall(r"(?:\.ci/run|(?:tools|notebooks)/[\w./-]+)", script):
        assert (ROOT / name).exists(), f"{name} does not exist"


def test_the_tests_workflow_covers_the_promised_systems():
    job = yaml.safe_load(read(ROOT / ".github" / "workflows" / "tests.yml"))["jobs"]["test"]
    matrix = job["strategy"]["matrix"]
    assert {name.split("-")[0] for name in matrix["os"]} == {"ubuntu", "macos", "windows"}
    assert matrix["python"] == ["3.11", "3.13"]
    (test,) = [step for step in job["steps"] if step.get("run") == "python run.py test"]
    assert test["env"] == {"CHROMIUM_REQUIRED": "1"}


def test_the_live_workflow_asks_the_public_endpoints_and_opens_one_issue():
    steps = yaml.safe_load(read(ROOT / ".github" / "workflows" / "live.yml"))["jobs"]["live"]
    assert steps["env"] == {"OME_ZARR_SOURCE": "idr"}
    last = steps["steps"][-1]
    assert last["if"] == "failure()"
    search, comment, create = (
        last["run"].index(f"gh issue {verb}") for verb in ("list", "comment", "create")
    )
    assert search < comment < create


def test_the_site_is_run_live_if_possible_and_published_from_main_only():
    jobs = yaml.safe_load(read(ROOT / ".github" / "workflows" / "site.yml"))["jobs"]
    stored, live = (step for step in jobs["build"]["steps"] if "build_site" in step.get("run", ""))
    assert (
        stored["if"] == "github.event_name == 'pull_request'" and "--execute" not in stored["run"]
    )
    assert live["if"] == "github.event_name != 'pull_request'" and "--execute" in live["run"]
    assert live["env"] == {"OME_ZARR_SOURCE": "auto"}
    assert jobs["publish"]["needs"] == "build"
    assert "refs/heads/main" in jobs["publish"]["if"]
    assert jobs["publish"]["permissions"] == {"pages": "write", "id-token": "write"}


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


def test_sanitizing_patterns_compile_and_change_something():
    config = configparser.RawConfigParser()
    config.read(ROOT / "tests" / "nbval_sanitize.cfg", encoding="utf-8")
    samples = (
        "x-" + "0a" * 16 + ' 0x7f00aa11 127.0.0.1:4711 ipykernel_12/34.py:5 id="' + "0a" * 16 + '"'
    )
    samples += " 514 requests, 54.6 MB, up to 64 in flight, 0.61 s"
    samples += f"\n[{'#' * 40}] | 100% Completed | 2.51 s\nafter it"
    for name in config.sections():
        changed = re.sub(config[name]["regex"], config[name]["replace"], samples)
        assert changed != samples, f"[{name}] matches nothing that it was made for"
