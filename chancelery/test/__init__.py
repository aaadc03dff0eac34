"""
The test kit: layers in memory, a clock to move, clients whose messages are handled as by a worker, and the whole site.

Names are those of Channels 1. The same as fixtures for pytest: `chancelery.test.fixtures`.
"""

from __future__ import annotations

import warnings
from typing import Any

from chancelery.test.cases import ChannelTestCase, ChannelTestCaseMixin, TransactionChannelTestCase
from chancelery.test.client import Client
from chancelery.test.clock import VirtualClock
from chancelery.test.jobs import Escalated, Jobs, JobTestCase, JobTestCaseMixin, TransactionJobTestCase
from chancelery.test.liveserver import ChannelLiveServerTestCase, LiveServer
from chancelery.test.routes import apply_routes
from chancelery.test.websocket import WSClient

__all__ = [
    "ChannelLiveServerTestCase",
    "ChannelTestCase",
    "ChannelTestCaseMixin",
    "Client",
    "Escalated",
    "JobTestCase",
    "JobTestCaseMixin",
    "Jobs",
    "LiveServer",
    "TransactionChannelTestCase",
    "TransactionJobTestCase",
    "VirtualClock",
    "WSClient",
    "apply_routes",
]


def __getattr__(name: str) -> Any:
    if name == "HttpClient":
        warnings.warn("HttpClient is WSClient's old name: use that", DeprecationWarning, stacklevel=2)
        return WSClient
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
