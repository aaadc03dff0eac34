"""What a client that lags behind gets, and how it is told and counted, at the ASGI door."""

from __future__ import annotations

import asyncio

import pytest

from chancelery.layers.memory import InMemoryChannelLayer
from tests.gateway.harness import Request, Socket, gateway_on, on_a_loop, passed, taken, until


class Reader:
    """A server's `send` that hands over one event at a time, when its client reads."""

    def __init__(self, waits="websocket.send"):
        self.events = []
        self._waits = waits
        self._reads = asyncio.Semaphore(0)

    async def send(self, event):
        if event["type"] == self._waits:
            await self._reads.acquire()
        self.events.append(event)

    def read(self, times=1000):
        for _ in range(times):
            self._reads.release()

    @property
    def texts(self):
        return [event["text"] for event in self.events if event["type"] == "websocket.send"]


def dropped(layer):
    return {name: n for name, n in layer.global_statistics().items() if name.startswith("dropped:")}


@pytest.fixture
def layer():
    return InMemoryChannelLayer()


async def lagging(layer, *replies):
    """A socket whose client has read nothing of *replies*, all of which have arrived."""
    gateway, client = gateway_on(layer), Reader()
    other = Socket(gateway)
    other_channel = await other.connected(layer)
    socket = Socket(gateway, "/lagging/", send=client.send)
    channel = (await taken(layer, "websocket.connect"))["reply_channel"]
    for reply in [{"accept": True}, *replies]:
        layer.send(channel, reply)
    assert await passed(layer, other, other_channel) == []
    return socket, client


@on_a_loop
async def test_with_drop_oldest_it_gets_the_newest(layer, settings, caplog):
    settings.CHANCELERY = {"OUTGOING_POLICY": "drop_oldest", "OUTGOING_BUFFER_BYTES": 600}
    socket, client = await lagging(layer, *({"text": f"{number:04}" + "x" * 100} for number in range(10)))
    client.read()
    await until(lambda: len(client.texts) == 3)
    assert [text[:4] for text in client.texts] == ["0000", "0008", "0009"]  # the first was with the server
    assert caplog.text.count("websocket on '/lagging/' lost frames: its client does not read") == 1
    await until(lambda: dropped(layer) == {"dropped:slow_client": 7})
    socket.leave()
    await socket.ended()


@on_a_loop
async def test_what_is_kept_reaches_it_whatever_is_dropped(layer, settings):
    settings.CHANCELERY = {"OUTGOING_POLICY": "drop_oldest", "OUTGOING_BUFFER_BYTES": 700}
    frames = [{"text": f"{number:04}" + "x" * 100} for number in range(10)]
    frames[2]["keep"] = True
    _, client = await lagging(layer, *frames)
    client.read()
    await until(lambda: len(client.texts) == 4)
    assert [text[:4] for text in client.texts] == ["0000", "0002", "0008", "0009"]


@on_a_loop
async def test_with_keep_latest_it_gets_the_latest_and_the_latest_of_each_key(layer, settings):
    settings.CHANCELERY = {"OUTGOING_POLICY": "keep_latest"}
    prices = [{"text": f"{name} {price}", "key": name} for price in range(3) for name in ("EUR", "USD")]
    states = [{"text": f"state {number}"} for number in range(3)]
    _, client = await lagging(layer, {"text": "with the server"}, *prices, *states)
    client.read()
    await until(lambda: client.texts == ["with the server", "EUR 2", "USD 2", "state 2"])
    await until(lambda: dropped(layer) == {"dropped:slow_client": 6})


@on_a_loop
async def test_a_key_works_with_every_policy_and_means_nothing_to_a_client_that_keeps_up(layer):
    prices = [{"text": str(price), "key": "EUR"} for price in range(5)]
    _, client = await lagging(layer, {"text": "with the server"}, *prices)
    client.read()
    await until(lambda: client.texts == ["with the server", "4"])
    quick = Socket(gateway_on(layer))
    channel = await quick.connected(layer)
    for price in prices:
        layer.send(channel, price)
    assert [(await quick.event())["text"] for _ in prices] == ["0", "1", "2", "3", "4"]


@on_a_loop
async def test_what_it_misses_by_being_closed_is_counted(layer, settings):
    settings.CHANCELERY = {"OUTGOING_BUFFER_BYTES": 1000}
    socket, client = await lagging(layer, *({"text": "x" * 400} for _ in range(3)))
    client.read()
    await until(lambda: client.events[-1] == {"type": "websocket.close", "code": 1013})
    await until(lambda: dropped(layer) == {"dropped:slow_client": 2})
    socket.leave()
    await socket.ended()


@on_a_loop
async def test_what_waits_for_a_client_that_leaves_is_counted(layer):
    socket, _ = await lagging(layer, *({"text": str(number)} for number in range(3)))
    socket.leave()
    await socket.ended()
    await until(lambda: dropped(layer) == {"dropped:undeliverable": 2})


@on_a_loop
async def test_a_response_that_nobody_reads_is_cut_off(layer, settings, caplog):
    settings.CHANCELERY = {"RESPONSE_BUFFER_BYTES": 1000}
    client = Reader(waits="http.response.body")
    request = Request(gateway_on(layer), "/large/", send=client.send)
    channel = (await taken(layer, "http.request"))["reply_channel"]
    layer.send(channel, {"status": 200, "content": b"x" * 400, "more_content": True})
    for _ in range(5):
        layer.send(channel, {"content": b"x" * 400, "more_content": True})
    await request.ended()
    assert [event["type"] for event in client.events] == ["http.response.start"]
    assert "cut off the response to a request for '/large/': more than 1000 bytes" in caplog.text
    await until(lambda: dropped(layer).get("dropped:slow_client") == 1)


@on_a_loop
async def test_a_large_response_in_one_piece_is_no_reason_to_cut_it_off(layer, settings):
    settings.CHANCELERY = {"RESPONSE_BUFFER_BYTES": 1000}
    client = Reader(waits="http.response.body")
    request = Request(gateway_on(layer), send=client.send)
    channel = (await taken(layer, "http.request"))["reply_channel"]
    layer.send(channel, {"status": 200, "content": b"x" * 5000, "more_content": True})
    layer.send(channel, {"content": b"y" * 5000})
    client.read()
    await request.ended()
    assert [len(event["body"]) for event in client.events[1:]] == [5000, 5000]


@on_a_loop
async def test_a_drain_lets_a_slow_client_have_the_rest_of_its_response(layer):
    gateway, client = gateway_on(layer), Reader(waits="http.response.body")
    request = Request(gateway, send=client.send)
    layer.send((await taken(layer, "http.request"))["reply_channel"], {"status": 200, "content": b"all of it"})
    await until(lambda: client.events)
    draining = asyncio.create_task(gateway.drain())
    await asyncio.sleep(0)
    client.read()
    await request.ended()
    await draining
    assert client.events[-1]["body"] == b"all of it"


@on_a_loop
async def test_a_client_that_leaves_in_the_middle_of_its_response_is_waited_for_no_longer(layer):
    client = Reader(waits="http.response.body")
    request = Request(gateway_on(layer), send=client.send)
    layer.send((await taken(layer, "http.request"))["reply_channel"], {"status": 200, "content": b"all of it"})
    await until(lambda: client.events)
    request.put("http.disconnect")
    await request.ended()
