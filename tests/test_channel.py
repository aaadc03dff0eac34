"""Channels and groups, as code that sends sees them."""

from __future__ import annotations

import datetime as dt

import pytest

from chancelery import Channel, Group, outbox, trail
from chancelery.exceptions import InvalidChannelLayerError, MessageTooLarge
from chancelery.layers.base import Finished
from chancelery.layers.memory import InMemoryChannelLayer
from tests.routed import received, routed


@pytest.fixture
def wrapper():
    with routed() as wrapper:
        yield wrapper


@pytest.mark.parametrize("name", ["", "two words", "a\n", "é", "x" * 100, "a?", "a!", 7, None, b"\xff"])
def test_a_name_that_no_channel_can_have_is_refused_at_once(wrapper, name):
    with pytest.raises(TypeError, match="is not a valid channel name: use a str of 1 to 99 ASCII letters"):
        Channel(name)


@pytest.mark.parametrize("name", ["", "a!b", "a?b", b"two words"])
def test_a_name_that_no_group_can_have_is_refused_at_once(wrapper, name):
    with pytest.raises(TypeError, match="is not a valid group name"):
        Group(name)


def test_names_may_be_bytes(wrapper):
    assert str(Channel(b"a.b")) == "a.b"
    assert repr(Group(b"g")) == "<Group 'g'>"


def test_an_unknown_alias_is_refused(wrapper):
    with pytest.raises(InvalidChannelLayerError, match="no alias 'second'"):
        Channel("a", alias="second")


def test_a_channel_speaks_to_its_layer(wrapper):
    with routed(alias="second") as second:
        Channel("a", alias="second").send({"n": 1})
        Channel("a", channel_layer=second).send({"n": 2})
        assert received(second.layer, "a") == [{"n": 1}, {"n": 2}]
        assert received(wrapper.layer, "a") == []


def test_what_is_changed_after_sending_changes_nothing(wrapper):
    content = {"list": [1]}
    with outbox.holding() as box:
        Channel("a").send(content)
        content["list"].append(2)
        Channel("a").send(content)
    wrapper.layer.post([send for _, send in box.sends])
    assert received(wrapper.layer, "a") == [{"list": [1]}, {"list": [1, 2]}]


@pytest.mark.parametrize("content", [{"at": dt.datetime(2020, 1, 1, tzinfo=dt.UTC)}, {1: 2}, "text", None])
def test_what_cannot_be_sent_is_an_error_where_it_is_sent(wrapper, content):
    with outbox.holding(), pytest.raises(TypeError):
        Channel("a").send(content)


def test_what_is_too_large_is_an_error_where_it_is_sent():
    with (
        routed(layer=InMemoryChannelLayer(max_message_bytes=100)),
        outbox.holding(),
        pytest.raises(MessageTooLarge, match="at most 100 are allowed"),
    ):
        Channel("a").send({"text": "x" * 200})


def test_a_group_takes_dicts_only(wrapper):
    with pytest.raises(ValueError, match="a message to a group is a dict, not str"):
        Group("g").send("text")


def test_a_group_reaches_its_members_until_they_leave(wrapper):
    Group("g").add("gw!one")
    Group("g").add(Channel("gw!two"))
    Group("g").send({"n": 1})
    assert [wrapper.layer.receive(["gw!"])[0] for _ in range(2)] == ["gw!one", "gw!two"]
    Group("g").discard(Channel("gw!one"))
    Group("g").discard("gw!two")
    Group("g").discard("gw!never")
    Group("g").send({"n": 2})
    assert received(wrapper.layer, "gw!") == []


def test_memberships_change_at_once_also_in_a_consumer(wrapper):
    with outbox.holding():
        Group("g").add("gw!one")
        assert wrapper.layer.group_channels("g") == ["gw!one"]
        Group("g").discard("gw!one")
        assert wrapper.layer.group_channels("g") == []


@pytest.mark.parametrize("member", ["not valid", 7, b"gw!one"])
def test_only_channels_can_be_members(wrapper, member):
    with pytest.raises(TypeError, match="is not a valid channel name"):
        Group("g").add(member)


def test_messages_of_one_connection_share_its_lane(wrapper):
    """Only one of them is out at a time, whichever channel they are on."""
    layer = wrapper.layer
    Channel("first").send({"n": 1, "reply_channel": "gw!one"})
    Channel("second").send({"n": 2, "reply_channel": "gw!one"})
    Channel("second").send({"n": 3, "reply_channel": "gw!two"})
    lease = layer.open_lease()
    out = layer.fetch(["first", "second"], 10, lease).deliveries
    assert sorted(delivery.content["n"] for delivery in out) == [1, 3]
    following = layer.fetch(["first", "second"], 10, lease, [Finished(delivery) for delivery in out]).deliveries
    assert [delivery.content["n"] for delivery in following] == [2]


@pytest.mark.parametrize("content", [{}, {"reply_channel": None}, {"reply_channel": 7}, {"reply_channel": "plain"}])
def test_other_messages_have_no_lane(wrapper, content):
    Channel("a").send(content)
    Channel("a").send(content)
    assert len(wrapper.layer.fetch(["a"], 10, wrapper.layer.open_lease()).deliveries) == 2


def test_answers_have_no_lane(wrapper):
    with outbox.holding() as box:
        Channel("gw!one").send({"reply_channel": "gw!two"})
        Channel("waiter?abc").send({"reply_channel": "gw!two"})
    assert [send.lane for _, send in box.sends] == ["", ""]


def test_what_is_sent_continues_the_trail_of_the_code_that_sends(wrapper):
    came_by = (trail.Hop("gateway", "websocket.receive", "host:1", 1),)
    with trail.following(came_by, "chat.consumers.say"):
        Channel("a").send({})
    delivery = wrapper.layer.fetch(["a"], 1, wrapper.layer.open_lease()).deliveries[0]
    assert [(hop.sender, hop.channel) for hop in delivery.trail] == [
        ("gateway", "websocket.receive"),
        ("chat.consumers.say", "a"),
    ]
