"""
The doors for workers of a layer on several hosts, which fetch from all of them under one lease.

A consumer's sends to its message's own host are stored together with the end of the message. Those to others are posted
before, once, and only while the message is still the worker's.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from chancelery import names
from chancelery.deployment import wire
from chancelery.deployment.bells import wait_for_any
from chancelery.exceptions import LayerUnavailable
from chancelery.layers.admission import require_finished
from chancelery.layers.base import MAX_FETCH, Delivery, Fetched, Finished, Reaped, ReapedProcess, Refusal, Send
from chancelery.layers.redis.keys import DELAYED_BELL
from chancelery.layers.redis.layer import RedisChannelLayer
from chancelery.layers.redis.shard import from_those_there
from chancelery.layers.redis.shard_leases import Lease, Order, Untold
from chancelery.layers.redis.shard_sending import ShardSending, in_order
from chancelery.log import Burst, room

if TYPE_CHECKING:
    from chancelery.types import Content

_burst = Burst(room("layers.redis"))


class ShardWorkers(ShardSending):
    """One server that does not answer holds nobody up; when none does, LayerUnavailable is raised."""

    _leases: dict[str, Lease]
    _reaping = 0

    def open_lease(self) -> str:
        """See `base`."""
        name = names.random_part()
        self._leases[name] = Lease(name, self.shards)
        return name

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
        """
        See `base`.

        What a consumer sent to another server than its message's is posted first, once: if that server does not answer,
        it is dropped and counted (`unknown`). Raises: LayerUnavailable when no server answers.
        """
        is_known = lease in self._leases
        mine = self._lease(lease)
        with mine.lock:
            if not is_known:  # it was closed, or a reaper ended it
                self._count("fenced", sum(len(item.sends) for item in finished))
            refused = self._finish(mine, finished)
            fetched, numbers = mine.exchange(Order(channels, limit, begin), begun)
        if not fetched.held:
            self._leases.pop(lease, None)
            return fetched
        refused += zip(numbers, fetched.refused, strict=True)
        return fetched._replace(refused=in_order(refused))

    def recover(self, lease: str, known: Sequence[Delivery]) -> None:
        """See `base`."""
        mine = self._lease(lease)
        with mine.lock:
            mine.recover(known)

    def renew(self, leases: Sequence[str]) -> None:
        """See `base`."""
        from_those_there(self.shards, lambda layer: layer.renew(leases))

    def close_lease(self, lease: str, unstarted: Sequence[Delivery] = ()) -> None:
        """See `base`."""
        mine = self._lease(lease)
        with mine.lock:
            mine.close(unstarted)
        self._leases.pop(lease, None)

    def reap(self) -> list[Reaped]:
        """See `base`."""
        return [reaped for found in from_those_there(self.shards, RedisChannelLayer.reap) for reaped in found]

    def reap_process(self) -> ReapedProcess | None:
        """See `base`."""
        self._reaping += 1
        ordered = [self.shards[(self._reaping + index) % len(self.shards)] for index in range(len(self.shards))]
        found: ReapedProcess | None = None
        for shard in ordered:
            with contextlib.suppress(LayerUnavailable), shard.asked() as layer:
                found = layer.reap_process()
            if found is not None:
                return found
        return None

    def wait(self, channels: Sequence[str], timeout: float) -> None:
        """See `base`."""
        there = [shard for shard in self.shards if not shard.away] or list(self.shards)
        bells = {shard.layer.url: [f"{shard.layer.prefix}bell:{channel}" for channel in channels] for shard in there}
        silent = wait_for_any(bells, timeout if len(there) == len(self.shards) else min(timeout, 1))
        for shard in there:
            if shard.layer.url in silent:
                shard.note_silence()
        if len(silent) >= len(self.shards):
            raise LayerUnavailable("none of the layer's hosts answers")

    # Time

    def _move_now(self) -> tuple[int, float]:
        """See `base`. What waits on a server that does not answer goes out when it is back."""
        found = from_those_there(self.shards, RedisChannelLayer._move_now)  # noqa: SLF001 - a layer's part of it
        return sum(moved for moved, _ in found), min(seconds for _, seconds in found)

    def _wait_until_due(self, seconds: float) -> None:
        self.wait((DELAYED_BELL,), seconds)

    # How it is put together

    def _lease(self, name: str) -> Lease:
        return self._leases.setdefault(name, Lease(name, self.shards))

    def _finish(self, lease: Lease, finished: Sequence[Finished]) -> list[tuple[int, Refusal]]:
        """Note what is finished, and post what belongs to other servers. Return what was refused of that."""
        for item in finished:
            require_finished(item)
        abroad: list[tuple[int, Send, int]] = []
        first = 0
        for item in finished:
            numbered = list(enumerate(item.sends, first))
            first += len(numbered)
            taken = lease.take(item.delivery)
            if taken is None:
                continue  # told before, or given back
            index, delivery = taken
            at_home = [(number, send) for number, send in numbered if index in self._numbers(send)]
            leaving = [(number, send, to) for number, send in numbered for to in self._numbers(send) if to != index]
            if leaving and not self._is_held(lease, index, delivery):
                at_home = numbered  # that server drops and counts all of them
            else:
                abroad += leaving
            sends = [send for _, send in at_home]
            lease.finish(index, Untold(Finished(delivery, sends, item.later), tuple(number for number, _ in at_home)))
        return self._post_abroad(abroad)

    def _is_held(self, lease: Lease, index: int, delivery: Delivery) -> bool:
        """Tell whether what was handed out is still this lease's; if its server does not say, it is."""
        try:
            with self.shards[index].asked() as layer:
                found = wire.thread_wire(layer.url).call("HEXISTS", f"{layer.prefix}lease:{lease.name}", delivery.id)
        except LayerUnavailable:
            return True
        return bool(found)

    def _post_abroad(self, sends: Iterable[tuple[int, Send, int]]) -> list[tuple[int, Refusal]]:
        parts: dict[int, list[tuple[int, Send]]] = {}
        for number, send, index in sends:
            parts.setdefault(index, []).append((number, send))
        refused: list[tuple[int, Refusal]] = []
        for index, part in parts.items():
            try:
                refused += self._post(index, part)
            except LayerUnavailable as error:
                _burst.say("unknown", "%d messages of a consumer were dropped, or were sent: %s", len(part), error)
                self._count("unknown", len(part))
        return refused

    def _count(self, reason: str, number: int) -> None:
        if not number:
            return
        try:
            self.tally({reason: number})
        except LayerUnavailable as error:
            _burst.say("uncounted", "%d dropped messages could not be counted (%s): %s", number, reason, error)

    def _pop(self, channels: Sequence[str]) -> tuple[str, Content] | None:
        shards = random.sample(self.shards, len(self.shards))
        failed: LayerUnavailable | None = None
        for shard in shards:
            try:
                with shard.asked() as layer:
                    taken = layer._pop(channels)  # noqa: SLF001 - a layer's part of it
            except LayerUnavailable as error:
                failed = error
            else:
                if taken is not None:
                    return taken
        if failed is not None and all(shard.away for shard in self.shards):
            raise failed
        return None
