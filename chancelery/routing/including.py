"""A routing within a routing, for messages of which some keys begin alike."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from chancelery.routing.filters import compiled, matched
from chancelery.routing.resolving import first_match, indexed, resolved
from chancelery.routing.routes import Match, Matchable


class Include:
    """
    A routing whose routes see some keys without the prefix that was matched here.

    prefixes: content key -> regex; all of them must match. The consumer gets the message as it came.
    """

    def __init__(self, routing: Any, **prefixes: str | bytes | re.Pattern[str]) -> None:
        self._prefixes = compiled(prefixes)
        self._index = indexed(resolved(routing))

    def match(self, message: Matchable) -> Match | None:
        """Return the consumer for *message* with its keyword arguments, or None."""
        routes = self._index.get(message.channel.name)
        if routes is None:
            return None
        kwargs: dict[str, Any] = {}
        stripped: dict[str, Any] = {}
        for key, pattern in self._prefixes:
            found = matched(pattern, message.content.get(key))
            if found is None:
                return None
            kwargs.update(found.groupdict())
            stripped[key] = found.string[found.end() :]
        inner = first_match(routes, _Stripped(message, stripped))
        return (inner[0], {**kwargs, **inner[1]}) if inner is not None else None

    def channel_names(self) -> frozenset[str]:
        """Return the channels whose messages may match."""
        return frozenset(self._index)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {sorted(self._index)}>"


class _Stripped:
    """A message as the routes of an include see it: the same, but for the keys whose prefix is gone."""

    def __init__(self, message: Any, stripped: Mapping[str, Any]) -> None:
        self._message = message
        self.channel = message.channel
        self.content = {**message.content, **stripped}

    def get(self, key: str, default: Any = None) -> Any:
        return self.content.get(key, default)

    def __getitem__(self, key: str) -> Any:
        return self.content[key]

    def __contains__(self, key: object) -> bool:
        return key in self.content

    def __getattr__(self, name: str) -> Any:
        return getattr(self._message, name)
