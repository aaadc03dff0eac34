"""A channel layer as plain dicts and lists, as slow and as simple as can be: what the state machine compares with."""

from __future__ import annotations

import collections
import itertools
from dataclasses import dataclass, field
from typing import NamedTuple

from chancelery.layers.base import Fate
from tests.contracts.fixtures import SteppedClock

AT_LEAST_ONCE = {"sure.*": 2}


@dataclass(frozen=True, kw_only=True)
class ModelLimits:
    """Small, so that everything runs full and out. No sum of the machine's steps in time hits one exactly."""

    expiry: float = 20
    group_expiry: float = 50
    capacity: int = 4
    process_capacity: int = 8
    lane_capacity: int = 3
    lease_seconds: float = 1
    dead_letters: int = 3
    delayed_capacity: int = 5


class Message(NamedTuple):
    number: int
    channel: str
    lane: str
    deadline: float
    lost: int = 0

    @property
    def attempts(self) -> int:
        return 2 if self.channel.startswith("sure.") else 0


class Entry(NamedTuple):
    """What lies on a process's list: a message to a channel or to a group, or a change of membership."""

    kind: str
    name: str
    number: int = 0
    channel: str = ""
    deadline: float = 0


class Letter(NamedTuple):
    reason: str
    message: Message


class Waiting(NamedTuple):
    """What waits for its time; those for the same moment go out by their order."""

    due_ms: int
    order: tuple[int, str]
    """Numbered in the order of coming; behind them, by their key, those that go out at most so often."""
    message: Message
    kind: str = ""
    """`again` for a message whose lane it holds, `group` for one to a group."""
    pace: tuple[str, int, str] | None = None
    """What goes out at most so often: its key, milliseconds, and kind."""
    refused: bool = False


@dataclass
class Lease:
    deadline: float = 0
    begun: int = 0
    held: dict[int, Message] = field(default_factory=dict)


@dataclass
class Mail:
    entries: list[Entry] = field(default_factory=list)
    dropped: int = 0
    """Entries that were there once, before the first one."""
    read: int = 0
    """Of the entries that are there."""
    position: int = 0
    members: dict[str, dict[str, float]] = field(default_factory=dict)
    waiting: list[tuple[set[str], int]] = field(default_factory=list)
    """Messages on their way to `receive`: who still gets them, and their number."""


class Model:
    def __init__(self, clock: SteppedClock, limits: ModelLimits) -> None:
        self.clock = clock
        self.limits = limits
        self.counters: collections.Counter[str] = collections.Counter(messages_count=0, channel_full_count=0)
        self.ready: dict[str, list[Message]] = collections.defaultdict(list)
        self.lanes: dict[str, list[Message]] = {}
        self.leases: dict[str, Lease] = {}
        self.reaped: set[str] = set()
        self.letters: list[Letter] = []
        self.groups: dict[str, dict[str, float]] = collections.defaultdict(dict)
        self.mail: dict[str, Mail] = collections.defaultdict(Mail)
        self.delayed: list[Waiting] = []
        self.paused: dict[str, int] = {}
        self.comings = itertools.count(1)

    # Sending

    def send(self, number: int, channel: str, lane: str = "") -> bool:
        """Return whether there was room."""
        stored = self._store(Message(number, channel, lane, self.clock() + self.limits.expiry))
        self.counters["channel_full_count"] += not stored
        return stored

    def send_group(self, number: int, group: str) -> None:
        members = self.members(group)
        deadline = self.clock() + self.limits.expiry
        for process in {channel.partition("!")[0] + "!" for channel in members if "!" in channel}:
            if not self._put_mail(process, Entry("group", group, number, "", deadline)):
                self.counters["dropped:group_full"] += 1
        for channel in members:
            if "!" not in channel and not self._store(Message(number, channel, "", deadline)):
                self.counters["dropped:group_full"] += 1

    def _store(self, message: Message) -> bool:
        channel, lane = message.channel, message.lane
        if "!" in channel:
            entry = Entry("message", channel, message.number, "", message.deadline)
            return self._put_mail(channel.partition("!")[0] + "!", entry)
        if lane in self.lanes:
            if len(self.lanes[lane]) >= self.limits.lane_capacity:
                return False
            self.lanes[lane].append(message)
        else:
            if len(self.ready[channel]) >= self.limits.capacity:
                self.drop_expired(channel)
            if len(self.ready[channel]) >= self.limits.capacity:
                return False
            if lane:
                self.lanes[lane] = []
            self.ready[channel].append(message)
        self.counters["messages_count"] += 1
        return True

    def _put_mail(self, process: str, entry: Entry) -> bool:
        mail = self.mail[process]
        if len(mail.entries) >= self.limits.process_capacity:
            self._drop_expired_mail(mail)
        if len(mail.entries) >= self.limits.process_capacity:
            return False
        mail.entries.append(entry)
        self.counters["messages_count"] += 1
        return True

    def _drop_expired_mail(self, mail: Mail) -> None:
        while mail.entries and mail.entries[0].kind != "control" and mail.entries[0].deadline < self.clock():
            del mail.entries[0]
            mail.dropped += 1
            if mail.read:
                mail.read -= 1
            else:
                self.counters["dropped:expired"] += 1

    # Time

    @property
    def now_ms(self) -> int:
        return round(self.clock() * 1000)

    def send_later(self, number: int, address: str, lane: str, delay_ms: int, *, to_group: bool) -> bool:
        message = Message(number, address, lane, 0)
        return self._wait(Waiting(self.now_ms + delay_ms, self._coming(), message, "group" if to_group else ""))

    def send_latest(self, number: int, address: str, every_ms: int, kind: str, *, to_group: bool) -> bool:
        key = f"{'g' if to_group else 'c'}{address}"
        waiting = Waiting(
            self.paused.get(key, 0),
            (1, key),
            Message(number, address, "", 0),
            "group" if to_group else "",
            (key, every_ms, kind),
        )
        before = next((each for each in self.delayed if each.order == waiting.order), None)
        if before is not None:
            if before.pace != waiting.pace and not self._let_out(before):
                self.counters["channel_full_count"] += 1
                return False
            self.delayed[self.delayed.index(before)] = waiting._replace(due_ms=before.due_ms)
            return True
        if waiting.due_ms > self.now_ms:
            return self._wait(waiting)
        if not self._let_out(waiting):
            self.counters["channel_full_count"] += 1
            return False
        self.paused[key] = self.now_ms + every_ms
        return True

    def move(self) -> int:
        """Let out what is due, and return how many messages that were."""
        due = sorted((each for each in self.delayed if each.due_ms <= self.now_ms), key=lambda each: each[:2])
        moved = 0
        for waiting in due:
            self.delayed.remove(waiting)
            if self._let_out(waiting):
                moved += 1
                if waiting.pace:
                    self.paused[waiting.pace[0]] = self.now_ms + waiting.pace[1]
            else:
                self.counters["channel_full_count"] += not waiting.refused
                self.delayed.append(waiting._replace(due_ms=self.now_ms + 1000, refused=True))
        return moved

    def _coming(self) -> tuple[int, str]:
        return 0, f"{next(self.comings):09}"

    def _wait(self, waiting: Waiting) -> bool:
        if len(self.delayed) >= self.limits.delayed_capacity:
            self.counters["channel_full_count"] += 1
            return False
        self.delayed.append(waiting)
        return True

    def _let_out(self, waiting: Waiting) -> bool:
        message = waiting.message._replace(deadline=self.clock() + self.limits.expiry)
        if waiting.kind == "group":
            self.send_group(message.number, message.channel)
        elif waiting.kind == "again":
            self.ready[message.channel].append(message)
        else:
            return self._store(message)
        return True

    def _purge_delayed(self, channel: str) -> int:
        found = [each for each in self.delayed if each.kind != "group" and each.message.channel == channel]
        for waiting in sorted(found, key=lambda each: each[:2]):
            self.delayed.remove(waiting)
            self._drop("purged", waiting.message)
            if waiting.kind == "again":
                self.release(waiting.message)
        return len(found)

    # Queues, lanes and dead letters

    def next(self, channel: str) -> Message | None:
        """Take the next message of *channel*; its lane stays with it."""
        self.drop_expired(channel)
        return self.ready[channel].pop(0) if self.ready[channel] else None

    def release(self, message: Message) -> None:
        if message.lane:
            waiting = self.lanes[message.lane]
            while waiting and waiting[0].deadline < self.clock():
                self._drop("expired", waiting.pop(0))
            if waiting:
                self.ready[waiting[0].channel].append(waiting.pop(0))
            else:
                del self.lanes[message.lane]

    def drop_expired(self, channel: str) -> None:
        queue = self.ready[channel]
        while queue and queue[0].deadline < self.clock():
            message = queue.pop(0)
            self._drop("expired", message)
            self.release(message)

    def purge(self, channel: str) -> int:
        purged = self._purge_delayed(channel)
        while self.ready[channel]:
            message = self.ready[channel].pop(0)
            self._drop("purged", message)
            self.release(message)
            purged += 1
        return purged

    def replay(self, letter: Letter) -> bool:
        message = letter.message
        if not self.send(message.number, message.channel, message.lane):
            return False
        if letter in self.letters:  # making room may have brought so many others that it had to go
            self.letters.remove(letter)
        return True

    def _drop(self, reason: str, message: Message) -> None:
        self.counters[f"dropped:{reason}"] += 1
        if message.attempts:
            self.letters.append(Letter(reason, message))
            if len(self.letters) > self.limits.dead_letters:
                del self.letters[0]
                self.counters["dropped:dead_letters_full"] += 1

    # Leases

    def open(self, lease: str) -> bool:
        """Open or renew it; return whether it may be used."""
        if lease in self.reaped:
            return False
        self.leases.setdefault(lease, Lease()).deadline = self.clock() + self.limits.lease_seconds
        return True

    def hold(self, lease: str, taken: dict[int, Message], begin: int, begun: int) -> None:
        """taken: what was handed out, by id."""
        self.leases[lease].held |= taken
        self.leases[lease].begun = max([self.leases[lease].begun, begun, *list(taken)[:begin]])

    def postpone(self, lease: str, delivery_id: int, number: int, delay_ms: int) -> None:
        """Take a delivery out of its lease to hand it out again later, with a new number."""
        if lease not in self.leases:
            return
        self.open(lease)
        message = self.leases[lease].held.pop(delivery_id, None)
        if message is not None:
            again = message._replace(number=number)
            self.delayed.append(Waiting(self.now_ms + delay_ms, self._coming(), again, "again"))

    def finish(self, lease: str, delivery_id: int, sends: list[tuple[int, str, bool]]) -> list[int]:
        """sends: number, address, whether to a group. Return the numbers that were refused."""
        if lease not in self.leases:
            self.counters["dropped:fenced"] += len(sends)
            return []
        self.open(lease)
        message = self.leases[lease].held.pop(delivery_id, None)
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
        self._return([self.leases[lease].held.pop(delivery_id) for delivery_id in sorted(ids)])

    def end(self, lease: str, unstarted: list[int]) -> list[tuple[str, Fate]]:
        """Return what had been begun, in order, and its fate."""
        ended = self.leases.pop(lease)
        returning, fates = [], []
        for delivery_id, message in sorted(ended.held.items()):
            lost = message._replace(lost=message.lost + 1)
            if delivery_id > ended.begun or delivery_id in unstarted:
                returning.append(message)
                continue
            if lost.lost < message.attempts:
                fate = Fate.REPEATED
                returning.append(lost)
            else:
                fate = Fate.BURIED if message.attempts else Fate.DROPPED
                self._drop("worker_died", lost)
                self.release(message)
            fates.append((message.channel, fate))
        self._return(returning)
        return fates

    def _return(self, messages: list[Message]) -> None:
        for message in reversed(messages):
            self.ready[message.channel].insert(0, message)

    def overdue(self) -> list[str]:
        return [name for name, lease in self.leases.items() if lease.deadline < self.clock()]

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
        while not mail.waiting and self._collect(process, mail):
            pass
        if not mail.waiting:
            return channel is None
        addressees, expected = mail.waiting[0]
        if channel not in addressees or number != expected:
            return False
        addressees.discard(channel)
        if not addressees:
            del mail.waiting[0]
        return True

    def _collect(self, process: str, mail: Mail) -> bool:
        """Return whether there was anything new."""
        before = mail.position
        del mail.entries[: mail.read]
        mail.dropped += mail.read
        if mail.position == 0 < mail.dropped:  # it begins anew, or has never read: what it knows of is not all
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
                self.counters["dropped:expired"] += 1
            elif entry.kind == "message":
                mail.waiting.append(({entry.name}, entry.number))
            else:
                members = mail.members.get(entry.name, {})
                live = {channel for channel, deadline in members.items() if deadline > self.clock()}
                if live:
                    mail.waiting.append((live, entry.number))
        mail.read = len(mail.entries)
        mail.position = mail.dropped + mail.read
        return mail.position != before
