"""Workers that could work and do not: with Celery's own settings and transport, and with ours."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
import types
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
from celery import Celery

from chancelery.deployment import Deployment
from tests.faults.processes import Servant
from tests.tasks.conftest import CeleryWorker
from tests.tasks.project.consumers import blocks, counts

PATIENCE_SECONDS = 60


class Site:
    """A worker with two processes, which reaches its Redis by a proxy; what publishes does without."""

    def __init__(self, url: str, by: str, stack: contextlib.ExitStack, *, plain: bool) -> None:
        prefix = f"idle-{os.getpid()}-{plain}"
        settings = Deployment(url, prefix=prefix).django_settings(routing=[])
        if plain:
            del settings["CELERY_BROKER_TRANSPORT"]
        self.queue, self.held = f"{prefix}:q:celery", f"{prefix}:q:unacked"
        self.client = redis.Redis.from_url(url)
        self.app = Celery(prefix, set_as_current=False)
        self.app.config_from_object(types.SimpleNamespace(**settings), namespace="CELERY")
        stack.callback(self.client.close)
        stack.callback(self.app.close)
        environment = {"DJANGO_SETTINGS_MODULE": "tests.tasks.project.proxied", "TESTS_PREFIX": prefix}
        self._environment = {**environment, "TESTS_REDIS_URL": by, "TESTS_PLAIN": "yes" if plain else ""}
        self._stack = stack

    def start(self) -> None:
        self.worker = CeleryWorker(self._environment)
        self._stack.callback(self.worker.stop)


@pytest.fixture(scope="module")
def proxy(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servant]:
    port = redis_url.rpartition(":")[2].partition("/")[0]
    command = [sys.executable, "-m", "tests.faults.proxy", port, "plain", "ours"]
    found = Servant(command, tmp_path_factory.mktemp("proxy") / "log")
    yield found
    found.stop()


@pytest.fixture(scope="module")
def sites(redis_url: str, proxy: Servant) -> Iterator[dict[str, Site]]:
    """Celery's own and ours."""
    ports = proxy.answer()
    with contextlib.ExitStack() as stack:
        found = {
            name: Site(redis_url, f"redis://127.0.0.1:{port}/0", stack, plain=name == "plain")
            for name, port in ports.items()
        }
        with ThreadPoolExecutor() as threads:
            list(threads.map(Site.start, found.values()))
        yield found
        order(proxy, "cut")  # or they would not hear that they are to stop


def order(proxy: Servant, what: str) -> None:
    proxy.order(json.dumps({"do": what, "to": ["plain", "ours"]}))
    proxy.answer()


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def test_a_short_task_is_left_to_others_while_a_worker_has_its_hands_full(sites: dict[str, Site]) -> None:
    results: dict[str, list[Any]] = {}
    for name, site in sites.items():
        results[name] = [site.app.send_task(blocks.name, (f"{name}:long",)) for _ in range(2)]
        for _ in range(2):
            assert site.client.blpop([f"{name}:long:at"], PATIENCE_SECONDS)
        results[name].append(site.app.send_task(counts.name, (f"{name}:short",)))
    plain, ours = sites["plain"], sites["ours"]
    until(lambda: plain.client.hlen(plain.held) == 3, "Celery's default has changed")
    assert plain.client.llen(plain.queue) == 0  # nobody else can have it, though it only waits
    assert (ours.client.hlen(ours.held), ours.client.llen(ours.queue)) == (2, 1)
    for name, site in sites.items():
        site.client.rpush(f"{name}:long", "go", "on")
        assert [result.get(timeout=PATIENCE_SECONDS) for result in results[name]] == [None, None, 1]


def test_a_worker_comes_back_from_a_server_that_fell_silent(sites: dict[str, Site], proxy: Servant) -> None:
    plain, ours = sites["plain"], sites["ours"]
    order(proxy, "forget")
    for site in sites.values():
        site.app.send_task(counts.name, (f"{site.queue}:silent",))
    until(lambda: ours.client.get(f"{ours.queue}:silent") == b"1", "it comes back")
    assert ours.app.send_task(counts.name, ("ours:again",)).get(timeout=PATIENCE_SECONDS) == 1
    # Celery's would see that nothing comes, too, but waits for the answer to something else, for ever.
    assert (plain.worker.process.poll(), plain.client.get(f"{plain.queue}:silent")) == (None, None)
