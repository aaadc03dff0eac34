"""HTTP over channels: requests from messages, through Django's middleware and views, to messages."""

from __future__ import annotations

import json

import pytest
from django.core.signals import request_finished, request_started

from chancelery.exceptions import ChannelFull
from chancelery.handler import ViewConsumer
from chancelery.layers.memory import InMemoryChannelLayer
from chancelery.message import Message
from tests import urls
from tests.routed import received, routed

pytestmark = pytest.mark.django_db  # request_started looks after connections


@pytest.fixture(autouse=True)
def _site(settings):
    settings.ROOT_URLCONF = "tests.urls"
    settings.MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
    urls.closed.clear()


@pytest.fixture
def wrapper():
    with routed() as wrapper:
        yield wrapper


def a_request(wrapper, path, **content):
    content = {
        "reply_channel": "gw!one",
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "query_string": b"",
        "root_path": "",
        "headers": [[b"host", b"testserver"]],
        "body": b"",
        "client": ["10.0.0.1", 4000],
        "server": ["127.0.0.1", 80],
        **content,
    }
    return Message(content, "http.request", wrapper)


def responses(wrapper, path, **content):
    ViewConsumer()(a_request(wrapper, path, **content))
    return received(wrapper.layer, "gw!")


def test_a_view_answers_with_status_headers_and_content(wrapper):
    [response] = responses(wrapper, "/hello/")
    assert response["status"] == 200
    assert response["content"] == b"hello"
    assert response["more_content"] is False
    assert [b"Content-Length", b"5"] in response["headers"]
    assert urls.closed == ["plain"]


def test_each_cookie_has_a_header_of_its_own(wrapper):
    [response] = responses(wrapper, "/hello/")
    cookies = [value for name, value in response["headers"] if name == b"Set-Cookie"]
    assert cookies == [b"a=1; Path=/", b"b=2; Path=/"]


def test_a_request_has_what_the_message_says(wrapper):
    headers = [
        [b"host", b"testserver"],
        [b"content-type", b"application/x-www-form-urlencoded"],
        [b"content-length", b"12"],
        [b"cookie", b"a=1"],
        [b"cookie", b"b=2"],
        [b"x-trace", b"7"],
    ]
    content = {"method": "POST", "scheme": "https", "query_string": b"q=caf%C3%A9", "headers": headers}
    [response] = responses(wrapper, "/about/", body=b"name=valkey!", **content)
    assert json.loads(response["content"]) == {
        "method": "POST",
        "path": "/about/",
        "path_info": "/about/",
        "scheme": "https",
        "host": "testserver",
        "get": {"q": "café"},
        "post": {"name": "valkey!"},
        "cookies": {"a": "1", "b": "2"},
        "body": "",
        "ip": "10.0.0.1",
        "trace": "7",
        "channel": "gw!one",
    }


def test_the_root_path_is_not_part_of_what_urls_match(wrapper):
    headers = [[b"host", b"testserver"], [b"content-type", b"text/plain"]]
    [response] = responses(wrapper, "/app/about/", root_path="/app", headers=headers, body=b"as it is", method="PUT")
    found = json.loads(response["content"])
    assert (found["path"], found["path_info"], found["body"]) == ("/app/about/", "/about/", "as it is")


def test_a_large_response_comes_in_pieces(wrapper):
    found = responses(wrapper, "/large/")
    assert [len(message["content"]) for message in found] == [524288, 524288, 1]
    assert [message["more_content"] for message in found] == [True, True, False]
    assert ["status" in message for message in found] == [True, False, False]


def test_a_streaming_response_ends_with_an_empty_message(wrapper):
    found = responses(wrapper, "/stream/")
    assert found[0]["status"] == 200
    assert b"".join(message["content"] for message in found) == b"onetwo"
    assert [message["more_content"] for message in found][-2:] == [True, False]
    assert urls.closed == ["stream"]


def test_a_stream_that_breaks_off_ends_too_and_says_why(wrapper):
    with pytest.raises(RuntimeError, match="broke off"):
        ViewConsumer()(a_request(wrapper, "/break-off/"))
    found = received(wrapper.layer, "gw!")
    assert [message["content"] for message in found] == [b"", b"one", b""]
    assert found[-1]["more_content"] is False
    assert urls.closed == ["stream"]


@pytest.mark.parametrize(("path", "status"), [("/nowhere/", 404), ("/fail/", 500), ("/hello", 301)])
def test_errors_are_djangos_own_responses(wrapper, path, status):
    [response] = responses(wrapper, path)
    assert response["status"] == status
    assert response["more_content"] is False


def test_a_query_string_that_is_no_text_is_a_bad_request(wrapper):
    [response] = responses(wrapper, "/about/", query_string=b"a=\xff")
    assert response["status"] == 400


def test_djangos_request_signals_are_sent(wrapper):
    seen = []

    def note(signal, **_):
        seen.append("started" if signal is request_started else "finished")

    request_started.connect(note)
    request_finished.connect(note)
    try:
        responses(wrapper, "/hello/")
    finally:
        request_started.disconnect(note)
        request_finished.disconnect(note)
    assert seen == ["started", "finished"]


def test_a_client_that_reads_nothing_is_given_up(settings):
    settings.CHANCELERY = {"CAPACITY_WAIT": 0.1}
    with routed(layer=InMemoryChannelLayer(process_capacity=2)) as wrapper:
        with pytest.raises(ChannelFull):
            ViewConsumer()(a_request(wrapper, "/large/"))
        assert len(received(wrapper.layer, "gw!")) == 2


def test_a_request_without_reply_channel_is_refused(wrapper):
    with pytest.raises(ValueError, match="nobody to respond to"):
        ViewConsumer()(a_request(wrapper, "/hello/", reply_channel=None))
