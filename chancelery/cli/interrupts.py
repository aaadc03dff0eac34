"""Whether somebody asked this process to stop, and how impatiently: signals are counted instead of ending it."""

from __future__ import annotations

import signal
from collections import Counter
from types import FrameType
from typing import Any, Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """
    As a context: SIGINT (Ctrl-C), SIGTERM and SIGHUP (a closed terminal) are only counted.

    One that was ignored already, as SIGHUP is under `nohup`, stays so; but not SIGINT, which shells make whatever they
    start in the background ignore.
    """

    def __init__(self) -> None:
        self._seen: Counter[int] = Counter()
        self._before: dict[int, Any] = {}

    @property
    def asked(self) -> bool:
        """Whether anything asked to stop."""
        return bool(self._seen)

    @property
    def hurried(self) -> bool:
        """Whether the same signal came twice."""
        return any(count > 1 for count in self._seen.values())

    def ask(self) -> None:
        """Ask to stop, without a signal."""
        self._seen[0] = 1

    def __enter__(self) -> Self:
        for number in _SIGNALS:
            if number == signal.SIGINT or signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._count)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _count(self, number: int, _: FrameType | None) -> None:
        self._seen[number] += 1
