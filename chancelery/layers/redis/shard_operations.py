"""The doors for operators of a layer on several hosts: sums over all of them, for which each has to answer."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from chancelery.exceptions import LayerUnavailable
from chancelery.layers.base import ChannelLayer, ChannelOverview, DeadLetter, LeaseOverview, Overview
from chancelery.layers.redis.layer import RedisChannelLayer
from chancelery.layers.redis.shard import Shard

Result = TypeVar("Result")


class ShardOperations(ChannelLayer):
    """Ids of dead letters bear the number of their server."""

    shards: tuple[Shard, ...]

    def flush(self) -> None:
        """See `base`."""
        self._receiver.forget()
        self._ask_all(RedisChannelLayer.flush)

    def global_statistics(self) -> dict[str, int]:
        """See `base`."""
        return _sum(self._ask_all(RedisChannelLayer.global_statistics))

    def channel_statistics(self, channel: str) -> dict[str, int]:
        """See `base`."""
        found = self._ask_all(lambda layer: layer.channel_statistics(channel))
        return {**_sum(found), "messages_max_age": max(each["messages_max_age"] for each in found)}

    def overview(self) -> Overview:
        """See `base`."""
        found = self._ask_all(RedisChannelLayer.overview)
        groups: Counter[str] = Counter()
        for each in found:
            groups.update(dict(each.groups))
        return Overview(
            now_ms=max(each.now_ms for each in found),
            channels=_channels(channel for each in found for channel in each.channels),
            processes=_channels(process for each in found for process in each.processes),
            groups=sorted(groups.items()),
            leases=_leases(lease for each in found for lease in each.leases),
            busy_lanes=sum(each.busy_lanes for each in found),
            dead_letters=sum(each.dead_letters for each in found),
            counters=_sum([each.counters for each in found]),
            delayed=sum(each.delayed for each in found),
        )

    def purge(self, channel: str) -> int:
        """See `base`."""
        return sum(self._ask_all(lambda layer: layer.purge(channel)))

    def tally(self, drops: Mapping[str, int]) -> None:
        """See `base`. Any server will do."""
        for number, shard in enumerate(self.shards, 1):
            try:
                with shard.asked() as layer:
                    return layer.tally(drops)
            except LayerUnavailable:
                if number == len(self.shards):
                    raise
        return None

    async def atally(self, drops: Mapping[str, int]) -> None:
        """See `base`. Any server will do."""
        for number, shard in enumerate(self.shards, 1):
            try:
                with shard.asked() as layer:
                    return await layer.atally(drops)
            except LayerUnavailable:
                if number == len(self.shards):
                    raise
        return None

    # Dead letters

    def dead_letters(self, limit: int = 100, after: str = "") -> list[DeadLetter]:
        """See `base`. Raises: ValueError for an *after* that is no id."""
        found = []
        for index, shard in enumerate(self.shards):
            with shard.asked() as layer:
                letters = layer.dead_letters(limit, self._after(after, index) if after else "")
            found.append([letter._replace(id=f"{letter.id}-{index}") for letter in letters])
        return list(heapq.merge(*found, key=_order))[: max(limit, 0)]

    def replay(self, ids: Sequence[str]) -> list[str]:
        """See `base`."""
        sent = self._each(ids, lambda layer, mine: layer.replay(mine))
        done = {f"{number}-{index}" for index, numbers in enumerate(sent) for number in numbers or ()}
        return [number for number in dict.fromkeys(ids) if number in done]

    def bury(self, ids: Sequence[str]) -> int:
        """See `base`."""
        return sum(number or 0 for number in self._each(ids, lambda layer, mine: layer.bury(mine)))

    def _each(self, ids: Sequence[str], act: Callable[[RedisChannelLayer, list[str]], Result]) -> list[Result | None]:
        answers: list[Result | None] = []
        for index, shard in enumerate(self.shards):
            mine = [number.removesuffix(f"-{index}") for number in ids if number.endswith(f"-{index}")]
            if not mine:
                answers.append(None)
                continue
            with shard.asked() as layer:
                answers.append(act(layer, mine))
        return answers

    def _after(self, number: str, index: int) -> str:
        """Return from where on a server's letters are behind the id *number*."""
        milliseconds, _, rest = number.partition("-")
        count, _, shard = rest.partition("-")
        if not all(part.isascii() and part.isdecimal() for part in (milliseconds, count, shard)):
            raise ValueError(f'the id of a dead letter is three numbers such as "1732292559123-0-1", not {number!r}')
        if index <= int(shard):
            return f"{milliseconds}-{count}"
        return f"{milliseconds}-{int(count) - 1}" if int(count) else f"{max(int(milliseconds) - 1, 0)}-{2**64 - 1}"

    def _ask_all(self, ask: Callable[[RedisChannelLayer], Result]) -> list[Result]:
        answers = []
        for shard in self.shards:
            with shard.asked() as layer:
                answers.append(ask(layer))
        return answers


def _order(letter: DeadLetter) -> tuple[int, ...]:
    return tuple(map(int, letter.id.split("-")))


def _sum(found: Iterable[Mapping[str, int]]) -> dict[str, int]:
    totals: dict[str, int] = {}
    for each in found:
        for name, number in each.items():
            totals[name] = totals.get(name, 0) + number
    return totals


def _channels(found: Iterable[ChannelOverview]) -> list[ChannelOverview]:
    merged: dict[str, ChannelOverview] = {}
    for new in found:
        old = merged.get(new.name, ChannelOverview(new.name, 0, 0, 0, 0))
        oldest_ms = max(old.oldest_ms, new.oldest_ms)
        merged[new.name] = ChannelOverview(
            new.name, old.pending + new.pending, oldest_ms, old.sent + new.sent, old.full + new.full
        )
    return sorted(merged.values())


def _leases(found: Iterable[LeaseOverview]) -> list[LeaseOverview]:
    merged: dict[str, LeaseOverview] = {}
    for new in found:
        old = merged.get(new.name, new._replace(held=0))
        merged[new.name] = LeaseOverview(new.name, old.held + new.held, min(old.left_ms, new.left_ms))
    return sorted(merged.values())
