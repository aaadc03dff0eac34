"""The check finds each broken promise in a history made for it, and nothing in histories that break none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.faults.check import RULES, check
from tests.faults.history import Event
from tests.faults.story import GATEWAY, SOCKET, WORKER, Story, told

ANOTHER = 9
FRAME = f"receive:{SOCKET}:1"
STEP = f"plain.step:receive:{SOCKET}:2"
SURE = f"sure.step:receive:{SOCKET}:3"
LATE = f"receive:{SOCKET}:6"


def broken(events: list[Event]) -> set[str]:
    """Return the names of the rules that *events* break."""
    events = sorted(events, key=lambda event: event["t"])
    return {violation.rule for violation in check(events)}


def without(events: list[Event], **fields: Any) -> list[Event]:
    """Return *events* but those that have all of *fields*; there are some."""
    kept = [event for event in events if not event.items() >= fields.items()]
    assert len(kept) < len(events)
    return kept


def changed(events: list[Event], kind: str, **fields: Any) -> list[Event]:
    """Return *events*, and with *fields* those of the *kind*."""
    assert any(event["e"] == kind for event in events)
    return [{**event, **fields} if event["e"] == kind else event for event in events]


def counting(events: list[Event], **dropped: int) -> list[Event]:
    return changed(events, "counted", counters={f"dropped:{reason}": number for reason, number in dropped.items()})


def unhandled(story: Story, *, begun: bool = True) -> None:
    """A frame is taken and handed to the worker, which never begins with it."""
    story.post("websocket.receive", LATE)
    story.hand("websocket.receive", LATE, begin=1 if begun else 0)


def killed(story: Story) -> None:
    story.add("killing", name="worker1", target=WORKER)


def test_a_run_in_which_all_went_well() -> None:
    assert check(told()) == []


# Order


def test_a_frame_before_the_one_before_it() -> None:
    def overtaking(story: Story) -> None:
        for number in (7, 6):
            story.post("websocket.receive", f"receive:{SOCKET}:{number}")
            story.hand("websocket.receive", f"receive:{SOCKET}:{number}", pid=ANOTHER)
            story.handle("websocket.receive", f"receive:{SOCKET}:{number}", pid=ANOTHER)

    assert broken(told(overtaking)) == {"order"}


def test_a_frame_after_its_connection_s_disconnect() -> None:
    events = told()
    story = Story()
    story.now = events[-1]["t"]
    story.post("websocket.receive", LATE)
    story.hand("websocket.receive", LATE)
    story.handle("websocket.receive", LATE)
    assert broken([*events, *story.events]) == {"order"}
    reaped = {"t": events[-1]["t"], "e": "process_reaped", "pid": WORKER, "process": "gw.1!", "wills": 1}
    assert broken([*events, reaped, *story.events]) == {"order"}


def test_a_frame_from_a_gateway_that_was_taken_for_dead_is_dropped() -> None:
    events = told()
    story = Story()
    story.now = events[-1]["t"]
    story.post("websocket.receive", LATE)
    reaped = {"t": events[-1]["t"], "e": "process_reaped", "pid": WORKER, "process": "gw.1!", "wills": 1}
    assert broken([*events, *story.events]) == {"no loss", "balance"}
    assert broken([*events, reaped, *story.events]) == set()


def sleeper(story: Story) -> None:
    """A worker is given a frame, sleeps, and begins with it after another worker was given the next one."""
    story.add("started", name="worker2", target=ANOTHER)
    story.post("websocket.receive", LATE)
    story.hand("websocket.receive", LATE, pid=ANOTHER)
    slept_at = story.now
    story.post("websocket.receive", f"receive:{SOCKET}:7")
    story.hand("websocket.receive", f"receive:{SOCKET}:7")
    story.handle("websocket.receive", f"receive:{SOCKET}:7")
    story.add("stall", ANOTHER, since=slept_at)
    story.handle("websocket.receive", LATE, pid=ANOTHER)


def test_a_worker_that_slept_may_come_late_with_what_was_given_up() -> None:
    events = changed(told(sleeper), "statuses", statuses={"gateway1": 0, "worker1": 0, "worker2": 0})
    assert broken(events) == set()


# At most once, at least once


def test_a_message_that_is_begun_twice() -> None:
    assert broken(told(lambda story: story.handle("plain.step", STEP))) == {"at most once"}


def test_a_disconnect_from_the_gateway_and_one_from_its_will() -> None:
    def farewell(story: Story) -> None:
        story.handle("websocket.disconnect", f"disconnect:{SOCKET}")

    assert broken(told(farewell)) == {"at most once"}


def repeated(*attempts: int) -> Callable[[Story], None]:
    """A message of a channel of at least once is begun as these attempts, and ended with the last one."""

    def happen(story: Story) -> None:
        name = f"sure.step:receive:{SOCKET}:6"
        story.serve(6, "sure", [])
        story.post("sure.step", name)
        for attempt in attempts[:-1]:
            story.hand("sure.step", name, attempt=attempt)
            story.add("start", WORKER, m=name, channel="sure.step", lane=SOCKET, attempt=attempt)
        story.handle("sure.step", name, attempt=attempts[-1])

    return happen


def test_a_message_may_be_begun_again_on_a_channel_of_at_least_once() -> None:
    assert broken(told(repeated(1, 2, 3))) == set()


@pytest.mark.parametrize("attempts", [(1, 1), (1, 2, 3, 4)])
def test_an_attempt_that_is_not_told_apart_or_one_too_many(attempts: tuple[int, ...]) -> None:
    assert "attempts" in broken(told(repeated(*attempts)))


def test_an_attempt_at_what_was_finished() -> None:
    assert broken(told(lambda story: story.handle("sure.step", SURE, attempt=2))) == {"attempts"}


def never_ended(story: Story) -> None:
    story.post("sure.step", f"sure.step:receive:{SOCKET}:6")


def test_a_message_of_at_least_once_that_is_never_ended() -> None:
    assert broken(told(never_ended)) == {"at least once"}


def test_a_dead_letter_is_not_lost() -> None:
    letters = [["1-1", "worker_died", f"sure.step:receive:{SOCKET}:6", 3]]
    assert broken(changed(told(never_ended), "counted", dead_letters=letters)) == set()


# No loss, and the balance


def test_an_acknowledged_message_that_nobody_begins_with() -> None:
    assert broken(told(lambda story: story.post("websocket.receive", LATE))) == {"no loss", "balance"}


def test_a_message_that_was_handed_out_and_not_begun_by_a_worker_that_lives() -> None:
    assert broken(counting(told(unhandled), worker_died=1)) == {"no loss", "reasons"}


def test_a_begun_message_of_a_killed_worker_that_was_counted() -> None:
    def happen(story: Story) -> None:
        unhandled(story)
        killed(story)

    events = told(happen)
    assert broken(counting(events, worker_died=1)) == set()
    assert broken(events) == {"balance"}
    assert broken(counting(events, worker_died=2)) == {"balance"}


def test_a_message_that_was_not_begun_goes_to_others_when_its_worker_dies() -> None:
    def happen(story: Story) -> None:
        unhandled(story, begun=False)
        killed(story)

    assert "no loss" in broken(counting(told(happen), worker_died=1))


def test_what_was_given_back_may_be_handed_out_again_in_an_answer_that_nobody_sees() -> None:
    def happen(story: Story) -> None:
        unhandled(story, begun=False)
        story.add("recover", WORKER, lease="lease", known=[])
        killed(story)

    assert broken(counting(told(happen), worker_died=1)) == set()
    assert broken(told(happen)) == {"balance"}


def test_what_is_only_perhaps_taken_may_be_missing() -> None:
    def happen(story: Story) -> None:
        story.add("post", GATEWAY, call=999, sends=[["websocket.receive", LATE, SOCKET, False]])
        story.add("unknown", GATEWAY, call=999)

    assert broken(told(happen)) == set()


def test_what_was_refused_may_be_missing() -> None:
    def happen(story: Story) -> None:
        story.add("post", GATEWAY, call=999, sends=[["websocket.receive", LATE, SOCKET, False]])
        story.add("posted", GATEWAY, call=999, refused=[0])

    assert broken(told(happen)) == set()


def test_what_a_consumer_sent_when_its_lease_was_gone_may_be_missing() -> None:
    def happen(story: Story) -> None:
        story.tell("any", ["plain.free", "plain.free:x:1", "", False])
        story.events[-1]["held"] = False

    assert broken(told(happen)) == set()


def test_a_drop_for_a_reason_that_nothing_explains() -> None:
    assert broken(counting(told(), group_full=1)) == {"reasons"}
    assert broken(counting(told(), fenced=1)) == {"reasons"}


def redis_killed(keeps: str, *, before: bool) -> Callable[[Story], None]:
    """A frame is taken, and Redis killed before or after that."""

    def happen(story: Story) -> None:
        if before:
            _kill_redis(story, keeps)
        story.post("websocket.receive", LATE)
        if not before:
            _kill_redis(story, keeps)

    return happen


def test_what_redis_loses_with_its_memory() -> None:
    assert broken(told(redis_killed("nothing", before=False))) == set()
    assert broken(told(redis_killed("second", before=False))) == set()
    assert broken(told(redis_killed("all", before=False))) == {"no loss", "balance"}
    assert broken(told(redis_killed("nothing", before=True))) == {"no loss", "balance"}
    assert broken(told(redis_killed("second", before=True))) == {"no loss"}


def test_a_lane_begins_anew_where_redis_knows_of_it() -> None:
    def happen(keeps: str) -> Callable[[Story], None]:
        def goes_back(story: Story) -> None:
            for number in (6, 7):
                story.post("websocket.receive", f"receive:{SOCKET}:{number}")
                story.hand("websocket.receive", f"receive:{SOCKET}:{number}")
                story.handle("websocket.receive", f"receive:{SOCKET}:{number}")
            _kill_redis(story, keeps)
            for number in (6, 7):
                story.hand("websocket.receive", f"receive:{SOCKET}:{number}")
                story.handle("websocket.receive", f"receive:{SOCKET}:{number}")

        return goes_back

    assert broken(told(happen("second"))) == set()
    assert broken(told(happen("all"))) == {"order", "at most once"}


def test_what_is_told_under_a_lease_that_redis_has_lost() -> None:
    def happen(story: Story) -> None:
        _kill_redis(story, "nothing")
        story.tell("any", ["plain.free", "plain.free:x:1", "", False])

    assert broken(told(happen)) == set()


def test_a_gateway_that_never_learns_that_it_was_taken_for_dead_since_redis_lost_its_memory() -> None:
    def happen(story: Story) -> None:
        story.add("process_reaped", process="gw.1!", wills=1)
        story.handle("websocket.disconnect", f"disconnect:{SOCKET}")
        _kill_redis(story, "nothing")

    assert broken(told(happen)) == set()
    late = [event for event in told(happen) if not event["e"].startswith("store_kill")]
    assert broken(late) == {"at most once"}


def test_a_socket_that_perhaps_never_arrived_need_not_leave() -> None:
    def happen(story: Story) -> None:
        story.add("post", GATEWAY, call=999, sends=[["websocket.connect", "connect:gw.1!b:0", "gw.1!b", False]])
        story.add("unknown", GATEWAY, call=999)
        story.add("post", GATEWAY, call=1000, sends=[["websocket.disconnect", "disconnect:gw.1!b", "gw.1!b", False]])
        story.add("posted", GATEWAY, call=1000, refused=[])

    assert broken(told(happen)) == set()


# What browsers see


def test_an_answer_that_comes_twice() -> None:
    assert broken(told(lambda story: story.hear(f"answer:{FRAME}"))) == {"answers"}


def test_answers_out_of_order() -> None:
    events = told()
    first, second = f"answer:{FRAME}", f"answer:receive:{SOCKET}:2"
    names = {first: second, second: first}
    events = [{**event, "m": names.get(event["m"], event["m"])} if event["e"] == "heard" else event for event in events]
    assert broken(events) == {"answers"}


@pytest.mark.parametrize("name", [f"answer:{FRAME}", f"answer:{SURE}", f"room:receive:{SOCKET}:4"])
def test_what_an_open_socket_never_hears(name: str) -> None:
    assert broken(without(told(), e="heard", m=name)) == {"all heard"}


@pytest.mark.parametrize(
    "groups",
    [
        {"red": [], "side.red": [SOCKET]},
        {"red": [SOCKET, "gw.0!ghost"], "side.red": [SOCKET]},
        {"red": [SOCKET], "side.red": []},
        {"red": [SOCKET], "side.red": [SOCKET, "gw.0!ghost"]},
    ],
)
def test_groups_that_hold_ghosts_or_miss_someone(groups: dict[str, list[str]]) -> None:
    assert broken(changed(told(), "groups", groups=groups)) == {"groups"}


def test_a_roll_call_that_is_not_heard_or_heard_twice() -> None:
    assert broken(without(told(), e="heard", m="roll:first")) == {"groups"}
    assert "groups" in broken(told(lambda story: story.hear("roll:second")))


def test_a_socket_that_is_never_disconnected() -> None:
    events = [event for event in told() if "disconnect:" not in str(event)]
    calls = {event["call"] for event in events if event["e"] == "post"}
    silent = [event for event in events if event["e"] != "posted" or event["call"] in calls]
    assert broken(silent) == {"farewells"}
    reaped = {"t": 99.0, "e": "process_reaped", "pid": WORKER, "process": "gw.1!", "wills": 1}
    assert broken([*silent, reaped]) == {"farewells", "balance"}


# The end


def test_processes_that_end_by_themselves_or_do_not_end() -> None:
    assert broken(told(lambda story: story.add("hung", name="worker1"))) == {"rest"}
    assert broken(told(lambda story: story.add("died", name="worker1", target=WORKER, status=-6))) == {"rest"}
    assert broken(told(lambda story: story.add("unrest", why="no answer"))) == {"rest"}
    assert broken(changed(told(), "statuses", statuses={"gateway1": 0, "worker1": 1})) == {"rest"}
    assert broken(changed(told(), "statuses", statuses={"gateway1": 0})) == {"rest"}


def test_a_process_that_finds_no_redis_when_it_starts_may_say_so_and_end() -> None:
    def happen(story: Story) -> None:
        story.add("fault", number=0, kind="shut", names=["worker1"])
        story.add("started", name="worker1", target=ANOTHER)
        story.add("died", name="worker1", target=ANOTHER, status=1)
        story.add("fault_over", number=0, kind="shut")

    assert broken(told(happen)) == set()


def test_keys_and_sockets_that_are_left_behind() -> None:
    assert broken(changed(told(), "keys", left=["lanes"])) == {"nothing left"}
    assert broken(changed(told(), "keys", left=["position:gw.1!"])) == {"nothing left"}
    assert broken(changed(told(), "keys", left=["position:gw.of-nobody!"])) == set()
    assert broken(changed(told(), "browsers_closed", left=["b1"])) == {"nothing left"}


def test_every_rule_was_broken_by_one_of_these() -> None:
    text = Path(__file__).read_text()
    assert [name for name in RULES if f'"{name}"' not in text] == []


def _kill_redis(story: Story, keeps: str) -> None:
    story.add("store_killing", keeps=keeps)
    story.add("store_killed", keeps=keeps)
    story.add("store_up")
