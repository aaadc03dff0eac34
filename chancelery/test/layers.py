"""Channel layers that a test has for itself, and what waits on them."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import fields
from typing import Any
from weakref import WeakKeyDictionary

from chancelery import names
from chancelery.layers.base import ChannelLayer, Limits
from chancelery.layers.memory import InMemoryChannelLayer
from chancelery.layers.redis import RedisChannelLayer
from chancelery.layers.values import Clock
from chancelery.message import Message
from chancelery.registry import ChannelLayerWrapper, channel_layers
from chancelery.test import commits
from chancelery.types import Content

_KEPT = {field.name for field in fields(Limits)} | {"channel_capacity", "at_least_once"}
_others_mail: WeakKeyDictionary[ChannelLayer, dict[str, deque[Content]]] = WeakKeyDictionary()
"""What came for one channel of a process while that of another was looked for."""


@contextlib.contextmanager
def isolated(aliases: Iterable[str], *, clock: Clock | None = None, configured: bool = False) -> Iterator[None]:
    """
    Have a new and empty layer behind each of *aliases* meanwhile, with the routing that is there.

    configured: made as its TEST_CONFIG says, if it has one. In memory, it has the capacities and times of its CONFIG.
    Raises: InvalidChannelLayerError.
    """
    with contextlib.ExitStack() as stack:
        for alias in aliases:
            stack.enter_context(_replaced(alias, clock, configured))
        yield


@contextlib.contextmanager
def on_redis(aliases: Iterable[str], url: str, prefix: str, *, clock: Clock | None = None) -> Iterator[None]:
    """As `isolated`, but on the Redis at *url*, where Celery's results can be: all keys begin with *prefix*."""
    with contextlib.ExitStack() as stack:
        for alias in aliases:
            made = RedisChannelLayer(hosts=[url], prefix=f"{prefix}{alias}:", clock=clock, **_kept(alias))
            stack.enter_context(_behind(alias, ChannelLayerWrapper(made, alias, channel_layers[alias].routing)))
        yield


def next_message(wrapper: ChannelLayerWrapper, channel: str) -> Message | None:
    """Take the next message off *channel*, which may be local to a process; None when there is none."""
    settle(wrapper.layer)
    content = _next_mail(wrapper.layer, channel) if "!" in channel else wrapper.layer.receive([channel])[1]
    return None if content is None else Message(content, channel, wrapper)


def settle(layer: ChannelLayer) -> None:
    """Have everything on its channel that is due: by the clock, and because what it waited for is committed."""
    commits.run_due()
    layer.move_due(0)


def waiting(layer: ChannelLayer) -> str:
    """Tell in a few words what waits on *layer*, for whoever has looked in vain."""
    seen = layer.overview()
    found = [f"{channel.pending} on {channel.name}" for channel in seen.channels if channel.pending]
    if seen.delayed:
        found.append(f"{seen.delayed} for its time, which the clock has not reached")
    if seen.busy_lanes:
        found.append("and perhaps more behind earlier messages of the same connection, which come first")
    return f"Waiting are: {', '.join(found)}" if found else "Nothing waits anywhere"


@contextlib.contextmanager
def _replaced(alias: str, clock: Clock | None, configured: bool) -> Iterator[None]:  # noqa: FBT001 - as `isolated`
    routing = channel_layers[alias].routing
    if configured and "TEST_CONFIG" in channel_layers.configs.get(alias, {}):
        wrapper = channel_layers.make_test_backend(alias)
        wrapper.routing, wrapper.layer.clock = routing, clock
    else:
        wrapper = ChannelLayerWrapper(InMemoryChannelLayer(**_kept(alias), clock=clock), alias, routing)
    with _behind(alias, wrapper):
        yield


@contextlib.contextmanager
def _behind(alias: str, wrapper: ChannelLayerWrapper) -> Iterator[None]:
    previous = channel_layers.set(alias, wrapper)
    try:
        yield
    finally:
        channel_layers.set(alias, previous)
        wrapper.layer.flush()
        wrapper.layer.close()


def _kept(alias: str) -> dict[str, Any]:
    """Return the capacities and times of the alias's settings."""
    config = channel_layers.configs.get(alias, {}).get("CONFIG", {})
    return {key: value for key, value in config.items() if key in _KEPT}


def _next_mail(layer: ChannelLayer, channel: str) -> Content | None:
    kept = _others_mail.setdefault(layer, {})
    while not kept.get(channel):
        found, content = layer.receive([names.process_of(channel)])
        if found is None or content is None:
            return None
        kept.setdefault(found, deque()).append(content)
    return kept[channel].popleft()
