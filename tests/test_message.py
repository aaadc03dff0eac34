"""What a consumer is given."""

from __future__ import annotations

import pytest

from chancelery import Channel, outbox
from chancelery.exceptions import ChannelFull
from chancelery.layers.memory import InMemoryChannelLayer
from chancelery.message import Message, pending_message_store
from chancelery.trail import Hop
from tests.routed import received, routed


@pytest.fixture
def wrapper():
    with routed() as wrapper:
        yield wrapper


def test_a_message_reads_like_its_content(wrapper):
    message = Message({"text": "hi", "order": 1}, "websocket.receive", wrapper)
    assert message["text"] == "hi"
    assert message.get("text") == "hi"
    assert message.get("bytes") is None
    assert message.get("bytes", b"") == b""
    assert "order" in message
    assert "bytes" not in message
    assert list(message.keys()) == ["text", "order"]
    assert list(message.values()) == ["hi", 1]
    assert list(message.items()) == [("text", "hi"), ("order", 1)]
    with pytest.raises(KeyError):
        message["bytes"]
    message["user"] = 7
    assert message.content == {"text": "hi", "order": 1, "user": 7}


def test_a_message_knows_where_it_was_received_and_where_answers_go(wrapper):
    hops = (Hop("gateway", "websocket.receive", "host:1", 1),)
    message = Message({"reply_channel": "gw!one"}, "websocket.receive", wrapper, hops)
    assert message.channel.name == "websocket.receive"
    assert message.channel_layer is wrapper
    assert message.trail == hops
    message.reply_channel.send({"text": "hi"})
    assert received(wrapper.layer, "gw!") == [{"text": "hi"}]


@pytest.mark.parametrize("content", [{}, {"reply_channel": None}])
def test_a_message_may_have_nowhere_to_answer(wrapper, content):
    assert Message(content, "jobs", wrapper).reply_channel is None


def test_answers_go_by_the_layer_that_the_message_came_by(wrapper):
    with routed(alias="second") as second:
        Message({"reply_channel": "gw!one"}, "a", second).reply_channel.send({"text": "hi"})
        assert received(second.layer, "gw!") == [{"text": "hi"}]


def test_a_reply_channel_that_is_no_channel_is_refused(wrapper):
    with pytest.raises(TypeError, match="'not valid' is not a valid channel name"):
        Message({"reply_channel": "not valid"}, "a", wrapper)


def test_a_copy_can_be_changed_without_changing_the_message(wrapper):
    message = Message({"list": [1]}, "a", wrapper)
    message.copy()["list"].append(2)
    assert message["list"] == [1]
    assert message.copy().channel.name == "a"


def test_a_message_knows_its_attempt_and_so_does_its_copy(wrapper):
    assert Message({}, "a", wrapper).attempt == 1
    assert Message({}, "a", wrapper, (), 3).copy().attempt == 3


def test_a_message_knows_whether_it_is_doomed_and_so_does_its_copy(wrapper):
    message = Message({}, "a", wrapper)
    assert message.__doomed__ is message.copy().__doomed__ is False
    message.__doomed__ = True
    assert message.copy().__doomed__ is True


def test_decorators_may_set_what_they_like_on_it(wrapper):
    message = Message({}, "a", wrapper)
    message.user = "someone"
    assert message.user == "someone"
    assert repr(message) == "<Message on 'a'>"


# Channels 1's door to what is held


def test_what_is_pending_is_held_from_prepare_to_flush(wrapper):
    assert not pending_message_store.active
    pending_message_store.prepare()
    assert pending_message_store.active
    Channel("a").send({"n": 1})
    pending_message_store.append(Channel("a"), {"n": 2})
    assert received(wrapper.layer, "a") == []
    pending_message_store.send_and_flush()
    assert received(wrapper.layer, "a") == [{"n": 1}, {"n": 2}]
    assert not pending_message_store.active
    Channel("a").send({"n": 3})
    assert received(wrapper.layer, "a") == [{"n": 3}]


def test_a_full_channel_takes_nothing_else_with_it_when_what_is_pending_is_flushed(settings):
    settings.CHANCELERY = {"CAPACITY_WAIT": 0.01}
    with routed(layer=InMemoryChannelLayer(capacity=1)) as full:
        pending_message_store.prepare()
        for name in ("a", "a", "b"):
            Channel(name).send({"to": name})
        with pytest.raises(ChannelFull, match='channel "a" holds 1'):
            pending_message_store.send_and_flush()
        assert not pending_message_store.active
        assert received(full.layer, "a", "b") in ([{"to": "a"}, {"to": "b"}], [{"to": "b"}, {"to": "a"}])


def test_in_a_consumer_a_flush_sends_what_is_held_and_the_rest_is_held_again(wrapper):
    with outbox.holding() as box:
        Channel("a").send({"n": 1})
        pending_message_store.send_and_flush()
        assert received(wrapper.layer, "a") == [{"n": 1}]
        assert box.reached("a")
        Channel("b").send({"n": 2})
        assert [send.address for _, send in box.sends] == ["b"]


def test_what_nested_code_has_pending_does_not_mix(wrapper):
    pending_message_store.prepare()
    Channel("a").send({"n": 1})
    pending_message_store.prepare()
    Channel("a").send({"n": 2})
    pending_message_store.send_and_flush()
    assert received(wrapper.layer, "a") == [{"n": 2}]
    pending_message_store.send_and_flush()
    pending_message_store.send_and_flush()
    assert received(wrapper.layer, "a") == [{"n": 1}]
