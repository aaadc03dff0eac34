"""HTTP over channels: requests from messages, through Django's middleware and views, to messages."""

from __future__ import annotations

import json

import pytest
from django.core.signals import request_finished, request_started

from chancelery.exceptions import ChannelFull
from chancelery.handler import ViewConsumer
from chancelery.layers.memory import InMemoryChannelLayer
from tests.handler import urls
from tests.handler.messages import a_request, responses
from tests.routed import received, routed

pytestmark = pytest.mark.django_db  # request_started looks after connections


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


def test_force_script_name_comes_before_the_root_path_of_the_server(wrapper, settings):
    settings.FORCE_SCRIPT_NAME = "/site"
    headers = [[b"host", b"testserver"], [b"content-type", b"text/plain"]]
    [response] = responses(wrapper, "/site/about/", root_path="/other", headers=headers)
    assert json.loads(response["content"])["path_info"] == "/about/"


@pytest.mark.parametrize(("path", "length"), [("/hello/", b"5"), ("/large/", b"1048577")])
def test_a_head_request_gets_one_message_without_content(wrapper, path, length):
    [response] = responses(wrapper, path, method="HEAD")
    assert (response["status"], response["content"], response["more_content"]) == (200, b"", False)
    assert [b"Content-Length", length] in response["headers"]


def test_a_head_request_has_no_stream_produced(wrapper):
    [response] = responses(wrapper, "/break-off/", method="HEAD")
    assert (response["status"], response["content"], response["more_content"]) == (200, b"", False)
    assert urls.closed == ["stream"]


def test_header_names_keep_their_case(wrapper):
    [response] = responses(wrapper, "/headers/")
    assert [b"X-CamelCase", b"caf\xe9"] in response["headers"]


@pytest.mark.parametrize("method", ["FOO", "M-SEARCH", "X" * 1000], ids=["FOO", "M-SEARCH", "long"])
def test_an_odd_method_is_the_views_to_judge(wrapper, method):
    headers = [[b"host", b"testserver"], [b"content-type", b"text/plain"]]
    [response] = responses(wrapper, "/about/", method=method, headers=headers)
    assert json.loads(response["content"])["method"] == method


@pytest.mark.parametrize(
    ("content", "status"),
    [
        ({"headers": [[b"host", b"evil.example"]]}, 400),
        ({"headers": []}, 200),
        ({"headers": [[b"host", b"testserver"], [b"cookie", b"\xff=\xfe; ;;=\x00"]]}, 200),
        ({"headers": [[b"host", b"testserver"], [b"\xff-name", b"\xff"]]}, 200),
        ({"headers": [[b"host", b"testserver"], [b"x-huge", b"x" * 1_000_000]]}, 200),
        ({"query_string": b"%ff&=&&a=%00"}, 200),
        ({"query_string": b"&".join([b"a"] * 2000)}, 400),
        ({"path": "/\x00\ud7ff/../"}, 404),
        ({"client": None, "server": None}, 200),
    ],
    ids=["host", "no headers", "cookies", "latin-1", "huge", "escapes", "fields", "path", "no address"],
)
def test_what_an_attacker_sends_is_answered(wrapper, content, status):
    path = content.pop("path", "/tolerant/")
    [response] = responses(wrapper, path, **content)
    assert response["status"] == status


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
