"""
The groups that a logout is sent to. Their names tell nobody a session's key or a password's hash: both are hashed.
"""

from __future__ import annotations

import hashlib
from typing import Any


def of_session(key: str) -> str:
    """Return the group of the sockets that were opened with the browser's session of this key."""
    return _named("session", key)


def of_user(user: Any) -> str:
    """Return the group of the sockets of *user*."""
    return _named("user", f"{user._meta.concrete_model._meta.label_lower} {user.pk}")


def of_login(user: Any) -> str:
    """Return the group of those of them that were opened with the password, or what else logins depend on, of now."""
    get_hash = getattr(user, "get_session_auth_hash", str)
    return _named("login", f"{of_user(user)} {get_hash()}")


def of_socket(user: Any, key: str | None) -> list[str]:
    """Return the groups of a socket of *user* whose browser has the session of this key, or none, in joining order."""
    # A member of the second that is not one of the first is closed when the user is saved.
    names = [of_login(user), of_user(user)]
    return [*names, of_session(key)] if key else names


def _named(kind: str, what: str) -> str:
    return f"chancelery.{kind}.{hashlib.sha256(what.encode()).hexdigest()[:32]}"
