"""
What becomes of a message whose consumer asks for it to be handled again later.

Counts how often that was in the message itself, under `__retries__`, and gives up after so many times.
"""

from __future__ import annotations

from chancelery import trail
from chancelery.exceptions import ConsumeLater
from chancelery.layers.base import ChannelLayer, Delivery, Later
from chancelery.log import room
from chancelery.moments import span_ms
from chancelery.retries import RetryLater, pause_before, retries_of
from chancelery.types import RETRIES

DEFAULT_RETRIES = 10

_log = room("worker")


class Postponing:
    """Allows *retries* repetitions of each message, but for those that `retry` counts by itself."""

    def __init__(self, layer: ChannelLayer, retries: int) -> None:
        if type(retries) is not int or retries < 0:
            raise ValueError(f"message_retries is a whole number from 0, not {retries!r}")
        self._layer = layer
        self._retries = retries

    def is_last(self, delivery: Delivery) -> bool:
        """Tell whether *delivery* cannot be postponed any more."""
        return retries_of(delivery.content) >= self._retries

    def later(self, delivery: Delivery, asked: ConsumeLater, sender: str) -> Later | None:
        """
        Return how *delivery* is handed out again as *asked*, or None when that was too often, which is logged.

        Raises: TypeError, ValueError for a delay that makes no sense; MessageTooLarge when the count has no room.
        """
        repetition = retries_of(delivery.content) + 1
        if repetition > self._retries and not isinstance(asked, RetryLater):
            self._report(delivery, sender)
            return None
        delay = pause_before(repetition) if asked.delay is None else asked.delay
        body = self._layer.pack({**delivery.content, RETRIES: repetition}, delivery.trail)
        return Later(span_ms("delay", delay), body)

    def _report(self, delivery: Delivery, sender: str) -> None:
        _log.error(
            'dropped a message of channel "%s": the consumer %s has asked %d times for it to be handled later, and '
            "message_retries allows no more; it came by: %s",
            delivery.channel,
            sender,
            self._retries + 1,
            trail.describe(delivery.trail),
        )
