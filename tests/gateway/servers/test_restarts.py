"""Redis that comes back with nothing: what open sockets notice of it."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest

from chancelery.exceptions import LayerUnavailable
from tests.benchmarks.client import frame, open_sockets
from tests.faults.recorder import Recorder
from tests.faults.store import Store
from tests.gateway.harness import on_a_loop
from tests.gateway.servers.processes import daphne, served, until, uvicorn

SOCKETS = 200
PATIENCE = 30
SERVERS = {"daphne": daphne, "uvicorn": uvicorn}


@pytest.fixture
def store(tmp_path):
    """A Redis of the test's own that keeps nothing when it is killed."""
    store = Store(tmp_path, "nothing", Recorder(tmp_path, "store"))
    store.start()
    yield store
    store.stop()


class Listeners:
    """Open sockets, and what they have heard."""

    def __init__(self, sockets):
        self.sockets = sockets
        self._heard = asyncio.Queue()
        for socket in sockets:
            socket.on_text = self._heard.put_nowait

    async def hear(self, text):
        """Return once each of them has heard *text*, and nothing else."""
        async with asyncio.timeout(PATIENCE):
            assert {await self._heard.get() for _ in self.sockets} == {text}

    @property
    def lost(self):
        return [socket for socket in self.sockets if socket.lost.done()]


@pytest.mark.parametrize("server", ["daphne", "uvicorn"])
@on_a_loop
async def test_a_redis_that_was_restarted_empty_drops_no_socket_and_every_room_is_whole_again(store, prefix, server):
    with contextlib.ExitStack() as stack:
        web, clerk = stack.enter_context(served(SERVERS[server], store.url, prefix))

        def is_whole():
            with contextlib.suppress(LayerUnavailable):  # the thread's connection may be one from before
                return len(clerk.layer.group_channels("room")) == SOCKETS

        async def whole():
            await asyncio.to_thread(until, is_whole)

        everybody = Listeners(await open_sockets(web.port, "/room/1/", SOCKETS))
        await whole()
        everybody.sockets[0].write(frame(b"before"))
        await everybody.hear(b"before")
        await asyncio.to_thread(store.kill)
        await asyncio.to_thread(store.start)
        back_at = time.monotonic()
        await whole()
        everybody.sockets[0].write(frame(b"after"))
        await everybody.hear(b"after")
        print(
            f"{server}: {SOCKETS} sockets heard the next message {time.monotonic() - back_at:.2f} s after the restart"
        )
        assert everybody.lost == []
        for socket in everybody.sockets:
            socket.transport.abort()
