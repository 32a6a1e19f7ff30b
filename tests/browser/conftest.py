"""Fixtures of the tests in a real browser: Chromium, pages, and screenshots of what failed.

All time-outs are in milliseconds, as Playwright wants them. BROWSER_PATIENCE=3 makes every one of
them three times as long, for a busy computer.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Error,
    Page,
    sync_playwright,
)
from xdist.scheduler import LoadScopeScheduling

from run import find_chromium

from .lab import Lab, Notebook

SCREENSHOTS = Path(__file__).parent / "screenshots"
PATIENCE = float(os.environ.get("BROWSER_PATIENCE", "1"))
WIDE, NARROW = {"width": 1400, "height": 900}, {"width": 1024, "height": 768}
FLAGS = (  # no call home, no first-run pages; in a container Chromium cannot make its own sandbox
    "--no-sandbox --disable-quic --disable-background-networking --disable-component-update "
    "--disable-sync --no-first-run --no-default-browser-check --disable-extensions"
).split()


def ms(seconds: float) -> float:
    """Milliseconds, as Playwright counts time, stretched by BROWSER_PATIENCE."""
    return 1000 * seconds * PATIENCE


# Seconds of the groups that take longest, on two quiet cores: they begin first, so that no process
# is left with a long one at the end. They mostly wait (for servers that are slow on purpose), but
# for the site, which keeps a core busy meanwhile.
SECONDS = {
    "tests/browser/test_site.py": 50,
    "solutions/03_segment_in_parallel.ipynb": 45,
    "05_what_makes_reading_fast.ipynb": 32,
    "tests/browser/test_viewer.py": 30,
    "solutions/06_from_laptop_to_cluster.ipynb": 40,
    "06_from_laptop_to_cluster.ipynb": 45,
    "solutions/09_hand_over.ipynb": 40,
    "09_hand_over.ipynb": 40,
    "03_segment_in_parallel.ipynb": 24,
    "solutions/05_what_makes_reading_fast.ipynb": 24,
    "04_overlay_labels.ipynb": 21,
    "solutions/08_make_and_publish.ipynb": 35,
    "08_make_and_publish.ipynb": 40,
}


def group(name: str) -> str:
    """What a test shares with others: its notebook, if it names one, or else its file."""
    notebook = re.search(r"\[([\w/]+\.ipynb)\]", name)
    return notebook[1] if notebook else name.split("::")[0]


class TogetherIfShared(LoadScopeScheduling):
    """Tests that share a notebook or a file stay in one process, so it is opened and run once.

    (xdist_group would say the same, but xdist 3.8 does not find it with pytest 9.1 or newer.)
    """

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> TogetherIfShared:
    config.option.loadscopereorder = False  # the order below, not the most tests first
    return TogetherIfShared(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder, and put those that share something open in a row.

    The tests that type into a notebook come last of its group, and the longest group comes first.
    """
    ours = {item for item in items if Path(__file__).parent in item.path.parents}
    for item in ours:
        item.add_marker("browser")

    def place(item: pytest.Item) -> tuple[float, str, bool]:
        if item not in ours:
            return -1000, "", False
        name = group(item.nodeid)
        return -SECONDS.get(name, 0), name, "test_exercises" in item.nodeid

    items.sort(key=place)


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of the Chromium or Chrome of this computer."""
    found = find_chromium()
    if not found:
        pytest.skip(
            "NOT CHECKED: no Chromium found (install chromium, or set CHROMIUM to its path)"
        )
    return found


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Browser]:
    """A running Chromium, one for each pytest process."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=FLAGS, timeout=ms(60))
        yield running
        running.close()


@pytest.fixture(scope="session")
def screenshots() -> Path:
    """Folder for screenshots; git ignores it and CI keeps it."""
    SCREENSHOTS.mkdir(exist_ok=True)
    return SCREENSHOTS


def new_context(browser: Browser, **options: Any) -> BrowserContext:
    """A fresh profile, 1400 px wide unless told, whose every wait ends."""
    context = browser.new_context(**{"viewport": WIDE, **options})
    context.set_default_timeout(ms(30))
    context.set_default_navigation_timeout(ms(60))
    return context


class Errors(list[str]):
    """Every JavaScript error and console error of a page, from now until it is left."""

    def __init__(self, page: Page) -> None:
        super().__init__()
        self.page = page
        self.listeners: dict[Any, Callable[[Any], None]] = {
            "pageerror": lambda error: self.append(f"uncaught: {error}"),
            "console": self.note,
            "crash": lambda _: self.append("the page crashed"),
        }
        for event, listener in self.listeners.items():
            page.on(event, listener)

    def note(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.append(f"{message.text} ({message.location.get('url', '')})")

    def stop(self) -> None:
        """Listen no more: what the page says from now on is no matter of the test."""
        self.page.evaluate("0")  # the answer comes after all that was said before
        for event, listener in self.listeners.items():
            self.page.remove_listener(event, listener)

    def leave(self) -> None:
        """Leave what is open for an empty page.

        What it has said until now counts. What it says while it is taken down does not: that a
        request is broken off, or that an answer comes too late, is no fault of it.
        """
        self.stop()
        self.page.goto("about:blank")


def watch(page: Page) -> Errors:
    """A list that gets every JavaScript error and console error of this page from now on."""
    return Errors(page)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """An empty page of its own for one test."""
    context = new_context(browser)
    yield context.new_page()
    context.close()


@pytest.fixture
def errors(page: Page) -> list[str]:
    """Console errors of `page` so far: assert that there are none at the end of a test."""
    return watch(page)


class Opened:
    """The JupyterLab page of this pytest process, and the one notebook that is open in it."""

    def __init__(self, lab: Lab, browser: Browser) -> None:
        self.lab, self.browser = lab, browser
        self.notebook: Notebook | None = None
        self.errors: Errors
        self.page: Page | None = None

    def run(self, name: str) -> Notebook:
        """A notebook in which Run All has been chosen; the one that is open if it is that one."""
        if not (self.notebook and self.notebook.name == name):
            self.open(name).run_all()
        assert self.notebook
        return self.notebook

    def open(self, name: str) -> Notebook:
        """A notebook just opened, in a 1400 px window; what was open before is closed.

        JupyterLab starts in a folder, as for a learner. For a moment it asks for the pictures of a
        text cell beside the page's own address, and in a folder it finds something there.
        """
        if self.page is None:
            self.page = new_context(self.browser).new_page()
            self.page.goto(f"{self.lab.url}/lab/tree/notebooks/solutions", timeout=ms(120))
            self.page.wait_for_function("() => window.jupyterapp", timeout=ms(60))
            self.page.evaluate("() => window.jupyterapp.restored")
        self.close()
        self.page.set_viewport_size(WIDE)
        self.errors = watch(self.page)
        self.notebook = Notebook(self.page, name, PATIENCE)
        return self.notebook

    def close(self) -> None:
        """Close the notebook that is open, so that the next test has it fresh.

        JupyterLab may complain of what it still wanted of the kernel that ends: that counts for
        neither notebook.
        """
        if self.notebook:
            self.errors.stop()
            self.notebook.close()
        self.notebook = None


@pytest.fixture(scope="session")
def lab(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    """JupyterLab with a copy of the notebooks, open in a page."""
    server = Lab(tmp_path_factory.mktemp("lab"), PATIENCE)
    yield Opened(server, browser)
    server.stop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: Any, call: Any) -> Iterator[None]:
    """Keep a picture of every open page when a test fails."""
    report = yield
    browser = getattr(item, "funcargs", {}).get("browser")
    if report.failed and browser:
        SCREENSHOTS.mkdir(exist_ok=True)
        name = "FAILED_" + re.sub(r"\W+", "_", item.name).strip("_")
        pages = [page for context in browser.contexts for page in context.pages]
        for number, page in enumerate(pages):
            try:
                page.screenshot(path=SCREENSHOTS / f"{name}_{number}.png", timeout=ms(10))
            except Error as error:  # a crashed page has no picture; the test's own failure counts
                report.sections.append(("screenshot", str(error)))
    return report
