"""
What is on its way to one client, with a bound: a slow client must neither fill the memory nor hold up the others.

Knows a server's door and nothing of what the actions mean.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from chancelery.gateway.backlog import Backlog, Bounds
from chancelery.gateway.protocols import Action
from chancelery.gateway.servers import ServerDoor
from chancelery.log import room

_logger = room("gateway")


class Outgoing:
    """
    Hands actions to a server in order. As long as the server takes them at once that is all; when one has to wait, a
    task of its own does the waiting, and what follows queues up behind it, within *bounds*.

    progressed: called each time that the server has taken one more of those that had to wait.
    """

    __slots__ = ("_backlog", "_bounds", "_door", "_progressed", "_writer")

    def __init__(self, door: ServerDoor, bounds: Bounds, progressed: Callable[[], None] | None = None) -> None:
        self._door = door
        self._bounds = bounds
        self._progressed = progressed
        self._backlog: Backlog | None = None
        self._writer: asyncio.Task[None] | None = None

    def send(self, action: Action) -> int | None:
        """
        Send *action*, and return how many frames were given up to make room for it.

        Returns None when too much waits now: the client is too slow, and nothing may be given up.
        """
        if self._backlog is not None:
            return self._backlog.add(action)
        rest = self._emit(action)
        if rest is not None:
            self._backlog = Backlog(self._bounds)
            self._writer = asyncio.get_running_loop().create_task(self._write_on(self._backlog, rest))
        return 0

    def drop(self) -> int:
        """Give up what waits, so that a close does not have to queue behind it; return how many frames that were."""
        return 0 if self._backlog is None else self._backlog.clear()

    def end(self) -> int:
        """The client is gone: wait for it no longer; return how many frames it will not get."""
        if self._writer is not None:
            self._writer.cancel()
        return self.drop()

    @property
    def behind(self) -> int:
        """How many actions the server has not taken yet."""
        return 0 if self._backlog is None else len(self._backlog) + 1

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

    async def _write_on(self, backlog: Backlog, rest: Awaitable[None] | None) -> None:
        try:
            while True:
                if rest is not None:
                    await rest
                if self._progressed is not None:
                    self._progressed()
                action = backlog.take()
                if action is None:
                    return
                rest = self._emit(action)
        except Exception as error:  # noqa: BLE001 - as in `_emit`
            _logger.debug("the client went away: %r", error)
        finally:
            self._backlog = None
            self._writer = None
