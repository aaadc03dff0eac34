"""
The values that a channel layer takes and returns: what goes out, what is handed out, and what an operator sees.

Every count of milliseconds is by the clock of the layer's server. What the doors do with them is told in `base`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from chancelery.exceptions import ChannelFull, LayerUnavailable
    from chancelery.trail import Trail
    from chancelery.types import Content

CapacityPatterns = Mapping["str | re.Pattern[str]", int]
MAX_FETCH = 1024
"""The most messages that one fetch hands out."""
MOST_ATTEMPTS = 255


class Will(NamedTuple):
    """What is sent in a connection's lane when the process that it belongs to dies."""

    address: str
    body: bytes


class Coalesce(NamedTuple):
    """
    Of what is sent to one address, in one lane, with the same key, one message goes out at most every `every_ms`.

    The first goes out at once; of those that come meanwhile the latest alone does, at the end of that time. The last
    one always goes out. One that is replaced is no drop, and not counted: its sender has said so.
    """

    key: str
    every_ms: int
    kind: str = ""
    """
    A message of another kind does not replace the one that waits: that one goes out at once, before it, and the new one
    waits in its stead. When there is no room for that one, the new one is refused.
    """


class Send(NamedTuple):
    """
    One message on its way out, its body packed already.

    At most one of `delay_ms`, `due_ms` and `coalesce` is given, and none together with `will`, `leaves` or
    `by_connection`. The life of a message that waits for its time begins when it goes out; it is refused when there is
    no room among those that wait (`delayed_capacity`), and a message to a group is, too.
    """

    address: str
    """A channel's name, or a group's when `to_group`."""
    body: bytes
    """From `ChannelLayer.pack`."""
    lane: str = ""
    """From `ChannelLayer.lane`; empty for a message whose order does not matter."""
    to_group: bool = False
    will: Will | None = None
    """Left together with the message, by the first one of a lane's connection."""
    leaves: bool = False
    """
    The last message of the lane's connection: together with it, its will becomes void.

    Nothing is stored when its will was carried out, its process having been taken for dead.
    """
    again: bool = False
    """With `leaves`: stored only if the will is still there. So it may be sent again when it perhaps did not arrive."""
    by_connection: bool = False
    """
    Sent by the lane's connection itself: dropped, and counted (`process_died`), once its process has been ended and its
    will carried out, so that nothing comes after its last message.
    """
    delay_ms: int = 0
    """It goes out so long after it was stored."""
    due_ms: int = 0
    """It goes out at this moment, in milliseconds since the epoch, or at once when that is past."""
    coalesce: Coalesce | None = None

    @property
    def timed(self) -> bool:
        """Whether it may have to wait for its time."""
        return bool(self.delay_ms or self.due_ms or self.coalesce)


class Delivery(NamedTuple):
    """One message handed out under a lease."""

    id: int
    """Identifies it within its lease."""
    channel: str
    lane: str
    content: Content
    trail: Trail
    attempt: int = 1
    """The how-manieth time it is handed out as begun; above 1 on channels of `at_least_once` only."""


class Later(NamedTuple):
    """
    A delivery that was not handled is handed out again, to whichever worker.

    Its lane stays taken until then, so that order is kept. Its life begins anew; how often it was begun is as it was.
    """

    delay_ms: int
    body: bytes
    """From `ChannelLayer.pack`: the message as it goes on."""


class Finished(NamedTuple):
    """A delivery that its worker is done with, and what its consumer sent."""

    delivery: Delivery
    sends: Sequence[Send] = ()
    later: Later | None = None
    """Then nothing is sent: the consumer runs again."""


class Refusal(NamedTuple):
    """A message that was not taken, and why. Nothing of it was stored."""

    send: Send
    error: ChannelFull | LayerUnavailable
    """LayerUnavailable only from `apost` of a layer on several servers: it is unknown then whether it was stored."""


class Fetched(NamedTuple):
    """What one exchange with the layer brought."""

    deliveries: list[Delivery]
    refused: list[Refusal]
    """Of the sends of the finished deliveries."""
    held: bool = True
    """
    Whether the lease was still there. If not, a reaper has ended it: the sends of the finished deliveries were dropped
    and counted (`fenced`), nothing was handed out, and what had not been begun is somebody else's now.
    """


class Fate(StrEnum):
    """What becomes of a message that was being handled when its worker died."""

    DROPPED = "dropped"
    REPEATED = "repeated"
    """It is handed out again."""
    BURIED = "buried"
    """It was the last attempt: it lies among the dead letters."""


class Reaped(NamedTuple):
    """A message that was being handled when its worker's lease ran out."""

    channel: str
    trail: Trail
    fate: Fate


class DeadLetter(NamedTuple):
    """A message of a channel of `at_least_once` that could not be handled, kept for an operator to look at."""

    id: str
    """Names it to `replay`, `bury` and `dead_letters`. Its form is the layer's own: do not compare or make any."""
    reason: str
    """`worker_died` (at the last attempt), `expired`, `corrupt` or `purged`: under it, the drop was counted, too."""
    died_ms: int
    channel: str
    lane: str
    attempts: int
    """How often it had been begun."""
    content: Content | None
    """None for a message that cannot be read."""
    trail: Trail


class ChannelOverview(NamedTuple):
    """One channel, or one process's mail."""

    name: str
    pending: int
    """Messages that wait to be fetched; those that wait behind others of their lane are not among them."""
    oldest_ms: int
    """How long the first of them has been waiting."""
    sent: int
    """Messages ever stored; 0 for a process or a single-reader channel, whose are counted in total only."""
    full: int
    """Messages ever refused for want of room."""


class LeaseOverview(NamedTuple):
    """One worker thread's lease."""

    name: str
    held: int
    """Messages handed out and not finished."""
    left_ms: int
    """How long it lasts unless it is renewed; negative when it has run out and awaits the reaper."""


class Overview(NamedTuple):
    """What a layer holds, for an operator."""

    now_ms: int
    channels: list[ChannelOverview]
    processes: list[ChannelOverview]
    groups: list[tuple[str, int]]
    """Each group that has members, and how many."""
    leases: list[LeaseOverview]
    busy_lanes: int
    """Lanes of which a message waits or is being handled."""
    dead_letters: int
    counters: dict[str, int]
    """As `global_statistics`."""
    delayed: int = 0
    """Messages that wait for their time."""


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
    dead_letters: int = 1000
    """How many dead letters are kept; the oldest make room, and are counted (`dead_letters_full`)."""
    delayed_capacity: int = 100_000
    """Messages that wait for their time: those sent for later, and those that are handled again later."""
