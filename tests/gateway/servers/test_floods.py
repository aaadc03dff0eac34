"""Clients that send more than they may, under real servers."""

from __future__ import annotations

import contextlib
import threading

import pytest
from websockets.exceptions import ConnectionClosed

from tests.gateway.servers.processes import PATIENCE, closed_with, daphne, served, uvicorn

SERVERS = pytest.mark.parametrize("server", [daphne, uvicorn], ids=["daphne", "uvicorn"])


@SERVERS
def test_a_flooder_is_slowed_loses_nothing_and_is_closed_when_it_goes_on(redis_url, prefix, server):
    options = {"INCOMING_BYTES_PER_SECOND": 50_000, "INCOMING_PATIENCE": 1}
    with (
        served(server, redis_url, prefix, **options) as (running, clerk),
        running.connect("/echo/flood/") as flooder,
        running.connect() as other,
    ):
        for number in range(60):  # a fifth of a second's pauses
            flooder.send(f"{number} ".ljust(1000, "x"))
        other.send("me too")
        assert other.recv(timeout=PATIENCE) == "me too"
        assert [flooder.recv(timeout=PATIENCE).split()[0] for _ in range(60)] == list(map(str, range(60)))
        sender = threading.Thread(target=flood, args=(flooder,))
        sender.start()
        assert closed_with(flooder) == 1008
        sender.join(PATIENCE)
        assert running.said("websocket on '/echo/flood/' closed: it went on sending more than")
        assert clerk.saw("websocket.disconnect", path="/echo/flood/")
        other.send("still here")
        assert other.recv(timeout=PATIENCE) == "still here"


def flood(client):
    with contextlib.suppress(ConnectionClosed):
        while True:
            client.send("x" * 1000)
