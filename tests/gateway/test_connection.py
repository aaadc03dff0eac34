"""Websockets at the ASGI door, over the in-memory layer."""

from __future__ import annotations

import asyncio
import logging

import pytest

from chancelery.exceptions import LayerUnavailable
from chancelery.layers.base import Finished
from chancelery.layers.memory import InMemoryChannelLayer
from tests.gateway.harness import Socket, gateway_on, on_a_loop, passed, taken, until

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture
def layer():
    return InMemoryChannelLayer()


@on_a_loop
async def test_a_socket_connects_talks_and_leaves(layer):
    socket = Socket(gateway_on(layer), "/chat/", headers=[(b"host", b"here")], client=["10.0.0.1", 1])
    connect = await taken(layer, "websocket.connect")
    channel = connect["reply_channel"]
    assert channel.startswith("gw.")
    assert (connect["path"], connect["order"], connect["scheme"]) == ("/chat/", 0, "ws")
    assert connect["headers"] == [[b"host", b"here"]]
    layer.send(channel, {"accept": True, "text": "welcome"})
    assert await socket.event() == {"type": "websocket.accept", "subprotocol": None}
    assert await socket.event() == {"type": "websocket.send", "text": "welcome"}

    socket.text("hello")
    assert await taken(layer, "websocket.receive") == {
        "reply_channel": channel,
        "path": "/chat/",
        "order": 1,
        "text": "hello",
    }
    socket.leave(4000)
    assert await taken(layer, "websocket.disconnect") == {
        "reply_channel": channel,
        "path": "/chat/",
        "order": 2,
        "code": 4000,
    }
    await socket.ended()


@on_a_loop
async def test_frames_stay_in_order(layer):
    layer = InMemoryChannelLayer(lane_capacity=300)
    socket = Socket(gateway_on(layer))
    await socket.connected(layer)
    for number in range(200):
        socket.text(str(number))
    assert [(await taken(layer, "websocket.receive"))["text"] for _ in range(200)] == list(map(str, range(200)))
    socket.leave()
    await socket.ended()


@on_a_loop
async def test_empty_frames_go_both_ways(layer):
    socket = Socket(gateway_on(layer))
    channel = await socket.connected(layer)
    socket.text("")
    assert (await taken(layer, "websocket.receive"))["text"] == ""
    socket.put("websocket.receive", bytes=b"")
    assert (await taken(layer, "websocket.receive"))["bytes"] == b""
    layer.send(channel, {"text": ""})
    layer.send(channel, {"bytes": b""})
    assert await socket.event() == {"type": "websocket.send", "text": ""}
    assert await socket.event() == {"type": "websocket.send", "bytes": b""}


@on_a_loop
async def test_the_first_hop_of_a_trail_is_the_gateway(layer):
    Socket(gateway_on(layer))
    await until(lambda: layer.channel_statistics("websocket.connect")["messages_pending"])
    delivery = layer.fetch(["websocket.connect"], 1, layer.open_lease()).deliveries[0]
    assert [(hop.sender, hop.channel) for hop in delivery.trail] == [("gateway", "websocket.connect")]
    assert delivery.lane == delivery.content["reply_channel"]


@on_a_loop
async def test_an_answer_with_data_accepts(layer):
    socket = Socket(gateway_on(layer))
    connect = await taken(layer, "websocket.connect")
    layer.send(connect["reply_channel"], {"text": "hi"})
    assert (await socket.event())["type"] == "websocket.accept"
    assert (await socket.event())["text"] == "hi"


@on_a_loop
async def test_a_second_acceptance_changes_nothing(layer):
    socket = Socket(gateway_on(layer))
    channel = await socket.connected(layer)
    layer.send(channel, {"accept": True})
    layer.send(channel, {"accept": False})
    assert await passed(layer, socket, channel) == []


@pytest.mark.parametrize("reply", [{"accept": False}, {"close": True}])
@on_a_loop
async def test_a_denied_socket_sees_403_and_its_disconnect_is_told(layer, reply):
    socket = Socket(gateway_on(layer))
    connect = await taken(layer, "websocket.connect")
    layer.send(connect["reply_channel"], reply)
    assert await socket.event() == {"type": "websocket.close"}
    await socket.ended()
    disconnect = await taken(layer, "websocket.disconnect")
    assert (disconnect["order"], disconnect["code"]) == (1, 1006)


@on_a_loop
async def test_a_server_that_can_is_told_the_status_of_a_denial(settings):
    settings.CHANCELERY = {"CAPACITY_WAIT": 0.05}
    layer = InMemoryChannelLayer(channel_capacity={"websocket.connect": 1})
    layer.send("websocket.connect", {})
    socket = Socket(gateway_on(layer), extensions={"websocket.http.response": {}})
    start, body = await socket.event(), await socket.event()
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 503)
    assert body["type"] == "websocket.http.response.body"
    await socket.ended()
    assert layer.channel_statistics("websocket.disconnect")["messages_count"] == 0  # nobody had heard of it


@on_a_loop
async def test_a_subprotocol_is_passed_on(layer):
    socket = Socket(gateway_on(layer), subprotocols=["v1", "v2"])
    connect = await taken(layer, "websocket.connect")
    assert connect["subprotocols"] == ["v1", "v2"]
    layer.send(connect["reply_channel"], {"accept": True, "subprotocol": "v2"})
    assert (await socket.event())["subprotocol"] == "v2"


@on_a_loop
async def test_a_consumer_closes_after_its_last_words(layer):
    socket = Socket(gateway_on(layer))
    channel = await socket.connected(layer)
    layer.send(channel, {"text": "bye", "close": 4000})
    assert (await socket.event())["text"] == "bye"
    assert await socket.event() == {"type": "websocket.close", "code": 4000}
    socket.text("too late")
    socket.leave(4000)
    assert (await taken(layer, "websocket.disconnect", "websocket.receive"))["order"] == 1


@pytest.mark.parametrize(
    ("reply", "complaint"),
    [
        ({"text": "a", "bytes": b"b"}, "both text and bytes"),
        ({"txet": "a"}, "unknown key 'txet'"),
    ],
)
@on_a_loop
async def test_a_bad_reply_is_logged_with_its_trail_and_the_socket_stays_open(layer, caplog, reply, complaint):
    socket = Socket(gateway_on(layer))
    channel = await socket.connected(layer)
    layer.send(channel, reply)
    assert await passed(layer, socket, channel) == []
    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert any(complaint in line and channel in line and "It came by" in line for line in lines)


@on_a_loop
async def test_a_socket_that_nobody_answers_is_turned_away(layer, settings, caplog):
    settings.CHANCELERY = {"CONNECT_TIMEOUT": 0.1}
    socket = Socket(gateway_on(layer), "/nobody/")
    assert await socket.event() == {"type": "websocket.close"}
    await socket.ended()
    assert "'/nobody/' turned away: no consumer answered within 0.1 seconds" in caplog.text


@on_a_loop
async def test_a_foreign_origin_is_turned_away_before_any_consumer_hears_of_it(layer, caplog):
    socket = Socket(gateway_on(layer), headers=[(b"origin", b"http://evil.net")])
    assert await socket.event() == {"type": "websocket.close"}
    await socket.ended()
    assert layer.channel_statistics("websocket.connect")["messages_count"] == 0
    assert "http://evil.net" in caplog.text


@on_a_loop
async def test_a_group_reaches_every_member_with_one_event(layer):
    gateway = gateway_on(layer)
    sockets = [Socket(gateway) for _ in range(3)]
    for socket in sockets:
        layer.group_add("room", await socket.connected(layer))
    layer.send_group("room", {"text": "to all"})
    events = [await socket.event() for socket in sockets]
    assert events[0] == {"type": "websocket.send", "text": "to all"}
    assert all(event is events[0] for event in events)


@on_a_loop
async def test_a_group_does_not_accept_but_waits_for_acceptance(layer):
    socket = Socket(gateway_on(layer))
    channel = (await taken(layer, "websocket.connect"))["reply_channel"]
    layer.group_add("room", channel)
    layer.send_group("room", {"text": "one"})
    layer.send_group("room", {"accept": True})
    layer.send_group("room", {"bytes": b"two"})
    layer.send(channel, {"text": ""})  # an empty frame does not accept either
    layer.send(channel, {"accept": True, "text": "welcome"})
    assert (await socket.event())["type"] == "websocket.accept"
    assert [await socket.event() for _ in range(4)] == [
        {"type": "websocket.send", "text": "welcome"},
        {"type": "websocket.send", "text": "one"},
        {"type": "websocket.send", "bytes": b"two"},
        {"type": "websocket.send", "text": ""},
    ]


@on_a_loop
async def test_what_waits_for_acceptance_is_dropped_with_a_denial(layer):
    socket = Socket(gateway_on(layer))
    channel = (await taken(layer, "websocket.connect"))["reply_channel"]
    layer.group_add("room", channel)
    layer.send_group("room", {"text": "secret"})
    layer.send(channel, {"accept": False})
    assert await socket.event() == {"type": "websocket.close"}
    await socket.ended()
    assert socket.silent


@on_a_loop
async def test_what_waits_for_acceptance_has_a_bound(layer, settings, caplog):
    settings.CHANCELERY = {"OUTGOING_BUFFER_BYTES": 1000}
    socket = Socket(gateway_on(layer))
    channel = (await taken(layer, "websocket.connect"))["reply_channel"]
    layer.group_add("room", channel)
    layer.send_group("room", {"text": "x" * 600})
    layer.send_group("room", {"text": "x" * 600})
    assert await socket.event() == {"type": "websocket.close"}
    await socket.ended()
    assert "too much was sent to it while it connected" in caplog.text


@on_a_loop
async def test_the_memberships_of_a_closed_socket_end(layer):
    socket = Socket(gateway_on(layer))
    channel = await socket.connected(layer)
    layer.group_add("room", channel)
    layer.group_add("hall", channel)
    await passed(layer, socket, channel)
    socket.leave()
    await until(lambda: not layer.group_channels("room") and not layer.group_channels("hall"))


@on_a_loop
async def test_a_membership_of_a_socket_that_has_gone_ends_too(layer):
    gateway = gateway_on(layer)
    socket = Socket(gateway)
    channel = await socket.connected(layer)
    socket.leave()
    await socket.ended()
    layer.group_add("room", channel)
    await until(lambda: not layer.group_channels("room"))


@on_a_loop
async def test_a_full_lane_pauses_its_socket_and_loses_nothing():
    layer = InMemoryChannelLayer(lane_capacity=2)
    socket = Socket(gateway_on(layer))
    await socket.connected(layer)
    lease = layer.open_lease()
    for number in range(20):
        socket.text(str(number))
    found, finished = [], []
    while len(found) < 20:
        await asyncio.sleep(0)
        fetched = layer.fetch(["websocket.receive"], 1, lease, finished)
        finished = [Finished(delivery) for delivery in fetched.deliveries]
        found += [delivery.content["text"] for delivery in fetched.deliveries]
        await asyncio.to_thread(layer.wait, ["websocket.receive"], 0.05)
    assert found == list(map(str, range(20)))


@on_a_loop
async def test_a_channel_that_stays_full_closes_the_socket_with_1013(settings, caplog):
    settings.CHANCELERY = {"CAPACITY_WAIT": 0.1}
    layer = InMemoryChannelLayer(channel_capacity={"websocket.receive": 1})
    socket = Socket(gateway_on(layer), "/busy/")
    await socket.connected(layer)
    layer.send("websocket.receive", {})
    socket.text("one too many")
    assert await socket.event() == {"type": "websocket.close", "code": 1013}
    assert 'channel "websocket.receive" holds 1 messages' in caplog.text


@on_a_loop
async def test_a_frame_that_is_too_large_for_the_layer_closes_the_socket_with_1009():
    layer = InMemoryChannelLayer(max_message_bytes=5000)
    socket = Socket(gateway_on(layer))
    await socket.connected(layer)
    socket.text("x" * 6000)
    assert await socket.event() == {"type": "websocket.close", "code": 1009}


@on_a_loop
async def test_a_disconnect_waits_for_room_on_a_full_channel():
    layer = InMemoryChannelLayer(channel_capacity={"websocket.disconnect": 1})
    socket = Socket(gateway_on(layer))
    channel = await socket.connected(layer)
    layer.send("websocket.disconnect", {"reply_channel": "in the way"})
    socket.leave()
    await socket.ended()
    assert (await taken(layer, "websocket.disconnect"))["reply_channel"] == "in the way"
    assert (await taken(layer, "websocket.disconnect"))["reply_channel"] == channel


class SlowClient:
    """A server's `send` that takes no frame until it is told to."""

    def __init__(self):
        self.events = []
        self.may_write = asyncio.Event()

    async def send(self, event):
        if event["type"] == "websocket.send":
            await self.may_write.wait()
        self.events.append(event)


@on_a_loop
async def test_a_slow_client_holds_up_nobody_else_and_misses_nothing(layer):
    gateway, client = gateway_on(layer), SlowClient()
    slow, quick = Socket(gateway, send=client.send), Socket(gateway)
    for _ in range(2):
        channel = (await taken(layer, "websocket.connect"))["reply_channel"]
        layer.group_add("room", channel)
        layer.send(channel, {"accept": True})
    assert (await quick.event())["type"] == "websocket.accept"
    for number in range(5):
        layer.send_group("room", {"text": str(number)})
    assert [(await quick.event())["text"] for _ in range(5)] == list("01234")
    client.may_write.set()
    await until(lambda: len(client.events) == 6)
    assert [event["text"] for event in client.events[1:]] == list("01234")
    slow.leave()
    await slow.ended()


@on_a_loop
async def test_a_client_that_does_not_read_is_closed_with_1013_when_too_much_waits(layer, settings, caplog):
    settings.CHANCELERY = {"OUTGOING_BUFFER_BYTES": 1000}
    client = SlowClient()
    socket = Socket(gateway_on(layer), send=client.send)
    channel = (await taken(layer, "websocket.connect"))["reply_channel"]
    layer.send(channel, {"accept": True})
    for _ in range(4):
        layer.send(channel, {"text": "x" * 400})
    await until(lambda: "does not read" in caplog.text)
    client.may_write.set()
    await until(lambda: client.events[-1] == {"type": "websocket.close", "code": 1013})
    socket.leave()
    await socket.ended()


@on_a_loop
async def test_a_client_that_does_not_even_take_its_close_is_dropped(layer, settings):
    settings.CHANCELERY = {"OUTGOING_BUFFER_BYTES": 1000}
    client = SlowClient()
    socket = Socket(gateway_on(layer), send=client.send)
    channel = (await taken(layer, "websocket.connect"))["reply_channel"]
    layer.send(channel, {"accept": True})
    for _ in range(4):
        layer.send(channel, {"text": "x" * 400})
    await socket.ended()
    assert (await taken(layer, "websocket.disconnect"))["code"] == 1006


@on_a_loop
async def test_a_server_that_refuses_a_frame_does_not_hurt_other_sockets(layer):
    async def broken(event):
        if event["type"] == "websocket.send":
            raise OSError("gone")

    gateway = gateway_on(layer)
    Socket(gateway, send=broken)
    layer.group_add("room", (await taken(layer, "websocket.connect"))["reply_channel"])
    socket = Socket(gateway)
    layer.group_add("room", await socket.connected(layer))
    layer.send_group("room", {"text": "hi"})
    assert (await socket.event())["text"] == "hi"


class FailingLayer(InMemoryChannelLayer):
    """A layer whose server can be away."""

    away = False

    def _answers(self):
        if self.away:
            raise LayerUnavailable("the server is away")

    async def apost(self, sends):
        self._answers()
        return await super().apost(sends)

    async def acollect(self, *args):
        self._answers()
        return await super().acollect(*args)

    async def acheck(self):
        self._answers()


@on_a_loop
async def test_sockets_outlive_a_layer_that_was_away(caplog):
    layer = FailingLayer()
    gateway = gateway_on(layer)
    socket, victim = Socket(gateway), Socket(gateway)
    channels = [await socket.connected(layer), await victim.connected(layer)]
    layer.away = True
    victim.text("under way when it went")
    assert await victim.event() == {"type": "websocket.close", "code": 1013}
    socket.text("waits")
    layer.away = False
    assert (await taken(layer, "websocket.receive"))["text"] == "waits"
    layer.send(channels[0], {"text": "back"})
    assert (await socket.event())["text"] == "back"
    assert caplog.text.count("does not answer, trying again") == 1


@on_a_loop
async def test_a_frame_that_waits_too_long_for_the_layer_closes_its_socket(settings):
    settings.CHANCELERY = {"CAPACITY_WAIT": 0.2}
    layer = FailingLayer()
    gateway = gateway_on(layer)
    socket, victim = Socket(gateway), Socket(gateway)
    await socket.connected(layer)
    await victim.connected(layer)
    layer.away = True
    victim.text("under way when it went")
    await victim.event()
    socket.text("not sent")
    assert await socket.event() == {"type": "websocket.close", "code": 1013}
    layer.away = False
    socket.leave()
    victim.leave()
    seen = {(await taken(layer, "websocket.disconnect", "websocket.receive"))["order"] for _ in range(2)}
    assert seen == {2}


@on_a_loop
async def test_a_socket_that_connects_while_the_layer_is_away_is_turned_away(settings):
    settings.CHANCELERY = {"CAPACITY_WAIT": 0.1}
    layer = FailingLayer()
    layer.away = True
    socket = Socket(gateway_on(layer))
    assert await socket.event() == {"type": "websocket.close"}
    await socket.ended()
    layer.away = False


@on_a_loop
async def test_memberships_that_the_server_lost_are_registered_again(layer):
    socket = Socket(gateway_on(layer))
    channel = await socket.connected(layer)
    layer.group_add("room", channel)
    await passed(layer, socket, channel)
    layer.flush()  # what a restart without persistence looks like
    layer.send(channel, {"text": "wakes the reader"})
    await until(lambda: layer.group_channels("room") == [channel])
    layer.send_group("room", {"text": "still here"})
    assert {(await socket.event())["text"] for _ in range(2)} == {"wakes the reader", "still here"}
