"""
Turns an ASGI 3 HTTP request into a message, and response messages into events.

Pure: no I/O, no Django. Source: ASGI specification, HTTP; message formats of the ASGI 1 draft.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple, TypeAlias

from chancelery import names
from chancelery.gateway.protocols import Action, BadReply, Event, Scope
from chancelery.types import Content

REQUEST: Final = "http.request"
DISCONNECT: Final = "http.disconnect"
BODY: Final = "http.request.body?"
"""What the name of a `body_channel` begins with."""

_KEYS: Final = frozenset({"status", "headers", "content", "more_content", "confirm"})
_STATUSES: Final = range(100, 600)
_LONGEST_LENGTH: Final = 20
"""Digits. Python refuses to read very long numbers; these are larger than any limit, too."""
_FORGES_HEADERS: Final = re.compile(rb"[\r\n\0]")
_ERRORS: Final = {
    408: b"The request's body did not come in time.\n",
    413: b"The request's body is larger than this server takes.\n",
    503: b"This server cannot answer now. Try again later.\n",
}

Headers: TypeAlias = "tuple[tuple[bytes, bytes], ...]"


class Start(NamedTuple):
    """The status and headers of a response."""

    status: int
    headers: Headers = ()
    size: int = 0

    @property
    def event(self) -> Event:
        """See `Action`."""
        return {"type": "http.response.start", "status": self.status, "headers": list(self.headers)}


class Body(NamedTuple):
    """A piece of a response's body."""

    content: bytes
    more: bool = False

    @property
    def event(self) -> Event:
        """See `Action`."""
        return {"type": "http.response.body", "body": self.content, "more_body": self.more}

    @property
    def size(self) -> int:
        """See `Action`."""
        return len(self.content)


class Response(NamedTuple):
    """One message of a response; the first has a status, the last has `more` False."""

    status: int | None
    headers: Headers
    content: bytes
    more: bool
    confirm: str = ""
    """A channel on which its sender waits to hear that the client has been handed all so far."""


def declared_length(scope: Scope) -> int:
    """Return how long the body of a request says that it is; 0 when it does not say."""
    declared = next((value for name, value in scope.get("headers", ()) if name.lower() == b"content-length"), b"")
    return int(declared[:_LONGEST_LENGTH]) if declared.isdigit() else 0


def request_message(scope: Scope, reply_channel: str, body: bytes, body_channel: str = "") -> Content:
    """
    Return the content of `http.request` for a request with *scope*, whose whole body is *body*.

    With *body_channel*, that is the first part, and the others follow there. `confirms` says that `confirm` in a
    response is answered.
    """
    message: Content = {
        "reply_channel": reply_channel,
        "http_version": scope.get("http_version") or "1.1",
        "method": scope["method"].upper(),
        "scheme": scope.get("scheme") or "http",
        "path": scope["path"],
        "query_string": scope.get("query_string") or b"",
        "root_path": scope.get("root_path") or "",
        "headers": [[name.lower(), value] for name, value in scope.get("headers", ())],
        "body": body,
        "client": scope.get("client"),
        "server": scope.get("server"),
        "confirms": True,
    }
    return {**message, "body_channel": body_channel} if body_channel else message


def body_message(part: bytes, *, more: bool) -> Content:
    """Return the content for a further part of a body."""
    return {"content": part, "more_content": more}


def broken_off_message() -> Content:
    """Return the content that stands for the rest of a body, when the client does not send it."""
    return {"content": b"", "more_content": False, "closed": True}


def confirmation_message(*, closed: bool) -> Content:
    """Return what the sender of a response is told: its client has all so far, or is gone."""
    return {"closed": closed}


def confirmation_asked(content: Content) -> str:
    """Return the channel on which the sender of *content* waits for a confirmation; empty when it does not."""
    channel = content.get("confirm") or ""
    try:
        return names.require_channel(channel) if channel else ""
    except TypeError as problem:
        raise BadReply(f"confirm is a channel: {problem}") from problem


def disconnect_message(reply_channel: str, path: str) -> Content:
    """Return the content of `http.disconnect`, for a client that left before its response was complete."""
    return {"reply_channel": reply_channel, "path": path}


def read_response(content: Content) -> Response:
    """Return what *content*, sent to a request, is of its response. Raises: BadReply, which says what is wrong."""
    if "request" in content:
        raise BadReply("server push, by the key 'request', is no more: browsers have given it up")
    unknown = content.keys() - _KEYS
    if unknown:
        raise BadReply(f"unknown key {min(unknown)!r}; a response has {', '.join(sorted(_KEYS))}")
    body = content.get("content")
    if body is not None and not isinstance(body, bytes):
        raise BadReply(f"content is a bytes, not {type(body).__name__}")
    more = bool(content.get("more_content"))
    return Response(_status(content), _headers(content), body or b"", more, confirmation_asked(content))


def answer(response: Response, *, started: bool) -> tuple[Action, ...]:
    """Return what to do. Raises: BadReply for a second status, or a first message without one."""
    if started and response.status is not None:
        raise BadReply(f"a second status, {response.status}: the response has begun")
    if not started and response.status is None:
        raise BadReply("no status: the first message of a response has one")
    body = Body(response.content, response.more)
    return (body,) if response.status is None else (Start(response.status, response.headers), body)


def error(status: int) -> tuple[Action, ...]:
    """Return a whole response for the gateway's own errors: a status and one plain sentence."""
    text = _ERRORS[status]
    headers = ((b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(text)).encode()))
    return (Start(status, headers), Body(text))


def _status(content: Content) -> int | None:
    status = content.get("status")
    if status is None or (type(status) is int and status in _STATUSES):
        return status
    raise BadReply(f"status is a number from 100 to 599, not {status!r}")


def _headers(content: Content) -> Headers:
    headers = content.get("headers") or ()
    try:
        return tuple((_header_bytes(name), _header_bytes(value)) for name, value in headers)  # type: ignore[union-attr,misc]
    except (TypeError, ValueError) as problem:
        raise BadReply(f"headers is a list of [name, value], each bytes: {problem}") from problem


def _header_bytes(part: object) -> bytes:
    if isinstance(part, str):
        part = part.encode("latin-1")
    if not isinstance(part, bytes):
        raise TypeError(f"{part!r} is a {type(part).__name__}")
    if _FORGES_HEADERS.search(part):  # servers do not all look
        raise ValueError(f"{part!r} would be more than one line")
    return part
