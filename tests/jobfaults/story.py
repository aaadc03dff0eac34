"""Histories made by hand: a user and a guest who escalate one job each, and hear all of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.faults.history import Event

USER, GUEST = "user1", "guest0"
USERS, GUESTS = "a" * 32, "b" * 32
"""Their jobs: a chain that is cut off by a drop, and a stream."""
CHAIN = [("accepted", {"of": 3}), ("started", {}), ("step", {}), ("step", {}), ("result", [True, 3])]
STREAM = [("accepted", {"of": 1}), ("started", {}), *(("chunk", {"chunk": n}) for n in range(5)), ("result", 5)]


class Story:
    """A list of events that grows by what happens; every one is a tenth of a second later than the one before."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.now = 10.0
        self.jobs: dict[str, dict[str, Any]] = {}
        """What Redis keeps in the end."""

    def add(self, event: str, **fields: Any) -> None:
        self.now = round(self.now + 0.1, 1)
        self.events.append({"t": self.now, "e": event, **fields})

    def make(self, job: str, client: str, shape: str, events: list[tuple[str, Any]]) -> None:
        """A job is escalated, and says these things."""
        self.add("made", job=job, client=client, kind=client.rstrip("0123456789"), shape=shape)
        self.begin(job)
        kept = [[seq, kind, data] for seq, (kind, data) in enumerate(events, 1)]
        self.jobs[job] = {"state": events[-1][0], "events": kept}

    def begin(self, job: str) -> None:
        self.add("begin", job=job, task=f"{job}-1", name="number", attempt=0)

    def hear(self, job: str, client: str, seqs: range, visit: int = 1) -> None:
        """The client hears these of the job's events."""
        for seq, kind, data in self.jobs[job]["events"]:
            if seq in seqs:
                self.say(client, {"job": job, "seq": seq, "kind": kind, "data": data}, visit)

    def say(self, client: str, told: dict[str, Any], visit: int = 1) -> None:
        """The client hears something."""
        self.add("heard", client=client, visit=visit, told=told)

    def ask(self, client: str, visit: int = 1, **frame: Any) -> None:
        """The client asks for something."""
        self.add("say", client=client, visit=visit, frame=frame)

    def cancel(self, job: str, client: str, *, done: bool = True) -> None:
        """The client cancels a job, and is told that this was done."""
        self.ask(client, job=job, do="cancel")
        self.add("answer", client=client, visit=1, answer={"job": job, "do": "cancel", "done": done})


def told(before_the_end: Callable[[Story], object] = lambda _: None) -> list[Event]:
    """Return the history of a run in which all went well but for what *before_the_end* adds."""
    story = Story()
    story.add("store_up")
    story.add("started", name="celery1", target=1)
    story.make(USERS, USER, "chain", CHAIN)
    story.make(GUESTS, GUEST, "stream", STREAM)
    story.hear(USERS, USER, range(1, 4))
    story.add("drop", client=USER, visit=1)
    story.hear(GUESTS, GUEST, range(1, 9))
    story.ask(USER, 2, job=USERS, do="resume", after=3)
    story.hear(USERS, USER, range(4, 6), visit=2)
    before_the_end(story)
    story.add("jobs", jobs=story.jobs)
    return story.events
