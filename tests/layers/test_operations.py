"""What operators see and do on a Redis, beyond the contract: many of everything, and strangers beside it."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from chancelery.deployment import connections
from chancelery.exceptions import ChannelFull, LayerUnavailable
from chancelery.layers.base import ChannelLayer, ChannelOverview, Finished, Send
from chancelery.layers.redis import RedisChannelLayer
from tests.contracts.fixtures import SteppedClock, dropped, fetch

_numbers = itertools.count()


@pytest.fixture
def layer(redis_url: str) -> Iterator[RedisChannelLayer]:
    prefix = f"operations[{os.getpid()}.{next(_numbers)}]:"
    layer = RedisChannelLayer(hosts=[redis_url], prefix=prefix, at_least_once={"sure.*": 2})
    yield layer
    layer.flush()
    layer.close()


@pytest.fixture
def client(redis_url: str) -> Any:
    return connections.sync_client(redis_url)


def waiting(layer: ChannelLayer) -> dict[str, int]:
    return {channel.name: channel.pending for channel in layer.overview().channels}


def kill(layer: ChannelLayer, number: int) -> list[str]:
    """Make dead letters; return their ids."""
    layer.post([Send("sure.work", layer.pack({"n": n})) for n in range(number)])
    layer.purge("sure.work")
    return [letter.id for letter in layer.dead_letters(number)]


def test_a_great_many_channels_groups_and_leases_are_all_seen(layer: RedisChannelLayer) -> None:
    layer.post([Send(f"c{n}", layer.pack({})) for n in range(450)])
    layer.post([Send(f"single?{n}", layer.pack({})) for n in range(10)])
    for n in range(1100):
        layer.group_add(f"g{n}", f"p{n % 3}!x")
    for n in range(20):
        fetch(layer, layer.open_lease(), f"c{n}")
    overview = layer.overview()
    assert len(overview.channels) == 460
    assert sum(channel.pending for channel in overview.channels) == 440
    assert dict(overview.groups) == {f"g{n}": 1 for n in range(1100)}
    assert [process.name for process in overview.processes] == ["p0!", "p1!", "p2!"]
    assert [lease.held for lease in overview.leases] == [1] * 20


def test_a_channel_that_has_only_refused_is_seen(redis_url: str) -> None:
    layer = RedisChannelLayer(hosts=[redis_url], prefix=f"refusing.{os.getpid()}:", capacity=0)
    with pytest.raises(ChannelFull):
        layer.send("full", {})
    assert layer.overview().channels == [ChannelOverview("full", 0, 0, 0, 1)]
    layer.flush()
    layer.close()


def test_keys_of_others_are_passed_over(layer: RedisChannelLayer, client: Any) -> None:
    neighbour = RedisChannelLayer(hosts=[layer.url], prefix=layer.prefix + "more:")
    neighbour.send("theirs", {})
    client.set(layer.prefix + "stranger", "x", ex=60)
    client.set(layer.prefix.replace("[", "x"), "x", ex=60)
    layer.send("ours", {})
    assert waiting(layer) == {"ours": 1}
    assert waiting(neighbour) == {"theirs": 1}


def test_mail_that_was_read_does_not_wait_any_more(layer: RedisChannelLayer) -> None:
    for n in range(3):
        layer.send("p!x", {"n": n})
    layer.collect("p!", 0, 2)
    [process] = layer.overview().processes
    assert process.pending == 1
    layer.collect("p!", 2, 10)
    [process] = layer.overview().processes
    assert (process.pending, process.oldest_ms) == (0, 0)


def test_a_lease_counts_what_it_holds_and_no_mark(layer: RedisChannelLayer) -> None:
    lease = layer.open_lease()
    layer.post([Send("work", layer.pack({}))] * 3)
    deliveries = layer.fetch(["work"], 10, lease, begin=1).deliveries
    assert [each.held for each in layer.overview().leases] == [3]
    layer.finish([Finished(delivery) for delivery in deliveries], lease)
    assert [each.held for each in layer.overview().leases] == [0]


def test_a_long_queue_is_purged_to_its_end(layer: RedisChannelLayer) -> None:
    big = RedisChannelLayer(hosts=[layer.url], prefix=layer.prefix, capacity=5000, lane_capacity=5000)
    big.post([Send("work", layer.pack({}))] * 1300)
    big.post([Send("work", layer.pack({}), "gw.x!socket")] * 1300)
    assert layer.purge("work") == 2600
    assert waiting(layer) == {"work": 0}
    assert layer.overview().busy_lanes == 0


def test_what_expires_on_single_reader_channels_is_dropped_and_counted_though_nobody_reads(redis_url: str) -> None:
    clock = SteppedClock()
    layer = RedisChannelLayer(
        hosts=[redis_url], prefix=f"swept.{os.getpid()}:", clock=clock, expiry=10, at_least_once={"sure*": 2}
    )
    layer.post([Send(f"one?{n}", layer.pack({})) for n in range(120)])
    layer.post([Send("sure?x", layer.pack({}), "gw.x!socket"), Send("work", layer.pack({}), "gw.x!socket")])
    clock.advance(5)
    layer.post([Send("one?0", layer.pack({})), Send("one?x", layer.pack({}))])
    lease = layer.open_lease()
    fetch(layer, lease, "one?x")
    clock.advance(6)
    layer.reap()
    assert dropped(layer, "expired") == 122
    assert waiting(layer) == {"one?0": 1, "work": 0}
    assert [letter.channel for letter in layer.dead_letters()] == ["sure?x"]
    clock.advance(6)
    layer.reap()
    assert dropped(layer, "expired") == 123
    assert waiting(layer) == {"work": 0}
    layer.recover(lease, [])
    assert waiting(layer) == {"one?x": 1, "work": 0}
    layer.reap()
    assert waiting(layer) == {"work": 0}
    layer.flush()
    layer.close()


@pytest.mark.parametrize("after", ["x", "1", "1-", "1-2-3", "1-\u0662", "99999999999999999999-0"])
def test_a_list_begins_behind_an_id_only(layer: RedisChannelLayer, after: str) -> None:
    with pytest.raises(ValueError, match='the id of a dead letter is two numbers such as "1732292559123-0"'):
        layer.dead_letters(after=after)


def test_what_is_no_id_is_passed_over(layer: RedisChannelLayer) -> None:
    [there] = kill(layer, 1)
    strange = ["", "x", "99999999999999999999-0", "-", "1-1"]
    assert layer.replay([*strange, there]) == [there]
    [there] = kill(layer, 1)
    assert layer.bury([*strange, there]) == 1


def test_a_great_many_dead_letters_are_sent_again_and_buried(redis_url: str) -> None:
    layer = RedisChannelLayer(
        hosts=[redis_url], prefix=f"many.{os.getpid()}:", at_least_once={"sure.*": 2}, dead_letters=1500, capacity=1500
    )
    ids = kill(layer, 1200)
    assert layer.replay(ids[:300]) == ids[:300]
    assert layer.bury(ids) == 900
    assert waiting(layer) == {"sure.work": 300}
    layer.flush()
    layer.close()


def test_a_letter_of_a_newer_version_is_listed_and_stays(layer: RedisChannelLayer, client: Any) -> None:
    kill(layer, 1)
    [(_, fields)] = client.xrange(layer.prefix + "dead")
    newer = fields[b"envelope"][:1] + b"\x02" + fields[b"envelope"][2:]
    client.xadd(layer.prefix + "dead", {**fields, b"envelope": newer})
    readable, unreadable = layer.dead_letters()
    assert (unreadable.channel, unreadable.content) == ("sure.work", None)
    assert layer.replay([unreadable.id, readable.id]) == [readable.id]
    assert [letter.id for letter in layer.dead_letters()] == [unreadable.id]


@pytest.mark.parametrize(
    "door",
    [
        lambda layer: layer.overview(),
        lambda layer: layer.purge("work"),
        lambda layer: layer.dead_letters(),
        lambda layer: layer.replay(["1-1"]),
        lambda layer: layer.bury(["1-1"]),
        lambda layer: layer.tally({"slow_client": 1}),
        lambda layer: asyncio.run(layer.atally({"slow_client": 1})),
    ],
)
def test_a_server_that_does_not_answer_is_named(door: Callable[[ChannelLayer], object]) -> None:
    layer = RedisChannelLayer(hosts=["redis://127.0.0.1:1/0"])
    with pytest.raises(LayerUnavailable, match=r"Redis at redis://127\.0\.0\.1:1/0 does not answer"):
        door(layer)
