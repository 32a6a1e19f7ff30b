"""A queue of tasks for a few threads, in which a new request replaces the one before it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable

THREADS = 3
IDLE_SECONDS = 60.0
SLOTS = 12

Wanted = Callable[[], bool]
Task = Callable[[Wanted], None]


class LatestTaskQueue:
    """Each slot holds the tasks of the latest request; a new one replaces them, done or not.

    A task is called with a function that says whether it is still wanted. Threads start with the
    first task and end when there was none for a minute.
    """

    def __init__(self, threads: int = THREADS, idle: float = IDLE_SECONDS) -> None:
        self._slots: dict[str, deque[Task]] = {}
        self._change = threading.Condition()
        self._threads = threads
        self._idle = idle
        self._free = 0
        self._running = 0
        self._closed = False

    def submit(self, slot: str, tasks: Iterable[Task]) -> None:
        """Forget what a slot held; do these tasks, in this order."""
        with self._change:
            if self._closed:
                return
            self._slots.pop(slot, None)
            self._slots[slot] = deque(tasks)
            if len(self._slots) > SLOTS:
                del self._slots[next(iter(self._slots))]
            waiting = sum(map(len, self._slots.values()))
            for _ in range(min(self._threads - self._running, waiting - self._free)):
                self._running += 1
                threading.Thread(target=self._work, name="viewer tiles", daemon=True).start()
            self._change.notify_all()

    def close(self) -> None:
        """Forget everything; the threads end."""
        with self._change:
            self._closed = True
            self._slots.clear()
            self._change.notify_all()

    def _work(self) -> None:
        while True:
            task, wanted = self._next()
            if task is None:
                return
            if wanted():
                task(wanted)

    def _next(self) -> tuple[Task | None, Wanted]:
        """The next task of the slot that was submitted last."""
        with self._change:
            self._free += 1
            try:
                if not self._change.wait_for(lambda: self._closed or self._waiting(), self._idle):
                    self._running -= 1
                    return None, bool
                if self._closed:
                    self._running -= 1
                    return None, bool
                slot = self._waiting()[-1]
                tasks = self._slots[slot]
                return tasks.popleft(), lambda: self._slots.get(slot) is tasks
            finally:
                self._free -= 1

    def _waiting(self) -> list[str]:
        return [slot for slot, tasks in self._slots.items() if tasks]
