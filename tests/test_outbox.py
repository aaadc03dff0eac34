"""What is held until a consumer has ended."""

from __future__ import annotations

import contextvars
import threading

import pytest

from chancelery import Channel, Group, outbox
from chancelery.exceptions import ChannelFull
from chancelery.layers.memory import InMemoryChannelLayer
from tests.routed import received, routed


def test_outside_of_consumers_nothing_is_held():
    assert outbox.current() is None
    with routed() as wrapper:
        Channel("a").send({"n": 1})
        assert received(wrapper.layer, "a") == [{"n": 1}]


def test_held_sends_are_kept_in_order_and_with_their_alias():
    with routed() as wrapper, routed(alias="second"), outbox.holding() as box:
        assert outbox.current() is box
        Channel("a").send({"n": 1})
        Group("g").send({"n": 2})
        Channel("b", alias="second").send({"n": 3})
        assert [(alias, send.address, send.to_group) for alias, send in box.sends] == [
            ("default", "a", False),
            ("default", "g", True),
            ("second", "b", False),
        ]
        assert received(wrapper.layer, "a", "b") == []
    assert outbox.current() is None


def test_a_nested_consumer_has_an_outbox_of_its_own():
    with routed(), outbox.holding() as outer:
        Channel("a").send({})
        with outbox.holding() as inner:
            Channel("b").send({})
        Channel("c").send({})
        assert [send.address for _, send in outer.sends] == ["a", "c"]
        assert [send.address for _, send in inner.sends] == ["b"]


def test_an_outbox_is_closed_when_its_consumer_raises():
    with pytest.raises(RuntimeError), outbox.holding():
        raise RuntimeError
    assert outbox.current() is None


def test_who_still_has_it_when_it_is_closed_sends_at_once():
    with routed() as wrapper:
        with outbox.holding():
            context = contextvars.copy_context()
        context.run(Channel("a").send, {"n": 1})
        assert received(wrapper.layer, "a") == [{"n": 1}]


def test_another_thread_does_not_see_it():
    seen = []
    with outbox.holding():
        thread = threading.Thread(target=lambda: seen.append(outbox.current()))
        thread.start()
        thread.join()
    assert seen == [None]


def test_what_is_sent_immediately_is_not_held_but_remembered():
    with routed() as wrapper, outbox.holding() as box:
        Channel("a").send({"n": 1}, immediately=True)
        assert received(wrapper.layer, "a") == [{"n": 1}]
        assert box.sends == []
        assert box.reached("a")
        assert not box.reached("b")
        Channel("b").send({})
        assert box.reached("b")


def test_a_full_channel_is_tried_again_for_a_while(settings):
    settings.CHANCELERY = {"CAPACITY_WAIT": 30}
    layer = InMemoryChannelLayer(capacity=1)
    with routed(layer=layer):
        Channel("a").send({"n": 1})
        sender = threading.Thread(target=lambda: Channel("a").send({"n": 2}))
        sender.start()
        first = layer.receive(["a"], block=True)
        second = layer.receive(["a"], block=True)
        sender.join()
    assert [first[1], second[1]] == [{"n": 1}, {"n": 2}]


def test_a_channel_that_stays_full_is_an_error_that_says_what_to_do(settings):
    settings.CHANCELERY = {"CAPACITY_WAIT": 0.1}
    with routed(layer=InMemoryChannelLayer(capacity=1)):
        Channel("a").send({})
        with pytest.raises(ChannelFull, match='channel "a" holds 1 messages: add workers, or raise its capacity'):
            Channel("a").send({})


def test_what_goes_out_later_has_not_reached_anybody():
    with routed(), outbox.holding() as box:
        Channel("a").send({}, delay=1)
        Channel("b").send({}, immediately=True, delay=1)
        assert not box.reached("a")
        assert not box.reached("b")
        Channel("a").send({})
        assert box.reached("a")


def test_what_is_held_can_be_discarded_but_not_what_went_out_at_once():
    with routed() as wrapper, outbox.holding() as box:
        Channel("a").send({"n": 1}, immediately=True)
        Channel("a").send({"n": 2})
        box.defer(list)
        box.discard()
        assert (box.sends, box.deferred) == ([], [])
        assert box.reached("a")
        assert received(wrapper.layer, "a") == [{"n": 1}]
