"""
A thread that tells the layer what coroutines have done, under the leases of the threads that fetched for them.

Those threads may be busy, or wait for messages, when a coroutine ends. When many end, those of `TELL_SECONDS` share a
call.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from chancelery.exceptions import LayerUnavailable
from chancelery.layers.base import ChannelLayer, Delivery, Fetched, Finished
from chancelery.log import room
from chancelery.worker import lost
from chancelery.worker.afterwards import Afterwards
from chancelery.worker.dispatch import Outcome
from chancelery.worker.drain import Drain
from chancelery.worker.exchange import Exchange
from chancelery.worker.overflow import Overflow
from chancelery.worker.pace import TELL_SECONDS
from chancelery.worker.persistence import until_answered
from chancelery.worker.supervised import Supervised
from chancelery.worker.tally import Tally

_log = room("worker")
_RETRY_SECONDS = 0.05


class Handed(NamedTuple):
    """A message that was handed over to a coroutine."""

    delivery: Delivery
    exchange: Exchange
    lease: str
    """The one that it was fetched under; its exchange may have another by now."""


class Teller(Supervised):
    """on_told: called with the number of messages, when they have been told, or cannot be."""

    def __init__(self, layer: ChannelLayer, drain: Drain, on_told: Callable[[int], object]) -> None:
        super().__init__("worker teller", drain)
        self.drained = True
        """Whether everything could be told, so far."""
        self._layer = layer
        self._on_told = on_told
        self._ended: deque[tuple[Handed, Outcome]] = deque()
        self._news = threading.Event()
        self._closing = False
        self._tally = Tally(layer)
        self._overflow = Overflow(layer, self._tally)
        self._afterwards = Afterwards()

    def tell(self, handed: Handed, outcome: Outcome) -> None:
        """Have the layer told that a coroutine has ended. May be called by any thread."""
        self._ended.append((handed, outcome))
        self._news.set()

    def close(self) -> None:
        """Have the thread end when everything is told, and deferred calls were made, or the time is over."""
        self._closing = True
        self._news.set()

    @property
    def wanted(self) -> bool:
        """Whether there is something to tell, or may be."""
        return not self._closing or bool(self._ended or self._overflow)

    def work(self) -> None:
        """Tell as long as it is wanted."""
        while self.wanted and not (self._closing and self.drain.over and not self._ended):
            self._news.wait(_RETRY_SECONDS if self._overflow else None)
            self._news.clear()
            told = self._tell_all()
            self._overflow.retry()
            self._tally.tell()
            if told > 1:  # there is much to do: let some come together
                time.sleep(TELL_SECONDS)
        self._overflow.abandon()
        self._tally.tell()
        self._afterwards.end()
        while not self._afterwards.ended and not self.drain.over:
            self.drain.pause(_RETRY_SECONDS)
        self.drained = self.drained and self._afterwards.ended

    def _tell_all(self) -> int:
        """Tell what has ended; return how many."""
        by_lease: dict[str, list[tuple[Handed, Outcome]]] = {}
        while self._ended:
            handed, outcome = self._ended.popleft()
            by_lease.setdefault(handed.lease, []).append((handed, outcome))
        for lease, ended in by_lease.items():
            try:
                self._tell(lease, ended)
            finally:
                for handed, _ in ended:
                    handed.exchange.settle(handed.delivery)
                self._on_told(len(ended))
        return sum(map(len, by_lease.values()))

    def _tell(self, lease: str, ended: Sequence[tuple[Handed, Outcome]]) -> None:
        finished = [
            Finished(handed.delivery, self._overflow.passing(outcome.sends, handed.delivery.trail), outcome.later)
            for handed, outcome in ended
        ]
        try:
            fetched = self._finish(lease, finished)
        except LayerUnavailable:
            self.drained = False
            lost.say_untold(finished)
            return
        except Exception:  # noqa: BLE001 - a lane that is not released would stand still for good
            _log.exception("what consumers sent for %d messages cannot be sent, and is dropped", len(finished))
            self._tally.add("unknown", sum(len(item.sends) + (item.later is not None) for item in finished))
            fetched = self._finish(lease, [Finished(item.delivery) for item in finished])
        if not fetched.held:
            lost.say_fenced(finished)
            return
        self._overflow.take(fetched.refused, finished)
        for _, outcome in ended:
            if outcome.dropped:
                self._tally.add(outcome.dropped)
            if outcome.deferred:
                self._afterwards.call(outcome)

    def _finish(self, lease: str, finished: Sequence[Finished]) -> Fetched:
        # Nothing is fetched, so that there is nothing to recover when an answer is lost.
        return until_answered(lambda: self._layer.fetch((), 0, lease, finished), self.drain)
