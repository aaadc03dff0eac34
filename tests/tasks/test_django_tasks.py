"""The tasks of Django 6 as jobs on Celery."""

from __future__ import annotations

import importlib
import json
import logging
import sys
import uuid
from datetime import datetime, timedelta
from typing import Any

import django
import pytest
from asgiref.sync import async_to_sync
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.test import override_settings
from django.utils import timezone

from chancelery import Channel
from chancelery.tasks import Job, escalate
from tests.tasks.conftest import Socket
from tests.tasks.project.tasks import number

BACKEND = "chancelery.tasks.django_backend.JobTaskBackend"
TASKS = {"default": {"BACKEND": BACKEND, "QUEUES": []}}

needs_django_6 = pytest.mark.skipif(django.VERSION < (6, 0), reason="django.tasks is in Django from 6.0 on")


@pytest.mark.skipif(django.VERSION >= (6, 0), reason="Django has django.tasks from 6.0 on")
def test_before_django_6_the_backend_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "chancelery.tasks.django_backend", raising=False)
    with pytest.raises(ImproperlyConfigured, match=r"needs django\.tasks, which Django has from 6\.0 on"):
        importlib.import_module("chancelery.tasks.django_backend")


@pytest.fixture
def tasks(celery_app: Any) -> Any:
    """The project's tasks, which are imported when their backend is in the settings."""
    with override_settings(TASKS=TASKS):
        yield importlib.import_module("tests.tasks.project.django_tasks")


def ended(result: Any) -> Any:
    """The result, when its job has ended."""
    wait_for_end(Job(result.id))
    result.refresh()
    return result


def wait_for_end(job: Job) -> None:
    deadline = timezone.now() + timedelta(seconds=30)
    while job.state not in {"result", "error", "cancelled"}:
        assert timezone.now() < deadline


@needs_django_6
@pytest.mark.usefixtures("worker")
class TestRunning:
    def test_a_task_is_enqueued_and_its_result_is_there(self, tasks: Any) -> None:
        result = tasks.add.enqueue(1, right=2)
        assert (result.args, result.kwargs, result.status) == ([1], {"right": 2}, "READY")
        result = ended(result)
        assert (result.status, result.return_value, result.errors) == ("SUCCESSFUL", 3, [])
        assert result.enqueued_at <= result.started_at <= result.finished_at
        assert (result.attempts, result.last_attempted_at) == (1, result.started_at)

    def test_another_process_can_get_it(self, tasks: Any) -> None:
        found = tasks.add.get_result(ended(tasks.add.enqueue(1, right=2)).id)
        assert (found.task, found.args, found.kwargs, found.return_value) == (tasks.add, [1], {"right": 2}, 3)

    def test_an_async_task_runs_and_can_be_enqueued_so(self, tasks: Any) -> None:
        assert ended(tasks.add_async.enqueue(1, 2)).return_value == 3
        assert ended(async_to_sync(tasks.add_async.aenqueue)(2, 2)).return_value == 4

    def test_a_failure_has_its_exception_and_its_traceback(self, tasks: Any) -> None:
        result = ended(tasks.fails.enqueue())
        assert result.status == "FAILED"
        [error] = result.errors
        assert error.exception_class is tasks.OutOfInkError
        assert "the ink is gone" in error.traceback
        assert result.finished_at is not None

    def test_a_result_that_is_no_json_fails(self, tasks: Any) -> None:
        [error] = ended(tasks.unspeakable.enqueue()).errors
        assert error.exception_class is TypeError

    def test_a_task_that_takes_the_context_sees_itself(self, tasks: Any) -> None:
        result = ended(tasks.looks.enqueue(7))
        seen = result.return_value
        assert (seen["id"], seen["job"]) == (result.id, result.id)
        assert (seen["attempt"], seen["status"], seen["args"]) == (1, "RUNNING", [7])
        assert seen["workers"] == result.worker_ids

    def test_it_waits_until_run_after(self, tasks: Any) -> None:
        result = tasks.add.using(run_after=timezone.now() + timedelta(seconds=0.5)).enqueue(1)
        assert Job(result.id).events()[0]["data"]["eta"] == result.task.run_after.isoformat()
        result = ended(result)
        assert result.started_at >= result.task.run_after
        assert tasks.add.using(run_after=result.task.run_after).get_result(result.id).task == result.task


@needs_django_6
@pytest.mark.usefixtures("worker")
class TestAnswering:
    def test_a_socket_is_told_everything(self, tasks: Any, socket: Socket) -> None:
        result = tasks.looks.using(reply_to=Channel(socket.name)).enqueue(7)
        events = socket.events()
        assert [event["kind"] for event in events] == ["accepted", "started", "chunk", "result"]
        assert {event["job"] for event in events} == {result.id}
        assert result.task.using(priority=1).reply_to.name == socket.name

    def test_a_channel_is_told_the_outcome(self, tasks: Any) -> None:
        channel = Channel(f"reports.{uuid.uuid4().hex[:12]}")
        result = tasks.add.using(reply_to=[channel]).enqueue(1)
        wait_for_end(Job(result.id))
        message = channel.channel_layer.layer.receive([channel.name])[1]
        assert (message["job"], message["kind"], message["data"]) == (result.id, "result", 1)

    def test_nobody_is_told_otherwise(self, tasks: Any) -> None:
        result = ended(tasks.add.enqueue(1))
        assert [event["kind"] for event in Job(result.id).events()] == ["accepted", "started", "result"]


@needs_django_6
class TestEnqueueing:
    @pytest.mark.parametrize(("priority", "step"), [(100, 0), (1, 0), (0, 0), (-1, 6), (-50, 6), (-51, 9)])
    def test_its_queue_is_celerys_and_its_priority_one_of_four(
        self, priority: int, step: int, tasks: Any, celery_app: Any
    ) -> None:
        result = tasks.elsewhere.using(priority=priority).enqueue()
        client = celery_app.backend.client
        keys = [key for key in client.scan_iter("*:q:*nobody-works-here*", count=1000) if client.type(key) == b"list"]
        queued = [(key, entry) for key in keys for entry in client.lrange(key, 0, -1)]
        [(key, mine)] = [(key, entry) for key, entry in queued if result.id.encode() in entry]
        assert json.loads(mine)["properties"]["priority"] == step
        assert key.endswith(f"\x06\x16{step}".encode()) == (step > 0)

    @pytest.mark.django_db(transaction=True)
    def test_it_waits_for_the_commit(self, tasks: Any, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG, "django.tasks")
        with transaction.atomic():
            result = tasks.elsewhere.enqueue()
            with pytest.raises(not_there()):
                tasks.elsewhere.get_result(result.id)
            assert f"id={result.id}" not in caplog.text
        assert tasks.elsewhere.get_result(result.id).status == "READY"
        assert f"id={result.id} path=tests.tasks.project.django_tasks.elsewhere enqueued" in caplog.text

    @pytest.mark.django_db(transaction=True)
    def test_rolled_back_there_is_no_result(self, tasks: Any) -> None:
        with transaction.atomic():
            result = tasks.elsewhere.enqueue()
            transaction.set_rollback(True)
        with pytest.raises(not_there()):
            result.refresh()

    @pytest.mark.django_db(transaction=True)
    def test_immediately_is_an_option(self, tasks: Any) -> None:
        now = {"default": {**TASKS["default"], "OPTIONS": {"immediately": True}}}
        with override_settings(TASKS=now), transaction.atomic():
            assert tasks.elsewhere.get_result(tasks.elsewhere.enqueue().id).status == "READY"

    def test_a_cancelled_one_has_failed(self, tasks: Any) -> None:
        result = tasks.elsewhere.enqueue()
        Job(result.id).cancel()
        result.refresh()
        assert result.status == "FAILED"
        assert result.errors[0].exception_class.__name__ == "TaskRevokedError"

    def test_arguments_are_json(self, tasks: Any) -> None:
        with pytest.raises(TypeError, match="Unsupported type"):
            tasks.add.enqueue(object())

    def test_a_time_without_a_zone_is_refused(self, tasks: Any) -> None:
        from django.tasks.exceptions import InvalidTask  # noqa: PLC0415

        with pytest.raises(InvalidTask, match="aware"):
            tasks.add.using(run_after=datetime(2030, 1, 1))  # noqa: DTZ001

    def test_an_option_that_there_is_not_is_refused(self, tasks: Any) -> None:
        wrong = {"default": {"BACKEND": BACKEND, "OPTIONS": {"loudly": True}}}
        with (
            override_settings(TASKS=wrong),
            pytest.raises(ImproperlyConfigured, match="has no loudly; known is immediately"),
        ):
            tasks.add.enqueue(1)


def not_there() -> Any:
    from django.tasks.exceptions import TaskResultDoesNotExist  # noqa: PLC0415

    return TaskResultDoesNotExist


@needs_django_6
class TestResults:
    @pytest.mark.parametrize("result_id", ["", "x", "0" * 32, "0" * 31 + "\n"])
    def test_an_id_of_nothing_has_none(self, tasks: Any, result_id: str) -> None:
        with pytest.raises(not_there()):
            tasks.add.get_result(result_id)

    def test_a_job_that_is_no_task_of_djangos_has_none(self, tasks: Any, socket: Socket) -> None:
        job = escalate(socket.message(), number.s(1).set(queue="nobody-works-here"))
        with pytest.raises(not_there()):
            tasks.add.get_result(job.id)

    def test_the_result_of_another_task_is_none_of_this_ones(self, tasks: Any) -> None:
        from django.tasks.exceptions import TaskResultMismatch  # noqa: PLC0415

        with pytest.raises(TaskResultMismatch):
            tasks.add.get_result(tasks.elsewhere.enqueue().id)
