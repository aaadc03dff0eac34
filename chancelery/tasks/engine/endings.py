"""
The ways in which a task ends without a word to the result backend, and how its job hears of them all the same.

Celery tells of these by signals only: a task that raises Ignore, a message that a worker cannot read, and one whose
task it does not know. Also has what a task of a job publishes carry the job on. Source: celery.app.trace,
celery.worker.consumer.
"""

from __future__ import annotations

import secrets
from typing import Any

from celery import current_app, signals, states
from celery.app.task import Context
from celery.exceptions import NotRegistered
from kombu import entity

from chancelery.log import room
from chancelery.tasks.canvas import JOB_ID, STAMP, job_of
from chancelery.tasks.engine import fetched, followers

_REPLACED = "Replaced by new task"
"""What Celery's `replace` says when it ends a task in whose place others go on."""

_log = room("tasks")
_Queue: Any = entity.Queue  # whose attributes kombu's types leave out
_declared: set[str] = set()
"""Queues that this process has published to."""


def watch() -> None:
    """Hear of these endings, from now on."""
    signals.before_task_publish.connect(_carry_on, dispatch_uid="chancelery")
    signals.task_postrun.connect(_ignored, dispatch_uid="chancelery")
    signals.task_unknown.connect(_unknown, dispatch_uid="chancelery")
    signals.task_rejected.connect(_unreadable, dispatch_uid="chancelery")


def _carry_on(
    headers: Any = None,
    body: Any = None,
    properties: Any = None,
    exchange: str = "",
    declare: list[Any] | None = None,
    **_: object,
) -> None:
    """
    Stamp what a job's tasks publish, so that it is stopped with the job; and let Celery store how it ends.

    Every message gets its tag here, once: Celery makes some anew when it publishes them again.
    """
    properties.setdefault("delivery_tag", secrets.token_hex(16))
    fetched.forget(headers)
    if exchange == "" and declare and len(declare) == 1:
        _declare_once(declare)
    job_id = _job_of(headers)
    if job_id is None:
        return
    if not headers.get("stamped_headers"):
        headers["stamped_headers"], headers["stamps"] = [STAMP], {STAMP: job_id}
    embedded = body[2]
    if followers.first_after(embedded.get("chain"), embedded.get("chord")):
        headers["ignore_result"] = False


def _declare_once(declare: list[Any]) -> None:
    """
    Spare kombu to look up again whether a queue was declared, which takes a tenth of what it takes to publish.

    The nameless exchange needs no binding, so this only lets kombu refuse a queue that was declared differently, once.
    """
    queue: Any = declare[0]
    if not isinstance(queue, _Queue) or queue.expires or queue.auto_delete or queue.queue_arguments:
        return
    if queue.name in _declared:
        declare.clear()
    _declared.add(queue.name)


def _ignored(sender: Any = None, task_id: str = "", state: str = "", retval: object = None, **_: object) -> None:
    concerns_a_job = state == states.IGNORED and followers.concerned(task_id, sender.request) is not None
    if concerns_a_job and str(retval) != _REPLACED:
        sender.backend.tell_ignored(task_id, sender.request)


def _unknown(message: Any = None, name: str = "", id: str = "", **_: object) -> None:  # noqa: A002 - Celery's name
    if job_of(id) is not None or _job_of(message.headers) is None:
        return
    embedded = message.payload[2]
    waiting = followers.first_after(embedded.get("chain"), embedded.get("chord"))
    if waiting is not None:
        _fail(waiting, NotRegistered(name), name)


def _unreadable(message: Any = None, exc: Exception | None = None, **_: object) -> None:
    headers = message.headers if isinstance(message.headers, dict) else {}
    if exc is not None and job_of(headers.get("id")):
        _fail(headers["id"], exc, str(headers.get("task")))


def _job_of(headers: Any) -> str | None:
    root = headers.get("root_id") if isinstance(headers, dict) else None
    return root if isinstance(root, str) and JOB_ID.fullmatch(root) else None


def _fail(task_id: str, error: Exception, name: str) -> None:
    _log.warning("task %s can never run: %s", task_id, error)
    current_app.backend.store_result(task_id, error, states.FAILURE, request=Context(task=name))
