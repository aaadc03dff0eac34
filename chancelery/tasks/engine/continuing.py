"""
What follows a task of a job: published by the script that stores that the task is done.

Celery publishes a chain's next step before it stores the result of the one before. So the next could end first, and a
crash between the two would have it run twice. Here it is collected instead, and is part of what settles the task.
Source: celery.app.trace, `celery.app.amqp.AMQP._retry_publish` of 5.7.
"""

from __future__ import annotations

from celery import _state
from celery.app.amqp import _callback_publish_retry as publishes_what_follows

from chancelery.tasks.canvas import job_of
from chancelery.tasks.engine.opening import Opening


def current() -> Opening | None:
    """Return where what is published now is collected, or None when it does not follow a task of a job."""
    task = _state.get_current_worker_task() if publishes_what_follows.get() else None
    request = task.request if task is not None else None
    if request is None or request.ignore_result is not False or job_of(request.id) is None:
        return None
    if getattr(request, "is_done", False):  # then it is the body of a chord, whose last part it was
        return None
    found: Opening | None = getattr(request, "continuation", None)
    if found is None:
        found = request.continuation = Opening()
    return found


def taken(request: object) -> Opening | None:
    """Return what has been collected, for the script that settles the task; later nothing is collected any more."""
    if request is None:
        return None
    request.is_done = True  # type: ignore[attr-defined]
    found: Opening | None = getattr(request, "continuation", None)
    return found
