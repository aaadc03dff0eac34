"""Deliveries that are handled again later: their lane stays taken, and nothing of them is lost or done twice."""

from __future__ import annotations

import pytest

from chancelery.layers.base import ChannelLayer, Delivery, Fate, Finished, Later, Send
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
OTHER_LANE = "daphne.x!other"


def postponed(layer: ChannelLayer, delivery: Delivery, n: object = "again", delay_ms: int = 500) -> Finished:
    return Finished(delivery, later=Later(delay_ms, layer.pack({"n": n})))


def send(layer: ChannelLayer, *contents: object, channel: str = "work", lane: str = LANE) -> None:
    for n in contents:
        layer.send(channel, {"n": n}, lane=lane)


class PostponedContract(LayerFixtures):
    def test_a_delivery_is_handed_out_again_later_with_its_new_body(
        self, layer: ChannelLayer, clock: SteppedClock
    ) -> None:
        lease, other = layer.open_lease(), layer.open_lease()
        send(layer, 1)
        [first] = fetch(layer, lease, "work")
        assert layer.finish([postponed(layer, first, "once more")], lease) == []
        clock.advance(0.499)
        assert (layer.move_due(0), fetch(layer, other, "work")) == (0, [])
        clock.advance(0.001)
        assert layer.move_due(0) == 1
        [again] = fetch(layer, other, "work")
        assert (again.channel, again.lane, again.content, again.attempt) == ("work", LANE, {"n": "once more"}, 1)

    def test_it_goes_out_without_delay_when_it_has_none(self, layer: ChannelLayer) -> None:
        lease = layer.open_lease()
        send(layer, 1)
        layer.finish([postponed(layer, *fetch(layer, lease, "work"), delay_ms=0)], lease)
        assert layer.move_due(0) == 1
        assert numbered(fetch(layer, lease, "work")) == ["again"]

    def test_its_lane_waits_for_it_and_other_lanes_do_not(self, layer: ChannelLayer, clock: SteppedClock) -> None:
        lease = layer.open_lease()
        send(layer, 1, 2)
        [first] = fetch(layer, lease, "work")
        assert layer.fetch(["work"], 10, lease, [postponed(layer, first)]).deliveries == []
        send(layer, 3)
        send(layer, "other", lane=OTHER_LANE)
        send(layer, "none", lane="")
        assert numbered(fetch(layer, lease, "work")) == ["other", "none"]
        assert layer.overview().busy_lanes == 2
        clock.advance(0.5)
        layer.move_due(0)
        seen = []
        while deliveries := fetch(layer, lease, "work"):
            seen.append(numbered(deliveries))
            layer.finish([Finished(delivery) for delivery in deliveries], lease)
        assert seen == [["again"], [2], [3]]

    def test_it_may_be_postponed_again_and_again(self, layer: ChannelLayer, clock: SteppedClock) -> None:
        lease = layer.open_lease()
        send(layer, 0, "behind")
        for n in range(1, 4):
            [delivery] = fetch(layer, lease, "work")
            assert delivery.content == {"n": n - 1}
            layer.finish([postponed(layer, delivery, n)], lease)
            clock.advance(0.5)
            assert layer.move_due(0) == 1
        [delivery] = fetch(layer, lease, "work")
        assert numbered(layer.fetch(["work"], 1, lease, [Finished(delivery)]).deliveries) == ["behind"]

    def test_some_of_those_finished_are_postponed_and_the_sends_of_others_stored(
        self, layer: ChannelLayer, clock: SteppedClock
    ) -> None:
        lease = layer.open_lease()
        for n in range(5):
            send(layer, n, lane=f"daphne.x!{n}" if n < 4 else "")
        sends = [[Send("answers", layer.pack({"n": n})), Send("answers", layer.pack({"n": -n}))] for n in range(5)]
        finished = [
            postponed(layer, delivery, f"again {n}") if n in {1, 2, 4} else Finished(delivery, sends[n])
            for n, delivery in enumerate(fetch(layer, lease, "work"))
        ]
        assert layer.finish(finished, lease) == []
        assert [content["n"] for _, content in drain(layer, "answers")] == [0, 0, 3, -3]
        assert (layer.overview().delayed, layer.overview().busy_lanes) == (3, 2)
        clock.advance(0.5)
        assert layer.move_due(0) == 3
        assert numbered(fetch(layer, lease, "work")) == ["again 1", "again 2", "again 4"]

    def test_its_life_begins_anew_when_it_goes_out(self, make_layer: MakeLayer, clock: SteppedClock) -> None:
        layer = make_layer(expiry=10, lease_seconds=1000)
        lease = layer.open_lease()
        send(layer, 1, 2)
        layer.finish([postponed(layer, *fetch(layer, lease, "work"), delay_ms=60_000)], lease)
        clock.advance(60)
        layer.move_due(0)
        clock.advance(9)
        [again] = fetch(layer, lease, "work")
        assert again.content == {"n": "again"}
        assert layer.fetch(["work"], 1, lease, [Finished(again)]).deliveries == []
        assert dropped(layer, "expired") == 1, "what waited behind it has a life of its own"

    def test_when_nobody_fetches_it_in_time_it_expires_and_its_lane_goes_on(
        self, make_layer: MakeLayer, clock: SteppedClock
    ) -> None:
        layer = make_layer(expiry=10, lease_seconds=1000)
        lease = layer.open_lease()
        send(layer, 1)
        layer.finish([postponed(layer, *fetch(layer, lease, "work"))], lease)
        clock.advance(1)
        layer.move_due(0)
        clock.advance(9.5)
        send(layer, 2)
        clock.advance(0.6)
        assert numbered(fetch(layer, lease, "work")) == [2]
        assert dropped(layer, "expired") == 1

    def test_a_repeated_finish_postpones_it_once(self, layer: ChannelLayer, clock: SteppedClock) -> None:
        lease = layer.open_lease()
        send(layer, 1)
        done = postponed(layer, *fetch(layer, lease, "work"))
        for _ in range(2):
            assert layer.finish([done, done], lease) == []
        clock.advance(0.5)
        assert layer.move_due(0) == 1
        assert numbered(fetch(layer, lease, "work")) == ["again"]

    def test_nothing_is_postponed_under_a_lease_that_a_reaper_has_ended(
        self, layer: ChannelLayer, clock: SteppedClock
    ) -> None:
        lease, other = layer.open_lease(), layer.open_lease()
        send(layer, 1, 2)
        [first] = fetch(layer, lease, "work")
        clock.advance(LEASE_SECONDS + 1)
        assert [reaped.fate for reaped in layer.reap()] == [Fate.DROPPED]
        fetched = layer.fetch(["work"], 10, lease, [postponed(layer, first)])
        assert (fetched.held, fetched.deliveries) == (False, [])
        assert layer.overview().delayed == 0
        assert numbered(fetch(layer, other, "work")) == [2]

    def test_it_waits_apart_from_the_lease_that_held_it(self, layer: ChannelLayer, clock: SteppedClock) -> None:
        lease = layer.open_lease()
        send(layer, 1)
        layer.finish([postponed(layer, *fetch(layer, lease, "work"))], lease)
        layer.recover(lease, [])
        clock.advance(LEASE_SECONDS + 1)
        assert layer.reap() == []
        assert layer.move_due(0) == 1
        assert numbered(fetch(layer, layer.open_lease(), "work")) == ["again"]
        assert dropped(layer, "worker_died") == 0

    def test_there_is_always_room_for_what_was_taken_once(self, make_layer: MakeLayer, clock: SteppedClock) -> None:
        layer = make_layer(capacity=1, delayed_capacity=0)
        lease = layer.open_lease()
        send(layer, 1)
        [first] = fetch(layer, lease, "work")
        send(layer, "fills it", lane="")
        layer.finish([postponed(layer, first)], lease)
        clock.advance(0.5)
        assert layer.move_due(0) == 1
        assert numbered(fetch(layer, lease, "work")) == ["fills it", "again"]

    def test_its_attempts_are_as_they_were(self, layer: ChannelLayer, clock: SteppedClock) -> None:
        send(layer, 1, channel=SURE)
        for attempt in range(1, ATTEMPTS + 1):
            lease = layer.open_lease()
            [delivery] = fetch(layer, lease, SURE)
            assert delivery.attempt == attempt
            layer.finish([postponed(layer, delivery)], lease)
            clock.advance(0.5)
            layer.move_due(0)
            [again] = fetch(layer, lease, SURE)
            assert again.attempt == attempt
            clock.advance(LEASE_SECONDS + 1)
            [reaped] = layer.reap()
        assert reaped.fate == Fate.BURIED
        assert [(letter.attempts, letter.content) for letter in layer.dead_letters()] == [(ATTEMPTS, {"n": "again"})]

    def test_purging_drops_what_is_postponed_and_lets_its_lane_go_on(
        self, layer: ChannelLayer, clock: SteppedClock
    ) -> None:
        lease = layer.open_lease()
        send(layer, 1, 2)
        send(layer, 3, channel="other")
        layer.finish([postponed(layer, *fetch(layer, lease, "work"))], lease)
        assert layer.purge("work") == 2
        assert dropped(layer, "purged") == 2
        assert numbered(fetch(layer, lease, "work", "other")) == [3]
        clock.advance(1)
        assert layer.move_due(0) == 0

    def test_purged_postponed_messages_of_a_channel_that_is_handled_at_least_once_become_dead_letters(
        self, layer: ChannelLayer, clock: SteppedClock
    ) -> None:
        lease = layer.open_lease()
        send(layer, 1, channel=SURE)
        layer.finish([postponed(layer, *fetch(layer, lease, SURE))], lease)
        assert layer.purge(SURE) == 1
        [letter] = layer.dead_letters()
        assert (letter.reason, letter.lane, letter.content, letter.attempts) == ("purged", LANE, {"n": "again"}, 0)

    def test_what_is_postponed_and_cannot_be_read_then_releases_its_lane(
        self, layer: ChannelLayer, clock: SteppedClock
    ) -> None:
        lease = layer.open_lease()
        send(layer, 1, 2)
        [first] = fetch(layer, lease, "work")
        layer.finish([Finished(first, later=Later(500, b"\xc1 is no msgpack"))], lease)
        clock.advance(0.5)
        layer.move_due(0)
        assert numbered(fetch(layer, lease, "work") or fetch(layer, lease, "work")) == [2]
        assert dropped(layer, "corrupt") == 1

    def test_flush_removes_it_and_its_lane(self, layer: ChannelLayer, clock: SteppedClock) -> None:
        lease = layer.open_lease()
        send(layer, 1)
        layer.finish([postponed(layer, *fetch(layer, lease, "work"))], lease)
        layer.flush()
        send(layer, 2)
        assert numbered(fetch(layer, layer.open_lease(), "work")) == [2]
        clock.advance(1)
        assert layer.move_due(0) == 0

    def test_what_its_consumer_sent_must_have_been_discarded(self, layer: ChannelLayer) -> None:
        lease = layer.open_lease()
        send(layer, 1)
        [first] = fetch(layer, lease, "work")
        with pytest.raises(TypeError, match="discard them"):
            layer.finish([postponed(layer, first)._replace(sends=[Send("answers", layer.pack({}))])], lease)
        assert drain(layer, "answers") == []
