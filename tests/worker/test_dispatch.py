"""What goes out after a consumer, however it ended."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging

import pytest
from django.db import connection
from django.utils import translation

from chancelery import Channel, Group, channel_layers, outbox, route
from chancelery.exceptions import ChannelSocketException, ConsumeLater, DenyConnection, WebsocketCloseException
from chancelery.layers import codec
from chancelery.layers.base import Delivery
from chancelery.layers.memory import InMemoryChannelLayer
from chancelery.signals import consumer_finished, consumer_started
from chancelery.trail import Hop
from chancelery.worker.dispatch import Dispatch, run_deferred
from tests.routed import received, routed

pytestmark = pytest.mark.django_db  # connections are looked after around each consumer

CAME_BY = (Hop("gateway", "websocket.receive", "host:1", 1),)


def handled(routing, channel="websocket.receive", **content):
    """Handle a message and return the outcome."""
    content = {"reply_channel": "gw!one", "path": "/p/", **content}
    lane = content["reply_channel"] or ""
    with routed(routing) as wrapper:
        wrapper.router.check_default()
        return Dispatch(wrapper)(Delivery(1, channel, lane, content, CAME_BY))


def sent(outcome):
    """What goes out: pairs of address and content."""
    envelopes = [(send.address, codec.unpack(codec.pack(0, "c", "", send.body))) for send in outcome.sends]
    return [(address, envelope.content) for address, envelope in envelopes]


def trails(outcome):
    envelopes = [codec.unpack(codec.pack(0, "c", "", send.body)) for send in outcome.sends]
    return [[hop.sender for hop in envelope.trail] for envelope in envelopes]


def say(message, **kwargs):
    message.reply_channel.send({"text": "said"})
    Group("all").send({"text": "to all", **kwargs})


def fail(message):
    message.reply_channel.send({"text": "before"})
    outbox.current().defer(lambda: pytest.fail("was called"))
    raise RuntimeError("in the consumer")


def test_what_a_consumer_sent_goes_out_in_order_with_its_keyword_arguments():
    outcome = handled([route("websocket.receive", say, path="^/(?P<letter>.)/")])
    assert sent(outcome) == [("gw!one", {"text": "said"}), ("all", {"text": "to all", "letter": "p"})]
    assert [send.to_group for send in outcome.sends] == [False, True]


def test_the_trail_goes_on_in_the_name_of_the_consumer():
    outcome = handled([route("websocket.receive", say)])
    assert trails(outcome) == [["gateway", "tests.worker.test_dispatch.say"]] * 2


def test_an_instance_or_class_is_named_too():
    class Consumer:
        def __call__(self, message):
            message.reply_channel.send({})

    outcome = handled([route("websocket.receive", Consumer())])
    assert trails(outcome)[0][1].endswith(".Consumer")


def test_a_consumer_that_raises_is_logged_with_its_trail_and_its_sends_go_out(caplog):
    outcome = handled([route("websocket.receive", fail)])
    assert sent(outcome) == [("gw!one", {"text": "before"})]
    assert outcome.deferred == []
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert (
        'consumer tests.worker.test_dispatch.fail failed on a message of channel "websocket.receive"' in record.message
    )
    assert "gateway (host:1) -> websocket.receive" in record.message
    assert record.exc_info[1].args == ("in the consumer",)


def test_an_async_function_behind_a_plain_decorator_is_an_error_and_not_forgotten(caplog):
    async def consumer(message):
        pytest.fail("was run")

    @functools.wraps(consumer)
    def decorated(message):
        return consumer(message)

    assert sent(handled([route("websocket.receive", decorated)])) == []
    assert "decorated" not in caplog.records[0].message
    assert "returned a coroutine, which was not run" in str(caplog.records[0].exc_info[1])


def test_an_async_consumer_is_left_to_an_event_loop():
    async def consumer(message):
        message.reply_channel.send({"text": "said"})

    pending = handled([route("websocket.receive", consumer)])
    assert pending.sender.endswith("test_an_async_consumer_is_left_to_an_event_loop.<locals>.consumer")
    assert sent(asyncio.run(pending.run())) == [("gw!one", {"text": "said"})]


def test_what_an_async_consumer_sends_on_another_layer_goes_there_without_holding_up_the_event_loop():
    async def consumer(message):
        Channel("a", alias="second").send({"n": 1})

    with routed(alias="second") as second:
        pending = handled([route("websocket.receive", consumer)])
        assert sent(asyncio.run(pending.run())) == []
        assert received(second.layer, "a") == [{"n": 1}]


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, DenyConnection, RecursionError])
def test_nothing_that_a_consumer_raises_gets_past(caplog, error):
    def consumer(message):
        raise error

    assert sent(handled([route("websocket.receive", consumer)])) == []
    assert caplog.records[0].exc_info[0] is error


def test_a_route_that_raises_is_logged_like_a_consumer(caplog):
    class Broken:
        def channel_names(self):
            return ["a"]

        def match(self, message):
            raise RuntimeError("in the route")

    assert sent(handled([Broken()], "a")) == []
    assert caplog.records[0].exc_info[1].args == ("in the route",)


def test_a_message_with_a_reply_channel_that_is_none_is_logged_and_dropped(caplog):
    outcome = handled([route("a", say)], "a", reply_channel="not valid")
    assert (sent(outcome), outcome.dropped) == ([], "corrupt")
    assert "'not valid' is not a valid channel name" in str(caplog.records[0].exc_info[1])


def test_a_message_without_route_is_said_once_per_burst(caplog):
    def unrouted():
        return handled([route("elsewhere", say)], "lost.and.found", path="/x/")

    assert sent(unrouted()) == sent(unrouted()) == []
    [record] = caplog.records
    assert "dropped a message of channel \"lost.and.found\" with the path '/x/': no route matches it" in record.message
    assert "gateway (host:1)" in record.message
    assert unrouted().dropped == "unrouted"


def test_what_is_sent_on_another_layer_goes_there():
    def consumer(message):
        Channel("a", alias="second").send({"n": 1})
        message.reply_channel.send({"n": 2})

    with routed(alias="second") as second:
        outcome = handled([route("websocket.receive", consumer)])
        assert received(second.layer, "a") == [{"n": 1}]
    assert sent(outcome) == [("gw!one", {"n": 2})]


def test_what_finds_no_room_on_another_layer_is_logged(caplog, settings):
    settings.CHANCELERY = {"CAPACITY_WAIT": 0.1}

    def consumer(message):
        Channel("a", alias="second").send({})
        Channel("a", alias="second").send({})

    with routed(alias="second", layer=InMemoryChannelLayer(capacity=1)) as second:
        handled([route("websocket.receive", consumer)])
        assert second.layer.global_statistics()["dropped:no_room"] == 1
    assert "a message to a on the layer 'second' was not sent: channel \"a\" holds 1 messages" in caplog.text


# Connecting


def silent(message):
    pass


def joining(message):
    Group("all").send({"text": "somebody comes"})


def answering(message):
    message.reply_channel.send({"text": "welcome"})


def accepting_at_once(message):
    message.reply_channel.send({"accept": True}, immediately=True)


def deferring(message):
    message.defer_accept()


def denying(message):
    message.reply_channel.send({"text": "no"})
    raise DenyConnection


def denying_after_acceptance(message):
    message.reply_channel.send({"accept": True}, immediately=True)
    raise DenyConnection


class Turn(ChannelSocketException):
    def run(self, message):
        message.reply_channel.send({"close": 4001})


class Quiet(ChannelSocketException):
    def run(self, message):
        pass


class Broken(ChannelSocketException):
    """Has no `run`."""


def raising(error):
    def consumer(message):
        raise error

    return consumer


@pytest.mark.parametrize(
    ("consumer", "expected"),
    [
        (silent, [{"accept": True}]),
        (joining, [{"accept": True}, {"text": "somebody comes"}]),
        (answering, [{"text": "welcome"}]),
        (accepting_at_once, []),
        (deferring, []),
        (denying, [{"accept": False}, {"text": "no"}]),
        (denying_after_acceptance, [{"accept": False}, {"close": True}]),
        (fail, [{"accept": False}, {"text": "before"}]),
        (raising(Turn), [{"close": 4001}]),
        (raising(Quiet), [{"accept": False}]),
        (raising(Broken), [{"accept": False}]),
    ],
)
def test_a_connecting_socket_is_always_answered(consumer, expected):
    outcome = handled([route("websocket.connect", consumer)], "websocket.connect")
    assert [content for _, content in sent(outcome)] == expected


def test_a_socket_whose_path_no_route_matches_is_denied():
    outcome = handled([route("websocket.connect", silent, path="^/elsewhere/$")], "websocket.connect")
    assert sent(outcome) == [("gw!one", {"accept": False})]


def test_a_socket_that_nobody_routes_is_accepted():
    assert sent(handled([], "websocket.connect")) == [("gw!one", {"accept": True})]


def test_an_acceptance_on_behalf_of_a_consumer_has_its_trail():
    outcome = handled([route("websocket.connect", silent)], "websocket.connect")
    assert trails(outcome) == [["gateway", "tests.worker.test_dispatch.silent"]]


def test_a_connect_without_reply_channel_is_answered_to_nobody():
    assert sent(handled([route("websocket.connect", silent)], "websocket.connect", reply_channel=None)) == []


def test_an_open_socket_can_be_closed_by_an_exception(caplog):
    outcome = handled([route("websocket.receive", raising(Turn))])
    assert sent(outcome) == [("gw!one", {"close": 4001})]
    assert caplog.records == []


# HTTP


def test_a_request_whose_consumer_failed_is_answered():
    outcome = handled([route("http.request", raising(RuntimeError))], "http.request")
    [(_, response)] = sent(outcome)
    assert (response["status"], response["content"]) == (500, b"Server error")


@pytest.mark.parametrize("immediately", [True, False])
def test_a_response_that_has_begun_is_not_answered_again(immediately):
    def consumer(message):
        message.reply_channel.send({"status": 200}, immediately=immediately)
        raise RuntimeError

    outcome = handled([route("http.request", consumer)], "http.request")
    assert sent(outcome) == ([] if immediately else [("gw!one", {"status": 200})])


def test_a_request_may_be_answered_later():
    assert sent(handled([route("http.request", silent)], "http.request")) == []


# What is done around a consumer


def test_what_was_deferred_runs_after_a_normal_return_each_by_itself(caplog):
    done = []

    def consumer(message):
        outbox.current().defer(lambda: done.append(outbox.current()))
        outbox.current().defer(lambda: 1 / 0)
        outbox.current().defer(lambda: Channel("a").send({}))

    outcome = handled([route("websocket.receive", consumer)])
    assert len(outcome.deferred) == 3
    assert done == []
    with routed() as wrapper:
        run_deferred(outcome)
        delivery = wrapper.layer.fetch(["a"], 1, wrapper.layer.open_lease()).deliveries[0]
    assert done == [None]
    assert delivery.trail[0].sender == "gateway"
    assert [record.exc_info[0] for record in caplog.records] == [ZeroDivisionError]


def test_the_signals_are_sent_around_a_consumer_also_when_it_raises():
    seen = []

    def started(environ, **_):
        seen.append(environ["path"])

    def finished(**_):
        seen.append("finished")

    consumer_started.connect(started)
    consumer_finished.connect(finished)
    try:
        handled([route("websocket.receive", fail)])
    finally:
        consumer_started.disconnect(started)
        consumer_finished.disconnect(finished)
    assert seen == ["/p/", "finished"]


def test_a_receiver_of_the_signals_that_fails_harms_nobody(caplog):
    def broken(**_):
        raise RuntimeError

    consumer_finished.connect(broken)
    try:
        assert len(handled([route("websocket.receive", say)]).sends) == 2
    finally:
        consumer_finished.disconnect(broken)


def test_database_connections_are_looked_after_as_between_requests(monkeypatch):
    calls = []
    connection.ensure_connection()
    connection.queries_log.append({"sql": "of the message before"})
    monkeypatch.setattr(connection, "close_if_unusable_or_obsolete", lambda: calls.append("closed if obsolete"))

    def consumer(message):
        calls.append(len(connection.queries_log))

    handled([route("websocket.receive", consumer)])
    assert calls == ["closed if obsolete", 0, "closed if obsolete"]


def test_what_a_consumer_activates_does_not_reach_the_next_message():
    seen = []

    def consumer(message):
        seen.append(translation.get_language())
        translation.activate("de")

    for _ in range(2):
        handled([route("websocket.receive", consumer)])
    assert seen == ["en-us", "en-us"]


def test_nothing_is_left_open_behind_a_consumer():
    handled([route("websocket.receive", fail)])
    assert outbox.current() is None
    assert "default" not in channel_layers


# Exceptions that do something to the socket


@pytest.mark.parametrize("name", ["daphne.response.AbC!xyz", "websocket.send!a1", "gw-1.host!0"])
@pytest.mark.parametrize(("code", "expected"), [(None, True), (1000, 1000), (3000, 3000), (4999, 4999)])
def test_a_socket_is_closed_whatever_its_reply_channel_is_called(caplog, name, code, expected):
    outcome = handled([route("websocket.receive", raising(WebsocketCloseException(code)))], reply_channel=name)
    assert sent(outcome) == [(name, {"close": expected})]
    assert caplog.records == []


@pytest.mark.parametrize("code", [5, 999, 1001, 1006, 2999, 5000, -1, True, "1000", 1000.0])
def test_a_code_that_no_application_may_send_is_the_consumers_failure(caplog, code):
    def consumer(message):
        raise WebsocketCloseException(code)

    assert sent(handled([route("websocket.receive", consumer)])) == []
    assert f"from 3000 to 4999, not {code!r}" in str(caplog.records[0].exc_info[1])


def test_a_connecting_socket_is_turned_away_with_it():
    outcome = handled([route("websocket.connect", raising(WebsocketCloseException(4000)))], "websocket.connect")
    assert sent(outcome) == [("gw!one", {"close": 4000})]


def test_without_a_socket_it_is_the_consumers_failure(caplog):
    assert sent(handled([route("a", raising(WebsocketCloseException()))], "a", reply_channel=None)) == []
    assert "has no reply_channel: no socket to close" in str(caplog.records[0].exc_info[1])


@pytest.mark.parametrize("kind", ["plain", "async"])
@pytest.mark.parametrize(
    ("error", "expected"),
    [(WebsocketCloseException(4000), [{"close": 4000}]), (DenyConnection(), []), (ConsumeLater(0), None)],
)
def test_what_a_nested_consumer_raises_counts_for_the_message(kind, error, expected, caplog):
    inner = raising(error)

    def plain(message):
        inner(message)

    async def waiting(message):
        inner(message)

    outcome = handled([route("websocket.receive", plain if kind == "plain" else waiting)])
    if kind == "async":
        outcome = asyncio.run(outcome.run())
    if expected is None:
        assert outcome.later is not None
    assert [content for _, content in sent(outcome)] == (expected or [])
    assert [record.exc_info[0] for record in caplog.records] == ([DenyConnection] if expected == [] else [])


def test_a_nested_consumers_outbox_is_its_own_also_when_it_raises():
    def consumer(message):
        message.reply_channel.send({"n": 1})
        with contextlib.suppress(RuntimeError), outbox.holding():
            message.reply_channel.send({"n": 2})
            raise RuntimeError
        message.reply_channel.send({"n": 3})

    assert [content["n"] for _, content in sent(handled([route("websocket.receive", consumer)]))] == [1, 3]


# The callback


def test_a_callback_sees_each_message_before_its_consumer_and_cannot_do_harm(caplog):
    seen = []

    def callback(channel, message):
        seen.append((channel, message["path"]))
        raise RuntimeError("in the callback")

    def consumer(message):
        seen.append("consumer")

    with routed([route("a", consumer)]) as wrapper:
        Dispatch(wrapper, callback=callback)(Delivery(1, "a", "", {"path": "/p/"}, CAME_BY))
    assert seen == [("a", "/p/"), "consumer"]
    assert 'the callback failed on a message of channel "a"' in caplog.text
