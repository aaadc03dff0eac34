"""Other routes for a while."""

from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from chancelery import Channel, channel_layers, route
from chancelery.test import ChannelTestCase, Client, apply_routes
from tests.kit.site import LAYERS
from tests.kit.test_cases import outcome_of


def one(message):
    return 1


def two(message):
    return 2


ONE, TWO = [route("ask", one)], [route("ask", two)]


def asked(alias="default"):
    return Client(alias=alias).send_and_consume("ask", fail_on_none=False)


@pytest.mark.usefixtures("small_site", "channel_clock")
class TestBlocks:
    def test_routes_hold_within_a_block_and_instead_of_all_others(self):
        with apply_routes(ONE):
            assert asked() == 1
            assert Client().send_and_consume("double", {"value": 1}, fail_on_none=False) is None
        assert asked() is None
        assert Client().send_and_consume("double", {"value": 1}) == "returned"

    def test_routes_are_given_back_when_the_block_fails_and_may_be_nested(self):
        routes = apply_routes(ONE)
        with routes:
            with apply_routes(TWO):
                with routes:
                    assert asked() == 1
                assert asked() == 2
            assert asked() == 1
        with pytest.raises(AssertionError, match="no message"), routes:
            Client().consume("ask")
        assert asked() is None

    @pytest.mark.parametrize(
        "routes", [route("ask", one), ONE, [ONE], (ONE, TWO), {"ask": one}, "tests.kit.test_routes.ONE"]
    )
    def test_routes_are_given_in_any_form(self, routes):
        with apply_routes(routes):
            assert asked() == 1

    def test_routes_are_those_of_the_aliases_that_are_named_and_of_no_other(self):
        with apply_routes(ONE, aliases=["other"]), apply_routes(TWO, ["default"]):
            assert [asked("other"), asked("default")] == [1, 2]
        with apply_routes(ONE, aliases=["default", "other"]):
            assert [asked("other"), asked("default")] == [1, 1]

    def test_what_waits_stays_there(self):
        client = Client()
        client.send("ask")
        with apply_routes(ONE):
            assert client.consume("ask") == 1

    def test_the_layer_and_its_routing_are_not_changed(self):
        before = channel_layers["default"]
        with apply_routes(ONE):
            assert channel_layers["default"].layer is before.layer
            assert before.routing == "tests.kit.consumers.routing"
        assert channel_layers["default"] is before

    def test_routes_that_cannot_be_used_are_said_and_change_nothing(self):
        before = channel_layers["default"]
        with pytest.raises(ImproperlyConfigured, match="nowhere"), apply_routes("nowhere", ["other", "default"]):
            pass
        assert channel_layers["default"] is before

    @apply_routes(ONE)
    def test_a_test_may_be_decorated(self):
        """What Channels 1 calls a decorator."""
        assert asked() == 1


@apply_routes(ONE)
@pytest.mark.usefixtures("small_site", "channel_clock")
class TestClasses:
    def test_a_class_may_be_decorated(self):
        assert asked() == 1

    def test_all_of_its_tests(self):
        assert asked() == 1


@apply_routes(ONE)
@override_settings(CHANNEL_LAYERS=LAYERS)
class CaseTests(ChannelTestCase):
    databases = ()

    def test_a_test_case_may_be_decorated(self):
        assert asked() == 1

    @apply_routes(TWO)
    def test_and_its_test_again(self):
        assert asked() == 2

    def test_what_is_sent_on_arrives(self):
        Channel("ask").send({})
        assert Client().consume("ask") == 1


@override_settings(CHANNEL_LAYERS=LAYERS)
def test_a_decorated_class_is_another_and_leaves_nothing_behind():
    class Plain(ChannelTestCase):
        databases = ()

        def test_it(self):
            assert asked() is None

    decorated = apply_routes(ONE)(Plain)
    assert decorated is not Plain
    assert (decorated.__name__, decorated.__module__, decorated.__qualname__) == ("Plain", __name__, Plain.__qualname__)
    assert "setUpClass" not in vars(Plain)
    assert outcome_of(Plain).wasSuccessful()
    decorated.setUpClass()
    assert not outcome_of(decorated).wasSuccessful()
    decorated.tearDownClass()
    decorated.doClassCleanups()
    assert outcome_of(Plain).wasSuccessful()
