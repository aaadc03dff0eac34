"""Users on their way through messages. Looked up when somebody looks at them, since most bindings do not."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.contrib.auth import get_user_model
from django.core.exceptions import ObjectDoesNotExist
from django.utils.functional import SimpleLazyObject
from django.utils.module_loading import import_string


def nobody() -> Any:
    """Return an AnonymousUser."""
    return SimpleLazyObject(_anonymous)


def key_of(user: Any) -> str | None:
    """Return what a message has for *user*: None for nobody, and in a project that has no users."""
    if not apps.is_installed("django.contrib.auth"):
        return None
    key = getattr(user, "pk", None)
    return None if key is None else str(key)


def user_of(key: str | None) -> Any:
    """Return whom `key_of` gave *key* for, or nobody when there is no such user any more."""
    return nobody() if key is None else SimpleLazyObject(lambda: _found(key))


def _found(key: str) -> Any:
    try:
        return get_user_model()._default_manager.get(pk=key)
    except ObjectDoesNotExist:
        return _anonymous()


def _anonymous() -> Any:
    # Its module cannot be imported before the apps are loaded, and this one is.
    return import_string("django.contrib.auth.models.AnonymousUser")()
