"""Processes that die: their connections' wills are sent, and nothing is left of them."""

from __future__ import annotations

from chancelery.layers.base import ChannelLayer, Finished, Send, Will
from tests.contracts.fixtures import LEASE_SECONDS, LayerFixtures, SteppedClock, fetch, numbered, run

PROCESS = "gw.x!"
SOCKET = "gw.x!socket"


def connect(layer: ChannelLayer, lane: str = SOCKET) -> None:
    will = Will("gone", layer.pack({"n": lane}))
    assert layer.post([Send("come", layer.pack({"n": lane}), lane, will=will)]) == []


def leave(layer: ChannelLayer, lane: str = SOCKET) -> None:
    assert layer.post([Send("gone", layer.pack({"n": "goodbye"}), lane, leaves=True)]) == []


def handled(layer: ChannelLayer, *channels: str) -> list[object]:
    """Fetch and finish until there is nothing more; return the `n` of each content."""
    lease = layer.open_lease()
    seen: list[object] = []
    while deliveries := fetch(layer, lease, *channels):
        seen += numbered(deliveries)
        layer.finish([Finished(delivery) for delivery in deliveries], lease)
    layer.close_lease(lease)
    return seen


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
