"""The way from sockets into the layer, and the tasks that carry."""

from __future__ import annotations

import asyncio

import pytest

from chancelery.exceptions import ChannelFull, LayerUnavailable
from chancelery.gateway.posting import Posting
from chancelery.gateway.supervised import keep
from chancelery.layers.base import Send
from chancelery.log import Burst, room
from tests.gateway.harness import CountingLayer, on_a_loop, until

FOREVER = float("inf")


@pytest.fixture
def going():
    """Starts a posting on the running loop."""

    def start(layer):
        posting = Posting(layer)
        posting.task = asyncio.create_task(keep(posting.step, "posting", Burst(room("gateway"))))
        return posting

    return start


def send(address, layer):
    return Send(address, layer.pack({"to": address}))


@on_a_loop
async def test_what_is_sent_in_one_tick_goes_out_in_one_exchange(going):
    layer = CountingLayer()
    posting = going(layer)
    posted = [posting.post(send(f"channel{number}", layer), FOREVER) for number in range(3)]
    assert [await one for one in posted] == [None, None, None]
    assert layer.exchanges == [["channel0", "channel1", "channel2"]]


@on_a_loop
async def test_the_next_batch_gathers_while_one_is_under_way(going):
    layer = CountingLayer()
    posting = going(layer)
    layer.may_answer.clear()
    first = posting.post(send("a", layer), FOREVER)
    await until(lambda: layer.exchanges)
    later = [posting.post(send(address, layer), FOREVER) for address in ("b", "c")]
    await asyncio.sleep(0)
    later.append(posting.post(send("d", layer), FOREVER))
    assert not first.done
    layer.may_answer.set()
    for one in (first, *later):
        await one
    assert layer.exchanges == [["a"], ["b", "c", "d"]]


@on_a_loop
async def test_a_large_batch_is_divided_and_stays_in_order(going):
    layer = CountingLayer()
    posting = going(layer)
    posted = [posting.post(send(str(number), layer), FOREVER) for number in range(600)]
    await posted[-1]
    assert [len(exchange) for exchange in layer.exchanges] == [256, 256, 88]
    assert [address for exchange in layer.exchanges for address in exchange] == list(map(str, range(600)))


@on_a_loop
async def test_each_send_has_its_own_outcome(going):
    layer = CountingLayer(channel_capacity={"small": 1})
    posting = going(layer)
    sends = [Send(address, layer.pack({"number": n})) for n, address in enumerate(["small", "large", "small"])]
    stored, also_stored, refused = [await posted for posted in [posting.post(one, FOREVER) for one in sends]]
    assert (stored, also_stored) == (None, None)
    assert isinstance(refused, ChannelFull)


@on_a_loop
async def test_waiting_for_an_outcome_may_be_interrupted_and_begun_again(going):
    layer = CountingLayer()
    posting = going(layer)
    layer.may_answer.clear()
    posted = posting.post(send("a", layer), FOREVER)

    async def wait():
        return await posted

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting})
    layer.may_answer.set()
    assert await wait() is None


@on_a_loop
async def test_what_was_under_way_when_the_layer_fell_silent_is_not_repeated(going):
    layer = CountingLayer()
    posting = going(layer)
    layer.fault = LayerUnavailable("cut off")
    lost = posting.post(send("lost", layer), FOREVER)
    assert isinstance(await lost, LayerUnavailable)
    assert await posting.post(send("next", layer), FOREVER) is None
    assert layer.exchanges == [["lost"], ["next"]]


@on_a_loop
async def test_a_fault_of_the_layer_is_logged_and_does_not_stop_the_posting(going, caplog):
    layer = CountingLayer()
    posting = going(layer)
    layer.fault = RuntimeError("a fault")
    assert isinstance(await posting.post(send("a", layer), FOREVER), LayerUnavailable)
    assert "fault in the gateway's posting, going on" in caplog.text
    assert await posting.post(send("b", layer), FOREVER) is None


@on_a_loop
async def test_a_layer_that_hangs_is_given_up_in_time(going, monkeypatch):
    monkeypatch.setattr("chancelery.gateway.posting._PROBE_SECONDS", 0.01)

    class HangingLayer(CountingLayer):
        async def acheck(self):
            await asyncio.Event().wait()

    layer = HangingLayer()
    posting = going(layer)
    layer.fault = LayerUnavailable("cut off")
    await posting.post(send("lost", layer), FOREVER)
    outcome = await posting.post(send("waits", layer), asyncio.get_running_loop().time() + 0.02)
    assert "nothing was sent" in str(outcome)


@on_a_loop
async def test_what_is_withdrawn_before_its_batch_went_out_does_not_go_out(going):
    layer = CountingLayer()
    posting = going(layer)
    layer.may_answer.clear()
    first = posting.post(send("a", layer), FOREVER)
    await until(lambda: layer.exchanges)
    second, third = (posting.post(send(address, layer), FOREVER) for address in ("b", "c"))
    await posting.withdraw(second)
    layer.may_answer.set()
    assert [await first, await third] == [None, None]
    assert layer.exchanges == [["a"], ["c"]]
    assert isinstance(await second, LayerUnavailable)


@on_a_loop
async def test_what_is_withdrawn_while_it_is_under_way_has_arrived_or_not_by_then(going):
    layer = CountingLayer()
    posting = going(layer)
    layer.may_answer.clear()
    posted = posting.post(send("a", layer), FOREVER)
    await until(lambda: layer.exchanges)
    withdrawing = asyncio.create_task(posting.withdraw(posted))
    await asyncio.sleep(0)
    assert not withdrawing.done()
    layer.may_answer.set()
    await withdrawing
    assert posted.done
    assert layer.receive(["a"])[1] == {"to": "a"}
