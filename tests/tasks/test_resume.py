"""A socket comes back, or another one comes: what was said meanwhile is told in order, and nothing is missing."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import override_settings

from chancelery import Channel, Group
from chancelery.message import Message
from chancelery.tasks import Job, escalate, obey
from tests.tasks.conftest import ENDS, Socket
from tests.tasks.project import tasks

pytestmark = pytest.mark.usefixtures("worker")

Asked = dict[str, Any]


@pytest.fixture
def key() -> str:
    """A channel that a task waits for something on."""
    return f"key.{uuid.uuid4().hex[:12]}"


def resumed(socket: Socket, job: Job, after: int = 0, **more: Any) -> None:
    """Have a socket ask for a job."""
    message = socket.message(text=json.dumps({"job": job.id, "do": "resume", "after": after, **more}))
    if "user" in more:
        message.user = more["user"]
    assert obey(message)


def by_user(message: Message, pk: int = 5) -> Message:
    message.user = User(pk=pk)
    return message


def until_answered(socket: Socket) -> tuple[list[Asked], Asked]:
    """The events that a socket was sent before it was answered, and the answer."""
    found: list[Asked] = []
    for content in socket.contents():
        frame = json.loads(content["text"])
        if isinstance(frame, dict) and "do" in frame:
            return found, frame
        found.append(frame)
    raise AssertionError


def until_seq(socket: Socket, seq: int) -> None:
    for content in socket.contents():
        frame = json.loads(content["text"])
        socket.claim = frame.get("claim", socket.claim)
        if frame["seq"] >= seq:
            return


def test_who_comes_back_hears_what_was_missed_and_what_follows(socket: Socket, key: str) -> None:
    job = tasks.streams.escalate(socket.message(), 3, key, 2)
    until_seq(socket, 5)
    back = Socket()
    resumed(back, job, after=2, claim=socket.claim)
    missed, answer = until_answered(back)
    assert [event["seq"] for event in missed] == [3, 4, 5]
    assert answer == {"job": job.id, "do": "resume", "done": True, "state": "started", "seq": 5}
    Channel(key).send({"go": "on"})
    assert missed + back.events() == job.events()[2:]


def test_events_that_come_during_it_are_neither_missed_nor_overtaken(socket: Socket) -> None:
    job = tasks.streams.escalate(socket.message(), 600)
    until_seq(socket, 20)
    others = [Socket() for _ in range(5)]
    for number, other in enumerate(others):
        resumed(other, job, claim=socket.claim, after=number)
    for number, other in enumerate(others):
        seqs = []
        for content in other.contents():
            frame = json.loads(content["text"])
            if "kind" in frame:
                seqs.append(frame["seq"])
                if frame["kind"] in ENDS:
                    break
        assert seqs == list(range(number + 1, 604))


def test_a_job_that_has_ended_is_told_from_where_it_was_left(socket: Socket) -> None:
    job = escalate(socket.message(), tasks.number.s(7))
    assert socket.events() == job.events()
    back = Socket()
    resumed(back, job, after=2, claim=socket.claim)
    told, answer = until_answered(back)
    assert told == job.events()[2:]
    assert (answer["state"], answer["seq"]) == ("result", 3)


def test_a_user_needs_no_claim_and_is_given_none(socket: Socket) -> None:
    job = escalate(by_user(socket.message()), tasks.number.s(7))
    assert socket.events() == job.events()
    assert socket.claim == ""
    back = Socket()
    assert obey(by_user(back.message(text=json.dumps({"job": job.id, "do": "resume"}))))
    assert until_answered(back)[0] == job.events()


def test_a_second_tab_hears_it_beside_the_first(socket: Socket, key: str) -> None:
    job = tasks.streams.escalate(socket.message(), 1, key, 1)
    until_seq(socket, 3)
    second = Socket()
    resumed(second, job, claim=socket.claim)
    told, _ = until_answered(second)
    Channel(key).send({"go": "on"})
    rest = socket.events()
    assert told + second.events() == job.events()
    assert rest == job.events()[3:]


def test_asking_again_and_again_tells_again_and_binds_once(socket: Socket, key: str) -> None:
    job = tasks.streams.escalate(socket.message(), 1, key)
    until_seq(socket, 3)
    for _ in range(3):
        resumed(socket, job)
        assert [event["seq"] for event in until_answered(socket)[0]] == [1, 2, 3]
    Channel(key).send({"go": "on"})
    assert [event["kind"] for event in socket.events()] == ["result"]
    assert socket.is_silent()


def test_where_events_are_not_kept_any_more_a_snapshot_stands_for_them(socket: Socket) -> None:
    with override_settings(CHANCELERY={"JOB_EVENTS": 3}):
        job = tasks.streams.escalate(socket.message(), 5)
    assert socket.end()["seq"] == 8
    resumed(socket, job, after=2)
    told, _ = until_answered(socket)
    assert [(event["kind"], event["seq"]) for event in told] == [
        ("snapshot", 5), ("chunk", 6), ("chunk", 7), ("result", 8),
    ]  # fmt: skip
    assert told[0]["data"] == {"state": "result", "seq": 8, "of": 1, "done": 1, "overall": 1}


def test_who_knows_more_than_the_server_is_told_where_it_is(socket: Socket) -> None:
    job = escalate(socket.message(), tasks.number.s(7), countdown=3600)
    until_seq(socket, 1)
    resumed(socket, job, after=9)
    told, _ = until_answered(socket)
    assert [(event["kind"], event["seq"]) for event in told] == [("snapshot", 1)]
    job.cancel()
    assert socket.end()["seq"] == 2


def test_what_goes_to_a_group_is_heard_by_who_asks_for_it(socket: Socket, group: Group, key: str) -> None:
    asking = Socket()
    job = tasks.streams.escalate(asking.message(), 1, key, reply_to=group)
    until_seq(socket, 3)
    resumed(asking, job)
    assert [event["seq"] for event in until_answered(asking)[0]] == [1, 2, 3]
    Channel(key).send({"go": "on"})
    assert asking.end() == socket.end()


def test_a_job_that_answers_with_a_message_is_resumed_in_events(socket: Socket) -> None:
    job = tasks.answers.escalate(socket.message(), {"text": "7"})
    assert next(socket.contents()) == {"text": "7"}
    resumed(socket, job)
    assert until_answered(socket)[0] == job.events()


def test_without_room_nothing_is_told_and_it_may_be_asked_for_again(socket: Socket) -> None:
    job = escalate(socket.message(), tasks.number.s(7))
    socket.events()
    layer = settings.CHANNEL_LAYERS["default"]
    small = {**layer, "CONFIG": {**layer["CONFIG"], "channel_capacity": {"test.*": 4}}}
    with override_settings(CHANNEL_LAYERS={"default": small}):
        back = Socket()
        for text in ("1", "2"):
            Channel(back.name).send({"text": text})
        resumed(back, job, claim=socket.claim)
        assert until_answered(back) == ([1, 2], {"job": job.id, "do": "resume", "error": "busy"})
        assert back.is_silent()
        resumed(back, job, claim=socket.claim)
        assert until_answered(back)[0] == job.events()


def test_many_sockets_of_one_job_make_room_for_the_latest(socket: Socket, key: str) -> None:
    job = tasks.streams.escalate(socket.message(), 1, key)
    until_seq(socket, 3)
    others = [Socket() for _ in range(8)]
    for other in others:
        resumed(other, job, claim=socket.claim)
        until_answered(other)
    Channel(key).send({"go": "on"})
    assert [other.end()["seq"] for other in others] == [4] * 8
    assert socket.is_silent()


def test_a_task_is_told_whose_job_it_is_and_so_is_what_it_escalates(socket: Socket) -> None:
    tasks.owned.escalate(by_user(socket.message()))
    owner, other = socket.end()["data"]
    assert owner == "5"
    back = Socket()
    assert obey(by_user(back.message(text=json.dumps({"job": other, "do": "resume"}))))
    assert until_answered(back)[1]["done"] is True


class TestInput:
    def test_a_task_is_given_what_it_waits_for(self, socket: Socket) -> None:
        job = tasks.asks.escalate(socket.message(), 2)
        until_seq(socket, 2)
        for value in ({"name": "Ü"}, [1, None]):
            assert obey(socket.message(text=json.dumps({"job": job.id, "do": "input", "value": value})))
        answers = [frame for frame in socket.frames(3) if "do" in frame]
        assert answers == [{"job": job.id, "do": "input", "done": True}] * 2
        assert job.result == [{"name": "Ü"}, [1, None]]

    def test_what_comes_before_it_is_asked_for_is_kept_and_given_again_to_a_task_that_is_tried_again(
        self, socket: Socket
    ) -> None:
        job = tasks.asks_again.escalate(socket.message(), 2, dies=True, countdown=1)
        for value in (1, 2, 3):
            assert obey(socket.message(text=json.dumps({"job": job.id, "do": "input", "value": value})))
        socket.frames(4)
        assert socket.end()["data"] == [1, 2]
        assert "retry" in [event["kind"] for event in job.events()]

    def test_each_input_is_for_one_task(self, socket: Socket) -> None:
        job = escalate(socket.message(), tasks.asks.s(1) | tasks.asks.si(1), countdown=1)
        for value in ("first", "second"):
            assert obey(socket.message(text=json.dumps({"job": job.id, "do": "input", "value": value})))
        socket.frames(3)
        assert socket.end()["data"] == ["second"]

    def test_who_waits_in_vain_is_told(self, socket: Socket) -> None:
        tasks.asks_in_vain.escalate(socket.message())
        assert socket.end()["data"] == "TimeoutError"

    def test_a_job_that_has_ended_takes_nothing(self, socket: Socket) -> None:
        job = escalate(socket.message(), tasks.number.s(7))
        socket.events()
        assert obey(socket.message(text=json.dumps({"job": job.id, "do": "input"})))
        assert socket.frames(1) == [{"job": job.id, "do": "input", "error": "ended"}]


def test_the_jobs_of_a_user_are_listed_the_latest_first_and_of_nobody_else(socket: Socket) -> None:
    pk = uuid.uuid4().int % 10**9
    mine = [escalate(by_user(Socket().message(), pk), tasks.number.s(7), countdown=3600).id for _ in range(2)]
    theirs = escalate(by_user(Socket().message(), pk + 1), tasks.number.s(7), countdown=3600).id
    assert obey(by_user(socket.message(text='{"job": null, "do": "list"}'), pk))
    [answer] = socket.frames(1)
    assert answer["job"] is None
    assert [set(job) for job in answer["jobs"]] == [{"job", "state", "seq"}] * 2
    assert {job["job"] for job in answer["jobs"]} == set(mine)
    for job_id in (*mine, theirs):
        Job(job_id).cancel()


def test_a_socket_without_a_user_lists_what_it_has_asked_for(socket: Socket) -> None:
    job = escalate(socket.message(), tasks.number.s(7))
    socket.events()
    for asking, expected in ((socket, [{"job": job.id, "state": "result", "seq": 3}]), (Socket(), [])):
        assert obey(asking.message(text='{"job": null, "do": "list"}'))
        assert asking.frames(1) == [{"job": None, "do": "list", "jobs": expected}]
