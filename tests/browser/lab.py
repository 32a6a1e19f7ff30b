"""JupyterLab as a learner meets it: a server, and a notebook open in a browser page."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nbformat
from playwright.sync_api import Locator, Page, TimeoutError

ROOT = Path(__file__).resolve().parents[2]
# Every cell is part of the page (else only those near the window are), and no pop-up with news.
SETTINGS = {
    "notebook-extension/tracker": {"windowingMode": "none"},
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}
CELLS = """() => {
    const panel = window.jupyterapp.shell.currentWidget
    return Array.from(panel.content.widgets, (cell) => ({
        type: cell.model.type, tags: cell.model.getMetadata("tags") ?? [],
        source: cell.model.sharedModel.getSource(),
        count: cell.model.executionCount ?? null,
        outputs: cell.model.type === "code" ? cell.model.outputs.toJSON() : [],
    }))
}"""
IDLE = """() => {
    const panel = window.jupyterapp?.shell.currentWidget
    const waiting = document.querySelectorAll(".jp-Notebook .jp-InputPrompt")
    return panel?.sessionContext?.session?.kernel?.status === "idle" &&
        !Array.from(waiting, (prompt) => prompt.textContent).some((text) => text.includes("*"))
}"""
STARTED = """() => window.jupyterapp.shell.currentWidget.content.widgets.some((cell) =>
    cell.promptNode?.textContent.includes("*") || cell.model.executionCount)"""
ALL_RAN = """() => window.jupyterapp.shell.currentWidget.content.widgets.every((cell) =>
    cell.model.type !== "code" || !cell.model.sharedModel.getSource().trim() ||
    cell.model.executionCount)"""
RAN_AGAIN = """([index, before]) => {
    const count = window.jupyterapp.shell.currentWidget.content.widgets[index].model.executionCount
    return count && count !== before
}"""
OPEN = "(path) => { window.jupyterapp.commands.execute('docmanager:open', {path}) }"
IS_OPEN = """(path) => {
    const panel = window.jupyterapp.shell.currentWidget
    return panel?.context?.path === path && panel.context.isReady && panel.sessionContext.isReady
        && panel.content.widgets.length === panel.model.cells.length
}"""
CHANGED = """async () => {
    const panel = window.jupyterapp.shell.currentWidget
    const kernel = panel.sessionContext.session.kernel
    await Promise.all([kernel.info, kernel.spec])
    await new Promise((done) => setTimeout(done, 100))
    return panel.context.model.dirty
}"""
CLOSE = """() => {
    const panel = window.jupyterapp.shell.currentWidget
    panel.sessionContext.shutdown().finally(() => panel.dispose())
}"""
SCROLL = """(part) => {
    const panel = document.querySelector(".jp-NotebookPanel:not(.lm-mod-hidden)")
    const boxes = Array.from(panel.querySelectorAll(".jp-WindowedPanel-outer, .jp-Notebook"))
    const box = boxes.find((e) => e.scrollHeight > e.clientHeight + 1)
    const last = Array.from(panel.querySelectorAll(".jp-Cell")).at(-1)
    if (!box) return
    const above = box.getBoundingClientRect().top - box.scrollTop
    const end = last.getBoundingClientRect().bottom - above
    const top = part * Math.max(0, end - box.clientHeight)
    box.scrollTo({ top, behavior: "instant" })
}"""
CLOSED = "() => !document.querySelector('.jp-NotebookPanel')"


class Lab:
    """A JupyterLab server over a copy of the notebooks; stored outputs are left out of the copy."""

    def __init__(self, folder: Path, patience: float) -> None:
        self.folder, self.patience, self.log = folder, patience, folder / "jupyter.log"
        shutil.copytree(
            ROOT / "notebooks",
            folder / "home" / "notebooks",
            ignore=shutil.ignore_patterns(".ipynb_checkpoints"),
        )
        for path in (folder / "home").rglob("*.ipynb"):
            self.write(path, nbformat.read(path, as_version=4))
        for name, values in SETTINGS.items():
            path = folder / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(values), encoding="utf-8")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.process = self.start(port)

    def write(self, path: Path, notebook: nbformat.NotebookNode) -> None:
        """Store a notebook as nobody has run it."""
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        nbformat.write(notebook, path)

    def add(self, name: str, cells: Iterable[str]) -> None:
        """Put a notebook of these code cells beside the others."""
        notebook = nbformat.v4.new_notebook()
        notebook.cells = [nbformat.v4.new_code_cell(source) for source in cells]
        notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
        self.write(self.folder / "home/notebooks" / name, notebook)

    def start(self, port: int) -> subprocess.Popen[bytes]:
        own = {f"JUPYTER_{n}_DIR": str(self.folder / n.lower()) for n in ("CONFIG", "DATA")}
        own |= {"JUPYTER_RUNTIME_DIR": str(self.folder / "runtime")}
        own |= {"JUPYTERLAB_SETTINGS_DIR": str(self.folder / "settings")}
        own |= {"JUPYTERLAB_WORKSPACES_DIR": str(self.folder / "workspaces")}
        own |= {"JUPYTER_CONFIG_PATH": str(ROOT / "tools" / "lab")}  # as run.py does
        own |= {"IPYTHONDIR": str(self.folder / "ipython"), "OME_ZARR_SOURCE": "offline"}
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
        command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
        command += [f"--ServerApp.port={port}", "--ServerApp.port_retries=0"]
        command += ["--ServerApp.ip=127.0.0.1", f"--ServerApp.root_dir={self.folder / 'home'}"]
        command += ["--IdentityProvider.token=", "--LabApp.expose_app_in_browser=True"]
        with self.log.open("wb") as log:
            process = subprocess.Popen(
                command,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | own | {"PYTHONPATH": path},
            )
        deadline = time.monotonic() + 60 * self.patience
        while process.poll() is None and time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"{self.url}/api", timeout=5):
                    return process
            except OSError:
                time.sleep(0.2)
        process.kill()
        process.wait(20)
        raise AssertionError("JupyterLab did not start:\n" + self.log.read_text(errors="replace"))

    def stop(self) -> None:
        """End the server; it ends its kernels."""
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(20)


class Notebook:
    """A notebook in an open JupyterLab, with a kernel of its own."""

    def __init__(self, page: Page, name: str, patience: float) -> None:
        self.page, self.name, self.patience = page, name, patience
        self.panel = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")
        page.evaluate(OPEN, f"notebooks/{name}")
        self.wait_for(IS_OPEN, f"notebooks/{name}", 90)
        self.wait(90)
        self.changed: bool = page.evaluate(CHANGED)  # by nothing but opening it

    def ms(self, seconds: float) -> float:
        return 1000 * seconds * self.patience

    def wait_for(self, script: str, argument: Any = None, seconds: float = 30) -> Any:
        """Wait until a JavaScript function of the argument returns something true."""
        options = {"arg": argument, "timeout": self.ms(seconds), "polling": 25}
        return self.page.wait_for_function(script, **options).json_value()

    def run_all(self, seconds: float = 150) -> None:
        """Choose Run, then Run All Cells, as in the menu bar, and wait for the last cell."""
        self.page.locator("#jp-MainMenu .lm-MenuBar-item").get_by_text("Run", exact=True).click()
        self.page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        self.wait_for(STARTED)
        self.wait(seconds)
        with contextlib.suppress(TimeoutError):  # the kernel may look idle between two cells
            self.wait_for(ALL_RAN, seconds=20)
        self.wait(seconds)

    def wait(self, seconds: float = 60) -> None:
        """Until no cell waits and the kernel is idle."""
        self.wait_for(IDLE, seconds=seconds)

    def cells(self) -> list[dict[str, Any]]:
        """Type, tags, source, count and outputs of each cell, from JupyterLab's own model."""
        return self.page.evaluate(CELLS)

    def cell(self, index: int) -> Locator:
        """The cell, as part of the page."""
        return self.panel.locator(".jp-Cell").nth(index)

    def find(self, text: str) -> int:
        """Index of the one code cell that has `text` in its source."""
        found = [
            i for i, c in enumerate(self.cells()) if c["type"] == "code" and text in c["source"]
        ]
        assert len(found) == 1, f"{len(found)} code cells of {self.name} have {text!r}"
        return found[0]

    def retype(self, index: int, source: str) -> None:
        """Replace what stands in a cell, with the keyboard."""
        self.cell(index).locator(".cm-content").click()
        self.page.keyboard.press("ControlOrMeta+a")
        self.page.keyboard.insert_text(source)  # as a paste: no indentation is added
        assert self.cells()[index]["source"] == source

    def run_cell(self, index: int, seconds: float = 60) -> dict[str, Any]:
        """Run a cell with Shift-Enter, and return it when it has finished."""
        before = self.cells()[index]["count"]
        self.cell(index).locator(".cm-content").click()
        self.page.keyboard.press("Shift+Enter")
        self.wait_for(RAN_AGAIN, [index, before], seconds)
        self.wait(seconds)
        return self.cells()[index]

    def scroll(self, part: float) -> None:
        """Show the part of the notebook between its top (0) and the last line of its end (1).

        Below the last cell JupyterLab leaves a window of white, to which the scroll bar would go.
        """
        self.page.evaluate(SCROLL, part)
        self.drawn()

    def drawn(self) -> None:
        """Wait for two frames: one to lay out, one to draw."""
        self.page.evaluate(
            "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )

    def resize(self, size: Any) -> None:
        """Give the window another size, and wait until JupyterLab has filled it."""
        self.page.set_viewport_size(size)
        self.wait_for(
            "(width) => Math.abs(document.querySelector('#main').clientWidth - width) < 2",
            size["width"],
        )
        self.drawn()

    def close(self) -> None:
        """Close the notebook without saving it, and end its kernel."""
        self.page.evaluate(CLOSE)
        self.wait_for(CLOSED)


def text_of(outputs: list[dict[str, Any]]) -> str:
    """What the outputs of a cell say in plain text."""
    parts = [
        output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs
    ]
    texts = (part if isinstance(part, str) else "".join(part) for part in parts)
    return "".join(text if text.endswith("\n") else f"{text}\n" for text in texts if text)
