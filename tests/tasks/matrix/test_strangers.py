"""Tasks that a job's canvas did not name, and messages that no worker can read."""

from __future__ import annotations

from typing import Any

import pytest
from celery import chain, chord, group
from celery.exceptions import TaskRevokedError

from chancelery.tasks import escalate
from chancelery.tasks.engine import followers
from tests.tasks.conftest import PATIENCE_SECONDS, Socket, ends_of
from tests.tasks.project.consumers import counts_as_done, replaced, starts_one_that_waits
from tests.tasks.project.tasks import add, number, total

JOB = "0" * 32


@pytest.mark.usefixtures("worker")
class TestThoseOfAJob:
    def test_what_a_task_started_by_itself_is_stopped_with_its_job(self, socket: Socket, celery_app: Any) -> None:
        other = Socket()
        job = escalate(socket.message(), starts_one_that_waits.s(other.name))
        root_id, child_id = next(other.contents())["text"].split()
        assert (root_id, child_id.startswith(job.id)) == (job.id, False)
        job.cancel()
        with pytest.raises(TaskRevokedError):
            celery_app.AsyncResult(child_id).get(timeout=PATIENCE_SECONDS)
        assert ends_of(job) == ["cancelled"]

    def test_a_replacement_whose_result_nobody_wants_is_heard_of(self, socket: Socket) -> None:
        job = escalate(socket.message(), replaced.s(by="chain", how="fails", options={"ignore_result": True}))
        assert socket.end()["data"]["code"] == "UnwellError"
        assert ends_of(job) == ["error"]

    def test_a_message_that_no_worker_accepts_ends_its_job(self, socket: Socket) -> None:
        job = escalate(socket.message(), chain(number.s(1).set(serializer="pickle"), add.s(1)))
        assert socket.end()["data"]["code"] == "ContentDisallowed"
        assert ends_of(job) == ["error"]

    def test_a_task_that_stored_its_own_result_may_raise_ignore(self, socket: Socket) -> None:
        job = escalate(socket.message(), counts_as_done.s(7))
        assert socket.end()["data"] == 7
        assert ends_of(job) == ["result"]


@pytest.mark.usefixtures("celery_app")
class TestWhatComesNext:
    @pytest.mark.parametrize(
        ("after", "number_of_task"),
        [
            (number.s(1), None),
            (number.s(1).set(task_id=f"{JOB}-1"), 1),
            (chain(number.s(1), number.s(2).set(task_id=f"{JOB}-2")), 2),
            (group(number.s(1), number.s(2).set(task_id=f"{JOB}-2")), 2),
            (chord([number.s(1).set(task_id=f"{JOB}-1")], total.s().set(task_id=f"{JOB}-3")), 3),
            (number.s(1).set(chain=[number.s(1).set(task_id=f"{JOB}-4"), number.s(1)]), 4),
            (number.s(1).set(chord=total.s().set(task_id=f"{JOB}-5")), 5),
        ],
    )
    def test_the_first_task_of_a_job_is_found(self, after: Any, number_of_task: int | None) -> None:
        expected = None if number_of_task is None else f"{JOB}-{number_of_task}"
        assert followers.first_after([after], None) == expected
        assert followers.first_after(None, after) == expected

    def test_nothing_comes_after_the_last(self) -> None:
        assert followers.first_after(None, None) is None
        assert followers.concerned("a-task", None) is None
