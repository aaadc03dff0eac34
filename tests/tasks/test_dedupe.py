"""Whoever asks for what is being done already is attached to the job that does it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from celery import chain

from chancelery import Channel, Group, outbox
from chancelery.tasks import Job, escalate
from tests.tasks.conftest import Socket, ends_of
from tests.tasks.project import tasks
from tests.tasks.project.tasks import number, waits_for

pytestmark = pytest.mark.usefixtures("worker")

Asking = Callable[..., Job]


@pytest.fixture
def report() -> str:
    """A key, and a channel on which the job that has it waits."""
    return f"report.{uuid.uuid4().hex}"


def ask(socket: Socket, report: str, **options: Any) -> Job:
    canvas = chain(tasks.working.s(1), waits_for.si(report))
    return escalate(socket.message(), canvas, dedupe=report, **options)


def until_step(socket: Socket) -> list[dict[str, Any]]:
    """What is said until the first task is done, without progress."""
    found: list[dict[str, Any]] = []
    while not found or found[-1]["kind"] != "step":
        found += socket.frames(1)
    return [event for event in found if event["kind"] != "progress"]


def test_a_second_caller_is_told_all_that_was_said_and_the_outcome(socket: Socket, report: str) -> None:
    job = ask(socket, report)
    said = until_step(socket)
    late = Socket()
    assert ask(late, report) == job
    assert late.frames(len(said)) == said
    socket.layer.send(report, {})
    assert socket.events() == late.events()
    assert ends_of(job) == ["result"]
    assert late.is_silent()


def test_many_callers_at_a_time_have_one_job(report: str) -> None:
    sockets = [Socket() for _ in range(20)]
    with ThreadPoolExecutor(8) as threads:
        jobs = list(threads.map(lambda socket: ask(socket, report), sockets))
    assert len(set(jobs)) == 1
    sockets[0].layer.send(report, {})
    assert {json.dumps(socket.end()) for socket in sockets} == {json.dumps(jobs[0].events()[-1])}


def test_after_its_end_there_is_another_job(socket: Socket, report: str) -> None:
    first = escalate(socket.message(), number.s(1), dedupe=report)
    socket.end()
    second = escalate(socket.message(), number.s(2), dedupe=report)
    assert socket.end()["data"] == 2
    assert first != second


@pytest.mark.parametrize("canvas", [tasks.fails.s(), tasks.kills_itself.s(), number.s(1)])
def test_however_it_ends_the_key_is_free_then(canvas: Any, socket: Socket, report: str, celery_app: Any) -> None:
    escalate(socket.message(), canvas, dedupe=report)
    socket.end()
    assert [key for key in celery_app.backend.client.keys(f"*{report}*") if b":j:" in key] == []


def test_the_key_of_a_job_that_is_no_more_is_free(socket: Socket, report: str, celery_app: Any) -> None:
    lost = escalate(socket.message(), number.s(1), dedupe=report, countdown=3600)
    celery_app.backend.client.delete(*(key for key in celery_app.backend.client.keys(f"*job:{lost.id}*")))
    assert escalate(socket.message(), number.s(2), dedupe=report) != lost
    assert socket.end()["data"] == 2


def test_the_same_socket_asking_again_is_told_again(socket: Socket, report: str) -> None:
    job = ask(socket, report)
    said = until_step(socket)
    assert ask(socket, report) == job
    assert socket.frames(len(said)) == [{key: said_[key] for key in said_ if key != "claim"} for said_ in said]
    socket.layer.send(report, {})
    assert socket.end()["kind"] == "result"
    assert socket.is_silent()


def test_groups_and_channels_are_attached_too(socket: Socket, group: Group, report: str) -> None:
    asked = Socket()
    ask(asked, report)
    ask(asked, report, reply_to=[group, Channel(f"outcomes.{report}")])
    socket.layer.send(report, {})
    assert socket.end()["kind"] == "result"
    _, outcome = socket.layer.receive([f"outcomes.{report}"], block=True)
    assert outcome is not None
    assert outcome["data"] == "done"


def test_a_long_history_is_cut_by_a_snapshot(socket: Socket, report: str) -> None:
    canvas = tasks.streams.s(300, report)
    job = escalate(socket.message(), canvas, dedupe=report)
    for content in socket.contents():
        if json.loads(content["text"])["seq"] == 302:
            break
    late = Socket()
    escalate(late.message(), canvas, dedupe=report)
    first, *rest = late.frames(201)
    assert first["kind"] == "snapshot"
    assert first["data"] == {"state": "started", "seq": 302, "of": 1, "done": 0, "overall": 0}
    assert [event["seq"] for event in (first, *rest)] == list(range(102, 303))
    job.cancel()


def test_a_job_whose_first_socket_has_gone_goes_on_for_the_second(socket: Socket, report: str) -> None:
    socket.opens()
    job = ask(socket, report, on_disconnect="cancel")
    until_step(socket)
    late = Socket()
    ask(late, report, on_disconnect="cancel")
    socket.goes()
    socket.layer.send(report, {})
    assert late.end()["kind"] == "result"
    assert ends_of(job) == ["result"]


def test_the_id_is_the_other_jobs_from_when_it_would_have_been_published(socket: Socket, report: str) -> None:
    first = ask(socket, report)
    with outbox.holding() as box:
        second = ask(Socket(), report)
    assert second != first
    for call in box.deferred:
        call()
    assert second == first
    first.cancel()


@pytest.mark.parametrize(
    ("key", "error", "complaint"),
    [
        (7, TypeError, "dedupe takes a key, as text, not 7"),
        ("", ValueError, "1 to 200 bytes"),
        ("é" * 101, ValueError, "1 to 200 bytes"),
        ("a\x00", ValueError, "printable text"),
    ],
)
def test_other_keys_are_refused(key: Any, error: type[Exception], complaint: str, socket: Socket) -> None:
    with pytest.raises(error, match=complaint):
        escalate(socket.message(), number.s(1), dedupe=key)
