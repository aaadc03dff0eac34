"""Messages that wait for their time, on workers of both layers."""

from __future__ import annotations

import datetime as dt
import threading

import pytest
from django.apps import AppConfig, apps

from chancelery import Channel, Group, route
from chancelery.exceptions import LayerUnavailable
from chancelery.layers.memory import InMemoryChannelLayer
from chancelery.message import Message
from chancelery.registry import ChannelLayerWrapper
from chancelery.routing import Router
from chancelery.worker import Worker
from chancelery.worker.delays import send_on
from tests.routed import routed
from tests.worker.conftest import answers, nothing_waits, say, until


def echo(message):
    message.reply_channel.send({"text": message["text"]})


@pytest.fixture
def layer(make_layer, clock):
    """One whose clock can be put forward, and on which nothing expires meanwhile."""
    return make_layer(clock=clock, expiry=100_000, lease_seconds=10_000)


def test_what_a_consumer_sends_with_a_delay_goes_out_by_the_worker_when_its_time_has_come(layer, start, clock):
    def consumer(message):
        Channel("second").send({"text": "second", "reply_channel": message.reply_channel.name}, delay=100)
        message.reply_channel.send({"text": "answer"}, delay=dt.timedelta(seconds=200))
        Group("all").send({"text": "to all"}, eta=dt.datetime.fromtimestamp(clock() + 300, dt.UTC))
        echo(message)

    layer.group_add("all", "gw!two")
    start(layer, [route("websocket.receive", consumer), route("second", echo)])
    say(layer, "at once")
    for expected in ("at once", "second", "answer", "to all"):
        assert answers(layer, 1) == [{"text": expected}]
        assert nothing_waits(layer)
        clock.ahead += 101


def test_of_what_many_consumers_send_the_latest_goes_out(layer, start, clock):
    handled = []

    def consumer(message):
        Channel("out").send({"n": message["text"]}, latest_of="slider", every=100)
        handled.append(message["text"])

    running = start(layer, [route("websocket.receive", consumer)])
    for number in range(20):
        say(layer, number)
    assert answers(layer, 1, "out") == [{"n": 0}]
    until(lambda: len(handled) == 20)
    assert running.stop() is True
    start(layer, [route("websocket.receive", consumer)])
    clock.ahead += 101
    assert answers(layer, 1, "out") == [{"n": 19}]
    assert nothing_waits(layer, "out")


def test_a_connecting_socket_that_is_to_be_told_something_later_is_accepted_now(layer, start, clock):
    def connect(message):
        message.reply_channel.send({"text": "still there?"}, delay=100)

    start(layer, [route("websocket.connect", connect)])
    say(layer, None, channel="websocket.connect")
    assert answers(layer, 1) == [{"accept": True}]
    clock.ahead += 101
    assert answers(layer, 1) == [{"text": "still there?"}]


class Failing(InMemoryChannelLayer):
    """Cannot move what is due, once for each of some reasons."""

    def __init__(self):
        super().__init__()
        self.errors = [LayerUnavailable("away"), RuntimeError("unforeseen"), LayerUnavailable("away")]

    def move_due(self, timeout):
        if self.errors:
            raise self.errors.pop()
        return super().move_due(timeout)


def test_the_thread_that_moves_what_is_due_outlives_outages_and_faults_and_ends_with_the_worker(start, caplog):
    layer = Failing()
    running = start(layer, [route("a", echo)])
    Channel("a").send({"reply_channel": "gw!one", "text": "due"}, delay=0.01)
    assert answers(layer, 1) == [{"text": "due"}]
    assert "messages that are due wait on: away" in caplog.text
    assert "worker mover stumbled, and begins anew" in caplog.text
    assert running.stop() is True
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("worker")]


# asgi.delay


def delayed(**order):
    return {"channel": "gw!one", "delay": 100_000, "content": {"text": "later"}, **order}


def test_what_is_sent_to_the_delay_channel_goes_on_later(layer, start, clock):
    start(layer, [route("a", echo)])
    Channel("asgi.delay").send(delayed())
    Channel("asgi.delay").send(delayed(channel="a", delay=200_000, content={"reply_channel": "gw!one", "text": "then"}))
    layer.group_add("all", "gw!one")
    Channel("asgi.delay").send({"group": "all", "delay": 300_000, "content": {"text": "to all"}})
    until(lambda: layer.overview().delayed == 3)
    for expected in ("later", "then", "to all"):
        assert nothing_waits(layer)
        clock.ahead += 101
        assert answers(layer, 1) == [{"text": expected}]


@pytest.mark.parametrize(
    "order",
    [
        {"channel": None},
        {"group": "all"},
        {"channel": "no channel"},
        {"channel": b"\xff"},
        {"delay": None},
        {"delay": "1"},
        {"delay": True},
        {"delay": -1},
        {"delay": float("nan")},
        {"delay": float("inf")},
        {"delay": 1e300},
        {"delay": 10**14},
        {"content": None},
        {"content": "text"},
        {"content": {"": [1]}, "channel": ["a"]},
    ],
)
def test_what_cannot_be_sent_on_is_dropped_logged_and_counted(order, caplog):
    with routed() as wrapper:
        send_on(Message(delayed(**order), f"bad.{abs(hash(str(order)))}", wrapper))
        assert wrapper.layer.global_statistics()["dropped:bad_delay"] == 1
        assert wrapper.layer.overview().delayed == 0
    assert "It takes channel or group, delay (milliseconds) and content; it came by: (no trail)" in caplog.text


def test_a_bad_message_on_the_delay_channel_harms_no_other(layer, start, clock):
    start(layer, [route("a", echo)])
    for order in ({}, {"channel": b"\x00", "delay": b"1", "content": b"\xff"}, delayed()):
        Channel("asgi.delay").send(order)
    until(lambda: layer.overview().delayed == 1)
    clock.ahead += 101
    assert answers(layer, 1) == [{"text": "later"}]
    until(lambda: layer.global_statistics().get("dropped:bad_delay") == 2)


def test_a_project_may_route_the_delay_channel_itself():
    router = Router([route("asgi.delay", echo)])
    router.check_default()
    with routed() as wrapper:
        assert router.match(Message(delayed(), "asgi.delay", wrapper)) == (echo, {})


def test_with_the_app_for_delays_workers_leave_the_channel_to_it(monkeypatch):
    wrapper = ChannelLayerWrapper(InMemoryChannelLayer(), "default", [route("a", echo)])
    assert "asgi.delay" in Worker(wrapper).channels
    config = AppConfig.__new__(AppConfig)
    config.name = "chancelery.delay"
    monkeypatch.setitem(apps.app_configs, "delay", config)
    assert "asgi.delay" not in Worker(wrapper).channels
