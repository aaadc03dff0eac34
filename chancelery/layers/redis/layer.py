"""
`RedisChannelLayer`: translates the layer's contract into script calls and their answers back.

The scripts hold the logic (`scripts/`, with every key described in `common.lua`); the modules of this folder hold none
of it. Here are groups and mail; each class beneath adds a part: `workers`, `sending`, `delays`, `operations`, `calls`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

from chancelery import names
from chancelery.deployment import connections, wire
from chancelery.deployment.address import Host
from chancelery.layers.base import Will
from chancelery.layers.mailbox import Collected
from chancelery.layers.redis import keys
from chancelery.layers.redis.workers import Workers

_SCAN_COUNT = 1000
_REAPED = 2


class RedisChannelLayer(Workers):
    """
    A channel layer in one Redis (7.0 or newer) or Valkey (7.2 or newer).

    hosts: a list with the URL of the server: `redis://`, `rediss://`, `unix://` or `sentinel://`; or its host and port.
    prefix: what every key starts with; layers that share a server and a prefix are one layer.
    """

    def __init__(self, *, hosts: Sequence[Host], prefix: str = "chancelery:", **options: Any) -> None:
        """options: as `ChannelLayer`'s."""
        super().__init__(hosts=hosts, prefix=prefix, **options)
        self._emptied: set[str] = set()

    # Channels 1's calls

    def group_add(self, group: str, channel: str) -> None:
        """See `base`."""
        self._change_membership([("add", group, channel)])

    def group_discard(self, group: str, channel: str) -> None:
        """See `base`."""
        self._change_membership([("discard", group, channel)])

    def group_channels(self, group: str) -> list[str]:
        """See `base`."""
        found = self._run(keys.MEMBERS, [self._now(), "group", names.require_group(group)])
        return [channel.decode() for channel in found]

    def flush(self) -> None:
        """See `base`."""
        client = self._client
        with connections.reporting(self.url):
            for batch in _batches(client.scan_iter(match=keys.glob(self.prefix), count=_SCAN_COUNT)):
                client.unlink(*batch)

    def channel_statistics(self, channel: str) -> dict[str, int]:
        """See `base`."""
        args = [self._now(), names.require_channel(channel), self._ms(self.limits.expiry)]
        sent, full, pending, age_ms = self._run(keys.STATISTICS, args)
        return {
            "messages_count": sent,
            "channel_full_count": full,
            "messages_pending": pending,
            "messages_max_age": int(age_ms) // 1000,
        }

    # The doors for gateways

    def collect(self, process: str, position: int, limit: int) -> Collected:
        """See `base`."""
        return _collected(self._run(keys.COLLECT, self._collecting(process, position, limit)))

    async def acollect(self, process: str, position: int, limit: int, timeout: float) -> Collected:  # noqa: ASYNC109
        """See `base`."""
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
        """See `base`."""
        return _memberships(self._run(keys.MEMBERS, [self._now(), "process", process]))

    async def agroups_of(self, process: str) -> list[tuple[str, str, int]]:
        """See `base`."""
        return _memberships(await self._arun(keys.MEMBERS, [self._now(), "process", process]))

    async def adiscard(self, memberships: Sequence[tuple[str, str]]) -> None:
        """See `base`."""
        if memberships:
            changes = [("discard", group, channel) for group, channel in memberships]
            await self._arun(keys.MEMBERSHIP, self._membership_args(changes))

    async def aleave_wills(self, wills: Sequence[tuple[str, Will]]) -> None:
        """See `base`."""
        args: list[Any] = [self._now(), "leave", self._ms(self.limits.lease_seconds)]
        for lane, will in wills:
            args += (lane, will.address, self._terms_of(will.address), will.body)
        await self._arun(keys.WILLS, args)

    async def aend_process(self, process: str) -> None:
        """See `base`."""
        await self._arun(keys.WILLS, [self._now(), "end", process])

    async def acheck(self) -> None:
        """See `base`."""
        with connections.reporting(self.url):
            info = await connections.async_client(self.url).info("server")
        connections.require_version(self.url, info)

    async def aclose(self) -> None:
        """See `base`."""
        wire.close_loop_wires(self.url)
        await connections.close_async(self.url)

    def close(self) -> None:
        """See `base`."""
        wire.close_thread_wire(self.url)
        connections.close_sync(self.url)

    def _collecting(self, process: str, position: int, limit: int) -> list[Any]:
        return [self._now(), process, position, limit, self._ms(self.limits.lease_seconds)]

    def _note(self, process: str, position: int, limit: int, collected: Collected) -> None:
        if not collected.lost and collected.position - position < limit:
            self._emptied.add(process)

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
