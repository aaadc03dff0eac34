"""
Static files over channels, for development: before the views, by Django's own finders.

`runserver` uses them under DEBUG, or with `--insecure`. They are not made for production.
"""

from __future__ import annotations

from typing import cast
from urllib.parse import urlparse

from django.contrib.staticfiles.handlers import StaticFilesHandlerMixin
from django.core.handlers.exception import convert_exception_to_response
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from chancelery.handler import AsgiHandler, ViewConsumer


class StaticFilesHandler(StaticFilesHandlerMixin, AsgiHandler):
    """Serves what lies below STATIC_URL itself, without middleware; everything else as `AsgiHandler`."""

    def __init__(self) -> None:
        self.base_url = urlparse(self.get_base_url())
        super().__init__()

    def load_middleware(self, is_async: bool = False) -> None:  # noqa: FBT001, FBT002 - Django's signature
        """As `AsgiHandler`: here, the views are on this side of it."""
        AsgiHandler.load_middleware(self, is_async)

    def get_response(self, request: HttpRequest) -> HttpResponseBase:
        """Return the static file that *request* is for, or what middleware and views answer."""
        if not self._should_handle(request.path):
            return AsgiHandler.get_response(self, request)
        response = cast("HttpResponseBase", convert_exception_to_response(self.serve)(request))
        response._resource_closers.append(request.close)  # type: ignore[attr-defined] # noqa: SLF001 - as Django's
        return response


class StaticFilesConsumer(ViewConsumer):
    """`ViewConsumer`, with static files before the views."""

    handler_class = StaticFilesHandler


static_files_consumer = StaticFilesConsumer()
