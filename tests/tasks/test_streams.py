"""A job that came through a stream of a demultiplexer is heard, resumed and controlled on that stream."""

from __future__ import annotations

import json
from typing import Any

import pytest
from celery import chain
from django.contrib.auth.models import User

from chancelery import Channel
from chancelery.generic.websockets import JsonWebsocketConsumer, WebsocketDemultiplexer
from chancelery.message import Message
from chancelery.tasks import Job, escalate, obey
from tests.tasks.conftest import ENDS, Socket
from tests.tasks.project import tasks
from tests.tasks.project.tasks import add, number

pytestmark = pytest.mark.usefixtures("worker")
HOUR = 3600


class Sums(JsonWebsocketConsumer):
    """Escalates what is no frame about a job."""

    def receive(self, content: Any, **kwargs: Any) -> None:
        if not obey(self.message):
            escalate(self.message, chain(number.s(content["n"]), add.s(1)), **content.get("options", {}))


class Desk(WebsocketDemultiplexer):
    """Several streams on one socket."""

    consumers = {"sums": Sums, "jobs": obey}  # noqa: RUF012 - as users write it
    mapping = {"letters": "desk.letters"}  # noqa: RUF012


def says(socket: Socket, stream: str, payload: dict[str, Any], user: Any = None) -> None:
    """Have a socket say something on a stream."""
    message = socket.message(text=json.dumps({"stream": stream, "payload": payload}))
    if user is not None:
        message.user = user
    Desk(message)


def heard(socket: Socket, stream: str) -> list[dict[str, Any]]:
    """What the socket was sent on the stream, up to the end of a job or an answer about it."""
    found = []
    for content in socket.contents():
        frame = json.loads(content["text"])
        assert set(frame) == {"stream", "payload"}, frame
        assert frame["stream"] == stream
        found.append(frame["payload"])
        socket.claim = found[-1].pop("claim", socket.claim)
        if "do" in found[-1] or found[-1]["kind"] in ENDS:
            return found
    raise AssertionError


def test_a_job_is_heard_on_the_stream_that_it_came_by(socket: Socket) -> None:
    says(socket, "sums", {"n": 7})
    events = heard(socket, "sums")
    assert events[-1]["data"] == 8
    assert events == Job.get(events[0]["job"]).events()
    assert socket.claim
    assert socket.is_silent()


def test_a_name_may_need_to_be_quoted_in_json(socket: Socket) -> None:
    stream = 'grün/"quoted"\\'
    escalate(socket.message(stream=stream), number.s(7))
    assert heard(socket, stream)[-1]["data"] == 7


def test_what_a_demultiplexer_has_sent_on_to_a_channel_is_heard_on_its_stream(socket: Socket) -> None:
    says(socket, "letters", {"to": "you"})
    layer = socket.layer
    _, content = layer.receive(["desk.letters"], block=True)
    message = Message(content, "desk.letters", socket.message().channel_layer)
    assert not obey(message)
    job = escalate(message, number.s(7))
    assert heard(socket, "letters") == job.events()
    says(socket, "letters", {"job": job.id, "do": "cancel"})
    _, content = layer.receive(["desk.letters"], block=True)
    assert obey(Message(content, "desk.letters", socket.message().channel_layer))
    assert heard(socket, "letters") == [{"job": job.id, "do": "cancel", "done": False}]


def test_a_stream_by_name_alone_is_anybodys_own_key(socket: Socket) -> None:
    message = Message({"reply_channel": socket.name, "stream": "up"}, "rivers", socket.message().channel_layer)
    job = escalate(message, number.s(7))
    assert socket.events() == job.events()


def test_only_the_asking_socket_is_told_on_its_stream(socket: Socket) -> None:
    other = Socket()
    job = escalate(socket.message(stream="sums"), number.s(7), reply_to=[Channel(socket.name), Channel(other.name)])
    assert heard(socket, "sums") == other.events() == job.events()


def test_a_returned_dict_is_sent_as_it_is(socket: Socket) -> None:
    tasks.answers.escalate(socket.message(stream="sums"), {"text": "7"})
    assert next(socket.contents()) == {"text": "7"}


def test_what_a_consumer_task_escalates_is_heard_on_the_stream_too(socket: Socket) -> None:
    job = tasks.escalates.escalate(socket.message(stream="sums"))
    last = [heard(socket, "sums")[-1] for _ in range(2)]
    ends = {event["job"]: event["data"] for event in last}
    assert ends == {job.id: next(iter(ends.keys() - {job.id})), ends[job.id]: 5}


def test_a_job_is_resumed_on_another_stream_of_another_socket(socket: Socket) -> None:
    job = escalate(socket.message(), number.s(7), countdown=HOUR)
    back = Socket()
    says(back, "jobs", {"job": job.id, "do": "resume", "claim": job.claim()})
    answer = {"job": job.id, "do": "resume", "done": True, "state": "accepted", "seq": 1}
    assert heard(back, "jobs") == [*job.events(), answer]
    says(back, "jobs", {"job": job.id, "do": "cancel", "claim": job.claim()})
    assert heard(back, "jobs") == job.events()[1:]
    assert heard(back, "jobs") == [{"job": job.id, "do": "cancel", "done": True}]


def test_a_users_inbox_comes_on_the_stream_that_obeys(socket: Socket) -> None:
    user = User(pk=4711)
    socket.opens()
    message = socket.message(stream="sums")
    message.user = user
    socket.goes()
    job = escalate(message, number.s(7), countdown=HOUR)
    back = Socket()
    back.opens()
    connecting = Message({"reply_channel": back.name, "path": "/"}, "websocket.connect", message.channel_layer)
    connecting.user = user
    Desk(connecting)
    job.cancel()
    events = heard(back, "jobs")
    assert [event["kind"] for event in events] == ["accepted", "cancelled"]


def test_a_second_caller_is_told_on_its_own_stream(socket: Socket) -> None:
    first = escalate(socket.message(stream="sums"), number.s(7), dedupe="stream-of-each", countdown=HOUR)
    other = Socket()
    escalate(other.message(stream="jobs"), number.s(7), dedupe="stream-of-each")
    escalate(socket.message(stream="jobs"), number.s(7), dedupe="stream-of-each")
    first.cancel()
    assert [event["kind"] for event in heard(other, "jobs")] == ["accepted", "cancelled"]
    told = [json.loads(content["text"]) for _, content in zip(range(4), socket.contents(), strict=False)]
    assert sorted((frame["stream"], frame["payload"]["kind"]) for frame in told) == [
        ("jobs", "accepted"), ("jobs", "cancelled"), ("sums", "accepted"), ("sums", "cancelled"),
    ]  # fmt: skip
