"""
What answers on the sockets: plain synchronous functions and classes, run by `runworker`.

None of them waits for anything: what takes longer is escalated to Celery, and its outcome finds its own way back.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from celery import chain, chord
from django.utils import timezone

from chancelery import Group
from chancelery.generic.websockets import WebsocketConsumer, WebsocketDemultiplexer
from chancelery.message import Message
from chancelery.tasks import Job, escalate, obey
from example import bindings, counting, tasks
from example.frames import BadFrame, read
from example.models import Upload

MAX_CHAT_TEXT = 2000


def connected(message: Message) -> None:
    """Let the socket in, by not saying no."""


def echo(message: Message) -> None:
    """Answer every frame with the same frame."""
    key = "text" if message.get("text") is not None else "bytes"
    message.reply_channel.send({key: message[key]})


class Chat(WebsocketConsumer):
    """What one says in a room, everybody in it hears."""

    def connection_groups(self, room: str) -> list[str]:
        return [chat_group(room)]

    def receive(self, text: str | None = None, bytes: bytes | None = None, *, room: str) -> None:  # noqa: A002, ARG002
        if text is None or len(text) > MAX_CHAT_TEXT:
            self.send(text=f"(not sent: a room takes text frames of at most {MAX_CHAT_TEXT} characters)")
        else:
            self.group_send(chat_group(room), text=text)


class Sliders(WebsocketDemultiplexer):
    """What pages say to the sliders, and hear of them."""

    consumers = {bindings.SliderBinding.stream: bindings.SliderBinding.consumer}  # noqa: RUF012 - as projects write it
    groups = (bindings.GROUP,)


def jobs(message: Message) -> None:
    """Start the job that a frame asks for, or say what is wrong with the frame. Events follow by themselves."""
    if obey(message):  # it asked for a job that there is: to be told of it again, or to cancel it
        return
    ref = None
    try:
        order = read(message.get("text"))
        ref = order.ref
        job = _START[order.do](message, **order.values)
    except BadFrame as bad:
        _answer(message, bad.ref or ref, error=str(bad))
    else:
        if ref is not None:
            _answer(message, ref, job=job.id)


def chat_group(room: str) -> str:
    """Return the name of the group of those who are in *room*."""
    return f"chat-{room}"


def _wordcount(message: Message, *, text: str | None, upload: str | None, parts: int) -> Job:
    if (text is None) == (upload is None):
        raise BadFrame('wordcount needs one of "text" and "upload", the id of an uploaded text')
    source = _uploaded(upload) if upload is not None else Upload.store("pasted", [str(text).encode()])
    header = [tasks.count_part.s(str(source.pk), start, stop) for start, stop in counting.ranges(source.path, parts)]
    return escalate(message, chord(header, tasks.merge_counts.s()))


def _chain(message: Message, *, value: int) -> Job:
    return escalate(message, chain(tasks.add_one.s({"value": value, "steps": []}), tasks.double.s(), tasks.square.s()))


def _flaky(message: Message, *, fail: int) -> Job:
    return escalate(message, tasks.flaky.s(fail))


def _later(message: Message, *, seconds: float) -> Job:
    due = timezone.now() + timedelta(seconds=seconds)
    return escalate(message, tasks.remember.s(due.isoformat()), eta=due)


def _announce(message: Message, *, room: str, text: str) -> Job:
    return escalate(message, tasks.announce.s(text), reply_to=Group(chat_group(room)))


_START: dict[str, Callable[..., Job]] = {
    "wordcount": _wordcount,
    "chain": _chain,
    "flaky": _flaky,
    "later": _later,
    "announce": _announce,
}


def _uploaded(upload_id: str) -> Upload:
    try:
        return Upload.objects.get(pk=uuid.UUID(upload_id))
    except (ValueError, Upload.DoesNotExist):
        raise BadFrame(
            f'there is no upload "{upload_id}": give the id that POST /upload/ answered, within a day'
        ) from None


def _answer(message: Message, ref: str | None, **content: Any) -> None:
    called = {} if ref is None else {"ref": ref}
    message.reply_channel.send({"text": json.dumps({**content, **called})})
