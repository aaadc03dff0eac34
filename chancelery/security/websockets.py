"""
Decorators for consumers of `websocket.connect` that turn away pages of other sites, by the Origin that browsers send.

The gateway checks the Origin already, see `check_origin`; `allowed_hosts_only` is stricter: there has to be one, and
its scheme and port count, too. Source: RFC 6455, 10.2; names of Channels 1.
"""

from __future__ import annotations

import functools
from types import MethodType
from typing import Any, Self

from asgiref.sync import markcoroutinefunction
from django.conf import settings
from django.http.request import split_domain_port

from chancelery.exceptions import DenyConnection
from chancelery.message import Message
from chancelery.routing import Consumer, is_async
from chancelery.security import origins
from chancelery.sessions.surrounding import message_among


class BaseOriginValidator:
    """
    Decorates a consumer, a function or method, plain or async. `validate_origin` is to be overridden.

    When called: raises DenyConnection, before the consumer is, for an Origin that is missing, empty, not ASCII, more
    than one or not valid; ValueError without a message.
    """

    def __init__(self, func: Consumer) -> None:
        functools.update_wrapper(self, func)
        self.func = func
        if is_async(func):
            markcoroutinefunction(self)

    def __get__(self, instance: object, owner: type | None = None) -> Self | MethodType:
        """Return this as a method of *instance*."""
        return self if instance is None else MethodType(self, instance)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the consumer if the message's Origin is valid."""
        message = message_among(args, type(self).__name__)
        if not self.validate_origin(message, self.get_origin(message)):
            raise DenyConnection
        return self.func(*args, **kwargs)

    def get_header(self, message: Message, name: bytes) -> list[bytes]:
        """Return the values of the header *name*, in lower case. Raises: KeyError when there is none."""
        found = [value for key, value in message.get("headers") or () if key == name]
        if not found:
            raise KeyError(f"no header named {name!r}")
        return found

    def get_origin(self, message: Message) -> str:
        """Return the Origin of *message*. Raises: DenyConnection when there is not one that can be read."""
        try:
            [origin] = self.get_header(message, b"origin")
            found = origin.decode("ascii")
        except (KeyError, ValueError):
            raise DenyConnection from None
        if not found:
            raise DenyConnection
        return found

    def validate_origin(self, message: Message, origin: str) -> bool:
        """Tell whether a page of *origin* may open this socket."""
        raise NotImplementedError(
            f"{type(self).__name__} does not say which origins are valid: give it validate_origin"
        )


class AllowedHostsOnlyOriginValidator(BaseOriginValidator):
    """
    Admits pages of this site only: of a host in ALLOWED_HOSTS, and of the port that the socket was opened on.

    A socket that came by TLS admits none that came without. Other origins are admitted if CSRF_TRUSTED_ORIGINS has
    them. DEBUG with empty ALLOWED_HOSTS allows localhost in all its forms.
    """

    def validate_origin(self, message: Message, origin: str) -> bool:
        """See the class."""
        found = origins.read(origin)
        if found is None:
            return False
        return origins.is_trusted(found) or (
            found.scheme in _admitted_schemes(message)
            and found.port == self._port(message, found)
            and origins.is_allowed_host(found.host)
        )

    def _port(self, message: Message, origin: origins.Origin) -> str:
        """Return the port that the socket was opened on, as the browser said: none means that of the scheme."""
        try:
            host = self.get_header(message, _host_header())[0].decode("latin-1")
        except KeyError:
            return origin.port  # the server does not tell
        return split_domain_port(host)[1] or origins.default_port(origin.scheme)


allowed_hosts_only = AllowedHostsOnlyOriginValidator


def _admitted_schemes(message: Message) -> tuple[str, ...]:
    # Behind a proxy that ends TLS without saying so, wss looks like ws.
    return ("https",) if message.get("scheme") == "wss" else ("http", "https")


def _host_header() -> bytes:
    return b"x-forwarded-host" if settings.USE_X_FORWARDED_HOST else b"host"
