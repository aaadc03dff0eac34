"""One daphne and one clerk for the tests that leave them as they found them."""

from __future__ import annotations

import itertools

import pytest

from tests.gateway.servers.processes import daphne, served

_numbers = itertools.count()


@pytest.fixture
def prefix():
    """A prefix of its own for each test that starts servers."""
    return f"gateway{next(_numbers)}:"


@pytest.fixture(scope="module")
def site(redis_url):
    with served(daphne, redis_url, "gateway:", "-v", "1", MAX_BODY_BYTES=2_000_000) as (server, clerk):
        yield server, clerk


@pytest.fixture
def server(site):
    return site[0]


@pytest.fixture
def clerk(site):
    return site[1]
