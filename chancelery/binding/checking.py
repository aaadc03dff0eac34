"""
Whether what a client says can be so: the value of a field, a primary key, what a relation refers to.

As a form would find it. Whatever is wrong is a ValidationError, which is for the client.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models, router
from django.db.models import Field, ForeignKey, ManyToManyField, Model, QuerySet

from chancelery.binding.fields import Crossing

_INTEGERS = range(-(2**63), 2**64)
_DEEPEST = 100
"""Lists within lists. Python refuses to write some that it has read, depending on who calls whom."""
_LOOKED_UP_AT_ONCE = 500
"""Databases take a query with some thousands of parameters at most."""
_ONE_VALUE = (
    models.BooleanField,
    models.CharField,
    models.DateField,
    models.DecimalField,
    models.DurationField,
    models.FloatField,
    ForeignKey,
    models.GenericIPAddressField,
    models.IntegerField,
    models.TextField,
    models.TimeField,
    models.UUIDField,
)
"""Kinds of fields that no list or object of JSON is a value of, though some of them would take its text."""


class Wrong:
    """What is wrong with a client's data, by field. `require_nothing` raises it."""

    def __init__(self) -> None:
        self._errors: dict[str, ValidationError] = {}

    @contextlib.contextmanager
    def with_field(self, name: str) -> Iterator[None]:
        """Within it, what is raised is wrong with the field *name*."""
        try:
            yield
        except ValidationError as error:
            self._errors[name] = error

    def require_nothing(self) -> None:
        """Raises: ValidationError when anything was wrong."""
        if self._errors:
            raise ValidationError({name: error.messages for name, error in self._errors.items()})


def stored(model: type[Model]) -> QuerySet[Model]:
    """Return the objects that clients may mean, in the database that is written to."""
    return model._default_manager.using(router.db_for_write(model))


def require_storable(value: Any) -> None:
    """Raises: ValidationError for what JSON can say, but no message or no database can carry."""
    level = [value]
    for _ in range(_DEEPEST):
        for item in level:
            _require_storable(item)
        level = [part for item in level for part in _parts(item)]
        if not level:
            return
    raise ValidationError("this is nested too deeply")


def _parts(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [*value, *value.values()]
    return value if isinstance(value, list) else []


def _require_storable(item: Any) -> None:
    if isinstance(item, str) and ("\0" in item or any("\ud800" <= letter <= "\udfff" for letter in item)):
        raise ValidationError("texts cannot have null characters or lone surrogates in them")
    if isinstance(item, int) and item not in _INTEGERS:
        raise ValidationError("this number is too large")
    if isinstance(item, float) and not math.isfinite(item):
        raise ValidationError("this number is not finite")


def require_valid(crossing: Crossing, data: Mapping[str, Any]) -> None:
    """Look at what of *data* may cross, but do not ask the database. Raises: ValidationError."""
    wrong = Wrong()
    for name, field in crossing.inward.items():
        if name in data and field.remote_field is None:
            with wrong.with_field(name):
                cleaned(field, data[name], crossing.model())
    wrong.require_nothing()


def primary_key(model: type[Model], value: Any) -> Any:
    """Return *value*, or the parts of it, as *model* has it for its primary key. Raises: ValidationError."""
    fields = model._meta.pk_fields
    if len(fields) == 1:
        return _key(fields[0], value)
    if not isinstance(value, list) or len(value) != len(fields):
        raise ValidationError(f"this primary key is a list of {len(fields)} texts or numbers")
    return tuple(map(_key, fields, value))


def cleaned(field: Field[Any, Any], value: Any, instance: Model) -> Any:
    """Return *value* as *field* of *instance* has it. Raises: ValidationError."""
    require_storable(value)
    if isinstance(field, _ONE_VALUE) and _is_of_another_kind(field, value):
        raise ValidationError(f"this is no value for it: {type(value).__name__}")
    try:
        if isinstance(field, ForeignKey):
            _require_choice(field, field.to_python(value))
        found = field.clean(value, instance)
    except (
        TypeError,
        ValueError,
        AttributeError,
        ArithmeticError,
    ) as error:  # what fields do to kinds they do not expect
        raise ValidationError(f"this is no value for it: {type(value).__name__}") from error
    if isinstance(found, float):
        require_storable(found)
    return found


def _require_choice(field: ForeignKey[Any, Any], value: Any) -> None:
    # The field itself looks among all rows, and would tell of those that the model's manager does not show.
    if value not in field.empty_values and not _choices(field).filter(**{field.target_field.name: value}).exists():
        raise ValidationError("this does not exist, or cannot be chosen")


def _is_of_another_kind(field: Field[Any, Any], value: Any) -> bool:
    if isinstance(value, float):
        return isinstance(field, models.IntegerField) and not value.is_integer()
    return isinstance(value, dict | list) or (isinstance(value, bool) and not isinstance(field, models.BooleanField))


def _key(field: Field[Any, Any], value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValidationError("a primary key is a text or a number")
    require_storable(value)
    try:
        return field.to_python(value)
    except (TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise ValidationError("this is no primary key of its kind") from error


def related(field: ManyToManyField[Any, Any], value: Any) -> list[Any]:
    """Return the keys of the objects that *value* says *field* refers to. Raises: ValidationError."""
    if not isinstance(value, list):
        raise ValidationError("this takes a list of primary keys")
    wanted = sorted({primary_key(field.remote_field.model, item) for item in value})
    for start in range(0, len(wanted), _LOOKED_UP_AT_ONCE):
        keys = wanted[start : start + _LOOKED_UP_AT_ONCE]
        found = _choices(field).filter(pk__in=keys).distinct()
        if set(keys) - set(found.values_list("pk", flat=True)):
            raise ValidationError("some of these do not exist, or cannot be chosen")
    return wanted


def _choices(field: ForeignKey[Any, Any] | ManyToManyField[Any, Any]) -> QuerySet[Model]:
    """Return what a form would offer for *field*."""
    return stored(field.remote_field.model).complex_filter(field.get_limit_choices_to())
