"""Whether a worker is stopping, and how much time it has left for that."""

from __future__ import annotations

import threading
import time


class Drain:
    """Shared by the threads of one worker. A worker that is told to stop ends what it has begun, within *seconds*."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._begun = threading.Event()
        self._ends_at = float("inf")

    @property
    def begun(self) -> bool:
        """Whether nothing more is to be started."""
        return self._begun.is_set()

    @property
    def over(self) -> bool:
        """Whether the time is over for what was begun, too."""
        return self.over_for(0)

    def over_for(self, seconds: float) -> bool:
        """Tell whether the time has been over for *seconds*."""
        return time.monotonic() >= self._ends_at + seconds

    def begin(self) -> None:
        """Stop. Wakes whoever is in `pause`."""
        self._ends_at = time.monotonic() + self._seconds
        self._begun.set()

    def pause(self, seconds: float) -> None:
        """Wait, at most until the worker is told to stop; if it was already, at most until its time is over."""
        if self.begun:
            time.sleep(max(min(seconds, self._ends_at - time.monotonic()), 0))
        else:
            self._begun.wait(seconds)
