"""
The doors for operators of the Redis layer: what it holds, its dead letters, and counting what was dropped elsewhere.

Nothing here keeps the server for long: keys are found with SCAN, reads are pipelined, and what changes something is a
script that is given a bounded piece of the work at a time.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from chancelery import names
from chancelery.deployment import connections, wire
from chancelery.exceptions import CorruptMessage
from chancelery.layers.base import ChannelOverview, DeadLetter, LeaseOverview, Overview
from chancelery.layers.redis import keys
from chancelery.layers.redis.calls import Calls

_SCAN_COUNT = 1000
_NAMES_AT_ONCE = 100
_PURGED_AT_ONCE = 200
_SWEPT_AT_ONCE = 50
_COMMANDS_AT_ONCE = 1000
_ID = re.compile(r"([0-9]{1,20})-([0-9]{1,20})")
_MOST_IN_ID = 2**64 - 1
_OF_CHANNELS = ("sent:", "full:")
_TOTALS = {"sent": "messages_count", "full": "channel_full_count"}

_Item = TypeVar("_Item")


class _Totals(NamedTuple):
    """What is known without looking at each channel, group or lease."""

    counters: dict[str, int]
    leases: dict[str, int]
    """When each runs out."""
    busy_lanes: int
    dead_letters: int
    delayed: int


class Operations(Calls):
    """The part of a Redis layer that operators use."""

    # What the layer holds

    def global_statistics(self) -> dict[str, int]:
        """See `base`."""
        with connections.reporting(self.url):
            return _statistics(_decoded(self._client.hgetall(self.prefix + "counters")))

    def overview(self) -> Overview:
        """
        See `base`.

        Walks over all keys of the database, also those of others, in steps; not one moment's picture, but a few's.
        """
        with connections.reporting(self.url):
            found = self._keys_by_kind("ready", "box", "group")
            totals = self._totals()
            channels = sorted(found["ready"] | _counted_channels(totals.counters))
            now_ms, waiting = self._waiting([*channels, *sorted(found["box"])])
            groups = self._sizes("ZCOUNT", "group:", sorted(found["group"]), f"({now_ms}", "+inf")
            return Overview(
                now_ms=now_ms,
                channels=[_channel(name, *waiting[name], totals.counters) for name in channels],
                processes=[_channel(name, *waiting[name], {}) for name in sorted(found["box"])],
                groups=[(name, size) for name, size in groups.items() if size],
                leases=self._leases(totals.leases, now_ms),
                busy_lanes=totals.busy_lanes,
                dead_letters=totals.dead_letters,
                counters=_statistics(totals.counters),
                delayed=totals.delayed,
            )

    def _keys_by_kind(self, *kinds: str) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {kind: set() for kind in kinds}
        for key in self._client.scan_iter(match=keys.glob(self.prefix), count=_SCAN_COUNT):
            kind, _, name = key.decode(errors="replace").removeprefix(self.prefix).partition(":")
            if kind in found:
                found[kind].add(name)
        return found

    def _totals(self) -> _Totals:
        pipeline = self._client.pipeline(transaction=False)
        pipeline.hgetall(self.prefix + "counters")
        pipeline.zrange(self.prefix + "leases", 0, -1, withscores=True)
        pipeline.hlen(self.prefix + "lanes")
        pipeline.xlen(self.prefix + "dead")
        pipeline.zcard(self.prefix + "delayed")
        counters, leases, busy_lanes, dead_letters, delayed = pipeline.execute()
        return _Totals(
            _decoded(counters),
            {name.decode(): int(deadline_ms) for name, deadline_ms in leases},
            busy_lanes,
            dead_letters,
            delayed,
        )

    def _waiting(self, wanted: Sequence[str]) -> tuple[int, dict[str, tuple[int, int]]]:
        """Return the clock; and for each channel or process how many messages wait, and the first one's age in ms."""
        waiting: dict[str, tuple[int, int]] = {}
        now_ms = 0
        for some in _batches(wanted, _NAMES_AT_ONCE) if wanted else [[]]:
            args = [self._now(), int(self.limits.expiry * 1000), *some]
            now_ms, *flat = self._run(keys.OVERVIEW, args)
            waiting |= zip(some, zip(flat[::2], flat[1::2], strict=True), strict=True)
        return now_ms, waiting

    def _leases(self, deadlines: Mapping[str, int], now_ms: int) -> list[LeaseOverview]:
        held = self._sizes("HLEN", "lease:", deadlines)
        begun = self._sizes("HEXISTS", "lease:", deadlines, "begun")
        recovered = self._sizes("HEXISTS", "lease:", deadlines, "recovered")
        return [
            LeaseOverview(name, held[name] - begun[name] - recovered[name], deadline_ms - now_ms)
            for name, deadline_ms in deadlines.items()
        ]

    def _sizes(self, command: str, kind: str, wanted: Iterable[str], *args: str) -> dict[str, int]:
        wanted = list(wanted)
        commands = [(command, f"{self.prefix}{kind}{name}", *args) for name in wanted]
        return dict(zip(wanted, self._pipelined(commands), strict=True))

    def _pipelined(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        answers: list[Any] = []
        for some in _batches(commands, _COMMANDS_AT_ONCE):
            pipeline = self._client.pipeline(transaction=False)
            for command in some:
                pipeline.execute_command(*command)
            answers += pipeline.execute()
        return answers

    # What it drops

    def purge(self, channel: str) -> int:
        """See `base`."""
        names.require_purgeable(channel)
        dropped, more = 0, 1
        while more:
            args = [self._now(), self.limits.dead_letters, channel, _PURGED_AT_ONCE]
            number, more = self._run(keys.PURGE, args)
            dropped += number
        return dropped

    def _sweep(self) -> None:
        """Drop, and count, what has expired on single-reader channels that nobody reads."""
        args = [self._now(), self.limits.dead_letters, _SWEPT_AT_ONCE]
        while self._run(keys.SWEEP, args) == _SWEPT_AT_ONCE:
            pass

    def tally(self, drops: Mapping[str, int]) -> None:
        """See `base`."""
        for command in self._counting(drops):
            wire.thread_wire(self.url).call(*command)

    async def atally(self, drops: Mapping[str, int]) -> None:
        """See `base`."""
        for command in self._counting(drops):
            await wire.loop_wire(self.url).call(*command)

    def _counting(self, drops: Mapping[str, int]) -> list[tuple[Any, ...]]:
        key = self.prefix + "counters"
        return [("HINCRBY", key, f"dropped:{reason}", number) for reason, number in drops.items() if number]

    # Dead letters

    def dead_letters(self, limit: int = 100, after: str = "") -> list[DeadLetter]:
        """See `base`. Raises: ValueError for an *after* that is no id."""
        if after and not _is_id(after):
            raise ValueError(f'the id of a dead letter is two numbers such as "1732292559123-0", not {after!r}')
        if limit < 1:
            return []
        start = f"({after}" if after else "-"
        with connections.reporting(self.url):
            entries = self._client.xrange(self.prefix + "dead", start, "+", limit)
        return [self._letter(number.decode(), fields) for number, fields in entries]

    def replay(self, ids: Sequence[str]) -> list[str]:
        """See `base`."""
        sent: list[str] = []
        for some in _batches([number for number in ids if _is_id(number)], _NAMES_AT_ONCE):
            sent += [number for number, channel in self._channels_of(some) if self._send_again(number, channel)]
        return sent

    def bury(self, ids: Sequence[str]) -> int:
        """See `base`."""
        found = 0
        with connections.reporting(self.url):
            for some in _batches([number for number in ids if _is_id(number)], _COMMANDS_AT_ONCE):
                found += self._client.xdel(self.prefix + "dead", *some)
        return found

    def _letter(self, number: str, fields: Mapping[bytes, bytes]) -> DeadLetter:
        data = fields[b"envelope"]
        channel, lane = keys.address_of(data)
        letter = DeadLetter(number, fields[b"reason"].decode(), int(fields[b"at"]), channel, lane, data[4], None, ())
        try:
            envelope = self.unpack(data)
        except CorruptMessage:
            return letter
        return letter._replace(content=envelope.content, trail=envelope.trail)

    def _channels_of(self, ids: Sequence[str]) -> list[tuple[str, str]]:
        with connections.reporting(self.url):
            found = self._pipelined([("XRANGE", self.prefix + "dead", number, number) for number in ids])
        return [
            (number, keys.address_of(fields[b"envelope"])[0])
            for number, entries in zip(ids, found, strict=True)
            for _, fields in entries
        ]

    def _send_again(self, number: str, channel: str) -> bool:
        limits = self.limits
        args = [self._now(), limits.dead_letters, int(limits.expiry * 1000), limits.lane_capacity, number]
        return bool(self._run(keys.DEAD, [*args, self.capacity_of(channel)]))


def _channel(name: str, pending: int, oldest_ms: int, counters: Mapping[str, int]) -> ChannelOverview:
    sent, full = counters.get(f"sent:{name}", 0), counters.get(f"full:{name}", 0)
    return ChannelOverview(name, pending, oldest_ms, sent, full)


def _decoded(counters: Mapping[bytes, bytes]) -> dict[str, int]:
    return {field.decode(): int(number) for field, number in counters.items()}


def _counted_channels(counters: Mapping[str, int]) -> set[str]:
    """Return the channels that were ever sent to, or that refused what was sent to them."""
    return {field.partition(":")[2] for field in counters if field.startswith(_OF_CHANNELS)}


def _statistics(counters: Mapping[str, int]) -> dict[str, int]:
    totals = {"messages_count": 0, "channel_full_count": 0}
    for field, number in counters.items():
        total = _TOTALS.get(field.partition(":")[0], field)
        totals[total] = totals.get(total, 0) + number
    return totals


def _is_id(text: str) -> bool:
    found = _ID.fullmatch(text)
    return found is not None and max(map(int, found.groups())) <= _MOST_IN_ID


def _batches(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, size)):
        yield batch
