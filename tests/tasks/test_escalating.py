"""When a job is recorded and published, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from celery import chord, group
from celery.canvas import Signature
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.test import override_settings
from django.utils import timezone
from kombu import Connection

from chancelery import channel_layers, outbox
from chancelery.exceptions import EscalationFailed, UnknownJob, UnsupportedFeature
from chancelery.layers.memory import InMemoryChannelLayer
from chancelery.message import Message
from chancelery.registry import ChannelLayerWrapper
from chancelery.tasks import Job, escalate
from tests.tasks.conftest import Socket
from tests.tasks.project import tasks
from tests.tasks.project.tasks import number

Consumer = Callable[[Message], object]


def handled(socket: Socket, consumer: Consumer) -> None:
    """Run *consumer* as a worker does: what it deferred happens after it has returned."""
    with outbox.holding() as box:
        consumer(socket.message())
    for call in box.deferred:
        call()


def is_recorded(job: Job) -> bool:
    try:
        return bool(job.state)
    except UnknownJob:
        return False


class TestInAConsumer:
    def test_a_job_is_published_after_the_consumer_has_returned(self, socket: Socket, worker: Any) -> None:
        jobs = []

        def consumer(message: Message) -> None:
            jobs.append(escalate(message, number.s(7)))
            assert not is_recorded(jobs[0])

        handled(socket, consumer)
        assert socket.events() == jobs[0].events()

    def test_a_consumer_that_raises_escalates_nothing(self, socket: Socket) -> None:
        jobs = []

        def consumer(message: Message) -> None:
            jobs.append(escalate(message, number.s(7)))
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            handled(socket, consumer)
        assert not is_recorded(jobs[0])
        assert socket.is_silent()

    def test_immediately_does_not_wait_for_it(self, socket: Socket, worker: Any) -> None:
        def consumer(message: Message) -> None:
            job = escalate(message, number.s(7), immediately=True)
            assert is_recorded(job)
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            handled(socket, consumer)
        assert socket.end()["data"] == 7

    def test_what_becomes_of_message_and_arguments_afterwards_changes_nothing(
        self, socket: Socket, worker: Any
    ) -> None:
        def consumer(message: Message) -> None:
            values = [1, 2]
            tasks.echoed.escalate(message, values)
            values.append(3)
            message["text"] = "changed"

        handled(socket, consumer)
        data = socket.end()["data"]
        assert (data["text"], data["args"]) == ("hello", [[1, 2]])

    @pytest.mark.django_db(transaction=True)
    def test_a_rollback_that_the_consumer_survives_drops_the_job(self, socket: Socket) -> None:
        jobs = []

        def consumer(message: Message) -> None:
            with transaction.atomic():
                jobs.append(escalate(message, number.s(7)))
                transaction.set_rollback(True)

        handled(socket, consumer)
        assert not is_recorded(jobs[0])

    @pytest.mark.django_db(transaction=True)
    def test_a_commit_within_the_consumer_waits_for_its_return(self, socket: Socket, worker: Any) -> None:
        jobs = []

        def consumer(message: Message) -> None:
            with transaction.atomic():
                jobs.append(escalate(message, number.s(7)))
            assert not is_recorded(jobs[0])

        handled(socket, consumer)
        assert socket.end()["job"] == jobs[0].id


@pytest.mark.django_db(transaction=True)
class TestInATransaction:
    def test_a_job_is_published_after_the_commit(self, socket: Socket, worker: Any) -> None:
        with transaction.atomic():
            job = escalate(socket.message(), number.s(7))
            assert not is_recorded(job)
            with pytest.raises(UnknownJob, match="waits for its transaction's commit"):
                job.cancel()
        assert socket.events() == job.events()

    def test_a_rollback_leaves_no_job(self, socket: Socket) -> None:
        with transaction.atomic():
            job = escalate(socket.message(), number.s(7))
            transaction.set_rollback(True)
        assert not is_recorded(job)
        assert socket.is_silent()

    def test_immediately_does_not_wait_for_it(self, socket: Socket, worker: Any) -> None:
        with transaction.atomic():
            job = escalate(socket.message(), number.s(7), immediately=True)
            assert socket.events() == job.events()


class TestRefusals:
    @pytest.mark.parametrize("canvas", [None, "number", number, lambda: 1, [number.s(1)], {}])
    def test_what_is_no_canvas(self, canvas: Any, socket: Socket) -> None:
        with pytest.raises(TypeError, match="takes a signature, chain, group or chord"):
            escalate(socket.message(), canvas)

    @pytest.mark.parametrize("canvas", [group([]), group([group([])])])
    def test_a_canvas_without_tasks(self, canvas: Any, socket: Socket) -> None:
        with pytest.raises(ValueError, match="has no tasks"):
            escalate(socket.message(), canvas)

    def test_a_chord_without_a_body(self, socket: Socket) -> None:
        with pytest.raises(ValueError, match="has no body"):
            escalate(socket.message(), chord([number.s(1)]))

    def test_tasks_that_have_ids(self, socket: Socket) -> None:
        canvas: Signature = number.s(1)
        canvas.freeze()
        with pytest.raises(ValueError, match=r"has the task id .* already"):
            escalate(socket.message(), canvas)

    def test_what_is_no_message(self, socket: Socket) -> None:
        with pytest.raises(TypeError, match="takes the message first"):
            escalate(number.s(1), socket.message())  # type: ignore[arg-type]

    def test_a_message_for_a_group_of_results(self, socket: Socket) -> None:
        with pytest.raises(ValueError, match="ends in a group"):
            escalate(socket.message(), group(number.s(1), number.s(2)), reply="message")

    def test_another_way_to_reply(self, socket: Socket) -> None:
        with pytest.raises(ValueError, match='reply is "events" or "message", not \'shout\''):
            escalate(socket.message(), number.s(1), reply="shout")  # type: ignore[arg-type]

    def test_a_time_without_a_zone(self, socket: Socket) -> None:
        with pytest.raises(ValueError, match="has no time zone, and USE_TZ is on"):
            escalate(socket.message(), number.s(1), eta=datetime.now() + timedelta(hours=1))  # noqa: DTZ005

    def test_expiring_before_it_begins(self, socket: Socket) -> None:
        with pytest.raises(ValueError, match=r"would expire at .* before it may start"):
            escalate(socket.message(), number.s(1), eta=timezone.now() + timedelta(hours=1), expires=60)

    def test_a_layer_that_celery_cannot_reach(self, socket: Socket) -> None:
        layer = ChannelLayerWrapper(InMemoryChannelLayer(), "default", [])
        message = Message({"reply_channel": "gateway!x"}, "websocket.receive", layer)
        with pytest.raises(UnsupportedFeature, match="is a InMemoryChannelLayer: jobs need the layer in one Redis"):
            escalate(message, number.s(1))

    def test_a_layer_that_takes_encrypted_messages_only(self, socket: Socket) -> None:
        config = channel_layers.configs["default"]
        private = {**config, "CONFIG": {**config["CONFIG"], "encryption_keys": ["k" * 32]}}
        message = socket.message()
        with override_settings(CHANNEL_LAYERS={"default": private}):
            private_message = Message(message.content, "websocket.receive", channel_layers["default"])
            with pytest.raises(UnsupportedFeature, match="add None to its encryption_keys"):
                escalate(private_message, number.s(1))

    def test_a_layer_in_another_database(self, socket: Socket, deployment: Any) -> None:
        config = channel_layers.configs["default"]
        elsewhere = {**config, "CONFIG": {**config["CONFIG"], "hosts": ["redis://elsewhere:6379/0"]}}
        message = socket.message()
        with (
            override_settings(CHANNEL_LAYERS={"default": elsewhere}),
            pytest.raises(ImproperlyConfigured, match="different databases"),
        ):
            escalate(Message(message.content, "websocket.receive", channel_layers["default"]), number.s(1))

    def test_a_result_backend_that_knows_nothing_of_jobs(self, socket: Socket) -> None:
        from celery import Celery  # noqa: PLC0415

        other = Celery("other", broker="memory://", backend="cache+memory://", set_as_current=False)
        from celery.app import app_or_default  # noqa: PLC0415

        previous = app_or_default()
        other.set_current()
        try:
            with pytest.raises(ImproperlyConfigured, match="JobBackend\\+redis://"):
                escalate(socket.message(), number.s(1))
        finally:
            previous.set_current()

    def test_a_broker_that_does_not_answer(self, socket: Socket) -> None:
        nowhere = Connection("redis://127.0.0.1:1/0", transport_options={"max_retries": 1, "interval_start": 0})
        canvas = number.s(1).set(connection=nowhere, retry=False)
        with pytest.raises(EscalationFailed, match=r"did not answer .* it is unknown which of its tasks will run"):
            escalate(socket.message(), canvas)
        assert socket.end()["data"]["code"] == "publish_failed"

    def test_arguments_that_cannot_be_published(self, socket: Socket) -> None:
        with pytest.raises(EscalationFailed, match="could not be published, and has ended with an error: EncodeError"):
            escalate(socket.message(), number.s(object()))
        assert [event["kind"] for event in socket.events()] == ["accepted", "error"]

    def test_arguments_that_the_task_does_not_take(self, socket: Socket) -> None:
        with pytest.raises(EscalationFailed, match="TypeError"):
            tasks.named.escalate(socket.message(), "one", "too many")
        assert socket.end()["data"]["code"] == "publish_failed"


def test_a_message_with_content_that_cannot_be_kept_is_refused(socket: Socket) -> None:
    message = socket.message()
    message["when"] = timezone.now()
    with pytest.raises(TypeError, match=r"\['when'\] is a datetime.datetime"):
        escalate(message, number.s(1))
