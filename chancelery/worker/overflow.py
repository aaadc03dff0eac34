"""
Sends that found no room, tried again until they do or `capacity_wait` is over.

Meanwhile the worker goes on: what it handles may be just what makes the room. Belongs to one exchange, under its lock.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from chancelery import conf, trail
from chancelery.exceptions import LayerUnavailable
from chancelery.layers.base import ChannelLayer, Finished, Refusal, Send
from chancelery.log import room
from chancelery.trail import Trail
from chancelery.worker.tally import Tally

_log = room("worker")
_RETRY_SECONDS = 0.05
_MOST = 1000


class _Held(NamedTuple):
    send: Send
    trail: Trail
    deadline: float
    reason: str


class Overflow:
    """What waits for room, in the order in which it was sent. What it gives up is logged, and counted in *tally*."""

    def __init__(self, layer: ChannelLayer, tally: Tally) -> None:
        self._layer = layer
        self._tally = tally
        self._held: list[_Held] = []
        self._addresses: frozenset[str] = frozenset()
        self._retry_at = 0.0

    def __len__(self) -> int:
        return len(self._held)

    @property
    def too_much(self) -> bool:
        """Whether nothing more should be fetched before some of it is gone."""
        return len(self._held) >= _MOST

    def passing(self, sends: Sequence[Send], came_by: Trail) -> Sequence[Send]:
        """Return those of *sends* that need not queue behind one to the same address, and hold the others."""
        if self._addresses.isdisjoint(send.address for send in sends):
            return sends
        deadline = _deadline()
        behind = [send for send in sends if send.address in self._addresses]
        self._hold(_Held(send, came_by, deadline, "others wait for room there") for send in behind)
        return [send for send in sends if send.address not in self._addresses]

    def take(self, refused: Sequence[Refusal], finished: Iterable[Finished]) -> None:
        """Hold what was *refused* of the sends of *finished*."""
        if refused:
            trails = {id(send): item.delivery.trail for item in finished for send in item.sends}
            deadline = _deadline()
            self._hold(_Held(send, trails.get(id(send), ()), deadline, str(error)) for send, error in refused)

    def retry(self) -> None:
        """Send what is held, if it was not tried a moment ago; drop what has waited too long, with a record."""
        now = time.monotonic()
        if not self._held or now < self._retry_at:
            return
        self._retry_at = now + _RETRY_SECONDS
        held, self._held = self._held, []
        try:
            refused = {id(send): str(error) for send, error in self._layer.post([item.send for item in held])}
        except LayerUnavailable as error:
            reason = f"it is unknown whether it was sent: {error}"
            self._drop("unknown", [item._replace(reason=reason) for item in held])
            refused = {}
        again = [item._replace(reason=refused[id(item.send)]) for item in held if id(item.send) in refused]
        self._hold(item for item in again if item.deadline > now)
        self._drop("no_room", [item for item in again if item.deadline <= now])

    def abandon(self) -> None:
        """Drop what is held, with a record."""
        self._drop("no_room", self._held)
        self._held.clear()
        self._addresses = frozenset()

    def _hold(self, items: Iterable[_Held]) -> None:
        self._held.extend(items)
        self._addresses = frozenset(item.send.address for item in self._held)

    def _drop(self, counted_as: str, items: Sequence[_Held]) -> None:
        self._tally.add(counted_as, len(items))
        for item in items:
            _log.error(
                "a message to %s was dropped: %s; it came by: %s",
                item.send.address,
                item.reason,
                trail.describe(item.trail),
            )


def _deadline() -> float:
    return time.monotonic() + conf.current().capacity_wait
