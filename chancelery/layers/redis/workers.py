"""
The doors for workers of the Redis layer: leases, and what is handed out under them.

What the scripts hand out that cannot be read is taken out of its lease and counted here.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from chancelery import names, trail
from chancelery.deployment import wire
from chancelery.exceptions import CorruptMessage
from chancelery.layers.admission import require_no_sends
from chancelery.layers.base import MAX_FETCH, Delivery, Fate, Fetched, Finished, Reaped, ReapedProcess
from chancelery.layers.redis import keys
from chancelery.layers.redis.sending import Sending
from chancelery.log import Burst, room

if TYPE_CHECKING:
    from chancelery.trail import Trail
    from chancelery.types import Content

_burst = Burst(room("layers.redis"))
_WILLS_AT_ONCE = 500


class Workers(Sending):
    """The ids of deliveries are drawn by this process, each once."""

    def __init__(self, **options: Any) -> None:
        """options: as `RedisChannelLayer`'s."""
        super().__init__(**options)
        self._ids = itertools.count(1)

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
        sends = [send for item in finished for send in item.sends]
        args = self._exchange_head(lease, begun)
        args += (len(finished), len(sends))
        args += [item.delivery.id for item in finished]
        args += [item.delivery.lane for item in finished]
        args += [len(item.sends) if item.later is None else "l" for item in finished]
        self._add_sends(args, sends)
        for item in finished:
            if item.later is not None:
                require_no_sends(item)
                args += item.later
        first = self._add_order(args, channels, limit, begin)
        _, refused, envelopes, held = self._run(keys.EXCHANGE, args)
        return Fetched(self._deliveries(lease, first, begin, envelopes), self._refused(sends, refused), bool(held))

    def fetch_when_ready(
        self, channels: Sequence[str], limit: int, lease: str, timeout: float, *, begin: int = MAX_FETCH
    ) -> Fetched:
        """See `base`."""
        args = self._exchange_head(lease, 0)
        args += (0, 0)
        first = self._add_order(args, channels, limit, begin)
        bells = ("BLPOP", *(f"{self.prefix}bell:{channel}" for channel in channels), timeout)
        _, _, envelopes, held = wire.thread_wire(self.url).run_after(bells, keys.EXCHANGE, self.prefix, args)
        return Fetched(self._deliveries(lease, first, begin, envelopes), [], bool(held))

    def recover(self, lease: str, known: Sequence[Delivery]) -> None:
        """See `base`."""
        self._lease("recover", lease, self._draw_id(), *(delivery.id for delivery in known))

    def renew(self, leases: Sequence[str]) -> None:
        """See `base`."""
        for record in self._lease("renew", self._ms(self.limits.lease_seconds), *leases):
            self._report(*record.split(b"\0", 1))

    def close_lease(self, lease: str, unstarted: Sequence[Delivery] = ()) -> None:
        """See `base`."""
        self._lease("close", lease, *(delivery.id for delivery in unstarted))

    def reap(self) -> list[Reaped]:
        """See `base`."""
        answer = self._lease("reap", "")
        self._sweep()
        return [
            Reaped(*self._seen(envelope), Fate(fate.decode()))
            for fate, envelope in zip(answer[::2], answer[1::2], strict=True)
        ]

    def reap_process(self) -> ReapedProcess | None:
        """See `base`."""
        args = [self._now(), "reap", self._ms(self.limits.expiry), _WILLS_AT_ONCE]
        process, wills, found = self._run(keys.WILLS, args)
        return ReapedProcess(process.decode(), wills) if found else None

    def wait(self, channels: Sequence[str], timeout: float) -> None:
        """See `base`."""
        bells = (f"{self.prefix}bell:{channel}" for channel in channels)
        wire.thread_wire(self.url).call("BLPOP", *bells, timeout)

    def _pop(self, channels: Sequence[str]) -> tuple[str, Content] | None:
        lease = self.open_lease()
        deliveries = self.fetch(channels, 1, lease).deliveries
        if deliveries:
            self.finish([Finished(deliveries[0])], lease)
        self.close_lease(lease)
        return (deliveries[0].channel, deliveries[0].content) if deliveries else None

    def _add_order(self, args: list[Any], channels: Sequence[str], limit: int, begin: int) -> int:
        """Add what is to be handed out; return the id that its first message will have."""
        # Drawn before the call: one whose answer was lost leaves ids that nobody else has, for `recover` to give back.
        first = self._draw_id()
        args += (min(limit, MAX_FETCH), first, begin, len(channels), *channels)
        return first

    def _draw_id(self) -> int:
        """Return an id greater than all that this process has used; it and the `MAX_FETCH` that follow are free."""
        return next(self._ids) * MAX_FETCH

    def _lease(self, operation: str, *args: Any) -> Any:
        return self._run(keys.LEASE, [self._now(), self.limits.dead_letters, operation, *args])

    def _deliveries(self, lease: str, first: int, begin: int, envelopes: Iterable[bytes]) -> list[Delivery]:
        found: list[Delivery] = []
        unreadable: list[int] = []
        for number, data in enumerate(envelopes, first):
            try:
                _, channel, lane, content, trail, _, lost = self.unpack(data)
            except CorruptMessage as error:
                _burst.say("corrupt", "dropped a message that cannot be read: %s", error)
                unreadable.append(number)
            else:
                found.append(Delivery(number, channel, lane, content, trail, lost + 1))
        if unreadable:
            begun = found[min(begin, len(found)) - 1].id if found and begin else 0
            self._lease("corrupt", lease, begun, *unreadable)
        return found

    def _seen(self, data: bytes) -> tuple[str, Trail]:
        """Return channel and trail of an envelope, of which the head is whole at least."""
        try:
            envelope = self.unpack(data)
        except CorruptMessage:
            return keys.address_of(data)[0], ()
        return envelope.channel, envelope.trail

    def _report(self, reason: bytes, data: bytes) -> None:
        channel, way = self._seen(data)
        _burst.say(
            f"{reason.decode()} {names.process_of(channel) or channel.partition('?')[0]}",
            "dropped a message on %s (%s), which came this way: %s",
            channel,
            reason.decode(),
            trail.describe(way),
        )
