"""
The channel `asgi.delay`: what is sent there is sent on later, by the delays of the layer.

Source: Channels 1's delay server; its messages are `{"channel": …, "delay": milliseconds, "content": {…}}`, or name a
`group`. With the app `chancelery.delay`, they are that app's.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from chancelery import trail
from chancelery.channel import Channel, Group
from chancelery.exceptions import MessageTooLarge
from chancelery.log import Burst, room
from chancelery.message import Message
from chancelery.worker.tally import Tally

_bad = Burst(room("worker"))


def send_on(message: Message) -> None:
    """Send the content of *message* on, later. One that cannot be sent on is logged, and counted as `bad_delay`."""
    try:
        _address(message).send(message.get("content"), delay=_delay(message.get("delay")))
    except (TypeError, ValueError, MessageTooLarge) as error:
        _bad.say(
            message.channel.name,
            "dropped a message of channel %s: %s. It takes channel or group, delay (milliseconds) and content; it came "
            "by: %s",
            message.channel,
            error,
            trail.describe(message.trail),
        )
        tally = Tally(message.channel_layer.layer)
        tally.add("bad_delay")
        tally.tell()


def _address(message: Message) -> Channel | Group:
    if ("channel" in message) == ("group" in message):
        raise ValueError("it names a channel or a group, one of the two")
    if "group" in message:
        return Group(message["group"], channel_layer=message.channel_layer)
    return Channel(message["channel"], channel_layer=message.channel_layer)


def _delay(milliseconds: Any) -> timedelta:
    if isinstance(milliseconds, bool) or not isinstance(milliseconds, int | float):
        raise TypeError(f"the delay is a number of milliseconds, not {milliseconds!r}")
    try:
        return timedelta(milliseconds=milliseconds)
    except OverflowError as error:
        raise ValueError(f"a delay of {milliseconds!r} milliseconds is too long") from error
