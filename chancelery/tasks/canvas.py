"""
Makes a canvas ready to be escalated: a copy of it whose tasks have ids that tell their job, frozen and stamped.

A task's id is `<job's id>-<number>`, so that whoever is told of a task alone (a revocation, an error of a chord) knows
its job. Does no I/O. Source: celery.canvas; what `freeze` returns is the tree of results that Celery itself will fill.
"""

from __future__ import annotations

import itertools
import math
import re
import uuid
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias

from celery.canvas import Signature, StampingVisitor, _chain, chord, group, maybe_signature
from celery.result import GroupResult

from chancelery.tasks.copying import copy_of, copy_of_task, members_of

STAMP = "job"
"""The stamp that every task of a job carries, its callbacks and error callbacks too."""

WEIGHT = "weight"
"""The option of a signature that says what it counts in how far the canvas is; 1 without it."""

Finals: TypeAlias = "str | list[Finals]"
"""The id of the task whose result is the job's; a list of these for a canvas that ends in a group."""

JOB_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
_GENERAL = frozenset({"task_id", "group_id", "link", "link_error", "stamped_headers", STAMP, WEIGHT})
"""The options of a task of which more follows than that it has them."""
_KINDS = frozenset({_chain, group, chord})
_LEAST = {"chain": 2, "group": 1, "chord": 3}
"""How many tasks such a canvas has, body included: Celery takes one of fewer for something else."""
_MEMBER = re.compile(rf"({JOB_ID.pattern})-[0-9]+", re.ASCII)


class Member(NamedTuple):
    """A task of a job, and its place in the tree of chains, groups and chords."""

    id: str
    name: str
    parent: str
    """Where in the tree that is which it is in, as indices from the top, such as "2.1"; empty at the top."""
    position: int
    """Which part of that it is, from 1; the body of a chord comes after its header."""
    share: float
    """How much of the whole it is: its weight, as part of the weights of all."""


class Prepared(NamedTuple):
    """A canvas that can be published once its job is recorded."""

    canvas: Any
    members: list[Member]
    """Every task, in the order in which the canvas names them."""
    finals: Finals
    is_flat: bool = False
    """Whether it is one task, or a chain, group or chord of such, where no task has callbacks."""


def job_of(task_id: object) -> str | None:
    """Return the id of the job that the task belongs to, or None for a task that no canvas of a job named."""
    found = _MEMBER.fullmatch(task_id) if isinstance(task_id, str) else None
    return found[1] if found else None


def prepare(canvas: Any, job_id: str, *, eta: datetime | None = None, expires: datetime | None = None) -> Prepared:
    """
    Return a copy of *canvas* as the canvas of a job; *canvas* itself stays as it is, and can be escalated again.

    eta, expires: for the tasks that come first: a chain's head, each member of a group or of a chord's header.
    Raises: TypeError for what is no canvas; ValueError for one without tasks, or whose tasks have ids already.
    """
    if not isinstance(canvas, dict) or "task" not in canvas:
        raise TypeError(f"escalate() takes a signature, chain, group or chord, such as task.s(…), not {canvas!r}")
    if _is_alone(canvas):
        return _prepare_alone(canvas, job_id, _times(eta, expires))
    tasks = _tasks_alone(canvas)
    if tasks:
        return _prepare_flat(canvas, tasks, job_id, _times(eta, expires))
    copied = copy_of(maybe_signature(canvas))
    if copied is None:
        raise ValueError(f"the canvas {canvas!r} has no tasks: there is nothing to escalate")
    members = _name_members(copied, job_id)
    for head in _heads(copied):
        head.options.update(_times(eta, expires))
    copied.stamp(visitor=_Stamp(job_id))
    return Prepared(copied, members, _finals(copied.freeze(root_id=job_id)))


def _is_alone(sig: Any) -> bool:
    return type(sig) is Signature and not _GENERAL & sig.options.keys()


def _prepare_alone(sig: Any, job_id: str, times: dict[str, datetime]) -> Prepared:
    """Do what `prepare` does to a task without callbacks, without Celery's walks over a tree: a tenth of the time."""
    copied = _named(sig, job_id, 1, times)
    return Prepared(copied, [Member(copied.id, sig.task, "", 1, 1.0)], copied.id, is_flat=True)


def _tasks_alone(canvas: Any) -> Sequence[Any]:
    """Return the tasks of a chain, group or chord, its body last; none if it has options, or one is not alone."""
    if type(canvas) not in _KINDS or canvas.options or canvas.args or canvas.immutable:
        return ()
    kind, tasks = canvas.subtask_type, canvas.tasks
    if kind == "chord":
        if type(tasks) is group and not tasks.options:
            tasks = tasks.tasks
        if canvas.kwargs["kwargs"] or not isinstance(tasks, list | tuple):
            return ()
        tasks = [*tasks, canvas.body]
    is_flat = isinstance(tasks, list | tuple) and len(tasks) >= _LEAST[kind] and all(map(_is_alone, tasks))
    return tasks if is_flat else ()


def _prepare_flat(canvas: Any, tasks: Sequence[Any], job_id: str, times: dict[str, datetime]) -> Prepared:
    """Do what `prepare` does to a canvas of these tasks, in the same way."""
    kind, app, of = canvas.subtask_type, canvas.app, len(tasks)
    first = 1 if kind == "chain" else of if kind == "group" else of - 1
    named = [_named(sig, job_id, number, times if number <= first else {}) for number, sig in enumerate(tasks, 1)]
    members = [Member(sig.id, sig.task, "", place, 1 / of) for place, sig in enumerate(named, 1)]
    if kind == "chain":
        return Prepared(_chain(named, app=app), members, named[-1].id, is_flat=True)
    together = group(named[:first], app=app, task_id=str(uuid.uuid4()))
    if kind == "group":
        return Prepared(together, members, [sig.id for sig in named], is_flat=True)
    copied = chord([], named[-1], app=app)
    copied.tasks = together
    return Prepared(copied, members, named[-1].id, is_flat=True)


def _named(sig: Any, job_id: str, number: int, times: dict[str, datetime]) -> Any:
    """Return a copy of a task without callbacks as Celery would freeze and stamp it."""
    given = {"task_id": f"{job_id}-{number}", "ignore_result": False, "root_id": job_id}
    copied = copy_of_task(sig, **given, stamped_headers=[STAMP], **{STAMP: job_id}, **times)
    copied.options.setdefault("reply_to", sig.app.thread_oid)
    return copied


def _times(eta: datetime | None, expires: datetime | None) -> dict[str, datetime]:
    return {key: at for key, at in (("eta", eta), ("expires", expires)) if at is not None}


def final_task(prepared: Prepared) -> str | None:
    """Return the name of the one task whose result is the job's, or None when the canvas ends in a group."""
    return next((member.name for member in prepared.members if member.id == prepared.finals), None)


def final_ids(finals: Finals) -> Iterator[str]:
    """Return the ids in *finals*, in order."""
    if isinstance(finals, str):
        yield finals
    else:
        for part in finals:
            yield from final_ids(part)


class _Stamp(StampingVisitor):  # type: ignore[misc]
    """Stamps everything; Celery's plain `stamp()` leaves out the body of a chord."""

    def __init__(self, job_id: str) -> None:
        self._job_id = job_id

    def on_signature(self, sig: Any, **headers: Any) -> dict[str, str]:  # noqa: ARG002 - Celery's signature
        return {STAMP: self._job_id}

    on_chord_body = on_callback = on_errback = on_signature


def _plain(sig: Any, path: tuple[int, ...] = ()) -> Iterator[tuple[Any, tuple[int, ...]]]:
    """Yield the tasks of a canvas, in order, and where they are in it."""
    if sig.subtask_type not in {"chain", "group", "chord"}:
        yield sig, path
        return
    if WEIGHT in sig.options:
        raise ValueError(f"a {sig.subtask_type} has the weight of its tasks: give them their {WEIGHT}, not {sig!r}")
    children = [*members_of(sig), sig.body] if sig.subtask_type == "chord" else sig.tasks
    for index, child in enumerate(children, 1):
        yield from _plain(child, (*path, index))


def _name_members(canvas: Any, job_id: str) -> list[Member]:
    members = []
    placed = list(_plain(canvas))
    weights = [_weight(sig) for sig, _ in placed]
    whole = sum(weights)
    for number, (sig, path), weight in zip(itertools.count(1), placed, weights, strict=False):
        if sig.options.get("task_id"):
            raise ValueError(
                f"{sig!r} has the task id {sig.options['task_id']!r} already: escalate a signature that was not frozen "
                f"and has no task_id of its own, ids are given here"
            )
        # A result that is not stored would never be known to the job.
        sig.options.update(task_id=f"{job_id}-{number}", ignore_result=False)
        parent = ".".join(map(str, path[:-1]))
        members.append(Member(sig.options["task_id"], sig.task, parent, path[-1] if path else 1, weight / whole))
    return members


def _weight(sig: Any) -> float:
    """Return what the task counts, and take it off: Celery would send it along."""
    weight = sig.options.pop(WEIGHT, 1)
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight < math.inf:
        raise ValueError(f"the {WEIGHT} of {sig!r} is a number above 0, such as 2.5, not {weight!r}")
    return weight


def _heads(sig: Any) -> Iterator[Any]:
    if sig.subtask_type == "chain":
        yield from _heads(sig.tasks[0])
    elif sig.subtask_type in {"group", "chord"}:
        # Celery starts the body of a chord at once when there is nothing in its header.
        for member in list(members_of(sig)) or [sig.body]:
            yield from _heads(member)
    else:
        yield sig


def _finals(result: Any) -> Finals:
    return [_finals(part) for part in result.results] if isinstance(result, GroupResult) else str(result.id)
