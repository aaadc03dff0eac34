"""
The last words of connections that have closed: a disconnect message each, and after it the end of their memberships.

Waits for nobody: a socket's task ends while this goes on. Knows nothing of protocols.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from chancelery.exceptions import ChannelFull, LayerUnavailable
from chancelery.gateway.posting import Posted, Posting
from chancelery.layers.base import ChannelLayer, Send
from chancelery.log import Burst, room

_RETRY_SECONDS: Final = 0.2

Membership = tuple[str, str]


class Departure(NamedTuple):
    """A closed connection."""

    channel: str
    message: Send | None
    """Its disconnect message; None when nobody was told that it connected."""
    give_up_at: float
    """Until when its message is tried, by the loop's clock."""

    def repeated(self) -> Departure:
        """Return it to be sent again, perhaps in vain."""
        return self._replace(message=self.message and self.message._replace(again=True))


class Departures:
    """
    Posts the disconnect messages, then ends the memberships. `step`, repeated, does the work.

    forget: drops what is known of a channel and returns its memberships.
    """

    def __init__(self, layer: ChannelLayer, posting: Posting, forget: Callable[[str], list[Membership]]) -> None:
        self._layer = layer
        self._posting = posting
        self._forget = forget
        self._departed: list[Departure] = []
        self._memberships: list[Membership] = []
        self._complaints = Burst(room("gateway"))
        self._work = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def add(self, departure: Departure) -> None:
        """Say farewell to a connection."""
        self._departed.append(departure)
        self._begin()

    def discard(self, memberships: Iterable[Membership]) -> None:
        """End *memberships*, of connections that are gone already."""
        self._memberships.extend(memberships)
        self._begin()

    async def settled(self) -> None:
        """Return when there is nothing left to do."""
        await self._idle.wait()

    async def step(self) -> None:
        """Wait until there is something, and deal with all there is. Raises: LayerUnavailable."""
        await self._work.wait()
        departed, self._departed = self._departed, []
        refused = await self._post([departure for departure in departed if departure.message])
        again = {departure.channel for departure in refused}
        self._departed.extend(refused)
        for departure in departed:
            if departure.channel not in again:
                self._memberships.extend(self._forget(departure.channel))
        await self._end_memberships()
        if refused:
            await asyncio.sleep(_RETRY_SECONDS)
        if not self._departed and not self._memberships:
            self._work.clear()
            self._idle.set()

    def _begin(self) -> None:
        self._work.set()
        self._idle.clear()

    async def _post(self, departed: list[Departure]) -> list[Departure]:
        """Return those that found no room, or perhaps did not arrive, and are to be tried again."""
        under_way: list[tuple[Departure, Posted]] = [
            (departure, self._posting.post(departure.message, departure.give_up_at))
            for departure in departed
            if departure.message
        ]
        refused = []
        for departure, posted in under_way:
            outcome = await posted
            is_over = asyncio.get_running_loop().time() >= departure.give_up_at
            if isinstance(outcome, ChannelFull) and not is_over:
                refused.append(departure)
            elif isinstance(outcome, LayerUnavailable) and not is_over:
                refused.append(departure.repeated())
            elif outcome is not None:
                self._complaints.say("lost", "no disconnect message for %s: %s", departure.channel, outcome)
        return refused

    async def _end_memberships(self) -> None:
        ending = self._memberships[:]
        if ending:
            await self._layer.adiscard(ending)
            del self._memberships[: len(ending)]
