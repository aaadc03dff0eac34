"""
How a socket gets to hear a job: what it has said after a point, and then all that it says, in order and without a gap.

Each call of the script tells a part of what is kept; the last one binds the socket, in the same step.
"""

from __future__ import annotations

from typing import Any

from chancelery import conf, trail
from chancelery.layers.redis import RedisChannelLayer, keys
from chancelery.message import Message
from chancelery.tasks import record
from chancelery.tasks.claims import Asking, is_of_socket
from chancelery.tasks.engine import backend
from chancelery.tasks.streams import stream_of

MISSED = -1
"""In the place of a seq: what no socket of the owner's was told."""

_RESUME = record.loaded("overall.lua", "holders.lua", "resume.lua")


def resume(message: Message, job_id: str, asking: Asking, after: int) -> dict[str, Any] | None:
    """
    Have the job tell the socket of *message* what comes after the event *after*.

    Returns None when there is no such job for whoever asks; else its `state` and `seq`, or the `error` "busy" when the
    socket's process has no room just now. Raises: LayerUnavailable.
    """
    layer = message.channel_layer.layer
    if "!" not in asking.socket or not isinstance(layer, RedisChannelLayer):
        return None
    terms = keys.terms(layer.capacity_of(asking.socket), layer.attempts_of(asking.socket))
    told = (
        trail.onward(asking.socket)[-1].sender,
        trail.process_label(),
        "1" if is_of_socket(message) else "0",
        stream_of(message),
    )
    engine = backend.current()
    for _ in range(conf.current().job_events + 1):
        with engine.reporting():
            found = engine.records.run(_RESUME, f"job:{job_id}", [*asking.args, terms, layer.prefix, after, *told])
        if found is None:
            return None
        state, seq, after, bound = found
        if bound:
            return {"done": True, "state": state.decode(), "seq": seq} if bound == 1 else {"error": "busy"}
    return {"error": "busy"}
