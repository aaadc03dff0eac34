"""
The part of a Redis layer that sends: what the script `exchange` is told of messages on their way out.

Workers tell it the same of what their consumers sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from chancelery import names
from chancelery.layers.base import Refusal, Send
from chancelery.layers.redis import keys
from chancelery.layers.redis.delays import Delays


class Sending(Delays):
    """Any number of messages in one call, in order."""

    def post(self, sends: Sequence[Send]) -> list[Refusal]:
        """See `base`."""
        return self._refused(sends, self._run(keys.POST, self._posting(sends))[1])

    async def apost(self, sends: Sequence[Send]) -> list[Refusal]:
        """See `base`."""
        answer = await self._arun(keys.POST, self._posting(sends))
        return self._refused(sends, answer[1])

    def _posting(self, sends: Sequence[Send]) -> list[Any]:
        args = self._exchange_head("", 0)
        args += (1, len(sends), "", "", len(sends))
        self._add_sends(args, sends)
        args += (0, 0, 0, 0)
        return args

    def _exchange_head(self, lease: str, begun: int) -> list[Any]:
        limits = self.limits
        return [
            self._now(),
            lease,
            self._ms(limits.lease_seconds),
            self._ms(limits.expiry),
            limits.lane_capacity,
            limits.process_capacity,
            limits.dead_letters,
            begun,
        ]

    def _add_sends(self, args: list[Any], sends: Sequence[Send]) -> None:
        args += [send.lane and names.require_channel(send.lane) for send in sends]
        for send in sends:
            address, body, _, to_group, will, leaves, again, by_connection, delay_ms, due_ms, coalesce = send
            if delay_ms or due_ms or coalesce:
                args += self._timed(send)
            elif to_group:
                args += ("g", names.require_group(address), 0, body)
            else:
                kind = "o" if will else ("y" if again else "x") if leaves else "r" if by_connection else "c"
                args += (kind, names.require_channel(address), self._terms_of(address), body)
                if will:
                    args += (names.require_channel(will.address), self._terms_of(will.address), will.body)

    def _refused(self, sends: Sequence[Send], numbers: Iterable[int]) -> list[Refusal]:
        return [Refusal(sends[number - 1], self.full(sends[number - 1])) for number in numbers]
