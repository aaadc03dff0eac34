"""Other routes for a while: around a block, a test, or all tests of a class."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Self, TypeVar, cast

from asgiref.sync import iscoroutinefunction

from chancelery.registry import DEFAULT_CHANNEL_LAYER, ChannelLayerWrapper, channel_layers
from chancelery.routing import include

T = TypeVar("T")


class apply_routes:  # noqa: N801 - Channels 1's name
    """
    Route what comes by the layers behind *aliases* by *routes* alone. A context manager, and a decorator.

    routes: a route, a list of routes, a list of such lists, or whatever else a routing may be. The layers stay the
    same, with what waits on them. A class is not changed: what takes its place is a subclass.
    """

    def __init__(self, routes: Any, aliases: Iterable[str] = (DEFAULT_CHANNEL_LAYER,)) -> None:
        self.routes = _routing(routes)
        self.aliases = [aliases] if isinstance(aliases, str) else list(aliases)
        self._open: list[contextlib.ExitStack] = []

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            for alias in self.aliases:
                stack.enter_context(_rerouted(alias, self.routes))
            self._open.append(stack.pop_all())
        return self

    def __exit__(self, *_: object) -> None:
        self._open.pop().close()

    def __call__(self, decorated: T) -> T:
        """Return a test function, or a class with tests, whose messages are routed so."""
        if isinstance(decorated, type):
            return cast("T", self._around_class(decorated))
        return cast("T", self._around(cast("Callable[..., Any]", decorated)))

    def _around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def routed(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        async def awaited(*args: Any, **kwargs: Any) -> Any:
            with self:
                return await function(*args, **kwargs)

        return functools.wraps(function)(awaited if iscoroutinefunction(function) else routed)

    def _around_class(self, decorated: Any) -> type:
        def set_up_class(cls: Any) -> None:
            inherited: Any = super(made, cls)
            inherited.setUpClass()  # first: settings that it overrides would undo the routes
            cls.enterClassContext(self)

        changed = {name: getattr(decorated, name) for name in ("__module__", "__qualname__", "__doc__")}
        if hasattr(decorated, "enterClassContext"):
            changed["setUpClass"] = classmethod(set_up_class)
        else:
            tests = [name for name in dir(decorated) if name.startswith("test")]
            changed.update({name: self._around(getattr(decorated, name)) for name in tests})
        made: Any = type(decorated)(decorated.__name__, (decorated,), changed)
        return cast("type", made)


@contextlib.contextmanager
def _rerouted(alias: str, routing: Any) -> Iterator[None]:
    wrapper = ChannelLayerWrapper(channel_layers[alias].layer, alias, routing)
    _ = wrapper.router  # what cannot be used is said here
    previous = channel_layers.set(alias, wrapper)
    try:
        yield
    finally:
        channel_layers.set(alias, previous)


def _routing(routes: Any) -> Any:
    if hasattr(routes, "match") and hasattr(routes, "channel_names"):
        return [routes]
    if isinstance(routes, list | tuple):
        return [include(entry) if isinstance(entry, list | tuple) else entry for entry in routes]
    return routes
