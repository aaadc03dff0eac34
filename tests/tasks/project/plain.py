"""Plain Celery tasks, which are given no message."""

from __future__ import annotations

import os
import signal
from typing import Any

from celery import shared_task

from chancelery import Channel
from chancelery.message import Message
from chancelery.tasks import consumer_task, current_job, escalate


class UnpaidError(Exception):
    """Once is not enough."""


@shared_task
def tells(steps: int) -> dict[str, Any]:
    job = current_job()
    for step in range(steps):
        job.progress(step + 1, total=steps, note="working")
    job.stream("pages", {"url": "/1"})
    job.stream("pages", {"url": "/2"})
    job.progress(steps, total=steps, note="last words")
    return {"job": job.id, "attempt": job.attempt, "is_one": bool(job), "same": job is current_job()}


@shared_task
def tells_by_another(steps: int) -> Any:
    """Call a task as a function, and that one itself."""
    return nested(steps, 2)


@shared_task
def nested(steps: int, deep: int) -> Any:
    return nested(steps, deep - 1) if deep else tells(steps)


@shared_task(bind=True, max_retries=3)
def tells_attempts(self: Any, failures: int) -> int:
    if self.request.retries < failures:
        raise self.retry(exc=UnpaidError("again"), countdown=0)
    return current_job().attempt


@shared_task
def starts_another_that_tells() -> str:
    return str(tells.delay(1).id)


@consumer_task
def same_as_the_messages(message: Message) -> bool:
    return current_job() is message.job


@shared_task(bind=True, max_retries=3)
def pays(self: Any, till: str, failures: int) -> str:
    with current_job().once("pay") as first:
        if first:
            Channel(till).send({"paid": 7})
    if self.request.retries < failures:
        raise self.retry(exc=UnpaidError("the rest failed"), countdown=0)
    return "first" if first else "again"


@shared_task
def pays_as_often_as(till: str, times: int) -> int:
    """Ask several times in one run."""
    for _ in range(times):
        if current_job().once("pay"):
            Channel(till).send({"paid": 7})
    return times


@shared_task(bind=True, max_retries=3)
def fails_to_pay(self: Any, till: str, failures: int) -> str:
    with current_job().once("pay"):
        Channel(till).send({"paid": 7})
        if self.request.retries < failures:
            raise self.retry(exc=UnpaidError("the till jammed"), countdown=0)
    return "paid"


@shared_task(acks_late=True, reject_on_worker_lost=True)
def dies_while_paying(till: str) -> str:
    with current_job().once("pay") as first:
        if first:
            Channel(till).send({"paid": 7})
            os.kill(os.getpid(), signal.SIGKILL)
    return "not again"


@shared_task
def escalates_to(channel: str) -> str:
    """From a task that has no message."""
    return escalate(None, tells.s(1), reply_to=Channel(channel)).id
