"""The in-memory layer keeps the contract."""

from __future__ import annotations

import asyncio
import time

import pytest

from chancelery.layers import _ledger, memory
from chancelery.layers._doorbell import Doorbell
from chancelery.layers.base import Send
from chancelery.layers.memory import InMemoryChannelLayer
from chancelery.log import Burst, room
from chancelery.trail import Hop
from tests.contracts.fixtures import MakeLayer, SteppedClock
from tests.contracts.layer import ChannelLayerContract
from tests.contracts.machine import require_model


class TestInMemoryChannelLayer(ChannelLayerContract):
    @pytest.fixture
    def make_layer(self, clock: SteppedClock) -> MakeLayer:
        return lambda **limits: InMemoryChannelLayer(**{"clock": clock} | limits)


def test_it_answers_as_the_model_does() -> None:
    require_model(lambda clock, **limits: InMemoryChannelLayer(clock=clock, **limits))


def test_the_module_can_be_named_as_a_backend() -> None:
    assert memory.ChannelLayer is InMemoryChannelLayer


def test_a_drop_is_logged_with_its_channel_and_its_trail(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_ledger, "_burst", Burst(room("layers")))  # one that has not said anything yet
    clock = SteppedClock()
    layer = InMemoryChannelLayer(clock=clock, expiry=10)
    for _ in range(3):
        layer.send("orders", {}, trail=(Hop("shop.views.buy", "orders", "host:7", 1),))
    clock.advance(11)
    layer.receive(["orders"])
    assert [record.getMessage() for record in caplog.records] == [
        "dropped a message on orders (expired), which came this way: shop.views.buy (host:7) -> orders"
    ]


def test_a_message_that_cannot_be_read_is_logged_too(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_ledger, "_burst", Burst(room("layers")))
    layer = InMemoryChannelLayer()
    layer.post([Send("orders", b"\xc1")])
    assert layer.receive(["orders"]) == (None, None)
    assert "orders (corrupt), which came this way: (unreadable)" in caplog.text


def test_reaping_forgets_what_expired_where_nobody_looks() -> None:
    clock = SteppedClock()
    layer = InMemoryChannelLayer(clock=clock, expiry=10, group_expiry=10)
    layer.send("reply?x", {})
    layer.group_add("group", "reply?x")
    clock.advance(11)
    layer.reap()
    assert layer.channel_statistics("reply?x")["messages_pending"] == 0
    assert layer.global_statistics()["dropped:expired"] == 1


def test_the_channels_before_one_question_mark_share_their_counts() -> None:
    layer = InMemoryChannelLayer(capacity=1)
    layer.post([Send(channel, layer.pack({})) for channel in ("reply?x", "reply?y", "reply?y")])
    statistics = layer.channel_statistics("reply?z")
    assert (statistics["messages_count"], statistics["channel_full_count"]) == (2, 1)


def test_who_listens_for_what_is_there_already_does_not_wait() -> None:
    asyncio.run(Doorbell().listen("process!", lambda: True, 1000))


def test_a_listener_whose_event_loop_is_gone_disturbs_nobody() -> None:
    layer = InMemoryChannelLayer()
    loop = asyncio.new_event_loop()
    task = loop.create_task(layer.acollect("process!", 0, 10, 1000))
    loop.run_until_complete(asyncio.sleep(0))
    task.cancel()  # but the loop is closed before the task can hear of it
    task._log_destroy_pending = False  # nor shall it complain of that
    loop.close()
    layer.send("process!x", {"n": 1})
    assert layer.receive(["process!"]) == ("process!x", {"n": 1})


def test_an_unknown_option_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match="expirey"):
        InMemoryChannelLayer(expirey=5)


def test_without_a_clock_of_its_own_it_follows_the_time() -> None:
    layer = InMemoryChannelLayer()
    layer.send("channel", {"n": 1})
    assert layer.receive(["channel"]) == ("channel", {"n": 1})
    assert abs(layer.collect("process!", 0, 1).now_ms / 1000 - time.time()) < 60
