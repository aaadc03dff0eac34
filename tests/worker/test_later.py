"""Messages that are handled again later, because their consumer asks for it or has failed under `retry`."""

from __future__ import annotations

import threading
import time

import pytest

from chancelery import Channel, Group, outbox, route
from chancelery.exceptions import ConsumeLater
from chancelery.layers import codec
from chancelery.layers.base import Delivery
from chancelery.retries import retries_of, retry
from chancelery.trail import Hop
from chancelery.types import RETRIES
from chancelery.worker.dispatch import Dispatch
from tests.routed import routed
from tests.worker.conftest import answers, nothing_waits, say, until


def echo(message):
    message.reply_channel.send({"text": message["text"]})


def again(times, delay=0.0):
    """Return a consumer that asks for each message to be handled later, so many times, and then echoes it."""

    def consumer(message):
        message.reply_channel.send({"text": "too early"})
        Group("all").send({"text": "too early"})
        outbox.current().defer(lambda: Channel("gw!deferred").send({"text": "too early"}))
        if retries_of(message.content) < times:
            message["text"] = "changed"
            raise ConsumeLater(delay)
        outbox.current().discard()
        echo(message)

    return consumer


def as_kind(kind, consumer):
    """Return *consumer* as a plain function, or as an async one."""
    if kind == "plain":
        return consumer

    async def asynchronous(message):
        consumer(message)

    return asynchronous


KINDS = pytest.mark.parametrize("kind", ["plain", "async"])


@KINDS
def test_a_message_is_handled_again_as_it_was_and_what_was_sent_before_is_discarded(layer, start, kind):
    layer.group_add("all", "gw!one")
    start(layer, [route("websocket.receive", as_kind(kind, again(3)))])
    say(layer, "at last")
    assert answers(layer, 1) == [{"text": "at last"}]
    assert nothing_waits(layer, "gw!", "websocket.receive")


@KINDS
def test_the_connections_later_messages_wait_for_it_and_those_of_others_do_not(make_layer, start, clock, kind):
    layer = make_layer(clock=clock, expiry=100_000, lease_seconds=10_000)

    def consumer(message):
        if message["text"] == "first" and not retries_of(message.content):
            raise ConsumeLater(delay=100)
        echo(message)

    start(layer, [route("websocket.receive", as_kind(kind, consumer))], threads=2)
    for text in ("first", "second", "third"):
        say(layer, text)
    say(layer, "another's", reply_channel="gw!two")
    assert answers(layer, 1) == [{"text": "another's"}]
    assert nothing_waits(layer)
    clock.ahead = 101
    assert [answer["text"] for answer in answers(layer, 3)] == ["first", "second", "third"]


def test_it_is_handled_by_whoever_is_there_then(make_layer, start, clock):
    layer = make_layer(clock=clock, expiry=100_000, lease_seconds=10_000)
    asked = threading.Event()

    def asks(message):
        asked.set()
        raise ConsumeLater(delay=100)

    first = start(layer, [route("websocket.receive", asks)])
    say(layer, "first")
    say(layer, "second")
    assert asked.wait(30)
    assert first.stop() is True
    clock.ahead = 101
    start(layer, [route("websocket.receive", echo)])
    assert [answer["text"] for answer in answers(layer, 2)] == ["first", "second"]


def test_without_a_delay_it_comes_back_after_a_moment(layer, start):
    start(layer, [route("websocket.receive", again(2, delay=None))])
    began = time.monotonic()
    say(layer, "back")
    assert answers(layer, 1) == [{"text": "back"}]
    assert time.monotonic() - began >= 0.05 + 0.1


@KINDS
def test_a_message_is_dropped_with_its_trail_when_that_was_too_often(layer, start, caplog, kind):
    seen = []

    def consumer(message):
        if message["text"] == "never":
            seen.append((message.get(RETRIES), message.__doomed__))
            message.reply_channel.send({"text": "too early"})
            raise ConsumeLater(delay=0)
        echo(message)

    start(layer, [route("websocket.receive", as_kind(kind, consumer))], message_retries=3)
    Channel("websocket.receive").send({"reply_channel": "gw!one", "text": "never"})
    say(layer, "after it")
    assert answers(layer, 1) == [{"text": "after it"}]
    assert seen == [(None, False), (1, False), (2, False), (3, True)]
    until(lambda: layer.global_statistics().get("dropped:too_many_retries") == 1)
    [said] = [record.getMessage() for record in caplog.records]
    assert 'dropped a message of channel "websocket.receive": the consumer tests.worker.test_later.' in said
    assert "has asked 4 times for it to be handled later" in said
    assert said.endswith("-> websocket.receive")
    assert nothing_waits(layer)


def test_a_socket_that_would_wait_for_ever_is_turned_away_and_a_request_answered(layer, start):
    def consumer(message):
        raise ConsumeLater(delay=0)

    start(layer, [route(["websocket.connect", "http.request"], consumer)], message_retries=1)
    say(layer, None, channel="websocket.connect")
    assert answers(layer, 1) == [{"accept": False}]
    say(layer, None, channel="http.request", reply_channel="gw!two")
    [response] = answers(layer, 1)
    assert (response["status"], response["content"]) == (503, b"Service unavailable: try again later")


def test_a_connecting_socket_waits_and_is_accepted_in_the_end(layer, start):
    def connect(message):
        message.reply_channel.send({"accept": True})
        if not retries_of(message.content):
            raise ConsumeLater(delay=0)

    start(layer, [route("websocket.connect", connect), route("websocket.receive", echo)])
    say(layer, None, channel="websocket.connect")
    say(layer, "hello")
    assert answers(layer, 2) == [{"accept": True}, {"text": "hello"}]
    assert nothing_waits(layer)


def test_asking_does_not_use_up_the_attempts_of_a_message_that_is_handled_at_least_once(make_layer, start):
    layer = make_layer(at_least_once={"a": 2})

    def consumer(message):
        if retries_of(message.content) < 5:
            raise ConsumeLater(delay=0)
        message.reply_channel.send({"attempt": message.attempt})

    start(layer, [route("a", consumer)])
    say(layer, "", channel="a")
    assert answers(layer, 1) == [{"attempt": 1}]
    assert layer.dead_letters() == []
    assert "dropped:worker_died" not in layer.global_statistics()


def test_a_worker_that_was_taken_for_dead_postpones_nothing(make_layer, start, clock, caplog):
    layer = make_layer(lease_seconds=100, expiry=100_000, clock=clock)
    began, go_on = threading.Event(), threading.Event()

    def consumer(message):
        if message["text"] == "lost":
            began.set()
            assert go_on.wait(30)
            raise ConsumeLater(delay=0)
        echo(message)

    start(layer, [route("a", consumer)])
    say(layer, "lost", channel="a")
    assert began.wait(30)

    def reaped():
        clock.ahead += 101
        return layer.reap()

    until(reaped)
    go_on.set()
    say(layer, "after it", channel="a")
    assert answers(layer, 1) == [{"text": "after it"}]
    assert nothing_waits(layer, "gw!", "a")


def test_a_message_that_is_sent_on_begins_anew(layer, start):
    def first(message):
        if not retries_of(message.content):
            raise ConsumeLater(delay=0)
        Channel("second").send(message.content)

    def second(message):
        message.reply_channel.send({"retries": message.get(RETRIES, "none")})

    start(layer, [route("websocket.receive", first), route("second", second)])
    say(layer, "")
    assert answers(layer, 1) == [{"retries": "none"}]


# retry


@KINDS
def test_a_consumer_under_retry_is_run_again_and_sends_only_what_it_sent_at_last(layer, start, kind, caplog):
    @retry(on=OSError, max=2, backoff=0)
    def fragile(message):
        message.reply_channel.send({"text": f"attempt {retries_of(message.content)}"})
        if retries_of(message.content) < message["failures"]:
            raise ConnectionError

    if kind == "async":

        @retry(on=OSError, max=2, backoff=0)
        async def consumer(message):
            await as_kind("async", fragile.__wrapped__)(message)
    else:
        consumer = fragile
    start(layer, [route("websocket.receive", consumer)])
    say(layer, "", failures=2)
    assert answers(layer, 1) == [{"text": "attempt 2"}]
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
    say(layer, "", failures=3)
    assert answers(layer, 1) == [{"text": "attempt 2"}]  # it failed for good, so that its sends go out
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 4 + ["ERROR"]
    assert caplog.records[-1].exc_info[0] is ConnectionError
    assert nothing_waits(layer)


def test_retry_has_a_limit_of_its_own(layer, start):
    @retry(on=OSError, max=4, backoff=0)
    def consumer(message):
        if retries_of(message.content) < 4:
            raise OSError
        message.reply_channel.send({"doomed": message.__doomed__})

    start(layer, [route("websocket.receive", consumer)], message_retries=1)
    say(layer, "")
    assert answers(layer, 1) == [{"doomed": True}]


# What a worker makes of it; connections are looked after around a consumer

IN_THIS_THREAD = pytest.mark.django_db


CAME_BY = (Hop("gateway", "a", "host:1", 1),)


def handled(consumer, content, **options):
    with routed([route("a", consumer)]) as wrapper:
        return Dispatch(wrapper, **options)(Delivery(1, "a", "", content, CAME_BY))


def asking(delay=0.0):
    def consumer(message):
        message["changed"] = object()
        raise ConsumeLater(delay)

    return consumer


@IN_THIS_THREAD
def test_a_postponed_message_keeps_its_content_and_trail_and_is_counted():
    outcome = handled(asking(1.5), {"text": "hi"})
    assert (outcome.sends, outcome.deferred, outcome.dropped) == ([], [], "")
    assert outcome.later.delay_ms == 1500
    envelope = codec.unpack(codec.pack(0, "c", "", outcome.later.body))
    assert envelope.content == {"text": "hi", RETRIES: 1}
    assert envelope.trail == CAME_BY


@IN_THIS_THREAD
@pytest.mark.parametrize("delay", [-1, "soon", float("nan")])
def test_a_delay_that_makes_no_sense_is_the_consumers_failure(caplog, delay):
    outcome = handled(asking(delay), {})
    assert outcome.later is None
    assert "delay" in str(caplog.records[0].exc_info[1])


@IN_THIS_THREAD
def test_a_message_that_has_no_room_for_the_count_is_the_consumers_failure(caplog):
    def consumer(message):
        message.content["list"].append(object())  # no copy is made of what lies deeper
        raise ConsumeLater

    assert handled(consumer, {"list": []}).later is None
    assert 'failed on a message of channel "a"' in caplog.text


@pytest.mark.parametrize("retries", [-1, 1.5, True, None])
def test_a_number_of_retries_that_is_none_is_refused(retries):
    with pytest.raises(ValueError, match="message_retries is a whole number from 0, not"):
        handled(asking(), {}, message_retries=retries)


@IN_THIS_THREAD
def test_with_no_retries_nothing_is_handled_again():
    doomed = []

    def consumer(message):
        doomed.append(message.__doomed__)
        raise ConsumeLater

    outcome = handled(consumer, {}, message_retries=0)
    assert (outcome.later, outcome.dropped, doomed) == (None, "too_many_retries", [True])
