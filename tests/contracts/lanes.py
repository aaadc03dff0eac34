"""Lanes: of one connection's messages one is out at a time, in order, and nobody else waits for it."""

from __future__ import annotations

import collections
import threading

import pytest

from chancelery.exceptions import ChannelFull
from chancelery.layers.base import ChannelLayer, Delivery, Finished, Send
from tests.contracts.fixtures import LayerFixtures, MakeLayer, SteppedClock, drain, dropped, fetch, numbered

LANE = "daphne.x!connection"
OTHER_LANE = "daphne.x!other"


def send(layer: ChannelLayer, n: object, channel: str = "work", lane: str = LANE) -> None:
    layer.send(channel, {"n": n}, lane=lane)


def finish(layer: ChannelLayer, lease: str, *deliveries: Delivery) -> None:
    assert layer.finish([Finished(delivery) for delivery in deliveries], lease) == []


class LanesContract(LayerFixtures):
    def test_only_process_local_reply_channels_have_lanes(self, layer: ChannelLayer) -> None:
        assert layer.lane("daphne.x!one")
        assert layer.lane("daphne.x!one") != layer.lane("daphne.x!two")
        assert layer.lane("reply?one") == ""
        assert layer.lane("ordinary") == ""

    def test_one_message_of_a_lane_is_out_at_a_time(self, layer: ChannelLayer) -> None:
        leases = [layer.open_lease() for _ in range(3)]
        for n in range(6):
            send(layer, n)
        for n in range(6):
            [delivery] = fetch(layer, leases[n % 3], "work")
            assert (delivery.content, delivery.lane, delivery.channel) == ({"n": n}, LANE, "work")
            assert [fetch(layer, lease, "work") for lease in leases] == [[], [], []]
            finish(layer, leases[n % 3], delivery)
        assert [fetch(layer, lease, "work") for lease in leases] == [[], [], []]

    def test_the_next_message_can_be_fetched_in_the_exchange_that_finishes_the_one_before(
        self, layer: ChannelLayer
    ) -> None:
        lease = layer.open_lease()
        send(layer, 1)
        send(layer, 2)
        [first] = fetch(layer, lease, "work")
        [second] = layer.fetch(["work"], 10, lease, [Finished(first)]).deliveries
        assert second.content == {"n": 2}

    def test_other_lanes_and_messages_without_one_do_not_wait(self, layer: ChannelLayer) -> None:
        lease = layer.open_lease()
        send(layer, 1)
        send(layer, 2)
        send(layer, 3, lane=OTHER_LANE)
        send(layer, 4, lane="")
        send(layer, 5, lane="")
        assert numbered(fetch(layer, lease, "work")) == [1, 3, 4, 5]

    def test_the_next_message_joins_the_end_of_its_own_channel(self, layer: ChannelLayer) -> None:
        lease = layer.open_lease()
        send(layer, 1, "connect")
        send(layer, 2, "receive")
        send(layer, 3, "disconnect")
        assert fetch(layer, lease, "receive", "disconnect") == []
        [first] = fetch(layer, lease, "connect")
        send(layer, "earlier", "receive", lane="")
        finish(layer, lease, first)
        assert fetch(layer, lease, "connect", "disconnect") == []
        earlier, second = fetch(layer, lease, "receive")
        assert numbered([earlier, second]) == ["earlier", 2]
        finish(layer, lease, earlier)
        assert fetch(layer, lease, "disconnect") == []
        finish(layer, lease, second)
        assert numbered(fetch(layer, lease, "disconnect")) == [3]

    def test_workers_of_different_channels_keep_one_lane_in_order(self, layer: ChannelLayer) -> None:
        workers = {channel: layer.open_lease() for channel in ("a", "b")}
        for n in range(8):
            send(layer, n, "ab"[n % 2])
        seen = []
        for _ in range(8):
            for channel, lease in workers.items():
                for delivery in fetch(layer, lease, channel):
                    seen.append(delivery.content["n"])
                    finish(layer, lease, delivery)
        assert seen == list(range(8))

    def test_a_lane_is_idle_again_when_its_last_message_is_finished(self, layer: ChannelLayer) -> None:
        lease = layer.open_lease()
        for n in range(3):
            send(layer, n)
            [delivery] = fetch(layer, lease, "work")
            assert delivery.content == {"n": n}
            finish(layer, lease, delivery)

    def test_receive_is_done_with_a_message_at_once(self, layer: ChannelLayer) -> None:
        for n in range(4):
            send(layer, n)
        assert [content["n"] for _, content in drain(layer, "work")] == [0, 1, 2, 3]

    def test_a_single_reader_channel_may_be_in_a_lane(self, layer: ChannelLayer) -> None:
        lease = layer.open_lease()
        send(layer, 1, "single?x")
        send(layer, 2, "work")
        [first] = fetch(layer, lease, "single?x", "work")
        finish(layer, lease, first)
        assert numbered(fetch(layer, lease, "single?x", "work")) == [2]

    # Capacity

    def test_a_full_lane_refuses_its_own_messages_only(self, make_layer: MakeLayer) -> None:
        layer = make_layer(lane_capacity=2)
        lease = layer.open_lease()
        for n in range(3):
            send(layer, n)
        with pytest.raises(ChannelFull, match=rf'"work" .* or the connection {LANE} 2: .*lane_capacity'):
            send(layer, "too many")
        send(layer, 3, lane=OTHER_LANE)
        seen = []
        while deliveries := fetch(layer, lease, "work"):
            seen += numbered(deliveries)
            finish(layer, lease, *deliveries)
        assert seen == [0, 3, 1, 2]
        send(layer, "room again")
        assert numbered(fetch(layer, lease, "work")) == ["room again"]

    def test_what_waits_in_a_lane_takes_no_room_on_the_channel(self, make_layer: MakeLayer) -> None:
        layer = make_layer(capacity=2)
        for n in range(5):
            send(layer, n)
        assert layer.channel_statistics("work")["messages_pending"] == 1
        send(layer, 5, lane=OTHER_LANE)
        with pytest.raises(ChannelFull):
            send(layer, 6, lane="daphne.x!third")
        with pytest.raises(ChannelFull):
            send(layer, 7, lane="")

    def test_what_was_taken_into_a_lane_goes_on_though_its_channel_is_full(self, make_layer: MakeLayer) -> None:
        layer = make_layer(capacity=1)
        lease = layer.open_lease()
        send(layer, 1)
        send(layer, 2)
        [first] = fetch(layer, lease, "work")
        send(layer, 3, lane="")
        finish(layer, lease, first)
        assert numbered(fetch(layer, lease, "work")) == [3, 2]

    def test_a_refused_message_leaves_its_lane_idle(self, make_layer: MakeLayer) -> None:
        layer = make_layer(capacity=1)
        send(layer, "full", lane="")
        with pytest.raises(ChannelFull):
            send(layer, 1)
        drain(layer, "work")
        send(layer, 2)
        assert numbered(fetch(layer, layer.open_lease(), "work")) == [2]

    # Expiry

    def test_an_expired_head_is_counted_and_releases_its_lane(self, make_layer: MakeLayer, clock: SteppedClock) -> None:
        layer = make_layer(expiry=10)
        send(layer, 1)
        clock.advance(6)
        send(layer, 2, "other")
        send(layer, 3)
        clock.advance(6)
        lease = layer.open_lease()
        assert fetch(layer, lease, "work") == []
        [second] = fetch(layer, lease, "other")
        assert second.content == {"n": 2}
        assert dropped(layer, "expired") == 1
        finish(layer, lease, second)
        assert numbered(fetch(layer, lease, "work")) == [3]

    def test_a_lane_whose_messages_have_all_expired_is_idle_again(
        self, make_layer: MakeLayer, clock: SteppedClock
    ) -> None:
        layer = make_layer(expiry=10)
        for n in range(3):
            send(layer, n)
        clock.advance(11)
        lease = layer.open_lease()
        assert fetch(layer, lease, "work") == []
        assert dropped(layer, "expired") == 3
        send(layer, "new")
        assert numbered(fetch(layer, lease, "work")) == ["new"]

    def test_a_message_that_expires_in_its_lane_is_dropped_when_its_turn_comes(
        self, make_layer: MakeLayer, clock: SteppedClock
    ) -> None:
        layer = make_layer(expiry=10, lease_seconds=100)
        lease = layer.open_lease()
        send(layer, 1)
        [first] = fetch(layer, lease, "work")
        send(layer, 2)
        clock.advance(6)
        send(layer, 3)
        clock.advance(6)
        [third] = layer.fetch(["work"], 10, lease, [Finished(first)]).deliveries
        assert third.content == {"n": 3}
        assert dropped(layer, "expired") == 1

    def test_what_expires_in_its_lane_holds_up_nobody_even_on_a_channel_that_is_not_read(
        self, make_layer: MakeLayer, clock: SteppedClock
    ) -> None:
        layer = make_layer(expiry=10)
        send(layer, 1, "work")
        send(layer, 2, "nobody.reads.this")
        clock.advance(11)
        lease = layer.open_lease()
        assert fetch(layer, lease, "work") == []
        assert dropped(layer, "expired") == 2
        send(layer, 3, "work")
        assert numbered(fetch(layer, lease, "work")) == [3]

    def test_an_expired_head_that_makes_room_releases_its_lane(
        self, make_layer: MakeLayer, clock: SteppedClock
    ) -> None:
        layer = make_layer(expiry=10, capacity=1)
        send(layer, 1)
        clock.advance(6)
        send(layer, 2, "other")
        clock.advance(6)
        send(layer, 3, lane="")
        lease = layer.open_lease()
        assert numbered(fetch(layer, lease, "work")) == [3]
        assert numbered(fetch(layer, lease, "other")) == [2]

    def test_a_whole_lane_that_has_expired_makes_room(self, make_layer: MakeLayer, clock: SteppedClock) -> None:
        layer = make_layer(expiry=10, capacity=1)
        for n in range(3):
            send(layer, n)
        clock.advance(11)
        send(layer, "new", lane="")
        assert numbered(fetch(layer, layer.open_lease(), "work")) == ["new"]
        assert dropped(layer, "expired") == 3

    # Crowds

    @pytest.mark.timeout(60)
    def test_every_lane_keeps_its_order_whatever_the_number_of_workers(self, layer: ChannelLayer) -> None:
        lanes, each, workers = 8, 12, 4
        handled: dict[str, list[object]] = collections.defaultdict(list)
        out: set[str] = set()
        faults: list[str] = []

        def work() -> None:
            lease = layer.open_lease()
            finished: list[Finished] = []
            while sum(map(len, handled.values())) < lanes * each and not faults:
                deliveries = layer.fetch(["a", "b"], 4, lease, finished).deliveries
                finished = []
                for delivery in deliveries:
                    if delivery.lane in out:
                        faults.append(f"two messages of {delivery.lane} are out")
                    out.add(delivery.lane)
                for delivery in deliveries:
                    handled[delivery.lane].append(delivery.content["n"])
                    out.discard(delivery.lane)
                    finished.append(Finished(delivery, [Send("done", layer.pack({}))]))
            layer.finish(finished, lease)
            layer.close_lease(lease)

        for n in range(each):
            for number in range(lanes):
                send(layer, n, "ab"[n % 2], lane=f"d!{number}")
        crowd = [threading.Thread(target=work, daemon=True) for _ in range(workers)]
        for thread in crowd:
            thread.start()
        for thread in crowd:
            thread.join(50)
        assert faults == []
        assert handled == {f"d!{number}": list(range(each)) for number in range(lanes)}
        assert len(drain(layer, "done")) == lanes * each
