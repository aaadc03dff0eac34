"""How long handling takes, and so how much to fetch, how much of it to begin, and when to tell what is done. Pure."""

from __future__ import annotations

from collections.abc import Iterable

BATCH_SECONDS = 0.005
"""A batch is to be handled within about this time."""
TELL_SECONDS = 0.002
"""How long a finished result may wait for others to be told together, and what was told to begin for its turn."""
MOST = 64
_WEIGHT = 0.2


class Pace:
    """Moving averages of one thread's handling times."""

    def __init__(self) -> None:
        self.limit = 1
        """How many messages to fetch next. At most doubles from batch to batch."""
        self._average = 0.0
        self._averages: dict[str, float] = {}

    @property
    def begin(self) -> int:
        """How many messages, not known yet, will probably be handled within `TELL_SECONDS`; one at least."""
        return max(1, int(TELL_SECONDS / self._average)) if self._average > 0 else 1

    def took(self, channel: str, seconds: float) -> None:
        """Take note of one message's handling time."""
        self._average += _WEIGHT * (seconds - self._average) if self._averages else seconds
        average = self._averages.get(channel, seconds)
        self._averages[channel] = average + _WEIGHT * (seconds - average)

    def expected(self, channel: str) -> float:
        """Return how many seconds a message of *channel* will probably take; an unknown channel's, long."""
        return self._averages.get(channel, BATCH_SECONDS)

    def fitting(self, channels: Iterable[str]) -> int:
        """Return how many of the next messages, of *channels* in order, fit into `TELL_SECONDS`; one at least."""
        left, count = TELL_SECONDS, 0
        for channel in channels:
            left -= self.expected(channel)
            if left < 0:
                break
            count += 1
        return max(count, 1)

    def adapt(self) -> None:
        """Choose `limit` anew, after a batch."""
        fitting = int(BATCH_SECONDS / self._average) if self._average > 0 else 1
        self.limit = max(1, min(fitting, 2 * self.limit, MOST))
