"""
`receive`, as Channels 1 has it: one message at a time, without a lease, of queues and of mail alike.

Mail comes in stretches, and a message to a group once for all members: what is read and not asked for yet waits here.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from chancelery.layers.mailbox import Mailbox

if TYPE_CHECKING:
    from chancelery.layers.base import ChannelLayer
    from chancelery.types import Content

_READ_AT_ONCE = 100


class Receiver:
    """
    Takes messages off *layer*, for whoever asks.

    pop: takes one message off one of some queues, if there is one.
    """

    def __init__(self, layer: ChannelLayer, pop: Callable[[Sequence[str]], tuple[str, Content] | None]) -> None:
        self._layer = layer
        self._pop = pop
        self._mailboxes: dict[str, tuple[Mailbox, deque[tuple[str, Content]]]] = {}

    def next_of(self, channels: Sequence[str]) -> tuple[str, Content] | None:
        """Return what is there on one of *channels*, without waiting."""
        for channel in channels:
            if channel.endswith("!"):
                waiting = self._mail(channel)
                if waiting:
                    return waiting.popleft()
        queues = [channel for channel in channels if not channel.endswith("!")]
        random.shuffle(queues)  # so that a busy channel does not starve the others
        return self._pop(queues) if queues else None

    def forget(self) -> None:
        """Begin anew: the layer was emptied."""
        self._mailboxes.clear()

    def _mail(self, process: str) -> deque[tuple[str, Content]]:
        mailbox, waiting = self._mailboxes.setdefault(process, (Mailbox(process, unpack=self._layer.unpack), deque()))
        while not waiting:
            before = mailbox.position
            waiting.extend(self._next_mail(mailbox))
            if mailbox.position == before:
                break
        return waiting

    def _next_mail(self, mailbox: Mailbox) -> list[tuple[str, Content]]:
        """Return what came next, which may all have been changes of membership, or have expired."""
        layer = self._layer
        collected = layer.collect(mailbox.process, mailbox.position, _READ_AT_ONCE)
        if collected.lost:  # before it is taken: what came since then is for today's members
            mailbox.reload(layer.groups_of(mailbox.process))
        inbound = mailbox.take(collected)
        if mailbox.corrupt:
            mailbox.corrupt, corrupt = 0, mailbox.corrupt
            layer.tally({"corrupt": corrupt})
        if mailbox.stale:
            mailbox.reload(layer.groups_of(mailbox.process))
        return [(channel, item.content) for item in inbound for channel in item.channels]
