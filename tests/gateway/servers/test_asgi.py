"""The door to any ASGI server, and how a send that need not wait is told from one that must."""

from __future__ import annotations

import asyncio

import pytest
from daphne.ws_protocol import WebSocketProtocol

from chancelery.gateway.protocols.websocket import Accept, Close, Deny, Frame
from chancelery.gateway.servers import daphne
from chancelery.gateway.servers.asgi import AsgiDoor, begin
from tests.gateway.harness import on_a_loop


def door(sent, **options):
    async def send(event):
        sent.append(event)

    return AsgiDoor({"type": "websocket", **options.pop("scope", {})}, send, **options)


@pytest.mark.parametrize(
    ("action", "events"),
    [
        (Accept("v1"), [{"type": "websocket.accept", "subprotocol": "v1"}]),
        (Frame("hi"), [{"type": "websocket.send", "text": "hi"}]),
        (Close(1012), [{"type": "websocket.close", "code": 1012}]),
        (Deny(503), [{"type": "websocket.close"}]),
    ],
)
def test_an_action_that_need_not_wait_is_done_at_once(action, events):
    sent = []
    assert door(sent).emit(action) is None
    assert sent == events


def test_a_denial_has_its_status_where_the_server_can():
    sent = []
    able = door(sent, scope={"extensions": {"websocket.http.response": {}}})
    assert able.emit(Deny(503)) is None
    assert (sent[0]["status"], sent[1]["body"]) == (503, b"Service Unavailable")


@pytest.mark.parametrize(("code", "sent_code"), [(1000, 1000), (1009, 4009), (1012, 4012), (1013, 4013), (3000, 3000)])
def test_codes_that_a_server_refuses_are_sent_as_private_ones(code, sent_code):
    sent = []
    door(sent, standard_codes=False).emit(Close(code))
    assert sent == [{"type": "websocket.close", "code": sent_code}]


@on_a_loop
async def test_the_rest_of_a_send_can_be_awaited_elsewhere():
    may_write, written = asyncio.Event(), []

    async def send():
        await may_write.wait()
        await asyncio.sleep(0)
        written.append("all")

    rest = begin(send())
    assert rest is not None

    async def wait():
        await rest

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    assert not written
    may_write.set()
    await waiting
    assert written == ["all"]


@on_a_loop
async def test_the_rest_of_a_send_can_be_cancelled():
    cleaned_up = []

    async def send():
        try:
            await asyncio.Event().wait()
        finally:
            cleaned_up.append(True)

    async def wait(rest):
        await rest

    waiting = asyncio.create_task(wait(begin(send())))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting})
    assert waiting.cancelled()
    assert cleaned_up


@on_a_loop
async def test_what_the_rest_of_a_send_raises_comes_out():
    async def send():
        await asyncio.sleep(0)
        raise OSError("gone")

    rest = begin(send())
    with pytest.raises(OSError, match="gone"):
        await rest


@on_a_loop
async def test_a_send_that_is_no_coroutine_is_awaited():
    future = asyncio.get_running_loop().create_future()
    assert begin(future) is future


def test_features_that_a_daphne_lacks_are_named():
    assert "sendCloseFrame" in daphne.missing_features(object())
    assert daphne.missing_features(WebSocketProtocol) == []


def test_without_daphne_nothing_is_attached(monkeypatch):
    monkeypatch.delitem(daphne.sys.modules, "daphne.server", raising=False)
    daphne.attach(object())
    assert not daphne.is_serving()
