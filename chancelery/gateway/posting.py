"""
The way from sockets into the layer: what is sent in one tick of the event loop goes out in one exchange.

One exchange is under way at a time and the next batch gathers meanwhile, so that what is posted stays in order. Knows
nothing of sockets. What was under way when the layer fell silent is not repeated, since it may have arrived; what had
not gone out waits for the layer, for as long as it said it would.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any, Final

from chancelery.exceptions import ChanceleryError, ChannelFull, LayerUnavailable
from chancelery.gateway.supervised import jittered
from chancelery.layers.base import ChannelLayer, Refusal, Send

_MAX_BATCH: Final = 256
_PROBE_SECONDS: Final = 2.0
_FIRST_RETRY: Final = 0.02
_LAST_RETRY: Final = 0.25


class Posted:
    """
    One send on its way. Awaiting it gives its outcome, again and again if the one who waits is interrupted.

    outcome: None when it is stored, ChannelFull when it surely is not; LayerUnavailable when that is unknown, or when
    the layer did not come back in time.
    """

    __slots__ = ("_waiter", "done", "give_up_at", "outcome", "send")

    def __init__(self, send: Send, give_up_at: float) -> None:
        self.send = send
        self.give_up_at = give_up_at
        self.done = False
        self.outcome: ChanceleryError | None = None
        self._waiter: asyncio.Future[None] | None = None

    def settle(self, outcome: ChanceleryError | None) -> None:
        """Tell whoever waits, now or later."""
        self.done = True
        self.outcome = outcome
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def __await__(self) -> Generator[Any, None, ChanceleryError | None]:
        while not self.done:
            self._waiter = asyncio.get_running_loop().create_future()
            yield from self._waiter
        return self.outcome


class Posting:
    """Gathers sends and posts them. `step`, repeated, does the work."""

    def __init__(self, layer: ChannelLayer) -> None:
        self._layer = layer
        self._gathered: list[Posted] = []
        self._away = False
        self._wake: asyncio.Future[None] | None = None

    def post(self, send: Send, give_up_at: float) -> Posted:
        """Send *send* in the next batch. While the layer is away it waits, until *give_up_at* by the loop's clock."""
        posted = Posted(send, give_up_at)
        self._gather(posted)
        return posted

    async def insist(self, posted: Posted) -> ChanceleryError | None:
        """Return the outcome; while there is no room, try again until it is to give up. May be interrupted."""
        delay = _FIRST_RETRY
        while isinstance(await posted, ChannelFull) and asyncio.get_running_loop().time() < posted.give_up_at:
            await asyncio.sleep(jittered(delay))
            delay = min(2 * delay, _LAST_RETRY)
            posted.done = False
            self._gather(posted)
        return posted.outcome

    async def withdraw(self, posted: Posted) -> None:
        """Return when nothing more becomes of *posted*. What has not gone out does not; what has is awaited."""
        if posted in self._gathered:
            self._gathered.remove(posted)
            posted.settle(LayerUnavailable("withdrawn before it was sent"))
        else:
            await posted

    async def step(self) -> None:
        """Wait until there is something, and post one batch. Raises: LayerUnavailable."""
        if not self._gathered:
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake  # its result arrives a tick later: by then the whole tick's sends have gathered
        if self._away:
            await self._probe()
        batch, self._gathered = self._gathered[:_MAX_BATCH], self._gathered[_MAX_BATCH:]
        await self._exchange(batch)

    def _gather(self, posted: Posted) -> None:
        self._gathered.append(posted)
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def _exchange(self, batch: list[Posted]) -> None:
        outcome: ChanceleryError | None = LayerUnavailable("the exchange with the layer was broken off")
        refusals: list[Refusal] = []
        try:
            refusals = await self._layer.apost([posted.send for posted in batch])
            outcome = None
        except LayerUnavailable as error:
            self._away = True
            outcome = error
            raise
        finally:
            _settle(batch, refusals, outcome)

    async def _probe(self) -> None:
        """Return when the layer answers again. Those who do not wish to wait for that are told so."""
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                await self._layer.acheck()
        except TimeoutError as error:
            self._give_up()
            raise LayerUnavailable(f"no answer within {_PROBE_SECONDS:g} seconds") from error
        except LayerUnavailable:
            self._give_up()
            raise
        self._away = False

    def _give_up(self) -> None:
        now = asyncio.get_running_loop().time()
        waiting, self._gathered = self._gathered, []
        for posted in waiting:
            if posted.give_up_at > now:
                self._gathered.append(posted)
            else:
                posted.settle(LayerUnavailable("the layer did not come back in time; nothing was sent"))


def _settle(batch: list[Posted], refusals: list[Refusal], outcome: ChanceleryError | None) -> None:
    refused: dict[Send, ChanceleryError] = {refusal.send: refusal.error for refusal in refusals}
    for posted in batch:
        posted.settle(refused.get(posted.send, outcome) if refused else outcome)
