"""The Redis layer keeps the contract, on a real server."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable

import pytest

from chancelery.deployment import connections
from chancelery.layers import redis
from chancelery.layers.redis import RedisChannelLayer
from tests.contracts.fixtures import LEASE_SECONDS, MakeLayer, SteppedClock
from tests.contracts.layer import ChannelLayerContract
from tests.contracts.machine import require_model

_numbers = itertools.count()


@pytest.fixture(scope="session")
def make_redis_layer(redis_url: str) -> Callable[..., RedisChannelLayer]:
    """Makes layers with prefixes of their own, once the server has run for long enough to reap."""
    client = connections.sync_client(redis_url)
    while client.info("server")["uptime_in_seconds"] < LEASE_SECONDS:
        client.blpop("nobody.sends.here", timeout=0.1)

    def make(**options: object) -> RedisChannelLayer:
        return RedisChannelLayer(hosts=[redis_url], prefix=f"test:{os.getpid()}.{next(_numbers)}:", **options)

    return make


class TestRedisChannelLayer(ChannelLayerContract):
    @pytest.fixture
    def make_layer(self, make_redis_layer: MakeLayer, clock: SteppedClock) -> MakeLayer:
        return lambda **limits: make_redis_layer(**{"clock": clock} | limits)


def test_it_answers_as_the_model_does(make_redis_layer: Callable[..., RedisChannelLayer]) -> None:
    require_model(lambda clock, **limits: make_redis_layer(clock=clock, **limits))


def test_the_module_can_be_named_as_a_backend() -> None:
    assert isinstance(redis.ChannelLayer(hosts=["redis://127.0.0.1"]), RedisChannelLayer)
