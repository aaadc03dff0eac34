"""
Runs the consumer of one message, and decides what goes out afterwards.

The only place that catches whatever a consumer raises. Knows nothing of leases, threads or loops: it is given a
delivery and returns what its worker has to send and to do, or, for an async consumer, what leads to that.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from enum import Enum, auto
from typing import Any, NamedTuple, cast

from chancelery import outbox, trail
from chancelery.exceptions import (
    ChanceleryError,
    ChannelFull,
    ChannelSocketException,
    DenyConnection,
    LayerUnavailable,
)
from chancelery.layers.base import ChannelLayer, Delivery, Send
from chancelery.log import Burst, room
from chancelery.message import Message
from chancelery.outbox import Outbox
from chancelery.registry import ChannelLayerWrapper, channel_layers
from chancelery.routing import Consumer, Match, is_async
from chancelery.signals import consumer_finished, consumer_started
from chancelery.trail import Trail
from chancelery.types import Content
from chancelery.worker import databases
from chancelery.worker.drops import Drops

_log = room("worker")
_unrouted = Burst(_log)
_OURSELVES = "chancelery.worker"
_SERVER_ERROR: Content = {
    "status": 500,
    "headers": [[b"content-type", b"text/plain; charset=utf-8"]],
    "content": b"Server error",
}
STOPPED = "the worker stops"
"""The message of the cancellation that ends an async consumer for good, instead of failing it."""


class Outcome(NamedTuple):
    """What a handled message leaves to its worker."""

    sends: Sequence[Send]
    """On the message's own layer, to go out together with its end."""
    deferred: Sequence[Callable[[], object]]
    """To be called, with `run_deferred`, when the sends are out."""
    trail: Trail
    sender: str
    dropped: str = ""
    """Why nobody handled it, as a reason of the layer's counters."""


class Pending(NamedTuple):
    """A message whose consumer is async, and has not begun."""

    sender: str
    """Its consumer's dotted name."""
    run: Callable[[], Coroutine[Any, Any, Outcome]]
    """Makes what an event loop has to run, in a context of its own. Raises nothing but CancelledError, see STOPPED."""


class _Ending(Enum):
    RETURNED = auto()
    STOPPED = auto()
    """By an exception that did something to the socket itself."""
    DENIED = auto()
    FAILED = auto()
    UNROUTED = auto()


_UNANSWERED = frozenset({_Ending.FAILED, _Ending.UNROUTED})


class Dispatch:
    """Handles the messages of one channel layer."""

    def __init__(self, channel_layer: ChannelLayerWrapper) -> None:
        self._layer = channel_layer
        self._router = channel_layer.router

    def __call__(self, delivery: Delivery) -> Outcome | Pending:
        """Run the consumer of *delivery*, unless it is async. Never raises for what a consumer does."""
        # What a consumer sets for itself (a language, a time zone) must not reach the next message of this thread.
        return contextvars.copy_context().run(self._handle, delivery)

    def _handle(self, delivery: Delivery) -> Outcome | Pending:
        try:
            message = Message(delivery.content, delivery.channel, self._layer, delivery.trail, delivery.attempt)
        except TypeError as error:  # its reply_channel is no channel
            _report_failure(_OURSELVES, delivery, error)
            return Outcome([], [], delivery.trail, _OURSELVES, dropped="corrupt")
        try:
            found = self._router.match(message)
        except Exception as error:  # noqa: BLE001 - a route may be code of the project
            _report_failure(_OURSELVES, message, error)
            return self._outcome(message, _OURSELVES, _Ending.FAILED, Outbox())
        if found is None:
            _report_unrouted(message)
            return self._outcome(message, _OURSELVES, _Ending.UNROUTED, Outbox())
        sender = _name(found[0])
        if is_async(found[0]):
            return Pending(sender, functools.partial(self._run_async, message, sender, found))
        with outbox.holding() as box:
            ending = _run(message, sender, found)
            return self._outcome(message, sender, ending, box)

    async def _run_async(self, message: Message, sender: str, found: Match) -> Outcome:
        async with databases.closed_behind():
            with outbox.holding() as box:
                ending = await _awaited(message, sender, found)
                if any(alias != self._layer.alias for alias, _ in box.sends):  # they may have to wait for room there
                    return await asyncio.to_thread(self._outcome, message, sender, ending, box)
                return self._outcome(message, sender, ending, box)

    def _outcome(self, message: Message, sender: str, ending: _Ending, box: Outbox) -> Outcome:
        sends = _answers(message, sender, ending, box)
        for alias, send in box.sends:
            if alias == self._layer.alias:
                sends.append(send)
            else:
                _post_elsewhere(alias, send)
        deferred = box.deferred if ending is _Ending.RETURNED else []
        return Outcome(sends, deferred, message.trail, sender, "unrouted" if ending is _Ending.UNROUTED else "")


def run_deferred(outcome: Outcome) -> None:
    """Call what the consumer left to be done after its return; one that fails does not keep the others from it."""
    for call in outcome.deferred:
        with trail.following(outcome.trail, outcome.sender):
            try:
                call()
            except Exception:  # noqa: BLE001 - code of the project, like a consumer
                _log.exception(
                    "what %s had deferred failed; its message came by: %s",
                    outcome.sender,
                    trail.describe(outcome.trail),
                )


def _run(message: Message, sender: str, found: Match) -> _Ending:
    """Run a consumer, do what it asks for by raising, and return how that ended."""
    consumer, kwargs = found
    with trail.following(message.trail, sender):
        try:
            with databases.looked_after():
                consumer_started.send_robust(sender=Dispatch, environ=message.content)
                try:
                    _require_no_coroutine(consumer(message, **kwargs), consumer)
                finally:
                    consumer_finished.send_robust(sender=Dispatch)
        except BaseException as error:  # noqa: BLE001 - whatever a consumer raises, SystemExit too, ends this message only
            return _ended_by(error, message, sender)
    return _Ending.RETURNED


async def _awaited(message: Message, sender: str, found: Match) -> _Ending:
    """`_run`, for an async consumer. Raises: CancelledError when the worker stops."""
    consumer, kwargs = found
    with trail.following(message.trail, sender):
        try:
            await consumer_started.asend_robust(sender=Dispatch, environ=message.content)
            try:
                await cast("Awaitable[object]", consumer(message, **kwargs))
            finally:
                await consumer_finished.asend_robust(sender=Dispatch)
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and error.args == (STOPPED,):
                raise
            return _ended_by(error, message, sender)
    return _Ending.RETURNED


def _ended_by(error: BaseException, message: Message, sender: str) -> _Ending:
    """Do what a consumer asks for by raising *error*, or report it; return what that means."""
    if isinstance(error, DenyConnection):
        if message.channel.name == "websocket.connect":
            return _Ending.DENIED
    elif isinstance(error, ChannelSocketException):
        try:
            error.run(message)
        except BaseException as fault:  # noqa: BLE001 - code of the project, like a consumer
            error = fault
        else:
            return _Ending.STOPPED
    _report_failure(sender, message, error)
    return _Ending.FAILED


def _require_no_coroutine(returned: object, consumer: Consumer) -> None:
    if inspect.iscoroutine(returned):
        returned.close()
        raise TypeError(
            f"the consumer {_name(consumer)} returned a coroutine, which was not run: something that is called as a "
            f"plain def, such as a decorator, is around an async def; make the one async, or the other plain"
        )


def _answers(message: Message, sender: str, ending: _Ending, box: Outbox) -> list[Send]:
    """Return what the protocol's other side is told on behalf of a consumer that did not say it."""
    to = message.reply_channel
    if to is None:
        return []
    if message.channel.name == "websocket.connect":
        contents = _connect_answers(to.name, message, ending, box)
    elif message.channel.name == "http.request" and ending in _UNANSWERED and not box.reached(to.name):
        contents = [_SERVER_ERROR]
    else:
        return []
    with trail.following(message.trail, sender):
        onward = trail.onward(to.name)
    return [Send(to.name, to.channel_layer.layer.pack(content, onward)) for content in contents]


def _connect_answers(name: str, message: Message, ending: _Ending, box: Outbox) -> list[Content]:
    if ending is _Ending.RETURNED:
        return [] if message.accept_deferred or box.reached(name) else [{"accept": True}]
    if ending is _Ending.STOPPED:
        return [] if box.reached(name) else [{"accept": False}]
    # First of all, or data that the consumer had sent before would accept the socket.
    return [{"accept": False}, {"close": True}] if name in box.at_once else [{"accept": False}]


def _post_elsewhere(alias: str, send: Send) -> None:
    layer = channel_layers[alias].layer
    try:
        outbox.post(layer, send)
    except ChanceleryError as error:
        _log.error("a message to %s on the layer %r was not sent: %s", send.address, alias, error)
        _count(layer, error)


def _count(layer: ChannelLayer, error: ChanceleryError) -> None:
    drops = Drops(layer)
    if isinstance(error, ChannelFull):
        drops.count("no_room")
    elif isinstance(error, LayerUnavailable):
        drops.count("unknown")
    drops.tell()


def _report_unrouted(message: Message) -> None:
    _unrouted.say(
        message.channel.name,
        'dropped a message of channel "%s"%s: no route matches it; add one, or leave the channel to other workers. It '
        "came by: %s",
        message.channel.name,
        f" with the path {message['path']!r}" if "path" in message else "",
        trail.describe(message.trail),
    )


def _report_failure(sender: str, source: Message | Delivery, error: BaseException) -> None:
    _log.error(
        'consumer %s failed on a message of channel "%s", which came by: %s',
        sender,
        source.channel,
        trail.describe(source.trail),
        exc_info=error,
    )


def _name(consumer: Any) -> str:
    named = consumer if hasattr(consumer, "__qualname__") else type(consumer)
    return f"{named.__module__}.{named.__qualname__}"
