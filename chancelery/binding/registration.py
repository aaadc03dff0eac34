"""Which bindings there are, and when they begin to listen: once Django's apps are ready."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from django.apps import apps
from django.db.models import Model
from django.utils.module_loading import autodiscover_modules

from chancelery import routing
from chancelery.binding.fields import Crossing, crossing
from chancelery.binding.listening import Listener

if TYPE_CHECKING:
    from chancelery.binding.base import Binding

COALESCED = "chancelery.binding"
"""The channel that a binding with `coalesce` sends what it is asked for on to."""


class Registered(NamedTuple):
    """What is known of a binding that listens."""

    crossing: Crossing
    listener: Listener


class _Registry:
    """The one list of bindings. Before the apps are ready, models cannot be looked up: until then they are kept."""

    def __init__(self) -> None:
        self.waiting: list[type[Binding]] = []
        self.registered: dict[type[Binding], Registered] = {}
        self.is_ready = False


_registry = _Registry()


def declare(binding: type[Binding]) -> None:
    """Have *binding* listen: now, or when the apps are ready."""
    if _registry.is_ready:
        register(binding)
    else:
        _registry.waiting.append(binding)


def register_all() -> None:
    """Import the `bindings` module of every app, and have all bindings listen. Called when the apps are ready."""
    autodiscover_modules("bindings")
    _registry.is_ready = True
    waiting, _registry.waiting = _registry.waiting, []
    for binding in waiting:
        register(binding)


def register(binding: type[Binding]) -> None:
    """
    Have *binding* listen, unless it is abstract or listens already.

    Raises: ValueError for a binding that lacks something; LookupError for a model that there is not.
    """
    if binding in _registry.registered or _is_abstract(binding):
        return
    binding.require_complete()
    model = _model(binding)
    found = crossing(binding.__qualname__, model, binding.fields, binding.exclude)
    listener = Listener(binding, found)
    _registry.registered[binding] = Registered(found, listener)
    listener.connect()
    if binding.coalesce is not None:
        routing.provide(COALESCED, "chancelery.binding.coalescing.consume")


def unregister(binding: type[Binding]) -> None:
    """Have *binding* listen no more; it is no error when it does not."""
    found = _registry.registered.pop(binding, None)
    if found is not None:
        found.listener.disconnect()


def crossing_of(binding: type[Binding]) -> Crossing:
    """Return what crosses by *binding*. Raises: LookupError when it does not listen."""
    found = _registry.registered.get(binding)
    if found is None:
        raise LookupError(
            f'{binding.__qualname__} is not registered: it is abstract, or "chancelery" is not in INSTALLED_APPS'
        )
    return found.crossing


def named(label: str) -> type[Binding]:
    """Return the binding that calls itself *label*. Raises: LookupError."""
    for binding in _registry.registered:
        if binding.label() == label:
            return binding
    raise LookupError(f"no binding {label!r} is registered in this process: import its module when Django starts")


def _is_abstract(binding: type[Binding]) -> bool:
    if binding.model is None and "model" not in vars(binding):
        raise ValueError(f"{binding.__qualname__} needs a model; say model = None if it is only to be subclassed")
    return binding.model is None


def _model(binding: type[Binding]) -> type[Model]:
    found: Any = binding.model
    return apps.get_model(found) if isinstance(found, str) else found
