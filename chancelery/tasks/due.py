"""
What of jobs waits in Redis: tasks for their time, and jobs for a place under their limit.

What is kept is the finished message with the key of its queue, so that publishing is one step of one script, with the
same task id, and needs no Celery. Keys: `scripts/waiting.lua`. Every call may be repeated.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from chancelery import conf, trail
from chancelery.deployment import wire
from chancelery.log import room
from chancelery.tasks.events import Event
from chancelery.tasks.record import loaded, no_record

AT_ONCE = 200
"""How many tasks one call publishes at most."""

_PUT = loaded("keeping.lua", "put_due.lua")
_DUE = loaded("overdue.lua", "due.lua", even_full=True)
_DROP = loaded("drop_due.lua")
_RESCHEDULE = loaded("reschedule.lua")
_MILLISECOND = 1000
_GIVEN_UP = {
    "lost": "nothing was heard of its tasks until its record was about to expire; they, or what Celery keeps of a "
    "chord, are lost, or JOB_EXPIRY is too short for them: it was ended with an error",
    "publish_failed": "whoever published it died before that was done: it was ended with an error",
}

_log = room("tasks")


class Task(NamedTuple):
    """A task that is ready to be published, and not to be yet."""

    id: str
    queue: str
    """The key of its queue's list."""
    bell: str
    """The key of the list on which workers wait for it."""
    message: str
    """As Celery's broker stores it."""
    job_id: str
    """Or an empty string for one that belongs to no job."""
    due: float
    """When, in seconds since the epoch; 0 for at once."""
    chord: str = ""
    """What Celery's keys of the chord begin with whose header it is part of, or an empty string."""
    chord_seconds: int = 0
    """How long Celery keeps these; 0 for ever."""


class Waiting(NamedTuple):
    """A task that waits for its time, as an operator sees it."""

    task_id: str
    name: str
    job_id: str
    due: datetime


class Queued(NamedTuple):
    """A job that waits for a place, as an operator sees it."""

    limit: str
    job_id: str
    position: int
    """1 for the next."""


class Due:
    """
    What waits, on one server. client: redis-py's; prefix: what the keys of jobs begin with.

    clock: returns seconds since the epoch in the place of the server's clock, for tests.
    """

    def __init__(self, client: Any, prefix: str, clock: Callable[[], float] | None = None) -> None:
        self._client = client
        self._call = functools.partial(wire.call_quickly, client)
        self._prefix = prefix
        self._clock = clock

    def put(self, task: Task, *, held: bool = False) -> None:
        """Keep a task until it is due; or, *held*, until its job has a place. One of the same id is replaced."""
        _PUT.run(self._call, [self._prefix], [*kept(task, held=held), self.now()])

    def publish(self) -> int:
        """Publish what is due, at most `AT_ONCE` tasks; return how many those were. End jobs that are lost."""
        count, *ended = _DUE.run(self._call, [self._prefix], [AT_ONCE, self.now(), trail.process_label()])
        for job_id, code in zip(ended[::2], ended[1::2], strict=True):
            _log.error("job %s: %s", job_id.decode(), _GIVEN_UP[code.decode()])
        return int(count)

    def drop(self, task_id: str) -> bool:
        """Forget a task that waits for its time; tell whether it did."""
        return bool(_DROP.run(self._call, [self._prefix], [task_id]))

    def reschedule(self, job_id: str, due: datetime | None, event: Event) -> bool:
        """
        Have what waits of a job wait until *due*, or no longer if that is None, and tell so by *event*.

        Returns whether anything waited for its time. Raises: UnknownJob.
        """
        when = "" if due is None else round(due.timestamp() * _MILLISECOND)
        told = (when, event.json, event.sender, trail.process_label(), self.now())
        moved = _RESCHEDULE.run(self._call, [self._job(job_id)], told)
        if moved is None:
            raise no_record(job_id)
        return bool(moved)

    def eta(self, job_id: str) -> datetime | None:
        """Return when the first of a job's tasks that wait is due, or None."""
        tasks = self._client.smembers(f"{self._job(job_id)}:due")
        found = self._client.zmscore(f"{self._prefix}due", list(tasks)) if tasks else []
        return min((_moment(float(at)) for at in found if at is not None), default=None)

    def count(self) -> int:
        """Return how many tasks wait for their time."""
        return int(self._client.zcard(f"{self._prefix}due"))

    def waiting(self, most: int) -> list[Waiting]:
        """Return the tasks that wait for their time, the next first."""
        found = self._client.zrange(f"{self._prefix}due", 0, most - 1, withscores=True)
        kept = self._client.hmget(f"{self._prefix}due-tasks", [task for task, _ in found]) if found else []
        return [_shown(task, at, raw) for (task, at), raw in zip(found, kept, strict=True) if raw is not None]

    def queued(self, most: int) -> Iterator[Queued]:
        """Return the jobs that wait for a place, at most so many of each limit, in their order."""
        for limit in self._client.zrange(f"{self._prefix}limits", 0, -1):
            jobs = self._client.lrange(f"{self._prefix}waiting:{limit.decode()}", 0, most - 1)
            for position, job_id in enumerate(jobs, 1):
                yield Queued(limit.decode(), job_id.decode(), position)

    def now(self) -> str:
        """Return the clock as scripts take it: milliseconds since the epoch, or an empty string for the server's."""
        return "" if self._clock is None else str(round(self._clock() * _MILLISECOND))

    def _job(self, job_id: str) -> str:
        return f"{self._prefix}job:{job_id}"


def kept(task: Task, *, held: bool) -> tuple[str | int, ...]:
    """Return what `scripts/put_due.lua` is told of a task."""
    told = (task.id, task.queue, task.bell, task.message, task.job_id, round(task.due * _MILLISECOND))
    return (*told, "1" if held else "0", task.chord, task.chord_seconds, math.ceil(conf.current().job_expiry))


def _moment(milliseconds: float) -> datetime:
    return datetime.fromtimestamp(milliseconds / _MILLISECOND, UTC)


def _shown(task: bytes, due: float, kept: bytes) -> Waiting:
    _, _, message, job_id = msgspec.msgpack.decode(kept, type=tuple[str, str, str, str])
    return Waiting(task.decode(), str(json.loads(message)["headers"].get("task", "")), job_id, _moment(due))
