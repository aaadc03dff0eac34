"""
The in-memory layer's mail: per process, one list of its messages and of the changes of its memberships.

Not safe for threads: the layer holds its lock. How a process reads its list is told in `base.ChannelLayer.collect`.
"""

from __future__ import annotations

import itertools
from collections import deque
from typing import Final

from chancelery.layers import codec
from chancelery.layers._ledger import Ledger, Parcel
from chancelery.layers.mailbox import Collected

_NEVER: Final = 1 << 63


class MailList:
    """
    One process's list. Entries have positions that rise for good.

    start: the position of its first entry; 0 always means "from the beginning".
    """

    def __init__(self, start: int, ledger: Ledger) -> None:
        self._start = start
        self._base = start
        self._handed_out = start
        self._entries: deque[Parcel] = deque()
        self._controls = 0
        self._ledger = ledger

    @property
    def pending(self) -> int:
        """How many entries there are that were not acknowledged."""
        return len(self._entries)

    @property
    def end(self) -> int:
        """The position that the next entry will have."""
        return self._base + len(self._entries)

    @property
    def has_news(self) -> bool:
        """Whether there are entries that were not collected yet."""
        return self.end > self._handed_out

    @property
    def oldest(self) -> Parcel | None:
        """The oldest message that was not acknowledged."""
        return next((parcel for parcel in self._entries if parcel.deadline_ms < _NEVER), None)

    def put(self, parcel: Parcel, capacity: int, now_ms: int) -> bool:
        """Append a message, unless there is no room. Return whether it was."""
        if len(self._entries) >= capacity:
            self._purge(now_ms)
        if len(self._entries) >= capacity:
            return False
        self._entries.append(parcel)
        return True

    def put_control(self, group: str, channel: str, deadline_ms: int) -> None:
        """Append a change of membership, even where there is no room: the process would never learn of it."""
        self._controls += 1
        control = codec.Control(self._controls, deadline_ms, group, channel)
        self._entries.append(Parcel(_NEVER, channel, "", codec.pack_control(control)))

    def collect(self, position: int, limit: int, now_ms: int) -> Collected:
        """See `base.ChannelLayer.collect`."""
        lost = not self._drop_before(position or self._start)
        scanned = list(itertools.islice(self._entries, limit))
        self._handed_out = self._base + len(scanned)
        entries = []
        for parcel in scanned:
            if parcel.expired(now_ms):
                self._ledger.dropped("expired", parcel)
            else:
                entries.append(parcel.data)
        return Collected(now_ms, self._handed_out, entries, lost)

    def _drop_before(self, position: int) -> bool:
        if not self._base <= position <= self.end:
            return False
        while self._base < position:
            self._drop_first()
        return True

    def _purge(self, now_ms: int) -> None:
        while self._entries and self._entries[0].expired(now_ms):
            if self._base >= self._handed_out:
                self._ledger.dropped("expired", self._entries[0])
            self._drop_first()

    def _drop_first(self) -> None:
        self._entries.popleft()
        self._base += 1
