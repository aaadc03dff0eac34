"""
Which of several places a name belongs to, so that everybody agrees and a new place takes only its share.

Each place weighs each name by a hash of both; the heaviest has it. One place more wins 1/n of the names, and no other
name moves. Pure. Source: Thaler and Ravishankar, "A name-based mapping scheme for rendezvous", 1996.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

_MOST_REMEMBERED = 10_000


class Rendezvous:
    """places: names of them, all different; their order is of no matter but for the numbers that are returned."""

    def __init__(self, places: Sequence[str]) -> None:
        self._seeds = [blake2b(place.encode(), digest_size=16).digest() for place in places]
        self._known: dict[str, int] = {}

    def choose(self, name: str) -> int:
        """Return the number of the place, from 0, that *name* belongs to."""
        found = self._known.get(name)
        if found is None:
            raw = name.encode()
            weights = [blake2b(raw, digest_size=8, key=seed).digest() for seed in self._seeds]
            found = weights.index(max(weights))
            if len(self._known) >= _MOST_REMEMBERED:
                self._known.clear()
            self._known[name] = found
        return found
