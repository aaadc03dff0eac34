"""What the parts of the contract share: a clock that moves when told, fixtures, and short ways to look at a layer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

import pytest

from chancelery.layers.base import ChannelLayer, Delivery

Result = TypeVar("Result")

LEASE_SECONDS = 1
"""Short, since a server that was just started does not reap before it has run for as long as a lease lasts."""
ATTEMPTS = 3
SURE = "sure.work"
"""A channel of which the `layer` fixture hands out messages again, until they were begun `ATTEMPTS` times."""
AT_LEAST_ONCE = {"sure.*": ATTEMPTS}


class SteppedClock:
    """Seconds since the epoch that pass only when told."""

    def __init__(self) -> None:
        self._now_ms = 1_800_000_000_000

    def __call__(self) -> float:
        return self._now_ms / 1000

    def advance(self, seconds: float) -> None:
        """Let *seconds* pass."""
        self._now_ms += round(seconds * 1000)


class MakeLayer(Protocol):
    """
    Makes a layer that is empty and shares nothing with those made before.

    It must follow the `clock` fixture, unless another `clock` is among the limits; None is the server's own.
    """

    def __call__(self, **limits: object) -> ChannelLayer: ...


class LayerFixtures:
    """A subclass provides `make_layer`."""

    @pytest.fixture
    def clock(self) -> SteppedClock:
        return SteppedClock()

    @pytest.fixture
    def make_layer(self, clock: SteppedClock) -> MakeLayer:
        raise NotImplementedError("return a function (**limits) -> layer that passes on limits, and clock=clock first")

    @pytest.fixture
    def layer(self, make_layer: MakeLayer) -> ChannelLayer:
        return make_layer(lease_seconds=LEASE_SECONDS, at_least_once=AT_LEAST_ONCE)


def drain(layer: ChannelLayer, *channels: str) -> list[tuple[str, object]]:
    """Receive everything on *channels*: pairs of channel and content."""
    found = []
    while True:
        channel, content = layer.receive(list(channels))
        if channel is None:
            return found
        found.append((channel, content))


def fetch(layer: ChannelLayer, lease: str, *channels: str, limit: int = 100) -> list[Delivery]:
    """Fetch what there is on *channels*."""
    return layer.fetch(list(channels), limit, lease).deliveries


def numbered(deliveries: list[Delivery]) -> list[object]:
    """Return the `n` of each delivery's content."""
    return [delivery.content["n"] for delivery in deliveries]


def dropped(layer: ChannelLayer, reason: str) -> int:
    """Return how many messages were dropped for *reason*."""
    return layer.global_statistics().get(f"dropped:{reason}", 0)


def run(layer: ChannelLayer, scenario: Callable[[], Awaitable[Result]]) -> Result:
    """Run *scenario* in an event loop of its own, and close the layer's part in it."""

    async def whole() -> Result:
        try:
            return await scenario()
        finally:
            await layer.aclose()

    return asyncio.run(whole())
