"""
What keeps tasks out of Celery's queues until they are to be run, and what puts them there then.

A worker that holds a task until its time holds it in memory, unacknowledged. So a `WaitingChannel` gives what is due
later to `chancelery.tasks.due` instead of its queue, whoever publishes it: a consumer, a chain, a retry. Every worker
looks each second for what is due. Source: kombu.transport.redis 5.7.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Iterator
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from celery import bootsteps, current_app, signals
from kombu.utils.json import dumps

from chancelery import conf
from chancelery.exceptions import LayerUnavailable
from chancelery.log import room
from chancelery.tasks.canvas import JOB_ID
from chancelery.tasks.due import AT_ONCE, Due, Task
from chancelery.tasks.engine import continuing, opening
from chancelery.tasks.engine.opening import Opening

JOB_KEYPREFIX = "job_keyprefix"
"""The key of `broker_transport_options` that says what the keys of jobs begin with. Without, nothing is kept back."""
_PORT = 6379
LOOK_SECONDS = 1.0
"""How often each worker looks for what is due."""

_log = room("tasks")
_held: ContextVar[str] = ContextVar("chancelery_held", default="")


@contextlib.contextmanager
def held(job_id: str) -> Iterator[None]:
    """Within it, what is published of the job waits until it has a place. An empty *job_id* holds nothing."""
    token = _held.set(job_id)
    try:
        yield
    finally:
        _held.reset(token)


def collects(app: Any) -> bool:
    """Tell whether what *app* publishes goes through a `WaitingChannel`, which knows what a job begins with."""
    template = app.producer_pool.connections.connection  # it is made once, and connects to nothing
    return issubclass(getattr(template.get_transport_cls(), "Channel", object), WaitingChannel)


def holds(app: Any) -> bool:
    """Tell whether the broker of *app* keeps back what is to be published later."""
    connection = app.connection_for_write()
    channel = getattr(connection.get_transport_cls(), "Channel", object)
    return bool(_prefix(connection)) and issubclass(channel, WaitingChannel)


class WaitingChannel:
    """
    Stands before the channel of `transport.py` among the bases of a class.

    entry_of: returns keys and arguments by which `put.lua` puts a message on its queue, or None if it is not in Redis.
    """

    @functools.cached_property
    def jobs_prefix(self: Any) -> str:
        """What the keys of jobs begin with; an empty string unless jobs and queues are in one database."""
        return _prefix(self.connection.client)

    def _put(self: Any, queue: str, message: dict[str, Any], **kwargs: Any) -> None:
        """Put a message into its queue, unless it waits, or it is published by what a job begins or goes on with."""
        headers, opens = message.get("headers") or {}, opening.current()
        waits, continues = _waits(headers), continuing.current() if opens is None else None
        prefix = _prefix(self.connection.client) if waits or opens or continues else ""
        collecting = opens or (continues if prefix else None)
        put = functools.partial(super()._put, queue, message, **kwargs)  # type: ignore[misc]
        if prefix and waits:
            self._keep(queue, message, prefix, collecting)
        elif collecting and prefix and "_publish_batch" not in kwargs and (entry := self.entry_of(queue, message)):
            collecting.put(*entry)
        elif opens:
            opens.later(put)
        else:
            put()

    def _keep(self: Any, queue: str, message: dict[str, Any], prefix: str, opens: Opening | None) -> None:
        keys = self._key(queue, self._get_message_priority(message, reverse=False)), self._bell(queue)
        task, held = _task(*keys, message), _is_held(message["headers"])
        if opens is not None:
            opens.keep(task, held=held)
            return
        with self.conn_or_acquire() as client:
            Due(client, prefix).put(task, held=held)


class PublishDue(bootsteps.StartStopStep):  # type: ignore[misc]
    """Publishes what is due, from the worker's own timer."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self._entry: Any = None
        self._failed = False

    def include_if(self, consumer: Any) -> bool:
        """Tell whether this worker's results are kept where jobs are."""
        return hasattr(consumer.app.backend, "due")

    def start(self, consumer: Any) -> None:
        """Begin to look."""
        self._entry = consumer.timer.call_repeatedly(LOOK_SECONDS, self._look, (consumer.app.backend,))

    def stop(self, consumer: Any) -> None:  # noqa: ARG002 - Celery's signature
        """Look no more."""
        if self._entry is not None:
            self._entry.cancel()
            self._entry = None

    shutdown = stop

    def _look(self, backend: Any) -> None:
        try:
            with backend.reporting():
                while backend.due.publish() == AT_ONCE:
                    pass
        except LayerUnavailable as error:
            if not self._failed:
                _log.warning("what is due waits until Redis answers again: %s", error)
            self._failed = True
        else:
            self._failed = False


def _prefix(connection: Any) -> str:
    """Return what the keys of jobs begin with; an empty string unless jobs and queues are in one database."""
    options, backend = connection.transport_options, current_app.backend
    prefix = str(options.get(JOB_KEYPREFIX, ""))
    location = getattr(backend, "location", None)
    if not prefix or location is None:
        return ""
    if "master_name" in options or location[0] == "unix" or connection.get_transport_cls().driver_type != "redis":
        return prefix
    host = "local" if connection.hostname in {None, "localhost", "127.0.0.1", "::1"} else connection.hostname.lower()
    database = str(connection.virtual_host or "").strip("/") or "0"
    return prefix if (host, connection.port or _PORT, int(database)) == location else ""


def _is_held(headers: dict[str, Any]) -> bool:
    return bool(_held.get()) and headers.get("root_id") == _held.get()


def _waits(headers: dict[str, Any]) -> bool:
    if not isinstance(headers.get("id"), str):
        return False
    return _is_held(headers) or _due(headers) > 0


def _due(headers: dict[str, Any]) -> float:
    """Return when a task is due whose time is not a worker's matter, in seconds since the epoch; else 0."""
    try:
        at = datetime.fromisoformat(headers.get("eta") or "")
    except (TypeError, ValueError):  # none, or one that the worker will complain about
        return 0
    seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    return seconds if seconds - time.time() > conf.current().job_long_wait else 0


def _task(queue: str, bell: str, message: dict[str, Any]) -> Task:
    headers, due = message["headers"], _due(message["headers"])
    if due:  # Redis keeps the time from here on; a worker would wait until the first one, whatever was decided since
        message = {**message, "headers": {**headers, "eta": None}}
    root = headers.get("root_id")
    job_id = root if isinstance(root, str) and JOB_ID.fullmatch(root) else ""
    chord, seconds = _chord(headers.get("group")) if job_id else ("", 0)
    return Task(headers["id"], queue, bell, dumps(message), job_id, due, chord, seconds)


def _chord(group_id: str | None) -> tuple[str, int]:
    backend = current_app.backend
    if not group_id or not hasattr(backend, "chord_expires"):
        return "", 0
    return backend.get_key_for_group(group_id).decode(), backend.chord_expires or 0


def install() -> None:
    """Have Celery's workers of this process look for what is due, from when they are made."""
    signals.worker_init.connect(_add_step, dispatch_uid="chancelery.due")


def _add_step(sender: Any, **_: object) -> None:
    sender.app.steps["consumer"].add(PublishDue)
