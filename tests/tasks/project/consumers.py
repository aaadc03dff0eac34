"""Tasks that end in every way there is; beside consumers, where Celery itself would not look for them."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from celery import chain, chord, current_app, group, shared_task
from celery.exceptions import Ignore, Reject

from chancelery import Channel
from chancelery.message import Message
from chancelery.tasks import consumer_task
from chancelery.tasks.running import PROGRESS_SECONDS
from tests.tasks.project.tasks import OutOfPaperError, UnwellError, add, number, total

PATIENCE_SECONDS = 60


@consumer_task
def beside_consumers(message: Message) -> str:
    return f"found with {message['text']}"


@shared_task(bind=True, max_retries=1)
def ends(self: Any, *_given: Any, how: str, tell: str = "") -> Any:
    """End as *how* says; what ends it from outside finds its id on the channel *tell*."""
    return _end(self, how, tell)


@shared_task(bind=True, max_retries=1)
def ends_as(self: Any, how: str, tell: str = "") -> Any:
    """The same for `map`, `starmap` and `chunks`."""
    return _end(self, how, tell)


def _end(task: Any, how: str, tell: str) -> Any:
    if how in _RAISED:
        raise _RAISED[how]
    if how == "retries":
        raise task.retry(exc=UnwellError("again"), countdown=0)
    if how == "requeued" and not task.request.delivery_info["redelivered"]:
        raise Reject("not now", requeue=True)
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "unserialisable":
        return object()
    if how in {"waits", "soft", "hard"}:
        if how == "waits":
            Channel(tell).send({"text": f"{task.request.root_id} {task.request.id}"})
        time.sleep(PATIENCE_SECONDS)
    return 1


_RAISED = {
    "fails": UnwellError("the password is swordfish"),
    "out of paper": OutOfPaperError("tray 2 is empty"),
    "ignores": Ignore(),
    "rejects": Reject("never", requeue=False),
}


@shared_task(bind=True)
def replaced(self: Any, *_given: Any, by: str, how: str, options: dict[str, Any], tell: str = "") -> Any:
    """Have others go on in its place, of which one ends as *how* says."""
    end = ends.s(how=how, tell=tell).set(**options) if how else self.app.signature("nowhere.known")
    raise self.replace(
        {
            "task": end,
            "chain": chain(number.si(1), end, add.s(1)),
            "head": chain(end, add.s(1)),
            "group": group(number.si(1), end),
            "chord": chord([number.si(1), end], total.s()),
        }[by]
    )


@shared_task(bind=True)
def starts_one_that_waits(self: Any, tell: str) -> str:
    ends.delay(how="waits", tell=tell)
    time.sleep(PATIENCE_SECONDS)
    return "never"


@shared_task(bind=True)
def counts(self: Any, key: str, seconds: float = 0, once: float = 0) -> int:
    """Count how often it runs, say where, and take so long; *once* longer when it runs for the first time."""
    client = self.app.backend.client
    runs = client.incr(key)
    client.rpush(f"{key}:at", f"{os.getppid()} {os.getpid()}")
    time.sleep(seconds + (once if runs == 1 else 0))
    return int(runs)


@shared_task(bind=True)
def blocks(self: Any, key: str) -> None:
    """Say that it runs, and wait until something is in the list *key*."""
    client = self.app.backend.client
    client.rpush(f"{key}:at", self.request.id)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not client.blpop([key], 0.2):
        assert time.monotonic() < deadline


@shared_task(bind=True)
def counts_as_done(self: Any, value: int) -> None:
    self.update_state(state="SUCCESS", meta=value)
    raise Ignore


@consumer_task
def works_while_memory_is_full(message: Message) -> str:
    client = current_app.backend.client
    client.config_set("maxmemory", "1")
    try:
        for step in range(3):
            message.job.progress(step, total=3)
            time.sleep(2 * PROGRESS_SECONDS)
    finally:
        client.config_set("maxmemory", "0")
    return "done all the same"
