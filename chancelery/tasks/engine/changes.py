"""
What becomes of a job's task, from what Celery stores of it: whose change it is, what is told of it, and what is logged.

Source: celery.backends.base and celery.app.trace of Celery 5.7.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Any, NamedTuple

from celery import states
from celery.exceptions import Retry, TaskRevokedError

from chancelery.log import room
from chancelery.tasks import events
from chancelery.tasks.canvas import job_of
from chancelery.tasks.engine import followers
from chancelery.tasks.events import Event, Result
from chancelery.tasks.record import Settled

_log = room("tasks")


class Run(NamedTuple):
    """A run of a job's task, or of one that `replace()` put before it."""

    job_id: str
    task_id: str
    """Of the job's task."""
    name: str
    attempt: int


class Change(NamedTuple):
    """What becomes of a job's task."""

    run: Run
    told: Event | Result | None
    traceback: str | None


_KINDS = {
    states.STARTED: "started",
    states.RETRY: "retry",
    states.SUCCESS: "done",
    states.FAILURE: "failed",
    states.REVOKED: "failed",
}


def kind_of(state: str) -> str:
    """Return what `scripts/settle.lua` calls the change to one of Celery's states."""
    return _KINDS.get(state, "failed")


def run_of(task_id: str, request: Any, state: str) -> Run | None:
    """Return whose change it is when the task comes to this state, or None when that is no matter of a job."""
    of_job = followers.concerned(task_id, request) if _KINDS.get(state) == "failed" else task_id
    job_id = job_of(of_job)
    if of_job is None or job_id is None or state not in _KINDS:
        return None
    name = getattr(request, "task", None) or getattr(request, "name", None) or ""
    return Run(job_id, of_job, name, getattr(request, "retries", None) or 0)


def change_of(
    run: Run, result: Any, state: str, app: Any, *, retry_in: float | None = None, traceback: str | None = None
) -> Change:
    """Return what it is when a task comes to a state. retry_in: seconds; without it, what Celery says."""
    when = _when() if retry_in is None else retry_in
    return Change(run, _told(run, result, state, when, app), traceback)


def _when() -> object:
    """Return when a task is tried again: Celery stores that while it handles the exception that says so."""
    raised = sys.exc_info()[1]
    return raised.when if isinstance(raised, Retry) else None


def _told(run: Run, result: Any, state: str, when: object, app: Any) -> Event | Result:
    if state == states.SUCCESS:
        return events.result(result)
    if state == states.RETRY:
        most = _most(app.tasks.get(run.name))
        told = {"task": run.task_id, "name": run.name, "attempt": run.attempt + 1, "max": most}
        return events.retry(told, result, when, datetime.now(UTC))
    if isinstance(result, TaskRevokedError):
        return events.expired() if str(result) == "expired" else events.cancelled(str(result) or "revoked")
    return events.failure(result)


def _most(task: Any) -> int | None:
    overridden = getattr(task, "override_max_retries", None)
    return overridden if overridden is not None else getattr(task, "max_retries", None)


def report(change: Change, settled: Settled) -> None:
    """Log what clients are not told, and what they could not be told."""
    run, told = change.run, change.told
    if settled.refused:
        _log.warning(
            'job %s ended with "%s", but %d of its addresses had no room for it; it is among its events',
            run.job_id,
            settled.ended,
            settled.refused,
        )
    if settled.fault and isinstance(told, Result):
        why = f"{events.FAULTS[settled.fault]} ({told.fault or 'as it is, it cannot be sent'})"
        _log.error("job %s: %s succeeded, but %s (reference %s)", run.job_id, run.name, why, told.reference)
    elif settled.ended == "error" and isinstance(told, Event):
        what = change.traceback or told.json.decode()
        _log.error("job %s was ended by %s (reference %s)\n%s", run.job_id, run.name, told.reference, what)
