"""What a consumer task is to consumers, to routings, to Celery, and to the code inside of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from celery import Task
from celery.canvas import Signature

from chancelery import Group
from chancelery.exceptions import UnknownJob
from chancelery.routing import Router
from chancelery.tasks import ConsumerTask, Job, Retry, consumer_task
from tests.tasks.conftest import PATIENCE_SECONDS, Socket
from tests.tasks.project import tasks

pytestmark = pytest.mark.usefixtures("celery_app")


class TestAsAConsumer:
    def test_it_runs_at_once_when_it_is_called(self, socket: Socket) -> None:
        assert tasks.named(socket.message(text="x"), "inline") == "inline: x"

    def test_it_looks_like_its_function(self) -> None:
        assert tasks.named.__name__ == "named"
        assert tasks.named.name == "tests.tasks.project.tasks.named"
        assert isinstance(tasks.named.task, Task)

    def test_a_routing_escalates_it(self, socket: Socket, worker: Any) -> None:
        message = socket.message(path="/named/anna/", text="routed")
        found = Router("tests.tasks.project.routing").match(message)
        assert found is not None
        consumer, kwargs = found
        assert isinstance(consumer(message, **kwargs), Job)
        assert socket.end()["data"] == "anna: routed"

    def test_it_is_escalated_with_arguments(self, socket: Socket, worker: Any) -> None:
        tasks.named.escalate(socket.message(text="x"), name="anna")
        assert socket.end()["data"] == "anna: x"


class TestInsideOfCelery:
    pytestmark = pytest.mark.usefixtures("worker")

    def test_it_sees_the_message_that_was_escalated(self, socket: Socket) -> None:
        tasks.echoed.escalate(socket.message(text="hi"), 1, "two")
        assert socket.end()["data"] == {
            "text": "hi",
            "channel": "websocket.receive",
            "reply_channel": socket.name,
            "trail": ["code"],
            "args": [1, "two"],
        }

    def test_what_it_sends_goes_out_at_once_and_continues_the_trail(self, socket: Socket, group: Group) -> None:
        other = Socket()
        tasks.sends.escalate(socket.message(), other.name, group.name)
        assert next(other.contents()) == {"text": "from a task"}
        assert any(content["text"] == "to all" for content in socket.contents())

    def test_progress_carries_the_last_number_and_the_last_piece_is_never_lost(self, socket: Socket) -> None:
        job = tasks.working.escalate(socket.message(), 1000)
        events = socket.events()
        progress = [event for event in events if event["kind"] == "progress"]
        assert {event["seq"] for event in progress} == {2}
        assert progress[-1]["data"] == {
            "task": f"{job.id}-1", "name": tasks.working.name, "done": 1000, "total": 1000, "note": "working",
            "overall": 1,
        }  # fmt: skip
        assert len(progress) < 100
        assert "progress" not in [event["kind"] for event in job.events()]

    def test_chunks_come_in_order_and_are_kept(self, socket: Socket) -> None:
        job = tasks.working.escalate(socket.message(), 1)
        chunks = [event for event in socket.events() if event["kind"] == "chunk"]
        assert [event["data"]["chunk"] for event in chunks] == [{"url": "/1"}, {"url": "/2"}]
        assert {event["data"]["stream"] for event in chunks} == {"pages"}
        assert [event for event in job.events() if event["kind"] == "chunk"] == chunks

    def test_a_task_that_it_starts_is_none_of_the_jobs(self, socket: Socket, celery_app: Any) -> None:
        job = tasks.starts_another.escalate(socket.message())
        end = socket.end()
        assert celery_app.AsyncResult(end["data"]).get(timeout=PATIENCE_SECONDS) == 1
        assert job.events()[-1] == end

    def test_a_consumer_task_that_it_starts_gets_the_message_too(self, socket: Socket, celery_app: Any) -> None:
        tasks.starts_a_consumer_task.escalate(socket.message(text="hi"))
        started = celery_app.AsyncResult(socket.end()["data"]).get(timeout=PATIENCE_SECONDS)
        assert (started["text"], started["args"]) == ("hi", ["started by a task"])

    def test_it_can_escalate_a_job_of_its_own(self, socket: Socket) -> None:
        first = tasks.escalates.escalate(socket.message())
        data = {event["job"]: event["data"] for event in (socket.end(), socket.end())}
        second = data.pop(first.id)
        assert data == {second: 5}

    def test_without_a_job_it_says_what_to_do(self, celery_app: Any) -> None:
        with pytest.raises(UnknownJob, match=r"runs without a job.*start it with its escalate\(message"):
            tasks.echoed.delay().get(timeout=PATIENCE_SECONDS)

    def test_its_queue_is_the_one_that_it_names(self, socket: Socket, celery_app: Any) -> None:
        job = tasks.queued_elsewhere.escalate(socket.message())
        client = celery_app.backend.client
        (waiting,) = [client.lindex(key, 0) for key in client.keys("*nobody-works-here") if client.type(key) == b"list"]
        assert json.loads(waiting)["headers"]["root_id"] == job.id

    def test_no_socket_is_named_in_what_celery_carries(self, socket: Socket, celery_app: Any) -> None:
        tasks.queued_elsewhere.escalate(socket.message())
        client = celery_app.backend.client
        for key in client.keys("*:q:*"):
            if client.type(key) == b"list":
                assert not any(socket.name.encode() in entry for entry in client.lrange(key, 0, -1))


class TestAsACeleryTask:
    def test_its_signatures_are_celerys_own(self) -> None:
        for made in (tasks.named.s("a"), tasks.named.si("a"), tasks.named.signature(("a",))):
            assert isinstance(made, Signature)
            assert (made.task, made.args) == (tasks.named.name, ("a",))
        assert tasks.named.si("a").immutable

    def test_celerys_options_reach_the_task(self) -> None:
        assert tasks.too_slow.task.time_limit == 1
        assert tasks.too_slow.task.track_started

    def test_its_base_is_djangos(self) -> None:
        assert hasattr(tasks.named.task, "delay_on_commit")

    def test_a_name_can_be_given(self) -> None:
        @consumer_task(name="given")
        def task(message: object) -> None: ...

        assert isinstance(task, ConsumerTask)
        assert task.name == "given"


class TestDecorating:
    @pytest.mark.parametrize(
        ("options", "error", "complaint"),
        [
            ({"bind": True}, TypeError, "no option 'bind'"),
            ({"ignore_result": True}, TypeError, "no option 'ignore_result'"),
            ({"retry": 3}, TypeError, "takes a Retry"),
            ({"reply": "loudly"}, ValueError, '"events" or "message", not \'loudly\''),
        ],
    )
    def test_options_that_cannot_be_are_refused(self, options: dict[str, Any], error: Any, complaint: str) -> None:
        with pytest.raises(error, match=complaint):
            consumer_task(**options)

    def test_what_is_no_function_is_refused(self) -> None:
        with pytest.raises(TypeError, match="decorates a def"):
            consumer_task(Retry(on=OSError))  # type: ignore[call-overload]

    def test_an_async_function_is_refused(self) -> None:
        with pytest.raises(TypeError, match="Celery runs no async def"):

            @consumer_task
            async def task(message: object) -> None: ...
