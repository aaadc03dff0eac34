"""
The session that a browser has on the site, for consumers: found by the cookie that it sent with its handshake.

Only sessions that exist are opened: a socket cannot give the browser the cookie of a new one. Source: RFC 6265;
`django.contrib.sessions.middleware`.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Final, ParamSpec, TypeVar
from urllib.parse import parse_qs

from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase, UpdateError
from django.contrib.sessions.backends.signed_cookies import SessionStore as SignedCookies
from django.http import parse_cookie

from chancelery import conf
from chancelery.log import Burst, room
from chancelery.message import Message
from chancelery.sessions.connection import with_channel_session
from chancelery.sessions.surrounding import surrounded

P = ParamSpec("P")
R = TypeVar("R")

_lost = Burst(room("sessions"))

IN_URL: Final = "session_key"
"""The key of the query string that names a session where `SESSION_KEY_IN_URL` is on."""


class BrowserSession(SessionBase):
    """Added to an engine's session: one that keeps its key, since the browser would not learn of a new one."""

    def cycle_key(self) -> None:
        """Keep the key, unlike Django's: under another, the browser would be logged out of the site."""
        self.modified = True


def http_session(consumer: Callable[P, R]) -> Callable[P, R]:
    """
    Give *consumer*, a function or method, its browser's session as `message.http_session`, or None.

    It is found by the handshake, so that `websocket.connect` and `http.request` have it; None without a session that
    exists. What was changed is stored when the consumer ends, also when it raised. Raises: TypeError for an async
    function; when called, ValueError without a message.
    """
    return surrounded(consumer, with_http_session, "http_session")


def channel_and_http_session(consumer: Callable[P, R]) -> Callable[P, R]:
    """
    Do what `channel_session` and `http_session` do, and have the latter for the connection's later messages, too.

    The channel session remembers its key. When it has gone meanwhile, as by a logout, it is None. Raises: as both.
    """
    return surrounded(consumer, with_both_sessions, "channel_and_http_session")


@contextlib.contextmanager
def with_http_session(message: Message) -> Iterator[None]:
    """Within it, *message* has its `http_session`; see there. One that has found it already keeps it."""
    with _opened(message, _key_of(message)):
        yield


@contextlib.contextmanager
def with_both_sessions(message: Message) -> Iterator[None]:
    """Within it, *message* has both sessions; see `channel_and_http_session`."""
    with with_channel_session(message), _opened(message, _key_of(message) or remembered_key(message)):
        if message.http_session is not None:
            remember(message, message.http_session)
        yield


def remember(message: Message, session: SessionBase) -> None:
    """Have the connection of *message*, which has its channel session, know of the browser's *session* later on."""
    if message.channel_session.get(settings.SESSION_COOKIE_NAME) != session.session_key:
        message.channel_session[settings.SESSION_COOKIE_NAME] = session.session_key


def remembered_key(message: Message) -> str | None:
    """Return the key of the browser's session that the channel session of *message* remembers, or None."""
    key = message.channel_session.get(settings.SESSION_COOKIE_NAME)
    return str(key) if key else None


def existing_session(key: str) -> SessionBase | None:
    """Return the browser's session with this key, read, or None when there is none."""
    session = _session_class(settings.SESSION_ENGINE)(key)
    session.keys()  # reads it
    # An engine without it takes the key away, or has begun a new session in its place.
    return None if session.session_key is None or session.modified else session


@contextlib.contextmanager
def _opened(message: Message, key: str | None) -> Iterator[None]:
    if getattr(message, "http_session", None) is not None:
        yield
        return
    session = message.http_session = existing_session(key) if key else None
    try:
        yield
    finally:
        if session is not None:
            _keep(session)


def _key_of(message: Message) -> str | None:
    """Return the key that the handshake of *message* names: in its cookie or, where that is switched on, in its URL."""
    cookies = [value.decode("latin-1") for name, value in message.get("headers") or () if name == b"cookie"]
    key = parse_cookie("; ".join(cookies)).get(settings.SESSION_COOKIE_NAME)
    if not key and conf.current().session_key_in_url:
        query: bytes = message.get("query_string") or b""
        key = parse_qs(query.decode("latin-1")).get(IN_URL, [""])[0]
    return key or None


def _keep(session: SessionBase) -> None:
    if not session.modified or session.session_key is None:  # without a key it was flushed: there is nothing to keep
        return
    if isinstance(session, SignedCookies):
        _lost.say(
            "cookie", "what a socket changed in its browser's session is lost: SESSION_ENGINE keeps it in a cookie"
        )
        return
    try:
        session.save()
    except UpdateError:
        _lost.say(
            "gone", "what a socket changed in its browser's session is lost: a logout, or the like, has removed it"
        )


@functools.cache
def _session_class(engine: str) -> type[SessionBase]:
    store: type[SessionBase] = import_module(engine).SessionStore
    return type(store.__qualname__, (BrowserSession, store), {})  # the name is part of what engines sign with
