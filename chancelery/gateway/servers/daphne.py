"""
The door to daphne: with `flow` and `writing`, the only place that touches the insides of daphne, Twisted and autobahn.

Mends what daphne's ASGI side leaves out: start and stop of the application, close codes such as 1012, empty frames,
backpressure both ways, an answer to oversized frames. Each feature is tested for when the server starts, never by
version; without it the plain ASGI door is used, and one warning says what is lost. Source: daphne 4.2, autobahn 26,
Twisted 26.
"""

from __future__ import annotations

import asyncio
import functools
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

from django.core.exceptions import ImproperlyConfigured

from chancelery.exceptions import ChanceleryError
from chancelery.gateway.protocols import Action, Receive, Scope, SendEvent
from chancelery.gateway.protocols.http import Body
from chancelery.gateway.protocols.websocket import Close, Deny, Frame
from chancelery.gateway.servers.asgi import AsgiDoor, begin
from chancelery.gateway.servers.flow import Drain, Flow, innermost
from chancelery.gateway.servers.writing import Writer
from chancelery.log import room

_logger = room("gateway")

_CLOSING_SECONDS: Final = 5
_BEFORE_DAPHNE_GIVES_UP: Final = 0.1

_NEEDED: Final = ("sendCloseFrame", "sendPreparedMessage", "dropConnection", "STATE_CONNECTING", "STATE_OPEN")
LOST_WITHOUT: Final = (
    "empty frames, bounds for slow clients and for floods, and close codes such as 1012 (clients see 4012)"
)


class Served(Protocol):
    """What daphne starts and stops: the gateway."""

    async def startup(self) -> None:
        """Raises: ChanceleryError, ImproperlyConfigured, which say why this process cannot serve."""

    async def drain(self) -> None:
        """Close every connection, in bounded time."""


class WebsocketDoor(AsgiDoor):
    """See `ServerDoor`: a websocket of daphne's, through its protocol object as well as through `send`."""

    __slots__ = ("_flow", "_protocol", "_writer")

    def __init__(self, scope: Scope, receive: Receive, send: SendEvent, protocol: Any) -> None:
        super().__init__(scope, send)
        self._protocol = protocol
        self._writer = Writer(protocol.transport, is_plain=not _is_secure(protocol.transport))
        self._flow = _take_over(protocol.transport, getattr(getattr(receive, "__self__", None), "qsize", int))
        self.scheme = _scheme(protocol)
        self.patience = _patience(protocol)
        _civilise(protocol)
        _quieten(protocol)

    def emit(self, action: Action) -> Awaitable[None] | None:
        """See `ServerDoor`."""
        protocol = self._protocol
        if type(action) is Frame:
            if self._flow.clogged:
                return begin(self._emit_later(action))
            if protocol.state == protocol.STATE_OPEN:
                self._write(action.prepared or _prepare(protocol, action))
            return None
        self._writer.flush()
        if isinstance(action, Close):
            protocol.sendCloseFrame(action.code)
            return None
        if isinstance(action, Deny) and _deny(protocol, action.status):
            return None
        return super().emit(action)

    def regulate(self) -> None:
        """See `ServerDoor`. daphne's queue of frames has no bound."""
        self._flow.regulate()

    def hold(self, held: bool) -> None:  # noqa: FBT001 - as the protocol
        """See `ServerDoor`."""
        self._flow.hold(held)

    def abort(self) -> None:
        """See `ServerDoor`."""
        self._protocol.dropConnection(abort=True)

    async def _emit_later(self, frame: Frame) -> None:
        await self._flow.drained()
        self.emit(frame)

    def _write(self, prepared: Any) -> None:
        """
        Write a frame that is framed already: the same bytes go to every socket.

        autobahn's own way does the same, but words two coloured lines for its debug log each time, logged or not, which
        costs as much as the write.
        """
        protocol = self._protocol
        framed = getattr(prepared, "payloadHybi", None)
        if framed is None or getattr(protocol, "_perMessageCompress", True) or getattr(protocol, "send_queue", True):
            self._writer.flush()
            protocol.sendPreparedMessage(prepared)
        else:
            self._writer.write(framed)


class RequestDoor(AsgiDoor):
    """See `ServerDoor`: an HTTP request of daphne's, which does not end when the application returns."""

    __slots__ = ("_drain", "_request")

    def __init__(self, scope: Scope, send: SendEvent, request: Any) -> None:
        super().__init__(scope, send)
        self._request = request
        self._drain: Drain | None = None

    def emit(self, action: Action) -> Awaitable[None] | None:
        """See `ServerDoor`."""
        if isinstance(action, Body) and self._request.channel is not None:
            if self._drain is None and action.more:
                self._drain = Drain()
                self._request.registerProducer(self._drain, True)  # noqa: FBT003 - Twisted's signature
            if self._drain is not None and self._drain.clogged:
                return begin(self._emit_later(action, self._drain))
            if self._drain is not None and not action.more:
                self._request.unregisterProducer()
        return super().emit(action)

    def abort(self) -> None:
        """See `ServerDoor`."""
        if self._drain is not None and self._drain.clogged and self._request.channel is not None:
            self._request.channel.transport.abortConnection()
        else:
            self._request.loseConnection()

    async def _emit_later(self, body: Body, drain: Drain) -> None:
        await drain.drained()
        rest = self.emit(body)
        if rest is not None:
            await rest


def open_door(scope: Scope, receive: Receive, send: SendEvent) -> AsgiDoor | None:
    """Return the door to the protocol object behind *send*, or None where there is none of daphne's."""
    protocol = send.args[0] if isinstance(send, functools.partial) and len(send.args) == 1 else None
    if protocol is None or "daphne.server" not in sys.modules:
        return None
    if scope["type"] == "http":
        return RequestDoor(scope, send, protocol) if hasattr(protocol, "loseConnection") else None
    if missing_features(protocol) or innermost(protocol.transport) is None:
        return None
    return WebsocketDoor(scope, receive, send, protocol)


def missing_features(protocol: object) -> list[str]:
    """Return what websocket protocols like *protocol*, an object or class of daphne's, lack for the door."""
    return [name for name in _NEEDED if not hasattr(protocol, name)]


def is_serving() -> bool:
    """Tell whether it is daphne that serves on the event loop that runs here."""
    reactor = _reactor()
    if reactor is None or not reactor.running:
        return False
    try:
        return bool(reactor._asyncioEventloop is asyncio.get_running_loop())  # noqa: SLF001 - daphne's has one
    except RuntimeError:  # no loop runs here
        return False


def attach(gateway: Served) -> None:
    """
    Have *gateway* started and drained by daphne, if it is daphne that imports the application.

    Does nothing once the reactor runs. The trigger comes before daphne's own, which cancels every application: those
    of the gateway go on until it has drained.
    """
    reactor = _reactor()
    if reactor is not None and not reactor.running:
        life = _Life(gateway, reactor)
        reactor.callWhenRunning(reactor.callLater, 0, life.begin)
        reactor.addSystemEventTrigger("before", "shutdown", life.end)


class _Life:
    """A gateway's start and end under daphne, which does not know ASGI's lifespan."""

    def __init__(self, gateway: Served, reactor: Any) -> None:
        self._gateway = gateway
        self._reactor = reactor
        self._starting: asyncio.Task[None] | None = None

    def begin(self) -> None:
        missing = missing_features(sys.modules["daphne.ws_protocol"].WebSocketProtocol)
        if missing:
            _logger.warning("this daphne has no %s, so these are lost: %s", ", ".join(missing), LOST_WITHOUT)
        self._starting = asyncio.get_running_loop().create_task(self._gateway.startup())
        self._starting.add_done_callback(self._begun)

    def _begun(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is None:
            return
        if not isinstance(error, ChanceleryError | ImproperlyConfigured):
            _logger.error("fault while the gateway started", exc_info=error)
        sys.stderr.write(f"chancelery: not serving: {error}\n")
        sys.stderr.flush()
        # daphne exits with 0 however its reactor is stopped; this leaves its event loop, and so main, with 1
        raise SystemExit(1)

    def end(self) -> Any:
        from twisted.internet.defer import Deferred  # noqa: PLC0415 - only there under daphne

        for reader in self._reactor.getReaders():
            if hasattr(reader, "stopListening"):
                reader.stopListening()
        if self._starting is not None:
            self._starting.cancel()  # the drain closes the connections that it may still be checking
        return Deferred.fromFuture(asyncio.ensure_future(self._gateway.drain()))


def _reactor() -> Any:
    if "daphne.server" not in sys.modules:
        return None
    return sys.modules.get("twisted.internet.reactor")


def _prepare(protocol: Any, frame: Frame) -> object:
    binary = isinstance(frame.data, bytes)
    payload = frame.data if isinstance(frame.data, bytes) else frame.data.encode()
    frame.prepared = protocol.factory.prepareMessage(payload, binary)
    return frame.prepared


def _deny(protocol: Any, status: int) -> bool:
    """Answer the handshake with *status*, as daphne does itself with 403. Return whether that could be done."""
    if protocol.state != protocol.STATE_CONNECTING or not hasattr(protocol, "handshake_deferred"):
        return False
    from autobahn.websocket.types import ConnectionDeny  # noqa: PLC0415 - only there under daphne

    reason = "Service Unavailable" if status == ConnectionDeny.SERVICE_UNAVAILABLE else "Access denied"
    handshake = protocol.handshake_deferred
    del protocol.handshake_deferred
    handshake.errback(ConnectionDeny(status, reason))  # type: ignore[no-untyped-call]
    return True


def _civilise(protocol: Any) -> None:
    """Have *protocol* end with a close code or an HTTP status where it would just drop the connection."""
    protocol.failByDrop = False  # after an oversized or broken frame
    # Timers of autobahn's come up to a second early (txaio rounds them down), so that its one second for a client to
    # answer a close may be none at all, and the reset that follows takes the close code with it.
    protocol.closeHandshakeTimeout = _CLOSING_SECONDS
    opening = getattr(protocol, "openHandshakeTimeoutCall", None)
    if opening is not None:  # after a handshake that nobody answered: the gateway does that in time, see `patience`
        opening.cancel()
        protocol.openHandshakeTimeoutCall = None


def _quieten(protocol: Any) -> None:
    """Spare what autobahn does for its debug log with all that is received, logged or not; see also `_write`."""
    from autobahn.twisted.websocket import WebSocketAdapterProtocol  # noqa: PLC0415 - only there under daphne

    if type(protocol).dataReceived is WebSocketAdapterProtocol.dataReceived:
        protocol.dataReceived = protocol._dataReceived  # noqa: SLF001 - all else that it does


def _take_over(transport: Any, backlog: Callable[[], int]) -> Flow:
    """Replace the producer of *transport*, which still is the HTTP channel that the upgrade left behind."""
    transport.unregisterProducer()
    return Flow(innermost(transport), backlog)


def _is_secure(transport: Any) -> bool:
    from twisted.internet.interfaces import ISSLTransport  # noqa: PLC0415 - only there under daphne

    return ISSLTransport(transport, None) is not None


def _scheme(protocol: Any) -> str:
    proxied = getattr(protocol, "client_scheme", None) == "https"  # what a trusted proxy said, with --proxy-headers
    return "wss" if proxied or _is_secure(protocol.transport) else "ws"


def _patience(protocol: Any) -> float | None:
    server = getattr(protocol, "server", None)
    limits = (getattr(protocol, "openHandshakeTimeout", 0), getattr(server, "websocket_connect_timeout", 0))
    ends = min((limit for limit in limits if limit > 0), default=None)
    return None if ends is None else max(ends - _BEFORE_DAPHNE_GIVES_UP, ends / 2)
