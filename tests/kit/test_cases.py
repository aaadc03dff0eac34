"""Test cases with layers of their own."""

from __future__ import annotations

import unittest

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group as Role
from django.db import connection, transaction
from django.test import override_settings

from chancelery import Channel, Group, channel_layers
from chancelery.layers.memory import InMemoryChannelLayer
from chancelery.test import ChannelTestCase, Client, TransactionChannelTestCase, apply_routes
from tests.kit import consumers
from tests.kit.site import LAYERS, MEMORY


@override_settings(CHANNEL_LAYERS=LAYERS)
class OneConsumerTests(ChannelTestCase):
    def test_a_consumer_is_handed_the_next_message_of_a_channel(self):
        Channel("input").send({"value": 33})
        consumers.doubled(self.get_next_message("input", require=True))
        result = self.get_next_message("result", require=True)
        assert result["value"] == 66
        assert result.channel.name == "result"
        assert result.channel_layer is channel_layers["default"]

    def test_there_is_no_next_message_where_nothing_was_sent(self):
        assert self.get_next_message("input") is None

    def test_a_message_that_is_required_fails_the_test_and_says_what_there_is_instead(self):
        Channel("output").send({"value": 33})
        with pytest.raises(self.failureException, match=r'no message on channel "input"\..*1 on output'):
            self.get_next_message("input", require=True)

    def test_mail_of_one_channel_of_a_process_stays_when_that_of_another_is_looked_for(self):
        Group("all").add("test!one")
        Group("all").add("test!two")
        Group("all").send({"text": "hello"})
        assert self.get_next_message("test!two")["text"] == "hello"
        assert self.get_next_message("test!one")["text"] == "hello"
        assert self.get_next_message("test!one") is None


@override_settings(CHANNEL_LAYERS=LAYERS)
class IsolationTests(ChannelTestCase):
    def test_a_layer_in_memory_has_the_routing_and_the_limits_of_the_settings(self):
        wrapper = channel_layers["default"]
        assert isinstance(wrapper.layer, InMemoryChannelLayer)
        assert wrapper.local_only()
        assert "double" in wrapper.router.channels
        assert wrapper.limits.expiry == 90
        assert wrapper.capacity_of("input") == 7

    def test_one_test_leaves_something_behind(self):
        self.leave_something_behind()

    def test_that_another_does_not_find(self):
        self.leave_something_behind()

    def leave_something_behind(self):
        assert self.get_next_message("left") is None
        assert channel_layers["default"].group_channels("left") == []
        Channel("left").send({"value": 1})
        Group("left").add("test!one")

    def test_other_layers_than_those_of_the_case_stay_as_they_are(self):
        assert channel_layers["other"].layer.clock is None


@override_settings(CHANNEL_LAYERS=LAYERS)
class SeveralLayersTests(ChannelTestCase):
    test_channel_aliases = ("default", "other")

    def setUp(self):
        """A setUp that calls no other takes nothing away."""

    def test_each_alias_has_a_layer_of_its_own(self):
        Channel("input", alias="other").send({"value": 1})
        assert self.get_next_message("input") is None
        assert self.get_next_message("input", alias="other")["value"] == 1

    def test_a_client_speaks_to_the_layer_of_its_alias(self):
        client = Client(alias="other")
        client.join_group("all")
        Group("all").send({"text": "default"})
        Group("all", alias="other").send({"text": "other"})
        assert client.receive() == {"text": "other"}
        assert client.receive() is None


@override_settings(CHANNEL_LAYERS=LAYERS)
class ClockTests(ChannelTestCase):
    def test_what_is_sent_for_later_is_there_when_the_clock_has_moved(self):
        client = Client()
        client.send_and_consume("remind")
        assert self.get_next_message("reminder") is None
        self.channel_clock.advance(59)
        assert self.get_next_message("reminder") is None
        self.channel_clock.advance(1)
        assert self.get_next_message("reminder")["text"] == "now"

    def test_an_eta_is_reckoned_from_the_clock(self):
        eta = self.channel_clock.now().replace(year=self.channel_clock.now().year + 1, day=1)
        Channel("reminder").send({"text": "now"}, eta=eta)
        assert self.get_next_message("reminder") is None
        self.channel_clock.advance_to(eta)
        assert self.get_next_message("reminder")["text"] == "now"

    def test_of_what_is_coalesced_the_latest_is_there_when_the_clock_has_moved(self):
        for value in range(3):
            Channel("slider").send({"value": value}, latest_of="slider", every=0.05)
        assert self.get_next_message("slider")["value"] == 0
        assert self.get_next_message("slider") is None
        self.channel_clock.advance(0.05)
        assert self.get_next_message("slider")["value"] == 2

    def test_what_nobody_reads_expires_when_the_clock_has_moved(self):
        Channel("input").send({"value": 1})
        self.channel_clock.advance(91)
        assert self.get_next_message("input") is None
        assert channel_layers["default"].global_statistics()["dropped:expired"] == 1

    def test_a_clock_does_not_go_back(self):
        with pytest.raises(ValueError, match="moves on"):
            self.channel_clock.advance(-1)
        with pytest.raises(ValueError, match="no time zone"):
            self.channel_clock.advance_to(self.channel_clock.now().replace(tzinfo=None))


@override_settings(CHANNEL_LAYERS=LAYERS)
class CommitTests(ChannelTestCase):
    @classmethod
    def setUpTestData(cls):
        transaction.on_commit(lambda: Group("news").send({"text": "from the class"}))

    def setUp(self):
        self.reader = Client()
        self.reader.join_group("news")

    def test_what_a_consumer_leaves_for_the_commit_is_done_when_it_has_returned(self):
        Client().send_and_consume("register", {"name": "editors"})
        assert connection.run_on_commit == connection.run_on_commit[:1]
        assert self.reader.receive() == {"text": "editors"}
        assert self.reader.receive() is None

    def test_what_the_test_leaves_for_the_commit_is_done_when_it_looks_for_messages(self):
        with transaction.atomic():
            transaction.on_commit(lambda: Group("news").send({"text": "committed"}))
            assert self.reader.receive() is None
        assert self.reader.receive() == {"text": "committed"}

    def test_what_is_rolled_back_is_not_done(self):
        with transaction.atomic():
            transaction.on_commit(lambda: Group("news").send({"text": "never"}))
            transaction.set_rollback(True)
        assert self.reader.receive() is None

    def test_what_fails_on_commit_fails_the_consumer_unless_it_was_to_be_robust(self):
        def register(message):
            transaction.on_commit(fail, robust=message["robust"])

        def fail():
            raise LookupError("on commit")

        routes = {"register": register}
        channel_layers["default"].routing = routes
        with self.assertLogs("django.test", "ERROR"):
            Client().send_and_consume("register", {"robust": True})
        with pytest.raises(LookupError, match="on commit"), self.assertLogs("chancelery.worker", "ERROR"):
            Client().send_and_consume("register", {"robust": False})

    def test_queries_of_consumers_are_counted(self):
        with self.assertNumQueries(1):
            Client().send_and_consume("register", {"name": "editors"})

    def test_an_async_consumer_sees_what_the_test_has_stored(self):
        user = get_user_model().objects.create(username="ann")
        client = Client()
        assert client.send_and_consume("look-up", {"name": "ann"}) == user.pk
        assert client.receive() == {"id": user.pk}


@override_settings(CHANNEL_LAYERS=LAYERS)
class AsyncTests(ChannelTestCase):
    @apply_routes({"ask": consumers.looked_up})
    async def test_clients_work_in_a_thread_of_an_async_test(self):
        user = await get_user_model().objects.acreate(username="ann")
        client = Client()
        assert await sync_to_async(client.send_and_consume)("ask", {"name": "ann"}) == user.pk
        assert client.receive() == {"id": user.pk}


@override_settings(CHANNEL_LAYERS=LAYERS)
class TransactionTests(TransactionChannelTestCase):
    def test_what_waits_for_a_commit_is_done_at_the_commit(self):
        reader = Client()
        reader.join_group("news")
        Client().send_and_consume("register", {"name": "editors"})
        assert reader.receive() == {"text": "editors"}
        assert Role.objects.count() == 1


def outcome_of(case, name="test_it"):
    result = unittest.TestResult()
    case(name)(result)
    return result


def test_a_layer_that_cannot_be_made_is_an_error_of_the_test_and_does_not_stop_the_run():
    class Unconfigured(ChannelTestCase):
        databases = ()
        test_channel_aliases = ("nowhere",)

        def test_it(self):
            raise AssertionError("was run")

    [(_, told)] = outcome_of(Unconfigured).errors
    assert "CHANNEL_LAYERS has no alias 'nowhere'" in told


def test_a_case_can_be_run_for_a_debugger():
    class Debugged(ChannelTestCase):
        databases = ()

        def test_it(self):
            raise LookupError(channel_layers["default"].layer.clock is not None)

    with override_settings(CHANNEL_LAYERS=LAYERS):
        with pytest.raises(LookupError, match="True"):
            Debugged("test_it").debug()
        assert channel_layers["default"].layer.clock is None


@override_settings(
    CHANNEL_LAYERS={"default": {"BACKEND": MEMORY, "ROUTING": [], "TEST_CONFIG": {"capacity": 3}, "CONFIG": {}}}
)
class TestConfigTests(ChannelTestCase):
    test_config = True

    def test_a_case_that_asks_for_it_has_the_layers_of_test_config(self):
        assert channel_layers["default"].capacity_of("input") == 3
        Channel("input").send({"value": 1}, delay=5)
        self.channel_clock.advance(5)
        assert self.get_next_message("input")["value"] == 1
