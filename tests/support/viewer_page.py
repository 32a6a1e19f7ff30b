"""The viewer in a page without JupyterLab: the test carries messages to the kernel's side and back.

The widget itself is the real one, and so are its JavaScript and style. Only the connection between
them is replaced.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any

from playwright.sync_api import Page

from data_helpers.viewer import page_source

HOST = "http://viewer.test"
HTML = """<!doctype html><html lang="en"><head><title>viewer</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>{style}
body {{ margin: 0; color: {ink}; background: {paper};
  --jp-content-font-color1: {ink}; --jp-content-font-color2: {ink}; --jp-layout-color1: {paper} }}
</style></head><body><main><h1>A page</h1><div id="cell"></div>
<div style="height: 2000px">below</div></main></body></html>"""
BEGIN = """async ([state, overview]) => {
    const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0))
    const from64 = (text) => new DataView(bytes(text).buffer)
    const listeners = new Map()
    const values = { ...state, overview: from64(overview) }
    window.outbox = []
    window.model = {
        get: (name) => values[name],
        set: (name, value) => { values[name] = value; window.outbox.push({ set: name, value }) },
        save_changes: () => {},
        on: (name, f) => listeners.set(name, [...(listeners.get(name) ?? []), f]),
        off: (name, f) => listeners.set(name, (listeners.get(name) ?? []).filter((g) => g !== f)),
        send: (message) => window.outbox.push({ message }),
    }
    const fire = (name, ...what) => { for (const f of listeners.get(name) ?? []) f(...what) }
    window.answer = (content, buffers) => fire("msg:custom", content, buffers.map(from64))
    window.change = (name, value) => { values[name] = value; fire(`change:${name}`) }
    const page = (await import("/joined.js")).default
    window.end = page.render({ model: window.model, el: document.getElementById("cell") })
}"""
STATE = ("facts", "chosen")
TAKE = "() => window.outbox.splice(0)"


def serve_parts(page: Page, dark: bool = False) -> None:
    """Let a page load the viewer's modules, each by itself or all as one."""
    colors = {"ink": "#eee", "paper": "#111"} if dark else {"ink": "#222", "paper": "#fff"}

    def give(route: Any) -> None:
        name = route.request.url.removeprefix(HOST + "/")
        if name == "joined.js":
            route.fulfill(body=page_source.script(), content_type="text/javascript")
        elif name.endswith(".js"):
            text = (page_source.FOLDER / name).read_text(encoding="utf-8")
            route.fulfill(body=text, content_type="text/javascript")
        else:
            html = HTML.format(style=page_source.style(), **colors)
            route.fulfill(body=html, content_type="text/html")

    page.unroute(f"{HOST}/**")
    page.route(f"{HOST}/**", give)
    page.goto(f"{HOST}/")


class ViewerPage:
    """A viewer on a page of its own."""

    def __init__(self, page: Page, viewer: Any, dark: bool = False) -> None:
        self.page, self.viewer, self.said = page, viewer, []
        self._answers: SimpleQueue[tuple[Any, list[bytes]]] = SimpleQueue()
        viewer.send = lambda content, buffers=None: self._answers.put((content, buffers or []))
        viewer.observe(self._changed)
        self._changes: SimpleQueue[tuple[str, Any]] = SimpleQueue()
        serve_parts(page, dark)
        state = json.loads(json.dumps({name: getattr(viewer, name) for name in STATE}))
        page.evaluate(BEGIN, [state, base64.b64encode(viewer.overview).decode()])
        self.root = page.locator("div.ozv")
        self.canvas = self.root.locator("canvas").first

    def _changed(self, change: Any) -> None:
        self._changes.put((change["name"], change["new"]))

    def carry(self) -> None:
        """Take messages to the kernel's side, and its answers to the page."""
        for item in self.page.evaluate(TAKE):
            if "set" in item:
                self.viewer.set_trait(item["set"], item["value"])
            else:
                self.said.append(item["message"])
                self.viewer._on_message(None, item["message"], [])
        while True:
            try:
                content, buffers = self._answers.get_nowait()
            except Empty:
                break
            encoded = [base64.b64encode(buffer).decode() for buffer in buffers]
            self.page.evaluate("([c, b]) => window.answer(c, b)", [content, encoded])
        while not self._changes.empty():
            self.page.evaluate("([n, v]) => window.change(n, v)", list(self._changes.get()))

    def until(self, holds: Callable[[], Any], seconds: float = 20) -> Any:
        """Carry messages until something holds."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.carry()
            if found := holds():
                return found
            time.sleep(0.02)
        raise AssertionError(f"not within {seconds} s; the page says: {self.root.inner_text()}")

    def settle(self) -> ViewerPage:
        """Until every tile in view is drawn."""
        quiet = 0.0

        def ready() -> bool:
            nonlocal quiet
            if self.root.get_attribute("data-state") != "ready":
                quiet = 0.0
            quiet = quiet or time.monotonic()
            return (
                self.root.get_attribute("data-state") == "ready" and time.monotonic() - quiet > 0.15
            )

        self.until(ready)
        return self

    def pixel(self, right: float, down: float) -> list[int]:
        """Red, green and blue of the picture at a screen pixel."""
        script = """(canvas, [x, y]) => Array.from(
            canvas.getContext("2d").getImageData(x, y, 1, 1).data.slice(0, 3))"""
        return self.canvas.evaluate(script, [right, down])

    def picture(self) -> str:
        """All pixels of the picture, to compare."""
        return self.canvas.evaluate("(canvas) => canvas.toDataURL()")

    def press(self, *keys: str) -> None:
        """Press keys on the picture."""
        self.canvas.focus()
        for key in keys:
            self.page.keyboard.press(key)

    def control(self, name: str, channel: int | None = None) -> Any:
        """A control by its name."""
        of = "" if channel is None else f"[data-channel='{channel}']"
        return self.root.locator(f"[name={name}]{of}")

    def button(self, name: str) -> Any:
        """A button by the name that is read aloud."""
        return self.root.get_by_role("button", name=name, exact=True)
