"""What `current_job` and `once` are to plain Celery tasks, and to whatever they call."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from celery import chain, group

from chancelery import Channel
from chancelery.exceptions import UnknownJob
from chancelery.tasks import Job, current_job, escalate
from chancelery.tasks.engine import backend
from chancelery.tasks.once import Once
from tests.tasks.conftest import PATIENCE_SECONDS, Socket
from tests.tasks.project import plain, tasks

pytestmark = pytest.mark.usefixtures("celery_app")


@pytest.fixture
def till() -> Channel:
    return Channel(f"till.{uuid.uuid4().hex[:12]}")


def payments(till: Channel) -> int:
    layer = till.channel_layer.layer
    paid = 0
    while layer.receive([till.name])[0]:
        paid += 1
    return paid


@pytest.mark.usefixtures("worker")
class TestInATask:
    def test_a_plain_task_tells_of_its_job(self, socket: Socket) -> None:
        job = escalate(socket.message(), plain.tells.s(500))
        events = socket.events()
        assert events[-1]["data"] == {"job": job.id, "attempt": 1, "is_one": True, "same": True}
        assert [event["data"]["chunk"]["url"] for event in events if event["kind"] == "chunk"] == ["/1", "/2"]

    def test_its_last_progress_comes_before_its_end(self, socket: Socket) -> None:
        escalate(socket.message(), plain.tells.s(500))
        *_, last_words, result = socket.events()
        assert (last_words["kind"], last_words["data"]["note"]) == ("progress", "last words")
        assert result["kind"] == "result"

    def test_a_task_that_is_called_as_a_function_speaks_for_its_caller(self, socket: Socket) -> None:
        job = escalate(socket.message(), plain.tells_by_another.s(1))
        events = socket.events()
        assert events[-1]["data"]["job"] == job.id
        progress = [event["data"]["name"] for event in events if event["kind"] == "progress"]
        assert set(progress) == {plain.tells_by_another.name}

    def test_in_a_chain_each_task_speaks_for_itself(self, socket: Socket) -> None:
        job = escalate(socket.message(), chain(plain.tells.si(1), plain.tells.si(1)))
        chunks = [event["data"]["task"] for event in socket.events() if event["kind"] == "chunk"]
        assert chunks == [f"{job.id}-1"] * 2 + [f"{job.id}-2"] * 2

    def test_in_a_consumer_task_it_is_the_messages(self, socket: Socket) -> None:
        plain.same_as_the_messages.escalate(socket.message())
        assert socket.end()["data"] is True

    def test_it_counts_attempts(self, socket: Socket) -> None:
        escalate(socket.message(), plain.tells_attempts.s(2))
        assert socket.end()["data"] == 3

    def test_a_task_that_a_jobs_task_starts_works_for_the_job(self, socket: Socket, celery_app: Any) -> None:
        job = escalate(socket.message(), plain.starts_another_that_tells.s())
        started = celery_app.AsyncResult(socket.end()["data"])
        assert started.get(timeout=PATIENCE_SECONDS)["job"] == job.id

    def test_a_task_without_a_message_escalates_to_a_channel(self, till: Channel, celery_app: Any) -> None:
        job_id = plain.escalates_to.delay(till.name).get(timeout=PATIENCE_SECONDS)
        layer = till.channel_layer.layer
        found = None
        while found is None:
            found = layer.receive([till.name], block=True)[1]
        assert (found["job"], found["kind"], found["data"]["job"]) == (job_id, "result", job_id)

    def test_without_a_job_what_is_said_goes_nowhere(self, celery_app: Any) -> None:
        found = plain.tells.delay(3).get(timeout=PATIENCE_SECONDS)
        assert found == {"job": None, "attempt": 1, "is_one": False, "same": True}
        assert plain.tells_attempts.delay(2).get(timeout=PATIENCE_SECONDS) == 3


class TestOutsideOfTasks:
    def test_there_is_none(self) -> None:
        job = current_job()
        assert not job
        assert (job.id, job.owner, job.attempt) == (None, None, 1)
        job.progress(1, total=2)
        job.stream("pages", object())

    def test_nobody_can_give_an_input(self) -> None:
        with pytest.raises(UnknownJob, match="escalate the task that waits for one"):
            current_job().input(timeout=1)

    def test_once_is_always_the_first_time(self) -> None:
        assert current_job().once("pay")
        with current_job().once("pay") as first:
            assert first

    @pytest.mark.parametrize(("name", "error"), [(None, TypeError), ("", ValueError), ("x" * 201, ValueError)])
    def test_a_name_that_cannot_be_is_refused_there_too(self, name: Any, error: Any) -> None:
        with pytest.raises(error, match=r"once\(\) takes"):
            current_job().once(name)


@pytest.mark.usefixtures("worker")
class TestOnce:
    def test_a_retry_does_not_do_it_again(self, socket: Socket, till: Channel) -> None:
        escalate(socket.message(), plain.pays.s(till.name, 2))
        assert socket.end()["data"] == "again"
        assert payments(till) == 1

    def test_one_of_several_tasks_does_it(self, socket: Socket, till: Channel) -> None:
        escalate(socket.message(), group(plain.pays.s(till.name, 0) for _ in range(4)))
        assert sorted(socket.end()["data"]) == ["again", "again", "again", "first"]
        assert payments(till) == 1

    def test_asked_twice_in_one_run_it_is_done_once(self, socket: Socket, till: Channel) -> None:
        escalate(socket.message(), plain.pays_as_often_as.s(till.name, 3))
        assert socket.end()["data"] == 3
        assert payments(till) == 1

    def test_another_job_does_it_anew(self, socket: Socket, till: Channel) -> None:
        for _ in range(2):
            escalate(socket.message(), plain.pays.s(till.name, 0))
            assert socket.end()["data"] == "first"
        assert payments(till) == 2

    def test_a_block_that_raises_gives_it_back(self, socket: Socket, till: Channel) -> None:
        escalate(socket.message(), plain.fails_to_pay.s(till.name, 2))
        assert socket.end()["data"] == "paid"
        assert payments(till) == 3

    def test_a_process_that_dies_in_the_block_has_used_it_up(self, socket: Socket, till: Channel) -> None:
        escalate(socket.message(), plain.dies_while_paying.s(till.name))
        assert socket.end()["data"] == "not again"
        assert payments(till) == 1


class TestARecordOfOnce:
    @pytest.fixture
    def waiting(self, socket: Socket) -> Job:
        return tasks.queued_elsewhere.escalate(socket.message())

    def test_one_of_two_has_it(self, waiting: Job) -> None:
        one, other = (Once(backend.current(), waiting.id, "pay", "task") for _ in range(2))
        assert [bool(one), bool(other)] == [True, False]

    def test_only_who_has_it_gives_it_back(self, waiting: Job, quietly: Callable[[Once], None]) -> None:
        one, other = (Once(backend.current(), waiting.id, "pay", "task") for _ in range(2))
        quietly(other)
        assert not Once(backend.current(), waiting.id, "pay", "task")
        quietly(one)
        assert Once(backend.current(), waiting.id, "pay", "task")

    def test_a_cancelled_job_does_nothing_any_more(self, waiting: Job) -> None:
        waiting.cancel()
        assert not Once(backend.current(), waiting.id, "pay", "task")

    def test_without_a_record_there_is_nothing_to_ask(self) -> None:
        with pytest.raises(UnknownJob, match="no record of the job"):
            Once(backend.current(), "0" * 32, "pay", "task")

    @pytest.fixture
    def quietly(self) -> Callable[[Once], None]:
        def fail(once: Once) -> None:
            with pytest.raises(ZeroDivisionError), once:
                raise ZeroDivisionError

        return fail
