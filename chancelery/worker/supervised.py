"""A thread that is not ended by its own errors."""

from __future__ import annotations

import threading

from chancelery.log import room
from chancelery.worker.drain import Drain

_log = room("worker")
_RESTART_SECONDS = 0.5


class Supervised:
    """Does its work in a thread of its own, and begins anew after an error, as long as it is wanted."""

    def __init__(self, name: str, drain: Drain) -> None:
        self.name = name
        self.drain = drain
        self.thread = threading.Thread(target=self.run, name=name, daemon=True)

    @property
    def wanted(self) -> bool:
        """Whether to begin (anew)."""
        return not self.drain.begun

    def run(self) -> None:
        """Work as long as it is wanted."""
        while self.wanted:
            try:
                self.work()
            except Exception:  # noqa: BLE001 - supervision: it is logged, and the work goes on
                _log.exception("%s stumbled, and begins anew", self.name)
                self.drain.pause(_RESTART_SECONDS)

    def work(self) -> None:
        """Do the thread's work. Returns when it is not wanted any more."""
        raise NotImplementedError
