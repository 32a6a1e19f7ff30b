"""Each control of the viewer, in Chromium but without JupyterLab: see support/viewer_page.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Page
from support.viewer_page import HOST, ViewerPage, serve_parts

import data_helpers as dh
from data_helpers.viewer import page_source

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


@pytest.mark.parametrize("part", page_source.PARTS)
def test_each_part_loads_by_itself(page: Page, errors: list[str], part: str) -> None:
    serve_parts(page)
    names = page.evaluate(f"async () => Object.keys(await import('{HOST}/{part}.js'))")
    assert names
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
