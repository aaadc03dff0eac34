"""Whether silence means death yet: not after an outage, nor after this process itself stood still."""

from __future__ import annotations

import time
from collections.abc import Callable

Clock = Callable[[], float]


class Steadiness:
    """
    How long the layer has been answering without a gap of half a lease.

    In a gap nobody could renew anything, for all that one knows: a lease that ran out is no sign of death before
    everybody had a full lease's time to renew it. Times are taken when an answer is there, so that a process that was
    stopped while it waited for it finds the gap. The second clock goes on while the machine is suspended.
    """

    def __init__(self, lease_seconds: float, clocks: tuple[Clock, ...] = (time.monotonic, time.time)) -> None:
        self._lease_seconds = lease_seconds
        self._clocks = clocks
        self._heard_at = [float("-inf")] * len(clocks)
        self._since = 0.0

    def has_lasted(self) -> bool:
        """Take note that the layer has just answered; return whether it has, for as long as a lease lasts."""
        now = [clock() for clock in self._clocks]
        gap = max(time - heard_at for time, heard_at in zip(now, self._heard_at, strict=True))
        if gap > self._lease_seconds / 2:
            self._since = now[0]
        self._heard_at = now
        return now[0] - self._since >= self._lease_seconds
