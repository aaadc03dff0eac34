"""The row of a message that waits."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone

from chancelery import Group, trail
from chancelery.delay.models import DelayedMessage
from chancelery.exceptions import CorruptMessage
from chancelery.trail import Hop
from tests.routed import received


def due(**fields):
    message = DelayedMessage(**{"channel_name": "later", "content": {"n": 1}, "delay": 0, **fields})
    message.save()
    return message


def test_delay_is_milliseconds_from_now_until_the_due_date():
    before = timezone.now()
    message = DelayedMessage(channel_name="later", content={}, delay=1500)
    assert timedelta(milliseconds=1500) <= message.due_date - before < timedelta(milliseconds=2500)
    assert 500 < message.delay <= 1500


def test_is_due_has_what_is_due_and_nothing_else():
    now = due()
    due(delay=60_000)
    due(problem="it was set aside")
    assert list(DelayedMessage.objects.is_due()) == [now]


def test_content_keeps_bytes_and_nesting():
    content = {"bytes": b"\x00\xff", "list": [1, {"deep": None}], "text": "ä"}
    due(content=content)
    assert DelayedMessage.objects.get().content == content


def test_content_may_be_the_json_text_that_channels_1_has():
    assert DelayedMessage(content='{"n": 1}').content == {"n": 1}


def test_what_no_message_can_carry_is_refused_where_it_is_set():
    with pytest.raises(TypeError, match="convert it where it is sent"):
        DelayedMessage(content={"at": timezone.now()})


def test_send_sends_and_deletes(channel_layer):
    assert due().send(channel_layer) is True
    assert received(channel_layer.layer, "later") == [{"n": 1}]
    assert not DelayedMessage.objects.exists()


def test_send_takes_a_raw_layer_too(channel_layer):
    assert due().send(channel_layer.layer) is True
    assert received(channel_layer.layer, "later") == [{"n": 1}]


def test_send_puts_off_by_requeue_delay_when_the_channel_is_full(channel_layer):
    for number in range(3):
        channel_layer.send("later", {"n": number})
    message = due()
    assert message.send(channel_layer, requeue_delay=5000) is False
    message.refresh_from_db()
    assert 3000 < message.delay <= 5000
    assert len(received(channel_layer.layer, "later")) == 3


def test_a_group_is_a_target(channel_layer):
    for member in ("one", "two"):
        Group("readers", channel_layer=channel_layer).add(member)
    due(channel_name="readers", to_group=True).send(channel_layer)
    assert received(channel_layer.layer, "one") == received(channel_layer.layer, "two") == [{"n": 1}]


def test_its_trail_goes_on(channel_layer):
    way = (Hop("desk.consumers.plan", "asgi.delay", "host:1", 1),)
    message = DelayedMessage(channel_name="later", delay=0)
    message.carry({}, way)
    message.save()
    message.send(channel_layer)
    lease = channel_layer.open_lease()
    [delivery] = channel_layer.fetch(["later"], 1, lease).deliveries
    assert [hop.sender for hop in delivery.trail] == ["desk.consumers.plan", "chancelery.delay"]
    assert trail.current() == ()


def test_messages_of_a_connection_stay_in_its_lane(channel_layer):
    due(content={"reply_channel": "gw!one"}).send(channel_layer)
    [delivery] = channel_layer.fetch(["later"], 1, channel_layer.open_lease()).deliveries
    assert delivery.lane == "gw!one"


def test_a_row_that_holds_something_else_says_so(channel_layer):
    message = due(envelope=b"nonsense", content={})
    DelayedMessage.objects.update(envelope=b"nonsense")
    message.refresh_from_db()
    with pytest.raises(CorruptMessage):
        message.send(channel_layer)


def test_what_one_has_claimed_nobody_else_gets_until_the_claim_runs_out():
    for _ in range(3):
        due()
    mine = DelayedMessage.objects.is_due().claim(2, seconds=60)
    others = DelayedMessage.objects.is_due().claim(10, seconds=-1)
    assert len(mine) == 2
    assert len(others) == 1
    assert len(DelayedMessage.objects.is_due().claim(10, seconds=60)) == 1
    DelayedMessage.objects.release(mine)
    assert DelayedMessage.objects.is_due().claim(10, seconds=60) == mine


def test_what_is_due_first_is_claimed_first():
    later, sooner = due(delay=-10), due(delay=-20)
    assert DelayedMessage.objects.is_due().claim(10, seconds=60) == [sooner, later]


def test_the_migrations_are_those_of_the_models():
    call_command("makemigrations", "chancelery_delay", "--check", "--dry-run", verbosity=0)
