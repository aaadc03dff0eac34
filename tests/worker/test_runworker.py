"""`runworker` as a real process on a real server."""

from __future__ import annotations

import signal
import subprocess

import pytest

from tests.worker.conftest import answers, nothing_waits
from tests.worker.processes import command, environment


@pytest.fixture
def layer(served_layer):
    return served_layer


def refused(layer, *args, **env):
    """Run it where it cannot work; return what it says."""
    ended = subprocess.run(
        command(*args), env={**environment(layer), **env}, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    return ended.stderr


def test_it_says_when_it_is_ready_and_on_what_it_works(layer, spawn):
    process = spawn("--threads", "2", "--only-channels", "work", "--only-channels", "ho*", "--exclude-channels", "x")
    assert process.first_line == "Worker ready: 2 threads on hold, work\n"
    layer.send("work", {"n": 1})
    assert answers(layer, 1, "said") == [{"did": 1}]
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=30)[0] == "Stopped: everything that was begun is done.\n"
    assert process.returncode == 0


def test_sigterm_loses_nothing_and_the_next_worker_goes_on(layer, spawn):
    for number in range(900):
        layer.send("work", {"n": number})
    process = spawn("--threads", "2")
    said = answers(layer, 100, "said")
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 0, output
    spawn("--threads", "2")
    said += answers(layer, 900 - len(said), "said")
    assert sorted(message["did"] for message in said) == list(range(900))
    assert nothing_waits(layer, "said", "work")


def test_a_slow_consumer_ends_after_sigterm_and_what_waits_behind_it_goes_to_others(layer, spawn):
    process = spawn("--threads", "1")
    layer.send("hold", {"n": 1})
    assert answers(layer, 1, "said") == [{"began": 1}]
    layer.send("work", {"n": 2})
    process.send_signal(signal.SIGTERM)
    spawn("--threads", "1")
    assert answers(layer, 1, "said") == [{"did": 2}]
    layer.send("go?on", {})
    assert answers(layer, 1, "said") == [{"did": 1}]
    assert process.wait(30) == 0


def test_a_message_is_handled_again_as_often_as_it_is_told_and_delayed_messages_go_out(layer, spawn):
    spawn("--threads", "1", "--message-retries", "2")
    layer.send("later", {"n": 1})
    assert answers(layer, 3, "said") == [{"tried": 1, "doomed": doomed} for doomed in (False, False, True)]
    layer.send("asgi.delay", {"channel": "said", "delay": 10, "content": {"did": 2}})
    assert answers(layer, 1, "said") == [{"did": 2}]
    assert layer.global_statistics()["dropped:too_many_retries"] == 1


def test_a_second_signal_ends_it_at_once(layer, spawn):
    process = spawn("--threads", "1")
    layer.send("hold", {"n": 1})
    assert answers(layer, 1, "said") == [{"began": 1}]
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) in {128 + signal.SIGTERM, 128 + signal.SIGINT}


def test_what_a_killed_worker_had_not_finished_is_dropped_with_a_record_and_the_connection_goes_on(layer, spawn):
    process = spawn("--threads", "1")
    for channel, number in (("hold", 1), ("work", 2)):
        layer.send(channel, {"n": number, "reply_channel": "gw!one"}, lane="gw!one")
    assert answers(layer, 1, "said") == [{"began": 1}]
    process.kill()
    process.wait()
    second = spawn("--threads", "1")
    assert answers(layer, 1, "said") == [{"did": 2}]
    assert "hold (worker_died)" in second.stdout.readline()
    assert layer.global_statistics()["dropped:worker_died"] == 1


def test_a_server_that_does_not_answer_is_a_clear_message_and_an_exit_status(layer):
    said = refused(layer, WORKER_REDIS_URL="redis://127.0.0.1:1/0")
    assert "Redis at redis://127.0.0.1:1/0 does not answer" in said


def test_a_layer_in_memory_is_refused(layer):
    said = refused(layer, "--layer", "memory")
    assert "the channel layer 'memory' lives in memory" in said
    assert '"chancelery.layers.redis.RedisChannelLayer"' in said


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (["--layer", "none"], "CHANNEL_LAYERS has no alias 'none'; known are 'default', 'memory'"),
        (["--threads", "0"], "--threads is at least 1, not 0"),
        (["--coroutines", "0"], "--coroutines is at least 1, not 0"),
        (["--message-retries", "-1"], "--message-retries is at least 0, not -1"),
        (["--only-channels", "none"], "no channel is left to work on"),
    ],
)
def test_what_cannot_be_done_is_said(layer, args, complaint):
    assert complaint in refused(layer, *args)
