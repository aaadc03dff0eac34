"""The gateway under the real daphne, over a real Redis."""

from __future__ import annotations

import json
import urllib.request

import pytest
from websockets.exceptions import InvalidStatus

from tests.gateway.servers.processes import PATIENCE, closed_with


def test_a_frame_comes_back(server, clerk):
    with server.connect("/echo/?a=1", additional_headers={"X-Name": "value"}) as socket:
        socket.send("hello ä")
        assert socket.recv(timeout=PATIENCE) == "hello ä"
        socket.send(b"\x00\xff")
        assert socket.recv(timeout=PATIENCE) == b"\x00\xff"
    connect = clerk.saw("websocket.connect", path="/echo/", query_string=b"a=1")
    assert connect["scheme"] == "ws"
    assert [b"x-name", b"value"] in connect["headers"]
    disconnect = clerk.saw("websocket.disconnect", reply_channel=connect["reply_channel"])
    assert (disconnect["order"], disconnect["code"]) == (3, 1000)


def test_frames_that_are_sent_at_once_stay_in_order(server):
    with server.connect() as socket:
        for number in range(200):
            socket.send(str(number))
        assert [socket.recv(timeout=PATIENCE) for _ in range(200)] == list(map(str, range(200)))


def test_empty_frames_reach_the_client(server):
    with server.connect() as socket:
        socket.send("")
        assert socket.recv(timeout=PATIENCE) == ""
        socket.send(b"")
        assert socket.recv(timeout=PATIENCE) == b""


def test_a_frame_of_2_megabytes_is_answered_with_1009_and_the_server_goes_on(server):
    with server.connect() as socket:
        assert closed_with(socket, "x" * 2 * 1024 * 1024) == 1009
    with server.connect() as socket:
        socket.send("still there?")
        assert socket.recv(timeout=PATIENCE) == "still there?"


def test_text_that_is_no_utf8_is_answered_with_1007(server):
    with server.connect() as socket:
        socket.send(b"\xff\xfe", text=True)
        assert closed_with(socket) == 1007


def test_a_reply_may_be_larger_than_a_frame_may_be(server):
    with server.connect("/literal/") as socket:
        socket.send(json.dumps({"text": "x" * 1000}))
        assert len(socket.recv(timeout=PATIENCE)) == 1000


def test_a_bad_reply_leaves_the_socket_open(server):
    with server.connect("/literal/") as socket:
        socket.send(json.dumps({"text": "a", "colour": "red"}))
        socket.send(json.dumps({"text": "good"}))
        assert socket.recv(timeout=PATIENCE) == "good"
    assert server.said(r"dropped a reply to gw\..*unknown key 'colour'.*It came by")


@pytest.mark.parametrize("code", [1000, 1001, 1009, 1011, 1012, 1013, 3000, 4999])
def test_a_consumer_closes_with_any_code(server, code):
    with server.connect("/literal/") as socket:
        socket.send(json.dumps({"text": "bye", "close": code}))
        assert socket.recv(timeout=PATIENCE) == "bye"
        assert closed_with(socket) == code


def test_a_denied_socket_sees_403(server, clerk):
    with pytest.raises(InvalidStatus) as caught:
        server.connect("/denied/")
    assert caught.value.response.status_code == 403
    assert clerk.saw("websocket.disconnect", path="/denied/")["order"] == 1


def test_a_page_from_elsewhere_sees_403(server):
    with pytest.raises(InvalidStatus) as caught:
        server.connect(origin="http://evil.net")
    assert caught.value.response.status_code == 403
    assert server.said("its Origin b'http://evil.net' is neither in ALLOWED_HOSTS nor in CSRF_TRUSTED_ORIGINS")
    with server.connect(origin="http://example.com:8000") as socket:
        socket.send("hi")
        assert socket.recv(timeout=PATIENCE) == "hi"


def test_a_group_reaches_all_and_accepts_none(server, clerk):
    with server.connect("/room/1/") as one, server.connect("/room/2/") as two:
        one.send("to all")
        assert one.recv(timeout=PATIENCE) == two.recv(timeout=PATIENCE) == "to all"
        with pytest.raises(InvalidStatus) as caught:
            server.connect("/room/denied/")
        assert caught.value.response.status_code == 403
        with server.connect("/room/early/") as three:
            assert three.recv(timeout=PATIENCE) == "before you were let in"
            assert one.recv(timeout=PATIENCE) == "before you were let in"
    for path in ("/room/1/", "/room/2/", "/room/early/"):
        clerk.saw("websocket.disconnect", path=path)


def test_a_request_over_the_layer_is_answered(server):
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/form/", data=b"a=1", timeout=PATIENCE) as response:
        assert (response.status, response.read()) == (200, b"got a=1")
        assert response.headers["content-type"] == "text/plain"


def test_a_request_that_is_too_large_is_answered_with_413(server):
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"http://127.0.0.1:{server.port}/", data=b"x" * 3_000_000, timeout=PATIENCE)
    assert caught.value.code == 413
    caught.value.close()
