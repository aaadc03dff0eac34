"""The wire for threads: one connection for each, on which one command at a time is under way."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import weakref
from typing import TYPE_CHECKING, Any

import hiredis
import redis
from redis.exceptions import ResponseError

from chancelery.deployment import connections
from chancelery.deployment.scripts import Script, is_unknown

if TYPE_CHECKING:
    from collections.abc import Sequence

_wires: dict[str, ThreadWire] = {}


def thread_wire(url: str) -> ThreadWire:
    """Return this process's wire to *url* for threads."""
    found = _wires.get(url)
    return found or _wires.setdefault(url, ThreadWire(url))


def close_thread_wire(url: str) -> None:
    """Close this process's wire to *url* for threads, if there is one."""
    found = _wires.pop(url, None)
    if found is not None:
        found.close()


class ThreadWire:
    """One connection for the calling thread, opened when it is first needed and again after it broke."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._local = threading.local()
        self._opened: weakref.WeakSet[Any] = weakref.WeakSet()
        self._pool = connections.sync_pool(url)

    def call(self, *command: Any) -> Any:
        """Send *command* and return the answer. Raises: LayerUnavailable, ResponseError."""
        with connections.reporting(self.url):
            return ask(self._connection(), command)

    def run(self, script: Script, key: str, args: Sequence[Any]) -> Any:
        """Run *script* with one key and return its answer."""
        return script.run(self.call, [key], args)

    def run_after(self, blocking: Sequence[Any], script: Script, key: str, args: Sequence[Any]) -> Any:
        """Send *blocking*, which waits on the server, and *script* right behind it; return the script's answer."""
        with connections.reporting(self.url):
            connection = self._connection()
            try:
                command = ("FCALL", script.function, 1, key, *args)
                connection.send_packed_command([hiredis.pack_command(tuple(blocking)) + hiredis.pack_command(command)])
                self._pass_over(connection)
                return connection.read_response()
            except ResponseError as error:
                connections.require_master(error, connection)
                if not is_unknown(error):
                    raise
            except BaseException:
                connection.disconnect()
                raise
        return self.run(script, key, args)

    def begin_waiting(self, keys: Sequence[str], timeout: float) -> Waiting:
        """Begin to wait for a token on one of the lists *keys*. Until the answer is taken, nothing else may be done."""
        with connections.reporting(self.url):
            connection = self._connection()
            try:
                connection.send_packed_command(
                    [*connection.pack_commands([("CLIENT", "ID"), ("BLPOP", *keys, timeout)])]
                )
                return Waiting(self, connection, connection.read_response())
            except BaseException:
                connection.disconnect()
                raise

    def close(self) -> None:
        """End the connections of every thread; what another thread is doing fails there."""
        own: Any = getattr(self._local, "connection", None)
        for connection in list(self._opened):
            if connection is not own:
                _hang_up(connection)
        if own is not None:
            own.disconnect()

    @staticmethod
    def _pass_over(connection: Any) -> None:
        """Read an answer of which only that it has come matters, since another one follows."""
        try:
            connection.read_response()
        except ResponseError as error:
            raise redis.ConnectionError(f"it refuses to wait: {error}") from error

    def _connection(self) -> Any:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._pool.make_connection()
            self._local.keeper = _Keeper(connection)
            self._opened.add(connection)
        if not connection.is_connected:
            connection.connect()
        return connection


def ask(connection: Any, command: Sequence[Any]) -> Any:
    """Send *command* down a connection of redis-py's and return the answer. Raises: what redis-py does."""
    try:
        connection.send_packed_command([hiredis.pack_command(tuple(command))])
        return connection.read_response()
    except ResponseError as error:
        connections.require_master(error, connection)
        raise
    except BaseException:
        connection.disconnect()
        raise


class Waiting:
    """A command that waits on its server, and holds a thread's connection to it."""

    def __init__(self, wire: ThreadWire, connection: Any, client_id: int) -> None:
        self._wire = wire  # which would close the connection if it were no more
        self._connection = connection
        self.client_id = client_id
        """By which the server can be told to stop."""

    @property
    def fileno(self) -> int:
        """What becomes readable when the answer comes."""
        return int(self._connection._sock.fileno())  # noqa: SLF001 - redis-py has no public way to wait for several

    def has_answer(self) -> bool:
        """Tell whether the answer has begun to come."""
        return bool(self._connection.can_read(timeout=0))

    def take_answer(self) -> None:
        """Read the answer, whatever it is. Raises: LayerUnavailable."""
        with connections.reporting(self._wire.url):
            try:
                self._connection.read_response()
            except BaseException:
                self._connection.disconnect()
                raise


os.register_at_fork(after_in_child=_wires.clear)


def _hang_up(connection: Any) -> None:
    """
    End a connection that another thread may be reading from, and leave the closing to that one.

    Closed here, its descriptor might be given to a new connection at once, whose answers that thread would read.
    """
    sock = connection._sock  # noqa: SLF001 - redis-py shuts down and closes in one step
    if sock is not None:
        with contextlib.suppress(OSError):  # it is closed already
            sock.shutdown(socket.SHUT_RDWR)


class _Keeper:
    """Closes a thread's connection when the thread, or the wire, is no more. The collector would warn of its socket."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def __del__(self) -> None:
        with contextlib.suppress(OSError):
            self._connection.disconnect()
