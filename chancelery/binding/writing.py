"""
What a client asks for, done to the objects of a model, or nothing of it if anything is wrong: `checking` says what.

Whatever is wrong is a ValidationError or `model.DoesNotExist`, which are for the client; knows nothing of messages.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from django.core.exceptions import ValidationError
from django.db import DatabaseError, models, router, transaction
from django.db.models import ManyToManyField, Model

from chancelery.binding.checking import Wrong, cleaned, related, stored
from chancelery.binding.fields import Crossing


class _Assigned(NamedTuple):
    names: list[str]
    related: dict[str, list[Any]]
    """What goes into many-to-many fields, once the object is stored."""


def create(crossing: Crossing, data: Mapping[str, Any]) -> Model:
    """Store a new object with what of *data* may cross. Raises: ValidationError."""
    instance = crossing.model()
    assigned = _assign(crossing, instance, data)
    undeclared = _others(crossing.model, crossing.inward)
    _validate(instance, cleaned=undeclared | set(assigned.names), beyond=undeclared)
    with _together(router.db_for_write(crossing.model, instance=instance), assigned.related):
        instance.save(force_insert=True)
        _relate(instance, assigned.related)
    return instance


def update(crossing: Crossing, pk: Any, data: Mapping[str, Any]) -> Model:
    """
    Change what of *data* may cross, and no other column: a model with a `save` of its own alone is stored whole.

    Raises: ValidationError; DoesNotExist.
    """
    objects = stored(crossing.model)
    instance = objects.get(pk=pk)
    assigned = _assign(crossing, instance, data)
    if not assigned.names:
        raise ValidationError(f"nothing to change: what can be is {', '.join(crossing.inward)}")
    _validate(instance, cleaned=_others(crossing.model, ()), beyond=set())
    with _together(objects.db, assigned.related):
        _save(instance, [name for name in assigned.names if name not in assigned.related])
        _relate(instance, assigned.related)
    return instance


def delete(model: type[Model], pk: Any) -> None:
    """Remove an object. Raises: ValidationError when others need it; DoesNotExist."""
    try:
        stored(model).get(pk=pk).delete()
    except (models.ProtectedError, models.RestrictedError) as error:
        raise ValidationError("it cannot be deleted: others refer to it") from error


def _assign(crossing: Crossing, instance: Model, data: Mapping[str, Any]) -> _Assigned:
    wrong = Wrong()
    assigned = _Assigned([], {})
    for name, field in crossing.inward.items():
        if name not in data:
            continue
        with wrong.with_field(name):
            if isinstance(field, ManyToManyField):
                assigned.related[name] = related(field, data[name])
            else:
                setattr(instance, field.attname, cleaned(field, data[name], instance))
            assigned.names.append(name)
    wrong.require_nothing()
    return assigned


def _validate(instance: Model, *, cleaned: set[str], beyond: set[str]) -> None:
    """Do what is left of `full_clean`, without the fields that are *cleaned*, or *beyond* what clients may set."""
    instance.full_clean(exclude=cleaned, validate_unique=False, validate_constraints=False)
    instance.validate_unique(exclude=beyond)
    instance.validate_constraints(exclude=beyond)


def _others(model: type[Model], names: Iterable[str]) -> set[str]:
    return {field.name for field in model._meta.get_fields()} - set(names)


def _save(instance: Model, names: list[str]) -> None:
    """A save of all columns would take back what others have changed since the object was read."""
    if type(instance).save is not Model.save:
        instance.save()
        return
    kept_by_django = [field.name for field in instance._meta.concrete_fields if getattr(field, "auto_now", False)]
    try:
        instance.save(update_fields=[*names, *kept_by_django])
    except DatabaseError as error:
        if stored(type(instance)).filter(pk=instance.pk).exists():
            raise
        raise type(instance).DoesNotExist from error  # type: ignore[attr-defined] # deleted since it was read


def _relate(instance: Model, related: Mapping[str, list[Any]]) -> None:
    for name, keys in related.items():
        getattr(instance, name).set(keys)


def _together(using: str, related: Mapping[str, Any]) -> contextlib.AbstractContextManager[None]:
    # Without need no transaction: in SQLite, one that reads before it writes fails while another writes.
    return transaction.atomic(using=using) if related else contextlib.nullcontext()
