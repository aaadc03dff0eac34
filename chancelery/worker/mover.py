"""
One thread per worker process that puts messages onto their channels when their time has come.

Those of all workers share the work; each message is moved once, by whoever is there.
"""

from __future__ import annotations

from chancelery.exceptions import LayerUnavailable
from chancelery.layers.base import ChannelLayer
from chancelery.log import Burst, room
from chancelery.worker.drain import Drain
from chancelery.worker.supervised import Supervised

_IDLE_SECONDS = 0.5
"""How long it waits for something to become due before it looks whether it is to stop."""
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 1.0


class Mover(Supervised):
    """Moves what is due until the worker drains; what becomes due afterwards is left to other workers."""

    def __init__(self, layer: ChannelLayer, drain: Drain) -> None:
        super().__init__("worker mover", drain)
        self._layer = layer
        self._burst = Burst(room("worker"), quiet_seconds=30)

    def work(self) -> None:
        """Move as long as it is wanted; while the layer does not answer, less often each time."""
        pause = _FIRST_PAUSE_SECONDS
        while self.wanted:
            try:
                self._layer.move_due(_IDLE_SECONDS)
                pause = _FIRST_PAUSE_SECONDS
            except LayerUnavailable as error:
                self._burst.say("", "messages that are due wait on: %s", error)
                self.drain.pause(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
