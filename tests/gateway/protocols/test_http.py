"""What HTTP events and responses mean, by tables."""

from __future__ import annotations

import pytest

from chancelery.gateway.protocols import BadReply
from chancelery.gateway.protocols.http import (
    Body,
    Response,
    Start,
    answer,
    body_message,
    broken_off_message,
    declared_length,
    disconnect_message,
    error,
    read_response,
    request_message,
)


def test_a_request_message_carries_what_the_scope_says():
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "post",
        "scheme": "https",
        "path": "/form",
        "query_string": b"a=1",
        "headers": [(b"Accept", b"a"), (b"accept", b"b")],
        "client": None,
        "server": ["::1", 80],
    }
    assert request_message(scope, "gw!1", b"body") == {
        "reply_channel": "gw!1",
        "http_version": "1.1",
        "method": "POST",
        "scheme": "https",
        "path": "/form",
        "query_string": b"a=1",
        "root_path": "",
        "headers": [[b"accept", b"a"], [b"accept", b"b"]],
        "body": b"body",
        "client": None,
        "server": ["::1", 80],
        "confirms": True,
    }


def test_what_is_left_of_a_body_has_a_channel_of_its_own():
    scope = {"type": "http", "method": "POST", "path": "/"}
    assert request_message(scope, "gw!1", b"first", "http.request.body?1")["body_channel"] == "http.request.body?1"


def test_a_part_of_a_body_says_whether_more_follow():
    assert body_message(b"part", more=True) == {"content": b"part", "more_content": True}
    assert broken_off_message() == {"content": b"", "more_content": False, "closed": True}


@pytest.mark.parametrize(
    ("headers", "length"),
    [
        ([], 0),
        ([(b"Content-Length", b"12")], 12),
        ([(b"content-length", b"-12")], 0),
        ([(b"content-length", b"1_2")], 0),
        ([(b"content-length", b"\xb2")], 0),
    ],
)
def test_a_body_is_as_long_as_it_says_in_plain_digits(headers, length):
    assert declared_length({"headers": headers}) == length


def test_a_disconnect_message_names_the_request():
    assert disconnect_message("gw!1", "/form") == {"reply_channel": "gw!1", "path": "/form"}


@pytest.mark.parametrize(
    ("content", "response"),
    [
        ({"status": 200, "content": b"hi"}, Response(200, (), b"hi", more=False)),
        (
            {"status": 200, "headers": [[b"A", b"1"], ["B", "2"]], "more_content": True},
            Response(200, ((b"A", b"1"), (b"B", b"2")), b"", more=True),
        ),
        ({"content": b"more"}, Response(None, (), b"more", more=False)),
        ({"more_content": True, "confirm": "taken?1"}, Response(None, (), b"", more=True, confirm="taken?1")),
        ({}, Response(None, (), b"", more=False)),
    ],
)
def test_a_response_is_read(content, response):
    assert read_response(content) == response


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({"status": 200, "body": b""}, "unknown key 'body'"),
        ({"status": "200"}, "status is a number from 100 to 599, not '200'"),
        ({"status": 99}, "not 99"),
        ({"status": True}, "not True"),
        ({"status": 200, "content": "text"}, "content is a bytes, not str"),
        ({"status": 200, "headers": [b"A"]}, "headers is a list of"),
        ({"status": 200, "headers": [["A", 1]]}, "1 is a int"),
        ({"status": 200, "headers": 5}, "headers is a list of"),
        ({"status": 200, "headers": [[b"Location", b"/\r\nSet-Cookie: a=1"]]}, "more than one line"),
        ({"status": 200, "headers": [["A\n", "1"]]}, "more than one line"),
        ({"request": {"path": "/style.css"}}, "server push"),
        ({"more_content": True, "confirm": "not a channel"}, "confirm is a channel"),
    ],
)
def test_a_response_that_means_nothing_is_refused_with_what_is_wrong(content, complaint):
    with pytest.raises(BadReply, match=complaint):
        read_response(content)


def test_the_first_message_starts_the_response():
    response = Response(201, ((b"A", b"1"),), b"hi", more=True)
    assert answer(response, started=False) == (Start(201, ((b"A", b"1"),)), Body(b"hi", more=True))


def test_later_messages_go_on_with_the_body():
    assert answer(Response(None, (), b"hi", more=False), started=True) == (Body(b"hi"),)


def test_a_second_status_is_refused():
    with pytest.raises(BadReply, match="a second status, 200"):
        answer(Response(200, (), b"", more=False), started=True)


def test_a_first_message_without_a_status_is_refused():
    with pytest.raises(BadReply, match="no status"):
        answer(Response(None, (), b"", more=False), started=False)


@pytest.mark.parametrize("status", [408, 413, 503])
def test_the_gateways_own_errors_are_whole_responses(status):
    start, body = error(status)
    assert start.event["status"] == status
    assert (b"content-length", str(len(body.event["body"])).encode()) in start.event["headers"]
    assert body.event["more_body"] is False
    assert body.size == len(body.content)
