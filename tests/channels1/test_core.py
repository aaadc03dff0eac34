"""Consumers, classes and handlers, in the small things that projects rely on."""

from __future__ import annotations

import pytest

from chancelery import include, route, route_class
from chancelery.generic.websockets import WebsocketConsumer
from chancelery.handler import AsgiHandler, AsgiRequest
from chancelery.message import Message
from chancelery.routing import Route, Router
from tests.routed import received, routed


@pytest.fixture
def wrapper():
    with routed() as wrapper:
        yield wrapper


def consumer(message, **kwargs):
    pass


class Pathfinder(WebsocketConsumer):
    def receive(self, text=None, bytes=None, **kwargs):  # noqa: A002 - Channels 1's names
        self.send(text=f"{self.path} {kwargs}")


def test_a_socket_consumer_knows_its_path(wrapper):
    Pathfinder(Message({"reply_channel": "gw!one", "path": "/here/", "text": ""}, "websocket.receive", wrapper), a="b")
    assert received(wrapper.layer, "gw!") == [{"text": "/here/ {'a': 'b'}"}]


def test_whatever_has_match_and_channel_names_can_be_routed(wrapper):
    class Everything:
        def channel_names(self):
            return {"anything"}

        def match(self, message):
            return consumer, {"said": message["text"]}

    router = Router([include([Everything()])])
    assert router.channels == {"anything"}
    assert router.match(Message({"text": "hi"}, "anything", wrapper)) == (consumer, {"said": "hi"})


def test_a_routing_has_channels_1s_functions(wrapper):
    routes = [route("a", consumer)]
    router = Router(routes)
    router.add_route(route_class(Pathfinder))
    assert router.channels == {"a", "websocket.connect", "websocket.receive", "websocket.disconnect"}
    assert [type(found) for found in Router.resolve_routing(routes)] == [Route]
    assert len(routes) == 1


def test_defaults_that_are_asked_for_again_take_the_place_of_the_former(wrapper):
    """Channels 1 appended them once more, so that the former ones went on."""
    router = Router([])
    router.check_default()
    router.check_default(http_consumer=consumer)
    assert router.match(Message({"path": "/"}, "http.request", wrapper)) == (consumer, {})


def test_a_request_over_the_layer_has_channels_1s_defaults():
    assert AsgiRequest.body_receive_timeout == 60
    assert AsgiHandler.chunk_size == 512 * 1024
    assert list(AsgiHandler.chunk_bytes(b"")) == [(b"", True)]
    chunks = list(AsgiHandler.chunk_bytes(b"x" * (512 * 1024 + 1)))
    assert [(len(chunk), is_last) for chunk, is_last in chunks] == [(512 * 1024, False), (1, True)]
