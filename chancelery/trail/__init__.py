"""
Where a message came from: a bounded list of hops that travels in its envelope.

A hop is written when something is sent: who sent it (process and consumer, task or view), onto which channel, when. The
current trail follows the code that runs (a context variable), so that a send inside a consumer continues the trail of
the message that the consumer was given. Knows nothing of layers.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Final, NamedTuple, TypeAlias

MAX_HOPS: Final = 16
"""A longer trail keeps its first hop, which tells where everything began, and its latest."""


class Hop(NamedTuple):
    """One step of a message's way."""

    sender: str
    """What sent it: a consumer's or task's dotted name, `gateway`, or `code` outside of any."""
    channel: str
    """The channel or group that it was sent to."""
    process: str
    """Host and process id of the sender, `host:pid`."""
    at_ms: int
    """When, in milliseconds since the epoch, by the sender's clock."""

    def __str__(self) -> str:
        return f"{self.sender} ({self.process}) -> {self.channel}"


Trail: TypeAlias = "tuple[Hop, ...]"

_trail: ContextVar[Trail] = ContextVar("chancelery_trail", default=())
_sender: ContextVar[str] = ContextVar("chancelery_sender", default="code")
_process: str | None = None


def _forget_process() -> None:
    global _process  # noqa: PLW0603 - the process id is a global of the process
    _process = None


os.register_at_fork(after_in_child=_forget_process)


def process_label() -> str:
    """Return `host:pid` of this process."""
    global _process  # noqa: PLW0603 - see above
    if _process is None:
        _process = f"{socket.gethostname()}:{os.getpid()}"
    return _process


def current() -> Trail:
    """Return the trail of the message that is being handled, empty outside of consumers and tasks."""
    return _trail.get()


def onward(channel: str) -> Trail:
    """Return the current trail with one more hop: this code sends to *channel*, now."""
    hop = Hop(_sender.get(), channel, process_label(), time.time_ns() // 1_000_000)
    return (*before_one_more(_trail.get()), hop)


def before_one_more(trail: Trail) -> Trail:
    """Return what is kept of *trail* when it gets another hop."""
    return trail if len(trail) < MAX_HOPS else (trail[0], *trail[2 - MAX_HOPS :])


@contextlib.contextmanager
def following(trail: Trail, sender: str) -> Iterator[None]:
    """Within it, what is sent continues *trail* in the name of *sender*."""
    trail_token = _trail.set(trail)
    sender_token = _sender.set(sender)
    try:
        yield
    finally:
        _sender.reset(sender_token)
        _trail.reset(trail_token)


def describe(trail: Trail) -> str:
    """Return the trail in one line for a log, oldest hop first."""
    return " => ".join(map(str, trail)) or "(no trail)"
