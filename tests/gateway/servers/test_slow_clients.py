"""Clients that stop reading, and perhaps go on later, under real servers."""

from __future__ import annotations

import json
import socket
import urllib.request

import pytest

from tests.gateway.servers.processes import LARGE_PIECES, PATIENCE, daphne, served, until, uvicorn

FRAMES = 120
SIZE = 100_000
BUFFER = 1_000_000


@pytest.fixture(scope="module", params=[daphne, uvicorn], ids=["daphne", "uvicorn"])
def strict(redis_url, request):
    """A server that keeps little for slow clients, and drops the oldest of it."""
    options = {"OUTGOING_BUFFER_BYTES": BUFFER, "OUTGOING_POLICY": "drop_oldest", "RESPONSE_BUFFER_BYTES": BUFFER}
    with served(request.param, redis_url, f"strict:{request.param.__name__}:", **options) as (server, clerk):
        yield server, clerk


@pytest.fixture
def dropped(strict):
    """How many were dropped since the test began."""
    _, clerk = strict

    def count():
        return clerk.layer.global_statistics().get("dropped:slow_client", 0)

    before = count()
    return lambda: count() - before


def read_up_to(client, last):
    """The frames that come, until *last* has."""
    found = []
    while last not in found:
        found.append(client.recv(timeout=PATIENCE).partition(" ")[0])
    return found


def test_with_drop_oldest_a_client_that_goes_on_reading_gets_the_newest(strict, dropped):
    server, clerk = strict
    with (
        server.connect_idly("/room/idle/oldest/") as idle,
        server.connect("/room/1/", compression=None) as member,
    ):
        clerk.saw("websocket.connect", path="/room/idle/oldest/")
        for number in range(FRAMES):
            member.send(f"{number} ".ljust(SIZE, "x"))
            assert member.recv(timeout=PATIENCE).split()[0] == str(number)
        found = [int(name) for name in read_up_to(idle, str(FRAMES - 1))]
        assert found == sorted(found)
        assert found[0] == 0
        assert set(range(FRAMES - BUFFER // SIZE + 1, FRAMES)) <= set(found)
        until(lambda: dropped() == FRAMES - len(found) > 0)
        assert server.said("websocket on '/room/idle/oldest/' lost frames: its client does not read")
        member.send("good as new")
        assert idle.recv(timeout=PATIENCE) == "good as new"


def test_a_client_that_goes_on_reading_gets_the_latest_of_each_key(strict, dropped):
    server, clerk = strict
    with (
        server.connect_idly("/room/idle/keys/") as idle,
        server.connect("/room/literal/", compression=None) as member,
    ):
        clerk.saw("websocket.connect", path="/room/idle/keys/")
        for number in range(FRAMES):
            name = ("EUR", "USD")[number % 2]
            member.send(json.dumps({"text": f"{name}{number} ".ljust(SIZE, "x"), "key": name}))
            assert member.recv(timeout=PATIENCE).startswith(name)
        member.send(json.dumps({"text": "end "}))
        found = read_up_to(idle, "end")
        assert sorted(found[-3:]) == sorted([f"EUR{FRAMES - 2}", f"USD{FRAMES - 1}", "end"])
        until(lambda: dropped() == FRAMES + 1 - len(found) > 0)


def test_a_response_that_its_client_does_not_read_is_cut_off(strict, dropped):
    server, _ = strict
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as client:
        client.sendall(b"GET /large/ HTTP/1.1\r\nHost: example.com\r\n\r\n")
        assert server.said("cut off the response to a request for '/large/': more than 1000000 bytes")
        assert everything(client) < LARGE_PIECES * 500_000
        until(lambda: dropped() == 1)
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/", timeout=PATIENCE) as response:
        assert response.read() == b"got "


def test_a_large_response_reaches_a_client_that_reads_it(server):
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/large/", timeout=PATIENCE) as response:
        assert len(response.read()) == LARGE_PIECES * 500_000 + len("end")


def test_by_default_a_client_that_goes_on_reading_in_time_misses_nothing(server, clerk):
    with server.connect_idly("/room/idle/") as idle, server.connect("/room/1/", compression=None) as member:
        clerk.saw("websocket.connect", path="/room/idle/")
        for number in range(30):
            member.send(f"{number} ".ljust(SIZE, "x"))
            assert member.recv(timeout=PATIENCE).split()[0] == str(number)
        assert read_up_to(idle, "29") == list(map(str, range(30)))


def everything(client):
    """How many bytes come, until the connection ends."""
    size = 0
    try:
        while data := client.recv(65536):
            size += len(data)
    except ConnectionResetError:
        pass
    return size
