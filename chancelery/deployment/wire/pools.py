"""The wire to the server of another library's client: Celery's and kombu's, with connections of their terms."""

from __future__ import annotations

import contextlib
import os
import weakref
from typing import Any

import redis

from chancelery.deployment.wire.threads import ask


def call_quickly(client: redis.Redis, *command: Any) -> Any:
    """
    Send *command* to the server of *client* and return the answer, as it came.

    When a connection breaks, nothing is known of what was under way; the client sends it again then, as often as it is
    made to. So this is for commands that may be repeated. Raises: what redis-py does.
    """
    pool = client.connection_pool
    wire = _wires.get(pool) or _wires.setdefault(pool, _PoolWire(pool))
    try:
        return wire.send(command)
    except (redis.ConnectionError, redis.TimeoutError):
        answer: Any = client.execute_command(*command)  # type: ignore[no-untyped-call]
        return answer


class _PoolWire:
    """Connections such as a pool makes, which threads take and give back without the pool's checks."""

    def __init__(self, pool: redis.ConnectionPool) -> None:
        self._pool = weakref.proxy(pool)
        self._idle: list[Any] = []

    def send(self, command: tuple[Any, ...]) -> Any:
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._pool.make_connection()
        try:
            return ask(connection, command)
        finally:
            self._idle.append(connection)

    def __del__(self) -> None:
        for connection in self._idle:
            with contextlib.suppress(OSError):  # the collector would warn of its socket
                connection.disconnect()


_wires: weakref.WeakKeyDictionary[redis.ConnectionPool, _PoolWire] = weakref.WeakKeyDictionary()

os.register_at_fork(after_in_child=_wires.clear)
