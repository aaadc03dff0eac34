"""
What happens to some objects: who was told of them before, and what is told to whom once it is committed.

What is told is what the database says then: nothing of a transaction that was rolled back, no expression that was
not computed, no value that was never stored.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from django.db import connections, transaction
from django.db.models import Model, QuerySet

if TYPE_CHECKING:
    from chancelery.binding.base import Binding

CREATE: Final = "create"
UPDATE: Final = "update"
DELETE: Final = "delete"


class _Before(NamedTuple):
    """An object as it was."""

    instance: Model
    groups: frozenset[str]
    farewell: Any = None
    """What those hear who see it no more, made while everything that it refers to is there."""


class Change:
    """
    A change of the objects with the keys *pks*, begun before it happens.

    whole: keep all that was told of them, so that what did not change need not be told, and what is deleted can be.
    """

    def __init__(
        self, binding: type[Binding], using: str, action: str, pks: Collection[Any], *, whole: bool = False
    ) -> None:
        self._binding = binding()
        self._using = using
        self._action = action
        self._is_known = True
        self.before = {pk: self._seen(instance, whole=whole) for pk, instance in self._read(pks).items()}
        """Who was told of which object, by its key."""

    @classmethod
    def unseen(cls, binding: type[Binding], using: str, action: str) -> Self:
        """Return a change of objects that nobody has looked at before: they are where they were."""
        change = cls(binding, using, action, ())
        change._is_known = False
        return change

    @classmethod
    def deletion(cls, binding: type[Binding], using: str, instances: Iterable[Model]) -> Self:
        """Return the change of *instances* that are deleted already."""
        change = cls(binding, using, DELETE, ())
        change.before = {instance.pk: change._seen(instance, whole=True) for instance in instances}
        return change

    def announce_later(self, pks: Iterable[Any], also: QuerySet[Model] | None = None) -> None:
        """Announce what became of the objects with *pks*, and of *also*, when it is committed, if ever."""
        keys = list(pks)
        connection = connections[self._using]
        if connection.in_atomic_block or connection.get_autocommit():
            # robust: it is committed, and whoever did it must not be told that it was not. Django logs the error.
            transaction.on_commit(lambda: self._announce(keys, also), using=self._using, robust=True)
        else:
            self._announce(keys, also)  # the project commits by itself, and tells nobody when

    def _announce(self, keys: list[Any], also: QuerySet[Model] | None) -> None:
        """Tell each group what the objects are to it: new, changed, or gone."""
        keys += [] if also is None else also.values_list("pk", flat=True)
        key_of = self._binding.crossing.model._meta.pk.to_python
        pks = list(dict.fromkeys(map(key_of, keys)))
        found = self._read(pks)
        for pk in pks:
            before, instance = self.before.get(pk), found.get(pk)
            if instance is None:
                self._bid_farewell(before, frozenset())
            else:
                groups = self._binding.groups_of(instance, self._action)
                self._bid_farewell(before, groups)
                self._tell(before, instance, groups)

    def _bid_farewell(self, before: _Before | None, groups: frozenset[str]) -> None:
        left = before.groups - groups if before else frozenset()
        if before and left:
            payload = before.farewell or self._binding.serialize(before.instance, DELETE)
            self._binding.send_payload(payload, left, DELETE, before.instance.pk)

    def _tell(self, before: _Before | None, instance: Model, groups: frozenset[str]) -> None:
        if self._is_known:
            knew = before.groups if before else frozenset()
        else:
            knew = frozenset() if self._action == CREATE else groups
        if groups & knew and not (before and self._is_same(before, instance)):
            self._binding.send_messages(instance, groups & knew, UPDATE)
        self._binding.send_messages(instance, groups - knew, CREATE)

    def _is_same(self, before: _Before, instance: Model) -> bool:
        return before.farewell is not None and before.farewell == self._binding.serialize(instance, DELETE)

    def _seen(self, instance: Model, *, whole: bool) -> _Before:
        groups = self._binding.groups_of(instance, self._action)
        return _Before(instance, groups, self._binding.serialize(instance, DELETE) if whole else None)

    def _read(self, pks: Collection[Any]) -> dict[Any, Model]:
        return rows(self._binding.crossing.model, self._using).in_bulk(pks) if pks else {}


def rows(model: type[Model], using: str) -> QuerySet[Model]:
    """Return all rows of *model*, whatever its managers show of them."""
    return model._base_manager.using(using)
