"""Sockets and the browsers that open them."""

from __future__ import annotations

import json

import pytest
from django.conf import settings as django_settings
from django.contrib.auth import get_user_model
from django.http import parse_cookie
from django.test import Client as Browser

import chancelery.test
import chancelery.tests
from chancelery import Group, route
from chancelery.auth import channel_session_user_from_http, http_session_user
from chancelery.gateway.protocols.websocket import connect_message, disconnect_message, receive_message
from chancelery.sessions import channel_and_http_session, channel_session, enforce_ordering, http_session
from chancelery.test import WSClient, apply_routes

pytestmark = pytest.mark.usefixtures("small_site")


def kept(message):
    """Keep what came, for the test to look at."""
    kept.message = message


KEEPING = [route(["websocket.connect", "websocket.receive", "websocket.disconnect", "http.request", "other"], kept)]


def test_a_socket_is_accepted_joins_a_room_and_hears_what_is_said(ws_client, channel_clock):
    other = WSClient()
    for client in (ws_client, other):
        client.send_and_consume("websocket.connect", path="/rooms/den/")
    other.send_and_consume("websocket.receive", text={"hello": ["world"]}, path="/rooms/den/")
    assert ws_client.receive() == {"hello": ["world"]}
    other.send_and_consume("websocket.receive", text="plain", path="/rooms/den/")
    assert ws_client.receive(json=False) == "plain"
    ws_client.send_and_consume("websocket.disconnect", path="/rooms/den/")
    Group("den").send({"text": "1"})
    assert ws_client.receive() is None
    assert [other.receive(json=False) for _ in range(3)] == ['{"hello": ["world"]}', "plain", "1"]


def test_a_text_that_is_no_json_is_an_error_that_says_how_to_read_it(ws_client):
    Group("den").add(ws_client.reply_channel)
    Group("den").send({"text": "plain"})
    with pytest.raises(ValueError, match=r"'plain' is no JSON .*receive\(json=False\)"):
        ws_client.receive()


def test_what_is_no_text_frame_is_received_as_it_is(ws_client):
    Group("den").add(ws_client.reply_channel)
    Group("den").send({"bytes": b"\x00"})
    Group("den").send({"close": 4001})
    assert [ws_client.receive() for _ in range(3)] == [{"bytes": b"\x00"}, {"close": 4001}, None]


@pytest.mark.parametrize("path", ["/denied/", "/closed/", "/nowhere/"])
def test_a_socket_that_is_not_accepted_is_an_error_unless_the_test_looks_for_itself(ws_client, path):
    for check_accept in (True, False):
        ws_client.send("websocket.connect", path=path)
        if check_accept:
            with pytest.raises(AssertionError, match=r"was not accepted|was dropped"):
                ws_client.consume("websocket.connect")
        else:
            ws_client.consume("websocket.connect", fail_on_none=False, check_accept=False)
    assert {"accept": False} in [ws_client.receive(), ws_client.receive()] or path == "/closed/"


def test_a_socket_whose_answer_is_put_off_is_not_accepted_yet(ws_client):
    with apply_routes(route("websocket.connect", lambda message: message.defer_accept())):
        with pytest.raises(AssertionError, match="was not answered"):
            ws_client.send_and_consume("websocket.connect")
        ws_client.send_and_consume("websocket.connect", check_accept=False)


def test_data_accepts_a_socket_and_is_received(ws_client):
    def greet(message):
        message.reply_channel.send({"text": '"hello"'})

    def choose(message):
        message.reply_channel.send({"accept": True, "subprotocol": "chat"})

    with apply_routes(route("websocket.connect", greet)):
        ws_client.send_and_consume("websocket.connect")
    assert ws_client.receive() == "hello"
    with apply_routes(route("websocket.connect", choose)):
        ws_client.send_and_consume("websocket.connect")
    assert ws_client.receive() == {"subprotocol": "chat"}


def test_sockets_are_accepted_where_nothing_is_routed(ws_client):
    with apply_routes([]):
        ws_client.send_and_consume("websocket.connect")


def test_messages_have_the_keys_that_a_gateway_gives_them(ws_client):
    scope = {"type": "websocket", "path": "/p/", "headers": []}
    given = {
        "websocket.connect": connect_message(scope, "gw!one", "ws"),
        "websocket.receive": receive_message({"text": "hello"}, "gw!one", "/p/", 1),
        "websocket.disconnect": disconnect_message("gw!one", "/p/", 2, 1000),
    }
    with apply_routes(KEEPING):
        for channel, content in given.items():
            text = "hello" if channel == "websocket.receive" else None
            ws_client.send_and_consume(channel, text=text, path="/p/?page=2", check_accept=False)
            assert kept.message.content.keys() == content.keys()
            assert kept.message["order"] == content["order"]
            assert kept.message["path"] == "/p/"
            assert ("query_string" in kept.message) is (channel == "websocket.connect")


def test_an_ordered_client_numbers_everything(channel_clock):
    client = WSClient(ordered=True)
    with apply_routes(KEEPING):
        for order in range(2):
            client.send_and_consume("other")
            assert kept.message["order"] == order
    with pytest.raises(ValueError, match="numbers its messages itself"):
        client.send("other", {"order": 3})


def test_ordering_holds_for_any_client(ws_client):
    with apply_routes(route("websocket.receive", enforce_ordering(kept))):
        ws_client.send_and_consume("websocket.receive", text="hello")


def test_headers_and_cookies_are_those_that_were_set(ws_client):
    ws_client.set_header("X-Trace", "abc")
    ws_client.set_cookie("taste", "sweet, and salty")
    assert ws_client.get_cookies() == {"taste": "sweet, and salty"}
    assert ws_client.headers["x-trace"] == "abc"
    with apply_routes(KEEPING):
        ws_client.send_and_consume("websocket.connect", check_accept=False)
    headers = dict(map(tuple, kept.message["headers"]))
    assert headers[b"x-trace"] == b"abc"
    assert parse_cookie(headers[b"cookie"].decode()) == {"taste": '"sweet, and salty"'} or (
        parse_cookie(headers[b"cookie"].decode())["taste"] == "sweet, and salty"
    )
    with pytest.raises(ValueError, match="use set_cookie"):
        ws_client.set_header("Cookie", "a=1")


@pytest.mark.django_db
def test_a_message_to_a_view_is_a_request(ws_client, settings):
    settings.ROOT_URLCONF = "tests.kit.urls"
    ws_client.send_and_consume("http.request", path="/hello/?name=ann")
    assert ws_client.receive()["content"] == b"hello ann"


@pytest.mark.django_db
class TestSessions:
    def test_a_connection_has_a_session_from_message_to_message(self, ws_client):
        ws_client.send_and_consume("websocket.connect", path="/counted/")
        for number in (1, 2):
            assert ws_client.receive() == number
            ws_client.send_and_consume("websocket.receive", text="again", path="/counted/")
        assert ws_client.channel_session["count"] == 3

    def test_the_browser_has_a_session_of_its_own(self, ws_client):
        seen = []

        @channel_session
        @http_session
        def look(message):
            message.channel_session["whose"] = "socket"
            seen.append(message.http_session and message.http_session["whose"])

        with apply_routes(route("websocket.connect", look)):
            ws_client.send_and_consume("websocket.connect")
            ws_client.session["whose"] = "browser"
            ws_client.session.save()
            ws_client.send_and_consume("websocket.connect")
        assert seen == [None, "browser"]
        assert ws_client.get_cookies()[django_settings.SESSION_COOKIE_NAME] == ws_client.session.session_key
        assert ws_client.session.session_key != ws_client.channel_session.session_key
        assert ws_client.session["whose"] == "browser"
        assert ws_client.channel_session["whose"] == "socket"

    def test_only_the_handshake_brings_the_cookie(self, ws_client):
        seen = []

        @http_session
        def look(message):
            seen.append(message.http_session)

        ws_client.session["a"] = 1
        ws_client.session.save()
        with apply_routes(route("websocket.receive", look)):
            ws_client.send_and_consume("websocket.receive", text="hello")
        assert seen == [None]

    def test_the_session_of_the_browser_is_there_again_where_the_connection_remembers_it(self, ws_client):
        seen = []

        @channel_and_http_session
        def look(message):
            seen.append(message.http_session["a"])

        ws_client.session["a"] = 1
        ws_client.session.save()
        with apply_routes(route(["websocket.connect", "websocket.receive"], look)):
            ws_client.send_and_consume("websocket.connect")
            ws_client.send_and_consume("websocket.receive", text="hello")
        assert seen == [1, 1]

    def test_who_logs_in_is_known_to_consumers(self, ws_client, settings):
        settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
        user = get_user_model().objects.create_user("ann", password="secret")
        assert not ws_client.login(username="ann", password="wrong")
        assert ws_client.login(username="ann", password="secret")
        assert greeted(ws_client) == "ann"
        ws_client.logout()
        assert greeted(ws_client) == ""
        ws_client.force_login(user)
        assert greeted(ws_client) == "ann"

    def test_a_socket_may_share_the_cookies_of_djangos_client(self, channel_clock):
        browser = Browser()
        browser.force_login(get_user_model().objects.create(username="ann"))
        assert greeted(WSClient(browser=browser)) == "ann"

    def test_a_socket_keeps_its_user(self, ws_client):
        @channel_session_user_from_http
        def greet(message):
            message.reply_channel.send({"text": json.dumps(message.user.username)})

        ws_client.force_login(get_user_model().objects.create(username="ann"))
        with apply_routes(route("websocket.connect", greet)):
            ws_client.send_and_consume("websocket.connect")
        assert ws_client.receive() == "ann"


def greeted(client):
    @http_session_user
    def greet(message):
        message.reply_channel.send({"text": json.dumps(message.user.username)})

    with apply_routes(route("websocket.connect", greet)):
        client.send_and_consume("websocket.connect")
    return client.receive()


def test_the_old_name_of_the_kit_is_there_and_says_so():
    with pytest.warns(DeprecationWarning, match=r"import from chancelery\.test"):
        assert chancelery.tests.WSClient is WSClient


def test_the_old_name_of_the_client_is_there_and_says_so():
    with pytest.warns(DeprecationWarning, match="WSClient's old name"):
        assert chancelery.test.HttpClient is WSClient
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = chancelery.test.Nothing
