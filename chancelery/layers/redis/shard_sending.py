"""Sending through a layer on several hosts: which of them a message belongs to, and what became of it there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from chancelery import names
from chancelery.exceptions import LayerUnavailable
from chancelery.layers.admission import require_send
from chancelery.layers.base import Refusal, Send
from chancelery.layers.redis.shard import Shard, numbers_of
from chancelery.layers.redis.shard_operations import ShardOperations
from chancelery.layers.rendezvous import Rendezvous


class ShardSending(ShardOperations):
    """A process-local channel is at home where its process is, a lane where its connection's process is."""

    _homes: Rendezvous

    def post(self, sends: Sequence[Send]) -> list[Refusal]:
        """See `base`. When one server does not answer, the others have got what is theirs nevertheless."""
        refused: list[tuple[int, Refusal]] = []
        failed: LayerUnavailable | None = None
        for index, part in self._parts(list(enumerate(sends))).items():
            try:
                refused += self._post(index, part)
            except LayerUnavailable as error:
                failed = error
        if failed is not None:
            raise failed
        return in_order(refused)

    async def apost(self, sends: Sequence[Send]) -> list[Refusal]:
        """
        See `base`.

        When one server does not answer, what was for it comes back refused, with LayerUnavailable as its error: it is
        unknown whether that was sent.
        """
        parts = self._parts(list(enumerate(sends)))
        found = await asyncio.gather(*(self._apost(index, part) for index, part in parts.items()))
        if found and all(isinstance(answer, LayerUnavailable) for answer in found):
            raise LayerUnavailable(str(found[0]))
        refused: dict[int, Refusal] = {}
        for part, answer in zip(parts.values(), found, strict=True):
            if isinstance(answer, LayerUnavailable):
                refused |= {number: Refusal(send, answer) for number, send in part}
            else:
                refused |= dict(answer)
        return [refused[number] for number in sorted(refused)]

    # Which server

    def _number(self, channel: str) -> int:
        return self._homes.choose(names.process_of(channel) or channel)

    def _home(self, channel: str) -> Shard:
        return self.shards[self._number(channel)]

    def _numbers(self, send: Send) -> Sequence[int]:
        return range(len(self.shards)) if send.to_group else (self._number(send.lane or send.address),)

    def _parts(self, sends: Sequence[tuple[int, Send]]) -> Mapping[int, list[tuple[int, Send]]]:
        for _, send in sends:  # all of a call, before anything is sent: servers are asked one by one
            require_send(send)
        return parts_of(sends, (self._numbers(send) for _, send in sends))

    def _post(self, index: int, part: Sequence[tuple[int, Send]]) -> list[tuple[int, Refusal]]:
        with self.shards[index].asked() as layer:
            refused = layer.post([send for _, send in part])
        return list(zip(numbers_of((refusal.send for refusal in refused), part), refused, strict=True))

    async def _apost(
        self, index: int, part: Sequence[tuple[int, Send]]
    ) -> list[tuple[int, Refusal]] | LayerUnavailable:
        try:
            with self.shards[index].asked() as layer:
                refused = await layer.apost([send for _, send in part])
        except LayerUnavailable as error:
            return error
        return list(zip(numbers_of((refusal.send for refusal in refused), part), refused, strict=True))


def parts_of(
    sends: Sequence[tuple[int, Send]], shards_of: Iterable[Sequence[int]]
) -> dict[int, list[tuple[int, Send]]]:
    """Return for each shard which of *sends*, with their numbers, go there, in order."""
    parts: dict[int, list[tuple[int, Send]]] = {}
    for numbered, shards in zip(sends, shards_of, strict=True):
        for shard in shards:
            parts.setdefault(shard, []).append(numbered)
    return parts


def in_order(refused: Iterable[tuple[int, Refusal]]) -> list[Refusal]:
    """Return refusals in the order of the numbers of what was sent; what several servers refused, once."""
    return [refusal for _, refusal in sorted(dict(refused).items())]
