"""Every canvas ends in one outcome, on the socket that asked."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from celery import chain, chord, group

from chancelery import Channel
from chancelery.tasks import escalate
from tests.tasks.conftest import Socket, ends_of
from tests.tasks.project import tasks
from tests.tasks.project.tasks import add, echoed, fails, number, total

pytestmark = pytest.mark.usefixtures("worker")

Quiet = Callable[..., None]

CANVASES: dict[str, tuple[Any, Any]] = {
    "single": (number.s(7), 7),
    "chain": (chain(number.s(1), add.s(2), add.s(3)), 6),
    "operators": (number.s(1) | add.s(2), 3),
    "group": (group(number.s(3), number.s(1), number.s(2)), [3, 1, 2]),
    "group of many": (group(number.s(value) for value in range(20)), list(range(20))),
    "group of one": (group(number.s(3)), [3]),
    "group in a group": (group(number.s(1), group(number.s(2), number.s(3))), [1, 2, 3]),
    "group of chains": (group(number.s(1) | add.s(1), number.s(5)), [2, 5]),
    "chord": (chord([number.s(value) for value in range(4)], total.s()), 6),
    "chord by operator": (group(number.s(1), number.s(2)) | total.s(), 3),
    "chord without header": (chord([], total.s()), 0),
    "chord of chains": (chord([number.s(1) | add.s(1), number.s(5)], total.s()), 7),
    "chord with a chain as body": (chord([number.s(1), number.s(2)], total.s() | add.s(10)), 13),
    "chord with a group as body": (chord([number.s(1), number.s(2)], group(total.s(), total.s())), [3, 3]),
    "chord in a chord": (chord([chord([number.s(1), number.s(2)], total.s()), number.s(4)], total.s()), 7),
    "group in a chain": (chain(number.s(1), group(add.s(1), add.s(2)), total.s(), add.s(10)), 15),
    "chain that ends in a group": (chain(number.s(1), group(add.s(1), add.s(2))), [2, 3]),
    "group of chains that end in groups": (group(number.s(1) | group(add.s(1), add.s(2)), number.s(9)), [[2, 3], 9]),
    "chord of chains that end in groups": (
        chord([number.s(1) | group(add.s(1), add.s(2)), number.s(9)], number.s()),
        [[2, 3], 9],
    ),
    "two chords in a row": (
        chain(group(number.s(1), number.s(2)), total.s(), group(add.s(1), add.s(2)), total.s()),
        9,
    ),
    "chunks": (add.chunks([(1, 1), (2, 2), (3, 3)], 2), [[2, 4], [6]]),
    "map": (number.map([1, 2]), [1, 2]),
    "immutable steps": (chain(number.si(1), number.si(2)), 2),
    "from a dict": (dict(number.s(4)), 4),
}


@pytest.mark.parametrize("name", CANVASES)
def test_a_canvas_ends_in_its_result(name: str, socket: Socket, quiet: Quiet) -> None:
    canvas, expected = CANVASES[name]
    job = escalate(socket.message(), canvas)
    events = socket.events()
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert {event["job"] for event in events} == {job.id}
    assert (events[-1]["kind"], events[-1]["data"]) == ("result", expected)
    quiet(job)
    assert socket.is_silent()
    assert job.events() == events
    assert job.result == expected


def test_a_single_task_is_accepted_started_and_done(socket: Socket) -> None:
    job = escalate(socket.message(), number.s(7))
    accepted, started, result = socket.events()
    assert accepted == {"job": job.id, "seq": 1, "kind": "accepted", "data": {"of": 1, "eta": None}}
    task = {"task": f"{job.id}-1", "name": number.name}
    assert started == {"job": job.id, "seq": 2, "kind": "started", "data": task}
    assert result == {"job": job.id, "seq": 3, "kind": "result", "data": 7}


def test_a_chain_tells_its_steps(socket: Socket) -> None:
    job = escalate(socket.message(), chain(number.s(1), add.s(2), add.s(3)))
    events = socket.events()
    assert [event["kind"] for event in events] == ["accepted", "started", "step", "step", "result"]
    assert [event["data"]["index"] for event in events[2:4]] == [1, 2]
    assert events[2]["data"] == {
        "task": f"{job.id}-1", "name": number.name, "state": "done", "parent": None, "index": 1,
        "weight": 0.333333, "of": 3, "done": 1, "overall": 0.3333,
    }  # fmt: skip


def test_a_chord_tells_how_many_of_its_parts_are_done(socket: Socket) -> None:
    escalate(socket.message(), chord([number.s(value) for value in range(4)], total.s()))
    steps = [event["data"] for event in socket.events() if event["kind"] == "step"]
    assert [step["done"] for step in steps] == list(range(1, len(steps) + 1))
    assert {step["of"] for step in steps} == {5}


def overall(event: dict[str, Any]) -> Any:
    return event["data"].get("overall")


def test_steps_have_their_place_in_the_tree(socket: Socket) -> None:
    job = escalate(socket.message(), chain(number.s(1), group(add.s(1), add.s(2)), total.s()))
    steps = [event["data"] for event in socket.events() if event["kind"] == "step"]
    places = {step["task"]: (step["parent"], step["index"], step["weight"]) for step in steps}
    known = {1: (None, 1, 0.25), 2: ("2", 1, 0.25), 3: ("2", 2, 0.25)}
    assert places.items() <= {f"{job.id}-{at}": place for at, place in known.items()}.items()
    assert {f"{job.id}-2", f"{job.id}-3"} & set(places)


def test_progress_is_rolled_up_over_the_canvas(socket: Socket) -> None:
    key = f"key.{uuid.uuid4().hex[:12]}"
    canvas = chord([tasks.advances.s(to=5, then=key), number.s(1).set(weight=2)], total.s())
    escalate(socket.message(), canvas)
    told = []
    for content in socket.contents():
        told.append(json.loads(content["text"]))
        kinds = {event["kind"] for event in told}
        if {"step", "progress"} <= kinds:
            break
    known = [overall(event) for event in told if event["kind"] in {"progress", "step"}]
    assert known in ([0.125, 0.625], [0.5, 0.625])
    Channel(key).send({"go": "on"})
    events = socket.events()
    assert events[-1]["kind"] == "result"
    assert [overall(event) for event in events[:-1]] in ([0.75], [])


def test_a_task_that_is_tried_again_does_not_set_the_whole_back(socket: Socket) -> None:
    escalate(socket.message(), chain(tasks.advances.s(to=8, then="fail"), tasks.advances.s(to=5)))
    events = socket.events()
    assert "retry" in [event["kind"] for event in events]
    known = [overall(event) for event in events if event["kind"] in {"progress", "step"}]
    assert known == sorted(known)
    assert known[:2] == [0.4, 0.4]
    assert events[-1]["data"] == 5


def test_what_does_not_say_how_much_there_is_counts_when_it_is_done(socket: Socket) -> None:
    escalate(socket.message(), tasks.advances.s(to=0))
    assert [overall(event) for event in socket.events() if event["kind"] == "progress"] == [0]


def test_a_canvas_can_be_escalated_again(socket: Socket) -> None:
    canvas = chord([number.s(1), number.s(2)], total.s())
    before = repr(canvas)
    jobs = {escalate(socket.message(), canvas).id for _ in range(2)}
    assert {socket.end()["data"], socket.end()["data"]} == {3}
    assert len(jobs) == 2
    assert repr(canvas) == before


def test_a_consumer_task_gets_the_message_anywhere_in_a_canvas(socket: Socket) -> None:
    escalate(socket.message(text="hi"), chain(number.s(1), group(echoed.s(2), echoed.s(3)), echoed.s("end")))
    told = socket.end()["data"]
    parts, last = told["args"]
    assert (told["text"], last) == ("hi", "end")
    assert [part["args"] for part in parts] == [[1, 2], [1, 3]]
    assert {part["text"] for part in parts} == {"hi"}


FAILING: dict[str, Any] = {
    "single": fails.s(),
    "chain at its head": chain(fails.s(), add.s(1), add.s(1)),
    "chain in the middle": chain(number.s(1), fails.s(), add.s(1)),
    "chain at its end": chain(number.s(1), add.s(1), fails.s()),
    "group": group(number.s(1), fails.s(), number.s(2)),
    "all of a group": group(fails.s(), fails.s(), fails.s()),
    "chord in its header": chord([number.s(1), fails.s(), number.s(2)], total.s()),
    "chord in all of its header": chord([fails.s(), fails.s()], total.s()),
    "chord in its body": chord([number.s(1), number.s(2)], fails.s()),
    "chord with a chain as body, in its header": chord([number.s(1), fails.s()], total.s() | add.s(1)),
    "chord with a group as body, in its header": chord([number.s(1), fails.s()], group(total.s(), total.s())),
    "chord in a chord": chord([chord([fails.s(), number.s(1)], total.s()), number.s(2)], total.s()),
    "group in a chain": chain(number.s(1), group(fails.s(), add.s(1)), total.s(), add.s(1)),
    "chunks": fails.chunks([(1,), (2,)], 1),
}
PENDING_FOR_EVER = {"chord with a chain as body, in its header": {3}, "chord in a chord": {5}}
"""Tasks that Celery itself leaves open; their jobs end all the same."""


@pytest.mark.parametrize("name", FAILING)
def test_a_canvas_that_fails_ends_in_one_error(name: str, socket: Socket, quiet: Quiet) -> None:
    job = escalate(socket.message(), FAILING[name])
    end = socket.end()
    assert (end["kind"], end["data"]["code"]) == ("error", "UnwellError")
    quiet(job, PENDING_FOR_EVER.get(name, ()))
    assert ends_of(job) == ["error"]
    assert socket.is_silent()
    assert job.result is None
