"""What publishing leaves behind. Try more with CHANCELERY_TEST_JOBS=10000."""

from __future__ import annotations

import os
from typing import Any

import pytest
from celery import group

from chancelery.deployment import Deployment
from chancelery.tasks import escalate
from tests.tasks.conftest import ENDS, Socket
from tests.tasks.project.tasks import add, number, total

JOBS = int(os.environ.get("CHANCELERY_TEST_JOBS", "100"))
FOR_EVER = ("_kombu.binding.", "_kombu.binding_")
"""What kombu keeps of queues that are always there."""


def keys_of(client: Any, deployment: Deployment) -> set[bytes]:
    return set(client.scan_iter(match=f"{deployment.prefix}:*", count=1000))


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("worker")
def test_after_many_jobs_redis_is_where_it_began(socket: Socket, celery_app: Any, deployment: Deployment) -> None:
    client = celery_app.backend.client
    escalate(socket.message(), number.s(1))
    socket.end()
    before, subscribed = keys_of(client, deployment), client.pubsub_channels()
    for count in range(JOBS):
        canvas = group(number.s(1), number.s(2)) | total.s() if count % 10 == 0 else number.s(1) | add.s(1)
        job = escalate(socket.message(), canvas)
        assert socket.end()["kind"] in ENDS
    assert client.pubsub_channels() == subscribed
    celery_app.AsyncResult(f"{job.id}-2").get(timeout=30)
    for_ever = [key for key in keys_of(client, deployment) - before if client.ttl(key) == -1]
    assert [key for key in for_ever if not key.decode().split(":", 2)[2].startswith(FOR_EVER)] == []
