"""What publishing leaves behind. Try more with CHANCELERY_TEST_JOBS=10000."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest
from celery import group

from chancelery.deployment import Deployment
from chancelery.tasks import escalate
from tests.tasks.conftest import ENDS, PATIENCE_SECONDS, Socket
from tests.tasks.project.tasks import add, number, total

JOBS = int(os.environ.get("CHANCELERY_TEST_JOBS", "100"))
FOR_EVER = ("_kombu.binding.", "_kombu.binding_")
"""What kombu keeps of queues that are always there."""
GRAIN_BYTES = 1024
"""A counter with more digits, and such."""
ROOM_BYTES = 1 << 21
"""What the server's own tables differ by; ten thousand jobs take some fifty times as much."""


class Keys:
    """What of a deployment is in Redis."""

    def __init__(self, client: Any, deployment: Deployment) -> None:
        self._client = client
        self._pattern = f"{deployment.prefix}:*"

    def names(self) -> set[bytes]:
        names = set(self._client.scan_iter(match=self._pattern, count=1000))
        return {name for name in names if not name.decode().split(":", 2)[2].startswith(FOR_EVER)}

    def lasting(self) -> dict[bytes, int]:
        """The bytes that each key takes that will never expire."""
        names = list(self.names())
        ttls, sizes = self._ask("ttl", names), self._ask("memory_usage", names)
        return {name: size for name, ttl, size in zip(names, ttls, sizes, strict=True) if ttl == -1}

    def expire(self, names: set[bytes]) -> None:
        """Let their time be over, of those that have one."""
        own = sorted(names)
        for name, ttl in zip(own, self._ask("ttl", own), strict=True):
            if ttl != -1:
                self._client.expire(name, 0)

    def _ask(self, what: str, names: list[bytes]) -> list[Any]:
        with self._client.pipeline(transaction=False) as pipeline:
            for name in names:
                getattr(pipeline, what)(name)
            answers: list[Any] = pipeline.execute()
        return answers


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("worker")
def test_after_many_jobs_redis_is_where_it_began(socket: Socket, celery_app: Any, deployment: Deployment) -> None:
    client = celery_app.backend.client
    keys = Keys(client, deployment)
    began = keys.names()
    escalate(socket.message(), group(number.s(1), number.s(2)) | total.s())
    socket.end()
    subscribed, lasting, used = client.pubsub_channels(), keys.lasting(), client.info("memory")["used_memory"]
    for count in range(JOBS):
        canvas = group(number.s(1), number.s(2)) | total.s() if count % 10 == 0 else number.s(1) | add.s(1)
        job = escalate(socket.message(), canvas)
        assert socket.end()["kind"] in ENDS
    celery_app.AsyncResult(f"{job.id}-2").get(timeout=PATIENCE_SECONDS)
    assert client.pubsub_channels() == subscribed
    left = keys.lasting()
    assert set(left) <= set(lasting)
    assert sum(left.values()) <= sum(lasting.values()) + GRAIN_BYTES
    keys.expire(keys.names() - began)
    assert keys.names() - began <= set(lasting)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while client.info("memory")["used_memory"] > used + ROOM_BYTES:  # tables shrink little by little
        assert time.monotonic() < deadline, client.info("memory")
        time.sleep(0.1)
