"""One route: the messages of some channels, filtered, to one consumer. And what else may stand in its place."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Protocol, TypeAlias, runtime_checkable

from chancelery.routing import consumers
from chancelery.routing.consumers import Consumer
from chancelery.routing.filters import compiled, matched

Match: TypeAlias = "tuple[Consumer, dict[str, Any]]"


class _Named(Protocol):
    @property
    def name(self) -> str: ...


class Matchable(Protocol):
    """What a routing looks at in a message."""

    @property
    def channel(self) -> _Named:
        """Where the message was received."""

    @property
    def content(self) -> dict[str, Any]:
        """What the message says."""


@runtime_checkable
class Routable(Protocol):
    """What may stand in a routing."""

    def match(self, message: Any) -> Match | None:
        """Return the consumer for *message* with its keyword arguments, or None."""

    def channel_names(self) -> Iterable[str]:
        """Return the channels whose messages may match."""


class Route:
    """
    Messages of some channels, filtered, to one consumer.

    filters: content key -> regex that must match at the start of its value (text, bytes or a number); named groups
    become keyword arguments of the consumer.
    """

    def __init__(
        self, channels: str | bytes | Iterable[str], consumer: Consumer | str, **filters: str | bytes | re.Pattern[str]
    ) -> None:
        self.channels = _channels(channels)
        self.consumer = consumers.resolved(consumer)
        self._filters = compiled(filters)

    def match(self, message: Matchable) -> Match | None:
        """Return the consumer for *message* with its keyword arguments, or None."""
        if message.channel.name not in self.channels:
            return None
        kwargs: dict[str, Any] = {}
        for key, pattern in self._filters:
            found = matched(pattern, message.content.get(key))
            if found is None:
                return None
            kwargs.update(found.groupdict())
        return self.consumer, kwargs

    def channel_names(self) -> frozenset[str]:
        """Return the channels whose messages may match."""
        return self.channels

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {sorted(self.channels)} -> {self.consumer!r}>"


class RouteClass(Route):
    """Every channel that a consumer class names in `channel_names()`, filtered, to that class."""

    def __init__(self, consumer: Consumer | str, **filters: str | bytes | re.Pattern[str]) -> None:
        found: Any = consumers.resolved(consumer)
        if not callable(getattr(found, "channel_names", None)):
            raise ValueError(  # noqa: TRY004 - Channels 1's error
                f"route_class() takes a consumer class that has channel_names(), such as a BaseConsumer, not {found!r}"
            )
        super().__init__(found.channel_names(), found, **filters)


def _channels(channels: str | bytes | Iterable[str]) -> frozenset[str]:
    if isinstance(channels, str | bytes):
        channels = [channels.decode("ascii") if isinstance(channels, bytes) else channels]
    found = frozenset(channels)
    if found and all(isinstance(name, str) for name in found):
        return found
    raise ValueError(f"a route takes the name of a channel, or a list of names, not {channels!r}")
