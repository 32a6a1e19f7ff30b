"""The ilastik page: files as ilastik reads them, and words that its documentation knows.

ilastik itself did NOT run: it is on no package registry that is reached here. What is recorded
below was read in its documentation and sources, which are named beside it. Debian's python3-vigra,
the library under ilastik, reads the axis tags where it is installed.
"""

import ast
import json
import re
import shlex
import subprocess
from pathlib import Path

import numpy as np
import pytest
from support.repository import ROOT, read

from data_helpers import load_binary_from_s3, load_labels_from_s3

h5py = pytest.importorskip("h5py", reason="NOT RUN: h5py is not installed")

PAGE = read(ROOT / "docs" / "tools" / "ilastik.md")
PYTHON = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = re.findall(r"```\n(\./run_ilastik.*?)```", PAGE, re.DOTALL)
EXPORT, PIPELINE, BACK = PYTHON

# https://github.com/ilastik/ilastik.github.io, documentation/basics/headless.md, commit 001529f16e.
OPTIONS = set(
    "--headless --project --readonly --input_axes --stack_along --export_source --output_format "
    "--output_filename_format --output_internal_path --cutout_subregion --export_dtype "
    "--output_axis_order --pipeline_result_drange --export_drange".split()
)
SOURCES = {"Probabilities", "Simple Segmentation", "Uncertainty", "Features", "Labels"}
FORMATS = {"hdf5", "compressed hdf5", "numpy", "tiff", "multipage tiff", "png"}
PLACEHOLDERS = {"dataset_dir", "nickname", "roi", "slice_index", "result_type"}
DATASET = "exported_data"  # "--output_internal_path ... (Default: /exported_data)"
# The same page: "The files should always be given as the last arguments", "don't specify any values
# with space-characters", an OME-Zarr as "full path to an individual scale", 0.5 "not supported".
# https://github.com/ilastik/ilastik, ilastik/experimental/api/_pipelines.py:
CALLS = {"from_ilp_file", "get_probabilities"}
# vigra 1.11.1: makeAxistags("tzyxc").toJSON(); AxisType.Channels, Space, Time are 1, 2, 8.
FLAGS = {"c": 1, "z": 2, "y": 2, "x": 2, "t": 8}

DEBIAN_PYTHON = Path("/usr/bin/python3")


def vigra(code, text):
    """What Debian's vigra prints, or a skip that says what was not tested."""
    probe = [DEBIAN_PYTHON, "-I", "-c", "import vigra"]
    if not DEBIAN_PYTHON.exists() or subprocess.run(probe, capture_output=True).returncode:
        pytest.skip("NOT RUN: vigra is not installed (apt-get install python3-vigra)")
    command = [DEBIAN_PYTHON, "-I", "-W", "ignore", "-c", code]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The file that the page's first block writes; from the stand-in, so synthetic."""
    folder = tmp_path_factory.mktemp("ilastik")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OME_ZARR_SOURCE", "offline")
        patch.chdir(folder)
        exec(compile(EXPORT, "docs/tools/ilastik.md", "exec"), {})
    return folder / "nuclei.h5"


def test_the_file_holds_the_pixels_in_blocks(exported):
    with h5py.File(exported) as file:
        stack = file["stack"]
        assert stack.shape == (257, 210, 253) and stack.dtype == np.uint16 and stack.chunks
        truth = load_binary_from_s3(6001247, 0)[0, 1, 128].compute()
        assert np.array_equal(stack[128], truth) and truth.any()


def test_the_axis_tags_are_those_that_vigra_writes(exported):
    with h5py.File(exported) as file:
        tags = json.loads(file["stack"].attrs["axistags"])["axes"]
    assert [tag["key"] for tag in tags] == ["z", "y", "x"]
    for tag in tags:
        assert set(tag) == {"key", "typeFlags", "resolution", "description"}
        assert tag["typeFlags"] == FLAGS[tag["key"]]


def test_vigra_reads_the_axis_tags(exported):
    with h5py.File(exported) as file:
        text = file["stack"].attrs["axistags"]
    code = """
import sys, vigra
tags = vigra.AxisTags.fromJSON(sys.stdin.read())
assert tags == vigra.makeAxistags("zyx"), tags
print(tags.keys(), [tag.isSpatial() for tag in tags])
"""
    assert vigra(code, text) == "['z', 'y', 'x'] [True, True, True]"


def test_the_flags_of_the_page_are_those_of_vigra():
    code = """
import json, vigra
tags = json.loads(vigra.makeAxistags("czyxt").toJSON())["axes"]
print({tag["key"]: tag["typeFlags"] for tag in tags})
"""
    assert vigra(code, "") == str(FLAGS)
    assert "`typeFlags` is 2 for an axis in space, 1 for channels and 8 for time" in PAGE


@pytest.mark.parametrize("command", COMMANDS, ids=["file", "address"])
def test_each_word_of_a_command_is_known_to_ilastik(command):
    program, *words = shlex.split(command.replace("\\\n", " "))
    assert program == "./run_ilastik.sh"
    options = [word for word in words if word.startswith("--")]
    assert words == [*options, words[-1]]  # one file, which comes last
    given = dict(option.partition("=")[::2] for option in options)
    assert set(given) <= OPTIONS and {"--headless", "--project"} <= set(given)
    assert given["--export_source"] in SOURCES and given["--output_format"] in FORMATS
    named = re.findall(r"\{(\w+)\}", given["--output_filename_format"])
    assert named and set(named) <= PLACEHOLDERS
    assert not any(" " in value for value in given.values())


def test_the_commands_take_the_file_of_the_page_and_one_level_of_version_04():
    files = [shlex.split(command.replace("\\\n", " "))[-1] for command in COMMANDS]
    assert files[0] == "nuclei.h5/stack" and 'h5py.File("nuclei.h5", "w")' in EXPORT
    assert re.fullmatch(r"https://\S+/v0\.4/\S+\.zarr/0", files[1])


def test_the_python_calls_are_those_of_ilastik():
    tree = ast.parse(PIPELINE)
    [imported] = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert imported.module == "ilastik.experimental.api"
    assert [name.name for name in imported.names] == ["PixelClassificationPipeline"]
    called = {
        node.func.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    assert called == {*CALLS, "DataArray", "File"}


@pytest.mark.parametrize("order", ["zyxc", "czyx"])
def test_a_result_is_read_back_and_scored(order, tmp_path, monkeypatch):
    """A result made here, in the layout that ilastik documents: two classes, nuclei first."""
    truth = load_labels_from_s3(6001247, "0")[0, 0].compute()
    first = (truth == truth[truth > 0][0]).astype(np.float32)
    classes = np.stack([first, 1 - first], axis=order.index("c"))
    tags = [
        {"key": key, "typeFlags": FLAGS[key], "resolution": 0, "description": ""} for key in order
    ]
    with h5py.File(tmp_path / "nuclei_Probabilities.h5", "w") as file:
        file[DATASET] = classes
        file[DATASET].attrs["axistags"] = json.dumps({"axes": tags})
    monkeypatch.chdir(tmp_path)
    *lines, last = ast.parse(BACK).body
    names = {}
    exec(compile(ast.Module(lines, []), "docs/tools/ilastik.md", "exec"), names)
    score = eval(compile(ast.Expression(last.value), "docs/tools/ilastik.md", "eval"), names)
    assert score["objects"] == score["matched"] == 1
    assert score["true objects"] == len(np.unique(truth)) - 1


def test_the_page_says_that_ilastik_did_not_run():
    assert "**ilastik did not run here.**" in PAGE
