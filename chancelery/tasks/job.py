"""A job, as the code that escalated it sees it: its id, how far it is, what it said, and a way to end it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from kombu.exceptions import OperationalError

from chancelery import trail
from chancelery.log import room
from chancelery.moments import moment, span
from chancelery.tasks import claims, events
from chancelery.tasks.engine import backend, stopping

_log = room("tasks")


class Job:
    """
    One escalation. It has a record from when it is published: in a consumer, that is after the consumer has returned,
    and in a transaction, after its commit. Before, and when its record has expired, what reads it raises UnknownJob.
    """

    def __init__(self, job_id: str) -> None:
        self.id = job_id

    @classmethod
    def get(cls, job_id: str) -> Job:
        """Return the job of this id. Raises: UnknownJob; LayerUnavailable."""
        job = cls(job_id)
        _ = job.state
        return job

    @property
    def state(self) -> str:
        """`accepted`, `started`, or the kind of the event that ended it: `result`, `error`, `cancelled`."""
        engine = backend.current()
        with engine.reporting():
            return engine.records.state(self.id)

    @property
    def result(self) -> Any:
        """The data of the job's `result`, as clients were sent it; None while there is none, and for bytes."""
        last = self._events(1)
        if not last or last[0]["kind"] != "result":
            return None
        return self._kept_apart() if "at" in last[0] else last[0]["data"]

    def events(self) -> list[dict[str, Any]]:
        """Return what the job has said and is kept, oldest first: dicts of job, seq, kind and data."""
        return self._events(None)

    def claim(self) -> str:
        """
        Return a text by which whoever has it may see, resume, cancel and feed the job, for JOB_CLAIM_EXPIRY seconds.

        Who escalated without being logged in is sent one with the first event. Does no I/O.
        """
        return claims.claim_to(self.id)

    def cancel(self, reason: str = "cancelled") -> bool:
        """
        End the job, and stop what it runs; tell whether it had not ended. reason: what clients are told.

        At once, also within a consumer. What its tasks did is not undone. Raises: UnknownJob; LayerUnavailable.
        """
        engine = backend.current()
        sender = trail.onward(self.id)[-1].sender
        with engine.reporting():
            state = engine.records.finish(self.id, events.cancelled(reason)._replace(sender=sender))
        if state in events.ENDS:
            return False
        try:
            stopping.stop(self.id)
        except OperationalError as error:
            _log.warning(
                "job %s is cancelled, but what it runs goes on: no Celery worker was told (%s)", self.id, error
            )
        return True

    @property
    def eta(self) -> datetime | None:
        """
        When the first of its tasks that wait for their time is due, in UTC; None when none does.

        What is due within JOB_LONG_WAIT seconds does not count: a worker waits for that. Raises: LayerUnavailable.
        """
        engine = backend.current()
        with engine.reporting():
            return engine.due.eta(self.id)

    def reschedule(self, eta: datetime | float | timedelta) -> bool:
        """
        Have what waits for its time wait until *eta*, a datetime, or seconds or a timedelta from now.

        At once, also within a consumer. Tells whether anything did wait. Raises: TypeError, ValueError for what is no
        time; UnknownJob; LayerUnavailable.
        """
        now = datetime.now(UTC)
        return self._move(moment("eta", eta) if isinstance(eta, datetime) else now + span("eta", eta))

    def run_now(self) -> bool:
        """Have nothing of it wait for its time any longer, and tell whether anything did. Raises: as `reschedule`."""
        return self._move(None)

    def _move(self, due: datetime | None) -> bool:
        engine = backend.current()
        told = events.event("rescheduled", {"eta": due.isoformat() if due else None}, trail.onward(self.id)[-1].sender)
        with engine.reporting():
            return engine.due.reschedule(self.id, due, told)

    def _kept_apart(self) -> Any:
        engine = backend.current()
        with engine.reporting():
            found = engine.records.kept_apart(self.id)
        return None if found is None else json.loads(found)

    def _events(self, last: int | None) -> list[dict[str, Any]]:
        engine = backend.current()
        with engine.reporting():
            kept = engine.records.events(self.id, last)
        if not kept:
            _ = self.state
        return kept

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Job) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<Job {self.id}>"
