"""The result backend stays Celery's own for whoever does not escalate."""

from __future__ import annotations

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from celery import chord, group

from chancelery.deployment import Deployment
from chancelery.deployment.address import parse
from chancelery.tasks import escalate
from chancelery.tasks.engine.backend import JobBackend
from tests.tasks.conftest import PATIENCE_SECONDS, Socket
from tests.tasks.project.tasks import UnwellError, add, fails, number, total


@pytest.mark.usefixtures("worker")
class TestPlainCelery:
    def test_results_are_waited_for_as_ever(self) -> None:
        assert number.delay(7).get(timeout=PATIENCE_SECONDS) == 7
        assert (number.s(1) | add.s(2)).apply_async().get(timeout=PATIENCE_SECONDS) == 3
        assert group(number.s(1), number.s(2)).apply_async().get(timeout=PATIENCE_SECONDS) == [1, 2]
        assert chord([number.s(1), number.s(2)], total.s()).apply_async().get(timeout=PATIENCE_SECONDS) == 3

    def test_errors_are_raised_as_ever(self) -> None:
        with pytest.raises(UnwellError, match="swordfish"):
            fails.delay().get(timeout=PATIENCE_SECONDS)

    def test_a_result_can_be_waited_for_that_a_callback_is_on(self) -> None:
        results: list[Any] = []
        found = number.delay(3)
        found.then(lambda result: results.append(result.result))
        found.get(timeout=PATIENCE_SECONDS)
        assert results == [3]

    def test_publishing_subscribes_to_nothing(self, celery_app: Any) -> None:
        before = celery_app.backend.client.pubsub_channels()
        ids = [number.apply_async((1,), task_id=str(uuid.uuid4())).id for _ in range(5)]
        assert celery_app.backend.client.pubsub_channels() == before
        assert [celery_app.AsyncResult(id_).get(timeout=PATIENCE_SECONDS) for id_ in ids] == [1] * 5

    def test_threads_wait_for_results_side_by_side(self) -> None:
        with ThreadPoolExecutor(8) as threads:
            waiting = [threads.submit(lambda n: number.delay(n).get(timeout=PATIENCE_SECONDS), n) for n in range(40)]
            assert [found.result() for found in waiting] == list(range(40))


@pytest.mark.usefixtures("worker")
def test_a_thread_that_escalates_opens_no_connections_of_its_own(socket: Socket, celery_app: Any) -> None:
    def in_a_new_thread() -> int:
        thread = threading.Thread(target=lambda: escalate(socket.message(), number.s(1)))
        thread.start()
        thread.join()
        assert socket.end()["data"] == 1
        return int(celery_app.backend.client.info("stats")["total_connections_received"])

    in_a_new_thread()
    assert in_a_new_thread() == in_a_new_thread()


URLS = ["redis://127.0.0.1:6379/0", "redis://:secret@localhost/3", "rediss://h:6380/1", "unix:///tmp/a.sock?db=2"]


@pytest.mark.parametrize("url", URLS)
def test_the_settings_of_a_deployment_lead_to_the_database_of_its_url(url: str, celery_app: Any) -> None:
    settings = Deployment(url).django_settings(routing=[])
    backend_url = settings["CELERY_RESULT_BACKEND"].partition("+")[2]
    assert JobBackend(app=celery_app, url=backend_url).location == parse(url).location


@pytest.mark.parametrize("url", ["redis://127.0.0.1:6379/1", "redis://127.0.0.1:6380/0", "unix:///tmp/a.sock"])
def test_other_databases_are_told_apart(url: str, celery_app: Any) -> None:
    settings = Deployment(url).django_settings(routing=[])
    backend_url = settings["CELERY_RESULT_BACKEND"].partition("+")[2]
    assert JobBackend(app=celery_app, url=backend_url).location != parse("redis://127.0.0.1:6379/0").location


def test_the_settings_name_the_backend(celery_app: Any) -> None:
    assert isinstance(celery_app.backend, JobBackend)
