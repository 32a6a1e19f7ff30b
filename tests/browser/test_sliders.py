"""Each slider moved with the keyboard, and its picture seen to change."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from .conftest import Opened
from .test_notebooks import NOTEBOOKS

pytestmark = pytest.mark.timeout(400)
SLIDERS = {
    "02_explore_multiscale.ipynb": ["level", "y", "x"],
    "solutions/03_segment_in_parallel.ipynb": ["i", "j"],
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
