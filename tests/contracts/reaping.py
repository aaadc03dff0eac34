"""Leases that run out: what was begun under them ends with a record, what was not is handed to others."""

from __future__ import annotations

import pytest

from chancelery.layers.base import ChannelLayer, Delivery, Fate, Fetched, Finished, Reaped, Send
from chancelery.trail import Hop
from tests.contracts.fixtures import (
    LEASE_SECONDS,
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


def begin(layer: ChannelLayer, lease: str, begun: int, *channels: str, limit: int = 100) -> list[Delivery]:
    """Fetch, and count the first *begun* of it as begun."""
    return layer.fetch(channels or ("work",), limit, lease, begin=begun).deliveries


def reap(layer: ChannelLayer, clock: SteppedClock) -> list[Reaped]:
    """Let every lease run out, and reap."""
    clock.advance(LEASE_SECONDS * 2)
    return layer.reap()


class ReapingContract(LayerFixtures):
    def test_a_lease_that_ran_out_is_reaped_with_a_record(self, layer: ChannelLayer, clock: SteppedClock) -> None:
        lease = layer.open_lease()
        trail = (Hop("gateway", "work", "host:1", 1),)
        layer.send("work", {"n": 1}, trail=trail)
        fetch(layer, lease, "work")
        clock.advance(LEASE_SECONDS / 2)
        assert layer.reap() == []
        clock.advance(LEASE_SECONDS)
        assert layer.reap() == [Reaped("work", trail, Fate.DROPPED)]
        assert layer.reap() == []
        assert dropped(layer, "worker_died") == 1
        assert layer.receive(["work"]) == (None, None)

    def test_a_reaped_lease_releases_its_lanes(self, layer: ChannelLayer, clock: SteppedClock) -> None:
        lease, other = layer.open_lease(), layer.open_lease()
        send(layer, 1, 2, lane=LANE)
        fetch(layer, lease, "work")
        clock.advance(LEASE_SECONDS * 2)
        assert fetch(layer, other, "work") == []
        assert len(layer.reap()) == 1
        assert numbered(fetch(layer, other, "work")) == [2]

    def test_only_the_leases_that_ran_out_are_reaped(self, layer: ChannelLayer, clock: SteppedClock) -> None:
        silent, busy, fetching, finishing = (layer.open_lease() for _ in range(4))
        send(layer, "silent", "busy", "fetching", "finishing", "finished")
        fetch(layer, silent, "work", limit=1)
        fetch(layer, busy, "work", limit=1)
        fetch(layer, fetching, "work", limit=1)
        _, last = fetch(layer, finishing, "work", limit=2)
        clock.advance(LEASE_SECONDS * 0.7)
        layer.renew([busy])
        fetch(layer, fetching, "work")
        layer.finish([Finished(last)], finishing)
        clock.advance(LEASE_SECONDS * 0.7)
        assert layer.reap() == [Reaped("work", (), Fate.DROPPED)]
        clock.advance(LEASE_SECONDS)
        assert len(layer.reap()) == 3

    def test_what_was_not_reaped_yet_can_be_finished(self, layer: ChannelLayer, clock: SteppedClock) -> None:
        lease = layer.open_lease()
        send(layer, 1)
        [delivery] = fetch(layer, lease, "work")
        clock.advance(LEASE_SECONDS * 2)
        layer.finish([Finished(delivery, [answer(layer, "late but here")])], lease)
        assert layer.reap() == []
        assert drain(layer, "answers") == [("answers", {"n": "late but here"})]

    # What was begun

    def test_everything_that_is_handed_out_counts_as_begun_unless_it_is_told_otherwise(
        self, layer: ChannelLayer, clock: SteppedClock
    ) -> None:
        send(layer, *range(5))
        fetch(layer, layer.open_lease(), "work")
        assert len(reap(layer, clock)) == 5
        assert drain(layer, "work") == []

    @pytest.mark.parametrize("begun", [0, 1, 3, 5, 100])
    def test_what_was_not_begun_is_given_back_in_order(
        self, layer: ChannelLayer, clock: SteppedClock, begun: int
    ) -> None:
        send(layer, *range(5))
        begin(layer, layer.open_lease(), begun)
        send(layer, "later")
        assert reap(layer, clock) == [Reaped("work", (), Fate.DROPPED)] * min(begun, 5)
        assert numbered(fetch(layer, layer.open_lease(), "work")) == [*range(5)[begun:], "later"]
        assert dropped(layer, "worker_died") == min(begun, 5)

    def test_what_was_not_begun_goes_back_to_its_own_channel(self, layer: ChannelLayer, clock: SteppedClock) -> None:
        lease = layer.open_lease()
        send(layer, "a1", "a2", channel="a")
        send(layer, "b1", "b2", channel="b?x")
        begin(layer, lease, 0, "a")
        begin(layer, lease, 0, "b?x")
        send(layer, "a3", channel="a")
        send(layer, "b3", channel="b?x")
        assert reap(layer, clock) == []
        assert numbered(fetch(layer, layer.open_lease(), "a")) == ["a1", "a2", "a3"]
        assert numbered(fetch(layer, layer.open_lease(), "b?x")) == ["b1", "b2", "b3"]

    def test_an_id_tells_up_to_where_a_worker_has_begun(self, layer: ChannelLayer, clock: SteppedClock) -> None:
        lease = layer.open_lease()
        send(layer, *range(5))
        deliveries = begin(layer, lease, 0)
        layer.fetch([], 0, lease, begun=deliveries[2].id)
        assert len(reap(layer, clock)) == 3
        assert numbered(fetch(layer, layer.open_lease(), "work")) == [3, 4]

    def test_what_was_begun_once_stays_so(self, layer: ChannelLayer, clock: SteppedClock) -> None:
        lease = layer.open_lease()
        send(layer, *range(5))
        deliveries = begin(layer, lease, 3)
        for earlier in (deliveries[0].id, deliveries[1].id, 0):
            layer.fetch([], 0, lease, begun=earlier)
        layer.finish([Finished(deliveries[0])], lease)
        assert len(reap(layer, clock)) == 2
        assert numbered(fetch(layer, layer.open_lease(), "work")) == [3, 4]

    def test_what_is_begun_now_may_be_told_together_with_what_is_finished_and_fetched(
        self, layer: ChannelLayer, clock: SteppedClock
    ) -> None:
        lease = layer.open_lease()
        send(layer, *range(4))
        first, second, _ = begin(layer, lease, 1, limit=3)
        fetched = layer.fetch(["work"], 10, lease, [Finished(first)], begin=0, begun=second.id)
        assert numbered(fetched.deliveries) == [3]
        assert len(reap(layer, clock)) == 1
        assert numbered(fetch(layer, layer.open_lease(), "work")) == [2, 3]

    def test_what_waited_for_messages_counts_as_begun_too(self, layer: ChannelLayer, clock: SteppedClock) -> None:
        send(layer, 1, 2, 3)
        fetched = layer.fetch_when_ready(["work"], 10, layer.open_lease(), 0.1, begin=2)
        assert (numbered(fetched.deliveries), fetched.held) == ([1, 2, 3], True)
        assert len(reap(layer, clock)) == 2
        assert drain(layer, "work") == [("work", {"n": 3})]

    def test_what_cannot_be_read_is_not_counted_among_those_begun(
        self, layer: ChannelLayer, clock: SteppedClock
    ) -> None:
        layer.post([Send("work", b"\xc1 is no msgpack")])
        send(layer, 1, 2)
        begin(layer, layer.open_lease(), 1)
        assert len(reap(layer, clock)) == 1
        assert drain(layer, "work") == [("work", {"n": 2})]
        assert (dropped(layer, "corrupt"), dropped(layer, "worker_died")) == (1, 1)

    def test_what_cannot_be_read_begins_nothing(self, layer: ChannelLayer, clock: SteppedClock) -> None:
        lease = layer.open_lease()
        send(layer, 1, 2)
        assert numbered(begin(layer, lease, 0)) == [1, 2]
        layer.post([Send("work", b"\xc1 is no msgpack")])
        assert begin(layer, lease, 0) == []
        assert reap(layer, clock) == []
        assert numbered(fetch(layer, layer.open_lease(), "work")) == [1, 2]

    def test_what_was_not_begun_keeps_its_lane(self, layer: ChannelLayer, clock: SteppedClock) -> None:
        lease, other = layer.open_lease(), layer.open_lease()
        send(layer, 1, 2, lane=LANE)
        send(layer, 3)
        begin(layer, lease, 0)
        assert reap(layer, clock) == []
        send(layer, 4, lane=LANE)
        seen = []
        while deliveries := fetch(layer, other, "work"):
            seen.append(numbered(deliveries))
            layer.finish([Finished(delivery) for delivery in deliveries], other)
        assert seen == [[1, 3], [2], [4]]

    def test_what_was_begun_releases_its_lanes_in_order(self, layer: ChannelLayer, clock: SteppedClock) -> None:
        lanes = [f"daphne.x!{n}" for n in range(20)]
        for n in (1, 2):
            for lane in lanes:
                send(layer, f"{lane} {n}", lane=lane)
        begin(layer, layer.open_lease(), 20)
        send(layer, "waits already")
        assert len(reap(layer, clock)) == 20
        expected = ["waits already", *(f"{lane} 2" for lane in lanes)]
        assert numbered(fetch(layer, layer.open_lease(), "work")) == expected

    def test_given_back_and_expired_is_dropped_as_expired(self, make_layer: MakeLayer, clock: SteppedClock) -> None:
        layer = make_layer(expiry=10, lease_seconds=LEASE_SECONDS)
        send(layer, 1)
        begin(layer, layer.open_lease(), 0)
        clock.advance(11)
        assert layer.reap() == []
        assert drain(layer, "work") == []
        assert (dropped(layer, "expired"), dropped(layer, "worker_died")) == (1, 0)

    def test_what_was_given_back_takes_its_room_though_its_channel_is_full(
        self, make_layer: MakeLayer, clock: SteppedClock
    ) -> None:
        layer = make_layer(capacity=2, lease_seconds=LEASE_SECONDS)
        send(layer, 1, 2)
        begin(layer, layer.open_lease(), 0)
        send(layer, 3, 4)
        layer_reaped = reap(layer, clock)
        assert layer_reaped == []
        assert [content["n"] for _, content in drain(layer, "work")] == [1, 2, 3, 4]

    def test_a_message_that_is_handed_out_again_because_nobody_began_it_is_at_its_first_attempt(
        self, layer: ChannelLayer, clock: SteppedClock
    ) -> None:
        send(layer, 1)
        for _ in range(3):
            [delivery] = begin(layer, layer.open_lease(), 0)
            assert delivery.attempt == 1
            reap(layer, clock)

    # What a worker may do that was taken for dead

    def test_a_reaped_lease_is_not_held_any_more(self, layer: ChannelLayer, clock: SteppedClock) -> None:
        lease = layer.open_lease()
        send(layer, 1)
        assert layer.fetch(["work"], 1, lease).held
        reap(layer, clock)
        send(layer, 2)
        for _ in range(3):
            assert layer.fetch(["work"], 10, lease) == Fetched([], [], held=False)
            assert not layer.fetch_when_ready(["work"], 10, lease, 0.01).held
        assert drain(layer, "work") == [("work", {"n": 2})]

    def test_a_lease_under_which_nothing_was_held_is_reaped_too(self, layer: ChannelLayer, clock: SteppedClock) -> None:
        lease = layer.open_lease()
        assert layer.fetch(["work"], 1, lease).held
        assert reap(layer, clock) == []
        assert not layer.fetch(["work"], 1, lease).held

    def test_a_lease_that_was_never_used_is_opened_by_its_first_fetch(
        self, layer: ChannelLayer, clock: SteppedClock
    ) -> None:
        lease = layer.open_lease()
        assert reap(layer, clock) == []
        send(layer, 1)
        fetched = layer.fetch(["work"], 1, lease)
        assert (numbered(fetched.deliveries), fetched.held) == ([1], True)

    def test_what_a_reaped_lease_sends_is_dropped_and_counted(self, layer: ChannelLayer, clock: SteppedClock) -> None:
        lease = layer.open_lease()
        layer.group_add("group", "member")
        send(layer, 1, 2, 3)
        first, second, third = begin(layer, lease, 2)
        reap(layer, clock)
        group = Send("group", layer.pack({}), to_group=True)
        finished = [Finished(first, [answer(layer, "a"), answer(layer, "b", "p!x")]), Finished(second)]
        assert layer.finish([*finished, Finished(third, [group])], lease) == []
        assert drain(layer, "answers", "member", "p!") == []
        assert dropped(layer, "fenced") == 3
        assert dropped(layer, "worker_died") == 2

    def test_what_a_reaped_lease_held_cannot_be_finished_by_it_though_another_has_it(
        self, layer: ChannelLayer, clock: SteppedClock
    ) -> None:
        lease, other = layer.open_lease(), layer.open_lease()
        send(layer, 1, 2, lane=LANE)
        [stale] = begin(layer, lease, 0)
        reap(layer, clock)
        [fresh] = fetch(layer, other, "work")
        layer.finish([Finished(stale, [answer(layer, "no")])], lease)
        assert fetch(layer, other, "work") == []
        layer.finish([Finished(fresh, [answer(layer, "yes")])], other)
        assert drain(layer, "answers") == [("answers", {"n": "yes"})]
        assert numbered(fetch(layer, other, "work")) == [2]

    @pytest.mark.parametrize("door", ["renew", "recover", "close", "begun"])
    def test_nothing_brings_a_reaped_lease_back(self, layer: ChannelLayer, clock: SteppedClock, door: str) -> None:
        lease = layer.open_lease()
        send(layer, 1, 2)
        stale = begin(layer, lease, 1)
        reap(layer, clock)
        if door == "renew":
            layer.renew([lease, "unknown"])
            layer.renew([])
        elif door == "recover":
            layer.recover(lease, [])
        elif door == "close":
            layer.close_lease(lease, stale)
        else:
            layer.fetch([], 0, lease, begun=stale[1].id)
        assert layer.fetch(["work"], 10, lease) == Fetched([], [], held=False)
        assert layer.overview().leases == []
        assert reap(layer, clock) == []
        assert drain(layer, "work") == [("work", {"n": 2})]

    def test_a_worker_that_was_taken_for_dead_goes_on_under_a_new_lease(
        self, layer: ChannelLayer, clock: SteppedClock
    ) -> None:
        lease = layer.open_lease()
        send(layer, 1, 2)
        begin(layer, lease, 1, limit=1)
        reap(layer, clock)
        lease = layer.open_lease()
        [delivery] = fetch(layer, lease, "work")
        layer.finish([Finished(delivery, [answer(layer, "yes")])], lease)
        assert drain(layer, "answers") == [("answers", {"n": "yes"})]

    def test_a_flush_forgets_which_leases_were_reaped(self, layer: ChannelLayer, clock: SteppedClock) -> None:
        lease = layer.open_lease()
        send(layer, 1)
        fetch(layer, lease, "work")
        reap(layer, clock)
        layer.flush()
        send(layer, 2)
        fetched = layer.fetch(["work"], 10, lease)
        assert (numbered(fetched.deliveries), fetched.held) == ([2], True)

    # A worker that stops

    def test_what_a_closed_lease_holds_and_has_not_begun_is_given_back_in_order(self, layer: ChannelLayer) -> None:
        lease, other = layer.open_lease(), layer.open_lease()
        send(layer, *range(5))
        deliveries = begin(layer, lease, 2)
        layer.close_lease(lease, [deliveries[3]])
        assert numbered(fetch(layer, other, "work")) == [2, 3, 4]
        assert dropped(layer, "worker_died") == 2

    def test_a_closed_lease_gives_back_even_what_counts_as_begun(self, layer: ChannelLayer) -> None:
        lease, other = layer.open_lease(), layer.open_lease()
        send(layer, *range(5))
        deliveries = begin(layer, lease, 3)
        layer.close_lease(lease, deliveries[1:3])
        assert numbered(fetch(layer, other, "work")) == [1, 2, 3, 4]
        assert dropped(layer, "worker_died") == 1
