"""Layers of both kinds, and workers that stop when the test does."""

from __future__ import annotations

import contextlib
import itertools
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from chancelery.layers.base import ChannelLayer
from chancelery.layers.memory import InMemoryChannelLayer
from chancelery.layers.redis import RedisChannelLayer
from chancelery.registry import ChannelLayerWrapper
from chancelery.worker import Worker, exchange, mover
from tests.routed import routed
from tests.worker.processes import spawned

_numbers = itertools.count()

MakeLayer = Callable[..., ChannelLayer]
Start = Callable[..., "Running"]


class Running:
    """A worker in a thread."""

    def __init__(self, channel_layer: ChannelLayerWrapper, options: dict[str, Any]) -> None:
        self.worker = Worker(channel_layer, **options)
        self.drained: bool | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        self.drained = self.worker.run()

    def stop(self) -> bool | None:
        """Stop it, if it runs, and return whether it drained."""
        self.worker.stop()
        self._thread.join()
        return self.drained


class Clock:
    """A layer's clock, which can be put forward."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@pytest.fixture
def clock() -> Clock:
    """A clock for `make_layer(clock=clock)`."""
    return Clock()


@pytest.fixture(params=["memory", "redis"])
def make_layer(request: pytest.FixtureRequest) -> Iterator[MakeLayer]:
    """Makes layers that share nothing with those of other tests."""
    with contextlib.ExitStack() as cleanup:

        def make(**limits: Any) -> ChannelLayer:
            if request.param == "memory":
                return InMemoryChannelLayer(**limits)
            url = request.getfixturevalue("redis_url")
            layer = RedisChannelLayer(hosts=[url], prefix=f"worker-{next(_numbers)}:", **limits)
            cleanup.callback(layer.close)
            cleanup.callback(layer.flush)
            return layer

        yield make


@pytest.fixture
def layer(make_layer: MakeLayer) -> ChannelLayer:
    """A layer with the usual limits."""
    return make_layer()


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts workers: `start(layer, routing, threads=1, …)`."""
    for module in (exchange, mover):
        monkeypatch.setattr(module, "_IDLE_SECONDS", 0.05)  # an idle thread sees so often whether it is to stop
    with contextlib.ExitStack() as cleanup:

        def start(layer: ChannelLayer, routing: Any, **options: Any) -> Running:
            wrapper = cleanup.enter_context(routed(routing, layer=layer))
            running = Running(wrapper, options)
            cleanup.callback(running.stop)
            return running

        yield start


@pytest.fixture
def served_layer(redis_url: str) -> Iterator[RedisChannelLayer]:
    """The layer that the processes of `spawn` work on, as their settings have it."""
    prefix = f"runworker-{next(_numbers)}:"
    layer = RedisChannelLayer(hosts=[redis_url], prefix=prefix, lease_seconds=1, at_least_once={"again": 2})
    yield layer
    layer.flush()
    layer.close()


@pytest.fixture
def spawn(served_layer: RedisChannelLayer) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts `runworker` and returns its process when it says that it is ready."""
    with contextlib.ExitStack() as cleanup:

        def spawn(*args: str) -> subprocess.Popen[str]:
            process = cleanup.enter_context(spawned(served_layer, *args))
            cleanup.callback(process.kill)
            return process

        yield spawn


def say(
    layer: ChannelLayer, text: object, reply_channel: str = "gw!one", channel: str = "websocket.receive", **content: Any
) -> None:
    """Send what a gateway would for a frame of the socket *reply_channel*."""
    content = {"reply_channel": reply_channel, "path": "/", "text": text, **content}
    layer.send(channel, content, lane=layer.lane(reply_channel))


def answers(layer: ChannelLayer, count: int, *channels: str) -> list[dict[str, Any]]:
    """Return the next *count* contents on *channels* (by default, of the process "gw!"), as they come."""
    found, give_up_at = [], time.monotonic() + 30
    while len(found) < count:
        channel, content = layer.receive(channels or ("gw!",), block=True)
        if channel is not None:
            found.append(content)
        assert time.monotonic() < give_up_at, f"nothing more came; there was {found!r}"
    return found


def until(condition: Callable[[], object]) -> None:
    """Return when *condition* holds."""
    give_up_at = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < give_up_at
        time.sleep(0.01)


def nothing_waits(layer: ChannelLayer, *channels: str) -> bool:
    """Tell whether *channels* are empty now."""
    return layer.receive(channels or ("gw!",)) == (None, None)
