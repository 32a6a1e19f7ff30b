"""The built site in a browser: readable by everybody, in light and dark, at 400 % zoom, on its own.

The site is served on loopback, and each page is visited once: what the tests assert about all pages
is noted down during that visit. The rules of accessibility are those of axe-core; no rule is
switched off. In the dark, only the rules about colours run again, since nothing else changes, and
what frames all pages alike is looked at on the start page only.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import ms, new_context, watch
from tests.browser.wire.npm import install
from tools import build_site

# One process builds and visits the pages for all tests; the first test takes that time.
pytestmark = pytest.mark.timeout(300)

NOTEBOOK = "notebooks/03_segment_in_parallel.html"
SOLUTION = "notebooks/solutions/03_segment_in_parallel.html"
SMALL = {"width": 320, "height": 256}  # what is left of 1280 by 1024 at 400 %
COLOURS = ["color-contrast", "link-in-text-block"]
SCROLLING = ["scrollable-region-focusable", "button-name", "link-name"]
# Code has thousands of coloured words: of words alike in kind and place, one keeps its colour.
LEAVE_OUT_REPEATED_WORDS = """() => {
  const seen = new Set();
  for (const word of document.querySelectorAll("pre span[class]")) {
    const place = word.closest(".cell_input, .cell_output, details, article");
    const box = word.closest("[class*=highlight], .output");
    const key = [word, word.parentElement, box, place].map((e) => e && e.className).join("|");
    if (seen.has(key)) word.replaceWith(word.textContent);
    seen.add(key);
  }
}"""
RUN_AXE = """async ([rules, part]) => {
  const options = rules.length ? { runOnly: rules } : {};
  const found = await axe.run(part || document, { resultTypes: ["violations"], ...options });
  return found.violations
    .filter((rule) => ["serious", "critical"].includes(rule.impact))
    .map((rule) => `${rule.id}: ${rule.nodes.map((node) => node.target.join(" ")).join(", ")}`);
}"""


@pytest.fixture(scope="session")
def site(browser: Browser) -> Path:
    """Folder of the built site; the test command has just made it, else it is made now."""
    if not build_site.is_fresh():
        command = [sys.executable, build_site.__file__]
        done = subprocess.run(command, capture_output=True, text=True, timeout=280)
        assert done.returncode == 0, done.stderr
    return build_site.OUTPUT


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Say nothing: the tests' report is long enough."""


@pytest.fixture(scope="session")
def address(site: Path) -> Iterator[str]:
    """Where the site is served."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="session")
def axe() -> str:
    """The program that looks for barriers."""
    return (install() / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


@dataclass
class Visit:
    """What was noted on one page."""

    light: list[str]
    dark: list[str]
    small: list[str]
    width: int
    lost: list[str]
    links: list[str]
    line: str


@dataclass
class Visits:
    """What was noted on all pages."""

    pages: dict[str, Visit]
    errors: list[str]
    requests: list[str]

    def wrong(self, kind: str) -> dict[str, Any]:
        """Pages where a list of problems is not empty."""
        return {name: found for name, v in self.pages.items() if (found := getattr(v, kind))}


def visit(page: Page, url: str, axe: str) -> Visit:
    page.set_viewport_size({"width": 1280, "height": 1024})
    page.goto(url, wait_until="load")
    page.evaluate(axe + "; 0")
    page.evaluate(LEAVE_OUT_REPEATED_WORDS)
    light = page.evaluate(RUN_AXE, [[], ""])
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    part = "" if url.endswith("/index.html") else "#main-content"
    dark = page.evaluate(RUN_AXE, [COLOURS, part])
    page.set_viewport_size(SMALL)
    page.evaluate("() => new Promise((r) => requestAnimationFrame(() => setTimeout(r, 50)))")
    return Visit(
        light=light,
        dark=dark,
        small=page.evaluate(RUN_AXE, [SCROLLING, ""]),
        width=page.evaluate("document.documentElement.scrollWidth"),
        lost=page.evaluate(
            "[...document.images].filter((i) => i.complete && !i.naturalWidth).map((i) => i.src)"
        ),
        links=page.locator(".page-links a").evaluate_all("all => all.map((a) => a.href)"),
        line=" ".join(page.locator(".page-links").all_inner_texts()),
    )


@pytest.fixture(scope="session")
def visits(browser: Browser, site: Path, address: str, axe: str) -> Visits:
    """Visit every page once."""
    names = [path.relative_to(site).as_posix() for path in site.rglob("*.html")]
    names = sorted(name for name in names if not name.startswith("_static/"))
    context = new_context(browser, reduced_motion="reduce", color_scheme="light")
    page = context.new_page()
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    pages, errors = {}, []
    for name in names:
        said = watch(page)
        pages[name] = visit(page, address + name, axe)
        said.leave()
        errors += said
    context.close()
    return Visits(pages, errors, requests)


# --- every page -----------------------------------------------------------------------------


def test_every_notebook_and_note_is_a_page(visits: Visits) -> None:
    paths = [str(build_site.site_path(page)) for page in build_site.pages()]
    assert {str(Path(path).with_suffix(".html").as_posix()) for path in paths} <= set(visits.pages)


@pytest.mark.parametrize("kind", ["light", "dark", "small"])
def test_no_serious_barrier_on_any_page(visits: Visits, kind: str) -> None:
    assert visits.wrong(kind) == {}


def test_no_page_is_wider_than_a_window_at_400_percent(visits: Visits) -> None:
    assert {name: v.width for name, v in visits.pages.items() if v.width > SMALL["width"]} == {}


def test_every_picture_is_there(visits: Visits) -> None:
    assert visits.wrong("lost") == {}


def test_nothing_is_loaded_from_elsewhere_and_no_script_fails(visits: Visits, address: str) -> None:
    own = (address, "data:", "blob:")
    assert [url for url in visits.requests if not url.startswith(own)] == []
    assert len(visits.requests) > 100
    assert visits.errors == []


def test_every_page_links_to_binder_colab_and_its_source(visits: Visits) -> None:
    made_by_sphinx = {"genindex.html", "search.html"}
    for name, noted in visits.pages.items():
        if name not in made_by_sphinx:
            hosts = " ".join(noted.links)
            assert "//mybinder.org/" in hosts and "//colab.research.google.com/" in hosts, name
            assert f"{build_site.ADDRESS}/blob/HEAD/" in hosts, name
        if name.startswith("notebooks/"):
            assert "Pictures: " in noted.line, name


def test_barriers_are_noticed(page: Page, address: str, axe: str) -> None:
    """Break a page in three ways: axe-core says so, also in code of which words were left out."""
    page.goto(address + NOTEBOOK)
    page.add_style_tag(content=".highlight .k, .highlight .kn { color: #ddd !important }")
    page.evaluate("document.querySelector('article').append(document.createElement('button'))")
    page.evaluate("document.querySelector('article img').removeAttribute('alt')")
    page.evaluate(axe + "; 0")
    page.evaluate(LEAVE_OUT_REPEATED_WORDS)
    found = [line.split(":")[0] for line in page.evaluate(RUN_AXE, [[], ""])]
    assert found == ["button-name", "color-contrast", "image-alt"]


# --- using it -------------------------------------------------------------------------------


def background(page: Page) -> str:
    return page.evaluate("getComputedStyle(document.body).backgroundColor")


def test_search_finds_chunk(page: Page, errors: list[str], address: str) -> None:
    page.goto(address)
    page.keyboard.press("Control+k")
    page.keyboard.type("chunk")
    page.keyboard.press("Enter")
    results = page.locator("ul.search li a")
    expect(results.filter(has_text="Open a cloud image").first).to_be_visible(timeout=ms(20))
    expect(results.filter(has_text="Glossary").first).to_be_visible()
    assert errors == []


def test_dark_mode_can_be_switched_on_and_stays_on(page: Page, address: str) -> None:
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    page.goto(address)
    light = background(page)
    page.get_by_role("button", name="Color mode").first.click()
    page.get_by_text("Dark", exact=True).first.click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    dark = background(page)
    assert dark != light
    page.goto(address + NOTEBOOK)
    assert background(page) == dark


def test_a_hint_opens_with_the_keyboard(page: Page, address: str, screenshots: Path) -> None:
    page.goto(address + NOTEBOOK)
    hint = page.locator("article details", has=page.locator("summary", has_text="Hint")).first
    text = hint.locator("p, code").first
    expect(text).to_be_hidden()
    hint.locator("summary").focus()
    page.keyboard.press("Enter")
    expect(text).to_be_visible()
    page.screenshot(path=screenshots / "site_hint.png")


def test_the_code_of_a_solution_is_behind_a_click(
    page: Page, address: str, screenshots: Path
) -> None:
    page.goto(address + SOLUTION)
    solution = page.locator("article details", has_text="the solution of this step").first
    expect(solution.locator("pre")).to_be_hidden()
    solution.locator("summary").click()
    expect(solution.locator("pre")).to_contain_text("middle_t")
    page.screenshot(path=screenshots / "site_solution.png")


def test_the_navigation_can_be_reached_at_400_percent(
    browser: Browser, address: str, screenshots: Path
) -> None:
    context = new_context(browser, viewport=SMALL, reduced_motion="reduce")
    page = context.new_page()
    page.goto(address)
    page.screenshot(path=screenshots / "site_400_percent.png")
    link = page.locator(".bd-sidebar-primary a", has_text="Segment planes").first
    expect(link).not_to_be_in_viewport()
    page.locator("button.primary-toggle:visible").first.focus()
    page.keyboard.press("Enter")
    link.scroll_into_view_if_needed()
    link.click()
    expect(page.locator("h1").filter(visible=True)).to_contain_text("Segment planes")
    context.close()


# --- the viewer without a kernel --------------------------------------------------------------

PICTURE = """(root) => {
  const small = new OffscreenCanvas(60, 40).getContext("2d");
  small.drawImage(root.querySelector("canvas"), 0, 0, 60, 40);
  return small.getImageData(0, 0, 60, 40).data.join();
}"""


class SiteViewer:
    """A viewer of the page try.html."""

    def __init__(self, page: Page, name: str) -> None:
        self.page, self.root = page, page.locator(f".site-viewer[data-image='tiles/{name}']")
        self.canvas = self.root.locator("canvas")

    def picture(self) -> str:
        """What is seen, once every tile of it has come."""
        frames = "new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(r)))"
        self.page.evaluate(f"() => {frames}")
        expect(self.root).to_have_attribute("data-state", "ready", timeout=ms(20))
        return self.root.evaluate(PICTURE)

    def data(self, name: str) -> float:
        return float(self.root.get_attribute(f"data-{name}") or "nan")

    def changed_by(self, action: Any) -> None:
        before = self.picture()
        action()
        assert self.picture() != before


def test_the_pyramid_is_zoomed_and_moved(
    page: Page, errors: list[str], address: str, screenshots: Path
) -> None:
    page.goto(address + "try.html")
    view = SiteViewer(page, "organoid")
    whole, level, received = view.picture(), view.data("level"), view.data("received")
    expect(view.root).to_contain_text("synthetic stand-in")
    expect(view.root.get_by_role("application", name="IDR 9822152")).to_be_visible()
    view.canvas.focus()
    view.changed_by(lambda: [page.keyboard.press("+") for _ in range(3)])
    assert view.data("level") < level and view.data("received") > received
    x, y = view.data("x"), view.data("y")
    view.changed_by(lambda: page.keyboard.press("ArrowRight"))
    view.changed_by(lambda: page.keyboard.press("ArrowUp"))
    assert view.data("x") > x and view.data("y") < y
    box = view.canvas.bounding_box()
    assert box
    page.mouse.move(box["x"] + 200, box["y"] + 200)
    view.changed_by(lambda: page.mouse.wheel(0, 200))
    x = view.data("x")
    page.mouse.down()
    page.mouse.move(box["x"] + 120, box["y"] + 200, steps=3)
    page.mouse.up()
    view.picture()
    assert view.data("x") > x
    page.screenshot(path=screenshots / "site_viewer.png")
    page.keyboard.press("0")
    assert view.picture() == whole
    view.changed_by(lambda: view.root.get_by_role("button", name="Zoom in").press("Enter"))
    view.root.get_by_role("button", name="Show all").click()
    assert view.picture() == whole
    assert errors == []


def test_the_wheel_scrolls_the_page_until_the_picture_is_clicked(page: Page, address: str) -> None:
    page.goto(address + "try.html")
    view = SiteViewer(page, "organoid")
    whole = view.picture()
    view.canvas.hover()
    page.mouse.wheel(0, 300)
    page.wait_for_function("() => scrollY > 0")
    assert view.picture() == whole


def test_the_stack_has_depth_and_channels(page: Page, errors: list[str], address: str) -> None:
    page.goto(address + "try.html")
    view = SiteViewer(page, "blastocyst")
    both, slider = view.picture(), view.root.get_by_role("slider", name="Depth (z)")
    view.changed_by(lambda: slider.press("ArrowRight"))
    expect(slider).to_have_attribute("aria-valuetext", "plane 136")
    slider.press("ArrowLeft")
    assert view.picture() == both
    view.changed_by(lambda: view.root.get_by_role("checkbox", name="LaminB1").press("Space"))
    values = list(map(int, view.picture().split(",")))
    assert max(values[1::4]) > 100 and max(values[0::4]) < max(values[1::4]) / 2, "DAPI is green"
    view.changed_by(lambda: view.root.get_by_role("checkbox", name="DAPI").press("Space"))
    assert set(view.picture().split(",")) == {"0", "255"}, "black, and nothing seen through"
    assert errors == []


def test_the_viewer_says_what_it_lacks(page: Page, site: Path, address: str) -> None:
    page.goto((site / "try.html").as_uri())
    expect(page.locator(".site-viewer").first).to_contain_text("needs a web server")
    page.route("**/image.json", lambda route: route.fulfill(status=503))
    page.goto(address + "try.html")
    expect(page.locator(".site-viewer").first).to_contain_text("the server answered 503")


def test_the_viewer_and_the_first_page_stay_small(site: Path) -> None:
    tiles = [path.stat().st_size for path in (site / "tiles").rglob("*") if path.is_file()]
    assert 100 < len(tiles) and sum(tiles) < 3_000_000
    program = (site / "_static" / "site_viewer.js").read_text(encoding="utf-8")
    assert len(program.splitlines()) < 200
