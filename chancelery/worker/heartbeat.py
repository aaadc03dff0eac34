"""
One thread per worker process that keeps the leases of the others, whatever their consumers do.

It also ends the leases of workers that died, and takes from a thread what waits behind a slow consumer.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from chancelery import trail
from chancelery.exceptions import LayerUnavailable
from chancelery.layers.base import ChannelLayer
from chancelery.log import Burst, room
from chancelery.worker.drain import Drain
from chancelery.worker.loop import Loop
from chancelery.worker.supervised import Supervised

_TICK_SECONDS = 0.05
_OUTAGE_SECONDS = 0.5
_LONGEST_PERIOD_SECONDS = 1.0


class Heartbeat(Supervised):
    """Renews, reaps and relieves until the last of *loops* has ended."""

    def __init__(self, name: str, layer: ChannelLayer, loops: Sequence[Loop], drain: Drain) -> None:
        super().__init__(name, drain)
        self._layer = layer
        self._loops = loops
        self._burst = Burst(room("worker"))
        self._lease_seconds = layer.limits.lease_seconds
        self._beat_at = 0.0
        self._heard_at = float("-inf")
        self._steady_since = 0.0

    @property
    def wanted(self) -> bool:
        """Whether there is still a thread to keep a lease for."""
        return not self.drain.over and any(loop.thread.is_alive() for loop in self._loops)

    def work(self) -> None:
        """Beat as long as it is wanted."""
        while self.wanted:
            try:
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
            if self._is_steady(now):
                self._reap()
                self._reap_processes()
            self._beat_at = now + min(_LONGEST_PERIOD_SECONDS, self._lease_seconds / 4)

    def _is_steady(self, now: float) -> bool:
        """
        Tell whether the layer has answered without a gap for as long as a lease lasts.

        After an outage nobody could renew anything: it is not a sign of death before everybody had the time to.
        """
        if now - self._heard_at > self._lease_seconds / 2:
            self._steady_since = now
        self._heard_at = now
        return now - self._steady_since >= self._lease_seconds

    def _reap_processes(self) -> None:
        while (reaped := self._layer.reap_process()) is not None:
            self._burst.say(
                reaped.process,
                "the gateway %s has died: the disconnect messages of %d connections are sent in its place",
                reaped.process,
                reaped.wills,
            )

    def _reap(self) -> None:
        for channel, came_by in self._layer.reap():
            self._burst.say(
                channel,
                'a message of channel "%s" was dropped: its worker died with it; it came by: %s',
                channel,
                trail.describe(came_by),
            )
