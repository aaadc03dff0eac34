"""What ASGI's events and Chancelery's messages mean in terms of each other. Pure: no I/O, no Django."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol, TypeAlias

from chancelery.exceptions import ChanceleryError

Event: TypeAlias = "MutableMapping[str, Any]"
Scope: TypeAlias = "MutableMapping[str, Any]"
Receive: TypeAlias = "Callable[[], Awaitable[Event]]"
SendEvent: TypeAlias = "Callable[[Event], Awaitable[None]]"


class BadReply(ChanceleryError):
    """A message to a socket or request that it can do nothing with."""


class Action(Protocol):
    """One thing for the protocol server to do to a connection."""

    @property
    def event(self) -> Event:
        """The ASGI event that asks for it."""

    @property
    def size(self) -> int:
        """How many bytes of the application's it carries."""
