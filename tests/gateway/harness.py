"""
The gateway's ASGI door without a server, and a worker of a few lines: what the tests of this room hold it by.
"""

from __future__ import annotations

import asyncio
import functools

from chancelery.gateway.application import Gateway
from chancelery.layers.memory import InMemoryChannelLayer
from chancelery.registry import ChannelLayerWrapper

PATIENCE = 10


def on_a_loop(scenario):
    """Run an async test."""

    @functools.wraps(scenario)
    def test(*args, **kwargs):
        async def bounded():
            async with asyncio.timeout(60):
                await scenario(*args, **kwargs)

        asyncio.run(bounded())

    return test


def gateway_on(layer=None):
    return Gateway(ChannelLayerWrapper(layer or InMemoryChannelLayer(), "default", []))


class CountingLayer(InMemoryChannelLayer):
    """An in-memory layer that remembers its exchanges; each takes until it is allowed to end."""

    def __init__(self, **limits):
        super().__init__(**limits)
        self.exchanges = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.fault = None

    async def apost(self, sends):
        self.exchanges.append([send.address for send in sends])
        await self.may_answer.wait()
        if self.fault is not None:
            fault, self.fault = self.fault, None
            raise fault
        return await super().apost(sends)


class AsgiClient:
    """One connection at the ASGI door."""

    def __init__(self, gateway, scope, send=None):
        self.scope = scope
        self._in = asyncio.Queue()
        self._out = asyncio.Queue()
        self.task = asyncio.create_task(gateway(scope, self._in.get, send or self._out.put))

    def put(self, kind, **fields):
        self._in.put_nowait({"type": kind, **fields})

    async def event(self):
        """The next thing that the application does."""
        async with asyncio.timeout(PATIENCE):
            return await self._out.get()

    @property
    def silent(self):
        return self._out.empty()

    async def ended(self):
        """The application has returned, normally."""
        done, _ = await asyncio.wait({self.task}, timeout=PATIENCE)
        assert done, "the application goes on"
        self.task.result()


class Socket(AsgiClient):
    """A websocket."""

    def __init__(self, gateway, path="/", headers=(), send=None, **scope):
        super().__init__(gateway, {"type": "websocket", "path": path, "headers": list(headers), **scope}, send)
        self.put("websocket.connect")

    def text(self, text):
        self.put("websocket.receive", text=text)

    def leave(self, code=1000):
        self.put("websocket.disconnect", code=code)

    async def connected(self, layer, **reply):
        """Accept it; returns its reply channel."""
        channel = (await taken(layer, "websocket.connect"))["reply_channel"]
        layer.send(channel, {"accept": True, **reply})
        assert (await self.event())["type"] == "websocket.accept"
        return channel


class Request(AsgiClient):
    """An HTTP request."""

    def __init__(self, gateway, path="/", body=b"", send=None, **scope):
        super().__init__(gateway, {"type": "http", "method": "GET", "path": path, "headers": [], **scope}, send)
        self.put("http.request", body=body, more_body=False)

    async def response(self):
        """Its status, headers and whole body."""
        start = await self.event()
        body = b""
        while True:
            event = await self.event()
            body += event["body"]
            if not event["more_body"]:
                return start["status"], start["headers"], body


async def taken(layer, *channels):
    """The content of the next message on one of *channels*."""
    async with asyncio.timeout(PATIENCE):
        while True:
            _, content = await asyncio.to_thread(layer.receive, list(channels), True)
            if content is not None:
                return content


async def passed(layer, socket, channel):
    """Everything that was sent before has arrived: a marker, sent through the same lists, has."""
    layer.send(channel, {"text": "marker"})
    seen = []
    while (event := await socket.event()) != {"type": "websocket.send", "text": "marker"}:
        seen.append(event)
    return seen


async def until(condition):
    """Wait for what has no event of its own."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.01)
