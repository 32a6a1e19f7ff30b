"""Each slider and each viewer moved with the keyboard, and its picture seen to change."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from .conftest import Opened
from .test_notebooks import NOTEBOOKS
from .test_viewer import READY

pytestmark = pytest.mark.timeout(400)
SLIDERS = {
    "02_explore_multiscale.ipynb": ["level", "y", "x"],
    "03_segment_in_parallel.ipynb": ["frame"],
    "solutions/03_segment_in_parallel.ipynb": ["i", "j", "frame"],
    "solutions/04_overlay_labels.ipynb": ["z"],
}
TITLE = 0.15  # share of a picture's height; what changes below it is more than the title
PICTURE = """(control) => control.closest(".widget-interact").querySelector("img")?.src ?? null"""
CHANGED = """([control, before]) => {
    const image = control.closest(".widget-interact").querySelector("img")
    return image?.complete && image.src !== before
}"""


def pixels(source: str) -> np.ndarray:
    """The picture of a data URL."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(source.split(",")[1]))).convert("L"))


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_each_slider_changes_its_picture(name: str, lab: Opened) -> None:
    notebook = lab.run(name)
    sliders = notebook.panel.locator(".widget-interact .widget-hslider, .widget-interact select")
    labels = [slider.locator(".widget-label").inner_text() for slider in sliders.all()]
    assert labels == SLIDERS.get(name, []), "name each control in SLIDERS"
    for slider in sliders.all():
        handle, readout = slider.locator(".noUi-handle"), slider.locator(".widget-readout")
        control = handle.element_handle()
        before, value = handle.evaluate(PICTURE), readout.inner_text()
        handle.focus()
        notebook.page.keyboard.press("ArrowRight")
        notebook.wait_for(CHANGED, [control, before], 60)
        notebook.wait()
        after = handle.evaluate(PICTURE)
        assert readout.inner_text() != value
        old, new = pixels(before), pixels(after)
        below = round(TITLE * len(old))
        assert (old[:below] != new[:below]).any(), "the title stays the same"
        assert (old[below:] != new[below:]).any(), "the picture stays the same"
    assert lab.errors == []


VIEWERS = (  # notebooks with a viewer that needs no answer first
    "01_what_is_ome_zarr.ipynb",
    "02_explore_multiscale.ipynb",
    "solutions/04_overlay_labels.ipynb",
    "solutions/08_make_and_publish.ipynb",
)
MORE = (
    "([root, before]) => root.dataset.state === 'ready' && Number(root.dataset.received) > before"
)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_viewer_of_a_notebook_shows_more_when_moved(
    name: str, lab: Opened, screenshots: Path
) -> None:
    notebook = lab.run(name)
    viewers = notebook.panel.locator("div.ozv").all()
    assert len(viewers) == (name in VIEWERS), "say in VIEWERS where there are viewers"
    for viewer in viewers:
        viewer.scroll_into_view_if_needed()
        root = viewer.element_handle()
        notebook.wait_for(READY, root, 60)
        before, level = (viewer.get_attribute(f"data-{fact}") for fact in ("received", "level"))
        if level == "0":  # a small image shows its finest level at once: take another plane
            viewer.locator("input[name=z]").focus()
            notebook.page.keyboard.press("ArrowRight")
        else:
            viewer.locator("canvas[role=application]").focus()
            for _ in range(6):
                notebook.page.keyboard.press("+")
        notebook.wait_for(MORE, [root, int(before or 0)], 60)
        assert level == "0" or viewer.get_attribute("data-level") != level
        assert viewer.get_attribute("data-error") == ""
        picture = f"{name.removesuffix('.ipynb').replace('/', '_')}_viewer.png"
        notebook.page.screenshot(path=screenshots / picture)
    assert lab.errors == []
