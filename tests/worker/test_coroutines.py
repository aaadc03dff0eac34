"""Async consumers on workers: their order, how many run at once, what they send, and how they stop."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.db import connection, connections

from chancelery import Channel, Group, outbox, route
from chancelery.exceptions import DenyConnection
from chancelery.signals import consumer_finished, consumer_started
from tests.worker.conftest import answers, nothing_waits, say


async def echo(message):
    message.reply_channel.send({"text": message["text"]})


async def until(condition):
    """Let others run until *condition* holds."""
    give_up_at = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < give_up_at
        await asyncio.sleep(0.005)


def test_an_echo_comes_back(layer, start):
    start(layer, [route("websocket.receive", echo)])
    say(layer, "hello")
    assert answers(layer, 1) == [{"text": "hello"}]


def test_many_messages_are_handled_once_each(layer, start):
    for number in range(500):
        say(layer, str(number), reply_channel=f"gw!{number}")
    running = start(layer, [route("websocket.receive", echo)], threads=2)
    assert sorted(int(answer["text"]) for answer in answers(layer, 500)) == list(range(500))
    assert running.stop() is True
    assert nothing_waits(layer)


def test_a_hundred_coroutines_of_one_thread_wait_at_once(layer, start):
    inside = set()

    async def consumer(message):
        inside.add(message["text"])
        await until(lambda: len(inside) == 100)
        await echo(message)

    for number in range(100):
        say(layer, number, reply_channel=f"gw!{number}")
    start(layer, [route("websocket.receive", consumer)], threads=1)
    assert sorted(answer["text"] for answer in answers(layer, 100)) == list(range(100))


def test_one_connections_messages_are_handled_in_order_and_one_at_a_time(layer, start):
    busy = []

    async def consumer(message):
        assert not busy, "two at a time"
        busy.append(1)
        await asyncio.sleep(0)
        await echo(message)
        busy.clear()

    for number in range(60):
        say(layer, number)
    start(layer, [route("websocket.receive", consumer)], threads=4)
    assert [answer["text"] for answer in answers(layer, 60)] == list(range(60))


def test_order_holds_where_plain_and_async_consumers_take_turns(layer, start):
    def plain(message):
        message.reply_channel.send({"text": message["text"]})

    start(layer, [route("a", plain), route("b", echo)], threads=2)
    for number in range(60):
        say(layer, number, channel="ab"[number % 2])
    assert [answer["text"] for answer in answers(layer, 60)] == list(range(60))


def test_a_coroutine_that_waits_delays_neither_others_nor_plain_consumers(layer, start):
    go_on = threading.Event()

    async def waits(message):
        await until(go_on.is_set)
        await echo(message)

    def plain(message):
        message.reply_channel.send({"text": message["text"]})

    start(layer, [route("slow", waits), route("plain", plain), route("quick", echo)], threads=1)
    say(layer, "slow", reply_channel="gw!slow", channel="slow")
    for number in range(40):
        say(layer, number, reply_channel=f"gw!{number}", channel=("plain", "quick")[number % 2])
    assert sorted(answer["text"] for answer in answers(layer, 40)) == list(range(40))
    go_on.set()
    assert answers(layer, 1) == [{"text": "slow"}]


def test_what_a_coroutine_sent_goes_out_while_its_thread_is_busy(layer, start):
    waiting, began, go_on = threading.Event(), threading.Event(), threading.Event()

    async def after(message):
        waiting.set()
        await until(began.is_set)
        await echo(message)

    def hold(message):
        began.set()
        assert go_on.wait(30)

    start(layer, [route("after", after), route("hold", hold)], threads=1)
    say(layer, "meanwhile", channel="after")
    assert waiting.wait(30)
    say(layer, None, reply_channel="gw!two", channel="hold")
    assert answers(layer, 1) == [{"text": "meanwhile"}]
    go_on.set()


def test_no_more_run_at_a_time_than_allowed_and_all_get_their_turn(layer, start):
    inside, most = set(), []

    async def consumer(message):
        inside.add(message["text"])
        most.append(len(inside))
        await asyncio.sleep(0.002)
        inside.discard(message["text"])
        await echo(message)

    for number in range(60):
        say(layer, number, reply_channel=f"gw!{number}")
    start(layer, [route("websocket.receive", consumer)], threads=1, coroutines=5)
    assert sorted(answer["text"] for answer in answers(layer, 60)) == list(range(60))
    assert max(most) <= 5


# What goes out


def test_sends_are_held_until_the_coroutine_has_ended_and_go_out_in_order(layer, start):
    sent, go_on = threading.Event(), threading.Event()

    async def consumer(message):
        await echo(message)
        await asyncio.gather(*(inner(message, letter) for letter in "ab"))
        sent.set()
        await until(go_on.is_set)
        message.reply_channel.send({"text": "end"})

    async def inner(message, letter):
        message.reply_channel.send({"text": letter})

    start(layer, [route("websocket.receive", consumer)])
    say(layer, "begin")
    assert sent.wait(30)
    assert nothing_waits(layer)
    go_on.set()
    assert [answer["text"] for answer in answers(layer, 4)] == ["begin", "a", "b", "end"]


def test_coroutines_that_take_turns_do_not_mix_what_they_send_or_where_it_came_from(layer, start):
    async def consumer(message):
        for _ in range(3):
            Channel("out").send({"n": message["text"], "came": message.trail[0].channel})
            await asyncio.sleep(0.001)
        if message["text"] % 2:
            raise RuntimeError

    start(layer, [route(["a", "b"], consumer)], threads=1)
    for number in range(10):
        Channel("ab"[number % 2]).send({"text": number})
    found = answers(layer, 30, "out")
    assert [found[n]["n"] for n in range(0, 30, 3)] == [found[n]["n"] for n in range(2, 30, 3)]
    assert all(content["came"] == "ab"[content["n"] % 2] for content in found)


def test_what_a_task_sends_that_its_consumer_has_left_behind_is_not_lost(layer, start):
    left = set()

    async def consumer(message):
        async def later():
            await until(over.is_set)
            await echo(message)

        left.add(asyncio.create_task(later()))

    over = threading.Event()
    consumer_finished.connect(lambda **_: over.set(), weak=False, dispatch_uid="test")
    try:
        start(layer, [route("websocket.receive", consumer)])
        say(layer, "late")
        assert answers(layer, 1) == [{"text": "late"}]
    finally:
        consumer_finished.disconnect(dispatch_uid="test")


def test_memberships_and_what_is_sent_at_once_are_no_trouble(layer, start):
    async def connect(message):
        await asyncio.to_thread(Group("all").add, message.reply_channel)

    async def receive(message):
        Group("all").send({"text": message["text"]}, immediately=True)

    start(layer, [route("websocket.connect", connect), route("websocket.receive", receive)])
    for name in ("gw!one", "gw!two"):
        say(layer, None, name, "websocket.connect")
    assert answers(layer, 2) == [{"accept": True}] * 2
    say(layer, "hello")
    assert answers(layer, 2) == [{"text": "hello"}] * 2


def test_a_socket_is_accepted_denied_or_turned_away(layer, start):
    async def connect(message):
        await asyncio.sleep(0)
        if message["path"] == "/no/":
            raise DenyConnection
        if message["path"] == "/bad/":
            raise RuntimeError

    start(layer, [route("websocket.connect", connect)])
    for path, accepted in (("/", True), ("/no/", False), ("/bad/", False)):
        say(layer, None, channel="websocket.connect", path=path)
        assert answers(layer, 1) == [{"accept": accepted}]


def test_what_finds_no_room_is_sent_when_there_is_some(make_layer, start, settings):
    settings.CHANCELERY = {"CAPACITY_WAIT": 30}
    layer = make_layer(channel_capacity={"out": 2})

    async def consumer(message):
        for number in range(3):
            Channel("out").send({"n": number})

    start(layer, [route("websocket.receive", consumer)])
    say(layer, 1)
    assert [content["n"] for content in answers(layer, 3, "out")] == [0, 1, 2]


def test_what_was_deferred_runs_in_a_thread_once_the_sends_are_out(layer, start):
    threads = []

    async def consumer(message):
        await echo(message)
        outbox.current().defer(lambda: threads.append(threading.current_thread().name))
        outbox.current().defer(lambda: Channel("gw!two").send({"text": "deferred"}))
        if message["text"] == "bad":
            raise RuntimeError

    running = start(layer, [route("websocket.receive", consumer)])
    say(layer, "bad")
    say(layer, "good")
    assert [answer["text"] for answer in answers(layer, 3)] == ["bad", "good", "deferred"]
    assert running.stop() is True
    assert threads == ["worker afterwards 1"]


# Errors


@pytest.mark.parametrize("error", [RuntimeError, SystemExit, KeyboardInterrupt, asyncio.CancelledError])
def test_a_coroutine_that_raises_harms_no_other_and_its_sends_go_out(layer, start, error, caplog):
    async def consumer(message):
        await echo(message)
        if message["text"] == "bad":
            raise error

    start(layer, [route("websocket.receive", consumer)])
    for text in ("good", "bad", "good again"):
        say(layer, text)
    assert [answer["text"] for answer in answers(layer, 3)] == ["good", "bad", "good again"]
    [record] = caplog.records
    assert record.exc_info[0] is error
    assert 'sends_go_out.<locals>.consumer failed on a message of channel "websocket.receive"' in record.message


def test_a_task_that_would_end_a_process_ends_no_event_loop(layer, start, caplog):
    async def exits():
        raise SystemExit

    async def consumer(message):
        if message["text"] == "bad":
            done, _ = await asyncio.wait([asyncio.create_task(exits())])
            assert isinstance(done.pop().exception(), SystemExit)
        await echo(message)

    start(layer, [route("websocket.receive", consumer)])
    for text in ("bad", "good"):
        say(layer, text)
    assert [answer["text"] for answer in answers(layer, 2)] == ["bad", "good"]
    assert "a task on the event loop has raised what would end a process" in caplog.text


def test_a_consumer_that_holds_up_the_event_loop_is_named(layer, start, caplog):
    async def blocks(message):
        give_up_at = time.monotonic() + 30
        while "holding up" not in caplog.text and time.monotonic() < give_up_at:
            time.sleep(0.01)  # noqa: ASYNC251 - that is what it is about
        await echo(message)

    start(layer, [route("websocket.receive", blocks)])
    say(layer, "blocked")
    assert answers(layer, 1) == [{"text": "blocked"}]
    [said] = [record.getMessage() for record in caplog.records if "holding up" in record.getMessage()]
    assert "test_coroutines.test_a_consumer_that_holds_up_the_event_loop_is_named.<locals>.blocks has been" in said


# What is done around a consumer


@pytest.mark.django_db(transaction=True)
def test_the_orm_has_a_thread_of_its_own_per_message_whose_connections_are_closed(layer, start):
    seen, closed = [], []

    def look():
        seen.append(threading.get_ident())
        connection.ensure_connection()
        return connections["default"]

    async def consumer(message):
        assert await get_user_model().objects.acount() == 0
        own = await sync_to_async(look)()
        closed.append(own)
        await echo(message)

    start(layer, [route("websocket.receive", consumer)])
    for number in range(3):
        say(layer, number)
    answers(layer, 3)
    assert len(closed) == 3
    assert threading.get_ident() not in seen


def test_the_signals_are_sent_around_a_coroutine_also_when_it_raises(layer, start):
    seen = []

    def started(environ, **_):
        seen.append(environ["text"])

    async def finished(**_):
        seen.append("finished")

    async def consumer(message):
        await echo(message)
        raise RuntimeError

    consumer_started.connect(started)
    consumer_finished.connect(finished)
    try:
        running = start(layer, [route("websocket.receive", consumer)])
        say(layer, "hello")
        answers(layer, 1)
        running.stop()
    finally:
        consumer_started.disconnect(started)
        consumer_finished.disconnect(finished)
    assert seen == ["hello", "finished"]


# Stopping


def test_a_worker_that_is_told_to_stop_waits_for_its_coroutines(layer, start):
    began, go_on = threading.Event(), threading.Event()

    async def consumer(message):
        began.set()
        await until(go_on.is_set)
        await echo(message)

    running = start(layer, [route("websocket.receive", consumer)])
    say(layer, "first")
    say(layer, "behind it")
    assert began.wait(30)
    running.worker.stop()
    assert running.worker._drain._begun.wait(30)
    go_on.set()
    assert running.stop() is True
    assert answers(layer, 1) == [{"text": "first"}]
    assert layer.receive(["websocket.receive"])[1]["text"] == "behind it"
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("worker")]


def test_a_coroutine_that_does_not_end_in_time_is_cancelled_with_a_record(layer, start, settings, caplog):
    settings.CHANCELERY = {"DRAIN_SECONDS": 0.1}
    began, cleaned_up = threading.Event(), threading.Event()

    async def consumer(message):
        await echo(message)
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            cleaned_up.set()

    running = start(layer, [route("websocket.receive", consumer)])
    say(layer, "never")
    assert began.wait(30)
    assert running.stop() is False
    assert cleaned_up.is_set()
    assert nothing_waits(layer)
    assert "cancelled 1 async consumers (1 of tests.worker.test_coroutines.test_a_coroutine_that_does" in caplog.text
