"""Channels that are handled at least once: what a worker had begun when it died is handed out again, so many times."""

from __future__ import annotations

import re

import pytest

from chancelery.exceptions import InvalidChannelLayerError
from chancelery.layers.base import ChannelLayer, Delivery, Fate, Finished, Reaped, Send
from chancelery.trail import Hop
from tests.contracts.fixtures import (
    ATTEMPTS,
    LEASE_SECONDS,
    SURE,
    LayerFixtures,
    MakeLayer,
    SteppedClock,
    drain,
    dropped,
    fetch,
    numbered,
)

LANE = "daphne.x!connection"


def send(layer: ChannelLayer, *contents: object, channel: str = SURE, lane: str = "") -> None:
    for n in contents:
        layer.send(channel, {"n": n}, lane=lane)


def lose(layer: ChannelLayer, clock: SteppedClock, *channels: str) -> tuple[list[Delivery], list[Reaped]]:
    """Fetch all there is under a new lease, begin it, and let the worker die; return what was handed out and reaped."""
    deliveries = fetch(layer, layer.open_lease(), *(channels or (SURE,)))
    clock.advance(LEASE_SECONDS * 2)
    return deliveries, layer.reap()


class AttemptsContract(LayerFixtures):
    def test_what_was_begun_is_handed_out_again_until_the_last_attempt(
        self, layer: ChannelLayer, clock: SteppedClock
    ) -> None:
        trail = (Hop("gateway", SURE, "host:1", 1),)
        layer.send(SURE, {"n": 1}, trail=trail)
        for attempt in range(1, ATTEMPTS + 1):
            [delivery], reaped = lose(layer, clock)
            assert (delivery.attempt, delivery.content, delivery.trail) == (attempt, {"n": 1}, trail)
            fate = Fate.REPEATED if attempt < ATTEMPTS else Fate.BURIED
            assert reaped == [Reaped(SURE, trail, fate)]
        assert drain(layer, SURE) == []

    def test_only_what_became_a_dead_letter_counts_as_dropped(self, layer: ChannelLayer, clock: SteppedClock) -> None:
        send(layer, 1)
        for attempt in range(1, ATTEMPTS + 1):
            lose(layer, clock)
            assert dropped(layer, "worker_died") == (1 if attempt == ATTEMPTS else 0)

    def test_what_is_finished_is_not_handed_out_again(self, layer: ChannelLayer, clock: SteppedClock) -> None:
        send(layer, 1)
        lose(layer, clock)
        lease = layer.open_lease()
        [delivery] = fetch(layer, lease, SURE)
        assert delivery.attempt == 2
        assert layer.finish([Finished(delivery, [Send("answers", layer.pack({}))])], lease) == []
        assert lose(layer, clock, SURE) == ([], [])
        assert drain(layer, "answers") == [("answers", {})]
        assert layer.dead_letters() == []

    def test_other_channels_are_handled_at_most_once(self, layer: ChannelLayer, clock: SteppedClock) -> None:
        send(layer, 1, channel="work")
        deliveries, reaped = lose(layer, clock, "work")
        assert [delivery.attempt for delivery in deliveries] == [1]
        assert reaped == [Reaped("work", (), Fate.DROPPED)]
        assert drain(layer, "work") == []
        assert layer.dead_letters() == []

    def test_attempts_are_by_the_first_pattern_that_matches(self, make_layer: MakeLayer, clock: SteppedClock) -> None:
        patterns = {"a.*": 1, re.compile(r"a|b"): 2, "b.*": 5, "z?*": 2}
        layer = make_layer(lease_seconds=LEASE_SECONDS, at_least_once=patterns)
        expected = {"a.x": 1, "b.x": 2, "abc": 2, "other": 0, "z?x": 2}
        for channel, attempts in expected.items():
            assert layer.attempts_of(channel) == attempts
            send(layer, 1, channel=channel)
            handed_out = 0
            while lose(layer, clock, channel)[0]:
                handed_out += 1
            assert handed_out == max(1, attempts), channel
        assert len(layer.dead_letters()) == 4

    @pytest.mark.parametrize("attempts", [0, -1, 256, 1.5, True, None, "3"])
    def test_a_number_of_attempts_that_makes_no_sense_is_refused(self, make_layer: MakeLayer, attempts: object) -> None:
        with pytest.raises(InvalidChannelLayerError, match="a number from 1 to 255, not"):
            make_layer(at_least_once={"sure.*": attempts})

    def test_as_many_attempts_as_are_allowed_are_made(self, make_layer: MakeLayer, clock: SteppedClock) -> None:
        layer = make_layer(expiry=10_000, lease_seconds=LEASE_SECONDS, at_least_once={"*": 255})
        send(layer, 1)
        for attempt in range(1, 256):
            [delivery], [reaped] = lose(layer, clock)
            assert (delivery.attempt, reaped.fate == Fate.REPEATED) == (attempt, attempt < 255)
        assert [letter.attempts for letter in layer.dead_letters()] == [255]

    def test_a_message_to_a_group_is_handled_at_least_once_where_a_member_is(
        self, layer: ChannelLayer, clock: SteppedClock
    ) -> None:
        layer.group_add("group", SURE)
        layer.group_add("group", "work")
        layer.send_group("group", {"n": 1})
        _, reaped = lose(layer, clock, SURE, "work")
        assert sorted(reaped) == [Reaped(SURE, (), Fate.REPEATED), Reaped("work", (), Fate.DROPPED)]

    def test_what_a_consumer_sent_is_handled_at_least_once_too(self, layer: ChannelLayer, clock: SteppedClock) -> None:
        lease = layer.open_lease()
        send(layer, 1, channel="work")
        [delivery] = fetch(layer, lease, "work")
        layer.finish([Finished(delivery, [Send(SURE, layer.pack({"n": 2}))])], lease)
        _, reaped = lose(layer, clock)
        assert reaped == [Reaped(SURE, (), Fate.REPEATED)]

    def test_what_was_only_given_back_was_not_attempted(self, layer: ChannelLayer, clock: SteppedClock) -> None:
        send(layer, 1)
        for _ in range(ATTEMPTS + 1):
            lease = layer.open_lease()
            assert [delivery.attempt for delivery in fetch(layer, lease, SURE)] == [1]
            layer.recover(lease, [])
            layer.fetch([SURE], 1, lease, begin=0)
            clock.advance(LEASE_SECONDS * 2)
            assert layer.reap() == []
        assert layer.dead_letters() == []

    def test_receive_does_not_repeat(self, layer: ChannelLayer, clock: SteppedClock) -> None:
        send(layer, 1)
        assert layer.receive([SURE]) == (SURE, {"n": 1})
        clock.advance(LEASE_SECONDS * 2)
        assert layer.reap() == []
        assert layer.receive([SURE]) == (None, None)

    # Order

    def test_what_is_repeated_goes_to_the_front_in_order_with_what_was_not_begun(
        self, layer: ChannelLayer, clock: SteppedClock
    ) -> None:
        send(layer, *range(4))
        layer.fetch([SURE], 4, layer.open_lease(), begin=2)
        send(layer, "later")
        clock.advance(LEASE_SECONDS * 2)
        assert layer.reap() == [Reaped(SURE, (), Fate.REPEATED)] * 2
        deliveries = fetch(layer, layer.open_lease(), SURE)
        assert numbered(deliveries) == [0, 1, 2, 3, "later"]
        assert [delivery.attempt for delivery in deliveries] == [2, 2, 1, 1, 1]

    def test_what_is_repeated_keeps_its_lane_until_it_is_finished(
        self, layer: ChannelLayer, clock: SteppedClock
    ) -> None:
        send(layer, 1, 2, lane=LANE)
        send(layer, "behind", channel="work", lane=LANE)
        assert numbered(lose(layer, clock, SURE, "work")[0]) == [1]
        seen = []
        lease = layer.open_lease()
        while deliveries := fetch(layer, lease, SURE, "work"):
            seen.append(numbered(deliveries))
            layer.finish([Finished(delivery) for delivery in deliveries], lease)
        assert seen == [[1], [2], ["behind"]]

    def test_the_last_attempt_releases_its_lane(self, layer: ChannelLayer, clock: SteppedClock) -> None:
        send(layer, 1, 2, lane=LANE)
        for _ in range(ATTEMPTS):
            assert numbered(lose(layer, clock)[0]) == [1]
        [delivery], _ = lose(layer, clock)
        assert (delivery.content, delivery.attempt) == ({"n": 2}, 1)

    def test_a_worker_that_stops_in_the_middle_has_attempted(self, layer: ChannelLayer) -> None:
        send(layer, *range(3))
        lease = layer.open_lease()
        deliveries = layer.fetch([SURE], 3, lease, begin=2).deliveries
        layer.close_lease(lease, [deliveries[1]])
        deliveries = fetch(layer, layer.open_lease(), SURE)
        assert numbered(deliveries) == [0, 1, 2]
        assert [delivery.attempt for delivery in deliveries] == [2, 1, 1]

    # Expiry

    def test_what_is_repeated_expires_when_it_would_have(self, make_layer: MakeLayer, clock: SteppedClock) -> None:
        layer = make_layer(expiry=3.5, lease_seconds=LEASE_SECONDS, at_least_once={"sure.*": ATTEMPTS})
        send(layer, 1)
        lose(layer, clock)
        clock.advance(2)
        assert drain(layer, SURE) == []
        assert [(letter.reason, letter.attempts) for letter in layer.dead_letters()] == [("expired", 1)]
