"""Clients: what they send is handled as a worker would, and what is answered they receive."""

from __future__ import annotations

from typing import ClassVar

import pytest

from chancelery import Channel, Group, channel_layers, outbox, route, route_class
from chancelery.exceptions import ChannelFull
from chancelery.generic import BaseConsumer
from chancelery.handler import view_consumer
from chancelery.layers import codec
from chancelery.signals import consumer_finished, consumer_started
from chancelery.test import Client, apply_routes
from tests.kit import consumers

pytestmark = pytest.mark.usefixtures("small_site")


@pytest.fixture
def client(channel_client):
    return channel_client


def test_a_message_is_sent_consumed_and_its_answer_received(client):
    client.send("answer", {"value": "my_value"})
    client.consume("answer")
    assert client.receive() == {"another": "my_value"}
    assert client.receive() is None


def test_what_a_consumer_returns_is_returned(client):
    assert client.send_and_consume("double", {"value": 2}) == "returned"
    assert client.get_next_message("result")["value"] == 4


def test_a_class_that_handles_a_message_is_returned_as_its_instance(client):
    class Asked(BaseConsumer):
        method_mapping: ClassVar = {"ask": "ask"}

        def ask(self, message, **kwargs):
            self.asked = message["text"]

    with apply_routes(route_class(Asked)):
        assert client.get_consumer_by_channel("ask") is Asked
        assert client.send_and_consume("ask", {"text": "why"}).asked == "why"


def test_what_is_sent_is_a_copy(client):
    content = {"value": [1]}
    client.send("answer", content)
    content["value"].append(2)
    client.consume("answer")
    assert client.receive() == {"another": [1]}
    assert "reply_channel" not in content


def test_a_client_receives_what_its_groups_are_sent(client):
    client.join_group("all")
    Group("all").send({"text": "hello"})
    Channel(client.reply_channel).send({"text": "you"})
    assert [client.receive(), client.receive(), client.receive()] == [{"text": "hello"}, {"text": "you"}, None]


def test_nothing_to_consume_is_an_error_that_says_what_there_is(client):
    with pytest.raises(AssertionError, match=r'no message on channel "double"\. Nothing waits anywhere'):
        client.consume("double")
    assert client.consume("double", fail_on_none=False) is None
    client.send("answer", {"value": 1})
    client.send("double", {"value": 1})
    with pytest.raises(AssertionError, match="1 on answer, and perhaps more behind earlier messages of the same conn"):
        client.consume("double")


def test_messages_of_one_client_are_handled_in_their_order(client):
    client.send("answer", {"value": 1})
    client.send("double", {"value": 1})
    client.consume("answer")
    client.consume("double")


def test_a_message_that_no_route_matches_is_an_error(client):
    with pytest.raises(AssertionError, match=r'of channel "nowhere" was dropped: no route matches it: .*33'):
        client.send_and_consume("nowhere", {"value": 33})
    assert client.send_and_consume("nowhere", fail_on_none=False) is None
    assert client.get_consumer_by_channel("nowhere") is None
    assert client.get_consumer_by_channel("http.request") is view_consumer
    assert client.get_consumer_by_channel("double") is consumers.doubled
    assert channel_layers["default"].global_statistics()["dropped:unrouted"] == 2


def test_what_a_consumer_raises_is_raised_and_what_it_sent_before_is_sent(client, caplog):
    with pytest.raises(LookupError, match="in the consumer"):
        client.send_and_consume("fail")
    assert client.receive() == {"said": "before"}
    assert "tests.kit.consumers.failed failed on a message" in caplog.text


def test_what_a_consumer_raises_is_only_logged_when_the_client_is_told_so(channel_clock, caplog):
    client = Client(raise_exceptions=False)
    client.send_and_consume("fail")
    assert client.receive() == {"said": "before"}
    assert "in the consumer" in caplog.text


def test_sends_wait_until_the_consumer_has_ended(client):
    def look(message):
        Channel("result").send({"value": 1})
        assert client.get_next_message("result") is None

    with apply_routes(route("look", look)):
        client.send_and_consume("look")
    assert client.get_next_message("result")["value"] == 1


def test_sends_that_find_no_room_are_raised(client):
    def flood(message):
        for value in range(8):
            Channel("result").send({"value": value})

    with apply_routes(route("flood", flood)), pytest.raises(ChannelFull, match='"result" holds 7 messages'):
        client.send_and_consume("flood")


def test_a_message_to_be_consumed_later_comes_again_when_the_clock_has_moved(client, channel_clock):
    assert client.send_and_consume("later") is None
    assert client.receive() is None
    with pytest.raises(AssertionError, match="1 for its time, which the clock has not reached"):
        client.consume("later")
    channel_clock.advance(30)
    client.consume("later")
    assert client.receive() == {"tries": 1}


def test_a_message_that_is_put_off_too_often_is_an_error_at_last(client, channel_clock):
    def never(message):
        raise consumers.ConsumeLater(1)

    with apply_routes(route("never", never)):
        client.send("never")
        for _ in range(10):
            client.consume("never")
            channel_clock.advance(1)
        with pytest.raises(AssertionError, match="asked too often"):
            client.consume("never")


def test_what_is_deferred_is_done_after_the_sends_and_what_it_raises_is_raised(client, caplog):
    def deferring(message):
        Channel("result").send({"value": 1})
        outbox.current().defer(lambda: seen.append(client.get_next_message("result")))
        outbox.current().defer(lambda: 1 / 0)

    seen = []
    with apply_routes(route("defer", deferring)):
        with pytest.raises(ZeroDivisionError):
            client.send_and_consume("defer")
        Client(raise_exceptions=False).send_and_consume("defer")
    assert [message["value"] for message in seen] == [1, 1]
    assert "deferred failed" in caplog.text


def test_a_fault_of_a_route_and_a_reply_channel_that_is_none_are_raised(client):
    class Broken:
        def match(self, message):
            raise LookupError("in the route")

        def channel_names(self):
            return ["broken"]

    with apply_routes(Broken()), pytest.raises(LookupError, match="in the route"):
        client.send_and_consume("broken")
    with pytest.raises(TypeError, match="not a valid channel name"):
        client.send_and_consume("answer", {"reply_channel": "not one"})


def test_signals_are_sent_around_consumers(client):
    seen = []

    def note(signal, **_):
        seen.append(signal)

    for signal in (consumer_started, consumer_finished):
        signal.connect(note)
    try:
        client.send_and_consume("answer", {"value": 1})
    finally:
        for signal in (consumer_started, consumer_finished):
            signal.disconnect(note)
    assert seen == [consumer_started, consumer_finished]


def test_a_message_has_the_trail_that_it_would_have(client):
    client.send_and_consume("answer", {"value": 1})
    [entry] = channel_layers["default"].collect(client.reply_channel.partition("!")[0] + "!", 0, 10).entries
    assert [hop.sender for hop in codec.unpack(entry).trail] == ["code", "tests.kit.consumers.answered"]


def test_database_connections_are_left_alone(client, db):
    client.send_and_consume("register", {"name": "editors"})


@pytest.mark.django_db
class TestCommits:
    def test_what_a_consumer_leaves_for_the_commit_is_done_with_fixtures_too(self, client):
        client.join_group("news")
        client.send_and_consume("register", {"name": "editors"})
        assert client.receive() == {"text": "editors"}
