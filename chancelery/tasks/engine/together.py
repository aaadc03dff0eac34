"""
Publishes what belongs together in one round trip: the parts of a group or chord, which Celery publishes one by one.

Each message is put on its queue by the script that puts single ones, which may be repeated: so a connection that fails
in between is no loss, and no part is there twice.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from typing import Any, NamedTuple

from kombu.exceptions import OperationalError

from chancelery.deployment.scripts import Script

_ATTEMPTS = 3


class Put(NamedTuple):
    """A message on its way to a queue."""

    channel: Any
    """Kombu's."""
    script: Script
    keys: Sequence[str]
    args: Sequence[Any]


_open: ContextVar[list[Put] | None] = ContextVar("chancelery_together", default=None)


@contextlib.contextmanager
def together() -> Iterator[None]:
    """Within it, what is published waits for its end, unless that is an error. Raises: OperationalError."""
    puts: list[Put] = []
    token = _open.set(puts)
    try:
        yield
    finally:
        _open.reset(token)
    if puts:
        _send(puts)


def send(put: Put) -> None:
    """Send a message; within `together`, at its end."""
    waiting = _open.get()
    if waiting is not None:
        waiting.append(put)
        return
    with put.channel.conn_or_acquire() as client:
        put.script(client, put.keys, put.args)


def _send(puts: Sequence[Put]) -> None:
    channel = puts[0].channel
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            with channel.conn_or_acquire() as client:
                _send_all(client, puts)
        except channel.connection_errors as error:
            if attempt == _ATTEMPTS:
                raise OperationalError(str(error)) from error
        else:
            return


def _send_all(client: Any, puts: Sequence[Put]) -> None:
    first, *others = puts
    first.script(client, first.keys, first.args)  # which gives the server the function, if it has it not
    if others:
        with client.pipeline(transaction=False) as pipeline:
            for put in others:
                pipeline.execute_command("FCALL", put.script.function, len(put.keys), *put.keys, *put.args)
            pipeline.execute()
