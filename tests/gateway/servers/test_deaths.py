"""A gateway that dies, and one that only seems to: what others are told of its sockets."""

from __future__ import annotations

import signal

import pytest

from tests.gateway.servers.processes import closed_with, daphne, served, until

LEASE_SECONDS = 1


@pytest.fixture(autouse=True)
def short_leases(monkeypatch):
    monkeypatch.setenv("TEST_LEASE_SECONDS", str(LEASE_SECONDS))


def reaped(layer):
    """The process that a worker takes for dead, once there is one."""
    found = []
    until(lambda: found.append(layer.reap_process()) or found[-1])
    while layer.reap_process():
        pass
    return found[-1]


def test_the_sockets_of_a_killed_gateway_are_disconnected_and_leave_their_groups(redis_url, prefix):
    with served(daphne, redis_url, prefix) as (server, clerk), server.connect("/room/1/") as socket:
        address = clerk.saw("websocket.connect", path="/room/1/")["reply_channel"]
        until(lambda: clerk.layer.group_channels("room") == [address])
        server.process.kill()
        assert reaped(clerk.layer).wills == 1
        gone = clerk.saw("websocket.disconnect", reply_channel=address)
        assert (gone["code"], gone["path"], gone["order"]) == (1006, "/room/1/", None)
        assert clerk.layer.group_channels("room") == []
        assert closed_with(socket) == 1006


def test_a_socket_that_was_closed_before_its_gateway_died_is_disconnected_once(redis_url, prefix):
    with served(daphne, redis_url, prefix) as (server, clerk):
        with server.connect("/room/1/") as closed, server.connect("/room/2/"):
            closed.close()
            assert clerk.saw("websocket.disconnect", path="/room/1/")["code"] == 1000
            server.process.kill()
            assert reaped(clerk.layer).wills == 1
        clerk.saw("websocket.disconnect", path="/room/2/")
        assert [content["code"] for name, content in clerk.seen if name == "websocket.disconnect"] == [1000, 1006]


def test_a_gateway_that_was_taken_for_dead_closes_those_sockets_and_serves_new_ones(redis_url, prefix):
    with served(daphne, redis_url, prefix) as (server, clerk), server.connect("/room/1/") as socket:
        address = clerk.saw("websocket.connect", path="/room/1/")["reply_channel"]
        server.process.send_signal(signal.SIGSTOP)
        try:
            assert reaped(clerk.layer).wills == 1
        finally:
            server.process.send_signal(signal.SIGCONT)
        assert closed_with(socket) == 1012
        with server.connect("/echo/") as another:
            another.send("hello")
            assert another.recv(timeout=20) == "hello"
        clerk.saw("websocket.disconnect", path="/echo/")
        told = [c["code"] for name, c in clerk.seen if name == "websocket.disconnect" and c["reply_channel"] == address]
        assert told == [1006]


def test_a_gateway_that_stops_leaves_nothing_behind(redis_url, prefix):
    with served(daphne, redis_url, prefix) as (server, clerk):
        with server.connect("/room/1/") as socket:
            clerk.saw("websocket.connect", path="/room/1/")
            server.terminate()
            assert closed_with(socket) == 1012
        assert server.exit_status() == 0
        clerk.saw("websocket.disconnect", path="/room/1/")
        assert clerk.layer.reap_process() is None
        assert clerk.layer.group_channels("room") == []
