"""
A session per connection: what a consumer keeps in it is there for the next message of the same reply channel.

Stored by Django's session engines, under a key that is made from the reply channel and SECRET_KEY. Its reads and writes
need no lock: a lane has the messages of one connection handled one at a time. Source:
`django.contrib.sessions.backends`.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, Final, ParamSpec, TypeVar

from django.conf import settings
from django.contrib.sessions.backends.base import CreateError, SessionBase, UpdateError
from django.contrib.sessions.backends.signed_cookies import SessionStore as SignedCookies
from django.utils.crypto import salted_hmac

from chancelery.exceptions import ConsumeLater, InvalidSessionEngine
from chancelery.message import Message
from chancelery.sessions.surrounding import surrounded

P = ParamSpec("P")
R = TypeVar("R")

_SALT: Final = "chancelery.channel_session"


class ChannelSession(SessionBase):
    """
    Added to an engine's session: one that keeps its key.

    Django's login and logout give a session a new key or none, which the browser learns of by a cookie. A connection
    learns nothing, so that its session would be lost.
    """

    def __init__(self, session_key: str) -> None:
        super().__init__(session_key)
        self._pinned_key = session_key
        self._is_stored = True

    def load(self) -> dict[str, Any]:
        """Return what is stored, or an empty dict."""
        data = super().load()
        if self.session_key is None:  # how engines say that nothing is stored
            self._begin_anew()
        return data

    def save(self, must_create: bool = False) -> None:  # noqa: FBT001, FBT002 - Django's signature
        """Store it under its key."""
        super().save(must_create=must_create or not self._is_stored)
        self._is_stored = True

    def create(self) -> None:
        """Store it under its key; there is no other for it."""
        self.keep()

    def keep(self) -> None:
        """Store it whether it is stored or not."""
        try:
            self.save()
        except (CreateError, UpdateError):  # stored, or removed, by somebody else since it was loaded
            self._is_stored = not self._is_stored
            self.save()

    def cycle_key(self) -> None:
        """Keep the key, unlike Django's."""
        self.modified = True

    def flush(self) -> None:
        """Remove it with all that is in it, but keep the key."""
        self.clear()
        self.delete(self._pinned_key)
        self._begin_anew()

    def is_empty(self) -> bool:
        """Tell whether there is nothing in it."""
        return not self.keys()

    @property
    def is_worth_keeping(self) -> bool:
        """Whether it says something else than what is stored."""
        return self.modified and (self._is_stored or not self.is_empty())

    def _begin_anew(self) -> None:
        self._session_key = self._pinned_key
        self._is_stored = False


def session_for_reply_channel(reply_channel: str) -> ChannelSession:
    """
    Return the session of a connection, by the name of its reply channel. It is read when it is first used.

    Raises: InvalidSessionEngine when sessions are kept in cookies, of which sockets have none.
    """
    # Not to be told from the name, which logs show: where browsers' sessions are in the same place, whoever has the key
    # could send it as a cookie, and be the connection's user.
    key = "chn" + salted_hmac(_SALT, reply_channel, algorithm="sha256").hexdigest()[:29]
    return session_class(engine_name())(key)


def channel_session(consumer: Callable[P, R]) -> Callable[P, R]:
    """
    Give *consumer*, a function or method, its connection's session as `message.channel_session`.

    What was changed is stored when it ends, also when it raised; after `websocket.disconnect` the session is removed.
    Raises: TypeError for an async function. When called: ValueError without a message that has a reply channel; as
    `session_for_reply_channel`.
    """
    return surrounded(consumer, with_channel_session, "channel_session")


@contextlib.contextmanager
def with_channel_session(message: Message) -> Iterator[None]:
    """Within it, *message* has its `channel_session`; see there. One that has it already keeps it."""
    if getattr(message, "channel_session", None) is not None:
        yield
        return
    if message.reply_channel is None:
        raise ValueError(f"channel_session: {message!r} has no reply_channel, and so no session")
    session = message.channel_session = session_for_reply_channel(message.reply_channel.name)
    is_last = message.channel.name == "websocket.disconnect"
    try:
        yield
    except ConsumeLater:
        is_last = is_last and message.__doomed__
        raise
    finally:
        if is_last:
            session.flush()
        elif session.is_worth_keeping:
            session.keep()


def engine_name() -> str:
    """Return the dotted name of the engine that keeps channel sessions."""
    return str(getattr(settings, "CHANNEL_SESSION_ENGINE", None) or settings.SESSION_ENGINE)


@functools.cache
def session_class(engine: str) -> type[ChannelSession]:
    """Return the class of channel sessions that *engine* keeps. Raises: InvalidSessionEngine when it cannot."""
    try:
        store: type[SessionBase] = import_module(engine).SessionStore
    except (ImportError, AttributeError) as error:
        raise InvalidSessionEngine(
            f"channel sessions cannot be kept by {engine}, which is no module with a SessionStore ({error}): set "
            f"CHANNEL_SESSION_ENGINE to one, such as chancelery.sessions.redis"
        ) from error
    if issubclass(store, SignedCookies):
        raise InvalidSessionEngine(
            f"channel sessions cannot be kept in cookies ({engine}): a socket has none to write to. Set "
            f"CHANNEL_SESSION_ENGINE or SESSION_ENGINE to another, such as django.contrib.sessions.backends.cache"
        )
    # What an engine signs, it signs with its class's name: Django's own tools shall be able to read these, too.
    return type(store.__qualname__, (ChannelSession, store), {})
