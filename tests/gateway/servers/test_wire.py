"""What may come over the wire, under daphne and under uvicorn: pieces, protocols, headers, and what is forged."""

from __future__ import annotations

import socket

import pytest
from websockets.exceptions import InvalidStatus

from tests.gateway.servers.processes import PATIENCE, closed_with, daphne, served, uvicorn

LIMIT = 1024 * 1024
HANDSHAKE = (
    b"GET /forged/ HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


@pytest.fixture(scope="module", params=[daphne, uvicorn], ids=["daphne", "uvicorn"])
def either(redis_url, request):
    """A server of either kind that takes messages of up to 1 MiB, as daphne does anyway."""
    arguments = ["--ws-max-size", str(LIMIT)] if request.param is uvicorn else []
    with served(request.param, redis_url, f"wire:{request.param.__name__}:", *arguments) as (server, clerk):
        yield server, clerk


def test_a_message_in_pieces_is_one_message(either):
    server, clerk = either
    with server.connect("/echo/pieces/") as client:
        client.send(["one ", "", "two ", "thrée"])
        assert client.recv(timeout=PATIENCE) == "one two thrée"
        client.send([b"\x00", b"", b"\xff"])
        assert client.recv(timeout=PATIENCE) == b"\x00\xff"
    assert clerk.saw("websocket.disconnect", path="/echo/pieces/")["order"] == 3


def test_empty_messages_in_pieces_are_messages(either):
    server, _ = either
    with server.connect() as client:
        client.send(["", ""])
        assert client.recv(timeout=PATIENCE) == ""
        client.send([b"", b""])
        assert client.recv(timeout=PATIENCE) == b""


def test_pings_are_answered_between_the_pieces_of_a_message(either):
    server, _ = either

    def pieces():
        yield "before "
        assert client.ping().wait(PATIENCE)
        yield "after"

    with server.connect() as client:
        client.send(pieces())
        assert client.recv(timeout=PATIENCE) == "before after"


def test_a_message_of_the_largest_size_comes_back(either):
    server, _ = either
    with server.connect(compression=None) as client:
        client.send("x" * LIMIT)
        assert len(client.recv(timeout=PATIENCE)) == LIMIT


@pytest.mark.parametrize("message", ["x" * (LIMIT + 1), ["x" * 100_000] * 12], ids=["whole", "in pieces"])
def test_a_message_beyond_the_limit_is_answered_with_1009(either, message):
    # In pieces: CVE-2026-44545, where each was small enough and their sum had no bound.
    server, _ = either
    with server.connect(compression=None) as client:
        assert closed_with(client, message) == 1009
    with server.connect() as client:
        client.send("still there?")
        assert client.recv(timeout=PATIENCE) == "still there?"


def test_a_client_gets_the_subprotocol_that_the_consumer_chose(either):
    server, clerk = either
    with server.connect("/protocol/", subprotocols=["v1", "v2"]) as client:
        assert client.subprotocol == "v2"
    assert clerk.saw("websocket.connect", path="/protocol/")["subprotocols"] == ["v1", "v2"]


def test_headers_that_come_twice_keep_both_values(either):
    server, clerk = either
    with server.connect("/echo/headers/", additional_headers=[("X-Tag", "one"), ("x-tag", "two")]):
        headers = clerk.saw("websocket.connect", path="/echo/headers/")["headers"]
    assert b",".join(value for name, value in headers if name == b"x-tag").replace(b" ", b"") == b"one,two"


@pytest.mark.parametrize(
    "forged",
    [
        b"X-A: 1\nDaphne-Root-Path: /forged",
        b"X-A: 1\rDaphne-Root-Path: /forged",
        *(b"X-A: 1" + bytes([byte]) + b"Daphne-Root-Path: /forged" for byte in b"\x0b\x0c\x1c\x1d\x1e\x85"),
        b"X-A\x0bDaphne-Root-Path: /forged",
        b"X A: 1",
    ],
    ids=repr,
)
def test_a_handshake_with_forged_headers_reaches_no_consumer(server, clerk, forged):
    # CVE-2026-44546: the upgrade wrote such a header anew, and what it hid became a header of its own.
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as client:
        client.sendall(HANDSHAKE + forged + b"\r\n\r\n")
        answer = client.recv(4096)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400")
    with pytest.raises(InvalidStatus):
        server.connect("/denied/")
    clerk.saw("websocket.disconnect", path="/denied/")  # by then, the other would have been seen
    assert not any(content.get("path") == "/forged/" for _, content in clerk.seen)
