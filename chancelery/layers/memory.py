"""
A channel layer inside one process, for tests of consumers and for small sites without jobs.

Keeps the whole of the contract in `base`, and carries the same bytes as the Redis layer. Here are its doors: each takes
the time and does with the doorbell held what `_store` knows; readers sleep until it is rung, and nothing polls.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from chancelery import names
from chancelery.layers import base
from chancelery.layers._doorbell import Doorbell
from chancelery.layers._overview import channel_statistics, overview
from chancelery.layers._store import Store, milliseconds
from chancelery.layers.admission import require_finished, require_send
from chancelery.layers.base import (
    MAX_FETCH,
    DeadLetter,
    Delivery,
    Fetched,
    Finished,
    Overview,
    Reaped,
    ReapedProcess,
    Refusal,
    Send,
    Will,
)

if TYPE_CHECKING:
    from chancelery.layers.mailbox import Collected
    from chancelery.types import Content


class InMemoryChannelLayer(base.ChannelLayer):
    """The contract, in this process's memory: gone with the process, and unseen by any other."""

    def __init__(self, **options: Any) -> None:
        """options: as `base.ChannelLayer`'s."""
        super().__init__(**options)
        self._doorbell = Doorbell()
        self._store = Store(self, self._doorbell.ring)

    # Groups

    def group_add(self, group: str, channel: str) -> None:
        """See `base`."""
        names.require_group(group)
        names.require_channel(channel)
        with self._doorbell:
            if self._store.processes.was_ended(names.process_of(channel)):
                return
            deadline_ms = self._now_ms() + milliseconds(self.limits.group_expiry)
            self._store.groups.add(group, channel, deadline_ms)
            self._store.tell_process(group, channel, deadline_ms)

    def group_discard(self, group: str, channel: str) -> None:
        """See `base`."""
        names.require_group(group)
        names.require_channel(channel)
        with self._doorbell:
            if self._store.groups.discard(group, channel):
                self._store.tell_process(group, channel, 0)

    def group_channels(self, group: str) -> list[str]:
        """See `base`."""
        names.require_group(group)
        with self._doorbell:
            return self._store.groups.channels(group, self._now_ms())

    def groups_of(self, process: str) -> list[tuple[str, str, int]]:
        """See `base`."""
        with self._doorbell:
            return self._store.groups.of(process, self._now_ms())

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
        for send in sends:
            require_send(send)
        with self._doorbell:
            return self._store.post(sends, self._now_ms())

    async def apost(self, sends: Sequence[Send]) -> list[Refusal]:
        """See `base`."""
        return self.post(sends)

    # Leases

    def open_lease(self) -> str:
        """See `base`."""
        return names.random_part()

    def fetch(
        self,
        channels: Sequence[str],
        limit: int,
        lease: str,
        finished: Sequence[Finished] = (),
        *,
        begin: int = MAX_FETCH,
        begun: int = 0,
    ) -> Fetched:
        """See `base`."""
        for item in finished:
            require_finished(item)
        with self._doorbell:
            now_ms, store = self._now_ms(), self._store
            is_lost = not store.leases.knows(lease) and (finished or begun)  # something of it was handed out before
            if is_lost or not store.leases.open(lease, self._lease_deadline_ms()):
                store.fence(finished)
                return Fetched([], [], held=False)
            refused = [refusal for item in finished for refusal in store.settle(item, lease, now_ms)]
            deliveries = store.hand_out(channels, min(limit, MAX_FETCH), lease, now_ms)
            store.leases.begin(lease, max([begun, *(delivery.id for delivery in deliveries[:begin])]))
            return Fetched(deliveries, refused)

    def recover(self, lease: str, known: Sequence[Delivery]) -> None:
        """See `base`."""
        kept = {delivery.id for delivery in known}
        with self._doorbell:
            self._store.give_back(lease, [n for n in self._store.leases.numbers(lease) if n not in kept])

    def renew(self, leases: Sequence[str]) -> None:
        """See `base`."""
        with self._doorbell:
            self._store.leases.renew(leases, self._lease_deadline_ms())

    def close_lease(self, lease: str, unstarted: Sequence[Delivery] = ()) -> None:
        """See `base`."""
        with self._doorbell:
            ended = self._store.leases.end(lease, {delivery.id for delivery in unstarted})
            self._store.bring_home(ended, self._now_ms())

    def reap(self) -> list[Reaped]:
        """See `base`. Also forgets what has expired where nobody looks: single-reader channels and idle groups."""
        with self._doorbell:
            now_ms = self._now_ms()
            self._store.sweep(now_ms)
            return self._store.bring_home(self._store.leases.reap(now_ms), now_ms)

    def reap_process(self) -> ReapedProcess | None:
        """See `base`."""
        with self._doorbell:
            return self._store.reap_process(self._now_ms())

    def wait(self, channels: Sequence[str], timeout: float) -> None:
        """See `base`."""
        with self._doorbell:
            self._doorbell.wait(lambda: any(map(self._has_something, channels)), timeout)

    # Operators

    def global_statistics(self) -> dict[str, int]:
        """See `base`."""
        with self._doorbell:
            return self._store.ledger.in_total()

    def channel_statistics(self, channel: str) -> dict[str, int]:
        """See `base`. The channels of one process share their numbers, and so do the counts of those before one `?`."""
        with self._doorbell:
            return channel_statistics(self._store, channel, self._now_ms())

    def overview(self) -> Overview:
        """See `base`."""
        with self._doorbell:
            return overview(self._store, self._now_ms())

    def purge(self, channel: str) -> int:
        """See `base`."""
        names.require_purgeable(channel)
        with self._doorbell:
            return self._store.purge(channel, self._now_ms())

    def dead_letters(self, limit: int = 100, after: str = "") -> list[DeadLetter]:
        """See `base`."""
        with self._doorbell:
            return self._store.letters.listed(limit, after)

    def replay(self, ids: Sequence[str]) -> list[str]:
        """See `base`."""
        with self._doorbell:
            now_ms = self._now_ms()
            return [letter for letter in ids if self._store.replay(letter, now_ms)]

    def bury(self, ids: Sequence[str]) -> int:
        """See `base`."""
        with self._doorbell:
            return self._store.letters.bury(ids)

    def tally(self, drops: Mapping[str, int]) -> None:
        """See `base`."""
        with self._doorbell:
            self._store.ledger.tallied(drops)

    async def atally(self, drops: Mapping[str, int]) -> None:
        """See `base`."""
        self.tally(drops)

    def flush(self) -> None:
        """See `base`."""
        with self._doorbell:
            self._receiver.forget()
            self._store.clear()

    # Mail

    def collect(self, process: str, position: int, limit: int) -> Collected:
        """See `base`."""
        with self._doorbell:
            reaped = self._store.processes.renew(process, self._lease_deadline_ms())
            collected = self._store.mail.of(process).collect(position, limit, self._now_ms())
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
                self._store.leave_will(lane, will, self._now_ms())

    async def aend_process(self, process: str) -> None:
        """See `base`."""
        with self._doorbell:
            if self._store.processes.end(process):
                self._store.end_process(process, self._now_ms())

    # A server and its connections, of which there are none

    async def acheck(self) -> None:
        """See `base`. Nothing could fail to answer."""

    async def aclose(self) -> None:
        """See `base`."""

    def close(self) -> None:
        """See `base`."""

    # Time

    def _move_now(self) -> tuple[int, float]:
        with self._doorbell:
            moved = self._store.timing.move_due(self._now_ms())
            return moved, self._seconds_until_due()

    def _wait_until_due(self, seconds: float) -> None:
        with self._doorbell:
            first_ms = self._store.timing.next_ms  # which may have become another since it was looked at
            seconds = min(seconds, max(self._seconds_until_due(), 0))
            self._doorbell.wait(lambda: self._store.timing.next_ms < first_ms, seconds)

    # Called with the doorbell held

    def _seconds_until_due(self) -> float:
        return (self._store.timing.next_ms - self._now_ms()) / 1000

    def _now_ms(self) -> int:
        return milliseconds((self.clock or time.time)())

    def _lease_deadline_ms(self) -> int:
        return self._now_ms() + milliseconds(self.limits.lease_seconds)

    def _has_something(self, channel: str) -> bool:
        mail = self._store.mail.find(channel)
        return self._store.queues.pending(channel) > 0 if mail is None else mail.unread > 0

    def _pop(self, channels: Sequence[str]) -> tuple[str, Content] | None:
        with self._doorbell:
            now_ms = self._now_ms()
            taken = self._store.take(channels, now_ms)
            if taken is None:
                return None
            parcel, envelope = taken
            self._store.queues.release(parcel.lane, now_ms)
            return envelope.channel, envelope.content


ChannelLayer = InMemoryChannelLayer
