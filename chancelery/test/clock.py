"""A clock for channel layers that stands still until a test moves it, so that nothing is waited for."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime, timedelta


class VirtualClock:
    """
    Tells the moment at which it was made, until it is moved.

    Layers judge delays, paces and expiry by it. What is due by then goes out when the test next looks for messages.
    """

    def __init__(self) -> None:
        self._ms = time.time_ns() // 1_000_000

    def __call__(self) -> float:
        """Return seconds since the epoch."""
        return (self._ms + 0.5) / 1000  # half a millisecond more, or whole ones would be less once multiplied again

    def now(self) -> datetime:
        """Return the moment that it is, aware: what an `eta` is reckoned from."""
        return datetime.fromtimestamp(self._ms / 1000, UTC)

    def advance(self, by: float | timedelta) -> None:
        """Move on by so many seconds. Raises: ValueError for a time span below 0."""
        seconds = by.total_seconds() if isinstance(by, timedelta) else by
        if not 0 <= seconds < math.inf:
            raise ValueError(f"a clock moves on, by 0 seconds or more, not by {by!r}")
        self._ms += round(seconds * 1000)

    def advance_to(self, moment: datetime) -> None:
        """Move on to *moment*. Raises: ValueError for one that is over, or naive."""
        if moment.tzinfo is None:
            raise ValueError(f"{moment!r} has no time zone: pass one such as now() + timedelta(minutes=1)")
        moment_ms = math.ceil(moment.timestamp() * 1000)
        if moment_ms < self._ms:
            raise ValueError(f"a clock moves on: {moment} is over, it is {self.now()}")
        self._ms = moment_ms
