"""
The job that the running task works for, for code that is given no message: plain Celery tasks, and what they call.

Costs nothing where nobody asks. Source: `celery._state.get_current_worker_task`.
"""

from __future__ import annotations

import contextlib
from typing import Any, NoReturn

from celery import _state

from chancelery.exceptions import UnknownJob
from chancelery.tasks.canvas import JOB_ID
from chancelery.tasks.engine import backend
from chancelery.tasks.once import checked
from chancelery.tasks.running import RunningJob, running_job


class NoJob:
    """In the place of a job where none runs. False; what is said to it goes nowhere, and nothing remembers it."""

    id = None
    owner = None

    def __init__(self, attempt: int = 1) -> None:
        self.attempt = attempt

    def progress(self, done: float, total: float | None = None, note: str | None = None) -> None:
        """Nobody asked."""

    def stream(self, name: str, chunk: Any) -> None:
        """Nobody asked."""

    def once(self, name: str) -> contextlib.AbstractContextManager[bool]:
        """Return True: there is no job that it could have been done for. Raises: as `RunningJob.once`."""
        return _Always(checked(name))

    def input(self, timeout: float | None = None) -> NoReturn:  # noqa: ARG002 - as of a job
        """Nobody can give anything. Raises: UnknownJob."""
        raise UnknownJob("no job runs here that could be given an input: escalate the task that waits for one")

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "<NoJob>"


class _Always:
    """What `NoJob.once` returns: true, and a context manager as `Once`."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> bool:
        return True

    def __exit__(self, *_: object) -> None: ...

    def __repr__(self) -> str:
        return f"<always {self._name!r}>"


def current_job() -> RunningJob | NoJob:
    """
    Return the job that the running task works for; one that is false, and does nothing, where there is none.

    In a consumer task it is `message.job`. Tasks that a job's tasks start work for it, too. Raises: LayerUnavailable.
    """
    request = _request()
    if request is None:
        return NoJob()
    found: RunningJob | NoJob | None = getattr(request, "running_job", None)
    if found is None:
        found = request.running_job = _job_of(request)
    return found


def _request() -> Any:
    """Return the request of the task that the worker runs, whatever tasks that has called as functions since."""
    for task in reversed(_state._task_stack.stack):  # noqa: SLF001 - as Celery's own, which takes the topmost only
        for request in reversed(task.request_stack.stack):
            if not request.called_directly and not request.is_eager:
                return request
    return None


def _job_of(request: Any) -> RunningJob | NoJob:
    job_id = request.root_id
    if isinstance(job_id, str) and JOB_ID.fullmatch(job_id):
        with contextlib.suppress(UnknownJob):
            return running_job(request, backend.current())[0]
    return NoJob(request.retries + 1)
