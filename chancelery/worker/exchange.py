"""
One worker thread's dealings with the layer: its lease, what it fetched and has not started, what is done and not told.

Finishing and fetching share a call. When the layer does not answer, the same call is made again until it does: the
lease fences it, so that nothing is stored twice. The lock is for `relieve`, which another thread calls.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeVar

from chancelery.exceptions import LayerUnavailable
from chancelery.layers.base import ChannelLayer, Delivery, Finished, Send
from chancelery.log import Burst, room
from chancelery.worker.drain import Drain
from chancelery.worker.overflow import Overflow

T = TypeVar("T")

_log = room("worker")
_outage = Burst(_log, quiet_seconds=30)
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 1.0
_SLOW_SECONDS = 0.03
_IDLE_SECONDS = 0.5
"""How long an idle thread waits before it looks whether it is to stop."""


class Exchange:
    """A lease and what is under it."""

    def __init__(self, layer: ChannelLayer, drain: Drain) -> None:
        self._layer = layer
        self._drain = drain
        self.lease = layer.open_lease()
        self._batch: deque[Delivery] = deque()
        self._done: list[Finished] = []
        self._current: Delivery | None = None
        self._progress_at = 0.0
        self._oldest_done_at = 0.0
        self._overflow = Overflow(layer)
        self._uncertain = False
        self._found_nothing = False
        self._lock = threading.Lock()

    def upcoming(self) -> Delivery | None:
        """Return the delivery that is next, and leave it there."""
        with self._lock:
            return self._batch[0] if self._batch else None

    def start(self) -> Delivery | None:
        """Take the next delivery of the batch to be handled."""
        with self._lock:
            self._current = self._batch.popleft() if self._batch else None
            self._progress_at = time.monotonic()
            return self._current

    def finish(self, delivery: Delivery, sends: Sequence[Send]) -> None:
        """End the delivery that was started; it is told to the layer with the next exchange, and *sends* with it."""
        with self._lock:
            self._progress_at = time.monotonic()
            if not self._done:
                self._oldest_done_at = self._progress_at
            self._done.append(Finished(delivery, self._overflow.passing(sends, delivery.trail)))
            self._current = None

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
            self._persist(lambda: self._exchange(channels, 0 if self._overflow.too_much else limit))

    def tell(self) -> None:
        """Tell what is done. Raises: as `swap`."""
        with self._lock:
            self._persist(lambda: self._exchange((), 0))

    def relieve(self) -> None:
        """
        Give back what waits behind a consumer that takes long, and tell what is done, for a thread that cannot itself.

        Called by another thread than the one whose exchange this is. Raises: LayerUnavailable.
        """
        if not self._is_stuck() or not self._lock.acquire(blocking=False):
            return
        try:
            if self._is_stuck():
                self._exchange((), 0)
                self._give_back()
        except LayerUnavailable:
            self._uncertain = True
            raise
        finally:
            self._lock.release()

    def close(self) -> None:
        """Tell what is done, give back what was not started, end the lease. Raises: as `swap`."""
        with self._lock:
            self._persist(lambda: self._exchange((), 0))
            while self._overflow and not self._drain.over:
                self._overflow.retry()
                self._drain.pause(_FIRST_PAUSE_SECONDS)
            self._overflow.abandon()
            self._persist(lambda: self._layer.close_lease(self.lease, list(self._batch)))

    def abandon(self) -> None:
        """End the lease after an error, as far as the layer lets us: what was not started goes back."""
        with self._lock:
            if self._done:
                _log.error("what consumers sent or deferred for %d messages is lost: no layer to tell", len(self._done))
            self._overflow.abandon()
            with contextlib.suppress(LayerUnavailable):  # then the lease runs out, and is reaped
                self._layer.close_lease(self.lease, list(self._batch))

    def _is_stuck(self) -> bool:
        return bool(self._batch or self._done) and time.monotonic() - self._progress_at > _SLOW_SECONDS

    def _exchange(self, channels: Sequence[str], limit: int) -> None:
        if self._uncertain:
            self._layer.recover(self.lease, self._known())
            self._uncertain = False
        if self._drain.begun:
            channels, limit = (), 0
        if limit and self._found_nothing and not self._done and not self._overflow:
            fetched = self._layer.fetch_when_ready(channels, limit, self.lease, _IDLE_SECONDS)
        else:
            fetched = self._layer.fetch(channels, limit, self.lease, self._done)
        self._found_nothing = not fetched.deliveries
        self._overflow.take(fetched.refused, self._done)
        self._done = []
        self._batch.extend(fetched.deliveries)
        self._progress_at = time.monotonic()

    def _give_back(self) -> None:
        # Even if this fails they may be back on their channels: they are not ours to start any more.
        self._batch.clear()
        self._layer.recover(self.lease, self._known())

    def _known(self) -> list[Delivery]:
        current = [self._current] if self._current is not None else []
        return [*(item.delivery for item in self._done), *current, *self._batch]

    def _persist(self, call: Callable[[], T]) -> T:
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                answer = call()
            except LayerUnavailable as error:
                self._uncertain = True
                if self._drain.over:
                    raise
                _outage.say("outage", "%s. Workers try again until it does.", error)
                self._drain.pause(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            else:
                return answer
