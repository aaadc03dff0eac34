"""
What async consumers deferred (escalations publish to Celery), called in threads of its own.

Not on the event loop, which it would hold up, and not in the thread that tells the layer what is done.
"""

from __future__ import annotations

import queue
import threading

from django.db import connections

from chancelery.worker import databases
from chancelery.worker.dispatch import Outcome, run_deferred

_THREADS = 4


class Afterwards:
    """A few threads, started when there is something to do. They do not keep the process from ending."""

    def __init__(self) -> None:
        self._outcomes: queue.SimpleQueue[Outcome | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []

    def call(self, outcome: Outcome) -> None:
        """Have what was deferred called, soon. Called by one thread only."""
        if len(self._threads) < _THREADS:
            name = f"worker afterwards {len(self._threads) + 1}"
            self._threads.append(threading.Thread(target=self._work, name=name, daemon=True))
            self._threads[-1].start()
        self._outcomes.put(outcome)

    def end(self) -> None:
        """Let the threads end when everything was called."""
        for _ in self._threads:
            self._outcomes.put(None)

    @property
    def ended(self) -> bool:
        """Whether everything was called, after `end`."""
        return not any(thread.is_alive() for thread in self._threads)

    def _work(self) -> None:
        try:
            while (outcome := self._outcomes.get()) is not None:
                with databases.looked_after():
                    run_deferred(outcome)
        finally:
            connections.close_all()
