"""Messages that are sent for later: they go out when it is time, once, and are never lost."""

from __future__ import annotations

import threading

import pytest

from chancelery.exceptions import ChannelFull
from chancelery.layers.base import ChannelLayer, Coalesce, Finished, Send, Will
from tests.contracts.fixtures import (
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
TIMES = {"a delay": {"delay_ms": 5}, "a moment": {"due_ms": 5}, "a pace": {"coalesce": Coalesce("key", 5)}}


def timed(layer: ChannelLayer, n: object, channel: str = "work", **time: object) -> Send:
    return Send(channel, layer.pack({"n": n}), **time)


def later(layer: ChannelLayer, n: object, delay_ms: int, channel: str = "work", lane: str = "") -> Send:
    return timed(layer, n, channel, lane=lane, delay_ms=delay_ms)


class DelaysContract(LayerFixtures):
    def test_a_delayed_message_goes_out_after_its_delay(self, layer: ChannelLayer, clock: SteppedClock) -> None:
        assert layer.post([later(layer, 1, 5000)]) == []
        clock.advance(4.999)
        assert layer.move_due(0) == 0
        assert drain(layer, "work") == []
        clock.advance(0.001)
        assert layer.move_due(0) == 1
        assert drain(layer, "work") == [("work", {"n": 1})]
        assert layer.move_due(0) == 0

    def test_a_message_for_a_moment_goes_out_then(self, layer: ChannelLayer, clock: SteppedClock) -> None:
        layer.post([timed(layer, 1, due_ms=round(clock() * 1000) + 70)])
        clock.advance(0.069)
        assert layer.move_due(0) == 0
        clock.advance(0.001)
        assert (layer.move_due(0), drain(layer, "work")) == (1, [("work", {"n": 1})])

    def test_what_is_for_a_moment_that_is_past_goes_out_at_once(self, layer: ChannelLayer, clock: SteppedClock) -> None:
        layer.post([timed(layer, n, due_ms=round(clock() * 1000) - past) for n, past in enumerate((0, 1, 10**9))])
        assert [content["n"] for _, content in drain(layer, "work")] == [0, 1, 2]
        assert layer.overview().delayed == 0

    def test_they_go_out_in_the_order_of_their_times_and_then_of_their_sending(
        self, layer: ChannelLayer, clock: SteppedClock
    ) -> None:
        delays = [3000, 1000, 2000, 1000, 3000, 1000] * 50
        layer.post([later(layer, n, delay_ms) for n, delay_ms in enumerate(delays)])
        clock.advance(2)
        assert layer.move_due(0) == 200
        clock.advance(10)
        assert layer.move_due(0) == 100
        expected = [n for _, n in sorted((delay_ms, n) for n, delay_ms in enumerate(delays))]
        assert [content["n"] for _, content in drain(layer, "work")] == expected

    @pytest.mark.parametrize("channel", ["ordinary", "single?reader", "process!local"])
    def test_a_channel_of_any_kind_can_be_sent_to_for_later(
        self, layer: ChannelLayer, clock: SteppedClock, channel: str
    ) -> None:
        layer.post([later(layer, n, 1000, channel) for n in range(3)])
        source = "process!" if "!" in channel else channel
        assert drain(layer, source) == []
        clock.advance(1)
        assert layer.move_due(0) == 3
        assert drain(layer, source) == [(channel, {"n": n}) for n in range(3)]

    def test_a_delayed_message_to_a_group_goes_to_those_who_are_in_it_then(
        self, layer: ChannelLayer, clock: SteppedClock
    ) -> None:
        for member in ("p!stays", "p!leaves"):
            layer.group_add("group", member)
        layer.post([timed(layer, 1, "group", to_group=True, delay_ms=1000)])
        layer.group_discard("group", "p!leaves")
        layer.group_add("group", "q!comes")
        clock.advance(1)
        assert layer.move_due(0) >= 1
        assert drain(layer, "p!") == [("p!stays", {"n": 1})]
        assert drain(layer, "q!") == [("q!comes", {"n": 1})]

    def test_a_delayed_message_of_a_lane_takes_its_place_in_it_when_it_goes_out(
        self, layer: ChannelLayer, clock: SteppedClock
    ) -> None:
        lease = layer.open_lease()
        layer.post([later(layer, "later", 500, lane=LANE), timed(layer, 1, lane=LANE), timed(layer, 2, lane=LANE)])
        [first] = fetch(layer, lease, "work")
        clock.advance(0.5)
        layer.move_due(0)
        layer.post([timed(layer, 3, lane=LANE)])
        seen = []
        deliveries = [first]
        while deliveries:
            seen += [(delivery.content["n"], delivery.lane) for delivery in deliveries]
            deliveries = layer.fetch(["work"], 10, lease, [Finished(delivery) for delivery in deliveries]).deliveries
        assert seen == [(n, LANE) for n in (1, 2, "later", 3)]

    def test_its_life_begins_when_it_goes_out(self, make_layer: MakeLayer, clock: SteppedClock) -> None:
        layer = make_layer(expiry=10)
        layer.post([later(layer, n, 86_400_000) for n in (1, 2)])
        clock.advance(86_400)
        assert layer.move_due(0) == 2
        clock.advance(9)
        assert numbered(fetch(layer, layer.open_lease(), "work", limit=1)) == [1]
        clock.advance(2)
        assert fetch(layer, layer.open_lease(), "work") == []
        assert dropped(layer, "expired") == 1

    def test_a_consumer_s_delay_begins_when_it_is_finished(self, layer: ChannelLayer, clock: SteppedClock) -> None:
        lease = layer.open_lease()
        layer.send("work", {"n": 1})
        [delivery] = fetch(layer, lease, "work")
        clock.advance(0.5)
        assert layer.finish([Finished(delivery, [later(layer, 2, 700, "answers")])], lease) == []
        clock.advance(0.6)
        assert layer.move_due(0) == 0
        clock.advance(0.1)
        assert (layer.move_due(0), drain(layer, "answers")) == (1, [("answers", {"n": 2})])

    def test_a_repeated_finish_sends_nothing_for_later_twice(self, layer: ChannelLayer, clock: SteppedClock) -> None:
        lease = layer.open_lease()
        layer.send("work", {"n": 1})
        [delivery] = fetch(layer, lease, "work")
        for _ in range(2):
            layer.finish([Finished(delivery, [later(layer, 2, 700, "answers")])], lease)
        assert layer.overview().delayed == 1

    def test_an_event_loop_can_send_for_later(self, layer: ChannelLayer, clock: SteppedClock) -> None:
        async def scenario() -> None:
            assert await layer.apost([later(layer, 1, 1000)]) == []

        run(layer, scenario)
        clock.advance(1)
        assert (layer.move_due(0), drain(layer, "work")) == (1, [("work", {"n": 1})])

    def test_several_sends_with_and_without_times_are_all_stored(
        self, layer: ChannelLayer, clock: SteppedClock
    ) -> None:
        layer.group_add("group", "p!1")
        sends = [
            timed(layer, 1),
            later(layer, 2, 1000),
            timed(layer, 3, "group", to_group=True, delay_ms=1000),
            timed(layer, 4, coalesce=Coalesce("key", 1000)),
            timed(layer, 5, lane="gw.x!1", will=Will("gone", layer.pack({}))),
            timed(layer, 6, coalesce=Coalesce("key", 1000)),
            timed(layer, 7, "group", to_group=True, coalesce=Coalesce("key", 1000)),
            timed(layer, 8),
        ]
        assert layer.post(sends) == []
        assert [content["n"] for _, content in drain(layer, "work")] == [1, 4, 5, 8]
        assert drain(layer, "p!") == [("p!1", {"n": 7})]
        clock.advance(1)
        layer.move_due(0)
        assert [content["n"] for _, content in drain(layer, "work")] == [2, 6]
        assert drain(layer, "p!") == [("p!1", {"n": 3})]

    # Who moves

    def test_each_message_goes_out_once_however_many_move_them(self, layer: ChannelLayer, clock: SteppedClock) -> None:
        layer.post([later(layer, n, 1000) for n in range(400)])
        clock.advance(1)
        moved: list[int] = []
        movers = [threading.Thread(target=lambda: moved.append(layer.move_due(0))) for _ in range(3)]
        for mover in movers:
            mover.start()
        for mover in movers:
            mover.join(60)
        assert sum(moved) == 400
        assert [content["n"] for _, content in drain(layer, "work")] == list(range(400))

    def test_who_waits_for_something_to_be_due_moves_it_then(self, make_layer: MakeLayer) -> None:
        layer = make_layer(clock=None)
        layer.post([later(layer, 1, 40)])
        assert layer.move_due(60) == 1
        assert drain(layer, "work") == [("work", {"n": 1})]

    def test_who_waits_is_woken_by_a_message_that_is_due_earlier(self, make_layer: MakeLayer) -> None:
        layer = make_layer(clock=None)
        layer.post([later(layer, "late", 3_600_000)])
        moved: list[int] = []
        mover = threading.Thread(target=lambda: moved.append(layer.move_due(60)))
        mover.start()
        layer.post([later(layer, "soon", 150)])
        mover.join(60)
        assert moved == [1]
        assert drain(layer, "work") == [("work", {"n": "soon"})]

    def test_who_waits_for_nothing_returns_after_its_time(self, make_layer: MakeLayer) -> None:
        layer = make_layer(clock=None)
        assert layer.move_due(0.02) == 0

    # No room

    def test_what_finds_no_room_is_tried_again_a_second_later_and_counted_as_refused_once(
        self, make_layer: MakeLayer, clock: SteppedClock
    ) -> None:
        layer = make_layer(channel_capacity={"work": 1})
        layer.post([later(layer, n, 100) for n in (1, 2)])
        clock.advance(0.1)
        assert layer.move_due(0) == 1
        for _ in range(3):
            clock.advance(1)
            assert layer.move_due(0) == 0
        assert layer.channel_statistics("work")["channel_full_count"] == 1
        assert drain(layer, "work") == [("work", {"n": 1})]
        assert layer.move_due(0) == 0
        clock.advance(1)
        assert (layer.move_due(0), drain(layer, "work")) == (1, [("work", {"n": 2})])

    def test_a_full_channel_holds_no_other_up(self, make_layer: MakeLayer, clock: SteppedClock) -> None:
        layer = make_layer(channel_capacity={"full": 0})
        layer.post([later(layer, n, 100, "full") for n in range(150)])
        layer.post([later(layer, "other", 101)])
        clock.advance(1)
        assert layer.move_due(0) == 1
        assert drain(layer, "work") == [("work", {"n": "other"})]
        assert layer.overview().delayed == 150

    def test_mail_that_finds_no_room_is_tried_again_too(self, make_layer: MakeLayer, clock: SteppedClock) -> None:
        layer = make_layer(process_capacity=1)
        layer.post([timed(layer, 1, "p!x"), later(layer, 2, 100, "p!x")])
        clock.advance(1)
        assert layer.move_due(0) == 0
        assert layer.global_statistics()["channel_full_count"] == 1
        assert drain(layer, "p!") == [("p!x", {"n": 1})]
        clock.advance(1)
        assert (layer.move_due(0), drain(layer, "p!")) == (1, [("p!x", {"n": 2})])

    def test_no_more_than_the_capacity_wait_for_their_time(self, make_layer: MakeLayer, clock: SteppedClock) -> None:
        layer = make_layer(delayed_capacity=2)
        sends = [later(layer, n, 1000) for n in range(3)]
        [refusal] = layer.post(sends)
        assert refusal.send is sends[2]
        assert isinstance(refusal.error, ChannelFull)
        assert "2 messages wait for their time" in str(refusal.error)
        assert layer.channel_statistics("work")["channel_full_count"] == 1
        clock.advance(1)
        assert layer.move_due(0) == 2
        assert layer.post(sends[2:]) == []

    def test_a_group_s_message_is_refused_when_too_many_wait(self, make_layer: MakeLayer) -> None:
        layer = make_layer(delayed_capacity=0)
        send = timed(layer, 1, "group", to_group=True, delay_ms=1000)
        assert [refusal.send for refusal in layer.post([send, timed(layer, 2)])] == [send]
        assert drain(layer, "work") == [("work", {"n": 2})]

    # Operators

    def test_the_overview_tells_how_many_wait_for_their_time(self, layer: ChannelLayer, clock: SteppedClock) -> None:
        layer.post([later(layer, n, 1000) for n in range(3)])
        layer.post([later(layer, 4, 2000)])
        assert layer.overview().delayed == 4
        assert layer.global_statistics()["messages_count"] == 0, "it counts what has gone out"
        clock.advance(1)
        layer.move_due(0)
        assert layer.overview().delayed == 1
        assert layer.global_statistics()["messages_count"] == 3

    def test_flush_removes_what_waits_for_its_time(self, layer: ChannelLayer, clock: SteppedClock) -> None:
        layer.post([later(layer, 1, 1000), timed(layer, 2, coalesce=Coalesce("key", 1000))])
        layer.flush()
        assert layer.overview().delayed == 0
        clock.advance(1)
        assert (layer.move_due(0), drain(layer, "work")) == (0, [])
        layer.post([timed(layer, 3, coalesce=Coalesce("key", 1000))])
        assert drain(layer, "work") == [("work", {"n": 3})]

    def test_purging_a_channel_drops_what_waits_to_go_there(self, layer: ChannelLayer, clock: SteppedClock) -> None:
        layer.group_add("work", "p!1")
        layer.post(
            [
                timed(layer, 0),
                *(later(layer, n, 1000) for n in range(1, 4)),
                *(timed(layer, n, coalesce=Coalesce("key", 1000)) for n in (4, 5)),
                later(layer, "other", 1000, "other"),
                timed(layer, "group", to_group=True, delay_ms=1000),
            ]
        )
        assert layer.purge("work") == 6
        assert dropped(layer, "purged") == 6
        assert layer.purge("work") == 0
        clock.advance(1)
        layer.move_due(0)
        assert drain(layer, "work", "other") == [("other", {"n": "other"})]
        assert drain(layer, "p!") == [("p!1", {"n": "group"})]

    def test_purged_delayed_messages_of_a_channel_that_is_handled_at_least_once_become_dead_letters(
        self, layer: ChannelLayer, clock: SteppedClock
    ) -> None:
        layer.post([later(layer, 1, 1000, SURE, LANE)])
        assert layer.purge(SURE) == 1
        [letter] = layer.dead_letters()
        assert (letter.reason, letter.channel, letter.lane, letter.content) == ("purged", SURE, LANE, {"n": 1})
        assert layer.replay([letter.id]) == [letter.id]
        assert numbered(fetch(layer, layer.open_lease(), SURE)) == [1]

    def test_it_is_handed_out_again_if_its_channel_is_one_of_at_least_once(
        self, layer: ChannelLayer, clock: SteppedClock
    ) -> None:
        layer.post([later(layer, 1, 1000, SURE)])
        clock.advance(1)
        layer.move_due(0)
        fetch(layer, layer.open_lease(), SURE)
        clock.advance(2)
        layer.reap()
        [again] = fetch(layer, layer.open_lease(), SURE)
        assert (again.content, again.attempt) == ({"n": 1}, 2)

    # What cannot be

    @pytest.mark.parametrize(
        "time",
        [
            {"delay_ms": -1},
            {"due_ms": -1},
            {"coalesce": Coalesce("", 5)},
            {"coalesce": Coalesce("key", 0)},
            {"delay_ms": 5, "due_ms": 5},
            {"delay_ms": 5, "coalesce": Coalesce("key", 5)},
            {"due_ms": 5, "coalesce": Coalesce("key", 5)},
        ],
    )
    def test_a_time_that_cannot_be_is_refused(self, layer: ChannelLayer, time: dict[str, object]) -> None:
        with pytest.raises(TypeError, match=r"goes? out"):
            layer.post([timed(layer, 1), timed(layer, 2, **time)])
        assert drain(layer, "work") == []

    @pytest.mark.parametrize("time", TIMES.values(), ids=TIMES)
    def test_what_a_connection_sends_itself_has_no_time(self, layer: ChannelLayer, time: dict[str, object]) -> None:
        will = Will("gone", layer.pack({}))
        for own in ({"will": will}, {"leaves": True}, {"by_connection": True}):
            with pytest.raises(TypeError, match="it has no time"):
                layer.post([timed(layer, 1, lane=LANE, **own, **time)])

    @pytest.mark.parametrize("time", TIMES.values(), ids=TIMES)
    def test_a_bad_name_is_refused_where_it_is_sent(self, layer: ChannelLayer, time: dict[str, object]) -> None:
        for address, to_group in (("two words", False), ("group!", True)):
            with pytest.raises(TypeError, match="not a valid"):
                layer.post([timed(layer, 1, address, to_group=to_group, **time)])
