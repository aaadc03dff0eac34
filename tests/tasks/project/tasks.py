"""Tasks of every kind that the tests escalate."""

from __future__ import annotations

import datetime as dt
import os
import signal
import time
from typing import Any

from celery import shared_task
from celery.exceptions import Ignore, Reject
from celery.signals import before_task_publish

from chancelery import Channel, Group
from chancelery.exceptions import TaskError
from chancelery.message import Message
from chancelery.tasks import Retry, consumer_task, escalate


class UnwellError(Exception):
    """A failure whose text no client may see."""


class OutOfPaperError(TaskError):
    """A failure whose text is meant for clients."""


@shared_task
def number(value: int) -> int:
    return value


@shared_task
def add(left: int, right: int) -> int:
    return left + right


@shared_task
def total(values: list[int]) -> int:
    return sum(values)


@shared_task
def fails(*_args: Any) -> None:
    raise UnwellError("the password is swordfish")


@shared_task(bind=True, max_retries=2)
def plainly_flaky(self: Any, failures: int) -> int:
    if self.request.retries < failures:
        raise self.retry(exc=UnwellError("again"), countdown=0.2)
    return int(self.request.retries)


@shared_task
def dated() -> dict[str, Any]:
    return {"on": dt.date(2024, 2, 29)}


@shared_task
def raw_bytes() -> bytes:
    return b"\x00"


@shared_task
def big(size: int) -> str:
    return "x" * size


@shared_task
def waits_for(key: str) -> str:
    """Run until something is on the channel *key*."""
    layer = Channel(key).channel_layer.layer
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if layer.receive([key], block=True)[0]:
            return "done"
    raise TimeoutError(key)


@shared_task
def kills_itself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@shared_task
def dies_as_it_publishes(*_given: Any) -> None:
    """End, and have this process killed when it publishes what follows."""
    before_task_publish.connect(lambda **_: os.kill(os.getpid(), signal.SIGKILL), weak=False)


@shared_task(bind=True)
def comes_back_claimed(self: Any) -> int:
    """Come back as the part of a chord whose body a process had claimed to publish that was killed then."""
    if self.request.delivery_info["redelivered"]:
        return 1
    self.backend.client.set(self.backend.get_key_for_group(self.request.group, ".c"), "of a dead one", ex=2)
    raise Reject("not now", requeue=True)


@consumer_task
def echoed(message: Message, *args: Any) -> dict[str, Any]:
    return {
        "text": message.content.get("text"),
        "channel": message.channel.name,
        "reply_channel": message.reply_channel.name if message.reply_channel else None,
        "trail": [hop.sender for hop in message.trail],
        "args": list(args),
    }


@consumer_task
def named(message: Message, name: str) -> str:
    return f"{name}: {message['text']}"


@consumer_task(retry=Retry(on=(UnwellError,), max=2, backoff=0.01, jitter=False))
def flaky(message: Message, failures: int) -> int:
    attempt = message.job.attempt
    if attempt <= failures:
        raise UnwellError(f"attempt {attempt}")
    return attempt


@consumer_task
def out_of_paper(message: Message) -> None:
    raise OutOfPaperError("tray 2 is empty")


@consumer_task
def working(message: Message, steps: int) -> str:
    for step in range(steps):
        message.job.progress(step + 1, total=steps, note="working")
    message.job.stream("pages", {"url": "/1"})
    message.job.stream("pages", {"url": "/2"})
    return "worked"


@consumer_task(retry=Retry(on=UnwellError, max=1, backoff=0))
def advances(message: Message, *_given: Any, to: int, then: str = "") -> int:
    """Be so many tenths of the way; then wait for something on the channel *then*, or "fail" the first time."""
    message.job.progress(to if message.job.attempt == 1 else 1, total=10)
    if then == "fail" and message.job.attempt == 1:
        raise UnwellError("nearly")
    if then not in {"", "fail"}:
        waits_for(then)
    return to


@consumer_task
def sends(message: Message, channel: str, group: str) -> None:
    Channel(channel).send({"text": "from a task"})
    Group(group).send({"text": "to all"})


@consumer_task(reply="message")
def answers(message: Message, value: Any) -> Any:
    return value


@consumer_task(reply="message")
def answers_bytes(message: Message) -> dict[str, bytes]:
    return {"bytes": b"\x00\x01"}


@consumer_task
def starts_another(message: Message) -> str:
    return str(number.delay(1).id)


@consumer_task
def starts_a_consumer_task(message: Message) -> str:
    return str(echoed.delay("started by a task").id)


@consumer_task
def escalates(message: Message) -> str:
    return escalate(message, number.s(5)).id


@consumer_task(time_limit=1)
def too_slow(message: Message, key: str) -> str:
    return waits_for(key)


@consumer_task
def ignored(message: Message) -> None:
    raise Ignore


@consumer_task(queue="nobody-works-here")
def queued_elsewhere(message: Message) -> None: ...


@consumer_task
def asks(message: Message, times: int, *, dies: bool = False) -> list[Any]:
    """Return what it was given; die after that the first time, if it shall."""
    given = [message.job.input(20) for _ in range(times)]
    if dies and message.job.attempt == 1:
        raise UnwellError("forgetful")
    return given


asks_again = consumer_task(retry=Retry(on=UnwellError, max=1, backoff=0), name="asks_again")(asks.function)


@consumer_task
def asks_in_vain(message: Message) -> Any:
    try:
        return message.job.input(timeout=0.1)
    except TimeoutError as error:
        return type(error).__name__


@consumer_task
def streams(message: Message, before: int, key: str = "", after: int = 0) -> str:
    """Stream numbers, wait for something on the channel *key* if there is one, and stream more."""
    for number_ in range(before):
        message.job.stream("numbers", number_)
    if key:
        waits_for(key)
    for number_ in range(after):
        message.job.stream("numbers", before + number_)
    return "streamed"


@consumer_task
def owned(message: Message) -> Any:
    """Return whose job it is, and whose is the one that it escalates."""
    return [message.job.owner, escalate(message, number.s(1), reply_to=Channel("nobody-listens")).id]


from tests.tasks.project import plain as plain  # noqa: E402, PLC0414 - so that the worker finds them


@shared_task(bind=True, max_retries=2)
def tries_again_tomorrow(self: Any) -> int:
    if not self.request.retries:
        raise self.retry(exc=UnwellError("not today"), countdown=86400)
    return int(self.request.retries)


@consumer_task(retry=Retry(on=UnwellError, max=1, backoff=3600, max_delay=3600, jitter=False))
def flaky_for_an_hour(message: Message) -> int:
    if message.job.attempt == 1:
        raise UnwellError("not yet")
    return message.job.attempt


@consumer_task(limit=("presses", 1))
def pressed(message: Message, key: str) -> str:
    return waits_for(key)
