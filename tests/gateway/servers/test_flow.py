"""When a connection of Twisted's is read from, and when what was written has gone out."""

from __future__ import annotations

import asyncio

import pytest

from chancelery.gateway.servers.flow import Flow, buffered, innermost
from tests.gateway.harness import on_a_loop


class Transport:
    """As much of a Twisted transport as matters: a buffer, a producer, and a switch for reading."""

    def __init__(self):
        self.dataBuffer, self.offset, self._tempDataLen = b"", 0, 0
        self.disconnecting = False
        self.reads = True
        self.producer = None

    def registerProducer(self, producer, streaming):  # noqa: N802
        assert streaming
        self.producer = producer

    def unregisterProducer(self):  # noqa: N802
        self.producer = None

    def pauseProducing(self):  # noqa: N802
        self.reads = False

    def resumeProducing(self):  # noqa: N802
        self.reads = True

    def write(self, size):
        self._tempDataLen += size
        if self._tempDataLen > 65536 and self.producer:
            self.producer.pauseProducing()

    def gone_out(self):
        self._tempDataLen = 0
        self.producer.resumeProducing()


@pytest.fixture
def transport():
    return Transport()


def test_a_long_backlog_pauses_reading_until_it_is_nearly_gone(transport):
    backlog = []
    flow = Flow(transport, lambda: backlog[-1])
    for waiting, reads in [(16, True), (17, False), (16, False), (5, False), (4, True), (16, True)]:
        backlog.append(waiting)
        flow.regulate()
        assert transport.reads is reads


def test_who_is_held_for_other_reasons_is_not_read_from_while_the_backlog_is_long(transport):
    backlog = [10_000]
    flow = Flow(transport, lambda: backlog[-1])
    flow.hold(True)
    flow.hold(False)
    assert not transport.reads
    backlog.append(0)
    flow.regulate()
    assert transport.reads
    flow.hold(True)
    flow.regulate()
    assert not transport.reads


@on_a_loop
async def test_it_is_clogged_until_all_has_gone_out(transport):
    flow = Flow(transport, int)
    transport.write(60_000)
    assert not flow.clogged
    transport.write(60_000)
    assert flow.clogged
    waiting = [asyncio.create_task(flow.drained()) for _ in range(2)]
    await asyncio.sleep(0)
    transport.gone_out()
    await asyncio.gather(*waiting)
    assert transport.reads


@on_a_loop
async def test_a_lost_connection_is_waited_for_no_longer(transport):
    flow = Flow(transport, int)
    transport.write(100_000)
    waiting = asyncio.create_task(flow.drained())
    await asyncio.sleep(0)
    flow.stopProducing()
    await waiting


def test_who_makes_the_server_answer_and_does_not_read_the_answers_is_read_from_no_longer(transport):
    Flow(transport, int)
    transport.write(100_000)
    for _ in range(9_000):
        transport.write(127)  # pongs
    assert not transport.reads
    transport.gone_out()
    assert transport.reads


def test_a_connection_that_is_to_end_ends_when_all_has_gone_out(transport):
    Flow(transport, int)
    transport.write(100_000)
    transport.disconnecting = True
    transport.gone_out()
    assert transport.producer is None


def test_what_waits_is_found_below_tls(transport):
    class Tls:
        def __init__(self, inner):
            self.transport = inner

    transport.write(1000)
    assert innermost(Tls(transport)) is transport
    assert buffered(innermost(Tls(transport))) == 1000
    assert innermost(Tls(None)) is None
