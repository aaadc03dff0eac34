"""Workers that are killed or frozen in the middle of a batch: what others do of it, and what nobody does twice."""

from __future__ import annotations

import signal

import pytest

from chancelery.layers.base import Send
from tests.worker.conftest import answers, nothing_waits, until


@pytest.fixture
def layer(served_layer):
    return served_layer


def post(layer, *contents, channel="paced"):
    """Send all of them in one go, so that one fetch may get them."""
    layer.post([Send(channel, layer.pack(content)) for content in contents])


def warmed_up(layer, spawn):
    """A worker that knows how long these messages take, and so fetches several at a time and begins a few."""
    process = spawn("--threads", "1")
    post(layer, *({"n": -1} for _ in range(60)))
    answers(layer, 60, "said")
    return process


def poisoned(name, count=10):
    """A message upon which its worker sends itself a signal, and others that are fetched together with it."""
    return [{"signal": name, "n": 0}, *({"n": number} for number in range(1, count))]


def died_with(layer):
    """How many messages had been begun by workers that died."""
    return layer.global_statistics().get("dropped:worker_died", 0)


def test_what_a_killed_worker_had_not_begun_is_handled_by_another_once_and_in_order(layer, spawn):
    first = warmed_up(layer, spawn)
    post(layer, *poisoned("SIGKILL"))
    assert first.wait(30) == -signal.SIGKILL
    assert answers(layer, 1, "said") == [{"began": "SIGKILL", "attempt": 1}]
    until(layer.reap)
    begun = died_with(layer)
    second = spawn("--threads", "1")
    assert [answer["did"] for answer in answers(layer, 10 - begun, "said")] == list(range(begun, 10))
    assert "dropped a message on paced (worker_died)" in second.stdout.readline()
    assert nothing_waits(layer, "said", "paced")


def test_a_worker_that_was_frozen_for_longer_than_its_lease_does_nothing_that_others_have_done(layer, spawn):
    frozen = warmed_up(layer, spawn)
    post(layer, *poisoned("SIGSTOP"))
    assert answers(layer, 1, "said") == [{"began": "SIGSTOP", "attempt": 1}]
    reaped = []
    until(lambda: reaped.extend(layer.reap()) or reaped)
    spawn("--threads", "1")
    done = [answer["did"] for answer in answers(layer, 10 - len(reaped), "said")]
    assert done == list(range(len(reaped), 10))
    frozen.send_signal(signal.SIGCONT)
    assert "was silent for longer than a lease lasts, and taken for dead" in frozen.stdout.readline()
    post(layer, *({"n": number} for number in range(40)))
    assert sorted(answer["did"] for answer in answers(layer, 40, "said")) == list(range(40))
    assert nothing_waits(layer, "said", "paced")
    frozen.send_signal(signal.SIGTERM)
    assert frozen.wait(30) == 0


def test_what_is_handled_at_least_once_is_tried_again_and_then_a_dead_letter(layer, spawn):
    post(layer, *poisoned("SIGKILL"), channel="again")
    for attempt in (1, 2):
        process = spawn("--threads", "1")
        assert answers(layer, 1, "said") == [{"began": "SIGKILL", "attempt": attempt}]
        assert process.wait(30) == -signal.SIGKILL
        until(layer.reap)
    [letter] = layer.dead_letters()
    assert (letter.reason, letter.channel, letter.attempts) == ("worker_died", "again", 2)
    assert letter.content["signal"] == "SIGKILL"
    spawn("--threads", "1")
    assert sorted(answer["did"] for answer in answers(layer, 9, "said")) == list(range(1, 10))


def test_what_the_coroutines_of_a_killed_worker_were_at_is_dropped_and_their_connections_go_on(layer, spawn):
    first = spawn("--threads", "1")
    for number in range(3):
        layer.send("wait", {"n": number}, lane=f"gw!{number}")
    assert sorted(answer["began"] for answer in answers(layer, 3, "said")) == [0, 1, 2]
    for number in range(3):
        layer.send("work", {"n": number}, lane=f"gw!{number}")
    assert nothing_waits(layer, "said")
    first.kill()
    spawn("--threads", "1")
    assert sorted(answer["did"] for answer in answers(layer, 3, "said")) == [0, 1, 2]
    assert died_with(layer) == 3


def test_a_worker_that_is_told_to_stop_cancels_a_coroutine_that_never_ends(layer, spawn, monkeypatch):
    monkeypatch.setenv("WORKER_DRAIN_SECONDS", "0.5")
    process = spawn("--threads", "1")
    layer.send("wait", {"n": 1})
    answers(layer, 1, "said")
    process.send_signal(signal.SIGTERM)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 1
    assert "cancelled 1 async consumers (1 of tests.worker.project.routing.wait)" in output
