"""
What follows a task of a job: published by the script that stores that the task is done.

Celery publishes a chain's next step before it stores the result of the one before, and a chord's body after. So the
next step could end first, and a crash between the two would have it run twice, or the body never. Here both are
collected instead, and are part of what settles the task.
Source: celery.app.trace, `celery.app.amqp.AMQP._retry_publish` of 5.7.
"""

from __future__ import annotations

from typing import Any

from celery import _state
from celery.app.amqp import _callback_publish_retry as publishes_what_follows

from chancelery.tasks.canvas import job_of
from chancelery.tasks.engine.opening import Opening


def current() -> Opening | None:
    """Return where what is published now is collected, or None when it does not follow a task of a job."""
    request = running_request() if publishes_what_follows.get() else None
    if request is None or request.ignore_result is not False or job_of(request.id) is None:
        return None
    if getattr(request, "is_done", False):
        return None
    found: Opening | None = getattr(request, "continuation", None)
    if found is None:
        found = request.continuation = Opening()
    return found


def collected() -> Opening | None:
    """Return what has been collected of what follows the running task, or None when that is nothing."""
    request = running_request()
    if request is None or getattr(request, "is_done", False):
        return None
    found: Opening | None = getattr(request, "continuation", None)
    return found if found is not None and found.entries else None


def taken(request: object) -> Opening | None:
    """Return what has been collected, for the script that settles the task; later nothing is collected any more."""
    if request is None:
        return None
    request.is_done = True  # type: ignore[attr-defined]
    found: Opening | None = getattr(request, "continuation", None)
    return found


def reopen(request: Any) -> None:
    """Collect on: the task was not settled."""
    request.is_done = False


def running_request() -> Any:
    """Return the request of the task that runs here, or None."""
    task = _state.get_current_worker_task()
    return None if task is None else task.request
