"""Sending at most so often: the first at once, then the latest of what came, and the last one always."""

from __future__ import annotations

import pytest

from chancelery.layers.base import ChannelLayer, Coalesce, Finished, Send
from tests.contracts.fixtures import LayerFixtures, MakeLayer, SteppedClock, drain, fetch

LANE = "daphne.x!connection"
OTHER_LANE = "daphne.x!other"


def latest(
    layer: ChannelLayer, n: object, key: str = "key", every_ms: int = 1000, kind: str = "", **where: object
) -> Send:
    address = where.pop("address", "news")
    return Send(address, layer.pack({"n": n}), coalesce=Coalesce(key, every_ms, kind), **where)


def send(layer: ChannelLayer, *numbers: object, **how: object) -> None:
    assert layer.post([latest(layer, n, **how) for n in numbers]) == []


def come(layer: ChannelLayer, channel: str = "news") -> list[object]:
    return [content["n"] for _, content in drain(layer, channel)]


class CoalescingContract(LayerFixtures):
    def test_the_first_goes_out_at_once_and_then_the_latest_alone(
        self, layer: ChannelLayer, clock: SteppedClock
    ) -> None:
        send(layer, 1, 2, 3)
        assert come(layer) == [1]
        clock.advance(0.6)
        send(layer, 4)
        assert layer.move_due(0) == 0
        clock.advance(0.4)
        assert (layer.move_due(0), come(layer)) == (1, [4])

    def test_the_last_one_always_goes_out(self, layer: ChannelLayer, clock: SteppedClock) -> None:
        seen = []
        for n in range(95):
            send(layer, n)
            layer.move_due(0)
            seen += come(layer)
            clock.advance(0.01)
        clock.advance(1)
        layer.move_due(0)
        assert [*seen, *come(layer)] == [0, 94]

    def test_one_goes_out_at_most_every_so_often(self, layer: ChannelLayer, clock: SteppedClock) -> None:
        seen = []
        for n in range(45):
            send(layer, n)
            layer.move_due(0)
            seen += come(layer)
            clock.advance(0.1)
        clock.advance(1)
        layer.move_due(0)
        assert [*seen, *come(layer)] == [0, 10, 20, 30, 40, 44]

    def test_what_goes_out_late_begins_a_new_time(self, layer: ChannelLayer, clock: SteppedClock) -> None:
        send(layer, 1, 2)
        clock.advance(5)
        assert layer.move_due(0) == 1
        send(layer, 3)
        assert come(layer) == [1, 2]
        clock.advance(1)
        assert (layer.move_due(0), come(layer)) == (1, [3])

    def test_after_that_time_the_next_goes_out_at_once(self, layer: ChannelLayer, clock: SteppedClock) -> None:
        for n in range(3):
            send(layer, n)
            assert come(layer) == [n]
            clock.advance(1)
        assert layer.overview().delayed == 0

    def test_what_waits_is_replaced_even_after_its_time(self, layer: ChannelLayer, clock: SteppedClock) -> None:
        send(layer, 1, 2)
        clock.advance(2)
        send(layer, 3)  # nobody has moved 2 yet
        assert layer.move_due(0) == 1
        assert come(layer) == [1, 3]

    def test_keys_addresses_and_lanes_do_not_replace_each_other(self, layer: ChannelLayer, clock: SteppedClock) -> None:
        layer.group_add("news", "p!1")
        for n in ("first", "second"):
            send(layer, f"{n} key")
            send(layer, f"{n} other key", key="other")
            send(layer, f"{n} reply", address="answers")
            send(layer, f"{n} group", to_group=True)
            send(layer, f"{n} lane", lane=LANE)
        assert sorted(come(layer)) == ["first key", "first lane", "first other key"]
        assert (come(layer, "answers"), come(layer, "p!")) == (["first reply"], ["first group"])
        clock.advance(1)
        assert layer.move_due(0) >= 5
        assert sorted(come(layer)) == ["second key", "second lane", "second other key"]
        assert (come(layer, "answers"), come(layer, "p!")) == (["second reply"], ["second group"])

    @pytest.mark.parametrize("key", ["a:b c", "größe €", "*?[]\\", "x" * 300])
    def test_any_text_can_be_a_key(self, layer: ChannelLayer, clock: SteppedClock, key: str) -> None:
        send(layer, 1, 2, 3, key=key)
        clock.advance(1)
        layer.move_due(0)
        assert come(layer) == [1, 3]

    def test_one_of_another_kind_does_not_replace_what_waits_but_follows_it(
        self, layer: ChannelLayer, clock: SteppedClock
    ) -> None:
        send(layer, 1, 2, kind="progress")
        send(layer, 3, kind="state")
        assert come(layer) == [1, 2]
        send(layer, 4, kind="state")
        send(layer, 5, kind="progress")
        assert come(layer) == [4]
        clock.advance(1)
        assert (layer.move_due(0), come(layer)) == (1, [5])

    def test_a_consumer_s_sends_are_coalesced_when_it_is_finished(
        self, layer: ChannelLayer, clock: SteppedClock
    ) -> None:
        lease = layer.open_lease()
        layer.post([Send("work", layer.pack({"n": n})) for n in range(3)])
        finished = [
            Finished(delivery, [latest(layer, delivery.content["n"])]) for delivery in fetch(layer, lease, "work")
        ]
        fetched = layer.fetch(["news"], 10, lease, finished)
        assert [delivery.content["n"] for delivery in fetched.deliveries] == [0]
        clock.advance(1)
        assert (layer.move_due(0), come(layer)) == (1, [2])

    def test_the_first_is_refused_where_there_is_no_room(self, make_layer: MakeLayer, clock: SteppedClock) -> None:
        layer = make_layer(channel_capacity={"news": 0})
        sends = [latest(layer, n) for n in (1, 2)]
        assert [refusal.send for refusal in layer.post(sends)] == sends
        assert layer.overview().delayed == 0
        assert layer.channel_statistics("news")["channel_full_count"] == 2

    def test_what_waits_and_finds_no_room_is_tried_again_and_may_be_replaced_until_then(
        self, make_layer: MakeLayer, clock: SteppedClock
    ) -> None:
        layer = make_layer(channel_capacity={"news": 1})
        send(layer, 1, 2)
        clock.advance(1)
        assert layer.move_due(0) == 0
        send(layer, 3)
        assert come(layer) == [1]
        clock.advance(1)
        assert (layer.move_due(0), come(layer)) == (1, [3])

    def test_one_of_another_kind_is_refused_while_what_waits_finds_no_room(
        self, make_layer: MakeLayer, clock: SteppedClock
    ) -> None:
        layer = make_layer(channel_capacity={"news": 1})
        send(layer, 1, 2)
        other = latest(layer, 3, kind="state")
        assert [refusal.send for refusal in layer.post([other])] == [other]
        assert come(layer) == [1]
        assert layer.post([other]) == []
        assert come(layer) == [2]
        clock.advance(1)
        assert (layer.move_due(0), come(layer)) == (1, [3])

    def test_it_is_refused_when_too_many_wait_but_may_take_the_place_of_one(
        self, make_layer: MakeLayer, clock: SteppedClock
    ) -> None:
        layer = make_layer(delayed_capacity=1)
        send(layer, 1, 2, 3)
        refused = [latest(layer, n, key="other") for n in (4, 5)]
        assert [refusal.send for refusal in layer.post(refused)] == refused[1:]
        send(layer, 6)
        clock.advance(1)
        assert (layer.move_due(0), come(layer)) == (1, [1, 4, 6])
