"""What is said of messages that were handled, but whose outcome could not be told to the layer."""

from __future__ import annotations

from collections.abc import Sequence

from chancelery import trail
from chancelery.layers.base import Finished
from chancelery.log import Burst, room

_log = room("worker")
_fenced = Burst(_log)


def say_fenced(finished: Sequence[Finished]) -> None:
    """Log that a reaper had ended the lease of *finished*, so that what they sent was dropped."""
    if finished:
        delivery = finished[0].delivery
        _fenced.say(
            delivery.channel,
            "this process was silent for longer than a lease lasts, and taken for dead: what consumers sent or "
            'deferred for %d messages is dropped, among them one of channel "%s", which came by: %s',
            len(finished),
            delivery.channel,
            trail.describe(delivery.trail),
        )


def say_untold(finished: Sequence[Finished]) -> None:
    """Log that the layer could not be told of *finished*."""
    if finished:
        _log.error("what consumers sent or deferred for %d messages is lost: no layer to tell", len(finished))
