"""Consumers as classes."""

from __future__ import annotations

import pytest

from chancelery import route_class
from chancelery.generic import BaseConsumer
from chancelery.message import Message
from chancelery.routing import Router
from tests.routed import routed

seen = []


class Consumer(BaseConsumer):
    method_mapping = {"channel.name.here": "method_name", "another": "other_method"}  # noqa: RUF012 - as the talk has it
    greeting = "hello"

    def method_name(self, message, **kwargs):
        seen.append((self.greeting, message is self.message, kwargs, self.kwargs))

    def other_method(self, message, **kwargs):
        seen.append("another")


@pytest.fixture
def wrapper():
    seen.clear()
    with routed() as wrapper:
        yield wrapper


def handle(wrapper, routing, channel, **content):
    message = Message(content, channel, wrapper)
    consumer, kwargs = Router(routing).match(message)
    consumer(message, **kwargs)


def test_each_channel_has_a_method(wrapper):
    assert Consumer.channel_names() == {"channel.name.here", "another"}
    handle(wrapper, [route_class(Consumer)], "channel.name.here")
    handle(wrapper, [route_class(Consumer)], "another")
    assert seen == [("hello", True, {}, {}), "another"]


def test_filters_become_keyword_arguments_of_method_and_instance(wrapper):
    handle(wrapper, [route_class(Consumer, path="^/(?P<room>.*)$")], "channel.name.here", path="/a")
    assert seen == [("hello", True, {"room": "a"}, {"room": "a"})]


def test_as_route_routes_the_class_or_a_variant_of_it(wrapper):
    handle(wrapper, [Consumer.as_route(path="^/$")], "channel.name.here", path="/")
    handle(wrapper, [Consumer.as_route({"greeting": "good evening"})], "channel.name.here")
    assert [greeting for greeting, *_ in seen] == ["hello", "good evening"]
    assert Consumer.greeting == "hello"


@pytest.mark.django_db
def test_the_session_comes_by_an_attribute(wrapper):
    class WithSession(Consumer):
        channel_session = True

        def method_name(self, message, **kwargs):
            message.channel_session["n"] = message.channel_session.get("n", 0) + 1
            seen.append(message.channel_session["n"])

    for _ in range(2):
        handle(wrapper, [route_class(WithSession)], "channel.name.here", reply_channel="gw!one")
    assert seen == [1, 2]
