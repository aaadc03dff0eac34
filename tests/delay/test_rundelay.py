"""`rundelay` as a real process, on a real server and a database in a file."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command, load_command_class
from django.test import override_settings

from chancelery.layers.redis import RedisChannelLayer

_numbers = itertools.count()
COUNT = 120


@pytest.fixture
def layer(redis_url: str) -> Iterator[RedisChannelLayer]:
    layer = RedisChannelLayer(hosts=[redis_url], prefix=f"rundelay-{os.getpid()}-{next(_numbers)}:", capacity=10_000)
    yield layer
    layer.flush()
    layer.close()


@pytest.fixture
def environment(layer: RedisChannelLayer, tmp_path: Path) -> dict[str, str]:
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.delay.project.settings",
        "PYTHONPATH": str(Path.cwd()),
        "DELAY_REDIS_URL": layer.url,
        "DELAY_PREFIX": layer.prefix,
        "DELAY_DB": str(tmp_path / "db.sqlite3"),
    }


def manage(environment: dict[str, str], *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "django", *args]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def spawn(environment: dict[str, str]) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a delay server, on a database that is migrated, and returns its process when it is ready."""
    assert manage(environment, "migrate", "--verbosity", "0").returncode == 0
    with contextlib.ExitStack() as stack:

        def spawn(*args: str) -> subprocess.Popen[str]:
            command = [sys.executable, "-W", "error", "-m", "django", "rundelay", *args]
            process = stack.enter_context(
                subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            )
            stack.callback(process.kill)
            assert "Delay server ready" in process.stdout.readline()
            return process

        yield spawn


def received(layer: RedisChannelLayer, number: int) -> list[dict]:
    found, give_up_at = [], time.monotonic() + 60
    while len(found) < number:
        channel, content = layer.receive(["later"], block=True)
        if channel is not None:
            found.append(content)
        assert time.monotonic() < give_up_at, f"only {len(found)} came"
    return found


def delay(layer: RedisChannelLayer, number: int, milliseconds: int = 0) -> None:
    layer.send("asgi.delay", {"channel": "later", "delay": milliseconds, "content": {"n": number, "raw": b"\xff"}})


def stored(database: str) -> int:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        return connection.execute("SELECT count(*) FROM chancelery_delay_delayedmessage").fetchone()[0]


def test_two_servers_send_each_message_once_and_sigterm_drains_them(layer, spawn) -> None:
    servers = [spawn("--sleep", "0.05"), spawn("--sleep", "0.05")]
    for number in range(COUNT):
        delay(layer, number, milliseconds=number)
    layer.send("asgi.delay", {"nonsense": b"\xff"})
    assert sorted(each["n"] for each in received(layer, COUNT)) == list(range(COUNT))
    for server in servers:
        server.send_signal(signal.SIGTERM)
    outputs = [server.communicate(timeout=60)[0] for server in servers]
    assert [server.returncode for server in servers] == [0, 0]
    assert all("Stopped: everything that was begun is done." in output for output in outputs)
    assert layer.receive(["later"]) == (None, None)
    assert layer.global_statistics()["dropped:bad_delay"] == 1


def test_what_a_killed_server_has_stored_is_sent_by_the_next(layer, spawn, environment) -> None:
    first = spawn("--sleep", "0.05")
    delay(layer, 1, milliseconds=1500)
    give_up_at = time.monotonic() + 60
    while stored(environment["DELAY_DB"]) == 0:
        assert time.monotonic() < give_up_at
    first.kill()
    first.wait()
    spawn("--sleep", "0.05")
    assert received(layer, 1) == [{"n": 1, "raw": b"\xff"}]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"layer": "memory"}, "the channel layer 'memory' lives in memory"),
        ({"layer": "none"}, "CHANNEL_LAYERS has no alias 'none'; known are 'memory'"),
        ({"sleep": 0.0}, "--sleep is a number of seconds above 0, not 0"),
    ],
)
def test_what_cannot_be_done_is_said(settings, options, complaint) -> None:
    settings.CHANNEL_LAYERS = {"memory": {"BACKEND": "chancelery.layers.memory", "ROUTING": []}}
    with pytest.raises(CommandError, match=complaint):
        call_command("rundelay", **options)


def test_without_the_app_there_is_nothing_to_run() -> None:
    without = [name for name in django_settings.INSTALLED_APPS if name != "chancelery.delay"]
    with override_settings(INSTALLED_APPS=without), pytest.raises(CommandError, match="to INSTALLED_APPS and run"):
        call_command("rundelay")


def test_the_options_of_channels_1_have_its_defaults() -> None:
    parser = load_command_class("chancelery", "rundelay").create_parser("manage.py", "rundelay")
    given = vars(parser.parse_args([]))
    assert (given["layer"], given["sleep"]) == ("default", 1)
