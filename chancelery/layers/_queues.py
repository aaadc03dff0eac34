"""
The in-memory layer's ready queues, one per channel, and the lanes that feed them.

Of a lane, one message is out: on a ready queue, or in somebody's lease. The others wait in the lane until it is
released. Not safe for threads: the layer holds its lock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from chancelery.layers._ledger import Parcel


class Queues:
    """
    drop: called with the reason, the message and the time when nobody will get it.
    on_ready: called whenever a message becomes available.
    """

    def __init__(
        self, lane_capacity: int, drop: Callable[[str, Parcel, int], None], on_ready: Callable[[], None]
    ) -> None:
        self._lane_capacity = lane_capacity
        self._drop = drop
        self._on_ready = on_ready
        self._ready: dict[str, deque[Parcel]] = {}
        self._lanes: dict[str, deque[Parcel]] = {}

    @property
    def channels(self) -> list[str]:
        """Those on which something lies ready."""
        return list(self._ready)

    @property
    def busy_lanes(self) -> int:
        """How many lanes have a message out."""
        return len(self._lanes)

    def put(self, parcel: Parcel, capacity: int, now_ms: int) -> bool:
        """Store *parcel* on its channel or behind its lane's others, unless there is no room. Return whether it is."""
        waiting = self._lanes.get(parcel.lane)
        if waiting is not None:
            if len(waiting) >= self._lane_capacity:
                return False
            waiting.append(parcel)
            return True
        if not self._has_room(parcel.channel, capacity, now_ms):
            return False
        if parcel.lane:
            self._lanes[parcel.lane] = deque()
        self._append(parcel)
        return True

    def take(self, channel: str, now_ms: int) -> Parcel | None:
        """Return the next message of *channel* that has not expired. Its lane stays with it until `release`."""
        self._drop_expired(channel, now_ms)
        return self._shift(channel) if channel in self._ready else None

    def release(self, lane: str, now_ms: int) -> None:
        """Let the next message of *lane* onto its own channel's queue, since the one that was out is done with."""
        waiting = self._lanes.get(lane)
        if waiting is None:
            return
        while waiting and waiting[0].expired(now_ms):
            self._drop("expired", waiting.popleft(), now_ms)
        if waiting:
            self._append(waiting.popleft())
        else:
            del self._lanes[lane]

    def end(self, reason: str, parcel: Parcel, now_ms: int) -> None:
        """Drop a message that was out, and release its lane."""
        self._drop(reason, parcel, now_ms)
        self.release(parcel.lane, now_ms)

    def give_back(self, parcels: Sequence[Parcel]) -> None:
        """Put *parcels* to the front of their channels, the first foremost. They were accepted once: always room."""
        for parcel in reversed(parcels):
            self._ready.setdefault(parcel.channel, deque()).appendleft(parcel)
        self._on_ready()

    def readmit(self, parcel: Parcel) -> None:
        """Put a message that was out, and whose lane is with it still, onto its channel again: always room."""
        self._append(parcel)

    def purge(self, channel: str, now_ms: int) -> int:
        """Drop all that lies ready on *channel*, and what that lets onto it; return how many."""
        purged = 0
        while channel in self._ready:
            self.end("purged", self._shift(channel), now_ms)
            purged += 1
        return purged

    def pending(self, channel: str) -> int:
        """Return how many messages lie ready on *channel*."""
        return len(self._ready.get(channel, ()))

    def oldest(self, channel: str) -> Parcel | None:
        """Return the message at the front of *channel*, and leave it there."""
        queue = self._ready.get(channel)
        return queue[0] if queue else None

    def sweep(self, now_ms: int) -> None:
        """Rid the single-reader channels of what has expired: their names never end, their readers often have."""
        for channel in [channel for channel in self._ready if "?" in channel]:
            self._drop_expired(channel, now_ms)

    def _has_room(self, channel: str, capacity: int, now_ms: int) -> bool:
        if self.pending(channel) >= capacity:
            self._drop_expired(channel, now_ms)
        return self.pending(channel) < capacity

    def _drop_expired(self, channel: str, now_ms: int) -> None:
        while (parcel := self.oldest(channel)) and parcel.expired(now_ms):
            self.end("expired", self._shift(channel), now_ms)

    def _append(self, parcel: Parcel) -> None:
        self._ready.setdefault(parcel.channel, deque()).append(parcel)
        self._on_ready()

    def _shift(self, channel: str) -> Parcel:
        queue = self._ready[channel]
        parcel = queue.popleft()
        if not queue:
            del self._ready[channel]
        return parcel
