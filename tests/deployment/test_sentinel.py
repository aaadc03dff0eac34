"""A master dies or is demoted: everybody goes on with the new one, and nobody is restarted."""

from __future__ import annotations

import asyncio
import time
import types
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest
from celery import Celery
from django.core.cache import caches
from django.test import override_settings

from chancelery.deployment import Deployment, connections, wire
from chancelery.deployment.address import parse
from chancelery.exceptions import LayerUnavailable
from chancelery.layers.base import Finished, Send
from chancelery.layers.redis import RedisChannelLayer
from tests.deployment.processes import DEADLINE_SECONDS, free_port
from tests.deployment.sentinels import PASSWORD, SENTINEL_PASSWORD, SERVICE, Watched, watched_servers


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    with watched_servers(tmp_path_factory.mktemp("sentinel")) as found:
        yield found


@pytest.fixture(scope="module")
def url(watched: Watched) -> Iterator[str]:
    """Of two Sentinels, of which the first is not there."""
    hosts = f"127.0.0.1:{free_port()},127.0.0.1:{watched.sentinel_port}"
    asked = f"sentinel_password={quote(SENTINEL_PASSWORD, safe='')}"
    found = f"sentinel://:{quote(PASSWORD, safe='')}@{hosts}/{SERVICE}?{asked}"
    yield Deployment(found).address.for_redis()
    connections.close_sync(Deployment(found).address.for_redis())
    wire.close_thread_wire(Deployment(found).address.for_redis())


@pytest.fixture
def layer(url: str, watched: Watched) -> RedisChannelLayer:
    return RedisChannelLayer(hosts=[url], prefix="failover:", lease_seconds=60)


def healed(call: Callable[[], Any]) -> tuple[Any, int]:
    """Repeat *call* until the layer answers; return its answer, and how often it did not."""
    until, failures = time.monotonic() + DEADLINE_SECONDS, 0
    while True:
        try:
            return call(), failures
        except LayerUnavailable:
            failures += 1
            assert time.monotonic() < until, "it did not heal"
            time.sleep(0.05)


async def ahealed(call: Callable[[], Any]) -> Any:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            try:
                return await call()
            except LayerUnavailable:
                await asyncio.sleep(0.05)


def test_what_waits_on_a_master_that_is_demoted_fails_and_goes_on_with_the_new_one(
    layer: RedisChannelLayer, watched: Watched
) -> None:
    old = watched.master()
    assert layer.receive(["quiet"]) == (None, None), "this thread is connected to it"

    async def gateway() -> None:
        await layer.acollect("daphne.y!", 0, 10, 0.01)
        waiting = asyncio.create_task(layer.acollect("daphne.y!", 0, 10, 20))
        await asyncio.to_thread(watched.demote_master)
        with pytest.raises(LayerUnavailable):
            await waiting
        await ahealed(lambda: layer.apost([Send("quiet", layer.pack({"n": 1}))]))
        await layer.aclose()

    asyncio.run(gateway())
    assert watched.master() != old
    assert healed(lambda: layer.receive(["quiet"]))[0] == ("quiet", {"n": 1})
    assert healed(layer.global_statistics)[0]["messages_count"] == 1


def test_workers_and_gateways_go_on_when_the_master_dies(layer: RedisChannelLayer, watched: Watched) -> None:
    lease = layer.open_lease()
    layer.send("orders", {"n": 1})
    layer.group_add("chat", "daphne.x!a")
    (held,) = layer.fetch(["orders"], 1, lease).deliveries
    layer.send("orders", {"n": 2})
    layer.wait(["orders"], 0.01)

    async def gateway() -> None:
        await layer.apost([Send("orders", layer.pack({"n": 3}))])
        collected = await layer.acollect("daphne.x!", 0, 10, 0.01)
        assert wire.thread_wire(layer.url).call("WAIT", 1, DEADLINE_SECONDS * 1000) == 1, "the replica has it all"
        old = watched.master()
        await asyncio.to_thread(watched.kill_master)
        await ahealed(lambda: layer.apost([Send("orders", layer.pack({"n": 4}))]))
        assert watched.master() != old
        await ahealed(lambda: layer.atally({"nothing": 1}))
        healed(lambda: layer.send_group("chat", {"to": "all"}))  # this thread's connection was to the old one
        collected = await ahealed(lambda: layer.acollect("daphne.x!", collected.position, 10, 1))
        assert (len(collected.entries), collected.lost) == (1, False)
        await layer.aclose()

    asyncio.run(gateway())
    fetched, _ = healed(lambda: layer.fetch(["orders"], 10, lease, [Finished(held)]))
    assert fetched.held
    assert [delivery.content["n"] for delivery in fetched.deliveries] == [2, 3, 4]


@pytest.mark.filterwarnings("ignore:Call to deprecated setex")  # Celery's own call
def test_celery_and_the_cache_ask_the_same_sentinels(url: str, watched: Watched) -> None:
    settings = Deployment(url, prefix="site").django_settings(routing=[])
    app = Celery("site", set_as_current=False)
    app.config_from_object(types.SimpleNamespace(**settings), namespace="CELERY")
    watched.await_calm()
    with app, override_settings(**settings):
        app.send_task("nothing")
        app.backend.store_result("an-id", 1, "SUCCESS")
        assert app.backend.get_result("an-id") == 1
        assert app.backend.location == parse(url).location
        assert PASSWORD not in app.backend.as_uri()
        caches["default"].set("key", "value")
        assert caches["default"].get("key") == "value"
        app.backend.client.close()
        app.close()
    keys = {key.decode() for key in watched.client(watched.master()).scan_iter(match="site:*")}
    assert {"site:c:1:key", "site:q:celery", "site:r:celery-task-meta-an-id"} <= keys


def test_a_service_that_no_sentinel_knows_is_reported_with_all_that_were_asked(url: str, watched: Watched) -> None:
    unknown = url.replace(f"/{SERVICE}/", "/other/")
    with pytest.raises(
        LayerUnavailable, match=r'no Sentinel knows a master "other": .*knows no such service'
    ) as caught:
        wire.thread_wire(unknown).call("PING")
    assert quote(PASSWORD, safe="") not in str(caught.value)
    assert quote(SENTINEL_PASSWORD, safe="") not in str(caught.value)

    async def scenario() -> None:
        with pytest.raises(LayerUnavailable, match="no Sentinel knows a master"):
            await wire.loop_wire(unknown).call("PING")

    asyncio.run(scenario())
