"""Bodies that come in pieces: how views read them, what Django's settings allow, and what of those cut short."""

from __future__ import annotations

import json
import threading

import pytest
from django.contrib.auth.models import Group as Team
from django.db import connection

from chancelery.handler import AsgiHandler, AsgiRequest, ViewConsumer
from chancelery.layers.memory import InMemoryChannelLayer
from tests.handler.messages import FORM, HOST, an_upload
from tests.routed import received, routed

pytestmark = pytest.mark.django_db

BOUNDARY = b"boundary"
MULTIPART = [b"content-type", b"multipart/form-data; boundary=boundary"]


class ImpatientRequest(AsgiRequest):
    body_receive_timeout = 0.05


class ImpatientHandler(AsgiHandler):
    request_class = ImpatientRequest


class ImpatientConsumer(ViewConsumer):
    handler_class = ImpatientHandler


def answers(wrapper, *args, consumer=None, **content):
    (consumer or ViewConsumer())(an_upload(wrapper, *args, **content))
    return received(wrapper.layer, "gw!")


def multipart(name, content):
    head = f'--boundary\r\nContent-Disposition: form-data; name="{name}"; filename="a.txt"\r\n\r\n'
    return head.encode() + content + b"\r\n--boundary--\r\n"


def in_pieces(body, size):
    return [body[start : start + size] for start in range(0, len(body), size)]


def of_length(body, *headers):
    return [HOST, [b"content-length", str(len(body)).encode()], *headers]


def test_a_view_reads_all_of_it(wrapper):
    [response] = answers(wrapper, "/body/", b"one ", b"two ", b"", b"three")
    assert response["content"] == b"one two three"


def test_a_view_reads_it_piece_by_piece(wrapper):
    [response] = answers(wrapper, "/pieces/", b"one two three four", b" five six seven")
    assert json.loads(response["content"]) == ["one two", " three ", "four fi", "ve six ", "seven"]


def test_a_view_reads_it_line_by_line(wrapper):
    [response] = answers(wrapper, "/lines/", b"on", b"e\ntw", b"o\n", b"\nthree")
    assert json.loads(response["content"]) == ["one\n", "two\n", "\n", "three"]


def test_a_form_is_read_from_it(wrapper):
    headers = of_length(b"a=1&name=valkey", FORM)
    [response] = answers(wrapper, "/about/", b"a=1&na", b"me=val", b"key", headers=headers)
    assert json.loads(response["content"])["post"] == {"a": "1", "name": "valkey"}


def test_a_file_larger_than_the_memory_settings_goes_to_the_disk(wrapper, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = settings.FILE_UPLOAD_MAX_MEMORY_SIZE = 100_000
    body = multipart("essay", b"x" * 300_000)
    [response] = answers(wrapper, "/files/", *in_pieces(body, 70_001), headers=of_length(body, MULTIPART))
    assert json.loads(response["content"]) == {"essay": ["a.txt", "TemporaryUploadedFile", 300_000]}


def test_a_file_passes_through_an_upload_handler_of_the_view(wrapper):
    body = multipart("essay", b"x" * 300_000)
    [response] = answers(wrapper, "/streamed/", *in_pieces(body, 70_001), headers=of_length(body, MULTIPART))
    assert response["content"] == b"300000"


@pytest.mark.parametrize("says_how_long", [True, False])
def test_a_body_beyond_data_upload_max_memory_size_is_refused(wrapper, settings, says_how_long):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    headers = of_length(b"x" * 1001) if says_how_long else [HOST]
    [response] = answers(wrapper, "/body/", b"x" * 500, b"x" * 501, headers=headers)
    assert response["status"] in {400, 413}


def test_a_body_that_is_read_all_at_once_is_bounded_without_djangos_help(wrapper, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    [response] = answers(wrapper, "/looked-after/", b"x" * 500, b"x" * 501)
    assert response["status"] in {400, 413}


@pytest.mark.parametrize("limit", [1001, None])
def test_a_body_within_data_upload_max_memory_size_is_read(wrapper, settings, limit):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = limit
    [response] = answers(wrapper, "/body/", b"x" * 500, b"x" * 501)
    assert response["content"] == b"x" * 1001


def test_too_many_fields_are_refused(wrapper, settings):
    settings.DATA_UPLOAD_MAX_NUMBER_FIELDS = 3
    body = b"&".join([b"a=1"] * 4)
    [response] = answers(wrapper, "/about/", *in_pieces(body, 4), headers=of_length(body, FORM))
    assert response["status"] in {400, 413}


def test_a_multipart_body_that_is_none_is_a_bad_request(wrapper):
    body = b"\x00" * 1000
    headers = of_length(body, [b"content-type", b"multipart/form-data"])
    [response] = answers(wrapper, "/files/", *in_pieces(body, 300), headers=headers)
    assert response["status"] == 400


def test_what_a_view_does_not_read_stays_where_it_is(wrapper):
    message = an_upload(wrapper, "/ignored/", b"one", b"two")
    ViewConsumer()(message)
    assert received(wrapper.layer, "gw!")[0]["content"] == b"not read"
    assert wrapper.layer.channel_statistics(message["body_channel"])["messages_pending"] == 1


def test_a_view_waits_for_parts_that_are_still_on_their_way(wrapper):
    message = an_upload(wrapper, "/body/", b"one ")
    parts = [{"content": b"two ", "more_content": True, "order": 1}, {"content": b"three", "order": 2}]
    sender = threading.Timer(0.05, lambda: [wrapper.layer.send(message["body_channel"], part) for part in parts])
    sender.start()
    ViewConsumer()(message)
    sender.join()
    assert received(wrapper.layer, "gw!")[0]["content"] == b"one two three"


def test_parts_without_numbers_are_taken_as_they_come(wrapper):
    message = an_upload(wrapper, "/body/", b"one ")
    wrapper.layer.send(message["body_channel"], {"content": b"two"})
    ViewConsumer()(message)
    assert received(wrapper.layer, "gw!")[0]["content"] == b"one two"


@pytest.mark.parametrize("path", ["/body/", "/pieces/", "/about/"])
def test_a_body_that_does_not_come_in_time_is_answered_with_408(wrapper, caplog, path):
    body = b"a=1"
    headers = of_length(body * 3, FORM)
    [response] = answers(wrapper, path, body, headers=headers, consumer=ImpatientConsumer())
    assert response["status"] == 408
    assert "Traceback" not in caplog.text


def test_middleware_that_waits_for_a_body_in_vain_ends_in_408_too(wrapper, settings):
    settings.MIDDLEWARE = ["tests.handler.middleware.reads_the_body"]
    [response] = answers(wrapper, "/hello/", b"a=1", consumer=ImpatientConsumer())
    assert response["status"] == 408


def test_a_token_that_does_not_come_in_time_is_answered_with_408(wrapper, settings, caplog):
    settings.MIDDLEWARE = ["django.middleware.csrf.CsrfViewMiddleware"]
    headers = of_length(b"a=1" * 3, FORM, [b"cookie", b"csrftoken=" + b"x" * 32])
    [response] = answers(wrapper, "/about/", b"a=1", headers=headers, consumer=ImpatientConsumer())
    assert response["status"] == 408
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("path", ["/body/", "/looked-after/"])
def test_a_client_that_went_away_is_answered_nothing(wrapper, caplog, path):
    assert answers(wrapper, path, b"one", b"two", closed=True) == []
    assert "Traceback" not in caplog.text


def test_a_client_that_went_away_while_middleware_read_is_answered_nothing(wrapper, settings):
    settings.MIDDLEWARE = ["tests.handler.middleware.reads_the_body"]
    assert answers(wrapper, "/hello/", b"one", closed=True) == []


def test_a_view_may_answer_a_timeout_itself(wrapper):
    [response] = answers(wrapper, "/looked-after/", b"one", consumer=ImpatientConsumer())
    assert response["status"] == 422


def test_a_view_that_a_body_fails_is_rolled_back(wrapper):
    connection.settings_dict["ATOMIC_REQUESTS"] = True
    try:
        assert answers(wrapper, "/broken-upload/", b"one", closed=True) == []
    finally:
        connection.settings_dict["ATOMIC_REQUESTS"] = False
    assert not Team.objects.filter(name="broken").exists()


def test_a_part_that_was_dropped_is_noticed():
    now = [1000.0]
    layer = InMemoryChannelLayer(expiry=10, clock=lambda: now[0])
    with routed(layer=layer) as wrapper:
        message = an_upload(wrapper, "/body/", b"one", b"two", closed=False)
        now[0] += 11
        layer.send(message["body_channel"], {"content": b"three", "order": 2})
        ViewConsumer()(message)
        assert received(layer, "gw!")[0]["status"] == 408


def test_four_parts_of_a_body_wait_at_most_unless_the_settings_say_otherwise():
    for options, capacity in (({}, 4), ({"channel_capacity": {"http.request.body*": 9}}, 9)):
        assert InMemoryChannelLayer(**options).capacity_of("http.request.body?one") == capacity
