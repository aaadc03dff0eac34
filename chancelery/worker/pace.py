"""How long handling takes, and so how much to fetch and when not to make a finished answer wait. Pure."""

from __future__ import annotations

BATCH_SECONDS = 0.005
"""A batch is to be handled within about this time."""
MOST = 64
_WEIGHT = 0.2


class Pace:
    """Moving averages of one thread's handling times."""

    def __init__(self) -> None:
        self.limit = 1
        """How many messages to fetch next. At most doubles from batch to batch."""
        self._average = 0.0
        self._averages: dict[str, float] = {}

    def took(self, channel: str, seconds: float) -> None:
        """Take note of one message's handling time."""
        self._average += _WEIGHT * (seconds - self._average) if self._averages else seconds
        average = self._averages.get(channel, seconds)
        self._averages[channel] = average + _WEIGHT * (seconds - average)

    def expected(self, channel: str) -> float:
        """Return how many seconds a message of *channel* will probably take; an unknown channel's, long."""
        return self._averages.get(channel, BATCH_SECONDS)

    def adapt(self) -> None:
        """Choose `limit` anew, after a batch."""
        fitting = int(BATCH_SECONDS / self._average) if self._average > 0 else 1
        self.limit = max(1, min(fitting, 2 * self.limit, MOST))
