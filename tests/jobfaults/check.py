"""
The offline check: takes the events of a run and returns what breaks the promise of jobs: one escalation, one end, heard
by whoever asked. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from tests.faults.history import Event
from tests.jobfaults import outcomes
from tests.jobfaults.history import History, read
from tests.jobfaults.ledger import ENDS

KILLS = ("child_kill", "celery_kill", "celery_kill_all")
TOLD_APART_BY_RUN = frozenset({"progress", "snapshot"})


class Violation(NamedTuple):
    """A promise that was broken."""

    rule: str
    text: str


def nothing_open(history: History) -> Iterator[str]:
    """Once nothing goes wrong any more, every job that is recorded ends, whether anybody heard of it or not."""
    for job, kept in history.jobs.items():
        if kept["state"] not in ENDS:
            begun = [event["task"] for event in history.begun[job]]
            yield f"{_named(history, job)} is {kept['state']} ({kept.get('members')}), begun were {begun}"


def one_end(history: History) -> Iterator[str]:
    """A job that has ended has one event that says so, its last one; and none is missing before it."""
    for job, kept in history.jobs.items():
        ends = [seq for seq, kind, _ in kept["events"] if kind in ENDS]
        seqs = [seq for seq, _, _ in kept["events"]]
        if kept["state"] in ENDS and ends != seqs[-1:]:
            yield f"{_named(history, job)} is {kept['state']}, and has ended with {ends} of {seqs}"
        if seqs != list(range(1, len(seqs) + 1)):
            yield f"{_named(history, job)} has the events {seqs}"


def all_heard(history: History) -> Iterator[str]:
    """
    Everybody has, after dropping repeats, every event of their jobs and so one end, the one that Redis keeps.

    Theirs is what a user has escalated, and what a guest has a claim to: what it heard of. A snapshot stands for the
    events up to its own.
    """
    theirs = {(event["client"], job) for job, event in history.made.items() if event["kind"] == "user"}
    for client, job in sorted(
        (theirs & {(client, job) for client, job in theirs if job in history.jobs}) | set(history.heard)
    ):
        kept = history.jobs.get(job)
        if kept is None:
            yield f"{client} heard of {_named(history, job)}, of which there is no record"
            continue
        had = {(event["seq"], event["kind"]) for event in history.heard[client, job] if event["kind"] != "progress"}
        covered = max((seq for seq, kind in had if kind == "snapshot"), default=0)
        missing = [(seq, kind) for seq, kind, _ in kept["events"] if seq > covered and (seq, kind) not in had]
        ends = sorted(kind for _, kind in had if kind in ENDS)
        if missing or len(ends) != 1:
            yield f"{client} has not heard {missing} of {_named(history, job)}; its ends: {ends}"


def repeats(history: History) -> Iterator[str]:
    """What comes twice under the same job and seq is the same."""
    for (client, job), told in history.heard.items():
        known: dict[int, tuple[str, Any]] = {}
        for event in told:
            if event["kind"] in TOLD_APART_BY_RUN:
                continue
            what = (event["kind"], event["data"])
            if known.setdefault(event["seq"], what) != what:
                yield f"{client} heard {what} and {known[event['seq']]} as {event['seq']} of {_named(history, job)}"


def order(history: History) -> Iterator[str]:
    """Over one connection, events come in order and without a gap, but that a resume begins where it was asked to."""
    for (client, visit, job), one in history.visits.items():
        last, asked = None, set()
        for said in one.said:
            if "after" in said:
                asked.add(said["after"] + 1)
            elif said["kind"] == "snapshot":
                last = said["seq"]
            elif said["kind"] != "progress":
                seq = said["seq"]
                if last is not None and seq != last + 1 and seq not in asked:
                    yield f"{client}, connection {visit}, heard {seq} after {last} of {_named(history, job)}"
                last = seq


def nothing_runs(history: History) -> Iterator[str]:
    """Once it was acknowledged that a job is cancelled, none of its tasks begins."""
    for job, at in history.cancelled.items():
        late = [event for event in history.begun[job] if event["t"] > at]
        for event in late:
            task = f"{event['task']} ({event['name']})"
            yield f"{task} of {_named(history, job)} began {event['t'] - at:.3f} s after its cancel"
        if job in history.jobs and history.jobs[job]["state"] != "cancelled":
            yield f"{_named(history, job)} is {history.jobs[job]['state']}, and was said to be cancelled"


def outcomes_are_right(history: History) -> Iterator[str]:
    """A result is what the canvas makes; an error is the task's own or comes of a fault; a cancel was asked for."""
    for job in history.jobs:
        for kind, data in history.ends(job):
            shape = history.shape(job)
            if kind == "result" and (shape not in outcomes.RESULTS or data != outcomes.RESULTS[shape]):
                yield f"{_named(history, job)} has the result {data}"
            elif kind == "error" and not _is_explained(history, shape, data["code"]):
                yield f"{_named(history, job)} ended with {data}"
            elif kind == "cancelled" and job not in history.cancels:
                yield f"{_named(history, job)} was cancelled by nobody"


def _is_explained(history: History, shape: str, code: str) -> bool:
    if code == outcomes.FAILURE:
        return shape not in outcomes.RESULTS
    was_killed = any(kind in history.faults for kind in KILLS)
    return (code in outcomes.OF_A_KILL and was_killed) or (
        code in outcomes.OF_THE_STORE and "store_kill" in history.faults
    )


def chunks(history: History) -> Iterator[str]:
    """A task that is run anew repeats none of its chunks; and before a result, all are there."""
    for job, kept in history.jobs.items():
        expected = outcomes.CHUNKS.get(history.shape(job), [])
        found = [data["chunk"] for _, kind, data in kept["events"] if kind == "chunk"]
        if found != expected[: len(found)] or (kept["state"] == "result" and found != expected):
            yield f"{_named(history, job)} has streamed {found}"


def once(history: History) -> Iterator[str]:
    """What a job does once is done once, in whatever run."""
    for job, paid in history.paid.items():
        if len(paid) > 1:
            yield f"{_named(history, job)} has paid {len(paid)} times"


def rest(history: History) -> Iterator[str]:
    """No process ends by itself, but one that finds no Redis when it starts; and in the end all comes to rest."""
    for event in history.accidents:
        if event["e"] == "died" and history.found_no_redis(event["target"], event["t"]):
            continue
        yield str({key: value for key, value in event.items() if key not in {"by", "pid"}})


RULES: dict[str, Callable[[History], Iterator[str]]] = {
    "nothing open": nothing_open,
    "one end": one_end,
    "all heard": all_heard,
    "repeats": repeats,
    "order": order,
    "nothing runs": nothing_runs,
    "outcomes": outcomes_are_right,
    "chunks": chunks,
    "once": once,
    "rest": rest,
}


def check(events: list[Event]) -> list[Violation]:
    """Return everything in *events*, which are in order of their times, that breaks a rule."""
    history = read(events)
    return [Violation(name, text) for name, rule in RULES.items() for text in rule(history)]


def _named(history: History, job: str) -> str:
    return f"the job {job} ({history.shape(job) or 'unknown'})"
