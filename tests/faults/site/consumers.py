"""
Consumers that record what they are given, and do what a frame tells them to.

A frame is `{"n": number, "k": kind, "ms": how long to take}`; what is sent on because of it is named after it.
"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable
from typing import Any

from chancelery import Channel, Group
from chancelery.message import Message
from tests.faults.site.recording import name_of, record


def recorded(consumer: Callable[..., None]) -> Callable[..., None]:
    """Record when *consumer* begins with a message and when it has ended, however it ends."""

    @functools.wraps(consumer)
    def run(message: Message, **kwargs: Any) -> None:
        name = name_of(message.channel.name, message.content)
        attempt = getattr(message, "attempt", 1)
        record("start", m=name, channel=message.channel.name, lane=_lane(message), attempt=attempt)
        try:
            consumer(message, **kwargs)
        finally:
            record("end", m=name, attempt=attempt)

    return run


def _lane(message: Message) -> str:
    return message.reply_channel.name if message.reply_channel is not None else ""


def _answer(message: Message, name: str, **more: Any) -> None:
    assert message.reply_channel is not None
    message.reply_channel.send({"text": json.dumps({"id": f"answer:{name}", **more})})


@recorded
def connect(message: Message, room: str) -> None:
    assert message.reply_channel is not None
    Group(room).add(message.reply_channel)
    message.reply_channel.send({"accept": True})
    _answer(message, name_of("websocket.connect", message.content), hello=message.reply_channel.name)


@recorded
def receive(message: Message, room: str) -> None:
    name = name_of("websocket.receive", message.content)
    frame = json.loads(message["text"])
    if frame["ms"]:
        time.sleep(frame["ms"] / 1000)
    _ON_FRAME[frame["k"]](message, name, room)
    _answer(message, name, n=frame["n"])
    if frame["k"] == "fail":
        raise ValueError("as the frame asked")


def _onward(*channels: str, in_lane: bool) -> Callable[[Message, str, str], None]:
    def send(message: Message, name: str, room: str) -> None:
        for channel in channels:
            content = {"id": f"{channel}:{name}", "ms": json.loads(message["text"])["ms"]}
            Channel(channel).send({**content, "reply_channel": _lane(message)} if in_lane else content)

    return send


def _to_room(message: Message, name: str, room: str) -> None:
    Group(room).send({"text": json.dumps({"id": f"room:{name}"})})


def _join_side(message: Message, name: str, room: str) -> None:
    assert message.reply_channel is not None
    Group(f"side.{room}").add(message.reply_channel)


def _nothing(message: Message, name: str, room: str) -> None:
    pass


_ON_FRAME = {
    "echo": _nothing,
    "last": _nothing,
    "fail": _nothing,
    "step": _onward("plain.step", in_lane=True),
    "free": _onward("plain.free", "sure.free", in_lane=False),
    "sure": _onward("sure.step", in_lane=True),
    "room": _to_room,
    "side": _join_side,
}


@recorded
def disconnect(message: Message, room: str) -> None:
    pass


@recorded
def onward(message: Message) -> None:
    if message["ms"]:
        time.sleep(message["ms"] / 1000)
    if message.reply_channel is not None:
        _answer(message, message["id"])
