"""What a view gets: Django's own request, made from a message."""

from __future__ import annotations

import io
from typing import Any, ClassVar

from django.core.handlers.asgi import ASGIRequest

from chancelery import exceptions
from chancelery.exceptions import ChanceleryError
from chancelery.handler.body import READ_BYTES, Body
from chancelery.message import Message


class AsgiRequest(ASGIRequest):
    """
    Django's request, made from a message.

    `message` is that message, `reply_channel` where its response goes. Raises: UnicodeDecodeError for a query string
    that is not UTF-8.
    """

    body_receive_timeout = 60
    """Seconds to wait for each part of a body that did not come at once."""

    ResponseLater: ClassVar = exceptions.ResponseLater
    """To be raised by a view whose response somebody else sends to `reply_channel`."""

    def __init__(self, message: Message) -> None:
        self.message = message
        self.reply_channel = message.reply_channel
        self._incoming = Body(message, self.body_receive_timeout)
        super().__init__(scope_of(message), io.BufferedReader(self._incoming, READ_BYTES))

    @property
    def body_failure(self) -> ChanceleryError | None:
        """Why the body could not be read to its end; None when nothing went wrong."""
        return self._incoming.failure


def scope_of(message: Message) -> dict[str, Any]:
    """Return *message* as the ASGI scope that Django's request reads."""
    return {
        "type": "http",
        "method": message["method"],
        "scheme": message.get("scheme", "http"),
        "path": message["path"],
        "query_string": message.get("query_string", b""),
        "root_path": message.get("root_path", ""),
        "headers": _joined(message.get("headers", [])),
        "client": message.get("client"),
        "server": message.get("server"),
    }


def _joined(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return *headers* with one cookie header: Django joins several by a comma, which cookies do not know."""
    cookies = [value for name, value in headers if name == b"cookie"]
    if len(cookies) < 2:  # noqa: PLR2004 - several
        return headers
    return [*((name, value) for name, value in headers if name != b"cookie"), (b"cookie", b"; ".join(cookies))]
