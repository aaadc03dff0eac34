"""
Only the latest of what changes often: changes wait for each other on a channel of this room, frames in the layer.

What is asked of one object goes the same lane, so that it is done one after the other and nothing older overwrites
anything newer, whoever asked.
"""

from __future__ import annotations

import copy
import hashlib
from typing import TYPE_CHECKING, Any, TypedDict

from django.core.exceptions import ValidationError
from django.db import OperationalError

from chancelery.binding import checking, registration, users
from chancelery.binding.changes import DELETE
from chancelery.channel import Channel
from chancelery.exceptions import ConsumeLater, MessageTooLarge
from chancelery.message import Message

if TYPE_CHECKING:
    from chancelery.binding.inbound import Inbound


class Pace(TypedDict, total=False):
    """The options of a send that wait for a later one."""

    latest_of: str
    every: float
    kind: str


def pace(binding: type[Inbound], pk: Any, kind: str) -> Pace:
    """Return what has only the latest *kind* of message about an object sent, as often as *binding* says."""
    if binding.coalesce is None:
        return {}
    return {"latest_of": _digest(binding, pk), "every": binding.coalesce, "kind": kind}


def pass_on(asked: Inbound, action: str, pk: Any, data: Any) -> None:
    """Have what was found to be allowed done in its turn, unless it is overtaken. Raises: ValidationError."""
    binding, message = type(asked), asked.message
    wanted = {} if action == DELETE else {name: data[name] for name in asked.crossing.inward if name in data}
    checking.require_storable(wanted)
    checking.require_valid(asked.crossing, wanted)  # what is not shall not overtake what is
    content = {
        # Not a channel that anybody reads: it names the lane, that of the object instead of the socket.
        "reply_channel": f"{registration.COALESCED}!{_digest(binding, pk)}",
        "binding": binding.label(),
        "asked_by": message.reply_channel.name if message.reply_channel else None,
        "user": users.key_of(asked.user),
        "stream": asked.answer_stream,
        "action": action,
        "pk": asked.pk,
        "data": wanted,
    }
    channel = Channel(registration.COALESCED, channel_layer=message.channel_layer)
    try:
        channel.send(content, **pace(binding, pk, f"{action} {','.join(wanted)}"))
    except (TypeError, MessageTooLarge) as error:  # JSON says more than a message may carry
        raise ValidationError("this cannot be passed on") from error


def consume(message: Message) -> None:
    """Do what was passed on. While the database cannot, the message waits: the last change is always stored."""
    binding = registration.named(message["binding"])
    asked = binding.asked(_as_asked(message), {}, users.user_of(message["user"]))
    asked.action, asked.pk, asked.data = message["action"], message["pk"], message["data"]
    with asked.answering():
        try:
            asked.perform(asked.action, checking.primary_key(asked.crossing.model, asked.pk), asked.data)
        except OperationalError as error:
            raise ConsumeLater from error


def _as_asked(message: Message) -> Message:
    """Return *message* with the reply channel of whoever asked."""
    found = copy.copy(message)
    found.content = {**message.content, "reply_channel": message["asked_by"]}
    found.reply_channel = (
        Channel(message["asked_by"], channel_layer=message.channel_layer) if message["asked_by"] else None
    )
    return found


def _digest(binding: type[Inbound], pk: Any) -> str:
    """Keys may be long, and have letters that no channel's name may have."""
    return hashlib.blake2s(f"{binding.label()} {pk}".encode(), digest_size=16).hexdigest()
