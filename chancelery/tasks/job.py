"""A job, as the code that escalated it sees it: its id, how far it is, what it said, and a way to end it."""

from __future__ import annotations

import json
from typing import Any

from celery import current_app
from kombu.exceptions import OperationalError

from chancelery import trail
from chancelery.log import room
from chancelery.tasks import events
from chancelery.tasks.canvas import STAMP
from chancelery.tasks.engine import backend

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
        return last[0]["data"] if last and last[0]["kind"] == "result" else None

    def events(self) -> list[dict[str, Any]]:
        """Return what the job has said and is kept, oldest first: dicts of job, seq, kind and data."""
        return self._events(None)

    def cancel(self) -> bool:
        """
        End the job, and stop what it runs; tell whether it had not ended.

        At once, also within a consumer. What its tasks did is not undone. Raises: UnknownJob; LayerUnavailable.
        """
        engine = backend.current()
        sender = trail.onward(self.id)[-1].sender
        with engine.reporting():
            state = engine.records.finish(self.id, events.cancelled("cancelled")._replace(sender=sender))
        if state in events.ENDS:
            return False
        try:
            current_app.control.revoke_by_stamped_headers({STAMP: self.id}, terminate=True)
        except OperationalError as error:
            _log.warning(
                "job %s is cancelled, but what it runs goes on: no Celery worker was told (%s)", self.id, error
            )
        return True

    def _events(self, last: int | None) -> list[dict[str, Any]]:
        engine = backend.current()
        with engine.reporting():
            kept = engine.records.events(self.id, last)
        if not kept:
            _ = self.state
        return [{"job": self.id, "seq": seq, "kind": kind, "data": json.loads(data)} for seq, kind, data in kept]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Job) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<Job {self.id}>"
