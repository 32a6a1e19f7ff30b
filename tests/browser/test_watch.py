"""What a page says in the console: heard while it is open, and no more when it is left."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from playwright.sync_api import Page

from .conftest import Errors, watch

FAULTS = {
    "a script fails": ("null.field", "uncaught: Cannot read properties of null"),
    "a promise fails": ("Promise.reject(new Error('no chunk'))", "uncaught: no chunk"),
    "the console is told": ("console.error('no level')", "no level ("),
    "something is missing": (
        "document.body.append(new Image()); document.body.lastChild.src = '/missing.png'",
        "status of 404",
    ),
}
# It complains while it is taken down, like a viewer of which the requests are broken off.
COMPLAINS = """<link rel="icon" href="data:,"><body><script>
  fetch("/slow").catch((reason) => console.error(reason))
  addEventListener("beforeunload", () => { console.error("broken off"); null.field })
</script>"""


class Site(BaseHTTPRequestHandler):
    """`/` is a page, `/slow` is answered late, and nothing else is there."""

    def do_GET(self) -> None:
        if self.path == "/slow":
            time.sleep(1)
        with contextlib.suppress(ConnectionError):  # nobody may wait for the answer any more
            self.send_response(200 if self.path in ("/", "/slow") else 404)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(COMPLAINS.encode() if self.path == "/" else b"")

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def test_what_a_page_says_while_it_is_left_does_not_count(page: Page, address: str) -> None:
    page.goto(address)
    everything: list[str] = []
    page.on("console", lambda message: everything.append(message.text))
    errors = watch(page)
    errors.leave()
    assert page.url == "about:blank"
    assert everything == ["broken off"], "the page does complain"
    assert errors == []


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_an_open_page_counts(
    page: Page, errors: Errors, address: str, fault: str
) -> None:
    script, words = FAULTS[fault]
    page.goto(address)
    page.evaluate("(script) => { setTimeout(script) }", script)
    deadline = time.monotonic() + 10
    while not errors and time.monotonic() < deadline:
        page.wait_for_timeout(20)
    assert len(errors) == 1 and words in errors[0]


def test_what_was_said_before_the_page_is_left_counts(page: Page, address: str) -> None:
    page.goto(address)
    errors = watch(page)
    page.evaluate("() => { console.error('last words') }")
    errors.leave()
    assert len(errors) == 1 and errors[0].startswith("last words (")
