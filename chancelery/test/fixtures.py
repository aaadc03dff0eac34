"""
The kit as fixtures: `pytest_plugins = ["chancelery.test.fixtures"]` in the `conftest.py` beside pytest's configuration.

Needs pytest-django for `channel_live_server` alone.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from chancelery.registry import channel_layers
from chancelery.test import jobs, layers
from chancelery.test.client import Client
from chancelery.test.clock import VirtualClock
from chancelery.test.liveserver import LiveServer
from chancelery.test.websocket import WSClient


@pytest.fixture
def channel_clock() -> Iterator[VirtualClock]:
    """Layers in memory, new and empty, behind every alias of CHANNEL_LAYERS; and what they take for the time."""
    clock = VirtualClock()
    with layers.isolated(list(channel_layers.configs), clock=clock):
        yield clock


@pytest.fixture
def channel_client(channel_clock: VirtualClock) -> Client:  # noqa: ARG001 - for its layers
    """Somebody who sends messages, has them handled, and receives what is answered."""
    return Client()


@pytest.fixture
def ws_client(channel_clock: VirtualClock) -> WSClient:  # noqa: ARG001 - for its layers
    """A browser with a socket."""
    return WSClient()


@pytest.fixture
def channel_jobs(channel_clock: VirtualClock) -> Iterator[jobs.Jobs]:
    """Layers on a Redis, new and empty, behind every alias; and the jobs that are escalated, which the test runs."""
    with jobs.inline(list(channel_layers.configs), clock=channel_clock) as found:
        yield found


@pytest.fixture
def channel_live_server(transactional_db: None) -> Iterator[LiveServer]:  # noqa: ARG001 - other threads use it, too
    """The whole site, at `url` and `ws_url`."""
    with LiveServer() as server:
        yield server
