"""What a socket may ask of a job, and of whose."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from celery.exceptions import TaskRevokedError

from chancelery import Channel, Group
from chancelery.message import Message
from chancelery.tasks import Job, escalate, events, obey
from chancelery.tasks.engine import backend
from tests.tasks.conftest import PATIENCE_SECONDS, CeleryWorker, Socket, ends_of
from tests.tasks.project.consumers import ends
from tests.tasks.project.tasks import number, waits_for

HOUR = 3600
UNKNOWN = "0" * 32


def cancelling(job_id: object) -> str:
    return json.dumps({"job": job_id, "do": "cancel"})


def frames(socket: Socket, count: int) -> list[dict[str, Any]]:
    """The next frames that are sent to a socket."""
    contents = socket.contents()
    return [json.loads(next(contents)["text"]) for _ in range(count)]


@pytest.fixture
def job(socket: Socket, worker: Any) -> Job:
    """A job of the socket that waits for its time."""
    found = escalate(socket.message(), number.s(1), countdown=HOUR)
    assert frames(socket, 1)[0]["kind"] == "accepted"
    return found


def test_the_socket_that_a_job_was_escalated_for_cancels_it(socket: Socket, job: Job) -> None:
    assert obey(socket.message(text=cancelling(job.id)))
    event, answer = frames(socket, 2)
    assert (event["kind"], event["data"]) == ("cancelled", {"reason": "cancelled"})
    assert answer == {"job": job.id, "do": "cancel", "done": True}
    assert ends_of(job) == ["cancelled"]


def test_what_runs_is_stopped(socket: Socket, worker: Any, celery_app: Any) -> None:
    job = escalate(socket.message(), waits_for.s(f"key.{socket.process[5:-1]}"))
    assert [event["kind"] for event in frames(socket, 2)] == ["accepted", "started"]
    obey(socket.message(text=cancelling(job.id)))
    assert [frame.get("kind") for frame in frames(socket, 2)] == ["cancelled", None]
    celery_app.AsyncResult(f"{job.id}-1").get(timeout=30, propagate=False)
    assert celery_app.AsyncResult(f"{job.id}-1").state == "REVOKED"


@pytest.fixture
def idle_queue(worker: Any, celery_app: Any, group: Group) -> Iterator[str]:
    """A queue that no worker takes from until somebody says so."""
    name = f"idle.{group.name}"
    yield name
    celery_app.control.cancel_consumer(name)


def test_what_no_worker_was_told_of_is_not_begun(socket: Socket, celery_app: Any, idle_queue: str) -> None:
    job = escalate(socket.message(), number.si(1).set(queue=idle_queue))
    backend.current().records.finish(job.id, events.cancelled("unheard"))  # all of a cancel but the word to the workers
    celery_app.control.add_consumer(idle_queue)
    with pytest.raises(TaskRevokedError):
        celery_app.AsyncResult(f"{job.id}-1").get(timeout=PATIENCE_SECONDS)
    assert ends_of(job) == ["cancelled"]


def test_what_a_worker_held_already_is_not_begun(socket: Socket, worker: CeleryWorker, celery_app: Any) -> None:
    job = escalate(socket.message(), number.si(1), countdown=2)
    worker.until(f"Task {number.name}[{job.id}-1] received")
    backend.current().records.finish(job.id, events.cancelled("unheard"))
    with pytest.raises(TaskRevokedError):
        celery_app.AsyncResult(f"{job.id}-1").get(timeout=PATIENCE_SECONDS)
    assert ends_of(job) == ["cancelled"]
    worker.until(f"{number.name} of the job {job.id} does not begin: the job is cancelled")
    assert not any("Exception raised outside body" in line for line in worker.lines)


def test_what_runs_is_stopped_when_its_worker_that_was_cut_off_is_back(
    socket: Socket, worker: Any, celery_app: Any, group: Group
) -> None:
    job = escalate(socket.message(), ends.si(how="waits", tell=f"running.{group.name}"))
    assert [frame["kind"] for frame in frames(socket, 2)] == ["accepted", "started"]
    backend.current().records.finish(job.id, events.cancelled("unheard"))
    celery_app.backend.client.client_kill_filter(_type="pubsub")
    with pytest.raises(TaskRevokedError):
        celery_app.AsyncResult(f"{job.id}-1").get(timeout=PATIENCE_SECONDS)
    assert ends_of(job) == ["cancelled"]
    assert number.delay(2).get(timeout=PATIENCE_SECONDS) == 2


def test_nothing_follows_a_step_that_ends_after_the_cancel(
    socket: Socket, worker: Any, celery_app: Any, group: Group
) -> None:
    key = f"free.{group.name}"
    job = escalate(socket.message(), waits_for.s(key) | number.si(1))
    assert [frame["kind"] for frame in frames(socket, 2)] == ["accepted", "started"]
    backend.current().records.finish(job.id, events.cancelled("unheard"))
    Channel(key).send({})
    assert celery_app.AsyncResult(f"{job.id}-1").get(timeout=PATIENCE_SECONDS) == "done"
    assert number.delay(2).get(timeout=PATIENCE_SECONDS) == 2  # by when the worker would have taken what follows
    assert celery_app.AsyncResult(f"{job.id}-2").state == "PENDING"
    assert ends_of(job) == ["cancelled"]


def test_a_job_that_has_ended_is_answered_as_that(socket: Socket, job: Job) -> None:
    job.cancel()
    assert obey(socket.message(text=cancelling(job.id)))
    assert frames(socket, 2)[1] == {"job": job.id, "do": "cancel", "done": False}


def test_a_job_of_another_socket_is_answered_as_one_that_there_is_not(job: Job) -> None:
    other = Socket()
    answers = []
    for asked in (job.id, UNKNOWN):
        assert obey(other.message(text=cancelling(asked)))
        answers.append({**frames(other, 1)[0], "job": ""})
    assert answers[0] == answers[1] == {"job": "", "do": "cancel", "error": "unknown_job"}
    assert job.state == "accepted"
    job.cancel()


def test_who_only_hears_of_a_job_does_not_cancel_it(socket: Socket, worker: Any) -> None:
    asked, told = Socket(), Socket()
    job = escalate(asked.message(), number.s(1), countdown=HOUR, reply_to=[Channel(told.name), Channel(socket.name)])
    obey(told.message(text=cancelling(job.id)))
    assert frames(told, 2)[1]["error"] == "unknown_job"
    obey(asked.message(text=cancelling(job.id)))
    assert frames(asked, 1)[0]["done"] is True


def test_it_may_be_cancelled_by_its_socket_wherever_its_events_go(socket: Socket, group: Group, worker: Any) -> None:
    job = escalate(socket.message(), number.s(1), countdown=HOUR, reply_to=group)
    assert obey(socket.message(text=cancelling(job.id)))
    assert job.state == "cancelled"


def test_a_job_that_nobody_asked_for_is_nobodys(socket: Socket, worker: Any) -> None:
    job = escalate(None, number.s(1), countdown=HOUR, reply_to=Channel(socket.name))
    obey(socket.message(text=cancelling(job.id)))
    assert frames(socket, 2)[1]["error"] == "unknown_job"
    job.cancel()


@pytest.mark.parametrize(
    "job_id", ["", "deadbeef", "{}:events", "{}:members", "{}\n", "{}-1", "*", "é" * 32, "0" * 10_000]
)
def test_what_is_no_id_is_answered_as_a_job_that_there_is_not(job_id: str, socket: Socket, job: Job) -> None:
    asked = job_id.replace("{}", job.id)
    assert obey(socket.message(text=cancelling(asked)))
    assert frames(socket, 1) == [{"job": asked, "do": "cancel", "error": "unknown_job"}]
    assert job.state == "accepted"
    job.cancel()


@pytest.mark.parametrize(
    "content",
    [
        {"text": text}
        for text in [
            "", "hello", "{", "[]", "null", '"cancel"', '{"do": "cancel"}', f'{{"job": "{UNKNOWN}"}}',
            f'{{"job": "{UNKNOWN}", "do": "pause"}}', f'{{"job": "{UNKNOWN}", "do": null}}',
            cancelling(7), cancelling(None), cancelling([UNKNOWN]), f"[{cancelling(UNKNOWN)}]", '{"a":' + "[" * 100_000,
        ]
    ] + [{"text": None, "bytes": cancelling(UNKNOWN).encode()}, {}],
)  # fmt: skip
def test_every_other_message_is_left_to_the_consumer(content: dict[str, Any], socket: Socket) -> None:
    message = socket.message()
    del message.content["text"]
    message.content.update(content)
    assert obey(message) is False
    assert socket.is_silent()


def test_more_in_the_frame_does_no_harm(socket: Socket, job: Job) -> None:
    assert obey(socket.message(text=json.dumps({"ref": 1, "job": job.id, "do": "cancel"})))
    assert job.state == "cancelled"


def test_a_message_without_a_socket_asks_in_vain(socket: Socket, job: Job) -> None:
    with pytest.raises(ValueError, match="has no reply_channel: a job is told, cancelled or fed for the socket"):
        obey(Message({"text": cancelling(job.id)}, "code", socket.message().channel_layer))
    job.cancel()
