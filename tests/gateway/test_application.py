"""The gateway as a whole: its life, and what it passes on."""

from __future__ import annotations

import asyncio
import copy

import pytest

from chancelery import asgi
from chancelery.exceptions import InvalidChannelLayerError, LayerUnavailable
from chancelery.layers.memory import InMemoryChannelLayer
from tests.gateway.harness import AsgiClient, Request, Socket, gateway_on, on_a_loop, passed, taken, until


@pytest.fixture
def layer():
    return InMemoryChannelLayer()


class Lifespan(AsgiClient):
    def __init__(self, gateway):
        super().__init__(gateway, {"type": "lifespan"})


class UnreachableLayer(InMemoryChannelLayer):
    async def acheck(self):
        raise LayerUnavailable("no answer from redis://cache:6379: start it, or correct the URL")


@on_a_loop
async def test_a_server_with_a_lifespan_starts_and_stops_the_gateway(layer):
    gateway = gateway_on(layer)
    life = Lifespan(gateway)
    life.put("lifespan.startup")
    assert await life.event() == {"type": "lifespan.startup.complete"}
    socket = Socket(gateway)
    await socket.connected(layer)
    life.put("lifespan.shutdown")
    assert await socket.event() == {"type": "websocket.close", "code": 1012}
    socket.leave(1012)
    assert (await taken(layer, "websocket.disconnect"))["code"] == 1012
    assert await life.event() == {"type": "lifespan.shutdown.complete"}
    await life.ended()


@on_a_loop
async def test_a_gateway_may_be_started_again_on_the_same_loop(layer):
    gateway = gateway_on(layer)
    await gateway.startup()
    await gateway.drain()
    await gateway.startup()
    await Socket(gateway).connected(layer)


@on_a_loop
async def test_a_layer_that_cannot_be_reached_fails_the_start_with_a_message():
    life = Lifespan(gateway_on(UnreachableLayer()))
    life.put("lifespan.startup")
    event = await life.event()
    assert event["type"] == "lifespan.startup.failed"
    assert event["message"] == (
        "chancelery: not serving: no answer from redis://cache:6379: start it, or correct the URL"
    )
    await life.ended()


@on_a_loop
async def test_a_setting_that_cannot_be_used_fails_the_start_with_a_message(layer, settings):
    settings.CHANCELERY = {"DRAIN_SECONDS": -1}
    life = Lifespan(gateway_on(layer))
    life.put("lifespan.startup")
    assert "CHANCELERY['DRAIN_SECONDS']" in (await life.event())["message"]


@on_a_loop
async def test_an_unknown_scope_is_refused(layer):
    with pytest.raises(ValueError, match="not 'smtp'"):
        await gateway_on(layer)({"type": "smtp"}, None, None)


@on_a_loop
async def test_a_draining_gateway_turns_newcomers_away(layer):
    gateway = gateway_on(layer)
    socket = Socket(gateway)
    channel = await socket.connected(layer)
    socket.text("asks, so that the drain waits a moment")
    await taken(layer, "websocket.receive")
    draining = asyncio.create_task(gateway.drain())
    await asyncio.sleep(0)
    late = Socket(gateway)
    assert await late.event() == {"type": "websocket.close"}
    assert (await Request(gateway).response())[0] == 503
    layer.send(channel, {"text": "the answer"})
    assert (await socket.event())["text"] == "the answer"
    assert (await socket.event())["code"] == 1012
    socket.leave()
    await draining


@on_a_loop
async def test_a_drain_ends_though_a_client_does_not_close(layer, settings):
    settings.CHANCELERY = {"DRAIN_SECONDS": 0.5}
    gateway = gateway_on(layer)
    socket = Socket(gateway)
    await socket.connected(layer)
    await gateway.drain()
    assert (await socket.event())["code"] == 1012
    assert (await taken(layer, "websocket.disconnect"))["code"] == 1006
    await socket.ended()


@on_a_loop
async def test_a_drain_turns_away_who_is_connecting(layer):
    gateway = gateway_on(layer)
    socket = Socket(gateway)
    await taken(layer, "websocket.connect")
    await gateway.drain()
    assert await socket.event() == {"type": "websocket.close"}
    await socket.ended()
    assert (await taken(layer, "websocket.disconnect"))["order"] == 1


@on_a_loop
async def test_a_drain_lets_requests_have_their_response(layer):
    gateway = gateway_on(layer)
    request = Request(gateway)
    channel = (await taken(layer, "http.request"))["reply_channel"]
    draining = asyncio.create_task(gateway.drain())
    await asyncio.sleep(0)
    layer.send(channel, {"status": 200, "content": b"in time"})
    assert (await request.response())[2] == b"in time"
    await draining


@on_a_loop
async def test_a_drain_ends_requests_that_nobody_answers(layer, settings):
    settings.CHANCELERY = {"DRAIN_SECONDS": 0.5}
    gateway = gateway_on(layer)
    request = Request(gateway)
    await taken(layer, "http.request")
    await gateway.drain()
    assert (await request.response())[0] == 503


@on_a_loop
async def test_applications_that_the_server_cancels_first_are_drained_all_the_same(layer):
    """daphne cancels them as soon as it is told to stop."""
    gateway = gateway_on(layer)
    socket, request = Socket(gateway), Request(gateway)
    await socket.connected(layer)
    channel = (await taken(layer, "http.request"))["reply_channel"]
    draining = asyncio.create_task(gateway.drain())
    await asyncio.sleep(0)
    socket.task.cancel()
    request.task.cancel()
    layer.send(channel, {"status": 200})
    assert (await request.response())[0] == 200
    assert (await socket.event())["code"] == 1012
    socket.leave(1012)
    await draining
    await socket.ended()
    await request.ended()
    assert (await taken(layer, "websocket.disconnect"))["code"] == 1012


@on_a_loop
async def test_an_application_that_the_server_kills_still_says_that_it_has_gone(layer):
    gateway = gateway_on(layer)
    socket = Socket(gateway)
    await socket.connected(layer)
    socket.task.cancel()
    assert (await taken(layer, "websocket.disconnect"))["code"] == 1006
    await until(socket.task.done)
    assert socket.task.cancelled()


def test_one_gateway_serves_several_event_loops_in_turn(layer):
    gateway = gateway_on(layer)

    async def visit():
        socket = Socket(gateway)
        channel = await socket.connected(layer)
        await passed(layer, socket, channel)
        return channel.partition("!")[0]

    assert asyncio.run(visit()) != asyncio.run(visit())


def test_the_gateway_has_everything_that_the_layer_has(settings):
    settings.CHANNEL_LAYERS = {
        "default": {"BACKEND": "chancelery.layers.memory.InMemoryChannelLayer", "ROUTING": []},
        "other": {"BACKEND": "chancelery.layers.memory", "ROUTING": []},
    }
    gateway = asgi.get_channel_layer()
    assert gateway.layer is asgi.channel_layers["default"].layer
    assert (gateway.alias, gateway.routing) == ("default", [])
    gateway.send("somewhere", {"text": "hi"})
    assert gateway.receive(["somewhere"]) == ("somewhere", {"text": "hi"})
    assert asgi.get_channel_layer() is gateway
    assert asgi.get_channel_layer("other").alias == "other"
    with pytest.raises(AttributeError):
        _ = gateway.no_such_thing
    assert repr(gateway) == "<Gateway 'default'>"
    assert copy.copy(gateway).alias == "default"


def test_new_settings_make_a_new_gateway(settings):
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "chancelery.layers.memory", "ROUTING": []}}
    before = asgi.get_channel_layer()
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "chancelery.layers.memory", "ROUTING": []}}
    assert asgi.get_channel_layer() is not before


def test_an_unknown_alias_is_an_error(settings):
    settings.CHANNEL_LAYERS = {}
    with pytest.raises(InvalidChannelLayerError, match="no alias 'default'"):
        asgi.get_channel_layer()
