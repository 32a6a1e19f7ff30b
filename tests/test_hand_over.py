"""Handing over to CellProfiler and napari, with stand-ins for both: every failure has a sentence.

The real tools are in tests/tools/.
"""

import ast
import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import zarr
from support.images import noise, write_json
from support.plates import plate_of, some_wells, write_group, write_image, write_plate
from support.repository import ROOT, read

import run
from data_helpers import (
    ImageNotFoundError,
    OmeZarrWarning,
    OutsideImageError,
    TooLargeError,
    ToolError,
    measure_plate,
    open_in_napari,
    open_multiscale,
    open_plate,
)
from data_helpers.hand_over import installed, measure, napari_window, napari_worker
from data_helpers.hand_over.tool_process import ToolProcess

FOLDER = ROOT / "data_helpers" / "hand_over"
ANSWER = """import json, sys, time
def answer(**said):
    print("\\n@answer " + json.dumps(said), flush=True)
"""
READY = ANSWER + "answer(version='5.0.1')\nanswer(ready=True)\n"
COUNTS = """
import numpy as np
for line in sys.stdin:
    order = json.loads(line)
    planes = np.load(order["planes"])
    print("a word of its own")
    brightest = int(planes[0].max() * 65535 + 0.5)
    answer(nuclei=brightest, area=100.0, stained=len(planes), percent=12.3456)
"""


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Take this Python for a tool's, and a script for what runs there."""

    def take(script, where=measure, tool="CELLPROFILER"):
        worker = tmp_path / "worker.py"
        worker.write_text(script, encoding="utf-8")
        monkeypatch.setattr(where, "WORKER", worker)
        monkeypatch.setenv(f"{tool}_PYTHON", sys.executable)

    return take


@pytest.fixture
def plate(tmp_path):
    wells = some_wells("A/01", "B/03", shape=(3, 20, 24))
    return open_plate(write_plate(tmp_path / "plate", wells, columns=("01", "02", "03", "04")))


# --- CellProfiler -----------------------------------------------------------------------------


def test_each_well_becomes_a_row(fake, plate):
    fake(READY + COUNTS)
    table = measure_plate(plate)
    assert table.to_dict("list") == {
        "well": ["A/01", "B/03"],
        "row": ["A", "B"],
        "column": [1, 3],
        "nuclei": [int(plate.image(name).stored[0][0].max()) for name in plate.wells],
        "stained": [2, 2],
        "percent_stained": [12.35, 12.35],
        "area_um2": [pytest.approx(np.nan, nan_ok=True)] * 2,  # a pixel of unknown size
    }


def test_the_channel_the_level_and_the_wells_are_those_that_are_asked_for(fake, plate):
    fake(READY + COUNTS)
    table = measure_plate(plate, ["B/03"], nuclei=2, marker=None, level=1)
    assert table["nuclei"].tolist() == [int(plate.image("B/03").stored[1][2].max())]
    assert table["well"].tolist() == ["B/03"]


ORDERS = """
import numpy as np
for line in sys.stdin:
    order = json.loads(line)
    planes = np.load(order.pop("planes"))
    order |= {"dtype": str(planes.dtype), "most": float(planes.max()), "shape": planes.shape}
    open(FILE, "a").write(json.dumps(order) + "\\n")
    answer(nuclei=0, area=None, stained=0, percent=None)
"""


@pytest.mark.parametrize(("dtype", "largest"), [("u1", 255), ("u2", 65535), ("f4", 1)])
def test_pixels_are_handed_over_from_0_to_1(fake, tmp_path, dtype, largest):
    pixels = (noise(2, 20, 24) % 200).astype(dtype) / (4096 if dtype == "f4" else 1)
    write_plate(tmp_path / "plate", {"A/01": [pixels.astype(dtype)]})
    fake(READY + f"FILE = {str(tmp_path / 'orders')!r}" + ORDERS)
    options = {"diameter": (3, 9.0), "declump": "Shape", "keep_border": True, "threshold": "Otsu"}
    table = measure_plate(open_plate(tmp_path / "plate"), stained_above=100, **options)
    order = json.loads((tmp_path / "orders").read_text())
    assert order.pop("most") == pytest.approx(pixels.max() / largest)
    assert order.pop("stained_above") == pytest.approx(100 / largest)
    assert order == options | {"diameter": [3, 9], "dtype": "float32", "shape": [2, 20, 24]}
    assert table["nuclei"].tolist() == [0] and table["percent_stained"].isna().all()


def test_a_well_that_is_not_there_is_missing_not_zero(fake, plate, tmp_path):
    fake(READY + COUNTS)
    write_group(tmp_path / "plate", {"plate": plate_of(["A/01", "C/04", "B/03"])})
    plate = open_plate(tmp_path / "plate")
    with pytest.warns(OmeZarrWarning, match=r"C/04.*row of the table is empty"):
        table = measure_plate(plate)
    assert table["well"].tolist() == ["A/01", "C/04", "B/03"]
    assert table["nuclei"].isna().tolist() == [False, True, False]
    with pytest.raises(ImageNotFoundError, match="C/04"):
        measure_plate(plate, ["C/04"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"diameter": (40, 10)}, r"such as \(14, 45\), not \(40, 10\)"),
        ({"diameter": 30}, "smallest and the largest"),
        ({"declump": "shape"}, "declump is 'Intensity', 'Shape', 'None', but not 'shape'"),
        ({"threshold": "Li"}, "threshold is 'Minimum Cross-Entropy'.*not 'Li'"),
        ({"wells": "A/01"}, r"write wells=\['A/01'\]"),
    ],
)
def test_a_wrong_argument_is_said_before_anything_starts(plate, options, said, monkeypatch):
    monkeypatch.delattr(measure, "python_of")
    with pytest.raises(ToolError, match=said):
        measure_plate(plate, **options)


def test_only_a_plate_has_wells(tmp_path):
    image = open_multiscale(write_image(tmp_path / "image", noise(2, 20, 24)))
    with pytest.raises(ToolError, match="as open_plate opens it, not Multiscale"):
        measure_plate(image)


def test_a_channel_that_is_not_there_is_said(fake, plate):
    fake(READY + COUNTS)
    with pytest.raises(OutsideImageError, match=r"Axis c .* size 3"):
        measure_plate(plate, marker=3)


CRASHES = "for line in sys.stdin:\n    print('Out of cheese.')\n    sys.exit(3)\n"
FAILS = "for line in sys.stdin:\n    answer(error='ValueError: no nuclei')\n"
SLEEPS = "for line in sys.stdin:\n    print('hm'); sys.stdout.flush(); time.sleep(60)\n"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (
            READY + CRASHES,
            r"ended \(exit code 3\) while it measured well A/01. It said last: Out of",
        ),
        (READY + FAILS, "failed while it measured well A/01: ValueError: no nuclei"),
        (READY + SLEEPS, "no answer within 2 s while it measured well A/01.*timeout=.*last: hm"),
        ("import no_such_module", "ended.*while it started.*last: ModuleNotFoundError: No module"),
        ("", r"ended \(exit code 0\) while it started. It said last: nothing"),
        (ANSWER + "answer(version='4.2.6')", r"has CellProfiler 4.2.6, .*for CellProfiler 5\.x"),
        (ANSWER + "answer(version='')", "has none, and .*type 'python3 run.py tool cellprofiler'"),
        (ANSWER + "answer(version='5')", r"CellProfiler 5, and"),
        (ANSWER + "answer(version='5.0')\nanswer(error='ImportError: h5py')", "started: ImportErr"),
    ],
)
def test_what_goes_wrong_in_cellprofiler_is_one_sentence(fake, plate, script, said):
    fake(script)
    began = time.monotonic()
    with pytest.raises(ToolError, match=said) as caught:
        measure_plate(plate, timeout=2 if "sleep" in script else 30)
    assert "\n" not in str(caught.value) and time.monotonic() - began < 20


def test_the_worker_ends_with_the_measurement(fake, plate, tmp_path):
    pid = tmp_path / "pid"
    fake(f"import os\nopen({str(pid)!r}, 'w').write(str(os.getpid()))\n" + READY + COUNTS)
    measure_plate(plate)
    assert not is_running(int(pid.read_text()))


def is_running(pid):
    if os.name == "nt":
        return f" {pid} " in os.popen(f'tasklist /fi "PID eq {pid}"').read()
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


# --- where the tools are --------------------------------------------------------------------------


def made(folder, lock="# a lock\n", **other):
    """An environment that looks finished, and the lock beside it."""
    (folder / "requirements").mkdir(exist_ok=True)
    (folder / "requirements" / "napari.txt").write_text(lock)
    python = folder / ".venv-napari" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    python.parent.mkdir(parents=True)
    python.touch()
    digest = run.stamp_text(folder / "requirements" / "napari.txt")
    (folder / ".venv-napari" / "finished.json").write_text(json.dumps(json.loads(digest) | other))
    return python


def test_the_python_that_run_py_made_is_found(tmp_path, monkeypatch):
    monkeypatch.delenv("NAPARI_PYTHON", raising=False)
    monkeypatch.setattr(installed, "ROOT", tmp_path)
    python = made(tmp_path)
    assert installed.python_of(installed.NAPARI) == python


@pytest.mark.parametrize("cloned", [True, False])
def test_what_is_not_installed_has_a_command_to_type(tmp_path, monkeypatch, cloned):
    monkeypatch.delenv("NAPARI_PYTHON", raising=False)
    monkeypatch.setattr(installed, "ROOT", tmp_path)
    if cloned:
        (tmp_path / "run.py").touch()
    where = "in the tutorial's folder" if cloned else "in a clone of the tutorial"
    with pytest.raises(ToolError, match=f"{where} and type 'python3 run.py tool napari'"):
        installed.python_of(installed.NAPARI)
    made(tmp_path)
    (tmp_path / ".venv-napari" / "finished.json").write_text("{}")  # it was interrupted
    with pytest.raises(ToolError, match="about 1250 MB"):
        installed.python_of(installed.NAPARI)


def test_another_version_has_a_command_to_type(tmp_path, monkeypatch):
    monkeypatch.delenv("NAPARI_PYTHON", raising=False)
    monkeypatch.setattr(installed, "ROOT", tmp_path)
    made(tmp_path)
    (tmp_path / "requirements" / "napari.txt").write_text("# a newer lock\n")
    with pytest.raises(ToolError, match=r"another version .*type 'python3 run.py tool napari'"):
        installed.python_of(installed.NAPARI)


def test_a_python_of_ones_own_is_taken_if_it_is_there(monkeypatch, tmp_path):
    monkeypatch.setenv("CELLPROFILER_PYTHON", str(tmp_path / "python"))
    with pytest.raises(ToolError, match=r"CELLPROFILER_PYTHON names .* no such file"):
        installed.python_of(installed.CELLPROFILER)
    (tmp_path / "python").touch()
    assert installed.python_of(installed.CELLPROFILER) == tmp_path / "python"


def test_a_program_that_does_not_start_is_one_sentence(tmp_path):
    with pytest.raises(ToolError, match="napari doesn't start"):
        ToolProcess("napari", [str(tmp_path / "nothing")])


def test_sizes_and_names_are_those_of_run_py():
    for tool in (installed.NAPARI, installed.CELLPROFILER):
        assert run.ENVIRONMENTS[tool.name] == (f".venv-{tool.name}", tool.megabytes)
    assert set(run.TOOLS) == {installed.NAPARI.name, installed.CELLPROFILER.name}


@pytest.mark.parametrize(
    ("worker", "known"),
    [
        ("cellprofiler_worker", {"cellprofiler", "cellprofiler_core"}),
        ("napari_worker", {"napari", "zarr"}),
    ],
)
def test_what_runs_elsewhere_imports_only_what_is_there(worker, known):
    """Neither this package nor anything that it needs is in a tool's environment."""
    found = set()
    for node in ast.walk(ast.parse(read(FOLDER / f"{worker}.py"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level
            found.add(node.module.split(".")[0])
    assert found - set(sys.stdlib_module_names) == known | {"numpy"}


# --- napari ---------------------------------------------------------------------------------------

SHOWS = ANSWER + "open(sys.argv[0] + '.order', 'w').write(sys.argv[1])\nanswer(layers=['a', 'b'])\n"


@pytest.fixture
def image(tmp_path):
    return open_multiscale(write_image(tmp_path / "image", noise(2, 20, 24)))


@pytest.fixture
def display(monkeypatch):
    monkeypatch.setenv("DISPLAY", ":77")


def test_a_window_says_what_it_shows(fake, image, display, tmp_path):
    fake(SHOWS + "time.sleep(60)", napari_window, "NAPARI")
    window = open_in_napari(image)
    try:
        assert window.open and repr(window) == "napari (open): image, layers a, b"
        order = json.loads((tmp_path / "worker.py.order").read_text())
        nothing = {"screenshot": "", "edits": None}
        assert order == {"address": image.url, "title": "image", "labels": True} | nothing
    finally:
        window.close()
    assert not window.open and repr(window).startswith("napari (closed)")


def test_a_picture_is_taken_and_the_window_closed(fake, image, display, tmp_path, monkeypatch):
    fake(SHOWS + "time.sleep(60)", napari_window, "NAPARI")
    monkeypatch.chdir(tmp_path)
    assert not open_in_napari(tmp_path / "image", labels=False, screenshot="a.png").open
    order = json.loads((tmp_path / "worker.py.order").read_text())
    assert order["screenshot"] == str(tmp_path / "a.png") and order["labels"] is False


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("print('ImportError: no vispy'); raise SystemExit(1)", "exit code 1.*opened image.*vispy"),
        ("print('Could not load the Qt platform plugin'); raise SystemExit(1)", "libxcb-cursor0"),
        (ANSWER + "time.sleep(60)", "no answer within 1 s while it opened image"),
    ],
)
def test_what_goes_wrong_in_napari_is_one_sentence(fake, image, display, script, said):
    fake(script, napari_window, "NAPARI")
    with pytest.raises(ToolError, match=said):
        open_in_napari(image, timeout=1 if "sleep" in script else 30)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="NOT CHECKED: has a display")
def test_without_a_display_there_is_a_sentence_or_xvfb(fake, image, monkeypatch):
    fake("", napari_window, "NAPARI")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ToolError, match=r"no display .*view\(image\)"):
        open_in_napari(image)
    monkeypatch.setattr(napari_window.shutil, "which", lambda name: None)
    with pytest.raises(ToolError, match="sudo apt install xvfb"):
        open_in_napari(image, screenshot="a.png")
    monkeypatch.setattr(napari_window.shutil, "which", lambda name: f"/bin/{name}")
    assert napari_window._display(headless=True)[0] == "/bin/xvfb-run"
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    assert napari_window._display(headless=True) == []


def test_an_old_copy_is_exchanged_for_one_that_napari_reads(offline):
    old = open_multiscale(6001247)
    assert old.version == "0.1"
    assert napari_window.readable(old).url.endswith("/idr/zarr/v0.4/idr0062A/6001247.zarr")


def test_what_napari_cannot_read_is_said(tmp_path, monkeypatch):
    write_image(tmp_path / "old", noise(2, 20, 24))
    attributes = json.loads((tmp_path / "old" / ".zattrs").read_text())
    attributes["multiscales"][0] |= {"version": "0.3", "axes": ["c", "y", "x"]}
    write_json(tmp_path / "old" / ".zattrs", attributes)
    old = open_multiscale(tmp_path / "old")
    with pytest.raises(ToolError, match=r"opens OME-Zarr 0.4 and 0.5, and old is 0.3"):
        open_in_napari(old)
    for url, why in (("s3://a/b.zarr", "private bucket"), ("https://a.org/b.ozx", "zipped")):
        old.url = url
        with pytest.raises(ToolError, match=f"can't read .* because it is .*{why}: copy it"):
            open_in_napari(old)


# --- what is painted in napari ----------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Consolidated metadata")
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_labels_are_found_in_consolidated_metadata_too(tmp_path, zarr_format):
    folder = write_image(tmp_path / "image.zarr", noise(2, 20, 24), zarr_format)
    zarr.consolidate_metadata(folder, zarr_format=zarr_format)
    image = open_multiscale(folder)
    edits = napari_window.label_image(image, True, folder / "labels" / "mine")
    napari_worker.save(np.ones((1, 20, 24), np.uint32), edits)
    group = zarr.open_group(folder, mode="r", zarr_format=zarr_format, use_consolidated=True)
    assert group["labels/mine/0"].shape == (1, 20, 24)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_what_is_painted_becomes_one_of_the_labels_of_the_image(tmp_path, zarr_format):
    """`save` runs in napari's environment; it needs NumPy and Zarr only, so it is tried here."""
    folder = write_image(tmp_path / "image.zarr", noise(2, 20, 24), zarr_format)
    image = open_multiscale(folder)
    edits = napari_window.label_image(image, True, folder / "labels" / "mine")
    edits = json.loads(json.dumps(edits))  # as it comes out of the command line
    painted = np.zeros((1, 20, 24), np.uint32)
    painted[0, 4:9, 4:20] = 7
    napari_worker.save(painted, edits)
    image = open_multiscale(folder)
    assert image.labels == ["mine"] and image.label().version == image.version
    assert (image.stored_labels(0)[:] == painted).all()
    assert (image.stored_labels(1)[:] == painted[:, ::2, ::2]).all()
    assert image.stored_labels(0).dtype == np.uint32
    napari_worker.save(painted, edits | {"path": str(folder / "labels" / "b"), "name": "b"})
    assert open_multiscale(folder).labels == ["mine", "b"]
    again = zarr.open_group(folder / "labels" / "mine", mode="r", zarr_format=zarr_format)
    assert again["0"].shape == (1, 20, 24)


def test_edits_start_from_the_labels_and_their_axes(offline):
    image = napari_window.readable(open_multiscale(6001247))
    edits = napari_window.label_image(image, True, "somewhere")
    assert edits["levels"][0]["shape"] == [1, 1, 257, 210, 253] and not edits["listed_in"]
    assert edits["levels"][0]["scale"] == pytest.approx(image.label().scales[0])
    axes = edits["attributes"]["multiscales"][0]["axes"]
    assert [axis["name"] for axis in axes] == list(image.axes)
    empty = napari_window.label_image(image, False, "somewhere")
    assert empty["levels"][0]["shape"] == edits["levels"][0]["shape"]


def test_edits_never_overwrite_and_never_fill_the_memory(image, tmp_path, monkeypatch):
    with pytest.raises(ToolError, match="is there already: give another name"):
        napari_window.label_image(image, True, tmp_path / "image")
    with pytest.raises(ToolError, match="is an address"):
        napari_window.label_image(image, True, "s3://bucket/labels")
    monkeypatch.setattr(napari_window, "MOST_PAINTED", 20 * 24 * 4 - 1)
    with pytest.raises(TooLargeError, match=r"take 1.92 kB"):
        napari_window.label_image(image, True, tmp_path / "new")


# --- the stored tables ----------------------------------------------------------------------------


def truth():
    from data_helpers.offline.plate import cells_in
    from data_helpers.offline.plate_layout import well_name, wells

    found = {well_name(*place): cells_in(*place, 0) for place in wells()}
    counts = {name: [len(cells.y), cells.stained.sum()] for name, cells in found.items()}
    return pd.DataFrame.from_dict(counts, orient="index", columns=["nuclei", "stained"])


def stored(name):
    return pd.read_csv(ROOT / "data_helpers" / "hand_over" / name).set_index("well")


def test_the_stored_table_counts_what_the_stand_in_painted():
    table, true = stored("cellprofiler_plate.csv"), truth()
    assert list(table.index) == list(true.index) and len(table) == 94
    assert (table["nuclei"] == true["nuclei"]).all() and (table["stained"] == true["stained"]).all()
    percent = 100 * true["stained"] / true["nuclei"]
    assert (table["percent_stained"] - percent).abs().max() < 0.006
    assert table["area_um2"].between(60, 130).all()


def test_the_first_guesses_count_twice_as_many():
    guessed, true = stored("cellprofiler_first_guesses.csv"), truth()
    assert list(guessed.index) == list(true.index)
    assert 1.9 < guessed["nuclei"].sum() / true["nuclei"].sum() < 2.1


def test_docs_of_the_tools_have_the_command_and_the_size():
    for name, (_, megabytes) in run.ENVIRONMENTS.items():
        if name in run.TOOLS:
            page = read(Path(ROOT, "docs", "tools", f"{name}.md"))
            assert f"python3 run.py tool {name}" in page and f"{megabytes:,} MB" in page
