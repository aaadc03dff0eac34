"""A call of the layer, made again until it is answered. Says nothing of what is done before it is repeated."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from chancelery.exceptions import LayerUnavailable
from chancelery.log import Burst, room
from chancelery.worker.drain import Drain

T = TypeVar("T")

FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 0.5

_outage = Burst(room("worker"), quiet_seconds=30)


def until_answered(call: Callable[[], T], drain: Drain) -> T:
    """Return what *call* returns. Raises: LayerUnavailable only when the worker is stopping and its time is over."""
    pause = FIRST_PAUSE_SECONDS
    while True:
        try:
            return call()
        except LayerUnavailable as error:
            if drain.over:
                raise
            _outage.say("outage", "%s. Workers try again until it is done.", error)
            drain.pause(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
