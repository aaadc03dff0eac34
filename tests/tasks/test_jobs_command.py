"""`manage.py jobs`, on jobs that wait."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from chancelery.tasks import Job, escalate
from tests.tasks.conftest import Socket
from tests.tasks.project.tasks import number, waits_for

UNKNOWN = "0" * 32


def jobs(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    call_command("jobs", *words)
    return capsys.readouterr().out


@pytest.fixture
def job(socket: Socket) -> Iterator[Job]:
    found = escalate(socket.message(), number.s(1), countdown=timedelta(hours=1))
    yield found
    found.cancel()


def test_what_waits_for_its_time_is_listed(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    assert job.eta is not None
    when = timezone.localtime(job.eta)
    shown = jobs(capsys)
    assert f"  {when:%Y-%m-%d %H:%M:%S}  {job.id}  {number.name}\n" in shown
    found = json.loads(jobs(capsys, "--json"))
    assert {"task_id": f"{job.id}-1", "name": number.name, "job_id": job.id, "due": job.eta.isoformat()} in found[
        "tasks"
    ]
    assert found["due"] >= len(found["tasks"])


def test_what_waits_for_its_turn_is_listed(socket: Socket, worker: Any, capsys: pytest.CaptureFixture[str]) -> None:
    key = f"tenant-{uuid.uuid4().hex}"
    first, second = (escalate(socket.message(), waits_for.s(key), limit=(key, 1)) for _ in range(2))
    assert f"  {key}  1  {second.id}\n" in jobs(capsys)
    assert {"limit": key, "job_id": second.id, "position": 1} in json.loads(jobs(capsys, "--json"))["waiting"]
    second.cancel()
    socket.layer.send(key, {})
    while first.state != "result":
        socket.end()


def test_more_than_asked_for_is_counted(socket: Socket, capsys: pytest.CaptureFixture[str]) -> None:
    both = [escalate(socket.message(), number.s(1), countdown=timedelta(hours=1)) for _ in range(2)]
    assert " more\n" in jobs(capsys, "--limit", "1")
    for each in both:
        each.cancel()


def test_jobs_are_rescheduled_run_and_cancelled(job: Job, socket: Socket, capsys: pytest.CaptureFixture[str]) -> None:
    eta = timezone.now() + timedelta(days=2)
    assert jobs(capsys, "reschedule", job.id, "--at", eta.isoformat()) == f"{job.id} done\n"
    assert job.eta is not None
    assert abs(job.eta - eta) < timedelta(seconds=1)
    jobs(capsys, "reschedule", job.id, "--in", "60")
    assert job.eta - timezone.now() < timedelta(seconds=61)
    jobs(capsys, "run-now", job.id)
    assert job.eta is None
    jobs(capsys, "cancel", job.id)
    assert job.state in {"cancelled", "result"}


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["explode"], "'explode' is no action: reschedule, run-now and cancel are"),
        (["cancel"], "say which jobs"),
        (["cancel", UNKNOWN], f"no record of the job {UNKNOWN}"),
        (["cancel", UNKNOWN, "--in", "5"], "--in does not go with cancel"),
        (["--at", "2030-01-01"], "--at does not go with showing what waits"),
        (["--limit", "0"], "--limit is at least 1, not 0"),
        (["reschedule", UNKNOWN], "say when: --at DATETIME or --in SECONDS"),
        (["reschedule", UNKNOWN, "--at", "noon"], "--at noon is no datetime"),
        (["reschedule", UNKNOWN, "--at", "2030-02-30T00:00"], "no time can be made of this: day"),
        (["reschedule", UNKNOWN, "--in", "-5"], "--in=-5.0 lies in the past"),
        (["run-now", UNKNOWN, "--json"], "--json does not go with run-now"),
    ],
)
def test_what_cannot_be_done_is_said(words: list[str], complaint: str, celery_app: Any) -> None:
    with pytest.raises(CommandError, match=complaint):
        call_command("jobs", *words)


def test_a_job_of_which_nothing_waits_is_said_to_be_so(socket: Socket) -> None:
    job = escalate(socket.message(), number.s(1), countdown=timedelta(hours=1))
    job.cancel()
    for action, *options in (["run-now"], ["reschedule", "--in", "5"], ["cancel"]):
        with pytest.raises(CommandError, match=f"{job.id}: nothing of it waits for its time, or it has ended"):
            call_command("jobs", action, job.id, *options)
