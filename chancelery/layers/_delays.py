"""
The in-memory layer's messages that wait for their time, and the pauses of what goes out at most so often.

Not safe for threads: the layer holds its lock. Knows which are due, and in which order; the rules are in `_timing`.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

from chancelery.layers._ledger import Parcel
from chancelery.layers.values import Send


class Waiting(NamedTuple):
    """A message that waits: one to be sent, or one to be handled again, whose lane stays taken."""

    what: Send | Parcel
    refused: bool = False
    """Its time has come, and there was no room."""

    @property
    def channel(self) -> str:
        """Where it will lie; empty for a message to a group."""
        if isinstance(self.what, Parcel):
            return self.what.channel
        return "" if self.what.to_group else self.what.address


class Delays:
    """
    Messages by id. Those that are due at the same time go out in the order of their ids, which is that of their coming.

    One that goes out at most so often waits under an id made from its key, so that the next finds it there.
    """

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._waiting: dict[str, tuple[int, Waiting]] = {}
        self._heap: list[tuple[int, str]] = []
        self._pauses: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def next_ms(self) -> float:
        """When the first of them is due; infinite when there is none."""
        while self._heap and self._is_stale(*self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else math.inf

    def put(self, due_ms: int, waiting: Waiting, number: str = "") -> None:
        """Let it wait until *due_ms*, under a new id unless it has a *number*."""
        number = number or f"{next(self._numbers):016d}"
        self._waiting[number] = due_ms, waiting
        heapq.heappush(self._heap, (due_ms, number))

    def find(self, number: str) -> Waiting | None:
        """Return what waits under an id."""
        found = self._waiting.get(number)
        return found[1] if found else None

    def replace(self, number: str, waiting: Waiting) -> None:
        """Put another message in the place of the one that waits under an id; its time stays."""
        self._waiting[number] = self._waiting[number][0], waiting

    def take_due(self, now_ms: int) -> list[tuple[str, Waiting]]:
        """Take out what is due, the earliest first, each with its id."""
        taken = []
        while self.next_ms <= now_ms:
            _, number = heapq.heappop(self._heap)
            taken.append((number, self._waiting.pop(number)[1]))
        return taken

    def take_for(self, matches: Callable[[Waiting], bool]) -> list[Waiting]:
        """Take out those that match, the earliest first."""
        numbers = dict.fromkeys(number for due_ms, number in sorted(self._heap) if not self._is_stale(due_ms, number))
        found = [number for number in numbers if matches(self._waiting[number][1])]
        return [self._waiting.pop(number)[1] for number in found]

    def pause(self, number: str, until_ms: int) -> None:
        """Let nothing more go out under an id until then."""
        self._pauses[number] = until_ms

    def pause_of(self, number: str, now_ms: int) -> int:
        """Return until when nothing more goes out under an id; 0 when it may at once."""
        until_ms = self._pauses.get(number, 0)
        return until_ms if until_ms > now_ms else 0

    def forget_pauses(self, now_ms: int) -> None:
        """Forget what is over."""
        self._pauses = {number: until_ms for number, until_ms in self._pauses.items() if until_ms > now_ms}

    def _is_stale(self, due_ms: int, number: str) -> bool:
        found = self._waiting.get(number)
        return found is None or found[0] != due_ms
