"""
The gateway under daphne that speaks TLS itself: the same bounds, and closes that arrive.

The client is of one thread: the one of `websockets.sync` reads and writes a TLS connection in two at a time, which
OpenSSL does not bear. One in a few hundred of its handshakes hangs, with a bare daphne too.
"""

from __future__ import annotations

import asyncio
import json
import ssl

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.deployment.certificates import make_certificates
from tests.gateway.servers.processes import PATIENCE, Clerk, Server, until

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
    url = f"wss://127.0.0.1:{server.port}{path}"
    return connect(url, ssl=context, compression=None, ping_interval=None, open_timeout=PATIENCE, **options)


async def received(socket):
    return await asyncio.wait_for(socket.recv(), PATIENCE)


def test_frames_come_back_and_the_scheme_is_known(site):
    async def echo():
        async with client(site, "/echo/") as socket:
            for number in range(50):
                await socket.send(str(number))
            return [await received(socket) for _ in range(50)]

    assert asyncio.run(echo()) == list(map(str, range(50)))
    assert site[1].saw("websocket.connect", path="/echo/")["scheme"] == "wss"


@pytest.mark.parametrize("code", [1000, 1012])
def test_a_consumer_closes_with_a_code(site, code):
    async def told_and_closed():
        async with client(site, "/literal/") as socket:
            await socket.send(json.dumps({"text": "bye", "close": code}))
            told = await received(socket)
            with pytest.raises(ConnectionClosed) as closed:
                await received(socket)
            return told, closed.value.rcvd.code

    assert asyncio.run(told_and_closed()) == ("bye", code)


def test_a_client_that_goes_on_reading_gets_the_newest(site):
    _, clerk, _ = site

    async def found_by_the_idle_one():
        async with client(site, "/room/idle/", max_queue=1) as idle, client(site, "/room/1/") as member:
            clerk.saw("websocket.connect", path="/room/idle/")
            for number in range(120):
                await member.send(f"{number} ".ljust(SIZE, "x"))
                assert (await received(member)).split()[0] == str(number)
            found = []
            while "119" not in found:
                found.append((await received(idle)).split()[0])
            return found

    found = asyncio.run(found_by_the_idle_one())
    assert found[-5:] == ["115", "116", "117", "118", "119"]
    until(lambda: clerk.layer.global_statistics().get("dropped:slow_client") == 120 - len(found))
