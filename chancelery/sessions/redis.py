"""
A session engine that keeps each session as a hash in the shared Redis, and writes only the keys that have changed.

For `CHANNEL_SESSION_ENGINE` and `SESSION_ENGINE`; where to find the server is in `CHANCELERY_SESSIONS`, as derived by
`chancelery.deployment.Deployment`. One round trip to read a session, one to store it. Two who change different keys at
the same time do not overwrite each other.
"""

from __future__ import annotations

import functools
from typing import Any, Final, TypeGuard

from django.conf import settings
from django.contrib.sessions.backends.base import VALID_KEY_CHARS, CreateError, SessionBase, UpdateError
from django.core.exceptions import ImproperlyConfigured
from django.utils.crypto import get_random_string

from chancelery.deployment import scripts, wire
from chancelery.deployment.address import parse
from chancelery.log import Burst, room

_unreadable = Burst(room("sessions"))

_KEY_LENGTH: Final = 32
_PACKAGE: Final = "chancelery.sessions.scripts"
_LOAD = scripts.load((_PACKAGE, "load.lua"))
_SAVE = scripts.load((_PACKAGE, "save.lua"))


class SessionStore(SessionBase):
    """
    A session. Its keys are texts that are not empty; SESSION_SERIALIZER is applied to each value.

    Everything that speaks to the server raises LayerUnavailable when it does not answer, and ImproperlyConfigured when
    `CHANCELERY_SESSIONS` does not say where it is.
    """

    def __init__(self, session_key: str | None = None) -> None:
        super().__init__(session_key)
        self._stored: dict[str, bytes] | None = None
        """What is stored and was read, serialized; None when that is unknown, and saving has to replace all of it."""

    def load(self) -> dict[str, Any]:
        """Return what is stored; an empty dict, and the key is gone, when there is none."""
        found = server().read(str(self.session_key))
        if found is None:
            self._session_key = None
        values = {key: value for key, data in (found or {}).items() for value in self._read(key, data)}
        self._stored = {key: data for key, data in (found or {}).items() if key in values}
        return values

    def save(self, must_create: bool = False) -> None:  # noqa: FBT001, FBT002 - Django's signature
        """
        Store what has changed since it was read.

        Raises: CreateError when it must be new and is not, UpdateError when it has been removed meanwhile; TypeError
        for a key that is no text.
        """
        key = self.session_key
        if key is None:
            self.create()
            return
        now = self._serialized(self._get_session(no_load=must_create))  # type: ignore[attr-defined] # not in the stubs
        before = {} if must_create else self._stored
        how = "create" if must_create else "replace" if before is None else "change"
        changed = {key: data for key, data in now.items() if (before or {}).get(key) != data}
        removed = (before or {}).keys() - now.keys()
        if not server().write(key, how, self.get_expiry_age(), changed, removed):
            raise CreateError if must_create else UpdateError
        self._stored = now

    def create(self) -> None:
        """Store it under a new key."""
        while True:
            self._session_key = get_random_string(_KEY_LENGTH, VALID_KEY_CHARS)
            try:
                self.save(must_create=True)
            except CreateError:
                continue
            self.modified = True
            return

    def clear(self) -> None:
        """Empty it, also of what is stored and has not been read."""
        super().clear()
        self._stored = None

    def exists(self, session_key: str | None) -> bool:
        """Tell whether there is a session with this key."""
        return bool(session_key) and server().has(str(session_key))

    def delete(self, session_key: str | None = None) -> None:
        """Remove the session with this key, by default this one."""
        key = session_key or self.session_key
        if key is not None:
            server().remove(key)

    @classmethod
    def clear_expired(cls) -> None:
        """Do nothing: the server removes what has expired."""

    def _serialized(self, data: dict[str, Any]) -> dict[str, bytes]:
        dumps = self.serializer().dumps
        for key in data:
            if not isinstance(key, str) or not key:
                raise TypeError(f"a key of a session is a text that is not empty, not {key!r}")
        return {key: dumps(value) for key, value in data.items()}

    def _read(self, key: str, data: bytes) -> list[Any]:
        """Return the value in *data*, or nothing when it cannot be read; it stays stored then."""
        try:
            return [self.serializer().loads(data)]
        except ValueError:
            _unreadable.say(key, "the key %r of a session is left out: SESSION_SERIALIZER cannot read its value", key)
            return []


class Server:
    """Where sessions are. prefix: what their keys begin with."""

    def __init__(self, url: str, prefix: str) -> None:
        self._url = url
        self._prefix = prefix

    def read(self, key: str) -> dict[str, bytes] | None:
        """Return the fields of a session, or None."""
        found = self._wire.run(_LOAD, self._prefix + key, [])
        if found is None:
            return None
        return {name.decode(): data for name, data in zip(found[::2], found[1::2], strict=True)}

    def write(self, key: str, how: str, seconds: float, changed: dict[str, bytes], removed: set[str]) -> bool:
        """Change a session as `save.lua` has it; False when it exists and must not, or the other way round."""
        pairs = [part for pair in changed.items() for part in pair]
        return bool(
            self._wire.run(_SAVE, self._prefix + key, [how, int(seconds * 1000), len(changed), *pairs, *removed])
        )

    def has(self, key: str) -> bool:
        """Tell whether there is such a session."""
        return bool(self._wire.call("EXISTS", self._prefix + key))

    def remove(self, key: str) -> None:
        """Remove a session, if it is there."""
        self._wire.call("DEL", self._prefix + key)

    @property
    def _wire(self) -> wire.ThreadWire:
        return wire.thread_wire(self._url)


def server() -> Server:
    """Return where the settings say that sessions are. Raises: ImproperlyConfigured."""
    given = getattr(settings, "CHANCELERY_SESSIONS", None)
    if not _is_complete(given):
        raise ImproperlyConfigured(
            "chancelery.sessions.redis needs CHANCELERY_SESSIONS = {'URL': …, 'PREFIX': …}, the URL of a Redis and "
            "what its keys begin with: take the settings of chancelery.deployment.Deployment, or write it yourself"
        )
    return _server(given["URL"], given["PREFIX"])


def _is_complete(given: Any) -> TypeGuard[dict[str, str]]:
    if not isinstance(given, dict) or given.keys() != {"URL", "PREFIX"}:
        return False
    return all(isinstance(value, str) and value for value in given.values())


@functools.cache
def _server(url: str, prefix: str) -> Server:
    return Server(parse(url).for_redis(), prefix)
