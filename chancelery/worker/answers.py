"""
How a consumer ended, and what the protocol's other side is told on behalf of one that did not say it.

A connecting socket is always answered, a request that nobody will answer is.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

from chancelery import trail
from chancelery.layers.base import Send
from chancelery.message import Message
from chancelery.outbox import Outbox
from chancelery.types import Content


class Ending(Enum):
    """How the handling of a message came to its end, for now or for good."""

    RETURNED = auto()
    STOPPED = auto()
    """By an exception that did something to the socket itself."""
    DENIED = auto()
    FAILED = auto()
    UNROUTED = auto()
    POSTPONED = auto()
    """It is handled again later."""
    GIVEN_UP = auto()
    """It was to be handled again later too often."""


def _plain(status: int, text: bytes) -> Content:
    return {"status": status, "headers": [[b"content-type", b"text/plain; charset=utf-8"]], "content": text}


_SERVER_ERROR: Final = _plain(500, b"Server error")
_RESPONSES: Final = {
    Ending.FAILED: _SERVER_ERROR,
    Ending.UNROUTED: _SERVER_ERROR,
    Ending.GIVEN_UP: _plain(503, b"Service unavailable: try again later"),
}


def answers(message: Message, sender: str, ending: Ending, box: Outbox) -> list[Send]:
    """Return what goes out before all that is in *box*, once *message* is done with."""
    to = message.reply_channel
    if to is None:
        return []
    if message.channel.name == "websocket.connect":
        contents = _to_connecting(to.name, message, ending, box)
    elif message.channel.name == "http.request" and ending in _RESPONSES and not box.reached(to.name):
        contents = [_RESPONSES[ending]]
    else:
        return []
    with trail.following(message.trail, sender):
        onward = trail.onward(to.name)
    return [Send(to.name, to.channel_layer.layer.pack(content, onward)) for content in contents]


def _to_connecting(name: str, message: Message, ending: Ending, box: Outbox) -> list[Content]:
    if ending is Ending.RETURNED:
        return [] if message.accept_deferred or box.reached(name) else [{"accept": True}]
    if ending is Ending.STOPPED:
        return [] if box.reached(name) else [{"accept": False}]
    # First of all, or data that the consumer had sent before would accept the socket.
    return [{"accept": False}, {"close": True}] if name in box.at_once else [{"accept": False}]
