"""Tasks of every kind. Each writes down when it begins, and takes so long that faults find it running."""

from __future__ import annotations

import random
import time
from typing import Any

from celery import chain, current_task, shared_task

from chancelery.message import Message
from chancelery.tasks import Retry, consumer_task, current_job
from tests.jobfaults.site.recording import record

LONGEST_SECONDS = 0.15


class UnwellError(Exception):
    """A failure as the task's author wants it."""


def works() -> None:
    """Begin with the running task, and take a while."""
    request = current_task.request
    record("begin", job=request.root_id, task=request.id, name=request.task, attempt=request.retries)
    time.sleep(random.uniform(0, LONGEST_SECONDS))


@shared_task
def number(value: int) -> int:
    works()
    return value


@shared_task
def add(left: int, right: int) -> int:
    works()
    return left + right


@shared_task
def total(values: list[int]) -> int:
    works()
    return sum(values)


@shared_task
def fails(*_: Any) -> None:
    works()
    raise UnwellError("as the canvas asked")


@shared_task(bind=True)
def replaced(self: Any, value: int) -> Any:
    works()
    raise self.replace(chain(number.si(value), add.s(5)))


@shared_task(bind=True, max_retries=3)
def plainly_flaky(self: Any, failures: int) -> int:
    works()
    if self.request.retries < failures:
        raise self.retry(exc=UnwellError("again"), countdown=0.3)
    return int(self.request.retries)


@shared_task
def pays() -> str:
    works()
    with current_job().once("pay") as first:
        if first:
            record("paid", job=current_job().id)
    return "paid"


@consumer_task
def told(message: Message, *args: Any) -> list[Any]:
    works()
    return [message["reply_channel"] is not None, *args]


@consumer_task(retry=Retry(on=UnwellError, max=3, backoff=0.4, jitter=False))
def flaky(message: Message, failures: int) -> int:
    works()
    if message.job.attempt <= failures:
        raise UnwellError("again")
    return message.job.attempt


@consumer_task
def streams(message: Message, chunks: int) -> int:
    works()
    for chunk in range(chunks):
        message.job.stream("chunks", chunk)
        time.sleep(LONGEST_SECONDS / 5)
    return chunks


@consumer_task
def takes_long(message: Message, steps: int) -> int:
    works()
    for step in range(steps):
        message.job.progress(step + 1, total=steps)
        time.sleep(LONGEST_SECONDS)
    return steps
