"""What can be escalated, by the name of its shape, and what comes of it when nobody cancels it and nothing dies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from celery import chord, group

from tests.jobfaults.site.tasks import (
    add,
    fails,
    flaky,
    number,
    pays,
    plainly_flaky,
    replaced,
    streams,
    takes_long,
    told,
    total,
)


class Shape(NamedTuple):
    """A kind of canvas."""

    make: Callable[[], Any]
    options: dict[str, Any]
    """Of `escalate`."""


def _shape(make: Callable[[], Any], **options: Any) -> Shape:
    return Shape(make, options)


SHAPES: dict[str, Shape] = {
    "task": _shape(lambda: add.s(2, 3)),
    "consumer": _shape(lambda: told.s(1)),
    "chain": _shape(lambda: number.s(1) | add.s(2) | told.s()),
    "group": _shape(lambda: group(number.s(1), told.s(2), number.s(3))),
    "chord": _shape(lambda: chord([number.s(value) for value in (1, 2, 3)], total.s())),
    "chord in chain": _shape(lambda: number.s(1) | group(add.s(1), add.s(2)) | total.s() | add.s(10)),
    "stream": _shape(lambda: streams.s(5)),
    "retries": _shape(lambda: number.si(0) | plainly_flaky.si(1) | flaky.si(2)),
    "fails": _shape(lambda: number.s(1) | fails.s() | add.s(1)),
    "header fails": _shape(lambda: chord([number.s(1), fails.s()], total.s())),
    "replaced": _shape(lambda: replaced.s(4) | add.s(1)),
    "countdown": _shape(lambda: add.s(1, 1), countdown=0.7),
    "due": _shape(lambda: group(number.s(1), number.s(2)), countdown=2),
    "once": _shape(pays.s),
    "limited": _shape(lambda: number.s(6), limit=("presses", 2)),
    "long": _shape(lambda: takes_long.s(12) | told.s()),
}
