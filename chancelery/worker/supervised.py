"""A thread that is not ended by its own errors."""

from __future__ import annotations

import threading

from chancelery.log import room
from chancelery.worker.drain import Drain

_log = room("worker")
_RESTART_SECONDS = 0.5


class Supervised(threading.Thread):
    """Does its work, and begins anew after an error, as long as it is wanted."""

    def __init__(self, name: str, drain: Drain) -> None:
        super().__init__(name=name, daemon=True)
        self.drain = drain

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
