"""
Closes sockets when their user logs out, may no longer be here or has a new password, if `CLOSE_ON_LOGOUT` is on.

Listens to Django's signals, and sends once the transaction is committed. Which sockets those are, `following` sees to.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any, Final

from django.apps import apps
from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_out
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.backends.signed_cookies import SessionStore as SignedCookies
from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.models.signals import post_delete, post_save
from django.http import HttpRequest

from chancelery import conf
from chancelery.auth import addresses
from chancelery.auth.following import LOGGED_OUT
from chancelery.channel import Channel, Group
from chancelery.exceptions import ChanceleryError
from chancelery.log import room
from chancelery.registry import channel_layers
from chancelery.types import Content

_log = room("auth")
_SAVED_BY_LOGIN: Final = frozenset({"last_login"})
_GOODBYE: Content = {"close": LOGGED_OUT}


def close_sockets(user: Any) -> None:
    """
    Close every socket that *user* opened while `CLOSE_ON_LOGOUT` was on, with the code LOGGED_OUT, on all layers.

    For what Django has no signal for, such as `User.objects.filter(…).update(is_active=False)`. Raises:
    LayerUnavailable.
    """
    for alias in channel_layers.configs:
        _close_group(addresses.of_user(user), alias)


def listen() -> None:
    """Connect to Django's signals. To be called when all models are loaded."""
    user_logged_out.connect(_logged_out, dispatch_uid=__name__)
    for model in _user_models():
        post_save.connect(_saved, sender=model, dispatch_uid=__name__)
        post_delete.connect(_deleted, sender=model, dispatch_uid=__name__)


def _user_models() -> Iterable[type]:
    """Return the model of users, and what is derived from it: each sends signals of its own."""
    try:
        users = get_user_model()
    except ImproperlyConfigured:  # this project has no users
        return []
    return [model for model in apps.get_models() if issubclass(model, users)]


def _logged_out(request: HttpRequest, user: Any, **_: Any) -> None:
    session: SessionBase | None = getattr(request, "session", None)
    if session is None or session.session_key is None or user is None or not conf.current().close_on_logout:
        return
    group = addresses.of_session(session.session_key)
    if not isinstance(session, SignedCookies):
        # As Django does right after this: a socket that joins once the others were told has to find it gone.
        session.delete()
    _on_commit(_closing(group), user._state.db)


def _saved(instance: Any, using: str, created: bool, update_fields: frozenset[str] | None, **_: Any) -> None:  # noqa: FBT001 - Django's
    if created or update_fields == _SAVED_BY_LOGIN or not conf.current().close_on_logout:
        return
    group, login = addresses.of_user(instance), addresses.of_login(instance)
    close = functools.partial(_close_others, group, login) if getattr(instance, "is_active", True) else _closing(group)
    _on_commit(close, using)


def _deleted(instance: Any, using: str, **_: Any) -> None:
    if conf.current().close_on_logout:
        _on_commit(_closing(addresses.of_user(instance)), using)


def _on_commit(call: Callable[[str], None], using: str | None) -> None:
    """Call *call* with each layer's alias once the transaction is committed. A layer that fails is logged."""
    transaction.on_commit(functools.partial(_call_for_each_layer, call), using=using or DEFAULT_DB_ALIAS)


def _call_for_each_layer(call: Callable[[str], None]) -> None:
    for alias in channel_layers.configs:
        try:
            call(alias)
        except (ChanceleryError, ImproperlyConfigured) as error:  # nobody shall be kept from logging out by that
            _log.error("sockets of a user who has logged out, or changed, may be open still on %r: %s", alias, error)


def _closing(group: str) -> Callable[[str], None]:
    return functools.partial(_close_group, group)


def _close_group(name: str, alias: str) -> None:
    Group(name, alias).send(_GOODBYE, immediately=True)


def _close_others(name: str, but: str, alias: str) -> None:
    """Close the sockets of the group *name* that are not in the group *but*."""
    layer = channel_layers[alias].layer
    members = layer.group_channels(name)
    for channel in set(members) - set(layer.group_channels(but)) if members else ():
        Channel(channel, alias).send(_GOODBYE, immediately=True)
