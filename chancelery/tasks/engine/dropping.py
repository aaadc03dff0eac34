"""
Drops what a worker is given of a job that was cancelled when the worker could not be told.

Workers hear of a cancel by a broadcast, which nobody keeps for one that is just being restarted or has lost its
connection. So a task is looked after when it is fetched; again before it begins, if it was held for a while; and while
it runs, when its worker has found Redis again. Source: celery.worker.state, celery.app.trace of 5.7.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from celery import bootsteps
from celery.exceptions import Ignore
from celery.worker import state as workers

from chancelery.exceptions import LayerUnavailable, UnknownJob
from chancelery.log import room
from chancelery.tasks.canvas import JOB_ID

_log = room("tasks")


class JobCancelled(Ignore):  # type: ignore[misc] # Celery has no types
    """Raised in the place of a task of a cancelled job."""


def drop(headers: dict[str, Any]) -> None:
    """Have this worker discard the task of a message with these *headers*, as if it had been told to revoke it."""
    if isinstance(headers.get("id"), str):
        workers.revoked.add(headers["id"])


def refuse(request: Any, state_of: Callable[[str], str]) -> None:
    """
    Let a task begin unless its job is cancelled: that raises JobCancelled.

    state_of: returns the state of a job, or raises LayerUnavailable: then it begins.
    """
    job_id = request.root_id
    try:
        if not is_cancelled(job_id, state_of):
            return
    except LayerUnavailable as error:
        _log.warning("%s begins, though its job %s may be cancelled: %s", request.task, job_id, error)
        return
    _log.info("%s of the job %s does not begin: the job is cancelled", request.task, job_id)
    # Celery takes whatever is raised so early for a fault of its own, and warns with a traceback.
    warnings.filterwarnings("ignore", "Exception raised outside body: JobCancelled", RuntimeWarning)
    raise JobCancelled(f"the job {job_id} is cancelled")


def is_cancelled(job_id: object, state_of: Callable[[str], str]) -> bool:
    """Tell whether *job_id* is the id of a cancelled job. Raises: LayerUnavailable."""
    if not isinstance(job_id, str) or not JOB_ID.fullmatch(job_id):
        return False
    try:
        return state_of(job_id) == "cancelled"
    except UnknownJob:
        return False


class CatchUp(bootsteps.StartStopStep):  # type: ignore[misc]
    """The step of a worker's start, and of its return to Redis, that stops what was cancelled while it was away."""

    requires = ("celery.worker.consumer.control:Control",)

    def include_if(self, consumer: Any) -> bool:
        """Tell whether this worker's results are kept where jobs are."""
        return hasattr(consumer.app.backend, "state_of")

    def start(self, consumer: Any) -> None:
        """Stop what runs for cancelled jobs; the worker hears of further cancels from now on."""
        state_of, running = consumer.app.backend.state_of, tuple(workers.active_requests)
        try:
            lost = [request for request in running if is_cancelled(request.root_id, state_of)]
        except LayerUnavailable as error:
            _log.warning("what runs here may be of cancelled jobs, which could not be asked for: %s", error)
            return
        for request in lost:
            _log.info("%s of the job %s is stopped: the job was cancelled", request.name, request.root_id)
            request.terminate(consumer.pool)
