"""A channel layer as plain dicts and lists, as slow and as simple as can be: what the state machine compares with."""

from __future__ import annotations

import collections
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.contracts.fixtures import SteppedClock


@dataclass(frozen=True, kw_only=True)
class ModelLimits:
    """Small, so that everything runs full and out. No sum of the machine's steps in time hits one exactly."""

    expiry: float = 20
    group_expiry: float = 50
    capacity: int = 4
    process_capacity: int = 8
    lane_capacity: int = 3
    lease_seconds: float = 1


class Message(NamedTuple):
    number: int
    channel: str
    lane: str
    deadline: float


class Entry(NamedTuple):
    """What lies on a process's list: a message to a channel or to a group, or a change of membership."""

    kind: str
    name: str
    number: int = 0
    channel: str = ""
    deadline: float = 0


@dataclass
class Mail:
    entries: list[Entry] = field(default_factory=list)
    read: int = 0
    lost: bool = False
    members: dict[str, dict[str, float]] = field(default_factory=dict)
    waiting: list[tuple[set[str], int]] = field(default_factory=list)
    """Messages on their way to `receive`: who still gets them, and their number."""


class Model:
    def __init__(self, clock: SteppedClock, limits: ModelLimits) -> None:
        self.clock = clock
        self.limits = limits
        self.dropped: collections.Counter[str] = collections.Counter()
        self.ready: dict[str, list[Message]] = collections.defaultdict(list)
        self.lanes: dict[str, list[Message]] = {}
        self.leases: dict[str, dict[int, Message]] = collections.defaultdict(dict)
        self.lease_deadlines: dict[str, float] = {}
        self.groups: dict[str, dict[str, float]] = collections.defaultdict(dict)
        self.mail: dict[str, Mail] = collections.defaultdict(Mail)
        self.counts_are_exact = True

    # Sending

    def send(self, number: int, channel: str, lane: str = "") -> bool:
        """Return whether there was room."""
        deadline = self.clock() + self.limits.expiry
        if "!" in channel:
            return self._put_mail(channel.partition("!")[0] + "!", Entry("message", channel, number, "", deadline))
        message = Message(number, channel, lane, deadline)
        if lane in self.lanes:
            if len(self.lanes[lane]) >= self.limits.lane_capacity:
                return False
            self.lanes[lane].append(message)
            return True
        if len(self.ready[channel]) >= self.limits.capacity:
            self.purge(channel)
        if len(self.ready[channel]) >= self.limits.capacity:
            return False
        if lane:
            self.lanes[lane] = []
        self.ready[channel].append(message)
        return True

    def send_group(self, number: int, group: str) -> None:
        members = self.members(group)
        deadline = self.clock() + self.limits.expiry
        for process in {channel.partition("!")[0] + "!" for channel in members if "!" in channel}:
            if not self._put_mail(process, Entry("group", group, number, "", deadline)):
                self.dropped["group_full"] += 1
        for channel in members:
            if "!" not in channel and not self.send(number, channel):
                self.dropped["group_full"] += 1

    def _put_mail(self, process: str, entry: Entry) -> bool:
        mail = self.mail[process]
        if len(mail.entries) >= self.limits.process_capacity:
            self._purge_mail(mail)
        if len(mail.entries) >= self.limits.process_capacity:
            return False
        mail.entries.append(entry)
        return True

    def _purge_mail(self, mail: Mail) -> None:
        while mail.entries and mail.entries[0].kind != "control" and mail.entries[0].deadline < self.clock():
            del mail.entries[0]
            self.counts_are_exact = False  # what was read but not acknowledged may count as expired
            mail.lost = mail.lost or mail.read == 0
            mail.read = max(0, mail.read - 1)

    # Queues and lanes

    def purge(self, channel: str) -> None:
        queue = self.ready[channel]
        while queue and queue[0].deadline < self.clock():
            message = queue.pop(0)
            self.dropped["expired"] += 1
            self.release(message)

    def release(self, message: Message) -> None:
        if message.lane:
            waiting = self.lanes[message.lane]
            while waiting and waiting[0].deadline < self.clock():
                del waiting[0]
                self.dropped["expired"] += 1
            if waiting:
                self.ready[waiting[0].channel].append(waiting.pop(0))
            else:
                del self.lanes[message.lane]

    def next(self, channel: str) -> Message | None:
        """Take the next message of *channel*; its lane stays with it."""
        self.purge(channel)
        return self.ready[channel].pop(0) if self.ready[channel] else None

    # Leases

    def renew(self, lease: str) -> None:
        self.lease_deadlines[lease] = self.clock() + self.limits.lease_seconds

    def finish(self, lease: str, delivery_id: int, sends: list[tuple[int, str, bool]]) -> list[int]:
        """sends: number, address, whether to a group. Return the numbers that were refused."""
        message = self.leases[lease].pop(delivery_id, None)
        if message is None:
            return []
        refused = []
        for number, address, to_group in sends:
            if to_group:
                self.send_group(number, address)
            elif not self.send(number, address):
                refused.append(number)
        self.release(message)
        return refused

    def give_back(self, lease: str, ids: list[int]) -> None:
        for delivery_id in sorted(ids, reverse=True):
            message = self.leases[lease].pop(delivery_id)
            self.ready[message.channel].insert(0, message)

    def end(self, lease: str) -> list[Message]:
        ended = list(self.leases.pop(lease, {}).values())
        for message in ended:
            self.dropped["worker_died"] += 1
            self.release(message)
        return ended

    def overdue(self) -> list[str]:
        return [lease for lease in list(self.leases) if self.lease_deadlines[lease] < self.clock()]

    # Groups and mail

    def members(self, group: str) -> list[str]:
        return [channel for channel, deadline in self.groups[group].items() if deadline > self.clock()]

    def join(self, group: str, channel: str) -> None:
        deadline = self.clock() + self.limits.group_expiry
        self.groups[group][channel] = deadline
        self._tell(group, channel, deadline)

    def leave(self, group: str, channel: str) -> None:
        if self.groups[group].pop(channel, None) is not None:
            self._tell(group, channel, 0)

    def _tell(self, group: str, channel: str, deadline: float) -> None:
        if "!" in channel:
            entry = Entry("control", group, 0, channel, deadline)
            self.mail[channel.partition("!")[0] + "!"].entries.append(entry)

    def receive(self, process: str, channel: str | None, number: int | None) -> bool:
        """Tell whether *process* may have received that now (None: nothing), and take it out."""
        mail = self.mail[process]
        if not mail.waiting:
            self._collect(process, mail)
        if not mail.waiting:
            return channel is None
        addressees, expected = mail.waiting[0]
        if channel not in addressees or number != expected:
            return False
        addressees.discard(channel)
        if not addressees:
            del mail.waiting[0]
        return True

    def _collect(self, process: str, mail: Mail) -> None:
        del mail.entries[: mail.read]
        if mail.lost:
            mail.lost = False
            mail.members = {
                group: {channel: end for channel, end in members.items() if channel.startswith(process)}
                for group, members in self.groups.items()
            }
        for entry in mail.entries:
            if entry.kind == "control":
                members = mail.members.setdefault(entry.name, {})
                members.pop(entry.channel, None)
                if entry.deadline:
                    members[entry.channel] = entry.deadline
            elif entry.deadline < self.clock():
                self.dropped["expired"] += 1
            elif entry.kind == "message":
                mail.waiting.append(({entry.name}, entry.number))
            else:
                members = mail.members.get(entry.name, {})
                live = {channel for channel, deadline in members.items() if deadline > self.clock()}
                if live:
                    mail.waiting.append((live, entry.number))
        mail.read = len(mail.entries)
