"""
A backend for `django.tasks`, which is in Django from 6.0 on: its tasks are jobs, run by Celery.

    TASKS = {"default": {"BACKEND": "chancelery.tasks.django_backend.JobTaskBackend"}}

Source: django.tasks.base, django.tasks.backends.{base,immediate} of Django 6.1.
"""

from __future__ import annotations

import dataclasses
import functools
import traceback
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone
from django.utils.module_loading import import_string

from chancelery import trail
from chancelery.exceptions import UnknownJob
from chancelery.message import Message
from chancelery.registry import DEFAULT_CHANNEL_LAYER, channel_layers
from chancelery.tasks import django_task
from chancelery.tasks.canvas import JOB_ID
from chancelery.tasks.committed import afterwards
from chancelery.tasks.engine import backend
from chancelery.tasks.engine.backend import JobBackend
from chancelery.tasks.escalate import escalate
from chancelery.tasks.record import Running, Told
from chancelery.tasks.replies import NO_ADDRESS
from chancelery.tasks.running import TaskMessage

try:
    from django.tasks import DEFAULT_TASK_QUEUE_NAME, Task, TaskContext, TaskResult, TaskResultStatus, task_backends
    from django.tasks.backends.base import BaseTaskBackend
    from django.tasks.base import TaskError
    from django.tasks.exceptions import TaskResultDoesNotExist
    from django.tasks.signals import task_enqueued, task_finished, task_started
    from django.utils.json import normalize_json
except ImportError as error:
    raise ImproperlyConfigured(
        "chancelery.tasks.django_backend needs django.tasks, which Django has from 6.0 on: use that, or escalate "
        "Celery tasks with chancelery.tasks.escalate, which needs none of it"
    ) from error

_FIRST, _LATE, _LAST = 0, 6, 9
"""Of Celery's four steps on Redis, of which 3 is left: what says nothing has Celery's own default."""
_MIDDLE = -50
_STATUS = {
    "accepted": TaskResultStatus.READY,
    "started": TaskResultStatus.RUNNING,
    "result": TaskResultStatus.SUCCESSFUL,
    "error": TaskResultStatus.FAILED,
    "cancelled": TaskResultStatus.FAILED,
}
_OPTIONS = {"immediately"}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class JobTask(Task):  # type: ignore[type-arg]
    """A task whose outcome can be sent to whoever asked."""

    reply_to: Any = None
    """A Channel, a Group or a list of them, as `escalate` takes it; None: nobody is told."""

    def using(self, *, reply_to: Any = None, **changes: Any) -> JobTask:
        """Return the task with other defaults, as Django's; *reply_to*: where the outcome goes."""
        changed: Any = Task.using(self, **changes)
        made: JobTask = changed if reply_to is None else dataclasses.replace(changed, reply_to=reply_to)
        return made


class JobTaskBackend(BaseTaskBackend):
    """
    Runs Django's tasks on Celery, each as a job of its own whose id is the result's.

    OPTIONS: `immediately`, as `escalate` has it. Queues are Celery's; Django's default queue is Celery's default queue.
    """

    task_class = JobTask
    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    def __init__(self, alias: str, params: dict[str, Any]) -> None:
        super().__init__(alias, params)
        unknown = self.options.keys() - _OPTIONS
        if unknown:
            raise ImproperlyConfigured(
                f"TASKS[{alias!r}]['OPTIONS'] has no {', '.join(sorted(unknown))}; known is {', '.join(_OPTIONS)}"
            )
        self._immediately = bool(self.options.get("immediately", False))

    def enqueue(self, task: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """
        Escalate *task*; its id is known at once, also where its job waits for a commit.

        Raises: InvalidTask; TypeError, ValueError for arguments that are no JSON; and what `escalate` raises.
        """
        self.validate_task(task)
        content = _described(task, normalize_json(list(args)), normalize_json(dict(kwargs)))
        message = Message(content, django_task.CHANNEL, channel_layers[DEFAULT_CHANNEL_LAYER])
        reply_to = getattr(task, "reply_to", None)
        job = escalate(
            message,
            django_task.run.s().set(**_route(task)),
            reply_to=NO_ADDRESS if reply_to is None else reply_to,
            eta=task.run_after,
            immediately=self._immediately,
        )
        result = _result(task, job.id, content)
        self._tell_of(result)
        return result

    def get_result(self, result_id: str) -> Any:
        """Return what became of a task. Raises: TaskResultDoesNotExist; LayerUnavailable."""
        engine = backend.current()
        found = _recorded(engine, result_id) if JOB_ID.fullmatch(result_id) else None
        if found is None or found.origin.channel != django_task.CHANNEL:
            raise TaskResultDoesNotExist(result_id)
        content = found.origin.content
        result = _result(_task(content), result_id, content)
        with engine.reporting():
            _fill(result, found.state, engine.records.history(result_id), engine)
        return result

    def _tell_of(self, result: Any) -> None:
        announce = functools.partial(task_enqueued.send, type(self), task_result=result)
        if self._immediately:
            announce()
        else:
            afterwards(announce)


def _recorded(engine: JobBackend, job_id: str) -> Running | None:
    try:
        with engine.reporting():
            return engine.records.running(job_id)
    except UnknownJob:
        return None


def perform(message: TaskMessage) -> Any:
    """Do the task that *message* names, tell Django's signals of it, and return what it returns, as JSON has it."""
    task = _task(message.content)
    sender = type(task.get_backend())
    result = _result(task, message.job.id, message.content)
    now = timezone.now()
    workers = [trail.process_label()] * message.job.attempt
    _set(result, status=TaskResultStatus.RUNNING, started_at=now, last_attempted_at=now, worker_ids=workers)
    task_started.send(sender, task_result=result)
    try:
        context: list[Any] = [TaskContext(task_result=result)] if task.takes_context else []
        returned = normalize_json(task.call(*context, *result.args, **result.kwargs))
    except Exception as error:
        errors = [TaskError(exception_class_path=_path(type(error)), traceback=traceback.format_exc())]
        _set(result, status=TaskResultStatus.FAILED, finished_at=timezone.now(), errors=errors)
        task_finished.send(sender, task_result=result)
        raise
    _set(result, status=TaskResultStatus.SUCCESSFUL, finished_at=timezone.now(), _return_value=returned)
    task_finished.send(sender, task_result=result)
    return returned


def _described(task: Any, args: Any, kwargs: Any) -> dict[str, Any]:
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


def _task(content: Mapping[str, Any]) -> Any:
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


def _route(task: Any) -> dict[str, Any]:
    """Return Celery's options for where and when among others the task runs."""
    options: dict[str, Any] = {}
    if task.queue_name != DEFAULT_TASK_QUEUE_NAME:
        options["queue"] = task.queue_name
    if task.priority > 0:
        options["priority"] = _FIRST
    elif task.priority < 0:
        options["priority"] = _LATE if task.priority >= _MIDDLE else _LAST
    return options


def _result(task: Any, job_id: str, content: Mapping[str, Any]) -> Any:
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


def _fill(result: Any, state: str, told: Sequence[Told], engine: JobBackend) -> None:
    """Put into *result* what the job has come to."""
    first = {event.kind: event for event in reversed(told)}
    accepted, started, ended = first.get("accepted"), first.get("started"), first.get(state)
    _set(result, status=_STATUS[state], enqueued_at=accepted.at if accepted else None)
    if started is not None:
        _set(result, started_at=started.at, last_attempted_at=started.at, worker_ids=[started.process])
    if ended is not None and result.is_finished:
        _set(result, finished_at=ended.at)
        if state == "result":
            _set(result, _return_value=ended.data)
        else:
            _set(result, errors=[_error_of(result.id, ended, engine)])


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


def _set(result: Any, **values: Any) -> None:
    """Change a result, which is frozen for everybody but backends."""
    for name, value in values.items():
        object.__setattr__(result, name, value)


def _path(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
