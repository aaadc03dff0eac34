"""
What is only there until a socket is accepted: whether it may come in at all, and what it is told meanwhile.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from django.conf import settings

from chancelery import conf
from chancelery.gateway import origin
from chancelery.gateway.backlog import COST_OF_WAITING
from chancelery.gateway.protocols import Scope
from chancelery.gateway.protocols.websocket import Reply

if TYPE_CHECKING:
    from chancelery.gateway.process import GatewayProcess
    from chancelery.gateway.replies import Letter


class Connecting:
    """What a socket is told before its connect consumer has accepted it."""

    __slots__ = ("_letters", "_size", "offered", "subprotocol", "timeout")

    def __init__(self, scope: Scope) -> None:
        self.offered = tuple(scope.get("subprotocols") or ())
        known = getattr(settings, "CHANNELS_WS_PROTOCOLS", None) or ()
        self.subprotocol = next((name for name in self.offered if name in known), None)
        """What it is accepted with, unless the consumer names another."""
        self.timeout: asyncio.TimerHandle | None = None
        self._letters: list[tuple[Letter, Reply]] = []
        self._size = 0

    def keep(self, letter: Letter, reply: Reply) -> bool:
        """Let *reply* wait for acceptance. Returns False when more waits now than may."""
        self._letters.append((letter, reply))
        self._size += COST_OF_WAITING + (0 if reply.frame is None else reply.frame.size)
        return self._size <= conf.current().outgoing_buffer_bytes

    def end(self) -> list[tuple[Letter, Reply]]:
        """Stop the clock; return what waited."""
        if self.timeout is not None:
            self.timeout.cancel()
        return self._letters


def reason_to_deny(process: GatewayProcess, scope: Scope) -> int:
    """Return the status to turn the client away with, or 0."""
    if process.draining:
        return 503
    found = origin.origin_of(scope.get("headers", ()))
    if origin.is_allowed(found):
        return 0
    process.complaints.say(
        "origin",
        "websocket on %r turned away: its Origin %r is neither in ALLOWED_HOSTS nor in CSRF_TRUSTED_ORIGINS",
        scope["path"],
        found,
    )
    return 403
