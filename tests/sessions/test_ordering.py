"""What is left of Channels 1's ordering: names, and the refusal of messages without an order."""

from __future__ import annotations

import pytest

from chancelery.sessions import enforce_ordering, requeue_messages, wait_channel_name
from tests.routed import received

pytestmark = pytest.mark.django_db


@enforce_ordering
def consumer(message, **kwargs):
    message.channel_session["orders"] = [*message.channel_session.get("orders", []), message["order"]]
    return message.channel_session["orders"]


def test_enforce_ordering_passes_on_what_has_an_order_with_its_channel_session(a_message):
    assert consumer(a_message("websocket.connect", order=0)) == [0]
    assert consumer(a_message(order=1)) == [0, 1]
    assert consumer(a_message("websocket.disconnect", order=None)) == [0, 1, None]


@pytest.mark.parametrize("slight", [True, False])
def test_slight_ordering_is_accepted(a_message, slight):
    @enforce_ordering(slight=slight)
    def consumer(message):
        return message["order"]

    assert consumer(a_message(order=3)) == 3
    assert consumer.__name__ == "consumer"


def test_a_message_that_follows_a_failed_or_lost_one_is_handled(a_message):
    """Fault 16: a consumer's error, or a gap, used to keep everything after it waiting for ever."""

    @enforce_ordering
    def fail(message):
        raise RuntimeError

    with pytest.raises(RuntimeError):
        fail(a_message("websocket.connect", order=0))
    assert consumer(a_message(order=5)) == [5]
    assert consumer(a_message(order=5)) == [5, 5]


@pytest.mark.parametrize("content", [{}, {"order": "first"}])
def test_a_message_without_an_order_is_refused(a_message, content):
    with pytest.raises(ValueError, match="has no order: it is for the messages of sockets"):
        consumer(a_message(**content))


def test_enforce_ordering_is_for_methods_and_not_for_async_functions(a_message):
    class Consumer:
        @enforce_ordering(slight=True)
        def receive(self, message, **kwargs):
            return kwargs

    assert Consumer().receive(a_message(order=1), room="a") == {"room": "a"}
    with pytest.raises(TypeError, match="enforce_ordering decorates a plain def"):

        @enforce_ordering
        async def consumer(message): ...


def test_wait_channel_name_is_channels_1s_and_nothing_ever_waits_there(a_message, wrapper):
    assert wait_channel_name("gw.1!ab") == "__wait__.gw.1?ab"
    message = a_message(order=7)
    consumer(message)
    requeue_messages(message)
    assert received(wrapper.layer, wait_channel_name("gw!one"), "websocket.receive") == []
    with pytest.raises(TypeError, match="is not a valid channel name"):
        wait_channel_name("a b")
