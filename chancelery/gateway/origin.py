"""
Which pages may open a websocket here, by the Origin header that browsers send.

Without this check any page that a user visits could open a socket in that user's name, cookies and all. Source:
RFC 6455, 10.2; RFC 6454.
"""

from __future__ import annotations

from collections.abc import Iterable

from chancelery import conf
from chancelery.security import origins


def origin_of(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """Return the Origin header, several of them joined by commas, or None when there is none (no browser)."""
    found = [value for name, value in headers if name.lower() == b"origin"]
    return b",".join(found) if found else None


def is_allowed(origin: bytes | None) -> bool:
    """Tell whether a socket with this Origin may connect: see `check_origin` in the CHANCELERY setting."""
    if origin is None or not conf.current().check_origin:
        return True
    try:
        found = origins.read(origin.decode("ascii"))
    except UnicodeDecodeError:
        return False
    return found is not None and (origins.is_allowed_host(found.host) or origins.is_trusted(found))
