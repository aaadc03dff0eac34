"""What websocket events and replies mean, by tables."""

from __future__ import annotations

import pytest

from chancelery.gateway.protocols import BadReply
from chancelery.gateway.protocols.websocket import (
    Accept,
    Close,
    Deny,
    Frame,
    State,
    answer,
    connect_message,
    disconnect_message,
    read_reply,
    receive_message,
    waits_for_acceptance,
)

CONNECTING, OPEN, CLOSED = State.CONNECTING, State.OPEN, State.CLOSED


def plain(actions):
    """Actions as values that can be compared."""
    return [action.data if isinstance(action, Frame) else action for action in actions]


@pytest.mark.parametrize(
    ("content", "state", "actions"),
    [
        ({"accept": True}, OPEN, [Accept()]),
        ({"accept": True, "text": "hi"}, OPEN, [Accept(), "hi"]),
        ({"accept": True, "bytes": b"hi"}, OPEN, [Accept(), b"hi"]),
        ({"accept": True, "text": "hi", "close": True}, CLOSED, [Accept(), "hi", Close(1000)]),
        ({"accept": True, "close": 4001}, CLOSED, [Accept(), Close(4001)]),
        ({"accept": True, "subprotocol": "v2"}, OPEN, [Accept("v2")]),
        ({"accept": False}, CLOSED, [Deny(403)]),
        ({"accept": False, "text": "ignored", "close": True}, CLOSED, [Deny(403)]),
        ({"text": "hi"}, OPEN, [Accept(), "hi"]),
        ({"bytes": b"hi"}, OPEN, [Accept(), b"hi"]),
        ({"text": "bye", "close": True}, CLOSED, [Accept(), "bye", Close(1000)]),
        ({"text": "bye", "bytes": None, "close": 3000}, CLOSED, [Accept(), "bye", Close(3000)]),
        ({"close": True}, CLOSED, [Deny(403)]),
        ({"close": 4000}, CLOSED, [Deny(403)]),
        ({"close": False}, CONNECTING, []),
        ({"text": "", "close": True}, CLOSED, [Deny(403)]),
        ({}, CONNECTING, []),
    ],
)
def test_an_answer_while_connecting(content, state, actions):
    found, done = answer(CONNECTING, read_reply(content), ("v1", "v2"))
    assert (found, plain(done)) == (state, actions)


@pytest.mark.parametrize(
    ("content", "state", "actions"),
    [
        ({"text": "hi"}, OPEN, ["hi"]),
        ({"text": ""}, OPEN, [""]),
        ({"bytes": b""}, OPEN, [b""]),
        ({"text": "hi", "bytes": None}, OPEN, ["hi"]),
        ({"text": "bye", "close": True}, CLOSED, ["bye", Close(1000)]),
        ({"close": 1001}, CLOSED, [Close(1001)]),
        ({"close": False, "text": "hi"}, OPEN, ["hi"]),
        ({"accept": True}, OPEN, []),
        ({"accept": False}, OPEN, []),
        ({"accept": True, "text": "hi"}, OPEN, ["hi"]),
    ],
)
def test_an_answer_while_open(content, state, actions):
    found, done = answer(OPEN, read_reply(content))
    assert (found, plain(done)) == (state, actions)


def test_a_closed_socket_takes_nothing():
    assert answer(CLOSED, read_reply({"text": "late", "close": True})) == (CLOSED, ())


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({"text": "a", "bytes": b"b"}, "both text and bytes"),
        ({"text": "a", "colour": "red"}, "unknown key 'colour'"),
        ({"text": 5}, "text is a str, not int"),
        ({"bytes": "a"}, "bytes is a bytes, not str"),
        ({"accept": "yes"}, "accept is True or False, not 'yes'"),
        ({"close": 5}, "close is True, False or a close code"),
        ({"close": 1005}, "close is True, False or a close code"),
        ({"close": 1006}, "not 1006"),
        ({"close": 0}, "not 0"),
        ({"close": 5000}, "not 5000"),
        ({"close": "1000"}, "not '1000'"),
        ({"subprotocol": 1}, "subprotocol is a str"),
        ({"text": "a", "key": 5}, "key is a str, not int"),
        ({"key": "price"}, "key 'price' without text or bytes"),
        ({"keep": True}, "keep without text or bytes"),
        ({"text": "a", "keep": 1}, "keep is True or False, not 1"),
        ({"text": "a", "key": "b", "keep": True}, "both keep and key 'b'"),
    ],
)
def test_a_reply_that_means_nothing_is_refused_with_what_is_wrong(content, complaint):
    with pytest.raises(BadReply, match=complaint):
        read_reply(content)


def test_a_subprotocol_that_was_not_offered_is_refused():
    with pytest.raises(BadReply, match="'v3' was not offered; the client offered v1, v2"):
        answer(CONNECTING, read_reply({"accept": True, "subprotocol": "v3"}), ("v1", "v2"))


@pytest.mark.parametrize(
    ("content", "from_group", "waits"),
    [
        ({"text": "hi"}, True, True),
        ({"accept": True}, True, True),
        ({"close": True}, True, True),
        ({"text": "hi"}, False, False),
        ({"text": ""}, False, True),
        ({"text": "", "close": True}, False, False),
        ({"accept": True, "text": ""}, False, False),
        ({"close": True}, False, False),
    ],
)
def test_only_an_answer_to_the_socket_itself_accepts_it(content, from_group, waits):
    assert waits_for_acceptance(read_reply(content), from_group=from_group) is waits


def test_a_connect_message_carries_what_the_scope_says():
    scope = {
        "type": "websocket",
        "path": "/chat/ä",
        "query_string": b"a=%20",
        "root_path": "/site",
        "headers": [(b"Host", b"here"), (b"cookie", b"a=1"), (b"cookie", b"b=2")],
        "client": ["10.0.0.1", 5000],
        "server": ("10.0.0.2", 80),
        "subprotocols": ["v1"],
    }
    assert connect_message(scope, "gw!1", "wss") == {
        "reply_channel": "gw!1",
        "path": "/chat/ä",
        "scheme": "wss",
        "query_string": b"a=%20",
        "root_path": "/site",
        "headers": [[b"host", b"here"], [b"cookie", b"a=1"], [b"cookie", b"b=2"]],
        "client": ["10.0.0.1", 5000],
        "server": ("10.0.0.2", 80),
        "subprotocols": ["v1"],
        "order": 0,
    }


def test_a_connect_message_has_defaults_for_what_a_server_leaves_out():
    content = connect_message({"type": "websocket", "path": "/", "headers": []}, "gw!1", "ws")
    assert (content["query_string"], content["root_path"], content["client"], content["subprotocols"]) == (
        b"",
        "",
        None,
        [],
    )


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"text": "hi"}, {"text": "hi"}),
        ({"text": ""}, {"text": ""}),
        ({"text": "hi", "bytes": None}, {"text": "hi"}),
        ({"bytes": b"hi"}, {"bytes": b"hi"}),
        ({"text": None, "bytes": b""}, {"bytes": b""}),
    ],
)
def test_a_receive_message_has_text_or_bytes(event, expected):
    content = receive_message({"type": "websocket.receive", **event}, "gw!1", "/", 7)
    assert content == {"reply_channel": "gw!1", "path": "/", "order": 7, **expected}


def test_a_disconnect_message_has_the_code():
    expected = {"reply_channel": "gw!1", "path": "/", "order": 3, "code": 1001}
    assert disconnect_message("gw!1", "/", 3, 1001) == expected


@pytest.mark.parametrize(
    ("action", "event", "size"),
    [
        (Frame("hä"), {"type": "websocket.send", "text": "hä"}, 3),
        (Frame(b"hi"), {"type": "websocket.send", "bytes": b"hi"}, 2),
        (Accept("v1"), {"type": "websocket.accept", "subprotocol": "v1"}, 0),
        (Close(4000), {"type": "websocket.close", "code": 4000}, 0),
        (Deny(503), {"type": "websocket.close"}, 0),
    ],
)
def test_actions_are_asgi_events(action, event, size):
    assert (action.event, action.size) == (event, size)


@pytest.mark.parametrize(
    ("content", "key"),
    [({"text": "a"}, ""), ({"text": "a", "key": "price"}, "price"), ({"bytes": b"", "key": None}, "")],
)
def test_a_frame_may_have_a_key(content, key):
    assert read_reply(content).frame.key == key


def test_a_frame_builds_its_event_once():
    frame = Frame("to many")
    assert frame.event is frame.event
