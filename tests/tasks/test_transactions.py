"""A job is published after the commit of whatever is open; rolled back, there is nothing of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from django.db import connections, transaction
from django.db.backends.base.base import NO_DB_ALIAS, BaseDatabaseWrapper
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path

from chancelery import Channel, outbox
from chancelery.exceptions import UnknownJob
from chancelery.message import Message
from chancelery.tasks import Job, escalate
from tests.tasks.conftest import Socket
from tests.tasks.project.tasks import number

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("worker")]

Escalated = Callable[[], Job]


@pytest.fixture
def escalated(socket: Socket) -> Escalated:
    return lambda: escalate(socket.message(), number.s(7))


OTHER = NO_DB_ALIAS
"""The one alias that Django's test cases let through, though they have not made its database."""


@pytest.fixture
def other_database(transactional_db: None) -> Iterator[str]:
    """A second database, of which only its transactions matter."""
    connections.databases[OTHER] = {**connections.databases["default"], "NAME": ":memory:"}
    yield OTHER
    BaseDatabaseWrapper.close(connections[OTHER])  # SQLite's own leaves a database in memory open
    connections[OTHER].connection = None
    del connections[OTHER]
    del connections.databases[OTHER]


@pytest.fixture
def trace_of(celery_app: Any) -> Callable[[Job], list[str]]:
    """Everything in Redis that names the job."""

    def found(job: Job) -> list[str]:
        client = celery_app.backend.client
        queued = [
            key for key in client.scan_iter("*:q:*", count=1000)
            if client.type(key) == b"list" and any(job.id.encode() in entry for entry in client.lrange(key, 0, -1))
        ]  # fmt: skip
        return [*client.scan_iter(f"*{job.id}*", count=1000), *queued]

    return found


def is_recorded(job: Job) -> bool:
    try:
        return bool(job.state)
    except UnknownJob:
        return False


class Undone(Exception):
    """Rolls back."""


class TestOneDatabase:
    def test_the_id_is_known_before_the_commit(self, escalated: Escalated, socket: Socket) -> None:
        with transaction.atomic():
            job = escalated()
            assert len(job.id) == 32
            assert not is_recorded(job)
        assert socket.end() == job.events()[-1]

    def test_after_a_rollback_nothing_names_it(self, escalated: Escalated, socket: Socket, trace_of: Any) -> None:
        jobs = []
        with suppress(Undone), transaction.atomic():
            jobs.append(escalated())
            raise Undone
        assert trace_of(jobs[0]) == []
        assert socket.is_silent()

    def test_an_inner_block_waits_for_the_outer_one(self, escalated: Escalated, socket: Socket) -> None:
        with transaction.atomic():
            with transaction.atomic():
                job = escalated()
            assert not is_recorded(job)
        assert socket.end()["job"] == job.id

    def test_a_savepoint_that_is_rolled_back_takes_its_job_alone(
        self, escalated: Escalated, socket: Socket, trace_of: Any
    ) -> None:
        jobs = []
        with transaction.atomic():
            before = escalated()
            with suppress(Undone), transaction.atomic():
                jobs.append(escalated())
                raise Undone
            after = escalated()
        assert {socket.end()["job"], socket.end()["job"]} == {before.id, after.id}
        assert trace_of(jobs[0]) == []

    def test_a_rollback_of_the_outer_block_takes_all(self, escalated: Escalated, trace_of: Any) -> None:
        jobs = []
        with suppress(Undone), transaction.atomic():
            with transaction.atomic():
                jobs.append(escalated())
            jobs.append(escalated())
            raise Undone
        assert [trace_of(job) for job in jobs] == [[], []]

    def test_immediately_outlives_a_rollback(self, socket: Socket) -> None:
        with suppress(Undone), transaction.atomic():
            escalate(socket.message(), number.s(7), immediately=True)
            raise Undone
        assert socket.end()["data"] == 7

    def test_without_a_transaction_it_is_published_at_once(self, escalated: Escalated, socket: Socket) -> None:
        assert is_recorded(escalated())
        assert socket.end()["data"] == 7


class TestSeveralDatabases:
    def test_a_transaction_of_another_database_counts(
        self, escalated: Escalated, socket: Socket, other_database: str
    ) -> None:
        with transaction.atomic(using=other_database):
            job = escalated()
            assert not is_recorded(job)
        assert socket.end()["job"] == job.id

    @pytest.mark.parametrize("order", [("default", OTHER), (OTHER, "default")])
    def test_the_last_commit_publishes(
        self, order: tuple[str, str], escalated: Escalated, socket: Socket, other_database: str
    ) -> None:
        with transaction.atomic(using=order[0]):
            with transaction.atomic(using=order[1]):
                job = escalated()
            assert not is_recorded(job)
        assert socket.end()["job"] == job.id

    @pytest.mark.parametrize("order", [("default", OTHER), (OTHER, "default")])
    def test_a_rollback_of_either_leaves_no_job(
        self, order: tuple[str, str], escalated: Escalated, other_database: str, trace_of: Any
    ) -> None:
        jobs = []
        with transaction.atomic(using=order[0]), suppress(Undone), transaction.atomic(using=order[1]):
            jobs.append(escalated())
            raise Undone
        with suppress(Undone), transaction.atomic(using=order[0]):
            with transaction.atomic(using=order[1]):
                jobs.append(escalated())
            raise Undone
        assert [trace_of(job) for job in jobs] == [[], []]

    def test_one_that_began_later_is_not_waited_for(
        self, escalated: Escalated, socket: Socket, other_database: str
    ) -> None:
        with transaction.atomic():
            job = escalated()
            with transaction.atomic(using=other_database):
                pass
        assert socket.end()["job"] == job.id


class TestInAConsumer:
    def test_both_the_commit_and_the_return_are_waited_for(self, escalated: Escalated, socket: Socket) -> None:
        jobs = []

        def consumer(message: Message) -> None:
            with transaction.atomic():
                jobs.append(escalated())
            assert not is_recorded(jobs[0])

        handled(socket, consumer)
        assert socket.end()["job"] == jobs[0].id

    def test_a_rollback_that_it_survives_leaves_no_job(
        self, escalated: Escalated, socket: Socket, trace_of: Any
    ) -> None:
        jobs = []

        def consumer(message: Message) -> None:
            with suppress(Undone), transaction.atomic():
                jobs.append(escalated())
                raise Undone

        handled(socket, consumer)
        assert trace_of(jobs[0]) == []

    def test_a_commit_does_not_help_one_that_raises(self, escalated: Escalated, socket: Socket, trace_of: Any) -> None:
        jobs = []

        def consumer(message: Message) -> None:
            with transaction.atomic():
                jobs.append(escalated())
            raise Undone

        with pytest.raises(Undone):
            handled(socket, consumer)
        assert trace_of(jobs[0]) == []


def handled(socket: Socket, consumer: Callable[[Message], object]) -> None:
    """Run *consumer* as a worker does: what it deferred happens after it has returned."""
    with outbox.holding() as box:
        consumer(socket.message())
    for call in box.deferred:
        call()


jobs_of_views: list[Job] = []


def ask(request: HttpRequest) -> HttpResponse:
    jobs_of_views.append(escalate(None, number.s(7), reply_to=Channel(request.GET["to"])))
    assert is_recorded(jobs_of_views[-1]) == ("at_once" in request.GET)
    if "fail" in request.GET:
        raise Undone
    return HttpResponse(jobs_of_views[-1].id)


@transaction.non_atomic_requests
def ask_outside(request: HttpRequest) -> HttpResponse:
    return ask(request)


urlpatterns = [path("ask/", ask), path("ask/outside/", ask_outside)]


class TestInAView:
    @pytest.fixture(autouse=True)
    def atomic_requests(self, monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
        settings.ROOT_URLCONF = __name__
        monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", True)

    def test_the_end_of_an_atomic_request_publishes(self, socket: Socket) -> None:
        response = Client().get("/ask/", {"to": socket.name})
        assert socket.end()["job"] == response.content.decode()

    def test_a_view_that_fails_leaves_no_job(self, socket: Socket, trace_of: Any) -> None:
        with pytest.raises(Undone):
            Client().get("/ask/", {"to": socket.name, "fail": ""})
        assert trace_of(jobs_of_views[-1]) == []

    def test_a_request_that_is_not_atomic_does_not_wait(self, socket: Socket) -> None:
        Client().get("/ask/outside/", {"to": socket.name, "at_once": ""})
        assert socket.end()["data"] == 7
