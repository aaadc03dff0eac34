"""
daphne, in a thread of this process.

Importing this installs Twisted's reactor, of which there is one per process, and which runs once. Source: daphne 4.2.
"""

from __future__ import annotations

import errno
import logging
import socket
import time
from collections.abc import Callable
from typing import Any

from daphne.endpoints import build_endpoint_description_strings
from daphne.server import Server
from twisted.internet import reactor

from chancelery.gateway.application import Gateway
from chancelery.management.development.site import CannotListen
from chancelery.registry import ChannelLayerWrapper

_log = logging.getLogger("django.server")
_REFUSALS = {
    errno.EACCES: "You don't have permission to access that port.",
    errno.EADDRINUSE: "That port is already in use.",
    errno.EADDRNOTAVAIL: "That IP address can't be assigned to.",
}
_SOCKET_LINES = {"connected": "CONNECT", "disconnected": "DISCONNECT", "rejected": "REJECT"}


class Web:
    """
    A gateway to *channel_layer* at one address.

    on_bind: called with the port once connections are taken. options: daphne's.
    """

    def __init__(
        self,
        channel_layer: ChannelLayerWrapper,
        address: tuple[str, int],
        *,
        on_bind: Callable[[int], object],
        **options: Any,
    ) -> None:
        host, port = address
        self._server = _Server(
            Gateway(channel_layer),
            build_endpoint_description_strings(host=host, port=port),
            signal_handlers=False,
            action_logger=write_access_line,
            **options,
        )
        self._server.on_bind = on_bind

    def run(self) -> None:
        """Serve until `stop`. Raises: CannotListen; SystemExit when the gateway gives up, and has said why."""
        self._server.run()
        if self._server.refusal is not None:
            raise _cannot_listen(self._server.refusal)

    def stop(self) -> None:
        """Have the gateway drain, and `run` return. From any thread."""
        reactor.callFromThread(self._server.stop)


class _Server(Server):  # type: ignore[misc] # daphne has no types
    """daphne's server, which tells what has become of its one endpoint instead of logging it."""

    on_bind: Callable[[int], object]
    refusal: OSError | None = None

    def listen_success(self, port: Any) -> None:
        super().listen_success(port)
        self.on_bind(port.getHost().port)

    def listen_error(self, failure: Any) -> None:
        error = getattr(failure.value, "socketError", failure.value)
        self.refusal = error if isinstance(error, OSError) else OSError(str(error))
        self.stop()


def address_of(host: str, port: int, *, ipv6: bool) -> tuple[str, int]:
    """Return *host* as an address: Twisted takes no names. Raises: CannotListen."""
    family = socket.AF_INET6 if ipv6 else socket.AF_INET
    try:
        return str(socket.getaddrinfo(host, None, family, socket.SOCK_STREAM)[0][4][0]), port
    except OSError as error:
        raise _cannot_listen(error) from error


def _cannot_listen(error: OSError) -> CannotListen:
    return CannotListen(_REFUSALS.get(error.errno or 0, str(error)))


def write_access_line(protocol: str, action: str, details: dict[str, Any]) -> None:
    """Log what daphne's action logger is told: a line for each request, as Django's own server does."""
    extra: dict[str, Any] = {"server_time": time.strftime("%d/%b/%Y %H:%M:%S")}
    path, client = _shown(details["path"]), details["client"]
    if protocol == "http" and action == "complete":
        status = extra["status_code"] = int(details["status"])
        line = (_shown(details["method"]), path, status, details["size"])
        _log.log(_level(status), '"%s %s" %d %d', *line, extra=extra)
    elif protocol == "websocket" and action in _SOCKET_LINES:
        _log.info("WebSocket %s %s [%s]", _SOCKET_LINES[action], path, client, extra=extra)


def _level(status: int) -> int:
    if status >= 500:  # noqa: PLR2004 - HTTP
        return logging.ERROR
    return logging.WARNING if status >= 400 else logging.INFO  # noqa: PLR2004 - HTTP


def _shown(text: str | bytes) -> str:
    """Return *text* from a client without what could move a terminal's cursor."""
    text = text.decode("latin-1") if isinstance(text, bytes) else text
    return "".join(each if each.isprintable() else f"\\x{ord(each):02x}" for each in text)
