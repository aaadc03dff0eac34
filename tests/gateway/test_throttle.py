"""How much a socket may send, by a clock of the tests' own."""

from __future__ import annotations

import pytest

from chancelery.conf import Settings
from chancelery.gateway.throttle import throttle


def limited(**options):
    return throttle(Settings(**{f"incoming_{name}": value for name, value in options.items()}), now=100.0)


def test_without_limits_there_is_nothing_to_keep():
    assert throttle(Settings(), now=0.0) is None
    assert throttle(Settings(incoming_patience=5), now=0.0) is None


def test_a_second_of_frames_may_come_at_once():
    socket = limited(frames_per_second=10)
    assert [socket.pause_after(5, now=100.0) for _ in range(10)] == [0.0] * 10
    assert socket.pause_after(5, now=100.0) == pytest.approx(0.1)


def test_a_flooder_is_read_from_at_the_rate():
    socket, now = limited(frames_per_second=10), 100.0
    for _ in range(110):
        now += socket.pause_after(5, now)
    assert now == pytest.approx(110.0)


def test_what_is_not_used_is_not_saved_up_beyond_a_second():
    socket = limited(frames_per_second=10)
    assert [socket.pause_after(5, now=1000.0) for _ in range(11)][-1] == pytest.approx(0.1)


def test_bytes_have_their_own_rate_and_a_large_frame_is_paid_for_afterwards():
    socket = limited(bytes_per_second=1000)
    assert socket.pause_after(5000, now=100.0) == pytest.approx(4.0)
    assert socket.pause_after(0, now=104.0) == 0.0
    assert socket.pause_after(100, now=104.0) == pytest.approx(0.1)


def test_of_two_limits_the_stricter_counts():
    socket = limited(frames_per_second=1, bytes_per_second=1000)
    assert socket.pause_after(10, now=100.0) == 0.0
    assert socket.pause_after(10, now=100.0) == pytest.approx(1.0)
    assert socket.pause_after(5000, now=101.0) == pytest.approx(4.0)


def test_without_patience_a_flooder_is_slowed_for_ever():
    socket, now = limited(frames_per_second=1), 100.0
    for _ in range(1000):
        now += socket.pause_after(5, now)
    assert now == pytest.approx(1099.0)


def test_patience_ends_after_so_many_seconds_of_pauses():
    socket, now, frames = limited(frames_per_second=10, patience=5), 100.0, 0
    while (pause := socket.pause_after(5, now)) is not None:
        now += pause
        frames += 1
    assert (now, frames) == (pytest.approx(105.0, abs=0.2), pytest.approx(60, abs=2))


def test_a_single_large_frame_does_not_end_the_patience():
    socket = limited(bytes_per_second=10, patience=5)
    assert socket.pause_after(1000, now=100.0) == pytest.approx(99.0)
    assert socket.pause_after(10, now=199.0) is None


def test_who_has_left_the_whole_allowance_alone_begins_anew():
    socket, now = limited(frames_per_second=10, patience=5), 100.0
    for _ in range(100):
        for _ in range(50):  # four seconds of pauses
            now += socket.pause_after(5, now)
        now += 1.01
