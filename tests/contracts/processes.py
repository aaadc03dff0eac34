"""Processes that die: their connections' wills are sent, and nothing is left of them."""

from __future__ import annotations

from chancelery.layers.base import ChannelLayer, Fate, Finished, Send, Will
from tests.contracts.fixtures import LEASE_SECONDS, SURE, LayerFixtures, SteppedClock, dropped, fetch, numbered, run

PROCESS = "gw.x!"
SOCKET = "gw.x!socket"


def connect(layer: ChannelLayer, lane: str = SOCKET) -> None:
    will = Will("gone", layer.pack({"n": lane}))
    assert layer.post([Send("come", layer.pack({"n": lane}), lane, will=will)]) == []


def leave(layer: ChannelLayer, lane: str = SOCKET, *, again: bool = False) -> None:
    assert layer.post([Send("gone", layer.pack({"n": "goodbye"}), lane, leaves=True, again=again)]) == []


def handled(layer: ChannelLayer, *channels: str) -> list[object]:
    """Fetch and finish until there is nothing more; return the `n` of each content."""
    lease = layer.open_lease()
    seen: list[object] = []
    while deliveries := fetch(layer, lease, *channels):
        seen += numbered(deliveries)
        layer.finish([Finished(delivery) for delivery in deliveries], lease)
    layer.close_lease(lease)
    return seen


def reap(layer: ChannelLayer, clock: SteppedClock) -> None:
    """Let the process be taken for dead."""
    clock.advance(LEASE_SECONDS * 2)
    while layer.reap_process():
        pass


class ProcessesContract(LayerFixtures):
    def test_a_process_that_reads_its_mail_is_not_reaped(self, layer: ChannelLayer, clock: SteppedClock) -> None:
        connect(layer)
        for _ in range(5):
            clock.advance(LEASE_SECONDS / 2)
            assert not layer.collect(PROCESS, 0, 10).reaped
            assert layer.reap_process() is None

    def test_the_wills_of_a_silent_process_are_sent_in_their_lanes(
        self, layer: ChannelLayer, clock: SteppedClock
    ) -> None:
        connect(layer)
        connect(layer, "gw.x!other")
        clock.advance(LEASE_SECONDS * 2)
        reaped = layer.reap_process()
        assert reaped is not None
        assert reaped == (PROCESS, 2)
        while layer.reap_process():
            pass
        lease = layer.open_lease()
        first = fetch(layer, lease, "come", "gone")
        assert [delivery.channel for delivery in first] == ["come", "come"]
        then = layer.fetch(["come", "gone"], 10, lease, [Finished(delivery) for delivery in first]).deliveries
        assert sorted((delivery.channel, delivery.lane) for delivery in then) == [
            ("gone", "gw.x!other"),
            ("gone", SOCKET),
        ]

    def test_a_connection_that_left_has_no_will(self, layer: ChannelLayer, clock: SteppedClock) -> None:
        connect(layer)
        leave(layer)
        clock.advance(LEASE_SECONDS * 2)
        while layer.reap_process():
            pass
        assert handled(layer, "come", "gone") == [SOCKET, "goodbye"]

    def test_a_will_is_carried_out_where_there_is_no_room(self, make_layer, clock: SteppedClock) -> None:
        layer = make_layer(lease_seconds=LEASE_SECONDS, capacity=1, lane_capacity=1, channel_capacity={"come": 10})
        connect(layer)
        connect(layer, "gw.x!other")
        layer.send("gone", {"n": "full"})
        clock.advance(LEASE_SECONDS * 2)
        while layer.reap_process():
            pass
        assert sorted(map(str, handled(layer, "come", "gone"))) == sorted(
            [SOCKET, "gw.x!other", SOCKET, "gw.x!other", "full"]
        )

    def test_a_will_is_handled_at_least_once_where_its_channel_is(
        self, layer: ChannelLayer, clock: SteppedClock
    ) -> None:
        will = Will(SURE, layer.pack({"n": 1}))
        assert layer.post([Send("come", layer.pack({"n": 0}), SOCKET, will=will)]) == []
        handled(layer, "come")
        clock.advance(LEASE_SECONDS * 2)
        while layer.reap_process():
            pass
        assert numbered(fetch(layer, layer.open_lease(), SURE)) == [1]
        clock.advance(LEASE_SECONDS * 2)
        assert [reaped.fate for reaped in layer.reap()] == [Fate.REPEATED]

    def test_the_unread_mail_of_a_dead_process_is_counted(self, layer: ChannelLayer, clock: SteppedClock) -> None:
        connect(layer)
        layer.group_add("room", SOCKET)
        layer.send(SOCKET, {"n": 1})
        layer.collect(PROCESS, 0, 10)
        layer.send(SOCKET, {"n": 2})
        layer.send_group("room", {"n": 3})
        layer.group_discard("room", SOCKET)
        clock.advance(LEASE_SECONDS * 2)
        while layer.reap_process():
            pass
        assert dropped(layer, "process_died") == 2

    def test_what_a_connection_says_once_its_will_was_carried_out_is_dropped(
        self, layer: ChannelLayer, clock: SteppedClock
    ) -> None:
        connect(layer)
        said = Send("said", layer.pack({"n": 1}), SOCKET, by_connection=True)
        by_another = Send("said", layer.pack({"n": 2}), SOCKET)
        assert layer.post([said]) == []
        reap(layer, clock)
        before = dropped(layer, "process_died")
        assert layer.post([said, by_another, said]) == []
        assert dropped(layer, "process_died") == before + 2
        assert handled(layer, "come", "said", "gone") == [SOCKET, 1, SOCKET, 2]

    def test_a_dead_process_is_in_no_group(self, layer: ChannelLayer, clock: SteppedClock) -> None:
        connect(layer)
        layer.group_add("room", SOCKET)
        layer.group_add("room", "gw.y!alive")
        clock.advance(LEASE_SECONDS * 2)
        while layer.reap_process():
            pass
        assert layer.group_channels("room") == ["gw.y!alive"]
        assert layer.groups_of(PROCESS) == []

    def test_a_process_that_comes_back_learns_that_it_was_taken_for_dead(
        self, layer: ChannelLayer, clock: SteppedClock
    ) -> None:
        connect(layer)
        layer.group_add("room", SOCKET)
        before = layer.collect(PROCESS, 0, 10)
        clock.advance(LEASE_SECONDS * 2)
        while layer.reap_process():
            pass
        back = layer.collect(PROCESS, before.position, 10)
        assert back.reaped
        assert back.lost
        assert not layer.collect(PROCESS, back.position, 10).reaped

    def test_wills_can_be_left_again(self, layer: ChannelLayer, clock: SteppedClock) -> None:
        layer.flush()

        async def scenario() -> None:
            await layer.aleave_wills([(SOCKET, Will("gone", layer.pack({"n": 1})))])

        run(layer, scenario)
        clock.advance(LEASE_SECONDS * 2)
        while layer.reap_process():
            pass
        assert handled(layer, "gone") == [1]

    def test_only_processes_that_left_a_will_are_reaped(self, layer: ChannelLayer, clock: SteppedClock) -> None:
        layer.group_add("room", SOCKET)
        layer.collect(PROCESS, 0, 10)
        clock.advance(LEASE_SECONDS * 3)
        assert layer.reap_process() is None
        assert layer.group_channels("room") == [SOCKET]

    def test_a_process_that_stopped_leaves_nothing_behind(self, layer: ChannelLayer, clock: SteppedClock) -> None:
        connect(layer)
        layer.group_add("room", SOCKET)
        leave(layer)

        async def scenario() -> None:
            await layer.aend_process(PROCESS)

        run(layer, scenario)
        assert layer.group_channels("room") == []
        clock.advance(LEASE_SECONDS * 2)
        assert layer.reap_process() is None

    def test_a_process_that_stopped_without_its_connections_is_left_to_be_reaped(
        self, layer: ChannelLayer, clock: SteppedClock
    ) -> None:
        connect(layer)

        async def scenario() -> None:
            await layer.aend_process(PROCESS)

        run(layer, scenario)
        clock.advance(LEASE_SECONDS * 2)
        while layer.reap_process():
            pass
        assert handled(layer, "come", "gone") == [SOCKET, SOCKET]

    def test_a_connection_leaves_once_however_often_it_says_so(self, layer: ChannelLayer) -> None:
        connect(layer)
        leave(layer, again=True)
        leave(layer, again=True)
        assert handled(layer, "come", "gone") == [SOCKET, "goodbye"]

    def test_a_connection_whose_will_was_carried_out_has_left(self, layer: ChannelLayer, clock: SteppedClock) -> None:
        connect(layer)
        reap(layer, clock)
        leave(layer)
        assert layer.collect(PROCESS, 0, 10).reaped
        leave(layer)
        leave(layer, again=True)
        assert handled(layer, "come", "gone") == [SOCKET, SOCKET]

    def test_a_connection_of_which_the_server_knows_nothing_may_leave(self, layer: ChannelLayer) -> None:
        connect(layer)
        layer.flush()
        leave(layer)
        assert handled(layer, "come", "gone") == ["goodbye"]

    def test_nobody_of_a_process_that_was_ended_joins_a_group(self, layer: ChannelLayer, clock: SteppedClock) -> None:
        connect(layer)
        reap(layer, clock)
        layer.group_add("room", SOCKET)
        assert layer.group_channels("room") == []

    def test_mail_for_a_process_that_was_ended_is_dropped_and_counted(
        self, layer: ChannelLayer, clock: SteppedClock
    ) -> None:
        connect(layer)
        reap(layer, clock)
        layer.send(SOCKET, {"n": 1})
        assert dropped(layer, "process_died") == 1
        assert layer.collect(PROCESS, 0, 10).entries == []

    def test_a_process_learns_that_it_was_taken_for_dead_though_it_has_spoken_since(
        self, layer: ChannelLayer, clock: SteppedClock
    ) -> None:
        connect(layer)
        reap(layer, clock)
        connect(layer, "gw.x!another")
        assert layer.collect(PROCESS, 0, 10).reaped
        leave(layer, "gw.x!another")
        assert handled(layer, "come", "gone") == [SOCKET, "gw.x!another", SOCKET, "goodbye"]
