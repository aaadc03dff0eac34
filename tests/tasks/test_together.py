"""The parts of a canvas are published in one go: all of them, once, or none."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from celery import chord, group
from kombu.exceptions import OperationalError
from redis import Redis
from redis.connection import AbstractConnection

from chancelery.exceptions import EscalationFailed
from chancelery.tasks import escalate
from chancelery.tasks.engine.backend import unwatched
from chancelery.tasks.engine.together import Put, together
from chancelery.tasks.engine.together import send as send_put
from tests.tasks.conftest import PATIENCE_SECONDS, Socket
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


@pytest.mark.parametrize("limit", [None, (QUEUE, 100)])
def test_a_job_is_recorded_and_published_in_one_round_trip(
    socket: Socket, monkeypatch: pytest.MonkeyPatch, limit: Any
) -> None:
    header = [number.s(value).set(queue=QUEUE) for value in range(10)]
    escalate(socket.message(), number.s(1).set(queue=QUEUE))  # connections and queues are known then
    trips = round_trips(monkeypatch)
    for canvas in (number.s(1).set(queue=QUEUE), chord(header, total.s()), chord(header, total.s()).set(countdown=60)):
        escalate(socket.message(), canvas, limit=limit)
    assert len(trips) == 3


def round_trips(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What this thread sends to Redis from now on."""
    sent: list[object] = []
    send = AbstractConnection.send_packed_command
    here = threading.get_ident()

    def sending(self: Any, command: Any, *args: Any, **kwargs: Any) -> Any:
        if threading.get_ident() == here:
            sent.append(command)
        return send(self, command, *args, **kwargs)

    monkeypatch.setattr(AbstractConnection, "send_packed_command", sending)
    return sent


def test_the_parts_of_a_chord_that_is_no_job_take_four_round_trips(
    celery_app: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    canvas = chord([number.s(value).set(queue=QUEUE) for value in range(10)], total.s())
    with unwatched(), together():
        canvas.apply_async()  # connections and queues are known then
    before = queued(celery_app)
    trips = round_trips(monkeypatch)
    with unwatched(), together():
        canvas.apply_async()
    taken = len(trips)
    assert (queued(celery_app) - before, taken) == (10, 4)  # two of them are Celery's, for the size of the chord


@pytest.mark.usefixtures("worker")
def test_a_connection_that_was_cut_costs_no_part(socket: Socket, celery_app: Any) -> None:
    canvas = chord([number.s(value) for value in range(10)], total.s())
    escalate(socket.message(), canvas)
    assert socket.end()["data"] == 45
    killing = Redis.from_url(socket.layer.url)  # type: ignore[attr-defined]
    with killing, celery_app.producer_pool.acquire(block=True) as producer:
        for client in (producer.connection.default_channel.client, celery_app.backend.client):
            killing.client_kill(client.client_info()["addr"])
    with unwatched(), together():
        result = canvas.apply_async()
    assert result.get(timeout=PATIENCE_SECONDS) == 45
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
