"""Metadata changed at random: an image opens with right pixels, or raises an error of ours.

200 changes are tried here; `MUTATIONS=2000` tries as many, at random, as the nightly run does.
"""

import json
import os
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.mutations import hostile, write_every_version

import data_helpers as dh
from data_helpers._display.facts import Shown, notes_on, sentence
from data_helpers._display.planes import is_color_picture, part, place, read_picture
from data_helpers._pixel_size import pixel_size
from data_helpers.errors import OmeZarrError, OmeZarrWarning
from data_helpers.viewer.facts import facts_of
from data_helpers.viewer.scene import Scene
from data_helpers.viewer.tiles import ChunkCache

SECONDS, BYTES = 2.0, 300e6
"""What opening and looking at a small image may cost, whatever its metadata say."""

AT_RANDOM = "MUTATIONS" in os.environ
COUNT = int(os.environ.get("MUTATIONS", 200))

DOCUMENTS = (
    "0.1/.zattrs",
    "0.1/0/.zarray",
    "0.3/.zattrs",
    "0.3/1/.zarray",
    "0.4/.zattrs",
    "0.4/.zattrs",
    "0.4/0/.zarray",
    "0.4/labels/.zattrs",
    "0.4/labels/cells/.zattrs",
    "0.4/labels/cells/0/.zarray",
    "0.5/zarr.json",
    "0.5/zarr.json",
    "0.5/1/zarr.json",
    "0.6/zarr.json",
    "0.6/zarr.json",
    "0.6/0/zarr.json",
    "plate 0.4/.zattrs",
    "plate 0.4/.zattrs",
    "plate 0.4/A/01/.zattrs",
    "plate 0.4/A/01/0/.zattrs",
    "plate 0.5/zarr.json",
    "plate 0.5/B/03/zarr.json",
    "plate 0.5/A/01/0/0/zarr.json",
)


class Images:
    """A folder with images of each version, and the pixels of their levels."""

    def __init__(self, folder):
        self.folder, self.truth = folder, write_every_version(folder)

    def __repr__(self):
        return "Images()"


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return Images(tmp_path_factory.mktemp("versions"))


@pytest.mark.timeout(120 if COUNT <= 200 else 3600)
@settings(
    max_examples=COUNT,
    derandomize=not AT_RANDOM,
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data())
def test_changed_metadata_open_with_right_pixels_or_say_what_is_wrong(images, data):
    folder, truth = images.folder, images.truth
    key = data.draw(st.sampled_from(DOCUMENTS))
    file = folder / key
    valid = file.read_bytes()
    changed, touched = data.draw(hostile(json.loads(valid)))
    file.write_bytes(changed)
    try:
        with within_limits(), warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            try:
                look_at(folder, key, truth, touched)
            except OmeZarrError as error:
                assert_plain(str(error), 4010)
        for one in said:
            assert issubclass(one.category, OmeZarrWarning), one
            assert_plain(str(one.message), 4010)
    finally:
        file.write_bytes(valid)


def look_at(folder, key, truth, touched):
    """Open an image, or a plate, in every way that costs no more than a small read."""
    name = key.split("/")[0]
    if name.startswith("plate"):
        return look_at_plate(folder / name)
    image = dh.open_multiscale(folder / name)
    look_at_image(image)
    for path, array in zip(image.paths, image.stored, strict=True):
        if key == f"{name}/{path}/.zarray" or key == f"{name}/{path}/zarr.json":
            if any(place[:1] != ("attributes",) for place in touched):
                continue  # other pixels than those that were written may be what it declares
        np.testing.assert_array_equal(array[...], truth[name][int(path)])
    for label in image.labels:
        assert_plain(label, 1030)
        look_at_image(image.label(label))


def look_at_plate(folder):
    plate = dh.open_plate(folder)
    for text in (plate.title, plate.version, *plate.rows, *plate.columns):
        assert_plain(text)
    for one in plate.acquisitions:
        assert_plain(one.name)
    assert_plain(repr(plate), 1000)
    assert "<img" not in plate._repr_html_()
    assert plate.fields >= 0
    for well in plate.wells:
        look_at_image(plate.image(well))
    plate.overview()[..., :2, :2].compute()


def look_at_image(image):
    assert_plain(image.title, 500)
    for text in (image.version, *image.axes, *filter(None, image.units)):
        assert_plain(text)
    for channel in image.channels:
        assert_plain(channel.label + channel.left_out, 400)
        assert channel.window is None or np.isfinite(channel.window).all()
    for scale in image.scales:
        assert np.isfinite(scale).all() and min(scale) > 0
    assert_plain(repr(image), 400)
    assert "<img" not in image._repr_html_()
    pixel_size(image)
    assert_plain(repr(dh.viewer_links(image)), 4000)
    last = len(image.paths) - 1
    corner = tuple(slice(0, 2) for _ in image.axes)
    np.testing.assert_array_equal(image.levels[last][corner].compute(), image.stored[last][corner])
    position, color = place(image, last, {}), is_color_picture(image)
    rows, columns = (part(image, last, role, slice(0, 2)) for role in "yx")
    picture = read_picture(image, last, position, rows, columns, color)
    notes = notes_on(picture) if picture.ndim == 2 else {}
    shown = Shown(image, last, picture.shape[:2], (0, 1), position, color=color, notes=notes)
    assert_plain(sentence([shown]), 4000)
    facts = facts_of(Scene(image, None, None, ChunkCache()), 480, {})
    json.dumps(facts, allow_nan=False).encode()
    assert_plain(facts["title"] + facts["unknown"] + facts["note"], 4000)


def assert_plain(text, longest=210):
    """Nothing that acts rather than shows, and not too much of it."""
    assert len(text) <= longest, f"{len(text)} characters: {text[:300]!r}"
    odd = [letter for letter in text if not letter.isprintable() and letter not in "\u200c\u200d\n"]
    assert not odd, f"{odd} in {text!r}"


class within_limits:
    """The block takes no more CPU time and no more memory than `SECONDS` and `BYTES`."""

    def __enter__(self):
        self.rss, self.peak = memory()
        self.start = time.process_time()

    def __exit__(self, kind, *_):
        seconds = time.process_time() - self.start
        if kind is None:
            assert seconds < SECONDS, f"{seconds:.1f} s"
            peak = memory()[1]
            if peak > self.peak:
                assert peak - self.rss < BYTES, f"{(peak - self.rss) / 1e6:.0f} MB"


def memory():
    """Bytes of this process: now, and at most so far; 0 where the system does not say."""
    if not sys.platform.startswith("linux"):
        return 0, 0
    said = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return tuple(1024 * int(said[name].split()[0]) for name in ("VmRSS", "VmHWM"))
