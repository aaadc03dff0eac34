"""
Stops what Celery's workers run for a job.

Celery's `revoke_by_stamped_headers` overlooks tasks that a worker has handed to a child which has not yet said that it
has begun: those would run to their end. A command of our own finds them. Source: celery.worker.control of 5.7.
"""

from __future__ import annotations

from typing import Any

from celery import current_app
from celery.worker import state as workers
from celery.worker.control import control_command, ok

from chancelery.tasks.canvas import STAMP


def stop(job_id: str) -> None:
    """Have all workers stop what they run for the job, and begin nothing more. Raises: OperationalError of kombu."""
    current_app.control.revoke_by_stamped_headers({STAMP: job_id}, terminate=True)
    current_app.control.broadcast("chancelery_stop", arguments={"job_id": job_id})


@control_command(args=[("job_id", str)], signature="<job id>")  # type: ignore[untyped-decorator] # Celery has no types
def chancelery_stop(state: Any, job_id: str, **_: object) -> Any:
    """Stop the tasks of a job that are about to begin."""
    beginning = set(workers.reserved_requests) - set(workers.active_requests)
    found = [request for request in beginning if job_id in _stamped(request)]
    for request in found:
        request.terminate(state.consumer.pool)
    return ok(f"{len(found)} tasks of the job {job_id} were about to begin")


def _stamped(request: Any) -> list[Any]:
    stamp = request.stamps.get(STAMP)
    return stamp if isinstance(stamp, list) else [stamp]
