"""
What takes long: plain Celery tasks, and some that know the message that they were escalated from.

Texts do not travel inside of task messages: a part of one is an upload's id and a range of bytes, a part's counts are a
row of the database.
"""

from __future__ import annotations

from typing import Any

from celery import shared_task
from django.utils import timezone

from chancelery.exceptions import TaskError
from chancelery.tasks import Retry, TaskMessage, consumer_task
from example import counting
from example.models import PartCount, Upload


@shared_task(time_limit=120)
def count_part(upload_id: str, start: int, stop: int) -> int:
    """Count the words in a part of an upload, and return the id of the row that holds the counts."""
    upload = Upload.objects.get(pk=upload_id)
    part = PartCount.objects.filter(upload=upload, start=start, stop=stop).first()
    if part is None:
        counts = counting.count(upload.path, start, stop)
        part, _ = PartCount.objects.get_or_create(upload=upload, start=start, stop=stop, defaults={"counts": counts})
    return part.pk


@shared_task(time_limit=120)
def merge_counts(parts: list[int]) -> dict[str, Any]:
    """Add the parts' counts up."""
    found = PartCount.objects.in_bulk(parts)
    counts = counting.merge(found[part].counts for part in parts)
    return {"words": counts.total(), "top": counting.top(counts)}


@shared_task
def add_one(so_far: dict[str, Any]) -> dict[str, Any]:
    """Take a chain's first step."""
    return _step(so_far, so_far["value"] + 1, "{} + 1 = {}")


@shared_task
def double(so_far: dict[str, Any]) -> dict[str, Any]:
    """Take a chain's second step."""
    return _step(so_far, so_far["value"] * 2, "{} · 2 = {}")


@shared_task
def square(so_far: dict[str, Any]) -> dict[str, Any]:
    """Take a chain's third step."""
    return _step(so_far, so_far["value"] ** 2, "{}² = {}")


class FlakyError(TaskError):
    """Went wrong on purpose, and everybody may know."""


@consumer_task(retry=Retry(on=FlakyError, max=3, backoff=1.3))
def flaky(message: TaskMessage, fail: int) -> dict[str, int]:
    """Fail *fail* times, then succeed. After the fourth attempt nobody tries again."""
    attempt = message.job.attempt
    if attempt <= fail:
        raise FlakyError(f"attempt {attempt} went wrong")
    return {"attempts": attempt}


@shared_task
def remember(due: str) -> dict[str, str]:
    """Say when this was to run, and when it did."""
    return {"due": due, "ran": timezone.now().isoformat()}


@consumer_task(reply="message")
def announce(message: TaskMessage, text: str) -> dict[str, str]:  # noqa: ARG001 - the message comes first
    """Return what everybody in a room shall hear."""
    return {"text": f"Announcement: {text}"}


def _step(so_far: dict[str, Any], value: int, told: str) -> dict[str, Any]:
    return {"value": value, "steps": [*so_far["steps"], told.format(so_far["value"], value)]}
