"""The stand-in as a page of another origin sees it: what Vizarr and its kin are built on reads it.

zarrita and ome-zarr.js come from npm, Neuroglancer's client from its Python package. Nothing here
asks for anything outside this computer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from queue import SimpleQueue
from typing import Any
from urllib.parse import urlsplit

import neuroglancer
import numpy as np
import pytest
from playwright.sync_api import Browser, Error, Page

from data_helpers import Multiscale, open_multiscale, viewer_links
from data_helpers.offline import server
from data_helpers.offline.catalogue import build_catalogue

from ..conftest import FLAGS, ms, new_context, watch
from .conftest import call

pytestmark = pytest.mark.timeout(240)

V01, V04 = "zarr/v0.1", "zarr/v0.4"
BLASTOCYST = f"{V04}/idr0062A/6001247.zarr"
ORGANOID = f"{V04}/idr0083A/9822152.zarr"
# Where there is no graphics card, Chromium draws in software, if it is told that it may.
WEBGL = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]


# zarrita


@pytest.mark.parametrize(
    ("key", "path", "plane"),
    [
        (f"{V01}/6001247.zarr", "0", (0, 1, 128)),
        (BLASTOCYST, "1", (0, 0, 200)),
        (BLASTOCYST, "labels/0/1", (0, 0, 128)),
        (f"{V01}/9822152.zarr", "10", (0, 0, 0)),
        (ORGANOID, "9", (0, 0, 0)),  # stored big-endian
    ],
)
def test_zarrita_reads_the_same_pixels(offline, viewer_page, key, path, plane):
    image = open_multiscale(f"{offline}/idr/{key}")
    name, _, level = path.rpartition("/")
    expected = (image.label() if name else image).stored_level(level)[plane]
    assert expected.std() > 0
    found = call(viewer_page, "read", f"{image.url}/{path}", [*plane, None, None])
    np.testing.assert_array_equal(found["pixels"], expected)
    assert found["pixels"].dtype == expected.dtype.newbyteorder("=")


# ome-zarr.js


def colours(image: Multiscale, level: int, stretched: bool = False) -> np.ndarray:
    """The plane to show first, (y, x, rgb) from 0 to 1: each channel in its colour and window.

    Or stretched from its darkest to its brightest pixel, as ome-zarr.js does for a thumbnail.
    """
    picture = np.zeros((*image.stored[level].shape[-2:], 3))
    for number, channel in enumerate(image.channels):
        plane = image.stored[level][image.default("t"), number, image.default("z")]
        assert channel.window
        low, high = (plane.min(), plane.max()) if stretched else channel.window
        colour = np.frombuffer(bytes.fromhex(channel.color), "u1") / 255
        picture += np.clip((plane - low) / (high - low), 0, 1)[..., None] * colour
    return picture.clip(0, 1)


def likeness(found: np.ndarray, expected: np.ndarray) -> float:
    """Correlation of two pictures, over all pixels and colours."""
    assert expected.std() > 0.05
    return float(np.corrcoef(found.ravel(), expected.ravel())[0, 1])


@pytest.mark.parametrize(
    ("key", "size", "level"),
    [(f"{V01}/6001247.zarr", 300, 0), (BLASTOCYST, 300, 0), (ORGANOID, 100, 10)],
)
def test_ome_zarr_js_draws_the_image(offline, viewer_page, screenshots, key, size, level):
    image = open_multiscale(f"{offline}/idr/{key}")
    found = call(viewer_page, "draw", image.url, size)["pixels"]
    expected = colours(image, level, stretched=True)
    assert found.shape[:2] == expected.shape[:2]
    assert likeness(found[..., :3], expected) > 0.98
    name = key.replace("/", "_")
    viewer_page.locator("canvas").screenshot(path=screenshots / f"wire_ome_zarr_js_{name}.png")


# Cross-origin rules


class Forgetful(server.S3App):
    """The stand-in as many servers are: an answer that is an error lacks the CORS headers."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def with_headers(message: Any) -> None:
            if message["type"] == "http.response.start" and message["status"] < 400:
                message["headers"].append((b"access-control-allow-origin", b"*"))
            await send(message)

        await super().__call__(scope, receive, with_headers)


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(server, "CORS_HEADERS", {})
    running = server.OfflineThread(app=Forgetful(build_catalogue()))
    yield running.endpoint
    running.stop()


def test_a_page_sees_that_something_is_missing(offline, viewer_page):
    ask = partial(call, viewer_page, "ask")
    assert ask(f"{offline}/idr/missing")["status"] == 404
    assert ask(f"{offline}/other/missing")["status"] == 404
    assert ask(f"{offline}/idr/missing", {"method": "POST"})["status"] == 405
    chunk = f"{offline}/idr/{BLASTOCYST}/2/0/0/9/0/0"
    assert ask(chunk, {"headers": {"Range": "bytes=99999999-"}})["status"] == 416
    part = ask(chunk, {"headers": {"Range": "bytes=0-9"}})
    assert part["status"] == 206
    assert part["headers"]["content-range"].startswith("bytes 0-9/")
    assert {"etag", "content-length", "accept-ranges"} <= part["headers"].keys()


def test_without_the_header_missing_looks_like_a_broken_network(forgetful, viewer_page):
    """zarrita looks for Zarr 3 first: that this is missing must not be a failure."""
    ask = partial(call, viewer_page, "ask")
    assert ask(f"{forgetful}/idr/{BLASTOCYST}/.zattrs")["status"] == 200
    assert "Failed to fetch" in ask(f"{forgetful}/idr/missing")["failure"]
    with pytest.raises(Error, match="Failed to fetch"):
        call(viewer_page, "read", f"{forgetful}/idr/{BLASTOCYST}/2", [0, 0, 9, None, None])


# Neuroglancer


@pytest.fixture(scope="module")
def webgl(browser: Browser, chromium: str) -> Iterator[Browser]:
    """A Chromium that may draw with WebGL in software."""
    flags = [*FLAGS, *WEBGL]
    running = browser.browser_type.launch(executable_path=chromium, args=flags, timeout=ms(60))
    yield running
    running.close()


@pytest.fixture
def webgl_page(webgl: Browser) -> Iterator[Page]:
    """An empty page of that Chromium, for one test: nothing of another test is heard in it."""
    context = new_context(webgl, viewport={"width": 500, "height": 400})
    yield context.new_page()
    context.close()


@pytest.mark.parametrize(("key", "level"), [(BLASTOCYST, 0), (ORGANOID, 8)])
def test_neuroglancer_shows_what_the_link_says(offline, webgl_page, screenshots, key, level):
    """With the state of the link; its client needs nothing from elsewhere."""
    image = open_multiscale(f"{offline}/idr/{key}")
    title = key.replace("/", "_")
    state = neuroglancer.parse_url(viewer_links(image).links["neuroglancer"])
    state.layout, state.prefetch = "xy", False  # one plane, and no other beforehand
    state.show_axis_lines = state.show_scale_bar = state.show_default_annotations = False
    neuroglancer.set_server_bind_address("127.0.0.1")

    errors, asked = watch(webgl_page), []
    webgl_page.on("request", lambda request: asked.append(request.url))
    shot = when_drawn(state, webgl_page, 500, 360)
    webgl_page.screenshot(path=screenshots / f"wire_neuroglancer_{title}.png")
    errors.leave()  # it would go on drawing
    seen = shot.image_pixels[..., :3]
    expected = seen_at(colours(image, level), image, seen.shape[:2], state.cross_section_scale)
    assert likeness(seen, expected) > 0.95
    hosts = {urlsplit(url).hostname for url in asked if url.startswith("http")}
    assert hosts == {"127.0.0.1"} and any("/idr/" in url for url in asked)
    assert [url for url in asked if "/state/" in url] == [], "see when_drawn"
    assert [error for error in errors if not is_looked_for_in_vain(error)] == []


def when_drawn(state: Any, page: Page, width: int, height: int) -> Any:
    """Neuroglancer's own screenshot, which it takes when every chunk is drawn.

    Of two layers of the same image it often asks for the chunks of one only, until the view moves
    (seen in 2.40.1; a person zooms a little). So each second it gets a link to a view that is
    zoomed by a hair, and begins anew with the chunks that it has.

    The state is in the address only. One that Python holds as well is sent to and fro, and where
    both change it at once, on a busy computer, the page's is refused: "Failed to load resource",
    status 412.
    """
    viewer = neuroglancer.UnsynchronizedViewer()
    viewer.set_state(state)
    scale = state.cross_section_scale
    with viewer.config_state.txn() as config:
        config.show_ui_controls = config.show_panel_borders = False
        config.viewer_size = [width, height]
    page.goto(viewer.get_viewer_url(), timeout=ms(60))
    answers: SimpleQueue[Any] = SimpleQueue()
    viewer.async_screenshot(answers.put)
    for hair in [1.001, 1] * 30:
        for _ in range(10):
            page.wait_for_timeout(ms(0.1))  # meanwhile what the page says is heard
            if answers.empty():
                continue
            shot = answers.get().screenshot
            if (shot.width, shot.height) == (width, height):
                return shot
            viewer.async_screenshot(answers.put)  # it had not taken its size yet
        viewer.state.cross_section_scale = scale * hair
        page.evaluate("(link) => { location.href = link }", viewer.get_viewer_url())
    raise AssertionError("Neuroglancer has not drawn the image")


def seen_at(
    picture: np.ndarray, image: Multiscale, window: tuple[int, int], scale: float
) -> np.ndarray:
    """A level as a window of (height, width) shows it, centred; grey outside of the image."""
    rows, inside_y = seen_along(image.stored[0].shape[-2], picture.shape[0], window[0], scale)
    columns, inside_x = seen_along(image.stored[0].shape[-1], picture.shape[1], window[1], scale)
    inside = inside_y[:, None, None] & inside_x[None, :, None]
    return np.where(inside, picture[rows[:, None], columns], 0.5)


def seen_along(full: int, size: int, window: int, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """For each screen pixel along an axis the pixel of a level, and whether it is inside."""
    place = full / 2 + (np.arange(window) + 0.5 - window / 2) * scale
    inside = (place >= 0) & (place < full)
    return (place * size / full).astype(int).clip(0, size - 1), inside


def is_looked_for_in_vain(error: str) -> bool:
    """Whether the console tells of a document that Neuroglancer looks for but need not find."""
    missing = r"/\.zarray|/zarr\.json|/\d+/\.zattrs|/favicon\.ico"
    return "status of 404" in error and bool(re.search(rf"({missing})\)$", error))
