"""Leases: nothing that was fetched is lost in silence, and nothing is stored twice."""

from __future__ import annotations

import pytest

from chancelery.exceptions import ChannelFull
from chancelery.layers.base import ChannelLayer, Finished, Send
from tests.contracts.fixtures import (
    LayerFixtures,
    MakeLayer,
    SteppedClock,
    drain,
    dropped,
    fetch,
    numbered,
)

LANE = "daphne.x!connection"


def send(layer: ChannelLayer, *contents: object, channel: str = "work", lane: str = "") -> None:
    for n in contents:
        layer.send(channel, {"n": n}, lane=lane)


def answer(layer: ChannelLayer, n: object, channel: str = "answers") -> Send:
    return Send(channel, layer.pack({"n": n}))


class LeasesContract(LayerFixtures):
    def test_leases_have_different_names(self, layer: ChannelLayer) -> None:
        assert len({layer.open_lease() for _ in range(100)}) == 100

    # Fetch

    def test_fetch_hands_out_at_most_the_limit_in_order(self, layer: ChannelLayer) -> None:
        lease = layer.open_lease()
        send(layer, *range(10))
        assert numbered(fetch(layer, lease, "work", limit=4)) == [0, 1, 2, 3]
        assert numbered(fetch(layer, lease, "work", limit=1)) == [4]
        assert numbered(fetch(layer, lease, "work", limit=100)) == [5, 6, 7, 8, 9]
        assert fetch(layer, lease, "work") == []

    def test_fetch_reads_several_channels_and_tells_which(self, layer: ChannelLayer) -> None:
        lease = layer.open_lease()
        send(layer, 1, 2, channel="a")
        send(layer, 3, channel="b?x")
        send(layer, 4, channel="c")
        deliveries = fetch(layer, lease, "a", "b?x", "empty")
        assert sorted((d.channel, d.content["n"]) for d in deliveries) == [("a", 1), ("a", 2), ("b?x", 3)]
        assert all(delivery.lane == "" and delivery.trail == () for delivery in deliveries)

    def test_fetch_hands_out_nothing_without_channels_or_limit(self, layer: ChannelLayer) -> None:
        lease = layer.open_lease()
        send(layer, 1)
        assert layer.fetch([], 10, lease).deliveries == []
        assert layer.fetch(["work"], 0, lease).deliveries == []
        assert numbered(fetch(layer, lease, "work")) == [1]

    def test_what_one_lease_holds_no_other_gets(self, layer: ChannelLayer) -> None:
        first, second = layer.open_lease(), layer.open_lease()
        send(layer, *range(6))
        assert numbered(fetch(layer, first, "work", limit=3)) == [0, 1, 2]
        assert numbered(fetch(layer, second, "work")) == [3, 4, 5]
        assert layer.receive(["work"]) == (None, None)

    def test_ids_rise_and_are_unique_within_a_lease(self, layer: ChannelLayer) -> None:
        lease = layer.open_lease()
        ids = []
        for _ in range(5):
            send(layer, 1, 2, 3)
            deliveries = fetch(layer, lease, "work")
            ids += [delivery.id for delivery in deliveries]
            layer.finish([Finished(delivery) for delivery in deliveries], lease)
        assert ids == sorted(set(ids))

    def test_an_expired_message_is_not_handed_out_but_counted(self, make_layer: MakeLayer, clock: SteppedClock) -> None:
        layer = make_layer(expiry=10)
        send(layer, 1, 2)
        clock.advance(6)
        send(layer, 3)
        clock.advance(6)
        assert numbered(fetch(layer, layer.open_lease(), "work", limit=1)) == [3]
        assert dropped(layer, "expired") == 2

    def test_what_was_handed_out_in_time_does_not_expire(self, make_layer: MakeLayer, clock: SteppedClock) -> None:
        layer = make_layer(expiry=10, lease_seconds=100)
        lease = layer.open_lease()
        send(layer, 1)
        [delivery] = fetch(layer, lease, "work")
        clock.advance(20)
        layer.finish([Finished(delivery, [answer(layer, 2)])], lease)
        assert drain(layer, "answers") == [("answers", {"n": 2})]
        assert dropped(layer, "expired") == 0

    def test_a_message_that_cannot_be_read_is_counted_and_blocks_nobody(self, layer: ChannelLayer) -> None:
        lease = layer.open_lease()
        layer.post([Send("work", b"\xc1 is no msgpack", LANE), Send("work", layer.pack({"n": 1}), LANE)])
        found = fetch(layer, lease, "work") or fetch(layer, lease, "work")
        assert numbered(found) == [1]
        assert dropped(layer, "corrupt") == 1

    # Finish

    def test_what_a_consumer_sent_is_stored_in_order_when_it_is_finished(self, layer: ChannelLayer) -> None:
        lease = layer.open_lease()
        layer.group_add("group", "process!local")
        send(layer, 1, 2)
        first, second = fetch(layer, lease, "work")
        finished = [
            Finished(first, [answer(layer, "a"), answer(layer, "b"), answer(layer, "l", "process!x")]),
            Finished(second, [answer(layer, "c"), Send("group", layer.pack({"n": "g"}), to_group=True)]),
        ]
        assert layer.finish(finished, lease) == []
        assert [content["n"] for _, content in drain(layer, "answers")] == ["a", "b", "c"]
        assert drain(layer, "process!") == [("process!x", {"n": "l"}), ("process!local", {"n": "g"})]

    def test_what_is_sent_can_be_fetched_in_the_same_exchange(self, layer: ChannelLayer) -> None:
        lease = layer.open_lease()
        send(layer, 1)
        [first] = fetch(layer, lease, "work")
        fetched = layer.fetch(["answers"], 10, lease, [Finished(first, [answer(layer, 2)])])
        assert numbered(fetched.deliveries) == [2]

    def test_a_finished_delivery_is_finished_once(self, layer: ChannelLayer) -> None:
        lease = layer.open_lease()
        send(layer, 1)
        [delivery] = fetch(layer, lease, "work")
        finished = Finished(delivery, [answer(layer, 2)])
        for _ in range(2):
            assert layer.finish([finished, finished], lease) == []
        assert drain(layer, "answers") == [("answers", {"n": 2})]

    def test_finishing_twice_does_not_release_a_lane_twice(self, layer: ChannelLayer) -> None:
        lease = layer.open_lease()
        send(layer, 1, 2, 3, lane=LANE)
        [first] = fetch(layer, lease, "work")
        layer.finish([Finished(first)], lease)
        layer.finish([Finished(first), Finished(first)], lease)
        assert numbered(fetch(layer, lease, "work")) == [2]

    def test_nothing_is_finished_under_another_lease(self, layer: ChannelLayer) -> None:
        lease, other = layer.open_lease(), layer.open_lease()
        assert fetch(layer, other, "work") == []
        send(layer, 1, 2, lane=LANE)
        [delivery] = fetch(layer, lease, "work")
        assert layer.finish([Finished(delivery, [answer(layer, "no")])], other) == []
        assert fetch(layer, other, "answers", "work") == []
        layer.finish([Finished(delivery, [answer(layer, "yes")])], lease)
        assert sorted(map(str, numbered(fetch(layer, other, "answers", "work")))) == ["2", "yes"]

    def test_refused_answers_are_returned_and_the_others_stored(self, make_layer: MakeLayer) -> None:
        layer = make_layer(channel_capacity={"answers": 1})
        lease = layer.open_lease()
        send(layer, 1, 2)
        first, second = fetch(layer, lease, "work")
        sends = [answer(layer, "a"), answer(layer, "b"), answer(layer, "c", "other")]
        fetched = layer.fetch(["other"], 1, lease, [Finished(first, sends[:2]), Finished(second, sends[2:])])
        assert [refusal.send for refusal in fetched.refused] == [sends[1]]
        assert isinstance(fetched.refused[0].error, ChannelFull)
        assert numbered(fetched.deliveries) == ["c"]
        assert drain(layer, "answers") == [("answers", {"n": "a"})]

    def test_the_answers_of_what_is_not_held_are_not_refused_either(self, make_layer: MakeLayer) -> None:
        layer = make_layer(channel_capacity={"answers": 0})
        lease = layer.open_lease()
        send(layer, 1)
        [delivery] = fetch(layer, lease, "work")
        finished = [Finished(delivery, [answer(layer, "a")])]
        assert len(layer.finish(finished, lease)) == 1
        assert layer.finish(finished, lease) == []

    # Recover

    def test_recover_gives_back_what_its_worker_does_not_know_of(self, layer: ChannelLayer) -> None:
        lease = layer.open_lease()
        send(layer, *range(3))
        known = fetch(layer, lease, "work", limit=1)
        fetch(layer, lease, "work", limit=2)  # the answer that never arrived
        send(layer, 3)
        layer.recover(lease, known)
        assert numbered(fetch(layer, lease, "work")) == [1, 2, 3]
        layer.finish([Finished(known[0], [answer(layer, "known")])], lease)
        assert drain(layer, "answers") == [("answers", {"n": "known"})]

    def test_recover_gives_back_to_the_front_of_each_channel_in_order(self, layer: ChannelLayer) -> None:
        lease = layer.open_lease()
        send(layer, 1, 2, channel="a")
        send(layer, 3, 4, channel="b")
        fetch(layer, lease, "a", "b")
        send(layer, 5, channel="a")
        send(layer, 6, channel="b")
        layer.recover(lease, [])
        assert numbered(fetch(layer, lease, "a")) == [1, 2, 5]
        assert numbered(fetch(layer, lease, "b")) == [3, 4, 6]

    def test_recover_keeps_lanes_in_order(self, layer: ChannelLayer) -> None:
        lease, other = layer.open_lease(), layer.open_lease()
        send(layer, 1, 2, lane=LANE)
        fetch(layer, lease, "work")
        layer.recover(lease, [])
        [first] = fetch(layer, other, "work")
        assert first.content == {"n": 1}
        assert fetch(layer, other, "work") == []
        layer.finish([Finished(first)], other)
        assert numbered(fetch(layer, other, "work")) == [2]

    def test_what_was_given_back_cannot_be_finished(self, layer: ChannelLayer) -> None:
        lease = layer.open_lease()
        send(layer, 1)
        [stale] = fetch(layer, lease, "work")
        layer.recover(lease, [])
        layer.finish([Finished(stale, [answer(layer, "no")])], lease)
        [fresh] = fetch(layer, lease, "work", "answers")
        assert (fresh.content, fresh.id == stale.id) == ({"n": 1}, False)
        layer.finish([Finished(stale, [answer(layer, "no")])], lease)
        assert drain(layer, "answers") == []

    def test_recovering_an_empty_or_unknown_lease_is_no_error(self, layer: ChannelLayer) -> None:
        layer.recover(layer.open_lease(), [])
        layer.recover("unknown", [])

    # Close

    def test_closing_a_lease_gives_back_what_was_not_started(self, layer: ChannelLayer) -> None:
        lease = layer.open_lease()
        send(layer, *range(5))
        deliveries = fetch(layer, lease, "work", limit=4)
        layer.finish([Finished(delivery) for delivery in deliveries[:2]], lease)
        layer.close_lease(lease, list(reversed(deliveries[2:])))
        assert numbered(fetch(layer, layer.open_lease(), "work")) == [2, 3, 4]
        assert dropped(layer, "worker_died") == 0

    def test_what_a_closed_lease_still_held_is_dropped_with_a_record(self, layer: ChannelLayer) -> None:
        lease, other = layer.open_lease(), layer.open_lease()
        send(layer, 1, 2, lane=LANE)
        send(layer, 3)
        started, unstarted = fetch(layer, lease, "work")
        layer.close_lease(lease, [unstarted])
        assert dropped(layer, "worker_died") == 1
        assert numbered(fetch(layer, other, "work")) == [3, 2]
        layer.finish([Finished(started, [answer(layer, "late")])], lease)
        assert drain(layer, "answers") == []

    def test_what_is_sent_under_a_lease_that_was_closed_is_dropped_and_counted(self, layer: ChannelLayer) -> None:
        lease = layer.open_lease()
        send(layer, 1, 2)
        first, second = fetch(layer, lease, "work")
        layer.close_lease(lease, [first])
        finished = [Finished(first, [answer(layer, "a"), answer(layer, "b")]), Finished(second, [answer(layer, "c")])]
        assert layer.finish(finished, lease) == []
        assert drain(layer, "answers") == []
        assert dropped(layer, "fenced") == 3

    def test_closing_gives_back_only_what_the_lease_holds(self, layer: ChannelLayer) -> None:
        lease, other = layer.open_lease(), layer.open_lease()
        send(layer, 1, 2)
        [first] = fetch(layer, lease, "work", limit=1)
        [second] = fetch(layer, other, "work", limit=1)
        layer.finish([Finished(first)], lease)
        layer.close_lease(lease, [first, second])
        assert layer.receive(["work"]) == (None, None)
        layer.close_lease(other, [second])
        assert layer.receive(["work"]) == ("work", {"n": 2})

    def test_closing_an_empty_or_unknown_lease_is_no_error(self, layer: ChannelLayer) -> None:
        lease = layer.open_lease()
        for name in (lease, lease, "unknown"):
            layer.close_lease(name)
        assert dropped(layer, "worker_died") == 0

    # Flush

    @pytest.mark.parametrize("between", ["nothing", "a fetch"])
    def test_what_was_handed_out_before_a_flush_cannot_be_finished(self, layer: ChannelLayer, between: str) -> None:
        lease = layer.open_lease()
        send(layer, 1, 2)
        stale = fetch(layer, lease, "work")
        layer.flush()
        if between == "a fetch":
            send(layer, 3, 4)
            assert numbered(fetch(layer, lease, "work")) == [3, 4]
        layer.finish([Finished(delivery, [answer(layer, "no")]) for delivery in stale], lease)
        assert drain(layer, "answers") == []
