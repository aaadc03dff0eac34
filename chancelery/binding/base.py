"""
What projects subclass: a binding says which model and fields, which groups hear of an object, and who may change it.

Knows no protocol: `websockets` has what frames look like. Names of Channels 1, without its metaclass.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from django.db.models import Model, QuerySet

from chancelery.binding import registration
from chancelery.binding.changes import CREATE, DELETE, UPDATE, Change
from chancelery.binding.coalescing import pace
from chancelery.binding.fields import Crossing
from chancelery.binding.inbound import Inbound
from chancelery.channel import Group
from chancelery.types import Content

__all__ = ["CREATE", "DELETE", "UPDATE", "Binding", "BindingMetaclass"]


class Binding(Inbound):
    """
    The objects of a model, told to groups as they change, and changed by clients who may.

    model: the class or "app.Model"; None in the body of a class that is only to be subclassed.
    fields, exclude: names of what crosses, or of what does not; `["__all__"]` is everything but the primary key.
    groups, or group_names(): who hears of an object. stream: on which stream of their sockets.
    """

    model: type[Model] | str | None = None
    fields: Iterable[str] | None = None
    exclude: Iterable[str] | None = None
    groups: Iterable[str] | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        registration.declare(cls)

    def __init__(self) -> None:
        """Raises: LookupError when this class is not registered."""
        self.model = self.crossing.model
        self.model_label = self.model._meta.label_lower

    @property
    def crossing(self) -> Crossing:
        """The fields that cross."""
        return registration.crossing_of(type(self))

    # Where it belongs

    @classmethod
    def register(cls) -> None:
        """Begin to listen to the model. Done for every binding that is imported when the apps are ready, or later."""
        registration.register(cls)

    @classmethod
    def unregister(cls) -> None:
        """Listen no more."""
        registration.unregister(cls)

    @classmethod
    def require_complete(cls) -> None:
        """Raises: ValueError when an attribute lacks, or cannot be what it is."""
        if cls.groups is None and cls.has_fixed_groups():
            raise ValueError(f"{cls.__qualname__} needs groups, or group_names(cls, instance), that hear of an object")
        if not cls.stream or not isinstance(cls.stream, str):
            raise ValueError(f'{cls.__qualname__} needs stream = "…", the name of its stream on sockets')
        every = cls.coalesce
        if every is not None and (
            isinstance(every, bool) or not isinstance(every, int | float) or not 0 < every < math.inf
        ):
            raise ValueError(f"{cls.__qualname__}.coalesce is a number of seconds above 0, or None, not {every!r}")

    # Out

    @classmethod
    def group_names(cls, instance: Model) -> Iterable[str]:  # noqa: ARG003 - to be overridden
        """Return the groups that hear of *instance*. May be a plain method, too, and take the action as well."""
        return cls.groups or ()

    @classmethod
    def has_fixed_groups(cls) -> bool:
        """Tell whether all objects have the same groups."""
        return inspect.getattr_static(cls, "group_names") is vars(Binding)["group_names"]

    def groups_of(self, instance: Model, action: str) -> frozenset[str]:
        """Return what `group_names` says, in whichever way it is written. Raises: TypeError when it is a text."""
        self.instance = instance
        call: Callable[..., Iterable[str]] = self.group_names
        names = (
            call(instance, action)
            if _takes_action(inspect.getattr_static(type(self), "group_names"))
            else call(instance)
        )
        if isinstance(names, str):
            raise TypeError(f"{self.label()}.group_names() returns a list of names, not the text {names!r}")
        return frozenset(names)

    def serialize(self, instance: Model, action: str) -> Any:
        """Return what clients are told of *instance*. Nothing is sent when it is empty."""
        raise NotImplementedError

    @classmethod
    def encode(cls, stream: str, payload: Any) -> Content:
        """Return the message with *payload* on *stream*."""
        raise NotImplementedError

    def send_messages(self, instance: Model, group_names: Iterable[str], action: str) -> None:
        """Tell the groups that *action* was done to *instance*."""
        names = frozenset(group_names)
        if names:
            self.send_payload(self.serialize(instance, action), names, action, instance.pk)

    def send_payload(self, payload: Any, group_names: Iterable[str], action: str, pk: Any) -> None:
        """Tell the groups *payload*: at once, since it is so, whatever becomes of the consumer that did it."""
        if not payload or self.stream is None:  # a registered binding has a stream
            return
        content = self.encode(self.stream, payload)
        for name in sorted(group_names):
            Group(name).send(content, immediately=True, **pace(type(self), pk, action))

    @classmethod
    def send_changes(cls, objects: QuerySet[Any] | Iterable[Model], action: str = UPDATE) -> None:
        """
        Tell of what no signal tells of: that *objects* were created, updated or deleted. Sent when it is committed.

        Everybody is told who hears of them as they are then; use `watching` where objects may change their groups.
        Raises: ValueError for objects without a primary key, or another action.
        """
        instances = list(objects)
        for instance in instances:
            cls._require_kin(type(instance))
        if action not in {CREATE, UPDATE, DELETE}:
            raise ValueError(f"what happened to objects is create, update or delete, not {action!r}")
        if any(instance.pk is None for instance in instances):
            raise ValueError("these objects have no primary key: the database did not return any, read them anew")
        for using in {instance._state.db or "default" for instance in instances}:
            there = [instance for instance in instances if (instance._state.db or "default") == using]
            change = Change.deletion(cls, using, there) if action == DELETE else Change.unseen(cls, using, action)
            change.announce_later(instance.pk for instance in there)

    @classmethod
    @contextlib.contextmanager
    def watching(cls, queryset: QuerySet[Any]) -> Iterator[None]:
        """
        Tell of what happens within this to the objects of *queryset*, before or after it, when it is committed.

        For `QuerySet.update`, `bulk_update`, `bulk_create` and SQL. All of the objects are read, twice.
        """
        cls._require_kin(queryset.model)
        keys = list(queryset.values_list("pk", flat=True))
        change = Change(cls, queryset.db, UPDATE, keys, whole=True)
        try:
            yield
        finally:
            change.announce_later(keys, also=queryset.all())

    @classmethod
    def _require_kin(cls, model: type[Model]) -> None:
        bound = registration.crossing_of(cls).model
        if not issubclass(model, bound._meta.concrete_model or bound):
            raise TypeError(f"{cls.label()} is bound to {bound.__name__}, and cannot tell of a {model.__name__}")


class BindingMetaclass:
    """Channels 1's name for what registers bindings. Ours have no metaclass."""

    @staticmethod
    def register_all() -> None:
        """Have all bindings listen that wait for it. Done when the apps are ready."""
        registration.register_all()


@functools.lru_cache(maxsize=1000)
def _takes_action(function: Any) -> bool:
    """Tell whether *function*, as it stands in a class, takes an instance and an action."""
    plain = function.__func__ if isinstance(function, classmethod | staticmethod) else function
    own = 0 if isinstance(function, staticmethod) else 1
    parameters = inspect.signature(plain).parameters.values()
    positional = [each for each in parameters if each.kind in {each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD}]
    return len(positional) - own > 1 or any(each.kind is each.VAR_POSITIONAL for each in parameters)
