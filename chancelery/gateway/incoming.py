"""
One socket's messages on their way into the layer: each after the one before it was taken, and no faster than allowed.

Knows the layer's doors for gateways and the server's switch for reading; nothing of what the messages mean.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from chancelery import conf, trail
from chancelery.exceptions import ChanceleryError, ChannelFull
from chancelery.gateway.throttle import throttle
from chancelery.layers.base import Send, Will
from chancelery.types import Content

if TYPE_CHECKING:
    from chancelery.gateway.posting import Posted
    from chancelery.gateway.process import GatewayProcess
    from chancelery.gateway.servers import ServerDoor


class Incoming:
    """Posts in the lane of *reply_channel*. `settled` and `pace` may be interrupted, and begun again."""

    __slots__ = ("_door", "_posted", "_process", "_throttle", "lane")

    def __init__(self, process: GatewayProcess, door: ServerDoor, reply_channel: str) -> None:
        self.lane = process.layer.lane(reply_channel)
        self._process = process
        self._door = door
        self._posted: Posted | None = None
        self._throttle = throttle(conf.current(), process.loop.time())

    def post(self, channel: str, content: Content, will: Will | None = None) -> None:
        """Begin to post. Raises: MessageTooLarge, and nothing is posted then."""
        body = self._process.layer.pack(content, trail.onward(channel))
        self._posted = self._process.post(Send(channel, body, self.lane, will=will, by_connection=will is None))

    async def settled(self) -> ChanceleryError | None:
        """Return what became of what was posted, None when all is well. While there is no room, nothing is read."""
        if self._posted is None:
            return None
        outcome = await self._posted
        if isinstance(outcome, ChannelFull):
            self._door.hold(True)  # noqa: FBT003 - a switch
            try:
                outcome = await self._process.insist(self._posted)
            finally:
                self._door.hold(False)  # noqa: FBT003 - a switch
        self._posted = None
        return outcome

    async def pace(self, data: str | bytes) -> bool:
        """Read nothing for as long as the limits demand after a frame; return whether the socket may go on."""
        if self._throttle is None:
            return True
        size = len(data.encode()) if isinstance(data, str) else len(data)
        pause = self._throttle.pause_after(size, self._process.loop.time())
        if not pause:
            return pause is not None
        self._door.hold(True)  # noqa: FBT003 - a switch
        try:
            await asyncio.sleep(pause)
        finally:
            self._door.hold(False)  # noqa: FBT003 - a switch
        return True
