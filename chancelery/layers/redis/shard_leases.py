"""
The doors for workers of a layer on several hosts: one lease on all of them, under one name.

What is handed out gets ids of this layer's own, rising in the order in which it is handed out, and is remembered until
it is finished. A host that does not answer is told later what was finished of its messages; meanwhile the others go on.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from chancelery.exceptions import LayerUnavailable
from chancelery.layers.base import Delivery, Fetched, Finished, Refusal
from chancelery.layers.redis.shard import Shard, numbers_of


class Order(NamedTuple):
    """What a worker asks for."""

    channels: Sequence[str]
    limit: int
    begin: int


class _Given(NamedTuple):
    """A message that is out."""

    shard: int
    delivery: Delivery
    """As its shard knows it."""


class Untold(NamedTuple):
    """A message that is done with, of which its shard does not know yet."""

    finished: Finished
    numbers: tuple[int, ...]
    """Of its sends, among all of the call that brought it."""


class Lease:
    """What is out under one lease. Whoever uses it holds its `lock`."""

    def __init__(self, name: str, shards: Sequence[Shard]) -> None:
        self.name = name
        self.lock = threading.Lock()
        self._shards = shards
        self._out: dict[int, _Given] = {}
        self._untold: list[list[Untold]] = [[] for _ in shards]
        self._begun = [0] * len(shards)
        self._uncertain: set[int] = set()
        self._last_id = 0
        self._turn = 0

    def take(self, delivery: Delivery) -> tuple[int, Delivery] | None:
        """Return the shard of a delivery that is done with, and what it is there; None when it is not out."""
        return self._out.pop(delivery.id, None)

    def finish(self, shard: int, untold: Untold) -> None:
        """Take note that its shard has to be told."""
        self._untold[shard].append(untold)

    def exchange(self, order: Order, begun: int) -> tuple[Fetched, list[int]]:
        """Tell every shard what is new to it, and fetch. Return the numbers of what was refused beside its answer."""
        marks = self._marks(begun)
        self._turn += 1
        fetched: list[Delivery] = []
        refused: list[tuple[int, Refusal]] = []
        failed: list[LayerUnavailable] = []
        for index in self._rotation(order, marks):
            room = Order(order.channels, order.limit - len(fetched), max(order.begin - len(fetched), 0))
            try:
                found = self._ask(index, room, marks[index], refused)
            except LayerUnavailable as error:
                failed.append(error)
                self._uncertain.add(index)
                continue
            if not found.held:
                self._abandon(index, fetched)
                return Fetched([], [], held=False), []
            fetched += [self._given(index, delivery) for delivery in found.deliveries]
        if len(failed) == len(self._shards):
            raise failed[0]
        refused.sort(key=lambda pair: pair[0])
        return Fetched(fetched, [refusal for _, refusal in refused]), [number for number, _ in refused]

    def recover(self, known: Iterable[Delivery]) -> None:
        """Give back, on every shard, what is out beside *known* and what is done with."""
        kept = {delivery.id for delivery in known}
        self._out = {number: given for number, given in self._out.items() if number in kept}
        failed = []
        for index in range(len(self._shards)):
            try:
                self._recover(index)
            except LayerUnavailable as error:
                failed.append(error)
        if len(failed) == len(self._shards):
            raise failed[0]

    def close(self, unstarted: Iterable[Delivery]) -> None:
        """End it on every shard that answers; on the others it runs out."""
        listed = [given for delivery in unstarted if (given := self._out.get(delivery.id)) is not None]
        for index, shard in enumerate(self._shards):
            given_back = [given.delivery for given in listed if given.shard == index]
            try:
                if self._untold[index]:
                    self._ask(index, Order((), 0, 0), 0, [])
                with shard.asked() as layer:
                    layer.close_lease(self.name, given_back)
            except LayerUnavailable:
                continue
        self._out.clear()

    def _rotation(self, order: Order, marks: Sequence[int]) -> Iterator[int]:
        """Yield the shards that are concerned, each time beginning with another."""
        numbers = deque(range(len(self._shards)))
        numbers.rotate(self._turn)
        concerned = [index for index in numbers if self._untold[index] or marks[index]]
        yield from numbers if order.limit > 0 or not concerned else concerned

    def _marks(self, begun: int) -> list[int]:
        """Return for each shard the last of its deliveries that is begun, where that is news to it."""
        marks = [0] * len(self._shards)
        for number, given in self._out.items():
            if number <= begun and given.delivery.id > self._begun[given.shard]:
                marks[given.shard] = max(marks[given.shard], given.delivery.id)
        return marks

    def _ask(self, index: int, order: Order, mark: int, refused: list[tuple[int, Refusal]]) -> Fetched:
        if index in self._uncertain:
            self._recover(index)
        untold = list(self._untold[index])
        with self._shards[index].asked() as layer:
            limit, begin = order.limit, order.begin
            done = [item.finished for item in untold]
            found = layer.fetch(order.channels if limit > 0 else (), limit, self.name, done, begin=begin, begun=mark)
        del self._untold[index][: len(untold)]
        sends = [
            (number, send) for item in untold for number, send in zip(item.numbers, item.finished.sends, strict=True)
        ]
        numbers = numbers_of((refusal.send for refusal in found.refused), sends)
        refused += zip(numbers, found.refused, strict=True)
        begun_now = [delivery.id for delivery in found.deliveries[: order.begin]]
        self._begun[index] = max(self._begun[index], mark, *begun_now)
        return found

    def _recover(self, index: int) -> None:
        known = [given.delivery for given in self._out.values() if given.shard == index]
        known += [item.finished.delivery for item in self._untold[index]]
        with self._shards[index].asked() as layer:
            layer.recover(self.name, known)
        self._uncertain.discard(index)

    def _given(self, index: int, delivery: Delivery) -> Delivery:
        self._last_id += 1
        self._out[self._last_id] = _Given(index, delivery)
        return delivery._replace(id=self._last_id)

    def _abandon(self, ended: int, fetched: Sequence[Delivery]) -> None:
        """A reaper has ended it on one shard, so it ends on all: what has just been handed out goes back as well."""
        just_now = {delivery.id for delivery in fetched}
        for index, shard in enumerate(self._shards):
            if index == ended:
                continue
            mine = [
                given.delivery for number, given in self._out.items() if given.shard == index and number not in just_now
            ]
            begun = [delivery for delivery in mine if delivery.id <= self._begun[index]]
            begun += [item.finished.delivery for item in self._untold[index]]
            try:
                with shard.asked() as layer:
                    layer.recover(self.name, begun)
                    layer.close_lease(self.name)
            except LayerUnavailable:
                continue  # there it runs out
        self._out.clear()
        self._untold = [[] for _ in self._shards]
        self._begun = [0] * len(self._shards)
