"""
What is written to a connection of Twisted's in one turn of the event loop: it goes out as one, and at once.

Twisted's own way has the reactor watch the connection until it may be written to, write in the next turn, and end the
watch: two system calls and a good part of what a frame costs. Most often the system takes it all, so it is asked first;
what it does not take goes Twisted's way. Source: Twisted 26, `FileDescriptor.write` and `writeSomeData`.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from chancelery.gateway.servers.flow import buffered, innermost
from chancelery.log import room

_MOST_BYTES: Final = 64 * 1024
"""What may gather: as much as Twisted buffers before it says that the client is slow."""

_logger = room("gateway")
_due: list[Writer] = []
"""Those that have something to write in this turn; one reactor, and so one list, is in a process."""


class Writer:
    """
    The way out to one client.

    transport: where all of it goes in the end. is_plain: whether bytes go to the client as they are, not through TLS.
    """

    __slots__ = ("_gathered", "_innermost", "_is_plain", "_size", "_transport")

    def __init__(self, transport: Any, *, is_plain: bool) -> None:
        self._transport = transport
        self._innermost = innermost(transport)
        self._is_plain = is_plain and hasattr(self._innermost, "writeSomeData")
        self._gathered: list[bytes] = []
        self._size = 0

    def write(self, data: bytes) -> None:
        """Write *data* with whatever else is written in this turn."""
        if not self._gathered:
            if not _due:
                asyncio.get_running_loop().call_soon(_flush_all)
            _due.append(self)
        self._gathered.append(data)
        self._size += len(data)
        if self._size > _MOST_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what has gathered, before anything else is written to the same client."""
        if not self._gathered:
            return
        data = b"".join(self._gathered)
        self._gathered.clear()
        self._size = 0
        rest = data[self._taken(data) :]
        if rest:
            self._transport.write(rest)

    def _taken(self, data: bytes) -> int:
        """Return how much of *data* the system takes now; nothing while something else waits or the client has left."""
        inner = self._innermost
        if not self._is_plain or not inner.connected or inner.disconnecting or buffered(inner):
            return 0
        taken = inner.writeSomeData(data)
        return taken if isinstance(taken, int) else 0  # lost: Twisted finds that out by itself as it writes the rest


def _flush_all() -> None:
    writers = _due.copy()
    _due.clear()
    for writer in writers:
        try:
            writer.flush()
        except Exception as error:  # noqa: BLE001 - whatever it is concerns this client only, which is gone
            _logger.debug("the server refused to send: %r", error)
