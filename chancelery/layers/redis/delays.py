"""
The part of a Redis layer that knows of time: what is sent for later, or at most so often, and what moves it when due.

The rules are in `scripts/delays.lua`; here they are called.
"""

from __future__ import annotations

import math
from typing import Any

from chancelery import names
from chancelery.deployment.bells import wait_for_any
from chancelery.layers.admission import require_time
from chancelery.layers.base import Send
from chancelery.layers.redis import keys
from chancelery.layers.redis.operations import Operations

_MOVED_AT_ONCE = 100
_SEEN_ALL = b"0"
"""Where SCAN begins, and ends."""


class Delays(Operations):
    """Any number of processes may call `move_due`: the script takes each message out once."""

    def purge(self, channel: str) -> int:
        """See `base`."""
        names.require_purgeable(channel)
        return self._purge_delayed(channel) + super().purge(channel)

    def _purge_delayed(self, channel: str) -> int:
        dropped = 0
        cursor: bytes | None = None
        while cursor != _SEEN_ALL:
            args = [self._now(), self.limits.dead_letters, channel, cursor or _SEEN_ALL]
            number, cursor = self._run(keys.PURGE_DELAYED, args)
            dropped += number
        return dropped

    def _move_now(self) -> tuple[int, float]:
        limits = self.limits
        args = [limits.dead_letters, int(limits.expiry * 1000), limits.lane_capacity, limits.process_capacity]
        moved, more, due_by = 0, 1, ""
        while more:
            now_ms, number, more, next_ms = self._run(keys.MOVE, [self._now(), *args, _MOVED_AT_ONCE, due_by])
            due_by = due_by or now_ms  # what is put off comes after it: this ends
            moved += number
        return moved, (int(next_ms) - now_ms) / 1000 if next_ms else math.inf

    def _wait_until_due(self, seconds: float) -> None:
        # With the client's clock: a server that has nothing to do ends a wait up to 0.1 seconds late.
        wait_for_any({self.url: [f"{self.prefix}bell:{keys.DELAYED_BELL}"]}, seconds)

    def _timed(self, send: Send) -> list[Any]:
        """Return what the script is told of a send that has a time."""
        require_time(send)
        address = (names.require_group if send.to_group else names.require_channel)(send.address)
        terms, room = 0 if send.to_group else self._terms_of(address), self.limits.delayed_capacity
        if send.coalesce is None:
            kind = "D" if send.to_group else "d"
            return [kind, address, terms, send.body, room, send.delay_ms, send.due_ms]
        key, every_ms, kind_of_message = send.coalesce
        return ["K" if send.to_group else "k", address, terms, send.body, room, key, every_ms, kind_of_message]
