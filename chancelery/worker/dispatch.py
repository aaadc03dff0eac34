"""
Runs the consumer of one message, and decides what goes out afterwards.

The only place that catches whatever a consumer raises. Knows nothing of leases or threads: it is given a delivery and
returns what its worker has to send and to do.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Sequence
from enum import Enum, auto
from typing import Any, NamedTuple

from chancelery import outbox, trail
from chancelery.exceptions import ChanceleryError, ChannelSocketException, DenyConnection
from chancelery.layers.base import Delivery, Send
from chancelery.log import Burst, room
from chancelery.message import Message
from chancelery.outbox import Outbox
from chancelery.registry import ChannelLayerWrapper, channel_layers
from chancelery.routing import Consumer, Router
from chancelery.signals import consumer_finished, consumer_started
from chancelery.trail import Trail
from chancelery.types import Content

_log = room("worker")
_unrouted = Burst(_log)
_OURSELVES = "chancelery.worker"
_SERVER_ERROR: Content = {
    "status": 500,
    "headers": [[b"content-type", b"text/plain; charset=utf-8"]],
    "content": b"Server error",
}


class Outcome(NamedTuple):
    """What a handled message leaves to its worker."""

    sends: Sequence[Send]
    """On the message's own layer, to go out together with its end."""
    deferred: Sequence[Callable[[], object]]
    """To be called, with `run_deferred`, when the sends are out."""
    trail: Trail
    sender: str


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

    def __call__(self, delivery: Delivery) -> Outcome:
        """Run the consumer of *delivery*. Never raises for what a consumer does."""
        # What a consumer sets for itself (a language, a time zone) must not reach the next message of this thread.
        return contextvars.copy_context().run(self._handle, delivery)

    def _handle(self, delivery: Delivery) -> Outcome:
        with outbox.holding() as box:
            try:
                message = Message(delivery.content, delivery.channel, self._layer, delivery.trail)
            except TypeError as error:  # its reply_channel is no channel
                _report_failure(_OURSELVES, delivery, error)
                return Outcome([], [], delivery.trail, _OURSELVES)
            sender, ending = _ended(message, self._router)
            sends = _answers(message, sender, ending, box)
        for alias, send in box.sends:
            if alias == self._layer.alias:
                sends.append(send)
            else:
                _post_elsewhere(alias, send)
        return Outcome(sends, box.deferred if ending is _Ending.RETURNED else [], message.trail, sender)


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


def _ended(message: Message, router: Router) -> tuple[str, _Ending]:
    """Have *message* handled; return who handled it, and how that ended."""
    sender = _OURSELVES
    try:
        found = router.match(message)
        if found is None:
            _report_unrouted(message)
            return sender, _Ending.UNROUTED
        sender = _name(found[0])
        with trail.following(message.trail, sender):
            return sender, _obeyed(message, *found)
    except BaseException as error:  # noqa: BLE001 - whatever a consumer raises, SystemExit too, ends this message only
        _report_failure(sender, message, error)
        return sender, _Ending.FAILED


def _obeyed(message: Message, consumer: Consumer, kwargs: dict[str, Any]) -> _Ending:
    """Run the consumer and do what it asks for by raising."""
    try:
        _run(message, consumer, kwargs)
    except DenyConnection:
        if message.channel.name == "websocket.connect":
            return _Ending.DENIED
        raise
    except ChannelSocketException as order:
        order.run(message)
        return _Ending.STOPPED
    return _Ending.RETURNED


def _run(message: Message, consumer: Consumer, kwargs: dict[str, Any]) -> None:
    consumer_started.send_robust(sender=Dispatch, environ=message.content)
    try:
        consumer(message, **kwargs)
    finally:
        consumer_finished.send_robust(sender=Dispatch)


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
    try:
        outbox.post(channel_layers[alias].layer, send)
    except ChanceleryError as error:
        _log.error("a message to %s on the layer %r was not sent: %s", send.address, alias, error)


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
