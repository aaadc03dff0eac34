"""
Which fields of a model cross between a binding's objects and its clients, and as what.

Nothing that is not declared crosses, in either direction. Source of the forms on the wire: Django's serializers.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Field, FileField, FilePathField, GeneratedField, ManyToManyField, Model
from django.utils.encoding import is_protected_type

ALL = "__all__"


@dataclass(frozen=True, kw_only=True)
class Crossing:
    """The fields of *model* that cross, by name."""

    model: type[Model]
    outward: Mapping[str, Field[Any, Any]]
    inward: Mapping[str, Field[Any, Any]]
    """Those that a client may set: nothing of the primary key, no files, and nothing that forms would not let edit."""

    def data(self, instance: Model) -> dict[str, Any]:
        """Return what clients are told of *instance*, in types of JSON."""
        found = {name: _plain(field, instance) for name, field in self.outward.items()}
        return dict(json.loads(json.dumps(found, cls=DjangoJSONEncoder)))


def crossing(owner: str, model: type[Model], fields: Any, exclude: Any) -> Crossing:
    """
    Return what the attributes *fields* and *exclude* of the binding *owner* let cross.

    Raises: ValueError when there is neither, or a name that the model has not.
    """
    known = _fields_of(model)
    if fields is None and exclude is None:
        raise ValueError(f'{owner} needs fields = ["name", …], or exclude: what of {model.__name__} may cross?')
    whole = fields is None or fields == ALL or list(fields) == [ALL]
    wanted = (
        [name for name, field in known.items() if not _is_key(field, model)] if whole else _names(owner, fields, known)
    )
    unwanted = _names(owner, exclude or (), known)
    outward = {name: known[name] for name in wanted if name not in unwanted}
    inward = {name: field for name, field in outward.items() if not _is_key(field, model) and _may_be_set(field)}
    return Crossing(model=model, outward=outward, inward=inward)


def _fields_of(model: type[Model]) -> dict[str, Field[Any, Any]]:
    return {field.name: field for field in (*model._meta.concrete_fields, *model._meta.many_to_many)}


def _names(owner: str, given: Iterable[str], known: Mapping[str, object]) -> list[str]:
    if isinstance(given, str):
        raise ValueError(f"fields and exclude of {owner} are lists of names, not the text {given!r}")  # noqa: TRY004 - Channels 1's error
    names = list(given)
    for name in names:
        if name not in known:
            raise ValueError(f"{owner} names the field {name!r}; those of its model are {', '.join(known)}")
    return names


def _may_be_set(field: Field[Any, Any]) -> bool:
    if isinstance(field, ManyToManyField):
        through = field.remote_field.through
        return bool(field.editable and through and through._meta.auto_created)
    # A path is not checked by its field, but by the form, which offers some.
    return field.editable and not isinstance(field, FileField | FilePathField | GeneratedField)


def _is_key(field: Field[Any, Any], model: type[Model]) -> bool:
    """Tell whether *field* is the primary key of *model*, or a part of it: with another key it is another object."""
    return field.primary_key or field in model._meta.pk_fields


def _plain(field: Field[Any, Any], instance: Model) -> Any:
    if isinstance(field, ManyToManyField):
        return list(getattr(instance, field.name).order_by("pk").values_list("pk", flat=True))
    value = field.value_from_object(instance)
    return value if is_protected_type(value) else field.value_to_string(instance)
