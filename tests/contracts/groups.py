"""Groups: who is a member until when, and what a message to a group becomes."""

from __future__ import annotations

import threading

import pytest

from chancelery.layers import codec
from chancelery.layers.base import ChannelLayer, Send
from tests.contracts.fixtures import LayerFixtures, MakeLayer, SteppedClock, drain, dropped, fetch, run

MEMBERS = ["plain", "single?x", "process!a", "process!b", "other!c"]
SOURCES = ["plain", "single?x", "process!", "other!"]


class GroupsContract(LayerFixtures):
    def test_members_are_those_added_and_not_discarded(self, layer: ChannelLayer) -> None:
        assert layer.group_channels("group") == []
        for channel in MEMBERS:
            layer.group_add("group", channel)
        layer.group_add("elsewhere", "stranger")
        assert sorted(layer.group_channels("group")) == sorted(MEMBERS)
        layer.group_discard("group", "process!a")
        layer.group_discard("group", "plain")
        assert sorted(layer.group_channels("group")) == ["other!c", "process!b", "single?x"]
        assert layer.group_channels("elsewhere") == ["stranger"]

    @pytest.mark.parametrize("channel", MEMBERS)
    def test_adding_twice_is_one_membership(self, layer: ChannelLayer, channel: str) -> None:
        layer.group_add("group", channel)
        layer.group_add("group", channel)
        assert layer.group_channels("group") == [channel]
        layer.send_group("group", {"n": 1})
        assert drain(layer, *SOURCES) == [(channel, {"n": 1})]
        layer.group_discard("group", channel)
        assert layer.group_channels("group") == []

    @pytest.mark.parametrize("channel", MEMBERS)
    def test_discarding_who_is_no_member_is_no_error(self, layer: ChannelLayer, channel: str) -> None:
        layer.group_discard("group", channel)
        layer.group_add("group", "member")
        layer.group_discard("group", channel)
        layer.group_discard("nobody", channel)
        assert layer.group_channels("group") == ["member"]

    def test_every_member_gets_a_message_once_under_its_full_name(self, layer: ChannelLayer) -> None:
        for channel in MEMBERS:
            layer.group_add("group", channel)
        layer.send_group("group", {"n": 1})
        layer.send_group("group", {"n": 2})
        received = drain(layer, *SOURCES)
        assert sorted((channel, content["n"]) for channel, content in received) == sorted(
            (channel, n) for channel in MEMBERS for n in (1, 2)
        )
        for channel in MEMBERS:
            assert [content["n"] for name, content in received if name == channel] == [1, 2]

    def test_a_message_to_a_group_without_members_goes_nowhere(self, layer: ChannelLayer) -> None:
        layer.send_group("group", {})
        layer.group_add("group", "late")
        assert drain(layer, "group", "late") == []
        assert all(not reason.startswith("dropped:") for reason in layer.global_statistics())

    def test_a_channel_may_be_in_many_groups(self, layer: ChannelLayer) -> None:
        for group in ("a", "b", "c"):
            layer.group_add(group, "process!x")
        layer.group_discard("b", "process!x")
        for group in ("a", "b", "c"):
            layer.send_group(group, {"n": group})
        assert [content["n"] for _, content in drain(layer, "process!")] == ["a", "c"]

    def test_groups_and_channels_of_one_name_are_different_things(self, layer: ChannelLayer) -> None:
        layer.group_add("name", "member")
        layer.send("name", {"n": "channel"})
        layer.send_group("name", {"n": "group"})
        assert drain(layer, "name") == [("name", {"n": "channel"})]
        assert drain(layer, "member") == [("member", {"n": "group"})]

    @pytest.mark.parametrize("channel", ["plain", "process!a"])
    def test_joining_and_leaving_take_effect_between_sends(self, layer: ChannelLayer, channel: str) -> None:
        layer.send_group("group", {"n": "before"})
        layer.group_add("group", channel)
        layer.send_group("group", {"n": "member"})
        layer.group_discard("group", channel)
        layer.send_group("group", {"n": "after"})
        layer.group_add("group", channel)
        layer.send_group("group", {"n": "again"})
        assert [content["n"] for _, content in drain(layer, "plain", "process!")] == ["member", "again"]

    def test_a_process_gets_group_messages_and_its_own_in_one_order(self, layer: ChannelLayer) -> None:
        layer.group_add("group", "process!a")
        for n in range(0, 20, 2):
            layer.send("process!a", {"n": n})
            layer.send_group("group", {"n": n + 1})
        assert [content["n"] for _, content in drain(layer, "process!")] == list(range(20))

    def test_a_message_to_a_group_lies_once_on_each_process_however_many_members_it_has(
        self, layer: ChannelLayer
    ) -> None:
        for n in range(30):
            layer.group_add("group", f"process!{n}")
            layer.group_add("group", f"other!{n}")
        start = {process: layer.collect(process, 0, 100).position for process in ("process!", "other!")}
        layer.send_group("group", {"n": 1})
        for process, position in start.items():
            [entry] = layer.collect(process, position, 100).entries
            envelope = codec.unpack(entry)
            assert (envelope.channel, envelope.lane, envelope.content) == ("group", "", {"n": 1})
        assert len(drain(layer, "process!")) == 30

    def test_a_process_without_members_left_gets_nothing(self, layer: ChannelLayer) -> None:
        layer.group_add("group", "process!a")
        layer.group_add("group", "other!a")
        layer.group_discard("group", "process!a")
        position = layer.collect("process!", 0, 100).position
        layer.send_group("group", {})
        assert layer.collect("process!", position, 100).entries == []

    def test_a_message_to_a_group_is_in_no_lane(self, layer: ChannelLayer) -> None:
        layer.group_add("group", "plain")
        layer.post([Send("group", layer.pack({"n": n}), "daphne.x!y", to_group=True) for n in range(3)])
        deliveries = fetch(layer, layer.open_lease(), "plain")
        assert [(delivery.lane, delivery.content) for delivery in deliveries] == [("", {"n": n}) for n in range(3)]

    # Expiry

    @pytest.mark.parametrize("channel", MEMBERS)
    def test_a_membership_lasts_for_as_long_as_group_expiry_says(
        self, make_layer: MakeLayer, clock: SteppedClock, channel: str
    ) -> None:
        layer = make_layer(group_expiry=100)
        layer.group_add("group", channel)
        clock.advance(99)
        layer.send_group("group", {"n": 1})
        assert layer.group_channels("group") == [channel]
        assert drain(layer, *SOURCES) == [(channel, {"n": 1})]
        clock.advance(2)
        layer.send_group("group", {"n": 2})
        assert layer.group_channels("group") == []
        assert layer.groups_of("process!") == []
        assert drain(layer, *SOURCES) == []

    @pytest.mark.parametrize("channel", MEMBERS)
    def test_adding_again_makes_it_last_longer(self, make_layer: MakeLayer, clock: SteppedClock, channel: str) -> None:
        layer = make_layer(group_expiry=100)
        layer.group_add("group", channel)
        clock.advance(60)
        layer.group_add("group", channel)
        clock.advance(60)
        layer.send_group("group", {"n": 1})
        assert layer.group_channels("group") == [channel]
        assert drain(layer, *SOURCES) == [(channel, {"n": 1})]
        clock.advance(60)
        assert layer.group_channels("group") == []

    @pytest.mark.parametrize(
        ("first", "second"), [("process!a", "process!b"), ("plain", "plain2"), ("plain", "other!c")]
    )
    def test_members_expire_one_by_one(
        self, make_layer: MakeLayer, clock: SteppedClock, first: str, second: str
    ) -> None:
        layer = make_layer(group_expiry=100)
        layer.group_add("group", first)
        clock.advance(60)
        layer.group_add("group", second)
        clock.advance(60)
        layer.send_group("group", {"n": 1})
        assert layer.group_channels("group") == [second]
        assert drain(layer, "plain2", *SOURCES) == [(second, {"n": 1})]

    def test_adding_one_member_again_keeps_no_other_alive(self, make_layer: MakeLayer, clock: SteppedClock) -> None:
        layer = make_layer(group_expiry=100)
        for channel in ("process!first", "process!second"):
            layer.group_add("group", channel)
        clock.advance(60)
        layer.group_add("group", "process!first")
        clock.advance(60)
        assert layer.group_channels("group") == ["process!first"]
        assert [channel for _, channel, _ in layer.groups_of("process!")] == ["process!first"]

    # Capacity

    def test_full_members_are_passed_over_and_counted(self, make_layer: MakeLayer) -> None:
        layer = make_layer(capacity=1, process_capacity=5)
        for channel in ("full", "free", "process!x"):
            layer.group_add("group", channel)
        layer.send("full", {"n": "before"})
        layer.send_group("group", {"n": 1})
        assert dropped(layer, "group_full") == 1
        assert drain(layer, "full") == [("full", {"n": "before"})]
        assert drain(layer, "free") == [("free", {"n": 1})]
        assert drain(layer, "process!") == [("process!x", {"n": 1})]

    def test_a_full_process_is_passed_over_and_counted(self, make_layer: MakeLayer) -> None:
        layer = make_layer(process_capacity=2)
        layer.group_add("group", "other!x")
        drain(layer, "other!")
        layer.send("process!x", {"n": 1})
        layer.send("process!x", {"n": 2})
        layer.group_add("group", "process!x")
        layer.send_group("group", {"n": 3})
        assert dropped(layer, "group_full") == 1
        assert drain(layer, "other!") == [("other!x", {"n": 3})]
        assert [content["n"] for _, content in drain(layer, "process!")] == [1, 2]

    def test_channel_capacity_counts_for_members_too(self, make_layer: MakeLayer) -> None:
        layer = make_layer(channel_capacity={"small": 1, "narrow!": 2})
        layer.group_add("group", "small")
        layer.group_add("group", "narrow!x")
        drain(layer, "narrow!")
        for n in range(4):
            layer.send_group("group", {"n": n})
        assert drain(layer, "small") == [("small", {"n": 0})]
        assert len(drain(layer, "narrow!")) <= 2

    # By process

    def test_groups_of_lists_the_memberships_of_one_process(self, make_layer: MakeLayer, clock: SteppedClock) -> None:
        layer = make_layer(group_expiry=100)
        layer.group_add("a", "process!x")
        layer.group_add("b", "process!y")
        layer.group_add("b", "plain")
        layer.group_add("b", "other!z")
        clock.advance(10)
        layer.group_add("b", "process!x")
        later = round(clock() * 1000) + 100_000
        expected = [("a", "process!x", later - 10_000), ("b", "process!x", later), ("b", "process!y", later - 10_000)]
        assert sorted(layer.groups_of("process!")) == expected
        assert sorted(run(layer, lambda: layer.agroups_of("process!"))) == expected
        assert layer.groups_of("other!") == [("b", "other!z", later - 10_000)]
        assert layer.groups_of("unknown!") == []

    def test_the_memberships_of_a_closed_socket_end_at_once(self, layer: ChannelLayer) -> None:
        for group in ("a", "b", "c"):
            layer.group_add(group, "process!closed")
            layer.group_add(group, "process!open")
        run(layer, lambda: layer.adiscard([("a", "process!closed"), ("b", "process!closed"), ("x", "process!closed")]))
        run(layer, lambda: layer.adiscard([]))
        assert sorted((group, channel) for group, channel, _ in layer.groups_of("process!")) == [
            ("a", "process!open"),
            ("b", "process!open"),
            ("c", "process!closed"),
            ("c", "process!open"),
        ]
        layer.send_group("a", {"n": 1})
        assert drain(layer, "process!") == [("process!open", {"n": 1})]

    def test_a_message_behind_many_changes_of_membership_is_received(self, layer: ChannelLayer) -> None:
        for _ in range(120):
            layer.group_add("group", "process!a")
            layer.group_discard("group", "process!a")
        layer.send("process!a", {"n": 1})
        assert layer.receive(["process!"]) == ("process!a", {"n": 1})
        assert layer.receive(["process!"]) == (None, None)

    @pytest.mark.timeout(60)
    def test_groups_may_be_changed_while_others_send_to_them(self, layer: ChannelLayer) -> None:
        layer.group_add("group", "process!stays")
        faults: list[Exception] = []
        done = threading.Event()

        def change(number: int) -> None:
            try:
                for n in range(60):
                    layer.group_add("group", f"process!{number}.{n}")
                    layer.group_channels("group")
                    layer.group_discard("group", f"process!{number}.{n}")
            except Exception as error:  # noqa: BLE001 - whatever it is, the test shall say it
                faults.append(error)

        def read() -> None:
            while not done.is_set():
                received.extend(drain(layer, "process!"))
            received.extend(drain(layer, "process!"))

        received: list[tuple[str, object]] = []
        changers = [threading.Thread(target=change, args=(number,), daemon=True) for number in range(2)]
        reader = threading.Thread(target=read, daemon=True)
        for thread in (*changers, reader):
            thread.start()
        for n in range(60):
            layer.send_group("group", {"n": n})
        for thread in changers:
            thread.join(30)
        done.set()
        reader.join(30)
        assert faults == []
        assert [content["n"] for channel, content in received if channel == "process!stays"] == list(range(60))
        assert layer.group_channels("group") == ["process!stays"]
