"""A result that no frame can carry is fetched from an address that the last event tells."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from celery import group, states
from django.conf import settings
from django.core.signing import TimestampSigner
from django.http import HttpResponse
from django.test import Client, override_settings

from chancelery import Channel
from chancelery.tasks import Job, escalate, obey
from tests.tasks.conftest import Socket
from tests.tasks.project import tasks
from tests.tasks.project.tasks import number

pytestmark = pytest.mark.usefixtures("worker")
URLCONF = "tests.tasks.project.urls"
HOUR = 3600
SMALL = 20_000


@pytest.fixture(autouse=True)
def site(celery_app: Any) -> Iterator[None]:
    """This process with the URLconf that the worker has, and with small frames."""
    layer = settings.CHANNEL_LAYERS["default"]
    small = {**layer, "CONFIG": {**layer["CONFIG"], "max_message_bytes": SMALL}}
    with override_settings(ROOT_URLCONF=URLCONF, CHANNEL_LAYERS={"default": small}):
        yield


def fetched(at: str) -> HttpResponse:
    return Client().get(at)  # type: ignore[return-value] # of the test client


def larger(socket: Socket) -> int:
    """A size that no frame can have."""
    assert socket.layer.limits.max_message_bytes == SMALL
    return SMALL + 1


def ended(job: Job, value: Any, celery_app: Any) -> None:
    """Have the first task of a job return *value*, as far as Celery's backend is concerned."""
    celery_app.backend.store_result(f"{job.id}-1", value, states.SUCCESS)


def test_the_last_event_says_where_the_result_is_had(socket: Socket) -> None:
    size = larger(socket)
    job = escalate(socket.message(), tasks.big.s(size))
    end = socket.end()
    assert end == {**job.events()[-1], "kind": "result", "data": None, "bytes": size + 2}
    answer = fetched(end["at"])
    assert (answer.status_code, json.loads(answer.content)) == (200, "x" * size)
    assert (answer["Content-Type"], answer["Cache-Control"]) == ("application/json", "private")
    assert (job.state, job.result) == ("result", "x" * size)


def test_results_of_a_group_may_be_too_large_together(socket: Socket) -> None:
    size = larger(socket) * 2 // 3
    escalate(socket.message(), group(tasks.big.s(size), tasks.big.s(size), number.s(1)))
    end = socket.end()
    assert json.loads(fetched(end["at"]).content) == ["x" * size, "x" * size, 1]


def test_an_ordinary_channel_is_told_the_address_too(socket: Socket) -> None:
    channel = Channel(f"reports.{uuid.uuid4().hex[:12]}")
    job = escalate(socket.message(), tasks.big.s(larger(socket)), reply_to=[channel, Channel(socket.name)])
    assert socket.end() == job.events()[-1]
    _, content = socket.layer.receive([channel.name], block=True)
    assert content == job.events()[-1]


def test_who_comes_late_is_told_the_address(socket: Socket) -> None:
    job = escalate(socket.message(), tasks.big.s(larger(socket)))
    end = socket.end()
    assert obey(socket.message(text=json.dumps({"job": job.id, "do": "resume"})))
    assert socket.events()[-1] == end


def test_without_a_url_for_it_the_job_ends_in_an_error(
    socket: Socket, celery_app: Any, caplog: pytest.LogCaptureFixture
) -> None:
    job = escalate(socket.message(), number.s(1), countdown=HOUR)
    with override_settings(ROOT_URLCONF="tests.kit.urls"):
        ended(job, "x" * larger(socket), celery_app)
    assert socket.end()["data"]["code"] == "result_too_large"
    assert "include chancelery.tasks.urls in the URLconf" in caplog.text


def test_a_site_without_any_urls_has_none_for_it(socket: Socket, celery_app: Any) -> None:
    job = escalate(socket.message(), number.s(1), countdown=HOUR)
    with override_settings():
        del settings.ROOT_URLCONF
        ended(job, "x" * larger(socket), celery_app)
    assert socket.end()["data"]["code"] == "result_too_large"


def test_larger_ones_than_may_be_kept_are_errors(socket: Socket, celery_app: Any) -> None:
    job = escalate(socket.message(), number.s(1), countdown=HOUR)
    with override_settings(CHANCELERY={"JOB_RESULT_BYTES": SMALL}):
        ended(job, "x" * larger(socket), celery_app)
    assert socket.end()["data"]["code"] == "result_too_large"


def test_a_result_that_is_stored_again_changes_nothing(socket: Socket, celery_app: Any) -> None:
    job = escalate(socket.message(), number.s(1), countdown=HOUR)
    for letter in "xy":
        ended(job, letter * larger(socket), celery_app)
    assert [event["kind"] for event in socket.events()] == ["accepted", "result"]
    assert set(job.result) == {"x"}
    assert socket.is_silent()


def test_what_is_sent_as_a_message_cannot_be_fetched(socket: Socket, celery_app: Any) -> None:
    job = escalate(socket.message(), number.s(1), countdown=HOUR, reply="message")
    ended(job, {"text": "x" * larger(socket)}, celery_app)
    assert socket.end()["data"]["code"] == "result_too_large"


class TestTheAddress:
    @pytest.fixture
    def at(self, socket: Socket) -> str:
        escalate(socket.message(), tasks.big.s(larger(socket)))
        found: str = socket.end()["at"]
        return found

    def test_a_changed_one_is_not_found(self, at: str) -> None:
        assert fetched(at[:-2] + ("A" if at[-2] != "A" else "B") + "/").status_code == 404

    def test_one_that_was_signed_for_something_else_is_not_found(self, at: str) -> None:
        job_id = at.split("/")[2].partition(":")[0]
        assert fetched(f"/results/{TimestampSigner(salt='else').sign(job_id)}/").status_code == 404
        assert fetched(f"/results/{Job(job_id).claim()}/").status_code == 404

    def test_it_is_good_for_a_time(self, at: str) -> None:
        with override_settings(CHANCELERY={"JOB_RESULT_EXPIRY": 0.000001}):
            assert fetched(at).status_code == 404

    def test_one_of_a_job_without_such_a_result_is_not_found(self, at: str) -> None:
        signed = TimestampSigner(salt="chancelery.tasks.apart").sign("0" * 32)
        assert fetched(f"/results/{signed}/").status_code == 404

    def test_it_can_only_be_read(self, at: str) -> None:
        assert Client().post(at).status_code == 405
        assert Client().head(at).status_code == 200
