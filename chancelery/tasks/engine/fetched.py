"""
What is noted with a message when a worker fetches it, for the process that runs its task: when that was, and what the
record of its job said then. A task that begins at once needs no look at Redis of its own.
"""

from __future__ import annotations

from time import time
from typing import Any, NamedTuple

from chancelery.tasks.engine import dropping

FRESH_SECONDS = 0.1
"""For how long what was noted is believed: a cancel since then would have been heard."""
_AT = "chancelery_fetched_at"
_RECORD = "chancelery_record"
_MOST_BYTES = 16 * 1024


class Record(NamedTuple):
    """What a task needs of its job's record, as it stands there."""

    state: bytes
    terms: bytes
    message: bytes


def note(headers: dict[str, Any], job_id: bytes = b"", *record: bytes) -> None:
    """Note in the *headers* of a message when it was fetched, and the *record* of the job that it may be a task of."""
    headers[_AT] = time()
    if not record or headers.get("root_id") != job_id.decode():
        return
    if record[0] == b"cancelled":
        dropping.drop(headers)
    elif len(record[2]) <= _MOST_BYTES:
        headers[_RECORD] = record


def is_fresh(request: Any) -> bool:
    """Tell whether a task's message was fetched a moment ago."""
    return bool(getattr(request, _AT, 0) > time() - FRESH_SECONDS)


def record_of(request: Any) -> Record | None:
    """Return what was noted of the job's record, if that was a moment ago."""
    noted = getattr(request, _RECORD, None)
    return Record(*noted) if noted and is_fresh(request) else None


def forget(headers: dict[str, Any]) -> None:
    """Keep what was noted out of a message that is published: Celery repeats headers that it does not know."""
    headers.pop(_AT, None)
    headers.pop(_RECORD, None)
