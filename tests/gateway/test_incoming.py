"""How fast a socket's frames are taken, at the ASGI door."""

from __future__ import annotations

import pytest

from chancelery.layers.memory import InMemoryChannelLayer
from tests.gateway.harness import Socket, gateway_on, on_a_loop, taken


@pytest.fixture
def layer():
    return InMemoryChannelLayer()


@on_a_loop
async def test_a_socket_that_sends_too_much_waits_for_its_turn_and_nobody_else_does(layer, settings):
    settings.CHANCELERY = {"INCOMING_BYTES_PER_SECOND": 1000}
    gateway = gateway_on(layer)
    flooder, other = Socket(gateway, "/flood/"), Socket(gateway, "/other/")
    for socket in (flooder, other):
        await socket.connected(layer)
    flooder.text("x" * 100_000)  # a pause of 99 seconds
    flooder.text("later")
    other.text("me too")
    found = [(await taken(layer, "websocket.receive"))["path"] for _ in range(2)]
    assert sorted(found) == ["/flood/", "/other/"]
    other.text("and again")
    assert (await taken(layer, "websocket.receive"))["text"] == "and again"
    assert layer.channel_statistics("websocket.receive")["messages_pending"] == 0


@on_a_loop
async def test_what_is_slowed_arrives_whole_and_in_order(settings):
    layer = InMemoryChannelLayer(lane_capacity=300)
    settings.CHANCELERY = {"INCOMING_FRAMES_PER_SECOND": 100}
    socket = Socket(gateway_on(layer))
    await socket.connected(layer)
    for number in range(120):
        socket.text(str(number))
    assert [(await taken(layer, "websocket.receive"))["text"] for _ in range(120)] == list(map(str, range(120)))


@pytest.mark.parametrize(
    ("limits", "frame"),
    [
        ({"INCOMING_FRAMES_PER_SECOND": 10}, "a"),
        ({"INCOMING_BYTES_PER_SECOND": 100}, "ä" * 5),
    ],
)
@on_a_loop
async def test_a_socket_that_goes_on_flooding_is_closed_with_1008(settings, caplog, limits, frame):
    layer = InMemoryChannelLayer(lane_capacity=300)
    settings.CHANCELERY = {**limits, "INCOMING_PATIENCE": 0.1}
    socket = Socket(gateway_on(layer), "/flood/")
    await socket.connected(layer)
    for _ in range(200):
        socket.text(frame)
    assert await socket.event() == {"type": "websocket.close", "code": 1008}
    assert caplog.text.count("websocket on '/flood/' closed: it went on sending more than") == 1
    socket.leave()
    await socket.ended()
    frames = 0
    while "code" not in await taken(layer, "websocket.receive", "websocket.disconnect"):
        frames += 1
    assert 10 < frames < 200


@on_a_loop
async def test_a_socket_that_is_paused_can_be_closed(layer, settings):
    settings.CHANCELERY = {"INCOMING_BYTES_PER_SECOND": 1, "DRAIN_SECONDS": 1}
    gateway = gateway_on(layer)
    socket = Socket(gateway)
    await socket.connected(layer)
    socket.text("x" * 10_000)  # hours
    await taken(layer, "websocket.receive")
    await gateway.drain()
    await socket.ended()
