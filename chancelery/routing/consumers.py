"""What may be a consumer, how it is to be called, and the two that handle what a project routes nowhere."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeAlias, cast

from asgiref.sync import iscoroutinefunction
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

Consumer: TypeAlias = "Callable[..., object]"
"""Called with a message and keyword arguments. May be an `async def`, see `is_async`."""


def null_consumer(message: object, **kwargs: object) -> None:
    """Do nothing."""


def connect_consumer(message: Any, **_: object) -> None:
    """Accept the socket."""
    message.reply_channel.send({"accept": True})


def is_async(consumer: Consumer) -> bool:
    """Tell whether *consumer* is to be awaited: an async function, or an object whose `__call__` is one."""
    try:
        return _is_async(consumer)
    except TypeError:  # it has no hash
        return _is_async.__wrapped__(consumer)


def resolved(consumer: Any) -> Consumer:
    """Return what *consumer*, a callable or its dotted name, is when it is routed. Raises: ImproperlyConfigured."""
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
