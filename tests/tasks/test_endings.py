"""Each way in which a job can end, beside its result."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from celery import chain, chord, group, shared_task
from celery.exceptions import TaskRevokedError
from django.utils import timezone

from chancelery.exceptions import UnknownJob
from chancelery.tasks import Job, escalate
from tests.tasks.conftest import CeleryWorker, Socket, ends_of
from tests.tasks.project import tasks
from tests.tasks.project.tasks import add, number, total, waits_for

pytestmark = pytest.mark.usefixtures("worker")

Quiet = Callable[..., None]
HOUR = 3600


def release(socket: Socket, key: str) -> None:
    """Let a task go on that runs `waits_for(key)`."""
    socket.layer.send(key, {})


def until_started(socket: Socket) -> None:
    """Return when a task of the socket's job runs."""
    for content in socket.contents():
        if '"kind":"started"' in content["text"]:
            return


class TestErrors:
    def test_a_failure_tells_the_client_a_code_and_a_reference_only(self, socket: Socket, worker: CeleryWorker) -> None:
        escalate(socket.message(), tasks.fails.s())
        data = socket.end()["data"]
        assert data == {"code": "UnwellError", "reference": data["reference"], "message": "the task failed"}
        assert re.fullmatch(r"[0-9a-f]{8}", data["reference"])
        worker.until("the password is swordfish", after=worker.until(f"reference {data['reference']}"))

    def test_the_text_of_a_task_error_is_meant_for_clients(self, socket: Socket) -> None:
        escalate(socket.message(), tasks.out_of_paper.s())
        data = socket.end()["data"]
        assert (data["code"], data["message"]) == ("OutOfPaperError", "tray 2 is empty")

    def test_a_result_that_cannot_be_json_ends_in_an_error(self, socket: Socket, worker: CeleryWorker) -> None:
        job = escalate(socket.message(), tasks.raw_bytes.s())
        end = socket.end()
        assert (end["kind"], end["data"]["code"]) == ("error", "unsendable_result")
        worker.until(f"(reference {end['data']['reference']})")
        assert job.state == "error"

    def test_dates_are_sent_as_django_writes_them(self, socket: Socket) -> None:
        escalate(socket.message(), tasks.dated.s())
        assert socket.end()["data"] == {"on": "2024-02-29"}

    def test_a_result_that_is_too_large_ends_in_an_error(self, socket: Socket) -> None:
        escalate(socket.message(), tasks.big.s(socket.layer.limits.max_message_bytes))
        assert socket.end()["data"]["code"] == "result_too_large"

    def test_results_of_a_group_that_are_too_large_together_end_in_an_error(self, socket: Socket) -> None:
        part = tasks.big.s(socket.layer.limits.max_message_bytes * 2 // 3)
        escalate(socket.message(), group(part, part))
        assert socket.end()["data"]["code"] == "result_too_large"

    def test_a_task_that_the_worker_does_not_know_ends_in_an_error(self, socket: Socket) -> None:
        @shared_task(name="only.here")
        def unknown() -> None: ...

        escalate(socket.message(), chain(unknown.s(), add.s(1)))
        assert socket.end()["data"]["code"] == "NotRegistered"

    def test_a_hard_time_limit_ends_in_one_error(self, socket: Socket, quiet: Quiet) -> None:
        job = escalate(socket.message(), tasks.too_slow.s(f"key.{socket.process[5:-1]}"))
        assert socket.end()["data"]["code"] == "TimeLimitExceeded"
        quiet(job)
        assert ends_of(job) == ["error"]

    def test_a_killed_child_ends_in_one_error(self, socket: Socket, quiet: Quiet) -> None:
        job = escalate(socket.message(), chain(tasks.kills_itself.s(), add.s(1)))
        assert socket.end()["data"]["code"] == "WorkerLostError"
        quiet(job)
        assert ends_of(job) == ["error"]

    def test_so_does_one_that_is_killed_as_it_publishes_the_body_of_a_chord(self, socket: Socket) -> None:
        job = escalate(socket.message(), chord([tasks.dies_as_it_publishes.s()], total.s()))
        assert socket.end()["data"]["code"] == "WorkerLostError"
        assert ends_of(job) == ["error"]

    def test_a_part_that_comes_back_publishes_what_a_dead_one_had_claimed_to(self, socket: Socket) -> None:
        escalate(socket.message(), chord([number.s(1), tasks.comes_back_claimed.s()], total.s()))
        assert socket.end()["data"] == 2


class TestRetries:
    def test_retries_are_told_and_the_result_comes_once(self, socket: Socket) -> None:
        escalate(socket.message(), tasks.flaky.s(2))
        events = socket.events()
        assert [event["kind"] for event in events] == ["accepted", "started", "retry", "retry", "result"]
        first, second = (event["data"] for event in events if event["kind"] == "retry")
        assert (first["attempt"], first["max"], first["error"]) == (1, 2, "UnwellError")
        assert first["name"] == tasks.flaky.name
        assert first["in_seconds"] == pytest.approx(0.01)
        assert second["attempt"] == 2
        assert events[-1]["data"] == 3

    def test_spent_retries_end_in_one_error(self, socket: Socket, quiet: Quiet) -> None:
        job = escalate(socket.message(), chain(tasks.flaky.s(9), add.s(1)))
        kinds = [event["kind"] for event in socket.events()]
        assert kinds == ["accepted", "started", "retry", "retry", "error"]
        quiet(job)
        assert ends_of(job) == ["error"]

    def test_a_retry_that_is_stored_late_does_not_undo_the_end(
        self, socket: Socket, quiet: Quiet, celery_app: Any
    ) -> None:
        job = escalate(socket.message(), tasks.fails.s())
        assert socket.end()["kind"] == "error"
        quiet(job)
        celery_app.backend.store_result(f"{job.id}-1", tasks.UnwellError("late"), "RETRY")
        assert celery_app.AsyncResult(f"{job.id}-1").state == "FAILURE"
        assert ends_of(job) == ["error"]

    def test_a_plain_task_that_retries_itself_is_told_too(self, socket: Socket) -> None:
        escalate(socket.message(), chain(tasks.plainly_flaky.s(2), add.s(10)))
        events = socket.events()
        retries = [event["data"] for event in events if event["kind"] == "retry"]
        told = [(retry["attempt"], retry["max"], retry["error"]) for retry in retries]
        assert told == [(1, 2, "UnwellError"), (2, 2, "UnwellError")]
        assert retries[0]["in_seconds"] == pytest.approx(0.2)
        assert retries[0]["at"].endswith("+00:00")
        assert events[-1]["data"] == 12

    def test_a_plain_task_whose_retries_are_spent_ends_in_an_error(self, socket: Socket) -> None:
        escalate(socket.message(), tasks.plainly_flaky.s(9))
        assert socket.end()["data"]["code"] == "UnwellError"


class TestTimes:
    @pytest.mark.parametrize("how", ["eta", "countdown"])
    @pytest.mark.parametrize(
        "canvas", [number.s(1), chain(number.s(1), add.s(1)), group(number.s(1), number.s(2)) | tasks.total.s()]
    )
    def test_nothing_runs_before_its_time(self, how: str, canvas: Any, socket: Socket, celery_app: Any) -> None:
        begins = timezone.now() + timedelta(seconds=0.2)
        job = escalate(socket.message(), canvas, **({"eta": begins} if how == "eta" else {"countdown": 0.2}))
        events = socket.events()
        assert events[0]["data"]["eta"] is not None
        assert events[-1]["kind"] == "result"
        for number_of_task in range(1, events[0]["data"]["of"] + 1):
            done = celery_app.backend.get_task_meta(f"{job.id}-{number_of_task}")["date_done"]
            assert datetime.fromisoformat(done) >= begins

    @pytest.mark.parametrize(
        "canvas",
        [
            number.s(1),
            chain(number.s(1), add.s(1)),
            group(number.s(1), number.s(2)),
            group(number.s(1)) | tasks.total.s(),
        ],
    )
    def test_what_expires_ends_in_one_error(self, canvas: Any, socket: Socket) -> None:
        job = escalate(socket.message(), canvas, expires=1e-6)
        events = socket.events()
        assert [event["kind"] for event in events] == ["accepted", "error"]
        assert events[-1]["data"]["code"] == "expired"
        assert ends_of(job) == ["error"]

    def test_what_is_started_in_time_does_not_expire(self, socket: Socket) -> None:
        escalate(socket.message(), chain(number.s(1), add.s(1)), expires=timedelta(hours=1))
        assert socket.end()["data"] == 2


class TestCancelling:
    def test_a_job_that_waits_is_cancelled(self, socket: Socket, quiet: Quiet) -> None:
        job = escalate(socket.message(), number.s(1), countdown=HOUR)
        assert job.cancel()
        assert [event["kind"] for event in socket.events()] == ["accepted", "cancelled"]
        assert not job.cancel()
        assert job.state == "cancelled"
        assert ends_of(job) == ["cancelled"]

    def test_a_job_that_runs_is_cancelled_and_its_task_stopped(self, socket: Socket, celery_app: Any) -> None:
        job = escalate(socket.message(), chain(waits_for.s(f"key.{socket.process[5:-1]}"), number.si(2)))
        until_started(socket)
        assert job.cancel()
        assert socket.end()["data"] == {"reason": "cancelled"}
        assert isinstance(celery_app.AsyncResult(f"{job.id}-1").get(timeout=30, propagate=False), TaskRevokedError)
        assert ends_of(job) == ["cancelled"]
        assert celery_app.AsyncResult(f"{job.id}-2").state == "PENDING"

    def test_a_chord_that_runs_is_cancelled_without_a_word_of_a_fault(
        self, socket: Socket, worker: CeleryWorker, celery_app: Any
    ) -> None:
        key, before = f"key.{socket.process[5:-1]}", len(worker.lines)
        job = escalate(socket.message(), chord([waits_for.s(key), waits_for.s(key), number.s(1)], total.s()))
        until_started(socket)
        assert job.cancel()
        assert socket.end()["data"] == {"reason": "cancelled"}
        for place in (1, 2, 3):
            celery_app.AsyncResult(f"{job.id}-{place}").get(timeout=30, propagate=False)
        assert number.delay(1).get(timeout=30) == 1  # by when the worker would have said what it thinks of that
        assert not any("Chord" in line for line in worker.lines[before:])

    def test_a_job_one_of_whose_tasks_is_revoked_is_cancelled(self, socket: Socket, celery_app: Any) -> None:
        job = escalate(socket.message(), chain(number.s(1), add.s(1)), countdown=HOUR)
        celery_app.control.revoke(f"{job.id}-1")
        assert socket.end()["data"] == {"reason": "revoked"}
        assert ends_of(job) == ["cancelled"]

    def test_a_job_whose_running_task_is_terminated_is_cancelled(self, socket: Socket, celery_app: Any) -> None:
        job = escalate(socket.message(), waits_for.s(f"key.{socket.process[5:-1]}"))
        until_started(socket)
        celery_app.control.revoke(f"{job.id}-1", terminate=True)
        assert socket.end()["kind"] == "cancelled"
        assert ends_of(job) == ["cancelled"]

    def test_a_job_that_has_ended_is_not_cancelled(self, socket: Socket) -> None:
        job = escalate(socket.message(), number.s(1))
        assert socket.end()["kind"] == "result"
        assert not job.cancel()
        assert ends_of(job) == ["result"]


class TestHandedOutAgain:
    """Celery delivers a task again when a worker was lost, or seemed to be: same id, same attempt."""

    def again(self, celery_app: Any, job: Job, canvas: Any) -> None:
        celery_app.send_task(canvas.task, canvas.args, task_id=f"{job.id}-1", root_id=job.id)

    def test_a_task_that_succeeded_says_nothing_more(
        self, socket: Socket, celery_app: Any, worker: CeleryWorker
    ) -> None:
        job = escalate(socket.message(), number.s(7))
        events = socket.events()
        first = worker.until(f"[{job.id}-1] succeeded")
        self.again(celery_app, job, number.s(8))
        worker.until(f"[{job.id}-1] succeeded", after=first + 1)
        assert job.events() == events
        assert celery_app.AsyncResult(f"{job.id}-1").get() == 7
        assert socket.is_silent()

    def test_a_task_that_failed_does_not_bring_its_job_back(
        self, socket: Socket, celery_app: Any, worker: CeleryWorker
    ) -> None:
        job = escalate(socket.message(), tasks.fails.s())
        events = socket.events()
        self.again(celery_app, job, number.s(8))
        worker.until(f"[{job.id}-1] succeeded")
        assert job.events() == events
        assert socket.is_silent()

    def test_a_task_does_not_repeat_its_chunks(self, socket: Socket, celery_app: Any, worker: CeleryWorker) -> None:
        key = f"key.{socket.process[5:-1]}"
        job = escalate(socket.message(), chain(tasks.working.s(1), waits_for.si(key)))
        first = worker.until(f"[{job.id}-1] succeeded")
        self.again(celery_app, job, tasks.working.s(1))
        worker.until(f"[{job.id}-1] succeeded", after=first + 1)
        release(socket, key)
        kinds = [event["kind"] for event in socket.events()]
        assert [kinds.count(kind) for kind in ("started", "chunk", "step", "result")] == [1, 2, 1, 1]


class TestRecords:
    def test_a_job_is_found_by_its_id(self, socket: Socket) -> None:
        job = escalate(socket.message(), number.s(1))
        socket.end()
        assert Job.get(job.id) == job
        assert Job.get(job.id).state == "result"

    @pytest.mark.parametrize("use", [Job.get, lambda id_: Job(id_).state, lambda id_: Job(id_).events(),
                                     lambda id_: Job(id_).cancel(), lambda id_: Job(id_).result])  # fmt: skip
    def test_a_job_that_nobody_knows_is_an_error(self, use: Callable[[str], object], celery_app: Any) -> None:
        with pytest.raises(UnknownJob, match="no record of the job deadbeef"):
            use("deadbeef")

    def test_nothing_of_an_ended_job_is_kept_for_ever(self, socket: Socket, celery_app: Any) -> None:
        key = f"key.{socket.process[5:-1]}"
        job = escalate(socket.message(), group(waits_for.s(key), number.s(2)))  # it does not end while it is looked at
        client = celery_app.backend.client
        keys = [key for key in client.keys(f"*{job.id}*") if b":j:" in key]
        assert {key.rpartition(job.id.encode())[2] for key in keys} >= {b"", b":members", b":events"}
        assert all(client.ttl(name) > HOUR for name in keys)
        socket.layer.send(key, {})
        socket.end()
        kept = [key for key in client.keys(f"*{job.id}*") if b":j:" in key]
        assert len(kept) == 3
        assert all(0 < client.ttl(name) <= HOUR for name in kept)

    def test_the_record_of_a_job_outlives_its_eta(self, socket: Socket, celery_app: Any) -> None:
        job = escalate(socket.message(), number.s(1), countdown=timedelta(days=30))
        (key,) = celery_app.backend.client.keys(f"*job:{job.id}")
        assert celery_app.backend.client.ttl(key) > 30 * 86400
        job.cancel()

    def test_publishing_and_ending_leaves_no_subscription_behind(self, socket: Socket, celery_app: Any) -> None:
        before = celery_app.backend.client.pubsub_channels()
        for _ in range(3):
            escalate(socket.message(), group(number.s(1), number.s(2)) | tasks.total.s() | add.s(1))
            socket.end()
        assert celery_app.backend.client.pubsub_channels() == before
