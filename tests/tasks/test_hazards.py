"""
What goes wrong with Celery on Redis, with Celery's own parts and with ours: see `docs/explanation/celery.md`.

With CHANCELERY_TEST_VISIBILITY_TIMEOUT=4, tasks count as lost after four seconds, and one waits for fourteen.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import socket
import threading
import time
import types
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from celery import Celery
from celery.exceptions import TimeoutError as CeleryTimeoutError
from kombu import Connection

from chancelery.deployment import Deployment
from chancelery.exceptions import LayerUnavailable
from chancelery.tasks import escalate
from tests.tasks.conftest import CeleryWorker, Socket
from tests.tasks.project.consumers import beside_consumers, counts, works_while_memory_is_full
from tests.tasks.rigs import PATIENCE_SECONDS, VISIBILITY_TIMEOUT, Rig, rigs

OURS = "chancelery.tasks.engine.transport:Transport"
LONGER_THAN_THE_TIMEOUT = VISIBILITY_TIMEOUT * 3.5 if VISIBILITY_TIMEOUT > 2 else 5
BOTH = pytest.mark.parametrize("transport", [None, OURS], ids=["Celery's", "ours"])


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Rig]]:
    """Two workers of each kind, which take a task for lost soon that nobody speaks of."""
    with rigs(tmp_path_factory.mktemp("rigs")) as found:
        yield found


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def test_a_task_that_is_held_for_longer_than_the_visibility_timeout_runs_once(both: dict[str, Rig]) -> None:
    results = {
        (name, key): rig.count(key, **how)
        for name, rig in both.items()
        for key, how in (
            ("long", {"seconds": LONGER_THAN_THE_TIMEOUT}),
            ("later", {"countdown": LONGER_THAN_THE_TIMEOUT}),
        )
    }
    for result in results.values():
        result.get(timeout=PATIENCE_SECONDS)
    ours, plain = both["ours"], both["plain"]
    assert (ours.runs("long"), ours.runs("later")) == (1, 1)
    until(lambda: plain.runs("long") > 1 and plain.runs("later") > 1, "Celery has mended it: see decision 6")
    assert (ours.runs("long"), ours.runs("later")) == (1, 1)
    print("held for longer than the visibility timeout, Celery alone ran:", plain.runs("long"), plain.runs("later"))


@contextlib.contextmanager
def full(*clients: redis.Redis) -> Iterator[None]:
    """Within it, the memory of the servers is full."""
    for client in clients:
        client.config_set("maxmemory", "1")
    try:
        yield
    finally:
        for client in clients:
            client.config_set("maxmemory", "0")


def test_a_task_that_ends_while_memory_is_full_has_a_result_when_it_is_not_any_more(both: dict[str, Rig]) -> None:
    results = {name: rig.count("full", seconds=1) for name, rig in both.items()}
    for rig in both.values():
        rig.where("full")
    ours, plain = both["ours"], both["plain"]
    failed = re.compile(rf"SETEX \S*{results['plain'].id} .*FAILURE")
    with full(ours.client, plain.client):
        until(
            lambda: any(failed.search(line) for worker in plain.workers for line in tuple(worker.lines)),
            "Celery has mended it",
        )
    assert results["ours"].get(timeout=PATIENCE_SECONDS) == 1
    assert ours.runs("full") == 1
    assert [worker.process.poll() for worker in ours.workers] == [None, None]
    assert results["plain"].state != "SUCCESS"  # and never will be


@pytest.mark.usefixtures("worker")
def test_a_job_ends_while_memory_is_full(socket: Socket, celery_app: Any) -> None:
    job = escalate(socket.message(), counts.s(socket.name, seconds=1))
    client = celery_app.backend.client
    until(lambda: client.exists(f"{socket.name}:at"), "it runs")
    with full(client):
        until(lambda: job.state not in {"accepted", "started"}, "it ends")
    assert socket.end()["data"] == 1


def test_nothing_is_escalated_while_memory_is_full(socket: Socket, celery_app: Any) -> None:
    with full(celery_app.backend.client), pytest.raises(LayerUnavailable, match=r"the memory of Redis .* is full"):
        escalate(socket.message(), counts.s(socket.name), immediately=True)
    assert socket.is_silent()


def test_progress_that_is_refused_while_memory_is_full_is_logged_once(socket: Socket, worker: CeleryWorker) -> None:
    job = escalate(socket.message(), works_while_memory_is_full.s())
    assert socket.end()["data"] == "done all the same"
    worker.until(refused := f"job {job.id}: progress of {works_while_memory_is_full.name} was not sent")
    assert sum(refused in line for line in tuple(worker.lines)) == 1


def test_a_task_whose_worker_is_killed_comes_back(both: dict[str, Rig]) -> None:
    ours = both["ours"]
    result = ours.count("lost", once=PATIENCE_SECONDS)
    main, child = ours.where("lost")
    assert main in {worker.process.pid for worker in ours.workers}
    os.kill(main, signal.SIGKILL)
    os.kill(child, signal.SIGKILL)
    assert result.get(timeout=PATIENCE_SECONDS) == 2
    assert ours.runs("lost") == 2


def test_a_worker_survives_a_restart_of_redis_and_what_it_held_runs_once(both: dict[str, Rig]) -> None:
    results = {}
    for name, rig in both.items():
        results[name] = [rig.count("running", seconds=2), rig.count("waiting", countdown=4)]
        rig.where("running")
        held = f"{rig.deployment.broker_prefix}unacked"
        until(lambda rig=rig, held=held: rig.client.hlen(held) == 2, "both are held")  # type: ignore[misc]
        rig.kill_server()
    alive = [worker for worker in both["ours"].workers if worker.process.poll() is None]
    for worker in alive:
        worker.until("Connection to broker lost")
    for rig in both.values():
        rig.restart_server()
    ours, plain = both["ours"], both["plain"]
    assert [result.get(timeout=PATIENCE_SECONDS) for result in results["ours"]] == [1, 1]
    until(lambda: ours.client.hlen(f"{ours.deployment.broker_prefix}unacked") == 0, "nothing is held for ever")
    assert all(worker.process.poll() is None for worker in alive)
    assert (ours.runs("running"), ours.runs("waiting")) == (1, 1)
    until(
        lambda: plain.runs("running") > 1 or any(worker.process.poll() is not None for worker in plain.workers),
        "Celery has mended it: see decision 6",
    )


def test_a_worker_that_is_told_to_stop_ends_its_task_but_not_when_its_whole_group_is_told(both: dict[str, Rig]) -> None:
    rig = both["ours"]
    rig.start_worker()
    polite = rig.count("polite", seconds=1)
    main, _ = rig.where("polite")
    os.kill(main, signal.SIGTERM)
    assert polite.get(timeout=PATIENCE_SECONDS) == 1
    rude = rig.count("rude", seconds=PATIENCE_SECONDS)
    main, child = rig.where("rude")
    os.kill(child, signal.SIGTERM)
    os.kill(main, signal.SIGTERM)
    with pytest.raises(Exception, match=r"Worker exited prematurely|terminated"):
        rude.get(timeout=PATIENCE_SECONDS)


@contextlib.contextmanager
def channel_of(url: str, transport: str | None, **options: Any) -> Iterator[Any]:
    settings = Deployment(url, prefix="hazards").django_settings(routing=[])
    options = {**settings["CELERY_BROKER_TRANSPORT_OPTIONS"], **options}
    with Connection(url, transport=transport, transport_options=options) as connection:
        yield connection.default_channel


@BOTH
def test_a_message_on_its_way_to_a_worker_that_dies_is_not_lost(redis_url: str, transport: str | None) -> None:
    queue = f"dying-{transport is None}"
    with channel_of(redis_url, transport) as publisher, channel_of(redis_url, transport) as dying:
        dying.queue_declare(queue)
        dying.basic_consume(queue, no_ack=False, callback=lambda _message: None, consumer_tag="one")
        dying.connection.cycle.on_poll_start()  # it waits
        publisher.basic_publish(publisher.prepare_message("hello", properties={"delivery_info": {}}), "", queue)
        sock = dying.client.connection._sock
        assert select.select([sock], [], [], PATIENCE_SECONDS)[0], "something is on its way"
        sock.shutdown(socket.SHUT_RDWR)  # what SIGKILL does
        held, left = publisher.client.hlen("unacked"), publisher._size(queue)
        dying._in_poll = None
    assert (held, left) == (0, 0 if transport is None else 1)


class Forgetful:
    """Stands before a server, and breaks off each connection's first publish after it was carried out."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listening.getsockname()[1]}/0"
        self.broken = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed at the end
            while True:
                client, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._port)) as server, contextlib.suppress(OSError):
            while asked := client.recv(1 << 20):
                server.sendall(asked)
                answer = server.recv(1 << 20)
                if not self.broken and PUBLISHED.search(asked) and not answer.startswith(b"-"):
                    self.broken += 1
                    return
                client.sendall(answer)

    def close(self) -> None:
        self._listening.close()


PUBLISHED = re.compile(rb"LPUSH|FCALL")


@BOTH
def test_a_publish_whose_answer_was_lost_is_not_carried_out_twice(redis_url: str, transport: str | None) -> None:
    with contextlib.closing(Forgetful(int(redis_url.rpartition(":")[2]))) as proxy:
        prefix = f"lost-{transport is None}"
        settings = Deployment(proxy.url, prefix=prefix).django_settings(routing=[])
        settings["CELERY_BROKER_TRANSPORT"] = transport
        with Celery("lost", set_as_current=False) as app, redis.Redis.from_url(redis_url) as client:
            app.config_from_object(types.SimpleNamespace(**settings), namespace="CELERY")
            app.send_task("nothing")
            assert proxy.broken == 1
            assert client.llen(f"{prefix}:q:celery") == (2 if transport is None else 1)


@pytest.mark.parametrize("ours", [False, True], ids=["Celery's", "ours"])
def test_a_result_is_heard_of_that_came_while_its_subscription_was_on_its_way(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, ours: bool
) -> None:
    settings = Deployment(redis_url, prefix=f"heard-{ours}").django_settings(routing=[])
    if not ours:
        settings["CELERY_RESULT_BACKEND"] = settings["CELERY_RESULT_BACKEND"].partition("+")[2]
    with Celery("heard", set_as_current=False) as app:
        app.config_from_object(types.SimpleNamespace(**settings), namespace="CELERY")
        consumer = app.backend.result_consumer
        look = consumer.on_wait_for_pending

        def look_and_miss(result: Any, **options: Any) -> None:
            look(result, **options)
            consumer.cancel_for(result.id)  # Redis reads the subscription after what comes next
            done = {"status": "SUCCESS", "result": 7, "task_id": result.id}
            app.backend.client.set(app.backend.get_key_for_task(result.id), json.dumps(done), ex=60)

        monkeypatch.setattr(consumer, "on_wait_for_pending", look_and_miss)
        with contextlib.nullcontext() if ours else pytest.raises(CeleryTimeoutError):
            assert app.AsyncResult(uuid.uuid4().hex).get(timeout=PATIENCE_SECONDS if ours else 2) == 7


@BOTH
def test_a_queue_is_seen_under_a_prefix(redis_url: str, transport: str | None) -> None:
    with channel_of(redis_url, transport) as channel:
        channel.basic_publish(channel.prepare_message("hello", properties={"delivery_info": {}}), "", "seen")
        assert channel._has_queue("seen") is (transport is OURS)
        channel.queue_purge("seen")


@BOTH
def test_of_priorities_the_first_is_the_usual_one_and_there_are_four(redis_url: str, transport: str | None) -> None:
    """As with Celery's, so that processes with either understand each other: documented, not mended."""
    with channel_of(redis_url, transport) as channel:
        for priority in (9, 8, 6, 5, 3, 2, None, 0):
            properties = {"delivery_info": {}} | ({} if priority is None else {"priority": priority})
            channel.basic_publish(channel.prepare_message(str(priority), properties=properties), "", "urgent")
        lengths = [channel.client.llen(channel._q_for_pri("urgent", step)) for step in (0, 3, 6, 9)]
        channel.queue_purge("urgent")
    assert lengths == [3, 2, 2, 1]


@pytest.mark.parametrize("timeout", [None, 0.2], ids=["Celery's", "ours"])
def test_publishing_to_a_server_that_fell_silent_ends(redis_url: str, timeout: float | None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        options = {"socket_timeout": timeout, "max_retries": 0}
        connection = Connection(url, transport=OURS, transport_options=options)
        assert connection.transport.Channel.socket_timeout is None  # as Celery has it: wait for ever
        if timeout is not None:
            with pytest.raises(connection.connection_errors):
                connection.transport.create_channel(connection.transport)
    settings = Deployment(redis_url).django_settings(routing=[])
    assert settings["CELERY_BROKER_TRANSPORT_OPTIONS"]["socket_timeout"] > 0
    assert settings["CELERY_REDIS_SOCKET_TIMEOUT"] > 0


def test_a_worker_takes_no_more_than_it_can_run(redis_url: str) -> None:
    settings = Deployment(redis_url).django_settings(routing=[])
    assert settings["CELERY_WORKER_PREFETCH_MULTIPLIER"] == 1
    assert Celery(set_as_current=False).conf.worker_prefetch_multiplier == 4


def test_what_holds_a_chord_together_outlives_its_longest_task(redis_url: str) -> None:
    settings = Deployment(redis_url).django_settings(routing=[])
    assert settings["CELERY_RESULT_CHORD_EXPIRES"] >= 86400


@pytest.mark.usefixtures("worker")
def test_consumer_tasks_beside_consumers_are_found(socket: Socket) -> None:
    escalate(socket.message(), beside_consumers.s())
    assert socket.end()["data"] == "found with hello"
