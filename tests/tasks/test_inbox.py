"""Sockets come and go: what a user's jobs say meanwhile waits for them, and what is not to go on without them ends."""

from __future__ import annotations

import itertools
import json
import time
import uuid
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import AnonymousUser, User
from django.test import override_settings

from chancelery import Channel, outbox
from chancelery.message import Message
from chancelery.tasks import Job, consumer_task, deliver_inbox, escalate, obey
from chancelery.tasks.inbox import lapse
from tests.tasks.conftest import PATIENCE_SECONDS, Socket, ends_of
from tests.tasks.project import tasks
from tests.tasks.project.tasks import number

pytestmark = pytest.mark.usefixtures("worker")
HOUR = 3600
_numbers = itertools.count(uuid.uuid4().int % 10**12)


@pytest.fixture
def user() -> User:
    return User(pk=next(_numbers))


@pytest.fixture
def away(user: User) -> Socket:
    """A socket of the user's that has asked for something, and is about to go."""
    found = Socket()
    found.opens()
    return found


def asked(socket: Socket, user: Any) -> Message:
    message = socket.message()
    message.user = user
    return message


def connects(socket: Socket, user: Any) -> None:
    """Have the inbox delivered as a socket connects."""
    socket.opens()
    message = Message({"reply_channel": socket.name, "path": "/"}, "websocket.connect", socket.message().channel_layer)
    message.user = user
    assert obey(message) is False


def disconnects(socket: Socket, code: int = 1006) -> None:
    socket.goes()
    content = {"reply_channel": socket.name, "path": "/", "code": code}
    assert obey(Message(content, "websocket.disconnect", socket.message().channel_layer)) is False


def until(job: Job, state: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while job.state != state:
        assert time.monotonic() < deadline, f"the job is {job.state}"
        time.sleep(0.01)


class TestTheInbox:
    def test_what_is_said_while_no_socket_is_open_waits_for_the_next(self, away: Socket, user: User) -> None:
        key = f"key.{uuid.uuid4().hex[:12]}"
        job = tasks.streams.escalate(asked(away, user), 1, key, 1)
        known = [next(away.contents()) for _ in range(3)]
        away.goes()
        Channel(key).send({"go": "on"})
        until(job, "result")
        back = Socket()
        connects(back, user)
        assert back.events() == job.events()[len(known) :]
        assert back.is_silent()

    def test_a_job_that_goes_on_tells_the_socket_from_then_on(self, away: Socket, user: User) -> None:
        away.goes()
        key = f"key.{uuid.uuid4().hex[:12]}"
        job = tasks.streams.escalate(asked(away, user), 1, key, 1)
        until(job, "started")
        back = Socket()
        connects(back, user)
        Channel(key).send({"go": "on"})
        assert back.events() == job.events()

    def test_it_is_delivered_once_and_the_oldest_first(self, away: Socket, user: User) -> None:
        away.goes()
        jobs = [escalate(asked(away, user), number.s(part)) for part in range(2)]
        for job in jobs:
            until(job, "result")
        back, second = Socket(), Socket()
        connects(back, user)
        assert [back.events(), back.events()] == [job.events() for job in jobs]
        connects(second, user)
        assert second.is_silent()

    @pytest.mark.parametrize("other", [User(pk=0), AnonymousUser()])
    def test_nobody_else_gets_it(self, other: Any, away: Socket, user: User) -> None:
        away.goes()
        job = escalate(asked(away, user), number.s(1))
        until(job, "result")
        back = Socket()
        connects(back, other)
        assert back.is_silent()

    def test_nothing_waits_of_what_an_open_socket_was_told(self, away: Socket, user: User) -> None:
        escalate(asked(away, user), number.s(1))
        away.events()
        back = Socket()
        connects(back, user)
        assert back.is_silent()

    def test_an_outcome_that_found_no_room_waits(self, away: Socket, user: User) -> None:
        layer = settings.CHANNEL_LAYERS["default"]
        small = {**layer, "CONFIG": {**layer["CONFIG"], "channel_capacity": {"test.*": 1}}}
        with override_settings(CHANNEL_LAYERS={"default": small}):
            job = escalate(asked(away, user), number.s(1))
            until(job, "result")
        assert ends_of(job) == ["result"]
        back = Socket()
        connects(back, user)
        assert back.end() == job.events()[-1]

    def test_what_a_dead_socket_was_told_is_told_again(self, away: Socket, user: User) -> None:
        job = escalate(asked(away, user), number.s(1))
        until(job, "result")
        disconnects(away)
        back, second = Socket(), Socket()
        connects(back, user)
        assert back.events() == job.events()
        connects(second, user)
        assert second.is_silent()

    def test_what_it_was_told_and_what_came_later_have_no_gap_between(self, away: Socket, user: User) -> None:
        key = f"key.{uuid.uuid4().hex[:12]}"
        job = tasks.streams.escalate(asked(away, user), 1, key, 1)
        until(job, "started")
        disconnects(away)
        Channel(key).send({"go": "on"})
        until(job, "result")
        back = Socket()
        connects(back, user)
        assert back.events() == job.events()

    @pytest.mark.parametrize("code", [1000, 1001, 1005])
    def test_a_socket_that_was_closed_by_its_client_has_heard_all(self, code: int, away: Socket, user: User) -> None:
        until(escalate(asked(away, user), number.s(1)), "result")
        disconnects(away, code)
        back = Socket()
        connects(back, user)
        assert back.is_silent()

    def test_what_another_open_socket_was_told_is_not_told_again(self, away: Socket, user: User) -> None:
        job = escalate(asked(away, user), number.s(1), countdown=HOUR)
        open_one = Socket()
        open_one.opens()
        message = asked(open_one, user)
        message.content["text"] = json.dumps({"job": job.id, "do": "resume"})
        assert obey(message)
        job.cancel()
        disconnects(away)
        back = Socket()
        connects(back, user)
        assert back.is_silent()

    def test_what_was_said_long_before_a_socket_was_found_dead_has_been_heard(
        self, away: Socket, user: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        until(escalate(asked(away, user), number.s(1)), "result")
        disconnects(away)
        monkeypatch.setattr("chancelery.tasks.inbox.UNHEARD_SECONDS", -HOUR)
        back = Socket()
        connects(back, user)
        assert back.is_silent()

    def test_a_socket_without_room_for_an_outcome_is_closed_to_come_back(self, away: Socket) -> None:
        layer = settings.CHANNEL_LAYERS["default"]
        small = {**layer, "CONFIG": {**layer["CONFIG"], "channel_capacity": {"test.*": 1}}}
        with override_settings(CHANNEL_LAYERS={"default": small}):
            jobs = [escalate(away.message(), number.s(1)) for _ in range(3)]
            for job in jobs:
                until(job, "result")
        told = [next(away.contents()) for _ in range(3)]
        assert told[-1] == {"close": 1013}
        assert away.is_silent()

    def test_it_is_delivered_when_the_consumer_has_returned(self, away: Socket, user: User) -> None:
        away.goes()
        job = escalate(asked(away, user), number.s(1))
        until(job, "result")
        back = Socket()
        with outbox.holding() as box:
            deliver_inbox(asked(back, user))
            assert back.is_silent()
        for call in box.deferred:
            call()
        assert back.events() == job.events()

    def test_a_hundred_jobs_wait_and_the_oldest_make_room(self, away: Socket, user: User) -> None:
        away.goes()
        jobs = [escalate(asked(away, user), number.s(1), countdown=HOUR) for _ in range(101)]
        back = Socket()
        connects(back, user)
        heard = [json.loads(next(back.contents())["text"])["job"] for _ in range(100)]
        assert set(heard) == {job.id for job in jobs[1:]}
        assert back.is_silent()
        for job in jobs:
            job.cancel()


class TestOnDisconnect:
    def test_by_default_a_job_goes_on(self, away: Socket, user: User) -> None:
        job = escalate(asked(away, user), number.s(1), countdown=HOUR)
        disconnects(away)
        assert job.state == "accepted"
        job.cancel()

    def test_with_cancel_it_ends_with_its_socket(self, away: Socket, celery_app: Any) -> None:
        job = escalate(away.message(), tasks.waits_for.s("key.never"), on_disconnect="cancel")
        until(job, "started")
        disconnects(away)
        assert job.events()[-1]["data"] == {"reason": "disconnected"}
        celery_app.AsyncResult(f"{job.id}-1").get(timeout=PATIENCE_SECONDS, propagate=False)
        assert celery_app.AsyncResult(f"{job.id}-1").state == "REVOKED"

    def test_it_goes_on_while_another_socket_is_there(self, away: Socket) -> None:
        job = escalate(away.message(), number.s(1), countdown=HOUR, on_disconnect="cancel")
        second = Socket()
        second.opens()
        assert obey(second.message(text=json.dumps({"job": job.id, "do": "resume", "claim": job.claim()})))
        disconnects(away)
        assert job.state == "accepted"
        disconnects(second)
        assert job.state == "cancelled"

    def test_after_a_while_without_a_socket_it_is_cancelled(self, away: Socket) -> None:
        job = escalate(away.message(), number.s(1), countdown=HOUR, on_disconnect=0.2)
        disconnects(away)
        until(job, "cancelled")

    def test_who_is_back_in_time_finds_it_going_on(self, away: Socket) -> None:
        job = escalate(away.message(), number.s(1), countdown=HOUR, on_disconnect=60)
        disconnects(away)
        back = Socket()
        assert obey(back.message(text=json.dumps({"job": job.id, "do": "resume", "claim": job.claim()})))
        lapse(job.id)
        assert job.state == "accepted"
        job.cancel()

    def test_it_ends_too_when_the_socket_has_gone_before_it_began(self, away: Socket) -> None:
        away.goes()
        job = escalate(away.message(), number.s(1), countdown=HOUR, on_disconnect="cancel")
        assert job.state == "cancelled"

    def test_a_task_says_so_for_itself(self, away: Socket) -> None:
        leaving = consumer_task(on_disconnect="cancel", name="leaving")(tasks.queued_elsewhere.function)
        for more, state in (({"on_disconnect": "detach"}, "accepted"), ({}, "cancelled")):
            job = leaving.escalate(away.message(), countdown=HOUR, **more)
            disconnects(away)
            assert job.state == state
            job.cancel()

    @pytest.mark.parametrize("bad", ["stay", -1, None, True])
    def test_what_cannot_be_is_refused(self, bad: Any, away: Socket) -> None:
        with pytest.raises((TypeError, ValueError), match="on_disconnect"):
            escalate(away.message(), number.s(1), on_disconnect=bad)
        with pytest.raises((TypeError, ValueError), match="on_disconnect"):
            consumer_task(on_disconnect=bad)
