"""How much a worker thread fetches at a time."""

from __future__ import annotations

from chancelery.worker.pace import BATCH_SECONDS, MOST, Pace


def paced(seconds, batches=12):
    pace = Pace()
    for _ in range(batches):
        pace.took("a", seconds)
        pace.adapt()
    return pace


def test_it_begins_with_one():
    assert Pace().limit == 1


def test_it_doubles_as_long_as_a_batch_stays_short():
    pace, limits = Pace(), []
    for _ in range(8):
        pace.took("a", 0.00001)
        pace.adapt()
        limits.append(pace.limit)
    assert limits == [2, 4, 8, 16, 32, 64, 64, 64]
    assert MOST == 64


def test_a_batch_of_usual_messages_fits_in_five_milliseconds():
    assert paced(0.001).limit == 5
    assert paced(0.1).limit == 1


def test_it_slows_down_when_messages_take_longer():
    pace = paced(0.0001)
    for _ in range(3):
        pace.took("a", 0.1)
    pace.adapt()
    assert pace.limit == 1


def test_messages_that_take_no_time_at_all_divide_nothing_by_zero():
    assert paced(0.0).limit == 1


def test_what_is_begun_at_a_time_is_handled_within_two_milliseconds_but_is_something_always():
    assert Pace().begin == 1
    assert paced(0.0001).begin == 20
    assert paced(0.001).begin == 2
    assert paced(0.1).begin == 1


def test_so_are_those_whose_channels_are_known():
    pace = Pace()
    pace.took("slow", 0.2)
    pace.took("fast", 0.0005)
    assert pace.fitting(["fast"] * 10) == 4
    assert pace.fitting(["fast", "slow", "fast"]) == 1
    assert pace.fitting(["slow", "fast"]) == 1
    assert pace.fitting(["fast", "unknown"]) == 1
    assert pace.fitting(["fast"]) == 1


def test_what_a_message_will_take_is_known_by_its_channel():
    pace = Pace()
    pace.took("slow", 0.2)
    pace.took("fast", 0.00001)
    assert pace.expected("slow") == 0.2
    assert pace.expected("fast") == 0.00001
    assert pace.expected("unknown") == BATCH_SECONDS
