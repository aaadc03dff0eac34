"""Consumers that are to be tried again, called as the worker calls them."""

from __future__ import annotations

import asyncio
import inspect

import pytest

from chancelery.exceptions import ConsumeLater, DenyConnection
from chancelery.generic.websockets import WebsocketConsumer
from chancelery.message import Message
from chancelery.retries import RetryLater, pause_before, retries_of, retry
from chancelery.sessions import channel_session
from chancelery.types import RETRIES
from tests.routed import routed


@pytest.fixture
def wrapper():
    with routed() as wrapper:
        yield wrapper


def message(wrapper, retries=0, channel="a"):
    content = {"reply_channel": "gw!one", "path": "/", "text": "hi"}
    return Message({**content, RETRIES: retries} if retries else content, channel, wrapper)


def delay_of(consumer, *args):
    with pytest.raises(RetryLater) as raised:
        consumer(*args)
    return raised.value.delay


@retry(on=OSError, max=3, backoff=2, jitter=False, max_delay=7)
def fails(message):
    raise ConnectionError("gone")


def test_each_repetition_comes_later_and_then_the_exception_is_a_failure(wrapper, caplog):
    assert [delay_of(fails, message(wrapper, done)) for done in range(3)] == [2, 4, 7]
    with pytest.raises(ConnectionError):
        fails(message(wrapper, 3))
    assert 'fails failed on a message of channel "a", and is tried again in 4.0 seconds, 2 of 3 times' in caplog.text
    assert "ConnectionError('gone')" in caplog.text


def test_a_message_is_doomed_when_it_is_tried_for_the_last_time(wrapper):
    doomed = []

    @retry(on=OSError, max=1)
    def consumer(message):
        doomed.append(message.__doomed__)

    for done in range(3):
        consumer(message(wrapper, done))
    assert doomed == [False, True, True]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, DenyConnection, ConsumeLater])
def test_other_exceptions_and_what_says_what_shall_happen_are_passed_on(wrapper, error):
    @retry(on=(OSError, ConsumeLater, DenyConnection))
    def consumer(message):
        raise error

    with pytest.raises(error) as raised:
        consumer(message(wrapper))
    assert type(raised.value) is error


def test_a_consumer_that_succeeds_is_left_alone(wrapper):
    @retry(on=Exception)
    def consumer(message, room):
        """What it does."""
        return message["text"] + room

    assert consumer(message(wrapper), room="!") == "hi!"
    assert (consumer.__name__, consumer.__doc__) == ("consumer", "What it does.")


def test_async_consumers_are_tried_again_too(wrapper):
    @retry(on=OSError, backoff=1, jitter=False)
    async def consumer(message):
        await asyncio.sleep(0)
        raise OSError

    assert inspect.iscoroutinefunction(consumer)
    assert delay_of(asyncio.run, consumer(message(wrapper))) == 1


class Consumer(WebsocketConsumer):
    @retry(on=OSError, backoff=0)
    def connect(self, message):
        raise OSError

    @retry(on=OSError, backoff=0)
    def receive(self, text=None, bytes=None):  # noqa: A002 - as the class has it
        raise OSError


@pytest.mark.parametrize("channel", ["websocket.connect", "websocket.receive"])
def test_methods_of_consumer_classes_are_tried_again_with_a_message_or_without(wrapper, channel):
    assert delay_of(Consumer, message(wrapper, channel=channel)) == 0


@pytest.mark.django_db
@pytest.mark.parametrize(
    "decorate", [lambda it: retry(on=OSError)(channel_session(it)), lambda it: channel_session(retry(on=OSError)(it))]
)
def test_it_goes_with_other_decorators_in_any_order(wrapper, decorate):
    def consumer(message):
        message.channel_session["n"] = 1
        raise OSError

    assert delay_of(decorate(consumer), message(wrapper)) > 0


class StandsForAnother:
    """As a `consumer_task` does, which has a `retry` of its own."""

    routed_consumer = fails

    def __call__(self, message):
        fails(message)


def test_what_is_no_consumer_is_refused(wrapper):
    for wrong in (7, Consumer, StandsForAnother()):
        with pytest.raises(TypeError, match=r"retry\(\) decorates a consumer that is a function or method, not"):
            retry(on=OSError)(wrong)
    with pytest.raises(TypeError, match="takes an exception class or a tuple of some"):
        retry(on="OSError")
    with pytest.raises(ValueError, match="whose first argument"):
        fails("no message")


@pytest.mark.parametrize("count", [None, "3", -1, 1.5, True, [1]])
def test_a_count_that_is_none_counts_as_the_first_time(count):
    assert retries_of({RETRIES: count}) == retries_of({}) == 0


def test_without_a_word_of_the_consumer_each_wait_is_twice_as_long_up_to_ten_seconds():
    waits = [[pause_before(repetition) for _ in range(50)] for repetition in (1, 2, 3, 8, 1000)]
    for longest, drawn in zip((0.1, 0.2, 0.4, 10, 10), waits, strict=True):
        assert all(longest / 2 <= wait <= longest for wait in drawn)
        assert len(set(drawn)) > 40
