"""What is written in one turn of the event loop goes out as one, and at once as far as the system takes it."""

from __future__ import annotations

import asyncio

import pytest

from chancelery.gateway.servers.writing import Writer
from tests.gateway.harness import on_a_loop


class Transport:
    """As much of a Twisted transport as matters. takes: how many bytes of a write the system takes."""

    def __init__(self, takes=1_000_000):
        self.dataBuffer, self.offset, self._tempDataLen = b"", 0, 0
        self.connected, self.disconnecting = 1, False
        self.takes = takes
        self.at_once, self.later = [], []

    def writeSomeData(self, data):  # noqa: N802
        if isinstance(self.takes, Exception):
            return self.takes
        taken = data[: self.takes]
        self.at_once.append(bytes(taken))
        return len(taken)

    def write(self, data):
        self.later.append(bytes(data))


@pytest.fixture
def transport():
    return Transport()


@on_a_loop
async def test_the_writes_of_one_turn_go_out_as_one_when_it_ends(transport):
    writer = Writer(transport, is_plain=True)
    writer.write(b"one")
    writer.write(b"two")
    assert transport.at_once == []
    await asyncio.sleep(0)
    assert transport.at_once == [b"onetwo"]
    writer.write(b"three")
    await asyncio.sleep(0)
    assert transport.at_once == [b"onetwo", b"three"]
    assert transport.later == []


@on_a_loop
async def test_what_the_system_does_not_take_goes_by_the_transport(transport):
    transport.takes = 4
    writer = Writer(transport, is_plain=True)
    writer.write(b"onetwo")
    await asyncio.sleep(0)
    assert (transport.at_once, transport.later) == ([b"onet"], [b"wo"])


@pytest.mark.parametrize(
    "state",
    [{"dataBuffer": b"x"}, {"_tempDataLen": 1}, {"connected": 0}, {"disconnecting": True}],
    ids=["waiting", "just written", "lost", "closing"],
)
@on_a_loop
async def test_nothing_overtakes_what_waits_nor_goes_past_the_transport_at_its_end(transport, state):
    vars(transport).update(state)
    Writer(transport, is_plain=True).write(b"one")
    await asyncio.sleep(0)
    assert (transport.at_once, transport.later) == ([], [b"one"])


@on_a_loop
async def test_through_tls_the_writes_of_one_turn_go_by_the_transport_as_one(transport):
    writer = Writer(transport, is_plain=False)
    writer.write(b"one")
    writer.write(b"two")
    await asyncio.sleep(0)
    assert (transport.at_once, transport.later) == ([], [b"onetwo"])


@on_a_loop
async def test_a_lost_connection_is_left_for_the_transport_to_find(transport):
    transport.takes = ConnectionError("lost")
    Writer(transport, is_plain=True).write(b"one")
    await asyncio.sleep(0)
    assert transport.later == [b"one"]


@on_a_loop
async def test_no_more_than_a_buffer_gathers(transport):
    transport.takes = 1000
    Writer(transport, is_plain=True).write(b"x" * 70_000)
    assert [len(data) for data in transport.later] == [69_000]


@on_a_loop
async def test_what_has_gathered_can_be_sent_before_something_else_is(transport):
    writer = Writer(transport, is_plain=True)
    writer.write(b"frame")
    writer.flush()
    transport.write(b"close")
    await asyncio.sleep(0)
    assert (transport.at_once, transport.later) == ([b"frame"], [b"close"])


@on_a_loop
async def test_a_client_whose_transport_fails_does_not_hold_up_the_others(transport):
    broken = Transport(takes=0)
    broken.write = None
    for one in (broken, transport):
        Writer(one, is_plain=True).write(b"one")
    await asyncio.sleep(0)
    assert transport.at_once == [b"one"]
