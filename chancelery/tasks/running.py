"""A job as its own consumer tasks see it: `message.job`, and the message itself, made anew from the job's record."""

from __future__ import annotations

import time
from typing import Any, Self

from chancelery.exceptions import LayerUnavailable, MessageTooLarge, UnknownJob
from chancelery.log import Burst, room
from chancelery.message import Message
from chancelery.registry import channel_layers
from chancelery.tasks import events, inputs
from chancelery.tasks.engine import fetched
from chancelery.tasks.engine.backend import JobBackend
from chancelery.tasks.events import Event
from chancelery.tasks.once import Once
from chancelery.tasks.record import Running, read_running

PROGRESS_SECONDS = 0.05
"""How far apart, at least, two pieces of progress of one task are sent."""

_burst = Burst(room("tasks"), quiet_seconds=30)


class RunningJob:
    """The job that a task works for. Made for one run of one task, which it spans, and used by its thread only."""

    def __init__(self, job_id: str, engine: JobBackend, running: Running, request: Any) -> None:
        self.id = job_id
        self._engine = engine
        self._max_bytes = running.terms.max_bytes
        self._owner = running.terms.owner
        self._inputs = 0
        self._task_id: str = request.id
        self._name: str = request.task
        self.attempt: int = request.retries + 1
        """1 when the task runs for the first time."""
        self._chunks = 0
        self._held: Event | None = None
        self._told_at = float("-inf")
        # For `current_job`, and for the backend: what is held back comes before how the task ends.
        request.running_job, request.before_settling = self, self._flush

    def progress(self, done: float, total: float | None = None, note: str | None = None) -> None:
        """
        Tell how far the work is: *done* of *total*, and in words.

        Cheap to call often: the latest wins, and at most 20 are sent in a second. Nothing keeps them, and what cannot
        be sent is logged. Raises: TypeError, ValueError when it cannot be JSON; MessageTooLarge.
        """
        told = {"task": self._task_id, "name": self._name}
        self._held = self._small(events.progress(told, done, total, note, self._name))
        if time.monotonic() - self._told_at >= PROGRESS_SECONDS:
            self._flush()

    def stream(self, name: str, chunk: Any) -> None:
        """
        Send a piece of the result ahead of it, on the stream *name*: in order, and kept with the job's events.

        A task that is handed out again after a crash repeats its chunks without their being sent twice, as long as it
        makes the same ones. Raises: TypeError, ValueError when it cannot be JSON; MessageTooLarge; LayerUnavailable.
        """
        if not isinstance(name, str):
            raise TypeError(f"stream() takes the stream's name first, as text, not {name!r}")
        told = {"task": self._task_id, "stream": name, "chunk": chunk}
        event = self._small(events.event("chunk", told, sender=self._name))
        self._flush()
        self._chunks += 1
        self._tell(event, self._chunks)

    def once(self, name: str) -> Once:
        """
        Let what is called *name* be done once in the job: true for the first that asks.

        Whatever is tried again, or handed out again after a crash, asks in vain; so does a job that was cancelled. Used
        as a context manager, it is given back when the block raises. Raises: TypeError, ValueError for a name that
        cannot be; LayerUnavailable; UnknownJob.
        """
        return Once(self._engine, self.id, name, self._task_id)

    def input(self, timeout: float | None = None) -> Any:
        """
        Return what the job is given next, by a socket of its owner's; wait for it, at most *timeout* seconds.

        What came before it was asked for has been kept. Each input is for one task; one that is run anew is given again
        what it was given before. Raises: TimeoutError; LayerUnavailable; Celery's Ignore when the job has ended.
        """
        self._flush()
        self._inputs += 1
        return inputs.take(self._engine, self.id, self._task_id, self._inputs, timeout)

    @property
    def owner(self) -> str | None:
        """The id of the user whose job it is, as text, or None if nobody was logged in."""
        return self._owner.partition(":")[2] or None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()

    def _flush(self) -> None:
        """Send the progress that was held back."""
        held, self._held = self._held, None
        if held is None:
            return
        self._told_at = time.monotonic()
        try:
            self._tell(held, 0)
        except (LayerUnavailable, UnknownJob) as error:  # no reason to lose what the task does
            _burst.say(self.id, "job %s: progress of %s was not sent: %s", self.id, self._name, error)

    def _small(self, event: Event) -> Event:
        if len(event.json) > self._max_bytes:
            raise MessageTooLarge(
                f"a {event.kind} of {len(event.json)} bytes: at most {self._max_bytes} are allowed; send less at a "
                f"time, or raise the layer's max_message_bytes"
            )
        return event

    def _tell(self, event: Event, number: int) -> None:
        with self._engine.reporting():
            self._engine.records.tell(self.id, event, self._task_id, self.attempt, number)

    def __repr__(self) -> str:
        return f"<RunningJob {self.id}>"


class TaskMessage(Message):
    """The message that was escalated. Its trail leads to the job."""

    job: RunningJob
    """The job that the task works for."""


def running_job(request: Any, engine: JobBackend) -> tuple[RunningJob, Running]:
    """Return the job that a task works for, and its record. Raises: UnknownJob, LayerUnavailable."""
    job_id, noted = request.root_id or "", fetched.record_of(request)
    if noted is not None:
        running = read_running(*noted)
    else:
        with engine.reporting():
            running = engine.records.running(job_id)
    known: RunningJob | None = getattr(request, "running_job", None)
    return known or RunningJob(job_id, engine, running, request), running


def message_of(request: Any, engine: JobBackend) -> tuple[str, TaskMessage]:
    """Return the job's state, and the message for a task that Celery runs. Raises: UnknownJob, LayerUnavailable."""
    try:
        job, running = running_job(request, engine)
    except UnknownJob as error:
        raise UnknownJob(
            f"the consumer task {request.task} runs without a job, so there is no message for it: start it with its "
            f"escalate(message, …), with chancelery.tasks.escalate(message, canvas), or from a task of a job ({error})"
        ) from error
    origin = running.origin
    message = TaskMessage(origin.content, origin.channel, channel_layers[running.terms.alias], origin.trail)
    message.job = job
    return running.state, message
