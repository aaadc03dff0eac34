"""No job stays open for ever: not when whoever escalated it is killed, nor when its tasks are lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from typing import Any

import pytest
from celery import chord

from chancelery import Channel, outbox
from chancelery.deployment import Deployment
from chancelery.exceptions import LayerUnavailable
from chancelery.tasks import Job, escalate, inbox
from chancelery.tasks.due import Due
from chancelery.tasks.engine import waiting
from chancelery.worker.dispatch import Outcome, run_deferred, try_deferred
from tests.tasks.conftest import ENDS, PATIENCE_SECONDS, ROOT, CeleryWorker, Socket, ends_of
from tests.tasks.project.tasks import number, total, waits_for

JOB_EXPIRY = 86400


def die(socket: Socket, deployment: Deployment, how: str, **environment: str) -> None:
    """Have a process escalate, and be killed as soon as the job is recorded."""
    environment |= {
        "DJANGO_SETTINGS_MODULE": "tests.tasks.project.settings",
        "TESTS_REDIS_URL": deployment.url,
        "TESTS_PREFIX": deployment.prefix,
    }
    ended = subprocess.run(
        [sys.executable, "-m", "tests.tasks.project.dying", socket.name, how],
        cwd=ROOT, env={**os.environ, **environment}, capture_output=True, check=False, timeout=PATIENCE_SECONDS,
    )  # fmt: skip
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("how", ["chain", "chord"])
def test_a_job_is_run_whose_escalator_died_when_it_was_recorded(
    socket: Socket, deployment: Deployment, how: str
) -> None:
    die(socket, deployment, how)
    events = socket.events()
    assert events[-1]["data"] == 2
    assert [event["kind"] for event in events if event["kind"] in ENDS] == ["result"]


def ahead(celery_app: Any, seconds: float) -> Due:
    """What a worker looks at, so many seconds from now."""
    return Due(celery_app.backend.client, celery_app.backend.due._prefix, lambda: time.time() + seconds)


def test_a_job_for_another_broker_ends_whose_escalator_died_when_it_was_recorded(
    socket: Socket, deployment: Deployment, celery_app: Any
) -> None:
    die(socket, deployment, "another broker")
    [accepted] = socket.frames(1)
    ahead(celery_app, 30).publish()
    assert Job(accepted["job"]).state == "accepted"
    ahead(celery_app, 70).publish()
    assert socket.end()["data"]["code"] == "publish_failed"
    ahead(celery_app, 90_000).publish()
    assert ends_of(Job(accepted["job"])) == ["error"]


def test_a_job_for_another_broker_is_published_once_though_the_layer_goes_away_then(
    socket: Socket, celery_app: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors, end_if_gone = [LayerUnavailable("away")], inbox.end_if_gone

    def gone(name: str) -> None:
        if errors:
            raise errors.pop()
        end_if_gone(name)

    monkeypatch.setattr(inbox, "end_if_gone", gone)
    monkeypatch.setattr(waiting, "collects", lambda _: False)
    queue = f"once-{uuid.uuid4().hex}"
    with outbox.holding() as box:
        job = escalate(socket.message(), number.s(1).set(queue=queue), on_disconnect="cancel")
    left = try_deferred(Outcome([], box.deferred, (), "newsroom.consumers.ask"))
    assert left.deferred == box.deferred
    run_deferred(left)
    client = celery_app.backend.client
    [key] = [key for key in client.keys(f"*{queue}") if client.type(key) == b"list"]
    assert client.llen(key) == 1
    assert job.state == "accepted"


def test_a_job_ends_whose_chord_is_not_counted_any_more(
    socket: Socket, celery_app: Any, worker: CeleryWorker, caplog: pytest.LogCaptureFixture
) -> None:
    gate = f"lost.{uuid.uuid4().hex[:12]}"
    others = set(celery_app.backend.client.keys("*.s"))
    job = escalate(socket.message(), chord([number.s(1), waits_for.s(gate)], total.s()))
    kept = set(celery_app.backend.client.keys("*.s")) - others
    celery_app.backend.client.delete(*kept)  # as a server does whose memory is full
    Channel(gate).send({"go": 1})
    worker.until(f"[{job.id}-2] succeeded")
    ahead(celery_app, JOB_EXPIRY / 2).publish()
    assert job.state == "started"  # and would be for ever
    ahead(celery_app, JOB_EXPIRY).publish()
    assert socket.end()["data"] == {"code": "lost", "reference": job.id, "message": "the task failed"}
    assert "nothing was heard of its tasks" in caplog.text
    ahead(celery_app, JOB_EXPIRY).publish()
    assert ends_of(job) == ["error"]


def test_a_job_that_waits_is_not_lost(socket: Socket, celery_app: Any) -> None:
    held = escalate(socket.message(), number.s(1), countdown=10 * JOB_EXPIRY)
    first = escalate(socket.message(), number.s(1).set(queue="nobody-works-here"), limit=("overdue", 1))
    celery_app.backend.client.expire(f"{celery_app.backend.due._prefix}job:{first.id}", 20 * JOB_EXPIRY)
    second = escalate(socket.message(), number.s(1), limit=("overdue", 1))
    for days in (5, 6):
        ahead(celery_app, JOB_EXPIRY * days).publish()
        assert (held.state, first.state, second.state) == ("accepted", "accepted", "accepted")
    for job in (held, second, first):
        job.cancel()
