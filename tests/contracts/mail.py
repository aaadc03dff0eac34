"""Mail: one list per process, read by position, with changes of membership among the messages."""

from __future__ import annotations

import asyncio
import threading

import pytest

from chancelery.layers import codec
from chancelery.layers.base import ChannelLayer, Send
from chancelery.layers.mailbox import Collected, Mailbox
from tests.contracts.fixtures import LayerFixtures, MakeLayer, SteppedClock, drain, dropped, run

ROUNDS = 10


def contents(collected: Collected) -> list[object]:
    """Return the `n` of each message, leaving out control messages."""
    return [codec.unpack(entry).content["n"] for entry in collected.entries if not codec.is_control(entry)]


def controls(collected: Collected) -> list[codec.Control]:
    return [codec.unpack_control(entry) for entry in collected.entries if codec.is_control(entry)]


def send(layer: ChannelLayer, *numbers: object) -> None:
    layer.post([Send("process!x", layer.pack({"n": n})) for n in numbers])


async def next_mail(layer: ChannelLayer, position: int) -> Collected:
    """Wait until there is some: a wait may end early, with nothing."""
    while not (collected := await layer.acollect("process!", position, 10, 1000)).entries:
        position = collected.position
    return collected


class MailContract(LayerFixtures):
    def test_a_list_that_was_never_used_is_empty_and_nothing_of_it_is_lost(
        self, layer: ChannelLayer, clock: SteppedClock
    ) -> None:
        collected = layer.collect("process!", 0, 10)
        assert (collected.entries, collected.lost) == ([], False)
        assert collected.now_ms == round(clock() * 1000)

    def test_mail_is_read_on_from_where_it_was_left(self, layer: ChannelLayer) -> None:
        send(layer, *range(7))
        position, read = 0, []
        for expected in ([0, 1, 2], [3, 4, 5], [6], []):
            collected = layer.collect("process!", position, 3)
            assert (contents(collected), collected.lost) == (expected, False)
            position = collected.position
            read += contents(collected)
        send(layer, 7)
        assert contents(layer.collect("process!", position, 3)) == [7]

    def test_an_answer_that_was_lost_can_be_asked_for_again(self, layer: ChannelLayer) -> None:
        send(layer, *range(4))
        first = layer.collect("process!", 0, 2)
        assert contents(layer.collect("process!", 0, 3)) == [0, 1, 2]
        lost = layer.collect("process!", first.position, 1)
        again = layer.collect("process!", first.position, 1)
        assert contents(lost) == contents(again) == [2]
        assert again.position == lost.position

    def test_an_envelope_bears_its_full_channel_name(self, layer: ChannelLayer) -> None:
        layer.send("process!x", {"n": 1})
        [entry] = layer.collect("process!", 0, 1).entries
        envelope = codec.unpack(entry)
        assert (envelope.channel, envelope.lane, envelope.content) == ("process!x", "", {"n": 1})

    def test_processes_have_lists_of_their_own(self, layer: ChannelLayer) -> None:
        layer.send("process!x", {"n": 1})
        layer.send("other!x", {"n": 2})
        assert contents(layer.collect("process!", 0, 10)) == [1]
        assert contents(layer.collect("other!", 0, 10)) == [2]

    def test_expired_messages_are_left_out_and_counted_and_the_position_moves_on(
        self, make_layer: MakeLayer, clock: SteppedClock
    ) -> None:
        layer = make_layer(expiry=10)
        send(layer, 0, 1)
        clock.advance(6)
        layer.group_add("group", "process!x")
        send(layer, 2)
        clock.advance(6)
        collected = layer.collect("process!", 0, 2)
        assert collected.entries == []
        assert dropped(layer, "expired") == 2
        collected = layer.collect("process!", collected.position, 10)
        assert (contents(collected), len(controls(collected)), collected.lost) == ([2], 1, False)

    def test_a_control_message_does_not_expire_before_it_is_read(
        self, make_layer: MakeLayer, clock: SteppedClock
    ) -> None:
        layer = make_layer(expiry=10, group_expiry=100)
        layer.group_add("group", "process!x")
        clock.advance(50)
        assert len(controls(layer.collect("process!", 0, 10))) == 1

    # Loss

    def test_a_reader_learns_that_its_list_was_flushed(self, layer: ChannelLayer) -> None:
        send(layer, *range(5))
        position = layer.collect("process!", 0, 10).position
        layer.flush()
        collected = layer.collect("process!", position, 10)
        assert (collected.entries, collected.lost) == ([], True)
        send(layer, "new")
        collected = layer.collect("process!", collected.position, 10)
        assert (contents(collected), collected.lost) == (["new"], False)

    @pytest.mark.parametrize("since", [1, 5, 20])
    def test_a_reader_learns_of_the_loss_though_new_mail_has_come_since(self, layer: ChannelLayer, since: int) -> None:
        send(layer, *range(5))
        position = layer.collect("process!", 0, 10).position
        layer.flush()
        send(layer, *range(100, 100 + since))
        collected = layer.collect("process!", position, 100)
        assert (contents(collected), collected.lost) == (list(range(100, 100 + since)), True)

    def test_a_position_that_was_acknowledged_already_is_a_loss(self, layer: ChannelLayer) -> None:
        send(layer, *range(5))
        position = layer.collect("process!", 0, 3).position
        layer.collect("process!", position, 1)
        collected = layer.collect("process!", 0, 10)
        assert (contents(collected), collected.lost) == ([3, 4], True)

    def test_a_position_behind_the_end_is_a_loss(self, layer: ChannelLayer) -> None:
        send(layer, 0, 1)
        position = layer.collect("process!", 0, 10).position
        collected = layer.collect("process!", position + 1000, 10)
        assert collected.lost
        send(layer, 2)
        assert contents(layer.collect("process!", collected.position, 10)) == [2]

    def test_receive_goes_on_after_a_loss_with_the_memberships_read_anew(self, layer: ChannelLayer) -> None:
        layer.group_add("group", "process!old")
        layer.group_add("group", "process!both")
        layer.send_group("group", {"n": 1})
        assert sorted(channel for channel, _ in drain(layer, "process!")) == ["process!both", "process!old"]
        layer.flush()
        layer.group_add("group", "process!both")
        layer.group_add("group", "process!new")
        layer.send_group("group", {"n": 2})
        assert sorted(channel for channel, _ in drain(layer, "process!")) == ["process!both", "process!new"]

    # Control messages

    def test_changes_of_membership_are_numbered_for_each_process(
        self, make_layer: MakeLayer, clock: SteppedClock
    ) -> None:
        layer = make_layer(group_expiry=100)
        deadline_ms = round(clock() * 1000) + 100_000
        layer.group_add("a", "process!x")
        layer.group_add("a", "other!x")
        layer.group_add("b", "process!y")
        layer.group_add("b", "plain")
        layer.group_discard("a", "process!x")
        layer.group_discard("b", "plain")
        assert controls(layer.collect("process!", 0, 10)) == [
            (1, deadline_ms, "a", "process!x"),
            (2, deadline_ms, "b", "process!y"),
            (3, 0, "a", "process!x"),
        ]
        assert controls(layer.collect("other!", 0, 10)) == [(1, deadline_ms, "a", "other!x")]

    def test_adding_again_tells_the_process_again(self, make_layer: MakeLayer, clock: SteppedClock) -> None:
        layer = make_layer(group_expiry=100)
        start_ms = round(clock() * 1000)
        layer.group_add("a", "process!x")
        clock.advance(7)
        layer.group_add("a", "process!x")
        told = controls(layer.collect("process!", 0, 10))
        assert told == [(1, start_ms + 100_000, "a", "process!x"), (2, start_ms + 107_000, "a", "process!x")]

    def test_discarding_who_is_no_member_tells_nobody(self, layer: ChannelLayer) -> None:
        layer.group_discard("a", "process!x")
        layer.group_add("a", "process!y")
        layer.group_discard("a", "process!x")
        layer.group_discard("b", "process!y")
        assert len(controls(layer.collect("process!", 0, 10))) == 1

    def test_sockets_that_close_tell_their_process_as_well(self, layer: ChannelLayer) -> None:
        layer.group_add("a", "process!x")
        layer.group_add("b", "process!x")
        run(layer, lambda: layer.adiscard([("a", "process!x"), ("b", "process!x")]))
        told = controls(layer.collect("process!", 0, 10))
        assert [(control.number, control.deadline_ms, control.group) for control in told[2:]] == [
            (3, 0, "a"),
            (4, 0, "b"),
        ]

    def test_control_messages_find_room_on_a_full_list(self, make_layer: MakeLayer) -> None:
        layer = make_layer(process_capacity=1)
        layer.send("process!x", {"n": 1})
        for n in range(5):
            layer.group_add(f"group{n}", "process!x")
        layer.group_discard("group0", "process!x")
        collected = layer.collect("process!", 0, 100)
        assert (contents(collected), len(controls(collected))) == ([1], 6)

    def test_numbers_go_on_after_the_list_was_read(self, layer: ChannelLayer) -> None:
        mailbox = Mailbox("process!")
        for n in range(1, 6):
            layer.group_add(f"group{n}", "process!x")
            collected = layer.collect("process!", mailbox.position, 10)
            assert [control.number for control in controls(collected)] == [n]
            mailbox.take(collected)
        assert not mailbox.stale
        assert mailbox.memberships() == [(f"group{n}", "process!x") for n in range(1, 6)]

    # Event loops

    def test_an_event_loop_can_do_it_all(self, layer: ChannelLayer) -> None:
        async def scenario() -> tuple[Collected, list[tuple[str, str, int]]]:
            await layer.acheck()
            layer.group_add("group", "process!x")
            sends = [Send("process!x", layer.pack({"n": 1})), Send("group", layer.pack({"n": 2}), to_group=True)]
            assert await layer.apost(sends) == []
            collected = await layer.acollect("process!", 0, 10, 5)
            memberships = await layer.agroups_of("process!")
            await layer.adiscard([("group", "process!x")])
            return collected, memberships

        collected, memberships = run(layer, scenario)
        assert contents(collected) == [1, 2]
        assert [(group, channel) for group, channel, _ in memberships] == [("group", "process!x")]
        assert layer.group_channels("group") == []

    def test_apost_returns_what_was_refused(self, make_layer: MakeLayer) -> None:
        layer = make_layer(capacity=1)
        sends = [Send("channel", layer.pack({"n": n})) for n in range(3)]
        refused = run(layer, lambda: layer.apost(sends))
        assert [refusal.send for refusal in refused] == sends[1:]

    def test_acollect_returns_at_once_what_there_is(self, layer: ChannelLayer) -> None:
        send(layer, 1, 2)
        collected = run(layer, lambda: layer.acollect("process!", 0, 1, 1000))
        assert contents(collected) == [1]

    def test_acollect_tells_of_a_loss_at_once(self, layer: ChannelLayer) -> None:
        send(layer, 1, 2)
        position = layer.collect("process!", 0, 10).position
        layer.flush()
        collected = run(layer, lambda: layer.acollect("process!", position, 10, 1000))
        assert (collected.entries, collected.lost) == ([], True)

    def test_acollect_returns_empty_when_nothing_comes(self, layer: ChannelLayer) -> None:
        collected = run(layer, lambda: layer.acollect("process!", 0, 10, 0.01))
        assert (collected.entries, collected.lost) == ([], False)

    @pytest.mark.timeout(30)
    def test_acollect_is_woken_by_a_send_from_another_thread(self, layer: ChannelLayer) -> None:
        read: list[object] = []
        answered = threading.Event()

        async def scenario() -> None:
            position = 0
            while len(read) < ROUNDS:
                collected = await layer.acollect("process!", position, 10, 20)
                position = collected.position
                if collected.entries:
                    read.extend(contents(collected))
                    answered.set()

        reader = threading.Thread(target=run, args=(layer, scenario), daemon=True)
        reader.start()
        for n in range(ROUNDS):
            send(layer, n)
            assert answered.wait(15)
            answered.clear()
        reader.join(15)
        assert read == list(range(ROUNDS))

    @pytest.mark.timeout(30)
    def test_acollect_is_woken_by_messages_to_groups_and_changes_of_membership(self, layer: ChannelLayer) -> None:
        async def scenario() -> list[Collected]:
            told = asyncio.create_task(next_mail(layer, 0))
            await asyncio.sleep(0)
            await asyncio.to_thread(layer.group_add, "group", "process!x")
            first = await told
            sent = asyncio.create_task(next_mail(layer, first.position))
            await asyncio.sleep(0)
            await asyncio.to_thread(layer.send_group, "group", {"n": 1})
            return [first, await sent]

        joined, message = run(layer, scenario)
        assert len(controls(joined)) == 1
        assert contents(message) == [1]

    def test_one_layer_serves_event_loops_one_after_another(self, layer: ChannelLayer) -> None:
        position = 0
        for n in range(3):
            run(layer, lambda n=n: layer.apost([Send("process!x", layer.pack({"n": n}))]))
            collected = run(layer, lambda at=position: layer.acollect("process!", at, 10, 5))
            assert contents(collected) == [n]
            position = collected.position
