r"""
Which consumer handles a message: routes with regex filters on any of its keys, nested by prefixes.

    channel_routing = [
        route("websocket.receive", on_receive, path=r"^/chat/(?P<room>\w+)/$"),
        include("blog.routing", path=r"^/blog"),
    ]

Everything is resolved and compiled when a routing is built, and indexed by channel. Knows messages by shape only.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any, Protocol, TypeAlias, cast, runtime_checkable

from asgiref.sync import iscoroutinefunction
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

Consumer: TypeAlias = "Callable[..., object]"
"""Called with a message and keyword arguments. May be an `async def`, see `is_async`."""
Match: TypeAlias = "tuple[Consumer, dict[str, Any]]"
_Filters: TypeAlias = "list[tuple[str, re.Pattern[str]]]"

_MODULE_NAMES = ("channel_routing", "routing")
_provided: dict[str, Consumer | str] = {}


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
        self.consumer = _consumer(consumer)
        self._filters = _compiled(filters)

    def match(self, message: Matchable) -> Match | None:
        """Return the consumer for *message* with its keyword arguments, or None."""
        if message.channel.name not in self.channels:
            return None
        kwargs: dict[str, Any] = {}
        for key, pattern in self._filters:
            found = _found(pattern, message.content.get(key))
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
        found: Any = _consumer(consumer)
        if not callable(getattr(found, "channel_names", None)):
            raise ValueError(  # noqa: TRY004 - Channels 1's error
                f"route_class() takes a consumer class that has channel_names(), such as a BaseConsumer, not {found!r}"
            )
        super().__init__(found.channel_names(), found, **filters)


class Include:
    """
    A routing whose routes see some keys without the prefix that was matched here.

    prefixes: content key -> regex; all of them must match. The consumer gets the message as it came.
    """

    def __init__(self, routing: Any, **prefixes: str | bytes | re.Pattern[str]) -> None:
        self._prefixes = _compiled(prefixes)
        self._index = _indexed(_resolved(routing))

    def match(self, message: Matchable) -> Match | None:
        """Return the consumer for *message* with its keyword arguments, or None."""
        routes = self._index.get(message.channel.name)
        if routes is None:
            return None
        kwargs: dict[str, Any] = {}
        stripped: dict[str, Any] = {}
        for key, pattern in self._prefixes:
            found = _found(pattern, message.content.get(key))
            if found is None:
                return None
            kwargs.update(found.groupdict())
            stripped[key] = found.string[found.end() :]
        inner = _first(routes, _Stripped(message, stripped))
        return (inner[0], {**kwargs, **inner[1]}) if inner is not None else None

    def channel_names(self) -> frozenset[str]:
        """Return the channels whose messages may match."""
        return frozenset(self._index)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {sorted(self._index)}>"


class Router:
    """A whole routing: a list of routes, a dict of channel -> consumer, or a dotted name of either or of a module."""

    def __init__(self, routing: Any) -> None:
        """Raises: ImproperlyConfigured, ValueError, which name what cannot be used."""
        self._routes = _resolved(routing)
        self._defaults: list[Routable] = []
        self._index = _indexed(self._routes)

    def match(self, message: Matchable) -> Match | None:
        """Return the first consumer whose route matches *message*, with its keyword arguments, or None."""
        return _first(self._index.get(message.channel.name, ()), message)

    @property
    def channels(self) -> frozenset[str]:
        """Every channel that messages are routed from."""
        return frozenset(self._index)

    def add_route(self, route: Routable) -> None:
        """Append *route*; what was handed to this router stays as it is."""
        self._routes.append(_routable(route))
        self._index = _indexed([*self._routes, *self._defaults])

    def check_default(self, http_consumer: Consumer | str = "chancelery.handler.view_consumer") -> None:
        """
        Have what no route matches handled as one expects: HTTP requests by views, disconnects by nothing.

        What is sent to `asgi.delay` is sent on later, unless that is routed, or the app `chancelery.delay` reads it.

        Sockets are accepted, and what they say ignored, only if these channels are not routed at all: a path that no
        route matches is turned away.
        """
        routed = frozenset(_indexed(self._routes))
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
        self._index = _indexed([*self._routes, *self._defaults])

    @classmethod
    def resolve_routing(cls, routing: Any) -> list[Routable]:
        """Return *routing* as a new list of routes. Raises: ImproperlyConfigured, ValueError."""
        return _resolved(routing)


route = Route
route_class = RouteClass
include = Include


def provide(channel: str, consumer: Consumer | str) -> None:
    """Have *channel* handled by *consumer* where no route names it: for what a room sends to itself."""
    _provided[channel] = consumer


def is_async(consumer: Consumer) -> bool:
    """Tell whether *consumer* is to be awaited: an async function, or an object whose `__call__` is one."""
    try:
        return _is_async(consumer)
    except TypeError:  # it has no hash
        return _is_async.__wrapped__(consumer)


def null_consumer(message: object, **kwargs: object) -> None:
    """Do nothing."""


def connect_consumer(message: Any, **_: object) -> None:
    """Accept the socket."""
    message.reply_channel.send({"accept": True})


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


def _first(routes: Sequence[Routable], message: Any) -> Match | None:
    for candidate in routes:
        found = candidate.match(message)
        if found is not None:
            return found
    return None


def _indexed(routes: Sequence[Routable]) -> dict[str, list[Routable]]:
    index: dict[str, list[Routable]] = {}
    for candidate in routes:
        for channel in candidate.channel_names():
            index.setdefault(channel, []).append(candidate)
    return index


def _resolved(routing: Any) -> list[Routable]:
    found = _routing_named(routing) if isinstance(routing, str) else routing
    if inspect.ismodule(found):
        found = _routing_in(found)
    if isinstance(found, Mapping):
        return [Route(channel, consumer) for channel, consumer in found.items()]
    if isinstance(found, Iterable) and not isinstance(found, str | bytes):
        return [_routable(candidate) for candidate in found]
    raise ImproperlyConfigured(
        f"a routing is a list of routes, a dict of channel -> consumer, or the dotted name of either or of a module "
        f"that has one as {' or '.join(_MODULE_NAMES)}; not {found!r}"
    )


def _routing_named(path: str) -> Any:
    try:
        module_name, _, attribute = path.rpartition(".")
        if module_name:
            found = getattr(import_module(module_name), attribute, None)
            if found is not None:
                return found
        return import_module(path)
    except ImportError as error:
        raise ImproperlyConfigured(f"the routing {path!r} cannot be imported: {error}") from error


def _routing_in(module: Any) -> Any:
    for name in _MODULE_NAMES:
        if hasattr(module, name):
            return getattr(module, name)
    raise ImproperlyConfigured(f"the module {module.__name__} has no routing: name it {' or '.join(_MODULE_NAMES)}")


def _routable(candidate: Any) -> Routable:
    if isinstance(candidate, Routable) and not isinstance(candidate, type):
        return candidate
    raise ValueError(
        f"{candidate!r} cannot stand in a routing: use route(), route_class(), include(), or an object that has "
        f"match() and channel_names()"
    )


def _channels(channels: str | bytes | Iterable[str]) -> frozenset[str]:
    if isinstance(channels, str | bytes):
        channels = [channels.decode("ascii") if isinstance(channels, bytes) else channels]
    found = frozenset(channels)
    if found and all(isinstance(name, str) for name in found):
        return found
    raise ValueError(f"a route takes the name of a channel, or a list of names, not {channels!r}")


def _consumer(consumer: Any) -> Consumer:
    found = _imported(consumer) if isinstance(consumer, str) else consumer
    found = getattr(found, "routed_consumer", found)
    if not callable(found):
        raise ImproperlyConfigured(f"a consumer is callable with a message, or the dotted name of such, not {found!r}")
    if isinstance(found, type):
        _require_plain_methods(found)
    return cast("Consumer", found)


@functools.lru_cache(maxsize=1000)
def _is_async(consumer: Consumer) -> bool:
    if isinstance(consumer, type):
        return False
    return iscoroutinefunction(consumer) or iscoroutinefunction(getattr(type(consumer), "__call__", None))  # noqa: B004 - not whether, but how


def _require_plain_methods(consumer: type) -> None:
    """A class is called like a plain def, and so are its methods."""
    handlers = frozenset(getattr(consumer, "method_mapping", {}).values())
    for name, _ in inspect.getmembers_static(consumer, iscoroutinefunction):
        inherited = [vars(base)[name] for base in consumer.__mro__[1:] if name in vars(base)]
        if name in handlers or not all(map(iscoroutinefunction, inherited)):
            raise ImproperlyConfigured(
                f"the consumer class {consumer.__module__}.{consumer.__qualname__} has the async method {name}(): "
                f"classes handle messages in threads. Write a plain def there (asgiref's async_to_sync calls async "
                f"code from it), or make the consumer an async function instead of a class"
            )


def _imported(path: str) -> Any:
    try:
        return import_string(path)
    except ImportError as error:
        raise ImproperlyConfigured(f"the consumer {path!r} cannot be imported: {error}") from error


def _compiled(filters: Mapping[str, str | bytes | re.Pattern[str]]) -> _Filters:
    return [(key, _pattern(key, regex)) for key, regex in filters.items()]


def _pattern(key: str, regex: str | bytes | re.Pattern[str]) -> re.Pattern[str]:
    source, flags = (regex.pattern, regex.flags) if isinstance(regex, re.Pattern) else (regex, 0)
    try:
        pattern = re.compile(_text(source) if isinstance(source, bytes) else source, flags)
    except re.error as error:
        raise ImproperlyConfigured(f"the filter {key}={regex!r} is no regular expression: {error}") from error
    if pattern.groups != len(pattern.groupindex):
        raise ValueError(
            f"the filter {key}={regex!r} has a group without a name: write (?P<name>…) to pass it to the consumer, "
            f"(?:…) otherwise"
        )
    return pattern


def _found(pattern: re.Pattern[str], value: object) -> re.Match[str] | None:
    if isinstance(value, str):
        return pattern.match(value)
    if isinstance(value, bytes):
        return pattern.match(_text(value))
    if isinstance(value, int | float) and not isinstance(value, bool):
        return pattern.match(str(value))
    return None


def _text(raw: bytes) -> str:
    """Return *raw* as text without loss, so that patterns and values of either kind meet."""
    return raw.decode("utf-8", "surrogateescape")
