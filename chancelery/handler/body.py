"""
A request's body as a file: its first part came with the request, the others come by `body_channel` as they are read.

What is not read stays where it is, and holds up the client. Source: the ASGI 1 draft's Request Body Chunk; `order`,
which tells that one was lost, is ours.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig

from chancelery.exceptions import ChanceleryError, RequestAborted, RequestTimeout
from chancelery.handler.mail import receive_within

if TYPE_CHECKING:
    from chancelery.message import Message
    from chancelery.types import Content

READ_BYTES = 64 * 1024


class Body(io.RawIOBase):
    """
    The parts of a body, one after the other. Holds one at a time.

    Reading raises RequestTimeout and RequestAborted, again and again; and RequestDataTooBig when all of it is read at
    once, and is more than DATA_UPLOAD_MAX_MEMORY_SIZE.
    """

    def __init__(self, message: Message, timeout: float) -> None:
        """timeout: seconds to wait for each part."""
        super().__init__()
        self.failure: ChanceleryError | None = None
        """Why the rest of the body cannot be had, once that is known."""
        self._timeout = timeout
        self._layer = message.channel_layer.layer
        self._part = memoryview(message.get("body") or b"")
        self._channel: str | None = message.get("body_channel")
        self._order = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read something into *buffer*; nothing at the end."""
        while not self._part and self._channel is not None:
            self._part = self._next_part(self._channel)
        count = min(len(buffer), len(self._part))
        buffer[:count] = self._part[:count]
        self._part = self._part[count:]
        return count

    def readall(self) -> bytes:
        """Return all that is left, if it is no more than may be held in memory."""
        limit: int | None = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        found = bytearray()
        while piece := self.read(READ_BYTES):
            found += piece
            if limit is not None and len(found) > limit:
                raise RequestDataTooBig("Request body exceeded settings.DATA_UPLOAD_MAX_MEMORY_SIZE.")
        return bytes(found)

    def _next_part(self, channel: str) -> memoryview:
        if self.failure is None:
            try:
                return self._received(receive_within(self._timeout, self._layer, channel))
            except ChanceleryError as error:
                self.failure = error
        raise self.failure

    def _received(self, content: Content | None) -> memoryview:
        if content is None:
            raise RequestTimeout(f"nothing came of the request's body for {self._timeout:g} seconds")
        if content.get("closed"):
            raise RequestAborted("the client went away before its request's body was there")
        self._order += 1
        if content.get("order", self._order) != self._order:
            raise RequestTimeout(
                f"part {self._order} of the request's body was dropped before it was read: read bodies within the "
                f"channel layer's expiry ({self._layer.limits.expiry:g} seconds), or raise it"
            )
        if not content.get("more_content"):
            self._channel = None
        return memoryview(content.get("content") or b"")  # type: ignore[arg-type] # what else is sent is a TypeError
