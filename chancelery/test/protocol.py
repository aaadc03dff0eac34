"""
daphne on a thread of its own, for the life of the process, since Twisted's reactor cannot be started twice.

Serves whatever application it is told to, one at a time. Source: daphne 4.2, `daphne.server.Server`.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Coroutine
from typing import Any, Final

from django.core.exceptions import ImproperlyConfigured

from chancelery import conf
from chancelery.gateway.protocols import Receive, Scope, SendEvent

_STARTED_IN: Final = os.getpid()
_PATIENCE_SECONDS: Final = 30
_running: dict[int, ProtocolServer] = {}


class ProtocolServer:
    """Listens on a free port of each interface that is asked for."""

    def __init__(self) -> None:
        from daphne.server import Server  # noqa: PLC0415 - it makes an event loop, which must not be inherited by forks
        from twisted.internet import reactor  # noqa: PLC0415

        self.application: Any = None
        self._reactor: Any = reactor
        self._ports: dict[str, int] = {}
        self._server = Server(self, endpoints=["tcp:port=0:interface=127.0.0.1"], signal_handlers=False, verbosity=0)
        threading.Thread(target=self._server.run, name="live server", daemon=True).start()
        self._in_reactor(lambda: None)
        self._ports["127.0.0.1"] = self._server.listening_addresses[0][1]

    async def __call__(self, scope: Scope, receive: Receive, send: SendEvent) -> None:
        """Serve one connection by the application of the moment."""
        if self.application is not None:
            await self.application(scope, receive, send)
        elif scope["type"] == "http":
            await send({"type": "http.response.start", "status": 503, "headers": []})
            await send({"type": "http.response.body", "body": b"no live test is running"})
        else:
            await send({"type": "websocket.close"})

    def port(self, interface: str) -> int:
        """Return the port that is listened on there."""
        if interface not in self._ports:
            listener = self._in_reactor(lambda: self._reactor.listenTCP(0, self._server.http_factory, 50, interface))
            self._ports[interface] = listener.getHost().port
        return self._ports[interface]

    def run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run *coroutine* on the server's event loop, and wait for it. Raises: TimeoutError, what it raises."""
        loop = self._reactor._asyncioEventloop  # noqa: SLF001 - Twisted tells nobody
        asyncio.run_coroutine_threadsafe(coroutine, loop).result(conf.current().drain_seconds + _PATIENCE_SECONDS)

    def _in_reactor(self, call: Any) -> Any:
        done = threading.Event()
        outcome: list[Any] = []

        def answer() -> None:
            try:
                outcome.append(call())
            finally:
                done.set()

        self._reactor.callFromThread(answer)
        if not done.wait(_PATIENCE_SECONDS) or not outcome:
            raise RuntimeError("daphne did not start to listen: see the log")
        return outcome[0]


def protocol_server() -> ProtocolServer:
    """Return this process's, started. Raises: ImproperlyConfigured when daphne was imported before a fork."""
    found = _running.get(os.getpid())
    if found is None:
        if os.getpid() != _STARTED_IN and "daphne.server" in sys.modules:
            raise ImproperlyConfigured(
                "daphne was imported before this process was forked, so that its event loop belongs to several: take "
                '"daphne" out of INSTALLED_APPS for the tests, or run live tests without --parallel'
            )
        found = _running[os.getpid()] = ProtocolServer()
    return found
