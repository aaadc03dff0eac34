"""
What a channel layer promises, to Channels 1's callers and to the worker and gateway rooms.

`chancelery.layers.memory` and `chancelery.layers.redis` implement it; `tests/contracts` holds every implementation to
it and can be imported by others. Semantics are those of the ASGI 1 draft's channel layer; what is added:

*   **Lanes.** A message may be sent in a lane (a process-local reply channel's name). Of one lane, one message is out
    at a time: the next becomes available when the one before it is finished, however many workers there are.
*   **Leases.** `fetch` moves messages into a lease; `finish` takes them out. What a lease holds when it runs out is not
    lost in silence: `reap` ends it.
*   **Mail.** Messages to process-local channels, and to groups that have some, lie in one first-in-first-out list per
    process, together with the changes of its memberships.

Bodies are packed by the sender (`codec.pack_body`), so that what was sent cannot change afterwards. Every count of
milliseconds is by the clock of the layer's server.
"""

from __future__ import annotations

import fnmatch
import random
import re
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Protocol

from chancelery import names
from chancelery.exceptions import ChannelFull, MessageTooLarge
from chancelery.layers import codec
from chancelery.layers.mailbox import Collected, Mailbox

if TYPE_CHECKING:
    from chancelery.layers.mailbox import Inbound
    from chancelery.trail import Trail
    from chancelery.types import Content

__all__ = ["ChannelLayer", "Delivery", "Fetched", "Finished", "Reaped", "ReapedProcess", "Refusal", "Send", "Will"]

CapacityPatterns = Mapping["str | re.Pattern[str]", int]


class Will(NamedTuple):
    """What is sent in a connection's lane when the process that it belongs to dies."""

    address: str
    body: bytes


class Send(NamedTuple):
    """One message on its way out, its body packed already."""

    address: str
    """A channel's name, or a group's when `to_group`."""
    body: bytes
    """From `codec.pack_body`."""
    lane: str = ""
    """From `ChannelLayer.lane`; empty for a message whose order does not matter."""
    to_group: bool = False
    will: Will | None = None
    """Left together with the message, by the first one of a lane's connection."""
    leaves: bool = False
    """The last message of the lane's connection: together with it, its will becomes void."""


class Delivery(NamedTuple):
    """One message handed out under a lease."""

    id: int
    """Identifies it within its lease."""
    channel: str
    lane: str
    content: Content
    trail: Trail


class Finished(NamedTuple):
    """A delivery that its worker is done with, and what its consumer sent."""

    delivery: Delivery
    sends: Sequence[Send] = ()


class Refusal(NamedTuple):
    """A message that was not taken, and why. Nothing of it was stored."""

    send: Send
    error: ChannelFull


class Fetched(NamedTuple):
    """What one exchange with the layer brought."""

    deliveries: list[Delivery]
    refused: list[Refusal]
    """Of the sends of the finished deliveries."""


class Reaped(NamedTuple):
    """A message that was being handled when its worker's lease ran out."""

    channel: str
    trail: Trail


class ReapedProcess(NamedTuple):
    """A process that died."""

    process: str
    wills: int
    """How many of its connections' wills were sent."""


class Clock(Protocol):
    """A replacement for the server's clock, for tests."""

    def __call__(self) -> float:
        """Return seconds since the epoch."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """
    How much a layer holds, and for how long.

    Defaults differ from Channels 1 in the capacities: 100 messages are less than one burst of a busy gateway, see
    `docs/decisions/0003-capacities.md`.
    """

    expiry: float = 60
    """Seconds that a message waits to be read before it is dropped, and counted."""
    group_expiry: float = 86400
    """Seconds that a membership lasts after the last `group_add`."""
    capacity: int = 1000
    """Messages that wait on a channel, unless `channel_capacity` says otherwise."""
    process_capacity: int = 20000
    """Messages that wait for a process (channels `name!…` share it), unless `channel_capacity` says otherwise."""
    lane_capacity: int = 100
    """Messages of one connection that wait behind the one being handled."""
    max_message_bytes: int = 8 * 1024 * 1024
    """Size of a packed body."""
    lease_seconds: float = 15
    """How long a worker that falls silent keeps what it fetched."""


class ChannelLayer(ABC):
    """The contract. A method that sends raises TypeError for a bad name or content, before anything is sent."""

    extensions: ClassVar[tuple[str, ...]] = ("groups", "flush", "statistics")

    def __init__(
        self,
        *,
        channel_capacity: CapacityPatterns | None = None,
        clock: Clock | None = None,
        **limits: float,
    ) -> None:
        """
        channel_capacity: glob or compiled regex -> messages; the first that matches a channel counts.
        clock: replaces the server's clock, for tests.
        limits: the fields of `Limits`.
        """
        self.limits = Limits(**limits)  # type: ignore[arg-type]
        self.clock = clock
        self._patterns = [(_compiled(pattern), count) for pattern, count in (channel_capacity or {}).items()]
        self._capacities: dict[str, int] = {}
        self._mailboxes: dict[str, tuple[Mailbox, deque[tuple[str, Content]]]] = {}

    # Channels 1's calls

    def send(self, channel: str, content: Content, *, lane: str = "", trail: Trail = ()) -> None:
        """
        Append *content* to *channel*.

        Raises: ChannelFull when the channel (or lane) holds as many messages as it may; MessageTooLarge. Nothing was
        sent then.
        """
        names.require_channel(channel)
        for refusal in self.post([Send(channel, self.pack(content, trail), lane)]):
            raise refusal.error

    def send_group(self, group: str, content: Content, *, trail: Trail = ()) -> None:
        """Append *content* to every member of *group*. A member whose channel is full is passed over, and counted."""
        names.require_group(group)
        self.post([Send(group, self.pack(content, trail), to_group=True)])

    def receive(self, channels: Sequence[str], block: bool = False) -> tuple[str, Content] | tuple[None, None]:  # noqa: FBT001, FBT002 - Channels 1's signature
        """
        Take one message off one of *channels* and return `(channel, content)`, or `(None, None)`.

        A name ending in `!` receives for the whole process and returns the full name; group messages come once per
        member. With *block*, waits up to five seconds. The message is gone when this returns: what must survive the
        death of its reader is read with `fetch`.
        """
        for channel in channels:
            names.require_receivable(channel)
        taken = self._receive_now(channels)
        if taken is None and block and channels:
            self.wait(channels, timeout=5)
            taken = self._receive_now(channels)
        return taken or (None, None)

    def new_channel(self, pattern: str) -> str:
        """Return an unused channel name: *pattern*, which ends in `?` or `!`, and a part that cannot be guessed."""
        if not isinstance(pattern, str) or pattern[-1:] not in {"?", "!"}:
            raise TypeError(f'new_channel() takes a pattern ending in "?" or "!", not {pattern!r}')
        return names.require_channel(pattern + names.random_part())

    @abstractmethod
    def group_add(self, group: str, channel: str) -> None:
        """Make *channel* a member of *group*, for `group_expiry` seconds from now. At once, not held."""

    @abstractmethod
    def group_discard(self, group: str, channel: str) -> None:
        """End the membership. It is no error when there is none."""

    @abstractmethod
    def group_channels(self, group: str) -> list[str]:
        """Return the members whose membership has not expired, in no order."""

    @abstractmethod
    def flush(self) -> None:
        """Remove everything that this layer holds under its prefix."""

    @abstractmethod
    def global_statistics(self) -> dict[str, int]:
        """Return `messages_count`, `channel_full_count`, and `dropped:<reason>` for each reason seen."""

    @abstractmethod
    def channel_statistics(self, channel: str) -> dict[str, int]:
        """Return `messages_count`, `channel_full_count`, `messages_pending` and `messages_max_age` (in seconds)."""

    # The doors for workers

    def lane(self, reply_channel: str) -> str:
        """Return the lane that keeps a connection's messages in order: none for a channel that is not process-local."""
        return reply_channel if "!" in reply_channel else ""

    @abstractmethod
    def post(self, sends: Sequence[Send]) -> list[Refusal]:
        """
        Send all of *sends*, in order and in one go; return those that were refused.

        Raises: LayerUnavailable, and then it is unknown which of them were sent: it is not repeated.
        """

    @abstractmethod
    def open_lease(self) -> str:
        """Return the name of a new lease, unique among all workers."""

    @abstractmethod
    def fetch(self, channels: Sequence[str], limit: int, lease: str, finished: Sequence[Finished] = ()) -> Fetched:
        """
        Finish *finished* and hand out up to *limit* messages of *channels* under *lease*, in one go. Renews the lease.

        Sends of a finished delivery are stored only if the lease still holds it: a repeated call after a lost answer,
        or a worker that was thought dead, stores nothing twice. Raises: LayerUnavailable; call `recover`, then repeat.
        """

    def finish(self, finished: Sequence[Finished], lease: str) -> list[Refusal]:
        """Take *finished* out of *lease*, store their sends and release their lanes; see `fetch`."""
        return self.fetch((), 0, lease, finished).refused

    @abstractmethod
    def recover(self, lease: str, known: Sequence[Delivery]) -> None:
        """Give back, to the front and in order, what *lease* holds beside *known*: answers that never arrived."""

    @abstractmethod
    def renew(self, leases: Sequence[str]) -> None:
        """Keep *leases* for another `lease_seconds`, while their workers are busy with what they fetched."""

    @abstractmethod
    def close_lease(self, lease: str, unstarted: Sequence[Delivery] = ()) -> None:
        """End an empty lease; *unstarted* go back to the front of their channels first, in order."""

    @abstractmethod
    def reap(self) -> list[Reaped]:
        """End the leases that ran out: their messages are dropped with a record, their lanes released."""

    def fetch_when_ready(self, channels: Sequence[str], limit: int, lease: str, timeout: float) -> Fetched:
        """`wait`, then `fetch`; in one round trip where the layer has a way to."""
        self.wait(channels, timeout)
        return self.fetch(channels, limit, lease)

    @abstractmethod
    def reap_process(self) -> ReapedProcess | None:
        """
        End one process that left wills and has not read its mail for `lease_seconds`; None when there is none.

        Its connections' wills are sent, at most a few hundred in one call, its memberships end. A process that comes
        back learns of it (`Collected.reaped`).
        """

    @abstractmethod
    def wait(self, channels: Sequence[str], timeout: float) -> None:
        """Return when there may be something on one of *channels*, or after *timeout* seconds."""

    # The doors for gateways

    @abstractmethod
    async def apost(self, sends: Sequence[Send]) -> list[Refusal]:
        """`post`, for an event loop."""

    @abstractmethod
    def collect(self, process: str, position: int, limit: int) -> Collected:
        """
        Return the mail of *process* (a name ending in `!`) from *position* on, and drop what lies before it.

        A process reads its own mail only, in one place: the position that it asks for acknowledges all before it, so
        that an answer lost on the way is asked for again.
        """

    @abstractmethod
    async def acollect(self, process: str, position: int, limit: int, timeout: float) -> Collected:  # noqa: ASYNC109 - the server waits
        """`collect`, for an event loop; when there is nothing, waits for *timeout* seconds first."""

    @abstractmethod
    def groups_of(self, process: str) -> list[tuple[str, str, int]]:
        """Return `(group, channel, deadline_ms)` of every membership of the process's channels."""

    @abstractmethod
    async def agroups_of(self, process: str) -> list[tuple[str, str, int]]:
        """`groups_of`, for an event loop."""

    @abstractmethod
    async def adiscard(self, memberships: Sequence[tuple[str, str]]) -> None:
        """End each `(group, channel)` of *memberships*, for a socket that has closed."""

    @abstractmethod
    async def aleave_wills(self, wills: Sequence[tuple[str, Will]]) -> None:
        """Leave the wills of connections, each with its lane, again: the server has lost them."""

    @abstractmethod
    async def aend_process(self, process: str) -> None:
        """Forget *process*, which stops and has no connections any more; with some, it is left for `reap_process`."""

    @abstractmethod
    async def acheck(self) -> None:
        """Return when the layer's server answers and is new enough. Raises: LayerUnavailable, which says what to do."""

    @abstractmethod
    async def aclose(self) -> None:
        """Close the connections that the event loop used."""

    @abstractmethod
    def close(self) -> None:
        """Close this process's other connections."""

    # For implementations

    def pack(self, content: Content, trail: Trail = ()) -> bytes:
        """Return the body of a message. Raises: TypeError, MessageTooLarge."""
        body = codec.pack_body(content, trail)
        if len(body) > self.limits.max_message_bytes:
            raise MessageTooLarge(
                f"a message of {len(body)} bytes: at most {self.limits.max_message_bytes} are allowed; pass large data "
                f"by reference, or raise max_message_bytes"
            )
        return body

    def capacity_of(self, channel: str) -> int:
        """Return how many messages may wait on *channel*; a process-local one shares its process's."""
        name = names.process_of(channel) or channel
        found = self._capacities.get(name)
        if found is None:
            default = self.limits.process_capacity if name.endswith("!") else self.limits.capacity
            found = next((count for pattern, count in self._patterns if pattern.match(name)), default)
            if len(self._capacities) > 10_000:  # noqa: PLR2004 - `?` channels have names without end
                self._capacities.clear()
            self._capacities[name] = found
        return found

    def full(self, send: Send) -> ChannelFull:
        """Return the error for a send that found no room."""
        capacity = self.capacity_of(send.address)
        if send.lane:
            return ChannelFull(
                f'channel "{send.address}" holds {capacity} messages, or the connection {send.lane} '
                f"{self.limits.lane_capacity}: add workers, or raise its capacity or lane_capacity"
            )
        return ChannelFull(f'channel "{send.address}" holds {capacity} messages: add workers, or raise its capacity')

    def _receive_now(self, channels: Sequence[str]) -> tuple[str, Content] | None:
        for channel in channels:
            if channel.endswith("!"):
                waiting = self._mail(channel)
                if waiting:
                    return waiting.popleft()
        queues = [channel for channel in channels if not channel.endswith("!")]
        random.shuffle(queues)  # so that a busy channel does not starve the others
        return self._pop(queues) if queues else None

    def _mail(self, process: str) -> deque[tuple[str, Content]]:
        mailbox, waiting = self._mailboxes.setdefault(process, (Mailbox(process), deque()))
        if not waiting:
            collected = self.collect(process, mailbox.position, 100)
            if collected.lost:  # before it is taken: what came since then is for today's members
                mailbox.reload(self.groups_of(process))
            inbound: list[Inbound] = mailbox.take(collected)
            if mailbox.stale:
                mailbox.reload(self.groups_of(process))
            waiting.extend((channel, item.content) for item in inbound for channel in item.channels)
        return waiting

    @abstractmethod
    def _pop(self, channels: Sequence[str]) -> tuple[str, Content] | None:
        """Take one message off one of *channels*, without a lease."""


def _compiled(pattern: str | re.Pattern[str]) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(pattern)) if isinstance(pattern, str) else pattern
