"""A channel layer and routing behind an alias, for the tests of whatever uses one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from chancelery.layers.base import ChannelLayer
from chancelery.layers.memory import InMemoryChannelLayer
from chancelery.registry import DEFAULT_CHANNEL_LAYER, ChannelLayerWrapper, channel_layers


@contextlib.contextmanager
def routed(
    routing: Any = (), *, layer: ChannelLayer | None = None, alias: str = DEFAULT_CHANNEL_LAYER
) -> Iterator[ChannelLayerWrapper]:
    """Put *layer* (a new one in memory by default) with *routing* behind *alias* meanwhile."""
    wrapper = ChannelLayerWrapper(layer or InMemoryChannelLayer(), alias, routing)
    previous = channel_layers.set(alias, wrapper)
    try:
        yield wrapper
    finally:
        channel_layers.set(alias, previous)


def received(layer: ChannelLayer, *channels: str) -> list[dict[str, Any]]:
    """Return the contents of everything that waits on *channels*, oldest first."""
    found = []
    while True:
        channel, content = layer.receive(list(channels))
        if channel is None:
            return found
        found.append(content)
