"""What waits for a slow client, and which of it goes when there is too much."""

from __future__ import annotations

import pytest

from chancelery.gateway.backlog import COST_OF_WAITING, Backlog, Bounds
from chancelery.gateway.protocols.http import Body
from chancelery.gateway.protocols.websocket import Close, Frame

ROOM_FOR_THREE = 3 * (10 + COST_OF_WAITING)


def backlog(policy="close", size=ROOM_FOR_THREE):
    return Backlog(Bounds(size, policy))


def frames(*names, key=""):
    return [Frame(str(name).ljust(10), key) for name in names]


def left(waiting):
    found = []
    while (action := waiting.take()) is not None:
        found.append(action.data.strip() if isinstance(action, Frame) else action)
    return found


@pytest.mark.parametrize("policy", ["close", "drop_oldest"])
def test_what_has_room_goes_out_in_order(policy):
    waiting = backlog(policy)
    assert [waiting.add(frame) for frame in frames(1, 2, 3)] == [0, 0, 0]
    assert left(waiting) == ["1", "2", "3"]
    assert left(waiting) == []


def test_by_default_too_much_means_that_the_client_is_too_slow():
    waiting = backlog()
    assert [waiting.add(frame) for frame in frames(1, 2, 3, 4)] == [0, 0, 0, None]
    assert waiting.clear() == 4
    assert left(waiting) == []


def test_the_oldest_make_room_for_what_comes():
    waiting = backlog("drop_oldest")
    assert [waiting.add(frame) for frame in frames(1, 2, 3, 4, 5)] == [0, 0, 0, 1, 1]
    assert waiting.add(Frame("x" * (20 + COST_OF_WAITING))) == 2
    assert left(waiting) == ["5", "x" * (20 + COST_OF_WAITING)]


def test_of_frames_with_one_key_the_latest_waits_in_the_place_of_the_first():
    waiting = backlog()
    for name, key in [("a1", "a"), ("plain", ""), ("b1", "b"), ("a2", "a"), ("b2", "b"), ("a3", "a")]:
        waiting.add(*frames(name, key=key))
    assert left(waiting) == ["a3", "plain", "b2"]


def test_a_frame_that_takes_the_place_of_another_counts_as_one_given_up():
    waiting = backlog()
    first, second = frames(1, 2, key="price")
    assert (waiting.add(first), waiting.add(second)) == (0, 1)


def test_a_key_is_free_again_when_its_frame_has_gone_out():
    waiting = backlog()
    waiting.add(*frames(1, key="price"))
    assert waiting.take().data.strip() == "1"
    assert waiting.add(*frames(2, key="price")) == 0
    assert left(waiting) == ["2"]


def test_with_keep_latest_only_the_latest_waits_and_the_latest_of_each_key():
    waiting = backlog("keep_latest")
    assert [waiting.add(frame) for frame in frames(1, 2, 3)] == [0, 1, 1]
    waiting.add(*frames("price", key="price"))
    assert left(waiting) == ["3", "price"]


def test_with_more_keys_than_there_is_room_for_the_oldest_go():
    waiting = backlog("keep_latest")
    assert [waiting.add(*frames(number, key=str(number))) for number in range(5)] == [0, 0, 0, 1, 1]
    assert left(waiting) == ["2", "3", "4"]


@pytest.mark.parametrize("policy", ["close", "drop_oldest", "keep_latest"])
def test_one_alone_is_never_too_much(policy):
    waiting = backlog(policy, size=1)
    assert waiting.add(Frame("x" * 1000)) == 0
    assert left(waiting) == ["x" * 1000]


@pytest.mark.parametrize("policy", ["drop_oldest", "keep_latest"])
def test_a_close_waits_behind_the_frames_and_none_makes_it_go(policy):
    waiting = backlog(policy, size=1)
    waiting.add(*frames("last words"))
    waiting.add(Close(4000))
    assert left(waiting) == [Close(4000)]


@pytest.mark.parametrize("policy", ["drop_oldest", "keep_latest"])
def test_frames_that_are_kept_outlive_all_others(policy):
    waiting = backlog(policy)
    for name in range(10):
        waiting.add(*frames(name))
        if name in {0, 4}:
            assert waiting.add(Frame(f"kept {name}".ljust(10), keep=True)) is not None
    assert [text for text in left(waiting) if "kept" in text] == ["kept 0", "kept 4"]


@pytest.mark.parametrize("policy", ["close", "drop_oldest", "keep_latest"])
def test_a_client_for_whom_too_much_waits_that_is_kept_is_too_slow(policy):
    waiting = backlog(policy)
    waiting.add(*frames("first"))
    kept = [waiting.add(Frame(str(number).ljust(10), keep=True)) for number in range(4)]
    assert kept[:2] == [0, 0]
    assert kept[-1] is None


def test_empty_frames_are_bounded_too():
    waiting = backlog("drop_oldest", size=10 * COST_OF_WAITING)
    assert sum(waiting.add(Frame("")) for _ in range(100)) == 90
    assert len(waiting) == 10


def test_pieces_of_a_response_are_no_frames():
    waiting = backlog()
    waiting.add(Body(b"one", more=True))
    waiting.add(Body(b"two"))
    assert waiting.clear() == 0
