"""Channels as queues: order, capacity, expiry, statistics, waiting, and flush."""

from __future__ import annotations

import re
import threading

import pytest

from chancelery.exceptions import ChannelFull
from chancelery.layers.base import ChannelLayer, Finished, Send
from tests.contracts.fixtures import LEASE_SECONDS, LayerFixtures, MakeLayer, SteppedClock, drain, dropped, fetch

ROUNDS = 10


class QueuesContract(LayerFixtures):
    def test_it_offers_groups_flush_and_statistics(self, layer: ChannelLayer) -> None:
        assert {"groups", "flush", "statistics"} <= set(layer.extensions)

    def test_an_empty_channel_gives_nothing(self, layer: ChannelLayer) -> None:
        assert layer.receive(["nobody.sent.here"]) == (None, None)
        assert layer.receive(["nobody!"]) == (None, None)
        assert layer.receive([]) == (None, None)
        assert layer.receive([], block=True) == (None, None)

    @pytest.mark.parametrize("channel", ["ordinary", "single?reader", "process!local"])
    def test_messages_of_one_channel_come_in_the_order_they_were_sent(self, layer: ChannelLayer, channel: str) -> None:
        for n in range(250):
            layer.send(channel, {"n": n})
        source = "process!" if "!" in channel else channel
        assert drain(layer, source) == [(channel, {"n": n}) for n in range(250)]

    def test_a_message_is_received_once(self, layer: ChannelLayer) -> None:
        layer.send("channel", {"n": 1})
        assert layer.receive(["channel"]) == ("channel", {"n": 1})
        assert layer.receive(["channel"]) == (None, None)

    def test_only_the_channels_asked_for_are_received(self, layer: ChannelLayer) -> None:
        for channel in ("one", "two", "one?x", "one!x"):
            layer.send(channel, {})
        assert layer.receive(["one", "other"]) == ("one", {})
        assert layer.receive(["one", "other"]) == (None, None)
        assert sorted(channel for channel, _ in drain(layer, "two", "one?x", "one!")) == ["one!x", "one?x", "two"]

    def test_a_busy_channel_does_not_starve_the_others(self, layer: ChannelLayer) -> None:
        for n in range(100):
            layer.send("busy", {"n": n})
        layer.send("quiet", {})
        assert "quiet" in {layer.receive(["busy", "quiet"])[0] for _ in range(60)}

    def test_all_of_a_post_is_sent_in_order(self, layer: ChannelLayer) -> None:
        layer.group_add("group", "member")
        sends = [Send("channel", layer.pack({"n": n})) for n in range(150)]
        sends.insert(75, Send("group", layer.pack({"n": "group"}), to_group=True))
        sends.append(Send("process!local", layer.pack({"n": "local"})))
        assert layer.post(sends) == []
        assert [content["n"] for _, content in drain(layer, "channel")] == list(range(150))
        assert layer.receive(["member"]) == ("member", {"n": "group"})
        assert layer.receive(["process!"]) == ("process!local", {"n": "local"})

    def test_posting_nothing_is_nothing(self, layer: ChannelLayer) -> None:
        assert layer.post([]) == []

    # Capacity

    def test_a_full_channel_refuses_and_stores_nothing(self, make_layer: MakeLayer) -> None:
        layer = make_layer(capacity=3)
        for n in range(3):
            layer.send("channel", {"n": n})
        for _ in range(2):
            with pytest.raises(ChannelFull):
                layer.send("channel", {"n": "too many"})
        layer.send("other", {})
        assert [content["n"] for _, content in drain(layer, "channel")] == [0, 1, 2]
        layer.send("channel", {"n": "room again"})
        assert drain(layer, "channel") == [("channel", {"n": "room again"})]

    def test_the_error_says_which_channel_how_full_and_what_to_do(self, make_layer: MakeLayer) -> None:
        layer = make_layer(capacity=0)
        with pytest.raises(ChannelFull, match=r'"chat\.message" holds 0 messages: add workers, or raise its capacity'):
            layer.send("chat.message", {})

    def test_a_post_returns_what_was_refused_and_sends_the_rest(self, make_layer: MakeLayer) -> None:
        layer = make_layer(capacity=1)
        sends = [Send(channel, layer.pack({"n": n})) for n, channel in enumerate(("a", "a", "b", "a", "c"))]
        refused = layer.post(sends)
        assert [refusal.send for refusal in refused] == [sends[1], sends[3]]
        assert all(isinstance(refusal.error, ChannelFull) for refusal in refused)
        assert sorted(content["n"] for _, content in drain(layer, "a", "b", "c")) == [0, 2, 4]

    def test_channel_capacity_is_by_the_first_pattern_that_matches(self, make_layer: MakeLayer) -> None:
        patterns = {"chat.*": 1, re.compile(r"chat|http\."): 2, "http.*": 0, "reply!": 1}
        layer = make_layer(capacity=3, process_capacity=4, channel_capacity=patterns)
        expected = {"chat.a": 1, "chats": 2, "http.x": 2, "other": 3, "reply!a": 1, "elsewhere!a": 4}
        for channel, capacity in expected.items():
            assert layer.capacity_of(channel) == capacity
            for _ in range(capacity):
                layer.send(channel, {})
            with pytest.raises(ChannelFull):
                layer.send(channel, {})

    def test_the_channels_of_a_process_share_its_capacity(self, make_layer: MakeLayer) -> None:
        layer = make_layer(process_capacity=2)
        layer.send("process!a", {})
        layer.send("process!b", {})
        with pytest.raises(ChannelFull, match='"process!c" holds 2 messages'):
            layer.send("process!c", {})
        layer.send("another!c", {})
        assert [channel for channel, _ in drain(layer, "process!")] == ["process!a", "process!b"]
        assert layer.receive(["process!"]) == (None, None)
        layer.send("process!c", {})

    def test_refusals_are_counted_and_are_no_drops(self, make_layer: MakeLayer) -> None:
        layer = make_layer(capacity=1, process_capacity=1)
        layer.post([Send(channel, layer.pack({})) for channel in ("a", "a", "a", "b", "b", "p!x", "p!y")])
        assert layer.channel_statistics("a")["channel_full_count"] == 2
        assert layer.channel_statistics("b")["channel_full_count"] == 1
        assert layer.global_statistics() == {"messages_count": 3, "channel_full_count": 4}

    # Expiry

    @pytest.mark.parametrize("channel", ["ordinary", "single?reader", "process!local"])
    def test_a_message_waits_for_as_long_as_expiry_says(
        self, make_layer: MakeLayer, clock: SteppedClock, channel: str
    ) -> None:
        layer = make_layer(expiry=60)
        source = "process!" if "!" in channel else channel
        layer.send(channel, {"n": 1})
        clock.advance(30)
        layer.send(channel, {"n": 2})
        clock.advance(31)
        assert drain(layer, source) == [(channel, {"n": 2})]
        layer.send(channel, {"n": 3})
        clock.advance(59)
        assert drain(layer, source) == [(channel, {"n": 3})]
        layer.send(channel, {"n": 4})
        clock.advance(61)
        assert drain(layer, source) == []

    @pytest.mark.parametrize("channel", ["ordinary", "single?reader", "process!local"])
    def test_expired_messages_are_counted_once(self, make_layer: MakeLayer, clock: SteppedClock, channel: str) -> None:
        layer = make_layer(expiry=10)
        for _ in range(3):
            layer.send(channel, {})
        clock.advance(11)
        for _ in range(2):
            assert drain(layer, "process!" if "!" in channel else channel) == []
        assert dropped(layer, "expired") == 3

    @pytest.mark.parametrize("channel", ["ordinary", "single?reader", "process!local"])
    def test_expired_messages_take_no_room(self, make_layer: MakeLayer, clock: SteppedClock, channel: str) -> None:
        layer = make_layer(expiry=10, capacity=2, process_capacity=2)
        layer.send(channel, {"n": 1})
        clock.advance(6)
        layer.send(channel, {"n": 2})
        clock.advance(6)
        layer.send(channel, {"n": 3})
        with pytest.raises(ChannelFull):
            layer.send(channel, {"n": 4})
        source = "process!" if "!" in channel else channel
        assert [content["n"] for _, content in drain(layer, source)] == [2, 3]
        assert dropped(layer, "expired") == 1

    def test_mail_that_was_read_and_then_made_room_is_not_counted_as_expired(
        self, make_layer: MakeLayer, clock: SteppedClock
    ) -> None:
        layer = make_layer(expiry=10, process_capacity=2)
        layer.send("process!local", {"n": 1})
        assert len(layer.collect("process!", 0, 10).entries) == 1
        layer.send("process!local", {"n": 2})
        clock.advance(11)
        layer.send("process!local", {"n": 3})
        assert dropped(layer, "expired") == 1

    # Statistics

    def test_statistics_tell_what_was_sent_what_waits_and_how_long(
        self, make_layer: MakeLayer, clock: SteppedClock
    ) -> None:
        layer = make_layer()
        layer.send("channel", {})
        clock.advance(3)
        layer.send("channel", {})
        layer.send("other", {})
        clock.advance(4)
        assert layer.channel_statistics("channel") == {
            "messages_count": 2,
            "channel_full_count": 0,
            "messages_pending": 2,
            "messages_max_age": 7,
        }
        assert layer.global_statistics()["messages_count"] == 3
        layer.receive(["channel"])
        statistics = layer.channel_statistics("channel")
        assert (statistics["messages_count"], statistics["messages_pending"]) == (2, 1)
        assert statistics["messages_max_age"] == 4
        layer.receive(["channel"])
        statistics = layer.channel_statistics("channel")
        assert (statistics["messages_pending"], statistics["messages_max_age"]) == (0, 0)

    def test_a_layer_that_was_never_used_has_statistics(self, layer: ChannelLayer) -> None:
        assert layer.global_statistics() == {"messages_count": 0, "channel_full_count": 0}
        assert set(layer.channel_statistics("channel").values()) == {0}

    @pytest.mark.parametrize("channel", ["single?reader", "process!local"])
    def test_what_waits_is_told_for_every_kind_of_channel(
        self, layer: ChannelLayer, clock: SteppedClock, channel: str
    ) -> None:
        layer.send(channel, {})
        clock.advance(5)
        statistics = layer.channel_statistics(channel)
        assert (statistics["messages_pending"], statistics["messages_max_age"]) == (1, 5)

    # Waiting

    @pytest.mark.timeout(30)
    @pytest.mark.parametrize("channel", ["ordinary", "single?reader", "process!local"])
    def test_a_blocking_receive_is_woken_by_a_send(self, layer: ChannelLayer, channel: str) -> None:
        received, answered = [], threading.Event()

        def read() -> None:
            source = "process!" if "!" in channel else channel
            while len(received) < ROUNDS:
                name, content = layer.receive(["elsewhere", source], block=True)
                if name is not None:
                    received.append((name, content))
                    answered.set()

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        for n in range(ROUNDS):
            layer.send(channel, {"n": n})
            assert answered.wait(10)
            answered.clear()
        reader.join(10)
        assert received == [(channel, {"n": n}) for n in range(ROUNDS)]

    @pytest.mark.timeout(30)
    def test_a_blocking_receive_is_woken_by_a_message_to_a_group(self, layer: ChannelLayer) -> None:
        layer.group_add("group", "process!local")
        received: list[object] = []
        reader = threading.Thread(target=lambda: received.append(_until_received(layer, "process!")), daemon=True)
        reader.start()
        layer.send_group("group", {"n": 1})
        reader.join(20)
        assert received == [("process!local", {"n": 1})]

    @pytest.mark.timeout(30)
    @pytest.mark.parametrize("channel", ["ordinary", "process!local"])
    def test_wait_returns_when_something_lies_ready(self, layer: ChannelLayer, channel: str) -> None:
        for _ in range(ROUNDS):
            layer.send(channel, {})
            layer.wait(["elsewhere", "process!" if "!" in channel else channel], timeout=20)
            assert layer.receive(["process!" if "!" in channel else channel]) == (channel, {})

    @pytest.mark.timeout(30)
    @pytest.mark.parametrize("end", ["finish", "recover", "give back", "drop", "reap", "reap what was not begun"])
    def test_wait_returns_when_another_worker_makes_a_message_available(
        self, layer: ChannelLayer, clock: SteppedClock, end: str
    ) -> None:
        first, second = layer.open_lease(), layer.open_lease()
        layer.send("channel", {"n": 1}, lane="d!x")
        layer.send("channel", {"n": 2}, lane="d!x")
        begin = 0 if end == "reap what was not begun" else 1
        deliveries = layer.fetch(["channel"], 100, first, begin=begin).deliveries
        found: list[object] = []

        def work() -> None:
            while not found:  # a wait may return early
                layer.wait(["channel"], timeout=1000)
                found.extend(fetch(layer, second, "channel"))

        worker = threading.Thread(target=work, daemon=True)
        worker.start()
        if end == "finish":
            layer.finish([Finished(delivery) for delivery in deliveries], first)
        elif end == "recover":
            layer.recover(first, [])
        elif end.startswith("reap"):
            layer.fetch([], 0, second)  # the worker that waits is alive
            clock.advance(LEASE_SECONDS / 2)
            layer.renew([second])
            clock.advance(LEASE_SECONDS / 2)
            layer.reap()
        else:
            layer.close_lease(first, deliveries if end == "give back" else [])
        worker.join(20)
        expected = 2 if end in {"finish", "drop", "reap"} else 1
        assert [delivery.content for delivery in found] == [{"n": expected}]

    def test_wait_returns_when_nothing_comes(self, layer: ChannelLayer) -> None:
        layer.wait(["channel", "process!"], timeout=0.01)
        assert layer.receive(["channel", "process!"]) == (None, None)

    def test_many_threads_may_send_and_receive(self, layer: ChannelLayer) -> None:
        threads, each = 4, 50
        received: list[object] = []

        def send(sender: int) -> None:
            for n in range(each):
                layer.send("channel", {"sender": sender, "n": n})

        def receive() -> None:
            while len(received) < threads * each:
                channel, content = layer.receive(["channel"])
                if channel:
                    received.append(content)

        crowd = [threading.Thread(target=send, args=(n,), daemon=True) for n in range(threads)]
        crowd += [threading.Thread(target=receive, daemon=True) for _ in range(2)]
        for thread in crowd:
            thread.start()
        for thread in crowd:
            thread.join(30)
        assert sorted((c["sender"], c["n"]) for c in received) == [(s, n) for s in range(threads) for n in range(each)]

    # Flush

    def test_flush_removes_everything(self, make_layer: MakeLayer, clock: SteppedClock) -> None:
        layer = make_layer(expiry=60, capacity=2)
        layer.group_add("group", "process!local")
        layer.group_add("group", "plain")
        layer.send("channel", {}, lane="d!x")
        layer.send("channel", {}, lane="d!x")
        layer.send("process!local", {})
        layer.send("single?x", {})
        layer.send_group("group", {})
        lease = layer.open_lease()
        layer.fetch(["plain"], 1, lease)
        layer.flush()
        assert drain(layer, "channel", "plain", "single?x", "process!") == []
        assert layer.group_channels("group") == []
        assert layer.groups_of("process!") == []
        assert layer.global_statistics() == {"messages_count": 0, "channel_full_count": 0}
        clock.advance(1000)
        assert layer.reap() == []

    def test_flush_frees_the_lanes(self, layer: ChannelLayer) -> None:
        layer.send("channel", {"n": 1}, lane="d!x")
        lease = layer.open_lease()
        fetch(layer, lease, "channel")
        layer.flush()
        layer.send("channel", {"n": 2}, lane="d!x")
        assert [delivery.content for delivery in fetch(layer, lease, "channel")] == [{"n": 2}]

    def test_a_layer_works_on_after_close(self, layer: ChannelLayer) -> None:
        layer.send("channel", {"n": 1})
        layer.close()
        assert layer.receive(["channel"]) == ("channel", {"n": 1})


def _until_received(layer: ChannelLayer, source: str) -> object:
    while True:
        received = layer.receive([source], block=True)
        if received[0] is not None:
            return received
