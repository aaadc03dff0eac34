"""
`ShardedChannelLayer`: one layer on several Redis servers, put together from a whole layer on each.

Everything of one connection is on one server: a gateway process has a home by rendezvous hashing of its name, where its
mail is, its connections' lanes and wills, and their memberships. An ordinary channel's messages are where they were
sent from: those of a lane on the lane's server, others on the channel's home; workers fetch from all. A message to a
group goes to every server, which knows the members there. See `docs/decisions/0015-several-hosts.md`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from chancelery import names
from chancelery.deployment.address import Host
from chancelery.exceptions import InvalidChannelLayerError, LayerUnavailable
from chancelery.layers.base import Will
from chancelery.layers.mailbox import Collected
from chancelery.layers.redis.layer import RedisChannelLayer
from chancelery.layers.redis.shard import Shard, from_those_there
from chancelery.layers.redis.shard_leases import Lease
from chancelery.layers.redis.shard_workers import ShardWorkers
from chancelery.layers.rendezvous import Rendezvous


class ShardedChannelLayer(ShardWorkers):
    """
    A channel layer on several Redis servers.

    hosts: their URLs, or host and port of each, the same for every process, in any order.
    prefix: as `RedisChannelLayer`'s.
    """

    def __init__(self, *, hosts: Sequence[Host], prefix: str = "chancelery:", **options: Any) -> None:
        """options: as `ChannelLayer`'s."""
        super().__init__(**options)
        layers = [RedisChannelLayer(hosts=[host], prefix=prefix, **options) for host in hosts]
        self.shards = tuple(Shard(layer) for layer in layers)
        places = [shard.place for shard in self.shards]
        if len(set(places)) < len(places):
            raise InvalidChannelLayerError(f"hosts names a database twice: {', '.join(sorted(places))}")
        self._homes = Rendezvous(places)
        self._leases: dict[str, Lease] = {}
        self._reaping = 0

    # Groups

    def group_add(self, group: str, channel: str) -> None:
        """See `base`."""
        with self._home(names.require_channel(channel)).asked() as layer:
            layer.group_add(group, channel)

    def group_discard(self, group: str, channel: str) -> None:
        """See `base`."""
        with self._home(names.require_channel(channel)).asked() as layer:
            layer.group_discard(group, channel)

    def group_channels(self, group: str) -> list[str]:
        """See `base`. Members on a server that does not answer are left out."""
        return [
            channel for found in from_those_there(self.shards, lambda it: it.group_channels(group)) for channel in found
        ]

    def groups_of(self, process: str) -> list[tuple[str, str, int]]:
        """See `base`."""
        with self._home(process).asked() as layer:
            return layer.groups_of(process)

    async def agroups_of(self, process: str) -> list[tuple[str, str, int]]:
        """See `base`."""
        with self._home(process).asked() as layer:
            return await layer.agroups_of(process)

    async def adiscard(self, memberships: Sequence[tuple[str, str]]) -> None:
        """See `base`."""
        for index, shard in enumerate(self.shards):
            if mine := [pair for pair in memberships if self._number(pair[1]) == index]:
                with shard.asked() as layer:
                    await layer.adiscard(mine)

    # Gateways

    def collect(self, process: str, position: int, limit: int) -> Collected:
        """See `base`."""
        with self._home(process).asked() as layer:
            return layer.collect(process, position, limit)

    async def acollect(self, process: str, position: int, limit: int, timeout: float) -> Collected:  # noqa: ASYNC109 - the contract's
        """See `base`."""
        with self._home(process).asked() as layer:
            return await layer.acollect(process, position, limit, timeout)

    async def aleave_wills(self, wills: Sequence[tuple[str, Will]]) -> None:
        """See `base`."""
        for index, shard in enumerate(self.shards):
            if mine := [pair for pair in wills if self._number(pair[0]) == index]:
                with shard.asked() as layer:
                    await layer.aleave_wills(mine)

    async def aend_process(self, process: str) -> None:
        """See `base`."""
        with self._home(process).asked() as layer:
            await layer.aend_process(process)

    async def acheck(self) -> None:
        """See `base`. One server that answers and is new enough will do; `manage.py check --deploy` asks them all."""
        faults = [fault for fault in await asyncio.gather(*map(_fault, self.shards)) if fault is not None]
        if len(faults) == len(self.shards):
            raise faults[0]

    async def aclose(self) -> None:
        """See `base`."""
        for shard in self.shards:
            await shard.layer.aclose()

    def close(self) -> None:
        """See `base`."""
        for shard in self.shards:
            shard.layer.close()


async def _fault(shard: Shard) -> LayerUnavailable | None:
    try:
        await shard.layer.acheck()
    except LayerUnavailable as error:
        return error
    return None
