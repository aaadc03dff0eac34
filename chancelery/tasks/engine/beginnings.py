"""
Says of tasks that they have started, but of those only that take a while.

To say so at once costs a task that is over in a millisecond a third of what it costs altogether. So it is said after
`SAID_AFTER_SECONDS`, or before the next that the task says, if that comes first: then by the same script.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

from chancelery.log import room

SAID_AFTER_SECONDS = 0.05

_log = room("tasks")


class Beginnings:
    """
    The tasks of jobs that have started in this process, which a fork ends: its thread is not in the new one.

    say: is called with a task's request and what Celery stores of its start, from a thread of its own.
    """

    def __init__(self, say: Callable[[Any, Any], object]) -> None:
        self.process = os.getpid()
        self._say = say
        self._unsaid: weakref.WeakKeyDictionary[Any, tuple[float, Any]] = weakref.WeakKeyDictionary()
        self._changing = threading.Lock()
        self._some = threading.Event()
        threading.Thread(target=self._watch, name="chancelery beginnings", daemon=True).start()

    def note(self, request: Any, result: Any) -> None:
        """Have it said that a task has started, unless it ends before."""
        request.has_begun = True
        with self._changing:
            self._unsaid[request] = (time.monotonic() + SAID_AFTER_SECONDS, result)
        self._some.set()

    def forget(self, request: Any) -> None:
        """Say nothing: whatever is said now says that it has started, too."""
        with self._changing:
            self._unsaid.pop(request, None)

    def _watch(self) -> None:
        while True:
            self._some.wait()
            time.sleep(SAID_AFTER_SECONDS)
            for request, result in self._taken():
                try:
                    self._say(request, result)
                except Exception:  # noqa: BLE001 - whatever Celery or Redis raise: the task itself goes on
                    _log.exception("it could not be said that the task %s has started", request.id)

    def _taken(self) -> list[tuple[Any, Any]]:
        now = time.monotonic()
        with self._changing:
            due = [(request, result) for request, (at, result) in self._unsaid.items() if at <= now]
            for request, _ in due:
                del self._unsaid[request]
            if not self._unsaid:
                self._some.clear()
        return due
