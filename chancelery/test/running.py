"""
Has one message handled as a worker does, by the worker's own dispatch, and tells what its consumer returned or raised.

Fetches it under a lease and tells the layer when it is done, so that lanes, delays and attempts are as in production.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any, NamedTuple

from asgiref.sync import async_to_sync, sync_to_async

from chancelery import trail
from chancelery.layers.base import Delivery, Finished, Refusal
from chancelery.registry import ChannelLayerWrapper
from chancelery.routing import Consumer, Match, Router, is_async
from chancelery.test import commits, layers
from chancelery.worker.dispatch import Dispatch, Outcome, Pending, run_deferred


class Handled(NamedTuple):
    """What became of a message."""

    message: Delivery
    returned: Any
    """By its consumer."""
    dropped: str
    """Why nobody handled it, as a reason of the layer's counters."""
    failure: BaseException | None
    """What its consumer raised, unless that says what shall happen with the message; or why its sends found no room."""


def handle_next(wrapper: ChannelLayerWrapper, channel: str, *, strictly: bool) -> Handled | None:
    """
    Have the next message of *channel* handled; None when there is none.

    strictly: whether what is left to be done after the consumer's return raises here, or is logged as by a worker.
    """
    layer = wrapper.layer
    layers.settle(layer)
    lease = layer.open_lease()
    deliveries = layer.fetch([channel], 1, lease).deliveries
    try:
        return _handle(wrapper, deliveries[0], lease, strictly=strictly) if deliveries else None
    finally:
        layer.close_lease(lease)


def _handle(wrapper: ChannelLayerWrapper, delivery: Delivery, lease: str, *, strictly: bool) -> Handled:
    watch = _Watch(wrapper)
    outcome = watch(delivery)
    if isinstance(outcome, Pending):
        outcome = async_to_sync(outcome.run)()
    refused = wrapper.layer.finish([Finished(delivery, outcome.sends, outcome.later)], lease)
    if outcome.dropped:
        wrapper.layer.tally({outcome.dropped: 1})
    _run_deferred(outcome, strictly=strictly)
    return Handled(delivery, watch.returned, outcome.dropped, _failure(outcome, refused))


def _failure(outcome: Outcome, refused: list[Refusal]) -> BaseException | None:
    return outcome.failure or next((refusal.error for refusal in refused), None)


def _run_deferred(outcome: Outcome, *, strictly: bool) -> None:
    if not strictly:
        run_deferred(outcome)
        return
    for call in outcome.deferred:
        with trail.following(outcome.trail, outcome.sender):
            call()


class _Watch(Dispatch):
    """A worker's dispatch that keeps what the consumer returns, and leaves the test's database connections alone."""

    def __init__(self, wrapper: ChannelLayerWrapper) -> None:
        wrapper.router.check_default()
        super().__init__(wrapper, care=_LeftAlone())
        self.returned: Any = None
        self._router: Any = _Watched(wrapper.router, self._keep)

    def _keep(self, returned: Any) -> None:
        self.returned = returned


class _LeftAlone:
    """See `chancelery.worker.databases.Care`."""

    def looked_after(self) -> AbstractContextManager[None]:
        return contextlib.nullcontext()

    def closed_behind(self) -> AbstractAsyncContextManager[None]:
        return contextlib.nullcontext()


class _Watched:
    """A router whose consumers show what they return, after what they left for the commit was run."""

    def __init__(self, router: Router, keep: Callable[[Any], None]) -> None:
        self._router = router
        self._keep = keep

    def match(self, message: Any) -> Match | None:
        found = self._router.match(message)
        return None if found is None else (self._watched(found[0]), found[1])

    def _watched(self, consumer: Consumer) -> Consumer:
        named: Any = consumer if hasattr(consumer, "__qualname__") else type(consumer)

        def called(message: Any, **kwargs: Any) -> object:
            returned = consumer(message, **kwargs)
            self._keep(returned)
            commits.run_due()
            return returned

        async def awaited(message: Any, **kwargs: Any) -> None:
            self._keep(await consumer(message, **kwargs))  # type: ignore[misc] # it is async
            await sync_to_async(commits.run_due)()

        return functools.update_wrapper(awaited if is_async(consumer) else called, named, updated=())
