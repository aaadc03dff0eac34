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
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone

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
from chancelery.tasks.record import Running
from chancelery.tasks.replies import NO_ADDRESS
from chancelery.tasks.running import TaskMessage

try:
    from django.tasks import DEFAULT_TASK_QUEUE_NAME, Task, TaskContext, TaskResultStatus
    from django.tasks.backends.base import BaseTaskBackend
    from django.tasks.base import TaskError
    from django.tasks.exceptions import TaskResultDoesNotExist
    from django.tasks.signals import task_enqueued, task_finished, task_started
    from django.utils.json import normalize_json

    from chancelery.tasks.django_results import assign, described, fill, path_of, result_of, task_of
except ImportError as error:
    raise ImproperlyConfigured(
        "chancelery.tasks.django_backend needs django.tasks, which Django has from 6.0 on: use that, or escalate "
        "Celery tasks with chancelery.tasks.escalate, which needs none of it"
    ) from error

_FIRST, _LATE, _LAST = 0, 6, 9
"""Of Celery's four steps on Redis, of which 3 is left: what says nothing has Celery's own default."""
_MIDDLE = -50
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
        content = described(task, normalize_json(list(args)), normalize_json(dict(kwargs)))
        message = Message(content, django_task.CHANNEL, channel_layers[DEFAULT_CHANNEL_LAYER])
        reply_to = getattr(task, "reply_to", None)
        job = escalate(
            message,
            django_task.run.s().set(**_route(task)),
            reply_to=NO_ADDRESS if reply_to is None else reply_to,
            eta=task.run_after,
            immediately=self._immediately,
        )
        result = result_of(task, job.id, content)
        self._tell_of(result)
        return result

    def get_result(self, result_id: str) -> Any:
        """Return what became of a task. Raises: TaskResultDoesNotExist; LayerUnavailable."""
        engine = backend.current()
        found = _recorded(engine, result_id) if JOB_ID.fullmatch(result_id) else None
        if found is None or found.origin.channel != django_task.CHANNEL:
            raise TaskResultDoesNotExist(result_id)
        content = found.origin.content
        result = result_of(task_of(content), result_id, content)
        with engine.reporting():
            fill(result, found.state, engine.records.history(result_id), engine)
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
    task = task_of(message.content)
    sender = type(task.get_backend())
    result = result_of(task, message.job.id, message.content)
    now = timezone.now()
    workers = [trail.process_label()] * message.job.attempt
    assign(result, status=TaskResultStatus.RUNNING, started_at=now, last_attempted_at=now, worker_ids=workers)
    task_started.send(sender, task_result=result)
    try:
        context: list[Any] = [TaskContext(task_result=result)] if task.takes_context else []
        returned = normalize_json(task.call(*context, *result.args, **result.kwargs))
    except Exception as error:
        errors = [TaskError(exception_class_path=path_of(type(error)), traceback=traceback.format_exc())]
        assign(result, status=TaskResultStatus.FAILED, finished_at=timezone.now(), errors=errors)
        task_finished.send(sender, task_result=result)
        raise
    assign(result, status=TaskResultStatus.SUCCESSFUL, finished_at=timezone.now(), _return_value=returned)
    task_finished.send(sender, task_result=result)
    return returned


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
