"""
How the parts of a chord lead to its body, whatever dies meanwhile.

Celery stores that a part is done, then counts it, then the last one publishes the body: a process that dies in between
leaves a chord whose body never runs. Here the script that stores a part counts it as well. Celery counts only the last
part, before it is stored, and the script that stores it publishes the body. What dies before that has stored nothing,
so it ends with an error or comes back. Source: celery.backends.redis of 5.7.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from typing import Any

from celery import states
from celery.backends.redis import CHORD_CLEANUP_LUA, RedisBackend

from chancelery.tasks.canvas import job_of
from chancelery.tasks.engine import continuing, opening
from chancelery.tasks.engine.dropping import is_cancelled

_LOOK_SECONDS = 0.2


class Part:
    """A part of a chord that has succeeded. counted: as `scripts/parts.lua` takes it."""

    def __init__(self, counted: Sequence[Any]) -> None:
        self.counted = counted
        self.is_counted = False
        self.is_last = False


class ChordBackend(RedisBackend):  # type: ignore[misc]
    """Celery's backend with such chords."""

    def set_chord_size(self, group_id: str, chord_size: int) -> None:
        """Store how many parts a chord has; with the job's record, when the job begins with it."""
        opens = opening.current()
        if opens is None:
            super().set_chord_size(group_id, chord_size)
        else:  # the group is new: there is no claim of an earlier run of it to be dropped
            opens.set(self.get_key_for_group(group_id, ".s").decode(), str(chord_size), self.chord_expires or 0)

    def mark_as_done(
        self,
        task_id: str,
        result: Any,
        request: Any = None,
        store_result: bool = True,  # noqa: FBT001, FBT002 - Celery's signature
        state: str = states.SUCCESS,
    ) -> None:
        """Store that a task is done, and what follows."""
        if not store_result or request is None or not request.chord or not _is_of_job(request):
            super().mark_as_done(task_id, result, request, store_result, state)
            return

        def stored() -> None:
            self.store_result(task_id, result, state, request=request)

        part = request.part = self._part_of(request, state, result)
        if part is not None:
            stored()
            if part.is_counted:
                return
        store = request.store_part = _Once(stored if part is None or part.is_last else _nothing)
        self.on_chord_part_return(request, state, result)
        store()

    def _part_of(self, request: Any, state: str, result: Any) -> Part | None:
        """Return which part of a chord has succeeded; None for one that may have done so before."""
        if state != states.SUCCESS or not request.group or _comes_again(request):
            return None
        place = "+inf" if request.group_index is None else request.group_index
        encoded = self.encode([1, request.id, state, self.encode_result(result, state)])
        base = self.get_key_for_group(request.group).decode()
        keys = [f"{base}{suffix}" for suffix in (".j", ".t", ".s", ".d", "", ".c")]
        in_order = "1" if self._chord_zset else "0"
        expiry = self.chord_expires or 0, self._chord_result_expires
        return Part((keys, f"{request.id}:{place}", str(place), encoded, in_order, *expiry))

    def restore_group(self, group_id: str, *args: Any, **kwargs: Any) -> Any:
        """
        Return the result of a group that was saved, or None.

        It was if parts of a chord are groups themselves. Then Celery reads, for the body, what all of them have stored.
        """
        found = super().restore_group(group_id, *args, **kwargs)
        request = continuing.running_request()
        if found is not None and request is not None and request.group == group_id:
            getattr(request, "store_part", _nothing)()
        return found

    def on_chord_part_return(self, request: Any, state: str, result: Any, *args: Any, **kwargs: Any) -> None:
        """
        Count a part, and publish the body if it was the last.

        One that comes back, or got no answer, waits for the claim of its predecessor to the body, which may be dead.
        What is revoked with its job is not counted: its body is not to run, and Celery would call that a fault.
        """
        if state == states.REVOKED and is_cancelled(request.root_id, self.state_of):
            return
        count = super().on_chord_part_return
        attempts = 0

        def counted() -> None:
            nonlocal attempts
            attempts += 1
            count(request, state, result, *args, **kwargs)

        self.ensure(counted, ())
        if request.group and (attempts > 1 or _comes_again(request)):
            while continuing.collected() is None and self.ensure(self._is_claimed, (request.group,)):
                time.sleep(_LOOK_SECONDS)
                self.ensure(counted, ())

    def _is_claimed(self, group_id: str) -> bool:
        """Tell whether a part of the group has claimed to publish the body, and has not done so yet."""
        claim = self.client.get(self.get_key_for_group(group_id, ".c"))
        return claim is not None and claim != b"done"

    @functools.cached_property
    def _chord_cleanup_script(self) -> Callable[..., Any]:
        """Return what Celery calls when it has published a body, as its scripts are called."""
        script = self.client.register_script(CHORD_CLEANUP_LUA)

        def clean(keys: list[bytes], args: list[Any], client: Any) -> Any:
            follows = continuing.collected()
            if follows is None:
                return script(keys=keys, args=args, client=client)
            follows.release(keys, *args)
            return 1

        return clean


class _Once:
    """A function that does nothing when it is called again."""

    def __init__(self, function: Callable[[], object]) -> None:
        self._function: Callable[[], object] | None = function

    def __call__(self) -> None:
        function, self._function = self._function, None
        if function is not None:
            function()


def _nothing() -> None:
    """There is nothing to be stored."""


def _comes_again(request: Any) -> bool:
    """Tell whether the message of a task has been given to a worker before."""
    return bool((request.delivery_info or {}).get("redelivered"))


def _is_of_job(request: Any) -> bool:
    """Tell whether the result of a job's task is stored by the script that settles it."""
    return request.ignore_result is False and job_of(request.id) is not None
