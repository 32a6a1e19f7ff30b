"""Learned segmentation as a swap-in: the calls, the refusals, and how a network is fetched.

Here cellpose and stardist are stand-ins of recorded signatures (support/learned.py), so nothing is
said about how well a network segments. tests/test_learned_real.py runs the real packages.
"""

import ast
import hashlib
import inspect
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support import learned as recorded
from support import misbehaving
from support.repository import ROOT, read

from data_helpers.errors import OmeZarrError, ToolError
from data_helpers.hand_over import weights as weights_module
from data_helpers.hand_over.learned import (
    segment_with_cellpose,
    segment_with_stardist,
)
from data_helpers.hand_over.weights import CELLPOSE, STARDIST, Weights, ensure

BOTH = pytest.mark.parametrize("segment", [segment_with_cellpose, segment_with_stardist])


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    """Folders of networks that are nobody's own."""
    for weights in (CELLPOSE, STARDIST):
        monkeypatch.setenv(weights.variable, str(tmp_path / "networks"))
    return tmp_path / "networks"


@pytest.fixture
def stack():
    """Two bright cubes in four planes."""
    made = np.zeros((4, 20, 24), np.uint16)
    made[1:3, 3:9, 3:9] = made[1:3, 12:18, 12:18] = 900
    return made


def put(folder, weights):
    folder.mkdir(exist_ok=True)
    (folder / weights.name).touch()


# --- the calls ----------------------------------------------------------------------------------


def test_cellpose_gets_the_stack_and_where_its_planes_are(stack, monkeypatch, folders):
    calls = recorded.install(monkeypatch, "cellpose")
    put(folders, CELLPOSE)
    labels = segment_with_cellpose(stack)
    assert labels.dtype == np.int32 and labels.shape == stack.shape and labels.max() == 2
    (load, loaded), (run, given) = calls
    assert (load, run) == ("load", "eval")
    assert loaded.pretrained_model == str(folders / "cpsam_v2") and loaded.gpu
    assert given.z_axis == 0 and given.stitch_threshold == 0.5 and not given.do_3D


def test_stardist_gets_scaled_planes_and_joins_them(stack, monkeypatch, folders):
    calls = recorded.install(monkeypatch, "stardist")
    put(folders, STARDIST)
    labels = segment_with_stardist(stack)
    assert labels.dtype == np.int32 and labels.shape == stack.shape and labels.max() == 2
    assert [name for name, _ in calls] == ["load", *["normalize", "predict"] * 4, "group"]
    loaded = calls[0][1]
    assert loaded.name == "2D_versatile_fluo" and loaded.basedir == str(folders)
    assert calls[-1][1].thresh == 0.5
    assert calls[2][1].img.dtype == np.float32


@BOTH
def test_a_single_plane_stays_a_stack(segment, stack, monkeypatch, folders):
    recorded.install(monkeypatch, segment.__name__.removeprefix("segment_with_"))
    put(folders, CELLPOSE if segment is segment_with_cellpose else STARDIST)
    assert segment(stack[1:2]).shape == (1, 20, 24)


def test_a_model_of_your_own_needs_no_network(stack, monkeypatch, folders):
    calls = recorded.install(monkeypatch, "cellpose")
    from cellpose.models import CellposeModel

    assert segment_with_cellpose(stack, model=CellposeModel()).max() == 2
    assert len(calls) == 2 and not folders.exists()


def test_both_can_take_the_place_of_any_segment_function():
    for segment in (segment_with_cellpose, segment_with_stardist):
        stack, *others = inspect.signature(segment).parameters.values()
        assert stack.name == "stack"
        assert all(other.default is not inspect.Parameter.empty for other in others)


def test_the_first_code_of_the_page_runs_and_scores(monkeypatch, folders):
    recorded.install(monkeypatch, "stardist")
    put(folders, STARDIST)
    page = read(ROOT / "docs" / "tools" / "learned.md")
    *lines, last = ast.parse(re.search(r"```python\n(.*?)```", page, re.DOTALL)[1]).body
    names = {}
    exec(compile(ast.Module(lines, []), "docs/tools/learned.md", "exec"), names)
    score = eval(compile(ast.Expression(last.value), "docs/tools/learned.md", "eval"), names)
    assert score["true objects"] > 5 and score["objects"] > 5
    assert names["labels"].shape == names["truth"].shape


# --- refusals -----------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize(
    "wrong", [np.zeros((5, 5)), np.zeros((1, 1, 2, 5, 5)), np.zeros((0, 5, 5)), [1, 2]]
)
def test_what_is_no_stack_is_refused_before_anything_is_loaded(segment, wrong):
    with pytest.raises(OmeZarrError, match="axes z, y, x"):
        segment(wrong)


@BOTH
def test_an_absent_package_is_one_sentence_with_what_to_install(segment, stack):
    with pytest.raises(ToolError) as refused:
        segment(stack)
    said = str(refused.value)
    assert "not installed in this Python" in said and "pip install" in said and "GB" in said
    assert "\n" not in said


def test_an_older_cellpose_is_named_with_its_version(stack, monkeypatch):
    recorded.install(monkeypatch, "cellpose", found="3.1.1")
    with pytest.raises(ToolError, match=r"cellpose 3\.1\.1 is installed here"):
        segment_with_cellpose(stack)


def test_cellpose_40_is_not_taken_for_4(stack, monkeypatch):
    recorded.install(monkeypatch, "cellpose", found="40.0")
    with pytest.raises(ToolError, match=r"40\.0"):
        segment_with_cellpose(stack)


@pytest.mark.parametrize(
    ("import_", "said"),
    [
        (
            "import tensorflow_not_there",
            "and tensorflow_not_there is not installed",
        ),
        ("raise RuntimeError('\\nKeras is too old.\\nDo this.')", "RuntimeError: Keras is too old"),
        ("raise ImportError('libcudart.so')", r"does not start \(ImportError: libcudart\.so\)"),
    ],
)
def test_a_package_that_does_not_start_is_no_bare_trace(
    import_, said, stack, monkeypatch, tmp_path
):
    recorded.install(monkeypatch, "stardist")
    monkeypatch.delitem(sys.modules, "stardist.models")
    monkeypatch.setattr(sys.modules["stardist"], "__path__", [str(tmp_path)])
    (tmp_path / "models.py").write_text(import_)
    with pytest.raises(ToolError, match=said) as refused:
        segment_with_stardist(stack)
    assert "\n" not in str(refused.value)


@BOTH
def test_a_missing_network_is_announced_and_not_fetched(segment, stack, monkeypatch, folders):
    recorded.install(monkeypatch, segment.__name__.removeprefix("segment_with_"))
    monkeypatch.setattr(weights_module, "urlopen", lambda *a, **k: pytest.fail("it asked"))
    with pytest.raises(ToolError, match=r"MB, once\) into .*networks") as refused:
        segment(stack)
    assert "download=True" in str(refused.value) and not folders.exists()


# --- fetching -----------------------------------------------------------------------------------


@pytest.fixture
def published(served, tmp_path, monkeypatch):
    """A network of 2 MB on a server, as a file and zipped."""
    served.folder = tmp_path / "server"
    content = served.folder / "net"
    content.mkdir(parents=True)
    (content / "weights").write_bytes(np.random.default_rng(0).bytes(2_000_000))
    shutil.make_archive(str(served.folder / "net_v1"), "zip", content)
    monkeypatch.setattr(weights_module, "PATIENCE", 0.5)
    return served


def network(server, key, **changes):
    made = Weights("net", f"{server.endpoint}/{key}", 2, "TEST_NETWORKS", "~/unused")
    return replace(made, **changes)


@pytest.fixture(autouse=True)
def test_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TEST_NETWORKS", str(tmp_path / "here"))
    return tmp_path / "here"


def test_a_network_is_fetched_once_and_told_first(published, test_folder, capsys):
    wanted = network(published, "net/weights")
    path = ensure(wanted, download=True)
    assert path.read_bytes() == (published.folder / "net" / "weights").read_bytes()
    said = capsys.readouterr().out
    assert "about 2 MB, from 127.0.0.1 into" in said
    assert ensure(wanted, download=True) == path and ensure(wanted, download=False) == path
    assert published.times_asked("net/weights") == 1 and capsys.readouterr().out == ""


def test_a_zipped_network_is_verified_and_unpacked(published, test_folder):
    digest = hashlib.sha256((published.folder / "net_v1.zip").read_bytes()).hexdigest()
    path = ensure(network(published, "net_v1.zip", sha256=digest), download=True)
    assert [file.name for file in path.iterdir()] == ["weights"]
    assert list(test_folder.iterdir()) == [path]


def test_a_changed_file_is_refused_and_leaves_nothing(published, test_folder):
    with pytest.raises(ToolError, match="SHA-256 differs"):
        ensure(network(published, "net_v1.zip", sha256="0" * 64), download=True)
    assert list(test_folder.iterdir()) == []


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (misbehaving.close_midway, "ended early"),
        (misbehaving.replace(misbehaving.PORTAL), "far too small"),
        (misbehaving.not_http, "SSH"),
        (misbehaving.status(503), "503|Unavailable"),
        (misbehaving.hang, "timed out"),
        (misbehaving.hang_midway, "timed out"),
    ],
)
def test_what_is_no_whole_network_is_refused_and_leaves_nothing(
    published, test_folder, fault, reason
):
    published.fault("net/weights", fault)
    with pytest.raises(ToolError, match=reason):
        ensure(network(published, "net/weights"), download=True)
    assert not test_folder.exists() or list(test_folder.iterdir()) == []


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("http://127.0.0.1:1/net", "refused"),
        ("https://weights.invalid/net", "."),
        ("{server}/not/there", "Not Found|404"),
    ],
)
def test_offline_is_one_sentence_without_a_trace(published, test_folder, address, reason):
    url = address.format(server=published.endpoint)
    with pytest.raises(ToolError, match=reason) as refused:
        ensure(network(published, "", url=url), download=True)
    assert "could not be fetched from" in str(refused.value) and "\n" not in str(refused.value)
    assert not test_folder.exists()


def test_folders_are_shown_as_people_write_them():
    assert weights_module.shown(Path.home() / "a" / "b") == "~/a/b"
    assert weights_module.shown(Path.home().parent) == str(Path.home().parent)
