"""
The in-memory layer's dead letters: messages of channels of `at_least_once` that nobody will get.

Not safe for threads: the layer holds its lock. What becomes a dead letter is told in `base`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from chancelery.exceptions import CorruptMessage
from chancelery.layers import codec
from chancelery.layers._ledger import Ledger, Parcel
from chancelery.layers.values import DeadLetter


class _Letter(NamedTuple):
    reason: str
    died_ms: int
    parcel: Parcel


class DeadLetters:
    """
    The dead letters, the oldest first.

    capacity: how many are kept. numbers: what the ids are made from; they rise for good. unpack: reads an envelope.
    """

    def __init__(
        self, capacity: int, ledger: Ledger, numbers: Iterator[int], unpack: Callable[[bytes], codec.Envelope]
    ) -> None:
        self._capacity = capacity
        self._ledger = ledger
        self._numbers = numbers
        self._unpack = unpack
        self._letters: dict[str, _Letter] = {}

    def __len__(self) -> int:
        return len(self._letters)

    def drop(self, reason: str, parcel: Parcel, now_ms: int) -> None:
        """Count a message that nobody will get, and keep it if it should have been handled at least once."""
        self._ledger.dropped(reason, parcel)
        if parcel.attempts:
            self._letters[f"{next(self._numbers):016d}"] = _Letter(reason, now_ms, parcel)
            if len(self) > self._capacity:
                self._ledger.dropped("dead_letters_full", self._letters.pop(next(iter(self._letters))).parcel)

    def listed(self, limit: int, after: str) -> list[DeadLetter]:
        """Return up to *limit* letters from the one behind the id *after* on. Raises: ValueError for no id."""
        if after and not after.isdigit():
            raise ValueError(f'the id of a dead letter is a number such as "0000000000000123", not {after!r}')
        found = (item for item in self._letters.items() if item[0] > after)
        return [self._read(number, letter) for number, letter in itertools.islice(found, max(limit, 0))]

    def find(self, number: str) -> Parcel | None:
        """Return the message of a letter, if it is there."""
        letter = self._letters.get(number)
        return letter.parcel if letter else None

    def bury(self, ids: Sequence[str]) -> int:
        """Remove letters for good; return how many there were."""
        return sum(self._letters.pop(number, None) is not None for number in ids)

    def _read(self, number: str, letter: _Letter) -> DeadLetter:
        reason, died_ms, parcel = letter
        try:
            content, trail = self._unpack(parcel.data)[3:5]
        except CorruptMessage:
            content, trail = None, ()
        return DeadLetter(number, reason, died_ms, parcel.channel, parcel.lane, parcel.lost, content, trail)
