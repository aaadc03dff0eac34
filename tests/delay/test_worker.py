"""A delay server on a layer in memory: from `asgi.delay` through the database to the channel."""

from __future__ import annotations

import logging
import re

import pytest
from django.db import DataError, OperationalError

from chancelery import Group
from chancelery.delay import worker
from chancelery.delay.models import DelayedMessage
from chancelery.exceptions import LayerUnavailable
from tests.routed import received


def pending(channel_layer, channel):
    return channel_layer.channel_statistics(channel)["messages_pending"]


def delay(channel_layer, channel="later", delay=0, **content):
    channel_layer.send("asgi.delay", {"channel": channel, "delay": delay, "content": content})


def test_what_is_sent_to_asgi_delay_goes_out_when_it_is_due(channel_layer, serve):
    delay(channel_layer, delay=30, n=1, raw=b"\x00\xff")
    serve(channel_layer, lambda: pending(channel_layer, "later"))
    assert received(channel_layer.layer, "later") == [{"n": 1, "raw": b"\x00\xff"}]
    assert not DelayedMessage.objects.exists()


def test_until_then_it_lies_in_the_database_and_no_more_on_the_channel(channel_layer, serve):
    delay(channel_layer, delay=60_000, n=1)
    serve(channel_layer, lambda: not pending(channel_layer, "asgi.delay"))
    [message] = DelayedMessage.objects.all()
    assert (message.channel_name, message.content, message.alias) == ("later", {"n": 1}, "default")
    assert 50_000 < message.delay <= 60_000


def test_a_group_may_be_named_in_place_of_a_channel(channel_layer, serve):
    Group("readers", channel_layer=channel_layer).add("one")
    channel_layer.send("asgi.delay", {"group": "readers", "delay": 0, "content": {"n": 1}})
    serve(channel_layer, lambda: pending(channel_layer, "one"))
    assert received(channel_layer.layer, "one") == [{"n": 1}]


BAD = [
    ({}, "it names a channel or a group, one of the two"),
    ({"channel": "a", "group": "b", "delay": 0, "content": {}}, "one of the two"),
    ({"channel": "no name", "delay": 0, "content": {}}, "not a valid channel name"),
    ({"channel": b"later", "delay": 0, "content": {}}, "not a valid channel name"),
    ({"group": "a!b", "delay": 0, "content": {}}, "not a valid group name"),
    ({"channel": "a", "content": {}}, "from 0 to 3153600000000 .100 years., not None"),
    ({"channel": "a", "delay": "10", "content": {}}, "a number of milliseconds from 0 .*, not '10'"),
    ({"channel": "a", "delay": -1, "content": {}}, "a number of milliseconds from 0 .*, not -1"),
    ({"channel": "a", "delay": True, "content": {}}, "a number of milliseconds from 0 .*, not True"),
    ({"channel": "a", "delay": float("nan"), "content": {}}, "a number of milliseconds from 0"),
    ({"channel": "a", "delay": 10**18, "content": {}}, "a number of milliseconds from 0 .*, not 10{18}$|not 10"),
    ({"channel": "a", "delay": 0}, "its content is a dict, not NoneType"),
    ({"channel": "a", "delay": 0, "content": "text"}, "its content is a dict, not str"),
]


@pytest.mark.parametrize(("bad", "complaint"), BAD)
def test_a_bad_message_is_logged_and_counted_and_ends_nothing(channel_layer, serve, caplog, bad, complaint):
    channel_layer.send("asgi.delay", bad)
    delay(channel_layer, n=1)
    with caplog.at_level(logging.ERROR, "chancelery.delay"):
        serve(channel_layer, lambda: pending(channel_layer, "later"))
    assert received(channel_layer.layer, "later") == [{"n": 1}]
    assert channel_layer.global_statistics()["dropped:bad_delay"] == 1
    [record] = caplog.records
    assert re.search(complaint, record.getMessage())


def test_a_row_that_cannot_be_sent_is_set_aside_and_kept(channel_layer, serve, caplog):
    for name, envelope in (("later", b"nonsense"), ("no name", None)):
        message = DelayedMessage(channel_name=name, content={}, delay=-1000)
        message.envelope = envelope or message.envelope
        message.save()
    delay(channel_layer, n=1)
    serve(channel_layer, lambda: pending(channel_layer, "later"))
    assert received(channel_layer.layer, "later") == [{"n": 1}]
    problems = list(DelayedMessage.objects.order_by("pk").values_list("problem", flat=True))
    assert "not an envelope" in problems[0]
    assert "not a valid channel name" in problems[1]
    assert len([each for each in caplog.records if "is set aside" in each.getMessage()]) == 2


def test_a_full_channel_is_tried_again(channel_layer, serve, monkeypatch):
    monkeypatch.setattr(DelayedMessage.hand_over, "__defaults__", (50,))
    for number in range(3):
        channel_layer.send("later", {"n": number})
    delay(channel_layer, n=3)
    found = []

    def came():
        if channel_layer.global_statistics()["channel_full_count"]:
            found.extend(received(channel_layer.layer, "later"))
        return {"n": 3} in found

    serve(channel_layer, came)
    assert not DelayedMessage.objects.exists()


def test_what_the_database_refuses_is_dropped_with_a_record_and_the_rest_is_stored(channel_layer, serve, monkeypatch):
    real = DelayedMessage.save_base

    def refusing(self, *args, **options):
        if self.content == {"n": "bad"}:
            raise DataError("value too long")
        return real(self, *args, **options)

    def bulk(self, rows):
        raise DataError("one of them is too long")

    monkeypatch.setattr(DelayedMessage, "save_base", refusing)
    monkeypatch.setattr(DelayedMessage.objects.__class__, "bulk_create", bulk)
    delay(channel_layer, n="bad")
    delay(channel_layer, n="good")
    serve(channel_layer, lambda: pending(channel_layer, "later"))
    assert received(channel_layer.layer, "later") == [{"n": "good"}]
    assert channel_layer.global_statistics()["dropped:bad_delay"] == 1


def test_a_database_that_fails_is_waited_for_and_nothing_is_lost(channel_layer, serve, monkeypatch):
    failures = iter([True, True])
    real = DelayedMessage.objects.__class__.bulk_create

    def failing(self, rows):
        if next(failures, False):
            raise OperationalError("the database is away")
        return real(self, rows)

    monkeypatch.setattr(DelayedMessage.objects.__class__, "bulk_create", failing)
    delay(channel_layer, n=1)
    serve(channel_layer, lambda: pending(channel_layer, "later"))
    assert received(channel_layer.layer, "later") == [{"n": 1}]


def test_a_layer_that_does_not_answer_is_waited_for_and_nothing_is_stored_twice(channel_layer, serve, monkeypatch):
    calls = iter(range(100))
    real = channel_layer.layer.fetch

    def failing(channels, limit, lease, finished=(), **options):
        found = real(channels, limit, lease, finished, **options)
        if finished and next(calls) < 2:
            raise LayerUnavailable("the answer got lost")
        return found

    monkeypatch.setattr(channel_layer.layer, "fetch", failing)
    delay(channel_layer, delay=60_000, n=1)
    serve(channel_layer, lambda: next(calls, 99) > 10)
    assert DelayedMessage.objects.count() == 1


def test_what_the_layer_did_not_take_stays_in_the_database(channel_layer, serve, monkeypatch):
    DelayedMessage(channel_name="later", content={"n": 1}, delay=-1).save()
    away = [LayerUnavailable("away")] * 2
    real = channel_layer.layer.post

    def failing(sends):
        if away:
            raise away.pop()
        return real(sends)

    monkeypatch.setattr(channel_layer.layer, "post", failing)
    serve(channel_layer, lambda: pending(channel_layer, "later"))
    assert received(channel_layer.layer, "later") == [{"n": 1}]
    assert not DelayedMessage.objects.exists()


def test_a_row_that_could_not_be_deleted_is_not_sent_again(channel_layer, serve, monkeypatch):
    failures = [OperationalError("the database is locked")] * 2
    rows = DelayedMessage.objects.__class__
    real = rows.get_queryset

    class Locked(real(DelayedMessage.objects).__class__):
        def delete(self):
            if failures:
                raise failures.pop()
            return super().delete()

    monkeypatch.setattr(rows, "get_queryset", lambda self: Locked(self.model, using=self._db))
    DelayedMessage(channel_name="later", content={"n": 1}, delay=-1).save()
    serve(channel_layer, lambda: not failures and pending(channel_layer, "later"))
    assert received(channel_layer.layer, "later") == [{"n": 1}]
    assert not DelayedMessage.objects.exists()


def test_messages_of_another_layer_are_left_to_its_server(channel_layer, serve):
    DelayedMessage(channel_name="later", content={"n": 1}, delay=-1, alias="other").save()
    delay(channel_layer, n=2)
    serve(channel_layer, lambda: pending(channel_layer, "later"))
    assert received(channel_layer.layer, "later") == [{"n": 2}]
    assert DelayedMessage.objects.get().content == {"n": 1}


def test_connections_to_the_database_are_looked_after_each_round(channel_layer, serve, monkeypatch):
    looked = []
    monkeypatch.setattr(worker, "close_old_connections", lambda: looked.append(1))
    serve(channel_layer, lambda: len(looked) > 3)
