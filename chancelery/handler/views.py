"""
Between a message and the messages that answer it: Django's middleware and views, and what their response looks like.

Source: `django.core.handlers.base`; the ASGI 1 draft's Response.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Generator, Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final, cast

from asgiref.sync import iscoroutinefunction
from django.core import signals
from django.core.handlers.asgi import get_script_prefix
from django.core.handlers.base import BaseHandler
from django.http import FileResponse, HttpResponse, HttpResponseBadRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import set_script_prefix

from chancelery.exceptions import RequestAborted, RequestTimeout, ResponseLater
from chancelery.handler.request import AsgiRequest
from chancelery.handler.streams import stepped
from chancelery.message import Message
from chancelery.types import Content

_log = logging.getLogger("django.request")

Answers = Mapping[type[Exception], Callable[[], HttpResponseBase]]


class NoResponse(HttpResponse):
    """
    Goes through the middleware in place of a response, and is sent to nobody.

    As 202, and with its header, it is nothing that a cache would keep.
    """

    def __init__(self) -> None:
        super().__init__(status=202, headers={"Cache-Control": "no-store"})


def timed_out() -> HttpResponse:
    """Return what a client gets whose body did not come in time."""
    return HttpResponse("The request's body did not come in time.\n", content_type="text/plain", status=408)


# Beyond a view, Django would make a 500 of them.
_POSTPONED: Final[Answers] = {ResponseLater: NoResponse}
_UNREADABLE: Final[Answers] = {RequestAborted: NoResponse, RequestTimeout: timed_out}


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

        Nothing is yielded when the view raised ResponseLater, or when the client left before its body was read. What
        else a view raises has become a response by Django's doing; what is raised here comes from a stream's content.
        """
        set_script_prefix(get_script_prefix(message.content))
        signals.request_started.send(sender=type(self), message=message)
        response = self._response(message)
        try:
            if isinstance(response, NoResponse):
                return
            if message["method"] == "HEAD":
                yield {**_head(response), "content": b"", "more_content": False}
            else:
                yield from self.encode_response(response)
        finally:
            response.close()

    def load_middleware(self, is_async: bool = False) -> None:  # noqa: FBT001, FBT002 - Django's signature
        """As Django's; what hinders a request's body from being read is no error, be it middleware that reads it."""
        super().load_middleware(is_async)
        answers = {**_POSTPONED, **_UNREADABLE}
        before: list[Callable[..., Any]] = self._view_middleware  # type: ignore[has-type] # django-stubs do not say
        self._view_middleware = [_answering(method, answers) for method in before]

    def make_view_atomic(self, view: Callable[..., Any]) -> Callable[..., Any]:
        """As Django's. A response that comes later commits; a body that cannot be read rolls back, like any failure."""
        return _answering(super().make_view_atomic(_answering(view, _POSTPONED)), _UNREADABLE)

    @classmethod
    def encode_response(cls, response: HttpResponseBase) -> Iterator[Content]:
        """Yield *response* as messages. A streaming one ends with an empty message, also when its content raises."""
        if response.streaming:
            yield from cls._encode_stream(cast("StreamingHttpResponse", response))
            return
        head = _head(response)
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
    def _encode_stream(cls, response: StreamingHttpResponse) -> Iterator[Content]:
        if isinstance(response, FileResponse):
            response.block_size = cls.chunk_size
        end: Content = {"content": b"", "more_content": False}
        yield {**_head(response), "content": b"", "more_content": True}
        try:
            for part in stepped(response) if response.is_async else response:
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
        response = self._readable(request, self.get_response(request))
        response._handler_class = type(self)  # type: ignore[attr-defined] # noqa: SLF001 - the sender of request_finished
        return response

    def _readable(self, request: AsgiRequest, response: HttpResponseBase) -> HttpResponseBase:
        """Return *response*, unless nobody is there for it, or it is what Django made of middleware that failed so."""
        failure = request.body_failure
        if isinstance(failure, RequestAborted) or (
            isinstance(failure, RequestTimeout) and response.status_code == HTTPStatus.INTERNAL_SERVER_ERROR
        ):
            answer = _answer(failure, _UNREADABLE)
            answer._resource_closers = response._resource_closers  # type: ignore[attr-defined] # noqa: SLF001 - Django's
            return answer
        return response


def _answering(call: Callable[..., Any], answers: Answers) -> Callable[..., Any]:
    """Return *call*, but where it raises one of the exceptions of *answers*, it returns the response for it."""
    if iscoroutinefunction(call):

        @functools.wraps(call)
        async def awaited(*args: Any, **kwargs: Any) -> Any:
            try:
                return await call(*args, **kwargs)
            except tuple(answers) as error:
                return _answer(error, answers)

        return awaited

    @functools.wraps(call)
    def called(*args: Any, **kwargs: Any) -> Any:
        try:
            return call(*args, **kwargs)
        except tuple(answers) as error:
            return _answer(error, answers)

    return called


def _answer(error: Exception, answers: Answers) -> HttpResponseBase:
    return next(answer() for kind, answer in answers.items() if isinstance(error, kind))


def _head(response: HttpResponseBase) -> Content:
    found = [[name.encode("ascii"), value.encode("latin-1")] for name, value in response.items()]
    cookies = [cookie.output(header="").strip().encode("ascii") for cookie in response.cookies.values()]
    return {
        "status": response.status_code,
        "headers": [*found, *([b"Set-Cookie", cookie] for cookie in cookies)],
    }
