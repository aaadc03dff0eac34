"""
Makes a canvas ready to be escalated: a copy of it whose tasks have ids that tell their job, frozen and stamped.

A task's id is `<job's id>-<number>`, so that whoever is told of a task alone (a revocation, an error of a chord) knows
its job. Does no I/O. Source: celery.canvas; what `freeze` returns is the tree of results that Celery itself will fill.
"""

from __future__ import annotations

import copy
import itertools
import math
import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias

from celery import group
from celery.canvas import Signature, StampingVisitor, chunks, maybe_signature, xmap, xstarmap
from celery.result import GroupResult

STAMP = "job"
"""The stamp that every task of a job carries, its callbacks and error callbacks too."""

WEIGHT = "weight"
"""The option of a signature that says what it counts in how far the canvas is; 1 without it."""

Finals: TypeAlias = "str | list[Finals]"
"""The id of the task whose result is the job's; a list of these for a canvas that ends in a group."""

JOB_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
_GENERAL = frozenset({"task_id", "group_id", "link", "link_error", "stamped_headers", STAMP, WEIGHT})
"""The options of a task of which more follows than that it has them."""
_SCALARS = frozenset({str, bytes, int, float, bool, type(None)})
"""What need not be copied."""
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
        return _prepare_alone(canvas, job_id, eta, expires)
    copied = _copy(maybe_signature(canvas))
    if copied is None:
        raise ValueError(f"the canvas {canvas!r} has no tasks: there is nothing to escalate")
    members = _name_members(copied, job_id)
    for head in _heads(copied):
        head.options.update(_times(eta, expires))
    copied.stamp(visitor=_Stamp(job_id))
    return Prepared(copied, members, _finals(copied.freeze(root_id=job_id)))


def _is_alone(sig: Any) -> bool:
    return type(sig) is Signature and not _GENERAL & sig.options.keys()


def _prepare_alone(sig: Any, job_id: str, eta: datetime | None, expires: datetime | None) -> Prepared:
    """Do what `prepare` does to a task without callbacks, without Celery's walks over a tree: a tenth of the time."""
    task_id = f"{job_id}-1"
    given = {"task_id": task_id, "ignore_result": False, "root_id": job_id, "stamped_headers": [STAMP], STAMP: job_id}
    copied = _copy_task(sig, **given, **_times(eta, expires))
    copied.options.setdefault("reply_to", sig.app.thread_oid)
    return Prepared(copied, [Member(task_id, sig.task, "", 1, 1.0)], task_id)


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


def _copy(sig: Any) -> Any:
    """Return a copy that shares no signature with *sig*, without groups in groups, or None if it has no tasks."""
    kind = sig.subtask_type
    if isinstance(sig, chunks):
        return _copy(sig.group())
    if kind == "group":
        return _copy_group(sig)
    if kind == "chain":
        return _copy_chain(sig)
    if kind == "chord":
        return _copy_chord(sig)
    if type(sig) is Signature:
        return _copy_task(sig)
    copied = sig.clone()
    if not isinstance(sig, (xmap, xstarmap)):  # whose arguments may be lazy; they are evaluated when published
        copied.args, copied.kwargs = copy.deepcopy(tuple(sig.args)), copy.deepcopy(sig.kwargs)
    return copied


def _copy_task(sig: Any, **options: Any) -> Any:
    args = tuple(sig.args)
    parts = {
        "task": sig.task,
        "args": args if _SCALARS.issuperset(map(type, args)) else copy.deepcopy(args),
        "kwargs": _copy_dict(sig.kwargs),
        "options": {**_copy_dict(sig.options), **options},
        "subtask_type": sig.subtask_type,
        "immutable": sig.immutable,
    }
    copied = Signature(parts, app=sig._app)  # noqa: SLF001 - as Celery's `clone`
    copied._type = sig._type  # noqa: SLF001
    return copied


def _copy_dict(found: dict[str, Any]) -> dict[str, Any]:
    return dict(found) if _SCALARS.issuperset(map(type, found.values())) else copy.deepcopy(found)


def _copy_group(sig: Any) -> Any:
    # Celery flattens a group in a group as well, but reverses the inner one.
    members: list[Any] = []
    for member in _copy_all(sig.tasks):
        members.extend(member.tasks if member.subtask_type == "group" else [member])
    options = copy.deepcopy(sig.options)
    return group(members, app=sig.app, **options) if members else None


def _copy_chain(sig: Any) -> Any:
    copied = sig.clone()
    copied.tasks = _copy_all(sig.tasks)
    return copied if copied.tasks else None


def _copy_chord(sig: Any) -> Any:
    body = _copy(maybe_signature(sig.body, app=sig.app)) if sig.body is not None else None
    if body is None:
        raise ValueError(f"{sig!r} has no body: nothing would be done with what its header returns; use a group")
    copied = sig.clone()
    copied.tasks = _copy_group(group(list(_members_of(sig)), app=sig.app)) or group([], app=sig.app)
    copied.body = body
    return copied


def _copy_all(sigs: Iterable[Any]) -> list[Any]:
    return [copied for sig in sigs if (copied := _copy(maybe_signature(sig))) is not None]


def _members_of(sig: Any) -> Iterable[Any]:
    tasks: Iterable[Any] = sig.tasks.tasks if isinstance(sig.tasks, Signature) else sig.tasks
    return tasks


def _plain(sig: Any, path: tuple[int, ...] = ()) -> Iterator[tuple[Any, tuple[int, ...]]]:
    """Yield the tasks of a canvas, in order, and where they are in it."""
    if sig.subtask_type not in {"chain", "group", "chord"}:
        yield sig, path
        return
    if WEIGHT in sig.options:
        raise ValueError(f"a {sig.subtask_type} has the weight of its tasks: give them their {WEIGHT}, not {sig!r}")
    children = [*_members_of(sig), sig.body] if sig.subtask_type == "chord" else sig.tasks
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
        for member in list(_members_of(sig)) or [sig.body]:
            yield from _heads(member)
    else:
        yield sig


def _finals(result: Any) -> Finals:
    return [_finals(part) for part in result.results] if isinstance(result, GroupResult) else str(result.id)
