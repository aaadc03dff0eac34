"""
What a client asks for, done to the objects of a model: checked as a form would, and nothing done if anything is wrong.

Whatever is wrong is a ValidationError or `model.DoesNotExist`, which are for the client; knows nothing of messages.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from django.core.exceptions import ValidationError
from django.db import DatabaseError, models, router, transaction
from django.db.models import Field, ManyToManyField, Model, QuerySet

from chancelery.binding.fields import Crossing

_INTEGERS = range(-(2**63), 2**64)
_ONE_VALUE = (
    models.BooleanField,
    models.CharField,
    models.DateField,
    models.DecimalField,
    models.DurationField,
    models.FloatField,
    models.ForeignKey,
    models.GenericIPAddressField,
    models.IntegerField,
    models.TextField,
    models.TimeField,
    models.UUIDField,
)
"""Kinds of fields that no list or object of JSON is a value of, though some of them would take its text."""


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


def stored(model: type[Model]) -> QuerySet[Model]:
    """Return the objects that clients may mean, in the database that is written to."""
    return model._default_manager.using(router.db_for_write(model))


def require_storable(value: Any) -> None:
    """Raises: ValidationError for what JSON can say, but no message or no database can carry."""
    values = [value]
    while values:
        item = values.pop()
        if isinstance(item, dict):
            values += [*item, *item.values()]
        elif isinstance(item, list):
            values += item
        elif isinstance(item, str) and ("\0" in item or any("\ud800" <= letter <= "\udfff" for letter in item)):
            raise ValidationError("texts cannot have null characters or lone surrogates in them")
        elif isinstance(item, int) and item not in _INTEGERS:
            raise ValidationError("this number is too large")
        elif isinstance(item, float) and not math.isfinite(item):
            raise ValidationError("this number is not finite")


def primary_key(model: type[Model], value: Any) -> Any:
    """Return *value*, a text or a number, as *model* has it for its primary key. Raises: ValidationError."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValidationError("a primary key is a text or a number")
    require_storable(value)
    return model._meta.pk.to_python(value)


def _assign(crossing: Crossing, instance: Model, data: Mapping[str, Any]) -> _Assigned:
    errors: dict[str, ValidationError] = {}
    assigned = _Assigned([], {})
    for name, field in crossing.inward.items():
        if name not in data:
            continue
        try:
            if isinstance(field, ManyToManyField):
                assigned.related[name] = _related(field, data[name])
            else:
                setattr(instance, field.attname, _cleaned(field, data[name], instance))
        except ValidationError as error:
            errors[name] = error
        else:
            assigned.names.append(name)
    if errors:
        raise ValidationError({name: error.messages for name, error in errors.items()})
    return assigned


def _cleaned(field: Field[Any, Any], value: Any, instance: Model) -> Any:
    require_storable(value)
    wrong_kind = isinstance(value, bool) and not isinstance(field, models.BooleanField)
    if isinstance(field, _ONE_VALUE) and (isinstance(value, dict | list) or wrong_kind):
        raise ValidationError(f"this is no value for it: {type(value).__name__}")
    try:
        cleaned = field.clean(value, instance)
    except (
        TypeError,
        ValueError,
        AttributeError,
        ArithmeticError,
    ) as error:  # what fields do to kinds they do not expect
        raise ValidationError(f"this is no value for it: {type(value).__name__}") from error
    if isinstance(cleaned, float):
        require_storable(cleaned)
    return cleaned


def _related(field: ManyToManyField[Any, Any], value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValidationError("this takes a list of primary keys")
    model = field.remote_field.model
    wanted = {primary_key(model, item) for item in value}
    found = stored(model).complex_filter(field.get_limit_choices_to()).filter(pk__in=wanted).distinct()
    if wanted - set(found.values_list("pk", flat=True)):
        raise ValidationError("some of these do not exist, or cannot be chosen")
    return sorted(wanted)


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
