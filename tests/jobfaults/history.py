"""What happened in a run, by job and client: the events put in order for the rules of `check`. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.faults.history import Event, Lists
from tests.jobfaults.ledger import ENDS


@dataclass
class Visit:
    """What one client heard of one job over one connection, and asked of it, in order."""

    said: list[Event] = field(default_factory=list)
    """Events of the job; and `{"after": n}` for each resume that was asked for."""


@dataclass
class History:
    """Everything that the rules want to know."""

    jobs: dict[str, dict[str, Any]]
    """What Redis keeps of each job in the end: state, events as [seq, kind, data]."""
    made: dict[str, Event] = field(default_factory=dict)
    """job -> by whom it was escalated, and as which shape."""
    heard: Lists[tuple[str, str], Event] = field(default_factory=Lists)
    """client and job -> all that it heard of it, progress too."""
    visits: dict[tuple[str, int, str], Visit] = field(default_factory=dict)
    """client, number of its connection, job -> what went over it"""
    begun: Lists[str, Event] = field(default_factory=Lists)
    """job -> the beginnings of its tasks"""
    paid: Lists[str, Event] = field(default_factory=Lists)
    cancels: dict[str, float] = field(default_factory=dict)
    """job -> when somebody first asked to cancel it"""
    cancelled: dict[str, float] = field(default_factory=dict)
    """job -> when the cancel was acknowledged"""
    faults: Lists[str, float] = field(default_factory=Lists)
    accidents: list[Event] = field(default_factory=list)
    absences: list[list[float]] = field(default_factory=list)
    """From when to when there was no Redis."""
    started: dict[int, float] = field(default_factory=dict)

    def shape(self, job: str) -> str:
        """Return what was escalated, or an empty string when nobody wrote that down."""
        return str(self.made.get(job, {}).get("shape", ""))

    def ends(self, job: str) -> list[tuple[str, Any]]:
        """Return kind and data of the events that ended the job."""
        return [(kind, data) for _, kind, data in self.jobs[job]["events"] if kind in ENDS]

    def found_no_redis(self, pid: int, died_at: float) -> bool:
        """Tell whether there was no Redis while a process started that has died."""
        began = self.started.get(pid, died_at)
        until = min(died_at, began + STARTING_SECONDS)
        return any(since <= until and till >= began for since, till in self.absences)


STARTING_SECONDS = 15


def read(events: list[Event]) -> History:
    """Return the history that *events* tell, which are in order of their times."""
    kept: dict[str, dict[str, Any]] = next((event["jobs"] for event in reversed(events) if event["e"] == "jobs"), {})
    history = History(kept)
    for event in events:
        reader = _READERS.get(event["e"])
        if reader is not None:
            reader(history, event)
    return history


def _visit(history: History, event: Event, job: str) -> Visit:
    return history.visits.setdefault((event["client"], event["visit"], job), Visit())


def _heard(history: History, event: Event) -> None:
    told = event["told"]
    history.heard.add((event["client"], told["job"]), told)
    _visit(history, event, told["job"]).said.append(told)


def _said(history: History, event: Event) -> None:
    frame = event["frame"]
    if frame.get("do") == "resume":
        _visit(history, event, frame["job"]).said.append({"after": frame["after"]})
    elif frame.get("do") == "cancel":
        history.cancels.setdefault(frame["job"], event["t"])


def _answered(history: History, event: Event) -> None:
    answer = event["answer"]
    if answer["do"] == "cancel" and answer.get("done"):
        history.cancelled.setdefault(answer["job"], event["t"])


def _went_away(history: History, event: Event) -> None:
    history.absences.append([event["t"], float("inf")])


def _came_back(history: History, event: Event) -> None:
    if history.absences:
        history.absences[-1][1] = event["t"]


_READERS = {
    "made": lambda history, event: history.made.setdefault(event["job"], event),
    "heard": _heard,
    "say": _said,
    "answer": _answered,
    "begin": lambda history, event: history.begun.add(event["job"], event),
    "paid": lambda history, event: history.paid.add(event["job"], event),
    "fault": lambda history, event: history.faults.add(event["kind"], event["t"]),
    "died": lambda history, event: history.accidents.append(event),
    "hung": lambda history, event: history.accidents.append(event),
    "unrest": lambda history, event: history.accidents.append(event),
    "unheard": lambda history, event: history.accidents.append(event),
    "started": lambda history, event: history.started.setdefault(event["target"], event["t"]),
    "store_killing": _went_away,
    "store_up": _came_back,
}
