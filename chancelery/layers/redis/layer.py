"""
`RedisChannelLayer`: translates the layer's contract into script calls and their answers back.

The scripts hold the logic (`scripts/`, with every key described in `common.lua`); this module holds none of it. Does
not import redis-py: connections come from `chancelery.deployment`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from chancelery import names, trail
from chancelery.deployment import connections, wire
from chancelery.deployment.address import Host, url_of_pair
from chancelery.exceptions import CorruptMessage, InvalidChannelLayerError
from chancelery.layers.admission import require_no_sends
from chancelery.layers.base import (
    MAX_FETCH,
    Delivery,
    Fate,
    Fetched,
    Finished,
    Reaped,
    ReapedProcess,
    Refusal,
    Send,
    Will,
)
from chancelery.layers.mailbox import Collected
from chancelery.layers.redis import keys
from chancelery.layers.redis.delays import Delays
from chancelery.log import Burst, room

if TYPE_CHECKING:
    from chancelery.trail import Trail
    from chancelery.types import Content

_log = room("layers.redis")
_burst = Burst(_log)
_SCAN_COUNT = 1000
_WILLS_AT_ONCE = 500
_REAPED = 2


class RedisChannelLayer(Delays):
    """
    A channel layer in one Redis (7.0 or newer) or Valkey (7.2 or newer).

    hosts: a list with the URL of the server: `redis://`, `rediss://`, `unix://` or `sentinel://`; or its host and port.
    prefix: what every key starts with; layers that share a server and a prefix are one layer.
    """

    def __init__(self, *, hosts: Sequence[Host], prefix: str = "chancelery:", **options: Any) -> None:
        """options: as `ChannelLayer`'s."""
        super().__init__(**options)
        self.url = _only_host(hosts)
        self.prefix = prefix
        self._terms: dict[str, int] = {}
        self._ids = itertools.count(1)
        self._emptied: set[str] = set()

    # Channels 1's calls

    def group_add(self, group: str, channel: str) -> None:
        self._change_membership([("add", group, channel)])

    def group_discard(self, group: str, channel: str) -> None:
        self._change_membership([("discard", group, channel)])

    def group_channels(self, group: str) -> list[str]:
        found = self._run(keys.MEMBERS, [self._now(), "group", names.require_group(group)])
        return [channel.decode() for channel in found]

    def flush(self) -> None:
        client = self._client
        with connections.reporting(self.url):
            for batch in _batches(client.scan_iter(match=keys.glob(self.prefix), count=_SCAN_COUNT)):
                client.unlink(*batch)

    def channel_statistics(self, channel: str) -> dict[str, int]:
        args = [self._now(), names.require_channel(channel), self._ms(self.limits.expiry)]
        sent, full, pending, age_ms = self._run(keys.STATISTICS, args)
        return {
            "messages_count": sent,
            "channel_full_count": full,
            "messages_pending": pending,
            "messages_max_age": int(age_ms) // 1000,
        }

    # The doors for workers

    def post(self, sends: Sequence[Send]) -> list[Refusal]:
        return self._refused(sends, self._run(keys.EXCHANGE, self._posting(sends))[1])

    def open_lease(self) -> str:
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
        args = self._exchange_head(lease, 0)
        args += (0, 0)
        first = self._add_order(args, channels, limit, begin)
        bells = ("BLPOP", *(f"{self.prefix}bell:{channel}" for channel in channels), timeout)
        _, _, envelopes, held = wire.thread_wire(self.url).run_after(bells, keys.EXCHANGE, self.prefix, args)
        return Fetched(self._deliveries(lease, first, begin, envelopes), [], bool(held))

    def _add_order(self, args: list[Any], channels: Sequence[str], limit: int, begin: int) -> int:
        """Add what is to be handed out; return the id that its first message will have."""
        # Drawn before the call: one whose answer was lost leaves ids that nobody else has, for `recover` to give back.
        first = self._draw_id()
        args += (min(limit, MAX_FETCH), first, begin, len(channels), *channels)
        return first

    def _draw_id(self) -> int:
        """Return an id greater than all that this process has used; it and the `MAX_FETCH` that follow are free."""
        return next(self._ids) * MAX_FETCH

    def recover(self, lease: str, known: Sequence[Delivery]) -> None:
        self._lease("recover", lease, self._draw_id(), *(delivery.id for delivery in known))

    def renew(self, leases: Sequence[str]) -> None:
        for record in self._lease("renew", self._ms(self.limits.lease_seconds), *leases):
            self._report(*record.split(b"\0", 1))

    def close_lease(self, lease: str, unstarted: Sequence[Delivery] = ()) -> None:
        self._lease("close", lease, *(delivery.id for delivery in unstarted))

    def reap(self) -> list[Reaped]:
        answer = self._lease("reap", "")
        self._sweep()
        return [
            Reaped(*self._seen(envelope), Fate(fate.decode()))
            for fate, envelope in zip(answer[::2], answer[1::2], strict=True)
        ]

    def reap_process(self) -> ReapedProcess | None:
        args = [self._now(), "reap", self._ms(self.limits.expiry), _WILLS_AT_ONCE]
        process, wills, found = self._run(keys.WILLS, args)
        return ReapedProcess(process.decode(), wills) if found else None

    def wait(self, channels: Sequence[str], timeout: float) -> None:
        bells = (f"{self.prefix}bell:{channel}" for channel in channels)
        wire.thread_wire(self.url).call("BLPOP", *bells, timeout)

    # The doors for gateways

    async def apost(self, sends: Sequence[Send]) -> list[Refusal]:
        answer = await self._arun(keys.EXCHANGE, self._posting(sends))
        return self._refused(sends, answer[1])

    def collect(self, process: str, position: int, limit: int) -> Collected:
        return _collected(self._run(keys.COLLECT, self._collecting(process, position, limit)))

    async def acollect(self, process: str, position: int, limit: int, timeout: float) -> Collected:  # noqa: ASYNC109
        args = self._collecting(process, position, limit)
        # After a read that emptied the list, whatever came since has rung the bell: wait for that and read right after.
        if process not in self._emptied:
            collected = _collected(await self._arun(keys.COLLECT, args))
            self._note(process, position, limit, collected)
            if collected.entries or collected.lost or collected.position != position:
                return collected
        self._emptied.discard(process)
        bell = ("BLPOP", f"{self.prefix}bell:{process}", timeout)
        mail = wire.loop_wire(self.url, process)
        collected = _collected(await mail.run_after(bell, keys.COLLECT, self.prefix, args))
        self._note(process, position, limit, collected)
        return collected

    def groups_of(self, process: str) -> list[tuple[str, str, int]]:
        return _memberships(self._run(keys.MEMBERS, [self._now(), "process", process]))

    async def agroups_of(self, process: str) -> list[tuple[str, str, int]]:
        return _memberships(await self._arun(keys.MEMBERS, [self._now(), "process", process]))

    async def adiscard(self, memberships: Sequence[tuple[str, str]]) -> None:
        if memberships:
            changes = [("discard", group, channel) for group, channel in memberships]
            await self._arun(keys.MEMBERSHIP, self._membership_args(changes))

    async def aleave_wills(self, wills: Sequence[tuple[str, Will]]) -> None:
        args: list[Any] = [self._now(), "leave", self._ms(self.limits.lease_seconds)]
        for lane, will in wills:
            args += (lane, will.address, self._terms_of(will.address), will.body)
        await self._arun(keys.WILLS, args)

    async def aend_process(self, process: str) -> None:
        await self._arun(keys.WILLS, [self._now(), "end", process])

    async def acheck(self) -> None:
        with connections.reporting(self.url):
            info = await connections.async_client(self.url).info("server")
        connections.require_version(self.url, info)

    async def aclose(self) -> None:
        wire.close_loop_wires(self.url)
        await connections.close_async(self.url)

    def close(self) -> None:
        wire.close_thread_wire(self.url)
        connections.close_sync(self.url)

    # How calls become scripts

    @property
    def _client(self) -> Any:
        return connections.sync_client(self.url)

    def _lease(self, operation: str, *args: Any) -> Any:
        return self._run(keys.LEASE, [self._now(), self.limits.dead_letters, operation, *args])

    def _collecting(self, process: str, position: int, limit: int) -> list[Any]:
        return [self._now(), process, position, limit, self._ms(self.limits.lease_seconds)]

    def _note(self, process: str, position: int, limit: int, collected: Collected) -> None:
        if not collected.lost and collected.position - position < limit:
            self._emptied.add(process)

    def _run(self, script: Any, args: list[Any]) -> Any:
        return wire.thread_wire(self.url).run(script, self.prefix, args)

    async def _arun(self, script: Any, args: list[Any]) -> Any:
        return await wire.loop_wire(self.url).run(script, self.prefix, args)

    def _now(self) -> int | str:
        return "" if self.clock is None else self._ms(self.clock())

    @staticmethod
    def _ms(seconds: float) -> int:
        return int(seconds * 1000)

    def _posting(self, sends: Sequence[Send]) -> list[Any]:
        args = self._exchange_head("", 0)
        args += (1, len(sends), "", "", len(sends))
        self._add_sends(args, sends)
        args += (0, 0, 0, 0)
        return args

    def _exchange_head(self, lease: str, begun: int) -> list[Any]:
        limits = self.limits
        return [
            self._now(),
            lease,
            self._ms(limits.lease_seconds),
            self._ms(limits.expiry),
            limits.lane_capacity,
            limits.process_capacity,
            limits.dead_letters,
            begun,
        ]

    def _add_sends(self, args: list[Any], sends: Sequence[Send]) -> None:
        args += [send.lane and names.require_channel(send.lane) for send in sends]
        for send in sends:
            address, body, _, to_group, will, leaves, again, by_connection, delay_ms, due_ms, coalesce = send
            if delay_ms or due_ms or coalesce:
                args += self._timed(send)
            elif to_group:
                args += ("g", names.require_group(address), 0, body)
            else:
                kind = "o" if will else ("y" if again else "x") if leaves else "r" if by_connection else "c"
                args += (kind, names.require_channel(address), self._terms_of(address), body)
                if will:
                    args += (names.require_channel(will.address), self._terms_of(will.address), will.body)

    def _terms_of(self, channel: str) -> int:
        found = self._terms.get(channel)
        if found is None:
            found = keys.terms(self.capacity_of(channel), self.attempts_of(channel))
            if "?" not in channel and "!" not in channel:  # those have names without end
                self._terms[channel] = found
        return found

    def _refused(self, sends: Sequence[Send], numbers: Iterable[int]) -> list[Refusal]:
        return [Refusal(sends[number - 1], self.full(sends[number - 1])) for number in numbers]

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

    def _change_membership(self, changes: Sequence[tuple[str, str, str]]) -> None:
        for _, group, channel in changes:
            names.require_group(group)
            names.require_channel(channel)
        self._run(keys.MEMBERSHIP, self._membership_args(changes))

    def _membership_args(self, changes: Sequence[tuple[str, str, str]]) -> list[Any]:
        args = [self._now(), self._ms(self.limits.group_expiry), self.limits.process_capacity]
        for operation, group, channel in changes:
            args += (operation, group, channel, self._terms_of(channel))
        return args

    def _pop(self, channels: Sequence[str]) -> tuple[str, Content] | None:
        lease = self.open_lease()
        deliveries = self.fetch(channels, 1, lease).deliveries
        if deliveries:
            self.finish([Finished(deliveries[0])], lease)
        self.close_lease(lease)
        return (deliveries[0].channel, deliveries[0].content) if deliveries else None


def _only_host(hosts: Sequence[Host]) -> str:
    urls = [url_of_pair(host) for host in hosts] if isinstance(hosts, list | tuple) else []
    if not urls or not all(isinstance(url, str) for url in urls):
        raise InvalidChannelLayerError(
            f'hosts is a list with the URL of a Redis, such as ["redis://127.0.0.1:6379"], not {hosts!r}'
        )
    if len(urls) > 1:
        raise InvalidChannelLayerError(
            f"hosts names {len(urls)} servers, and a RedisChannelLayer lives on one: name the BACKEND "
            f"chancelery.layers.redis, without a class"
        )
    url = str(urls[0])
    if not url.startswith(("redis://", "rediss://", "unix://", "sentinel://")):
        raise InvalidChannelLayerError(
            f"hosts: {connections.without_password(url)} is no URL of a Redis: use redis://, rediss://, unix:// "
            f"or sentinel://"
        )
    return url


def _collected(answer: Any) -> Collected:
    now_ms, position, entries, lost = answer
    return Collected(now_ms, position, entries, lost=bool(lost), reaped=lost == _REAPED)


def _memberships(flat: list[bytes]) -> list[tuple[str, str, int]]:
    triples = itertools.batched(flat, 3) if hasattr(itertools, "batched") else zip(*[iter(flat)] * 3, strict=True)
    return [(group.decode(), channel.decode(), int(deadline)) for group, channel, deadline in triples]


def _batches(found: Iterable[bytes]) -> Iterable[list[bytes]]:
    iterator = iter(found)
    while batch := list(itertools.islice(iterator, _SCAN_COUNT)):
        yield batch
