"""The gateway under another ASGI server: everything goes through the plain door."""

from __future__ import annotations

import contextlib
import urllib.request

import pytest
from websockets.exceptions import InvalidStatus

from tests.gateway.servers.processes import PATIENCE, closed_with, deaf_client, free_port, served, uvicorn


@pytest.fixture(scope="module")
def site(redis_url):
    with served(uvicorn, redis_url, "uvicorn:") as (server, clerk):
        yield server, clerk


def test_frames_come_back_in_order(server):
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


def test_a_denied_socket_sees_403(server, clerk):
    with pytest.raises(InvalidStatus) as caught:
        server.connect("/denied/")
    assert caught.value.response.status_code == 403
    clerk.saw("websocket.disconnect", path="/denied/")


@pytest.mark.parametrize("code", [1000, 1012, 4000])
def test_a_consumer_closes_with_any_code(server, code):
    with server.connect("/literal/") as socket:
        socket.send(f'{{"text": "bye", "close": {code}}}')
        assert socket.recv(timeout=PATIENCE) == "bye"
        assert closed_with(socket) == code


def test_a_request_over_the_layer_is_answered(server):
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/", data=b"a=1", timeout=PATIENCE) as response:
        assert (response.status, response.read()) == (200, b"got a=1")


def test_a_client_that_does_not_read_is_dropped_and_holds_up_nobody(redis_url, prefix):
    with (
        served(uvicorn, redis_url, prefix, OUTGOING_BUFFER_BYTES=1_000_000) as (server, clerk),
        server.connect("/room/1/", compression=None) as member,
        deaf_client(server.port, "/room/deaf/"),
    ):
        for number in range(100):
            member.send(str(number) + " " + "x" * 100_000)
            assert member.recv(timeout=PATIENCE).split()[0] == str(number)
        assert server.said("its client does not read what is sent to it")
        assert clerk.saw("websocket.disconnect", path="/room/deaf/")


def test_sigterm_closes_sockets_with_1012_and_tells_of_each(redis_url, prefix):
    with served(uvicorn, redis_url, prefix) as (server, clerk):
        with contextlib.ExitStack() as stack:
            sockets = [stack.enter_context(server.connect(f"/echo/{number}")) for number in range(5)]
            server.terminate()
            assert {closed_with(socket) for socket in sockets} == {1012}
        server.exit_status()
        for number in range(5):
            assert clerk.saw("websocket.disconnect", path=f"/echo/{number}")["code"] == 1012
        assert "Traceback" not in server.log


def test_a_redis_that_is_not_there_fails_the_start_with_a_message(prefix):
    with uvicorn(f"redis://user:secret@127.0.0.1:{free_port()}/0", prefix) as server:
        assert server.exit_status() != 0
        assert "chancelery: not serving: Redis at" in server.log
        assert "secret" not in server.log
        assert "Traceback" not in server.log
