"""
On which stream of a demultiplexer a message came, and what goes back on it: `{"stream": …, "payload": …}`.

Source: chancelery.generic.websockets, whose messages for one stream carry its name.
"""

from __future__ import annotations

import json
from typing import Any

from chancelery.message import Message
from chancelery.types import Content


def stream_of(message: Message | None) -> str:
    """Return the stream that *message* came on, or an empty string when it has its socket for itself."""
    if message is None or "stream" not in message:
        return ""
    # Elsewhere the name alone may mean anything: what a demultiplexer sends on has a payload beside it.
    is_ours = message.channel.name.startswith("websocket.") or "payload" in message
    return message["stream"] if is_ours and isinstance(message["stream"], str) else ""


def payload_of(message: Message) -> str | None:
    """Return the JSON that *message* brings, from its stream or its socket; None when it brings none."""
    if stream_of(message) and "payload" in message:
        return json.dumps(message["payload"])
    text = message.get("text")
    return text if isinstance(text, str) else None


def answer_to(message: Message, payload: Any) -> Content:
    """Return the content that brings *payload* to where *message* came from."""
    stream = stream_of(message)
    return {"text": json.dumps({"stream": stream, "payload": payload} if stream else payload)}
