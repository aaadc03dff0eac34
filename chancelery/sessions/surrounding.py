"""What the decorators have in common: each puts something around a consumer that it makes from the message."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, ParamSpec, TypeAlias, TypeVar

from chancelery.message import Message
from chancelery.routing import is_async

P = ParamSpec("P")
R = TypeVar("R")

Surroundings: TypeAlias = Callable[[Message], AbstractContextManager[None]]


def surrounded(consumer: Callable[P, R], surroundings: Surroundings, name: str) -> Callable[P, R]:
    """
    Return *consumer*, a function or method, within what *surroundings* makes of its message.

    name: of the decorator, for errors. Raises: TypeError for an async function. When called: ValueError without a
    message among the first two arguments; what *surroundings* raises.
    """
    if is_async(consumer):
        raise TypeError(
            f"{name} decorates a plain def, since reading and storing a session holds up whatever does it: "
            f"write {consumer!r} as one"
        )

    @functools.wraps(consumer)
    def within(*args: P.args, **kwargs: P.kwargs) -> R:
        with surroundings(message_among(args, name)):
            return consumer(*args, **kwargs)

    return within


def message_among(args: tuple[Any, ...], name: str) -> Message:
    """Return the message that the consumer behind *name*, a function or method, was called with. Raises: ValueError."""
    for candidate in args[:2]:
        if isinstance(candidate, Message):
            return candidate
    raise ValueError(f"{name} is for consumers, whose first argument (after self) is a message; got {args[:2]!r}")
