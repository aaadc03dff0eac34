"""
The gateway of one event loop: its name in the layer, its connections, and the tasks that carry for them.

Knows nothing of ASGI. Started once per loop; a process that serves with several loops or forks has several.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import secrets
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from chancelery import conf, names
from chancelery.exceptions import ChanceleryError, LayerUnavailable
from chancelery.gateway.confirmations import answer_late
from chancelery.gateway.departures import Departure, Departures
from chancelery.gateway.posting import Posted, Posting
from chancelery.gateway.replies import Recipient, Replies
from chancelery.gateway.supervised import absorb_cancellation, keep
from chancelery.gateway.tally import Tally
from chancelery.layers.base import ChannelLayer, Send
from chancelery.log import Burst, room

_logger = room("gateway")

_LINGER_SECONDS: Final = 1.0
_SETTLE_SECONDS: Final = 1.0
_STAGGER_SECONDS: Final = 0.005
_POLL_SECONDS: Final = 0.02


class Guest(Recipient, Protocol):
    """A websocket or a request."""

    reply_channel: str
    asked_at: float
    """When it last sent something that was not answered yet, by the loop's clock; 0 when there is nothing such."""

    def retire(self) -> None:
        """End what can be ended politely, for this process is about to stop."""

    def dismiss(self) -> None:
        """End it, now."""


class GatewayProcess:
    """Carries between its connections and *layer*. Made and used on one event loop."""

    def __init__(self, layer: ChannelLayer) -> None:
        self.layer = layer
        self.loop = asyncio.get_running_loop()
        self.name = f"gw.{secrets.token_hex(6)}!"
        self.draining = False
        self.complaints = Burst(_logger)
        """Of what happened to single connections."""
        self.tally = Tally(layer)
        self._guests: dict[str, Guest] = {}
        self._posting = Posting(layer)
        self._departures = Departures(layer, self._posting, self._forget)
        missed = functools.partial(answer_late, self)
        self._replies = Replies(layer, self.name, self._guests, self._departures.discard, self.tally, missed=missed)
        self._tasks: list[asyncio.Task[None]] = []
        self._empty = asyncio.Event()
        self._empty.set()

    def start(self) -> None:
        """Begin to read replies and to post."""
        steps = {
            "posting": self._posting.step,
            "reading of replies": self._replies.step,
            "departures": self._departures.step,
            "tally": self.tally.step,
        }
        away = Burst(_logger, logging.ERROR)
        self._tasks = [self.loop.create_task(keep(step, role, away)) for role, step in steps.items()]

    def new_reply_channel(self) -> str:
        """Return an unused channel of this process."""
        return self.name + names.random_part()

    def join(self, guest: Guest) -> None:
        """From now on, hand *guest* what is sent to its reply channel."""
        self._guests[guest.reply_channel] = guest
        self._empty.clear()

    def leave(self, guest: Guest, message: Send | None) -> None:
        """*guest* is over: post its disconnect *message*, if any, and end its memberships."""
        self._guests.pop(guest.reply_channel, None)
        give_up_at = self.loop.time() + self.layer.limits.expiry
        self._departures.add(Departure(guest.reply_channel, message, give_up_at))
        if not self._guests:
            self._empty.set()

    def post_last(self, send: Send) -> None:
        """Send *send*, the last message on its channel, and see to it that it gets there while it may live."""
        self._departures.add(Departure(send.address, send, self.loop.time() + self.layer.limits.expiry))

    def post(self, send: Send, patience: float | None = None) -> Posted:
        """Send *send* with this tick's batch. It is worth trying for *patience* seconds, by default `capacity_wait`."""
        seconds = conf.current().capacity_wait if patience is None else patience
        return self._posting.post(send, self.loop.time() + seconds)

    async def insist(self, posted: Posted) -> ChanceleryError | None:
        """Return the outcome of *posted*; while there is no room, try again until it is to give up."""
        return await self._posting.insist(posted)

    async def withdraw(self, posted: Posted) -> None:
        """Return when nothing more becomes of *posted*: it does not go out if it has not yet."""
        await self._posting.withdraw(posted)

    async def outlast_cancellation(self, step: Callable[[], Awaitable[None]]) -> None:
        """
        Do *step*; begin it again when it is cancelled while this process drains.

        daphne cancels every application as soon as it is told to stop, before the gateway could end them politely.
        """
        while True:
            try:
                return await step()
            except asyncio.CancelledError:
                if not self.draining:
                    raise
                absorb_cancellation()

    async def drain(self) -> None:
        """
        End every connection, politely, within `drain_seconds`, and stop.

        Answers that are on their way get a moment; then sockets are closed with 1012, one after the other, so that
        clients do not all come back at once.
        """
        if self.draining:
            return
        self.draining = True
        seconds = conf.current().drain_seconds
        give_up_at = self.loop.time() + seconds
        _logger.info("draining %d connections", len(self._guests))
        await self._let_answers_out(min(_LINGER_SECONDS, seconds / 4))
        await self._retire_all(seconds / 2)
        await self._within(give_up_at - seconds / 10, self._empty.wait())
        for guest in list(self._guests.values()):
            guest.dismiss()
        give_up_at = max(give_up_at, self.loop.time() + _SETTLE_SECONDS)
        await self._within(give_up_at, self._empty.wait())
        if not await self._within(give_up_at, self._departures.settled()):
            _logger.warning("stopping with disconnect messages unsent: the channel layer did not take them in time")
        await self._stop()

    async def _let_answers_out(self, seconds: float) -> None:
        """Wait while anybody asked something less than *seconds* ago that was not answered, up to *seconds* in all."""
        began_at = self.loop.time()
        while (now := self.loop.time()) < began_at + seconds:
            if all(guest.asked_at < now - seconds for guest in self._guests.values() if guest.asked_at):
                return
            await asyncio.sleep(_POLL_SECONDS)

    async def _retire_all(self, seconds: float) -> None:
        guests = list(self._guests.values())
        pause = min(_STAGGER_SECONDS, seconds / max(len(guests), 1))
        for guest in guests:
            guest.retire()
            await asyncio.sleep(pause)

    async def _within(self, give_up_at: float, awaitable: Awaitable[object]) -> bool:
        """Wait for *awaitable*, until *give_up_at* at the latest; return whether it came."""
        try:
            async with asyncio.timeout_at(give_up_at):
                await awaitable
        except TimeoutError:
            return False
        return True

    async def _stop(self) -> None:
        # More than once: what is cancelled while it opens a connection may go on as if nothing had happened.
        while running := [task for task in self._tasks if not task.done()]:
            for task in running:
                task.cancel()
            await asyncio.wait(running, timeout=_POLL_SECONDS)
        try:
            await self.tally.tell()
            await self.layer.aclose()  # a read that still waits on the server must not come after the end
            await self.layer.aend_process(self.name)
        except LayerUnavailable:
            _logger.warning("stopping without the layer: this process will be taken for dead there")
        await self.layer.aclose()

    def _forget(self, channel: str) -> list[tuple[str, str]]:
        return self._replies.forget(channel)
