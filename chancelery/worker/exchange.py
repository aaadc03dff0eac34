"""
One worker thread's dealings with the layer: its lease, what it fetched and has not started, what is done and not told.

Finishing, fetching and telling what is begun share a call. When the layer does not answer, the same call is made again
until it does: the lease fences it, so that nothing is stored twice. The lock is for `relieve`, which another thread
calls; what has been handed over to coroutines is told by the teller, see `aloft`.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections import deque
from collections.abc import Sequence

from chancelery.exceptions import LayerUnavailable
from chancelery.layers.base import ChannelLayer, Delivery, Finished, Later, Send
from chancelery.worker import lost
from chancelery.worker.drain import Drain
from chancelery.worker.overflow import Overflow
from chancelery.worker.pace import Pace
from chancelery.worker.persistence import FIRST_PAUSE_SECONDS, until_answered
from chancelery.worker.tally import Tally

_SLOW_SECONDS = 0.03
_IDLE_SECONDS = 0.5
"""How long an idle thread waits before it looks whether it is to stop."""


class Exchange:
    """A lease and what is under it. When a reaper ends the lease, there is a new one, and what was under it is gone."""

    def __init__(self, layer: ChannelLayer, drain: Drain, pace: Pace) -> None:
        self._layer = layer
        self._drain = drain
        self._pace = pace
        self.lease = layer.open_lease()
        self.tally = Tally(layer)
        self._batch: deque[Delivery] = deque()
        self._begun = 0
        """The id of the last delivery of which the layer has confirmed that it counts as begun."""
        self._done: list[Finished] = []
        self._current: Delivery | None = None
        self._current_lease = ""
        self._aloft: dict[int, Delivery] = {}
        """What coroutines are at. Threads share it without a lock: each use is a single operation of a dict."""
        self._progress_at = 0.0
        self._oldest_done_at = 0.0
        self._overflow = Overflow(layer, self.tally)
        self._uncertain = False
        self._found_nothing = False
        self._lock = threading.Lock()

    def upcoming(self) -> Delivery | None:
        """Return the delivery that is next, and leave it there."""
        try:
            return self._batch[0]
        except IndexError:
            return None

    def may_start(self, delivery: Delivery) -> bool:
        """Tell whether the layer knows that *delivery*, the upcoming one, is begun."""
        return delivery.id <= self._begun

    def start(self) -> Delivery | None:
        """Take the next delivery of the batch to be handled; None when there is none that may be started."""
        with self._lock:
            upcoming = self.upcoming()
            if upcoming is None or not self.may_start(upcoming):
                return None
            self._current, self._current_lease = self._batch.popleft(), self.lease
            self._progress_at = time.monotonic()
            return self._current

    def finish(self, delivery: Delivery, sends: Sequence[Send], later: Later | None = None) -> None:
        """
        End the delivery that was started, for good or until *later*.

        It is told to the layer with the next exchange, and *sends* with it.
        """
        with self._lock:
            self._progress_at = time.monotonic()
            self._current = None
            if self.lost_current:
                self.tally.add("fenced", len(sends))
                lost.say_fenced([Finished(delivery, sends)])
                return
            if not self._done:
                self._oldest_done_at = self._progress_at
            self._done.append(Finished(delivery, self._overflow.passing(sends, delivery.trail), later))

    def hand_over(self) -> str:
        """Leave the delivery that was started to a coroutine; return the lease that it has to be told under."""
        with self._lock:
            if self._current is not None:
                self._aloft[self._current.id] = self._current
                self._current = None
            self._progress_at = time.monotonic()
            return self._current_lease

    def settle(self, delivery: Delivery) -> None:
        """Forget what was handed over: it has been told. Called by the teller."""
        self._aloft.pop(delivery.id, None)

    @property
    def lost_current(self) -> bool:
        """Whether the lease that the last delivery was started under has been ended since."""
        return self._current_lease != self.lease

    def waiting_seconds(self) -> float:
        """Return how long the oldest untold result has been waiting."""
        return time.monotonic() - self._oldest_done_at if self._done else 0.0

    @property
    def has_overflow(self) -> bool:
        """Whether sends wait for room and have to be tried again."""
        return len(self._overflow) > 0

    def swap(self, channels: Sequence[str], limit: int) -> None:
        """
        Tell what is done, and fetch up to *limit* messages, unless the worker is stopping.

        When there was nothing the last time and there is nothing to tell, waits for a message first.
        Raises: LayerUnavailable only when the worker is stopping and its time is over.
        """
        with self._lock:
            self._overflow.retry()
            self.tally.tell()
            self._persist(channels, 0 if self._overflow.too_much else limit)

    def tell(self) -> None:
        """Tell what is done, and begin those of the batch whose turn comes soon. Raises: as `swap`."""
        with self._lock:
            count = self._pace.fitting(delivery.channel for delivery in self._batch)
            last = next(itertools.islice(self._batch, count - 1, None), None)
            self._persist(begun=last.id if last is not None and last.id > self._begun else 0)

    def relieve(self) -> None:
        """
        Give back what waits behind a consumer that takes long, and tell what is done, for a thread that cannot itself.

        Called by another thread than the one whose exchange this is. Raises: LayerUnavailable.
        """
        if not self._is_stuck() or not self._lock.acquire(blocking=False):
            return
        try:
            if self._is_stuck():
                self._exchange()
                self._give_back()
        except LayerUnavailable:
            self._uncertain = True
            raise
        finally:
            self._lock.release()

    def close(self) -> bool:
        """
        Tell what is done, give back what was not started, wait for coroutines, end the lease.

        Returns whether they came to their end while there was time: if not, the lease stays, to run out.
        Raises: as `swap`.
        """
        with self._lock:
            self._persist()
            if self._aloft:
                until_answered(self._give_back, self._drain)
            while self._overflow and not self._drain.over:
                self._overflow.retry()
                self._drain.pause(FIRST_PAUSE_SECONDS)
            self._overflow.abandon()
            self.tally.tell()
        while self._aloft and not self._drain.over:
            self._drain.pause(FIRST_PAUSE_SECONDS)
        return self._end()

    def abandon(self) -> None:
        """End the lease after an error, as far as the layer lets us: what was not started goes back."""
        with self._lock:
            lost.say_untold(self._done)
            self.tally.add("unknown", sum(len(item.sends) for item in self._done))
            self._overflow.abandon()
            self.tally.tell()
        with contextlib.suppress(LayerUnavailable):  # then the lease runs out, and is reaped
            self._end()

    def _end(self) -> bool:
        with self._lock:
            if self._aloft:
                self._give_back()
                return False
            until_answered(lambda: self._layer.close_lease(self.lease, list(self._batch)), self._drain)
            return True

    def _is_stuck(self) -> bool:
        return bool(self._batch or self._done) and time.monotonic() - self._progress_at > _SLOW_SECONDS

    def _persist(self, channels: Sequence[str] = (), limit: int = 0, begun: int = 0) -> None:
        def call() -> None:
            try:
                self._exchange(channels, limit, begun)
            except LayerUnavailable:
                self._uncertain = True
                raise

        until_answered(call, self._drain)

    def _exchange(self, channels: Sequence[str] = (), limit: int = 0, begun: int = 0) -> None:
        if self._uncertain:
            self._layer.recover(self.lease, self._known())
            self._uncertain = False
        if self._drain.begun:
            limit = 0
        begin = self._pace.begin
        if limit and self._found_nothing and not self._done and not self._overflow:
            fetched = self._layer.fetch_when_ready(channels, limit, self.lease, _IDLE_SECONDS, begin=begin)
        else:
            fetched = self._layer.fetch(
                channels if limit else (), limit, self.lease, self._done, begin=begin, begun=begun
            )
        if not fetched.held:
            self._lose_lease()
            return
        if limit:
            self._found_nothing = not fetched.deliveries
        self._overflow.take(fetched.refused, self._done)
        self._done = []
        self._begun = max(self._begun, begun, *(delivery.id for delivery in fetched.deliveries[:begin]))
        if fetched.deliveries:
            self._batch.extend(fetched.deliveries)
            self._progress_at = time.monotonic()

    def _lose_lease(self) -> None:
        """Begin anew: what was not started is others' now, and what was done has been dropped and counted."""
        lost.say_fenced(self._done)
        self._done = []
        self._batch.clear()
        self._begun = 0
        self.lease = self._layer.open_lease()

    def _give_back(self) -> None:
        # Even if this fails they may be back on their channels: they are not ours to start any more.
        self._batch.clear()
        self._layer.recover(self.lease, self._known())

    def _known(self) -> list[Delivery]:
        current = [self._current] if self._current is not None else []
        return [*(item.delivery for item in self._done), *current, *self._aloft.copy().values(), *self._batch]
