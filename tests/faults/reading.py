"""Reads events into a `History`. One function per kind of event; kinds without one say nothing that a rule asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from tests.faults.history import STORE_FAULTS, Event, Handed, History, Interval, Loss, Sent, Start, process_of

FOREVER = float("inf")
LINGER_SECONDS = 2.0
"""How long a network fault may make itself felt after its end: until everybody is connected again."""
FINAL = frozenset({"calm", "groups", "counted", "keys", "statuses", "browsers_closed", "unrest", "faults_over"})
ACCIDENTS = frozenset({"died", "hung", "unrest"})


class Reader:
    """Takes the events of one run in order of their times."""

    def __init__(self, events: list[Event]) -> None:
        self.history = History(events)
        self._calls: dict[tuple[int, int], Event] = {}
        self._faults: dict[int, Event] = {}
        self._leased_at: dict[str, float] = {}

    def read(self) -> History:
        """Return the history."""
        for event in self.history.events:
            handler: Callable[[Event], None] | None = getattr(self, f"_on_{event['e']}", None)
            if handler is not None:
                handler(event)
            if event["e"] in FINAL:
                self.history.final[event["e"]] = event
            if event["e"] in ACCIDENTS:
                self.history.accidents.append(event)
        for call in self._calls.values():
            self._note_sends(call, taken_at=None)
        for fault in self._faults.values():
            self._note_fault(fault, FOREVER)
        return self.history

    # Sending

    def _on_post(self, event: Event) -> None:
        for _, _, lane, _ in event["sends"]:
            if lane:
                self.history.gateways[process_of(lane)] = event["pid"]
        self._calls[event["pid"], event["call"]] = event

    def _on_posted(self, event: Event) -> None:
        self._note_sends(self._calls.pop((event["pid"], event["call"])), event["t"], event["refused"])

    def _on_unknown(self, event: Event) -> None:
        self._note_sends(self._calls.pop((event["pid"], event["call"])), taken_at=None)

    def _on_tell(self, event: Event) -> None:
        # What is told under a lease that Redis has lost is dropped with it: it counts as sent when the lease began.
        leased_at = self._leased_at.setdefault(event["lease"], event["t"])
        lost = any(leased_at <= loss.at <= event["t"] for loss in self.history.losses)
        self._calls[event["pid"], event["call"]] = {**event, "t": leased_at} if lost else event
        if event["begun"]:
            self.history.marks.add(event["lease"], (event["t"], event["begun"]))
        for name, _ in event["finished"]:
            self.history.told.add(name, (event["t"], False))

    def _on_told(self, event: Event) -> None:
        history = self.history
        self._leased_at.setdefault(event["lease"], event["t"])
        call = self._calls.pop((event["pid"], event["call"]), None)
        if call is not None and event["held"]:
            self._note_sends(call, event["t"], event["refused"])
            for name, _ in call["finished"]:
                history.told.add(name, (event["t"], True))
        for index, (number, _, name, _) in enumerate(event["got"]):
            begun = index < event["begin"]
            history.handed.add(name, Handed(event["t"], number, event["lease"], event["pid"], begun))

    def _on_recover(self, event: Event) -> None:
        self.history.given_back.add(event["lease"], (event["t"], frozenset(event["known"])))

    def _note_sends(self, call: Event, taken_at: float | None, refused: Iterable[int] = ()) -> None:
        unwanted = set(refused)
        for index, send in enumerate(_sends(call)):
            if index not in unwanted:
                address, name, lane, to_group = send
                sent = self.history.sent.setdefault(name, Sent(name, address, lane, to_group, call["t"]))
                sent.tried_at = min(sent.tried_at, call["t"])
                sent.taken_at = sent.taken_at or taken_at

    # Handling

    def _on_start(self, event: Event) -> None:
        start = Start(event["t"], event["m"], event["channel"], event["lane"], event["attempt"], event["pid"])
        self.history.starts.add(event["m"], start)

    def _on_end(self, event: Event) -> None:
        self.history.ends.add(event["m"], event["t"])

    def _on_heard(self, event: Event) -> None:
        self.history.heard.add(event["channel"], (event["t"], event["m"]))

    # What went wrong

    def _on_started(self, event: Event) -> None:
        self.history.names[event["target"]] = event["name"]
        self.history.began[event["target"]] = event["t"]

    def _on_killing(self, event: Event) -> None:
        self.history.killed[event["target"]] = event["t"]

    def _on_frozen(self, event: Event) -> None:
        self.history.absences.add(event["target"], Interval(event["t"], FOREVER))

    def _on_thawed(self, event: Event) -> None:
        absences = self.history.absences[event["target"]]
        absences[-1] = Interval(absences[-1].since, event["t"])

    def _on_stall(self, event: Event) -> None:
        self.history.absences.add(event["pid"], Interval(event["since"], event["t"]))

    def _on_store_killing(self, event: Event) -> None:
        if event["keeps"] != "all":
            self.history.losses.append(Loss(FOREVER, FOREVER, event["keeps"] == "nothing"))

    def _on_store_killed(self, event: Event) -> None:
        if event["keeps"] != "all":
            self.history.losses[-1].at = event["t"]

    def _on_store_up(self, event: Event) -> None:
        if self.history.losses and self.history.losses[-1].back_at == FOREVER:
            self.history.losses[-1].back_at = event["t"]

    def _on_process_reaped(self, event: Event) -> None:
        self.history.reaped.add(event["process"], event["t"])

    def _on_fault(self, event: Event) -> None:
        self._faults[event["number"]] = event

    def _on_fault_over(self, event: Event) -> None:
        self._note_fault(self._faults.pop(event["number"]), event["t"])

    def _note_fault(self, fault: Event, over_at: float) -> None:
        names: Any = fault.get("names", [])
        if fault["kind"] in STORE_FAULTS:
            names = set(self.history.names.values())
        for name in names:
            self.history.cut_off.add(name, Interval(fault["t"], over_at + LINGER_SECONDS))


def _sends(call: Event) -> list[Any]:
    """Return what a call sends, in the order in which refusals count them."""
    if "sends" in call:
        return list(call["sends"])
    return [send for _, sends in call["finished"] for send in sends]


def read(events: list[Event]) -> History:
    """Return the history that *events* tell."""
    return Reader(events).read()
