"""
What `django.tasks` calls a task and its result, from what a job is: its message, its events and what Celery stored.

Needs Django 6.0. Source: django.tasks.base of Django 6.1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.tasks import TaskResult, TaskResultStatus, task_backends
from django.tasks.base import TaskError
from django.utils.module_loading import import_string

from chancelery.tasks.engine.backend import JobBackend
from chancelery.tasks.record import Told

_STATUS = {
    "accepted": TaskResultStatus.READY,
    "started": TaskResultStatus.RUNNING,
    "result": TaskResultStatus.SUCCESSFUL,
    "error": TaskResultStatus.FAILED,
    "cancelled": TaskResultStatus.FAILED,
}


def described(task: Any, args: Any, kwargs: Any) -> dict[str, Any]:
    """Return what a worker has to know of a task, as the content of a message."""
    return {
        "task": task.module_path,
        "args": args,
        "kwargs": kwargs,
        "backend": task.backend,
        "queue_name": task.queue_name,
        "priority": task.priority,
        "takes_context": task.takes_context,
        "run_after": None if task.run_after is None else task.run_after.isoformat(),
    }


def task_of(content: Mapping[str, Any]) -> Any:
    """Return the task that *content* describes. Raises: ImportError when it is not there any more; InvalidTask."""
    found = import_string(content["task"])
    run_after = content["run_after"]
    return task_backends[content["backend"]].task_class(
        func=getattr(found, "func", found),
        backend=content["backend"],
        queue_name=content["queue_name"],
        priority=content["priority"],
        takes_context=content["takes_context"],
        run_after=None if run_after is None else datetime.fromisoformat(run_after),
    )


def result_of(task: Any, job_id: str, content: Mapping[str, Any]) -> Any:
    """Return the result of a task that has not begun."""
    return TaskResult(
        task=task,
        id=job_id,
        status=TaskResultStatus.READY,
        enqueued_at=None,
        started_at=None,
        last_attempted_at=None,
        finished_at=None,
        args=content["args"],
        kwargs=content["kwargs"],
        backend=task.backend,
        errors=[],
        worker_ids=[],
    )


def fill(result: Any, state: str, told: Sequence[Told], engine: JobBackend) -> None:
    """Put into *result* what the job has come to."""
    first = {event.kind: event for event in reversed(told)}
    accepted, started, ended = first.get("accepted"), first.get("started"), first.get(state)
    assign(result, status=_STATUS[state], enqueued_at=accepted.at if accepted else None)
    if started is not None:
        assign(result, started_at=started.at, last_attempted_at=started.at, worker_ids=[started.process])
    if ended is not None and result.is_finished:
        assign(result, finished_at=ended.at)
        if state == "result":
            assign(result, _return_value=ended.data)
        else:
            assign(result, errors=[_error_of(result.id, ended, engine)])


def _error_of(job_id: str, ended: Told, engine: JobBackend) -> TaskError:
    """Return why a job failed: what Celery has stored of its one task, or else what was told."""
    raw = engine.get(engine.get_key_for_task(f"{job_id}-1"))
    stored = engine.decode(raw) if raw else {}
    raised, traced = stored.get("result"), stored.get("traceback")
    if isinstance(raised, dict) and "exc_type" in raised:
        return TaskError(exception_class_path=f"{raised['exc_module']}.{raised['exc_type']}", traceback=traced or "")
    path = (
        "celery.exceptions.TaskRevokedError" if ended.kind == "cancelled" else "chancelery.exceptions.ChanceleryError"
    )
    return TaskError(exception_class_path=path, traceback=str(ended.data))


def assign(result: Any, **values: Any) -> None:
    """Change a result, which is frozen for everybody but backends."""
    for name, value in values.items():
        object.__setattr__(result, name, value)


def path_of(kind: type) -> str:
    """Return where a class is imported from."""
    return f"{kind.__module__}.{kind.__qualname__}"
