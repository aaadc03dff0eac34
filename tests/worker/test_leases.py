"""Workers that were taken for dead although they were not: what is theirs afterwards, and what is not."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from chancelery import Channel, outbox, route
from chancelery.layers.base import Send
from chancelery.worker.steadiness import Steadiness
from tests.worker.conftest import answers, nothing_waits, until


@pytest.fixture
def layer(make_layer, clock):
    """One whose leases last, unless the clock is put forward."""
    return make_layer(lease_seconds=100, expiry=100_000, clock=clock)


@pytest.fixture
def take_for_dead(layer, clock):
    """End all leases; return what had been begun under them."""

    def take_for_dead():
        reaped = []

        def reap():
            clock.ahead += 101
            reaped.extend(layer.reap())
            return reaped

        until(reap)
        return [(item.channel, item.fate) for item in reaped]

    return take_for_dead


def say(layer, text, channel="a", **content):
    layer.send(channel, {"reply_channel": "gw!one", "text": text, **content}, lane="gw!one")


class Blocking:
    """A consumer that echoes, and waits before it does so with what says "slow"."""

    def __init__(self):
        self.began = threading.Event()
        self.go_on = threading.Event()
        self.done = []

    def plain(self, message):
        if message["text"] == "slow":
            self.began.set()
            assert self.go_on.wait(30)
        self._end(message)

    async def waiting(self, message):
        if message["text"] == "slow":
            self.began.set()
            await asyncio.to_thread(self.go_on.wait, 30)
        self._end(message)

    def _end(self, message):
        message.reply_channel.send({"text": message["text"]})
        outbox.current().defer(lambda: self.done.append(message["text"]))


@pytest.mark.parametrize("kind", ["plain", "waiting"])
def test_a_worker_that_was_taken_for_dead_sends_nothing_of_what_it_was_at_and_goes_on(
    layer, start, take_for_dead, caplog, kind
):
    consumer = Blocking()
    channel = f"{kind}.{type(layer).__name__}"  # of its own: what is said of a channel is said once in a while
    start(layer, [route(channel, getattr(consumer, kind))], threads=1)
    say(layer, "slow", channel)
    assert consumer.began.wait(30)
    assert take_for_dead() == [(channel, "dropped")]
    consumer.go_on.set()
    until(lambda: "taken for dead: what consumers sent or deferred for 1 messages is dropped" in caplog.text)
    assert f'among them one of channel "{channel}"' in caplog.text
    say(layer, "after it", channel)
    assert answers(layer, 1) == [{"text": "after it"}]
    until(lambda: consumer.done)
    assert consumer.done == ["after it"]
    assert layer.global_statistics()["dropped:fenced"] == 1
    assert nothing_waits(layer)


def test_what_such_a_worker_had_fetched_and_not_begun_is_handled_once(layer, start, take_for_dead):
    """By whoever is there: here by the same worker, under its next lease."""
    consumer = Blocking()

    def paced(message):
        time.sleep(0.0002)  # so that more are fetched than begun
        consumer.plain(message)

    running = start(layer, [route("a", paced)], threads=1)
    running.worker._heartbeat._beat_at = float("inf")
    for loop in running.worker._loops:
        until(lambda loop=loop: loop.exchange)
        loop.exchange.relieve = lambda: None  # or it would give back what waits before the lease ends
    for number in range(100):
        layer.send("a", {"reply_channel": f"gw!{number}", "text": number})
    answers(layer, 100)
    contents = ["slow", *range(40)]
    layer.post([layer_send(layer, text) for text in contents])
    assert consumer.began.wait(30)
    begun = len(take_for_dead())
    assert 1 <= begun < 41
    consumer.go_on.set()
    assert [answer["text"] for answer in answers(layer, 41 - begun)] == contents[begun:]
    running.stop()
    assert nothing_waits(layer, "gw!", "a")


def layer_send(layer, text):
    return Send("a", layer.pack({"reply_channel": "gw!one", "text": text}))


def test_a_message_knows_how_often_it_was_tried(make_layer, clock, start):
    layer = make_layer(lease_seconds=100, expiry=100_000, clock=clock, at_least_once={"a": 3})

    def consumer(message):
        Channel("out").send({"attempt": message.attempt, "copy": message.copy().attempt})

    say(layer, "twice")
    assert layer.fetch(["a"], 1, layer.open_lease()).deliveries[0].attempt == 1
    clock.ahead += 101
    assert [item.fate for item in layer.reap()] == ["repeated"]
    start(layer, [route("a", consumer)])
    assert answers(layer, 1, "out") == [{"attempt": 2, "copy": 2}]


# When silence means death


def steady(*answers_at, lease_seconds=10):
    """Whether a heartbeat may reap after answers at these times, by both of its clocks or by pairs of them."""
    now = [0.0, 0.0]
    steadiness = Steadiness(lease_seconds, (lambda: now[0], lambda: now[1]))
    for at in answers_at:
        now[:] = at if isinstance(at, tuple) else (at, at)
        lasted = steadiness.has_lasted()
    return lasted


def test_silence_means_nothing_before_a_lease_has_passed():
    assert not steady(100)
    assert not steady(100, 104, 108)
    assert steady(100, 104, 108, 110)


def test_nor_after_an_outage_or_after_the_process_itself_stood_still():
    assert not steady(100, 104, 108, 110, 116)
    assert steady(100, 104, 108, 110, 116, 120, 124, 126)


def test_nor_after_the_machine_was_suspended():
    assert not steady(100, 104, 108, 110, (111, 200))
