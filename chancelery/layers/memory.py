"""
A channel layer inside one process, for tests of consumers and for small sites without jobs.

Keeps the whole of the contract in `base`, and carries the same bytes as the Redis layer. Everything is done with the
doorbell held; readers sleep until it is rung for them, and nothing polls.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from chancelery import names
from chancelery.exceptions import CorruptMessage
from chancelery.layers import base, codec
from chancelery.layers._doorbell import Doorbell
from chancelery.layers._groups import Groups
from chancelery.layers._leases import Leases
from chancelery.layers._ledger import Ledger, Parcel
from chancelery.layers._mail import MailList
from chancelery.layers._processes import Processes
from chancelery.layers._queues import Queues
from chancelery.layers.base import Delivery, Fetched, Finished, Reaped, ReapedProcess, Refusal, Send, Will

if TYPE_CHECKING:
    from chancelery.layers.mailbox import Collected
    from chancelery.types import Content


class InMemoryChannelLayer(base.ChannelLayer):
    """The contract, in this process's memory: gone with the process, and unseen by any other."""

    def __init__(self, **options: Any) -> None:
        """options: as `base.ChannelLayer`'s."""
        super().__init__(**options)
        self._doorbell = Doorbell()
        self._leases = Leases()
        self._first_position = 0
        self._swept_ms = 0
        self._clear()

    # Groups

    def group_add(self, group: str, channel: str) -> None:
        """See `base`."""
        names.require_group(group)
        names.require_channel(channel)
        with self._doorbell:
            deadline_ms = self._now_ms() + _ms(self.limits.group_expiry)
            self._groups.add(group, channel, deadline_ms)
            self._tell_process(group, channel, deadline_ms)

    def group_discard(self, group: str, channel: str) -> None:
        """See `base`."""
        names.require_group(group)
        names.require_channel(channel)
        with self._doorbell:
            if self._groups.discard(group, channel):
                self._tell_process(group, channel, 0)

    def group_channels(self, group: str) -> list[str]:
        """See `base`."""
        names.require_group(group)
        with self._doorbell:
            return self._groups.channels(group, self._now_ms())

    def groups_of(self, process: str) -> list[tuple[str, str, int]]:
        """See `base`."""
        with self._doorbell:
            return self._groups.of(process, self._now_ms())

    async def agroups_of(self, process: str) -> list[tuple[str, str, int]]:
        """See `base`."""
        return self.groups_of(process)

    async def adiscard(self, memberships: Sequence[tuple[str, str]]) -> None:
        """See `base`."""
        for group, channel in memberships:
            self.group_discard(group, channel)

    # Sending

    def post(self, sends: Sequence[Send]) -> list[Refusal]:
        """See `base`."""
        _require_names(sends)
        with self._doorbell:
            return self._store(sends, self._now_ms())

    async def apost(self, sends: Sequence[Send]) -> list[Refusal]:
        """See `base`."""
        return self.post(sends)

    # Leases

    def open_lease(self) -> str:
        """See `base`."""
        lease = names.random_part()
        with self._doorbell:
            self._leases.open(lease, self._lease_deadline_ms())
        return lease

    def fetch(self, channels: Sequence[str], limit: int, lease: str, finished: Sequence[Finished] = ()) -> Fetched:
        """See `base`."""
        _require_names(send for item in finished for send in item.sends)
        with self._doorbell:
            now_ms = self._now_ms()
            refused = [refusal for item in finished for refusal in self._settle(item, lease, now_ms)]
            self._leases.renew([lease], self._lease_deadline_ms())
            return Fetched(self._hand_out(channels, limit, lease, now_ms), refused)

    def recover(self, lease: str, known: Sequence[Delivery]) -> None:
        """See `base`."""
        kept = {delivery.id for delivery in known}
        with self._doorbell:
            self._give_back(lease, [number for number in self._leases.numbers(lease) if number not in kept])

    def renew(self, leases: Sequence[str]) -> None:
        """See `base`."""
        with self._doorbell:
            self._leases.renew(leases, self._lease_deadline_ms())

    def close_lease(self, lease: str, unstarted: Sequence[Delivery] = ()) -> None:
        """See `base`."""
        with self._doorbell:
            self._give_back(lease, sorted(delivery.id for delivery in unstarted))
            self._end_lease(lease)

    def reap(self) -> list[Reaped]:
        """See `base`. Also forgets what has expired where nobody looks: single-reader channels and idle groups."""
        with self._doorbell:
            now_ms = self._now_ms()
            self._sweep(now_ms)
            return [reaped for lease in self._leases.overdue(now_ms) for reaped in self._end_lease(lease)]

    def reap_process(self) -> ReapedProcess | None:
        """See `base`."""
        with self._doorbell:
            now_ms = self._now_ms()
            process = self._processes.overdue(now_ms)
            if process is None:
                return None
            wills = self._processes.bury(process)
            for lane, will in wills.items():
                self._put(will.address, Send(will.address, will.body, lane), now_ms, capacity=sys.maxsize)
            self._forget_process(process, now_ms)
            return ReapedProcess(process, len(wills))

    def wait(self, channels: Sequence[str], timeout: float) -> None:
        """See `base`."""
        with self._doorbell:
            self._doorbell.wait(lambda: any(map(self._has_something, channels)), timeout)

    # Mail

    def collect(self, process: str, position: int, limit: int) -> Collected:
        """See `base`."""
        with self._doorbell:
            reaped = self._processes.renew(process, self._lease_deadline_ms())
            collected = self._mail_of(process).collect(position, limit, self._now_ms())
            return collected._replace(lost=collected.lost or reaped, reaped=reaped)

    async def acollect(self, process: str, position: int, limit: int, timeout: float) -> Collected:  # noqa: ASYNC109 - the contract's
        """See `base`."""
        collected = self.collect(process, position, limit)
        if collected.entries or collected.lost:
            return collected
        await self._doorbell.listen(process, lambda: self._has_something(process), timeout)
        return self.collect(process, collected.position, limit)

    async def aleave_wills(self, wills: Sequence[tuple[str, Will]]) -> None:
        """See `base`."""
        with self._doorbell:
            for lane, will in wills:
                self._processes.leave(lane, will, self._lease_deadline_ms())

    async def aend_process(self, process: str) -> None:
        """See `base`."""
        with self._doorbell:
            if self._processes.end(process):
                self._forget_process(process, self._now_ms())

    # Upkeep

    def flush(self) -> None:
        """See `base`."""
        with self._doorbell:
            self._first_position = 1 + max((mail.end for mail in self._mail_lists.values()), default=0)
            self._leases.end_all()
            self._mailboxes.clear()
            self._clear()

    def global_statistics(self) -> dict[str, int]:
        """See `base`."""
        with self._doorbell:
            return self._ledger.in_total()

    def channel_statistics(self, channel: str) -> dict[str, int]:
        """See `base`. The channels of one process share their numbers, and so do the counts of those before one `?`."""
        with self._doorbell:
            pending, oldest = self._waiting_on(channel)
            age_ms = self._now_ms() - oldest.deadline_ms + _ms(self.limits.expiry) if oldest else 0
            counts = self._ledger.of_channel(channel)
            return {**counts, "messages_pending": pending, "messages_max_age": age_ms // 1000}

    async def acheck(self) -> None:
        """See `base`. There is no server that could fail to answer."""

    async def aclose(self) -> None:
        """See `base`. There is no connection."""

    def close(self) -> None:
        """See `base`. There is no connection."""

    # Everything below is called with the doorbell held

    def _clear(self) -> None:
        self._ledger = Ledger()
        self._queues = Queues(self.limits.lane_capacity, self._ledger, self._doorbell.ring)
        self._groups = Groups()
        self._processes = Processes()
        self._mail_lists: dict[str, MailList] = {}

    def _now_ms(self) -> int:
        return _ms((self.clock or time.time)())

    def _lease_deadline_ms(self) -> int:
        return self._now_ms() + _ms(self.limits.lease_seconds)

    def _store(self, sends: Iterable[Send], now_ms: int) -> list[Refusal]:
        refused = []
        for send in sends:
            if send.to_group:
                self._store_for_group(send, now_ms)
            elif not self._put(send.address, send, now_ms):
                self._ledger.refused(send.address)
                refused.append(Refusal(send, self.full(send)))
            elif send.will:
                self._processes.leave(send.lane, send.will, self._lease_deadline_ms())
            elif send.leaves:
                self._processes.void(send.lane)
        return refused

    def _store_for_group(self, send: Send, now_ms: int) -> None:
        unlaned = send._replace(lane="")
        for place in self._groups.processes(send.address, now_ms) + self._groups.plain(send.address, now_ms):
            if not self._put(place, unlaned, now_ms):
                self._ledger.dropped("group_full", Parcel(0, place, "", codec.pack(0, place, "", send.body)))

    def _put(self, place: str, send: Send, now_ms: int, capacity: int | None = None) -> bool:
        """Store *send* at *place*, a channel or, for a group's message, a process; return whether there was room."""
        process = names.process_of(place)
        channel, lane = (send.address, "") if process else (place, send.lane)
        deadline_ms = now_ms + _ms(self.limits.expiry)
        parcel = Parcel(deadline_ms, channel, lane, codec.pack(deadline_ms, channel, lane, send.body))
        store = self._mail_of(process) if process else self._queues
        if not store.put(parcel, self.capacity_of(place) if capacity is None else capacity, now_ms):
            return False
        self._ledger.sent(place)
        if process:
            self._doorbell.ring(process)
        return True

    def _settle(self, item: Finished, lease: str, now_ms: int) -> list[Refusal]:
        parcel = self._leases.let_go(lease, item.delivery.id)
        if parcel is None:
            return []
        refused = self._store(item.sends, now_ms)
        self._queues.release(parcel.lane, now_ms)
        return refused

    def _hand_out(self, channels: Sequence[str], limit: int, lease: str, now_ms: int) -> list[Delivery]:
        deliveries: list[Delivery] = []
        if channels and limit > 0:
            self._leases.open(lease, self._lease_deadline_ms())
        while len(deliveries) < limit and (taken := self._take(channels, now_ms)):
            parcel, envelope = taken
            number = self._leases.hold(lease, parcel)
            deliveries.append(Delivery(number, envelope.channel, envelope.lane, envelope.content, envelope.trail))
        return deliveries

    def _take(self, channels: Sequence[str], now_ms: int) -> tuple[Parcel, codec.Envelope] | None:
        """Return a message that can be read, of a channel by chance: a busy one must not starve the others."""
        for channel in random.sample(channels, len(channels)):
            while parcel := self._queues.take(channel, now_ms):
                try:
                    return parcel, codec.unpack(parcel.data)
                except CorruptMessage:
                    self._ledger.dropped("corrupt", parcel)
                    self._queues.release(parcel.lane, now_ms)
        return None

    def _pop(self, channels: Sequence[str]) -> tuple[str, Content] | None:
        with self._doorbell:
            now_ms = self._now_ms()
            taken = self._take(channels, now_ms)
            if taken is None:
                return None
            parcel, envelope = taken
            self._queues.release(parcel.lane, now_ms)
            return envelope.channel, envelope.content

    def _give_back(self, lease: str, numbers: Iterable[int]) -> None:
        held = (self._leases.let_go(lease, number) for number in numbers)
        self._queues.give_back([parcel for parcel in held if parcel])

    def _end_lease(self, lease: str) -> list[Reaped]:
        reaped, now_ms = [], self._now_ms()
        for parcel in self._leases.end(lease):
            self._ledger.dropped("worker_died", parcel)
            self._queues.release(parcel.lane, now_ms)
            reaped.append(Reaped(parcel.channel, codec.unpack(parcel.data).trail))
        return reaped

    def _forget_process(self, process: str, now_ms: int) -> None:
        for group, channel, _ in self._groups.of(process, now_ms):
            self._groups.discard(group, channel)
        self._mail_lists.pop(process, None)

    def _sweep(self, now_ms: int) -> None:
        if now_ms - self._swept_ms >= _ms(self.limits.expiry):
            self._swept_ms = now_ms
            self._queues.sweep(now_ms)
            self._groups.sweep(now_ms)

    def _mail_of(self, process: str) -> MailList:
        if process not in self._mail_lists:
            self._mail_lists[process] = MailList(self._first_position, self._ledger)
        return self._mail_lists[process]

    def _tell_process(self, group: str, channel: str, deadline_ms: int) -> None:
        process = names.process_of(channel)
        if process:
            self._mail_of(process).put_control(group, channel, deadline_ms)
            self._doorbell.ring(process)

    def _has_something(self, channel: str) -> bool:
        mail = self._mail_lists.get(channel)
        return self._queues.pending(channel) > 0 if mail is None else mail.has_news

    def _waiting_on(self, channel: str) -> tuple[int, Parcel | None]:
        mail = self._mail_lists.get(names.process_of(channel))
        if mail is None:
            return self._queues.pending(channel), self._queues.oldest(channel)
        return mail.pending, mail.oldest


def _ms(seconds: float) -> int:
    return int(seconds * 1000)


def _require_names(sends: Iterable[Send]) -> None:
    for send in sends:
        if send.to_group:
            names.require_group(send.address)
        else:
            names.require_channel(send.address)
        if send.lane:
            names.require_channel(send.lane)


ChannelLayer = InMemoryChannelLayer
