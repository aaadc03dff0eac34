"""Consumers for websockets: what they are called with, and what the socket is sent."""

from __future__ import annotations

import json

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.test import Client

from chancelery.generic import JsonWebsocketConsumer, WebsocketConsumer
from chancelery.message import Message
from tests.routed import received, routed


@pytest.fixture
def wrapper():
    with routed() as wrapper:
        yield wrapper


@pytest.fixture
def handle(wrapper):
    """Hand a message to a consumer and return what its socket was sent."""

    def handle(consumer, channel, kwargs=None, reply_channel="gw!one", **content):
        message = Message({"reply_channel": reply_channel, "path": "/p/", **content}, channel, wrapper)
        consumer(message, **(kwargs or {}))
        return received(wrapper.layer, "gw!")

    return handle


class Echo(WebsocketConsumer):
    """As the talk has it."""

    strict_ordering = False
    slight_ordering = True

    def connection_groups(self):
        return ["chat"]

    def connect(self, message):
        pass

    def receive(self, text=None, bytes=None):  # noqa: A002 - Channels 1's names
        self.send(text=text, bytes=bytes)


def test_frames_reach_receive_as_what_they_are(handle):
    assert handle(Echo, "websocket.receive", text="hi", bytes=None) == [{"text": "hi"}]
    assert handle(Echo, "websocket.receive", text=None, bytes=b"\x00") == [{"bytes": b"\x00"}]
    assert handle(Echo, "websocket.receive", text="") == [{"text": ""}]
    assert handle(Echo, "websocket.receive", bytes=b"") == [{"bytes": b""}]


def test_groups_are_joined_before_connect_and_left_before_disconnect(handle, wrapper):
    seen = []

    class Member(WebsocketConsumer):
        groups = ["a", "b"]  # noqa: RUF012 - as projects write it

        def connect(self, message, **kwargs):
            seen.append([wrapper.layer.group_channels(group) for group in self.groups])

        def disconnect(self, message, **kwargs):
            seen.append([wrapper.layer.group_channels(group) for group in self.groups])

    handle(Member, "websocket.connect")
    handle(Member, "websocket.disconnect", code=1000)
    assert seen == [[["gw!one"], ["gw!one"]], [[], []]]


def test_groups_may_be_computed_from_keyword_arguments_or_not(handle, wrapper):
    class Any(WebsocketConsumer):
        def connection_groups(self, **kwargs):
            return [f"any-{kwargs['room']}-{kwargs['floor']}"]

    class One(WebsocketConsumer):
        def connection_groups(self, room):
            return [f"one-{room}"]

    class Static(Echo):
        def connect(self, message, **kwargs):
            pass

    for consumer in (Any, One, Static):
        handle(consumer, "websocket.connect", kwargs={"room": "a", "floor": "2"})
    for group in ("any-a-2", "one-a", "chat"):
        assert wrapper.layer.group_channels(group) == ["gw!one"]


def test_a_text_for_a_list_of_groups_is_noticed(handle):
    class Wrong(WebsocketConsumer):
        groups = "chat"

    with pytest.raises(TypeError, match="lists of names, not the text 'chat'"):
        handle(Wrong, "websocket.connect")


def test_by_default_nothing_is_said(handle):
    assert handle(WebsocketConsumer, "websocket.connect") == []
    assert handle(WebsocketConsumer, "websocket.receive", text="hi") == []
    assert handle(WebsocketConsumer, "websocket.disconnect", code=1001) == []


def test_keyword_arguments_of_the_route_reach_every_method(handle):
    seen = []

    class Consumer(WebsocketConsumer):
        def connect(self, message, room):
            seen.append((room, self.path))

        def receive(self, text=None, bytes=None, **kwargs):  # noqa: A002 - Channels 1's names
            seen.append((text, kwargs, self.kwargs))

        def disconnect(self, message, room):
            seen.append(room)

    kwargs = {"room": "a"}
    handle(Consumer, "websocket.connect", kwargs=kwargs)
    handle(Consumer, "websocket.receive", kwargs=kwargs, text="hi")
    handle(Consumer, "websocket.disconnect", kwargs=kwargs)
    assert seen == [("a", "/p/"), ("hi", kwargs, kwargs), "a"]


def test_a_socket_can_be_closed(handle):
    class Closing(WebsocketConsumer):
        def receive(self, text=None, bytes=None):  # noqa: A002 - Channels 1's names
            if text == "bye":
                self.send(text="bye", close=True)
            elif text == "code":
                self.close(4001)
            elif text == "only":
                self.send(close=1000)
            else:
                self.close()

    assert handle(Closing, "websocket.receive", text="bye") == [{"text": "bye", "close": True}]
    assert handle(Closing, "websocket.receive", text="code") == [{"close": 4001}]
    assert handle(Closing, "websocket.receive", text="only") == [{"close": 1000}]
    assert handle(Closing, "websocket.receive", text="") == [{"close": True}]


@pytest.mark.parametrize(
    ("frame", "complaint"),
    [
        ({}, "needs text or bytes, or a reason to close"),
        ({"text": "a", "bytes": b"b"}, "either text or bytes, not both"),
    ],
)
def test_a_frame_is_text_or_bytes(handle, frame, complaint):
    class Sending(WebsocketConsumer):
        def receive(self, text=None, bytes=None):  # noqa: A002 - Channels 1's names
            self.send(**frame)

    with pytest.raises(ValueError, match=complaint):
        handle(Sending, "websocket.receive", text="")


def test_a_frame_can_be_sent_to_a_group_from_anywhere(handle, wrapper):
    handle(Echo, "websocket.connect", reply_channel="gw!two")
    Echo.group_send("chat", text="all")
    Echo.group_send("chat", bytes=b"all", close=True)
    assert received(wrapper.layer, "gw!") == [{"text": "all"}, {"bytes": b"all", "close": True}]
    with pytest.raises(ValueError, match="needs text or bytes"):
        Echo.group_send("chat")


def test_without_a_socket_there_is_nothing_to_speak_to(handle):
    with pytest.raises(ValueError, match="no socket to speak to"):
        handle(Echo, "websocket.receive", reply_channel=None, text="hi")


@pytest.mark.parametrize("code", [5, 999, 1005, 1006, 1015, 2999, 5000, -1, "1000", 1000.0, None])
def test_a_close_code_that_nobody_may_send_is_refused_where_it_is_sent(handle, code):
    class Closing(WebsocketConsumer):
        def receive(self, text=None, bytes=None):  # noqa: A002 - Channels 1's names
            self.send(close=code) if text else self.close(code)

    for text in ("send", ""):
        with pytest.raises(ValueError, match="closed with True, a code of 1000 to 1014 as registered, or 3000 to 4999"):
            handle(Closing, "websocket.receive", text=text)


# Users


@pytest.fixture
def cookie(db):
    """The headers of a browser that somebody is logged in with."""
    browser = Client()
    browser.force_login(get_user_model().objects.create_user("ada"))
    return [
        [b"cookie", f"{settings.SESSION_COOKIE_NAME}={browser.cookies[settings.SESSION_COOKIE_NAME].value}".encode()]
    ]


class Who(WebsocketConsumer):
    http_user = True
    slight_ordering = True

    def connect(self, message):
        self.send(text=str(message.user))

    def receive(self, text=None, bytes=None):  # noqa: A002 - Channels 1's names
        self.send(text=str(self.message.user))


def test_the_user_of_the_browser_is_known_from_connect_on(handle, cookie):
    assert handle(Who, "websocket.connect", headers=cookie) == [{"text": "ada"}]
    assert handle(Who, "websocket.receive", text="who am I?") == [{"text": "ada"}]
    assert handle(Who, "websocket.connect", headers=[], reply_channel="gw!two") == [{"text": str(AnonymousUser())}]


def test_the_session_of_the_browser_comes_with_the_user_when_asked_for(handle, cookie):
    class Both(Who):
        http_user_and_session = True

        def receive(self, text=None, bytes=None):  # noqa: A002 - Channels 1's names
            self.send(text=f"{self.message.user} {self.message.http_session['_auth_user_id']}")

    handle(Both, "websocket.connect", headers=cookie)
    [sent] = handle(Both, "websocket.receive", text="")
    assert sent["text"] == f"ada {get_user_model().objects.get().pk}"


def test_the_user_of_the_connection_comes_by_an_attribute(handle, cookie):
    class Later(WebsocketConsumer):
        channel_session_user = True

        def receive(self, text=None, bytes=None):  # noqa: A002 - Channels 1's names
            self.send(text=str(self.message.user))

    assert handle(Later, "websocket.receive", text="") == [{"text": str(AnonymousUser())}]
    handle(Who, "websocket.connect", headers=cookie)
    assert handle(Later, "websocket.receive", text="") == [{"text": "ada"}]


# JSON


class JsonEcho(JsonWebsocketConsumer):
    def receive(self, content, **kwargs):
        self.send({"got": content, **kwargs})


def test_json_is_parsed_and_encoded(handle):
    sent = handle(JsonEcho, "websocket.receive", kwargs={"room": "a"}, text='{"é": [1, null]}')
    assert [json.loads(message["text"]) for message in sent] == [{"got": {"é": [1, None]}, "room": "a"}]


@pytest.mark.parametrize(
    ("frame", "complaint"),
    [
        ({"text": "{not json"}, "this frame is not JSON: Expecting property name"),
        ({"text": ""}, "this frame is not JSON: Expecting value"),
        ({"text": "[" * 100_000}, "this frame is not JSON"),
        ({"text": None, "bytes": b"{}"}, "takes text frames with JSON in them, not binary ones"),
        ({"text": None, "bytes": None}, "takes text frames with JSON"),
    ],
)
def test_a_frame_that_is_not_json_is_answered_and_the_socket_stays_open(handle, frame, complaint):
    [sent] = handle(JsonEcho, "websocket.receive", **frame)
    assert complaint in json.loads(sent["text"])["error"]
    assert "close" not in sent


def test_what_is_not_json_may_be_answered_otherwise(handle):
    class Strict(JsonEcho):
        def receive_invalid(self, error_text):
            self.close(1003)

    assert handle(Strict, "websocket.receive", text="{") == [{"close": 1003}]


def test_an_error_of_the_consumer_is_not_taken_for_bad_json(handle):
    class Failing(JsonWebsocketConsumer):
        def receive(self, content, **kwargs):
            raise ValueError("of its own")

    with pytest.raises(ValueError, match="of its own"):
        handle(Failing, "websocket.receive", text="{}")


def test_json_can_be_sent_to_a_group_and_close_a_socket(handle, wrapper):
    class Last(JsonWebsocketConsumer):
        groups = ("news",)

        def receive(self, content, **kwargs):
            self.send({"bye": True}, close=True)

    handle(Last, "websocket.connect")
    Last.group_send("news", {"n": 1})
    assert received(wrapper.layer, "gw!") == [{"text": '{"n": 1}'}]
    assert handle(Last, "websocket.receive", text="1") == [{"text": '{"bye": true}', "close": True}]


def test_encoding_and_decoding_can_be_replaced(handle):
    class Upper(JsonEcho):
        @classmethod
        def decode_json(cls, text):
            return text.lower()

        @classmethod
        def encode_json(cls, content):
            return str(content["got"]).upper()

    assert handle(Upper, "websocket.receive", text="Hi") == [{"text": "HI"}]
