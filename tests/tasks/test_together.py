"""The parts of a canvas are published in one go: all of them, once, or none."""

from __future__ import annotations

from typing import Any

import pytest
from celery import chord, group
from kombu.exceptions import OperationalError

from chancelery.exceptions import EscalationFailed
from chancelery.tasks import escalate
from chancelery.tasks.engine.together import Put, together
from chancelery.tasks.engine.together import send as send_put
from tests.tasks.conftest import Socket
from tests.tasks.project.tasks import number, total

QUEUE = "nobody-works-together"


def queued(celery_app: Any) -> int:
    client = celery_app.backend.client
    keys = [key for key in client.scan_iter(f"*:q:{QUEUE}*", count=1000) if client.type(key) == b"list"]
    return sum(client.llen(key) for key in keys)


def test_what_cannot_all_be_published_is_not_begun(socket: Socket, celery_app: Any) -> None:
    with pytest.raises(EscalationFailed, match="EncodeError"):
        escalate(socket.message(), group(number.s(value).set(queue=QUEUE) for value in (1, object())))
    assert queued(celery_app) == 0
    assert socket.end()["data"]["code"] == "publish_failed"


def test_each_part_is_there_once(socket: Socket, celery_app: Any) -> None:
    before = queued(celery_app)
    escalate(socket.message(), group(number.s(value).set(queue=QUEUE) for value in range(10)))
    assert queued(celery_app) == before + 10


def test_the_parts_of_a_chord_take_one_round_trip_more_than_one_task(socket: Socket, celery_app: Any) -> None:
    with celery_app.producer_pool.acquire(block=True) as producer:
        channel = producer.connection.default_channel
        calls = counted(channel)
    try:
        escalate(socket.message(), number.s(1).set(queue=QUEUE))
        assert len(calls) == 1
        calls.clear()
        escalate(socket.message(), chord([number.s(value).set(queue=QUEUE) for value in range(10)], total.s()))
        assert len(calls) == 2
    finally:
        channel._own_client = None


def counted(channel: Any) -> list[object]:
    """What is sent by the channel from now on, each time; it is the one that is used next."""
    calls: list[object] = []
    channel._own_client = client = channel._create_client()

    def count(name: str) -> None:
        original = getattr(client, name)

        def called(*args: Any, **kwargs: Any) -> Any:
            calls.append(args)
            return original(*args, **kwargs)

        setattr(client, name, called)

    count("execute_command")
    count("pipeline")
    return calls


@pytest.mark.usefixtures("worker")
def test_a_connection_that_was_cut_costs_no_part(socket: Socket, celery_app: Any) -> None:
    canvas = chord([number.s(value) for value in range(10)], total.s())
    escalate(socket.message(), canvas)
    assert socket.end()["data"] == 45
    with celery_app.producer_pool.acquire(block=True) as producer:
        address = producer.connection.default_channel.client.client_info()["addr"]
    celery_app.backend.client.client_kill(address)
    escalate(socket.message(), canvas)
    assert socket.end()["data"] == 45


class _Gone:
    """A channel whose broker does not answer."""

    connection_errors = (ConnectionError,)
    attempts = 0

    def conn_or_acquire(self) -> Any:
        self.attempts += 1
        raise ConnectionError("nobody there")


def test_a_broker_that_stays_away_is_given_up() -> None:
    channel = _Gone()
    put: Any = Put(channel, None, [], [])  # type: ignore[arg-type]
    with pytest.raises(OperationalError, match="nobody there"), together():
        send_put(put)
    assert channel.attempts == 3
