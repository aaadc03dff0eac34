"""Which consumer a routing chooses, and what it hands on from the message."""

from __future__ import annotations

import functools
import re
import sys
import types
from typing import ClassVar

import pytest
from asgiref.sync import async_to_sync
from django.core.exceptions import ImproperlyConfigured
from hypothesis import given
from hypothesis import strategies as st

from chancelery import include, route, route_class
from chancelery.generic.base import BaseConsumer
from chancelery.generic.websockets import WebsocketConsumer
from chancelery.handler import view_consumer
from chancelery.layers.memory import InMemoryChannelLayer
from chancelery.message import Message
from chancelery.registry import ChannelLayerWrapper
from chancelery.routing import Router, connect_consumer, is_async, null_consumer

WRAPPER = ChannelLayerWrapper(InMemoryChannelLayer(), "default", [])


def consumer(message, **kwargs):
    """What most routes here lead to."""


def other(message, **kwargs):
    """What the others lead to."""


class ClassConsumer:
    @classmethod
    def channel_names(cls):
        return ["websocket.connect", "websocket.receive"]


def message(channel="websocket.receive", **content):
    return Message(content, channel, WRAPPER)


def match(routing, found):
    return Router(routing).match(found)


def test_a_route_takes_the_messages_of_its_channel_only():
    routing = [route("websocket.receive", consumer)]
    assert match(routing, message("websocket.receive")) == (consumer, {})
    assert match(routing, message("websocket.connect")) is None


def test_a_route_may_name_several_channels():
    router = Router([route(["a", "b"], consumer)])
    assert router.channels == {"a", "b"}
    assert router.match(message("b")) == (consumer, {})


def test_the_first_route_that_matches_wins():
    routing = [route("a", consumer, path="^/x"), route("a", other)]
    assert match(routing, message("a", path="/x")) == (consumer, {})
    assert match(routing, message("a", path="/y")) == (other, {})


@pytest.mark.parametrize(
    ("filters", "content", "kwargs"),
    [
        ({"path": r"^/chat/(?P<room>\w+)/$"}, {"path": "/chat/kitchen/"}, {"room": "kitchen"}),
        ({"path": r"^/chat/$"}, {"path": "/chats/"}, None),
        ({"path": r"/chat"}, {"path": "/x/chat"}, None),
        ({"path": r"^/a", "method": "^GET$"}, {"path": "/a", "method": "GET"}, {}),
        ({"path": r"^/a", "method": "^GET$"}, {"path": "/a", "method": "POST"}, None),
        ({"subject": "^hi"}, {"path": "/a"}, None),
        ({"query_string": r"token=(?P<token>\w+)"}, {"query_string": b"token=abc"}, {"token": "abc"}),
        ({"path": rb"^/(?P<name>\w+)"}, {"path": "/blog"}, {"name": "blog"}),
        ({"bytes": b"\x01\xff"}, {"bytes": b"\x01\xff\x02"}, {}),
        ({"path": re.compile("^/CHAT", re.IGNORECASE)}, {"path": "/chat"}, {}),
        ({"path": re.compile(b"^/CHAT", re.IGNORECASE)}, {"path": "/chat"}, {}),
        ({"code": "^100[01]$"}, {"code": 1001}, {}),
        ({"text": ".*"}, {"text": None}, None),
        ({"text": ".*"}, {"text": ["no text"]}, None),
        ({"path": "^/(?P<a>x)?(?P<b>y)?"}, {"path": "/y"}, {"a": None, "b": "y"}),
    ],
)
def test_filters_look_at_any_key_and_their_named_groups_become_keyword_arguments(filters, content, kwargs):
    found = match([route("c", consumer, **filters)], message("c", **content))
    assert found == (None if kwargs is None else (consumer, kwargs))


def test_includes_strip_what_they_matched_for_their_routes_only():
    routing = [include([route("c", consumer, path=r"^/stream/(?P<id>\d+)$")], path=r"^/blog")]
    given_message = message("c", path="/blog/stream/7")
    assert match(routing, given_message) == (consumer, {"id": "7"})
    assert given_message["path"] == "/blog/stream/7"


def test_includes_nest_and_the_inner_keyword_argument_wins():
    inner = [route("c", consumer, path=r"^/(?P<name>\w+)$")]
    routing = [include([include(inner, path=r"^/b-(?P<b>\w+)")], path=r"^/(?P<name>\w+)", method="^GET$")]
    found = match(routing, message("c", path="/outer/b-2/inner", method="GET"))
    assert found == (consumer, {"b": "2", "name": "inner"})


def test_all_prefixes_of_an_include_must_match():
    routing = [include([route("c", consumer)], path="^/a", method="^POST$")]
    assert match(routing, message("c", path="/a", method="GET")) is None
    assert match(routing, message("c", path="/a")) is None


def test_a_prefix_strips_bytes_as_it_strips_text():
    routing = [include([route("c", consumer, query_string="^b=(?P<b>.)")], query_string="^a=1&")]
    assert match(routing, message("c", query_string=b"a=1&b=2")) == (consumer, {"b": "2"})


def test_an_include_neither_copies_nor_changes_the_rest_of_the_message():
    seen = []

    class Custom:
        def channel_names(self):
            return {"c"}

        def match(self, message):
            seen.append((message["body"], message.content["path"], message.get("none", 1), "path" in message))
            assert message.channel_layer is WRAPPER
            return consumer, {}

    body = [b"large"]
    assert match([include([Custom()], path="^/a")], message("c", path="/a/b", body=body)) == (consumer, {})
    assert seen == [(body, "/b", 1, True)]
    assert seen[0][0] is body


def test_a_class_is_routed_from_every_channel_that_it_names():
    router = Router([route_class(ClassConsumer, path="^/x")])
    assert router.channels == {"websocket.connect", "websocket.receive"}
    assert router.match(message("websocket.connect", path="/x")) == (ClassConsumer, {})
    assert router.match(message("websocket.connect", path="/y")) is None


def test_consumers_and_routings_may_be_dotted_names():
    assert match([route("c", "tests.test_routing.consumer")], message("c")) == (consumer, {})
    assert match([route_class("tests.test_routing.ClassConsumer")], message()) == (ClassConsumer, {})
    assert match([include("tests.test_routing.some_routes")], message("c")) == (consumer, {})
    assert match("tests.test_routing.some_routes", message("c")) == (consumer, {})


some_routes = [route("c", consumer)]


@pytest.fixture
def routing_module():
    module = types.ModuleType("a_routing_module")
    sys.modules[module.__name__] = module
    yield module
    del sys.modules[module.__name__]


def test_a_module_may_be_named_for_the_routing_in_it(routing_module):
    routing_module.routing = [route("c", other)]
    assert match("a_routing_module", message("c")) == (other, {})
    routing_module.channel_routing = [route("c", consumer)]
    assert match("a_routing_module", message("c")) == (consumer, {})
    assert match([include("a_routing_module")], message("c")) == (consumer, {})


def test_a_routing_may_be_a_dict():
    router = Router({"a": consumer, "b": "tests.test_routing.other"})
    assert router.match(message("a")) == (consumer, {})
    assert router.match(message("b")) == (other, {})


def test_what_stands_in_for_a_consumer_is_routed_instead_of_it():
    class Task:
        routed_consumer = staticmethod(other)

        def __call__(self, message):
            raise AssertionError

    assert match([route("c", Task())], message("c")) == (other, {})


def test_adding_a_route_leaves_the_projects_list_as_it_is():
    routes = [route("a", consumer)]
    router = Router(routes)
    router.add_route(route("b", other))
    router.check_default()
    assert len(routes) == 1
    assert router.match(message("b")) == (other, {})


@pytest.mark.parametrize(
    ("make", "error", "complaint"),
    [
        (lambda: route("c", consumer, path=r"^/(\w+)$"), ValueError, r"group without a name: write \(\?P<name>"),
        (lambda: include([], path=r"^/(\w+)$"), ValueError, "group without a name"),
        (lambda: route("c", consumer, path="("), ImproperlyConfigured, r"path='\(' is no regular expression"),
        (lambda: route("c", "tests.nowhere.at_all"), ImproperlyConfigured, "'tests.nowhere.at_all' cannot be imported"),
        (lambda: route("c", "tests.test_routing.none"), ImproperlyConfigured, "cannot be imported"),
        (lambda: route("c", 7), ImproperlyConfigured, "a consumer is callable with a message.*not 7"),
        (lambda: route("c", AsyncHandler), ImproperlyConfigured, r"AsyncHandler has the async method handle\(\)"),
        (lambda: route("c", AsyncOverride), ImproperlyConfigured, r"AsyncOverride has the async method receive\(\)"),
        (lambda: route([], consumer), ValueError, r"the name of a channel.*not \[\]"),
        (lambda: route([7], consumer), ValueError, "the name of a channel"),
        (lambda: route_class(consumer), ValueError, r"a consumer class that has channel_names\(\)"),
        (lambda: Router([consumer]), ValueError, "cannot stand in a routing: use route"),
        (lambda: Router([ClassConsumer]), ValueError, "cannot stand in a routing"),
        (lambda: Router(7), ImproperlyConfigured, "a routing is a list of routes.*not 7"),
        (lambda: Router("nowhere.routing"), ImproperlyConfigured, "'nowhere.routing' cannot be imported"),
        (
            lambda: Router("tests.routed"),
            ImproperlyConfigured,
            "tests.routed has no routing: name it channel_routing or",
        ),
    ],
)
def test_what_cannot_be_routed_is_refused_when_the_routing_is_built(make, error, complaint):
    with pytest.raises(error, match=complaint):
        make()


class AsyncHandler(BaseConsumer):
    method_mapping: ClassVar = {"c": "handle"}

    async def handle(self, message):
        pass


class AsyncOverride(WebsocketConsumer):
    async def receive(self, text=None, **kwargs):
        pass


class AsyncBeside(WebsocketConsumer):
    def receive(self, text=None, **kwargs):
        async_to_sync(self.look_up)(text)

    async def look_up(self, text):
        pass


class Instance:
    async def __call__(self, message):
        pass


async def async_consumer(message):
    pass


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (async_consumer, True),
        (functools.partial(async_consumer, n=1), True),
        (Instance(), True),
        (Instance().__call__, True),
        (Instance, False),
        (consumer, False),
        (ClassConsumer, False),
        (AsyncBeside, False),
    ],
)
def test_consumers_may_be_async_functions_but_classes_are_called_as_they_are(found, expected):
    assert is_async(found) is expected


@pytest.mark.parametrize("found", [async_consumer, Instance(), AsyncBeside])
def test_what_can_be_run_can_be_routed(found):
    assert Router([route("c", found)]).match(message("c")) == (found, {})


# What is not routed


def test_by_default_sockets_are_accepted_and_requests_go_to_views():
    router = Router([])
    router.check_default()
    assert router.match(message("websocket.connect")) == (connect_consumer, {})
    assert router.match(message("websocket.receive")) == (null_consumer, {})
    assert router.match(message("websocket.disconnect")) == (null_consumer, {})
    assert router.match(message("http.disconnect")) == (null_consumer, {})
    assert router.match(message("http.request")) == (view_consumer, {})


def test_a_path_that_no_connect_route_matches_is_not_accepted_by_default():
    router = Router([route("websocket.connect", consumer, path="^/chat/$")])
    router.check_default()
    assert router.match(message("websocket.connect", path="/other/")) is None
    assert router.match(message("websocket.receive", path="/chat/")) == (null_consumer, {})


def test_requests_that_no_route_takes_go_to_views():
    router = Router([route("http.request", consumer, path="^/poll/$")])
    router.check_default()
    assert router.match(message("http.request", path="/poll/")) == (consumer, {})
    assert router.match(message("http.request", path="/")) == (view_consumer, {})


def test_defaults_are_added_once_however_often_they_are_asked_for():
    router = Router([route("http.request", consumer)])
    router.check_default()
    once = router.channels
    router.check_default(http_consumer=other)
    assert router.channels == once
    router.add_route(route("http.request", consumer, path="^/late$"))
    assert router.match(message("http.request", path="/late")) == (consumer, {})


# Nested includes against what they mean

segments = st.lists(st.from_regex(r"[a-z]{1,4}", fullmatch=True), min_size=1, max_size=4)


@given(segments, segments)
def test_nested_includes_match_exactly_the_joined_path(prefixes, asked):
    routing = [route("c", consumer, path="^/end$")]
    for prefix in reversed(prefixes):
        routing = [include(routing, path=f"^/{prefix}")]
    expected = (consumer, {}) if asked == prefixes else None
    assert match(routing, message("c", path="".join(f"/{part}" for part in asked) + "/end")) == expected
