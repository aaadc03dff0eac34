"""
The ASGI 3 application that protocol servers are given.

    daphne example.asgi:channel_layer

Knows scopes and the life of a server; hands connections on.
"""

from __future__ import annotations

import asyncio
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from chancelery import conf
from chancelery.exceptions import ChanceleryError
from chancelery.gateway.connection import Connection
from chancelery.gateway.process import GatewayProcess
from chancelery.gateway.protocols import Receive, Scope, SendEvent
from chancelery.gateway.request import Request
from chancelery.gateway.servers import daphne, open_door
from chancelery.registry import ChannelLayerWrapper


class Gateway:
    """
    Serves websockets and HTTP over a channel layer.

    It has everything that the layer's wrapper and the layer have (`layer` is the raw one), so that it can stand where
    Channels 1's `channel_layer` stood.
    """

    def __init__(self, channel_layer: ChannelLayerWrapper) -> None:
        self.channel_layer = channel_layer
        self._process: GatewayProcess | None = None
        daphne.attach(self)

    def __getattr__(self, name: str) -> Any:
        if name == "channel_layer":  # not set yet: while it is being copied or unpickled
            raise AttributeError(name)
        return getattr(self.channel_layer, name)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.channel_layer.alias!r}>"

    async def __call__(self, scope: Scope, receive: Receive, send: SendEvent) -> None:
        """Serve one connection, or the server's lifespan."""
        kind = scope["type"]
        if kind == "websocket":
            await Connection(self._running(), scope, open_door(scope, receive, send)).run(scope, receive)
        elif kind == "http":
            await Request(self._running(), scope, open_door(scope, receive, send)).run(scope, receive)
        elif kind == "lifespan":
            await self._live(receive, send)
        else:
            raise ValueError(f"the gateway serves websocket, http and lifespan scopes, not {kind!r}")

    async def startup(self) -> None:
        """
        Begin to read replies.

        Raises: ChanceleryError, ImproperlyConfigured, which say why this process cannot serve and what to do.
        """
        conf.current()
        await self.channel_layer.layer.acheck()
        if self._process is not None and self._process.draining:
            self._process = None
        self._running()

    async def drain(self) -> None:
        """Close every connection, within `drain_seconds`, and stop."""
        if self._process is not None:
            await self._process.drain()

    def _running(self) -> GatewayProcess:
        """Return this event loop's gateway, started: by its first connection where nothing came before."""
        if self._process is None or self._process.loop is not asyncio.get_running_loop():
            self._process = GatewayProcess(self.channel_layer.layer)
            self._process.start()
        return self._process

    async def _live(self, receive: Receive, send: SendEvent) -> None:
        while True:
            event = await receive()
            if event["type"] == "lifespan.shutdown":
                await self.drain()
                await send({"type": "lifespan.shutdown.complete"})
                return
            try:
                await self.startup()
            except (ChanceleryError, ImproperlyConfigured) as error:
                await send({"type": "lifespan.startup.failed", "message": f"chancelery: not serving: {error}"})
                return
            await send({"type": "lifespan.startup.complete"})
