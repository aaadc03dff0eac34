"""
What happened in a run, by message, process and socket: the events put in order for the rules of `check`.

Pure: it is given events and asks nobody. Names of messages are those of `site.recording.name_of`; a number at a name's
end is its place in what its connection said.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

AT_LEAST_ONCE = "sure."
FLUSH_SECONDS = 2.5
"""What Redis with `appendfsync everysec` may lose (two seconds when the disk is busy), and a little."""
UNAWARE_SECONDS = 3.0
"""How long a gateway that was taken for dead may not have asked Redis."""
STORE_FAULTS = frozenset({"store_kill", "store_freeze", "client_pause", "client_kill"})
FAREWELL = 1 << 30
"""The place of a disconnect message: behind all others."""

Event = dict[str, Any]
Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Lists(dict[Key, list[Value]]):
    """A list for each key; one that nothing was added for is empty, and asking for it adds nothing."""

    def __missing__(self, key: Key) -> list[Value]:
        return []

    def add(self, key: Key, value: Value) -> None:
        self.setdefault(key, []).append(value)


class Interval(NamedTuple):
    """From when to when."""

    since: float
    until: float

    def touches(self, since: float, until: float) -> bool:
        return self.since <= until and since <= self.until


class Start(NamedTuple):
    """A consumer has begun with a message."""

    at: float
    name: str
    channel: str
    lane: str
    attempt: int
    pid: int

    @property
    def place(self) -> int:
        """Its number in its connection."""
        return place_of(self.name)


class Handed(NamedTuple):
    """A message was handed to a worker."""

    at: float
    id: int
    lease: str
    pid: int
    begun: bool
    """Whether it counted as begun at once."""


@dataclass
class Sent:
    """A message on its way: when somebody first tried to send it, and when the layer took it."""

    name: str
    address: str
    lane: str
    to_group: bool
    tried_at: float
    taken_at: float | None = None
    """None: it is unknown whether it was."""


@dataclass
class Loss:
    """Redis died, and with it what it had in memory only."""

    at: float
    back_at: float
    everything: bool


@dataclass
class History:
    """The events of one run."""

    events: list[Event]
    sent: dict[str, Sent] = field(default_factory=dict)
    starts: Lists[str, Start] = field(default_factory=Lists)
    ends: Lists[str, float] = field(default_factory=Lists)
    handed: Lists[str, Handed] = field(default_factory=Lists)
    marks: Lists[str, tuple[float, int]] = field(default_factory=Lists)
    """lease -> up to which id a worker said that it begins, and when"""
    given_back: Lists[str, tuple[float, frozenset[int]]] = field(default_factory=Lists)
    """lease -> when its worker gave back what it held, but for these ids"""
    told: Lists[str, tuple[float, bool]] = field(default_factory=Lists)
    """message -> when its end was told to the layer, and whether the layer said that this counted"""
    heard: Lists[str, tuple[float, str]] = field(default_factory=Lists)
    """socket -> what its browser heard"""
    killed: dict[int, float] = field(default_factory=dict)
    absences: Lists[int, Interval] = field(default_factory=Lists)
    """process -> when it did not run"""
    cut_off: Lists[str, Interval] = field(default_factory=Lists)
    """process's name -> when the network or Redis failed it"""
    names: dict[int, str] = field(default_factory=dict)
    began: dict[int, float] = field(default_factory=dict)
    """process -> when it was started"""
    losses: list[Loss] = field(default_factory=list)
    reaped: Lists[str, float] = field(default_factory=Lists)
    """gateway's name in the layer -> when it was taken for dead"""
    gateways: dict[str, int] = field(default_factory=dict)
    """gateway's name in the layer -> process, of those that have sent something"""
    final: dict[str, Event] = field(default_factory=dict)
    """event that comes once, at the end -> itself"""
    accidents: list[Event] = field(default_factory=list)
    """What no fault explains: processes that ended by themselves, or would not end."""

    def started_in_order(self) -> Iterable[Start]:
        """Return every start, as they came."""
        return sorted(start for starts in self.starts.values() for start in starts)

    def may_be_lost(self, sent: Sent) -> bool:
        """Tell whether Redis may have lost the message with its memory."""
        return any(self._lost_with(loss, sent.tried_at, sent.taken_at or loss.at) for loss in self.losses)

    @staticmethod
    def _lost_with(loss: Loss, tried_at: float, taken_at: float) -> bool:
        return tried_at <= loss.at and (loss.everything or taken_at >= loss.at - FLUSH_SECONDS)

    def may_be_undone(self, name: str) -> bool:
        """Tell whether Redis may have forgotten that it had handed out *name*, or that it was finished."""
        moments = [handed.at for handed in self.handed[name]] + [at for at, _ in self.told[name]]
        return any(
            not loss.everything and loss.at - FLUSH_SECONDS <= moment <= loss.back_at
            for loss in self.losses
            for moment in moments
        )

    def went_back_between(self, first: Start, then: Start) -> bool:
        """Tell whether Redis may have come back, before *then*, with a state from before *first*."""
        return any(
            not loss.everything and loss.at - FLUSH_SECONDS <= first.at <= loss.back_at <= then.at
            for loss in self.losses
        )

    def is_undead(self, socket: str) -> bool:
        """
        Tell whether the socket's gateway may not know that it was taken for dead: Redis lost its memory just then.

        What such a gateway goes on to say of its sockets is said twice, or after their end.
        """
        return any(
            reaped_at < loss.at <= reaped_at + UNAWARE_SECONDS
            for reaped_at in self.reaped[process_of(socket)]
            for loss in self.losses
        )

    def was_away(self, pid: int, since: float, until: float) -> bool:
        """Tell whether a process did not run for a while in between, or could not reach Redis."""
        return any(absence.touches(since, until) for absence in self.absences[pid]) or any(
            failure.touches(since, until) for failure in self.cut_off[self.names.get(pid, "")]
        )

    def died_with(self, handed: Handed) -> bool:
        """Tell whether the lease may have run out: its process was killed, frozen or cut off afterwards."""
        killed_at = self.killed.get(handed.pid)
        was_killed = killed_at is not None and killed_at >= handed.at
        return was_killed or self.was_away(handed.pid, handed.at, float("inf"))

    def was_given_back(self, handed: Handed) -> float | None:
        """Return when its worker gave it back, if it did."""
        times = [at for at, kept in self.given_back[handed.lease] if at >= handed.at and handed.id not in kept]
        return min(times, default=None)

    def was_begun(self, handed: Handed) -> bool:
        """Tell whether the layer may have heard that the worker begins with it."""
        return handed.begun or any(up_to >= handed.id for _, up_to in self.marks[handed.lease])

    @property
    def last_loss_at(self) -> float:
        """When Redis last lost something; before the beginning when it never did."""
        return max((loss.at for loss in self.losses), default=float("-inf"))


def place_of(name: str) -> int:
    """Return a message's number in its connection."""
    return FAREWELL if name.startswith("disconnect:") else int(name.rpartition(":")[2])


def socket_of(name: str) -> str:
    """Return the reply channel in the name of a websocket's message."""
    return name.split(":")[1]


def process_of(socket: str) -> str:
    """Return the name in the layer of the gateway that a socket belongs to."""
    return socket.partition("!")[0] + "!"


def is_sure(channel: str) -> bool:
    """Tell whether messages of *channel* are handled at least once."""
    return channel.startswith(AT_LEAST_ONCE)
