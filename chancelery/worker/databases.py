"""
Database connections around a consumer's run, as Django treats them around a request.

A thread's connections serve the next consumer too, unless they are unusable or too old. Those of a coroutine belong to
the thread that Django's async ORM and `sync_to_async` use for it, which ends with it. Source: `close_old_connections`,
`django.core.handlers.asgi`.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from contextvars import ContextVar
from typing import Any, Protocol

from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.db import Error, connections
from django.db.backends.signals import connection_created

from chancelery.log import room

_log = room("worker")
_opened: ContextVar[list[Any] | None] = ContextVar("chancelery_opened_connections", default=None)


class Care(Protocol):
    """What is put around consumers. This module is one."""

    def looked_after(self) -> AbstractContextManager[None]:
        """Put it around a plain consumer."""

    def closed_behind(self) -> AbstractAsyncContextManager[None]:
        """Put it around an async one."""


@contextlib.contextmanager
def looked_after() -> Iterator[None]:
    """Look after this thread's connections before and after what is done within."""
    _tidy()
    try:
        yield
    finally:
        _tidy()


@contextlib.asynccontextmanager
async def closed_behind() -> AsyncIterator[None]:
    """Close the connections that coroutines opened within, in a thread that is theirs alone."""
    opened: list[Any] = []
    _opened.set(opened)
    async with ThreadSensitiveContext():
        try:
            yield
        finally:
            if opened:
                await sync_to_async(connections.close_all)()


def note_opened() -> None:
    """Have `closed_behind` learn of connections that are opened."""
    connection_created.connect(_note, dispatch_uid="chancelery.worker")


def _note(*, connection: Any, **_: object) -> None:
    opened = _opened.get()
    if opened is not None:
        opened.append(connection)


def _tidy() -> None:
    """What `reset_queries` and `close_old_connections` do, in one pass."""
    for connection in connections.all(initialized_only=True):
        connection.queries_log.clear()
        try:
            connection.close_if_unusable_or_obsolete()
        except Error as error:  # no fault of the consumer's
            _log.warning("the connection to the database %r could not be closed: %s", connection.alias, error)
