"""
Which pages may open a websocket here, by the Origin header that browsers send.

Without this check any page that a user visits could open a socket in that user's name, cookies and all. Knows Django's
settings; nothing of sockets. Source: RFC 6455, 10.2; RFC 6454.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from django.conf import settings
from django.http.request import split_domain_port, validate_host
from django.utils.http import is_same_domain

from chancelery import conf

_LOCAL = [".localhost", "127.0.0.1", "[::1]"]


def origin_of(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """Return the Origin header, several of them joined by commas, or None when there is none (no browser)."""
    found = [value for name, value in headers if name.lower() == b"origin"]
    return b",".join(found) if found else None


def is_allowed(origin: bytes | None) -> bool:
    """Tell whether a socket with this Origin may connect: see `check_origin` in the CHANCELERY setting."""
    if origin is None or not conf.current().check_origin:
        return True
    try:
        parts = urlsplit(origin.decode("ascii"))
    except ValueError:
        return False
    domain, _ = split_domain_port(parts.netloc)
    if not parts.scheme or not domain:
        return False
    return validate_host(domain, _allowed_hosts()) or _is_trusted(parts.scheme, parts.netloc.lower())


def _allowed_hosts() -> list[str]:
    if settings.DEBUG and not settings.ALLOWED_HOSTS:
        return _LOCAL
    return list(settings.ALLOWED_HOSTS)


def _is_trusted(scheme: str, netloc: str) -> bool:
    for trusted in settings.CSRF_TRUSTED_ORIGINS:
        parts = urlsplit(trusted)
        if parts.scheme == scheme and is_same_domain(netloc, parts.netloc.lower().lstrip("*")):
            return True
    return False
