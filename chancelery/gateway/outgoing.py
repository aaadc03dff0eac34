"""
What is on its way to one client, with a bound: a slow client must neither fill the memory nor hold up the others.

Knows a server's door and nothing of what the actions mean.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable
from typing import Final

from chancelery.gateway.protocols import Action
from chancelery.gateway.servers import ServerDoor
from chancelery.log import room

_logger = room("gateway")

UNBOUNDED: Final = 1 << 62


class Outgoing:
    """
    Hands actions to a server in order. As long as the server takes them at once that is all; when one has to wait, a
    task of its own does the waiting, and what follows queues up behind it.

    limit: bytes that may wait, here and in the server.
    """

    __slots__ = ("_door", "_limit", "_queue", "_queued_bytes", "_writer")

    def __init__(self, door: ServerDoor, limit: int = UNBOUNDED) -> None:
        self._door = door
        self._limit = limit
        self._queue: deque[Action] | None = None
        self._queued_bytes = 0
        self._writer: asyncio.Task[None] | None = None

    def send(self, action: Action) -> bool:
        """Send *action*. Returns False when more than the limit waits now: the client is too slow."""
        if self._queue is not None:
            self._queue.append(action)
            self._queued_bytes += action.size
            return self._queued_bytes <= self._limit
        rest = self._emit(action)
        if rest is not None:
            self._queue = deque()
            self._writer = asyncio.get_running_loop().create_task(self._write_on(rest))
        return self._door.buffered() <= self._limit

    def drop(self) -> None:
        """Forget what waits here, so that a close does not have to queue behind it."""
        if self._queue is not None:
            self._queue.clear()
            self._queued_bytes = 0

    async def settled(self) -> None:
        """Return when the server has taken everything."""
        if self._writer is not None:
            await asyncio.wait({self._writer})

    def abort(self) -> None:
        """Stop waiting for the client and drop the connection."""
        if self._writer is not None:
            self._writer.cancel()
        try:
            self._door.abort()
        except Exception as error:  # noqa: BLE001 - as in `_emit`
            _logger.debug("the server refused to abort: %r", error)

    def _emit(self, action: Action) -> Awaitable[None] | None:
        try:
            return self._door.emit(action)
        except Exception as error:  # noqa: BLE001 - whatever a server raises concerns this client only, which is gone
            _logger.debug("the server refused to send: %r", error)
            return None

    async def _write_on(self, rest: Awaitable[None] | None) -> None:
        try:
            while True:
                if rest is not None:
                    await rest
                if not self._queue:
                    return
                action = self._queue.popleft()
                self._queued_bytes -= action.size
                rest = self._emit(action)
        except Exception as error:  # noqa: BLE001 - as in `_emit`
            _logger.debug("the client went away: %r", error)
        finally:
            self._queue = None
            self._queued_bytes = 0
            self._writer = None
