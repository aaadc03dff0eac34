"""
What waits for one slow client, with a bound in bytes: which of it goes when there is too much.

Pure: knows neither servers nor tasks. Made when a client begins to lag, gone when it has caught up.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, NamedTuple

from chancelery.conf import OutgoingPolicy
from chancelery.gateway.protocols import Action
from chancelery.gateway.protocols.websocket import Frame

COST_OF_WAITING: Final = 128
"""What each action counts beside its content, so that many small ones are bounded too."""


class Bounds(NamedTuple):
    """How much may wait for one client, and what happens beyond."""

    bytes: int
    policy: OutgoingPolicy = "close"


class Backlog:
    """Actions that wait, oldest first. One alone is never too much, however large."""

    __slots__ = ("_bounds", "_bytes", "_number", "_waiting")

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._bytes = 0
        self._number = 0
        self._waiting: OrderedDict[object, Action] = OrderedDict()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, action: Action) -> int | None:
        """
        Let *action* wait, and return how many frames were given up for it.

        Returns None when too much waits now that is not to be given up: the client is too slow to be served.
        """
        superseded = self._put(action)
        if self._bytes <= self._bounds.bytes or len(self._waiting) == 1:
            return superseded
        return None if self._bounds.policy == "close" else self._shrink(superseded)

    def take(self) -> Action | None:
        """Return the oldest, or None when nothing waits."""
        if not self._waiting:
            return None
        _, action = self._waiting.popitem(last=False)
        self._bytes -= _cost(action)
        return action

    def clear(self) -> int:
        """Give up everything; return how many frames that were."""
        frames = sum(type(action) is Frame for action in self._waiting.values())
        self._waiting.clear()
        self._bytes = 0
        return frames

    def _key(self, action: Action) -> object:
        """Return what tells this action from the others: of frames with the same one, only the latest waits."""
        if type(action) is Frame and not action.keep and (action.key or self._bounds.policy == "keep_latest"):
            return action.key
        self._number += 1
        return self._number

    def _put(self, action: Action) -> int:
        """Return how many frames it supersedes: 1 leaves it its place, so that it is not overtaken for ever, or 0."""
        key = self._key(action)
        before = self._waiting.get(key)
        self._waiting[key] = action
        self._bytes += _cost(action)
        if before is None:
            return 0
        self._bytes -= _cost(before)
        return 1

    def _shrink(self, given_up: int) -> int | None:
        """Give up the oldest that may be, not the last, until there is room; return how many are by now, or None."""
        *older, _ = self._waiting
        for key in older:
            action = self._waiting[key]
            if type(action) is Frame and not action.keep:
                del self._waiting[key]
                self._bytes -= _cost(action)
                given_up += 1
                if self._bytes <= self._bounds.bytes or len(self._waiting) == 1:
                    return given_up
        return None


def _cost(action: Action) -> int:
    return action.size + COST_OF_WAITING
