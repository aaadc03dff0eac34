"""
How fast a connection of Twisted's flows: when what was written has gone out, and whether anything is read.

Knows Twisted's transports and push producers; nothing of websockets. Source: Twisted 26, `IPushProducer`, `IConsumer`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

_PAUSE_ABOVE: Final = 16
_RESUME_AT: Final = 4
_SPILL_BYTES: Final = 1024 * 1024


class Drain:
    """A push producer: registered with a transport, it knows whether more than its buffer's size (64 KiB) waits."""

    __slots__ = ("_waiter", "clogged")

    def __init__(self) -> None:
        self.clogged = False
        self._waiter: asyncio.Future[None] | None = None

    async def drained(self) -> None:
        """Return when everything that was written has gone out, or the connection is lost."""
        while self.clogged:
            if self._waiter is None or self._waiter.done():
                self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter

    # Called by the transport

    def pauseProducing(self) -> None:  # noqa: N802 - Twisted's name
        """More is written than the client reads."""
        self.clogged = True

    def resumeProducing(self) -> None:  # noqa: N802 - Twisted's name
        """What was written has gone out."""
        self.clogged = False
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def stopProducing(self) -> None:  # noqa: N802 - Twisted's name
        """The connection is lost."""
        self.resumeProducing()


class Flow(Drain):
    """
    Both directions of one connection.

    transport: the one that holds what waits for the client. backlog: tells how many frames the server has read and
    not handed over yet; it would read on without end.
    """

    __slots__ = ("_backlog", "_held", "_mark", "_paused", "_spilt", "_transport")

    def __init__(self, transport: Any, backlog: Callable[[], int]) -> None:
        super().__init__()
        self._transport = transport
        self._backlog = backlog
        self._held = False
        self._paused = False
        self._mark = 0
        self._spilt = False  # the server's own answers, to pings, pile up
        transport.registerProducer(self, True)  # noqa: FBT003 - Twisted's signature

    def regulate(self) -> None:
        """Read from the client, or pause, as the backlog and all the rest demand."""
        enough = _RESUME_AT if self._paused else _PAUSE_ABOVE
        paused = self._held or self._spilt or self._backlog() > enough
        if paused != self._paused:
            self._paused = paused
            if paused:
                self._transport.pauseProducing()
            else:
                self._transport.resumeProducing()

    def hold(self, held: bool) -> None:  # noqa: FBT001 - a switch
        """Read nothing while *held*."""
        self._held = held
        self.regulate()

    def pauseProducing(self) -> None:  # noqa: N802 - Twisted's name
        """See `Drain`. Called again by each write beyond the mark; we write none then, the server does."""
        waiting = buffered(self._transport)
        if not self.clogged:
            self._mark = waiting + _SPILL_BYTES
        elif waiting > self._mark and not self._spilt:
            self._spilt = True
            self.regulate()
        super().pauseProducing()

    def resumeProducing(self) -> None:  # noqa: N802 - Twisted's name
        """See `Drain`."""
        super().resumeProducing()
        if self._spilt:
            self._spilt = False
            self.regulate()
        if self._transport.disconnecting:
            self._transport.unregisterProducer()  # or it would wait for more, and never disconnect


def innermost(transport: Any) -> Any:
    """Return the transport that holds what waits for the client: TLS wraps it. None when there is none such."""
    while transport is not None and not hasattr(transport, "dataBuffer"):
        transport = getattr(transport, "transport", None)
    return transport


def buffered(transport: Any) -> int:
    """Return how many bytes *transport*, an innermost one, holds for its client."""
    return int(len(transport.dataBuffer) - transport.offset + transport._tempDataLen)  # noqa: SLF001 - no public way
