"""What consumers, routings and jobs offer is in the reference, with the defaults that it says."""

from __future__ import annotations

import inspect
import re
from dataclasses import MISSING, fields

import pytest
from django.dispatch import Signal

import chancelery
from chancelery import routing, signals, tasks, trail
from chancelery.gateway.protocols import websocket
from chancelery.generic.websockets import WebsocketConsumer
from chancelery.message import Message
from chancelery.tasks import Job, Retry, consumer_task, escalate, events
from chancelery.tasks.running import RunningJob
from tests.docs.blocks import DOCS

pytestmark = pytest.mark.xdist_group("docs")


def section(page: str, heading: str) -> str:
    return (DOCS / "reference" / page).read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def rows(text: str) -> dict[str, str]:
    """Return the first two columns of the tables in a text, without their backticks."""
    return dict(re.findall(r"^\| `([^`]+)` \|\s*`?([^|]*?)`?\s*\|", text, re.MULTILINE))


def defaults(function: object) -> dict[str, str]:
    """Return the keyword-only options of a function with their defaults, as a page writes them."""
    found = inspect.signature(function).parameters.values()
    shown = {each.name: repr(each.default).replace("'", '"') for each in found if each.kind is each.KEYWORD_ONLY}
    return {name: default for name, default in shown.items() if default != repr(inspect.Parameter.empty)}


def public(kind: type) -> set[str]:
    return {name for name in vars(kind) if not name.startswith(("_", "raw_"))}


def test_every_option_of_a_retry() -> None:
    written = {field.name: "" if field.default is MISSING else repr(field.default) for field in fields(Retry)}
    assert rows(section("jobs.md", "`Retry`")) == written


def test_every_option_of_consumer_task() -> None:
    assert rows(section("jobs.md", "`consumer_task`").partition("| any other")[0]) == defaults(consumer_task)


def test_every_option_of_an_escalation() -> None:
    assert rows(section("jobs.md", "`escalate(message, canvas)`")) == defaults(escalate)


def test_every_name_of_the_bridge() -> None:
    text = (DOCS / "reference" / "jobs.md").read_text()
    for_typing = {"ConsumerTask", "TaskMessage"}
    assert {name for name in tasks.__all__ if not re.search(rf"\b{name}\b", text)} <= for_typing


@pytest.mark.parametrize(("kind", "heading"), [(Job, "`Job`"), (RunningJob, "`message.job`")])
def test_everything_that_a_job_can_do(kind: type, heading: str) -> None:
    told = {re.split(r"\W", name.removeprefix("Job."))[0] for name in rows(section("jobs.md", heading))}
    assert told - {"id", "attempt"} == public(kind)


def test_every_kind_of_event_that_ends_a_job_and_every_fault() -> None:
    text = section("jobs.md", "Events")
    assert events.ENDS | events.FAULTS.keys() <= rows(text).keys()
    assert f"`message` is `{events.FAILED_TEXT}`" in text


def test_every_signal() -> None:
    sent = {name for name, found in vars(signals).items() if isinstance(found, Signal)}
    assert rows(section("signals-and-trail.md", "Signals")).keys() == sent


def test_every_part_of_a_hop() -> None:
    text = section("signals-and-trail.md", "Trail")
    assert set(trail.Hop._fields) <= rows(text).keys()
    assert f"A trail has at most {trail.MAX_HOPS} hops." in text


def test_every_logger() -> None:
    told = rows(section("signals-and-trail.md", "Loggers")).keys()
    sources = "\n".join(path.read_text() for path in DOCS.parent.glob("chancelery/**/*.py"))
    rooms = {f"chancelery.{name}" for name in re.findall(r'\broom\("([\w.]+)"\)', sources)}
    assert {name for name in rooms if not name.startswith(tuple(told))} == set()
    assert {name for name in told if name not in rooms} == set()


def test_everything_that_a_message_has() -> None:
    text = section("consumers.md", "The message")
    attributes = {"content", "channel", "reply_channel", "channel_layer", "trail", "attempt"}
    methods = public(Message) - {"accept_deferred"}
    assert {name for name in attributes | methods if not re.search(rf"\b{name}\b", text)} == set()


def test_everything_that_a_consumer_for_sockets_has() -> None:
    text = section("consumers.md", "Classes")
    without_effect = {"strict_ordering", "slight_ordering"}
    names = public(WebsocketConsumer) - without_effect
    assert {name for name in names if f"`{name}" not in text} == set()


def test_every_key_of_an_answer_to_a_socket() -> None:
    text = section("consumers.md", "Messages of a socket")
    assert {key for key in websocket._KEYS if f"`{key}`" not in text} == set()


def test_everything_that_a_routing_is_made_of() -> None:
    text = (DOCS / "reference" / "routing.md").read_text()
    made = {name for name in chancelery.__all__ if hasattr(routing, name)}
    assert {name for name in made if f"`{name}(" not in text} == set()
