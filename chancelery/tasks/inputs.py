"""
What a running job is given from outside: kept in order until a task asks, and handed to one of them only.

A task that is run anew is handed again what it was handed before, so that it comes to the same point.
"""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

from celery.exceptions import Ignore

from chancelery.exceptions import UnknownJob
from chancelery.tasks import record
from chancelery.tasks.claims import Asking
from chancelery.tasks.engine import backend
from chancelery.tasks.engine.backend import JobBackend
from chancelery.tasks.events import ENDS

MOST_INPUTS = 100
"""How many a job takes, all in all."""

_GIVE = record.loaded("holders.lua", "give.lua")
_TAKE = record.loaded("take.lua")
_LOOK_SECONDS = 2.0
"""How long, at most, a task waits before it looks again. Well below the socket's timeout."""


def give(job_id: str, asking: Asking, value: bytes) -> str | None:
    """
    Give the job an input, as JSON. Returns "taken", "full" or "ended"; None when there is no such job for whoever asks.

    Raises: LayerUnavailable.
    """
    engine = backend.current()
    with engine.reporting():
        args = [*asking.args, value, uuid.uuid4().hex, MOST_INPUTS]
        found = engine.records.run(_GIVE, f"job:{job_id}", args)
    return None if found is None else str(found.decode())


def take(engine: JobBackend, job_id: str, task_id: str, number: int, timeout: float | None) -> Any:
    """
    Return the next input for a task, which calls this for the *number*th time; wait for it if there is none.

    Raises: TimeoutError when there was none for *timeout* seconds; Ignore when the job has ended; LayerUnavailable.
    """
    give_up_at = None if timeout is None else time.monotonic() + timeout
    while True:
        with engine.reporting():
            found = engine.records.run(_TAKE, f"job:{job_id}", [task_id, number])
        if found is None:
            raise UnknownJob(f"there is no record of the job {job_id} any more: nobody can give it anything")
        if len(found) > 1:
            return json.loads(found[1])
        if found[0].decode() in ENDS:
            raise Ignore(f"the job {job_id} has ended: nothing more is given to it")
        _wait(engine, job_id, give_up_at, timeout)


def _wait(engine: JobBackend, job_id: str, give_up_at: float | None, timeout: float | None) -> None:
    wait = _LOOK_SECONDS if give_up_at is None else min(_LOOK_SECONDS, give_up_at - time.monotonic())
    if wait <= 0:
        raise TimeoutError(f"the job {job_id} was given nothing for {timeout} seconds")
    with engine.reporting():
        engine.records.waits(f"job:{job_id}:bell", wait)
