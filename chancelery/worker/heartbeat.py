"""
One thread per worker process that keeps the leases of the others, whatever their consumers do.

It also ends the leases of workers that died, and takes from a thread what waits behind a slow consumer.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from chancelery.exceptions import LayerUnavailable
from chancelery.layers.base import ChannelLayer
from chancelery.log import Burst, room
from chancelery.worker.coroutines import Coroutines
from chancelery.worker.drain import Drain
from chancelery.worker.loop import Loop
from chancelery.worker.steadiness import Steadiness
from chancelery.worker.supervised import Supervised

_TICK_SECONDS = 0.05
_OUTAGE_SECONDS = 0.5
_LONGEST_PERIOD_SECONDS = 1.0


class Heartbeat(Supervised):
    """Renews, reaps and relieves until the last of *loops* has ended; looks after the event loop of *coroutines*."""

    def __init__(self, layer: ChannelLayer, loops: Sequence[Loop], coroutines: Coroutines, drain: Drain) -> None:
        super().__init__("worker heartbeat", drain)
        self._layer = layer
        self._loops = loops
        self._coroutines = coroutines
        self._burst = Burst(room("worker"))
        self._lease_seconds = layer.limits.lease_seconds
        self._beat_at = 0.0
        self._steadiness = Steadiness(self._lease_seconds)

    @property
    def wanted(self) -> bool:
        """Whether there is still a thread to keep a lease for."""
        return not self.drain.over and any(loop.thread.is_alive() for loop in self._loops)

    def work(self) -> None:
        """Beat as long as it is wanted."""
        while self.wanted:
            try:
                self._coroutines.look()
                self._beat(time.monotonic())
                self.drain.pause(_TICK_SECONDS)
            except LayerUnavailable as error:
                self._burst.say("", "leases are not renewed: %s", error)
                self.drain.pause(_OUTAGE_SECONDS)

    def _beat(self, now: float) -> None:
        exchanges = [exchange for loop in self._loops if (exchange := loop.exchange) is not None]
        for exchange in exchanges:
            exchange.relieve()
        if now >= self._beat_at:
            self._layer.renew([exchange.lease for exchange in exchanges])
            if self._steadiness.has_lasted():
                self._layer.reap()
                self._reap_processes()
            self._beat_at = now + min(_LONGEST_PERIOD_SECONDS, self._lease_seconds / 4)

    def _reap_processes(self) -> None:
        while (reaped := self._layer.reap_process()) is not None:
            self._burst.say(
                reaped.process,
                "the gateway %s has died: the disconnect messages of %d connections are sent in its place",
                reaped.process,
                reaped.wills,
            )
