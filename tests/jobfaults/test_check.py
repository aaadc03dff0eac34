"""The check finds each broken promise in a history made for it, and nothing in histories that break none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.faults.history import Event
from tests.jobfaults.check import RULES, check
from tests.jobfaults.story import GUEST, GUESTS, USER, USERS, Story, told

ANOTHER = "c" * 32
SHORT: list[tuple[str, Any]] = [("accepted", {"of": 1}), ("started", {})]


def broken(events: list[Event]) -> set[str]:
    """Return the names of the rules that *events* break."""
    return {violation.rule for violation in check(events)}


def without(events: list[Event], job: str, seq: int) -> list[Event]:
    """Return *events* but those in which somebody hears the event *seq* of *job*."""
    kept = [event for event in events if (event.get("told") or {}) | {"job": job, "seq": seq} != event.get("told")]
    assert len(kept) < len(events)
    return kept


def ended(*events: tuple[str, Any], shape: str = "task", client: str = GUEST) -> Callable[[Story], None]:
    """A job says so, and its client hears all of it."""

    def happen(story: Story) -> None:
        story.make(ANOTHER, client, shape, [*SHORT, *events])
        story.hear(ANOTHER, client, range(1, 20))

    return happen


def after_a_fault(kind: str, happen: Callable[[Story], None]) -> Callable[[Story], None]:
    def both(story: Story) -> None:
        story.add("fault", kind=kind)
        happen(story)

    return both


def error(code: str) -> tuple[str, Any]:
    return ("error", {"code": code, "reference": "12345678", "message": "the task failed"})


def test_a_run_in_which_all_went_well() -> None:
    assert check(told()) == []


# What Redis keeps


def test_a_job_that_never_ends() -> None:
    assert "nothing open" in broken(told(lambda story: story.make(ANOTHER, GUEST, "task", SHORT)))


def test_a_job_of_which_nobody_heard_has_to_end_as_well() -> None:
    assert broken(told(lambda story: story.make(ANOTHER, GUEST, "task", [*SHORT, ("result", 5)]))) == set()


@pytest.mark.parametrize("events", [[("result", 5), ("result", 5)], [("result", 5), ("step", {})]])
def test_two_ends_or_something_after_the_end(events: list[tuple[str, Any]]) -> None:
    def happen(story: Story) -> None:
        ended(*events)(story)
        story.jobs[ANOTHER]["state"] = "result"

    assert "one end" in broken(told(happen))


def test_an_event_that_was_never_kept() -> None:
    def happen(story: Story) -> None:
        del story.jobs[USERS]["events"][2]

    assert broken(told(happen)) == {"one end"}


# What clients hear


@pytest.mark.parametrize(("job", "seq"), [(USERS, 5), (USERS, 1), (GUESTS, 8)])
def test_an_event_that_its_client_never_hears(job: str, seq: int) -> None:
    assert "all heard" in broken(without(told(), job, seq))


def test_a_user_hears_of_every_job_that_is_theirs_and_a_guest_of_those_that_it_knows() -> None:
    def happen(client: str) -> Callable[[Story], None]:
        return lambda story: story.make(ANOTHER, client, "task", [*SHORT, ("result", 5)])

    assert broken(told(happen(USER))) == {"all heard"}
    assert broken(told(happen(GUEST))) == set()


def test_a_job_that_was_told_of_and_is_not_recorded() -> None:
    def happen(story: Story) -> None:
        story.say(GUEST, {"job": ANOTHER, "seq": 1, "kind": "accepted", "data": {}})

    assert broken(told(happen)) == {"all heard"}


def test_a_snapshot_stands_for_what_is_not_kept() -> None:
    def happen(story: Story) -> None:
        story.make(ANOTHER, USER, "task", [*SHORT, ("result", 5)])
        story.say(USER, {"job": ANOTHER, "seq": 2, "kind": "snapshot", "data": {}})
        story.hear(ANOTHER, USER, range(3, 4))

    assert broken(told(happen)) == set()


def test_the_same_seq_for_something_else() -> None:
    def happen(story: Story) -> None:
        story.ask(USER, 2, job=USERS, do="resume", after=4)
        story.say(USER, {"job": USERS, "seq": 5, "kind": "error", "data": {}}, 2)

    assert broken(told(happen)) == {"all heard", "repeats"}


def test_a_repetition_that_was_asked_for() -> None:
    def happen(story: Story) -> None:
        story.ask(USER, 2, job=USERS, do="resume", after=2)
        story.hear(USERS, USER, range(3, 6), visit=2)

    assert broken(told(happen)) == set()


def test_events_out_of_order_and_a_gap() -> None:
    assert broken(told(lambda story: story.hear(USERS, USER, range(2, 3), visit=2))) == {"order"}

    def skip(story: Story) -> None:
        story.ask(USER, 3, job=USERS, do="resume", after=0)
        for seq in (1, 3):
            story.hear(USERS, USER, range(seq, seq + 1), visit=3)

    assert broken(told(skip)) == {"order"}


# Cancelling


def cancelled(*, begins: bool, asked: bool = True) -> Callable[[Story], None]:
    def happen(story: Story) -> None:
        story.make(ANOTHER, USER, "long", [*SHORT, ("cancelled", {"reason": "cancelled"})])
        story.hear(ANOTHER, USER, range(1, 4))
        if asked:
            story.cancel(ANOTHER, USER)
        if begins:
            story.begin(ANOTHER)

    return happen


def test_a_task_that_begins_when_its_job_was_cancelled() -> None:
    assert broken(told(cancelled(begins=False))) == set()
    assert broken(told(cancelled(begins=True))) == {"nothing runs"}


def test_a_job_that_was_said_to_be_cancelled_and_is_not() -> None:
    assert broken(told(lambda story: story.cancel(USERS, USER))) == {"nothing runs"}
    assert broken(told(lambda story: story.cancel(USERS, USER, done=False))) == set()


def test_a_job_that_nobody_cancelled() -> None:
    assert broken(told(cancelled(begins=False, asked=False))) == {"outcomes"}


# What came of it


def test_a_result_that_the_canvas_does_not_make() -> None:
    assert broken(told(ended(("result", 6)))) == {"outcomes"}
    assert broken(told(ended(("result", 5), shape="fails"))) == {"outcomes"}


def test_an_error_that_nothing_explains() -> None:
    assert broken(told(ended(error("UnwellError")))) == {"outcomes"}
    assert broken(told(ended(error("UnwellError"), shape="fails"))) == set()
    assert broken(told(ended(error("WorkerLostError")))) == {"outcomes"}
    assert broken(told(after_a_fault("child_kill", ended(error("WorkerLostError"))))) == set()
    assert broken(told(after_a_fault("child_kill", ended(error("publish_failed"))))) == {"outcomes"}
    assert broken(told(after_a_fault("store_kill", ended(error("publish_failed"))))) == set()


@pytest.mark.parametrize("chunks", [[0, 1, 2, 3], [0, 1, 1, 2, 3, 4], [1, 0, 2, 3, 4]])
def test_chunks_that_are_missing_repeated_or_out_of_order(chunks: list[int]) -> None:
    said = [("chunk", {"chunk": chunk}) for chunk in chunks]
    assert broken(told(ended(*said, ("result", 5), shape="stream"))) == {"chunks"}


def test_what_is_done_once_and_was_done_twice() -> None:
    assert broken(told(lambda story: story.add("paid", job=USERS))) == set()
    assert broken(told(lambda story: [story.add("paid", job=USERS) for _ in range(2)])) == {"once"}


# The end


@pytest.mark.parametrize("event", ["unrest", "unheard", "hung"])
def test_what_does_not_come_to_rest(event: str) -> None:
    assert broken(told(lambda story: story.add(event, why="as told"))) == {"rest"}


def test_a_process_that_ends_by_itself_unless_it_found_no_redis_when_it_started() -> None:
    assert broken(told(lambda story: story.add("died", name="celery1", target=1, status=1))) == {"rest"}

    def early(story: Story) -> None:
        story.add("store_killing", keeps="all")
        story.add("started", name="worker1", target=2)
        story.add("store_up")
        story.add("died", name="worker1", target=2, status=1)

    assert broken(told(early)) == set()


def test_every_rule_was_broken_by_one_of_these() -> None:
    text = Path(__file__).read_text()
    assert [name for name in RULES if f'"{name}"' not in text] == []
