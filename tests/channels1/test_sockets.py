"""Sockets at the gateway, where Channels 1 or its servers did something else."""

from __future__ import annotations

import pytest
from django.core.management import call_command
from django.core.management.base import SystemCheckError

from chancelery.layers.memory import InMemoryChannelLayer
from tests.gateway.harness import Socket, gateway_on, on_a_loop, taken, until


@pytest.fixture
def layer():
    return InMemoryChannelLayer()


@pytest.mark.parametrize(
    ("known", "offered", "answer"),
    [
        (["v1", "v2"], ["v0", "v2", "v1"], ({}, "v2")),
        (("v1",), ["v1"], ({"subprotocol": None}, "v1")),
        (["v1", "v2"], ["v1", "v2"], ({"subprotocol": "v2"}, "v2")),
        (["v1"], ["v3"], ({}, None)),
        (["v1"], [], ({}, None)),
        ([], ["v1"], ({}, None)),
        (None, ["v1"], ({}, None)),
    ],
)
def test_a_subprotocol_of_the_settings_is_chosen_unless_the_consumer_does(layer, settings, known, offered, answer):
    reply, chosen = answer
    settings.CHANNELS_WS_PROTOCOLS = known

    @on_a_loop
    async def scenario():
        socket = Socket(gateway_on(layer), subprotocols=offered)
        connect = await taken(layer, "websocket.connect")
        layer.send(connect["reply_channel"], {"accept": True, **reply})
        assert await socket.event() == {"type": "websocket.accept", "subprotocol": chosen}

    scenario()


def test_a_socket_that_data_accepts_has_it_too(layer, settings):
    settings.CHANNELS_WS_PROTOCOLS = ["v1"]

    @on_a_loop
    async def scenario():
        socket = Socket(gateway_on(layer), subprotocols=["v1"])
        connect = await taken(layer, "websocket.connect")
        layer.send(connect["reply_channel"], {"text": "hi"})
        assert (await socket.event())["subprotocol"] == "v1"
        assert (await socket.event())["text"] == "hi"

    scenario()


@pytest.mark.parametrize("value", ["v1", [1], {"v1"}])
def test_subprotocols_that_are_no_list_of_texts_are_an_error_of_the_settings(settings, value):
    settings.CHANNELS_WS_PROTOCOLS = value
    with pytest.raises(SystemCheckError, match=r"chancelery\.E011"):
        call_command("check", tags=["chancelery"])


@on_a_loop
async def test_a_socket_that_is_denied_stays_in_no_group(layer):
    socket = Socket(gateway_on(layer))
    channel = (await taken(layer, "websocket.connect"))["reply_channel"]
    layer.group_add("room", channel)
    layer.send(channel, {"close": True})
    assert await socket.event() == {"type": "websocket.close"}
    await until(lambda: layer.group_channels("room") == [])
    await socket.ended()
