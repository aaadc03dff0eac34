"""
Which of a job's tasks is waited for in vain when a task fails that the job knows nothing of.

`replace()` puts tasks before one of the job's own, under ids that were not recorded. What follows them is in their
request: the rest of a chain, the body of a chord. Pure. Source: `celery.app.task.Task.replace`, celery.canvas.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from chancelery.tasks.canvas import job_of


def concerned(task_id: str, request: Any) -> str | None:
    """Return the id of the job's task that is not done if this one fails: itself, the next of the job, or None."""
    if job_of(task_id) is not None:
        return task_id
    return first_after(getattr(request, "chain", None), getattr(request, "chord", None))


def first_after(chain: Any, chord: Any) -> str | None:
    """
    Return the id of the first task of a job that comes after a task, or None.

    chain, chord: what a task's request or message has under these names; a chain begins with its last task.
    """
    after = (*reversed(chain or ()), chord)
    return next((task_id for sig in after if sig for task_id in _ids(sig) if job_of(task_id)), None)


def _ids(sig: dict[str, Any]) -> Iterator[str]:
    """Yield the ids of the tasks in a signature, and of those that come after it."""
    options, kwargs = sig.get("options") or {}, sig.get("kwargs") or {}
    if "task_id" in options:
        yield options["task_id"]
    for inner in _inner(str(sig.get("task")), kwargs):
        yield from _ids(inner)
    for after in (*reversed(options.get("chain") or ()), options.get("chord")):
        if after:
            yield from _ids(after)


def _inner(task: str, kwargs: dict[str, Any]) -> list[dict[str, Any]]:
    if task in {"celery.chain", "celery.group"}:
        return list(kwargs.get("tasks") or ())
    return [kwargs["body"]] if task == "celery.chord" and kwargs.get("body") else []
