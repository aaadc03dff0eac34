"""Jobs that a test runs itself: what the socket gets is what it would get in production."""

from __future__ import annotations

import unittest
from datetime import timedelta

import pytest
from celery import Celery, _state
from celery.canvas import Signature
from celery.exceptions import NotRegistered, Retry
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction

import chancelery.test.jobs
from chancelery import Channel, channel_layers
from chancelery.deployment import connections
from chancelery.layers.redis import RedisChannelLayer
from chancelery.tasks import escalate
from chancelery.test import JobTestCase, TransactionJobTestCase, VirtualClock, WSClient
from chancelery.test.jobs import inline
from tests.kit import press


@pytest.fixture(autouse=True)
def celery_app():
    """A project's Celery application, which would publish to a broker that is not there."""
    default, current = _state.default_app, _state._tls.current_app
    app = Celery("press", broker="redis://127.0.0.1:1", backend="redis://127.0.0.1:1")
    yield app
    app.close()
    _state.set_default_app(default)
    _state._set_current_app(current)


@pytest.fixture(autouse=True)
def site(settings, redis_url):
    config = {"BACKEND": "chancelery.layers.memory", "ROUTING": press.routing, "CONFIG": {"capacity": 7}}
    settings.CHANNEL_LAYERS = {"default": {**config, "TEST_CONFIG": {"hosts": [redis_url]}}}
    press.paid.clear()


@pytest.fixture
def jobs(channel_jobs):
    return channel_jobs


@pytest.fixture
def socket(ws_client):
    return ws_client


def kinds(socket):
    return [event["kind"] for event in iter(socket.receive, None)]


def test_a_job_is_escalated_run_and_told_of(jobs, socket):
    socket.send_and_consume("websocket.receive", text="3", path="/render/")
    [job] = jobs.escalated()
    assert (job.tasks, job.state) == ([press.render.name], "accepted")
    assert job.canvas.kwargs == {"pages": 3}
    assert jobs.waiting == [press.render.name]
    [ran] = jobs.run()
    assert (ran.name, ran.returned, ran.error) == (press.render.name, {"pages": 3}, None)
    events = list(iter(socket.receive, None))
    said = [event["kind"] for event in events]
    assert [kind for kind in said if kind != "progress"] == ["accepted", "started", "result"]
    assert set(said[2:-1]) == {"progress"}  # how many depends on how long the task took
    kept = [(event["seq"], event["kind"], event["data"]) for event in events if event["kind"] != "progress"]
    assert kept == [(event["seq"], event["kind"], event["data"]) for event in job.events()]
    assert (jobs.waiting, jobs.run()) == ([], [])


def test_what_the_consumer_escalated_is_what_is_found(jobs, socket):
    job = escalate(None, press.number.s(1), reply_to=Channel(socket.reply_channel))
    assert jobs.escalated() == [job]


def test_a_canvas_runs_to_its_end(jobs, socket):
    escalate(None, press.canvas(), reply_to=Channel(socket.reply_channel))
    names = [ran.name for ran in jobs.run()]
    assert names == [press.number.name, press.number.name, press.total.name, press.number.name]
    *_, result = iter(socket.receive, None)
    assert (result["kind"], result["data"]) == ("result", 3)


def test_it_can_be_looked_at_between_two_tasks(jobs, socket):
    escalate(None, press.canvas(), reply_to=Channel(socket.reply_channel))
    jobs.run_next()
    assert jobs.escalated()[0].events()[-1]["kind"] == "step"
    assert isinstance(jobs.escalated()[0].canvas, Signature)


def test_a_failure_ends_the_job_and_is_there_to_look_at(jobs, socket, caplog):
    escalate(None, press.fails.s(), reply_to=Channel(socket.reply_channel))
    [ran] = jobs.run()
    assert isinstance(ran.error, press.PaperJamError)
    *_, error = iter(socket.receive, None)
    assert (error["kind"], error["data"]["code"]) == ("error", "PaperJamError")


def test_a_retry_waits_for_the_clock(jobs, socket, channel_clock, caplog):
    press.press.escalate(None, 1, reply_to=Channel(socket.reply_channel))
    [ran] = jobs.run()
    assert isinstance(ran.error, Retry)
    assert kinds(socket) == ["accepted", "started", "retry"]
    channel_clock.advance(30)
    assert (jobs.run(), jobs.waiting) == ([], [press.press.name])
    channel_clock.advance(30)
    assert [ran.returned for ran in jobs.run()] == [2]
    assert kinds(socket) == ["result"]


def test_a_countdown_waits_for_the_clock_and_its_events_are_there_however_late_it_is(jobs, socket, channel_clock):
    socket.send_and_consume("websocket.receive", text="", path="/later/")
    assert jobs.run() == []
    channel_clock.advance(timedelta(hours=1))
    assert len(jobs.run()) == 1
    assert kinds(socket)[-1] == "result"


def test_a_job_that_is_told_to_run_now_does(jobs, socket):
    socket.send_and_consume("websocket.receive", text="", path="/later/")
    [job] = jobs.escalated()
    assert job.run_now()
    assert len(jobs.run()) == 1
    assert job.state == "result"


def test_a_job_waits_for_its_turn(jobs, socket):
    asked = [
        escalate(None, press.number.s(n), reply_to=Channel(socket.reply_channel), limit=("press", 1)) for n in (1, 2)
    ]
    assert jobs.waiting == [press.number.name]
    assert [ran.returned for ran in jobs.run()] == [1, 2]
    assert [job.state for job in asked] == ["result", "result"]


def test_who_asks_for_the_same_gets_the_same_job(jobs, socket):
    for _ in range(2):
        escalate(None, press.pay.s(), reply_to=Channel(socket.reply_channel), dedupe="pay")
    assert len(jobs.escalated()) == 1
    assert len(jobs.run()) == 1


def test_a_job_that_is_not_begun_in_time_expires(jobs, socket, channel_clock):
    socket.send_and_consume("websocket.receive", text="", path="/later/")
    channel_clock.advance(timedelta(hours=2, seconds=1))
    assert [ran.returned for ran in jobs.run()] == [None]
    *_, error = iter(socket.receive, None)
    assert error["data"]["code"] == "expired"


def test_a_cancelled_job_is_not_run(jobs, socket):
    job = escalate(None, press.pay.s(), reply_to=Channel(socket.reply_channel))
    assert job.cancel()
    jobs.run()
    assert press.paid == []
    assert kinds(socket) == ["accepted", "cancelled"]


def test_a_task_that_nobody_knows_ends_its_job(jobs, socket, caplog):
    escalate(None, Signature("nobody.knows.it"), reply_to=Channel(socket.reply_channel))
    [ran] = jobs.run()
    assert isinstance(ran.error, NotRegistered)
    assert kinds(socket) == ["accepted", "error"]


def test_what_is_handed_out_again_does_not_end_the_job_twice(jobs, socket):
    escalate(None, press.pay.s(), reply_to=Channel(socket.reply_channel))
    [ran] = jobs.run()
    jobs.redeliver(ran)
    jobs.redeliver(ran.id)
    assert len(jobs.run()) == 2
    assert len(press.paid) == 1
    assert kinds(socket)[-1] == "result"
    assert kinds(socket) == []


def test_a_task_whose_process_dies_after_its_body_is_done_again(jobs, socket):
    job = escalate(None, press.pay.s(), reply_to=Channel(socket.reply_channel))
    died = jobs.die_after_body()
    assert (died.name, died.returned, died.error) == (press.pay.name, None, None)
    assert job.state in {"accepted", "started"}
    assert len(press.paid) == 1
    jobs.run()
    assert len(press.paid) == 1
    assert job.state == "result"


def test_a_task_that_fails_and_dies_is_done_again(jobs, socket, caplog):
    job = escalate(None, press.fails.s(), reply_to=Channel(socket.reply_channel))
    jobs.die_after_body()
    assert job.state != "error"
    jobs.run()
    assert job.state == "error"


def test_where_nothing_waits_nothing_runs(jobs):
    assert jobs.run() == []
    assert jobs.run_next() is None
    assert jobs.die_after_body() is None


def test_what_was_not_begun_cannot_be_handed_out_again(jobs):
    with pytest.raises(AssertionError, match="was not begun in this test"):
        jobs.redeliver("x")


def test_a_circle_is_noticed(jobs, socket, monkeypatch, caplog):
    monkeypatch.setattr(chancelery.test.jobs, "MOST_RUNS", 20)
    escalate(None, press.tries_for_ever.s(), reply_to=Channel(socket.reply_channel))
    with pytest.raises(AssertionError, match=r"after 20 tasks there are still more: .*tries_for_ever comes again"):
        jobs.run()


def test_the_outcome_for_an_ordinary_channel_is_handled_by_its_consumer(jobs, channel_client):
    escalate(None, press.number.s(7), reply_to=Channel("press.done"))
    jobs.run()
    channel_client.consume("press.done")
    assert channel_client.get_next_message("press.heard").content == {"kind": "result", "data": 7}


def test_layers_keep_their_limits_and_are_on_redis_meanwhile(jobs):
    layer = channel_layers["default"].layer
    assert isinstance(layer, RedisChannelLayer)
    assert layer.limits.capacity == 7


def test_afterwards_nothing_is_left(redis_url, celery_app):
    assert celery_app.conf.broker_url == "redis://127.0.0.1:1"  # it is read now
    before = dict(celery_app.conf.changes)
    keys = set(connections.sync_client(redis_url).keys())
    with inline(["default"], clock=VirtualClock()) as jobs:
        job = escalate(None, press.canvas(), reply_to=Channel("press.done"))
        jobs.run()
        assert job.result == 3
    assert set(connections.sync_client(redis_url).keys()) == keys
    connections.close_sync(redis_url)
    assert celery_app.conf.changes == before
    assert not isinstance(channel_layers["default"].layer, RedisChannelLayer)
    assert celery_app.connection_for_write().port == 1


def test_a_broker_in_the_environment_is_refused(monkeypatch):
    monkeypatch.setenv("CELERY_BROKER_WRITE_URL", "redis://production:6379")
    with (
        pytest.raises(ImproperlyConfigured, match="unset it, or the test would use a real broker"),
        inline(["default"], clock=VirtualClock()),
    ):
        raise AssertionError


def test_without_a_redis_in_the_settings_it_has_one_of_its_own(settings):
    config = {**settings.CHANNEL_LAYERS["default"]}
    del config["TEST_CONFIG"]
    settings.CHANNEL_LAYERS = {"default": config}
    for _ in range(2):
        with inline(["default"], clock=VirtualClock()) as jobs:
            job = escalate(None, press.number.s(7), reply_to=Channel("press.done"))
            jobs.run()
            assert job.result == 7


class InATestCase(JobTestCase):
    def test_what_waits_for_the_commit_that_never_comes_is_run(self):
        socket = WSClient()
        socket.send_and_consume("websocket.receive", text="", path="/atomic/")
        assert len(self.jobs.escalated()) == 1
        self.jobs.run()
        assert self.get_next_message("press.done", require=True)["data"] == 7

    def test_a_rollback_leaves_no_job(self):
        with transaction.atomic():
            escalate(None, press.number.s(7), reply_to=Channel("press.done"))
            transaction.set_rollback(True)
        assert (self.jobs.escalated(), self.jobs.waiting) == ([], [])

    def test_each_test_has_jobs_of_its_own(self):
        assert self.jobs.escalated() == []
        self.channel_clock.advance(5)


class InATransactionTestCase(TransactionJobTestCase):
    def test_a_commit_publishes(self):
        with transaction.atomic():
            escalate(None, press.number.s(7), reply_to=Channel("press.done"))
            assert self.jobs.escalated() == []
        assert len(self.jobs.run()) == 1


def test_a_site_that_cannot_have_jobs_is_an_error_of_the_test(monkeypatch):
    class Tests(JobTestCase):
        def test(self): ...

    monkeypatch.setenv("CELERY_BROKER_WRITE_URL", "redis://production:6379")
    Tests("test").run(result := unittest.TestResult())
    assert "would use a real broker" in result.errors[0][1]
