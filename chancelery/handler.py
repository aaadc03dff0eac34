"""
HTTP over channels: a message from `http.request` becomes a request for Django's own middleware and views, and their
response messages on its reply channel, sent at once.

Source: Channels 1's message formats; `django.core.handlers.asgi` for how a request is read.
"""

from __future__ import annotations

import contextlib
import functools
import io
import logging
from collections.abc import Generator, Iterator
from typing import Any, cast

from django.core import signals
from django.core.handlers.asgi import ASGIRequest, get_script_prefix
from django.core.handlers.base import BaseHandler
from django.http import HttpResponse, HttpResponseBadRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import set_script_prefix

from chancelery.message import Message
from chancelery.types import Content

_log = logging.getLogger("django.request")


class AsgiRequest(ASGIRequest):
    """
    Django's request, made from a message.

    Raises: UnicodeDecodeError for a query string that is not UTF-8.
    """

    def __init__(self, message: Message) -> None:
        self.message = message
        self.reply_channel = message.reply_channel
        super().__init__(_scope(message), io.BytesIO(message.get("body") or b""))


class AsgiHandler(BaseHandler):
    """Django's handler, between a message and the messages that answer it."""

    request_class = AsgiRequest
    chunk_size = 512 * 1024
    """Bytes of content in one message at most."""

    def __init__(self) -> None:
        super().__init__()
        self.load_middleware()

    def __call__(self, message: Message) -> Generator[Content]:
        """
        Yield the messages that answer *message*; the response is closed at the end, however that comes.

        What a view raises has become a response by Django's doing; what is raised here comes from a stream's content.
        """
        set_script_prefix(get_script_prefix(message.content))
        signals.request_started.send(sender=type(self), message=message)
        response = self._response(message)
        try:
            yield from self.encode_response(response)
        finally:
            response.close()

    @classmethod
    def encode_response(cls, response: HttpResponseBase) -> Iterator[Content]:
        """Yield *response* as messages. A streaming one ends with an empty message, also when its content raises."""
        head: Content = {"status": response.status_code, "headers": _headers(response)}
        if response.streaming:
            yield from cls._encode_stream(head, cast("StreamingHttpResponse", response))
            return
        for chunk, is_last in cls.chunk_bytes(cast("HttpResponse", response).content):
            yield {**head, "content": chunk, "more_content": not is_last}
            head = {}

    @classmethod
    def chunk_bytes(cls, data: bytes) -> Iterator[tuple[bytes, bool]]:
        """Yield *data* in chunks of `chunk_size`, each with whether it is the last. There is one at least."""
        for start in range(0, max(len(data), 1), cls.chunk_size):
            end = start + cls.chunk_size
            yield data[start:end], end >= len(data)

    @classmethod
    def _encode_stream(cls, head: Content, response: StreamingHttpResponse) -> Iterator[Content]:
        end: Content = {"content": b"", "more_content": False}
        yield {**head, "content": b"", "more_content": True}
        try:
            for part in response:
                for chunk, _ in cls.chunk_bytes(part):
                    yield {"content": chunk, "more_content": True}
        except Exception:
            yield end  # or the client would wait for more
            raise
        yield end

    def _response(self, message: Message) -> HttpResponseBase:
        try:
            request = self.request_class(message)
        except UnicodeDecodeError:
            _log.warning("Bad Request (UnicodeDecodeError)", exc_info=True, extra={"status_code": 400})
            return HttpResponseBadRequest()
        return self.get_response(request)


class ViewConsumer:
    """The consumer for requests that no other route takes: the project's views, by its URLconf."""

    handler_class = AsgiHandler

    def __call__(self, message: Message, **_: Any) -> None:
        """
        Answer *message* at once.

        Raises: ChannelFull when there was no room for a part of the response; what a stream's content raises.
        """
        if message.reply_channel is None:
            raise ValueError(f"{message!r} has no reply_channel: nobody to respond to")
        with contextlib.closing(self._handler(message)) as contents:
            for content in contents:
                message.reply_channel.send(content, immediately=True)

    @functools.cached_property
    def _handler(self) -> AsgiHandler:
        return self.handler_class()


view_consumer = ViewConsumer()


def _scope(message: Message) -> dict[str, Any]:
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


def _headers(response: HttpResponseBase) -> list[list[bytes]]:
    found = [[name.encode("ascii"), value.encode("latin-1")] for name, value in response.items()]
    cookies = [cookie.output(header="").strip().encode("ascii") for cookie in response.cookies.values()]
    return [*found, *([b"Set-Cookie", cookie] for cookie in cookies)]
