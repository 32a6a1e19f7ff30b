"""A web site of another origin than the server of the images, with zarrita and ome-zarr.js."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page

from ..conftest import ms, new_context
from .npm import HERE, install


class Quiet(SimpleHTTPRequestHandler):
    extensions_map = SimpleHTTPRequestHandler.extensions_map | {".js": "text/javascript"}

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """A web site on a port of its own, so another origin than the stand-in."""
    install()
    pages = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(HERE)))
    threading.Thread(target=pages.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{pages.server_port}"
    pages.shutdown()
    pages.server_close()


@pytest.fixture(scope="module")
def viewer_page(browser: Browser, site: str) -> Iterator[Page]:
    """The page of that site, with zarrita and ome-zarr.js loaded."""
    context = new_context(browser)
    page = context.new_page()
    page.goto(f"{site}/wire.html", timeout=ms(30))
    page.wait_for_function("() => window.wire", timeout=ms(30))
    yield page
    context.close()


def call(page: Page, function: str, *arguments: Any) -> dict[str, Any]:
    """Call a function of wire.js; arrays arrive as NumPy arrays."""
    found = page.evaluate("([name, ...rest]) => window.wire[name](...rest)", [function, *arguments])
    if "pixels" in found:
        dtype = np.dtype(found.get("dtype", "uint8"))
        pixels = np.frombuffer(base64.b64decode(found["pixels"]), dtype)
        found["pixels"] = pixels.reshape(found["shape"])
    return dict(found)
