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


@pytest.mark.parametrize("name", ["", "two words", "a\n", "é", "x" * 101, "a?", "a!", 7, None, b"\xff"])
def test_a_name_that_no_channel_can_have_is_refused_at_once(wrapper, name):
    with pytest.raises(TypeError, match="is not a valid channel name: use a str of 1 to 100 ASCII letters"):
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


# Later


def held(**when):
    """Return what a send with these options becomes."""
    with outbox.holding() as box:
        Channel("a").send({}, **when)
    return box.sends[0][1]


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ({}, (0, 0)),
        ({"delay": 0}, (0, 0)),
        ({"delay": 1.5}, (1500, 0)),
        ({"delay": 0.0001}, (1, 0)),
        ({"delay": dt.timedelta(minutes=1)}, (60_000, 0)),
        ({"eta": dt.datetime(2020, 1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=1)))}, (0, 1_577_836_800_000)),
        ({"eta": dt.datetime(1, 1, 1, tzinfo=dt.UTC)}, (0, 1)),
    ],
)
def test_a_message_may_go_out_later(wrapper, when, expected):
    send = held(**when)
    assert (send.delay_ms, send.due_ms) == expected
    assert send.coalesce is None


def test_a_naive_eta_is_local_time_without_time_zone_support_and_refused_with_it(wrapper, settings):
    naive = dt.datetime(2020, 1, 1)  # noqa: DTZ001 - that is what it is about
    with pytest.raises(ValueError, match=r"eta=.* has no time zone, and USE_TZ is on: pass an aware datetime"):
        held(eta=naive)
    settings.USE_TZ = False
    settings.TIME_ZONE = "Europe/Berlin"
    assert held(eta=naive).due_ms == 1_577_833_200_000


def test_of_messages_with_one_key_the_latest_may_go_out_every_so_often(wrapper):
    assert held(latest_of="7", every=0.05, kind="name,value").coalesce == ("channel:a:7", 50, "name,value")
    assert held(latest_of="7", every=dt.timedelta(seconds=1)).coalesce == ("channel:a:7", 1000, "")
    with outbox.holding() as box:
        Group("a").send({}, latest_of="7", every=1)
    assert box.sends[0][1].coalesce.key == "group:a:7"


@pytest.mark.parametrize(
    ("when", "error", "complaint"),
    [
        ({"delay": -1}, ValueError, "delay=-1 lies in the past: pass 0 or more seconds"),
        ({"delay": dt.timedelta(seconds=-1)}, ValueError, "lies in the past"),
        ({"delay": float("nan")}, TypeError, "delay is a number of seconds or a timedelta, not nan"),
        ({"delay": "1"}, TypeError, "delay is a number of seconds or a timedelta, not '1'"),
        ({"delay": True}, TypeError, "not True"),
        ({"delay": 1e10}, ValueError, "is too long: pass at most 36500 days"),
        ({"eta": 1}, TypeError, "eta is a datetime, not 1"),
        ({"delay": 1, "eta": dt.datetime.now(dt.UTC)}, ValueError, "delay, eta and latest_of each say when"),
        ({"delay": 1, "latest_of": "x", "every": 1}, ValueError, "delay, eta and latest_of each say when"),
        ({"latest_of": "x"}, ValueError, "latest_of goes with every: pass how many seconds"),
        ({"every": 1}, ValueError, "every and kind go with latest_of"),
        ({"kind": "x"}, ValueError, "every and kind go with latest_of"),
        ({"delay": 1, "every": 1}, ValueError, "every and kind go with latest_of"),
        ({"latest_of": "x", "every": 0}, ValueError, "every=0 is no time at all"),
        ({"latest_of": "x", "every": -1}, ValueError, "every=-1 lies in the past"),
        ({"latest_of": 7, "every": 1}, TypeError, "latest_of is a text, not 7"),
        ({"latest_of": "\ud800", "every": 1}, TypeError, "latest_of is a text, not"),
        ({"latest_of": "x", "every": 1, "kind": 7}, TypeError, "kind is a text, not 7"),
    ],
)
@pytest.mark.parametrize("address", [Channel, Group])
def test_times_that_make_no_sense_are_an_error_where_they_are_given(wrapper, address, when, error, complaint):
    with outbox.holding() as box, pytest.raises(error, match=complaint):
        address("a").send({}, **when)
    assert box.sends == []


def test_a_delayed_message_to_a_consumer_stays_in_its_connections_lane(wrapper):
    with outbox.holding() as box:
        Channel("a").send({"reply_channel": "gw!one"}, delay=1)
        Channel("gw!one").send({"text": "later"}, delay=1)
    assert [(send.address, send.lane, send.delay_ms) for _, send in box.sends] == [
        ("a", "gw!one", 1000),
        ("gw!one", "", 1000),
    ]


@pytest.mark.parametrize("immediately", [True, False])
def test_delayed_messages_arrive_when_their_time_has_come(immediately):
    ahead = 0
    layer = InMemoryChannelLayer(clock=lambda: 1_000_000 + ahead)
    with routed(layer=layer):
        Group("all").add("gw!one")
        Channel("a").send({"n": 1}, immediately, delay=60)
        Group("all").send({"n": 2}, immediately, delay=120)
        Channel("gw!two").send({"n": 3}, immediately, eta=dt.datetime.fromtimestamp(1_000_180, dt.UTC))
        seen = []
        for _ in range(4):
            layer.move_due(0)
            seen.append(received(layer, "a", "gw!"))
            ahead += 61
    assert seen == [[], [{"n": 1}], [{"n": 2}], [{"n": 3}]]
