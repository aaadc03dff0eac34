"""
What a socket may ask of a job: to hear it, to end it, to give it something; and which jobs are its own.

Reads the frame, asks one script, answers. A job of anybody else's is answered as one that there is not, at the same
cost; and what was refused is logged once per burst.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, Literal

import msgspec

from chancelery import conf
from chancelery.exceptions import UnknownJob
from chancelery.log import Burst, room
from chancelery.message import Message
from chancelery.tasks import claims, inbox, inputs, record
from chancelery.tasks.claims import Asking
from chancelery.tasks.engine import backend
from chancelery.tasks.job import Job
from chancelery.tasks.resume import resume
from chancelery.tasks.streams import answer_to, payload_of

_JOB_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
_LARGEST_SEQ = 2**53
_SHOWN = 40
_LOOK = record.loaded("holders.lua", "look.lua")
_refused = Burst(room("tasks"))


class _Order(msgspec.Struct, frozen=True):
    """A frame that is meant for a job, or for all of the asking one's."""

    job: str | None
    do: Literal["resume", "cancel", "input", "list"]
    claim: str | None = None
    after: Annotated[int, msgspec.Meta(ge=0, le=_LARGEST_SEQ)] = 0
    value: msgspec.Raw = msgspec.Raw(b"null")


_Answer = dict[str, Any] | None
"""What is added to the frame's own keys; None for a job that there is not, or not for whoever asks."""

_decode = msgspec.json.Decoder(_Order).decode


def obey(message: Message, **_: object) -> bool:
    """
    Do what *message* asks of a job, and answer; tell whether it asked for anything.

    That is a text frame `{"job": id, "do": …}`, where `do` is "resume" (with `after`, the last seq that is known),
    "cancel" or "input" (with `value`), and `claim` may be a claim to the job; or `{"job": null, "do": "list"}`. The
    answer repeats `job` and `do`, and is sent as the consumer's other sends are. Any other message is left alone; but a
    connecting socket is sent its user's inbox, and with one that disconnects end the jobs that shall. It may be the
    consumer of a demultiplexer's stream, or read the channel that one is sent on to: it answers on that stream.
    Raises: LayerUnavailable; ValueError when *message* has no reply channel.
    """
    if message.channel.name in _COMING_AND_GOING:
        _COMING_AND_GOING[message.channel.name](message)
        return False
    order = _order(message)
    if order is None:
        return False
    if message.reply_channel is None:
        raise ValueError(f"{message!r} has no reply_channel: a job is told, cancelled or fed for the socket of a frame")
    answer = _answer(message, order)
    message.reply_channel.send(answer_to(message, {"job": order.job, "do": order.do, **answer}))
    return True


_COMING_AND_GOING: dict[str, Callable[[Message], None]] = {
    "websocket.connect": inbox.deliver_inbox,
    "websocket.disconnect": inbox.leave,
}


def _order(message: Message) -> _Order | None:
    text = payload_of(message)
    if text is None:
        return None
    try:
        order = _decode(text)
    except (msgspec.DecodeError, RecursionError):  # none of ours; the consumer may make something of it
        return None
    return order if (order.job is None) == (order.do == "list") else None


def _answer(message: Message, order: _Order) -> dict[str, Any]:
    if order.job is None:
        return {"jobs": _mine(message)}
    found = None
    if _JOB_ID.fullmatch(order.job):
        found = _DO[order.do](message, order.job, order, claims.asking(message, order.job, order.claim))
    if found is not None:
        return found
    _refused.say(
        "refused",
        "refused a %s of the job %r for %s: there is none, or it is somebody else's",
        order.do,
        order.job[:_SHOWN],
        message.reply_channel,
    )
    return {"error": "unknown_job"}


def _resume(message: Message, job_id: str, order: _Order, asking: Asking) -> _Answer:
    return resume(message, job_id, asking, order.after)


def _cancel(_: Message, job_id: str, __: _Order, asking: Asking) -> _Answer:
    engine = backend.current()
    with engine.reporting():
        if engine.records.run(_LOOK, f"job:{job_id}", asking.args) is None:
            return None
    try:
        return {"done": Job(job_id).cancel()}
    except UnknownJob:  # its record has expired just now
        return None


def _input(_: Message, job_id: str, order: _Order, asking: Asking) -> _Answer:
    value = bytes(order.value)
    if len(value) > conf.current().job_input_bytes:
        return {"error": "too_large"}
    found = inputs.give(job_id, asking, value)
    if found is None:
        return None
    return {"done": True} if found == "taken" else {"error": found}


_DO: dict[str, Callable[[Message, str, _Order, Asking], _Answer]] = {
    "resume": _resume,
    "cancel": _cancel,
    "input": _input,
}


def _mine(message: Message) -> list[dict[str, Any]]:
    user = claims.owner_of(message)
    if not user and message.reply_channel is not None:
        user = f"socket:{message.reply_channel.name}"
    return [{"job": job_id, "state": state, "seq": seq} for job_id, state, seq in inbox.listed(f"mine:{user}")]
