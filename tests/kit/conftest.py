"""The fixtures of the kit, as a project takes them, and the site that they are tried with."""

from __future__ import annotations

import pytest

from chancelery.test.fixtures import channel_client, channel_clock, channel_jobs, channel_live_server, ws_client
from tests.kit.site import LAYERS

__all__ = ["channel_client", "channel_clock", "channel_jobs", "channel_live_server", "ws_client"]


@pytest.fixture
def small_site(settings):
    settings.CHANNEL_LAYERS = LAYERS
