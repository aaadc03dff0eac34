"""Consumers that let a socket escalate by the name of a shape, and obey what it asks of its jobs."""

from __future__ import annotations

import json
from typing import NamedTuple

from chancelery.message import Message
from chancelery.tasks import escalate, obey
from tests.jobfaults.site.canvases import SHAPES
from tests.jobfaults.site.recording import record


class Person(NamedTuple):
    """Who is logged in, as far as jobs want to know: the site's decorators would read it from a session."""

    pk: str
    is_authenticated: bool = True
    is_staff: bool = False


def _identify(message: Message, kind: str, name: str) -> None:
    if kind == "user":
        message.user = Person(name)


def connected(message: Message, kind: str, name: str) -> None:
    _identify(message, kind, name)
    assert message.reply_channel is not None
    message.reply_channel.send({"accept": True})
    obey(message)


def received(message: Message, kind: str, name: str) -> None:
    _identify(message, kind, name)
    if obey(message):
        return
    order = json.loads(message["text"])
    shape = SHAPES[order["make"]]
    job = escalate(message, shape.make(), **shape.options)
    record("made", job=job.id, client=name, kind=kind, shape=order["make"])


def gone(message: Message, kind: str, name: str) -> None:
    _identify(message, kind, name)
    obey(message)
