"""The gateway under daphne that speaks TLS itself: the same bounds, and closes that arrive."""

from __future__ import annotations

import json
import socket
import ssl

import pytest
from websockets.sync.client import connect

from tests.deployment.certificates import make_certificates
from tests.gateway.servers.processes import PATIENCE, Clerk, Server, closed_with, until

SIZE = 100_000


@pytest.fixture(scope="module")
def site(redis_url, tmp_path_factory):
    paths = make_certificates(tmp_path_factory.mktemp("tls"))
    endpoint = f"ssl:0:interface=127.0.0.1:privateKey={paths.server_key}:certKey={paths.server}"
    command = ["-m", "daphne", "-v", "1", "-e", endpoint, "tests.gateway.site.asgi:channel_layer"]
    listening = r"Listening on TCP address 127\.0\.0\.1:(\d+)"
    options = {"OUTGOING_BUFFER_BYTES": 1_000_000, "OUTGOING_POLICY": "drop_oldest"}
    with Server(command, listening, redis_url, "tls:", **options) as server, Clerk(redis_url, "tls:") as clerk:
        yield server, clerk, ssl.create_default_context(cafile=paths.authority)


def client(site, path, **options):
    server, _, context = site
    sock = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)
    url = f"wss://127.0.0.1:{server.port}{path}"
    return connect(url, sock=sock, ssl=context, compression=None, ping_interval=None, **options)


def test_frames_come_back_and_the_scheme_is_known(site):
    with client(site, "/echo/") as socket_:
        for number in range(50):
            socket_.send(str(number))
        assert [socket_.recv(timeout=PATIENCE) for _ in range(50)] == list(map(str, range(50)))
    assert site[1].saw("websocket.connect", path="/echo/")["scheme"] == "wss"


@pytest.mark.parametrize("code", [1000, 1012])
def test_a_consumer_closes_with_a_code(site, code):
    with client(site, "/literal/") as socket_:
        socket_.send(json.dumps({"text": "bye", "close": code}))
        assert socket_.recv(timeout=PATIENCE) == "bye"
        assert closed_with(socket_) == code


def test_a_client_that_goes_on_reading_gets_the_newest(site):
    _, clerk, _ = site
    with client(site, "/room/idle/", max_queue=1) as idle, client(site, "/room/1/") as member:
        clerk.saw("websocket.connect", path="/room/idle/")
        for number in range(120):
            member.send(f"{number} ".ljust(SIZE, "x"))
            assert member.recv(timeout=PATIENCE).split()[0] == str(number)
        found = []
        while "119" not in found:
            found.append(idle.recv(timeout=PATIENCE).split()[0])
        assert found[-5:] == ["115", "116", "117", "118", "119"]
        until(lambda: clerk.layer.global_statistics().get("dropped:slow_client") == 120 - len(found))
