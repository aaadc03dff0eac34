"""Decorators that tell a consumer who is at the other end: by the browser's session, the connection's, or both."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any, Final, ParamSpec, TypeVar

from django.contrib import auth
from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from chancelery.auth import following
from chancelery.message import Message
from chancelery.sessions.browser import remember, remembered_key, with_both_sessions, with_http_session
from chancelery.sessions.connection import with_channel_session
from chancelery.sessions.surrounding import surrounded

P = ParamSpec("P")
R = TypeVar("R")

_KEYS: Final = (auth.SESSION_KEY, auth.BACKEND_SESSION_KEY, auth.HASH_SESSION_KEY)


def transfer_user(from_session: SessionBase, to_session: SessionBase) -> None:
    """Let whoever is logged in by *from_session* be so by *to_session*; nobody is, nothing changes."""
    if all(key in from_session for key in _KEYS):
        for key in _KEYS:
            to_session[key] = from_session[key]


def channel_session_user(consumer: Callable[P, R]) -> Callable[P, R]:
    """
    Do what `channel_session` does, and set `message.user` to whom the channel session knows.

    The user is read when it is first looked at. Raises: as `channel_session`.
    """
    return surrounded(consumer, _with_user_of_connection, "channel_session_user")


def http_session_user(consumer: Callable[P, R]) -> Callable[P, R]:
    """Do what `http_session` does, and set `message.user` to whom that session knows. Raises: as `http_session`."""
    return surrounded(consumer, _with_user_of_browser, "http_session_user")


def channel_session_user_from_http(consumer: Callable[P, R]) -> Callable[P, R]:
    """
    Do what `channel_session` and `http_session` do, and set `message.user`.

    As a socket connects that is whom the browser's session knows, and the channel session knows them from then on.
    Raises: as `channel_session`.
    """
    return surrounded(consumer, _with_user_from_browser, "channel_session_user_from_http")


def channel_and_http_session_user_from_http(consumer: Callable[P, R]) -> Callable[P, R]:
    """
    Do what `channel_and_http_session` does, and set `message.user` to whom the browser's session knows now.

    After a logout that is nobody, at the socket's next message. Raises: as `channel_session`.
    """
    return surrounded(consumer, _with_user_and_both_sessions, "channel_and_http_session_user_from_http")


@contextlib.contextmanager
def _with_user_of_connection(message: Message) -> Iterator[None]:
    with with_channel_session(message):
        _introduce(message, message.channel_session)
        yield


@contextlib.contextmanager
def _with_user_of_browser(message: Message) -> Iterator[None]:
    with with_http_session(message):
        _introduce(message, message.http_session)
        yield


@contextlib.contextmanager
def _with_user_from_browser(message: Message) -> Iterator[None]:
    with with_channel_session(message), with_http_session(message):
        found = message.http_session
        if found is not None and auth.SESSION_KEY in found:
            transfer_user(found, message.channel_session)
            remember(message, found)
        _introduce(message, message.channel_session)
        yield


@contextlib.contextmanager
def _with_user_and_both_sessions(message: Message) -> Iterator[None]:
    with with_both_sessions(message):
        found = message.http_session
        if found is not None:
            transfer_user(found, message.channel_session)
        known = message.channel_session if found is None and not remembered_key(message) else found
        _introduce(message, known)
        yield


def _introduce(message: Message, session: SessionBase | None) -> None:
    """Set `message.user`, unless another decorator has found somebody already. Raises: as `following.follow`."""
    known = getattr(message, "user", None)
    if known is None or not known.is_authenticated:
        message.user = SimpleLazyObject(functools.partial(_user_of, session))
    following.follow(message)


def _user_of(session: SessionBase | None) -> Any:
    request = HttpRequest()
    request.session = SessionBase() if session is None else session
    return auth.get_user(request)
