"""Notices that something keeps an event loop from going on, and names it. Looks at it from another thread."""

from __future__ import annotations

import asyncio

from chancelery.log import Burst, room

LOOKS = 10
"""How often in a row the same task has to be found at work: ten times 50 ms, see `heartbeat`."""


class Watch:
    """Looks after one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._burst = Burst(room("worker"))
        self._answered = True
        self._suspect: asyncio.Task[object] | None = None
        self._looks = 0

    def look(self) -> None:
        """Log what has been holding up the loop for `LOOKS` calls of this. Not for several threads."""
        if self._answered:
            self._answered, self._suspect, self._looks = False, None, 0
            self._loop.call_soon_threadsafe(self._answer)
            return
        # Not the time alone: a loop that has much to do is late as well, and no one of its tasks is to blame for that.
        task = asyncio.current_task(self._loop)
        self._looks = self._looks + 1 if task is self._suspect else 1
        self._suspect = task
        if self._looks == LOOKS and task is not None:
            self._burst.say(
                task.get_name(),
                "the async consumer %s has been holding up all others of this process for half a second: await what "
                "takes time, or make it a plain def, which runs in a thread",
                _described(task),
            )

    def _answer(self) -> None:
        self._answered = True


def _described(task: asyncio.Task[object]) -> str:
    """Tasks of consumers bear their names; what a consumer made a task of is known by that."""
    name = task.get_name()
    return name if "." in name else f"with the task {getattr(task.get_coro(), '__qualname__', name)}"
