"""
The door to any ASGI 3 server: everything goes through `send`. Source: ASGI specification, www and its extensions.
"""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine, Generator
from http import HTTPStatus
from typing import Any, Final

from chancelery.gateway.protocols import Action, Scope, SendEvent
from chancelery.gateway.protocols.websocket import Close, Deny

_DENIAL: Final = "websocket.http.response"
_TO_PRIVATE: Final = 3000


class AsgiDoor:
    """
    See `ServerDoor`.

    standard_codes: whether the server takes the close codes of RFC 6455 beyond 1000; without, 1012 goes out as 4012.
    """

    __slots__ = ("_can_answer", "_send", "_standard_codes", "patience", "scheme")

    def __init__(self, scope: Scope, send: SendEvent, *, standard_codes: bool = True) -> None:
        self._send = send
        self._standard_codes = standard_codes
        self._can_answer = _DENIAL in (scope.get("extensions") or {})
        self.scheme: str | None = None
        self.patience: float | None = None

    def emit(self, action: Action) -> Awaitable[None] | None:
        """See `ServerDoor`."""
        if isinstance(action, Deny) and self._can_answer:
            return begin(self._answer(action.status))
        if isinstance(action, Close) and not self._standard_codes:
            return begin(self._send(application_code(action).event))
        return begin(self._send(action.event))

    def regulate(self) -> None:
        """See `ServerDoor`. Left to the server."""

    def hold(self, held: bool) -> None:  # noqa: FBT001 - as the protocol
        """See `ServerDoor`. Left to the server."""

    def abort(self) -> None:
        """See `ServerDoor`. The server drops the connection when the application returns."""

    async def _answer(self, status: int) -> None:
        body = HTTPStatus(status).phrase.encode()
        headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())]
        await self._send({"type": f"{_DENIAL}.start", "status": status, "headers": headers})
        await self._send({"type": f"{_DENIAL}.body", "body": body})


def application_code(close: Close) -> Close:
    """Return *close* with a code that every server sends: 1012 becomes 4012."""
    return close if close.code == 1000 or close.code >= _TO_PRIVATE else Close(close.code + _TO_PRIVATE)  # noqa: PLR2004


def begin(awaitable: Awaitable[None]) -> Awaitable[None] | None:
    """
    Run *awaitable* up to its first wait. Returns None when it ended there, or what is left of it to be awaited.

    A send that need not wait costs no task and holds up nobody; one that must wait does so in a task of its own.
    """
    if not isinstance(awaitable, Coroutine):
        return awaitable
    try:
        waits_for = awaitable.send(None)
    except StopIteration:
        return None
    return _Rest(awaitable, waits_for)


class _Rest:
    """A coroutine that has run up to its first wait."""

    __slots__ = ("_coroutine", "_waits_for")

    def __init__(self, coroutine: Coroutine[Any, Any, None], waits_for: object) -> None:
        self._coroutine = coroutine
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, None]:
        waits_for = self._waits_for
        while True:
            try:
                try:
                    sent = yield waits_for
                except GeneratorExit:
                    self._coroutine.close()
                    raise
                except BaseException as error:  # noqa: BLE001 - what `yield from` would do: it is the coroutine's
                    waits_for = self._coroutine.throw(error)
                else:
                    waits_for = self._coroutine.send(sent)
            except StopIteration:
                return
