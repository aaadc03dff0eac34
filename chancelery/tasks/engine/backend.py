"""
Celery's Redis result backend, in which every way that a task can end is seen: there a job is settled.

What Celery stores of a task and what that means for its job happen in one script, so that no crash comes between them.
Tasks that belong to no job are stored by Celery's own code. Source: celery.backends.{base,redis}, celery.app.trace and
celery.worker.request of Celery 5.7.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

from celery import current_app, states
from celery.exceptions import BackendStoreError
from django.core.exceptions import ImproperlyConfigured
from redis.exceptions import OutOfMemoryError, ReadOnlyError

from chancelery import conf
from chancelery.deployment import connections
from chancelery.log import room
from chancelery.tasks import events
from chancelery.tasks.apart import address_of
from chancelery.tasks.due import Due
from chancelery.tasks.engine import changes, configuration, continuing, dropping, endings, fetched
from chancelery.tasks.engine.beginnings import Beginnings
from chancelery.tasks.engine.changes import Change
from chancelery.tasks.engine.chords import ChordBackend
from chancelery.tasks.engine.results import LookingConsumer
from chancelery.tasks.record import IS_LAST, LACKS_ADDRESS, Apart, Records

JOB_KEYPREFIX = "job_keyprefix"
"""The key of `result_backend_transport_options` that says what the keys of jobs begin with."""
JOB_CLOCK = "job_clock"
"""The key of these with a function that takes the place of Redis' clock, for tests."""

_log = room("tasks")
_unwatched: ContextVar[bool] = ContextVar("chancelery_unwatched", default=False)


@contextlib.contextmanager
def unwatched() -> Iterator[None]:
    """Within it, Celery does not subscribe to the results of what is frozen and published: nobody waits for them."""
    token = _unwatched.set(True)
    try:
        yield
    finally:
        _unwatched.reset(token)


class JobBackend(ChordBackend):
    """
    Celery's Redis backend, and the records of jobs beside its results.

        CELERY_RESULT_BACKEND = "chancelery.tasks.engine.backend:JobBackend+redis://…"
    """

    ResultConsumer = LookingConsumer

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # One for all threads of a process: Celery makes one per thread otherwise, each with connections of its own.
        self.thread_safe = True
        self._watching: Beginnings | None = None
        endings.watch()
        configuration.read_quickly(self.app)

    @functools.cached_property
    def records(self) -> Records:
        """The records of jobs, on the same server and connection."""
        return Records(self.client, self._transport_options.get(JOB_KEYPREFIX, "chancelery:j:"))

    @functools.cached_property
    def due(self) -> Due:
        """What waits for its time or turn, on the same server and connection."""
        options = self._transport_options
        return Due(self.client, options.get(JOB_KEYPREFIX, "chancelery:j:"), options.get(JOB_CLOCK))

    @functools.cached_property
    def location(self) -> tuple[str, int | str, int]:
        """What tells the database apart, as `chancelery.deployment.address` has it."""
        found = self.connparams
        if "path" in found:
            return ("unix", found["path"], found["db"])
        host = found["host"].lower()
        return ("local" if host in {"localhost", "127.0.0.1", "::1"} else host, found["port"], found["db"])

    def exception_safe_to_retry(self, exc: Exception) -> bool:
        """Tell whether what failed with *exc* is tried again, for about a minute: a full memory and a failover pass."""
        return isinstance(exc, (OutOfMemoryError, ReadOnlyError)) or super().exception_safe_to_retry(exc)

    @functools.cached_property
    def _uri(self) -> str:
        return str(self.as_uri())

    def reporting(self) -> contextlib.AbstractContextManager[None]:
        """Within it, what redis-py raises when the server does not answer is LayerUnavailable."""
        return connections.reporting(self._uri)

    def on_task_call(self, producer: Any, task_id: str) -> dict[str, Any]:  # noqa: ARG002 - Celery's signature
        """Subscribe to nothing: whoever waits for a result subscribes then."""
        return {}

    def add_pending_result(self, result: Any, weak: bool = False, start_drainer: bool = True) -> Any:  # noqa: FBT001, FBT002
        """Watch *result* for whoever made it, unless it was made to publish a job."""
        if _unwatched.get():
            return result
        return super().add_pending_result(result, weak=weak, start_drainer=start_drainer)

    def store_result(
        self,
        task_id: str,
        result: Any,
        state: str,
        traceback: str | None = None,
        request: Any = None,
        *,
        retry_in: float | None = None,
        **kwargs: Any,
    ) -> Any:
        """
        Store what became of a task, and let its job follow. A task that was held begins only if its job goes on.

        retry_in: the seconds after which it is tried again; without it, what Celery says.
        """
        if state == states.STARTED and request is not None and not fetched.is_fresh(request):
            dropping.refuse(request, self.state_of)
        run = changes.run_of(task_id, request, state)
        if run is not None and state == states.STARTED and request is not None:
            self._beginnings.note(request, result)
            return result
        if run is not None:
            if getattr(request, "has_begun", False):
                self._beginnings.forget(request)
            getattr(request, "before_settling", _nothing)()
            kwargs["change"] = changes.change_of(run, result, state, self.app, retry_in=retry_in, traceback=traceback)
        elif state == states.REVOKED:
            self.due.drop(task_id)
        return super().store_result(task_id, result, state, traceback=traceback, request=request, **kwargs)

    def mark_as_failure(self, task_id: str, exc: Any, *args: Any, request: Any = None, **kwargs: Any) -> Any:
        """Store that a task has failed, and call what follows then; of one that did not begin, that it is revoked."""
        if isinstance(exc, dropping.JobCancelled):
            return self.mark_as_revoked(task_id, "cancelled", request=request)
        return super().mark_as_failure(task_id, exc, *args, request=request, **kwargs)

    @property
    def _beginnings(self) -> Beginnings:
        if self._watching is None or self._watching.process != os.getpid():
            self._watching = Beginnings(self._say_started)
        return self._watching

    def _say_started(self, request: Any, result: Any) -> None:
        run = changes.run_of(request.id, request, states.STARTED)
        if run is not None:
            change = Change(run, None, None)
            super().store_result(request.id, result, states.STARTED, request=request, change=change)

    def state_of(self, job_id: str) -> str:
        """Return the state of a job, as `Records.state`; wait for a while for a server that does not answer."""
        with self.reporting():
            return str(self.ensure(self.records.state, (job_id,)))

    def tell_retry(self, request: Any, error: Exception, seconds: float) -> None:
        """Store that a task is tried again after so many seconds; what Celery says of it later is no news then."""
        self.store_result(request.id, error, states.RETRY, request=request, retry_in=seconds)

    def tell_ignored(self, task_id: str, request: Any) -> None:
        """Let the job know that a task has ended of which nothing is stored: its result will never come."""
        run = changes.run_of(task_id, request, states.FAILURE)
        if run is not None:
            change = Change(run, events.ended("error", "ignored", events.FAILED_TEXT), "it raised Ignore")
            self._settle(change, task_id, states.IGNORED, b"")

    def _store_result(  # noqa: PLR0917 - Celery's signature
        self,
        task_id: str,
        result: Any,
        state: str,
        traceback: str | None = None,
        request: Any = None,
        change: Change | None = None,
        **kwargs: Any,
    ) -> Any:
        if change is not None:
            meta = self._get_result_meta(result=result, state=state, traceback=traceback, request=request)
            if self._settle(change, task_id, state, self.encode({**meta, "task_id": task_id}), request):
                return result
        return super()._store_result(task_id, result, state, traceback, request, **kwargs)

    def _settle(self, change: Change, task_id: str, state: str, value: str | bytes, request: Any = None) -> bool:
        """
        Store and settle in one step; False when the job is not recorded here, and nothing was stored.

        task_id: of the task that *value* is stored for, and *request* its own.
        """
        if len(value) > self._MAX_STR_VALUE_SIZE:
            raise BackendStoreError("value too large for Redis backend", state=state, task_id=task_id)
        kept = self.failure_expires if state == states.FAILURE else self.expires
        run, what = change.run, changes.kind_of(state)
        stored = (self.get_key_for_task(task_id), run.task_id, what, run.attempt, value, kept or 0)
        follows, part = None, None
        if state == states.SUCCESS:
            follows, part = continuing.taken(request), getattr(request, "part", None)
        settle = functools.partial(
            self.records.settle,
            has_begun=getattr(request, "has_begun", False),
            opening=(self.due.now(), follows.entries) if follows else (),
            part=part.counted if part else (),
        )
        apart = Apart("", conf.current().job_result_bytes)
        settled = self.ensure(settle, (run.job_id, stored, change.told, apart))
        if settled is LACKS_ADDRESS:
            address = address_of(run.job_id)
            apart = Apart(address, apart.most_bytes if address else 0)
            settled = self.ensure(settle, (run.job_id, stored, change.told, apart))
        if part is not None and settled is IS_LAST:
            request.part, part.is_last = None, True
            continuing.reopen(request)
        elif settled is not None:
            if part is not None:
                part.is_counted = True
            changes.report(change, settled)
        elif state in states.READY_STATES and task_id == run.task_id:
            _log.warning("job %s: %s ended (%s), but the job has no record any more", *change.run[:2], state)
        return settled is not None


def current() -> JobBackend:
    """Return the result backend of Celery's app. Raises: ImproperlyConfigured when it is another one."""
    found = current_app.backend
    if not isinstance(found, JobBackend):
        raise ImproperlyConfigured(
            f"Celery's result backend is {type(found).__module__}.{type(found).__name__}, which knows nothing of jobs: "
            f'set CELERY_RESULT_BACKEND = "chancelery.tasks.engine.backend:JobBackend+redis://…", as the settings of '
            f"chancelery.deployment.Deployment do, and load Celery's app in the project's __init__.py, as its guide "
            f"for Django says"
        )
    return found


def _nothing() -> None:
    """The task holds nothing back."""
