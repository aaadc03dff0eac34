"""
Copies of canvases that share no signature with the original, so that it can be escalated again.

Celery's own `clone` shares what is in a group or chord. Source: celery.canvas of 5.7.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from celery import group
from celery.canvas import Signature, chunks, maybe_signature, xmap, xstarmap

_SCALARS = frozenset({str, bytes, int, float, bool, type(None)})
"""What need not be copied."""


def copy_of(sig: Any) -> Any:
    """Return a copy of any canvas, without groups in groups, or None if it has no tasks."""
    kind = sig.subtask_type
    if isinstance(sig, chunks):
        return copy_of(sig.group())
    if kind == "group":
        return _copy_of_group(sig)
    if kind == "chain":
        return _copy_of_chain(sig)
    if kind == "chord":
        return _copy_of_chord(sig)
    if type(sig) is Signature:
        return copy_of_task(sig)
    copied = sig.clone()
    if not isinstance(sig, (xmap, xstarmap)):  # whose arguments may be lazy; they are evaluated when published
        copied.args, copied.kwargs = copy.deepcopy(tuple(sig.args)), copy.deepcopy(sig.kwargs)
    return copied


def copy_of_task(sig: Any, **options: Any) -> Any:
    """Return a copy of a task's signature, with more options."""
    args = tuple(sig.args)
    parts = {
        "task": sig.task,
        "args": args if _SCALARS.issuperset(map(type, args)) else copy.deepcopy(args),
        "kwargs": _copy_of_dict(sig.kwargs),
        "options": {**_copy_of_dict(sig.options), **options},
        "subtask_type": sig.subtask_type,
        "immutable": sig.immutable,
    }
    copied = Signature(parts, app=sig._app)  # noqa: SLF001 - as Celery's `clone`
    copied._type = sig._type  # noqa: SLF001
    return copied


def members_of(sig: Any) -> Iterable[Any]:
    """Return what is in a group, or in the header of a chord."""
    tasks: Iterable[Any] = sig.tasks.tasks if isinstance(sig.tasks, Signature) else sig.tasks
    return tasks


def _copy_of_dict(found: dict[str, Any]) -> dict[str, Any]:
    return dict(found) if _SCALARS.issuperset(map(type, found.values())) else copy.deepcopy(found)


def _copy_of_group(sig: Any) -> Any:
    # Celery flattens a group in a group as well, but reverses the inner one.
    members: list[Any] = []
    for member in _copies_of(sig.tasks):
        members.extend(member.tasks if member.subtask_type == "group" else [member])
    options = copy.deepcopy(sig.options)
    return group(members, app=sig.app, **options) if members else None


def _copy_of_chain(sig: Any) -> Any:
    copied = sig.clone()
    copied.tasks = _copies_of(sig.tasks)
    return copied if copied.tasks else None


def _copy_of_chord(sig: Any) -> Any:
    body = copy_of(maybe_signature(sig.body, app=sig.app)) if sig.body is not None else None
    if body is None:
        raise ValueError(f"{sig!r} has no body: nothing would be done with what its header returns; use a group")
    copied = sig.clone()
    copied.tasks = _copy_of_group(group(list(members_of(sig)), app=sig.app)) or group([], app=sig.app)
    copied.body = body
    return copied


def _copies_of(sigs: Iterable[Any]) -> list[Any]:
    return [copied for sig in sigs if (copied := copy_of(maybe_signature(sig))) is not None]
