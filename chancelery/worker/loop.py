"""
What one thread of a worker does: fetch a few messages, handle them one after the other, tell the layer, again.

A message is begun only once the layer knows. That of an async consumer is handed over to the event loop of the process.

Each is a small worker of its own, with its own lease. An error of the loop itself is logged and the thread begins anew,
with a new lease: a worker ends when it is told to, not before.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence

from django.db import connections

from chancelery.exceptions import LayerUnavailable
from chancelery.layers.base import ChannelLayer, Delivery
from chancelery.log import room
from chancelery.worker.coroutines import Coroutines
from chancelery.worker.dispatch import Dispatch, Outcome, Pending, run_deferred, try_deferred
from chancelery.worker.drain import Drain
from chancelery.worker.exchange import Exchange
from chancelery.worker.pace import TELL_SECONDS, Pace
from chancelery.worker.supervised import Supervised
from chancelery.worker.teller import Handed

_log = room("worker")
_OVERFLOW_SECONDS = 0.05


class Loop(Supervised):
    """
    One thread that runs consumers. on_ready is called in it, before its first message.

    *dispatch* and *coroutines* are shared by all threads of the worker.
    """

    def __init__(
        self,
        name: str,
        layer: ChannelLayer,
        channels: Sequence[str],
        drain: Drain,
        *,
        dispatch: Dispatch,
        coroutines: Coroutines,
        on_ready: Callable[[], object],
    ) -> None:
        super().__init__(name, drain)
        self.exchange: Exchange | None = None
        self.drained = False
        """Whether it has ended and everything that it began is done and told."""
        self._layer = layer
        self._channels = list(channels)
        # A busy channel must not starve the others: each fetch begins with another one.
        self._rotations = itertools.cycle([self._channels[n:] + self._channels[:n] for n in range(len(channels))])
        self._dispatch = dispatch
        self._coroutines = coroutines
        self._on_ready = on_ready

    def run(self) -> None:
        """Work until the worker drains, then let go of the database."""
        self._on_ready()
        try:
            super().run()
        finally:
            connections.close_all()

    def work(self) -> None:
        """Handle messages under one lease until the worker drains."""
        pace = Pace()
        exchange = Exchange(self._layer, self.drain, pace)
        self.exchange = exchange
        try:
            while not self.drain.begun:
                self._handle_batch(exchange, pace)
            self.drained = exchange.close()
        except LayerUnavailable as error:
            _log.error("%s ends without the layer: %s", self.name, error)
            exchange.abandon()
        except Exception:
            exchange.abandon()
            raise
        finally:
            self.exchange = None

    def _handle_batch(self, exchange: Exchange, pace: Pace) -> None:
        self._await_room(exchange)
        exchange.swap(next(self._rotations), pace.limit)
        if exchange.has_overflow and exchange.upcoming() is None:
            self.drain.pause(_OVERFLOW_SECONDS)
        while not self.drain.begun and (upcoming := exchange.upcoming()) is not None:
            waited = exchange.waiting_seconds()
            is_due = waited > 0 and waited + pace.expected(upcoming.channel) > TELL_SECONDS
            if is_due or not exchange.may_start(upcoming):
                exchange.tell()
            delivery = exchange.start()
            if delivery is not None:
                self._handle(delivery, exchange, pace)
        pace.adapt()

    def _await_room(self, exchange: Exchange) -> None:
        while not self._coroutines.await_room(_OVERFLOW_SECONDS):
            exchange.swap((), 0)

    def _handle(self, delivery: Delivery, exchange: Exchange, pace: Pace) -> None:
        started_at = time.monotonic()
        outcome = self._dispatch(delivery)
        if isinstance(outcome, Outcome) and not outcome.sends and not exchange.lost_current:
            outcome = try_deferred(outcome)  # the layer is told later, together with the next fetch
        pace.took(delivery.channel, time.monotonic() - started_at)
        if isinstance(outcome, Pending):
            self._await_room(exchange)  # what waits behind it meanwhile is given to other workers
            self._coroutines.start(outcome, Handed(delivery, exchange, exchange.hand_over()))
        else:
            self._finish(delivery, outcome, exchange)

    def _finish(self, delivery: Delivery, outcome: Outcome, exchange: Exchange) -> None:
        if outcome.dropped:
            exchange.tally.add(outcome.dropped)
        exchange.finish(delivery, outcome.sends, outcome.later)
        if outcome.deferred:
            exchange.tell()
            if not exchange.lost_current:
                run_deferred(outcome)
