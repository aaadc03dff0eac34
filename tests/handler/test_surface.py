"""Names and numbers that projects of Channels 1 rely on."""

from __future__ import annotations

from chancelery import exceptions, handler, staticfiles
from chancelery.exceptions import ChanceleryError, ConsumerControl


def test_the_handlers_names_are_where_channels_1_has_them():
    assert handler.AsgiRequest.body_receive_timeout == 60
    assert handler.AsgiRequest.ResponseLater is exceptions.ResponseLater
    assert handler.AsgiHandler.chunk_size == 512 * 1024
    assert handler.AsgiHandler.request_class is handler.AsgiRequest
    assert handler.ViewConsumer.handler_class is handler.AsgiHandler
    assert staticfiles.StaticFilesConsumer.handler_class is staticfiles.StaticFilesHandler
    assert issubclass(staticfiles.StaticFilesHandler, handler.AsgiHandler)


def test_data_is_cut_into_chunks():
    class Small(handler.AsgiHandler):
        chunk_size = 3

    assert list(Small.chunk_bytes(b"1234567")) == [(b"123", False), (b"456", False), (b"7", True)]
    assert list(Small.chunk_bytes(b"")) == [(b"", True)]


def test_what_stops_a_body_is_an_error_and_what_puts_off_a_response_is_not():
    assert issubclass(exceptions.RequestTimeout, ChanceleryError)
    assert issubclass(exceptions.RequestAborted, ChanceleryError)
    assert issubclass(exceptions.ResponseLater, ConsumerControl)
