"""
What Channels 1 has for the order of messages. Here it always holds, by the lanes of the layer: connect comes first, and
what a socket sends is handled one at a time and in order, whatever fails or is lost in between. Nothing ever waits in a
session or on a channel for its turn.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import ParamSpec, TypeVar, overload

from chancelery import names
from chancelery.message import Message
from chancelery.sessions.connection import with_channel_session
from chancelery.sessions.surrounding import surrounded

P = ParamSpec("P")
R = TypeVar("R")


@overload
def enforce_ordering(consumer: Callable[P, R], slight: bool = ...) -> Callable[P, R]: ...  # noqa: FBT001
@overload
def enforce_ordering(
    consumer: None = ...,
    slight: bool = ...,  # noqa: FBT001
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
def enforce_ordering(
    consumer: Callable[P, R] | None = None,
    slight: bool = False,  # noqa: FBT001, FBT002 - Channels 1's signature
) -> Callable[P, R] | Callable[[Callable[P, R]], Callable[P, R]]:
    """
    See to it that *consumer* gets only messages that have an order, and give it its `channel_session`.

    slight: accepted, and without effect, since the strict order holds at no cost. Raises: TypeError for an async
    function. When called: ValueError for a message without `order`; as `channel_session`.
    """
    if consumer is None:
        return functools.partial(enforce_ordering, slight=slight)
    return surrounded(consumer, _with_order, "enforce_ordering")


def wait_channel_name(reply_channel: str) -> str:
    """
    Return the channel on which messages of this connection waited for their turn in Channels 1.

    Nothing is ever sent to it. Raises: TypeError when *reply_channel* is no name of a channel.
    """
    return f"__wait__.{names.require_channel(reply_channel).replace('!', '?')}"


def requeue_messages(message: Message) -> None:
    """Do nothing: no message waits for *message* to be handled but in its lane, which goes on by itself."""


@contextlib.contextmanager
def _with_order(message: Message) -> Iterator[None]:
    # The disconnect message of a socket whose gateway died has None: nobody was left who had counted.
    if "order" not in message or not isinstance(message["order"], int | None):
        raise ValueError(
            f"enforce_ordering: {message!r} has no order: it is for the messages of sockets, websocket.connect, "
            f"websocket.receive and websocket.disconnect"
        )
    with with_channel_session(message):
        yield
