"""
The way from the layer to sockets: the one reader of this process's mail.

Knows the layer's mailbox and who is there to be handed mail; nothing of protocols. What a message means is read once
and shared by all that it goes to.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Protocol, TypeVar, cast

from chancelery import trail
from chancelery.gateway import tally
from chancelery.gateway.protocols import BadReply
from chancelery.gateway.tally import Tally
from chancelery.layers.base import ChannelLayer, Will
from chancelery.layers.mailbox import Inbound, Mailbox
from chancelery.log import Burst, room
from chancelery.types import Content

_LIMIT: Final = 512
_BLOCK_SECONDS: Final = 5.0
_DELIVERIES_PER_TICK: Final = 128

_logger = room("gateway")

Meaning = TypeVar("Meaning")
Membership = tuple[str, str]


class Letter:
    """One message for some of this process's connections."""

    __slots__ = ("_complaints", "_meaning", "_read_by", "_tally", "inbound")

    def __init__(self, inbound: Inbound, complaints: Burst, counts: Tally) -> None:
        self.inbound = inbound
        self._complaints = complaints
        self._tally = counts
        self._read_by: object = None
        self._meaning: object = None

    @property
    def from_group(self) -> bool:
        """Whether it was sent to a group rather than to the one connection."""
        return bool(self.inbound.group)

    def read(self, reader: Callable[[Content], Meaning]) -> Meaning | None:
        """Return what *reader* makes of the content, or None, and an error log, when that is nothing."""
        if self._read_by is not reader:
            self._read_by = reader
            try:
                self._meaning = reader(self.inbound.content)
            except BadReply as error:
                self._meaning = None
                self.complain(error)
        return cast("Meaning | None", self._meaning)

    def complain(self, error: BadReply) -> None:
        """Log and count that this message is dropped, and where it came from."""
        self._tally.add(tally.BAD_REPLY)
        to = self.inbound.group or self.inbound.channels[0]
        way = trail.describe(self.inbound.trail)
        self._complaints.say(str(error), "dropped a reply to %s: %s. It came by %s", to, error, way)


class Recipient(Protocol):
    """Whoever has a reply channel of this process."""

    @property
    def will(self) -> Will | None:
        """What is sent in its lane should this process die; None when there is nothing to say."""

    def bury(self) -> None:
        """End it, without another word to the layer: its will has been sent."""

    def take(self, letter: Letter) -> bool:
        """Do what *letter* says. Must not raise, nor wait. Returns False when it is too late for it."""


class Replies:
    """Reads *process*'s mail and hands it to *recipients*. `step`, repeated, does the work."""

    def __init__(
        self,
        layer: ChannelLayer,
        process: str,
        recipients: Mapping[str, Recipient],
        discard: Callable[[Iterable[Membership]], None],
        counts: Tally,
        *,
        missed: Callable[[Content], None],
    ) -> None:
        """
        discard: ends memberships of channels that are no longer here. missed: is told what came for one that is over.
        """
        self._layer = layer
        self._process = process
        self._recipients = recipients
        self._discard = discard
        # Reading is also the sign of life: it must come several times within a lease.
        self._block_seconds = min(_BLOCK_SECONDS, layer.limits.lease_seconds / 3)
        self._mailbox = Mailbox(process, knows=recipients.__contains__, unpack=layer.unpack)
        self._to_register: set[Membership] = set()
        self._complaints = Burst(_logger, logging.ERROR)
        self._late = Burst(_logger, logging.INFO)
        self._tally = counts
        self._missed = missed

    def forget(self, channel: str) -> list[Membership]:
        """Drop what is known of a channel that has closed, and return its memberships, for the layer to end."""
        return self._mailbox.forget(channel)

    async def step(self) -> None:
        """Collect mail, waiting for it if there is none, and hand it out. Raises: LayerUnavailable."""
        if self._mailbox.stale:
            await self._reload()
        collected = await self._layer.acollect(self._process, self._mailbox.position, _LIMIT, self._block_seconds)
        if collected.reaped:
            self._bury_all()
        elif collected.lost:
            self._to_register.update(self._mailbox.memberships())
        inbound = self._mailbox.take(collected)
        if self._mailbox.strays:
            strays, self._mailbox.strays = self._mailbox.strays, []
            self._discard(strays)
        self._mailbox.corrupt, corrupt = 0, self._mailbox.corrupt
        self._tally.add("corrupt", corrupt)
        await self._hand_out(inbound)

    async def _hand_out(self, inbound: list[Inbound]) -> None:
        # By recipient, each with all that is for it: what a server is given in one turn goes out in one write.
        letters: dict[str, list[Letter]] = {}
        for item in inbound:
            letter = Letter(item, self._complaints, self._tally)
            for channel in item.channels:
                letters.setdefault(channel, []).append(letter)
        handed_out = 0
        for channel, its_letters in letters.items():
            self._hand_to(self._recipients.get(channel), its_letters)
            handed_out += len(its_letters)
            if handed_out >= _DELIVERIES_PER_TICK:
                handed_out = 0
                await asyncio.sleep(0)  # a large group must not keep frames and pings waiting

    def _hand_to(self, recipient: Recipient | None, letters: list[Letter]) -> None:
        for letter in letters:
            if (recipient is None or not recipient.take(letter)) and not letter.from_group:
                self._miss(letter.inbound)

    def _miss(self, item: Inbound) -> None:
        """Count a reply that comes too late: mostly, its socket has closed a moment ago."""
        self._tally.add(tally.UNDELIVERABLE)
        self._missed(item.content)
        way = trail.describe(item.trail)
        self._late.say("late", "no socket or request is there for a reply to %s. It came by %s", item.channels[0], way)

    def _bury_all(self) -> None:
        """End all connections: others were told that they are gone."""
        recipients = list(self._recipients.values())
        _logger.error(
            "closing %d connections: this process was cut off from the layer for so long that it was taken for dead",
            len(recipients),
        )
        self._to_register.clear()
        for recipient in recipients:
            recipient.bury()

    async def _reload(self) -> None:
        """Read the memberships anew; those that the server has lost are registered again, and wills left again."""
        with trail.following((), "gateway"):
            wills = [(channel, guest.will) for channel, guest in self._recipients.items()]
        await self._layer.aleave_wills([(channel, will) for channel, will in wills if will is not None])
        found = await self._layer.agroups_of(self._process)
        missing = self._to_register - {(group, channel) for group, channel, _ in found}
        alive = [(group, channel) for group, channel in missing if channel in self._recipients]
        if alive:
            await asyncio.to_thread(self._register, alive)
            found = await self._layer.agroups_of(self._process)
        self._to_register.clear()
        self._mailbox.reload(found)

    def _register(self, memberships: list[Membership]) -> None:
        for group, channel in memberships:
            self._layer.group_add(group, channel)
