"""
What a job does once, however often its tasks are tried again or handed out anew: a mail, a payment.

The job's record says which run has it. Whoever dies with it has used it up: nobody knows how far it had come.
"""

from __future__ import annotations

import secrets
from types import TracebackType
from typing import Self

from chancelery.deployment import scripts
from chancelery.exceptions import LayerUnavailable, UnknownJob
from chancelery.log import room
from chancelery.tasks.engine.backend import JobBackend

MOST_CHARACTERS = 200
"""The longest name of something that is done once."""

_ONCE = scripts.load(("chancelery.tasks.scripts", "once.lua"))
_log = room("tasks")


class Once:
    """
    True for the one run that is to do it; as a context manager, given back when the block raises.

    Raises, when it is made: TypeError, ValueError for a name that cannot be; UnknownJob; LayerUnavailable.
    """

    def __init__(self, engine: JobBackend, job_id: str, name: str, task_id: str) -> None:
        self._engine = engine
        self._job_id = job_id
        self._name = checked(name)
        # Of its own for each question: a repeated command is answered alike, a second question in the same run is not.
        self._run = f"{task_id} {secrets.token_hex(8)}"
        self._first = self._asked("begin") == self._run

    def __bool__(self) -> bool:
        return self._first

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None or not self._first:
            return
        try:
            self._asked("undo")
        except (LayerUnavailable, UnknownJob) as failure:  # what the block raised says more
            _log.warning("job %s: %r failed, and counts as done: %s", self._job_id, self._name, failure)

    def _asked(self, what: str) -> str:
        with self._engine.reporting():
            holder = self._engine.records.run(_ONCE, f"job:{self._job_id}", [what, self._name, self._run])
        if holder is None:
            raise UnknownJob(f"there is no record of the job {self._job_id} any more: it has expired")
        return str(holder.decode())

    def __repr__(self) -> str:
        return f"<Once {self._name!r}: {self._first}>"


def checked(name: str) -> str:
    """Return *name*. Raises: TypeError, ValueError when nothing can be called so."""
    if not isinstance(name, str):
        raise TypeError(f"once() takes the name of what is done once, as text, not {name!r}")
    if not 0 < len(name) <= MOST_CHARACTERS:
        raise ValueError(f"once() takes a name of 1 to {MOST_CHARACTERS} characters, not of {len(name)}")
    return name
