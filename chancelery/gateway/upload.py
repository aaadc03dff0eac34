"""
A request's body on its way into the layer: in parts, each after the one before it was taken, and none beyond the limit.

Knows the layer's doors for gateways; of the request, only what its client still sends.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from chancelery import conf, names, trail
from chancelery.exceptions import LayerUnavailable, RequestAborted
from chancelery.gateway.protocols import Receive, Scope
from chancelery.gateway.protocols import http as protocol
from chancelery.layers.base import ChannelLayer, Send
from chancelery.types import Content

if TYPE_CHECKING:
    from chancelery.gateway.posting import Posted
    from chancelery.gateway.process import GatewayProcess

PART_BYTES: Final = 256 * 1024
"""How much of a body goes in the request's own message, and in each that follows."""


class TooLarge(Exception):
    """The body has more bytes than it may."""


class Parts:
    """What a client sends of a body, in parts of equal size, the last one aside."""

    __slots__ = ("_declared", "_limit", "_part_bytes", "_receive", "_received", "_total", "_unfinished")

    def __init__(self, scope: Scope, receive: Receive, max_message_bytes: int) -> None:
        self._receive = receive
        self._limit = conf.current().max_body_bytes
        self._part_bytes = min(PART_BYTES, max_message_bytes // 2)
        self._declared = protocol.declared_length(scope)
        self._total = 0
        self._received = bytearray()
        self._unfinished = True

    @property
    def more(self) -> bool:
        """Whether there are further parts."""
        return self._unfinished or bool(self._received)

    async def next(self) -> bytes:
        """Return the next part. Raises: TooLarge; RequestAborted when the client left."""
        while self._unfinished and len(self._received) < self._part_bytes:
            if max(self._declared, self._total) > self._limit:
                raise TooLarge
            event = await self._receive()
            if event["type"] != protocol.REQUEST:
                raise RequestAborted
            self._received += event.get("body", b"")
            self._total += len(event.get("body", b""))
            self._unfinished = event.get("more_body", False)
        if self._total > self._limit:
            raise TooLarge
        part = bytes(self._received[: self._part_bytes])
        del self._received[: self._part_bytes]
        return part


class Upload:
    """The further parts of a body, on their way to whoever reads *channel*."""

    __slots__ = ("_order", "_parts", "_posted", "_process", "channel", "is_broken_off", "moved_at", "waits_for_client")

    def __init__(self, process: GatewayProcess, parts: Parts) -> None:
        self.channel = protocol.BODY + names.random_part() if parts.more else ""
        """Empty when there are no further parts."""
        self.moved_at = 0.0
        """When a part was last taken, by the loop's clock."""
        self.waits_for_client = False
        self._process = process
        self._parts = parts
        self._posted: Posted | None = None
        self._order = 0
        self.is_broken_off = False
        """Whether whoever reads is told that no more will come."""

    async def run(self) -> int:
        """
        Send the parts. Returns 0, or the status that tells the client why the rest is not wanted.

        Raises: RequestAborted when the client left, as it also seems to with a complete response.
        """
        while self._parts.more:
            try:
                part = await self._next()
            except TooLarge:
                self.break_off()
                return 413
            send = self._packed(protocol.body_message(part, more=self._parts.more))
            self._posted = self._process.post(send, conf.current().http_timeout)
            if await self._process.insist(self._posted) is not None:
                self.break_off()
                return 503
            self.moved_at = self._process.loop.time()
        return 0

    def break_off(self) -> None:
        """Tell the reader that no more will come."""
        self.is_broken_off = True
        self._process.post_last(self._packed(protocol.broken_off_message()))

    async def clear_away(self) -> None:
        """Remove what nobody has read; but whoever reads must see that it was broken off."""
        if not self._order:
            return
        if self._posted is not None:  # or what is on its way would arrive after the rest was removed
            await self._process.withdraw(self._posted)
        with contextlib.suppress(LayerUnavailable):  # then it expires
            await asyncio.to_thread(_empty, self._process.layer, self.channel)
        if self.is_broken_off:
            self.break_off()  # again: it may have been removed with the rest

    async def _next(self) -> bytes:
        self.waits_for_client = True
        try:
            return await self._parts.next()
        finally:
            self.waits_for_client = False

    def _packed(self, content: Content) -> Send:
        self._order += 1
        body = self._process.layer.pack({**content, "order": self._order}, trail.onward(self.channel))
        return Send(self.channel, body)


def _empty(layer: ChannelLayer, channel: str) -> None:
    while layer.receive([channel])[0] is not None:
        pass
