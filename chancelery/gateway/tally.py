"""
What this process dropped, by reason, on its way to the layer's counters: gathered, and told at most once a second.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Final

from chancelery.layers.base import ChannelLayer

_PAUSE_SECONDS: Final = 1.0

SLOW_CLIENT: Final = "slow_client"
"""Frames that were not sent to a client, for it did not read those before them."""
UNDELIVERABLE: Final = "undeliverable"
"""Replies to sockets and requests that are over, or were never there."""
BAD_REPLY: Final = "bad_reply"
"""Replies that a socket or a request can do nothing with."""


class Tally:
    """Counts. `step`, repeated, tells the layer."""

    def __init__(self, layer: ChannelLayer) -> None:
        self._layer = layer
        self._drops: Counter[str] = Counter()
        self._work = asyncio.Event()

    def add(self, reason: str, number: int = 1) -> None:
        """Count *number* drops."""
        if number:
            self._drops[reason] += number
            self._work.set()

    async def step(self) -> None:
        """Wait until there is something, tell it, and rest. Raises: LayerUnavailable; it is told later then."""
        await self._work.wait()
        await self.tell()
        await asyncio.sleep(_PAUSE_SECONDS)

    async def tell(self) -> None:
        """Tell what was counted so far. Raises: LayerUnavailable; it is told later then, perhaps a second time."""
        drops = dict(self._drops)
        if drops:
            await self._layer.atally(drops)
        self._drops.subtract(drops)
        self._drops += Counter()  # forgets what is 0
        if not self._drops:
            self._work.clear()
