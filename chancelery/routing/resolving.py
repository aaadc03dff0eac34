"""From whatever stands for a routing (a list, a dict, a module, the name of one) to a list of routes, by channel."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from chancelery.routing.routes import Match, Routable, Route

_MODULE_NAMES = ("channel_routing", "routing")


def resolved(routing: Any) -> list[Routable]:
    """Return *routing* as a new list of routes. Raises: ImproperlyConfigured, ValueError."""
    found = _named(routing) if isinstance(routing, str) else routing
    if inspect.ismodule(found):
        found = _within(found)
    if isinstance(found, Mapping):
        return [Route(channel, consumer) for channel, consumer in found.items()]
    if isinstance(found, Iterable) and not isinstance(found, str | bytes):
        return [routable(candidate) for candidate in found]
    raise ImproperlyConfigured(
        f"a routing is a list of routes, a dict of channel -> consumer, or the dotted name of either or of a module "
        f"that has one as {' or '.join(_MODULE_NAMES)}; not {found!r}"
    )


def routable(candidate: Any) -> Routable:
    """Return *candidate*. Raises: ValueError if it cannot stand in a routing."""
    if isinstance(candidate, Routable) and not isinstance(candidate, type):
        return candidate
    raise ValueError(
        f"{candidate!r} cannot stand in a routing: use route(), route_class(), include(), or an object that has "
        f"match() and channel_names()"
    )


def indexed(routes: Sequence[Routable]) -> dict[str, list[Routable]]:
    """Return *routes* by the channels whose messages may match them, in their order."""
    index: dict[str, list[Routable]] = {}
    for candidate in routes:
        for channel in candidate.channel_names():
            index.setdefault(channel, []).append(candidate)
    return index


def first_match(routes: Sequence[Routable], message: Any) -> Match | None:
    """Return what the first of *routes* says that matches *message*."""
    for candidate in routes:
        found = candidate.match(message)
        if found is not None:
            return found
    return None


def _named(path: str) -> Any:
    try:
        module_name, _, attribute = path.rpartition(".")
        if module_name:
            found = getattr(import_module(module_name), attribute, None)
            if found is not None:
                return found
        return import_module(path)
    except ImportError as error:
        raise ImproperlyConfigured(f"the routing {path!r} cannot be imported: {error}") from error


def _within(module: Any) -> Any:
    for name in _MODULE_NAMES:
        if hasattr(module, name):
            return getattr(module, name)
    raise ImproperlyConfigured(f"the module {module.__name__} has no routing: name it {' or '.join(_MODULE_NAMES)}")
