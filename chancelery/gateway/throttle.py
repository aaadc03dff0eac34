"""
How much one socket may send: frames and bytes per second, and for how long it may go on beyond that.

Pure: it is told what came and when, and answers how long to read nothing. Nothing is lost by it: what a client sends
meanwhile waits in the network, and in the end with the client.
"""

from __future__ import annotations

from chancelery.conf import Settings


class Allowance:
    """A rate, of which a second's worth may be used at once. What is used beyond is paid for with a pause."""

    __slots__ = ("_at", "_left", "_per_second")

    def __init__(self, per_second: float, now: float) -> None:
        self._per_second = per_second
        self._left = per_second
        self._at = now

    def use(self, amount: float, now: float) -> float:
        """Use *amount* at *now*, in seconds; return how many seconds to pause."""
        self._left = min(self._per_second, self._left + (now - self._at) * self._per_second) - amount
        self._at = now
        return max(0.0, -self._left / self._per_second)

    def is_whole(self, now: float) -> bool:
        """Tell whether nothing of it is used at *now*."""
        return self._left + (now - self._at) * self._per_second >= self._per_second


class Throttle:
    """One socket's allowances."""

    __slots__ = ("_allowances", "_patience", "_paused")

    def __init__(self, limits: Settings, now: float) -> None:
        frames, size = limits.incoming_frames_per_second, limits.incoming_bytes_per_second
        self._allowances = (
            None if frames is None else Allowance(frames, now),
            None if size is None else Allowance(size, now),
        )
        self._patience = limits.incoming_patience
        self._paused = 0.0

    def pause_after(self, size: int, now: float) -> float | None:
        """
        Return for how many seconds to read nothing after a frame of *size* bytes that came at *now*.

        Returns None when the socket has been paused for `incoming_patience` seconds in all, without once having left
        its allowance alone for long enough to be whole again, and still goes beyond it: it is to be closed.
        """
        amounts = zip(self._allowances, (1, size), strict=True)
        limited = [(allowance, amount) for allowance, amount in amounts if allowance is not None]
        if all(allowance.is_whole(now) for allowance, _ in limited):
            self._paused = 0.0
        pause = max(allowance.use(amount, now) for allowance, amount in limited)
        if pause and self._patience is not None and self._paused >= self._patience:
            return None
        self._paused += pause
        return pause


def throttle(limits: Settings, now: float) -> Throttle | None:
    """Return a new socket's throttle, or None where *limits* sets none."""
    if limits.incoming_frames_per_second is None and limits.incoming_bytes_per_second is None:
        return None
    return Throttle(limits, now)
