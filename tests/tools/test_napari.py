"""The real napari, in its own environment: it reads, shows and paints what this course has.

`python3 run.py tool napari` makes the environment. The pictures are left in screenshots/.
"""

import json
import re
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import zarr
from PIL import Image
from support.images import noise, write_with_ngff_zarr, write_with_ome_zarr
from support.plates import write_image
from support.repository import ROOT, read

from data_helpers import compare_labels, open_in_napari, open_multiscale
from data_helpers.hand_over import napari_window
from data_helpers.hand_over.installed import NAPARI, python_of

pytestmark = [pytest.mark.tools, pytest.mark.timeout(300)]
HERE = Path(__file__).parent
PICTURES = HERE / "screenshots"


@pytest.fixture
def image(offline):
    """6001247 as napari opens it: the copy of version 0.4."""
    return napari_window.readable(open_multiscale(6001247))


def run_in_napari(script, *arguments, display=False):
    """Run Python code in napari's environment."""
    before = napari_window._display(headless=True) if display else []
    command = [*before, str(python_of(NAPARI)), "-I", "-W", "ignore", "-c", script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def hues(picture):
    """How many clearly different colours a picture has, of at least 300 pixels each."""
    hsv = np.asarray(Image.open(picture).convert("HSV"))[100:-100, 440:-20]  # the canvas
    seen = (hsv[..., 1] > 60) & (hsv[..., 2] > 60)
    counts = np.bincount(hsv[seen][:, 0] // 16, minlength=16)
    return int((counts > 300).sum())


def test_each_nucleus_has_a_colour_of_its_own(image):
    PICTURES.mkdir(exist_ok=True)
    shown = open_in_napari(image, screenshot=PICTURES / "labels.png")
    names = [name.split(": ")[-1] for name in shown.layers]
    assert names == ["LaminB1", "DAPI", "labels/labels/0"]
    assert all("synthetic" in name for name in shown.layers[:2]) and not shown.open
    open_in_napari(image, labels=False, screenshot=PICTURES / "no_labels.png")
    assert hues(PICTURES / "no_labels.png") <= 3 < 6 <= hues(PICTURES / "labels.png")


def test_the_lines_of_the_docs_do_the_same(image):
    blocks = re.findall(r"```python\n(.*?)```", read(ROOT / "docs/tools/napari.md"), re.DOTALL)
    lines = next(block for block in blocks if "napari.Viewer()" in block)
    script = re.sub(r'"https://[^"]+\.zarr"', repr(image.url), lines)
    picture = str(PICTURES / "docs.png")
    take = f"viewer.screenshot({picture!r}, canvas_only=False, flash=False)"
    PICTURES.mkdir(exist_ok=True)
    run_in_napari(script.replace("napari.run()", take), display=True)
    assert image.url in script and hues(picture) >= 6


READ = """
import json, sys
import numpy as np
from napari_ome_zarr import napari_get_reader
found = []
for levels, options, kind in napari_get_reader(sys.argv[1])(sys.argv[1]):
    pixels = np.asarray(levels[0])
    found.append([kind, len(levels), list(pixels.shape), int(pixels.sum()), list(options["scale"])])
print("@", json.dumps(found))
"""


def layers_of(folder):
    return json.loads(run_in_napari(READ, str(folder)).split("@ ")[1])


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_what_ngff_zarr_writes_is_read(tmp_path, version):
    pixels = noise(2, 3, 64, 64)
    levels = write_with_ngff_zarr(tmp_path / "image", pixels, version)
    [(kind, count, shape, total, scale)] = layers_of(tmp_path / "image")
    ours = open_multiscale(tmp_path / "image")
    spatial = [s for s, role in zip(ours.scales[0], ours.roles, strict=True) if role != "c"]
    assert (kind, count, total) == ("image", len(levels), int(pixels.sum()))
    assert sorted(shape) == sorted(pixels.shape) and scale == pytest.approx(spatial)


def test_shards_and_coloured_labels_are_read_as_notebook_08_writes_them(tmp_path):
    """ngff-zarr, 0.5: labels are an image below, listed, with a note of their colours."""
    import ngff_zarr

    pixels, labels = noise(2, 4, 64, 64), np.zeros((4, 64, 64), np.uint16)
    labels[1, 4:9, 4:20] = 3
    folder = tmp_path / "image.zarr"
    shards = {"c": 1, "z": 2, "y": 2, "x": 2}
    plain = {"version": "0.5", "consolidate_metadata": False}  # or nobody finds what is added
    write_with_ngff_zarr(folder, pixels, chunks_per_shard=shards, **plain)
    sizes = {
        "scale": {"z": 0.5, "y": 0.25, "x": 0.25},
        "axes_units": dict.fromkeys("zyx", "micrometer"),
    }
    masks = ngff_zarr.to_ngff_image(labels, dims=("z", "y", "x"), name="nuclei", **sizes)
    method = ngff_zarr.Methods.ITKWASM_LABEL_IMAGE
    levels = ngff_zarr.to_multiscales(masks, scale_factors=[], chunks=16, method=method)
    ngff_zarr.to_ngff_zarr(str(folder / "labels" / "nuclei"), levels, **plain)
    group = zarr.open_group(folder / "labels" / "nuclei", mode="r+")
    note = {
        "colors": [{"label-value": 3, "rgba": [255, 0, 255, 255]}],
        "source": {"image": "../../"},
    }
    group.attrs["ome"] = {**group.attrs["ome"], "image-label": note}
    zarr.create_group(
        folder / "labels", attributes={"ome": {"version": "0.5", "labels": ["nuclei"]}}
    )
    image, nuclei = layers_of(folder)
    assert image[0] == "image" and image[3] == int(pixels.sum())
    assert nuclei[0] == "labels" and nuclei[2:4] == [[4, 64, 64], int(labels.sum())]
    assert nuclei[4] == pytest.approx([0.5, 0.25, 0.25])


def test_what_ome_zarr_py_writes_is_read_with_its_labels(tmp_path):
    pixels, labels = noise(2, 3, 64, 64), np.zeros((3, 64, 64), np.int32)
    labels[1, 4:9, 4:20] = 3
    write_with_ome_zarr(tmp_path / "image", [pixels], [labels])
    found = layers_of(tmp_path / "image")
    assert [layer[0] for layer in found] == ["image", "labels"]
    assert [layer[3] for layer in found] == [int(pixels.sum()), int(labels.sum())]


PAINT = """
import importlib.util
spec = importlib.util.spec_from_file_location("napari_worker", WORKER)
worker = importlib.util.module_from_spec(spec)
spec.loader.exec_module(worker)
add_copy = worker.add_copy

def paint(viewer):
    layer = viewer.layers["edited"]
    assert layer.editable and viewer.layers[0].visible
    PAINT_HERE
    viewer.close()

def add_and_paint(viewer, edits):
    from qtpy.QtCore import QTimer
    add_copy(viewer, edits)
    QTimer.singleShot(500, lambda: paint(viewer))

worker.add_copy = add_and_paint
worker.main()
"""


@pytest.fixture
def hand(tmp_path, monkeypatch):
    """Somebody who paints in the window, and closes it."""

    def take(lines):
        script = PAINT.replace("WORKER", repr(str(napari_window.WORKER)))
        (tmp_path / "hand.py").write_text(script.replace("PAINT_HERE", lines))
        monkeypatch.setattr(napari_window, "WORKER", tmp_path / "hand.py")
        xvfb = napari_window._display(headless=True)
        monkeypatch.setattr(napari_window, "_display", lambda headless: xvfb)

    return take


def wait_for(window):
    until = time.monotonic() + 100
    while window.open and time.monotonic() < until:
        time.sleep(0.2)
    assert not window.open, window._process.last_words()
    assert window._process._process.returncode == 0, window._process.last_words()


def test_labels_are_edited_in_napari_saved_and_scored(image, hand, tmp_path):
    """One of 48 nuclei is rubbed out, and another one gets another number, which is no mistake."""
    truth = image.stored_labels(0)[:]
    gone, renamed = (int(n) for n in np.unique(truth)[[5, 9]])
    hand(
        f"""layer.data_setitem((layer.data == {gone}).nonzero(), 0)
    place = tuple(int(axis[0]) for axis in (layer.data == {renamed}).nonzero())
    layer.n_edit_dimensions = 3
    layer.fill(place, 7)"""
    )
    wait_for(open_in_napari(image, edits=tmp_path / "edited.zarr"))
    edited = open_multiscale(tmp_path / "edited.zarr")
    assert edited.version == "0.4" and edited.axes == image.axes
    assert edited.scales == image.label().scales
    score = compare_labels(edited.stored[0][:], truth)
    assert (score["matched"], score["missed"], score["false"]) == (47, 1, 0)
    assert 7 in edited.stored[0][:] and edited.stored[0].dtype == np.uint32


def test_scribbles_become_labels_of_an_image_of_ones_own(hand, tmp_path):
    folder = write_image(tmp_path / "image.zarr", noise(2, 40, 48), zarr_format=3)
    hand("layer.paint((0, 10, 20), 2)")
    image = open_multiscale(folder)
    wait_for(open_in_napari(image, labels=False, edits=folder / "labels" / "scribbles"))
    image = open_multiscale(folder)
    assert image.version == "0.5" and image.labels == ["scribbles"]
    painted = image.stored_labels(0)[:]
    assert painted.shape == (1, 40, 48) and painted[0, 10, 20] == 2
    assert 50 < (painted == 2).sum() < 120 and set(np.unique(painted)) == {0, 2}
    assert [layer[0] for layer in layers_of(folder)] == ["image", "labels"]
    assert zarr.open_group(folder / "labels", mode="r").attrs["ome"]["labels"] == ["scribbles"]
