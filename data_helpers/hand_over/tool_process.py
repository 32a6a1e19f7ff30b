"""A tool of other people at work: a process that is asked, line by line, and answers."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

from .._formatting import plain_text
from ..errors import ToolError

ANSWER = "@answer "  # begins a line that is an answer; all else is what the tool says by itself
STRAY = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "MPLBACKEND", "QT_PLUGIN_PATH")
"""Variables of this Python (in a notebook, matplotlib's backend) that would mislead another one."""

HARMLESS = ("MySQLdb", "Vendor:", "DeprecationWarning", "UserWarning")


class ToolProcess:
    """A program of a tool, in a process of its own.

    Use it in a ``with`` block, or call `stop`: it ends with this Python at the latest, because it
    reads from it.

    Parameters
    ----------
    shown : str
        What the tool is called in sentences.
    command : sequence of str
        The program and its arguments.
    settings : dict of str to str, optional
        Environment variables for it.

    Raises
    ------
    ToolError
        The program doesn't start.
    """

    def __init__(
        self, shown: str, command: Sequence[str], settings: dict[str, str] | None = None
    ) -> None:
        self.shown = shown
        self._said: deque[str] = deque(maxlen=40)
        self._answers: queue.Queue[dict[str, Any] | None] = queue.Queue()
        kept = {name: value for name, value in os.environ.items() if name not in STRAY}
        try:
            self._process = subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=kept | {"PYTHONIOENCODING": "utf-8"} | (settings or {}),
                encoding="utf-8",
                errors="replace",
                start_new_session=True,  # the notebook's stop button is for the notebook
            )
        except OSError as error:
            raise ToolError(f"{shown} doesn't start: {error}. Install it again.") from None
        self.pid = self._process.pid
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        """Sort what the tool prints, to its end: answers, and words of its own."""
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                if line.startswith(ANSWER):
                    self._answers.put(json.loads(line.removeprefix(ANSWER)))
                elif line.strip() and not any(word in line for word in HARMLESS):
                    self._said.append(line.strip())
        self._answers.put(None)

    def ask(self, order: dict[str, Any], timeout: float, doing: str) -> dict[str, Any]:
        """Send an order, and wait for its answer.

        Raises
        ------
        ToolError
            It gave none in time, ended, or answered with an error; `doing` is in the message.
        """
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # it has ended: the answer will say so
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
        return self.answer(timeout, doing)

    def answer(self, timeout: float, doing: str) -> dict[str, Any]:
        """Wait for an answer; errors as in `ask`."""
        until = time.monotonic() + timeout
        while True:
            try:  # in short waits, which Ctrl-C ends on Windows, too
                found = self._answers.get(timeout=min(0.2, max(0.0, until - time.monotonic())))
                break
            except queue.Empty:
                if time.monotonic() < until:
                    continue
            self.stop()
            raise ToolError(
                f"{self.shown} gave no answer within {timeout:g} s while {doing}, so it was "
                f"stopped: allow it more with timeout=. It said last: {self.last_words()}"
            )
        if found is None:
            code = self._process.wait()
            raise ToolError(
                f"{self.shown} ended (exit code {code}) while {doing}. It said last: "
                f"{self.last_words()}"
            )
        if "error" in found:
            raise ToolError(f"{self.shown} failed while {doing}: {plain_text(found['error'], 500)}")
        return found

    def last_words(self) -> str:
        """The last line that it printed by itself."""
        return plain_text(self._said[-1], 500) if self._said else "nothing."

    def said(self, words: str) -> bool:
        """Whether these words are in what it printed by itself."""
        return any(words in line for line in self._said)

    @property
    def running(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def stop(self) -> None:
        """End it, and all that it started."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        if self.running and os.name != "nt":
            with contextlib.suppress(OSError):
                os.killpg(self.pid, signal.SIGTERM)
        try:
            if os.name == "nt":
                self._process.kill()
            self._process.wait(timeout=3)
        except subprocess.TimeoutExpired:
            if os.name != "nt":
                with contextlib.suppress(OSError):
                    os.killpg(self.pid, signal.SIGKILL)
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> ToolProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
