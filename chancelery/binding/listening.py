"""
One binding, listening to Django's signals of its model: what was is kept before a change, and announced after it.

Old states are read from the database: what an object in memory says may have been changed, or never have been stored.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from django.apps import apps
from django.db.models import ManyToManyField, Model
from django.db.models.base import ModelState
from django.db.models.signals import ModelSignal, m2m_changed, post_delete, post_save, pre_delete, pre_save

from chancelery.binding.changes import CREATE, DELETE, UPDATE, Change, rows
from chancelery.binding.fields import Crossing

if TYPE_CHECKING:
    from chancelery.binding.base import Binding

_Kept = WeakKeyDictionary[ModelState, list[Change]]


class Listener:
    """Hears of what happens to the objects of a binding's model, also by its proxies and children."""

    def __init__(self, binding: type[Binding], crossing: Crossing) -> None:
        self._binding = binding
        self._crossing = crossing
        # By an object's state, which lives as long as the object: nothing is put on objects of the project.
        self._saves: _Kept = WeakKeyDictionary()
        self._deletes: _Kept = WeakKeyDictionary()
        self._relations: _Kept = WeakKeyDictionary()
        self._receivers = list(self._wanted())

    def connect(self) -> None:
        """Begin to listen."""
        for signal, sender, receiver in self._receivers:
            signal.connect(receiver, sender=sender)

    def disconnect(self) -> None:
        """Listen no more."""
        for signal, sender, receiver in self._receivers:
            signal.disconnect(receiver, sender=sender)

    def _wanted(self) -> Iterator[tuple[ModelSignal, type[Model], Callable[..., None]]]:
        model = self._crossing.model
        concrete = model._meta.concrete_model or model
        for kin in {model, *apps.get_models(include_auto_created=True)}:
            if issubclass(kin, concrete):
                yield pre_save, kin, self._saving
                yield post_save, kin, self._saved
            if kin._meta.concrete_model is concrete:  # the deletion of a child is one of its parent, too
                yield pre_delete, kin, self._deleting
                yield post_delete, kin, self._deleted
        for field in model._meta.many_to_many:
            through = field.remote_field.through
            if through and (field.name in self._crossing.outward or not self._binding.has_fixed_groups()):
                yield m2m_changed, through, functools.partial(self._related, field)

    def _saving(self, instance: Model, using: str, **_: Any) -> None:
        if self._binding.has_fixed_groups():
            return
        pk = None if hasattr(instance.pk, "resolve_expression") else instance.pk  # given by the database
        self._keep(self._saves, instance, Change(self._binding, using, UPDATE, [] if pk is None else [pk]))

    def _saved(self, instance: Model, created: bool, using: str, **_: Any) -> None:  # noqa: FBT001 - Django's
        change = self._kept(self._saves, instance)
        if change is None:
            change = Change.unseen(self._binding, using, CREATE if created else UPDATE)
        change.announce_later([instance.pk])

    def _deleting(self, instance: Model, using: str, **_: Any) -> None:
        self._keep(self._deletes, instance, Change(self._binding, using, DELETE, [instance.pk], whole=True))

    def _deleted(self, instance: Model, **_: Any) -> None:
        change = self._kept(self._deletes, instance)
        if change is not None:
            change.announce_later([instance.pk])

    def _related(
        self, field: ManyToManyField[Any, Any], instance: Model, action: str, using: str, **about: Any
    ) -> None:
        if action.startswith("pre_"):
            pks = self._concerned(field, instance, using, about["reverse"], about["pk_set"])
            self._keep(self._relations, instance, Change(self._binding, using, UPDATE, pks, whole=True))
            return
        change = self._kept(self._relations, instance)
        if change is not None:
            change.announce_later(change.before)

    def _concerned(
        self,
        field: ManyToManyField[Any, Any],
        instance: Model,
        using: str,
        reverse: bool,  # noqa: FBT001 - as Django says it
        others: Collection[Any] | None,
    ) -> Collection[Any]:
        """Return the keys of those of our objects whose relation changes; *others* None: to all that there are."""
        if not (reverse or field.remote_field.symmetrical):
            return [instance.pk]
        if others is None:
            related = rows(self._crossing.model, using).filter(**{field.name: instance.pk})
            others = list(related.values_list("pk", flat=True))
        return others if reverse else [instance.pk, *others]

    @staticmethod
    def _keep(kept: _Kept, instance: Model, change: Change) -> None:
        # A list: a receiver of the same signal may save the same object again.
        kept.setdefault(instance._state, []).append(change)

    @staticmethod
    def _kept(kept: _Kept, instance: Model) -> Change | None:
        changes = kept.get(instance._state)
        return changes.pop() if changes else None
