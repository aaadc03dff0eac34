"""How the sender of a large response learns that its client reads, or is gone, at the ASGI door."""

from __future__ import annotations

import asyncio

import pytest

from chancelery.layers.memory import InMemoryChannelLayer
from tests.gateway.harness import Request, gateway_on, on_a_loop, taken, until
from tests.gateway.test_slow_clients import Reader, dropped

TAKEN = "http.response.taken?one"


@pytest.fixture
def layer():
    return InMemoryChannelLayer()


async def slow(layer):
    """A request whose client reads nothing of a first piece, which is to be confirmed."""
    client = Reader(waits="http.response.body")
    request = Request(gateway_on(layer), send=client.send)
    message = await taken(layer, "http.request")
    assert message["confirms"] is True
    piece = {"content": b"x", "more_content": True, "confirm": TAKEN}
    layer.send(message["reply_channel"], {"status": 200, **piece})
    await until(lambda: client.events)
    return request, client, message["reply_channel"], piece


def waiting(layer):
    return layer.channel_statistics(TAKEN)["messages_pending"]


@on_a_loop
async def test_what_the_client_was_handed_is_confirmed(layer):
    request, client, channel, piece = await slow(layer)
    assert waiting(layer) == 0
    client.read(1)
    assert await taken(layer, TAKEN) == {"closed": False}
    layer.send(channel, piece)
    await asyncio.sleep(0)
    client.read()
    assert await taken(layer, TAKEN) == {"closed": False}
    layer.send(channel, {"content": b"end"})
    await request.ended()


@on_a_loop
async def test_a_client_that_takes_everything_at_once_is_confirmed_at_once(layer):
    request = Request(gateway_on(layer))
    channel = (await taken(layer, "http.request"))["reply_channel"]
    layer.send(channel, {"status": 200, "content": b"x", "more_content": True, "confirm": TAKEN})
    assert await taken(layer, TAKEN) == {"closed": False}
    layer.send(channel, {"content": b"end"})
    assert (await request.response())[2] == b"xend"


@on_a_loop
async def test_a_client_that_leaves_is_told_to_who_waits_for_it(layer):
    request, _, _, _ = await slow(layer)
    request.put("http.disconnect")
    await request.ended()
    assert await taken(layer, TAKEN) == {"closed": True}


@on_a_loop
async def test_who_sends_to_a_request_that_is_over_is_told_so(layer):
    request, _, channel, piece = await slow(layer)
    request.put("http.disconnect")
    await request.ended()
    await taken(layer, TAKEN)
    layer.send(channel, piece)
    assert await taken(layer, TAKEN) == {"closed": True}


@on_a_loop
async def test_nothing_is_confirmed_once_the_response_is_complete(layer):
    request, client, channel, _ = await slow(layer)
    layer.send(channel, {"content": b"end"})
    await asyncio.sleep(0)
    client.read()
    await request.ended()
    assert waiting(layer) == 0


@on_a_loop
async def test_a_client_that_stops_reading_is_dropped_and_counted(layer, settings, caplog):
    settings.CHANCELERY = {"HTTP_TIMEOUT": 0.2}
    request, _, _, _ = await slow(layer)
    await request.ended()
    assert await taken(layer, TAKEN) == {"closed": True}
    assert "a client stopped reading the response for '/'" in caplog.text
    await until(lambda: dropped(layer).get("dropped:slow_client") == 1)


@on_a_loop
async def test_a_client_that_reads_slowly_has_all_the_time_it_needs(layer, settings):
    settings.CHANCELERY = {"HTTP_TIMEOUT": 2}
    request, client, channel, piece = await slow(layer)
    for _ in range(4):
        await asyncio.sleep(0.6)  # altogether, longer than the timeout
        client.read(1)
        await taken(layer, TAKEN)
        layer.send(channel, piece)
    client.read()
    layer.send(channel, {"content": b"end"})
    await request.ended()
    assert client.events[-1]["body"] == b"end"
