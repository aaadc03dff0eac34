"""
A Celery worker without a process, for tests: does what was published when it is told to, in the thread that tells it.

The broker is in memory. Tasks go through Celery's own requests and tracer and the backend that settles jobs, so that
what is stored and said is as in production; time and rate limits are not kept, and nothing runs at the same time.
Source: celery.worker.{request,strategy,consumer} of Celery 5.7, kombu.transport.memory.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar, NamedTuple, Self

from billiard.einfo import ExceptionInfo
from billiard.einfo import ExceptionWithTraceback as _Wrapped
from celery import Celery, current_app, states
from celery.app.task import Context
from celery.exceptions import NotRegistered
from celery.worker import state
from celery.worker.request import Request
from django.core.exceptions import ImproperlyConfigured
from kombu.transport import memory
from kombu.utils.json import loads

from chancelery.exceptions import UnknownJob
from chancelery.tasks.canvas import job_of
from chancelery.tasks.due import AT_ONCE
from chancelery.tasks.engine.backend import JobBackend
from chancelery.tasks.engine.waiting import JOB_KEYPREFIX, WaitingChannel

BROKER = "memory://localhost/"
_MOST_SHOWN = 1000
_SETTINGS: dict[str, Any] = {
    "broker_url": BROKER,
    "broker_read_url": BROKER,
    "broker_write_url": BROKER,
    "broker_transport": "chancelery.tasks.engine.inline:Transport",
    "task_always_eager": False,
}


class _Queues(memory.Channel):  # type: ignore[misc]
    """Queues in memory, which tell when something has been put into them."""

    queues: ClassVar[dict[str, Any]] = {}
    told: ClassVar[list[Callable[[], None]]] = []

    def _put(self, *args: Any, **kwargs: Any) -> None:
        super()._put(*args, **kwargs)
        for tell in self.told:
            tell()


class Channel(WaitingChannel, _Queues):
    """Queues in memory; but what waits, for its time or its turn, is kept in Redis as in production."""

    def conn_or_acquire(self) -> contextlib.AbstractContextManager[Any]:
        """As the channels of Redis have it."""
        return contextlib.nullcontext(current_app.backend.client)

    def entry_of(self, *_: object) -> None:
        """Return nothing: the queues are not in Redis."""

    def _key(self, *_: object) -> str:
        """Return where all goes that has waited, whatever its queue."""
        return f"{self.connection.client.transport_options[JOB_KEYPREFIX]}inline"

    def _bell(self, _queue: str) -> str:
        return f"{self._key()}:bell"


class Transport(memory.Transport):  # type: ignore[misc]
    """The broker."""

    Channel = Channel


class Delivery(NamedTuple):
    """A task as it lies in a queue."""

    payload: dict[str, Any]
    """As kombu has it."""
    due: datetime
    is_redelivered: bool = False

    @property
    def headers(self) -> dict[str, Any]:
        """What Celery says of it."""
        found: dict[str, Any] = self.payload["headers"]
        return found

    @property
    def id(self) -> str:
        """The task's id."""
        return str(self.headers["id"])

    @property
    def name(self) -> str:
        """The task's name."""
        return str(self.headers["task"])


class Ran(NamedTuple):
    """What came of one run of a task."""

    id: str
    name: str
    returned: Any
    """What it returned; None when it raised, died, or was not begun."""
    error: BaseException | None
    """What it raised, Celery's Retry too."""


class _Died(BaseException):
    """The process that ran a task is gone."""


class InlineWorker:
    """
    Does what *app* publishes, in the order in which it is due.

    make_backend: the result backend. settings: Celery's, beside the broker's. now: what time it is. Use it as a context
    manager: before and after it, *app* is as it was.
    """

    def __init__(
        self,
        app: Celery,
        make_backend: Callable[[], JobBackend],
        settings: Mapping[str, Any],
        now: Callable[[], datetime],
    ) -> None:
        self.waiting: list[Delivery] = []
        self.done: dict[str, Delivery] = {}
        """What was begun, the last delivery of each task."""
        self._app = app
        self._make_backend = make_backend
        self._settings = {**settings, **_SETTINGS}
        self._now = now
        self._entered = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            stack.enter_context(_configured(self._app, self._settings))
            if {self._app.conf.broker_write_url, self._app.conf.broker_read_url} != {BROKER}:
                raise ImproperlyConfigured(
                    "CELERY_BROKER_WRITE_URL or CELERY_BROKER_READ_URL is set in the environment, and stronger than "
                    "what a test can set: unset it, or the test would use a real broker"
                )
            self.backend = stack.enter_context(_backed(self._app, self._make_backend))
            stack.callback(Channel.queues.clear)
            Channel.queues.clear()
            self._connection = stack.enter_context(self._app.connection_for_read())
            self._channel = self._connection.default_channel
            Channel.told.append(self._collect)
            stack.callback(Channel.told.clear)
            self._entered = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._entered.close()

    def names(self) -> list[str]:
        """Return the names of the tasks that wait, and then of those that are kept in Redis until their time."""
        self._publish_due()
        kept = self.backend.due.waiting(_MOST_SHOWN)
        return [each.name for each in self.waiting] + [each.name for each in kept]

    def run_next(self, *, dying: bool = False) -> Ran | None:
        """
        Do the task that has been due for longest; None when none is.

        dying: the process dies when the task's body has come to its end, before anything of that is stored; the task
        is handed out again next.
        """
        self._publish_due()
        due = min((each for each in self.waiting if each.due <= self._now()), key=_due, default=None)
        if due is None:
            return None
        self.waiting.remove(due)
        self.done[due.id] = due
        try:
            with _dying(self.backend) if dying else contextlib.nullcontext():
                return self._run(due)
        except _Died:
            self.redeliver(due.id)
            return Ran(due.id, due.name, None, None)

    def redeliver(self, task_id: str) -> None:
        """Hand a task that was begun out again, before all others. Raises: KeyError when it was not."""
        again = self.done[task_id]._replace(is_redelivered=True, due=datetime.min.replace(tzinfo=UTC))
        self.waiting.insert(0, again)

    def _publish_due(self) -> None:
        """Do what a worker's timer does, and take what is published by that, and what had to wait for its turn."""
        while self.backend.due.publish() == AT_ONCE:
            pass
        while (message := self.backend.client.rpop(self._channel._key())) is not None:  # noqa: SLF001 - ours
            self._take(loads(message))

    def _collect(self) -> None:
        """Take what was published."""
        for queue in list(Channel.queues):
            while (message := self._channel.basic_get(queue, no_ack=True)) is not None:
                self._take(message._raw)  # noqa: SLF001 - to be handed out more than once

    def _take(self, payload: dict[str, Any]) -> None:
        eta = payload["headers"].get("eta")
        self.waiting.append(Delivery(payload, datetime.fromisoformat(eta) if eta else self._now()))

    def _run(self, delivery: Delivery) -> Ran:
        message = self._channel.Message(delivery.payload, channel=self._channel)
        message.delivery_info = {**(message.delivery_info or {}), "redelivered": delivery.is_redelivered}
        if delivery.name not in self._app.tasks:
            return self._refused(delivery)
        request = Request(message, app=self._app, headers=message.headers, body=message.body)
        if self._is_cancelled(delivery.id):
            state.revoked.add(delivery.id)  # as workers are told
        if request.expires:
            request.expires -= self._now() - datetime.now(UTC)
        outcome = request.execute()
        if isinstance(outcome, ExceptionInfo):
            raised = outcome.exception
            return Ran(delivery.id, delivery.name, None, raised.exc if isinstance(raised, _Wrapped) else raised)
        return Ran(delivery.id, delivery.name, outcome, None)

    def _refused(self, delivery: Delivery) -> Ran:
        error = NotRegistered(delivery.name)
        context = Context(task=delivery.name, root_id=delivery.headers.get("root_id"))
        self.backend.store_result(delivery.id, error, states.FAILURE, request=context)
        return Ran(delivery.id, delivery.name, None, error)

    def _is_cancelled(self, task_id: str) -> bool:
        job_id = job_of(task_id)
        try:
            return job_id is not None and self.backend.records.state(job_id) == "cancelled"
        except UnknownJob:
            return False


def _due(delivery: Delivery) -> datetime:
    return delivery.due


@contextlib.contextmanager
def _configured(app: Celery, settings: Mapping[str, Any]) -> Iterator[None]:
    """Have *settings* count, and no connection be used that was made by others."""
    _ = app.conf.broker_url  # reads the settings, if nobody has
    changes = app.conf.changes
    before, pool, producers = dict(changes), app._pool, app.amqp._producer_pool  # noqa: SLF001 - as `Celery._after_fork`
    app.conf.update(settings)
    app._pool = app.amqp._producer_pool = None  # noqa: SLF001
    try:
        yield
    finally:
        app._pool, app.amqp._producer_pool = pool, producers  # noqa: SLF001
        changes.clear()
        changes.update(before)


@contextlib.contextmanager
def _backed(app: Celery, make: Callable[[], JobBackend]) -> Iterator[JobBackend]:
    """Have the result backend be one that *make* returns."""
    before, own = app._backend_cache, getattr(app._local, "backend", None)  # noqa: SLF001 - there is no door
    backend = make()
    app._backend_cache = backend  # noqa: SLF001
    try:
        yield backend
    finally:
        app._backend_cache = before  # noqa: SLF001
        if own is not None:
            app._local.backend = own  # noqa: SLF001
        backend.client.close()
        backend.client.connection_pool.disconnect()


@contextlib.contextmanager
def _dying(backend: JobBackend) -> Iterator[None]:
    """Have nothing stored of how a task ends: whoever would do so is gone."""

    def die(*_: object, **__: object) -> None:
        raise _Died

    ends = ("mark_as_done", "mark_as_failure", "mark_as_retry")
    for end in ends:
        setattr(backend, end, die)
    try:
        yield
    finally:
        for end in ends:
            delattr(backend, end)
