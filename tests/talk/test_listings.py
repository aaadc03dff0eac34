"""Each listing of the talk does what the talk says of it, when a socket's messages go through it."""

from __future__ import annotations

import pytest
from django.test import override_settings

from chancelery import Channel, Group
from chancelery.exceptions import InvalidSessionEngine
from chancelery.layers.memory import InMemoryChannelLayer
from chancelery.message import Message
from chancelery.registry import DEFAULT_CHANNEL_LAYER, channel_layers
from chancelery.routing import Router, route, route_class
from chancelery.test import ChannelTestCase, WSClient, apply_routes
from tests.talk.listings import (
    base_consumer,
    filters,
    groups,
    multiplexing,
    nested,
    ordering,
    sessions,
    websocket_consumer,
    wsgi_function,
)
from tests.talk.models import IntegerValue
from tests.talk.project.myapp.consumers import ws_message


@override_settings(CHANNEL_LAYERS={"default": {"BACKEND": "asgiref.inmemory", "ROUTING": []}})
class WhatASocketSees(ChannelTestCase):
    """The listings that need no processes."""

    def opened(self, path="/", client=None):
        client = client or WSClient()
        client.send_and_consume("websocket.connect", path=path)
        return client

    def test_the_wsgi_function_is_called_back_and_returns_the_body(self):
        called = []
        assert wsgi_function.app({}, lambda *args: called.append(args)) == [b"Hello world!\n"]
        assert called == [("200 OK", [])]

    def test_the_echo_consumer_answers_what_it_was_told(self):
        with apply_routes([route("websocket.receive", ws_message)]):
            socket = self.opened()
            socket.send_and_consume("websocket.receive", text="hi")
            assert socket.receive(json=False) == "hi"

    def test_a_connect_consumer_that_never_answers_accepts(self):
        with apply_routes(groups.channel_routing):
            socket = WSClient()
            socket.send_and_consume("websocket.connect", check_accept=False)
            assert socket.receive() == {"accept": True}

    def test_what_is_said_to_the_group_reaches_everybody_until_they_leave(self):
        with apply_routes(groups.channel_routing):
            one, other = self.opened(), self.opened()
            one.send_and_consume("websocket.receive", text="hi")
            assert [one.receive(json=False), other.receive(json=False)] == ["hi", "hi"]
            other.send_and_consume("websocket.disconnect")
            one.send_and_consume("websocket.receive", text="alone")
            assert [one.receive(json=False), other.receive(json=False)] == ["alone", None]

    def test_a_base_consumer_maps_a_channel_to_its_method(self):
        called = []

        class Noting(base_consumer.MyConsumer):
            def method_name(self, message, **kwargs):
                called.append((message["n"], kwargs))

        with apply_routes([route_class(Noting)]):
            client = WSClient()
            Channel("channel.name.here").send({"n": 1})
            client.consume("channel.name.here")
        assert called == [({"n": 1}["n"], {})]

    def test_the_bare_base_consumer_of_the_listing_routes_its_channel(self):
        assert route_class(base_consumer.MyConsumer).channel_names() == {"channel.name.here"}

    def test_a_websocket_consumer_joins_its_groups_and_sends_back(self):
        with apply_routes([route_class(websocket_consumer.MyConsumer)]):
            socket = self.opened()
            assert socket.reply_channel in channel_layers[DEFAULT_CHANNEL_LAYER].group_channels("chat")
            socket.send_and_consume("websocket.receive", text="hi")
            assert socket.receive(json=False) == "hi"
            Group("chat").send({"text": "all"})
            assert socket.receive(json=False) == "all"

    def test_a_route_filters_by_path(self):
        router = Router(filters.channel_routing)
        assert router.match(self.connecting("/chat/"))[0] is groups.ws_connect
        assert router.match(self.connecting("/news/")) != router.match(self.connecting("/chat/"))

    def test_included_routes_see_the_path_without_the_prefix(self):
        with apply_routes(nested.routing):
            self.opened("/blog/stream/")
        router = Router(nested.routing)
        assert router.match(self.connecting("/blog/stream/"))[0] is nested.blog
        assert getattr(router.match(self.connecting("/stream/")), "consumer", None) is not nested.blog

    def connecting(self, path):
        return Message({"path": path, "reply_channel": "gw!x"}, "websocket.connect", channel_layers["default"])

    def test_a_demultiplexer_with_a_mapping_sends_each_stream_on_to_its_channel(self):
        with apply_routes(multiplexing.channel_routing):
            socket = self.opened("/binding/")
            socket.send_and_consume(
                "websocket.receive", path="/binding/", text={"stream": "intval", "payload": {"value": 3}}
            )
            socket.consume("binding.intval")
            assert socket.receive(json=False) == "got {'value': 3}"

    def test_a_channel_session_lasts_from_one_message_to_the_next(self):
        with apply_routes(
            [route("websocket.connect", sessions.ws_connect), route("websocket.receive", sessions.ws_message)]
        ):
            socket = self.opened("/lobby")
            assert socket.channel_session["room"] == "lobby"
            socket.send_and_consume("websocket.receive", text="hi", path="/lobby")
            assert socket.receive(json=False) == "hi"

    def test_signed_cookies_cannot_hold_channel_sessions(self):
        engine = "django.contrib.sessions.backends.signed_cookies"
        with (
            self.settings(SESSION_ENGINE=engine, CHANNEL_SESSION_ENGINE=None),
            apply_routes([route("websocket.connect", sessions.ws_connect)]),
            pytest.raises(InvalidSessionEngine),
        ):
            self.opened("/lobby")

    def test_the_http_session_and_its_user_are_those_of_the_page(self):
        from django.contrib.auth.models import User  # noqa: PLC0415 - needs the apps

        user = User.objects.create_user("ada")
        with apply_routes([route("websocket.connect", sessions.ws_connect_user)]):
            socket = WSClient()
            socket.force_login(user)
            self.opened("/lobby", socket)
            assert socket.receive(json=False) == "Hello ada"
            assert type(socket.session)(socket.session.session_key)["room"] == "lobby"

    def test_ordering_attributes_are_accepted_and_give_the_user(self):
        from django.contrib.auth.models import User  # noqa: PLC0415 - needs the apps

        seen = []

        class Noting(ordering.MyConsumer):
            def connect(self, message, **kwargs):
                seen.append(message.user.username)

        user = User.objects.create_user("ada")
        with apply_routes([route_class(Noting)]):
            socket = WSClient()
            socket.force_login(user)
            self.opened(client=socket)
        assert seen == ["ada"]

    def test_a_binding_tells_its_group_of_the_named_fields(self):
        socket = WSClient()
        socket.join_group("intval-updates")
        value = IntegerValue.objects.create(name="slider", value=1)
        created = socket.receive()
        assert created["stream"] == "intval"
        assert created["payload"]["action"] == "create"
        assert created["payload"]["data"] == {"name": "slider", "value": 1}
        value.value = 2
        value.save()
        assert socket.receive()["payload"]["data"]["value"] == 2
        value.delete()
        assert socket.receive()["payload"]["action"] == "delete"


def test_the_short_layer_paths_of_the_settings_mean_ours():
    layers = {
        "default": {"BACKEND": "asgiref.inmemory", "ROUTING": "tests.talk.listings.groups"},
    }
    manager = type(channel_layers)()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(manager), "configs", property(lambda _: layers))
        wrapper = manager.make_backend("default")
    assert isinstance(wrapper.layer, InMemoryChannelLayer)
    assert "websocket.receive" in wrapper.router.channels
