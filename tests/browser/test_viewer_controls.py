"""Each control of the viewer, in Chromium but without JupyterLab: see support/viewer_page.py."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pandas as pd
import PIL.Image
import pytest
from playwright.sync_api import Browser, Page
from support.images import axes, halve, noise, scales, write_json, write_v2
from support.viewer_page import HOST, ViewerPage, serve_parts

import data_helpers as dh
from data_helpers.viewer import page_source

from .conftest import new_context, watch
from .wire.npm import install

Make = Callable[..., ViewerPage]


@pytest.fixture
def cells(offline: Any) -> dh.Multiscale:
    """6001247 of the stand-in: two channels, many planes, labels."""
    return dh.open_multiscale(6001247)


@pytest.fixture
def show(page: Page, errors: list[str]) -> Iterator[Make]:
    """Shows an image in a page; at the end there is no error in the console."""

    def make(image: dh.Multiscale, dark: bool = False, **options: Any) -> ViewerPage:
        return ViewerPage(page, dh.view(image, height=360, **options), dark).settle()

    yield make
    assert errors == []


def test_each_part_loads_by_itself(page: Page, errors: list[str]) -> None:
    """Each in a page that has loaded nothing else, so each names all that it needs."""
    for part in page_source.PARTS:
        serve_parts(page)
        assert page.evaluate(f"async () => Object.keys(await import('{HOST}/{part}.js'))"), part
    assert errors == []


def test_the_parts_are_complete_and_none_is_long() -> None:
    files = sorted(page_source.FOLDER.glob("*.js"))
    assert sorted(page_source.PARTS) == [file.stem for file in files]
    for file in files:
        assert len(file.read_text(encoding="utf-8").splitlines()) < 300, file.name


def test_the_store_keeps_the_tiles_used_last_and_closes_the_others(page: Page) -> None:
    serve_parts(page)
    found = page.evaluate("""async () => {
        const { Tiles } = await import("/store.js")
        const tiles = new Tiles(), closed = []
        tiles.limit = 3
        const put = (name) => tiles.put(name, { close: () => closed.push(name) })
        put("a"); put("b"); put("c")
        tiles.get("a")
        put("d")
        return [[...tiles.kept.keys()], closed]
    }""")
    assert found == [["c", "a", "d"], ["b"]]


def test_a_viewer_that_ends_gives_its_pictures_back(show: Make, cells: dh.Multiscale) -> None:
    view = show(cells)
    received = int(view.root.get_attribute("data-received") or 0)
    view.page.evaluate("""() => {
        window.freed = 0
        const close = ImageBitmap.prototype.close
        ImageBitmap.prototype.close = function () { window.freed++; close.call(this) }
        window.end()
    }""")
    assert view.page.evaluate("() => window.freed") == received + 1  # and the overview


@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_no_barrier(show: Make, cells: dh.Multiscale, dark: bool) -> None:
    view = show(cells, dark, labels=True)
    view.press(*["+"] * 4, "Enter", "s")
    view.until(lambda: view.root.get_attribute("data-sides") == "ready", 60)
    view.button("Copy as code what opens this view").click()
    view.button("Neuroglancer: make a link to this view").click()
    view.until(view.root.get_by_role("link").is_visible)
    view.settle()
    view.page.evaluate((install() / "axe-core" / "axe.min.js").read_text(encoding="utf-8") + "; 0")
    found = view.page.evaluate("""async () => (await axe.run(".ozv")).violations.map(
        (rule) => `${rule.id}: ${rule.nodes.map((node) => node.html).join(", ")}`)""")
    assert found == []


# --- contrast -----------------------------------------------------------------------------------


def window(view: ViewerPage, channel: int) -> tuple[float, float]:
    """The values that a channel shows as black and as full colour, by its handles."""
    ends = [float(view.control(name, channel).input_value()) for name in ("low", "high")]
    return ends[0], ends[1]


def last_look(view: ViewerPage) -> dict[str, Any]:
    """What the kernel was last asked to show."""
    return [said for said in view.said if said["kind"] == "view"][-1]["look"]


@pytest.fixture
def known(tmp_path: Path) -> dh.Multiscale:
    """Grey from 0 to 999 from left to right, with a hot pixel; its metadata show 0 to 4000."""
    pixels = np.tile(np.arange(1000, dtype="u2"), (400, 1))
    pixels[200, 500] = 60_000
    channel = {"label": "ramp", "color": "FF0000", "window": {"start": 0, "end": 4000}}
    write_v2(
        tmp_path / "image",
        [pixels[None]],
        {
            "version": "0.4",
            "axes": axes("cyx", y="micrometer", x="micrometer"),
            "datasets": scales((1.0, 0.5, 0.5)),
        },
        chunks=(1, 128, 128),
        omero={"channels": [channel]},
    )
    return dh.open_multiscale(tmp_path / "image")


@pytest.mark.parametrize("by_key", [False, True])
def test_auto_contrast_takes_percentiles_of_what_is_in_view(
    show: Make, known: dh.Multiscale, by_key: bool
) -> None:
    view = show(known)
    assert window(view, 0) == (0, 4000)
    before = view.picture()
    if by_key:
        view.press("a")
    else:
        view.button("Auto contrast for what is in view (key a)").click()
    view.until(lambda: window(view, 0) != (0, 4000))
    low, high = window(view, 0)
    assert 5 <= low <= 15 and 990 <= high <= 1000  # the hot pixel does not count
    assert view.settle().picture() != before
    view.press(*["+"] * 5, "a")  # now only a part is in view
    view.until(lambda: window(view, 0)[0] > 100)
    assert window(view, 0)[1] < 900

    view.press("r")
    assert window(view, 0) == (0, 4000)
    view.press("0")
    assert view.settle().picture() == before


def test_the_histogram_has_two_handles_that_never_cross(show: Make, known: dh.Multiscale) -> None:
    view = show(known)
    bars = view.root.locator("canvas.ozv-bars")
    assert int(view.until(lambda: bars.get_attribute("data-bars"))) >= 3
    low, high = view.control("low", 0), view.control("high", 0)
    assert low.get_attribute("aria-label") == "channel ramp: black at"
    assert high.get_attribute("aria-label") == "channel ramp: red at"
    before = view.picture()
    drawn, line = bars.bounding_box(), high.bounding_box()  # a handle is 14 px wide
    assert line["x"] == drawn["x"] - 7 and line["width"] == drawn["width"] + 14
    high.press("Home")
    assert window(view, 0) == (0, 0)
    view.settle()
    high.press("PageUp")
    assert view.settle().picture() != before
    low.press("End")
    assert window(view, 0)[0] <= window(view, 0)[1]


def test_values_far_from_the_rest_are_marked_and_shown_when_asked_for(
    show: Make, tmp_path: Path
) -> None:
    pixels = np.tile(np.arange(200, dtype="u2"), (100, 1))
    pixels[50, 100] = 60_000
    about = {"version": "0.4", "axes": axes("yx"), "datasets": scales((1, 1))}
    write_v2(tmp_path / "image", [pixels], about, chunks=(100, 200))
    view = show(dh.open_multiscale(tmp_path / "image"))
    bars, high = view.root.locator("canvas.ozv-bars"), view.control("high", 0)
    view.until(lambda: bars.get_attribute("data-beyond") == "0,1")
    view.press("a")
    view.until(lambda: window(view, 0)[1] < 300)
    assert float(high.get_attribute("max")) < 400
    wider = view.root.locator("button.ozv-wider")
    name = wider.get_attribute("aria-label")
    assert name == ("channel channel 0: show all values, also 1 value above 298.5, up to 60000")
    arrow = bars.screenshot()
    wider.press("Enter")
    assert wider.get_attribute("aria-pressed") == "true"
    assert float(high.get_attribute("max")) == 60_000
    assert bars.screenshot() != arrow
    view.press(*["+"] * 2, *["ArrowLeft"] * 9)  # away from the hot pixel
    view.until(lambda: bars.get_attribute("data-beyond") == "0,0")
    assert not wider.is_visible()
    assert float(high.get_attribute("max")) < 400


def test_a_handle_is_dragged(show: Make, known: dh.Multiscale) -> None:
    view = show(known)
    view.until(lambda: view.root.locator("canvas.ozv-bars").get_attribute("data-bars"))
    box = view.control("high", 0).bounding_box()
    limit = float(view.control("high", 0).get_attribute("max") or 0)
    x = box["x"] + 7 + 4000 / limit * (box["width"] - 14)
    y = box["y"] + box["height"] / 2
    view.page.mouse.move(x, y)
    view.page.mouse.down()
    view.page.mouse.move(x - 60, y, steps=3)
    view.page.mouse.up()
    assert window(view, 0)[0] == 0
    assert window(view, 0)[1] < 4000


def test_gamma_and_colour_of_a_channel(show: Make, known: dh.Multiscale) -> None:
    view = show(known)
    right = int(view.canvas.bounding_box()["width"] * 0.6)
    before = view.pixel(right, 180)
    view.control("gamma", 0).press("Home")
    after = view.settle().pixel(right, 180)
    assert after[0] > before[0] + 30  # brighter
    view.control("color", 0).fill("#00ff00")
    assert view.settle().pixel(right, 180)[1] > 60 and view.pixel(right, 180)[0] < 20
    assert last_look(view)["colors"] == ["00FF00"]
    assert "green at" in view.root.inner_text()
    view.button("Reset contrast and colours to those of the metadata (key r)").click()
    assert view.settle().pixel(right, 180) == before


def test_the_names_of_colours(page: Page) -> None:
    serve_parts(page)
    hexes = ["FFFFFF", "FF0000", "00FF00", "0000FF", "FFFF00", "FF00FF", "00FFFF", "FF8000"]
    found = page.evaluate(
        """async (hexes) => hexes.map((await import("/colors.js")).colorName)""", hexes
    )
    assert found == ["white", "red", "green", "blue", "yellow", "magenta", "cyan", "orange"]


# --- where you are ------------------------------------------------------------------------------


def test_the_map_shows_a_frame_and_moves_the_picture(show: Make, cells: dh.Multiscale) -> None:
    view = show(cells)
    overview = view.root.locator("canvas.ozv-map")
    assert not overview.is_visible()  # all of the picture is in view
    view.press(*["+"] * 6)
    view.settle()
    assert overview.is_visible()
    left, top, width, height = map(int, (overview.get_attribute("data-frame") or "").split(","))
    box = overview.bounding_box()
    assert abs(left + width / 2 - box["width"] / 2) < 3
    assert abs(top + height / 2 - box["height"] / 2) < 3
    before = view.root.get_attribute("data-centre")
    view.page.mouse.click(box["x"] + 20, box["y"] + 20)
    view.settle()
    assert view.root.get_attribute("data-centre") != before
    assert int((overview.get_attribute("data-frame") or "").split(",")[0]) < left


def test_place_units_and_values_under_the_pointer(show: Make, known: dh.Multiscale) -> None:
    view = show(known)
    box = view.canvas.bounding_box()
    zoom = min(box["width"] / 1000, box["height"] / 400)
    view.page.mouse.move(
        box["x"] + box["width"] / 2 + 100.5 * zoom, box["y"] + box["height"] / 2 + 50.5 * zoom
    )
    where = view.root.locator(".ozv-where")
    view.until(lambda: "ramp" in where.inner_text())
    assert where.inner_text() == "y 250, x 600 (125 µm, 300 µm): ramp 600"
    view.page.mouse.move(1, 1)
    assert where.inner_text() == ""


def test_the_level_and_the_magnification_are_said_in_plain_words(
    show: Make, tmp_path: Path
) -> None:
    levels = halve(noise(2000, 2400), 2)
    about = {"version": "0.4", "axes": axes("yx"), "datasets": scales((1, 1), (2, 2), (4, 4))}
    write_v2(tmp_path / "image", levels, about, chunks=(256, 256))
    view = show(dh.open_multiscale(tmp_path / "image"))
    status = view.root.locator(".ozv-status")
    assert status.inner_text() == "Showing level 2 of 3 (0 is the finest) at 18 %"
    view.press(*["+"] * 6)
    view.settle()
    assert status.inner_text() == "Showing level 0 of 3 (0 is the finest) at 205 %"


def test_how_magnification_and_lengths_are_written(page: Page) -> None:
    serve_parts(page)
    found = page.evaluate("""async () => {
        const { inUnits, percent } = await import("/geometry.js")
        return [[1, 0.25, 0.0123, 64].map(percent), [0, 0.5, 12.345, 1234.5].map(inUnits)]
    }""")
    assert found == [
        ["100 %", "25 %", "1.2 %", "6,400 %"],
        ["0 µm", "500 nm", "12.3 µm", "1.23 mm"],
    ]


def test_a_scale_bar_without_scale_is_short(show: Make, offline: Any) -> None:
    view = show(dh.open_multiscale(4007801))
    bar = view.root.locator(".ozv-scalebar")
    if "pixels" in bar.inner_text():
        assert len(bar.inner_text()) < 16
        assert "size unknown" in (bar.get_attribute("title") or "")
        assert "size unknown" in (bar.get_attribute("aria-label") or "")


# --- the wheel ----------------------------------------------------------------------------------


def test_the_wheel_zooms_where_the_pointer_was_moved_to(show: Make, cells: dh.Multiscale) -> None:
    """No click, no focus: the pointer comes to the picture and the first turn zooms."""
    view = show(cells)
    before = view.picture()
    box = view.canvas.bounding_box()
    view.page.mouse.move(5, 5)
    view.page.mouse.move(box["x"] + 200, box["y"] + 150, steps=4)
    view.page.mouse.wheel(0, -240)
    view.until(lambda: view.picture() != before)
    assert view.page.evaluate("scrollY") == 0
    view.press("Escape")  # and the wheel is the page's again
    view.page.mouse.wheel(0, 120)
    view.until(lambda: view.page.evaluate("scrollY") > 0)


def test_the_page_scrolls_on_over_a_picture_that_comes_by(show: Make, cells: dh.Multiscale) -> None:
    view = show(cells)
    view.page.evaluate("() => document.querySelector('h1').style.marginTop = '600px'")
    view.page.mouse.move(300, 300)
    before = view.settle().picture()
    for turn in range(1, 7):
        view.page.mouse.wheel(0, 100)
        view.until(lambda turn=turn: view.page.evaluate("scrollY") >= 100 * turn)
    assert view.page.evaluate("document.elementFromPoint(300, 300).tagName") == "CANVAS"
    assert view.picture() == before
    assert view.root.locator(".ozv-hint").is_visible()
    view.page.wait_for_timeout(350)
    view.page.mouse.move(306, 306, steps=3)  # now it is meant
    view.page.mouse.wheel(0, -120)
    view.until(lambda: view.picture() != before)


def test_a_hand_that_shakes_while_it_scrolls_does_not_zoom(page: Page) -> None:
    serve_parts(page)
    found = page.evaluate("""async () => {
        const { WheelRule } = await import("/wheel.js")
        const rule = new WheelRule(), seen = []
        const step = (x, over, time) => { rule.pointer(x, 0, over, time); seen.push(rule.zooms) }
        step(0, false, 0); rule.scrolled(100)
        step(3, true, 150); step(9, true, 390)
        step(11, true, 500); step(14, true, 510)
        step(14, false, 600)
        return seen
    }""")
    assert found == [False, False, False, False, True, False]


# --- a phone ------------------------------------------------------------------------------------


@pytest.fixture
def phone(browser: Browser, offline: Any) -> Iterator[ViewerPage]:
    """A picture on a phone 400 px wide; at the end there is no error in the console."""
    options = {"viewport": {"width": 400, "height": 800}, "has_touch": True, "is_mobile": True}
    context = new_context(browser, **options, device_scale_factor=2)
    page = context.new_page()
    errors = watch(page)
    image = dh.open_multiscale(6001247)
    yield ViewerPage(page, dh.view(image, labels=True, height=360)).settle()
    assert errors == []
    context.close()


def pinch(view: ViewerPage, apart: int, down: float) -> None:
    """Two fingers on the picture, one after the other, move apart, or together."""
    fingers = view.page.context.new_cdp_session(view.page)
    box = view.canvas.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def touch(kind: str, *places: float) -> None:
        points = [
            {"x": x + (1 - down) * at, "y": y + down * at, "id": n} for n, at in enumerate(places)
        ]
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    from_, to = (30, 30 + apart) if apart > 0 else (30 - apart, 30)
    touch("touchStart", -from_)
    touch("touchStart", -from_, from_)
    for step in range(1, 6):
        at = from_ + (to - from_) * step / 5
        touch("touchMove", -at, at)
    touch("touchEnd")


@pytest.mark.parametrize("down", [0.3, 1])
def test_pinching_zooms_the_picture_and_not_the_page(phone: ViewerPage, down: float) -> None:
    """Also where the fingers move up and down, as if to scroll."""
    status = phone.root.locator(".ozv-status")
    before, picture = status.inner_text(), phone.picture()
    pinch(phone, 90, down)
    phone.until(lambda: status.inner_text() != before)
    larger = phone.settle().picture()
    assert larger != picture
    assert phone.page.evaluate("[visualViewport.scale, scrollY]") == [1, 0]
    zoomed = status.inner_text()
    pinch(phone, -90, down)
    phone.until(lambda: status.inner_text() != zoomed)
    assert phone.page.evaluate("() => document.querySelector('.ozv-picked').textContent") == ""
    assert phone.page.evaluate("[visualViewport.scale, scrollY]") == [1, 0]


def test_nothing_is_wider_than_a_phone(phone: ViewerPage) -> None:
    phone.press("s")
    phone.until(lambda: phone.root.get_attribute("data-sides") == "ready", 60)
    assert phone.page.evaluate("document.documentElement.scrollWidth") <= 400


# --- labels -------------------------------------------------------------------------------------


@pytest.fixture
def nuclei(tmp_path: Path) -> dh.Multiscale:
    """Two planes; label 7 in the middle of the first only, label 8 at the left of both."""
    labels = np.zeros((2, 100, 200), "u4")
    labels[0, 30:70, 80:120], labels[:, 30:70, 10:50] = 7, 8
    about = {"version": "0.4", "axes": axes("zyx"), "datasets": scales((1, 1, 1))}
    write_v2(tmp_path / "image", [np.full((2, 100, 200), 40, "u1")], about)
    write_json(tmp_path / "image/labels/.zattrs", {"labels": ["cells"]})
    write_v2(tmp_path / "image/labels/cells", [labels], about)
    return dh.open_multiscale(tmp_path / "image")


def test_a_click_highlights_a_label_and_python_knows(show: Make, nuclei: dh.Multiscale) -> None:
    view = show(nuclei, labels=True)
    picked, alone = view.root.locator(".ozv-picked"), view.control("alone")
    assert alone.is_disabled()
    view.control("z").press("Home")
    before = view.settle().picture()
    view.press("Enter")  # the middle of the picture
    view.until(lambda: view.viewer.selection == 7 and "Label 7" in picked.inner_text())
    assert "plane z 0" in picked.inner_text()
    chosen = view.settle().picture()
    assert chosen != before
    view.viewer.selection = 8  # as a row of a table might
    view.until(lambda: "Label 8" in picked.inner_text())
    assert view.settle().picture() not in (before, chosen)
    alone.press("Space")
    view.settle()
    assert last_look(view)["drawn"]["alone"] is True
    alone.press("Space")
    view.viewer.selection = None
    view.until(lambda: picked.inner_text() == "")
    assert alone.is_disabled()


def test_what_is_said_follows_when_the_plane_changes(show: Make, nuclei: dh.Multiscale) -> None:
    view = show(nuclei, labels=True)
    picked = view.root.locator(".ozv-picked")
    view.control("z").press("Home")
    view.settle()
    view.press("Enter")
    view.until(lambda: "plane z 0" in picked.inner_text())
    view.control("z").press("End")
    view.until(lambda: "nothing of it to measure in plane z 1" in picked.inner_text())
    assert view.viewer.selection == 7
    view.press("Enter")  # here is no label: values of a pixel, which hold for this plane only
    view.until(lambda: "No label here" in picked.inner_text() and view.viewer.selection is None)
    view.control("z").press("Home")
    view.until(lambda: picked.inner_text() == "")


def test_what_python_selects_is_brought_into_view(show: Make, nuclei: dh.Multiscale) -> None:
    """Label 7 is on the first plane only; the last is shown, and another corner of it."""
    table = pd.DataFrame({"label": [7, 8], "volume": [1.5, 2.5]}).set_index("label")
    view = show(nuclei, labels=True, table=table)
    picked = view.root.locator(".ozv-picked")
    view.control("z").press("End")
    view.press(*["+"] * 4, *["ArrowRight"] * 9)
    view.settle()
    view.viewer.selection = table.loc[7]
    view.until(lambda: picked.inner_text() == "Label 7 in plane z 0: volume 1.5.")
    assert view.control("z").input_value() == "0"
    y, x = map(int, (view.root.get_attribute("data-centre") or "").split(","))
    assert abs(y - 50) < 3 and abs(x - 100) < 3
    before = view.settle().picture()
    view.viewer.selection = 99
    view.until(lambda: picked.inner_text() == "Label 99 is nowhere in the labels.")
    assert view.root.get_attribute("data-centre") == f"{y},{x}"
    view.viewer.selection = None
    view.until(lambda: picked.inner_text() == "")
    assert view.settle().picture() != before


def test_fill_and_colours_of_labels(show: Make, nuclei: dh.Multiscale) -> None:
    view = show(nuclei, labels=True)
    box = view.canvas.bounding_box()
    at = box["width"] / 2 - 70 * box["height"] / 100, box["height"] / 2  # in label 8
    before = view.pixel(*at)
    view.control("fill").press("End")
    filled = view.settle().pixel(*at)
    assert filled != before
    view.control("each").press("Space")
    assert view.settle().pixel(*at) != filled
    view.control("labels").press("Space")
    assert view.settle().pixel(*at) == before
    assert "drawn" not in last_look(view)


def test_labels_of_one_colour_are_shuffled_at_first(show: Make, offline: Any) -> None:
    """The labels of this copy of 6001247 are all grey in the metadata."""
    view = show(dh.open_multiscale(f"{offline}/idr/zarr/v0.4/idr0062A/6001247.zarr"), labels=True)
    each = view.control("each")
    assert each.is_checked() and last_look(view)["drawn"]["each"] is True
    before = view.picture()
    each.press("Space")
    assert view.settle().picture() != before


# --- playing ------------------------------------------------------------------------------------


@pytest.fixture
def film(tmp_path: Path) -> dh.Multiscale:
    """Six planes in time, each of one grey: 0, 20, 40 ... 100."""
    pixels = np.repeat(np.arange(0, 120, 20, dtype="u1"), 300 * 300).reshape(6, 300, 300)
    about = {"version": "0.4", "axes": axes("tyx"), "datasets": scales((1, 1, 1))}
    write_v2(tmp_path / "image", [pixels], about, chunks=(1, 300, 300))
    return dh.open_multiscale(tmp_path / "image")


def test_play_goes_round_and_stops(show: Make, film: dh.Multiscale) -> None:
    view = show(film)
    play, time_ = view.button("Play through time"), view.control("t")
    view.control("fps").select_option("20")
    play.press("Enter")
    assert play.get_attribute("aria-pressed") == "true"
    seen = set()
    view.until(lambda: seen.add(time_.input_value()) or len(seen) == 6)
    view.press(" ")  # on the picture
    assert play.get_attribute("aria-pressed") == "false"
    at = time_.input_value()
    view.page.wait_for_timeout(200)
    assert view.settle() and time_.input_value() == at
    asked = [said for said in view.said if said.get("ahead")]
    assert asked, "planes are fetched ahead"
    assert all(len(said["ahead"]) <= 2 for said in asked)


def test_a_late_answer_does_not_hide_what_was_not_asked_yet(
    show: Make, film: dh.Multiscale
) -> None:
    """The answer to one plane comes after the next is drawn, but before it is asked for."""
    view = show(film)
    view.control("t").press("Home")
    view.settle()
    key = [said for said in view.said if said["kind"] == "view"][-1]["key"]
    late = {"kind": "tile", "look": key, "level": 0, "ty": 0, "tx": 0, "error": "late"}
    view.page.evaluate(
        """async (late) => {
            const slider = document.querySelector("[name=t]")
            slider.value = 4
            slider.dispatchEvent(new Event("input"))
            await new Promise(requestAnimationFrame)
            window.answer(late, [])
        }""",
        late,
    )
    view.settle()


def test_play_waits_for_the_picture_and_queues_nothing(show: Make, film: dh.Multiscale) -> None:
    """Without answers it stays on its plane, however many frames a second are asked for."""
    view = show(film)
    view.control("t").press("Home")
    view.settle()
    view.control("fps").select_option("20")
    view.button("Play through time").press("Enter")
    view.page.wait_for_timeout(700)  # no message is carried meanwhile
    assert view.control("t").input_value() == "1"
    assert view.page.evaluate("() => window.outbox.length") <= 4
    view.until(lambda: view.control("t").input_value() == "3")


# --- along depth --------------------------------------------------------------------------------


@pytest.fixture
def steps(tmp_path: Path) -> dh.Multiscale:
    """Four planes; on each another quarter of the picture, from left to right, is bright."""
    pixels = np.zeros((4, 100, 200), "u1")
    for z in range(4):
        pixels[z, :, 50 * z : 50 * z + 50] = 60 * (z + 1)
    units = dict.fromkeys("zyx", "micrometer")
    about = {"version": "0.4", "axes": axes("zyx", **units), "datasets": scales((2, 0.5, 0.5))}
    write_v2(tmp_path / "image", [pixels], about, chunks=(1, 100, 200))
    return dh.open_multiscale(tmp_path / "image")


def test_a_maximum_projection_by_box_and_by_key(show: Make, steps: dh.Multiscale) -> None:
    view = show(steps)
    box, status = view.control("project"), view.root.locator(".ozv-status")
    quarters = [view.canvas.bounding_box()["width"] / 2 + 3.6 * x for x in (-75, -25, 25, 75)]
    assert sum(view.pixel(x, 180)[0] > 20 for x in quarters) == 1
    plane = view.picture()
    box.press("Space")
    wait_for_projection(view)
    assert [view.pixel(x, 180)[0] // 20 for x in quarters] == [4, 8, 12, 12]  # 180 is white
    assert status.inner_text().endswith("%: maximum over all 4 planes")
    assert last_look(view)["project"] == 1
    view.press("m")
    view.until(lambda: "maximum" not in status.inner_text())
    assert view.settle().picture() == plane and not box.is_checked()
    view.press("m")
    assert box.is_checked()
    view.control("z").press("Home")  # who turns to a plane wants to see it
    view.settle()
    assert not box.is_checked() and "maximum" not in status.inner_text()
    assert view.pixel(quarters[0], 180)[0] > 20 > view.pixel(quarters[3], 180)[0]


def wait_for_projection(view: ViewerPage) -> None:
    """Until the projection is drawn; all planes are read for it."""
    status = view.root.locator(".ozv-status")
    view.until(lambda: "maximum over" in status.inner_text(), 60)
    view.until(lambda: view.root.get_attribute("data-state") == "ready", 60)


def test_a_projection_is_made_at_an_affordable_level_and_hides_labels(
    show: Make, cells: dh.Multiscale, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("data_helpers.viewer.stack.CHUNKS", 514)
    monkeypatch.setattr("data_helpers.viewer.stack.BYTES", 20_000_000)
    view = show(cells, labels=True)
    view.press("+", "+", "m")
    status = view.root.locator(".ozv-status")
    wait_for_projection(view)
    assert "Showing level 1 of 3" in status.inner_text()
    assert status.inner_text().endswith(
        "maximum over all 257 planes, since a finer level is too large to project, labels hidden"
    )
    assert last_look(view)["labels"] is False
    view.press("Enter")
    picked = view.root.locator(".ozv-picked")
    view.until(lambda: "level 1: maximum over z: LaminB1" in picked.inner_text())
    view.button("Copy as code what opens this view").click()
    assert "'project'" not in view.control("code").input_value()
    assert '"project": True' in view.control("code").input_value()


def test_side_views_follow_the_point_and_the_plane(show: Make, steps: dh.Multiscale) -> None:
    view = show(steps)
    sides = view.root.get_by_role("group", name="side views")
    assert not sides.is_visible()
    view.press("s")
    ready = partial(view.root.get_attribute, "data-sides")
    view.until(lambda: ready() == "ready")
    assert view.control("sides").is_checked() and sides.is_visible()
    xz, yz = (sides.get_by_role("img").nth(n) for n in (0, 1))
    box, other = xz.bounding_box(), yz.bounding_box()
    assert box["width"] / box["height"] == pytest.approx(200 / 16, rel=0.05)  # 2 µm deep, 0.5 wide
    assert other["height"] / other["width"] == pytest.approx(100 / 16, rel=0.05)
    assert (xz.get_attribute("aria-label") or "").startswith("Side view xz through y 50; lines")
    assert "Level 0, all 4 planes." in sides.inner_text()
    view.settle()
    bright = """(canvas, [x, y]) => canvas.getContext("2d").getImageData(
        x * canvas.width, y * canvas.height, 1, 1).data[0]"""
    assert [xz.evaluate(bright, [0.14 + 0.25 * n, 0.2 + 0.25 * n]) > 60 for n in range(4)] == [
        True
    ] * 4
    assert xz.evaluate(bright, [0.14, 0.7]) < 20

    before = view.picture()
    view.page.mouse.click(box["x"] + box["width"] * 0.2, box["y"] + 2)  # the first plane
    view.until(lambda: "plane z 0" in (xz.get_attribute("aria-label") or ""))
    view.until(lambda: ready() == "ready" and "yz through x 40" in sides.inner_text())
    assert view.control("z").input_value() == "0"
    assert view.settle().picture() != before
    view.control("z").press("End")
    view.until(lambda: "plane z 3" in (xz.get_attribute("aria-label") or ""))
    assert "yz through x 40" in sides.inner_text()  # the point stays
    view.control("sides").press("Space")
    assert not sides.is_visible()


def test_side_views_take_an_affordable_level_and_say_when_voxels_are_cubes(
    show: Make, cells: dh.Multiscale, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("data_helpers.viewer.stack.BYTES", 20_000_000)
    view = show(cells, start={"sides": True})
    sides = view.root.get_by_role("group", name="side views")
    view.until(lambda: view.root.get_attribute("data-sides") == "ready", 60)
    assert "Level 1, all 257 planes." in sides.inner_text()
    assert "Voxels are drawn as cubes: the metadata hold no scale." in sides.inner_text()


# --- keep and share -----------------------------------------------------------------------------


@pytest.mark.parametrize("projected", [False, True])
def test_copied_code_opens_the_same_view(
    show: Make, cells: dh.Multiscale, page: Page, projected: bool
) -> None:
    view = show(cells, labels=True)
    view.press(*["+"] * 3, "ArrowRight")
    view.control("z").press("PageUp")
    view.control("c", 1).press("Space")
    view.control("gamma", 0).press("ArrowRight")
    view.control("color", 0).fill("#ff8000")
    if projected:
        view.press("m")
        wait_for_projection(view)
    view.settle()
    before, look = view.picture(), last_look(view)
    view.button("Copy as code what opens this view").click()
    code = view.control("code").input_value()
    assert code.startswith("view(open_multiscale(6001247), labels=")
    names = {"view": partial(dh.view, height=360), "open_multiscale": dh.open_multiscale}
    again = eval(code, names)
    view.page.evaluate("() => window.end()")
    second = ViewerPage(page, again).settle()
    assert last_look(second) == look
    assert second.root.get_attribute("data-centre") == view.root.get_attribute("data-centre")
    assert second.picture() == before
    assert not second.control("c", 1).is_checked()


def test_a_saved_picture_has_a_bar_and_says_what_it_is(
    show: Make, cells: dh.Multiscale, tmp_path: Path
) -> None:
    view = show(cells)
    with view.page.expect_download() as waiting:
        view.button("Save picture: what is in view, as a PNG file").click()
    assert waiting.value.suggested_filename == "IDR_6001247_synthetic_stand_in_.png"
    waiting.value.save_as(tmp_path / "saved.png")
    saved = np.asarray(PIL.Image.open(tmp_path / "saved.png").convert("L"))
    size = view.canvas.bounding_box()
    assert saved.shape[1] == size["width"] and saved.shape[0] > size["height"] + 50
    assert saved[int(size["height"]) :].max() > 200  # words below the picture
    assert "Synthetic" in view.viewer.facts["credit"][0]


def test_a_link_opens_neuroglancer_at_the_same_place(show: Make, cells: dh.Multiscale) -> None:
    view = show(cells, labels=True)
    view.press(*["+"] * 3)
    view.control("c", 1).press("Space")
    view.control("gamma", 0).press("Home")
    view.settle()
    view.button("Neuroglancer: make a link to this view").click()
    link = view.root.get_by_role("link", name="Open this view in Neuroglancer")
    view.until(link.is_visible)
    state = json.loads(unquote((link.get_attribute("href") or "").split("#!")[1]))
    zoom = 1 / state["crossSectionScale"]
    assert f"at {zoom * 100:.3g} %" in view.root.locator(".ozv-status").inner_text()
    assert [layer["visible"] for layer in state["layers"]] == [True, False, True]
    assert "pow(window(), 0.2)" in state["layers"][0]["shader"]
    assert state["layers"][2]["source"].endswith("6001247.zarr/labels/0")
    assert state["layers"][0]["shaderControls"]["color"] == "#0000FF"
    assert "real pixels" in view.root.locator(".ozv-told").inner_text()


def test_full_screen_and_back(show: Make, cells: dh.Multiscale) -> None:
    view = show(cells)
    height = view.canvas.bounding_box()["height"]
    view.button("Full screen (key f)").click()
    view.until(lambda: view.page.evaluate("() => document.fullscreenElement?.className") == "ozv")
    view.until(lambda: view.canvas.bounding_box()["height"] > height + 50)
    view.settle()
    view.press("f")
    view.until(lambda: view.page.evaluate("() => document.fullscreenElement") is None)
    view.until(lambda: view.canvas.bounding_box()["height"] == height)
