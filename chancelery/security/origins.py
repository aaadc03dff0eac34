"""
What an Origin header says, and which hosts and origins the settings trust.

Knows Django's settings; nothing of sockets. Source: RFC 6454; `django.middleware.csrf` for CSRF_TRUSTED_ORIGINS.
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import urlsplit

from django.conf import settings
from django.http.request import split_domain_port, validate_host
from django.utils.http import is_same_domain

LOCAL = (".localhost", "127.0.0.1", "[::1]")
"""What DEBUG without ALLOWED_HOSTS allows, as Django does."""
_PORTS = {"http": "80", "https": "443"}


class Origin(NamedTuple):
    """Where a page is from."""

    scheme: str
    netloc: str
    """Host and, unless it is the scheme's own, port; in lower case."""
    host: str
    port: str
    """The port, also if it was not written; an empty text for a scheme without one."""


def read(text: str) -> Origin | None:
    """Return what *text* says, or None when it names no host, as `null` does."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return None
    host, port = split_domain_port(parts.netloc)
    if not parts.scheme or not host:
        return None
    return Origin(parts.scheme, parts.netloc.lower(), host, port or default_port(parts.scheme))


def default_port(scheme: str) -> str:
    """Return the port that needs not be written, or an empty text when *scheme* has none."""
    return _PORTS.get(scheme, "")


def is_allowed_host(host: str) -> bool:
    """Tell whether *host* is in ALLOWED_HOSTS."""
    if settings.DEBUG and not settings.ALLOWED_HOSTS:
        return validate_host(host, LOCAL)
    return validate_host(host, settings.ALLOWED_HOSTS)


def is_trusted(origin: Origin) -> bool:
    """Tell whether *origin*, with its scheme and port, is in CSRF_TRUSTED_ORIGINS."""
    for trusted in settings.CSRF_TRUSTED_ORIGINS:
        parts = urlsplit(trusted)
        if parts.scheme == origin.scheme and is_same_domain(origin.netloc, parts.netloc.lower().lstrip("*")):
            return True
    return False
