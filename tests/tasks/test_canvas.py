"""What a canvas becomes before it is published."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from celery import chain, chord, group

from chancelery.tasks.canvas import Finals, Prepared, final_ids, final_task, job_of, prepare
from tests.tasks.project.tasks import add, fails, number, total

pytestmark = pytest.mark.usefixtures("celery_app")

JOB = "0123456789abcdef0123456789abcdef"


def numbered(finals: Finals) -> Any:
    return int(finals.rpartition("-")[2]) if isinstance(finals, str) else [numbered(part) for part in finals]


def plain(sig: Any) -> list[Any]:
    """Every task signature of a canvas, callbacks as well."""
    if sig.subtask_type == "chord":
        header = getattr(sig.tasks, "tasks", sig.tasks)
        return [found for part in [*header, sig.body] for found in plain(part)]
    if sig.subtask_type in {"chain", "group"}:
        return [found for part in sig.tasks for found in plain(part)]
    return [sig]


def heads(prepared: Prepared) -> list[int]:
    return [numbered(sig.id) for sig in plain(prepared.canvas) if "eta" in sig.options]


SHAPES: dict[str, tuple[Any, int, Any, list[int]]] = {
    "single": (number.s(1), 1, 1, [1]),
    "chain": (chain(number.s(1), add.s(1), add.s(1)), 3, 3, [1]),
    "group": (group(number.s(1), number.s(2)), 2, [1, 2], [1, 2]),
    "group of one": (group(number.s(1)), 1, [1], [1]),
    "group in a group": (group(number.s(1), group(add.s(1), total.s()), number.s(2)), 4, [1, 2, 3, 4], [1, 2, 3, 4]),
    "chord": (chord([number.s(1), number.s(2)], total.s()), 3, 3, [1, 2]),
    "chord with an empty header": (chord([], total.s()), 1, 1, [1]),
    "chord of chains": (chord([number.s(1) | add.s(1), number.s(2)], total.s()), 4, 4, [1, 3]),
    "chord with a group as body": (chord([number.s(1)], group(total.s(), total.s())), 3, [2, 3], [1]),
    "group at the head of a chain": (chain(group(number.s(1), number.s(2)), total.s(), add.s(1)), 4, 4, [1, 2]),
    "group at the end of a chain": (chain(number.s(1), group(add.s(1), add.s(2))), 3, [2, 3], [1]),
    "empty group in a chain": (chain(number.s(1), group(), add.s(1)), 2, 2, [1]),
    "nested results": (group(number.s(1) | group(add.s(1), add.s(2)), number.s(9)), 4, [[2, 3], 4], [1, 4]),
    "chunks": (add.chunks([(1, 1), (2, 2), (3, 3)], 2), 2, [1, 2], [1, 2]),
    "generator": (group(number.s(value) for value in range(3)), 3, [1, 2, 3], [1, 2, 3]),
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_tasks_are_numbered_and_the_last_and_first_ones_known(name: str) -> None:
    canvas, of, finals, first = SHAPES[name]
    prepared = prepare(canvas, JOB, eta=datetime(2030, 1, 1, tzinfo=UTC))
    assert [member.id for member in prepared.members] == [f"{JOB}-{at}" for at in range(1, of + 1)]
    assert numbered(prepared.finals) == finals
    assert set(final_ids(prepared.finals)) <= {member.id for member in prepared.members}
    assert heads(prepared) == first


@pytest.mark.parametrize("name", SHAPES)
def test_every_task_carries_its_job_and_stores_its_result(name: str) -> None:
    for sig in plain(prepare(SHAPES[name][0], JOB).canvas):
        assert sig.options["root_id"] == JOB
        assert sig.options["job"] == JOB
        assert "job" in sig.options["stamped_headers"]
        assert sig.options["ignore_result"] is False


PLACES: dict[str, tuple[Any, list[str]]] = {
    "single": (number.s(1), ["1"]),
    "chain": (chain(number.s(1), add.s(1)), ["1", "2"]),
    "group": (group(number.s(1), number.s(2)), ["1", "2"]),
    "chord": (chord([number.s(1), number.s(2)], total.s()), ["1", "2", "3"]),
    "chord of chains": (chord([number.s(1) | add.s(1), number.s(2)], total.s()), ["1.1", "1.2", "2", "3"]),
    "chord in a chain": (chain(number.s(1), group(add.s(1), add.s(2)), total.s()), ["1", "2.1", "2.2", "2.3"]),
    "deep": (
        chain(number.s(1), group(chain(add.s(1), group(add.s(1), add.s(2))), add.s(1))),
        ["1", "2.1.1", "2.1.2.1", "2.1.2.2", "2.2"],
    ),
}


@pytest.mark.parametrize("name", PLACES)
def test_every_task_has_its_place_in_the_tree(name: str) -> None:
    canvas, places = PLACES[name]
    members = prepare(canvas, JOB).members
    assert [f"{member.parent}.{member.position}".removeprefix(".") for member in members] == places
    assert [member.share for member in members] == [1 / len(places)] * len(places)


def test_tasks_weigh_what_their_signatures_say() -> None:
    prepared = prepare(chain(number.s(1), add.s(1).set(weight=2.5), add.s(2).set(weight=0.5)), JOB)
    assert [member.share for member in prepared.members] == [0.25, 0.625, 0.125]
    assert not any("weight" in sig.options for sig in plain(prepared.canvas))


@pytest.mark.parametrize("weight", [0, -1, "2", True, float("inf"), float("nan"), None])
def test_what_is_no_weight_is_refused(weight: Any) -> None:
    with pytest.raises(ValueError, match=r"the weight of .* is a number above 0"):
        prepare(number.s(1).set(weight=weight), JOB)


def test_a_group_has_no_weight_of_its_own() -> None:
    with pytest.raises(ValueError, match="a group has the weight of its tasks"):
        prepare(group(number.s(1), number.s(2)).set(weight=2), JOB)


def test_callbacks_carry_the_job_too() -> None:
    canvas = number.s(1)
    canvas.link(add.s(1))
    canvas.link_error(fails.s())
    options = prepare(canvas, JOB).canvas.options
    assert [linked["options"]["job"] for linked in (*options["link"], *options["link_error"])] == [JOB, JOB]
    assert "options" not in canvas.options or "job" not in canvas.options["link"][0].options


def test_the_last_task_is_known_by_name() -> None:
    assert final_task(prepare(chain(number.s(1), add.s(1)), JOB)) == add.name
    assert final_task(prepare(group(number.s(1)), JOB)) is None


def test_options_of_the_canvas_stay() -> None:
    canvas = chain(number.s(1).set(priority=3), add.s(1)).set(queue="slow")
    prepared = prepare(canvas, JOB).canvas
    assert prepared.options["queue"] == "slow"
    assert prepared.tasks[0].options["priority"] == 3


@pytest.mark.parametrize(
    ("task_id", "job"),
    [
        (f"{JOB}-1", JOB),
        (f"{JOB}-12", JOB),
        (JOB, None),
        (str(uuid.UUID(JOB)), None),
        (f"{JOB}-", None),
        (f"{JOB}-1\n", None),
        (f"{JOB}-\u0661", None),
        (None, None),
    ],
)
def test_a_task_id_tells_its_job(task_id: Any, job: str | None) -> None:
    assert job_of(task_id) == job


@pytest.mark.parametrize(
    "sig",
    [
        number.s(1),
        number.si(1).set(queue="other", priority=3, headers={"mine": [1]}, reply_to="me", root_id="other"),
        number.s([1, {"a": [2]}]).set(expires=5, countdown=2, retry_policy={"max_retries": 1}),
        number.signature(kwargs={"value": {"a": [1]}}, immutable=True),
    ],
)
@pytest.mark.parametrize("times", [{}, {"eta": datetime(2030, 1, 1, tzinfo=UTC)}])
def test_a_task_alone_is_what_celery_makes_of_one_with_callbacks_but_for_these(sig: Any, times: dict[str, Any]) -> None:
    alone, general = prepare(sig, JOB, **times), prepare(sig.clone().set(link=[]), JOB, **times)
    assert general.canvas.options.pop("link") == []
    assert alone._replace(is_flat=False) == general
    assert (alone.canvas.type, alone.canvas.app) == (general.canvas.type, general.canvas.app)


def test_a_task_alone_shares_nothing_with_its_copy() -> None:
    sig = number.s([1]).set(headers={"mine": [1]})
    prepared = prepare(sig, JOB)
    prepared.canvas.args[0].append(2)
    prepared.canvas.options["headers"]["mine"].append(2)
    assert (sig.args, sig.options) == (([1],), {"headers": {"mine": [1]}})
