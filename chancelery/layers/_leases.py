"""
What the in-memory layer has handed out, and to whom, until when. Not safe for threads: the layer holds its lock.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

from chancelery.layers._ledger import Parcel
from chancelery.layers.values import LeaseOverview


@dataclass
class _Lease:
    deadline_ms: int
    begun: int = 0
    held: dict[int, Parcel] = field(default_factory=dict)


class Leases:
    """
    Leases by name.

    numbers: one row for all leases and for good: a delivery from before a reap or a flush must never be taken for a
        later one of the same lease.
    """

    def __init__(self, numbers: Iterator[int]) -> None:
        self._leases: dict[str, _Lease] = {}
        self._numbers = numbers
        self._reaped: set[str] = set()

    def knows(self, lease: str) -> bool:
        """Tell whether *lease* was opened and has not ended."""
        return lease in self._leases

    def open(self, lease: str, deadline_ms: int) -> bool:
        """Begin *lease*, or keep it for longer; return whether it may be used: not once it was reaped."""
        if lease in self._reaped:
            return False
        self._leases.setdefault(lease, _Lease(deadline_ms)).deadline_ms = deadline_ms
        return True

    def renew(self, leases: Iterable[str], deadline_ms: int) -> None:
        """Keep those of *leases* that have not ended for longer."""
        for lease in leases:
            if lease in self._leases:
                self._leases[lease].deadline_ms = deadline_ms

    def hold(self, lease: str, parcel: Parcel) -> int:
        """Put *parcel* into an open lease and return its number there."""
        number = next(self._numbers)
        self._leases[lease].held[number] = parcel
        return number

    def begin(self, lease: str, number: int) -> None:
        """Note that what an open lease holds has been begun, up to *number*."""
        found = self._leases[lease]
        found.begun = max(found.begun, number)

    def let_go(self, lease: str, number: int) -> Parcel | None:
        """Take a parcel out of *lease*; None when it does not hold it (any more)."""
        found = self._leases.get(lease)
        return found.held.pop(number, None) if found else None

    def numbers(self, lease: str) -> list[int]:
        """Return the numbers of what *lease* holds, in the order in which it was handed out."""
        found = self._leases.get(lease)
        return list(found.held) if found else []

    def end(self, lease: str, unstarted: Collection[int] = ()) -> list[tuple[Parcel, bool]]:
        """End *lease* and return what it held in order, each with whether it had been begun; *unstarted* had not."""
        ended = self._leases.pop(lease, None)
        if ended is None:
            return []
        return [(parcel, n <= ended.begun and n not in unstarted) for n, parcel in ended.held.items()]

    def reap(self, now_ms: int) -> list[tuple[Parcel, bool]]:
        """`end` the leases that ran out, and let nobody use them any more."""
        overdue = [name for name, lease in self._leases.items() if lease.deadline_ms <= now_ms]
        self._reaped.update(overdue)
        return [item for name in overdue for item in self.end(name)]

    def overview(self, now_ms: int) -> list[LeaseOverview]:
        """Return what there is to tell of every lease."""
        return [LeaseOverview(n, len(lease.held), lease.deadline_ms - now_ms) for n, lease in self._leases.items()]
