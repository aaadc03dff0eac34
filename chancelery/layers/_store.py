"""
What an in-memory layer holds, and what becomes of it when messages come, are handed out, finished, lost or sent again.

Not safe for threads and without a clock: the layer holds its lock and says what time it is (`now_ms`).
"""

from __future__ import annotations

import itertools
import random
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from chancelery import names
from chancelery.exceptions import CorruptMessage
from chancelery.layers._delays import Waiting
from chancelery.layers._groups import Groups
from chancelery.layers._leases import Leases
from chancelery.layers._ledger import Ledger, Parcel
from chancelery.layers._letters import DeadLetters
from chancelery.layers._mail import Mail
from chancelery.layers._processes import Processes
from chancelery.layers._queues import Queues
from chancelery.layers._timing import Timing
from chancelery.layers.values import Delivery, Fate, Finished, Reaped, ReapedProcess, Refusal, Send, Will

if TYPE_CHECKING:
    from chancelery.layers.base import ChannelLayer
    from chancelery.layers.codec import Envelope


class Store:
    """
    layer: whose limits count, and which knows capacities, attempts and how to read an envelope.
    ring: called with a process's name when it has news, or with an empty one when a message is ready to be fetched.
    """

    def __init__(self, layer: ChannelLayer, ring: Callable[[str], None]) -> None:
        self._layer = layer
        self._ring = ring
        self.expiry_ms = milliseconds(layer.limits.expiry)
        self._lease_ms = milliseconds(layer.limits.lease_seconds)
        self._swept_ms = 0
        # One row for everything that has an id, and for good: what is named by an id from before a flush must never be
        # taken for something that came later.
        self._numbers = itertools.count(1)
        self.clear()

    def clear(self) -> None:
        """Forget everything but the ids that were used."""
        limits = self._layer.limits
        self.ledger = Ledger(self._layer.unpack)
        self.letters = DeadLetters(limits.dead_letters, self.ledger, self._numbers, self._layer.unpack)
        self.queues = Queues(limits.lane_capacity, self.letters.drop, lambda: self._ring(""))
        self.leases = Leases(self._numbers)
        self.groups = Groups()
        self.processes = Processes()
        self.mail = Mail(self.ledger)
        self.timing = Timing(limits.delayed_capacity, self._let_out, self._refuse, lambda: self._ring(""))

    # Sending

    def post(self, sends: Iterable[Send], now_ms: int) -> list[Refusal]:
        """Store *sends*; return those for which there was no room."""
        refused = []
        for send in sends:
            if not self._accept(send, now_ms):
                self.ledger.refused(send.address)
                refused.append(Refusal(send, self._layer.full(send)))
        return refused

    def purge(self, channel: str, now_ms: int) -> int:
        """Drop what waits on *channel*, or for its time to go there; return how many messages that were."""
        waited = self.timing.take_for(channel)
        for what, _ in waited:
            if isinstance(what, Parcel):
                self.queues.end("purged", what, now_ms)
            else:
                self.letters.drop("purged", self._parcel(channel, what, now_ms), now_ms)
        return len(waited) + self.queues.purge(channel, now_ms)

    def replay(self, letter: str, now_ms: int) -> bool:
        """Send a dead letter again; return whether it was there, and there was room."""
        parcel = self.letters.find(letter)
        if parcel is None:
            return False
        fresh = parcel._replace(deadline_ms=now_ms + self.expiry_ms, lost=0)
        if not self.queues.put(fresh, self._layer.capacity_of(fresh.channel), now_ms):
            self.ledger.refused(fresh.channel)
            return False
        self.ledger.sent(fresh.channel)
        self.letters.bury([letter])
        return True

    # Handing out

    def take(self, channels: Sequence[str], now_ms: int) -> tuple[Parcel, Envelope] | None:
        """Return a message that can be read, of a channel by chance: a busy one must not starve the others."""
        for channel in random.sample(channels, len(channels)):
            while parcel := self.queues.take(channel, now_ms):
                try:
                    return parcel, self._layer.unpack(parcel.data)
                except CorruptMessage:
                    self.queues.end("corrupt", parcel, now_ms)
        return None

    def hand_out(self, channels: Sequence[str], limit: int, lease: str, now_ms: int) -> list[Delivery]:
        """Move messages into an open lease."""
        deliveries: list[Delivery] = []
        while len(deliveries) < limit and (taken := self.take(channels, now_ms)):
            parcel, (_, channel, lane, content, trail, *_) = taken
            number = self.leases.hold(lease, parcel)
            deliveries.append(Delivery(number, channel, lane, content, trail, parcel.lost + 1))
        return deliveries

    def settle(self, item: Finished, lease: str, now_ms: int) -> list[Refusal]:
        """Take a delivery out of *lease*, store what its consumer sent and go on in its lane; nothing if not held."""
        parcel = self.leases.let_go(lease, item.delivery.id)
        if parcel is None:
            return []
        refused = self.post(item.sends, now_ms)
        if item.later:
            self.timing.handle_later(parcel, item.later, now_ms)
        else:
            self.queues.release(parcel.lane, now_ms)
        return refused

    def fence(self, finished: Iterable[Finished]) -> None:
        """Count what a worker sent whose lease has ended, and leave it at that."""
        for send in (send for item in finished for send in item.sends):
            self.ledger.dropped("fenced", Parcel(0, send.address, send.lane, send.body))

    # Giving back

    def give_back(self, lease: str, numbers: Iterable[int]) -> None:
        """Put what *lease* holds of *numbers*, which rise, to the front of the channels."""
        held = (self.leases.let_go(lease, number) for number in numbers)
        self.queues.give_back([parcel for parcel in held if parcel])

    def bring_home(self, ended: Iterable[tuple[Parcel, bool]], now_ms: int) -> list[Reaped]:
        """
        Do what is due with the messages of leases that have ended, each with whether it had been begun.

        Returns those that had, and what became of them.
        """
        returning, reaped = [], []
        for parcel, begun in ended:
            if not begun:
                returning.append(parcel)
                continue
            fate, again = _fate(parcel)
            reaped.append(Reaped(parcel.channel, self._layer.unpack(parcel.data).trail, fate))
            if fate == Fate.REPEATED:
                returning.append(again)
            else:
                self.queues.end("worker_died", again, now_ms)
        self.queues.give_back(returning)
        return reaped

    # Processes and memberships

    def leave_will(self, lane: str, will: Will, now_ms: int) -> None:
        """Keep the will of *lane*'s connection."""
        self.processes.leave(lane, will, now_ms + self._lease_ms)

    def reap_process(self, now_ms: int) -> ReapedProcess | None:
        """See `base.ChannelLayer.reap_process`."""
        process = self.processes.overdue(now_ms)
        if process is None:
            return None
        wills = self.processes.bury(process)
        for lane, will in wills.items():
            self._put(will.address, Send(will.address, will.body, lane), now_ms, capacity=sys.maxsize)
        self.end_process(process, now_ms)
        return ReapedProcess(process, len(wills))

    def end_process(self, process: str, now_ms: int) -> None:
        """Forget the memberships and the mail of *process*."""
        for group, channel, _ in self.groups.of(process, now_ms):
            self.groups.discard(group, channel)
        self.mail.end_process(process)

    def tell_process(self, group: str, channel: str, deadline_ms: int) -> None:
        """Tell the process that *channel* belongs to, if to one, of a change of its membership."""
        process = names.process_of(channel)
        if process:
            self.mail.of(process).put_control(group, channel, deadline_ms)
            self._ring(process)

    def sweep(self, now_ms: int) -> None:
        """Forget what has expired where nobody looks: single-reader channels and idle groups."""
        if now_ms - self._swept_ms >= self.expiry_ms:
            self._swept_ms = now_ms
            self.queues.sweep(now_ms)
            self.groups.sweep(now_ms)
            self.timing.sweep(now_ms)

    def _accept(self, send: Send, now_ms: int) -> bool:
        """Store *send*, or drop it if its connection is over; return whether there was room."""
        if send.timed:
            return self.timing.send(send, now_ms)
        if send.to_group:
            self._send_to_group(send, now_ms)
        elif send.leaves and self.processes.has_left(send.lane, again=send.again):
            return True
        elif send.by_connection and self.processes.has_left(send.lane, again=False):
            self.ledger.dropped("process_died", Parcel(0, send.address, send.lane, send.body))
        elif not self._put(send.address, send, now_ms):
            return False
        elif send.will:
            self.leave_will(send.lane, send.will, now_ms)
        elif send.leaves:
            self.processes.void(send.lane)
        return True

    def _let_out(self, what: Send | Parcel, now_ms: int) -> bool:
        if isinstance(what, Parcel):
            self.queues.readmit(what._replace(deadline_ms=now_ms + self.expiry_ms))
        elif what.to_group:
            self._send_to_group(what, now_ms)
        else:
            return self._put(what.address, what, now_ms)
        return True

    def _refuse(self, waiting: Waiting) -> None:
        self.ledger.refused(waiting.channel)

    def _send_to_group(self, send: Send, now_ms: int) -> None:
        unlaned = send._replace(lane="")
        for place in self.groups.processes(send.address, now_ms) + self.groups.plain(send.address, now_ms):
            if not self._put(place, unlaned, now_ms):
                self.ledger.dropped("group_full", Parcel(0, place, "", send.body))

    def _put(self, place: str, send: Send, now_ms: int, capacity: int | None = None) -> bool:
        """Store *send* at *place*, a channel or, for a group's message, a process; return whether there was room."""
        process = names.process_of(place)
        parcel = self._parcel(place, send, now_ms)
        if process and self.processes.was_ended(process):
            self.ledger.sent(place)
            self.ledger.dropped("process_died", parcel)
            return True
        store = self.mail.of(process) if process else self.queues
        if not store.put(parcel, self._layer.capacity_of(place) if capacity is None else capacity, now_ms):
            return False
        self.ledger.sent(place)
        if process:
            self._ring(process)
        return True

    def _parcel(self, place: str, send: Send, now_ms: int) -> Parcel:
        deadline_ms = now_ms + self.expiry_ms
        if names.process_of(place):
            return Parcel(deadline_ms, send.address, "", send.body)
        return Parcel(deadline_ms, place, send.lane, send.body, self._layer.attempts_of(place))


def milliseconds(seconds: float) -> int:
    """Return whole milliseconds."""
    return int(seconds * 1000)


def _fate(parcel: Parcel) -> tuple[Fate, Parcel]:
    """Return what becomes of a message whose worker died, and the message as it goes on."""
    if not parcel.attempts:
        return Fate.DROPPED, parcel
    again = parcel._replace(lost=parcel.lost + 1)
    return (Fate.REPEATED if again.lost < again.attempts else Fate.BURIED), again
