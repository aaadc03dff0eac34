"""
Doors to the protocol servers: one interface over what ASGI offers and what it leaves out.

`asgi` works with any ASGI 3 server; `daphne` mends what daphne's ASGI side refuses or forgets. Knows nothing of layers.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable
from typing import Protocol

from chancelery.gateway.protocols import Action, Receive, Scope, SendEvent
from chancelery.gateway.servers import daphne
from chancelery.gateway.servers.asgi import AsgiDoor
from chancelery.log import Burst, room

__all__ = ["ServerDoor", "open_door"]

_lost = Burst(room("gateway"), quiet_seconds=math.inf)


class ServerDoor(Protocol):
    """One connection, as its protocol server lets us handle it."""

    scheme: str | None
    """`ws` or `wss` where the server knows more than its scope tells."""
    patience: float | None
    """Seconds after which the server itself ends a handshake that was not answered, if it does."""

    def emit(self, action: Action) -> Awaitable[None] | None:
        """
        Do *action*. Returns None when it is done, or what is left to wait for: while a client does not read, a server
        holds no more than about 64 KiB and one action. Raises: whatever the server does.
        """

    def regulate(self) -> None:
        """Called after each frame read: pause or resume the client by how many frames the server holds."""

    def hold(self, held: bool) -> None:  # noqa: FBT001 - a switch
        """Read nothing more from the client while *held*, where the server would otherwise buffer without bound."""

    def abort(self) -> None:
        """Drop the connection, with what is buffered."""


def open_door(scope: Scope, receive: Receive, send: SendEvent) -> ServerDoor:
    """Return the door to the server that calls with *receive* and *send*."""
    door = daphne.open_door(scope, receive, send)
    if door is not None:
        return door
    hidden = daphne.is_serving()
    if hidden and scope["type"] == "websocket":
        _lost.say(
            "hidden",
            "something between daphne and the gateway hides daphne's protocol objects, so these are lost: %s",
            daphne.LOST_WITHOUT,
        )
    return AsgiDoor(scope, send, standard_codes=not hidden)
