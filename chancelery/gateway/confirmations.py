"""
What the sender of a large response waits to hear: that its client has been handed all so far, or is gone.

So a response is produced no faster than it is read, and no further than somebody reads it. See `handler.sending`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chancelery.gateway.protocols import BadReply
from chancelery.gateway.protocols import http as protocol
from chancelery.layers.base import Send
from chancelery.types import Content

if TYPE_CHECKING:
    from chancelery.gateway.process import GatewayProcess


class Confirmations:
    """Those that are owed for one response."""

    __slots__ = ("_owed", "_process", "moved_at")

    def __init__(self, process: GatewayProcess) -> None:
        self.moved_at = 0.0
        """When the client was last handed something that had to wait, by the loop's clock."""
        self._process = process
        self._owed: list[tuple[int, str]] = []

    @property
    def owed(self) -> bool:
        """Whether somebody waits for the client."""
        return bool(self._owed)

    def owe(self, channel: str, behind: int) -> None:
        """Confirm on *channel* as soon as the client was handed the *behind* pieces that wait for it now."""
        self._owed.append((behind, channel))
        self._settle()

    def note_progress(self) -> None:
        """The client was handed one more piece."""
        self.moved_at = self._process.loop.time()
        self._owed = [(behind - 1, channel) for behind, channel in self._owed]
        self._settle()

    def forget(self) -> None:
        """The response is complete: nobody waits any more."""
        self._owed.clear()

    def give_up(self) -> None:
        """The client is gone: say so."""
        owed, self._owed = self._owed, []
        for _, channel in owed:
            _tell(self._process, channel, closed=True)

    def _settle(self) -> None:
        while self._owed and self._owed[0][0] <= 0:
            _, channel = self._owed.pop(0)
            _tell(self._process, channel, closed=False)


def answer_late(process: GatewayProcess, content: Content) -> None:
    """Tell the sender of *content*, which came for a request that is over, if it waits to be told."""
    try:
        channel = protocol.confirmation_asked(content)
    except BadReply:
        return  # nobody waits there
    if channel:
        _tell(process, channel, closed=True)


def _tell(process: GatewayProcess, channel: str, *, closed: bool) -> None:
    process.post(Send(channel, process.layer.pack(protocol.confirmation_message(closed=closed))))
