"""
What the in-memory layer has handed out, and to whom, until when. Not safe for threads: the layer holds its lock.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field

from chancelery.layers._ledger import Parcel


@dataclass
class _Lease:
    deadline_ms: int
    held: dict[int, Parcel] = field(default_factory=dict)


class Leases:
    """Leases by name."""

    def __init__(self) -> None:
        self._leases: dict[str, _Lease] = {}
        # One row of numbers for all leases and for good: a delivery from before a reap or a flush must never be taken
        # for a later one of the same lease.
        self._ids = itertools.count(1)

    def open(self, lease: str, deadline_ms: int) -> None:
        """Begin *lease*, or keep it for longer."""
        self._leases.setdefault(lease, _Lease(deadline_ms)).deadline_ms = deadline_ms

    def renew(self, leases: Iterable[str], deadline_ms: int) -> None:
        """Keep those of *leases* that have not ended for longer."""
        for lease in leases:
            if lease in self._leases:
                self._leases[lease].deadline_ms = deadline_ms

    def hold(self, lease: str, parcel: Parcel) -> int:
        """Put *parcel* into an open lease and return its number there."""
        number = next(self._ids)
        self._leases[lease].held[number] = parcel
        return number

    def let_go(self, lease: str, number: int) -> Parcel | None:
        """Take a parcel out of *lease*; None when it does not hold it (any more)."""
        found = self._leases.get(lease)
        return found.held.pop(number, None) if found else None

    def numbers(self, lease: str) -> list[int]:
        """Return the numbers of what *lease* holds, in the order in which it was handed out."""
        found = self._leases.get(lease)
        return list(found.held) if found else []

    def end(self, lease: str) -> list[Parcel]:
        """End *lease* and return what it held."""
        ended = self._leases.pop(lease, None)
        return list(ended.held.values()) if ended else []

    def end_all(self) -> None:
        """End every lease; what they held is gone."""
        self._leases.clear()

    def overdue(self, now_ms: int) -> list[str]:
        """Return the leases that ran out."""
        return [name for name, lease in self._leases.items() if lease.deadline_ms <= now_ms]
