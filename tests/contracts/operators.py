"""What an operator sees and does: the overview, purging a channel, and counting what was dropped elsewhere."""

from __future__ import annotations

import pytest

from chancelery.layers.base import ChannelLayer, ChannelOverview, Finished, LeaseOverview, Send, Will
from tests.contracts.fixtures import (
    LEASE_SECONDS,
    SURE,
    LayerFixtures,
    MakeLayer,
    SteppedClock,
    drain,
    dropped,
    fetch,
    numbered,
    run,
)

LANE = "daphne.x!connection"
OTHER_LANE = "daphne.x!other"


def send(layer: ChannelLayer, *contents: object, channel: str = "work", lane: str = "") -> None:
    for n in contents:
        layer.send(channel, {"n": n}, lane=lane)


class OperatorsContract(LayerFixtures):
    # Overview

    def test_a_layer_that_was_never_used_holds_nothing(self, layer: ChannelLayer, clock: SteppedClock) -> None:
        overview = layer.overview()
        assert overview.now_ms == round(clock() * 1000)
        assert (overview.channels, overview.processes, overview.groups, overview.leases) == ([], [], [], [])
        assert (overview.busy_lanes, overview.dead_letters) == (0, 0)
        assert overview.counters == {"messages_count": 0, "channel_full_count": 0}

    def test_it_tells_what_waits_on_every_channel(self, make_layer: MakeLayer, clock: SteppedClock) -> None:
        layer = make_layer(channel_capacity={"full": 1})
        send(layer, 1, 2, channel="work")
        clock.advance(0.25)
        send(layer, 3, channel="full")
        layer.post([Send("full", layer.pack({}))] * 2)
        send(layer, 4, channel="read")
        assert layer.receive(["read"]) == ("read", {"n": 4})
        send(layer, 5, channel="single?x")
        clock.advance(1)
        assert sorted(layer.overview().channels) == [
            ChannelOverview("full", 1, 1000, 1, 2),
            ChannelOverview("read", 0, 0, 1, 0),
            ChannelOverview("single?x", 1, 1000, 0, 0),
            ChannelOverview("work", 2, 1250, 2, 0),
        ]

    def test_it_tells_how_much_mail_a_process_has(self, layer: ChannelLayer, clock: SteppedClock) -> None:
        will = Will("gone", layer.pack({}))
        layer.post([Send("come", layer.pack({}), "gw.x!socket", will=will)])
        send(layer, 1, channel="gw.x!socket")
        clock.advance(0.5)
        send(layer, 2, channel="gw.x!another")
        assert layer.overview().processes == [ChannelOverview("gw.x!", 2, 500, 0, 0)]

    def test_it_tells_how_many_members_every_group_has(self, make_layer: MakeLayer, clock: SteppedClock) -> None:
        layer = make_layer(group_expiry=10)
        layer.group_add("gone", "p!1")
        layer.group_add("left", "p!1")
        layer.group_discard("left", "p!1")
        clock.advance(6)
        for channel in ("p!1", "p!2", "plain"):
            layer.group_add("room", channel)
        layer.group_add("other", "p!1")
        clock.advance(6)
        assert sorted(layer.overview().groups) == [("other", 1), ("room", 3)]

    def test_it_tells_what_every_lease_holds_and_how_long_it_lasts(
        self, layer: ChannelLayer, clock: SteppedClock
    ) -> None:
        late, idle, busy = (layer.open_lease() for _ in range(3))
        send(layer, *range(5))
        fetch(layer, late, "work", limit=1)
        clock.advance(LEASE_SECONDS + 0.5)
        layer.fetch(["work"], 4, busy, begin=1)
        fetch(layer, idle, "work")
        clock.advance(0.25)
        left_ms = LEASE_SECONDS * 1000 - 250
        expected = [LeaseOverview(late, 1, -750), LeaseOverview(busy, 4, left_ms), LeaseOverview(idle, 0, left_ms)]
        assert sorted(layer.overview().leases) == sorted(expected)
        layer.close_lease(busy)
        layer.reap()
        assert [lease.name for lease in layer.overview().leases] == [idle]

    def test_it_tells_how_many_lanes_are_busy(self, layer: ChannelLayer) -> None:
        lease = layer.open_lease()
        send(layer, 1, 2, lane=LANE)
        send(layer, 3, lane=OTHER_LANE)
        send(layer, 4)
        first, third, _ = fetch(layer, lease, "work")
        assert layer.overview().busy_lanes == 2
        layer.finish([Finished(first), Finished(third)], lease)
        assert layer.overview().busy_lanes == 1

    def test_its_counters_are_the_statistics(self, layer: ChannelLayer, clock: SteppedClock) -> None:
        send(layer, 1, 2)
        fetch(layer, layer.open_lease(), "work")
        clock.advance(LEASE_SECONDS * 2)
        layer.reap()
        assert layer.overview().counters == layer.global_statistics()
        assert layer.overview().counters == {
            "messages_count": 2,
            "channel_full_count": 0,
            "dropped:worker_died": 2,
        }

    def test_a_message_to_a_group_counts_where_it_is_stored(self, make_layer: MakeLayer) -> None:
        layer = make_layer(capacity=1, process_capacity=5)
        for channel in ("p!1", "p!2", "q!1", "plain", "full"):
            layer.group_add("group", channel)
        send(layer, 1, channel="full")
        layer.send_group("group", {})
        layer.send_group("nobody", {})
        assert layer.global_statistics() == {"messages_count": 4, "channel_full_count": 0, "dropped:group_full": 1}

    # Purge

    def test_purging_drops_what_waits_and_counts_it(self, layer: ChannelLayer) -> None:
        send(layer, *range(5))
        send(layer, "other", channel="other")
        assert layer.purge("work") == 5
        assert layer.purge("work") == 0
        assert layer.purge("nobody.sent.here") == 0
        assert drain(layer, "work", "other") == [("other", {"n": "other"})]
        assert dropped(layer, "purged") == 5
        send(layer, "new")
        assert drain(layer, "work") == [("work", {"n": "new"})]

    def test_purging_makes_room(self, make_layer: MakeLayer) -> None:
        layer = make_layer(capacity=2)
        send(layer, 1, 2)
        assert layer.purge("work") == 2
        send(layer, 3, 4)
        assert numbered(fetch(layer, layer.open_lease(), "work")) == [3, 4]

    def test_the_mail_of_a_process_cannot_be_purged(self, layer: ChannelLayer) -> None:
        send(layer, 1, channel="p!1")
        with pytest.raises(TypeError, match="only channels that workers read can be purged"):
            layer.purge("p!1")
        assert drain(layer, "p!") == [("p!1", {"n": 1})]

    def test_a_single_reader_channel_can_be_purged(self, layer: ChannelLayer) -> None:
        send(layer, 1, channel="single?x")
        assert layer.purge("single?x") == 1
        assert drain(layer, "single?x") == []

    def test_what_is_being_handled_is_not_purged(self, layer: ChannelLayer) -> None:
        lease = layer.open_lease()
        send(layer, 1, 2, lane=LANE)
        [first] = fetch(layer, lease, "work")
        assert layer.purge("work") == 0
        second = layer.fetch(["work"], 10, lease, [Finished(first, [Send("answers", layer.pack({}))])]).deliveries
        assert numbered(second) == [2]
        assert drain(layer, "answers") == [("answers", {})]

    def test_purging_goes_on_behind_the_lanes_of_what_it_drops(self, layer: ChannelLayer) -> None:
        send(layer, *range(3), lane=LANE)
        send(layer, 3, lane=OTHER_LANE)
        send(layer, 4)
        assert layer.purge("work") == 5
        send(layer, "new", lane=LANE)
        assert numbered(fetch(layer, layer.open_lease(), "work")) == ["new"]

    def test_purging_lets_lanes_go_on_to_other_channels(self, layer: ChannelLayer) -> None:
        lease = layer.open_lease()
        for n, channel in enumerate(["work", "work", "other", "work", "other"]):
            send(layer, n, channel=channel, lane=LANE)
        assert layer.purge("work") == 2
        seen = []
        while deliveries := fetch(layer, lease, "work", "other"):
            seen.append(numbered(deliveries))
            layer.finish([Finished(delivery) for delivery in deliveries], lease)
        assert seen == [[2], [3], [4]]

    def test_what_has_expired_and_was_not_seen_yet_is_purged(self, make_layer: MakeLayer, clock: SteppedClock) -> None:
        layer = make_layer(expiry=10)
        send(layer, 1)
        clock.advance(11)
        send(layer, 2)
        assert layer.purge("work") == 2
        assert (dropped(layer, "purged"), dropped(layer, "expired")) == (2, 0)

    def test_purged_messages_of_a_channel_that_is_handled_at_least_once_become_dead_letters(
        self, layer: ChannelLayer
    ) -> None:
        send(layer, 1, 2, channel=SURE, lane=LANE)
        assert layer.purge(SURE) == 2
        letters = layer.dead_letters()
        assert [(letter.reason, letter.content) for letter in letters] == [("purged", {"n": 1}), ("purged", {"n": 2})]
        assert [(letter.channel, letter.lane, letter.attempts) for letter in letters] == [(SURE, LANE, 0)] * 2

    @pytest.mark.parametrize("name", ["", "two words", "trailing!", None])
    def test_only_a_channel_can_be_purged(self, layer: ChannelLayer, name: str) -> None:
        with pytest.raises(TypeError, match="not a valid channel name"):
            layer.purge(name)

    # Tally

    def test_what_was_dropped_elsewhere_is_added_to_the_counters(self, layer: ChannelLayer) -> None:
        layer.tally({"no_route": 2, "expired": 1})
        layer.tally({"no_route": 1, "undeliverable": 0})
        layer.tally({})
        assert dropped(layer, "no_route") == 3
        assert dropped(layer, "expired") == 1
        assert layer.overview().counters == layer.global_statistics()

    def test_an_event_loop_can_add_to_the_counters(self, layer: ChannelLayer) -> None:
        async def scenario() -> None:
            await layer.atally({"slow_client": 2})
            await layer.atally({})

        run(layer, scenario)
        assert dropped(layer, "slow_client") == 2
