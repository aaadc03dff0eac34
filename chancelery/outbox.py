"""
Sends that wait until the consumer that made them has ended.

A context variable holds the innermost open outbox, so that nested consumers have one each and threads never share one.
Knows nothing of channels or aliases beyond their names: whoever opened an outbox delivers what is in it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Self

from chancelery import conf
from chancelery.layers.base import ChannelLayer, Send

_RETRY_SECONDS = 0.05

_open: ContextVar[Outbox | None] = ContextVar("chancelery_outbox", default=None)


class Outbox:
    """What one run of a consumer wants to have sent. As a context manager: what is sent within it is held in it."""

    __slots__ = ("_token", "at_once", "deferred", "is_open", "sends")

    def __init__(self) -> None:
        self.sends: list[tuple[str, Send]] = []
        """(layer alias, packed message), in the order in which they were sent."""
        self.deferred: list[Callable[[], object]] = []
        """What may happen only after the consumer has returned normally, and its sends are out."""
        self.at_once: set[str] = set()
        """Addresses that were sent to past this outbox, with `immediately`."""
        self.is_open = False
        """Whether somebody will still look into it."""

    def __enter__(self) -> Self:
        self._token = _open.set(self)
        self.is_open = True
        return self

    def __exit__(self, *_: object) -> None:
        self.is_open = False
        _open.reset(self._token)

    def add(self, alias: str, send: Send) -> None:
        """Hold *send* for the layer behind *alias*."""
        self.sends.append((alias, send))

    def defer(self, call: Callable[[], object]) -> None:
        """Have *call* called once the consumer has returned normally; if it raises, never."""
        self.deferred.append(call)

    def note_sent(self, send: Send) -> None:
        """Take note of what was sent past this outbox."""
        if _is_for_now(send):
            self.at_once.add(send.address)

    def take(self) -> list[tuple[str, Send]]:
        """Take out what is held, to be sent now."""
        taken = self.sends.copy()
        self.sends.clear()
        for _, send in taken:
            self.note_sent(send)
        return taken

    def discard(self) -> None:
        """Forget what is held and deferred: the message is handled again later, and sends it then."""
        self.sends.clear()
        self.deferred.clear()

    def reached(self, address: str) -> bool:
        """Tell whether anything was sent to *address*, held or not, that goes there without waiting for its time."""
        return address in self.at_once or any(send.address == address and _is_for_now(send) for _, send in self.sends)


def current() -> Outbox | None:
    """Return the outbox of the consumer that is running, or None outside of consumers."""
    box = _open.get()
    # A task that an async consumer has left behind still has its outbox, which nobody empties any more.
    return box if box is not None and box.is_open else None


def holding() -> Outbox:
    """Return a new outbox, to be entered: within it, sends are held."""
    return Outbox()


def post(layer: ChannelLayer, send: Send) -> None:
    """
    Send now; while there is no room, try again for `capacity_wait` seconds.

    Raises: ChannelFull when there was none to the end; LayerUnavailable, and then it is unknown whether it was sent.
    """
    give_up_at = time.monotonic() + conf.current().capacity_wait
    while refused := layer.post([send]):
        if time.monotonic() >= give_up_at:
            raise refused[0].error
        time.sleep(_RETRY_SECONDS)


def _is_for_now(send: Send) -> bool:
    return not send.delay_ms and not send.due_ms
