"""The messages of a flat canvas are those that Celery would make, and whoever hooks into publishing is asked."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from unittest import mock

import pytest
from celery import Celery, chain, chord, group, signals

from chancelery.exceptions import EscalationFailed
from chancelery.message import Message
from chancelery.tasks import escalate
from chancelery.tasks.engine.composing import composer
from tests.tasks.conftest import Socket
from tests.tasks.project.tasks import add, number, total

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
ARGUMENTS: list[tuple[Any, ...]] = [
    (), (7,), (1.5, None, True), ("it's", "a b"), (float("inf"), -1e300), ({"a"},)[:0],
    ("text", 'with "quotes"', "ü€", "\\", "\n\0"), ("x" * 5000,),
    (list(range(2000)),), ([1, [2, [3, [4, [5]]]]], {"a": {"b": (1, 2)}}), (b"bytes",), (10**30,),
    ("\ud800",), ("\u2028</script>", True, -(2**63) - 1), ("",),
    (Decimal("1.20"), uuid.UUID(int=7), date(2020, 1, 2)),
]  # fmt: skip
OPTIONS: list[dict[str, Any]] = [
    {}, {"priority": 3}, {"serializer": "pickle"}, {"compression": "zlib"}, {"expires": LONG_AGO}, {"shadow": "other"},
    {"headers": {"mine": 1}}, {"time_limit": 5}, {"argsrepr": "hidden"}, {"delivery_mode": 1}, {"reply_to": "me"},
    {"stamped_headers": ["mine"], "mine": 1}, {"link": number.s(1)}, {"retry": False}, {"weight": 2}, {"group_id": "g"},
]  # fmt: skip


class Desk:
    """A queue that no worker reads, and what is put on it."""

    def __init__(self, app: Celery, message: Message) -> None:
        self.name = f"desk-{uuid.uuid4().hex}"
        self.app = app
        self._message = message

    def put(self, task: Any, **options: Any) -> dict[str, Any]:
        """Escalate a task, and return the message for Celery, but for ids."""
        [message] = self.put_all(task.set(queue=self.name), **options)
        return message

    def put_by_celery(self, task: Any, **options: Any) -> dict[str, Any]:
        """Do so while somebody hears of what is published."""
        with heard():
            return self.put(task, **options)

    def put_all(self, canvas: Any, **options: Any) -> list[dict[str, Any]]:
        """Escalate a canvas, and return the messages for Celery, but for ids."""
        job = escalate(self._message, canvas, **options)
        client = self.app.backend.client
        [key] = [key for key in client.keys(f"*{self.name}*") if client.type(key) == b"list" and b".bell" not in key]
        found = []
        while text := client.rpop(key):
            message = json.loads(text)
            body = base64.b64decode(message["body"]).replace(job.id.encode(), b"JOB")
            text = json.dumps(message).replace(job.id, "JOB").replace(message["properties"]["delivery_tag"], "TAG")
            found.append({**json.loads(text), "body": body, "key": key})
        return found

    def put_all_by_celery(self, canvas: Any) -> list[dict[str, Any]]:
        """Do so while somebody hears of what is published."""
        with heard():
            return self.put_all(canvas)

    def templates(self) -> list[bool]:
        """Of what was put here: whether there is a template of it."""
        known = composer(self.app).templates
        return [known[which].message is not None for which in known if which[1] == self.name]


@contextlib.contextmanager
def heard() -> Iterator[None]:
    """Within it, somebody hears of what is published, so that Celery makes every message."""

    def hear(**_: object) -> None: ...

    signals.after_task_publish.connect(hear)
    try:
        yield
    finally:
        signals.after_task_publish.disconnect(hear)


@pytest.fixture
def desk(celery_app: Any, socket: Socket) -> Iterator[Desk]:
    found = Desk(celery_app, socket.message())
    yield found
    client = celery_app.backend.client
    client.delete(found.name, *client.keys(f"*{found.name}*"))


@pytest.mark.parametrize("args", ARGUMENTS, ids=range(len(ARGUMENTS)))
def test_any_arguments_are_in_it_as_celery_has_them(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, args: tuple[Any, ...]
) -> None:
    def canvas() -> Any:
        return number.signature(args, {"named": args} if args else {}, immutable=True)

    monkeypatch.setattr(number._get_current_object(), "typing", False)
    desk.put(number.s(1))
    assert desk.put(canvas()) == desk.put_by_celery(canvas())
    assert desk.templates() == [True]


@pytest.mark.parametrize("options", OPTIONS, ids=repr)
def test_any_options_are_in_it_as_celery_has_them(desk: Desk, options: dict[str, Any]) -> None:
    desk.put(number.s(1))
    made = [desk.put(number.s(2).set(**options)) for _ in range(2)]
    assert made == [desk.put_by_celery(number.s(2).set(**options))] * 2


GROUP_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")
Shape = Callable[[Callable[[Any], Any]], Any]
SHAPES: dict[str, Shape] = {
    "chain": lambda t: chain(t(number.s(1)), t(add.s(2)), t(add.si(3, b=4))),
    "chain of one": lambda t: chain(t(number.s(1))),
    "group": lambda t: group([t(number.s(1)), t(add.s(1, 2)), t(number.s("two"))]),
    "group of one": lambda t: group(t(number.s(1))),
    "generated group": lambda t: group(t(number.s(value)) for value in range(3)),
    "chord": lambda t: chord([t(number.s(value)) for value in range(3)], t(total.s())),
    "chord of many tasks": lambda t: chord((t(number.s(1)), t(add.s(1, 2))), t(number.si([1]))),
    "chord of a group": lambda t: chord(group(t(number.s(1)), t(number.s(2))), t(total.s())),
    "group and a task": lambda t: group(t(number.s(1)), t(number.s(2))) | t(total.s()),
    "chord of one": lambda t: chord([t(number.s(1))], t(total.s())),
    "chord of none": lambda t: chord([], t(total.s())),
    "one with callbacks": lambda t: group(t(number.s(1)), t(number.s(2).on_error(total.s()))),
    "one with an option": lambda t: group(t(number.s(1)), t(number.s(2).set(time_limit=3))),
    "a body with an option": lambda t: chord([t(number.s(1)), t(number.s(2))], t(total.s().set(priority=3))),
    "a step with an option": lambda t: chain(t(number.s(1)), t(add.s(2).set(priority=3))),
    "chord in a chain": lambda t: chain(t(number.s(1)), chord([t(add.s(1)), t(add.s(2))], t(total.s())), t(add.s(1))),
}  # fmt: skip
FILLED = {"chain": 1, "group": 2, "group of one": 1, "generated group": 1, "chord": 1, "chord of many tasks": 2,
          "chord of a group": 1, "group and a task": 1, "chord of none": 0}  # fmt: skip
"""Those of which there are templates, and how many; a chord of none is its body."""


@pytest.mark.parametrize("name", SHAPES)
def test_any_canvas_is_in_it_as_celery_has_it(desk: Desk, name: str) -> None:
    shape = SHAPES[name]
    made = [desk.put_all(shape(lambda sig: sig.set(queue=desk.name))) for _ in range(3)]
    walked = desk.put_all_by_celery(shape(lambda sig: sig.set(queue=desk.name, weight=1)))  # by Celery, all the way
    assert [meant(messages) for messages in made] == [meant(walked)] * 3
    assert desk.templates() == [True] * FILLED.get(name, 0)


def meant(messages: list[dict[str, Any]]) -> Any:
    """What they say to Celery, whatever the ids of groups are."""
    said = json.dumps([{**message, "key": "", "body": json.loads(message["body"])} for message in messages])
    for place, found in enumerate(dict.fromkeys(GROUP_ID.findall(said))):
        said = said.replace(found, f"group-{place}")
    return json.loads(said)


def test_the_size_of_a_chord_is_known(desk: Desk) -> None:
    client = desk.app.backend.client
    known = client.keys("*-taskset-meta-*.s")
    for _ in range(3):
        desk.put_all(chord([number.s(value).set(queue=desk.name) for value in range(4)], total.s()))
        [key] = [key for key in client.keys("*-taskset-meta-*.s") if key not in known]
        known.append(key)
        assert client.get(key) == b"4"
        assert client.ttl(key) > 0
    assert desk.templates() == [True]


def test_when_it_is_to_begin_is_in_it(desk: Desk) -> None:
    made = [desk.put(number.s(2), eta=LONG_AGO) for _ in range(2)]
    assert made == [desk.put_by_celery(number.s(2), eta=LONG_AGO)] * 2


@pytest.mark.parametrize(
    ("attribute", "value"),
    [("priority", 5), ("serializer", "pickle"), ("compression", "zlib"), ("time_limit", 7), ("delivery_mode", 1)],
)
def test_an_attribute_of_the_task_that_changes_is_noticed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, attribute: str, value: Any
) -> None:
    before = [desk.put(number.s(2)) for _ in range(2)]
    task = number._get_current_object()
    monkeypatch.setattr(task, "_exec_options", None)
    monkeypatch.setattr(task, attribute, value, raising=False)
    made = [desk.put(number.s(2)) for _ in range(2)]
    assert made == [desk.put_by_celery(number.s(2))] * 2
    assert made[0] != before[0]


def test_the_setting_for_texts_of_arguments_is_noticed_when_it_changes(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for levels in (3, 1):
        monkeypatch.setitem(desk.app.conf.changes, "task_repr_maxlevels", levels)
        made = [desk.put(number.s([[[[1]]]])) for _ in range(2)]
        assert made == [desk.put_by_celery(number.s([[[[1]]]]))] * 2


def wrapped(original: Callable[..., Any], calls: list[Any]) -> Callable[..., Any]:
    def around(*args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        return original(*args, **kwargs)

    return around


def test_whoever_wraps_a_step_of_publishing_is_called(desk: Desk) -> None:
    app, task = desk.app, number._get_current_object()
    steps: list[tuple[Any, str]] = [
        (type(app), "send_task"), (app, "send_task"), (task, "apply_async"), (type(task), "apply_async"),
        (task, "shadow_name"), (app.amqp, "send_task_message"), (app.amqp, "create_task_message"),
        (app.amqp.Producer, "publish"), (app.amqp.router, "route"),
    ]  # fmt: skip
    desk.put(number.s(1))
    for owner, name in steps:
        calls: list[Any] = []
        with mock.patch.object(owner, name, wrapped(getattr(owner, name), calls)):
            desk.put(number.s(1))
        assert calls, name
    assert desk.templates() == [True]


def test_a_router_is_asked_for_every_message(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def router(_name: str, args: Any, *_: Any, **__: Any) -> None:
        asked.append(args)

    desk.put(number.s(1))
    monkeypatch.setattr(desk.app.amqp.router, "routes", [router])
    desk.put(number.s(2))
    desk.put(number.s(3))
    assert asked == [(2,), (3,)]


def test_whoever_hears_of_messages_before_they_are_published_changes_them(desk: Desk) -> None:
    def heard(headers: Any = None, **_: object) -> None:
        headers["mine"] = 1

    desk.put(number.s(1))
    signals.before_task_publish.connect(heard)
    try:
        assert desk.put(number.s(1))["headers"]["mine"] == 1
    finally:
        signals.before_task_publish.disconnect(heard)
    assert "mine" not in desk.put(number.s(1))["headers"]


def test_arguments_that_the_task_does_not_take_are_refused(desk: Desk) -> None:
    desk.put(number.s(1))
    desk.put(number.s(1))
    with pytest.raises(EscalationFailed, match="TypeError"):
        desk.put(number.s(1, 2, 3, 4))
