"""
When a message of the in-memory layer goes out: at once, later, or as the latest of several.

Not safe for threads: the layer holds its lock. The rules are told in `values`, the Redis layer's are in `delays.lua`.
"""

from __future__ import annotations

from collections.abc import Callable

from chancelery.layers._delays import Delays, Waiting
from chancelery.layers._ledger import Parcel
from chancelery.layers.values import Coalesce, Later, Send

_PUT_OFF_MS = 1000


class Timing:
    """
    capacity: how many messages may wait.
    let_out: puts a message where it goes, at a time, and tells whether there was room.
    refuse: called for a message that waited, when there was none.
    ring: called when one waits that is due before all others.
    """

    def __init__(
        self,
        capacity: int,
        let_out: Callable[[Send | Parcel, int], bool],
        refuse: Callable[[Waiting], None],
        ring: Callable[[], None],
    ) -> None:
        self._capacity = capacity
        self._let_out = let_out
        self._refuse = refuse
        self._ring = ring
        self._delays = Delays()

    def __len__(self) -> int:
        return len(self._delays)

    @property
    def next_ms(self) -> float:
        """When the first message is due; infinite when none waits."""
        return self._delays.next_ms

    def send(self, send: Send, now_ms: int) -> bool:
        """Send, or keep, what has a time; return whether there was room."""
        if send.coalesce:
            return self._send_paced(send, send.coalesce, now_ms)
        due_ms = send.due_ms or now_ms + send.delay_ms
        if due_ms <= now_ms:
            return self._let_out(send, now_ms)
        return self._wait_if_room(due_ms, send)

    def handle_later(self, parcel: Parcel, later: Later, now_ms: int) -> None:
        """Keep a message that was out, until it is handled again; for it there is always room."""
        self._wait(now_ms + later.delay_ms, Waiting(parcel._replace(body=later.body)))

    def move_due(self, now_ms: int) -> int:
        """Let out what is due; return how many messages that were."""
        moved = 0
        for number, waiting in self._delays.take_due(now_ms):
            if self._let_out(waiting.what, now_ms):
                moved += 1
                self._pause(number, waiting.what, now_ms)
                continue
            if not waiting.refused:
                self._refuse(waiting)
            self._delays.put(now_ms + _PUT_OFF_MS, waiting._replace(refused=True), number)
        return moved

    def take_for(self, channel: str) -> list[Waiting]:
        """Take out what waits to go to *channel*."""
        return self._delays.take_for(lambda waiting: waiting.channel == channel)

    def sweep(self, now_ms: int) -> None:
        """Forget the pauses that are over."""
        self._delays.forget_pauses(now_ms)

    def _send_paced(self, send: Send, coalesce: Coalesce, now_ms: int) -> bool:
        number = _number_of(send, coalesce)
        before = self._delays.find(number)
        if before is not None:
            return self._supersede(number, before.what, send, now_ms)
        until_ms = self._delays.pause_of(number, now_ms)
        if until_ms:
            return self._wait_if_room(until_ms, send, number)
        if not self._let_out(send, now_ms):
            return False
        self._pause(number, send, now_ms)
        return True

    def _supersede(self, number: str, before: Send | Parcel, send: Send, now_ms: int) -> bool:
        is_same = isinstance(before, Send) and _kind_of(before) == _kind_of(send)
        if not is_same and not self._let_out(before, now_ms):
            return False
        self._delays.replace(number, Waiting(send))
        return True

    def _pause(self, number: str, what: Send | Parcel, now_ms: int) -> None:
        if isinstance(what, Send) and what.coalesce:
            self._delays.pause(number, now_ms + what.coalesce.every_ms)

    def _wait_if_room(self, due_ms: int, send: Send, number: str = "") -> bool:
        if len(self._delays) >= self._capacity:
            return False
        self._wait(due_ms, Waiting(send), number)
        return True

    def _wait(self, due_ms: int, waiting: Waiting, number: str = "") -> None:
        is_first = due_ms < self._delays.next_ms
        self._delays.put(due_ms, waiting, number)
        if is_first:
            self._ring()


def _kind_of(send: Send) -> str:
    return send.coalesce.kind if send.coalesce else ""


def _number_of(send: Send, coalesce: Coalesce) -> str:
    """Return the id under which the latest message of a key waits: behind all numbers, which begin with a digit."""
    return "\0".join(("kg" if send.to_group else "kc", send.address, send.lane, coalesce.key))
