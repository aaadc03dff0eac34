"""
How somebody who waits for a result hears of it, even when it came while the subscription was on its way.

Celery subscribes, reads what is stored, and then waits, on two connections and without awaiting the subscription's
answer: a result that is stored and told between the two was never heard of (seen on a machine at its limit). Source:
celery.backends.asynchronous and celery.backends.redis of Celery 5.7.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from celery import states
from celery.backends.redis import ResultConsumer

LOOK_SECONDS = 1.0
"""How often what is stored is read again, at most."""


class LookingConsumer(ResultConsumer):  # type: ignore[misc]
    """Celery's, which also looks from time to time."""

    def _wait_for_pending(
        self,
        result: Any,
        timeout: float | None = None,
        on_interval: Callable[[], object] | None = None,
        on_message: Callable[[Any], object] | None = None,
        **kwargs: Any,
    ) -> Iterator[None]:
        looked = time.monotonic()

        def look() -> None:
            nonlocal looked
            if time.monotonic() - looked >= LOOK_SECONDS:
                self._take_what_is_ready(result)
                looked = time.monotonic()
            if on_interval is not None:
                on_interval()

        waits: Iterator[None] = super()._wait_for_pending(result, timeout, look, on_message, **kwargs)
        return waits

    def _take_what_is_ready(self, result: Any) -> None:
        for meta in result._iter_meta():  # noqa: SLF001 - as Celery's own does before it waits
            if meta is not None and meta["status"] in states.READY_STATES:
                self.on_state_change(meta, None)
