"""
Has the consumer of one message called, and decides what goes out afterwards.

Knows nothing of leases, threads or loops: it is given a delivery and returns what its worker has to send and to do, or,
for an async consumer, what leads to that.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from chancelery import outbox, trail
from chancelery.exceptions import ConsumeLater, LayerUnavailable, MessageTooLarge
from chancelery.layers.base import Delivery, Later, Send
from chancelery.log import Burst, room
from chancelery.message import Message
from chancelery.outbox import Outbox
from chancelery.registry import ChannelLayerWrapper
from chancelery.routing import Match, is_async
from chancelery.trail import Trail
from chancelery.worker import calling, databases
from chancelery.worker.answers import Ending, answers
from chancelery.worker.calling import Ended, name_of, report_failure
from chancelery.worker.elsewhere import post_elsewhere
from chancelery.worker.postponing import DEFAULT_RETRIES, Postponing

_log = room("worker")
_unrouted = Burst(_log)
_OURSELVES = "chancelery.worker"
_DROPPED: Final = {Ending.UNROUTED: "unrouted", Ending.GIVEN_UP: "too_many_retries"}

Callback: TypeAlias = "Callable[[str, Message], object]"
"""Called with each message and its channel's name, before its consumer."""


class Outcome(NamedTuple):
    """What a handled message leaves to its worker."""

    sends: Sequence[Send]
    """On the message's own layer, to go out together with its end."""
    deferred: Sequence[Callable[[], object]]
    """To be called, with `run_deferred`, when the sends are out; with `try_deferred` first, if there are none."""
    trail: Trail
    sender: str
    dropped: str = ""
    """Why nobody handled it, as a reason of the layer's counters."""
    later: Later | None = None
    """How it is handled again; then it has sent nothing."""
    failure: BaseException | None = None
    """What kept the consumer from coming to a good end, logged already."""


class Pending(NamedTuple):
    """A message whose consumer is async, and has not begun."""

    sender: str
    """Its consumer's dotted name."""
    run: Callable[[], Coroutine[Any, Any, Outcome]]
    """Makes what an event loop has to run, in a context of its own. Raises only CancelledError, see `calling`."""


class Dispatch:
    """Handles the messages of one channel layer. For any number of threads."""

    def __init__(
        self,
        channel_layer: ChannelLayerWrapper,
        *,
        callback: Callback | None = None,
        message_retries: int = DEFAULT_RETRIES,
        care: databases.Care = databases,
    ) -> None:
        """
        care: what is put around consumers for the sake of database connections.

        Raises: ValueError for a number of retries that is none.
        """
        self._layer = channel_layer
        self._router = channel_layer.router
        self._callback = callback
        self._care = care
        self._postponing = Postponing(channel_layer.layer, message_retries)

    def __call__(self, delivery: Delivery) -> Outcome | Pending:
        """Run the consumer of *delivery*, unless it is async. Never raises for what a consumer does."""
        # What a consumer sets for itself (a language, a time zone) must not reach the next message of this thread.
        return contextvars.copy_context().run(self._handle, delivery)

    def _handle(self, delivery: Delivery) -> Outcome | Pending:
        # A copy, since a message that is handled again later is to say the same then.
        content = dict(delivery.content)
        try:
            message = Message(content, delivery.channel, self._layer, delivery.trail, delivery.attempt)
        except TypeError as error:  # its reply_channel is no channel
            report_failure(_OURSELVES, delivery, error)
            return Outcome([], [], delivery.trail, _OURSELVES, dropped="corrupt", failure=error)
        if self._postponing.is_last(delivery):
            message.__doomed__ = True
        try:
            found = self._router.match(message)
        except Exception as error:  # noqa: BLE001 - a route may be code of the project
            report_failure(_OURSELVES, message, error)
            return self._outcome(message, _OURSELVES, Ended(Ending.FAILED, failure=error), Outbox())
        if found is None:
            _report_unrouted(message)
            return self._outcome(message, _OURSELVES, Ended(Ending.UNROUTED), Outbox())
        return self._run_found(delivery, message, found)

    def _run_found(self, delivery: Delivery, message: Message, found: Match) -> Outcome | Pending:
        sender = name_of(found[0])
        if self._callback is not None:
            _call_back(self._callback, message)
        if is_async(found[0]):
            return Pending(sender, functools.partial(self._run_async, delivery, message, sender, found))
        with outbox.holding() as box:
            ended = calling.run(message, sender, found, self._care, by=Dispatch)
            if ended.asked is not None:
                return self._postponed(delivery, message, sender, ended.asked, box)
            return self._outcome(message, sender, ended, box)

    async def _run_async(self, delivery: Delivery, message: Message, sender: str, found: Match) -> Outcome:
        async with self._care.closed_behind():
            with outbox.holding() as box:
                ended = await calling.awaited(message, sender, found, by=Dispatch)
                if ended.asked is not None:
                    return self._postponed(delivery, message, sender, ended.asked, box)
                if any(alias != self._layer.alias for alias, _ in box.sends):  # they may have to wait for room there
                    return await asyncio.to_thread(self._outcome, message, sender, ended, box)
                return self._outcome(message, sender, ended, box)

    def _postponed(
        self, delivery: Delivery, message: Message, sender: str, asked: ConsumeLater, box: Outbox
    ) -> Outcome:
        box.discard()
        try:
            later = self._postponing.later(delivery, asked, sender)
        except (MessageTooLarge, TypeError, ValueError) as error:
            report_failure(sender, message, error)
            return self._outcome(message, sender, Ended(Ending.FAILED, failure=error), box)
        if later is None:
            return self._outcome(message, sender, Ended(Ending.GIVEN_UP), box)
        return Outcome([], [], message.trail, sender, later=later)

    def _outcome(self, message: Message, sender: str, ended: Ended, box: Outbox) -> Outcome:
        sends = answers(message, sender, ended.ending, box)
        for alias, send in box.sends:
            if alias == self._layer.alias:
                sends.append(send)
            else:
                post_elsewhere(alias, send)
        deferred = box.deferred if ended.ending is Ending.RETURNED else []
        dropped = _DROPPED.get(ended.ending, "")
        return Outcome(sends, deferred, message.trail, sender, dropped, failure=ended.failure)


def run_deferred(outcome: Outcome) -> None:
    """Call what the consumer left to be done after its return; one that fails does not keep the others from it."""
    for call in outcome.deferred:
        try:
            _call(call, outcome)
        except LayerUnavailable:
            _report_deferred(outcome)


def try_deferred(outcome: Outcome) -> Outcome:
    """Do so, and return what did not reach the layer: it is to be called again, once the layer answers."""
    left = []
    for call in outcome.deferred:
        try:
            _call(call, outcome)
        except LayerUnavailable:
            left.append(call)
    return outcome._replace(deferred=left)


def _call(call: Callable[[], object], outcome: Outcome) -> None:
    with trail.following(outcome.trail, outcome.sender):
        try:
            call()
        except LayerUnavailable:
            raise
        except Exception:  # noqa: BLE001 - code of the project, like a consumer
            _report_deferred(outcome)


def _report_deferred(outcome: Outcome) -> None:
    _log.exception(
        "what %s had deferred failed; its message came by: %s", outcome.sender, trail.describe(outcome.trail)
    )


def _call_back(callback: Callback, message: Message) -> None:
    try:
        callback(message.channel.name, message)
    except Exception:  # noqa: BLE001 - code of the project: it looks on, and decides nothing
        _log.exception('the callback failed on a message of channel "%s"', message.channel)


def _report_unrouted(message: Message) -> None:
    _unrouted.say(
        message.channel.name,
        'dropped a message of channel "%s"%s: no route matches it; add one, or leave the channel to other workers. It '
        "came by: %s",
        message.channel.name,
        f" with the path {message['path']!r}" if "path" in message else "",
        trail.describe(message.trail),
    )
