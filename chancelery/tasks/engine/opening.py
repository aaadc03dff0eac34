"""
What a job begins with: collected while Celery publishes the canvas, and published by the script that records it.

So no crash comes between the two, and it is one round trip. What goes to another database than the job's record, or
to a broker that is not in Redis, is published right after it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any

from chancelery.tasks.due import Task, kept
from chancelery.tasks.engine.together import together


class Opening:
    """What is published first of one job."""

    def __init__(self) -> None:
        self.entries: list[tuple[Any, ...]] = []
        """What is published by the script that records the job."""
        self._others: list[Callable[[], object]] = []
        self._error: Exception | None = None

    def put(self, keys: Sequence[str], args: Sequence[Any]) -> None:
        """Have a message put on its queue, see `scripts/put.lua`."""
        self.entries.append(("put", keys, args))

    def keep(self, task: Task, *, held: bool) -> None:
        """Have a task kept until it is due, or until its job has a place."""
        self.entries.append(("keep", *kept(task, held=held)))

    def set(self, key: str, value: str, seconds: int) -> None:
        """Have a key set, for so long; 0 for ever."""
        self.entries.append(("set", key, value, seconds))

    def release(self, keys: Sequence[bytes], token: str, seconds: int) -> None:
        """
        Have a chord noted as done, for so long, if the claim to its body still is *token*.

        keys: Celery's key of the claim, and those of what is needed no more.
        """
        claim, *others = (key.decode() for key in keys)
        self.entries.append(("release", claim, token, seconds, others))

    def later(self, publish: Callable[[], object]) -> None:
        """Have something called when the job is recorded."""
        self._others.append(publish)

    def fail(self, error: Exception) -> None:
        """Have nothing published, and *error* raised when the job is recorded."""
        self.entries.clear()
        self._others.clear()
        self._error = error

    def for_record(self, job_id: str) -> list[tuple[Any, ...]]:
        """Return what the job's record publishes."""
        return [*self.entries, ("publishing", job_id)] if self.has_others else self.entries

    @property
    def has_others(self) -> bool:
        """Whether `publish_others` publishes anything."""
        return bool(self._others)

    def publish_others(self) -> None:
        """Publish what the job's record could not. Raises: whatever that does, or collecting did."""
        if self._error is not None:
            raise self._error
        if self._others:
            with together():
                for publish in self._others:
                    publish()


_current: ContextVar[Opening | None] = ContextVar("chancelery_opening", default=None)
current = _current.get
"""Return the opening that is collected now, or None."""


@contextlib.contextmanager
def collected() -> Iterator[Opening]:
    """Within it, what is published by a `WaitingChannel` is not yet, but collected."""
    opening = Opening()
    token = _current.set(opening)
    try:
        yield opening
    finally:
        _current.reset(token)
