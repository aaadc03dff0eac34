"""
What a socket may ask of a job: that it be cancelled, by the socket which it was escalated for.

Reads the frame, looks at the job's record, answers. A job of anybody else's is answered as one that there is not.
"""

from __future__ import annotations

import json
import re
from typing import Any, Literal

import msgspec

from chancelery.channel import Channel
from chancelery.exceptions import UnknownJob
from chancelery.message import Message
from chancelery.tasks.engine import backend
from chancelery.tasks.job import Job

_JOB_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)


class _Order(msgspec.Struct, frozen=True):
    """A frame that is meant for a job."""

    job: str
    action: Literal["cancel"]


_decode = msgspec.json.Decoder(_Order).decode


def obey(message: Message) -> bool:
    """
    Do what *message* asks of a job, and answer; tell whether it asked for anything.

    That is a text frame `{"job": id, "action": "cancel"}`. The answer, sent as the consumer's other sends are, has
    `done` beside these: true if the job ended by this, false if it had ended; or `error`, "unknown_job", unless the job
    was escalated from a message of the same socket. Any other message is left alone. Raises: LayerUnavailable;
    ValueError when *message* has no reply channel.
    """
    order = _order(message)
    if order is None:
        return False
    if message.reply_channel is None:
        raise ValueError(f"{message!r} has no reply_channel: a job is cancelled for the socket that a frame came from")
    answer = {"job": order.job, "action": order.action, **_cancelled(order.job, message.reply_channel)}
    message.reply_channel.send({"text": json.dumps(answer)})
    return True


def _order(message: Message) -> _Order | None:
    text = message.get("text")
    if not isinstance(text, str):
        return None
    try:
        return _decode(text)
    except (msgspec.DecodeError, RecursionError):  # none of ours; the consumer may make something of it
        return None


def _cancelled(job_id: str, asking: Channel) -> dict[str, Any]:
    try:
        if _is_for(job_id, asking):
            return {"done": Job(job_id).cancel()}
    except UnknownJob:
        pass
    return {"error": "unknown_job"}


def _is_for(job_id: str, asking: Channel) -> bool:
    """Tell whether the message that the job came from was of the socket *asking*. Raises: UnknownJob."""
    if not _JOB_ID.fullmatch(job_id):
        return False
    engine = backend.current()
    with engine.reporting():
        origin = engine.records.running(job_id).origin
    return origin.content.get("reply_channel") == asking.name
