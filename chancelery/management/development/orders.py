"""
How a process that serves a site is told to stop: by a signal, by the end of its parent, or by the site itself.

The first order of all raises SystemExit in the main thread, wherever that is; while the site is being stopped, orders
are only counted, and the same signal a second time ends the process at once.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from types import FrameType
from typing import Any, Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Orders:
    """As a context, in the main thread. One of the signals that was ignored already stays so, but not SIGINT."""

    def __init__(self) -> None:
        self.status = 0
        """What the process shall exit with."""
        self.orphaned = False
        """Whether it is the parent that has ended."""
        self._seen: Counter[int] = Counter()
        self._before: dict[int, Any] = {}
        self._held = False

    def __enter__(self) -> Self:
        for number in _SIGNALS:
            if number == signal.SIGINT or signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._take)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def hold(self) -> None:
        """From now on, only count."""
        self._held = True

    def give(self, status: int) -> None:
        """Order the process to stop, from any thread, and to exit with *status*."""
        self.status = status
        os.kill(os.getpid(), signal.SIGTERM)

    def follow(self, pipe: int) -> None:
        """Stop when the writing end of *pipe* is closed, which the parent's end does, however that comes."""
        threading.Thread(target=self._watch, args=(pipe,), name="watch over the parent", daemon=True).start()

    def _watch(self, pipe: int) -> None:
        os.read(pipe, 1)
        self.orphaned = True
        self.give(0)

    def _take(self, number: int, _: FrameType | None) -> None:
        self._seen[number] += 1
        if self._seen[number] > 1:
            os._exit(128 + number)
        if not self._held:
            self._held = True
            raise SystemExit(self.status)
