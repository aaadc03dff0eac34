"""
A Hypothesis state machine: whatever is done to a layer, in whatever order, it answers as the model in `model.py` does.

    def test_it_answers_as_the_model_does():
        require_model(lambda clock, **limits: MyLayer(clock=clock, **limits))
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import asdict
from typing import ClassVar, TypeAlias

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from chancelery.exceptions import ChannelFull
from chancelery.layers.base import (
    MAX_FETCH,
    ChannelLayer,
    Coalesce,
    DeadLetter,
    Delivery,
    Fetched,
    Finished,
    Later,
    Send,
)
from tests.contracts.fixtures import SteppedClock
from tests.contracts.model import AT_LEAST_ONCE, Letter, Model, ModelLimits

Factory: TypeAlias = Callable[..., ChannelLayer]

LANED = ["a", "b", "sure.c"]
QUEUES = [*LANED, "single?x"]
PROCESSES = ["p!", "q!"]
LOCALS = ["p!1", "p!2", "q!1"]
GROUPS = ["g", "h"]

laned = st.sampled_from(LANED)
queues = st.sampled_from(QUEUES)
lanes = st.sampled_from(["", "p!1", "p!2", "q!1"])
locals_ = st.sampled_from(LOCALS)
groups = st.sampled_from(GROUPS)
members = st.sampled_from([*LOCALS, "b", "sure.c", "single?x"])
leases = st.sampled_from([0, 1])
begins = st.sampled_from([0, 1, 2, MAX_FETCH])
delays = st.sampled_from([501, 3003])
EVERY_MS = 777
"""Nothing that goes out at most so often is ever due together with what is sent for later: the order would be open."""
answers = st.lists(st.sampled_from(["answers", "p!2", "sure.c", *GROUPS]), max_size=3)


class LayerMachine(RuleBasedStateMachine):
    """Has two workers (leases), two processes, four queues: three take what is sent in lanes, one is at least once."""

    factory: ClassVar[Factory]
    limits: ClassVar[ModelLimits] = ModelLimits()

    @initialize()
    def begin(self) -> None:
        self.clock = SteppedClock()
        self.layer = self.factory(self.clock, at_least_once=AT_LEAST_ONCE, **asdict(self.limits))
        self.model = Model(self.clock, self.limits)
        self.leases = [self.layer.open_lease() for _ in range(2)]
        self.held: dict[str, list[Delivery]] = {lease: [] for lease in self.leases}
        self.past: list[tuple[str, Delivery]] = []
        self.reaped: list[str] = []
        self.numbers = itertools.count(1)

    # Sending

    @rule(channel=laned, lane=lanes)
    def send(self, channel: str, lane: str) -> None:
        self._send(channel, lane)

    @rule(channel=st.sampled_from([*LOCALS, "single?x", "answers"]))
    def send_in_no_lane(self, channel: str) -> None:
        self._send(channel, "")

    @rule(group=groups)
    def send_group(self, group: str) -> None:
        number = next(self.numbers)
        self.layer.send_group(group, {"n": number})
        self.model.send_group(number, group)

    @rule(addresses=st.lists(st.sampled_from(["a", "sure.c", "p!1", *GROUPS]), max_size=4))
    def post(self, addresses: list[str]) -> None:
        sends, numbers = self._sends(addresses)
        refused = [refusal.send for refusal in self.layer.post(sends)]
        expected = []
        for send, number in zip(sends, numbers, strict=True):
            if send.to_group:
                self.model.send_group(number, send.address)
            elif not self.model.send(number, send.address):
                expected.append(send)
        assert refused == expected

    # Sending for later

    @rule(channel=laned, lane=lanes, delay_ms=delays)
    def send_later(self, channel: str, lane: str, delay_ms: int) -> None:
        self._send_later(channel, lane, delay_ms)

    @rule(address=st.sampled_from([*LOCALS, "single?x", "g"]), delay_ms=delays)
    def send_later_in_no_lane(self, address: str, delay_ms: int) -> None:
        self._send_later(address, "", delay_ms)

    @rule(address=st.sampled_from(["answers", "answers", "h"]), kind=st.sampled_from(["", "", "other"]))
    def send_latest(self, address: str, kind: str) -> None:
        number, to_group = next(self.numbers), address in GROUPS
        coalesce = Coalesce("key", EVERY_MS, kind)
        refused = self.layer.post([Send(address, self.layer.pack({"n": number}), to_group=to_group, coalesce=coalesce)])
        assert (not refused) == self.model.send_latest(number, address, EVERY_MS, kind, to_group=to_group)

    @rule()
    def move_due(self) -> None:
        assert self.layer.move_due(0) == self.model.move()

    # Membership

    @rule(group=groups, channel=members)
    def join(self, group: str, channel: str) -> None:
        self.layer.group_add(group, channel)
        self.model.join(group, channel)

    @rule(group=groups, channel=members)
    def leave(self, group: str, channel: str) -> None:
        self.layer.group_discard(group, channel)
        self.model.leave(group, channel)

    # Reading

    @rule(channel=queues)
    def receive(self, channel: str) -> None:
        name, content = self.layer.receive([channel])
        expected = self.model.next(channel)
        if expected is None:
            assert name is None
        else:
            assert (name, content) == (channel, {"n": expected.number})
            self.model.release(expected)

    @rule(process=st.sampled_from(PROCESSES))
    def receive_mail(self, process: str) -> None:
        self._receive_mail(process)

    @rule(data=st.data(), lease=leases, channel=queues, limit=st.integers(0, 4), begin=begins)
    def fetch(self, data: st.DataObject, lease: int, channel: str, limit: int, begin: int) -> None:
        self._fetch(data, self.leases[lease], [channel], limit, begin)

    @precondition(lambda self: not self._anything_expired())
    @rule(data=st.data(), lease=leases, limit=st.integers(1, 8), begin=begins)
    def fetch_from_all(self, data: st.DataObject, lease: int, limit: int, begin: int) -> None:
        self._fetch(data, self.leases[lease], QUEUES, limit, begin)

    # Leases

    @precondition(lambda self: any(self.held.values()))
    @rule(data=st.data(), addresses=answers)
    def finish(self, data: st.DataObject, addresses: list[str]) -> None:
        lease = data.draw(st.sampled_from([lease for lease in self.leases if self.held[lease]]))
        delivery = data.draw(st.sampled_from(self.held[lease]))
        self.held[lease].remove(delivery)
        self._finish(lease, delivery, addresses)

    @precondition(lambda self: self.past)
    @rule(data=st.data(), addresses=answers)
    def finish_again(self, data: st.DataObject, addresses: list[str]) -> None:
        lease, delivery = data.draw(st.sampled_from(self.past))
        self._finish(lease, delivery, addresses)

    @precondition(lambda self: any(self.held.values()))
    @rule(data=st.data(), delay_ms=delays)
    def postpone(self, data: st.DataObject, delay_ms: int) -> None:
        lease = data.draw(st.sampled_from([lease for lease in self.leases if self.held[lease]]))
        delivery = data.draw(st.sampled_from(self.held[lease]))
        self.held[lease].remove(delivery)
        self._postpone(lease, delivery, delay_ms)

    @precondition(lambda self: self.past)
    @rule(data=st.data(), delay_ms=delays)
    def postpone_again(self, data: st.DataObject, delay_ms: int) -> None:
        self._postpone(*data.draw(st.sampled_from(self.past)), delay_ms)

    @precondition(lambda self: any(self.held.values()))
    @rule(data=st.data())
    def recover(self, data: st.DataObject) -> None:
        lease, known, unknown = self._split(data)
        self.layer.recover(lease, known)
        self.model.give_back(lease, [delivery.id for delivery in unknown])
        self._let_go(lease, unknown)

    @precondition(lambda self: any(self.held.values()))
    @rule(data=st.data())
    def close_lease(self, data: st.DataObject) -> None:
        lease, _, unstarted = self._split(data)
        self.layer.close_lease(lease, unstarted)
        self.model.end(lease, [delivery.id for delivery in unstarted])
        self._let_go(lease, list(self.held[lease]))

    @rule(lease=leases)
    def renew(self, lease: int) -> None:
        name = self.leases[lease]
        self.layer.renew([name])
        if name in self.model.leases:
            self.model.open(name)

    @precondition(lambda self: self._overdue_holders() < 2)  # several that end at once go back in no certain order
    @rule()
    def reap(self) -> None:
        overdue = self.model.overdue()
        expected = [ended for lease in overdue for ended in self.model.end(lease, [])]
        assert [(item.channel, item.fate) for item in self.layer.reap()] == expected
        self.model.reaped |= set(overdue)
        self.reaped += overdue
        for lease in set(overdue) & set(self.leases):  # it may also be one from before a flush
            self._let_go(lease, list(self.held[lease]))
            self.leases[self.leases.index(lease)] = self.layer.open_lease()
        self.held = {lease: self.held.get(lease, []) for lease in self.leases}

    @precondition(lambda self: self.reaped)
    @rule(data=st.data(), door=st.sampled_from(["fetch", "renew", "recover", "close"]))
    def use_a_reaped_lease(self, data: st.DataObject, door: str) -> None:
        lease = data.draw(st.sampled_from(self.reaped))
        stale = [delivery for name, delivery in self.past if name == lease]
        if door == "fetch":
            assert self.layer.fetch(QUEUES, 8, lease) == Fetched([], [], held=False)
        elif door == "renew":
            self.layer.renew([lease])
        elif door == "recover":
            self.layer.recover(lease, stale[1:])
        else:
            self.layer.close_lease(lease, stale[1:])

    # Operators

    @rule(channel=st.sampled_from([*LANED, "answers"]))
    def purge(self, channel: str) -> None:
        assert self.layer.purge(channel) == self.model.purge(channel)

    @precondition(lambda self: self.model.letters)
    @rule(data=st.data())
    def replay(self, data: st.DataObject) -> None:
        chosen = self._choose_letters(data)
        expected = [letter.id for letter, known in chosen if self.model.replay(known)]
        assert self.layer.replay([letter.id for letter, _ in chosen]) == expected

    @precondition(lambda self: self.model.letters)
    @rule(data=st.data())
    def bury(self, data: st.DataObject) -> None:
        chosen = self._choose_letters(data)
        assert self.layer.bury([letter.id for letter, _ in chosen]) == len(chosen)
        for _, known in chosen:
            self.model.letters.remove(known)

    @rule()
    def look(self) -> None:
        overview = self.layer.overview()
        waiting = {channel.name: channel.pending for channel in overview.channels}
        for channel in [*LANED, "answers"]:
            assert waiting.get(channel, 0) == len(self.model.ready[channel]), channel
        expected = {name: len(lease.held) for name, lease in self.model.leases.items()}
        assert {lease.name: lease.held for lease in overview.leases} == expected
        assert sorted(overview.groups) == [
            (group, len(found)) for group in GROUPS if (found := self.model.members(group))
        ]
        assert overview.busy_lanes == len(self.model.lanes)
        assert overview.dead_letters == len(self.model.letters)
        assert overview.delayed == len(self.model.delayed)

    # Time, and the end

    @rule(seconds=st.sampled_from([0.31, 7, 7]))
    def let_time_pass(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(really=st.sampled_from([False, False, True]))
    def flush(self, really: bool) -> None:
        if not really:  # often would leave nothing to look at
            return
        self._drain_mail()  # what a reader has already, no flush takes from it
        self.layer.flush()
        for lease in self.leases:
            self._let_go(lease, list(self.held[lease]))
        self.reaped.clear()
        self.model = Model(self.clock, self.limits)
        self._drain_mail()  # so that a reader learns of it

    @invariant()
    def as_much_waits_as_in_the_model(self) -> None:
        for channel in [*LANED, "answers"]:
            pending = self.layer.channel_statistics(channel)["messages_pending"]
            assert pending == len(self.model.ready[channel]), channel

    @invariant()
    def memberships_are_the_model_s(self) -> None:
        for group in GROUPS:
            assert sorted(self.layer.group_channels(group)) == sorted(self.model.members(group))

    @invariant()
    def dead_letters_are_the_model_s(self) -> None:
        found = [(letter.reason, letter.channel, letter.lane, letter.attempts) for letter in self.layer.dead_letters()]
        assert found == [(letter.reason, *letter.message[1:3], letter.message.lost) for letter in self.model.letters]

    @invariant()
    def counters_are_the_model_s(self) -> None:
        counters = self.layer.global_statistics()
        for name, expected in self.model.counters.items():
            if name != "dropped:expired":  # what nobody looks at may be found to have expired sooner or later
                assert counters.get(name, 0) == expected, name

    def teardown(self) -> None:
        if not hasattr(self, "layer"):
            return
        self._drain_mail()
        for channel in [*QUEUES, "answers"]:
            while self.model.ready[channel]:
                self.receive(channel)
        totals = {"messages_count": 0, "channel_full_count": 0}
        assert self.layer.global_statistics() == totals | +self.model.counters
        self.layer.flush()

    # What the rules share

    def _drain_mail(self) -> None:
        for process in PROCESSES:
            while self._receive_mail(process):
                pass

    def _receive_mail(self, process: str) -> bool:
        channel, content = self.layer.receive([process])
        assert self.model.receive(process, channel, content["n"] if content else None), (channel, content)
        return channel is not None

    def _send(self, channel: str, lane: str) -> None:
        number = next(self.numbers)
        try:
            self.layer.send(channel, {"n": number}, lane=lane)
        except ChannelFull:
            taken = False
        else:
            taken = True
        assert taken == self.model.send(number, channel, lane)

    def _sends(self, addresses: list[str]) -> tuple[list[Send], list[int]]:
        numbers = [next(self.numbers) for _ in addresses]
        pairs = zip(addresses, numbers, strict=True)
        return [Send(a, self.layer.pack({"n": n}), to_group=a in GROUPS) for a, n in pairs], numbers

    def _finish(self, lease: str, delivery: Delivery, addresses: list[str]) -> None:
        sends, numbers = self._sends(addresses)
        refused = self.layer.finish([Finished(delivery, sends)], lease)
        plain = [(number, send.address, send.to_group) for send, number in zip(sends, numbers, strict=True)]
        expected = self.model.finish(lease, delivery.id, plain)
        assert [refusal.send for refusal in refused] == [sends[numbers.index(number)] for number in expected]
        self.past.append((lease, delivery))

    def _send_later(self, address: str, lane: str, delay_ms: int) -> None:
        number, to_group = next(self.numbers), address in GROUPS
        send = Send(address, self.layer.pack({"n": number}), lane, to_group=to_group, delay_ms=delay_ms)
        refused = self.layer.post([send])
        assert (not refused) == self.model.send_later(number, address, lane, delay_ms, to_group=to_group)

    def _postpone(self, lease: str, delivery: Delivery, delay_ms: int) -> None:
        number = next(self.numbers)
        later = Later(delay_ms, self.layer.pack({"n": number}))
        assert self.layer.finish([Finished(delivery, later=later)], lease) == []
        self.model.postpone(lease, delivery.id, number, delay_ms)
        self.past.append((lease, delivery))

    def _fetch(self, data: st.DataObject, lease: str, channels: list[str], limit: int, begin: int) -> None:
        begun = data.draw(st.sampled_from([0, *(delivery.id for delivery in self.held[lease])]))
        fetched = self.layer.fetch(channels, limit, lease, begin=begin, begun=begun)
        assert (fetched.held, fetched.refused) == (self.model.open(lease), [])
        taken = {}
        for delivery in fetched.deliveries:
            expected = self.model.next(delivery.channel)
            assert expected is not None
            assert (delivery.content, delivery.lane) == ({"n": expected.number}, expected.lane)
            assert delivery.attempt == expected.lost + 1
            assert all(delivery.id > other.id for other in self.held[lease])
            taken[delivery.id] = expected
            self.held[lease].append(delivery)
        self.model.hold(lease, taken, begin, begun)
        assert len(taken) <= limit
        if len(taken) < limit:
            for channel in channels:
                assert self.model.next(channel) is None, f"there was more on {channel}"

    def _choose_letters(self, data: st.DataObject) -> list[tuple[DeadLetter, Letter]]:
        """Return some dead letters, each with the model's, in any order."""
        known = self.model.letters
        numbers = data.draw(st.lists(st.sampled_from(range(len(known))), unique=True, min_size=1))
        letters = self.layer.dead_letters()
        assert [letter.content for letter in letters] == [{"n": letter.message.number} for letter in known]
        return [(letters[number], known[number]) for number in numbers]

    def _split(self, data: st.DataObject) -> tuple[str, list[Delivery], list[Delivery]]:
        lease = data.draw(st.sampled_from([lease for lease in self.leases if self.held[lease]]))
        kept = data.draw(st.lists(st.sampled_from(self.held[lease]), unique_by=lambda delivery: delivery.id))
        return lease, kept, [delivery for delivery in self.held[lease] if delivery not in kept]

    def _let_go(self, lease: str, deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            self.held[lease].remove(delivery)
            self.past.append((lease, delivery))

    def _overdue_holders(self) -> int:
        return sum(1 for lease in self.model.overdue() if self.model.leases[lease].held)

    def _anything_expired(self) -> bool:
        return any(message.deadline < self.clock() for channel in QUEUES for message in self.model.ready[channel])


def require_model(factory: Factory, *, examples: int = 50, steps: int = 50) -> None:
    """Hold the layers that *factory* makes, from a clock and limits, to the model."""
    machine = type("Machine", (LayerMachine,), {"factory": staticmethod(factory)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
