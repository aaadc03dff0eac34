"""
What a worker holds of the broker's messages: said again and again while it lives, and kept over a lost connection.

kombu gives everything back when a connection is closed, or fails to, which ends the worker; a task that runs on is then
run twice, and its acknowledgement is lost. Here what runs stays held, by whichever connection there is next, and what
was not begun goes back to its queue. Source: kombu.transport.redis, celery.worker.consumer of 5.7.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from time import monotonic, time
from typing import Any, Literal

from celery.worker import state
from kombu.transport import redis, virtual

from chancelery.deployment import scripts, wire
from chancelery.log import room

_EXCHANGE = scripts.load(("chancelery.tasks.engine.scripts", "exchange.lua"), even_full=True)
_log = room("tasks")
_End = Literal["done", "first", "last"]
"""What becomes of a message that is held no more: nothing, or the first or the last place in its queue."""

_estates: list[Held] = []
"""What connections that are gone still held."""


class Held(redis.QoS):  # type: ignore[misc]
    """What one channel holds."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.noted: set[str] = set()
        """Delivery tags of messages that Redis noted as held when it handed them out."""
        self._late: dict[str, _End] = {}
        """By tag, the messages that are held no more, of which Redis does not know yet."""
        self._left = False
        self._since = monotonic()

    def append(self, message: Any, delivery_tag: str) -> None:
        """Hold *message*."""
        if delivery_tag in self.noted:
            self.noted.discard(delivery_tag)
            virtual.QoS.append(self, message, delivery_tag)
        else:
            super().append(message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """Be done with a message; when Redis does not answer, it is told later."""
        self._let_go(delivery_tag, "done")

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:  # noqa: FBT001, FBT002 - kombu's signature
        """The same; *requeue* puts it back, behind the others."""
        self._let_go(delivery_tag, "last" if requeue else "done")

    def refresh(self) -> None:
        """Say that this process still holds what it holds, and what earlier connections left to it."""
        with self.channel.conn_or_acquire() as client:
            self._settle_estates(client, _running())
            held = [tag for one in (self, *_estates) for tag in one.tags()]
            if held:
                client.zadd(self.unacked_index_key, dict.fromkeys(held, time()), xx=True)

    def restore_visible(self, *args: Any, **kwargs: Any) -> None:
        """
        Put back what no worker spoke of for the visibility timeout.

        Not before this connection is as old: while Redis was away, nobody could speak.
        """
        if monotonic() - self._since >= self.visibility_timeout:
            super().restore_visible(*args, **kwargs)

    def tags(self) -> list[str]:
        """Return the delivery tags of what is held."""
        return [tag for tag in tuple(self._delivered) if tag not in self._dirty]

    def restore_unacked_once(self, stderr: Any = None) -> None:  # noqa: ARG002 - kombu's signature
        """Leave what is held to the next connection, when this one is closed; give back what nobody has begun."""
        self._on_collect.cancel()
        self.leave()
        connection = self.channel.connection
        if connection is None or connection.client is None:
            return
        try:
            with self.channel.conn_or_acquire() as client:
                self._settle_estates(client, set() if _ends() else _running())
        except self.channel.connection_errors as error:
            _log.warning("%d messages stay held until Redis answers again (%s)", len(self.tags()), error)

    def leave(self) -> None:
        """Have later channels care for what this one holds."""
        if not self._left:
            self._left = True
            _estates.append(self)

    def exchange(self, client: Any, queues: Sequence[str], given: Sequence[Any]) -> Any:
        """
        Tell Redis what is done, and return the next message; in one step.

        queues, given: the keys from the third on and the arguments of `exchange.lua` but the tags.
        """
        done = self._done()
        found = self._exchange(client, queues, [*given, *done])
        for tag in done:
            self._late.pop(tag, None)
        return found

    def _exchange(self, client: Any, queues: Sequence[str], args: Sequence[Any]) -> Any:
        keys = [self.channel.global_keyprefix + key for key in (self.unacked_key, self.unacked_index_key)]
        return _EXCHANGE.run(functools.partial(wire.call_quickly, client), [*keys, *queues], args)

    def _done(self) -> list[str]:
        return [tag for tag, end in tuple(self._late.items()) if end == "done"]

    def _let_go(self, tag: str, end: _End) -> None:
        self._quick_ack(tag)
        self._late[tag] = end
        if self._left:
            return
        try:
            if end == "done" and self.channel.takes_next():
                return
            with self.channel.conn_or_acquire() as client:
                self._settle_late(client, self)
        except self.channel.connection_errors as error:
            _log.warning("a task was acknowledged, but Redis did not answer: it is told again (%s)", error)

    def _settle_estates(self, client: Any, running: set[str]) -> None:
        """Have Redis know what became of all that is held no more; of what was left, only what is *running* is held."""
        for estate in tuple(_estates):
            estate.give_back(running)
            self._settle_late(client, estate)
        self._settle_late(client, self)
        _estates[:] = [estate for estate in _estates if estate.tags()]

    def give_back(self, running: set[str]) -> None:
        """Let go of what is not *running*."""
        for tag in set(self.tags()) - running:
            self._quick_ack(tag)
            self._late[tag] = "first"

    def _settle_late(self, client: Any, estate: Held) -> None:
        late, done = estate._late, estate._done()
        if done:
            self._exchange(client, (), (0, "", *done))
        for tag, end in tuple(late.items()):
            if end != "done":
                self.restore_by_tag(tag, client, leftmost=end == "last")  # a queue's left end is its last place
            if end != "done" or tag in done:
                late.pop(tag, None)


def _running() -> set[str]:
    """Return the delivery tags of the tasks that this worker runs."""
    return {request.message.delivery_tag for request in tuple(state.active_requests)}


def _ends() -> bool:
    """Tell whether this worker ends: what still runs when it closes its connection, nobody waits for."""
    return any(told is not None and told is not False for told in (state.should_stop, state.should_terminate))
