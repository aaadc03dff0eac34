"""A project's whole routing, and what handles that of which it says nothing."""

from __future__ import annotations

from typing import Any

from django.apps import apps

from chancelery.routing.consumers import Consumer, connect_consumer, null_consumer
from chancelery.routing.resolving import first_match, indexed, resolved, routable
from chancelery.routing.routes import Match, Matchable, Routable, Route

_provided: dict[str, Consumer | str] = {}


def provide(channel: str, consumer: Consumer | str) -> None:
    """Have *channel* handled by *consumer* where no route names it: for what a room sends to itself."""
    _provided[channel] = consumer


class Router:
    """A whole routing: a list of routes, a dict of channel -> consumer, or a dotted name of either or of a module."""

    def __init__(self, routing: Any) -> None:
        """Raises: ImproperlyConfigured, ValueError, which name what cannot be used."""
        self._routes = resolved(routing)
        self._defaults: list[Routable] = []
        self._index = indexed(self._routes)

    def match(self, message: Matchable) -> Match | None:
        """Return the first consumer whose route matches *message*, with its keyword arguments, or None."""
        return first_match(self._index.get(message.channel.name, ()), message)

    @property
    def channels(self) -> frozenset[str]:
        """Every channel that messages are routed from."""
        return frozenset(self._index)

    def add_route(self, route: Routable) -> None:
        """Append *route*; what was handed to this router stays as it is."""
        self._routes.append(routable(route))
        self._index = indexed([*self._routes, *self._defaults])

    def check_default(self, http_consumer: Consumer | str = "chancelery.handler.view_consumer") -> None:
        """
        Have what no route matches handled as one expects: HTTP requests by views, disconnects by nothing.

        What is sent to `asgi.delay` is sent on later, unless that is routed, or the app `chancelery.delay` reads it.

        Sockets are accepted, and what they say ignored, only if these channels are not routed at all: a path that no
        route matches is turned away.
        """
        routed = frozenset(indexed(self._routes))
        self._defaults = [
            Route("http.request", http_consumer),
            Route(["http.disconnect", "websocket.disconnect"], null_consumer),
        ]
        if "websocket.connect" not in routed:
            self._defaults.append(Route("websocket.connect", connect_consumer))
        if "websocket.receive" not in routed:
            self._defaults.append(Route("websocket.receive", null_consumer))
        if "asgi.delay" not in routed and not apps.is_installed("chancelery.delay"):
            self._defaults.append(Route("asgi.delay", "chancelery.worker.delays.send_on"))
        self._defaults += [Route(name, consumer) for name, consumer in _provided.items() if name not in routed]
        self._index = indexed([*self._routes, *self._defaults])

    @classmethod
    def resolve_routing(cls, routing: Any) -> list[Routable]:
        """Return *routing* as a new list of routes. Raises: ImproperlyConfigured, ValueError."""
        return resolved(routing)
