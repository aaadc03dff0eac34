"""
The in-memory layer's lock, and the readers that sleep until something arrives: threads, and tasks on event loops.

A doorbell is held (`with doorbell:`) by whoever reads or changes the layer. Its lock is re-entrant, since a log handler
that is called meanwhile may itself send.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable

_Listener = tuple[asyncio.AbstractEventLoop, asyncio.Event]


class Doorbell:
    """Wakes all threads at every ring, to look for themselves, and the tasks that listen for the name that is rung."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._listeners: dict[str, list[_Listener]] = {}

    def __enter__(self) -> None:
        self._condition.acquire()

    def __exit__(self, *_: object) -> None:
        self._condition.release()

    def ring(self, name: str = "") -> None:
        """Say that something arrived; call it while holding the doorbell."""
        self._condition.notify_all()
        for loop, event in self._listeners.pop(name, ()):
            with contextlib.suppress(RuntimeError):  # that loop was closed: nobody listens there any more
                loop.call_soon_threadsafe(event.set)

    def wait(self, arrived: Callable[[], bool], seconds: float) -> None:
        """Return when *arrived* is true, or after *seconds*; call it while holding the doorbell."""
        self._condition.wait_for(arrived, seconds)

    async def listen(self, name: str, arrived: Callable[[], bool], seconds: float) -> None:
        """Return at the next ring for *name*, at once if *arrived* is true, or after *seconds*; do not hold it."""
        listener = (asyncio.get_running_loop(), asyncio.Event())
        with self:
            if arrived():
                return
            self._listeners.setdefault(name, []).append(listener)
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await listener[1].wait()
        finally:
            with self:
                self._stop_listening(name, listener)

    def _stop_listening(self, name: str, listener: _Listener) -> None:
        listeners = self._listeners.get(name, [])
        if listener in listeners:
            listeners.remove(listener)
            if not listeners:
                del self._listeners[name]
