"""What runs elsewhere: the Binder image, the workflows on GitHub, the replay of notebooks."""

import configparser
import re
import subprocess
import sys

import pytest
import yaml
from support.repository import ROOT, committed, read

# --- Binder ---------------------------------------------------------------------------------


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


# --- workflows ------------------------------------------------------------------------------

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def test_the_workflows_are_there():
    assert {path.stem for path in WORKFLOWS} == {
        "tests",
        "live",
        "binder",
        "links",
        "site",
        "nightly",
    }


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
    for name in re.findall(r"(?:\.ci|tools|notebooks)/[\w./-]+", script):
        assert (ROOT / name).exists(), f"{name} does not exist"


def test_the_tests_workflow_covers_the_promised_systems():
    job = yaml.safe_load(read(ROOT / ".github" / "workflows" / "tests.yml"))["jobs"]["test"]
    matrix = job["strategy"]["matrix"]
    assert {name.split("-")[0] for name in matrix["os"]} == {"ubuntu", "macos", "windows"}
    assert matrix["python"] == ["3.11", "3.13"]
    (test,) = [step for step in job["steps"] if step.get("run") == "python run.py test"]
    assert test["env"] == {"CHROMIUM_REQUIRED": "1"}


def test_every_night_metadata_are_changed_2000_times():
    workflow = yaml.safe_load(read(ROOT / ".github" / "workflows" / "nightly.yml"))
    assert [one["cron"].split()[2:] for one in workflow[True]["schedule"]] == [["*"] * 3]
    job = workflow["jobs"]["mutations"]
    assert job["env"] == {"MUTATIONS": "2000"}
    assert job["steps"][-1]["run"].endswith("tests/test_mutations.py")


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


# --- the replay -----------------------------------------------------------------------------


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
