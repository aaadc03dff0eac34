"""Consumers that do what a frame says."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from chancelery import Channel, route
from chancelery.message import Message
from chancelery.tasks import Job, escalate, obey
from tests.tasks.project import tasks


def connected(message: Message) -> None:
    """Let the socket in."""


def received(message: Message) -> None:
    if obey(message):
        return
    frame = json.loads(message["text"])
    asked = frame if isinstance(frame, dict) else {}
    if "close" in asked:
        message.reply_channel.send({"close": frame["close"]})
    elif "go" in asked:
        Channel(asked["go"]).send({})
    elif "start" in asked:
        job = START[frame["start"]](message, frame)
        message.reply_channel.send({"text": json.dumps({"taken": job.id})})
    else:
        message.reply_channel.send({"text": message["text"]})


START: dict[str, Callable[[Message, dict[str, Any]], Job]] = {
    "work": lambda message, frame: tasks.working.escalate(message, frame["steps"]),
    "wait": lambda message, frame: escalate(message, tasks.waits_for.s(frame["key"])),
    "later": lambda message, frame: escalate(message, tasks.number.s(1), countdown=3600),
    "streams": lambda message, frame: tasks.streams.escalate(message, 10, frame["key"], 10),
    "fail": lambda message, frame: tasks.out_of_paper.escalate(message),
}

channel_routing = [
    route("websocket.connect", connected, path=r"^/desk/$"),
    route("websocket.receive", received, path=r"^/desk/$"),
]
