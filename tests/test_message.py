"""What a consumer is given."""

from __future__ import annotations

import pytest

from chancelery.message import Message
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


def test_decorators_may_set_what_they_like_on_it(wrapper):
    message = Message({}, "a", wrapper)
    message.user = "someone"
    assert message.user == "someone"
    assert repr(message) == "<Message on 'a'>"
