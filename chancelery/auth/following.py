"""
What a socket does so that a logout reaches it: as it connects it joins the groups that `closing` sends to, and with
`RECHECK_USER` it is looked at again before each of its messages is handled.
"""

from __future__ import annotations

from typing import Any, Final

from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.base import SessionBase

from chancelery import conf
from chancelery.auth import addresses
from chancelery.channel import Group
from chancelery.exceptions import WebsocketCloseException
from chancelery.message import Message
from chancelery.sessions.browser import existing_session, remembered_key

LOGGED_OUT: Final = 4401
"""The code that a socket is closed with when its user has logged out, or may no longer be here."""


def follow(message: Message) -> None:
    """
    Do for the socket of *message*, whose user is known, what `CLOSE_ON_LOGOUT` and `RECHECK_USER` ask for.

    Raises: WebsocketCloseException when it shall be closed instead of being heard.
    """
    if message.channel.name == "websocket.connect":
        if conf.current().close_on_logout:
            _join(message)
    elif message.channel.name != "websocket.disconnect" and conf.current().recheck_user:
        _recheck(message)


def _join(message: Message) -> None:
    user: Any = message.user
    if message.reply_channel is None or not user.is_authenticated:
        return
    key = _browser_key(message)
    for name in addresses.of_socket(user, key):
        Group(name, channel_layer=message.channel_layer).add(message.reply_channel)
    # Who logged out before the socket was a member was not heard by it.
    if not _is_here(user, key):
        raise WebsocketCloseException(LOGGED_OUT)


def _recheck(message: Message) -> None:
    session = getattr(message, "channel_session", None)
    # Looked up before the user: Django empties the session of one whose password has changed.
    if session is None or SESSION_KEY not in session:
        return
    key = remembered_key(message)
    if not message.user.is_authenticated or not _is_known(message.user, key):
        raise WebsocketCloseException(LOGGED_OUT)


def _browser_key(message: Message) -> str | None:
    session: SessionBase | None = getattr(message, "http_session", None)
    if session is not None:
        return session.session_key
    return remembered_key(message) if getattr(message, "channel_session", None) is not None else None


def _is_here(user: Any, key: str | None) -> bool:
    """Tell whether *user* is stored as they were read just now, and logged in by the session with this key."""
    users = user.__class__._default_manager.using(user._state.db)
    stored = users.filter(pk=user.pk).first()
    if stored is None or stored.is_active != user.is_active or addresses.of_login(stored) != addresses.of_login(user):
        return False
    return _is_known(user, key)


def _is_known(user: Any, key: str | None) -> bool:
    """Tell whether *user* is logged in by the browser's session with this key; without a key there is none to ask."""
    if key is None:
        return True
    session = existing_session(key)
    return session is not None and session.get(SESSION_KEY) == user._meta.pk.value_to_string(user)
