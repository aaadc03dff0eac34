"""Tasks of `django.tasks`, for which Django 6.0 is needed."""

from __future__ import annotations

from typing import Any

from django.tasks import TaskContext, task

from chancelery.tasks import current_job


class OutOfInkError(Exception):
    """Ends a task."""


@task
def add(left: int, right: int = 0) -> int:
    return left + right


@task
async def add_async(left: int, right: int) -> int:
    return left + right


@task
def fails() -> None:
    raise OutOfInkError("the ink is gone")


@task
def unspeakable() -> object:
    return object()


@task(takes_context=True)
def looks(context: TaskContext, value: int) -> dict[str, Any]:
    result = context.task_result
    current_job().stream("seen", value)
    return {
        "id": result.id,
        "attempt": context.attempt,
        "status": result.status,
        "args": result.args,
        "job": current_job().id,
        "workers": result.worker_ids,
    }


@task(queue_name="nobody-works-here")
def elsewhere() -> None: ...
