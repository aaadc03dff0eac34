"""
The whole site in this process: starts what serves, in threads, and stops it in order.

In order means that whoever needs another one stops first: the gateway, whose sockets and requests need workers; the
worker, whose consumers may escalate to Celery; then Celery and the delay server.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from chancelery import conf
from chancelery.management.development.parts import Part

_BEYOND_SECONDS = 5.0
"""Each part bounds its own draining; this is for what it does after that."""


class CannotListen(Exception):
    """Nobody can be served at this address, for the reason that is its text: no change of the code will help."""


class Server(Protocol):
    """What `run` serves with, in the thread that calls it."""

    def run(self) -> object:
        """Serve until `stop`."""

    def stop(self) -> object:
        """Have `run` drain and return. From any thread."""


class Site:
    """A gateway, and *parts* behind it. Runs once."""

    def __init__(self, make_server: Callable[[Callable[[], None]], Server], parts: Sequence[Part]) -> None:
        """make_server: given what is to be called once it takes connections."""
        self._parts = parts
        self._server = make_server(self._start_parts)
        self._stopping = False
        self._served = threading.Event()
        self._begun = False

    def run(self) -> bool:
        """
        Serve until `stop`; return whether that was called.

        Raises: whatever the server does; nothing was started then, or it is for `stop` to end it.
        """
        self._begun = True
        try:
            if not self._stopping:
                self._server.run()
        finally:
            self._served.set()
        return self._stopping

    def stop(self) -> bool:
        """Stop everything, in order; return whether all that was begun has come to its end, in time."""
        self._stopping = True
        self._server.stop()
        seconds = conf.current().drain_seconds + _BEYOND_SECONDS
        ended = [not self._begun or self._served.wait(seconds)]
        ended += [part.end(seconds) for part in self._parts]
        return all(ended)

    def _start_parts(self) -> None:
        if not self._stopping:
            for part in self._parts:
                part.start()
