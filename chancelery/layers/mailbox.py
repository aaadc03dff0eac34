"""
What a process keeps in memory about its mail: how far it has read, and which of its channels are in which group.

Pure: it is handed what a layer collected and answers with what is for whom. A message to a group comes once per process
and is expanded to members here, so that sending costs no more than the processes that listen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

from chancelery.exceptions import CorruptMessage
from chancelery.layers import codec
from chancelery.log import Burst, room

if TYPE_CHECKING:
    from chancelery.trail import Trail
    from chancelery.types import Content

_burst = Burst(room("layers"))


class Collected(NamedTuple):
    """A stretch of a process's list, as a layer read it."""

    now_ms: int
    """The server's clock, by which memberships are judged."""
    position: int
    """Where to read on."""
    entries: list[bytes]
    """Envelopes and control messages that have not expired, oldest first."""
    lost: bool = False
    """The list was not where it was left: the server lost it (or began anew)."""
    reaped: bool = False
    """The process had been silent for so long that it was taken for dead, and the wills of its connections sent."""


class Inbound(NamedTuple):
    """A message for some of this process's channels; the content is one object for all of them."""

    channels: tuple[str, ...]
    content: Content
    trail: Trail
    group: str
    """The group that it was sent to, or an empty string."""


class Mailbox:
    """
    One process's reading of its mail.

    knows: tells whether a channel is (still) this process's; memberships of others are put into `strays`, for the
    reader to end. unpack: the layer's.
    """

    def __init__(
        self,
        process: str,
        knows: Callable[[str], bool] | None = None,
        unpack: Callable[[bytes], codec.Envelope] = codec.unpack,
    ) -> None:
        self.process = process
        self._unpack = unpack
        self.position = 0
        self.stale = False
        """Something was lost: read the memberships anew with `reload`."""
        self.strays: list[tuple[str, str]] = []
        self.corrupt = 0
        """How many messages could not be read, for the reader to tell the layer of (`tally`)."""
        self._knows = knows
        self._number: int | None = None
        self._members: dict[str, dict[str, int]] = {}
        self._groups: dict[str, set[str]] = {}

    def take(self, collected: Collected) -> list[Inbound]:
        """Return the messages of *collected* with whom they are for, and follow its changes of membership."""
        self.position = collected.position
        self.stale = self.stale or collected.lost
        found: list[Inbound] = []
        for entry in collected.entries:
            try:
                if codec.is_control(entry):
                    self._follow(codec.unpack_control(entry))
                else:
                    self._address(self._unpack(entry), collected.now_ms, found)
            except CorruptMessage as error:
                self.corrupt += 1
                _burst.say("corrupt", "%s: dropped mail that cannot be read: %s", self.process, error)
        return found

    def reload(self, memberships: Iterable[tuple[str, str, int]]) -> None:
        """Replace what is known by *memberships*: (group, channel, deadline in ms)."""
        self._members.clear()
        self._groups.clear()
        self._number = None
        self.stale = False
        for group, channel, deadline_ms in memberships:
            self._join(group, channel, deadline_ms)

    def groups(self, channel: str) -> tuple[str, ...]:
        """Return the groups that *channel* is in."""
        return tuple(self._groups.get(channel, ()))

    def memberships(self) -> list[tuple[str, str]]:
        """Return every (group, channel) that is known."""
        return [(group, channel) for group, members in self._members.items() for channel in members]

    def forget(self, channel: str) -> list[tuple[str, str]]:
        """Drop a closed channel's memberships from memory and return them, for the layer to end."""
        left = [(group, channel) for group in self._groups.pop(channel, ())]
        for group, _ in left:
            self._drop_member(group, channel)
        return left

    def _address(self, envelope: codec.Envelope, now_ms: int, found: list[Inbound]) -> None:
        if "!" in envelope.channel:
            found.append(Inbound((envelope.channel,), envelope.content, envelope.trail, ""))
            return
        members = self._members.get(envelope.channel)
        if not members:
            return
        live = tuple(channel for channel, deadline_ms in members.items() if deadline_ms > now_ms)
        if live:
            found.append(Inbound(live, envelope.content, envelope.trail, envelope.channel))

    def _follow(self, control: codec.Control) -> None:
        if self._number is not None and control.number != self._number + 1:
            self.stale = True
        self._number = control.number
        if control.deadline_ms:
            self._join(control.group, control.channel, control.deadline_ms)
        else:
            self._leave(control.group, control.channel)

    def _join(self, group: str, channel: str, deadline_ms: int) -> None:
        if self._knows is not None and not self._knows(channel):
            self.strays.append((group, channel))
            return
        self._members.setdefault(group, {})[channel] = deadline_ms
        self._groups.setdefault(channel, set()).add(group)

    def _leave(self, group: str, channel: str) -> None:
        self._drop_member(group, channel)
        groups = self._groups.get(channel)
        if groups is not None:
            groups.discard(group)
            if not groups:
                del self._groups[channel]

    def _drop_member(self, group: str, channel: str) -> None:
        members = self._members.get(group)
        if members is not None:
            members.pop(channel, None)
            if not members:
                del self._members[group]
