"""HTTP at the ASGI door, over the in-memory layer."""

from __future__ import annotations

import asyncio

import pytest

from chancelery.layers.memory import InMemoryChannelLayer
from tests.gateway.harness import Request, gateway_on, on_a_loop, taken


@pytest.fixture
def layer():
    return InMemoryChannelLayer()


@on_a_loop
async def test_a_request_is_answered_by_a_message(layer):
    request = Request(gateway_on(layer), "/form/", b"a=1", method="POST", query_string=b"b=2")
    message = await taken(layer, "http.request")
    assert (message["method"], message["path"], message["query_string"], message["body"]) == (
        "POST",
        "/form/",
        b"b=2",
        b"a=1",
    )
    layer.send(message["reply_channel"], {"status": 201, "headers": [[b"X-A", b"1"]], "content": b"made"})
    assert await request.response() == (201, [(b"X-A", b"1")], b"made")
    await request.ended()
    assert layer.channel_statistics("http.disconnect")["messages_count"] == 0


@on_a_loop
async def test_a_response_may_come_in_pieces(layer):
    request = Request(gateway_on(layer))
    channel = (await taken(layer, "http.request"))["reply_channel"]
    layer.send(channel, {"status": 200, "content": b"one ", "more_content": True})
    layer.send(channel, {"content": b"two ", "more_content": True})
    layer.send(channel, {"content": b"three"})
    assert await request.response() == (200, [], b"one two three")
    await request.ended()


@on_a_loop
async def test_a_body_comes_in_pieces(layer):
    request = Request(gateway_on(layer))
    await request._in.get()
    request.put("http.request", body=b"one ", more_body=True)
    request.put("http.request", body=b"two", more_body=False)
    assert (await taken(layer, "http.request"))["body"] == b"one two"


@on_a_loop
async def test_a_body_that_is_too_large_is_answered_with_413(layer, settings):
    settings.CHANCELERY = {"MAX_BODY_BYTES": 10}
    request = Request(gateway_on(layer), body=b"x" * 11)
    status, _, body = await request.response()
    assert (status, body) == (413, b"The request's body is larger than this server takes.\n")
    await request.ended()
    assert layer.channel_statistics("http.request")["messages_count"] == 0


@on_a_loop
async def test_a_request_that_is_too_large_for_the_layer_is_answered_with_413():
    headers = [(b"cookie", b"x" * 6000)]
    request = Request(gateway_on(InMemoryChannelLayer(max_message_bytes=5000)), headers=headers)
    assert (await request.response())[0] == 413
    await request.ended()


@on_a_loop
async def test_a_full_channel_is_answered_with_503(settings, caplog):
    settings.CHANCELERY = {"CAPACITY_WAIT": 0.1}
    layer = InMemoryChannelLayer(channel_capacity={"http.request": 1})
    layer.send("http.request", {})
    request = Request(gateway_on(layer), "/busy/")
    assert (await request.response())[0] == 503
    await request.ended()
    assert "request for '/busy/' with 503" in caplog.text


@on_a_loop
async def test_a_request_that_nobody_answers_is_answered_with_503(layer, settings, caplog):
    settings.CHANCELERY = {"HTTP_TIMEOUT": 0.1}
    request = Request(gateway_on(layer), "/nobody/")
    assert (await request.response())[0] == 503
    await request.ended()
    assert "no response to a request for '/nobody/' within 0.1 seconds" in caplog.text


@on_a_loop
async def test_a_response_that_stops_half_way_is_cut_off(layer, settings):
    settings.CHANCELERY = {"HTTP_TIMEOUT": 0.1}
    request = Request(gateway_on(layer))
    layer.send((await taken(layer, "http.request"))["reply_channel"], {"status": 200, "more_content": True})
    await request.ended()
    assert [(await request.event())["type"] for _ in range(2)] == ["http.response.start", "http.response.body"]
    assert request.silent


@on_a_loop
async def test_two_responses_to_one_request_are_not_mixed(layer):
    """As when a worker was taken for dead, and another one handles its request, on a channel of `at_least_once`."""
    request = Request(gateway_on(layer))
    channel = (await taken(layer, "http.request"))["reply_channel"]
    layer.send(channel, {"status": 200, "content": b"one ", "more_content": True})
    layer.send(channel, {"status": 200, "content": b"", "more_content": True})
    layer.send(channel, {"content": b"one ", "more_content": True})
    layer.send(channel, {"content": b"two"})
    await request.ended()
    assert (await request.event())["type"] == "http.response.start"
    assert await request.event() == {"type": "http.response.body", "body": b"one ", "more_body": True}
    assert request.silent


@on_a_loop
async def test_a_client_that_leaves_is_told_of(layer):
    request = Request(gateway_on(layer), "/slow/")
    channel = (await taken(layer, "http.request"))["reply_channel"]
    request.put("http.disconnect")
    await request.ended()
    assert await taken(layer, "http.disconnect") == {"reply_channel": channel, "path": "/slow/"}


@on_a_loop
async def test_a_disconnect_is_told_only_of_clients_that_left_before_their_response(layer):
    gateway = gateway_on(layer)
    for path in ("/answered/", "/left/"):
        request = Request(gateway, path)
        channel = (await taken(layer, "http.request"))["reply_channel"]
        if path == "/answered/":
            layer.send(channel, {"status": 200, "content": b"all"})
            await request.response()
        request.put("http.disconnect")
        await request.ended()
    assert (await taken(layer, "http.disconnect"))["path"] == "/left/"
    assert layer.channel_statistics("http.disconnect")["messages_count"] == 1


@on_a_loop
async def test_a_client_that_leaves_before_its_body_is_whole_is_no_request(layer):
    request = Request(gateway_on(layer))
    await request._in.get()
    request.put("http.request", body=b"one", more_body=True)
    request.put("http.disconnect")
    await request.ended()
    assert layer.channel_statistics("http.request")["messages_count"] == 0


@on_a_loop
async def test_a_second_status_is_an_error_in_the_log(layer, caplog):
    request = Request(gateway_on(layer))
    channel = (await taken(layer, "http.request"))["reply_channel"]
    layer.send(channel, {"status": 200, "content": b"one", "more_content": True})
    layer.send(channel, {"status": 500, "content": b"dropped"})
    layer.send(channel, {"content": b"two"})
    assert await request.response() == (200, [], b"onetwo")
    assert "a second status, 500" in caplog.text


@on_a_loop
async def test_requests_are_answered_while_others_wait(layer):
    gateway = gateway_on(layer)
    waiting, quick = Request(gateway, "/waits/"), Request(gateway, "/quick/")
    channels = {}
    for _ in range(2):
        message = await taken(layer, "http.request")
        channels[message["path"]] = message["reply_channel"]
    layer.send(channels["/quick/"], {"status": 200, "content": b"quick"})
    assert (await quick.response())[2] == b"quick"
    assert waiting.silent
    await asyncio.sleep(0)
    layer.send(channels["/waits/"], {"status": 200, "content": b"at last"})
    assert (await waiting.response())[2] == b"at last"
