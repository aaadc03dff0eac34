"""What a gateway dropped reaches the layer's counters."""

from __future__ import annotations

import asyncio

import pytest

from chancelery.exceptions import LayerUnavailable
from chancelery.gateway.tally import Tally
from chancelery.layers.memory import InMemoryChannelLayer
from tests.gateway.harness import Request, Socket, gateway_on, on_a_loop, passed, taken, until


class ForgetfulLayer(InMemoryChannelLayer):
    """One that can go away, and remembers how often it was told something."""

    away = False
    times = 0

    async def atally(self, drops):
        self.times += 1
        if self.away:
            raise LayerUnavailable("away, for a test")
        await super().atally(drops)


def dropped(layer):
    return {name: n for name, n in layer.global_statistics().items() if name.startswith("dropped:")}


@on_a_loop
async def test_drops_are_gathered_and_told_together():
    layer = ForgetfulLayer()
    tally = Tally(layer)
    for _ in range(1000):
        tally.add("slow_client")
    tally.add("undeliverable", 2)
    tally.add("bad_reply", 0)
    await tally.tell()
    await tally.tell()
    assert dropped(layer) == {"dropped:slow_client": 1000, "dropped:undeliverable": 2}
    assert layer.times == 1


@on_a_loop
async def test_what_the_layer_did_not_take_is_told_later():
    layer = ForgetfulLayer()
    tally = Tally(layer)
    tally.add("slow_client", 3)
    layer.away = True
    with pytest.raises(LayerUnavailable):
        await tally.tell()
    tally.add("slow_client")
    layer.away = False
    await tally.tell()
    assert dropped(layer) == {"dropped:slow_client": 4}


@on_a_loop
async def test_nothing_is_told_while_there_is_nothing():
    layer = ForgetfulLayer()
    step = asyncio.create_task(Tally(layer).step())
    for _ in range(10):
        await asyncio.sleep(0)
    assert (step.done(), layer.times) == (False, 0)
    step.cancel()


@on_a_loop
async def test_a_reply_to_a_socket_that_is_gone_is_counted_and_said_once_with_its_trail(caplog):
    caplog.set_level("INFO", "chancelery.gateway")
    layer = InMemoryChannelLayer()
    gateway = gateway_on(layer)
    gone, there = Socket(gateway), Socket(gateway)
    late, channel = await gone.connected(layer), await there.connected(layer)
    gone.leave()
    await gone.ended()
    for _ in range(3):
        layer.send(late, {"text": "too late"})
    assert await passed(layer, there, channel) == []
    await until(lambda: dropped(layer) == {"dropped:undeliverable": 3})
    lines = [record for record in caplog.records if "no socket or request is there" in record.getMessage()]
    assert [record.levelname for record in lines] == ["INFO"]
    assert late in lines[0].getMessage()
    assert "It came by" in lines[0].getMessage()


@on_a_loop
async def test_a_reply_to_a_socket_that_is_closing_is_counted():
    layer = InMemoryChannelLayer()
    socket = Socket(gateway_on(layer))
    channel = await socket.connected(layer)
    layer.send(channel, {"close": True})
    layer.send(channel, {"text": "after the close"})
    assert (await socket.event())["type"] == "websocket.close"
    await until(lambda: dropped(layer) == {"dropped:undeliverable": 1})
    assert socket.silent


@on_a_loop
async def test_what_comes_after_the_end_of_a_response_is_counted():
    layer = InMemoryChannelLayer()
    request = Request(gateway_on(layer))
    channel = (await taken(layer, "http.request"))["reply_channel"]
    layer.send(channel, {"status": 200, "content": b"all"})
    layer.send(channel, {"content": b"and more"})
    assert (await request.response())[2] == b"all"
    await until(lambda: dropped(layer) == {"dropped:undeliverable": 1})


@on_a_loop
async def test_a_bad_reply_is_counted():
    layer = InMemoryChannelLayer()
    socket = Socket(gateway_on(layer))
    channel = await socket.connected(layer)
    layer.send(channel, {"txet": "a"})
    await until(lambda: dropped(layer) == {"dropped:bad_reply": 1})


@on_a_loop
async def test_a_group_that_a_socket_has_just_left_drops_nothing():
    layer = InMemoryChannelLayer()
    gateway = gateway_on(layer)
    gone, there = Socket(gateway), Socket(gateway)
    late, channel = await gone.connected(layer), await there.connected(layer)
    layer.group_add("room", late)
    layer.group_add("room", channel)
    gone.leave()
    layer.send_group("room", {"text": "hello"})
    await gone.ended()
    assert await there.event() == {"type": "websocket.send", "text": "hello"}
    await gateway.drain()
    assert dropped(layer) == {}
