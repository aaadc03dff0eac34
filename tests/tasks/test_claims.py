"""Whose a job is, and what becomes of everybody else's frames: refused alike, logged once, at no cost."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.core.signing import TimestampSigner
from django.test import override_settings

from chancelery import Group
from chancelery.tasks import Job, control, escalate, obey
from chancelery.tasks.claims import claim_to
from chancelery.tasks.engine import backend
from tests.tasks.conftest import Socket, ends_of
from tests.tasks.project import tasks
from tests.tasks.project.tasks import number

pytestmark = pytest.mark.usefixtures("worker")
HOUR = 3600
UNKNOWN = "0" * 32
ORDERS = ["resume", "cancel", "input"]


@pytest.fixture
def job(socket: Socket) -> Any:
    """A job of nobody who is logged in, that waits for its time."""
    found = escalate(socket.message(), number.s(1), countdown=HOUR)
    socket.frames(1)
    yield found
    found.cancel()


@pytest.fixture
def users_job(celery_app: Any) -> Any:
    message = Socket().message()
    message.user = User(pk=5)
    found = escalate(message, number.s(1), countdown=HOUR)
    yield found
    found.cancel()


def asked(socket: Socket, user: Any = None, **frame: Any) -> dict[str, Any]:
    """What a socket is answered; events that come before are passed over."""
    message = socket.message(text=json.dumps(frame))
    if user is not None:
        message.user = user
    assert obey(message)
    for content in socket.contents():
        answer = json.loads(content["text"])
        if "do" in answer:
            return answer
    raise AssertionError


def state_of_all(job: Job) -> Any:
    """Everything that is stored of a job."""
    client, name = backend.current().client, f"*{job.id}*"
    keys = sorted(key for key in client.scan_iter(match=name, count=1000))
    return [(key, client.dump(key)) for key in keys]


def other_key(job_id: str) -> str:
    return TimestampSigner(key="guessed", salt="chancelery.tasks.claims").sign(job_id)


CLAIMS = {
    "none": lambda job_id: None,
    "empty": lambda job_id: "",
    "the id": lambda job_id: job_id,
    "of another job": lambda job_id: claim_to(UNKNOWN),
    "of another job, renamed": lambda job_id: claim_to(UNKNOWN).replace(UNKNOWN, job_id),
    "of a longer name": lambda job_id: claim_to(job_id + "0"),
    "cut": lambda job_id: claim_to(job_id)[:-1],
    "with something behind": lambda job_id: claim_to(job_id) + "=",
    "of another time": lambda job_id: ":".join([job_id, "1", claim_to(job_id).split(":")[2]]),
    "signed with another key": other_key,
    "signed for something else": lambda job_id: TimestampSigner(salt="sessions").sign(job_id),
    "without a signature": lambda job_id: f"{job_id}::",
    "long": lambda job_id: claim_to(job_id) * 10_000,
    "not ASCII": lambda job_id: "é" * 40,
    "zero bytes": lambda job_id: "\0" * 40,
}


@pytest.mark.parametrize("do", ORDERS)
@pytest.mark.parametrize("claim", CLAIMS.values(), ids=CLAIMS)
def test_a_claim_that_is_none_is_answered_like_a_job_that_there_is_not(claim: Any, do: str, job: Job) -> None:
    other, before = Socket(), state_of_all(job)
    answers = [
        {**asked(other, job=job_id, do=do, claim=claim(job.id), after=0, value=1), "job": ""}
        for job_id in (job.id, "f" * 32)
    ]
    assert answers == [{"job": "", "do": do, "error": "unknown_job"}] * 2
    assert state_of_all(job) == before
    assert other.is_silent()


@pytest.mark.parametrize("do", ORDERS)
def test_a_claim_is_good_until_it_expires(do: str, job: Job) -> None:
    claim = claim_to(job.id)
    with override_settings(CHANCELERY={"JOB_CLAIM_EXPIRY": 1e-9}):
        assert asked(Socket(), job=job.id, do=do, claim=claim)["error"] == "unknown_job"
    assert asked(Socket(), job=job.id, do=do, claim=claim)["done"] is True


def test_a_claim_outlives_a_change_of_the_secret_key_as_long_as_the_old_one_is_a_fallback(job: Job) -> None:
    claim = claim_to(job.id)
    with override_settings(SECRET_KEY="new"):
        assert asked(Socket(), job=job.id, do="input", claim=claim)["error"] == "unknown_job"
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["only for tests"]):
        assert asked(Socket(), job=job.id, do="input", claim=claim)["done"] is True


def test_a_claim_that_is_used_again_undoes_nothing(job: Job) -> None:
    claim = claim_to(job.id)
    done = [asked(Socket(), job=job.id, do="cancel", claim=claim)["done"] for _ in range(5)]
    assert done == [True, False, False, False, False]
    assert asked(Socket(), job=job.id, do="input", claim=claim)["error"] == "ended"
    assert ends_of(job) == ["cancelled"]


@pytest.mark.parametrize("do", ORDERS)
@pytest.mark.parametrize("user", [User(pk=6), User(pk=50), AnonymousUser()], ids=["other", "begins alike", "nobody"])
def test_a_job_of_another_user_is_answered_like_one_that_there_is_not(user: Any, do: str, users_job: Job) -> None:
    assert asked(Socket(), user, job=users_job.id, do=do)["error"] == "unknown_job"
    assert users_job.state == "accepted"


@pytest.mark.parametrize("do", ORDERS)
def test_who_has_logged_out_is_not_the_user_any_more_on_the_same_socket_either(do: str, socket: Socket) -> None:
    message = socket.message()
    message.user = User(pk=5)
    job = escalate(message, number.s(1), countdown=HOUR)
    assert asked(socket, AnonymousUser(), job=job.id, do=do)["error"] == "unknown_job"
    assert asked(socket, User(pk=5), job=job.id, do=do)["done"] is True
    job.cancel()


@pytest.mark.parametrize("do", ORDERS)
def test_staff_may_where_a_setting_says_so(do: str, users_job: Job) -> None:
    staff = User(pk=1, is_staff=True)
    assert asked(Socket(), staff, job=users_job.id, do=do)["error"] == "unknown_job"
    with override_settings(CHANCELERY={"JOB_STAFF_ACCESS": True}):
        assert asked(Socket(), User(pk=1), job=users_job.id, do=do)["error"] == "unknown_job"
        assert asked(Socket(), staff, job=users_job.id, do=do)["done"] is True


@pytest.mark.parametrize("size", [65_537, 900_000])
def test_an_input_that_is_too_large_is_refused_before_anything_else(size: int, socket: Socket, job: Job) -> None:
    value = "x" * (size - 2)
    for job_id in (job.id, UNKNOWN):
        assert asked(socket, job=job_id, do="input", value=value)["error"] == "too_large"
    assert asked(socket, job=job.id, do="input", value=value[:65_534])["done"] is True


def test_a_job_takes_a_hundred_inputs(socket: Socket, job: Job) -> None:
    answers = [asked(socket, job=job.id, do="input", value=value) for value in range(101)]
    assert [answer.get("error") for answer in answers] == [None] * 100 + ["full"]


@pytest.mark.parametrize(
    "more",
    [
        {"after": -1}, {"after": "0"}, {"after": 1.5}, {"after": None}, {"after": 2**60}, {"claim": 7},
        {"claim": ["a"]}, {"do": "RESUME"}, {"do": ["resume"]}, {"do": None}, {"job": {"id": 1}}, {"job": None},
    ],
    ids=str,
)  # fmt: skip
def test_a_frame_of_the_wrong_types_is_none_of_ours(more: dict[str, Any], socket: Socket, job: Job) -> None:
    assert obey(socket.message(text=json.dumps({"job": job.id, "do": "resume", **more}))) is False
    assert socket.is_silent()


@pytest.mark.parametrize(
    "text", ['{"job": "\\ud800", "do": "cancel"}', '{"job": "x", "do": "cancel", "claim": "\\ud800"}']
)
def test_half_a_character_does_no_harm(text: str, socket: Socket) -> None:
    assert obey(socket.message(text=text)) is False or socket.frames(1)[0]["error"] == "unknown_job"


def test_only_who_asked_is_given_a_claim(socket: Socket, group: Group) -> None:
    asking = Socket()
    job = escalate(asking.message(), number.s(1), reply_to=[group, asking.message().reply_channel])
    told = json.loads(next(asking.contents())["text"])
    assert set(told) == {"job", "seq", "kind", "data", "claim"}
    assert asking.events() == job.events()[1:]
    assert socket.events() == job.events()
    assert (asking.claim, socket.claim) == ("", "")
    assert asked(Socket(), job=job.id, do="resume", claim=told["claim"])["done"] is True


def test_a_job_may_be_handed_on(users_job: Job) -> None:
    claim = users_job.claim()
    assert asked(Socket(), User(pk=6), job=users_job.id, do="resume", claim=claim)["done"] is True


def test_a_burst_of_refusals_is_one_line_in_the_log_and_leaves_nothing(
    job: Job, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control._refused, "_said", {})
    other, before = Socket(), state_of_all(job)
    with caplog.at_level(logging.WARNING, "chancelery.tasks"):
        for attempt in range(500):
            message = other.message(text=json.dumps({"job": f"{attempt:032x}", "do": "resume", "after": attempt}))
            assert obey(message)
            assert obey(other.message(text=json.dumps({"job": job.id, "do": "resume", "claim": "forged"})))
    lines = [record.getMessage() for record in caplog.records if "refused a resume" in record.getMessage()]
    assert len(lines) <= 2  # a burst is five seconds
    assert other.name in lines[0]
    assert state_of_all(job) == before


def test_what_waits_for_an_input_is_stopped_when_its_job_is_cancelled(socket: Socket, celery_app: Any) -> None:
    job = tasks.asks.escalate(socket.message(), 1)
    assert [event["kind"] for event in socket.frames(2)] == ["accepted", "started"]
    assert asked(socket, job=job.id, do="cancel")["done"] is True
    celery_app.AsyncResult(f"{job.id}-1").get(timeout=30, propagate=False)
    assert ends_of(job) == ["cancelled"]


def test_a_claim_is_signed_as_django_does_it_with_the_key_of_now() -> None:
    for key in ("one", "another", "one"):
        with override_settings(SECRET_KEY=key, SECRET_KEY_FALLBACKS=[]):
            claim = claim_to(UNKNOWN)
            assert TimestampSigner(salt="chancelery.tasks.claims").unsign(claim) == UNKNOWN
            assert TimestampSigner(key=key, salt="chancelery.tasks.claims").signature(claim.rpartition(":")[0]) in claim
