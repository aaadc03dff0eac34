"""Workers on both layers: what they handle, in which order, and how they stop."""

from __future__ import annotations

import os
import signal
import threading

import pytest
from django.core.exceptions import ImproperlyConfigured

from chancelery import Channel, Group, outbox, route
from chancelery.exceptions import DenyConnection, WebsocketCloseException
from chancelery.layers.memory import InMemoryChannelLayer
from chancelery.registry import ChannelLayerWrapper
from chancelery.signals import worker_process_ready, worker_ready
from chancelery.worker import Worker, WorkerGroup
from tests.routed import routed
from tests.worker.conftest import answers, nothing_waits, say, until


def echo(message):
    message.reply_channel.send({"text": message["text"]})


def test_an_echo_comes_back(layer, start):
    start(layer, [route("websocket.receive", echo)])
    say(layer, "hello")
    assert answers(layer, 1) == [{"text": "hello"}]


def test_several_threads_handle_many_messages_once_each(layer, start):
    for number in range(500):
        say(layer, str(number), reply_channel=f"gw!{number}")
    start(layer, [route("websocket.receive", echo)], threads=4)
    assert sorted(int(answer["text"]) for answer in answers(layer, 500)) == list(range(500))
    assert nothing_waits(layer)


def test_one_connections_messages_are_handled_in_order_and_one_at_a_time(layer, start):
    busy = threading.Lock()

    def consumer(message):
        assert busy.acquire(blocking=False), "two at a time"
        echo(message)
        busy.release()

    for number in range(90):
        say(layer, str(number))
    start(layer, [route("websocket.receive", consumer)], threads=4)
    assert [answer["text"] for answer in answers(layer, 90)] == list(map(str, range(90)))


def test_a_socket_that_is_busy_holds_up_no_other(layer, start):
    go_on = threading.Event()

    def consumer(message):
        if message["text"] == "slow":
            assert go_on.wait(30)
        echo(message)

    start(layer, [route("websocket.receive", consumer)], threads=2)
    say(layer, "slow", reply_channel="gw!slow")
    say(layer, "behind it", reply_channel="gw!slow")
    for number in range(50):
        say(layer, str(number), reply_channel=f"gw!{number}")
    assert len(answers(layer, 50)) == 50
    go_on.set()
    assert [answer["text"] for answer in answers(layer, 2)] == ["slow", "behind it"]


def test_what_was_fetched_behind_a_slow_message_goes_to_other_threads(layer, start):
    """And what was done before it is answered meanwhile, although its own thread is busy."""
    go_on = threading.Event()

    def consumer(message):
        if message["text"] == "slow":
            assert go_on.wait(30)
        echo(message)

    start(layer, [route("websocket.receive", consumer)], threads=2)
    for number in range(300):  # it learns that these are fast, and fetches many at a time
        say(layer, "fast", reply_channel=f"gw!{number}")
    answers(layer, 300)
    for number in range(300):
        say(layer, "slow" if number == 150 else "fast", reply_channel=f"gw!{number}")
    assert [answer["text"] for answer in answers(layer, 299)] == ["fast"] * 299
    go_on.set()
    assert answers(layer, 1) == [{"text": "slow"}]


def test_what_was_fetched_behind_something_deferred_that_is_slow_goes_to_other_threads(layer, start):
    go_on = threading.Event()

    def consumer(message):
        echo(message)
        if message["text"] == "slow":
            outbox.current().defer(lambda: go_on.wait(30))

    start(layer, [route("websocket.receive", consumer)], threads=2)
    for number in range(300):
        say(layer, "fast", reply_channel=f"gw!{number}")
    answers(layer, 300)
    for number in range(300):
        say(layer, "slow" if number == 150 else "fast", reply_channel=f"gw!{number}")
    assert len(answers(layer, 300)) == 300
    go_on.set()


def test_a_consumer_that_raises_harms_no_other_and_its_sends_go_out(layer, start):
    def consumer(message):
        echo(message)
        if message["text"] == "bad":
            raise RuntimeError

    start(layer, [route("websocket.receive", consumer)])
    for text in ("good", "bad", "good again"):
        say(layer, text)
    assert [answer["text"] for answer in answers(layer, 3)] == ["good", "bad", "good again"]


def test_a_socket_is_accepted_denied_or_spoken_to(layer, start):
    def connect(message):
        if message["path"] == "/no/":
            raise DenyConnection

    start(layer, [route("websocket.connect", connect)])
    say(layer, None, channel="websocket.connect")
    assert answers(layer, 1) == [{"accept": True}]
    say(layer, None, channel="websocket.connect", path="/no/")
    assert answers(layer, 1) == [{"accept": False}]


def test_what_is_sent_to_a_group_reaches_its_members(layer, start):
    def connect(message):
        Group("all").add(message.reply_channel)

    def receive(message):
        Group("all").send({"text": message["text"]})

    start(layer, [route("websocket.connect", connect), route("websocket.receive", receive)])
    for name in ("gw!one", "gw!two"):
        say(layer, None, name, "websocket.connect")
    assert answers(layer, 2) == [{"accept": True}] * 2
    say(layer, "hello")
    assert answers(layer, 2) == [{"text": "hello"}] * 2


def test_a_consumer_may_send_to_another_consumer_and_the_connections_order_holds(layer, start):
    def pass_on(message):
        Channel("second").send({"reply_channel": message.reply_channel.name, "text": message["text"]})

    start(layer, [route("websocket.receive", pass_on), route("second", echo)], threads=4)
    for number in range(50):
        say(layer, str(number))
    assert [answer["text"] for answer in answers(layer, 50)] == list(map(str, range(50)))


def test_a_worker_works_on_some_channels_only(layer, start):
    routing = [route(["jobs.fast", "jobs.slow", "mail"], echo)]
    start(layer, routing, only_channels=["jobs.*"], exclude_channels=["*.slow"])
    for channel in ("mail", "jobs.slow", "jobs.fast"):
        say(layer, channel, reply_channel="gw!one", channel=channel)
    # The lane waits for the messages before: this worker must not have them.
    assert nothing_waits(layer)
    assert layer.receive(["mail"])[1]["text"] == "mail"
    assert layer.receive(["jobs.slow"])[1]["text"] == "jobs.slow"
    assert answers(layer, 1) == [{"text": "jobs.fast"}]


@pytest.mark.parametrize("options", [{"only_channels": ["no*"]}, {"exclude_channels": ["*"]}])
def test_a_worker_without_channels_is_refused(options):
    wrapper = ChannelLayerWrapper(InMemoryChannelLayer(), "default", [route("jobs", echo)])
    with pytest.raises(ImproperlyConfigured, match=r"no channel is left to work on: of .*jobs"):
        Worker(wrapper, **options)


def test_a_routing_that_cannot_be_used_is_refused():
    wrapper = ChannelLayerWrapper(InMemoryChannelLayer(), "default", "no.where")
    with pytest.raises(ImproperlyConfigured, match=r"'no.where' cannot be imported"):
        Worker(wrapper)


def test_what_was_deferred_runs_once_its_sends_are_out(layer, start):
    def consumer(message):
        echo(message)
        outbox.current().defer(lambda: Channel("gw!two").send({"text": "deferred"}))
        if message["text"] == "bad":
            raise RuntimeError

    start(layer, [route("websocket.receive", consumer)])
    say(layer, "bad")
    say(layer, "good")
    assert [answer["text"] for answer in answers(layer, 3)] == ["bad", "good", "deferred"]


def test_it_says_when_it_is_ready(layer, start):
    said, ready = [], threading.Semaphore(0)

    def process_ready(**_):
        said.append("process")

    def thread_ready(worker, **_):
        said.append(worker.channels)
        ready.release()

    worker_process_ready.connect(process_ready)
    worker_ready.connect(thread_ready)
    try:
        start(layer, [route("jobs", echo)], threads=2, only_channels=["jobs"])
        assert ready.acquire(timeout=30)
        assert ready.acquire(timeout=30)
    finally:
        worker_process_ready.disconnect(process_ready)
        worker_ready.disconnect(thread_ready)
    assert said == ["process", ["jobs"], ["jobs"]]


# What is dropped


def test_messages_that_no_route_matches_are_counted_batch_by_batch(layer, start):
    tally, told = layer.tally, []

    def counting(drops):
        told.append(drops)
        tally(drops)

    layer.tally = counting
    for number in range(100):
        say(layer, str(number), reply_channel=f"gw!{number}", path="/nowhere/")
    start(layer, [route("websocket.receive", echo, path="^/here/$")])
    until(lambda: layer.global_statistics().get("dropped:unrouted") == 100)
    assert len(told) < 100
    assert nothing_waits(layer)


# No room


def test_what_finds_no_room_is_sent_when_there_is_some(make_layer, start, settings):
    settings.CHANCELERY = {"CAPACITY_WAIT": 30}
    layer = make_layer(channel_capacity={"out": 2})

    def consumer(message):
        for number in range(3):
            Channel("out").send({"n": message["text"] * 10 + number})

    start(layer, [route("websocket.receive", consumer)])
    say(layer, 1)
    say(layer, 2)
    assert [content["n"] for content in answers(layer, 6, "out")] == [10, 11, 12, 20, 21, 22]


def test_room_that_only_the_worker_itself_can_make_is_waited_for(make_layer, start, settings):
    settings.CHANCELERY = {"CAPACITY_WAIT": 30}
    layer = make_layer(channel_capacity={"parts": 2})

    def split(message):
        for part in message["text"]:
            Channel("parts").send({"to": message.reply_channel.name, "text": part})

    def answer(message):
        Channel(message["to"]).send({"text": message["text"]})

    start(layer, [route("websocket.receive", split), route("parts", answer)])
    say(layer, "abcdefgh")
    assert sorted(content["text"] for content in answers(layer, 8)) == list("abcdefgh")


def test_what_finds_no_room_for_too_long_is_dropped_with_its_channel_and_trail(make_layer, start, settings, caplog):
    settings.CHANCELERY = {"CAPACITY_WAIT": 0.1}
    layer, handled = make_layer(channel_capacity={"out": 1}), threading.Event()

    def consumer(message):
        for number in range(3):
            Channel("out").send({"n": number})
        handled.set()

    say(layer, "")
    running = start(layer, [route("websocket.receive", consumer)])
    assert handled.wait(30)
    assert running.stop() is True
    assert answers(layer, 1, "out") == [{"n": 0}]
    dropped = [record.message for record in caplog.records if "was dropped" in record.message]
    assert len(dropped) == 2
    assert layer.global_statistics()["dropped:no_room"] == 2
    assert 'a message to out was dropped: channel "out" holds 1 messages: add workers' in dropped[0]


def test_what_finds_no_room_takes_nothing_else_with_it(make_layer, start, settings):
    """Neither what was sent beside it, nor the thread, nor what is sent later."""
    settings.CHANCELERY = {"CAPACITY_WAIT": 0.1}
    layer = make_layer(channel_capacity={"full": 1})
    layer.send("full", {})

    def consumer(message):
        echo(message)
        Channel("full").send({"n": 1})
        Channel("other").send({"n": message["text"]})

    start(layer, [route("websocket.receive", consumer)])
    for number in range(3):
        say(layer, number)
    assert answers(layer, 3) == [{"text": number} for number in range(3)]
    assert answers(layer, 3, "other") == [{"n": number} for number in range(3)]
    until(lambda: layer.global_statistics().get("dropped:no_room") == 3)


def test_an_exception_that_closes_the_socket_ends_neither_worker_nor_what_it_sent(layer, start):
    def consumer(message):
        echo(message)
        raise {"deny": DenyConnection, "close": WebsocketCloseException, "system": SystemExit}[message["text"]]

    running = start(layer, [route("websocket.receive", consumer)])
    for text in ("deny", "close", "system"):
        say(layer, text, reply_channel=f"daphne.response.{text}!x")
    assert answers(layer, 1, "daphne.response.deny!") == [{"text": "deny"}]
    assert answers(layer, 2, "daphne.response.close!") == [{"text": "close"}, {"close": True}]
    assert answers(layer, 1, "daphne.response.system!") == [{"text": "system"}]
    assert running.stop() is True


# As Channels 1 has it


def test_a_worker_takes_the_arguments_of_channels_1(layer, start):
    called = []
    running = start(
        layer,
        [route(["a", "b"], echo)],
        callback=lambda channel, message: called.append((channel, message["text"])),
        message_retries=5,
        signal_handlers=False,
        only_channels=["a"],
        exclude_channels=None,
    )
    assert running.worker.channels == ["a"]
    say(layer, "hi", channel="a")
    assert answers(layer, 1) == [{"text": "hi"}]
    assert called == [("a", "hi")]


def test_a_worker_group_has_as_many_threads_as_it_is_told(layer):
    with routed([route("a", echo)], layer=layer) as wrapper:
        group = WorkerGroup(wrapper, None, 3, only_channels=["a"], n_threads=3)
        assert [loop.name for loop in group._loops] == [f"worker thread {number}" for number in (1, 2, 3)]
        assert len(WorkerGroup(wrapper)._loops) == os.cpu_count()
        with pytest.raises(ValueError, match="threads is a whole number from 1, not 0"):
            WorkerGroup(wrapper, n_threads=0)


def test_the_signals_of_a_worker_in_the_main_thread_are_those_of_before_when_it_has_ended(layer):
    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    told = threading.Event()
    with routed([route("a", echo)], layer=layer) as wrapper:
        worker = Worker(wrapper)

        def ready(**_):
            if not told.is_set():
                told.set()
                os.kill(os.getpid(), signal.SIGTERM)

        worker_ready.connect(ready)
        try:
            assert worker.run() is True
        finally:
            worker_ready.disconnect(ready)
    assert told.is_set()
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == handlers


# Stopping


def blocking(started, go_on):
    def consumer(message):
        if message["text"] == "first":
            started.set()
            assert go_on.wait(30)
        echo(message)

    return consumer


def test_a_worker_that_is_told_to_stop_ends_what_it_began_and_gives_back_the_rest(layer, start):
    started, go_on = threading.Event(), threading.Event()
    running = start(layer, [route("websocket.receive", blocking(started, go_on))])
    for number in range(100):
        say(layer, "fast", reply_channel=f"gw!{number}")
    answers(layer, 100)
    for text in ("first", "second", "third", "fourth"):
        say(layer, text, reply_channel=f"gw!{text}")
    assert started.wait(30)
    running.worker.stop()
    assert running.worker._drain._begun.wait(30)
    go_on.set()
    assert running.stop() is True
    assert answers(layer, 1) == [{"text": "first"}]
    left = [layer.receive(["websocket.receive"])[1]["text"] for _ in range(3)]
    assert left == ["second", "third", "fourth"]
    assert nothing_waits(layer, "gw!", "websocket.receive")


def test_a_worker_that_cannot_end_in_time_says_so(layer, start, settings, caplog):
    settings.CHANCELERY = {"DRAIN_SECONDS": 0.1}
    started, go_on = threading.Event(), threading.Event()
    running = start(layer, [route("websocket.receive", blocking(started, go_on))])
    say(layer, "first")
    assert started.wait(30)
    threads = [thread for thread in threading.enumerate() if thread.name == "worker thread 1"]
    assert running.stop() is False
    assert "worker thread 1 is still busy: what it is doing will be dropped when its lease runs out" in caplog.text
    go_on.set()
    for thread in threads:
        thread.join()


def test_an_idle_worker_stops(layer, start):
    assert start(layer, [route("a", echo)], threads=3).stop() is True
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("worker")]
