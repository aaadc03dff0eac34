"""The floor: an ASGI application that answers every frame with the same frame, as any would under the same server."""

from __future__ import annotations

import contextlib

from autobahn.exception import Disconnected


async def echo(scope, receive, send):
    if scope["type"] != "websocket":
        return
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        key = "text" if event.get("text") is not None else "bytes"
        with contextlib.suppress(Disconnected):  # when the client has broken a rule meanwhile
            await send({"type": "websocket.send", key: event[key]})
