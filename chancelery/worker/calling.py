"""
Calls one consumer, and tells how that ended.

The only place that catches whatever a consumer raises. Knows nothing of what it has sent, or of what becomes of that.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable
from typing import Any, Final, NamedTuple, cast

from chancelery import trail
from chancelery.exceptions import ChannelSocketException, ConsumeLater, DenyConnection
from chancelery.layers.base import Delivery
from chancelery.log import room
from chancelery.message import Message
from chancelery.routing import Consumer, Match
from chancelery.signals import consumer_finished, consumer_started
from chancelery.worker import databases
from chancelery.worker.answers import Ending

_log = room("worker")

STOPPED = "the worker stops"
"""The message of the cancellation that ends an async consumer for good, instead of failing it."""


class Ended(NamedTuple):
    """How a consumer came to its end."""

    ending: Ending
    asked: ConsumeLater | None = None
    """With POSTPONED."""
    failure: BaseException | None = None
    """With FAILED."""


RETURNED: Final = Ended(Ending.RETURNED)


def run(message: Message, sender: str, found: Match, care: databases.Care, *, by: type) -> Ended:
    """
    Run a consumer, do what it asks for by raising, and return how that ended.

    care: what is put around it for the sake of database connections. by: the sender of the signals.
    """
    consumer, kwargs = found
    with trail.following(message.trail, sender):
        try:
            with care.looked_after():
                consumer_started.send_robust(sender=by, environ=message.content)
                try:
                    _require_no_coroutine(consumer(message, **kwargs), consumer)
                finally:
                    consumer_finished.send_robust(sender=by)
        except BaseException as error:  # noqa: BLE001 - whatever a consumer raises, SystemExit too, ends this message only
            return _ended_by(error, message, sender)
    return RETURNED


async def awaited(message: Message, sender: str, found: Match, *, by: type) -> Ended:
    """`run`, for an async consumer. Raises: CancelledError when the worker stops."""
    consumer, kwargs = found
    with trail.following(message.trail, sender):
        try:
            await consumer_started.asend_robust(sender=by, environ=message.content)
            try:
                await cast("Awaitable[object]", consumer(message, **kwargs))
            finally:
                await consumer_finished.asend_robust(sender=by)
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and error.args == (STOPPED,):
                raise
            return _ended_by(error, message, sender)
    return RETURNED


def _ended_by(error: BaseException, message: Message, sender: str) -> Ended:
    """Do what a consumer asks for by raising *error*, or report it; return what that means."""
    if isinstance(error, DenyConnection):
        if message.channel.name == "websocket.connect":
            return Ended(Ending.DENIED)
    elif isinstance(error, ConsumeLater):
        return Ended(Ending.POSTPONED, error)
    elif isinstance(error, ChannelSocketException):
        try:
            error.run(message)
        except BaseException as fault:  # noqa: BLE001 - code of the project, like a consumer
            error = fault
        else:
            return Ended(Ending.STOPPED)
    report_failure(sender, message, error)
    return Ended(Ending.FAILED, failure=error)


def _require_no_coroutine(returned: object, consumer: Consumer) -> None:
    if inspect.iscoroutine(returned):
        returned.close()
        raise TypeError(
            f"the consumer {name_of(consumer)} returned a coroutine, which was not run: something that is called as a "
            f"plain def, such as a decorator, is around an async def; make the one async, or the other plain"
        )


def report_failure(sender: str, source: Message | Delivery, error: BaseException) -> None:
    """Log that the consumer *sender* failed, with the way that its message has come."""
    _log.error(
        'consumer %s failed on a message of channel "%s", which came by: %s',
        sender,
        source.channel,
        trail.describe(source.trail),
        exc_info=error,
    )


def name_of(consumer: Any) -> str:
    """Return a consumer's dotted name."""
    named = consumer if hasattr(consumer, "__qualname__") else type(consumer)
    return f"{named.__module__}.{named.__qualname__}"
