"""
The in-memory layer's mail: per process, one list of its messages and of the changes of its memberships.

Not safe for threads: the layer holds its lock. How a process reads its list is told in `base.ChannelLayer.collect`.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from chancelery.layers import codec
from chancelery.layers._ledger import Ledger, Parcel
from chancelery.layers.mailbox import Collected


class _Entry(NamedTuple):
    data: bytes
    parcel: Parcel | None
    """None for a change of membership: it never expires, and is not counted."""

    def expired(self, now_ms: int) -> bool:
        return self.parcel is not None and self.parcel.expired(now_ms)


class MailList:
    """One process's list. Entries have positions that rise for as long as the list is there."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._entries: deque[_Entry] = deque()
        self._base = 0
        self._read = 0
        """The position up to where entries were collected."""
        self._controls = 0

    @property
    def pending(self) -> int:
        """How many entries there are that were not acknowledged."""
        return len(self._entries)

    @property
    def unread(self) -> int:
        """How many entries there are that were not collected yet."""
        return max(0, self._base + len(self._entries) - self._read)

    @property
    def oldest(self) -> Parcel | None:
        """The oldest message that was not acknowledged."""
        return next((entry.parcel for entry in self._entries if entry.parcel), None)

    @property
    def oldest_unread(self) -> Parcel | None:
        """The oldest message that was not collected yet."""
        return next((entry.parcel for entry in self._unread() if entry.parcel), None)

    def put(self, parcel: Parcel, capacity: int, now_ms: int) -> bool:
        """Append a message, unless there is no room. Return whether it was."""
        if len(self._entries) >= capacity:
            self._drop_expired(now_ms)
        if len(self._entries) >= capacity:
            return False
        self._entries.append(_Entry(parcel.data, parcel))
        return True

    def put_control(self, group: str, channel: str, deadline_ms: int) -> None:
        """Append a change of membership, even where there is no room: the process would never learn of it."""
        self._controls += 1
        control = codec.Control(self._controls, deadline_ms, group, channel)
        self._entries.append(_Entry(codec.pack_control(control), None))

    def collect(self, position: int, limit: int, now_ms: int) -> Collected:
        """See `base.ChannelLayer.collect`."""
        lost = self._drop_before(position)
        scanned = list(itertools.islice(self._entries, limit))
        self._read = self._base + len(scanned)
        entries = []
        for entry in scanned:
            if entry.parcel and entry.expired(now_ms):
                self._ledger.dropped("expired", entry.parcel)
            else:
                entries.append(entry.data)
        return Collected(now_ms, self._read, entries, lost)

    def abandon(self) -> None:
        """Count what was never collected, since its process has ended."""
        for entry in self._unread():
            if entry.parcel:
                self._ledger.dropped("process_died", entry.parcel)

    def _unread(self) -> Iterator[_Entry]:
        return itertools.islice(self._entries, max(0, self._read - self._base), None)

    def _drop_before(self, position: int) -> bool:
        """Tell whether the reader has missed something: it knows another list than this, or begins anew."""
        if position > self._read:
            position, lost = self._read, True
        else:
            lost = position == 0 < self._base  # else, what lay between has expired and made room
        while self._base < position:
            self._drop_first()
        return lost

    def _drop_expired(self, now_ms: int) -> None:
        while self._entries and self._entries[0].expired(now_ms):
            first = self._drop_first()
            if first.parcel and self._base > self._read:
                self._ledger.dropped("expired", first.parcel)

    def _drop_first(self) -> _Entry:
        self._base += 1
        return self._entries.popleft()


class Mail:
    """Every process's list."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._lists: dict[str, MailList] = {}

    @property
    def processes(self) -> list[str]:
        """Those that have a list."""
        return list(self._lists)

    def of(self, process: str) -> MailList:
        """Return the list of *process*."""
        if process not in self._lists:
            self._lists[process] = MailList(self._ledger)
        return self._lists[process]

    def find(self, process: str) -> MailList | None:
        """Return the list of *process* if it has one."""
        return self._lists.get(process)

    def end_process(self, process: str) -> None:
        """Forget the list of *process*, which has died or stopped."""
        mail = self._lists.pop(process, None)
        if mail:
            mail.abandon()
