"""At most so many jobs of a key run at a time; the others wait for their turn, and each of them ends."""

from __future__ import annotations

import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from celery import chain, group
from django.core.exceptions import ImproperlyConfigured

from chancelery import Channel
from chancelery.tasks import Job, consumer_task, escalate
from chancelery.tasks.due import AT_ONCE, Due
from tests.tasks.conftest import PATIENCE_SECONDS, Socket, ends_of
from tests.tasks.project import tasks
from tests.tasks.project.tasks import add, number, waits_for

pytestmark = pytest.mark.usefixtures("worker")


@pytest.fixture
def tenant() -> str:
    return f"tenant-{uuid.uuid4().hex[:8]}"


def held(tenant: str, most: int = 1) -> tuple[Socket, Job, str]:
    """A job that holds a place until something comes on its key."""
    socket, key = Socket(), f"key.{uuid.uuid4().hex}"
    return socket, escalate(socket.message(), waits_for.s(key), limit=(tenant, most)), key


def queued(celery_app: Any, tenant: str) -> list[str]:
    return [each.job_id for each in celery_app.backend.due.queued(100) if each.limit == tenant]


def keys_of(celery_app: Any, tenant: str) -> list[bytes]:
    return [key for key in celery_app.backend.client.keys(f"*{tenant}*") if b":j:" in key]


def until_running(job: Job) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while job.state != "started":
        assert time.monotonic() < deadline, job.events()


def test_as_many_run_as_may_and_the_others_follow_in_order(tenant: str, celery_app: Any) -> None:
    first, second, third, fourth = (held(tenant, 2) for _ in range(4))
    until_running(first[1])
    until_running(second[1])
    assert queued(celery_app, tenant) == [third[1].id, fourth[1].id]
    assert [job.state for _, job, _ in (third, fourth)] == ["accepted", "accepted"]
    for one, next_ in ((second, third), (first, fourth)):
        one[0].layer.send(one[2], {})
        assert one[0].end()["kind"] == "result"
        until_running(next_[1])
    for socket, job, key in (third, fourth):
        socket.layer.send(key, {})
        assert socket.end()["kind"] == "result"
        assert ends_of(job) == ["result"]
    assert keys_of(celery_app, tenant) == []


def test_one_key_does_not_wait_for_another(tenant: str, celery_app: Any) -> None:
    busy, *rest = [held(tenant) for _ in range(5)]
    socket = Socket()
    escalate(socket.message(), number.s(1), limit=(f"{tenant}.other", 1))
    assert socket.end()["data"] == 1
    assert len(queued(celery_app, tenant)) == 4
    until_running(busy[1])
    for _, job, _ in [*rest, busy]:
        job.cancel()


@pytest.mark.parametrize(
    "canvas", [chain(number.s(1), add.s(1)), group(number.s(1), number.s(2)), tasks.plainly_flaky.s(2), tasks.fails.s()]
)
def test_whatever_the_canvas_and_its_end_the_place_is_free_afterwards(
    canvas: Any, tenant: str, celery_app: Any
) -> None:
    sockets = [Socket() for _ in range(3)]
    jobs = [escalate(socket.message(), canvas, limit=(tenant, 1)) for socket in sockets]
    for socket in sockets:
        socket.end()
    assert all(len(ends_of(job)) == 1 for job in jobs)
    assert keys_of(celery_app, tenant) == []


def test_a_job_that_waits_for_its_turn_can_be_cancelled(tenant: str, celery_app: Any) -> None:
    one, other, last = held(tenant), held(tenant), held(tenant)
    assert other[1].cancel()
    assert queued(celery_app, tenant) == [last[1].id]
    one[1].cancel()
    until_running(last[1])
    last[1].cancel()
    assert ends_of(other[1]) == ["cancelled"]
    assert keys_of(celery_app, tenant) == []


def test_the_place_of_a_task_whose_process_was_killed_is_free(tenant: str) -> None:
    sockets = [Socket(), Socket()]
    for socket in sockets:
        escalate(socket.message(), tasks.kills_itself.s(), limit=(tenant, 1))
    assert [socket.end()["data"]["code"] for socket in sockets] == ["WorkerLostError"] * 2


def test_the_place_of_a_job_that_is_no_more_is_found_to_be_free(tenant: str, celery_app: Any) -> None:
    lost, waiting = held(tenant), held(tenant)
    until_running(lost[1])
    client, own = celery_app.backend.client, celery_app.backend.due
    client.delete(*(key for key in client.keys(f"*job:{lost[1].id}*")))
    Due(client, own._prefix, lambda: time.time() + 60).publish()
    lost[0].layer.send(lost[2], {})
    waiting[0].layer.send(waiting[2], {})
    assert waiting[0].end()["kind"] == "result"


def test_the_record_of_a_job_that_waits_does_not_expire_before_its_turn(tenant: str, celery_app: Any) -> None:
    one, other = held(tenant), held(tenant)
    client = celery_app.backend.client
    own = [key for key in client.keys(f"*{other[1].id}*") if b":job:" in key]
    assert len(own) >= 4
    assert {client.ttl(key) for key in own} == {-1}
    one[1].cancel()
    until_running(other[1])
    assert all(client.ttl(key) > 0 for key in own if client.exists(key))
    other[1].cancel()


def test_a_job_that_is_due_later_takes_no_place_until_then(tenant: str, celery_app: Any) -> None:
    later, socket = Socket(), Socket()
    job = escalate(later.message(), group(number.s(1), number.s(2)), countdown=timedelta(hours=1), limit=(tenant, 1))
    escalate(socket.message(), number.s(3), limit=(tenant, 1))
    assert socket.end()["data"] == 3
    one = held(tenant)
    until_running(one[1])
    assert job.run_now()
    assert queued(celery_app, tenant) == [job.id]
    one[1].cancel()
    assert later.end()["data"] == [1, 2]
    assert keys_of(celery_app, tenant) == []


def test_the_parts_of_a_large_group_that_is_due_begin_together(tenant: str, celery_app: Any) -> None:
    socket, client, own = Socket(), celery_app.backend.client, celery_app.backend.due
    canvas = group(number.s(part) for part in range(AT_ONCE + 5))
    job = escalate(socket.message(), canvas, countdown=timedelta(hours=1), limit=(tenant, 1))
    later = Due(client, own._prefix, lambda: time.time() + 3601)
    assert later.publish() == AT_ONCE
    assert later.publish() >= 5
    assert socket.end()["data"] == list(range(AT_ONCE + 5))
    assert ends_of(job) == ["result"]
    assert keys_of(celery_app, tenant) == []


def test_many_jobs_of_several_keys_end_once_each_and_never_too_many_run(tenant: str, celery_app: Any) -> None:
    keys = [f"{tenant}-{name}" for name in "abc"]
    asked = [(Socket(), key) for _ in range(15) for key in keys]
    with ThreadPoolExecutor(6) as threads:
        jobs = list(threads.map(lambda one: escalate(one[0].message(), number.s(1), limit=(one[1], 2)), asked))
        cancelled = list(threads.map(Job.cancel, jobs[::5]))
    running = [celery_app.backend.client.scard(f"{celery_app.backend.due._prefix}running:{key}") for key in keys]
    assert max(running) <= 2
    for socket, _ in asked:
        socket.end()
    ends = [ends_of(job) for job in jobs]
    assert all(len(end) == 1 for end in ends)
    assert ends.count(["cancelled"]) == sum(cancelled)
    assert keys_of(celery_app, tenant) == []


def test_a_consumer_task_has_a_limit_of_its_own(celery_app: Any) -> None:
    sockets, keys = [Socket(), Socket()], [f"key.{uuid.uuid4().hex}" for _ in range(2)]
    jobs = [
        tasks.pressed.escalate(socket.message(), key=key, reply_to=Channel(socket.name))
        for socket, key in zip(sockets, keys, strict=True)
    ]
    until_running(jobs[0])
    assert queued(celery_app, "presses") == [jobs[1].id]
    for socket, key in zip(sockets, keys, strict=True):
        socket.layer.send(key, {})
        assert socket.end()["kind"] == "result"


@pytest.mark.parametrize(
    ("limit", "error", "complaint"),
    [
        (3, TypeError, 'a key and a number, such as \\("tenant-4", 3\\), not 3'),
        (("a", 1, 2), TypeError, "a key and a number"),
        ((4, 1), TypeError, "limit takes a key, as text, not 4"),
        (("a", "1"), TypeError, "a whole number from 1, not '1'"),
        (("a", True), TypeError, "a whole number from 1, not True"),
        (("a", 0), ValueError, "at least 1 job must be able to run at a time, not 0"),
        (("", 1), ValueError, "1 to 200 bytes"),
        (("a\n", 1), ValueError, "printable text"),
    ],
)
def test_other_limits_are_refused(limit: Any, error: type[Exception], complaint: str, socket: Socket) -> None:
    with pytest.raises(error, match=complaint):
        escalate(socket.message(), number.s(1), limit=limit)
    with pytest.raises(error, match=complaint):
        consumer_task(limit=limit)(lambda message: None)


@pytest.mark.parametrize("other", [{"broker_transport": None}, {"broker_url": "redis://127.0.0.1:1/0"}])
def test_a_broker_that_holds_nothing_back_is_refused(other: dict[str, Any], socket: Socket, celery_app: Any) -> None:
    """Kombu's own, and one in another database than the jobs."""
    usual = {name: celery_app.conf[name] for name in other}
    celery_app.conf.update(other)
    try:
        with pytest.raises(ImproperlyConfigured, match="limit= needs a broker that keeps back"):
            escalate(socket.message(), number.s(1), limit=("a", 1))
    finally:
        celery_app.conf.update(usual)
